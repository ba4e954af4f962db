// Chromium for the scripts of browser tests.
//
// One browser for a script; a context of its own for each person, so that
// nobody is signed in by accident.  Whatever a page complains about is kept,
// and complaints() must be empty at the end: violations of the content
// security policy, errors in the console, exceptions.

import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";
import { fits, given, hasFailed, is, note } from "./say.mjs";

const need = createRequire(`${process.env.BROWSER_TOOLS}/`);
const { chromium } = need("playwright-core");
const AXE = readFileSync(need.resolve("axe-core/axe.min.js"), "utf8");

const RULES = ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa", "best-practice"];

// What a person waits for at most, ms.
const PATIENCE = 60000;

// With BROWSER_LAG=ms in the environment each request to the API is held back
// by a random time up to that, and so is the answer when it changes something:
// things come late and in another order than on an idle machine, and what a
// script or a page leaves to chance shows.  BROWSER_SEED=n, which is told when
// a test fails, has the same times again.
const LAG = Number(process.env.BROWSER_LAG ?? 0);
const SEED = Number(process.env.BROWSER_SEED ?? Date.now() % 1e6 + 1);

const ARGS = ["--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--autoplay-policy=no-user-gesture-required"];

let browser = null;
const pages = [];

let turn = SEED;

async function lag() {
	turn = turn * 48271 % 0x7fffffff;
	await pause(turn / 0x7fffffff * LAG);
}

async function late(route) {
	const request = route.request();
	const type = request.headers()["content-type"] ?? "";

	await lag();
	// The bytes of a file are known to the browser alone.
	if (request.method() === "GET" || type.startsWith("multipart/"))
		return route.continue();
	const response = await route.fetch();
	await lag();
	await route.fulfill({ response });
}

// A new person in front of a browser.
export async function person(options = {}) {
	browser ??= await chromium.launch({
		executablePath: "/usr/bin/chromium", headless: true,
		args: process.getuid() === 0 ? [...ARGS, "--no-sandbox"] : ARGS,
	});
	const context = await browser.newContext({ baseURL: given.url,
	    viewport: { width: 1100, height: 900 }, ...options });
	await context.addInitScript(() => {
		document.addEventListener("securitypolicyviolation", (e) =>
		    console.error(`violates ${e.violatedDirective}: ` +
			`${e.blockedURI} ${e.sourceFile}:${e.lineNumber}`));
	});
	// Who asked may have gone meanwhile.
	if (LAG > 0)
		await context.route(/\/api\//, (r) => late(r).catch(() => {}));
	return await tab(context);
}

// One more tab of that person.
export async function tab(context) {
	const page = await context.newPage();
	const wrong = [];

	page.setDefaultTimeout(PATIENCE);
	page.on("console", (m) => m.type() === "error" &&
	    wrong.push(`${m.text()} ${m.location()?.url ?? ""}`));
	page.on("pageerror", (e) => wrong.push(e.stack));
	page.wrong = wrong;
	pages.push(page);
	return page;
}

// All complaints but those that match one of EXPECTED, with their page.  Who
// is not signed in is told so by 401, which Chromium counts as an error.
export function complaints(...expected) {
	const fine = [/\b401\b.*\/auth\/me$/, ...expected];

	return pages.flatMap((page) => page.wrong)
	    .filter((text) => !fine.some((f) => f.test(text)));
}

export async function signIn(page, user) {
	await page.goto("/");
	await page.getByLabel("Name").fill(user.name);
	await page.getByLabel("Password").fill(user.password);
	await page.getByRole("button", { name: "Sign in" }).click();
	await page.getByRole("heading", { name: "New job" }).waitFor();
}

// GET() is WANTED, or matches it: now, or before long.  What a page shows
// comes by several requests, so that a single look proves nothing.
export async function becomes(get, wanted, name) {
	const end = Date.now() + PATIENCE;
	let got = await get();

	while (!fits(got, wanted) && Date.now() < end) {
		await pause(50);
		got = await get();
	}
	return is(got, wanted, name);
}

// Nothing is being loaded, and what is known is drawn: the place to look from
// for what is not there.
export async function settled(page) {
	await page.waitForFunction(() => !document.querySelector(".skeleton"));
	await page.evaluate(() => new Promise((done) =>
	    requestAnimationFrame(() => requestAnimationFrame(done))));
}

// Whatever SELECTOR shows from now on, however short, as a handle of an array:
// its texts, or the values of an attribute.
export async function record(page, selector, attribute = null) {
	return page.evaluateHandle(([selector, attribute]) => {
		const all = [];
		const look = () => {
			const e = document.querySelector(selector);
			const now = attribute ? e?.getAttribute(attribute) :
			    e?.textContent.trim().replace(/\s+/g, " ");
			if (e && now !== all.at(-1))
				all.push(now);
		};
		look();
		new MutationObserver(look).observe(document.body, {
			subtree: true, childList: true, characterData: true,
			attributes: true,
		});
		return all;
	}, [selector, attribute]);
}

// The state of the connection, in words.
export async function pill(page) {
	const text = await page.locator(".pill").first().textContent();

	return text.trim().replace(/\s+/g, " ");
}

export async function untilPill(page, word) {
	await page.locator(".pill", { hasText: word }).first().waitFor();
}

// The state of the job of this page.
export async function untilState(page, word, timeout = PATIENCE) {
	await page.locator(`.heading .state.${word}`).waitFor({ timeout });
}

// What stands in the way of people who do not see, or see little.
export async function obstacles(page) {
	await page.evaluate(AXE);
	const found = await page.evaluate((rules) => window.axe.run(document,
	    { runOnly: rules }), RULES);
	return found.violations.map((v) => `${v.id}: ` + v.nodes.slice(0, 5)
	    .map((n) => `${n.target.join(" ")} (${n.failureSummary})`)
	    .join("; "));
}

// How far the page is wider than the window, px.
export async function overhang(page) {
	return page.evaluate(() =>
	    document.documentElement.scrollWidth - innerWidth);
}

// After an error: a picture of each page, beside the logs of the stack.
export async function finish(error) {
	if (LAG > 0 && hasFailed())
		note(`BROWSER_LAG=${LAG} BROWSER_SEED=${SEED}`);
	if (error)
		for (const [i, page] of pages.entries())
			await page.screenshot({ fullPage: true,
			    path: `${given.dir}/page-${i}.png` })
			    .catch(() => {});
	await browser?.close();
}
