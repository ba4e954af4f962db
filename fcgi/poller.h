/*
 * The hub's other thread: it owns the one database connection, answers the
 * requests that open streams, sees what changed, and makes the frames.
 *
 * The two threads share nothing.  What one has for the other lies in a line
 * that is handed over as a whole; what the poller said first the loop hears
 * first, which is what makes a join exact (poller.c says how).
 */

#ifndef MILLRACE_POLLER_H
#define MILLRACE_POLLER_H

#include <stddef.h>
#include <stdint.h>

#include "follow.h"
#include "hub.h"
#include "line.h"

struct conf;
struct frame;
struct poller;
struct token_keys;

/*
 * poller_start	Begin; CONF and KEYS must live as long as it.
 * poller_stop	End the thread and free all; what is still in line is lost.
 *		0; or -1 when the thread waits for the database, and is left
 *		alone with what is its.
 * poller_fd	Readable when poller_next has something.
 */
struct poller	*poller_start(const struct conf *, struct token_keys *);
int		 poller_stop(struct poller *);
int		 poller_fd(const struct poller *);

/*
 * From the loop.
 *
 * poller_open	A request came, with these parameters (taken over).  LATER:
 *		do not even try.  The answer is POLLER_ANSWER or POLLER_JOIN.
 * poller_fetch	The answer is POLLER_CATCH_UP.
 * poller_left	A stream that was to join (POLLER_JOIN) has ended.
 */
void	 poller_open(struct poller *, int fd, uint32_t serial, char **env,
	    enum follow_later);
void	 poller_fetch(struct poller *, const struct hub_need *);
void	 poller_left(struct poller *, const struct uuid *job,
	    unsigned int kind, uint32_t viewer);

enum poller_type {
	POLLER_ANSWER,		/* fd serial frame later: that was all */
	POLLER_JOIN,		/* fd serial frame join: follows from now on */
	POLLER_EVENT,		/* job seq frames */
	POLLER_CATCH_UP,	/* fd serial frame seq; frame NULL: none yet */
	POLLER_GONE,		/* job: there is no such job any more */
	POLLER_REVOKED,		/* viewers nviewers */
	POLLER_AWAY,		/* the database is */
	POLLER_BACK		/* it is there again */
};

/* Something for the loop. */
struct poller_news {
	struct link	 link;
	enum poller_type type;
	int		 fd;
	uint32_t	 serial;
	struct frame	*frame;		/* the loop's from now on */
	enum follow_later later;
	struct hub_join	 join;
	struct uuid	 job;
	uint32_t	 seq;
	struct frame	*frames[HUB_KINDS];	/* likewise */
	uint32_t	*viewers;
	size_t		 nviewers;
};

/*
 * poller_next	The oldest of the news, or NULL; to be freed with
 *		poller_news_free, which leaves frames alone.
 */
struct poller_news *poller_next(struct poller *);
void		 poller_news_free(struct poller_news *);

#endif
