import { setTimeout as pause } from "node:timers/promises";
import { becomes, complaints, finish, person, signIn, tab, untilPill,
    untilState } from "./browser.mjs";
import { call, given, is, main, ok } from "./say.mjs";

// The page asks every two seconds.
const QUIET_MS = 6000, QUIET_TRIES = 10;

const row = (page, name) => page.locator(".all tbody tr",
    { hasText: name });

async function seesAll(page) {
	await page.goto("/admin");
	await row(page, "stuck.txt").locator(".state.running").waitFor();
	await row(page, "broken.txt").locator(".state.failed").waitFor();
	ok(true, "the jobs of everybody are there");
	await becomes(() => row(page, "broken.txt").textContent(),
	    /The text makes no sense\./, "a failed one says why");
	await becomes(() => row(page, "stuck.txt").locator("td.user")
	    .textContent(), "ana", "each row names its user");
	await page.locator("h2", { hasText: "Daemons" }).waitFor();
	await page.locator("section", { hasText: "Daemons" })
	    .locator(".state", { hasText: "Up" }).waitFor();
	ok(true, "a daemon is up");
	await page.getByRole("cell", { name: "Administrator" }).waitFor();
	ok(true, "the users are listed");
	await becomes(() => page.getByRole("link", { name: /Running/ })
	    .textContent(), /Running\s+1$/, "running jobs are counted");
}

async function filters(page) {
	await page.getByRole("link", { name: /^Failed/ }).click();
	await row(page, "stuck.txt").waitFor({ state: "detached" });
	await page.waitForFunction(() =>
	    document.querySelectorAll(".all tbody tr").length === 1);
	ok(true, "only failed ones are left");
	await becomes(() => new URL(page.url()).search, "?status=failed",
	    "the filter stands in the URL");
	await page.getByLabel("Search").fill("nothing-like-it");
	await page.getByText("No failed jobs").waitFor();
	ok(true, "an empty list says for what it is empty");
	await page.getByRole("button", { name: "Clear filter" }).click();
	await row(page, "stuck.txt").waitFor();
	await becomes(() => new URL(page.url()).search, "",
	    "and the filter can be cleared");
	await page.getByLabel("Pipeline").selectOption("long");
	await row(page, "broken.txt").waitFor({ state: "detached" });
	await row(page, "stuck.txt").waitFor();
	const other = await tab(page.context());
	await other.goto(page.url());
	await row(other, "stuck.txt").waitFor();
	await becomes(() => other.locator(".all tbody tr").count(), 1,
	    "the same URL shows the same elsewhere");
	await other.close();
	await page.goBack();
	await row(page, "broken.txt").waitFor();
	ok(true, "Back brings the list before");
	await page.keyboard.press("/");
	await page.keyboard.type("broken", { delay: 200 });
	await page.waitForURL("**/admin?q=broken");
	await row(page, "stuck.txt").waitFor({ state: "detached" });
	await row(page, "broken.txt").waitFor();
	ok(true, "a key leads to the search, and nothing disturbs the typing");
	await page.getByRole("button", { name: "Clear filter" }).click();
	await row(page, "stuck.txt").waitFor();
}

// Whether there comes a time without a request.
async function quiet(page, isAsked) {
	let asked = true;
	const f = (r) => { asked ||= isAsked(r); };

	page.on("request", f);
	for (let i = 0; asked && i < QUIET_TRIES; i++) {
		asked = false;
		await pause(QUIET_MS);
	}
	page.off("request", f);
	return !asked;
}

async function isCheap(page) {
	const isList = (r) => /\/api\/v1\/jobs\?/.test(r.url());

	await page.waitForResponse((r) => r.status() === 304 && isList(r));
	ok(true, "a list that has not changed is 304");
	await page.getByRole("button", { name: "Pause" }).click();
	await untilPill(page, /^\s*Paused/);
	ok(true, "and the page can be paused");
	ok(await quiet(page, isList), "then nothing is asked");
	await page.keyboard.press("p");
	await page.waitForRequest(isList);
	ok(true, "until it goes on");
}

async function holdsStill(page) {
	await row(page, "broken.txt").locator("a.name").hover();
	const first = await page.locator(".all tbody tr a.name").first()
	    .getAttribute("href");
	await call("submit", "fragile", "late.txt");
	await page.getByRole("button", { name: "1 new job" }).waitFor();
	is(await page.locator(".all tbody tr a.name").first()
	    .getAttribute("href"), first,
	    "nothing moves under the pointer: a new job waits");
	await page.mouse.move(2, 2);
	await row(page, "late.txt").waitFor();
	ok(true, "until the pointer has left");
}

async function cancels(page) {
	await row(page, "stuck.txt").locator("a.name").focus();
	await page.keyboard.press("c");
	await page.getByRole("dialog").getByRole("button",
	    { name: "Cancel the job" }).click();
	await row(page, "stuck.txt").locator(".state.cancelled").waitFor();
	ok(true, "a running job is cancelled, without a pointer");
}

async function runsAgain(page) {
	const stages = page.locator(".stages tbody .state");

	await call("mend");
	await row(page, "broken.txt").getByRole("button",
	    { name: /again/ }).click();
	const dialog = page.getByRole("dialog");
	await dialog.getByText("The stage that failed").waitFor();
	await dialog.getByRole("button", { name: "Run again" }).click();
	await row(page, "broken.txt").locator(".state.completed").waitFor();
	ok(true, "a failed job runs again, from the stage that failed");
	await row(page, "broken.txt").locator("a.name").click();
	await untilState(page, "completed");
	await becomes(() => stages.allInnerTexts(), ["Done", "Done (run 2)"],
	    "what was done was not done twice");
	await page.getByRole("button", { name: "Delete" }).click();
	await page.getByRole("dialog").getByRole("button",
	    { name: "Delete" }).click();
	await page.getByRole("heading", { name: "Your jobs" }).waitFor();
	await page.goto("/admin");
	await row(page, "stuck.txt").waitFor();
	await becomes(() => row(page, "broken.txt").count(), 0,
	    "and is deleted");
}

async function fromTheStart(page) {
	await row(page, "late.txt").locator("a.name").click();
	await untilState(page, "failed");
	await page.getByText("What Parsing wrote last").click();
	await becomes(() => page.locator("details.words pre").textContent(),
	    /line 3: no such word/,
	    "the page of a failed job has its last words");
	await page.keyboard.press("r");
	const dialog = page.getByRole("dialog");
	await dialog.getByLabel("The start").check();
	await dialog.getByRole("button", { name: "Run again" }).click();
	await untilState(page, "completed");
	ok(true, "and can be run again from the start");
}

await main(async () => {
	const page = await person();

	await call("submit", "fragile", "broken.txt");
	await call("submit", "long", "stuck.txt");
	await signIn(page, given.root);
	await seesAll(page);
	await filters(page);
	await isCheap(page);
	await holdsStill(page);
	await row(page, "late.txt").locator(".state.failed").waitFor();
	await cancels(page);
	await runsAgain(page);
	await fromTheStart(page);
	is(complaints(), [], "no page complains");
}, finish);
