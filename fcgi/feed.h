/*
 * What happens to the jobs that somebody follows: looks for it in the
 * database and makes the frames.  It belongs to the poller's thread.
 */

#ifndef MILLRACE_FEED_H
#define MILLRACE_FEED_H

#include <stdbool.h>
#include <stddef.h>

#include "hub.h"
#include "line.h"

struct db;
struct feed;

/* A stream that is behind, in line. */
struct feed_need {
	struct link	link;
	struct hub_need	need;
};

/*
 * feed_new	What it finds goes to the list NEWS, which is put into the line
 *		OUT after each step.
 * feed_start	Before the first job is looked at, of those that are followed
 *		from now on.
 * feed_watch	One more stream of a job; after its row was read.
 * feed_unwatch	One less.
 * feed_watched	Jobs that are followed.
 */
struct feed	*feed_new(struct db *, struct list *news, struct line *out);
void		 feed_free(struct feed *);
int		 feed_start(struct feed *);
void		 feed_watch(struct feed *, const struct hub_join *);
void		 feed_unwatch(struct feed *, const struct uuid *,
		    unsigned int kind);
size_t		 feed_watched(const struct feed *);

/*
 * Each 0, or -1 when the database cannot say; what was missed then is found
 * the next time.
 *
 * feed_tick	What changed lately.
 * feed_sweep	The next few jobs by id, whenever they changed.
 * feed_in_round Whether a round of feed_sweep is not finished.
 * feed_catch_up Serve as many of the needs (struct feed_need, malloced) as one
 *		query can; those that are served are freed.
 */
int	 feed_tick(struct feed *);
int	 feed_sweep(struct feed *);
bool	 feed_in_round(const struct feed *);
int	 feed_catch_up(struct feed *, struct list *needs);

#endif
