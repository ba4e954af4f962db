/*
 * Why a stage ended as it did, in words for clients.
 */

#ifndef MILLRACE_REASON_H
#define MILLRACE_REASON_H

#include <stddef.h>

#include "engine.h"

struct said;

/*
 * reason_of	Write a sentence about the end of STAGE that was judged EVENT,
 *		which is not STEP_OK.
 * reason_final	Add to it that this was the last of N tries, or crashes.
 */
void	reason_of(const struct pipeline *, const struct stage *,
	    const struct child_end *, enum engine_event, const struct said *,
	    char *buf, size_t);
void	reason_final(enum engine_event, unsigned int n, char *buf, size_t);

#endif
