/*
 * Tables retention and gone: how long ended jobs are kept, and what is left of
 * those that are not.
 *
 * The row of a job goes at once (job_delete, job_expire), and leaves one in
 * table gone; its events, steps and results, of which there may be very many,
 * follow bit by bit, and last its files.
 */

#ifndef MILLRACE_RETAIN_H
#define MILLRACE_RETAIN_H

#include <stddef.h>
#include <stdint.h>

#include "uuid.h"

struct db;

/*
 * retain_say	Let the others know how long jobs of PIPELINE are kept.  0, -1.
 * retain_said	1: somebody knew PIPELINE, and *RETAIN_S is what was said last;
 *		0: nobody ever did; -1.
 * retain_lock	1: no other connection sweeps the rows of this database, until
 *		this one ends; 0: one does; -1.
 */
int	retain_say(struct db *, const char *pipeline, unsigned int retain_s);
int	retain_said(struct db *, const char *pipeline, unsigned int *retain_s);
int	retain_lock(struct db *);

/* A job that is gone. */
struct gone {
	struct uuid	id;
	uint64_t	token;		/* its results bear it */
	struct uuid	upload_id;	/* all zero: none */
};

/*
 * gone_add	N jobs, which are there, are about to go: inside the caller's
 *		transaction.  0 or -1.
 * gone_list	The next N jobs behind AFTER, by id.  How many, or -1.
 * gone_rows	Remove rows of these N jobs, not more than MOST.  How many;
 *		0: none is left; -1.
 * gone_forget	Nothing is left of these N jobs, and no file.  0 or -1.
 */
int	gone_add(struct db *, const struct uuid *, size_t n);
int	gone_list(struct db *, const struct uuid *after, struct gone *,
	    size_t n);
int	gone_rows(struct db *, const struct uuid *, size_t n,
	    unsigned int most);
int	gone_forget(struct db *, const struct uuid *, size_t n);

#endif
