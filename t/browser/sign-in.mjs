import { becomes, complaints, finish, person, settled, signIn, tab } from
    "./browser.mjs";
import { call, given, is, main, ok } from "./say.mjs";

const { ana } = given;

async function strangers() {
	const page = await person();

	await page.goto("/");
	await page.getByRole("heading", { name: "Sign in" }).waitFor();
	ok(true, "a stranger is asked to sign in");
	await page.getByLabel("Name").fill("ana");
	await page.getByLabel("Password").fill("not the password");
	await page.getByRole("button", { name: "Sign in" }).click();
	const said = () => page.getByRole("alert").textContent();
	await becomes(said, /wrong/, "a wrong password is said to be");
	await becomes(said, /Request\s+\S{8}/, "with the id of the request");
	await page.goto("/admin");
	await page.getByRole("heading", { name: "Sign in" }).waitFor();
	ok(true, "so is a stranger on the administrator's page");
}

async function registers() {
	const page = await person();

	await page.goto("/");
	await page.getByRole("button", { name: "Create one" }).click();
	await page.getByLabel("Name").fill("bob");
	await page.getByLabel("Password", { exact: true }).fill("bobs password");
	await page.getByLabel("Password again").fill("bobs passwort");
	await page.getByRole("button", { name: "Create account" }).click();
	await page.getByText("The two passwords differ.").waitFor();
	await page.getByLabel("Password again").fill("bobs password");
	await page.getByRole("button", { name: "Create account" }).click();
	await page.getByText("You have no jobs yet.").waitFor();
	ok(true, "who registers is signed in, and has no jobs");
	await page.reload();
	await page.getByText("You have no jobs yet.").waitFor();
	ok(true, "and still is after a reload");
	await page.goto("/admin");
	await page.getByRole("heading", { name: "For administrators" }).waitFor();
	ok(true, "but is no administrator");
	await page.goto("/#/account");
	await page.getByRole("button", { name: "Log out", exact: true }).click();
	await page.getByRole("heading", { name: "Sign in" }).waitFor();
	await page.reload();
	await page.getByRole("heading", { name: "Sign in" }).waitFor();
	ok(true, "logged out is logged out");
}

async function tokens(page) {
	await page.goto("/#/account");
	await page.getByRole("button", { name: "Revoke rig" }).waitFor();
	await page.getByLabel("Name").fill("nightly");
	await page.getByRole("button", { name: "Create token" }).click();
	const token = await page.locator("code.secret").textContent();
	ok(/^mr_\S{43}$/.test(token), "a new token is shown");
	await page.getByRole("button", { name: "I have it" }).click();
	is(await call("status_of", token), 200, "it works");
	await becomes(async () => (await page.content()).includes(token),
	    false, "and is shown once");
	await page.getByRole("button", { name: "Revoke nightly" }).click();
	await page.getByRole("button", { name: "Revoke", exact: true }).click();
	await page.getByRole("dialog").waitFor({ state: "detached" });
	await becomes(() => page.getByRole("button", { name: /^Revoke/ })
	    .count(), 1, "one that is revoked leaves the list");
	is(await call("status_of", token), 401, "and does not work any more");
}

async function password(page) {
	await page.goto("/#/account");
	const change = async (old, fresh) => {
		await page.getByLabel("Present password").fill(old);
		await page.getByLabel("New password", { exact: true })
		    .fill(fresh);
		await page.getByLabel("New password again").fill(fresh);
		await page.getByRole("button", { name: "Change password" })
		    .click();
	};
	await change("not the password", "a new password");
	await page.getByText("Not changed.").waitFor();
	await settled(page);
	ok(await page.getByRole("dialog").count() === 0,
	    "a wrong present password does not end the session");
	await change(ana.password, "a new password");
	await page.getByText("Your password is changed.").waitFor();
	ana.password = "a new password";
	await page.goto("/#/");
	await page.getByRole("heading", { name: "Your jobs" }).waitFor();
	await page.reload();
	await page.getByRole("heading", { name: "Your jobs" }).waitFor();
	ok(true, "who changes the password stays signed in here");
}

// A session that ends elsewhere: the page asks, and nothing is lost.
async function signedOut(page) {
	const other = await person();

	await page.goto("/#/account");
	await page.getByLabel("Name").fill("half typed");
	// Whatever it asks for by itself, it has.
	await page.getByRole("button", { name: "Revoke rig" }).waitFor();
	await signIn(other, ana);
	await other.goto("/#/account");
	await other.getByRole("button", { name: "Log out everywhere" }).click();
	await other.getByRole("heading", { name: "Sign in" }).waitFor();
	await page.getByRole("button", { name: "Create token" }).click();
	const dialog = page.getByRole("dialog", { name: "Signed out" });
	await dialog.waitFor();
	await page.keyboard.press("Escape");
	await page.keyboard.press("Escape");
	await settled(page);
	await dialog.waitFor();
	ok(true, "the dialog stays until one is signed in");
	await becomes(() => dialog.getByLabel("Name").inputValue(), "ana",
	    "it knows the name");
	await dialog.getByLabel("Password").fill(ana.password);
	await dialog.getByRole("button", { name: "Sign in" }).click();
	await dialog.waitFor({ state: "detached" });
	await becomes(() => page.getByLabel("Name").inputValue(), "half typed",
	    "what was typed is still there");
	await page.getByRole("button", { name: "Create token" }).click();
	await page.locator("code.secret").waitFor();
	ok(true, "and goes through now");
}

await main(async () => {
	await strangers();
	await registers();
	const page = await person();
	await signIn(page, ana);
	const second = await tab(page.context());
	await second.goto("/#/account");
	await second.getByRole("heading", { name: "ana" }).waitFor();
	ok(true, "the session holds for all tabs");
	await second.close();
	await tokens(page);
	await password(page);
	await signedOut(page);
	is(complaints(/\b401\b/), [], "no page complains");
}, finish);
