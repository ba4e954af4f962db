/*
 * Who is signed in, and the frame around every page.
 *
 * A page is drawn once it is known who asks.  When the session ends later, a
 * dialog asks for the password over the page, so that nothing is lost.
 */

import { get, post, Problem, session, signedIn } from "./api.js";
import { KeysHelp, useKey } from "./keys.js";
import { remember } from "./memory.js";
import { announce, createContext, Dialog, Field, html, Icon, Skeleton,
    Trouble, useContext, useEffect, useErrorBoundary, useForm, useState } from
    "./ui.js";

const User = createContext(null);

export function useUser() {
	return useContext(User);
}

/* ---- signing in ------------------------------------------------------ */

/* The user who is signed in then. */
export async function signIn(name, password) {
	return (await post("auth/login", { name, password },
	    { anonymous: true })).user;
}

async function register(form) {
	const name = form.get("name"), password = form.get("password");

	if (password !== form.get("again"))
		throw new Problem(0, "The two passwords differ.");
	await post("auth/register", { name, password }, { anonymous: true });
	return signIn(name, password);
}

function SignInForm({ done, name }) {
	const form = useForm(async (data) => done(
	    await signIn(data.get("name"), data.get("password"))));

	return html`<form onSubmit=${form.submit}>
		<${Field} label="Name" name="name" required value=${name}
		    autocomplete="username" autocapitalize="none"
		    spellcheck=${false} />
		<${Field} label="Password" name="password" type="password"
		    required autocomplete="current-password"
		    autofocus=${Boolean(name)} />
		${form.problem && html`<${Trouble} problem=${form.problem}
		    what="You are not signed in." />`}
		<div class="buttons"><button class="primary"
		    disabled=${form.busy}>Sign in</button></div>
	</form>`;
}

function RegisterForm({ done }) {
	const form = useForm(async (data) => done(await register(data)));

	return html`<form onSubmit=${form.submit}>
		<${Field} label="Name" name="name" required maxlength="190"
		    autocomplete="username" autocapitalize="none"
		    spellcheck=${false} />
		<${Field} label="Password" name="password" type="password"
		    required minlength="8" autocomplete="new-password"
		    hint="8 characters or more." />
		<${Field} label="Password again" name="again" type="password"
		    required autocomplete="new-password" />
		${form.problem && html`<${Trouble} problem=${form.problem}
		    what="There is no account yet." />`}
		<div class="buttons"><button class="primary"
		    disabled=${form.busy}>Create account</button></div>
	</form>`;
}

function SignInPage({ done }) {
	const [isNew, setNew] = useState(false);

	useEffect(() => { document.title = "Sign in · Millrace"; }, []);
	return html`<main class="narrow card">
		<h1>${isNew ? "Create an account" : "Sign in"}</h1>
		${isNew ? html`<${RegisterForm} done=${done} />` :
			html`<${SignInForm} done=${done} />`}
		<p class="quiet">${isNew ? "You have an account? " :
			"You have no account? "}
			<button type="button" class="link"
			    onClick=${() => setNew(!isNew)}>
			${isNew ? "Sign in" : "Create one"}</button></p>
	</main>`;
}

/* ---- leaving --------------------------------------------------------- */

export async function signOut(everywhere) {
	await post(everywhere ? "auth/logout?everywhere=1" : "auth/logout");
	location.assign("./");
}

/* ---- the theme ------------------------------------------------------- */

const THEMES = ["auto", "light", "dark"];

function nextTheme() {
	const root = document.documentElement;
	const i = THEMES.indexOf(root.dataset.theme);

	root.dataset.theme = THEMES[(i + 1) % THEMES.length];
	remember("theme", root.dataset.theme);
	announce(`Theme: ${root.dataset.theme}`);
}

/* ---- the frame ------------------------------------------------------- */

function Header({ page, user, help }) {
	const link = (name, href, text) => html`<a href=${href}
	    aria-current=${page === name ? "page" : null}>${text}</a>`;

	return html`<header><div class="wide">
		<a class="brand" href="./#/" aria-label="Millrace">
			<img src="favicon.svg" alt="" width="24" height="24" />
			<span>Millrace</span></a>
		<nav aria-label="Pages">
			${user && link("jobs", "./#/", "Jobs")}
			${user?.role === "admin" &&
				link("admin", "admin", "Admin")}
		</nav>
		<div class="tools">
			${user && link("account", "./#/account",
				html`<span dir="auto">${user.name}</span>`)}
			<button type="button" class="plain" onClick=${nextTheme}
			    title="Theme: as the system, light, dark (t)"
			    aria-label="Change the theme">
				<${Icon} name="theme" /></button>
			<button type="button" class="plain" onClick=${help}
			    title="Keys (?)" aria-label="Keys">?</button>
		</div>
	</div></header>`;
}

/* Whatever the page's own code throws: say it, rather than go blank. */
function Guard({ children }) {
	const [error] = useErrorBoundary((e) => console.error(e));

	return error ? html`<main class="wide"><${Trouble}
	    what="This page has failed." problem=${error}
	    again=${() => location.reload()} /></main>` : children;
}

/* Ask who we are: { user }, { nobody } or { problem }. */
async function whoami() {
	try {
		return { user: await get("auth/me", { anonymous: true }) };
	} catch (problem) {
		return problem.status === 401 ? { nobody: true } : { problem };
	}
}

/* PAGE names the entry of the menu that is lit. */
export function Frame({ page, children }) {
	const [who, setWho] = useState(null);
	const [out, setOut] = useState(false);
	const [help, setHelp] = useState(false);
	const ask = async () => setWho(await whoami());
	const back = (user) => {
		if (user.id !== who.user.id)
			location.reload();	/* somebody else: start over */
		setOut(false);
		signedIn();
		announce("Signed in");
	};

	useEffect(() => {
		ask();
		const f = () => setOut(true);
		session.addEventListener("out", f);
		return () => session.removeEventListener("out", f);
	}, []);
	useKey("?", "this list", () => setHelp(true));
	useKey("t", "change the theme", nextTheme);
	let body;
	if (who === null)
		body = html`<main class="wide"><h1 class="hidden">Millrace</h1>
			<${Skeleton} lines=${4} /></main>`;
	else if (who.problem)
		body = html`<main class="wide"><h1 class="hidden">Millrace</h1>
		    <${Trouble} problem=${who.problem}
		    what="The server does not say who you are." again=${ask}
		    /></main>`;
	else if (who.nobody)
		body = html`<${SignInPage}
		    done=${(user) => setWho({ user })} />`;
	else
		body = html`<${Guard}>${children}<//>`;
	return html`<${User.Provider} value=${who?.user}>
		<${Header} page=${page} user=${who?.user}
		    help=${() => setHelp(true)} />
		${body}
		${who?.user && out && html`<${Dialog} title="Signed out">
			<p>Your session has ended. Sign in to go on where you
				are.</p>
			<${SignInForm} done=${back} name=${who.user.name} />
		<//>`}
		${help && html`<${KeysHelp} close=${() => setHelp(false)} />`}
	<//>`;
}
