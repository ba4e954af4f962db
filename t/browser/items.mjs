import { complaints, finish, obstacles, overhang, person, signIn, untilState }
    from "./browser.mjs";
import { given, is, main, ok } from "./say.mjs";

async function many(page) {
	await page.goto(`/#/jobs/${given.job}`);
	await untilState(page, "completed");
	const rows = page.locator(".stages tbody tr");
	is(await rows.count(), 3, "items have no rows at first");
	const stage = page.getByRole("button", { name: /^Page/ });
	is((await stage.innerText()).replace(/\s+/g, " ").trim(),
	    "Page 299 of 300, 1 failed", "but are counted");
	is(await page.locator(".stages .state.failed").count(), 0,
	    "a stage that the job went on from has not failed");

	await stage.click();
	const cells = page.locator(".cells span");
	await cells.first().waitFor();
	is(await cells.count(), 100, "they are a strip of cells");
	is(await page.locator(".cells .failed").evaluateAll((all) =>
	    all.map((c) => c.title)), ["page-43 … page-45: Failed"],
	    "in which the one that failed is in its place");
	is(await rows.count(), 5, "it alone has a row");
	ok(await page.getByRole("rowheader", { name: "page-44" }).isVisible(),
	    "by its name");
	ok(await page.getByRole("rowheader", { name: "is torn" }).isVisible(),
	    "and by the reason");
	ok(await page.getByText("299 done, 1 failed").isVisible(),
	    "and all are told in words");
	is(await obstacles(page), [], "no obstacles");
	await page.setViewportSize({ width: 360, height: 740 });
	is(await overhang(page), 0, "nor on a telephone");
}

async function thousands(page) {
	await page.goto(`/#/jobs/${given.large}`);
	await untilState(page, "completed");
	const stage = page.getByRole("button", { name: /^Page/ });
	is((await stage.innerText()).replace(/\s+/g, " ").trim(),
	    "Page 2999 of 3000, 1 failed", "thousands are counted, too");
	await stage.click();
	await page.getByText("2999 done, 1 failed").waitFor();
	is(await page.locator(".cells .failed").count(), 1,
	    "one of their cells has failed");
	ok(await page.getByRole("rowheader", { name: "page-44" }).isVisible(),
	    "and it is named, though it is not among the first thousand");
}

await main(async () => {
	const page = await person();

	await signIn(page, given.ana);
	await many(page);
	await thousands(page);
	is(complaints(), [], "no page complains");
}, finish);
