/*
 * Table step, the items that are lent: done by other daemons than the one
 * that runs the job.
 *
 *	          offer         take           end
 *	[its own] -----> [open] ------> [held] -----> [ended]
 *	 ^ ^  ^            |              |              |
 *	 | |  '- take back '              | give back    |
 *	 | |                              v              |
 *	 | '------------------------- [returned]         |
 *	 '-----------------------------------------------'
 *	             once the lender has read it
 *
 * The lender is the daemon that has the job; the token of its attempt is on
 * every row that it lends, and leads back to it.  A helper takes open rows
 * with one compare-and-set and writes what becomes of them; each of its writes
 * names itself and the token, and so comes too late where somebody else has
 * the job by then.  What it wrote stays until an owner of the job has read it.
 */

#ifndef MILLRACE_LENT_H
#define MILLRACE_LENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "db.h"
#include "step.h"
#include "uuid.h"

/* A job under the token of one attempt. */
struct lent_job {
	struct uuid	id;
	uint64_t	token;
};

/* Items that are named in one statement, at most. */
#define LENT_MOST	1024

/*
 * The lender's side.
 *
 * lent_offer	N of the items at POSITION may be taken.  1; 0: the fence
 *		refused it, the job is another's; -1: they may be open, or not.
 * lent_read	Tell TO(ARG) of all items that these jobs have lent, in the
 *		order of jobs and items.  0 or -1.
 * lent_take_back Of N items at POSITION those that are open are the lender's
 *		again; MINE tells which of them are, now or since before.
 *		0 or -1.  These two have transactions of their own.
 * lent_want_back Whoever holds items of the job shall give them back.
 * lent_regain	For a new owner, before it starts anything, in a transaction
 *		of its own: what has not ended is its own again, and nobody can
 *		take it or end it any more.  0, or -1.
 */
struct lent_news {
	struct uuid	 job;
	unsigned int	 position;
	const char	*item;
	bool		 open;		/* nobody has taken it */
	bool		 held;		/* a helper works on it */
	bool		 ended;		/* else it was returned */
	enum step_state	 state;
	double		 percent;
	unsigned int	 attempt;
	const char	*output;
	const char	*said;		/* NULL: its helper was lost */
};

int	lent_offer(struct db *, const struct lent_job *, unsigned int position,
	    char *const *items, size_t n);
int	lent_read(struct db *, const struct lent_job *, size_t n,
	    void (*to)(void *, const struct lent_news *), void *arg);
int	lent_take_back(struct db *, const struct lent_job *,
	    unsigned int position, char *const *items, size_t n, bool *mine);
int	lent_want_back(struct db *, const struct lent_job *);
int	lent_regain(struct db *, const struct lent_job *);

/*
 * The helper's side.  HELPER is its id in table daemon.
 *
 * lent_jobs	Jobs of others that have open items.  How many, or -1.
 * lent_open	Up to N open items of a job, as far as is needed to choose.
 *		How many, or -1.
 * lent_take	Take N of them, of one position.  Those that were got come
 *		first in STEPS, how many is returned; -1: perhaps some are held,
 *		and nobody knows it: lent_held tells.
 * lent_working	A held one was begun, and so far it is.
 * lent_end	STEP, of which state, exit_status and output count, has ended;
 *		SAID is for the lender.
 * lent_return	A held one is given back; begun or not.
 *		These three: 1; 0: it was not held (any more); -1.
 * lent_held	Tell TO(ARG) of all that is held.  0 or -1.
 * lent_release	All that HELPER holds is given back: how many, or -1.
 * lent_lost	The same for one that is dead: those that it has begun, as far
 *		as is known, have ended in a crash, and so has what was lost
 *		ten times.  Inside the caller's transaction.
 */
struct lent_held {
	struct lent_job	 job;
	unsigned int	 position;
	const char	*item;
	bool		 wanted;	/* the lender wants it back */
	bool		 cancelled;	/* somebody wants the job to end */
	bool		 over;		/* the job is not the lender's now */
};

int	lent_jobs(struct db *, uint64_t helper, struct lent_job *, size_t n);
int	lent_open(struct db *, const struct lent_job *, struct step *,
	    size_t n);
int	lent_take(struct db *, uint64_t helper, const struct lent_job *,
	    struct step *steps, size_t n);
int	lent_working(struct db *, uint64_t helper, const struct lent_job *,
	    const struct step *);
int	lent_end(struct db *, uint64_t helper, const struct lent_job *,
	    const struct step *, const char *said);
enum lent_begun { LENT_NOT_BEGUN, LENT_BEGUN };
int	lent_return(struct db *, uint64_t helper, const struct lent_job *,
	    const struct step *, enum lent_begun);
int	lent_held(struct db *, uint64_t helper,
	    void (*to)(void *, const struct lent_held *), void *arg);
int	lent_release(struct db *, uint64_t helper);
int	lent_lost(struct db *, uint64_t helper);

#endif
