/*
 * What all pages are made of: Preact and htm under one name, and the small
 * parts that look the same everywhere.
 */

import { Component, createContext, h, render } from
    "./vendor/preact-11.2.0.js";
import { useContext, useEffect, useErrorBoundary, useId, useLayoutEffect,
    useMemo, useRef, useState } from "./vendor/preact-hooks-11.2.0.js";
import htm from "./vendor/htm-3.1.1.js";

import { serverNow } from "./api.js";
import { age, day, moment } from "./format.js";

export const html = htm.bind(h);
export { Component, createContext, render, useContext, useEffect,
    useErrorBoundary, useId, useLayoutEffect, useMemo, useRef, useState };

/* ---- icons ---------------------------------------------------------- */

const PATHS = {
	pending: "M8 2.5a5.5 5.5 0 1 0 0 11 5.5 5.5 0 0 0 0-11zM8 5v3.2l2 1.3",
	running: "M4.5 2.5v11l9-5.5z",
	completed: "M2.5 8.5l3.5 3.5 7.5-8",
	failed: "M3.5 3.5l9 9M12.5 3.5l-9 9",
	cancelled: "M4 4h8v8H4z",
	upload: "M8 11V3M4.5 6L8 2.5 11.5 6M2.5 10.5v3h11v-3",
	download: "M8 2.5v8M4.5 7.5L8 11l3.5-3.5M2.5 11v2.5h11V11",
	retry: "M13 8a5 5 0 1 1-1.5-3.6M13 2v3h-3",
	theme: "M8 2.5v11a5.5 5.5 0 0 0 0-11zM8 2.5a5.5 5.5 0 0 0 0 11",
	open: "M6 3.5L10.5 8 6 12.5",
	shut: "M3.5 6L8 10.5 12.5 6",
	pause: "M5 3v10M11 3v10",
};
const SOLID = ["running", "cancelled"];

/* Only ever beside words, so it says nothing itself. */
export function Icon({ name }) {
	return html`<svg class=${`icon ${SOLID.includes(name) ? "solid" : ""}`}
	    viewBox="0 0 16 16" aria-hidden="true">
		<path d=${PATHS[name]} /></svg>`;
}

/* ---- state and progress --------------------------------------------- */

export const STATES = {
	pending: "Pending", running: "Running", completed: "Completed",
	failed: "Failed", cancelled: "Cancelled",
};

export function ended(job) {
	return ["completed", "failed", "cancelled"].includes(job.status);
}

export function State({ status }) {
	return html`<span class=${`state ${status}`}>
		<${Icon} name=${status} />${STATES[status] ?? status}</span>`;
}

export function Bar({ value, of, status }) {
	return html`<progress class=${status} max="100" value=${value}
	    aria-label=${`Progress of ${of}`} />`;
}

/* ---- time ----------------------------------------------------------- */

const tick = new EventTarget();
setInterval(() => tick.dispatchEvent(new Event("tick")), 1000);

/* Draw this component once a second. */
export function useTick(wanted = true) {
	const [, set] = useState(0);

	useEffect(() => {
		if (!wanted)
			return undefined;
		const f = () => document.hidden || set((n) => n + 1);
		tick.addEventListener("tick", f);
		return () => tick.removeEventListener("tick", f);
	}, [wanted]);
}

export function Ago({ at }) {
	useTick();
	if (!at)
		return html`<span>–</span>`;
	return html`<time datetime=${at} title=${moment(at)}>
		${age((serverNow() - Date.parse(at)) / 1000)}</time>`;
}

export function Day({ at }) {
	return html`<time datetime=${at} title=${moment(at)}>${day(at)}</time>`;
}

/* ---- the state of a connection --------------------------------------- */

const PILLS = {
	connecting: "Connecting",
	live: "Live",
	reconnecting: "Reconnecting",
	polling: "Polling",
	offline: "Offline",
	paused: "Paused",
	closed: "Final",
};

/*
 * CONNECTION has state, reason, at and retryAt, as of Live and Poll; NOW is
 * what its button does.
 */
export function Pill({ connection, now }) {
	const { state, reason, at, retryAt } = connection;
	const old = at ? age((Date.now() - at) / 1000) : "";
	const wait = Math.ceil((retryAt - Date.now()) / 1000);
	let more = "";

	useTick(state !== "closed");
	const before = useRef(state);
	useEffect(() => {
		if (before.current !== state && before.current !== "connecting")
			announce(`Connection: ${PILLS[state]}`);
		before.current = state;
	}, [state]);
	if (state === "live" || state === "polling")
		more = old === "now" || old === "" ? "" : ` · ${old} ago`;
	else if (at && state !== "closed")
		more = ` · data from ${new Date(at).toLocaleTimeString()}`;
	const away = state === "reconnecting" || state === "offline";
	return html`<span class="connection">
		<span class=${`pill ${state}`} title=${reason}>
			<span class="dot" aria-hidden="true"></span>
			${PILLS[state]}${away && wait > 0 && ` in ${wait} s`}
			<span class="quiet">${more}</span>
		</span>
		${away && now && html`<button type="button" class="small"
		    onClick=${now}>Try now</button>`}
	</span>`;
}

/* ---- what is said aloud ---------------------------------------------- */

/* At most one message in ten seconds; of those that wait, the newest. */
const SPEAK_MS = 10000;
let spoken = 0, waiting = 0;

export function announce(text) {
	clearTimeout(waiting);
	waiting = setTimeout(() => {
		spoken = Date.now();
		document.getElementById("speaker").textContent = text;
	}, Math.max(100, spoken + SPEAK_MS - Date.now()));
}

/* ---- trouble --------------------------------------------------------- */

/* WHAT failed; PROBLEM is a Problem; AGAIN tries once more. */
export function Trouble({ what, problem, again }) {
	return html`<div class="trouble" role="alert">
		<p><strong>${what}</strong> ${problem.message}</p>
		<p class="quiet">
			${problem.status > 0 && `Status ${problem.status}. `}
			${problem.requestId && html`Request${" "}
				<code>${problem.requestId}</code>. `}
			${problem.retryAfter > 0 &&
				`Try again in ${problem.retryAfter} s. `}
		</p>
		${again && html`<button type="button" class="small"
			onClick=${again}>Try again</button>`}
	</div>`;
}

/* Grey lines where text will be; seen only when it takes a while. */
export function Skeleton({ lines = 3 }) {
	return html`<div class="skeleton" role="status"
	    aria-label="Loading">${Array.from({ length: lines }, (_, i) =>
		html`<div key=${i}></div>`)}</div>`;
}

/* What is wider than a phone scrolls in a frame of its own. */
export function Scroll({ label, children }) {
	return html`<div class="scroll" tabindex="0" role="region"
	    aria-label=${label}>${children}</div>`;
}

/* ---- dialogs --------------------------------------------------------- */

/* Modal while it is mounted.  CLOSE is called when it is to go. */
export function Dialog({ title, close, children }) {
	const ref = useRef(null);
	const id = useId();

	useLayoutEffect(() => {
		const back = document.activeElement;
		ref.current.showModal();
		return () => back?.isConnected && back.focus();
	}, []);
	return html`<dialog ref=${ref} aria-labelledby=${id}
	    onCancel=${(e) => { e.preventDefault(); close?.(); }}
	    onClose=${() => close ? close() : ref.current?.showModal()}>
		<h2 id=${id}>${title}</h2>
		${children}
	</dialog>`;
}

/* A question before something that cannot be undone. */
export function Confirm({ title, text, verb, danger, yes, close }) {
	const [busy, setBusy] = useState(false);
	const [problem, setProblem] = useState(null);
	const go = async () => {
		setBusy(true);
		try {
			await yes();
			close();
		} catch (e) {
			setProblem(e);
			setBusy(false);
		}
	};

	return html`<${Dialog} title=${title} close=${close}>
		<p>${text}</p>
		${problem && html`<${Trouble} what="That did not work."
			problem=${problem} />`}
		<div class="buttons">
			<button type="button" onClick=${close}>Back</button>
			<button type="button" disabled=${busy} onClick=${go}
			    class=${danger ? "danger" : "primary"}>
			    ${verb}</button>
		</div>
	<//>`;
}

/* ---- forms ----------------------------------------------------------- */

export function Field({ label, hint, ...input }) {
	const id = useId();

	return html`<div class="field">
		<label for=${id}>${label}</label>
		<input id=${id} aria-describedby=${hint ? `${id}h` : null}
		    ...${input} />
		${hint && html`<p class="hint" id=${`${id}h`}>${hint}</p>`}
	</div>`;
}

/*
 * For a form: what is the matter, and a handler that runs WORK(FormData)
 * unless it runs already.
 */
export function useForm(work) {
	const [busy, setBusy] = useState(false);
	const [problem, setProblem] = useState(null);
	const submit = async (e) => {
		e.preventDefault();
		if (busy)
			return;
		setBusy(true);
		setProblem(null);
		try {
			await work(new FormData(e.target), e.target);
		} catch (error) {
			setProblem(error);
		}
		setBusy(false);
	};

	return { busy, problem, submit };
}

/* ---- copying ---------------------------------------------------------- */

export function Copy({ text, label }) {
	const [done, setDone] = useState(false);

	if (!navigator.clipboard)	/* only on HTTPS and localhost */
		return null;
	return html`<button type="button" class="link" onClick=${async () => {
		await navigator.clipboard.writeText(text);
		setDone(true);
		setTimeout(() => setDone(false), 2000);
	}}>${done ? "Copied" : label}</button>`;
}
