/*
 * What the hub counts, in the text format of Prometheus.
 */

#ifndef MILLRACE_HUBSTATS_H
#define MILLRACE_HUBSTATS_H

#include <stdint.h>

#include "follow.h"
#include "hub.h"

/*
 * hubstats_write Replace the file PATH, which GET /metrics includes as it is.
 *		REFUSED counts those who were told to come back later.
 */
void	hubstats_write(const char *path, const struct hub_stats *,
	    const uint64_t refused[FOLLOW_LATERS]);

#endif
