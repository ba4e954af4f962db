/*
 * Sizes, durations, times and names, as people read them.
 */

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];

export function bytes(n) {
	let unit = 0;

	while (n >= 1024 && unit < UNITS.length - 1) {
		n /= 1024;
		unit++;
	}
	const digits = unit === 0 || n >= 100 || n === Math.floor(n) ? 0 : 1;
	return `${n.toFixed(digits)} ${UNITS[unit]}`;
}

/* Seconds, as "4.0 s", "2 m 58 s", "1 h 04 m" or "3 d 2 h". */
export function duration(s) {
	if (s < 10)
		return `${Math.max(0, s).toFixed(1)} s`;
	s = Math.round(s);
	if (s < 60)
		return `${s} s`;
	if (s < 3600)
		return pair(s / 60, "m", s % 60, "s");
	if (s < 86400)
		return pair(s / 3600, "h", s % 3600 / 60, "m");
	return `${Math.floor(s / 86400)} d ${Math.floor(s % 86400 / 3600)} h`;
}

function pair(a, unit, b, small) {
	return `${Math.floor(a)} ${unit} ` +
	    `${String(Math.floor(b)).padStart(2, "0")} ${small}`;
}

/* The same, coarser: "now", "12 s", "5 m", "3 h", "2 d". */
export function age(s) {
	if (s < 1)
		return "now";
	if (s < 60)
		return `${Math.floor(s)} s`;
	if (s < 3600)
		return `${Math.floor(s / 60)} m`;
	return s < 86400 ? `${Math.floor(s / 3600)} h` :
	    `${Math.floor(s / 86400)} d`;
}

/* Never 100 before it is. */
export function percent(n) {
	return `${Math.floor(n)} %`;
}

/* A moment, in full, in the reader's own time zone. */
export function moment(iso) {
	return new Date(iso).toLocaleString(undefined, {
		dateStyle: "medium", timeStyle: "long",
	});
}

export function day(iso) {
	return new Date(iso).toLocaleDateString(undefined,
	    { dateStyle: "medium" });
}

/* "target_language" is "Target language". */
export function words(name) {
	const text = name.replace(/[_-]+/g, " ");

	return text.charAt(0).toUpperCase() + text.slice(1);
}

export function count(n, one, many) {
	return `${n.toLocaleString()} ${n === 1 ? one : many}`;
}

/* Enough of an id to tell it from its neighbours. */
export function shortId(id) {
	return id.slice(-8);
}
