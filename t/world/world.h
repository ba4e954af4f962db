/*
 * A small world for the engine: a job, three hosts with a daemon each, a
 * database (model.h), a person, and everything that can go wrong, on a virtual
 * clock.  What happens, and when, follows from one number.
 *
 * The daemons drive the real engine.h; what is around it in run.c, batch.c,
 * lend.c and millraced.c is told again in short.
 */

#ifndef MILLRACE_WORLD_H
#define MILLRACE_WORLD_H

#include <stdint.h>
#include <stdio.h>

/*
 * world_run	One schedule.  What was wrong, or NULL.  Each event is a line
 *		on TRACE, if there is one.
 */
const char	*world_run(uint32_t seed, FILE *trace);

#endif
