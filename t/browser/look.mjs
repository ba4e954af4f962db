import { becomes, complaints, finish, obstacles, overhang, person, settled,
    signIn, untilState } from "./browser.mjs";
import { call, given, is, main, ok } from "./say.mjs";

const LONG_NAME = `${"a-name-that-does-not-end-".repeat(7)}.txt`;

// The page as it is when all is loaded, in both themes, wide and narrow.
async function looksGood(page, what) {
	await settled(page);
	for (const width of [1100, 320]) {
		await page.setViewportSize({ width, height: 800 });
		for (const colorScheme of ["light", "dark"]) {
			await page.emulateMedia({ colorScheme });
			is(await obstacles(page), [],
			    `${what}: no obstacles, ${colorScheme}, ${width}`);
		}
		await becomes(() => overhang(page), 0,
		    `${what}: fits into ${width}`);
	}
	await page.setViewportSize({ width: 1100, height: 900 });
}

async function strangers() {
	const page = await person();

	await page.goto("/");
	await page.getByRole("heading", { name: "Sign in" }).waitFor();
	await looksGood(page, "sign in");
	await page.getByRole("button", { name: "Create one" }).click();
	await page.getByRole("heading", { name: "Create an account" })
	    .waitFor();
	await looksGood(page, "create an account");
}

async function empty(page) {
	await page.getByText("You have no jobs yet.").waitFor();
	await looksGood(page, "no jobs");
}

async function jobs(page) {
	const ids = {};

	for (const [pipeline, name, state] of [
	    ["long", LONG_NAME, "running"], ["fragile", "b.txt", "failed"],
	    ["quick", "\u0645\u0631\u062d\u0628\u0627.txt", "completed"]]) {
		ids[state] = await call("submit", pipeline, name);
		await page.goto(`/#/jobs/${ids[state]}`);
		await untilState(page, state);
		await page.getByText("Events", { exact: true }).click();
		await page.locator("details.events tbody tr").first().waitFor();
		await looksGood(page, `a job that is ${state}`);
	}
	await page.goto("/#/");
	await page.locator(".jobs .state.running").waitFor();
	await looksGood(page, "jobs");
	return ids;
}

async function dialogs(page, ids) {
	await page.goto(`/#/jobs/${ids.failed}`);
	await untilState(page, "failed");
	await page.keyboard.press("r");
	await page.getByRole("dialog").getByLabel("Stage", { exact: true })
	    .waitFor();
	await looksGood(page, "run again");
	await page.keyboard.press("Escape");
	await page.getByRole("dialog").waitFor({ state: "detached" });
	await page.keyboard.press("?");
	await page.getByRole("dialog", { name: "Keys" }).waitFor();
	await looksGood(page, "keys");
	await page.keyboard.press("Escape");
	await page.getByRole("dialog").waitFor({ state: "detached" });
}

async function others(page) {
	await page.goto("/#/account");
	await page.getByRole("heading", { name: "API tokens" }).waitFor();
	await looksGood(page, "account");
	await page.goto("/admin");
	await page.locator(".all .state.running").waitFor();
	await looksGood(page, "administration");
	await page.goto("/#/jobs/01920000-0000-7000-8000-000000000000");
	await page.getByRole("heading", { name: "No such job" }).waitFor();
	await looksGood(page, "no such job");
}

// The API fails; the page says so, and comes back.
async function trouble(page) {
	const body = JSON.stringify({ status: 503,
	    detail: "The database is away.", request_id: "abc123" });

	await page.route("**/api/v1/jobs?*", (r) => r.fulfill({ status: 503,
	    contentType: "application/problem+json", body }));
	await page.goto("/#/");
	await page.reload();
	await page.getByText("Your jobs cannot be listed.").waitFor();
	await page.getByText("abc123").waitFor();
	ok(true, "an error names its request");
	await looksGood(page, "an error");
	await page.unroute("**/api/v1/jobs?*");
	await page.getByRole("button", { name: "Try again" }).click();
	await page.locator(".jobs .state.running").waitFor();
	ok(true, "and can be tried again");
}

// From the top of the page to a cancelled job, without a pointer.
async function byKeyboard(page, ids) {
	const focus = () => page.evaluate(() =>
	    document.activeElement.id || document.activeElement.tagName);

	await page.goto("/#/");
	await page.reload();
	await page.locator(".jobs .state.running").waitFor();
	await page.keyboard.press("j");
	await page.keyboard.press("j");
	await page.keyboard.press("j");
	await becomes(focus, `job-${ids.running}`, "j walks down the jobs");
	await page.keyboard.press("Enter");
	await untilState(page, "running");
	await page.waitForFunction(() =>
	    document.activeElement.tagName === "H1");
	ok(true, "Enter opens one; the focus is on its name");
	await page.goBack();
	await page.locator(".jobs").waitFor();
	await page.waitForFunction((id) => document.activeElement.id === id,
	    `job-${ids.running}`);
	ok(true, "and on the way back, on the job again");
	await page.keyboard.press("Enter");
	await page.waitForFunction(() =>
	    document.activeElement.tagName === "H1");
	await untilState(page, "running");
	await page.keyboard.press("c");
	await page.getByRole("dialog").waitFor();
	await page.keyboard.press("Tab");
	await page.keyboard.press("Enter");
	await untilState(page, "cancelled");
	ok(true, "c cancels it");
	await page.getByRole("dialog").waitFor({ state: "detached" });
	await page.keyboard.press("?");
	await page.getByLabel("Single keys work").uncheck();
	await page.keyboard.press("Escape");
	await page.getByRole("dialog").waitFor({ state: "detached" });
	await page.keyboard.press("?");
	await settled(page);
	is(await page.getByRole("dialog").count(), 0,
	    "single keys can be switched off");
}

async function needs(page) {
	await page.goto("/admin");
	await page.locator(".all .state").first().waitFor();
	await settled(page);
	await page.emulateMedia({ forcedColors: "active" });
	is(await obstacles(page), [], "no obstacles with forced colours");
	await page.emulateMedia({ forcedColors: null,
	    reducedMotion: "reduce" });
	await settled(page);
	is(await page.evaluate(() => document.getAnimations().length), 0,
	    "nothing moves for who does not like it");
	await page.getByRole("button", { name: "Change the theme" }).click();
	await page.getByRole("button", { name: "Change the theme" }).click();
	await page.reload();
	await becomes(() => page.evaluate(() =>
	    document.documentElement.dataset.theme), "dark",
	    "the theme that was chosen stays");
}

await main(async () => {
	const page = await person();

	await strangers();
	await signIn(page, given.root);
	await empty(page);
	const ids = await jobs(page);
	await dialogs(page, ids);
	await others(page);
	await trouble(page);
	await byKeyboard(page, ids);
	await needs(page);
	is(complaints(/404.*\/jobs\/01920000/, /503.*\/jobs\?/), [],
	    "no page complains");
}, finish);
