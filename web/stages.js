/*
 * The stages of a job as a table: what is done, what is going on, what is to
 * come, and when.
 *
 * Planned stages are rows from the beginning.  The items of a stage that has
 * more than one are rows of their own, shown on demand.
 */

import { serverNow } from "./api.js";
import { duration, percent, words } from "./format.js";
import { html, Icon, useState, useTick } from "./ui.js";

const WORDS = { waiting: "Waiting", running: "Running", done: "Done",
    failed: "Failed", skipped: "Skipped" };
const ICONS = { waiting: "pending", running: "running", done: "completed",
    failed: "failed", skipped: "cancelled" };

const ms = (at) => at ? Date.parse(at) : null;

/* One row out of many: of the items of a stage. */
function summary(items) {
	const any = (state) => items.some((i) => i.state === state);
	const all = (state) => items.every((i) => i.state === state);
	const starts = items.map((i) => ms(i.started_at)).filter(Boolean);
	const ends = items.map((i) => ms(i.ended_at)).filter(Boolean);
	let state = "waiting";

	if (items.length === 0)
		state = "waiting";
	else if (any("failed"))
		state = "failed";
	else if (all("done"))
		state = "done";
	else if (any("running") || any("done"))
		state = "running";
	return {
		state,
		percent: items.reduce((sum, i) => sum + i.percent, 0) /
		    (items.length || 1),
		start: starts.length > 0 ? Math.min(...starts) : null,
		end: state !== "running" && ends.length > 0 ?
		    Math.max(...ends) : null,
		attempt: Math.max(0, ...items.map((i) => i.attempt)),
	};
}

/*
 * How far a stage is, by how far the job is: a stage's share of the whole is
 * declared, and those before it are done.  Its own row is written less often.
 */
function percentBy(declared, name, progress) {
	let before = 0;

	for (const { name: other, share } of declared) {
		if (other === name && share > 0)
			return Math.max(0, Math.min(99,
			    (progress - before) / share * 100));
		before += share;
	}
	return 0;
}

/* Rows in the order of the pipeline; stages it no longer has come last. */
function stagesOf(declared, steps, over, progress) {
	const names = new Set([...declared.map((s) => s.name),
	    ...steps.map((s) => s.stage)]);

	return [...names].map((name) => {
		const items = steps.filter((s) => s.stage === name);
		const row = { name, items, ...summary(items) };
		if (row.state === "waiting" && over)
			row.state = "skipped";
		if (row.state === "running")
			row.percent = Math.max(row.percent,
			    percentBy(declared, name, progress));
		return row;
	});
}

/* ---- drawing --------------------------------------------------------- */

function Track({ row, from, to }) {
	if (row.start === null)
		return html`<div class="track"></div>`;
	const end = row.end ?? to;
	const part = (t) => `${Math.max(0, Math.min(100,
	    (t - from) / Math.max(1, to - from) * 100))}%`;
	const width = `calc(${part(end)} - ${part(row.start)})`;
	return html`<div class="track">
		<span class=${`span ${row.state}`}
		    style=${{ insetInlineStart: part(row.start), width }}
		    ></span>
		<span class="hidden">from ${duration((row.start - from) / 1000)}
			to ${duration((end - from) / 1000)}</span>
	</div>`;
}

function Row({ label, row, from, to, isItem }) {
	const took = row.start === null ? null : (row.end ?? to) - row.start;
	const waits = row.state === "waiting" || row.state === "skipped";

	return html`<tr role="row" class=${isItem ? "item" : ""}>
		<th role="rowheader" scope="row">${label}</th>
		<td role="cell"><span class=${`state ${row.state}`}>
			<${Icon} name=${ICONS[row.state]} />
			<span>${WORDS[row.state]}${row.attempt > 1 ?
				` (run ${row.attempt})` : ""}</span></span></td>
		<td role="cell" class="time"><${Track} row=${row} from=${from}
			to=${to} /></td>
		<td role="cell" class="number">${waits ? "–" :
			percent(row.percent)}</td>
		<td role="cell" class="number">${took === null ? "–" :
			duration(took / 1000)}</td>
	</tr>`;
}

function Stage({ stage, from, to }) {
	const [open, setOpen] = useState(false);
	const many = stage.items.length > 1;
	const done = stage.items.filter((i) => i.state === "done").length;
	const label = many ? html`<button type="button" class="link"
	    aria-expanded=${String(open)} onClick=${() => setOpen(!open)}>
		<${Icon} name=${open ? "shut" : "open"} />
		${words(stage.name)}
		<span class="quiet">${done} of ${stage.items.length}</span>
	</button>` : words(stage.name);

	return html`
		<${Row} label=${label} row=${stage} from=${from} to=${to} />
		${open && stage.items.map((i) => html`<${Row} key=${i.item}
		    isItem=${true} from=${from} to=${to}
		    label=${html`<span dir="auto">${i.item}</span>`}
		    row=${{ ...i, start: ms(i.started_at),
			end: ms(i.ended_at) }} />`)}`;
}

function axis(from, to) {
	const s = (to - from) / 1000;

	return [0, 0.5, 1].map((part) => html`<span key=${part}>
		${part === 0 ? "0" : duration(s * part)}</span>`);
}

/*
 * DECLARED are the stages of the pipeline, STEPS the rows of /steps, OVER
 * whether the job has ended, PROGRESS how far it is, 0 to 100.
 */
export function Stages({ declared, steps, over, progress }) {
	useTick(!over);
	const rows = stagesOf(declared, steps, over, progress);
	const starts = rows.map((r) => r.start).filter(Boolean);
	const ends = rows.map((r) => r.end).filter(Boolean);
	const from = starts.length > 0 ? Math.min(...starts) : serverNow();
	const to = over ? Math.max(from, ...ends) :
	    Math.max(serverNow(), from, ...ends);

	const head = (text, more = "") => html`<th role="columnheader"
	    scope="col" class=${more}>${text}</th>`;

	return html`<table class="stages" role="table">
		<thead role="rowgroup"><tr role="row">
			${head("Stage")}${head("State")}
			${head(html`<span class="hidden">Time</span>
				<span class="axis" aria-hidden="true">
				${starts.length > 0 && axis(from, to)}</span>`,
				"time")}
			${head("Done", "number")}${head("Took", "number")}
		</tr></thead>
		<tbody role="rowgroup">${rows.map((stage) => html`<${Stage}
		    key=${stage.name} stage=${stage} from=${from} to=${to}
		    />`)}</tbody>
	</table>`;
}

/* What the stage that failed wrote last. */
export function LastWords({ steps }) {
	const step = steps.find((s) => s.state === "failed" && s.output);

	return step && html`<details class="words"><summary>What
		${" "}${words(step.stage)}${step.item && ` ${step.item}`} wrote
		last</summary><pre dir="ltr">${step.output}</pre></details>`;
}
