import { becomes, complaints, finish, person, pill, record, signIn, tab,
    untilPill, untilState } from "./browser.mjs";
import { call, given, is, main, ok } from "./say.mjs";

// Steps of a job that does not end before it is cancelled.
const ENDLESS = 100000;

function rises(values) {
	return values.every((v, i) => i === 0 || v >= values[i - 1]);
}

// Requests of the page of a job for its status, and for streams.
function countRequests(page) {
	const count = { polls: 0, streams: [] };

	page.on("request", (r) => {
		const { pathname } = new URL(r.url());
		if (!/#\/jobs\//.test(page.url()))
			return;
		if (pathname.endsWith("/status"))
			count.polls++;
		if (pathname.endsWith("/stream"))
			count.streams.push(r);
	});
	return count;
}

// The event that each stream said to have seen last: the browser by a header,
// and when it has given up, the page by the URL.
async function countReturns(page) {
	const client = await page.context().newCDPSession(page);
	const ids = [];

	client.on("Network.requestWillBeSentExtraInfo", ({ headers }) => {
		for (const [name, value] of Object.entries(headers))
			if (name.toLowerCase() === "last-event-id")
				ids.push(value);
	});
	page.on("request", (r) => {
		const id = new URL(r.url()).searchParams.get("last_event_id");
		if (id !== null)
			ids.push(id);
	});
	await client.send("Network.enable");
	return ids;
}

async function uploads(page) {
	const count = countRequests(page);

	await page.getByLabel("Pipeline").selectOption("stepwise");
	await page.setInputFiles("input[type=file]", { name: "notes.txt",
	    mimeType: "text/plain", buffer: Buffer.from("one two three\n") });
	await page.waitForURL(/#\/jobs\/[0-9a-f-]{36}$/);
	ok(true, "a file that was chosen becomes a job, and its page opens");
	const id = page.url().split("/").at(-1);
	await untilState(page, "running");
	await untilPill(page, "Live");
	const bar = await record(page, "article progress", "value");
	const { polls } = count;
	await becomes(() => page.title(), /^\d+ % · notes\.txt · Millrace$/,
	    "the title tells the state");
	await becomes(() => page.getAttribute("link[rel=icon]", "href"),
	    "favicon-running.svg", "the icon, too");
	await leads(page, id, bar);
	await untilState(page, "completed");
	const values = (await bar.jsonValue()).map(Number);
	ok(values.length >= 10 && rises(values),
	    `the bar moved, and never back: ${values.join(", ")}`);
	is(count.polls, polls, "nothing was polled");
	is(count.streams.length, 1, "one stream was enough");
	await becomes(() => page.locator(".stages tbody .state.done").count(),
	    2, "all stages are done");
	await page.getByText("Events", { exact: true }).click();
	const events = await call("events", id);
	await becomes(() => page.locator("details.events tbody tr").count(),
	    events.length, `the page lists all ${events.length} events`);
}

// Bring the job on when the page has seen the step before.
async function leads(page, id, bar) {
	for (let percent = 10; percent <= 90; percent += 10) {
		const seen = (await bar.jsonValue()).length;
		await call("tell", id, `progress ${percent} ${percent} lines`);
		await page.waitForFunction(([all, n]) => all.length > n,
		    [bar, seen]);
	}
	await call("tell", id, "end");
}

async function drops(page) {
	await page.goto("/#/");
	await page.getByRole("heading", { name: "New job" }).waitFor();
	await page.getByLabel("Steps").fill("2");
	const data = await page.evaluateHandle(() => {
		const d = new DataTransfer();
		d.items.add(new File(["dropped text\n"], "dropped.txt",
		    { type: "text/plain" }));
		return d;
	});
	await page.dispatchEvent(".drop", "dragover", { dataTransfer: data });
	await page.dispatchEvent(".drop", "drop", { dataTransfer: data });
	await page.getByRole("heading", { name: "dropped.txt" }).waitFor();
	await untilState(page, "completed");
	await page.locator(".facts").getByText("Steps", { exact: true })
	    .waitFor();
	ok(true, "a file that was dropped is, with the option that was set");
	await page.goto("/#/");
	await page.setInputFiles("input[type=file]", { name: "a.png",
	    mimeType: "image/png", buffer: Buffer.from("x") });
	await page.getByText("a.png is image/png").waitFor();
	ok(true, "a file of another type is refused before it is sent");
}

// The answer to an upload is lost: sent again, it makes no second job.
async function lostAnswer(page) {
	let id = null;

	await page.route("**/api/v1/jobs", async (r) => {
		id = (await (await r.fetch()).json()).job_id;
		await r.abort("connectionreset");
	});
	await page.goto("/#/");
	await page.getByRole("heading", { name: "New job" }).waitFor();
	await page.getByLabel("Steps").fill("1");
	await page.setInputFiles("input[type=file]", { name: "once.txt",
	    mimeType: "text/plain", buffer: Buffer.from("once\n") });
	await page.getByText("The connection was lost on the way.").waitFor();
	ok(true, "a connection that is lost on the way is said to be");
	await page.unroute("**/api/v1/jobs");
	await page.getByRole("button", { name: "Try again" }).click();
	await page.waitForURL(/#\/jobs\//);
	await becomes(() => page.url().split("/").at(-1), id,
	    "and the job is made once");
	await untilState(page, "completed");
}

// Ids of all events that a client of live.js gets, while WORK goes on.
async function follow(page, id, work) {
	await page.evaluate(async (id) => {
		const { Live } = await import("/live.js");
		window.got = [];
		window.states = [];
		window.live = new Live(`/api/v1/jobs/${id}/stream`, {
			poll: `/api/v1/jobs/${id}/status`,
			onEvent: (e, about) => about.source === "stream" &&
			    window.got.push(Number(about.id)),
			onState: (l) => window.states.push(l.state),
		});
	}, id);
	await page.waitForFunction(() => window.got.length > 3);
	await work();
	await page.waitForFunction(() => window.live.state === "closed");
	return page.evaluate(() => ({ got: window.got, states: window.states,
	    reason: window.live.reason }));
}

async function hubDies(page) {
	const id = await call("submit", ENDLESS);
	const ids = await countReturns(page);

	await page.goto(`/#/jobs/${id}`);
	await untilState(page, "running");
	await untilPill(page, "Live");
	const { got, states, reason } = await follow(page, id, async () => {
		for (let i = 0; i < 2; i++)
			await killHub(page, i + 2);
		await call("cancel", id);
	});
	const last = (await call("events", id)).at(-1).seq;
	const all = Array.from({ length: last - got[0] + 1 },
	    (_, i) => got[0] + i);
	is(got, all, `all ${all.length} events came, each once`);
	is(reason, "ended", "the client closed when the job had ended");
	is(states.filter((s) => s === "live").length, 3, "live three times");
	await untilState(page, "cancelled");
	ok(ids.length >= 2, "who came back said what it had seen last: " +
	    ids.join(", "));
}

// Both the page and the client of follow() notice, and are live again: for the
// NTH time, as to the client.
async function killHub(page, nth) {
	const pills = await record(page, ".pill");

	await call("kill", "KILL", "sse");
	await page.waitForFunction((all) => all.some((text) =>
	    /Reconnecting|Polling/.test(text)), pills);
	ok(true, "the hub was killed, and the page says so");
	await untilPill(page, "Live");
	await page.waitForFunction((n) => window.states.filter((s) =>
	    s === "live").length === n, nth);
}

async function hubIsAway(page) {
	const id = await call("submit", ENDLESS);

	await page.goto(`/#/jobs/${id}`);
	await untilState(page, "running");
	await untilPill(page, "Live");
	await call("stop", "sse");
	await untilPill(page, "Polling");
	const story = await record(page, "article .story");
	await page.waitForFunction((all) => all.length > 1, story);
	ok(true, "while the hub is away the page polls, and goes on");
	await call("start_program", "sse");
	await untilPill(page, "Live");
	ok(true, "and is live again when it is back");
	await call("cancel", id);
	await untilState(page, "cancelled");
}

async function refused(page) {
	await page.route("**/stream*", (r) => r.fulfill({ status: 503 }));
	const id = await call("submit", ENDLESS);
	await page.goto(`/#/jobs/${id}`);
	await untilPill(page, "Polling");
	await becomes(() => page.locator(".pill").first().getAttribute("title"),
	    "The server refuses streams.", "refused streams: the page polls");
	await untilState(page, "running");
	await call("cancel", id);
	await untilState(page, "cancelled");
	ok(true, "to the end of the job");
	await page.unroute("**/stream*");
}

async function offline(page) {
	const id = await call("submit", ENDLESS);

	await page.goto(`/#/jobs/${id}`);
	await untilPill(page, "Live");
	await page.context().setOffline(true);
	await call("kill", "KILL", "sse");
	await untilPill(page, "Offline");
	ok(true, "without a network the page says so");
	await page.context().setOffline(false);
	await untilPill(page, "Live");
	ok(true, "and comes back with it");
	await call("cancel", id);
	await untilState(page, "cancelled");
}

// Six connections to one host is all that a browser opens over HTTP/1.1.
async function manyTabs(page) {
	const id = await call("submit", ENDLESS), tabs = [];

	for (let i = 0; i < 8; i++) {
		const one = await tab(page.context());
		tabs.push(one);
		await one.goto(`/#/jobs/${id}`);
		await one.locator(".heading .state").waitFor();
	}
	ok(true, "eight tabs of one browser all load");
	await becomes(async () => (await Promise.all(tabs.map(async (one) =>
	    (await pill(one)).split(" ")[0]))).sort().join(" "),
	    "Live Live Live Live Polling Polling Polling Polling",
	    "four of them have a stream, the others poll");
	await call("cancel", id);
	for (const one of tabs)
		await untilState(one, "cancelled");
	ok(true, "all see the end");
	for (const one of tabs)
		await one.close();
}

await main(async () => {
	const page = await person();

	await signIn(page, given.ana);
	await uploads(page);
	await drops(page);
	await lostAnswer(page);
	await hubDies(page);
	await hubIsAway(page);
	await refused(page);
	await offline(page);
	await manyTabs(page);
	is(complaints(/Failed to load resource.*(stream|status|steps|jobs)/,
	    /ERR_INTERNET_DISCONNECTED/), [], "no page complains");
}, finish);
