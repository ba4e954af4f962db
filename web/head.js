/*
 * What a tab shows when it is in the background: its title, and an icon whose
 * dot says how the job is.
 */

import { percent } from "./format.js";

const DOTS = ["running", "completed", "failed"];

export function setTab(text, dot = "") {
	const icon = document.querySelector("link[rel=icon]");
	const href = DOTS.includes(dot) ? `favicon-${dot}.svg` : "favicon.svg";

	document.title = `${text} · Millrace`;
	if (icon.getAttribute("href") !== href)
		icon.setAttribute("href", href);
}

/* "62 % · lecture.mp4" */
export function setTabOf(job, name) {
	const state = job.status === "running" || job.status === "pending" ?
	    percent(job.progress_percentage) : job.status;

	setTab(`${state} · ${name}`, job.status);
}
