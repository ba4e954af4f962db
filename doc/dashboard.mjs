import { complaints, finish, person, signIn } from "../t/browser/browser.mjs";
import { given, is, main } from "../t/browser/say.mjs";

await main(async () => {
	const page = await person({ viewport: { width: 1100, height: 612 } });

	await signIn(page, given.ana);
	await page.setInputFiles("input[type=file]", given.video);
	// Where there is most to see: two stages done, one at work, time left.
	await page.waitForFunction(() => {
		const bar = document.querySelector("article progress");
		return bar?.value > 60 && /Validation/.test(document
		    .querySelector("article .story").textContent);
	}, null, { timeout: 120000 });
	await page.locator(".stages .state.running").waitFor();
	await page.screenshot({ path: given.picture });
	is(complaints(), [], "no page complains");
}, finish);
