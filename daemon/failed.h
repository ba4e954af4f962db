/*
 * What failed, in the details of a job: the keys
 *
 *	failed		a list of objects with stage, item and reason, of the
 *			first FAILED_MOST
 *	items_failed	how many items have failed in all
 *
 * It stays there while others have the job, and is seen in the result of one
 * that goes on without some of its items.
 */

#ifndef MILLRACE_FAILED_H
#define MILLRACE_FAILED_H

#include <stddef.h>

struct json_object;
struct plan;

/* Steps whose reasons are kept. */
#define FAILED_MOST	100

/*
 * failed_add	STAGE has failed, or an ITEM of it (else NULL), because of WHY.
 * failed_check	Keep of it what has failed in this plan.
 * failed_why	A sentence about it all; empty: nothing has failed.
 */
void	failed_add(struct json_object *details, const char *stage,
	    const char *item, const char *why);
void	failed_check(struct json_object *details, const struct plan *);
void	failed_why(struct json_object *details, char *buf, size_t);

#endif
