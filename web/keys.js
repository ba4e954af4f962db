/*
 * Keys: single letters that press what has a button, too.
 *
 * None works while something is typed or a dialog is open, and all can be
 * switched off (WCAG 2.1.4).
 */

import { recall, remember } from "./memory.js";
import { Dialog, html, useLayoutEffect, useRef, useState } from "./ui.js";

let off = recall("keys") === "off";
const keys = new Map();			/* key: { what, run }, of this moment */

/* Run RUN at KEY while the component is there; WHAT is said in the help. */
export function useKey(key, what, run) {
	const newest = useRef(run);

	newest.current = run;
	useLayoutEffect(() => {
		const entry = { what, run: () => newest.current() };
		keys.set(key, entry);
		return () => keys.get(key) === entry && keys.delete(key);
	}, [key, what]);
}

function typing(target) {
	return target.matches("input, textarea, select, [contenteditable]") &&
	    !target.matches("[type=checkbox], [type=radio], [type=button]");
}

document.addEventListener("keydown", (e) => {
	if (e.ctrlKey || e.metaKey || e.altKey || typing(e.target) ||
	    document.querySelector("dialog[open]") || off)
		return;
	const entry = keys.get(e.key);
	if (entry) {
		e.preventDefault();
		entry.run();
	}
});

export function KeysHelp({ close }) {
	const [isOn, setOn] = useState(!off);
	const toggle = (e) => {
		off = !e.target.checked;
		remember("keys", off ? "off" : "");
		setOn(!off);
	};

	return html`<${Dialog} title="Keys" close=${close}>
		<dl class="keys">${[...keys].map(([key, { what }]) => html`
			<div key=${key}><dt><kbd>${key}</kbd></dt>
			<dd>${what}</dd></div>`)}
			<div><dt><kbd>Esc</kbd></dt>
			<dd>close a dialog</dd></div>
		</dl>
		<p><label><input type="checkbox" checked=${isOn}
		    onChange=${toggle} /> Single keys work</label></p>
		<div class="buttons"><button type="button" class="primary"
		    onClick=${close}>Close</button></div>
	<//>`;
}

/* j and k: the focus walks over the links that SELECTOR finds. */
export function useWalk(selector) {
	const walk = (step) => {
		const links = [...document.querySelectorAll(selector)];
		const at = links.findIndex((e) => e === document.activeElement);
		const to = Math.max(0, Math.min(links.length - 1, at + step));
		links[to]?.focus();
	};

	useKey("j", "next job", () => walk(1));
	useKey("k", "job before", () => walk(-1));
}
