/*
 * What a daemon counts of itself, for Prometheus.
 *
 * The numbers are of this process, and begin with it; what must not be lost is
 * counted in the database.
 */

#ifndef MILLRACE_STATS_H
#define MILLRACE_STATS_H

#include <stddef.h>

#include "engine.h"

struct db;

enum stats_count {
	STAT_CLAIMED,		/* jobs taken from their queue */
	STAT_TAKEN_OVER,	/* jobs of dead daemons that wait again */
	STAT_FENCED,		/* times that the lease was lost */
	STAT_SET_ASIDE,		/* jobs that brought too many daemons down */
	STAT_LENT,		/* items that another daemon has done */
	STATS
};

/*
 * stats_add	N more of them.
 * stats_step	A step has ended.
 * stats_run	A daemon's turn at a job is over.
 * stats_write	Write all to the file PATH, and how often others were in the
 *		way of the database's connection.
 */
void	stats_add(enum stats_count, size_t n);
void	stats_step(enum engine_event);
void	stats_run(enum engine_verdict);
void	stats_write(const char *path, const struct db *);

#endif
