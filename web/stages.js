/*
 * The stages of a job as a table: what is done, what is going on, what is to
 * come, and when.
 *
 * Planned stages are rows from the beginning.  The items of a stage that has
 * more than one are shown on demand: as rows, or when they are many as a strip
 * in which each has its place, and rows for those that one may want to know
 * of.
 */

import { serverNow } from "./api.js";
import { duration, percent, words } from "./format.js";
import { html, Icon, useState, useTick } from "./ui.js";

const WORDS = { waiting: "Waiting", running: "Running", done: "Done",
    failed: "Failed", skipped: "Skipped" };
const ICONS = { waiting: "pending", running: "running", done: "completed",
    failed: "failed", skipped: "cancelled" };

/* So many items are rows; of more than that, at most so many others are. */
const ROWS = 24;
const NOTED = 12;

/* Cells of a strip; when there are more items, some share one. */
const CELLS = 120;

/* What a cell shows, when its items differ: the first of these. */
const RANKS = ["failed", "running", "waiting", "done"];

/* "page-9" comes before "page-10". */
const { compare } = new Intl.Collator("en", { numeric: true });

const ms = (at) => at ? Date.parse(at) : null;

const count = (items, state) => items.filter((i) => i.state === state).length;

const NOTHING = { waiting: 0, running: 0, done: 0, failed: 0, percent: 0,
    attempt: 0, started_at: null, ended_at: null };

/*
 * One row out of many: of SUM, what a stage comes to.  One that failed leaves
 * the others alone; WENTON is whether the job went on without it.
 */
function summary(sum, over, wentOn) {
	const all = sum.waiting + sum.running + sum.done + sum.failed;
	const rests = over || !(sum.running || sum.waiting);
	let state = "waiting";

	if (sum.waiting === all)
		state = "waiting";
	else if (sum.done === all || (wentOn && all > 1 && rests))
		state = "done";
	else if (sum.failed && rests)
		state = "failed";
	else
		state = over ? "skipped" : "running";
	return {
		state, all, sum,
		percent: sum.percent,
		start: ms(sum.started_at),
		end: state !== "running" ? ms(sum.ended_at) : null,
		attempt: sum.attempt,
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
	    ...steps.stages.map((s) => s.stage)]);

	return [...names].map((name, i, order) => {
		const sum = steps.stages.find((s) => s.stage === name) ??
		    NOTHING;
		const items = steps.items.filter((s) => s.stage === name)
		    .sort((a, b) => compare(a.item, b.item));
		const later = order.slice(i + 1).filter((other) =>
		    declared.find((s) => s.name === other)?.kind !== "always");
		const wentOn = steps.stages.some((s) =>
		    later.includes(s.stage) && s.started_at);
		const row = { name, items, ...summary(sum, over, wentOn) };
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

/* The items of a strip's cells, equally many in each but for the last. */
function cellsOf(items) {
	const each = Math.ceil(items.length / CELLS);
	const cells = [];

	for (let i = 0; i < items.length; i += each)
		cells.push(items.slice(i, i + each));
	return cells;
}

/* Cells of items that are not all known: by how many there are of each. */
function cellsBy(sum, all) {
	return [...RANKS].reverse().flatMap((state) => Array.from({ length:
	    Math.ceil(sum[state] / all * CELLS) }, (_, i) =>
	    ({ key: `${state} ${i}`, state, title: WORDS[state] })));
}

function cellsIn(items) {
	const names = (cell) => cell.length === 1 ? cell[0].item :
	    `${cell[0].item} … ${cell.at(-1).item}`;

	return cellsOf(items).map((cell) => {
		const state = RANKS.find((s) => count(cell, s) > 0);
		return { key: cell[0].item, state,
		    title: `${names(cell)}: ${WORDS[state]}` };
	});
}

function Strip({ stage: { items, all, sum } }) {
	const cells = items.length < all ? cellsBy(sum, all) : cellsIn(items);
	const told = RANKS.filter((s) => sum[s] > 0).reverse()
	    .map((s) => `${sum[s]} ${s}`).join(", ");

	return html`<tr role="row" class="item strip"><td role="cell"
	    colspan="5"><div class="cells" aria-hidden="true">
		${cells.map((cell) => html`<span key=${cell.key}
		    class=${cell.state} title=${cell.title}></span>`)}
		</div><span class="quiet">${told}</span></td></tr>`;
}

/* Items that have a row: all, or those that are not as most others are. */
function noted({ items, all }) {
	if (all <= ROWS)
		return items;
	return RANKS.slice(0, 2).flatMap((s) => items.filter((i) =>
	    i.state === s)).concat(items.filter((i) => i.attempt > 1 &&
	    !RANKS.slice(0, 2).includes(i.state))).slice(0, NOTED);
}

/* REASONS of the job: why items have failed, as far as it tells. */
function Items({ stage, from, to, reasons }) {
	const why = ({ item, state }) => state === "failed" &&
	    reasons?.find((r) => r.stage === stage.name && r.item === item)
		?.reason;

	return html`
		${stage.all > ROWS && html`<${Strip} stage=${stage} />`}
		${noted(stage).map((i) => html`<${Row} key=${i.item}
		    isItem=${true} from=${from} to=${to}
		    label=${html`<span dir="auto">${i.item}</span>
			${why(i) && html` <span class="quiet" dir="auto"
			    >${why(i)}</span>`}`}
		    row=${{ ...i, start: ms(i.started_at),
			end: ms(i.ended_at) }} />`)}`;
}

function Stage({ stage, from, to, reasons }) {
	const [open, setOpen] = useState(false);
	const many = stage.all > 1;
	const { done, failed } = stage.sum;
	const label = many ? html`<button type="button" class="link"
	    aria-expanded=${String(open)} onClick=${() => setOpen(!open)}>
		<${Icon} name=${open ? "shut" : "open"} />
		${words(stage.name)}
		<span class="quiet">${done} of ${stage.all}${failed > 0
			? `, ${failed} failed` : ""}</span>
	</button>` : words(stage.name);

	return html`
		<${Row} label=${label} row=${stage} from=${from} to=${to} />
		${open && html`<${Items} stage=${stage} from=${from}
		    to=${to} reasons=${reasons} />`}`;
}

function axis(from, to) {
	const s = (to - from) / 1000;

	return [0, 0.5, 1].map((part) => html`<span key=${part}>
		${part === 0 ? "0" : duration(s * part)}</span>`);
}

/*
 * DECLARED are the stages of the pipeline, STEPS what is known of /steps, OVER
 * whether the job has ended, PROGRESS how far it is, 0 to 100, REASONS what its
 * details tell of items that failed.
 */
export function Stages({ declared, steps, over, progress, reasons }) {
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
		    reasons=${reasons} />`)}</tbody>
	</table>`;
}

/* What the stage that failed wrote last. */
export function LastWords({ steps }) {
	const step = steps.items.find((s) => s.state === "failed" && s.output);

	return step && html`<details class="words"><summary>What
		${" "}${words(step.stage)}${step.item && ` ${step.item}`} wrote
		last</summary><pre dir="ltr">${step.output}</pre></details>`;
}
