/*
 * What a stage program may see and do: its job's directory, the tools it
 * needs, and nothing else.
 *
 * A stage is hostile from the first byte of input that it reads.  These are
 * the walls inside its own process; those around its tree of processes are
 * child.h's.
 *
 *	capabilities	none; to root only that of reading past permissions,
 *			since a tree below another's home is else out of reach
 *	files		Landlock: reads and runs the system's programs and the
 *			stages, writes below the job's directory.  The store
 *			itself (uploads/, results/) is out of reach: a stage
 *			fills a directory of its job, and the daemon publishes
 *	calls		seccomp: no sockets (but the internet's, where the
 *			pipeline says "network"), no mounts, no tracing, no
 *			way around Landlock
 *
 * Each is tried at start, as a kernel may lack it.
 */

#ifndef MILLRACE_SANDBOX_H
#define MILLRACE_SANDBOX_H

#include <stdbool.h>

struct conf;
struct sandbox;

/* What a stage needs of the outside. */
struct sandbox_need {
	const char	*dir;		/* the job's directory, absolute */
	const char	*program;	/* that will be run, absolute */
	bool		 network;
};

/*
 * sandbox_new	Find out what this kernel has.  The configuration names
 *		the directories that stages may read, and is kept.
 * sandbox_about What is active, in words for the log.
 * sandbox_whole Whether nothing is missing.
 * sandbox_enter Give up everything but NEED, in the process that will run the
 *		program.  NULL, or which wall could not be built (and errno).
 */
struct sandbox	*sandbox_new(const struct conf *);
void		 sandbox_free(struct sandbox *);
const char	*sandbox_about(const struct sandbox *);
bool		 sandbox_whole(const struct sandbox *);
const char	*sandbox_enter(const struct sandbox *,
		    const struct sandbox_need *);

#endif
