/*
 * My jobs: a list that keeps itself up to date.
 *
 * The list is polled, which costs next to nothing while nothing changes.  The
 * first of the unfinished jobs are followed live besides.
 */

import { followJob, Progress, RowAction, title, useActions } from
    "./actions.js";
import { again, query } from "./api.js";
import { useKey, useWalk } from "./keys.js";
import { takePlace } from "./live.js";
import { Poll } from "./poll.js";
import { useUser } from "./session.js";
import { Ago, announce, ended, html, Pill, Skeleton, State, STATES, Trouble,
    useEffect, useRef, useState } from "./ui.js";

/* One of a browser's places for streams is left for the page of a job. */
const FOLLOWED = 3;

const PAGE = 20;
const LIVE_MS = 5000, POLL_MS = 2000;

/* Redrawing more often than this helps nobody. */
const DRAW_MS = 250;

/* ---- following several jobs ------------------------------------------- */

class Follower {
	constructor(onChange) {
		this.lives = new Map();		/* job id: Live; null: soon */
		this.newest = new Map();	/* job id: its last event */
		this.onChange = onChange;
		this.timer = 0;
	}

	/* Follow these jobs, as far as there are places, and no others. */
	async follow(ids) {
		for (const [id, live] of this.lives)
			if (!ids.includes(id)) {
				live?.close();
				this.lives.delete(id);
			}
		for (const id of ids)
			if (!this.lives.has(id))
				await this.#start(id);
	}

	async #start(id) {
		this.lives.set(id, null);
		const place = await takePlace();
		if (place === null || this.lives.get(id) !== null) {
			if (this.lives.get(id) === null)
				this.lives.delete(id);
			return place?.release();
		}
		this.lives.set(id, followJob(id, {
			place,
			onEvent: (job, { late }) => {
				if (!late)
					this.newest.set(id, job);
				this.#changed();
			},
			onState: () => this.#changed(),
		}));
	}

	#changed() {
		this.timer ||= setTimeout(() => {
			this.timer = 0;
			this.onChange();
		}, DRAW_MS);
	}

	/* How many of these come over an open stream. */
	live(ids) {
		return ids.filter((id) =>
		    this.lives.get(id)?.state === "live").length;
	}

	close() {
		clearTimeout(this.timer);
		this.onChange = () => {};
		this.follow([]);
	}
}

/* ---- the list --------------------------------------------------------- */

/* The rows of the page at CURSOR, and how they come. */
function useJobs(cursor) {
	const [page, setPage] = useState(null);
	const [, draw] = useState(0);
	const poll = useRef(null), follower = useRef(null);
	/* An administrator would be given everybody's. */
	const user = useUser().name;

	useEffect(() => {
		const redraw = () => draw((n) => n + 1);
		const f = follower.current = new Follower(redraw);
		const p = poll.current = new Poll(again(query("jobs",
		    { limit: PAGE, cursor, user })), {
			every: POLL_MS,
			onData: setPage,
			onState: redraw,
		});
		setPage(null);
		return () => {
			p.stop();
			f.close();
		};
	}, [cursor, user]);
	const items = page?.items.map((job) => newer(job,
	    follower.current.newest.get(job.job_id)));
	const unfinished = items?.filter((job) => !ended(job))
	    .map((job) => job.job_id) ?? [];
	useEffect(() => {
		follower.current.follow(unfinished.slice(0, FOLLOWED));
	});
	const live = follower.current?.live(unfinished) ?? 0;
	if (poll.current)
		poll.current.every = live === unfinished.length ?
		    LIVE_MS : POLL_MS;
	return { items, next: page?.next_cursor, poll: poll.current,
	    streams: live === unfinished.length };
}

function newer(job, event) {
	return event && event.timestamp > job.timestamp ?
	    { ...job, ...event } : job;
}

/* One state for the list out of the poll's and the streams'. */
function connectionOf(poll, streams) {
	if (poll === null || (poll.at === 0 && poll.problem === null))
		return { state: "connecting" };
	const { at, retryAt, problem } = poll;
	if (problem !== null)
		return { state: navigator.onLine ? "reconnecting" : "offline",
		    reason: problem.message, at, retryAt };
	return streams ? { state: "live", at } :
	    { state: "polling", at, reason: "Not every job has a stream." };
}

/* Say what ended since it was last drawn. */
function useEndings(items) {
	const known = useRef(new Map());

	useEffect(() => {
		for (const job of items ?? []) {
			const before = known.current.get(job.job_id);
			if (before !== undefined && before !== job.status &&
			    ended(job))
				announce(`${title(job)}: ` +
				    STATES[job.status]);
			known.current.set(job.job_id, job.status);
		}
	}, [items]);
}

function Row({ job, open }) {
	return html`<li class="job">
		<div class="what">
			<a class="name" id=${`job-${job.job_id}`} dir="auto"
			    href=${`./#/jobs/${job.job_id}`}>${title(job)}</a>
			<span class="quiet">${job.pipeline} ·${" "}
				<${Ago} at=${job.created_at} />${" "}ago</span>
		</div>
		<${State} status=${job.status} />
		<${Progress} job=${job} />
		<div class="act"><${RowAction} job=${job} open=${open} /></div>
	</li>`;
}

function Empty({ older }) {
	if (older)
		return html`<p class="empty">There are no older jobs.</p>`;
	return html`<div class="empty">
		<p><strong>You have no jobs yet.</strong></p>
		<p class="quiet">Drop a file above. Each job will be a row here,
			with its progress, and then its result.</p>
	</div>`;
}

/* The list is read at once whenever MARK changes. */
export function Jobs({ cursor, mark }) {
	const { items, next, poll, streams } = useJobs(cursor);
	const { open, dialog } = useActions(() => poll.now());

	useEffect(() => { poll?.now(); }, [mark]);
	useWalk(".jobs a.name");
	useKey("n", "newest jobs", () => { location.hash = "#/"; });
	useEndings(items);
	let body;
	if (items === undefined && poll?.problem)
		body = html`<${Trouble} what="Your jobs cannot be listed."
		    problem=${poll.problem} again=${() => poll.now()} />`;
	else if (items === undefined)
		body = html`<${Skeleton} lines=${5} />`;
	else if (items.length === 0)
		body = html`<${Empty} older=${cursor} />`;
	else
		body = html`<ul class="jobs">${items.map((job) => html`<${Row}
		    key=${job.job_id} job=${job} open=${open} />`)}</ul>`;
	return html`<section class="card">
		<div class="heading"><h2>Your jobs</h2>
			<${Pill} connection=${connectionOf(poll, streams)}
			    now=${() => poll.now()} /></div>
		${body}
		${(cursor || next) && html`<nav class="pages"
		    aria-label="Pages of jobs">
			${cursor ? html`<a href="./#/">‹ Newest</a>` :
				html`<span />`}
			${next && html`<a href=${query("./#/",
				{ cursor: next })}>Older ›</a>`}
		</nav>`}
		${dialog}
	</section>`;
}
