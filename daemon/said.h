/*
 * What a stage program says while it runs: the lines of millrace-report(7),
 * and the last of what it writes to its log.
 *
 * Progress, steps and details are for clients, and count at once.  Items and
 * results count when the stage has ended well.
 */

#ifndef MILLRACE_SAID_H
#define MILLRACE_SAID_H

#include <stdbool.h>
#include <stddef.h>

#include "results.h"

struct json_object;

/* Bounds of one stage.  More items or results fail it: left out, they would be
   work that was lost, and nobody told. */
#define SAID_ITEMS	20000
#define SAID_RESULTS	10000
#define SAID_DETAILS	64		/* keys, of all stages of a job; each
					   value fits a line; more are rubbish */

/* Bytes of its log that are kept with a step. */
#define SAID_TAIL	4000

struct said_item {
	char		*name, *args;
};

struct said {
	double		 percent;	/* 0..100, never falls */
	char		 step[256];
	char		 message[1024];
	bool		 rejects, retries;
	unsigned int	 retry_s;	/* 0: as the engine thinks best */
	const char	*item;		/* of a program that is kept: what it was
					   fed; else NULL */
	bool		 over;		/* it has said how that one ended */
	bool		 fails;		/* with a failure */
	char		 why[1024];	/* it rejects, retries or fails */
	struct said_item *items;
	size_t		 nitems;
	struct results	 results;	/* named */
	struct results	 stored;
	struct json_object *details;	/* of the job, the caller's */
	bool		 detailed;	/* that changed: the caller clears */
	unsigned int	 rubbish;	/* lines that were none */
	char		 tail[SAID_TAIL];
	size_t		 ntail;
};

/*
 * said_line	Take one line in, in place.  Whether clients would see it.
 * said_output	Take some of the log in.
 * said_tail	The last lines of it, as text that may be shown, into BUF.
 * said_last	The last line of it that is not empty, likewise.
 * said_clear	Free what it holds.
 */
bool	 said_line(struct said *, char *line);
void	 said_output(struct said *, const char *, size_t);
void	 said_tail(const struct said *, char *buf, size_t);
void	 said_last(const struct said *, char *buf, size_t);
void	 said_clear(struct said *);

#endif
