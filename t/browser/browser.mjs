// Chromium for the scripts of browser tests.
//
// One browser for a script; a context of its own for each person, so that
// nobody is signed in by accident.  Whatever a page complains about is kept,
// and complaints() must be empty at the end: violations of the content
// security policy, errors in the console, exceptions.

import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { given } from "./say.mjs";

const need = createRequire(`${process.env.BROWSER_TOOLS}/`);
const { chromium } = need("playwright-core");
const AXE = readFileSync(need.resolve("axe-core/axe.min.js"), "utf8");

const RULES = ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa", "best-practice"];

// What a person waits for at most, ms.
const PATIENCE = 20000;

const ARGS = ["--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--autoplay-policy=no-user-gesture-required"];

let browser = null;
const pages = [];

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
	if (error)
		for (const [i, page] of pages.entries())
			await page.screenshot({ fullPage: true,
			    path: `${given.dir}/page-${i}.png` })
			    .catch(() => {});
	await browser?.close();
}
