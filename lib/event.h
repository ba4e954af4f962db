/*
 * Table event: what clients were shown, in order; append only.
 * Rows are written by job.c alone, as copies of the job's row.
 */

#ifndef MILLRACE_EVENT_H
#define MILLRACE_EVENT_H

#include <stddef.h>
#include <stdint.h>

#include "db.h"
#include "uuid.h"

/* A row, with the facts of its job that never change. */
struct event {
	struct uuid	job_id;
	uint32_t	seq;		/* 1..n within the job */
	char		at[DB_TIME];
	int		state;		/* enum job_state, as it was then */
	char		phase[32], stage[32];
	double		stage_progress, progress;	/* 0..100 */
	int		eta_s;		/* -1: not said */
	unsigned int	items_done, items_total;
	char		step[256], message[1024];
	char		started_at[DB_TIME];	/* as it was then; or "" */
};

/*
 * event_list	Events of JOB with seq > AFTER, oldest first; at most N.
 *		Rows written, or -1.
 * event_last	The last N events of JOB, oldest first.
 * event_missing Of each of N jobs the events after a number, MOST of each at
 *		most, ordered by job and number.  Rows written, or -1; ROOM
 *		means: those of later jobs may be missing.
 */
struct event_want {
	struct uuid	job;
	uint32_t	after;
};
int	event_list(struct db *, const struct uuid *job, uint32_t after,
	    struct event *, size_t n);
int	event_last(struct db *, const struct uuid *job, struct event *,
	    size_t n);
int	event_missing(struct db *, const struct event_want *, size_t n,
	    unsigned int most, struct event *, size_t room);

#endif
