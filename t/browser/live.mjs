import { complaints, finish, person, pill, signIn, tab, untilPill,
    untilState } from "./browser.mjs";
import { call, given, is, main, ok } from "./say.mjs";

// Every value that the bar of the page takes, from now on.
function watchBar(page) {
	return page.evaluate(() => {
		const bar = document.querySelector("article progress");
		window.values = [bar.value];
		new MutationObserver(() => window.values.push(bar.value))
		    .observe(bar, { attributes: true });
	});
}

function rises(values) {
	return values.every((v, i) => i === 0 || v >= values[i - 1]);
}

// Requests of this page for the status of a job, and for streams.
function countRequests(page) {
	const count = { polls: 0, streams: [] };

	page.on("request", (r) => {
		const { pathname } = new URL(r.url());
		if (pathname.endsWith("/status"))
			count.polls++;
		if (pathname.endsWith("/stream"))
			count.streams.push(r);
	});
	return count;
}

async function uploads(page) {
	const count = countRequests(page);

	await page.setInputFiles("input[type=file]", { name: "notes.txt",
	    mimeType: "text/plain", buffer: Buffer.from("one two three\n") });
	await page.waitForURL(/#\/jobs\/[0-9a-f-]{36}$/);
	ok(true, "a file that was chosen becomes a job, and its page opens");
	await untilState(page, "running");
	await watchBar(page);
	await untilPill(page, "Live");
	ok(/^\d+ % · notes\.txt · Millrace$/.test(await page.title()),
	    `the title tells the state: ${await page.title()}`);
	is(await page.getAttribute("link[rel=icon]", "href"),
	    "favicon-running.svg", "the icon, too");
	await untilState(page, "completed");
	const values = await page.evaluate(() => window.values);
	ok(values.length >= 10 && rises(values),
	    `the bar moved, and never back: ${values.length} values`);
	is(count.polls, 0, "nothing was polled");
	is(count.streams.length, 1, "one stream was enough");
	await page.waitForFunction(() => document.querySelectorAll(
	    ".stages tbody .state.done").length === 2);
	ok(true, "all stages are done");
	await page.getByText("Events", { exact: true }).click();
	const id = page.url().split("/").at(-1);
	const events = await call("events", id);
	await page.waitForFunction((n) => document.querySelectorAll(
	    "details.events tbody tr").length === n, events.length);
	ok(true, `the page lists all ${events.length} events`);
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
	ok(await page.getByText("Steps", { exact: true }).count() === 1,
	    "a file that was dropped is, with the option that was set");
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
	is(page.url().split("/").at(-1), id, "and the job is made once");
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
	await page.waitForFunction(() => window.live.state === "closed", null,
	    { timeout: 60000 });
	return page.evaluate(() => ({ got: window.got, states: window.states,
	    reason: window.live.reason }));
}

async function hubDies(page) {
	const id = await call("submit", 600);
	const count = countRequests(page);

	await page.goto(`/#/jobs/${id}`);
	await untilState(page, "running");
	await untilPill(page, "Live");
	const { got, states, reason } = await follow(page, id, async () => {
		for (let i = 0; i < 2; i++) {
			await call("kill", "KILL", "sse");
			await untilPill(page, /Reconnecting|Polling/);
			ok(true, `the hub was killed: ${await pill(page)}`);
			await untilPill(page, "Live");
			await page.waitForFunction(() =>
			    window.states.at(-1) === "live");
		}
		await call("cancel", id);
	});
	const last = (await call("events", id)).at(-1).seq;
	const all = Array.from({ length: last - got[0] + 1 },
	    (_, i) => got[0] + i);
	is(got, all, `all ${all.length} events came, each once`);
	is(reason, "ended", "the client closed when the job had ended");
	is(states.filter((s) => s === "live").length, 3, "live three times");
	await untilState(page, "cancelled");
	const back = await Promise.all(count.streams.map((r) =>
	    r.headerValue("last-event-id")));
	ok(back.some((id) => id !== null),
	    "the browser came back with Last-Event-ID");
}

async function hubIsAway(page) {
	const id = await call("submit", 600);

	await page.goto(`/#/jobs/${id}`);
	await untilPill(page, "Live");
	await call("stop", "sse");
	await untilPill(page, "Polling");
	const before = await page.locator("article progress").getAttribute(
	    "value");
	await page.waitForFunction((v) => document.querySelector(
	    "article progress").getAttribute("value") !== v, before);
	ok(true, "while the hub is away the page polls, and the bar moves");
	await call("start_program", "sse");
	await untilPill(page, "Live");
	ok(true, "and is live again when it is back");
	await call("cancel", id);
	await untilState(page, "cancelled");
}

async function refused(page) {
	await page.route("**/stream*", (r) => r.fulfill({ status: 503 }));
	const id = await call("submit", 15);
	await page.goto(`/#/jobs/${id}`);
	await untilPill(page, "Polling");
	is(await page.locator(".pill").first().getAttribute("title"),
	    "The server refuses streams.", "refused streams: the page polls");
	await untilState(page, "completed");
	ok(true, "to the end of the job");
	await page.unroute("**/stream*");
}

async function offline(page) {
	const id = await call("submit", 600);

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
	const id = await call("submit", 600), tabs = [];

	for (let i = 0; i < 8; i++) {
		const one = await tab(page.context());
		tabs.push(one);
		await one.goto(`/#/jobs/${id}`);
		await one.locator(".heading .state").waitFor();
	}
	ok(true, "eight tabs of one browser all load");
	const states = [];
	for (const one of tabs) {
		await untilPill(one, /Live|Polling/);
		states.push((await pill(one)).split(" ")[0]);
	}
	is(states.filter((s) => s === "Live").length, 4,
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
