/*
 * My account: password, tokens for programs, and leaving.
 */

import { del, get, post, Problem } from "./api.js";
import { setTab } from "./head.js";
import { signIn, signOut, useUser } from "./session.js";
import { Ago, announce, Confirm, Copy, Day, Dialog, Field, html, Scroll,
    Skeleton, Trouble, useEffect, useForm, useState } from "./ui.js";

const DAY_S = 86400;

/* ---- password --------------------------------------------------------- */

function Password({ user }) {
	const [done, setDone] = useState(false);
	const form = useForm(async (data, element) => {
		setDone(false);
		if (data.get("new") !== data.get("again"))
			throw new Problem(0, "The two new passwords differ.");
		/* A 401 speaks of the present password here. */
		await post("auth/password", { password: data.get("old"),
		    new_password: data.get("new") }, { anonymous: true });
		element.reset();
		/* All sessions have ended, this one too. */
		await signIn(user.name, data.get("new"));
		setDone(true);
	});

	return html`<section class="card"><h2>Password</h2>
		<form onSubmit=${form.submit} class="column">
			<input class="hidden" autocomplete="username" readonly
			    tabindex="-1" aria-hidden="true"
			    value=${user.name} />
			<${Field} label="Present password" name="old" required
			    type="password" autocomplete="current-password" />
			<${Field} label="New password" name="new" required
			    type="password" minlength="8"
			    autocomplete="new-password"
			    hint="8 characters or more. Other devices are
				signed out." />
			<${Field} label="New password again" name="again"
			    required type="password"
			    autocomplete="new-password" />
			${form.problem && html`<${Trouble} what="Not changed."
			    problem=${form.problem} />`}
			${done && html`<p role="status" class="good">Your
				password is changed.</p>`}
			<div class="buttons"><button class="primary"
			    disabled=${form.busy}>Change password</button></div>
		</form></section>`;
}

/* ---- tokens ----------------------------------------------------------- */

function Tokens() {
	const [items, setItems] = useState(null);
	const [trouble, setTrouble] = useState(null);
	const [shown, setShown] = useState(null);
	const [asked, setAsked] = useState(null);
	const load = () => get("auth/tokens").then((r) => {
		setItems(r.items);
		setTrouble(null);
	}, setTrouble);

	useEffect(() => { load(); }, []);
	return html`<section class="card"><h2>API tokens</h2>
		<p class="quiet">For scripts and other programs, sent as
			${" "}<code>Authorization: Bearer …</code>.</p>
		${trouble && html`<${Trouble} problem=${trouble} again=${load}
		    what="Your tokens cannot be listed." />`}
		${items === null && !trouble && html`<${Skeleton} />`}
		${items?.length === 0 && html`<p class="empty">You have no
			tokens.</p>`}
		${items?.length > 0 && html`<${TokenTable} items=${items}
		    revoke=${setAsked} />`}
		<${NewToken} done=${(token) => { setShown(token); load(); }} />
		${shown && html`<${ShowToken} token=${shown}
		    close=${() => setShown(null)} />`}
		${asked && html`<${Confirm} title="Revoke this token?"
		    verb="Revoke" danger=${true} close=${() => setAsked(null)}
		    text=${`Whatever uses "${asked.name}" stops at once.`}
		    yes=${async () => {
			await del(`auth/tokens/${asked.id}`);
			announce("Token revoked");
			await load();
		    }} />`}
	</section>`;
}

function TokenTable({ items, revoke }) {
	return html`<${Scroll} label="API tokens"><table>
		<thead><tr><th scope="col">Name</th><th scope="col">May</th>
			<th scope="col">Created</th><th scope="col">Used</th>
			<th scope="col">Expires</th>
			<th scope="col"><span class="hidden">Revoke</span></th>
		</tr></thead>
		<tbody>${items.map((t) => html`<tr key=${t.id}>
			<th scope="row" dir="auto">${t.name}</th>
			<td>${t.scopes.join(", ")}</td>
			<td><${Ago} at=${t.created_at} /></td>
			<td>${t.used_at ? html`<${Ago} at=${t.used_at} />` :
				"never"}</td>
			<td>${t.expires_at ? html`<${Day} at=${t.expires_at}
			    />` : "never"}</td>
			<td class="act"><button type="button" class="small"
			    aria-label=${`Revoke ${t.name}`}
			    onClick=${() => revoke(t)}>Revoke</button></td>
		</tr>`)}</tbody></table><//>`;
}

function NewToken({ done }) {
	const { role } = useUser();
	const scopes = ["read", "write", ...role === "admin" ? ["admin"] : []];
	const form = useForm(async (data, element) => {
		const days = Number(data.get("days"));
		const wanted = scopes.filter((s) => data.has(s));
		if (wanted.length === 0)
			throw new Problem(0, "A token must be for something.");
		const body = { name: data.get("name"), scopes: wanted };
		if (days > 0)
			body.expires_in = days * DAY_S;
		done(await post("auth/tokens", body));
		element.reset();
	});

	return html`<form onSubmit=${form.submit}><h3>New token</h3>
		<div class="options">
			<${Field} label="Name" name="name" required
			    maxlength="64" autocomplete="off" />
			<div class="field"><label for="days">Expires</label>
			<select id="days" name="days">
				<option value="30">in 30 days</option>
				<option value="90">in 90 days</option>
				<option value="365">in a year</option>
				<option value="0">never</option>
			</select></div>
			<fieldset class="field"><legend>It may</legend>
			${scopes.map((s) => html`<label key=${s}><input
			    type="checkbox" name=${s} defaultChecked=${
				s !== "admin"} /> ${s}</label> `)}</fieldset>
		</div>
		${form.problem && html`<${Trouble} what="No token was made."
		    problem=${form.problem} />`}
		<div class="buttons"><button disabled=${form.busy}>Create
			token</button></div></form>`;
}

function ShowToken({ token, close }) {
	return html`<${Dialog} title="Your new token" close=${close}>
		<p>Copy it now: it is not shown again.</p>
		<p><code class="secret">${token.token}</code></p>
		<div class="buttons">
			<${Copy} text=${token.token} label="Copy" />
			<button type="button" class="primary"
			    onClick=${close}>I have it</button>
		</div>
	<//>`;
}

/* ---- leaving ---------------------------------------------------------- */

function Leave() {
	const [trouble, setTrouble] = useState(null);
	const go = (everywhere) => signOut(everywhere).catch(setTrouble);

	return html`<section class="card"><h2>Sessions</h2>
		${trouble && html`<${Trouble} problem=${trouble}
		    what="You are still signed in." />`}
		<p class="buttons start">
			<button type="button" onClick=${() => go(false)}>Log
				out</button>
			<button type="button" onClick=${() => go(true)}>Log out
				everywhere</button></p>
		<p class="hint">Everywhere: all your devices. API tokens stay
			good.</p>
	</section>`;
}

export function Account() {
	const user = useUser();

	useEffect(() => setTab("Account"), []);
	return html`<div>
		<section class="card">
			<h1 tabindex="-1" dir="auto">${user.name}</h1>
			<p class="quiet">${user.role === "admin" ?
				"Administrator" : "User"}</p></section>
		<${Tokens} /><${Password} user=${user} /><${Leave} />
	</div>`;
}
