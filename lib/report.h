/*
 * The lines that a stage writes to descriptor 3; millrace-report(7) is the
 * manual.
 *
 *	progress PERCENT [MESSAGE]	0..100 of this stage
 *	step TEXT			what is being done now
 *	item NAME [ARGS]		one more item for the next "each"
 *	detail KEY JSON			a fact for the event and the result
 *	result NAME PATH [TYPE]		a file to keep, below the work directory
 *	stored NAME SIZE SHA256 [TYPE]	a result is in the store now
 *	reject MESSAGE			the input is bad: fail, do not retry
 *	retry [SECONDS] MESSAGE		a passing fault: try again later
 *	done [NAME]			an item, of a kept program, is done
 *	failed MESSAGE			it has failed
 *
 * What a kept program reads from descriptor 0 is an item a line, as in "item":
 *
 *	NAME [ARGS]
 *
 * What a stage writes is not trusted: lines are bounded, and one that is not
 * of this grammar is an error to be counted, never a crash.
 */

#ifndef MILLRACE_REPORT_H
#define MILLRACE_REPORT_H

#include <stddef.h>
#include <stdint.h>

/* Longest line a stage may write, newline included; longer ones are cut. */
#define REPORT_LINE_MAX	4096

enum report_word {
	REPORT_PROGRESS, REPORT_STEP, REPORT_ITEM, REPORT_DETAIL, REPORT_RESULT,
	REPORT_STORED, REPORT_REJECT, REPORT_RETRY, REPORT_DONE, REPORT_FAILED
};

/* One line.  The pointers are into the caller's line; "" when left out. */
struct report {
	enum report_word word;
	double		 percent;	/* progress: 0..100 */
	unsigned int	 seconds;	/* retry: 0 when not said */
	uint64_t	 size;		/* stored: bytes */
	const char	*name;		/* item, detail (key), result, stored,
					   done */
	const char	*path;		/* result */
	const char	*type;		/* result, stored: media type */
	const char	*sha256;	/* stored: 64 hex digits */
	const char	*text;		/* message, step, item's ARGS, JSON */
};

/*
 * report_parse	Take LINE (NUL-terminated, no newline) apart in place.
 *		Invalid UTF-8 and control bytes in it become "?", tabs spaces.
 *		Names hold no "/", paths lead nowhere but down; whether a
 *		detail is JSON is not looked at.
 *		Returns 0, or -1 when it is no line of this grammar.
 * report_item	The line that a kept program reads, newline included: an item
 *		as report_parse gave it.  It fits.  Returns its length.
 */
int	report_parse(char *line, struct report *);
size_t	report_item(const char *name, const char *args,
	    char line[REPORT_LINE_MAX]);

/* Collects what is read from a descriptor into lines. */
struct report_lines {
	char	 buf[REPORT_LINE_MAX];
	size_t	 len;
};

/*
 * report_feed	Hand each complete line in DATA to FN, NUL-terminated; a line
 *		that is too long is cut at REPORT_LINE_MAX - 1 bytes, an empty
 *		one is left out.  At the end of the input, feeding one "\n"
 *		brings what was not terminated.
 */
void	report_feed(struct report_lines *, const char *data, size_t len,
	    void (*fn)(void *, char *), void *);

#endif
