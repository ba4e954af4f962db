/*
 * Answer the requests that open a stream: who asks, for which job, and from
 * which event on.  It needs the database, so it belongs to the poller's
 * thread.
 */

#ifndef MILLRACE_FOLLOW_H
#define MILLRACE_FOLLOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hub.h"
#include "user.h"

struct conf;
struct db;
struct dialect;
struct follow;
struct frame;
struct token_keys;
struct viewers;

/* Kinds of streams, by number: one for each dialect that has them. */
struct follow_kind {
	const struct dialect	*dialect;
	bool			 rotates;	/* its clients can renew */
};
#define FOLLOW_KINDS	2
extern const struct follow_kind follow_kinds[FOLLOW_KINDS];

/* Why a client was told to come back later. */
enum follow_later {
	FOLLOW_NOW,		/* it was not */
	FOLLOW_FULL,		/* the hub has as many streams as it can */
	FOLLOW_MANY,		/* the user or address has */
	FOLLOW_AWAY,		/* the database is away */
	FOLLOW_LATERS
};

/* Requests that are answered together, at most. */
#define FOLLOW_BATCH	64

/* What a request has come to. */
struct followed {
	bool		 stream;	/* else FRAME is all of the answer */
	struct frame	*frame;		/* the caller's from now on */
	enum follow_later later;
	struct hub_join	 join;		/* of a stream; viewer is not set */
	struct caller	 caller;	/* likewise */
	char		 address[46];
};

/*
 * follow_new	VIEWERS is asked how many streams somebody has.
 * follow_db	The connection it uses.
 * follow_fetch	Look up the jobs that N (FOLLOW_BATCH at most) requests are
 *		about, in one query; before follow_answer.  0 or -1.
 * follow_answer Answer one.  LATER: by telling it so.  SERIAL is for the log.
 */
struct follow	*follow_new(const struct conf *, struct token_keys *,
		    struct viewers *);
void		 follow_free(struct follow *);
struct db	*follow_db(struct follow *);
int		 follow_fetch(struct follow *, char **const *envs, size_t n);
void		 follow_answer(struct follow *, char **env, enum follow_later,
		    uint32_t serial, struct followed *);

#endif
