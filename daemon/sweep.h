/*
 * Remove what nobody needs any more: ended jobs that were kept long enough,
 * their files, and rows and files that something left behind.
 *
 * All of it goes in processes of its own, rows in small batches with pauses, so
 * that neither the daemon nor the queue waits.
 */

#ifndef MILLRACE_SWEEP_H
#define MILLRACE_SWEEP_H

#include "pipeline.h"

struct conf;
struct sweep;

/*
 * sweep_start	Go through everything, in the background; nothing while an
 *		earlier sweep still goes on.  PIPELINES say how long a job is
 *		kept; they are not needed afterwards.
 * sweep_remove	Remove the file or directory PATH below the storage root,
 *		soon.
 */
struct sweep	*sweep_new(const struct conf *);
void		 sweep_start(struct sweep *, const struct pipelines *);
void		 sweep_remove(struct sweep *, const char *path);
void		 sweep_free(struct sweep *);

#endif
