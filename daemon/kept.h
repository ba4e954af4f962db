/*
 * Programs that are kept running, and do the items of a stage one after the
 * other:
 *
 *	               fed                 says "done", "failed", ...
 *	[starts] ---> [busy] <----------------------> [idle]
 *	                | |          fed                 |
 *	      it dies   | '-- stopped                    | dismissed, or it dies
 *	                v                                v
 *	     the item has ended so               end of its input, gone
 *
 * One that dies while it is idle, or with a line that it has not read, has not
 * spoilt an item: that one ends as if its program had been told to, and waits
 * for another.  But each has to do one item at least, or it is the item's fault.
 */

#ifndef MILLRACE_KEPT_H
#define MILLRACE_KEPT_H

#include <stdbool.h>

#include "child.h"
#include "program.h"

struct kept;
struct kepts;

/*
 * kept_feed	Have an item done, by an idle program of this stage or by a new
 *		one.  The owner hears what is said of it, until kept_over(), or
 *		END.  NULL when there is no room for a process (said).
 * kept_over	Its program has said that it is done with it.
 * kept_stop	As child_stop and child_kill; END comes.
 * kept_kill
 * kepts_any	Whether there is an idle program for a job.
 * kepts_dismiss Let the idle programs of a job end, as it has nothing for them.
 *		Whether there are any that have not ended yet: then its QUIET
 *		is told when they have.
 * kepts_stop	The same, by TERM, and KILL after GRACE_MS.
 * kepts_kill	The same, by KILL.
 */
struct kepts	*kepts_new(const struct conf *, const struct sandbox *);
void		 kepts_free(struct kepts *);
struct kept	*kept_feed(struct kepts *, const struct task_job *,
		    const struct task_step *, const struct child_owner *);
void		 kept_over(struct kept *);
void		 kept_stop(struct kept *, unsigned int grace_ms);
void		 kept_kill(struct kept *);
bool		 kepts_any(const struct kepts *, const struct task_job *);
bool		 kepts_dismiss(struct kepts *, const struct task_job *);
bool		 kepts_stop(struct kepts *, const struct task_job *,
		    unsigned int grace_ms);
bool		 kepts_kill(struct kepts *, const struct task_job *);

#endif
