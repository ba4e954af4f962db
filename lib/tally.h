/*
 * Table tally: how many jobs of a pipeline are in a state, and ever came there.
 *
 * All transactions that change the state of a job meet in these few rows.
 * What a transaction adds is summed up, and written just before it commits, in
 * the order of the keys: so nobody has such a row for longer than that, and no
 * two can wait for each other.
 */

#ifndef MILLRACE_TALLY_H
#define MILLRACE_TALLY_H

#include <stdint.h>

#include "jobstate.h"

struct db;

/*
 * tally_add	Inside a transaction: N more jobs of PIPELINE are in this state;
 *		if N is not negative, they came there.
 */
void	tally_add(struct db *, const char *pipeline, enum job_state,
	    int64_t n);

#endif
