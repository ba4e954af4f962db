/*
 * Ask again and again, never before the last answer has come.
 *
 * Less and less often while nobody answers, not at all in a hidden tab, and
 * at once when the tab is seen again, the network is back, or somebody has
 * signed in.
 */

import { session } from "./api.js";

const PAUSE_MAX_MS = 30000;

export class Poll {
	/*
	 * ASK is an async function of an AbortSignal.  Options:
	 *
	 *	every	 ms between an answer and the next question
	 *	onData	 (data), unless it is undefined: nothing new
	 *	onState	 (poll), after each answer and failure
	 */
	constructor(ask, { every, onData, onState }) {
		Object.assign(this, { ask, every, onData, onState });
		this.problem = null;	/* of the last question */
		this.at = 0;		/* ms, of the last answer */
		this.retryAt = 0;	/* ms; 0: nothing failed */
		this.failed = 0;	/* in a row */
		this.paused = false;
		this.timer = 0;
		this.request = null;
		this.wake = () => document.hidden || this.now();
		document.addEventListener("visibilitychange", this.wake);
		window.addEventListener("online", this.wake);
		session.addEventListener("in", this.wake);
		this.now();
	}

	stop() {
		document.removeEventListener("visibilitychange", this.wake);
		window.removeEventListener("online", this.wake);
		session.removeEventListener("in", this.wake);
		clearTimeout(this.timer);
		this.request?.abort();
		this.ask = null;
	}

	pause(paused) {
		this.paused = paused;
		if (!paused)
			this.now();
	}

	/* Ask at once, unless a question is open: then its answer will do. */
	async now() {
		clearTimeout(this.timer);
		if (this.request !== null || this.ask === null || this.paused)
			return;
		this.request = new AbortController();
		let data, problem = null;
		try {
			data = await this.ask(this.request.signal);
		} catch (e) {
			problem = e;
		}
		this.request = null;
		if (this.ask === null)
			return;
		if (problem === null)
			this.#answered(data);
		else
			this.#failed(problem);
		this.#again();
	}

	#answered(data) {
		this.problem = null;
		this.failed = this.retryAt = 0;
		this.at = Date.now();
		if (data !== undefined)
			this.onData(data);
		this.onState?.(this);
	}

	#failed(problem) {
		this.problem = problem;
		this.failed++;
		this.retryAt = Date.now() + this.#pause();
		this.onState?.(this);
	}

	#pause() {
		const asked = (this.problem?.retryAfter ?? 0) * 1000;

		return Math.max(asked, Math.min(PAUSE_MAX_MS,
		    this.every * 2 ** this.failed));
	}

	#again() {
		if (!this.paused && !document.hidden)
			this.timer = setTimeout(() => this.now(),
			    this.#pause());
	}
}
