/*
 * What the poller's thread has for the loop.
 */

#include "news.h"

#include <stdlib.h>

#include "frame.h"
#include "log.h"

struct news *
news_add(struct list *list, enum news_type type)
{
	struct news	*n = xcalloc(1, sizeof(*n));

	n->type = type;
	list_add(list, &n->link);
	return n;
}

void
news_free(struct news *n)
{
	free(n->viewers);
	free(n);
}

void
news_drop(struct list *list)
{
	struct news	*n;
	unsigned int	 i;

	while ((n = (struct news *)list_take(list)) != NULL) {
		frame_unref(n->frame);
		for (i = 0; i < HUB_KINDS; i++)
			frame_unref(n->frames[i]);
		news_free(n);
	}
}
