// What a script of a browser test says to t/lib/Browser.pm, and asks of it.

import { createInterface } from "node:readline";
import { isDeepStrictEqual, inspect } from "node:util";

export const given = JSON.parse(process.env.BROWSER_GIVEN);

let failed = false;
let answers = null;

function say(what) {
	process.stdout.write(`${JSON.stringify(what)}\n`);
}

export function note(text) {
	say({ note: String(text) });
}

export function ok(value, name, why = "") {
	failed ||= !value;
	say({ ok: Boolean(value), name, why });
	return Boolean(value);
}

// Whether GOT is WANTED, or what that matches.
export function fits(got, wanted) {
	return wanted instanceof RegExp ? wanted.test(got) :
	    isDeepStrictEqual(got, wanted);
}

export function is(got, wanted, name) {
	return ok(fits(got, wanted), name,
	    `     got: ${inspect(got, { depth: 6 })}\n` +
	    `expected: ${inspect(wanted, { depth: 6 })}`);
}

export function hasFailed() {
	return failed;
}

// Have the rig do something, as call("kill", "KILL", "sse").
export async function call(name, ...args) {
	answers ??= createInterface({ input: process.stdin })
	    [Symbol.asyncIterator]();
	say({ call: name, args });
	return JSON.parse((await answers.next()).value);
}

// Run WORK; what it throws is a test that failed.
export async function main(work, finish = async () => {}) {
	try {
		await work();
	} catch (e) {
		ok(false, "nothing is thrown", e.stack);
		await finish(e).catch(() => {});
		process.exit(1);
	}
	await finish(null);
	process.exit(0);
}
