/*
 * What the poller's thread has for the loop.
 */

#ifndef MILLRACE_NEWS_H
#define MILLRACE_NEWS_H

#include <stddef.h>
#include <stdint.h>

#include "follow.h"
#include "hub.h"
#include "line.h"

struct frame;

enum news_type {
	NEWS_ANSWER,		/* fd serial frame later: that was all */
	NEWS_JOIN,		/* fd serial frame join: follows from now on */
	NEWS_EVENT,		/* job seq frames */
	NEWS_CATCH_UP,		/* fd serial frame seq; frame NULL: none yet */
	NEWS_GONE,		/* job: there is no such job any more */
	NEWS_REVOKED,		/* viewers nviewers */
	NEWS_AWAY,		/* the database is */
	NEWS_BACK		/* it is there again */
};

struct news {
	struct link	 link;
	enum news_type	 type;
	int		 fd;
	uint32_t	 serial;
	struct frame	*frame;		/* who reads the news takes it over */
	enum follow_later later;
	struct hub_join	 join;
	struct uuid	 job;
	uint32_t	 seq;
	struct frame	*frames[HUB_KINDS];	/* likewise */
	uint32_t	*viewers;	/* ascending */
	size_t		 nviewers;
};

/*
 * news_add	New ones, at the end of a list; all but the type is zero.
 * news_free	Leaves frames alone.
 * news_drop	All of a list, frames and all.
 */
struct news	*news_add(struct list *, enum news_type);
void		 news_free(struct news *);
void		 news_drop(struct list *);

#endif
