/*
 * What the program of an item said, and how it ended, as text: in column said
 * of a step, from the daemon that ran it to the one that has the job.
 */

#ifndef MILLRACE_SAID_JSON_H
#define MILLRACE_SAID_JSON_H

#include "child.h"
#include "engine.h"

struct said;

/* How a try of an item ended. */
struct said_end {
	enum engine_event event;
	struct child_end  child;
};

/*
 * said_pack	As JSON; to be freed.  All of SAID but its log, which has a
 *		column of its own; the details are those of this item alone.
 * said_unpack	Fill *SAID, which is all zero but for its details: the ones of
 *		the job, to which those of the item are added.  0; -1 when it
 *		is no such text.  To be cleared in both cases.
 */
char	*said_pack(const struct said *, const struct said_end *);
int	 said_unpack(const char *, struct said *, struct said_end *);

#endif
