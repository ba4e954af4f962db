/*
 * The theme that was chosen, before anything is drawn.  Not a module: those
 * run too late.
 */

try {
	document.documentElement.dataset.theme =
	    localStorage["millrace-theme"] || "auto";
} catch (e) {
	/* no storage: as the system says */
}
