import { becomes, complaints, finish, obstacles, person, record, settled,
    signIn, tab, untilPill, untilState } from "./browser.mjs";
import { call, given, is, main, ok } from "./say.mjs";

// How long the video is processed at most, ms.
const LONG = 300000;

async function plays(page, how) {
	await page.waitForFunction(() =>
	    document.querySelector("video")?.readyState > 0);
	await page.evaluate(() => {
		const v = document.querySelector("video");
		v.muted = true;
		return v.play();
	});
	await page.waitForFunction(() =>
	    document.querySelector("video").currentTime > 1);
	ok(true, `the result plays ${how}`);
	await becomes(() => page.evaluate(() =>
	    document.querySelector("video").videoWidth > 0), true,
	    "and has a picture");
}

// The work begins when the page looks on.
async function shows(page) {
	await call("stop", "millraced");
	await page.setInputFiles("input[type=file]", given.video);
	await page.waitForURL(/#\/jobs\//);
	await untilPill(page, "Live");
	const seen = await record(page, "article .story strong");
	await call("start_program", "millraced");
	await untilState(page, "completed", LONG);
	const phases = await seen.jsonValue();
	ok(phases.includes("Transcoding") && phases.includes("Validation"),
	    `phases were seen: ${phases.join(", ")}`);
	await page.getByRole("heading", { name: /^Quality: / }).waitFor();
	ok(true, "there is a report on the quality");
	await page.locator(".files tbody tr").nth(3).waitFor();
	ok(true, "there are files to take away");
	await becomes(() => page.locator("video").getAttribute("poster"),
	    /\/artifacts\/poster/, "the player has a poster");
	await settled(page);
	is(await obstacles(page), [], "no obstacles on the page of a result");
}

async function downloads(page) {
	const [file] = await Promise.all([page.waitForEvent("download"),
	    page.getByRole("link", { name: "quality.json" }).click()]);

	is(file.suggestedFilename(), "quality.json",
	    "a file is taken away under its name");
	is(await file.failure(), null, "as a whole");
}

// As a browser that cannot play HLS by itself.
async function withLibrary(page) {
	const url = page.url();
	const other = await tab(page.context());
	let loaded = false;

	await other.addInitScript(() => {
		HTMLMediaElement.prototype.canPlayType = () => "";
	});
	other.on("request", (r) => { loaded ||= /hls\.light/.test(r.url()); });
	await other.goto(url);
	await plays(other, "with the library, under the policy");
	ok(loaded, "which was loaded only for this");
	await other.close();
}

async function refuses(page) {
	await page.goto("/#/");
	await page.getByRole("heading", { name: "New job" }).waitFor();
	await page.setInputFiles("input[type=file]", given.broken);
	const refused = page.locator(".upload .trouble");
	const failed = page.locator(".heading .state.failed");
	await refused.or(failed).first().waitFor();
	ok(true, "a text that is called video.mp4 is refused");
	ok(!/undefined|null/.test(await page.textContent("main")),
	    `in words: ${(await refused.or(page.locator("article .story"))
		.first().textContent()).trim()}`);
}

await main(async () => {
	const page = await person();

	await signIn(page, given.ana);
	await shows(page);
	await plays(page, "by the browser itself");
	await downloads(page);
	await withLibrary(page);
	await refuses(page);
	is(complaints(/\b415\b.*\/jobs$/), [], "no page complains");
}, finish);
