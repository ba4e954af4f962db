/*
 * The user's page: #/ is a new job and the list of jobs, #/jobs/ID a job,
 * #/account the account.
 */

import { Account } from "./account.js";
import { setTab } from "./head.js";
import { JobPage } from "./job.js";
import { Jobs } from "./jobs.js";
import { Frame } from "./session.js";
import { html, render, useEffect, useLayoutEffect, useState } from "./ui.js";
import { Upload, Uploads, useUploads } from "./upload.js";

const ROUTES = [
	[/^#\/jobs\/([0-9a-zA-Z-]+)$/, (id) => html`<${JobPage} key=${id}
	    id=${id} />`],
	[/^#\/account$/, () => html`<${Account} />`],
	[/^(?:#\/?)?(?:\?(.*))?$/, (search) => html`<${Home}
	    cursor=${new URLSearchParams(search).get("cursor") ?? ""} />`],
];

function Home({ cursor }) {
	const uploads = useUploads().length;

	useEffect(() => setTab("Jobs"), []);
	return html`${!cursor && html`<${Upload} done=${(job) => {
			if (isHome())
				location.hash = `#/jobs/${job.job_id}`;
		}} />`}
		<${Jobs} cursor=${cursor} mark=${uploads} />`;
}

function isHome() {
	return /^(#\/?)?$/.test(location.hash);
}

function Nowhere() {
	useEffect(() => setTab("Not found"), []);
	return html`<section class="card"><h1 tabindex="-1">No such page</h1>
		<p><a href="./#/">To your jobs</a></p></section>`;
}

function view(hash) {
	for (const [pattern, draw] of ROUTES) {
		const found = pattern.exec(hash);
		if (found)
			return draw(found[1]);
	}
	return html`<${Nowhere} />`;
}

/*
 * The focus goes to the heading of a new page, and on the way back to the
 * link that led away: as soon as it is there, unless somebody was faster.
 * When all has come and there is no such link, the heading has it, too.
 */
let stopWaiting = () => {};

function moveFocus(from) {
	const id = /^#\/jobs\/(.+)$/.exec(from)?.[1];
	const before = document.activeElement;
	const find = () => {
		const link = id && document.querySelector(`[id="job-${id}"]`);
		if (link || (id && document.querySelector("main .skeleton")))
			return link;
		return document.querySelector("main h1");
	};
	const go = () => {
		const target = find();
		const moved = document.activeElement !== before;
		if (target && !moved)
			target.focus();
		return target || moved;
	};

	stopWaiting();
	if (!id)
		scrollTo(0, 0);
	if (go())
		return;
	const observer = new MutationObserver(() => go() && stopWaiting());
	observer.observe(document.body, { childList: true, subtree: true });
	stopWaiting = () => observer.disconnect();
}

function App() {
	const [[hash, from], go] = useState([location.hash, null]);

	useEffect(() => {
		const f = () => go(([before]) => [location.hash, before]);
		addEventListener("hashchange", f);
		return () => removeEventListener("hashchange", f);
	}, []);
	useLayoutEffect(() => {
		if (from !== null)
			moveFocus(from);
	}, [hash]);
	return html`<${Frame} page=${hash === "#/account" ? "account" : "jobs"}>
		<main class="wide"><${Uploads} failed=${isHome()} />
			${view(hash)}</main>
	<//>`;
}

render(html`<${App} />`, document.getElementById("app"));
