/*
 * Lend items to other daemons: the side of the one that has the job.
 *
 * Each run has a loan.  While items of it wait that this host has no room for,
 * and other daemons have, a window of them is offered (lent.h): about twice
 * what the others can run, and more when they are quick.  Four times a second
 * one look at the database tells what became of them.  A host that is alone
 * asks every other second whether it still is; that is all it costs.
 *
 * For the engine a lent item runs, wherever it is.
 */

#ifndef MILLRACE_LEND_H
#define MILLRACE_LEND_H

#include <stddef.h>
#include <stdint.h>

#include "lent.h"

struct db;
struct lender;
struct loan;
struct loop;
struct part;

/* What a helper has made of an item.  The texts die with the call. */
struct loan_end {
	unsigned int	 attempt;
	const char	*output;	/* last lines of its log */
	const char	*said;		/* said_json.h; NULL: its helper was
					   lost */
};

/* What a loan asks of its run and tells it, from the loop.  All of these get
   the run's ARG, which may free the loan. */
struct loan_owner {
	/* Choose up to N items that may be lent, all of the stage at *POSITION,
	   and take them for running.  How many. */
	size_t	(*choose)(void *, struct part **, size_t n,
		    unsigned int *position);
	void	(*percent)(void *, struct part *, double);
	void	(*end)(void *, struct part *, const struct loan_end *);
	void	(*back)(void *, struct part *);	/* as if nothing had been */
	void	*arg;
};

/*
 * lender_new	TURN(ARG) comes after a number of these calls.
 * loan_new	Of JOB, which is of QUEUE and run by daemon SELF.
 * loan_inherit	P, at POSITION, was lent under TOKEN by an attempt before, and
 *		has ended; the engine has it running when loan_begin is called.
 * loan_read_inherited	Read how they ended.  0, or -1 while the database is
 *		away.
 * loan_begin	The run is told, of these first.
 * loan_ask	There are items that wait for a program.  Call it as often as
 *		that is so.
 * loan_take_back This host has room: some that nobody has taken yet shall come
 *		back.
 * loan_close	Nothing more is offered, and what nobody has taken comes back.
 * loan_recall	And what is held elsewhere is ended there, and comes back.
 * loan_forget	The job is another's: all come back, and nothing is written.
 */
struct lender	*lender_new(struct loop *, struct db *, void (*turn)(void *),
		    void *arg);
void		 lender_free(struct lender *);
struct loan	*loan_new(struct lender *, const struct lent_job *,
		    const char *queue, uint64_t self,
		    const struct loan_owner *);
void		 loan_inherit(struct loan *, struct part *,
		    unsigned int position, uint64_t token);
int		 loan_read_inherited(struct loan *);
void		 loan_begin(struct loan *);
void		 loan_ask(struct loan *);
void		 loan_take_back(struct loan *);
void		 loan_close(struct loan *);
void		 loan_recall(struct loan *);
void		 loan_forget(struct loan *);
void		 loan_free(struct loan *);

#endif
