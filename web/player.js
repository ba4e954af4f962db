/*
 * Play an HLS result: by the browser where it can, else with hls.js, which is
 * fetched only then.
 */

import { Problem } from "./api.js";
import { html, Trouble, useEffect, useRef, useState } from "./ui.js";

const HLS_TYPE = "application/vnd.apple.mpegurl";

/* Play SRC in VIDEO.  Returns what frees it; FAIL(Problem) when it ends. */
function play(video, src, fail) {
	let hls = null, gone = false;

	const withLibrary = async () => {
		const { default: Hls } =
		    await import("./vendor/hls.light-1.7.4.js");
		if (gone)
			return;
		if (!Hls.isSupported())
			return fail(new Problem(0, "This browser plays no " +
			    "HLS. Download a file below."));
		/* Its worker is made from a blob, which our policy forbids. */
		hls = new Hls({ enableWorker: false });
		hls.on(Hls.Events.ERROR, (_, e) => e.fatal &&
		    fail(new Problem(e.response?.code ?? 0,
			`It broke off: ${e.details}.`)));
		hls.loadSource(src);
		hls.attachMedia(video);
	};
	const broken = () => {
		video.removeEventListener("error", broken);
		video.removeAttribute("src");
		withLibrary();
	};

	if (video.canPlayType(HLS_TYPE)) {
		video.addEventListener("error", broken);
		video.src = src;
	} else {
		withLibrary();
	}
	return () => {
		gone = true;
		hls?.destroy();
		video.removeEventListener("error", broken);
		video.removeAttribute("src");
		video.load();
	};
}

export function Player({ src, poster, name }) {
	const video = useRef(null);
	const [trouble, setTrouble] = useState(null);
	const [turn, setTurn] = useState(0);

	useEffect(() => play(video.current, src, setTrouble), [src, turn]);
	return html`<div class="player">
		<video ref=${video} controls playsinline preload="metadata"
		    poster=${poster} aria-label=${`Video: ${name}`} />
		${trouble && html`<${Trouble} what="The video does not play."
		    problem=${trouble} again=${() => {
			setTrouble(null);
			setTurn(turn + 1);
		    }} />`}
	</div>`;
}
