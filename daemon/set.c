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

/* Whether NAME is one of the names in LIST, which have commas between them. */
static bool
is_listed(const char *list, const char *name)
{
	size_t	 n;

	for (; *list != '\0'; list += n + (list[n] == ',')) {
		n = strcspn(list, ",");
		if (n == strlen(name) && strncmp(list, name, n) == 0)
			return true;
	}
	return false;
}

/* What does not fit is taken and given back more often, that is all. */
void
set_lack(struct set *set, const char *name)
{
	size_t	 len;

	if (loop_now() >= set->lacks_until) {
		set->lacks[0] = '\0';
		set->lacks_until = loop_now() + LACK_MS;
	}
	/* Jobs of one claim may all be of one pipeline. */
	if (is_listed(set->lacks, name))
		return;
	len = strlen(set->lacks);
	if (len + 1 + strlen(name) < sizeof(set->lacks))
		snprintf(set->lacks + len, sizeof(set->lacks) - len, "%s%s",
		    len == 0 ? "" : ",", name);
}

const char *
set_lacks(const struct set *set)
{
	return loop_now() < set->lacks_until ? set->lacks : "";
}
