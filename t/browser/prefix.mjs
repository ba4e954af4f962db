import { complaints, finish, person, untilState } from "./browser.mjs";
import { given, is, main, ok } from "./say.mjs";

await main(async () => {
	const page = await person();
	const outside = [];

	page.on("request", (r) => r.url().startsWith(`${given.url}/`) ||
	    outside.push(r.url()));
	await page.goto(`${given.url}/`);
	await page.getByLabel("Name").fill(given.root.name);
	await page.getByLabel("Password").fill(given.root.password);
	await page.getByRole("button", { name: "Sign in" }).click();
	await page.setInputFiles("input[type=file]", { name: "notes.txt",
	    mimeType: "text/plain", buffer: Buffer.from("one two\n") });
	await untilState(page, "completed");
	ok(true, "a job goes through");
	const [file] = await Promise.all([page.waitForEvent("download"),
	    page.getByRole("link", { name: "copy.txt" }).click()]);
	is(await file.failure(), null, "its result can be taken away");
	await page.getByRole("link", { name: "Admin" }).click();
	await page.getByRole("link", { name: "notes.txt" }).click();
	await untilState(page, "completed");
	ok(true, "links lead to the administrator's page and back");
	await page.goto(`${given.url}/#/account`);
	await page.getByRole("button", { name: "Log out", exact: true })
	    .click();
	await page.getByRole("heading", { name: "Sign in" }).waitFor();
	is(outside, [], "nothing is asked of the site around it");
	// What was under way when the session ended is answered by 401.
	is(complaints(/\b401\b/), [], "no page complains");
}, finish);
