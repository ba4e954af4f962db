/*
 * The administrator's page: all jobs, the daemons, the users.
 *
 * Everything is asked for every two seconds with the tag of the last answer,
 * so that most answers are empty.  What is shown stays where it is while the
 * pointer or the focus is on it.
 */

import { Progress, RowAction, canRetry, title, useActions } from
    "./actions.js";
import { again, get, query } from "./api.js";
import { count, shortId } from "./format.js";
import { setTab } from "./head.js";
import { useKey, useWalk } from "./keys.js";
import { Poll } from "./poll.js";
import { Frame, useUser } from "./session.js";
import { Ago, Day, ended, html, Icon, Pill, render, Scroll, Skeleton, State,
    STATES, Trouble, useEffect, useRef, useState } from "./ui.js";

const EVERY_MS = 2000;
const PAGE = 50;

/* A search begins when the typing stops. */
const TYPING_MS = 300;

/* ---- asking ----------------------------------------------------------- */

/* { data, poll } of PATH, again and again unless PAUSED. */
function useAgain(path, paused) {
	const [data, setData] = useState(undefined);
	const [, draw] = useState(0);
	const poll = useRef(null);

	useEffect(() => {
		setData(undefined);
		const p = poll.current = new Poll(again(path), {
			every: EVERY_MS,
			onData: setData,
			onState: () => draw((n) => n + 1),
		});
		return () => p.stop();
	}, [path]);
	useEffect(() => {
		if (poll.current.paused !== paused)
			poll.current.pause(paused);
	}, [path, paused]);
	return { data, poll: poll.current };
}

function connectionOf(poll, paused) {
	if (poll === null || (poll.at === 0 && poll.problem === null))
		return { state: "connecting" };
	const { at, retryAt, problem } = poll;
	if (paused)
		return { state: "paused", at };
	if (problem === null)
		return { state: "polling", at, reason: "Every 2 seconds." };
	return { state: navigator.onLine ? "reconnecting" : "offline", at,
	    retryAt, reason: problem.message };
}

/* ---- what is asked for stands in the URL ------------------------------- */

const FILTERS = ["status", "pipeline", "q", "cursor"];

function filterOf(search) {
	const q = new URLSearchParams(search);

	return Object.fromEntries(FILTERS.map((f) => [f, q.get(f) ?? ""]));
}

/* [filter, change]: change() makes a new entry of the history. */
function useFilter() {
	const [filter, set] = useState(() => filterOf(location.search));
	const change = (some, replace = false) => {
		const next = { ...filter, cursor: "", ...some };
		const to = query(location.pathname, next);
		if (replace)
			history.replaceState(null, "", to);
		else
			history.pushState(null, "", to);
		set(next);
	};

	useEffect(() => {
		const f = () => set(filterOf(location.search));
		addEventListener("popstate", f);
		return () => removeEventListener("popstate", f);
	}, []);
	return [filter, change];
}

function FilterLink({ to, filter, change, children }) {
	const href = query(location.pathname, { ...filter, cursor: "", ...to });

	return html`<a href=${href} aria-current=${
	    to.status === filter.status && to.cursor === undefined ?
		"true" : null}
	    onClick=${(e) => {
		if (e.ctrlKey || e.metaKey || e.shiftKey)
			return;
		e.preventDefault();
		change(to);
	    }}>${children}</a>`;
}

/*
 * What stands in the search field while Q is searched for: { text, type,
 * forget }.  What is typed stays, whatever is drawn meanwhile, until SEARCH is
 * called with it.
 */
function useTyping(q, search) {
	const [typed, setTyped] = useState("");
	const timer = useRef(0), newest = useRef(search);
	const forget = () => {
		clearTimeout(timer.current);
		timer.current = 0;
	};
	const type = (text) => {
		forget();
		setTyped(text);
		timer.current = setTimeout(() => {
			timer.current = 0;
			newest.current(text.trim());
		}, TYPING_MS);
	};

	newest.current = search;
	return { text: timer.current !== 0 || typed.trim() === q ? typed : q,
	    type, forget };
}

function Filter({ filter, change, stats, pipelines }) {
	const search = useRef(null);
	const any = filter.status || filter.pipeline || filter.q;
	const typing = useTyping(filter.q, (q) => change({ q }, true));
	const link = (status, text) => html`<li key=${status}>
		<${FilterLink} filter=${filter} change=${change}
		    to=${{ status }}>${status && html`<${Icon}
		    name=${status} />`}${text}
		${counted(stats, status)}<//></li>`;

	useKey("/", "search", () => search.current.focus());
	return html`<form role="search" onSubmit=${(e) => e.preventDefault()}>
		<ul class="chips">${link("", "All")}
			${Object.entries(STATES).map(([s, text]) =>
				link(s, text))}</ul>
		<div class="options">
			<div class="field"><label for="q">Search</label>
			<input id="q" type="search" ref=${search}
			    placeholder="Name, or start of an id"
			    value=${typing.text} onInput=${(e) =>
				typing.type(e.target.value)} /></div>
			<div class="field">
			<label for="pipeline">Pipeline</label>
			<select id="pipeline" value=${filter.pipeline}
			    onChange=${(e) => change({
				pipeline: e.target.value })}>
				<option value="">All</option>
				<${Choices} of=${pipelines} />
			</select></div>
			${any && html`<div class="field end">
			<button type="button" onClick=${() => {
				typing.forget();
				change({ status: "", pipeline: "", q: "" });
			}}>Clear filter</button></div>`}
		</div>
	</form>`;
}

function Choices({ of }) {
	return of.map((p) => html`<option key=${p.name} value=${p.name}>
		${p.title}</option>`);
}

/* Jobs that wait for something are pending to the eye. */
function counted(stats, status) {
	if (!stats || !status)
		return null;
	const n = (stats.jobs[status] ?? 0) +
	    (status === "pending" ? stats.jobs.waiting ?? 0 : 0);
	return html` <span class="count">${n.toLocaleString()}</span>`;
}

/* ---- rows that stay ---------------------------------------------------- */

/*
 * What to show of ITEMS while HELD: the rows that were there, brought up to
 * date, those that left marked as gone, and how many new ones wait.
 */
function useSteady(items, held) {
	const shown = useRef([]);

	if (items === undefined)
		return { rows: (shown.current = []), fresh: 0 };
	if (!held || shown.current.length === 0) {
		shown.current = items;
		return { rows: items, fresh: 0 };
	}
	const now = new Map(items.map((job) => [job.job_id, job]));
	shown.current = shown.current.map((job) =>
	    now.get(job.job_id) ?? { ...job, gone: true });
	for (const job of shown.current)
		now.delete(job.job_id);
	return { rows: shown.current, fresh: now.size };
}

function Row({ job, open, withUser }) {
	return html`<tr class=${job.gone ? "gone" : ""} role="row">
		<th scope="row" role="rowheader">
			<a class="name" id=${`job-${job.job_id}`} dir="auto"
			    href=${`./#/jobs/${job.job_id}`}>${title(job)}</a>
			<span class="quiet">${job.pipeline} ·${" "}
				<code title=${job.job_id}>${
					shortId(job.job_id)}</code></span></th>
		${withUser && html`<td role="cell" class="user" dir="auto">${
			job.user ?? "–"}</td>`}
		<td role="cell" class="how"><${State} status=${job.status} />
			${job.gone && html`<span class="quiet">left this
				list</span>`}</td>
		<td role="cell" class="tale"><${Progress} job=${job} /></td>
		<td role="cell" class="number age"><${Ago}
		    at=${job.created_at} /></td>
		<td role="cell" class="act">${!job.gone && html`<${RowAction}
		    job=${job} open=${open} />`}</td>
	</tr>`;
}

function Table({ rows, open }) {
	const withUser = rows.some((job) => job.user !== undefined);
	const head = (text, more = "") => html`<th scope="col"
	    role="columnheader" class=${more}>${text}</th>`;

	return html`<table class="all" role="table">
		<thead role="rowgroup"><tr role="row">${head("Job")}
			${withUser && head("User", "user")}
			${head("State", "how")}
			${head("Progress")}${head("Age", "number")}
			${head(html`<span class="hidden">Action</span>`)}
		</tr></thead>
		<tbody role="rowgroup">${rows.map((job) => html`<${Row}
		    key=${job.job_id} job=${job} open=${open}
		    withUser=${withUser} />`)}</tbody></table>`;
}

/* C and R act on the row that has the focus. */
function useRowKeys(rows, open) {
	const here = () => rows.find((job) => document.activeElement
	    ?.closest("tr")?.querySelector("a.name")?.id ===
	    `job-${job.job_id}`);

	useWalk(".all a.name");
	useKey("c", "cancel the job of this row", () => {
		const job = here();
		if (job && !ended(job))
			open("cancel", job);
	});
	useKey("r", "run the job of this row again", () => {
		const job = here();
		if (job && canRetry(job))
			open("retry", job);
	});
}

/* ---- the jobs ---------------------------------------------------------- */

function Jobs({ paused, pause, stats, pipelines }) {
	const [filter, change] = useFilter();
	const [held, hold] = useState(false);
	const { data, poll } = useAgain(query("jobs",
	    { limit: PAGE, ...filter }), paused);
	const { rows, fresh } = useSteady(data?.items, held);
	const { open, dialog } = useActions(() => {
		poll.now();
		stats.poll.now();
	});
	const leave = (e) => e.currentTarget.contains(e.relatedTarget) ||
	    hold(false);

	useRowKeys(rows, open);
	let body;
	if (data === undefined && poll?.problem)
		body = html`<${Trouble} what="The jobs cannot be listed."
		    problem=${poll.problem} again=${() => poll.now()} />`;
	else if (data === undefined)
		body = html`<${Skeleton} lines=${8} />`;
	else if (rows.length === 0)
		body = html`<${Empty} filter=${filter}
		    pipelines=${pipelines} />`;
	else
		body = html`<div onMouseEnter=${() => hold(true)}
		    onMouseLeave=${() => hold(false)}
		    onFocusIn=${() => hold(true)} onFocusOut=${leave}>
		    <${Table} rows=${rows} open=${open} /></div>`;
	return html`<section class="card">
		<div class="heading"><h1 tabindex="-1">All jobs</h1>
			<${Pill} now=${() => poll.now()}
			    connection=${connectionOf(poll, paused)} />
			<button type="button" class="small" aria-pressed=${
				String(paused)} onClick=${pause}>
				<${Icon} name=${paused ? "running" : "pause"} />
				${paused ? "Go on" : "Pause"}</button></div>
		<${Filter} filter=${filter} change=${change}
		    stats=${stats.data} pipelines=${pipelines} />
		${fresh > 0 && html`<p><button type="button" class="small"
		    onClick=${() => hold(false)}>${count(fresh, "new job",
			"new jobs")}</button></p>`}
		${body}
		<${Pages} filter=${filter} change=${change}
		    next=${data?.next_cursor} />
		${dialog}
	</section>`;
}

function Pages({ filter, change, next }) {
	const link = (cursor, text) => html`<${FilterLink} filter=${filter}
	    change=${change} to=${{ cursor }}>${text}<//>`;

	return (filter.cursor || next) && html`<nav class="pages"
	    aria-label="Pages of jobs">
		${filter.cursor ? link("", "‹ Newest") : html`<span />`}
		${next && link(next, "Older ›")}
	</nav>`;
}

function Empty({ filter, pipelines }) {
	const { status, pipeline, q, cursor } = filter;
	const name = pipelines.find((p) => p.name === pipeline)?.title;

	if (cursor)
		return html`<p class="empty">There are no older jobs.</p>`;
	if (!status && !pipeline && !q)
		return html`<p class="empty">Nobody has made a job yet.</p>`;
	return html`<p class="empty">No ${status} jobs
		${pipeline && ` in ${name ?? pipeline}`}
		${q && ` with “${q}”`}.</p>`;
}

/* ---- daemons ----------------------------------------------------------- */

const HEALTH = { up: ["completed", "Up"], late: ["pending", "Late"],
    gone: ["failed", "Gone"] };

function Daemons({ paused }) {
	const { data, poll } = useAgain("admin/daemons", paused);
	let body;

	if (data === undefined && poll?.problem)
		body = html`<${Trouble} problem=${poll.problem}
		    what="The daemons cannot be listed."
		    again=${() => poll.now()} />`;
	else if (data === undefined)
		body = html`<${Skeleton} lines=${2} />`;
	else if (!data.items.some((d) => d.state === "up"))
		body = html`<div class="trouble" role="alert"><p><strong>No
			daemon is up.</strong> Jobs wait until one is
			started.</p></div>`;
	return html`<section class="card"><h2>Daemons</h2>${body}
		${data?.items.length > 0 && html`<${Scroll} label="Daemons">
		<table>
		<thead><tr><th scope="col">Host</th><th scope="col">State</th>
			<th scope="col" class="number">Running</th>
			<th scope="col">Queues</th><th scope="col">Version</th>
			<th scope="col" class="number">Process</th>
			<th scope="col" class="number">Started</th>
			<th scope="col" class="number">Heard</th></tr></thead>
		<tbody>${data.items.map((d) => html`<${Daemon} key=${d.id}
		    daemon=${d} />`)}</tbody></table><//>`}
	</section>`;
}

function Daemon({ daemon }) {
	const [icon, text] = HEALTH[daemon.state] ?? ["pending", daemon.state];

	return html`<tr class=${daemon.state}>
		<th scope="row">${daemon.host}</th>
		<td><span class=${`state ${icon}`}><${Icon}
		    name=${icon} />${text}</span></td>
		<td class="number">${daemon.running} of ${daemon.slots}</td>
		<td>${daemon.queues.join(", ")}</td>
		<td>${daemon.version}</td>
		<td class="number">${daemon.pid}</td>
		<td class="number"><${Ago} at=${daemon.started_at} /></td>
		<td class="number"><${Ago} at=${daemon.seen_at} /></td>
	</tr>`;
}

/* ---- users ------------------------------------------------------------- */

function Users() {
	const [items, setItems] = useState(null);
	const [trouble, setTrouble] = useState(null);
	const load = () => get("admin/users").then((r) => {
		setItems(r.items);
		setTrouble(null);
	}, setTrouble);

	useEffect(() => { load(); }, []);
	return html`<section class="card"><h2>Users</h2>
		${trouble && html`<${Trouble} problem=${trouble} again=${load}
		    what="The users cannot be listed." />`}
		${items === null && !trouble && html`<${Skeleton} />`}
		${items && html`<${Scroll} label="Users"><table>
		<thead><tr><th scope="col">Name</th><th scope="col">Role</th>
			<th scope="col">State</th><th scope="col">Since</th>
			</tr></thead>
		<tbody>${items.map((u) => html`<tr key=${u.id}>
			<th scope="row" dir="auto">${u.name}</th>
			<td>${u.role === "admin" ? "Administrator" :
				"User"}</td>
			<td>${u.disabled ? "Disabled" : "Active"}</td>
			<td><${Day} at=${u.created_at} /></td>
		</tr>`)}</tbody></table><//>`}
	</section>`;
}

/* ---- the page ---------------------------------------------------------- */

function Everything() {
	const [paused, setPaused] = useState(false);
	const [pipelines, setPipelines] = useState([]);
	const stats = useAgain("admin/stats", paused);
	const pause = () => setPaused(!paused);
	const { running = 0, failed = 0 } = stats.data?.jobs ?? {};

	useKey("p", "pause, or go on", pause);
	useEffect(() => {
		get("pipelines").then((r) => setPipelines(r.items), () => {});
	}, []);
	useEffect(() => setTab(stats.data ?
	    `${running} running, ${failed} failed · Administration` :
	    "Administration", running > 0 ? "running" : ""),
	    [running, failed]);
	return html`<main class="wide">
		<${Jobs} paused=${paused} pause=${pause} stats=${stats}
		    pipelines=${pipelines} />
		<${Daemons} paused=${paused} /><${Users} />
	</main>`;
}

function Admin() {
	const user = useUser();

	if (user.role === "admin")
		return html`<${Everything} />`;
	return html`<main class="narrow card"><h1 tabindex="-1">For
		administrators</h1><p>You are signed in as${" "}
		<strong dir="auto">${user.name}</strong>, who is not one.</p>
		<p><a href="./#/">To your jobs</a></p></main>`;
}

render(html`<${Frame} page="admin"><${Admin} /><//>`,
    document.getElementById("app"));
