/*
 * Remove what nobody needs any more: ended jobs that were kept long enough,
 * their files, and rows and files that something left behind.
 *
 * Rows go in small batches with pauses, so that the queue never waits; files
 * go in a process of their own.
 */

#ifndef MILLRACE_SWEEP_H
#define MILLRACE_SWEEP_H

#include "pipeline.h"

struct conf;
struct db;
struct loop;
struct sweep;

/*
 * sweep_start	Go through everything, in the background; nothing while an
 *		earlier sweep still goes on.  PIPELINES say how long a job is
 *		kept; they are not needed afterwards.
 * sweep_remove	Remove the file or directory PATH below the storage root,
 *		soon.
 */
struct sweep	*sweep_new(struct loop *, struct db *, const struct conf *);
void		 sweep_start(struct sweep *, const struct pipelines *);
void		 sweep_remove(struct sweep *, const char *path);
void		 sweep_free(struct sweep *);

#endif
