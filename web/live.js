/*
 * Follow a job while it runs: by server-sent events, or by polling while
 * those do not come through.
 *
 *	import { Live } from "./live.js";
 *
 *	const live = new Live("/api/v1/jobs/ID/stream", {
 *		poll: "/api/v1/jobs/ID/status",
 *		onEvent: (job) => { bar.value = job.progress_percentage; },
 *		onState: (live) => { pill.textContent = live.state; },
 *	});
 *	...
 *	live.close();
 *
 * This file stands alone: copy it into any page.
 *
 *	             the stream is open
 *	[connecting] -----------------> [live] <-------.
 *	     |                            |  it broke  |
 *	     |                            v            |
 *	     '---------------------> [reconnecting] ---+
 *	        it did not open           |            |
 *	                                  v  5 s later |
 *	                              [polling] -------'
 *
 * From anywhere: [offline] while the browser has no network and nothing comes
 * through, and [closed], for good, when the job has ended, when the server
 * refuses (signed out, no such job), or by close().
 *
 * A stream that is open proves nothing: a connection can be dead without
 * anybody noticing, and keep-alive comments never reach a page.  So after 40 s
 * of silence the status is asked for once; if that fails, or tells of an event
 * that the stream did not bring, the stream is opened anew.
 *
 * An EventSource comes back by itself and says which event it saw last.  When
 * it has given up we open another one, and say so in its URL.
 */

/* No sign of life for this long: ask. */
const SILENCE_MS = 40000;

/* Between an event that only polling saw and the verdict on the stream. */
const LATE_MS = 2000;

/* A stream that stays open this long is a good one, even if it is silent. */
const SETTLED_MS = 1000;

/* While there is no stream. */
const POLL_MS = 5000;
const POLL_MAX_MS = 30000;
const POLL_TIMEOUT_MS = 20000;

/* The browser's own attempts before we make ours, less and less often. */
const OWN_TRIES = 3;
const BACKOFF_MS = 2000;
const BACKOFF_MAX_MS = 60000;

/* How long a stream may stay open after its last event. */
const END_MS = 3000;

/* Events that are kept. */
const HISTORY = 1000;

/*
 * Streams at a time, of all tabs together: over HTTP/1.1 a browser opens six
 * connections to one host, and each page needs some for itself.
 */
const STREAMS = 4;

/* Nothing follows by itself. */
const ENDS = ["completed", "failed", "cancelled"];

/*
 * A place among the streams of this browser: an object to release(), or null
 * when all are taken.  Newer protocols need no places.
 */
export async function takePlace() {
	const page = performance.getEntriesByType("navigation")[0];

	if (/^h[23]/.test(page?.nextHopProtocol ?? ""))
		return { release() {} };
	if (!navigator.locks)		/* only on HTTPS and localhost */
		return takeOwnPlace();
	for (let i = 0; i < STREAMS; i++) {
		const place = await takeLock(`millrace-stream-${i}`);
		if (place !== null)
			return place;
	}
	return null;
}

function takeLock(name) {
	return new Promise((resolve) => {
		navigator.locks.request(name, { ifAvailable: true }, (lock) => {
			if (lock === null)
				return resolve(null);
			return new Promise((release) => resolve({ release }));
		}).catch(() => resolve(null));
	});
}

let own = 0;

function takeOwnPlace() {
	if (own === STREAMS)
		return null;
	own++;
	let held = true;
	return {
		release() {
			own -= held ? 1 : 0;
			held = false;
		},
	};
}

/* Some answers are for good, others pass. */
function verdict(status) {
	return [400, 401, 403, 404, 410].includes(status) ?
	    { refused: status } : { silent: true };
}

export class Live {
	/*
	 * Follow the stream at URL.  Options, all of which may be left out:
	 *
	 *	poll	  URL that answers with the newest event as JSON
	 *	ticket	  for ?ticket=: text, or an async function that makes it
	 *	token	  for ?token=: likewise
	 *	headers	  of requests to poll, as { Authorization: ... }
	 *	credentials  for another origin: "include"
	 *	events	  names of the events to take
	 *	ended	  (data, name) => whether nothing follows this event
	 *	lastEventId  the event that the page has seen already
	 *	place	  of takePlace(); else one is taken when needed
	 *	onEvent	  (data, { id, name, source, late }, live)
	 *		  late: older than what polling has shown meanwhile
	 *	onState	  (live), when state, reason or status changed
	 */
	constructor(url, options = {}) {
		this.url = new URL(url, document.baseURI);
		this.options = {
			events: ["message", "reset"],
			ended: (data) => ENDS.includes(data?.status),
			...options,
		};

		this.state = "connecting";
		this.reason = "";	/* in words, for people */
		this.status = 0;	/* of HTTP, when the server refused */
		this.retryAt = 0;	/* ms; 0: nothing is planned */
		this.at = 0;		/* ms; the data was right then */
		this.last = null;	/* newest event */
		this.lastId = options.lastEventId ?? "";
		this.history = [];	/* events, oldest first */

		this.source = null;	/* EventSource */
		this.turn = null;	/* which opening counts */
		this.place = options.place ?? null;
		this.tries = 0;		/* errors since the stream was good */
		this.reopened = 0;	/* by us, since then */
		this.polls = false;	/* meanwhile */
		this.why = "";		/* it does */
		this.failed = 0;	/* polls in a row */
		this.etag = "";
		this.requests = new Set();	/* AbortController */
		this.timers = {};

		this.listeners = [
			[window, "online", () => this.retry()],
			[window, "offline", () => this.check()],
			[window, "pageshow", (e) =>
			    e.persisted && this.retry()],
			[document, "visibilitychange", () => this.#seen()],
		];
		for (const [target, type, f] of this.listeners)
			target.addEventListener(type, f);
		this.#open();
	}

	/* Free everything.  No call of onEvent or onState comes after this. */
	close() {
		this.#end("closed");
	}

	/* Try now, as when somebody presses a button. */
	retry() {
		if (this.state === "closed" || this.state === "live")
			return;
		this.reopened = this.failed = 0;
		this.#drop();
		this.#open();
		if (this.timers.poll) {
			this.#cancel("poll");
			this.#poll();
		}
	}

	/*
	 * Is the stream alive?  Ask for the status: what it tells should have
	 * come over the stream already, or come in a moment.
	 */
	async check() {
		if (this.state !== "live")
			return;
		if (!this.options.poll)
			return this.#renew("The stream is silent.");
		const turn = this.turn, before = this.lastId;
		const answer = await this.#ask();
		if (turn !== this.turn || answer.gone)
			return;
		if (answer.silent || answer.refused)
			return this.#renew("The stream is silent.");
		this.at = Date.now();
		if (!answer.news)
			return this.#watch();
		this.#timer("watch", LATE_MS, () => {
			if (this.lastId === before)
				this.#renew("The stream missed an event.");
			else
				this.#watch();
		});
	}

	/* ---- the stream ------------------------------------------------ */

	async #open() {
		const turn = this.turn = {};

		this.#cancel("open");
		this.retryAt = 0;
		if (this.place === null) {
			const place = await takePlace();
			if (turn !== this.turn)
				return place?.release();
			this.place = place;
		}
		if (this.place === null)
			return this.#startPolling(
			    "Other pages of this browser use all streams.");
		const url = await this.#streamUrl().catch(() => null);
		if (turn !== this.turn)
			return;
		if (url === null)
			return this.#refused();		/* no ticket to be had */
		this.source = new EventSource(url, {
			withCredentials: this.options.credentials === "include",
		});
		this.source.onopen = () =>
		    this.#timer("settled", SETTLED_MS, () => this.#alive());
		this.source.onerror = () => this.#broke();
		for (const name of this.options.events)
			this.source.addEventListener(name, (e) =>
			    this.#message(name, e));
		this.source.addEventListener("ping", () => this.#alive());
		this.#pollSoon("The stream does not open.");
	}

	async #streamUrl() {
		const url = new URL(this.url);
		for (const name of ["ticket", "token"]) {
			const proof = this.options[name];
			if (proof)
				url.searchParams.set(name,
				    typeof proof === "function" ?
				    await proof() : proof);
		}
		if (this.lastId !== "")
			url.searchParams.set("last_event_id", this.lastId);
		return url;
	}

	#message(name, e) {
		const id = e.lastEventId;
		let data;

		this.#alive();
		try {
			data = JSON.parse(e.data);
		} catch {
			return;			/* not for us */
		}
		if (name !== "reset" && id !== "" && this.lastId !== "" &&
		    Number(id) <= Number(this.lastId))
			return;			/* seen before */
		if (id !== "")
			this.lastId = id;
		this.#emit(data, { id, name, source: "stream" });
		/*
		 * Of a job that was run again, an older end can be followed by
		 * more.  So the server's end of the stream counts, if it comes.
		 */
		if (this.options.ended(data, name))
			this.#timer("end", END_MS, () => this.#end("ended"));
		else
			this.#cancel("end");
	}

	/* A sign of life. */
	#alive() {
		this.tries = this.reopened = this.failed = 0;
		this.at = Date.now();
		this.retryAt = 0;
		this.polls = false;
		this.#cancel("poll", "grace", "settled");
		this.#abort();
		this.#say("live", "");
		this.#watch();
	}

	#watch() {
		this.#timer("watch", SILENCE_MS, () => this.check());
	}

	/* The stream ended, or did not open. */
	#broke() {
		this.#cancel("settled", "watch");
		if (this.timers.end)
			return this.#end("ended");
		if (this.source.readyState === EventSource.CLOSED)
			return this.#refused();
		if (this.state !== "polling")
			this.#say(this.#away(), "The connection was lost.");
		this.#pollSoon("The stream does not come back.");
		if (++this.tries >= OWN_TRIES)
			this.#reopenLater();
	}

	/* The browser gave up.  It does not say why, so ask. */
	async #refused() {
		this.#drop();
		if (this.state !== "polling")
			this.#say(this.#away(), "The server refuses streams.");
		const turn = this.turn = {};
		const answer = await this.#ask();
		if (turn !== this.turn || answer.gone)
			return;
		if (answer.refused)
			return this.#end("refused", answer.refused);
		if (answer.ended)
			return this.#end("ended");
		this.#reopenLater();
		this.#startPolling("The server refuses streams.");
	}

	/* Open a new stream, each time after a longer and uneven pause. */
	#reopenLater() {
		const most = Math.min(BACKOFF_MAX_MS,
		    BACKOFF_MS * 2 ** this.reopened++);
		const pause = most * (0.5 + Math.random() / 2);

		this.#drop();
		this.tries = 0;
		this.retryAt = Date.now() + pause;
		this.#timer("open", pause, () => this.#open());
	}

	/* The stream is open and yet useless: do not wait with a new one. */
	#renew(why) {
		this.#drop();
		this.#say(this.#away(), why);
		this.#open();
	}

	/* Whatever goes on with the stream is void. */
	#drop() {
		this.turn = null;
		this.source?.close();
		this.source = null;
		this.#cancel("settled", "watch", "end");
	}

	#leave() {
		this.place?.release();
		this.place = null;
	}

	/* ---- polling, until the next sign of life ----------------------- */

	#pollSoon(why) {
		if (!this.polls && !this.timers.grace)
			this.#timer("grace", POLL_MS, () =>
			    this.#startPolling(why));
	}

	#startPolling(why) {
		this.why = why;
		if (this.polls)
			return;
		this.#cancel("grace");
		if (this.options.poll) {
			this.polls = true;
			this.#poll();
		} else if (this.place === null) {
			this.#timer("open", POLL_MS, () => this.#open());
		}
	}

	async #poll() {
		const answer = await this.#ask();

		if (!this.polls || answer.gone)
			return;
		if (answer.refused)
			return this.#end("refused", answer.refused);
		if (answer.ended)
			return this.#end("ended");
		this.failed = answer.silent ? this.failed + 1 : 0;
		const pause = Math.min(POLL_MAX_MS, POLL_MS * 2 ** this.failed);
		if (answer.silent) {
			this.retryAt = Date.now() + pause;
			this.#say(this.#away(), "The server does not answer.");
		} else {
			this.at = Date.now();
			this.#say("polling", this.why);
		}
		this.#timer("poll", pause, () => {
			if (this.place === null)
				this.#open();	/* perhaps there is one now */
			this.#poll();
		});
	}

	/*
	 * Ask for the status.  What is new in it goes to the page.  Returns
	 *
	 *	{ news, ended }	 two truths about the answer
	 *	{ refused }	 for good, with this status
	 *	{ silent }	 no answer, or none that helps
	 *	{ gone }	 nobody waits for it any more
	 */
	async #ask() {
		const request = new AbortController();
		const timer = setTimeout(() => request.abort(),
		    POLL_TIMEOUT_MS);
		let answer;

		this.requests.add(request);
		try {
			answer = this.options.poll ?
			    await this.#askStatus(request.signal) :
			    await this.#askStream(request.signal);
		} catch {
			answer = { silent: true };
		}
		clearTimeout(timer);
		return this.requests.delete(request) ? answer : { gone: true };
	}

	async #askStatus(signal) {
		const headers = { ...this.options.headers };
		if (this.etag !== "")
			headers["If-None-Match"] = this.etag;
		const r = await fetch(new URL(this.options.poll,
		    document.baseURI), {
			headers, signal, cache: "no-store",
			credentials: this.options.credentials ?? "same-origin",
		});
		if (r.status === 304)
			return { news: false, ended: false };
		if (!r.ok)
			return verdict(r.status);
		const data = await r.json();
		if (signal.aborted)
			return null;
		const news = this.#differs(data);
		this.etag = r.headers.get("ETag") ?? "";
		if (news)
			this.#emit(data, { id: "", name: "message",
			    source: "poll" });
		return { news, ended: this.options.ended(data, "message") };
	}

	/* Nothing to poll: the head of the stream's own answer must do. */
	async #askStream(signal) {
		const r = await fetch(await this.#streamUrl(), {
			signal, cache: "no-store",
			credentials: this.options.credentials ?? "same-origin",
		});
		r.body?.cancel();
		if (r.status === 200)
			return { news: false, ended: false };
		return r.status === 204 ? { ended: true } : verdict(r.status);
	}

	#differs(data) {
		if (this.last === null)
			return true;
		if (data.timestamp && this.last.timestamp)
			return data.timestamp > this.last.timestamp;
		return JSON.stringify(data) !== JSON.stringify(this.last);
	}

	#abort() {
		for (const request of this.requests)
			request.abort();
		this.requests.clear();
	}

	/* ---- what the page is told ------------------------------------- */

	#emit(data, about) {
		about.late = about.name !== "reset" &&
		    this.last?.timestamp > data.timestamp;
		if (!about.late)
			this.last = data;
		this.history.push(data);
		if (this.history.length > HISTORY)
			this.history.shift();
		this.options.onEvent?.(data, about, this);
	}

	#say(state, reason) {
		if (this.state === "closed" ||
		    (this.state === state && this.reason === reason))
			return;
		this.state = state;
		this.reason = reason;
		this.options.onState?.(this);
	}

	#away() {
		return navigator.onLine ? "reconnecting" : "offline";
	}

	#end(reason, status = 0) {
		if (this.state === "closed")
			return;
		this.#drop();
		this.#cancel(...Object.keys(this.timers));
		this.#abort();
		this.#leave();
		for (const [target, type, f] of this.listeners)
			target.removeEventListener(type, f);
		this.polls = false;
		this.retryAt = 0;
		this.status = status;
		if (reason === "closed")
			this.state = "closed";		/* who called knows */
		else
			this.#say("closed", reason);
	}

	/* Timers stand still in a tab that sleeps: look at the clock again. */
	#seen() {
		if (!document.hidden && Date.now() - this.at > SILENCE_MS)
			this.check();
	}

	/* One timer of each name; 0 when it is not running. */
	#timer(name, ms, f) {
		this.#cancel(name);
		this.timers[name] = setTimeout(() => {
			this.timers[name] = 0;
			f();
		}, ms);
	}

	#cancel(...names) {
		for (const name of names) {
			clearTimeout(this.timers[name]);
			this.timers[name] = 0;
		}
	}
}
