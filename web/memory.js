/*
 * A few words that this browser keeps for us, where it lets us.
 */

export function recall(name) {
	try {
		return localStorage.getItem(`millrace-${name}`) ?? "";
	} catch {
		return "";
	}
}

/* "" forgets it. */
export function remember(name, value) {
	try {
		if (value === "")
			localStorage.removeItem(`millrace-${name}`);
		else
			localStorage.setItem(`millrace-${name}`, value);
	} catch {
		/* then it lasts as long as the page */
	}
}
