/*
 * The directory in which the stages of a job work: STORAGE/work/JOB.
 *
 *	input		the upload, under a second name
 *	tmp/		TMPDIR
 *	log		what stages write to descriptors 1 and 2
 *	results stored	see results.h
 *	store-TOKEN/	see results.h
 *
 * It is kept until the job has ended well, so that a job that is taken over
 * finds what its finished stages have made.  Keepers (child.h) hold a lock on
 * it: a second run begins when no program of the first one is left.  Not the
 * daemon, which may be stopped while its lease runs out.
 */

#ifndef MILLRACE_WORK_H
#define MILLRACE_WORK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "uuid.h"

/* Bytes of a job's log that are kept; the rest is thrown away. */
#define WORK_LOG_MAX	(1024 * 1024)

struct work {
	int		 dir;		/* open; -1 */
	char		*path;		/* absolute */
	bool		 fresh;		/* it was made by work_open */
	int		 log;		/* -1: cannot be written */
	uint64_t	 log_left;	/* bytes */
	int		 hold;		/* open, and locked by work_join; 0 */
};

/*
 * work_open	Make it if need be.  0; 1: programs of another run are still
 *		there, try again; -1 (said).  Fill *W with WORK_NONE before.
 * work_input	Give it the upload ID as its input.  0; 1: there is no such
 *		file; -1 (said).
 * work_renew	The job starts anew, under TOKEN: what is there goes out of its way,
 *		to the place that file_aside_path names, and an empty one takes
 *		its place.  As work_open.
 * work_join	For a daemon that helps the one that runs the job, before it
 *		takes an item; again before it takes more.  It has to be there.
 *		0: nobody begins another run of the job, until work_release and
 *		the programs that were started meanwhile have ended; 1: somebody
 *		does just now; -1: it is not there.
 * work_log	Append to its log.
 */
#define WORK_NONE	((struct work){ .dir = -1, .log = -1 })
int	work_open(struct work *, const char *root, const struct uuid *job);
int	work_renew(struct work *, const char *root, const struct uuid *job,
	    uint64_t token);
int	work_input(const struct work *, const char *root,
	    const struct uuid *upload);
int	work_join(struct work *, const char *root, const struct uuid *job);
void	work_release(struct work *);
void	work_log(struct work *, const char *, size_t);
void	work_close(struct work *);

#endif
