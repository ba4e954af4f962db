/*
 * Help with items of jobs that other daemons run: the side of the one that has
 * slots free and nothing of its own to put in them.
 *
 * It takes open items (lent.h), as many as it can run, does them with its own
 * pipelines and in the same directory, and writes what became of them: several
 * in one transaction.  Four times a second it looks at what it holds: what is
 * wanted back, of a job that somebody cancels or that is another's by now is
 * ended and given back.  What it cannot do it leaves: jobs of a pipeline that
 * is not here, or that has other stages here, and of which the directory is
 * not here.
 */

#ifndef MILLRACE_HELP_H
#define MILLRACE_HELP_H

#include <stddef.h>
#include <stdint.h>

struct conf;
struct db;
struct help;
struct loop;
struct set;
struct tasks;

/* What it works with.  None of it is owned. */
struct help_tools {
	struct loop	*loop;
	struct db	*db;
	const struct conf *conf;
	struct tasks	*tasks;
	struct set	*(*set)(void *);	/* pipelines to go by, now */
	void		(*ended)(void *);	/* there may be a slot */
	void		*arg;
};

/*
 * help_look	Have up to SLOTS programs at work for others, as daemon SELF:
 *		fewer than before as they end, more if there is something to
 *		take.  How many items were taken.
 * help_running	Programs at work.
 * help_count	Items that are held, until what became of them is written.
 * help_leave	Begin nothing more.
 * help_hurry	And end what runs.
 * help_lose	The lease is over: kill all, and write nothing.
 */
struct help	*help_new(const struct help_tools *);
size_t		 help_look(struct help *, uint64_t self, size_t slots);
size_t		 help_running(const struct help *);
size_t		 help_count(const struct help *);
void		 help_leave(struct help *);
void		 help_hurry(struct help *);
void		 help_lose(struct help *);
void		 help_free(struct help *);

#endif
