import { complaints, finish, obstacles, person, signIn, untilState } from
    "./browser.mjs";
import { given, is, main, ok } from "./say.mjs";

// How long the video is processed at most, ms.
const LONG = 120000;

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
	ok(await page.evaluate(() =>
	    document.querySelector("video").videoWidth > 0),
	    "and has a picture");
}

async function shows(page) {
	await page.setInputFiles("input[type=file]", given.video);
	await page.waitForURL(/#\/jobs\//);
	await page.evaluate(() => {
		window.phases = new Set();
		new MutationObserver(() => {
			const e = document.querySelector(
			    "article .story strong");
			if (e)
				window.phases.add(e.textContent);
		}).observe(document.querySelector("main"), { subtree: true,
		    childList: true, characterData: true });
	});
	await untilState(page, "completed", LONG);
	const phases = await page.evaluate(() => [...window.phases]);
	ok(phases.includes("Transcoding") && phases.includes("Validation"),
	    `phases were seen: ${phases.join(", ")}`);
	await page.getByRole("heading", { name: /^Quality: / }).waitFor();
	ok(true, "there is a report on the quality");
	ok(await page.locator(".files tbody tr").count() >= 4,
	    "there are files to take away");
	ok(/\/artifacts\/poster/.test(await page.locator("video")
	    .getAttribute("poster")), "the player has a poster");
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
	const other = await page.context().newPage();
	let loaded = false;

	await other.addInitScript(() => {
		HTMLMediaElement.prototype.canPlayType = () => "";
	});
	other.on("request", (r) => { loaded ||= /hls\.light/.test(r.url()); });
	other.on("console", (m) => m.type() === "error" &&
	    page.wrong.push(m.text()));
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
