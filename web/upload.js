/*
 * Bring a file in: choose or drop it, say which pipeline shall have it, and
 * watch it go.
 *
 * Files wait in one queue and go one after the other, whatever page is shown
 * meanwhile.  XMLHttpRequest, because fetch() does not tell how much has gone.
 */

import { get, problem, Problem, signedOut, url } from "./api.js";
import { bytes, duration, percent, words } from "./format.js";
import { announce, Bar, html, Icon, Skeleton, Trouble, useEffect, useId,
    useRef, useState } from "./ui.js";
import { useKey } from "./keys.js";

/* Speed is that of the last seconds. */
const SPEED_MS = 4000;

/* ---- the queue ------------------------------------------------------- */

/*
 *	[waiting] -> [sending] -> [checking] -> done: off the list
 *	    ^           |             |
 *	    |           v             v
 *	    '------- [failed], or [offline] until the network is back
 */
const queue = [];
const changed = new EventTarget();
let number = 0;

function tell() {
	changed.dispatchEvent(new Event("change"));
}

export function useUploads() {
	const [, draw] = useState(0);

	useEffect(() => {
		const f = () => draw((n) => n + 1);
		changed.addEventListener("change", f);
		return () => changed.removeEventListener("change", f);
	}, []);
	return queue;
}

/* DONE(job) is called when the server has taken it. */
function enqueue(file, pipeline, options, done) {
	queue.push({
		key: ++number, file, pipeline, options, done, state: "waiting",
		sent: 0, total: file.size, speed: 0, samples: [],
		problem: null, request: null, once: randomKey(),
	});
	next();
}

/* So that the same upload, sent again, makes no second job. */
function randomKey() {
	return Array.from(crypto.getRandomValues(new Uint8Array(16)),
	    (b) => b.toString(16).padStart(2, "0")).join("");
}

function next() {
	const busy = queue.some((u) => u.request !== null);
	const upload = queue.find((u) => u.state === "waiting");

	if (!busy && upload)
		send(upload);
	tell();
}

function send(upload) {
	const r = new XMLHttpRequest();
	const form = new FormData();

	form.append("pipeline", upload.pipeline);
	for (const [name, value] of Object.entries(upload.options))
		form.append(name, value);
	form.append("file", upload.file);
	Object.assign(upload, { state: "sending", request: r, problem: null,
	    sent: 0, samples: [] });
	r.upload.onprogress = (e) => gone(upload, e);
	r.upload.onload = () => {
		upload.state = "checking";
		tell();
	};
	r.onload = () => answered(upload, r);
	r.onerror = () => lost(upload);
	r.open("POST", url("jobs"));
	r.setRequestHeader("Accept", "application/json");
	r.setRequestHeader("Idempotency-Key", upload.once);
	r.send(form);
}

function gone(upload, { loaded, total }) {
	const now = Date.now();
	const { samples } = upload;

	samples.push([now, loaded]);
	while (samples.length > 2 && now - samples[0][0] > SPEED_MS)
		samples.shift();
	const [t, n] = samples[0];
	Object.assign(upload, { sent: loaded, total,
	    speed: now > t ? (loaded - n) / (now - t) * 1000 : 0 });
	tell();
}

function answered(upload, r) {
	let body = {};

	upload.request = null;
	try {
		body = JSON.parse(r.responseText);
	} catch {
		/* a proxy's page */
	}
	if (r.status === 202 && body.job_id) {
		remove(upload);
		announce(`${upload.file.name}: uploaded`);
		upload.done(body);
		return;
	}
	if (r.status === 401)
		signedOut();
	fail(upload, problem(r.status, body, (name) =>
	    r.getResponseHeader(name)));
}

function lost(upload) {
	upload.request = null;
	if (navigator.onLine)
		return fail(upload, new Problem(0,
		    "The connection was lost on the way."));
	upload.state = "offline";
	next();
}

function fail(upload, why) {
	Object.assign(upload, { state: "failed", problem: why });
	announce(`${upload.file.name}: not uploaded`);
	next();
}

function restart(upload) {
	upload.state = "waiting";
	next();
}

function remove(upload) {
	upload.request?.abort();
	upload.request = null;
	queue.splice(queue.indexOf(upload), 1);
	next();
}

window.addEventListener("online", () => queue
    .filter((u) => u.state === "offline").forEach(restart));

window.addEventListener("beforeunload", (e) => {
	if (queue.some((u) => u.state === "sending"))
		e.preventDefault();	/* the browser asks */
});

/* ---- its rows -------------------------------------------------------- */

function tale(upload) {
	const { state, sent, total, speed } = upload;

	if (state === "waiting")
		return "Waits for the one before it";
	if (state === "offline")
		return "Waits for the network";
	if (state === "checking")
		return "The server checks it";
	const all = `${bytes(Math.min(sent, total))} of ${bytes(total)}`;
	if (speed <= 0)
		return all;
	return `${all} · ${bytes(speed)}/s · about ${
		duration(Math.max(1, (total - sent) / speed))} left`;
}

function Row({ upload }) {
	const { file, state } = upload;
	const done = upload.total > 0 ? upload.sent / upload.total * 100 : 0;

	return html`<li class="upload">
		<div><p class="name" dir="auto">${file.name}</p>
		${state === "failed" ? html`<${Trouble} what="Not uploaded."
		    problem=${upload.problem} />` : html`
		<div class="gauge">
			<${Bar} value=${done} of=${`the upload of ${file.name}`}
			    status=${state === "sending" ? "running" :
				"pending"} />
			<span class="number">${percent(done)}</span>
		</div>
		<p class="story">${tale(upload)}</p>`}</div>
		<div class="buttons">
			${state === "failed" && html`<button type="button"
			    class="small" onClick=${() => restart(upload)}>
			    Try again</button>`}
			<button type="button" class="small"
			    onClick=${() => remove(upload)}>
			    ${state === "failed" ? "Forget it" :
				"Cancel"}</button>
		</div>
	</li>`;
}

/* Those that failed are shown where there is something to do about it. */
export function Uploads({ failed }) {
	const uploads = useUploads().filter((u) => failed ||
	    u.state !== "failed");

	return uploads.length > 0 && html`<section class="card"
	    aria-label="Uploads"><ul class="uploads">${uploads.map((u) =>
		html`<${Row} key=${u.key} upload=${u} />`)}</ul></section>`;
}

/* ---- what a pipeline wants to know ------------------------------------ */

const INPUTS = {
	text: ({ set, value, id }) => html`<input id=${id} value=${value}
	    onInput=${(e) => set(e.target.value)} />`,
	number: ({ option, set, value, id }) => html`<input id=${id}
	    type="number" step="any" required min=${option.least}
	    max=${option.most} value=${value}
	    onInput=${(e) => set(e.target.value)} />`,
	boolean: ({ set, value, id }) => html`<input id=${id} type="checkbox"
	    checked=${value === "true"}
	    onChange=${(e) => set(String(e.target.checked))} />`,
	choice: ({ option, set, value, id }) => html`<select id=${id}
	    value=${value} onChange=${(e) => set(e.target.value)}>
	    ${option.choices.map((c) => html`<option key=${c} value=${c}>
		${c}</option>`)}</select>`,
};

/* Numbers without bounds have those of a double. */
function range({ type, least, most }) {
	return type === "number" && Math.abs(most - least) < 1e15 ?
	    ` (${least} to ${most})` : "";
}

function Option({ option, value, set }) {
	const id = useId();
	const Input = INPUTS[option.type] ?? INPUTS.text;

	return html`<div class=${`field is-${option.type}`}>
		<label for=${id}>${words(option.name)}${range(option)}</label>
		<${Input} id=${id} option=${option} value=${value} set=${set} />
	</div>`;
}

/* ---- refusing before the first byte ----------------------------------- */

function takes(pipeline, type) {
	return pipeline.accept.some((a) => a === "*/*" || a === type ||
	    (a.endsWith("/*") && type.startsWith(a.slice(0, -1))));
}

/* Why FILE cannot go in, or "".  The server looks at its content, too. */
function refusal(pipeline, file) {
	if (pipeline.max_size && file.size > pipeline.max_size)
		return `${file.name} has ${bytes(file.size)}; ` +
		    `${pipeline.title} takes at most ` +
		    `${bytes(pipeline.max_size)}.`;
	if (file.size === 0)
		return `${file.name} is empty.`;
	if (file.type !== "" && !takes(pipeline, file.type))
		return `${file.name} is ${file.type}; ` +
		    `${pipeline.title} takes ${pipeline.accept.join(", ")}.`;
	return "";
}

/* ---- the drop zone ---------------------------------------------------- */

function DropZone({ pipeline, take }) {
	const [over, setOver] = useState(false);
	const input = useRef(null);
	const taken = (files) => {
		setOver(false);
		if (files.length > 0)
			take([...files]);
	};

	useKey("u", "choose a file", () => input.current.click());
	useEffect(() => {
		/* Beside the zone, a file would replace the page. */
		const f = (e) => e.preventDefault();
		addEventListener("dragover", f);
		addEventListener("drop", f);
		return () => {
			removeEventListener("dragover", f);
			removeEventListener("drop", f);
		};
	}, []);
	return html`<div class=${`drop ${over ? "over" : ""}`}
	    onDragOver=${(e) => { e.preventDefault(); setOver(true); }}
	    onDragLeave=${() => setOver(false)}
	    onDrop=${(e) => {
		e.preventDefault();
		taken(e.dataTransfer.files);
	    }}>
		<button type="button" onClick=${() => input.current.click()}>
			<${Icon} name="upload" />
			<span>Drop a file here, or choose one</span>
			<small>${limits(pipeline)}</small>
		</button>
		<input ref=${input} type="file" hidden multiple
		    accept=${pipeline.accept.join(",")}
		    onChange=${(e) => {
			taken(e.target.files);
			e.target.value = "";
		    }} />
	</div>`;
}

/* Bytes of no known type are taken on trial: nothing to advertise. */
function limits({ accept, max_size }) {
	const types = accept.filter((a) => a !== "application/octet-stream")
	    .map((a) => a.endsWith("/*") ? `any ${a.slice(0, -2)}` : a);

	return [...types, ...max_size ? [`up to ${bytes(max_size)}`] : []]
	    .join(", ");
}

/* A pipeline may write "yes" for true. */
function initialOf({ type, default: value }) {
	const text = String(value ?? "");

	return type !== "boolean" ? text :
	    String(/^(true|yes|on|1)$/i.test(text));
}

function initial(pipeline) {
	return Object.fromEntries(pipeline.options.map((o) =>
	    [o.name, initialOf(o)]));
}

/* Only what differs from what the pipeline does anyway. */
function chosen(pipeline, values) {
	return Object.fromEntries(pipeline.options
	    .filter((o) => values[o.name] !== initialOf(o))
	    .map((o) => [o.name, values[o.name]]));
}

function Chooser({ pipelines, done }) {
	const [name, setName] = useState(pipelines[0].name);
	const pipeline = pipelines.find((p) => p.name === name);
	const [values, setValues] = useState(initial(pipeline));
	const [refused, setRefused] = useState([]);
	const form = useRef(null), id = useId();
	const choose = (e) => {
		setName(e.target.value);
		setValues(initial(pipelines.find((p) =>
		    p.name === e.target.value)));
		setRefused([]);
	};
	const take = (files) => {
		if (!form.current.reportValidity())
			return;
		setRefused(files.map((f) => refusal(pipeline, f))
		    .filter(Boolean));
		for (const file of files)
			if (refusal(pipeline, file) === "")
				enqueue(file, name, chosen(pipeline, values),
				    files.length === 1 ? done : () => {});
	};

	return html`<form ref=${form} class="chooser"
	    onSubmit=${(e) => e.preventDefault()}>
		<div class="options">
			<div class="field">
				<label for=${id}>Pipeline</label>
				<select id=${id} value=${name}
				    onChange=${choose}>
				${pipelines.map((p) => html`<option
				    key=${p.name} value=${p.name}>
				    ${p.title}</option>`)}</select>
			</div>
			${pipeline.options.map((o) => html`<${Option}
			    option=${o} key=${`${name}/${o.name}`}
			    value=${values[o.name]}
			    set=${(v) => setValues({ ...values, [o.name]: v })}
			    />`)}
		</div>
		<${DropZone} pipeline=${pipeline} take=${take} />
		${pipeline.about && html`<p class="hint">${pipeline.about}</p>`}
		${refused.length > 0 && html`<div class="trouble" role="alert">
			${refused.map((text) => html`<p key=${text}>
				${text}</p>`)}
		</div>`}
	</form>`;
}

/* DONE(job) is called when a file that came alone has become a job. */
export function Upload({ done }) {
	const [pipelines, setPipelines] = useState(null);
	const [trouble, setTrouble] = useState(null);
	const load = () => {
		setTrouble(null);
		get("pipelines").then(({ items }) => setPipelines(
		    items.filter((p) => p.accept.length > 0)), setTrouble);
	};

	useEffect(load, []);
	let body;
	if (trouble)
		body = html`<${Trouble} problem=${trouble} again=${load}
		    what="The pipelines cannot be read." />`;
	else if (pipelines === null)
		body = html`<${Skeleton} />`;
	else if (pipelines.length === 0)
		body = html`<p>No pipeline of this site takes a file.</p>`;
	else
		body = html`<${Chooser} pipelines=${pipelines} done=${done} />`;
	return html`<section class="card"><h1 tabindex="-1">New job</h1>
		${body}</section>`;
}
