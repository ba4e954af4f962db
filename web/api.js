/*
 * Talk to /api/v1: JSON in, JSON out, and one kind of error.
 *
 * Who asks is told by the session cookie, which the browser adds by itself,
 * as it does the Origin that the server demands for whatever changes things.
 * Addresses are relative to this file, so that the site may live anywhere.
 */

const root = new URL("api/v1/", import.meta.url);

const TIMEOUT_MS = 30000;

/* Whatever went wrong: STATUS is 0 when there was no answer. */
export class Problem extends Error {
	constructor(status, detail, requestId = "", retryAfter = 0) {
		super(detail);
		this.status = status;
		this.requestId = requestId;
		this.retryAfter = retryAfter;		/* s; 0: not said */
	}
}

/* "out": the server says that nobody is signed in; "in": somebody is again. */
export const session = new EventTarget();

export function signedOut() {
	session.dispatchEvent(new Event("out"));
}

export function signedIn() {
	session.dispatchEvent(new Event("in"));
}

/* How far the server's clock is ahead of ours, ms, to within a second. */
let ahead = 0;

export function serverNow() {
	return Date.now() + ahead;
}

export function url(path) {
	return new URL(path, root).href;
}

async function request(method, path, options = {}) {
	const headers = { Accept: "application/json", ...options.headers };
	const init = {
		method, headers, cache: "no-store", credentials: "same-origin",
		signal: AbortSignal.any([AbortSignal.timeout(TIMEOUT_MS),
		    ...options.signal ? [options.signal] : []]),
	};

	if (options.json !== undefined) {
		headers["Content-Type"] = "application/json";
		init.body = JSON.stringify(options.json);
	}
	let r;
	try {
		r = await fetch(url(path), init);
	} catch (e) {
		if (e.name === "AbortError")
			throw e;
		throw new Problem(0, navigator.onLine ?
		    "The server cannot be reached." :
		    "This device is offline.");
	}
	const date = Date.parse(r.headers.get("Date"));
	if (!Number.isNaN(date) &&
	    Math.abs(date + 500 - Date.now() - ahead) > 1000)
		ahead = date + 500 - Date.now();
	if (!r.ok && r.status !== 304)
		throw await problemOf(r, options.anonymous);
	return r;
}

async function problemOf(r, anonymous) {
	let body = {};

	try {
		body = await r.json();
	} catch {
		/* not ours: a proxy's page, or nothing */
	}
	if (r.status === 401 && !anonymous)
		signedOut();
	return problem(r.status, body, (name) => r.headers.get(name));
}

/* From a status, the parsed body, and what looks up a header. */
export function problem(status, body, header) {
	return new Problem(status, body.detail || body.title ||
	    `The server answered ${status}.`,
	    body.request_id ?? header("X-Request-Id") ?? "",
	    Number(header("Retry-After")) || 0);
}

async function parsed(r) {
	if (r.status === 204)
		return null;
	try {
		return await r.json();
	} catch {
		throw new Problem(0, "The answer is not from this server.");
	}
}

export async function get(path, options) {
	return parsed(await request("GET", path, options));
}

export async function post(path, json, options) {
	return parsed(await request("POST", path, { json, ...options }));
}

export async function del(path) {
	await request("DELETE", path);
}

/* GET again and again, cheaply: undefined while nothing has changed. */
export function again(path) {
	let etag = "";

	return async (signal) => {
		const r = await request("GET", path, {
			signal, headers: etag ? { "If-None-Match": etag } : {},
		});
		if (r.status === 304)
			return undefined;
		const data = await parsed(r);
		etag = r.headers.get("ETag") ?? "";
		return data;
	};
}

/* A path of query parameters; those that are empty are left out. */
export function query(path, parameters) {
	const q = new URLSearchParams();

	for (const [name, value] of Object.entries(parameters))
		if (value)
			q.set(name, value);
	return q.size > 0 ? `${path}?${q}` : path;
}
