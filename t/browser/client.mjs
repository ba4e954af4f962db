// web/live.js in node: EventSource, fetch and the clock are ours.

import { mock } from "node:test";
import { given, is, main, ok } from "./say.mjs";

// ---- a browser, as far as live.js knows one -------------------------------

class Target extends EventTarget {
	hidden = false;
	baseURI = "http://site.test/";
}

let streams = [];		// opened so far
let answer = () => new Response(null, { status: 500 });
let asked = [];			// [url, If-None-Match] of each fetch

class FakeSource {
	static CONNECTING = 0;
	static OPEN = 1;
	static CLOSED = 2;
	readyState = 0;
	handlers = {};

	constructor(url) {
		this.url = String(url);
		streams.push(this);
	}
	addEventListener(type, f) {
		this.handlers[type] = f;
	}
	close() {
		this.readyState = 2;
	}
	// What a server or a network does.
	open() {
		this.readyState = 1;
		this.onopen({});
	}
	event(data, id = "", type = "message") {
		this.handlers[type]({ data: JSON.stringify(data),
		    lastEventId: String(id) });
	}
	ping() {
		this.handlers.ping({});
	}
	breaks() {		// the browser will open it again
		this.readyState = 0;
		this.onerror({});
	}
	fails() {		// it will not
		this.readyState = 2;
		this.onerror({});
	}
}

function install() {
	const browser = {
		document: new Target(), window: new Target(),
		EventSource: FakeSource,
		navigator: { onLine: true },
		performance: { getEntriesByType: () => [
			{ nextHopProtocol: "http/1.1" }] },
		fetch: async (url, init) => {
			asked.push([String(url),
			    init.headers?.["If-None-Match"] ?? ""]);
			const r = await answer(String(url), init);
			if (init.signal.aborted)
				throw new DOMException("", "AbortError");
			return r;
		},
	};
	for (const [name, value] of Object.entries(browser))
		Object.defineProperty(globalThis, name,
		    { value, configurable: true, writable: true });
	mock.timers.enable({ apis: ["setTimeout", "Date"], now: 1e12 });
}

// Let promises run, then MS go by, in steps so that each timer sees its time.
async function pass(ms = 0) {
	const settle = async () => {
		for (let i = 0; i < 20; i++)
			await Promise.resolve();
		await new Promise((r) => setImmediate(r));
	};

	await settle();
	for (let left = ms; left > 0; left -= 100) {
		mock.timers.tick(Math.min(left, 100));
		await settle();
	}
}

const job = (n, more = {}) => ({
	job_id: "j", status: "running", progress_percentage: n,
	timestamp: new Date(1e12 + n * 1000).toISOString(), ...more,
});

const json = (data, etag) => new Response(JSON.stringify(data), {
	headers: etag ? { ETag: etag } : {},
});

const refuse = (status) => async () => new Response(null, { status });

// ---- one client, and what it told ------------------------------------------

let Live, takePlace;

async function follow(options = {}) {
	const told = { states: [], events: [], late: [] };

	streams = [];
	asked = [];
	answer = refuse(500);
	told.live = new Live("/stream", {
		poll: "/status",
		onState: (l) => told.states.push(l.state),
		onEvent: (e, about) => (about.late ? told.late : told.events)
		    .push(e.progress_percentage),
		...options,
	});
	await pass();
	return told;
}

const newest = () => streams.at(-1);

// ---- tests ------------------------------------------------------------------

async function opens() {
	const t = await follow();

	is(t.live.state, "connecting", "begins as connecting");
	is(newest().url, "http://site.test/stream", "opens the stream");
	newest().open();
	newest().event(job(1), 1);
	is(t.live.state, "live", "the first event makes it live");
	newest().event(job(2), 2);
	newest().event(job(2), 2);
	is(t.events, [1, 2], "an event that comes twice is told once");
	is(asked, [], "nothing is polled meanwhile");
	await pass(30000);
	newest().event({ not: "json" }, "");
	newest().handlers.message({ data: "{", lastEventId: "" });
	ok(true, "an event that is no JSON does no harm");
	t.live.close();
	is(newest().readyState, 2, "close() closes the stream");
	is(t.states, ["live"], "and is not told as a change");
	await pass(100000);
	is(streams.length, 1, "nothing is opened afterwards");
}

async function silentAndOpen() {
	const t = await follow();

	newest().open();
	is(t.live.state, "connecting", "open is not live yet");
	await pass(1500);
	is(t.live.state, "live", "a stream that stays open is");
	t.live.close();
}

async function reconnects() {
	const t = await follow();

	newest().open();
	newest().event(job(1), 7);
	newest().breaks();
	is(t.live.state, "reconnecting", "a stream that breaks");
	is(streams.length, 1, "is left to the browser");
	newest().open();
	newest().event(job(2), 8);
	is(t.live.state, "live", "which brings it back");
	newest().breaks();
	newest().breaks();
	newest().breaks();
	await pass(2500);
	is(streams.length, 2, "after three failures we open another one");
	is(newest().url, "http://site.test/stream?last_event_id=8",
	    "and say what we have seen");
	t.live.close();
}

async function ends() {
	const t = await follow();

	newest().open();
	newest().event(job(100, { status: "completed" }), 9);
	is(t.live.state, "live", "the last event alone does not close it");
	newest().breaks();
	is([t.live.state, t.live.reason], ["closed", "ended"],
	    "the end of the stream after it does");
	is(newest().readyState, 2, "the browser may not come back");

	const u = await follow();
	newest().open();
	newest().event(job(100, { status: "failed" }), 9);
	await pass(5000);
	is(u.live.state, "closed", "a stream that does not end is closed");

	const v = await follow();
	newest().event(job(90, { status: "failed" }), 9);
	newest().event(job(10), 10);
	await pass(5000);
	is(v.live.state, "live", "an end that is followed by more is none");
	v.live.close();
}

async function gone204() {
	const t = await follow();

	answer = async () => json(job(100, { status: "completed" }));
	newest().fails();
	await pass();
	is([t.live.state, t.live.reason], ["closed", "ended"],
	    "204: the status tells that it has ended");
	is(t.events, [100], "and the page gets to know it");
}

async function refused() {
	for (const status of [401, 404]) {
		const t = await follow();
		answer = refuse(status);
		newest().fails();
		await pass();
		is([t.live.state, t.live.reason, t.live.status],
		    ["closed", "refused", status], `${status} is for good`);
		await pass(100000);
		is(streams.length, 1, "nobody asks again");
	}
}

async function polls() {
	const t = await follow();
	let n = 1;

	answer = async (url, init) => init.headers["If-None-Match"] === `"${n}"` ?
	    new Response(null, { status: 304 }) : json(job(n), `"${n}"`);
	newest().fails();
	await pass();
	is([t.live.state, t.events], ["polling", [1]],
	    "streams are refused: it polls at once");
	await pass(5100);
	is(asked.at(-1)[1], '"1"', "with the tag of the last answer");
	is(t.events, [1], "and an answer that is old news is none");
	n = 2;
	await pass(5100);
	is(t.events, [1, 2], "what is new is told");
	ok(streams.length >= 2, "a stream is tried again now and then");
	newest().open();
	newest().event(job(3), 3);
	is(t.live.state, "live", "until one opens");
	const before = asked.length;
	await pass(20000);
	is(asked.length, before, "and then nothing is polled");
	t.live.close();
}

async function backsOff() {
	const t = await follow();
	const at = [];

	answer = async () => json(job(1));
	for (let i = 0; i < 9; i++) {
		at.push(Date.now());
		newest().fails();
		const count = streams.length;
		for (let s = 0; s < 700 && streams.length === count; s++)
			await pass(100);
	}
	const gaps = at.slice(1).map((x, i) => x - at[i]);
	ok(gaps[0] <= 2100, "the first pause is short");
	ok(gaps.at(-1) >= 30000 && gaps.at(-1) <= 60100,
	    `the last is long, but bounded: ${gaps.at(-1)} ms`);
	t.live.close();
}

async function pollsWhileAway() {
	const t = await follow();

	newest().open();
	newest().event(job(1), 1);
	answer = async () => json(job(5));
	newest().breaks();
	await pass(4000);
	is(t.live.state, "reconnecting", "a short break is only that");
	await pass(2000);
	is([t.live.state, t.events], ["polling", [1, 5]],
	    "a longer one is bridged by polling");
	newest().open();
	for (const n of [2, 3, 4, 5])
		newest().event(job(n), n);
	is(t.late, [2, 3, 4], "what was missed comes, and is marked late");
	is(t.live.last.progress_percentage, 5, "the newest stays the newest");
	t.live.close();
}

async function watches() {
	const t = await follow();

	newest().open();
	newest().event(job(1), 1);
	answer = async () => json(job(1));
	await pass(41000);
	is([asked.length, t.live.state], [1, "live"],
	    "40 s of silence: the status agrees, all is well");
	answer = async () => json(job(2));
	await pass(41000);
	await pass(3000);
	is([streams.length, t.live.state], [2, "reconnecting"],
	    "the status knows more: the stream is opened anew");
	newest().open();
	newest().event(job(2), 2);
	answer = async () => json(job(3));
	await pass(40500);
	newest().event(job(3), 3);
	await pass(3000);
	is([streams.length, t.live.state], [2, "live"],
	    "the stream was only late: it stays");
	answer = async () => { throw new TypeError("network"); };
	await pass(41000);
	is([streams.length, t.live.state], [3, "reconnecting"],
	    "no answer at all: the stream is dead");
	t.live.close();
}

async function pings() {
	const t = await follow({ poll: undefined });

	newest().open();
	for (let i = 0; i < 10; i++) {
		newest().ping();
		await pass(15000);
	}
	is([streams.length, t.live.state], [1, "live"],
	    "pings are signs of life");
	await pass(30000);
	is(streams.length, 2, "without them, and without a status to ask, " +
	    "the stream is opened anew");
	t.live.close();
}

async function offline() {
	const t = await follow();

	newest().open();
	newest().event(job(1), 1);
	answer = async () => { throw new TypeError("network"); };
	navigator.onLine = false;
	window.dispatchEvent(new Event("offline"));
	await pass();
	is(t.live.state, "offline", "no network, and no answer");
	answer = async () => json(job(1));
	navigator.onLine = true;
	window.dispatchEvent(new Event("online"));
	await pass();
	newest().open();
	newest().event(job(2), 2);
	is(t.live.state, "live", "comes back with the network");
	navigator.onLine = false;
	window.dispatchEvent(new Event("offline"));
	await pass();
	is(t.live.state, "live",
	    "a browser that thinks it is offline can be wrong");
	navigator.onLine = true;
	t.live.close();
}

async function resets() {
	const t = await follow();

	newest().open();
	newest().event(job(50), 50);
	newest().event(job(3), 3, "reset");
	is(t.events, [50, 3], "a reset counts, whatever its number");
	is(t.live.lastId, "3", "and numbers go on from there");
	t.live.close();
}

async function tickets() {
	let n = 0;
	const t = await follow({ ticket: async () => `t${++n}` });

	is(newest().url, "http://site.test/stream?ticket=t1",
	    "a ticket is made for the stream");
	t.live.close();
	const u = await follow({ ticket: async () => {
		if (++n < 4)
			throw new Error("no ticket");
		return `t${n}`;
	} });
	answer = async () => json(job(1));
	/* The pauses are spread at random. */
	for (let i = 0; i < 20 && !newest(); i++)
		await pass(500);
	is(newest()?.url, "http://site.test/stream?ticket=t4",
	    "when it cannot be had, it is asked for again");
	u.live.close();
}

async function places() {
	const all = [];

	for (let i = 0; i < 4; i++)
		all.push(await takePlace());
	ok(all.every((p) => p !== null), "there are four places");
	is(await takePlace(), null, "and not a fifth");
	const t = await follow();
	is(streams.length, 0, "without a place nothing is opened");
	answer = async () => json(job(1));
	await pass(11000);
	is([t.live.state, t.events], ["polling", [1]], "it polls");
	all[0].release();
	all[0].release();
	await pass(5100);
	is(streams.length, 1, "until there is a place");
	is(await takePlace(), null, "one that was left twice is one");
	t.live.close();
	const last = await takePlace();
	ok(last !== null, "close() leaves it");
	for (const p of [...all.slice(1), last])
		p.release();
}

await main(async () => {
	install();
	({ Live, takePlace } = await import(`${given.top}/web/live.js`));
	for (const test of [opens, silentAndOpen, reconnects, ends, gone204,
	    refused, polls, backsOff, pollsWhileAway, watches, pings, offline,
	    resets, tickets, places])
		await test();
});
