/*
 * What a job has made: a player, figures of quality, and files to take away.
 */

import { get } from "./api.js";
import { bytes, count } from "./format.js";
import { Player } from "./player.js";
import { html, Icon, Scroll, Skeleton, Trouble, useEffect, useState } from
    "./ui.js";

const PLAYLISTS = ["application/vnd.apple.mpegurl", "application/x-mpegurl"];

/* Parts of a stream, which nobody takes away one by one. */
const PARTS = /\.(m4s|ts|cmfv|cmfa)$|^init[^/]*\.mp4$/;

function isPlaylist(a) {
	return PLAYLISTS.includes(a.type.toLowerCase());
}

/* Of several playlists, the one that names the others. */
function masterOf(items, main) {
	const lists = items.filter(isPlaylist);

	return lists.find((a) => a.name === main) ??
	    lists.find((a) => /master|main|index/.test(a.name)) ?? lists[0];
}

function posterOf(items) {
	return items.find((a) => a.type.startsWith("image/"))?.url;
}

/* ---- files ----------------------------------------------------------- */

function Files({ label, items }) {
	return html`<${Scroll} label=${label}><table class="files">
		<thead><tr><th scope="col">File</th><th scope="col">Type</th>
			<th scope="col" class="number">Size</th>
			<th scope="col">SHA-256</th></tr></thead>
		<tbody>${items.map((a) => html`<tr key=${a.name}>
			<th scope="row"><a href=${a.url} download=${a.name}>
				<${Icon} name="download" />${a.name}</a></th>
			<td>${a.type}</td>
			<td class="number">${bytes(a.size)}</td>
			<td><code title=${a.sha256}>${
				a.sha256.slice(0, 12)}</code></td>
		</tr>`)}</tbody>
	</table><//>`;
}

/* ---- quality --------------------------------------------------------- */

const COLUMNS = [
	["name", "Size"], ["mean", "Mean"], ["p5", "Worst 5 %"],
	["min", "Worst"], ["psnr", "PSNR, dB"], ["pictures", "Pictures"],
	["verdict", "Verdict"],
];
const VERDICTS = { pass: ["completed", "Pass"], warn: ["late", "Warning"],
    fail: ["failed", "Fail"] };

function Verdict({ word }) {
	const [look, text] = VERDICTS[word] ?? ["pending", word];

	return html`<span class=${`state ${look}`}><${Icon} name=${
		look === "late" ? "pending" : look} />${text}</span>`;
}

function cell(name, value, metric) {
	if (value === undefined || value === null)
		return "–";
	if (name === "verdict")
		return html`<${Verdict} word=${value} />`;
	if (typeof value !== "number" || name === "pictures")
		return value.toLocaleString();
	const digits = metric === "ssim" && name !== "psnr" ? 3 : 2;
	return value.toLocaleString(undefined, {
		minimumFractionDigits: digits, maximumFractionDigits: digits,
	});
}

/* The report of the stage that compares pictures, where there is one. */
function Quality({ href }) {
	const [report, setReport] = useState(null);

	useEffect(() => {
		fetch(href).then((r) => r.ok ? r.json() : null)
		    .then(setReport, () => setReport(null));
	}, [href]);
	const rows = report?.renditions;
	if (!Array.isArray(rows) || rows.length === 0)
		return null;
	const columns = COLUMNS.filter(([name]) => rows.some((r) =>
	    r[name] !== undefined));
	const look = (name) => typeof rows[0][name] === "number" ? "number" :
	    "";
	return html`<h3>Quality: ${report.metric?.toUpperCase()}</h3>
		<p class="quiet">${[
			`Compared at ${report.width} × ${report.height}`,
			report.every > 1 && `every ${report.every}th picture`,
			report.model, report.tool].filter(Boolean).join(" · ")}
		</p>
		${report.warning && html`<p>${report.warning}</p>`}
		<${Scroll} label="Quality"><table>
		<thead><tr>${columns.map(([name, text]) => html`<th key=${name}
		    scope="col" class=${look(name)}>${text}</th>`)}</tr></thead>
		<tbody>${rows.map((row) => html`<tr key=${row.name}>
			${columns.map(([name]) => html`<td key=${name}
			    class=${look(name)}>${cell(name, row[name],
				report.metric)}</td>`)}
		</tr>`)}</tbody></table><//>`;
}

/* ---- all of it ------------------------------------------------------- */

export function Result({ job, name }) {
	const [items, setItems] = useState(null);
	const [trouble, setTrouble] = useState(null);
	const load = () => {
		setTrouble(null);
		get(`jobs/${job.job_id}/artifacts`).then((r) =>
		    setItems(r.items), setTrouble);
	};

	useEffect(load, [job.job_id, job.completed_at]);
	if (trouble)
		return html`<${Trouble} problem=${trouble} again=${load}
		    what="The results cannot be listed." />`;
	if (items === null)
		return html`<${Skeleton} lines=${5} />`;
	if (items.length === 0)
		return html`<p class="quiet">This job left no files.</p>`;
	const master = masterOf(items, job.output_file);
	const isPart = (a) => PARTS.test(a.name) ||
	    (isPlaylist(a) && a !== master);
	const parts = items.filter(isPart);
	const main = items.filter((a) => !isPart(a));
	const quality = items.find((a) => /(^|\/)quality\.json$/.test(a.name));

	return html`
		${master && html`<${Player} src=${master.url} name=${name}
		    poster=${posterOf(items)} />`}
		${quality && html`<${Quality} href=${quality.url} />`}
		<h3>Files</h3>
		<${Files} label="Files" items=${main} />
		${parts.length > 0 && html`<details><summary>
			${count(parts.length, "part of the stream",
				"parts of the stream")}</summary>
		    <${Files} label="Parts of the stream" items=${parts} />
		    </details>`}`;
}
