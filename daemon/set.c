/*
 * Pipelines that were loaded together.
 */

#include "set.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "loop.h"

/* Jobs of a pipeline that is not there are left to others for so long, ms. */
#define LACK_MS	60000

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

/* What does not fit is taken and given back more often, that is all. */
void
set_lack(struct set *set, const char *name)
{
	size_t	 len = strlen(set->lacks);

	if (loop_now() >= set->lacks_until) {
		len = 0;
		set->lacks_until = loop_now() + LACK_MS;
	}
	if (len + 1 + strlen(name) < sizeof(set->lacks))
		snprintf(set->lacks + len, sizeof(set->lacks) - len, "%s%s",
		    len == 0 ? "" : ",", name);
}

const char *
set_lacks(const struct set *set)
{
	return loop_now() < set->lacks_until ? set->lacks : "";
}
