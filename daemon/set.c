/*
 * Pipelines that were loaded together.
 */

#include "set.h"

#include <stdlib.h>

#include "log.h"

struct set *
set_new(struct pipelines *pipelines)
{
	struct set	*set = xcalloc(1, sizeof(*set));

	set->pipelines = pipelines;
	set->used = 1;
	return set;
}

struct set *
set_use(struct set *set)
{
	set->used++;
	return set;
}

void
set_leave(struct set *set)
{
	if (set == NULL || --set->used > 0)
		return;
	pipeline_free(set->pipelines);
	free(set);
}
