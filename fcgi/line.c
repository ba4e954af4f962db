/*
 * Lines from one thread to another: a list behind a lock, and an eventfd that
 * is written when the list was empty.  The reader clears it before it takes
 * the list, so it may be woken for nothing, but never misses a thing.
 */

#include "line.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "log.h"

void
list_init(struct list *l)
{
	l->first = NULL;
	l->last = &l->first;
}

void
list_add(struct list *l, struct link *link)
{
	link->next = NULL;
	*l->last = link;
	l->last = &link->next;
}

void
list_move(struct list *to, struct list *from)
{
	if (from->first == NULL)
		return;
	*to->last = from->first;
	to->last = from->last;
	list_init(from);
}

struct link *
list_take(struct list *l)
{
	struct link	*link = l->first;

	if (link == NULL)
		return NULL;
	l->first = link->next;
	if (l->first == NULL)
		l->last = &l->first;
	return link;
}

void
line_init(struct line *l)
{
	pthread_mutex_init(&l->lock, NULL);
	list_init(&l->list);
	if ((l->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) == -1)
		fatal("eventfd");
}

void
line_put(struct line *l, struct list *list)
{
	uint64_t	 one = 1;
	bool		 was_empty;

	if (list->first == NULL)
		return;
	pthread_mutex_lock(&l->lock);
	was_empty = l->list.first == NULL;
	list_move(&l->list, list);
	pthread_mutex_unlock(&l->lock);
	/* It only fails for good when it is readable already. */
	while (was_empty && write(l->fd, &one, sizeof(one)) == -1 &&
	    errno == EINTR)
		continue;
}

void
line_take(struct line *l, struct list *list)
{
	uint64_t	 n;

	if (read(l->fd, &n, sizeof(n)) == -1 && errno != EAGAIN &&
	    errno != EINTR)
		log_warn("eventfd");
	pthread_mutex_lock(&l->lock);
	list_move(list, &l->list);
	pthread_mutex_unlock(&l->lock);
}

void
line_close(struct line *l)
{
	close(l->fd);
	pthread_mutex_destroy(&l->lock);
}
