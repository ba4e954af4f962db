/*
 * Run jobs: each goes through the stages of its pipeline, as engine.h decides.
 */

#ifndef MILLRACE_RUN_H
#define MILLRACE_RUN_H

#include <stdbool.h>
#include <stddef.h>

#include "job.h"
#include "pipeline.h"

struct batch;
struct conf;
struct db;
struct loop;
struct runs;
struct set;
struct sweep;
struct tasks;

/* What runs work with.  None of it is owned by them. */
struct runs_tools {
	struct loop	*loop;
	struct db	*db;
	struct batch	*batch;
	struct sweep	*sweep;
	const struct conf *conf;
	struct tasks	*tasks;
	void		(*ended)(void *);	/* a run has: there is a slot */
	void		(*lost)(void *);	/* a job was let go, though it
						   may still be ours */
	void		*arg;
};

/*
 * runs_use	Jobs that start from now on go through these pipelines.  They
 *		are owned; the ones before are freed with their last job.
 * runs_set	These pipelines.
 * runs_start	A job was claimed.
 * runs_has	Whether this attempt of a job (id and token) runs here.
 * runs_count	Jobs that are here, until their end is in the database.
 * runs_cancel	Somebody wants this job to end.
 * runs_leave	Give all of them back, each as soon as what it runs has ended.
 * runs_hurry	There is no more time for that: what runs is told to end.
 * runs_lose	The lease is over: kill all, and write nothing.
 * runs_free	At the end; jobs that are left stay ours in the database.
 */
struct runs	*runs_new(const struct runs_tools *);
void		 runs_use(struct runs *, struct pipelines *);
struct set	*runs_set(const struct runs *);
void		 runs_start(struct runs *, const struct job *);
bool		 runs_has(const struct runs *, const struct job *);
size_t		 runs_count(const struct runs *);
void		 runs_cancel(struct runs *, const struct uuid *);
void		 runs_leave(struct runs *);
void		 runs_hurry(struct runs *);
void		 runs_lose(struct runs *);
void		 runs_free(struct runs *);

#endif
