/*
 * What can be done to a job: cancel, run again, delete.  And how it is told
 * in one line, which all lists share.
 */

import { del, get, post, signedOut, url } from "./api.js";
import { duration, percent, words } from "./format.js";
import { Live } from "./live.js";
import { announce, Bar, Confirm, Dialog, ended, html, Icon, Trouble,
    useEffect, useState } from "./ui.js";

/* Follow the job ID; OPTIONS as those of Live. */
export function followJob(id, { onState, ...options }) {
	return new Live(url(`jobs/${id}/stream`), {
		poll: url(`jobs/${id}/status`),
		onState: (live) => {
			if (live.status === 401)
				signedOut();
			onState(live);
		},
		...options,
	});
}

export function title(job) {
	return job.name || `Job ${job.job_id.slice(0, 8)}`;
}

/* ---- one line -------------------------------------------------------- */

/* Before and after its stages, a phase only says again what the state is. */
function phaseWords(job) {
	return job.phase === "pending" || ended(job) ? "" : words(job.phase);
}

function story(job) {
	if (job.status === "failed")
		return job.error_message ?? "It failed without a word.";
	if (job.status === "cancelled")
		return `Stopped at ${percent(job.progress_percentage)}`;
	return job.status === "completed" ? tookWords(job) :
	    job.current_step ?? "";
}

function tookWords(job) {
	if (!job.started_at || !job.completed_at)
		return "";
	const ms = Date.parse(job.completed_at) - Date.parse(job.started_at);
	return `Took ${duration(ms / 1000)}`;
}

/*
 * Bar, percentage, phase, what is done now, time left.  Without the bar when
 * the job has ended, but for its own page (ALWAYS).
 */
export function Progress({ job, always }) {
	const phase = phaseWords(job), text = story(job);

	return html`<div class="progress">
		${(always || !ended(job)) && html`<div class="gauge">
			<${Bar} value=${job.progress_percentage}
			    of=${title(job)} status=${job.status} />
			<span class="number">${
				percent(job.progress_percentage)}</span>
		</div>`}
		<p class="story" dir="auto">
			${phase && html`<strong>${phase}</strong>`}
			${text && html`<span>${text}</span>`}
			${left(job) && html`<span class="quiet">${
				left(job)}</span>`}
		</p>
	</div>`;
}

export function left(job) {
	return job.status === "running" && job.eta_seconds !== null &&
	    job.eta_seconds !== undefined ?
	    `about ${duration(Math.max(1, Math.round(job.eta_seconds)))
		.replace(".0 s", " s")} left` : "";
}

/* ---- cancel ---------------------------------------------------------- */

function CancelDialog({ job, done, close }) {
	return html`<${Confirm} title="Cancel this job?" verb="Cancel the job"
	    danger=${true} close=${close}
	    text=${html`<span dir="auto">${title(job)}</span> stops where it is.
		It can be run again later, from its start.`}
	    yes=${async () => {
		await post(`jobs/${job.job_id}/cancel`);
		announce(`${title(job)}: cancelling`);
		done?.();
	    }} />`;
}

/* ---- run again ------------------------------------------------------- */

/*
 * From the stage that failed, from another one, or from the start.  What was
 * cancelled has lost its files.
 */
function RetryDialog({ job, done, close }) {
	const kept = job.status === "failed";
	const [stages, setStages] = useState([]);
	const [from, setFrom] = useState(kept ? "failed" : "start");
	const [stage, setStage] = useState("");
	const [busy, setBusy] = useState(false);
	const [problem, setProblem] = useState(null);
	const choice = (value, text) => html`<p><label><input type="radio"
	    name="from" checked=${from === value}
	    onChange=${() => setFrom(value)} /> ${text}</label></p>`;

	useEffect(() => {
		get("pipelines").then(({ items }) => {
			const all = items.find((p) => p.name === job.pipeline)
			    ?.stages.filter((s) => s.kind !== "always") ?? [];
			setStages(all);
			setStage(all[0]?.name ?? "");
		}, setProblem);
	}, []);
	const go = async () => {
		const name = { failed: undefined, stage, start: "start" }[from];
		setBusy(true);
		try {
			await post(`jobs/${job.job_id}/retry`,
			    name === undefined ? {} : { from: name });
			announce(`${title(job)}: queued again`);
			close();
			done?.();
		} catch (e) {
			setProblem(e);
			setBusy(false);
		}
	};

	return html`<${Dialog} title="Run this job again" close=${close}>
		<fieldset><legend>From where?</legend>
			${kept && choice("failed", "The stage that failed")}
			${kept && stages.length > 0 && choice("stage", html`The stage
				<select aria-label="Stage" value=${stage}
				    onChange=${(e) => {
					setStage(e.target.value);
					setFrom("stage");
				}}>
				${stages.map((s) => html`<option key=${s.name}
				    value=${s.name}>${words(s.name)}</option>`)}
				</select>`)}
			${choice("start", "The start")}
		</fieldset>
		${problem && html`<${Trouble} problem=${problem}
			what="It does not run again." />`}
		<div class="buttons">
			<button type="button" onClick=${close}>Back</button>
			<button type="button" class="primary" disabled=${busy}
			    onClick=${go}>Run again</button>
		</div>
	<//>`;
}

/* ---- delete ---------------------------------------------------------- */

function DeleteDialog({ job, done, close }) {
	return html`<${Confirm} title="Delete this job?" verb="Delete"
	    danger=${true} close=${close}
	    text=${html`<span dir="auto">${title(job)}</span>, its results and
		its history are gone for good.`}
	    yes=${async () => {
		await del(`jobs/${job.job_id}`);
		announce(`${title(job)}: deleted`);
		done?.();
	    }} />`;
}

/* ---- buttons --------------------------------------------------------- */

const DIALOGS = {
	cancel: CancelDialog, retry: RetryDialog, delete: DeleteDialog,
};

/*
 * The dialog that is open, and what opens it: open("cancel", job).
 * DONE(what, job) is called when it was done.
 */
export function useActions(done) {
	const [asked, setAsked] = useState(null);
	const open = (what, job) => setAsked({ what, job });
	const dialog = asked && html`<${DIALOGS[asked.what]} job=${asked.job}
	    close=${() => setAsked(null)}
	    done=${() => done?.(asked.what, asked.job)} />`;

	return { open, dialog };
}

export function canRetry(job) {
	return job.status === "failed" || job.status === "cancelled";
}

/* The one likely action of a row. */
export function RowAction({ job, open }) {
	if (!ended(job))
		return html`<button type="button" class="small"
		    aria-label=${`Cancel ${title(job)}`}
		    onClick=${() => open("cancel", job)}>Cancel</button>`;
	if (canRetry(job))
		return html`<button type="button" class="small"
		    aria-label=${`Run ${title(job)} again`}
		    onClick=${() => open("retry", job)}>
		    <${Icon} name="retry" />Run again</button>`;
	return null;
}
