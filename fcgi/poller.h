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

#include <stdint.h>

#include "follow.h"
#include "hub.h"

struct conf;
struct news;
struct poller;
struct token_keys;

/*
 * poller_start	Begin; CONF and KEYS must live as long as it.
 * poller_stop	End the thread and free all; what is still in line is lost.
 *		0; or -1 when the thread waits for the database, and is left
 *		alone with what is its.
 * poller_fd	Readable when poller_next has something.
 * poller_next	The oldest of the news, the caller's from now on; or NULL.
 */
struct poller	*poller_start(const struct conf *, struct token_keys *);
int		 poller_stop(struct poller *);
int		 poller_fd(const struct poller *);
struct news	*poller_next(struct poller *);

/*
 * poller_open	A request came, with these parameters (taken over).  LATER:
 *		do not even try.  The answer is NEWS_ANSWER or NEWS_JOIN.
 * poller_fetch	The answer is NEWS_CATCH_UP.
 * poller_left	A stream that was to join (NEWS_JOIN) has ended.
 */
void	 poller_open(struct poller *, int fd, uint32_t serial, char **env,
	    enum follow_later);
void	 poller_fetch(struct poller *, const struct hub_need *);
void	 poller_left(struct poller *, const struct uuid *job,
	    unsigned int kind, uint32_t viewer);

#endif
