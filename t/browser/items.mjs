import { becomes, complaints, finish, obstacles, overhang, person, settled,
    signIn, untilState } from "./browser.mjs";
import { given, is, main, ok } from "./say.mjs";

// What the row of a stage says of its items.
const told = (stage) => async () =>
	(await stage.innerText()).replace(/\s+/g, " ").trim();

async function many(page) {
	await page.goto(`/#/jobs/${given.job}`);
	await untilState(page, "completed");
	const rows = page.locator(".stages tbody tr");
	const stage = page.getByRole("button", { name: /^Page/ });
	await becomes(told(stage), "Page 299 of 300, 1 failed",
	    "items are counted");
	await becomes(() => rows.count(), 3, "but have no rows at first");
	is(await page.locator(".stages .state.failed").count(), 0,
	    "a stage that the job went on from has not failed");

	await stage.click();
	const cells = page.locator(".cells span");
	await becomes(() => cells.count(), 100, "they are a strip of cells");
	await becomes(() => page.locator(".cells .failed").evaluateAll((all) =>
	    all.map((c) => c.title)), ["page-43 … page-45: Failed"],
	    "in which the one that failed is in its place");
	await becomes(() => rows.count(), 5, "it alone has a row");
	await page.getByRole("rowheader", { name: "page-44" }).waitFor();
	ok(true, "by its name");
	await page.getByRole("rowheader", { name: "is torn" }).waitFor();
	ok(true, "and by the reason");
	await page.getByText("299 done, 1 failed").waitFor();
	ok(true, "and all are told in words");
	await settled(page);
	is(await obstacles(page), [], "no obstacles");
	await page.setViewportSize({ width: 360, height: 740 });
	await becomes(() => overhang(page), 0, "nor on a telephone");
}

async function thousands(page) {
	await page.goto(`/#/jobs/${given.large}`);
	const stage = page.getByRole("button", { name: /^Page/ });
	await becomes(told(stage), "Page 2999 of 3000, 1 failed",
	    "thousands are counted, too");
	await stage.click();
	await page.getByText("2999 done, 1 failed").waitFor();
	await becomes(() => page.locator(".cells .failed").count(), 1,
	    "one of their cells has failed");
	await page.getByRole("rowheader", { name: "page-44" }).waitFor();
	ok(true, "and it is named, though it is not among the first thousand");
}

await main(async () => {
	const page = await person();

	await signIn(page, given.ana);
	await many(page);
	await thousands(page);
	is(complaints(), [], "no page complains");
}, finish);
