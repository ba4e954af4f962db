/*
 * The page of one job: live while it runs, then its result.
 */

import { canRetry, followJob, Progress, title, useActions } from "./actions.js";
import { get, query, session, url } from "./api.js";
import { bytes, shortId, words } from "./format.js";
import { setTab, setTabOf } from "./head.js";
import { useKey } from "./keys.js";
import { Result } from "./result.js";
import { LastWords, Stages } from "./stages.js";
import { Ago, announce, Copy, ended, html, Icon, Pill, Scroll, Skeleton,
    State, STATES, Trouble, useEffect, useMemo, useRef, useState } from
    "./ui.js";

/* Stages and events are read again this often at most. */
const RELOAD_MS = 1000;

const EVENTS_PAGE = 200;

/* ---- what is known --------------------------------------------------- */

/*
 * The job ID: { job, problem, live, load, reload }.  The details are read at
 * the beginning and at the end; between them the stream tells.
 */
function useJob(id) {
	const [details, setDetails] = useState(null);
	const [event, setEvent] = useState(null);
	const [problem, setProblem] = useState(null);
	const [turn, setTurn] = useState(0);
	const [live, setLive] = useState(null);
	const [, draw] = useState(0);
	const asked = useRef(0);
	/* Answers may overtake each other: the newest question's counts. */
	const load = () => {
		const n = ++asked.current;
		const ifNewest = (f) => (x) => n === asked.current && f(x);
		return get(`jobs/${id}`).then(ifNewest((job) => {
			setDetails(job);
			setProblem(null);
		}), ifNewest(setProblem));
	};
	const reload = () => {
		setEvent(null);
		setTurn((n) => n + 1);
		load();
	};

	useEffect(() => {
		load();
		session.addEventListener("in", reload);
		return () => session.removeEventListener("in", reload);
	}, [id]);
	const job = details && { ...details, ...event };
	const known = details !== null, over = job !== null && ended(job);
	useEffect(() => {
		if (!known || over)
			return undefined;
		const follow = followJob(id, {
			onEvent: (e, { late }) => late || setEvent(e),
			onState: () => draw((n) => n + 1),
		});
		setLive(follow);
		return () => follow.close();
	}, [id, turn, known, over]);
	useEffect(() => {
		if (event && over)
			load();
	}, [over]);
	return { job, problem, live, load, reload };
}

/*
 * Read something again whenever MARK changes: never twice at a time, at most
 * once in RELOAD_MS, and once more after the last change.
 */
function useFresh(read, mark) {
	const state = useRef({ busy: false, again: false, gone: false });
	const newest = useRef(read);

	newest.current = read;
	useEffect(() => () => { state.current.gone = true; }, []);
	useEffect(() => {
		const s = state.current;
		const run = async () => {
			if (s.gone)
				return;
			if (s.busy) {
				s.again = true;
				return;
			}
			s.busy = true;
			s.again = false;
			await newest.current().catch(() => { s.again = true; });
			setTimeout(() => {
				s.busy = false;
				if (s.again)
					run();
			}, RELOAD_MS);
		};
		run();
	}, [mark]);
}

/* ---- parts of the page ------------------------------------------------ */

/* What is known of the job, then the options that were given. */
function Facts({ job }) {
	const fact = (name, value) => value && html`<div key=${name}>
		<dt>${name}</dt><dd>${value}</dd></div>`;

	return html`<dl class="facts">
		${fact("Pipeline", job.pipeline)}
		${fact("Size", job.size !== null && job.size !== undefined ?
			bytes(job.size) : "")}
		${fact("By", job.user && html`<span dir="auto">
			${job.user}</span>`)}
		${fact("Created", html`<${Ago} at=${job.created_at}
			/>${" "}ago`)}
		${fact("Attempt", job.attempt > 1 ? String(job.attempt) : "")}
		${fact("Job", html`<code title=${job.job_id}>${
			shortId(job.job_id)}</code>${" "}
			<${Copy} text=${job.job_id} label="copy" />`)}
		${Object.entries(job.options ?? {}).map(([name, value]) =>
			fact(words(name), html`<span dir="auto">
				${String(value)}</span>`))}
	</dl>`;
}

/*
 * { stages, items }: what each stage comes to, and its steps.  When there are
 * too many of those, the first ones, and some that one may want to know of.
 */
async function readSteps(id) {
	const read = (more) => get(query(`jobs/${id}/steps`, more));
	const { stages, items, next_cursor } = await read({ limit: 1000 });
	const others = next_cursor === null ? [] : await Promise.all(
	    ["failed", "running"].map((state) => read({ state, limit: 12 })));
	const known = new Set(items.map((i) => `${i.stage} ${i.item}`));

	return { stages, items: [...items, ...others.flatMap((o) => o.items)
	    .filter((i) => !known.has(`${i.stage} ${i.item}`))] };
}

function useSteps(job) {
	const [steps, setSteps] = useState({ stages: [], items: [] });

	useFresh(async () => setSteps(await readSteps(job.job_id)),
	    `${job.job_id} ${job.timestamp} ${job.status}`);
	return steps;
}

function useDeclared(name) {
	const [stages, setStages] = useState([]);

	useEffect(() => {
		get("pipelines").then(({ items }) => setStages(
		    items.find((p) => p.name === name)?.stages ?? []),
		    () => setStages([]));
	}, [name]);
	return stages;
}

function EventRow({ event: e }) {
	return html`<tr>
		<td class="number">${e.seq}</td>
		<td><time datetime=${e.at}>${
			new Date(e.at).toLocaleTimeString()}</time></td>
		<td>${STATES[e.status] ?? e.status}</td>
		<td>${words(e.stage || "")}</td>
		<td class="number">${e.stage_progress}</td>
		<td class="number">${e.progress_percentage}</td>
		<td dir="auto">${e.message || e.current_step}</td>
	</tr>`;
}

/* The exact rows that were streamed. */
function Events({ job }) {
	const [rows, setRows] = useState([]);
	const [more, setMore] = useState(false);
	const last = useRef(0);
	const read = async () => {
		const { items, next_after } = await get(query(
		    `jobs/${job.job_id}/events`,
		    { after: last.current, limit: EVENTS_PAGE }));
		const fresh = items.filter((e) => e.seq > last.current);
		if (fresh.length > 0) {
			last.current = fresh.at(-1).seq;
			setRows((old) => [...old, ...fresh]);
		}
		setMore(next_after !== null && next_after !== undefined);
	};

	useFresh(read, `${job.timestamp} ${job.status}`);
	/* The same array is not looked at again, however long it is. */
	const drawn = useMemo(() => rows.map((e) => html`<${EventRow}
	    key=${e.seq} event=${e} />`), [rows]);
	return html`<${Scroll} label="Events"><table>
		<thead><tr><th scope="col" class="number">No.</th>
			<th scope="col">At</th><th scope="col">State</th>
			<th scope="col">Stage</th>
			<th scope="col" class="number">Stage %</th>
			<th scope="col" class="number">Job %</th>
			<th scope="col">What</th></tr></thead>
		<tbody>${drawn}</tbody>
	</table><//>
	${more && html`<div class="buttons"><button type="button" class="small"
	    onClick=${read}>More</button></div>`}`;
}

function Buttons({ job, open }) {
	const running = !ended(job);

	useKey("c", "cancel the job", () => running && open("cancel", job));
	useKey("r", "run the job again", () =>
	    canRetry(job) && open("retry", job));
	return html`<div class="buttons">
		${running && html`<button type="button" class="danger"
		    onClick=${() => open("cancel", job)}>Cancel</button>`}
		${canRetry(job) && html`<button type="button" class="primary"
		    onClick=${() => open("retry", job)}>
		    <${Icon} name="retry" />Run again</button>`}
		${!running && html`<button type="button"
		    onClick=${() => open("delete", job)}>Delete</button>`}
	</div>`;
}

function NotFound() {
	useEffect(() => setTab("Not found"), []);
	return html`<section class="card"><h1 tabindex="-1">No such job</h1>
		<p>There is no job at this address, or it belongs to somebody
			else. Jobs are deleted some time after their end.</p>
		<p><a href="./#/">To your jobs</a></p></section>`;
}

/* ---- the page --------------------------------------------------------- */

export function JobPage({ id }) {
	const { job, problem, live, load, reload } = useJob(id);

	if (job === null) {
		if (problem === null)
			return html`<section class="card"><${Skeleton}
			    lines=${6} /></section>`;
		if (problem.status === 404 || problem.status === 400)
			return html`<${NotFound} />`;
		return html`<section class="card"><${Trouble} again=${load}
		    what="This job cannot be shown." problem=${problem} />
		    </section>`;
	}
	return html`<${Job} job=${job} live=${live} reload=${reload} />`;
}

function Job({ job, live, reload }) {
	const [showEvents, setShowEvents] = useState(false);
	const steps = useSteps(job);
	const declared = useDeclared(job.pipeline);
	const over = ended(job), name = title(job);
	const { open, dialog } = useActions((what) => {
		if (what === "delete")
			location.hash = "#/";
		else if (what === "retry")
			reload();
	});

	useEffect(() => setTabOf(job, name),
	    [job.status, Math.floor(job.progress_percentage), name]);
	const before = useRef(job.status);
	useEffect(() => {
		if (before.current !== job.status)
			announce(`${name}: ${STATES[job.status]}`);
		before.current = job.status;
	}, [job.status]);
	return html`<article>
		<section class="card">
			<p class="crumbs"><a href="./#/">Jobs</a> /
				${" "}${job.pipeline}</p>
			<div class="heading">
				<h1 tabindex="-1" dir="auto">${name}</h1>
				<${State} status=${job.status} />
				${!over && live && html`<${Pill}
				    connection=${live}
				    now=${() => live.retry()} />`}
				<${Buttons} job=${job} open=${open} />
			</div>
			<${Progress} job=${job} always=${true} />
			${job.status === "failed" && html`<${LastWords}
			    steps=${steps} />`}
			<${Facts} job=${job} />
		</section>
		${job.status === "completed" && html`<section class="card">
			<h2>Result</h2><${Result} job=${job} name=${name} />
		</section>`}
		<section class="card"><h2>Stages</h2>
			<${Stages} declared=${declared} steps=${steps}
			    over=${over} progress=${job.progress_percentage}
			    reasons=${job.details?.failed} />
		</section>
		<section class="card"><details class="events"
		    onToggle=${(e) => setShowEvents(e.target.open)}>
			<summary><h2>Events</h2></summary>
			${showEvents && html`<${Events} job=${job} />`}
		</details>
		<p><a href=${url(`jobs/${job.job_id}/logs`)} target="_blank"
		    rel="noopener">Log of this job, as text</a></p>
		</section>
		${dialog}
	</article>`;
}
