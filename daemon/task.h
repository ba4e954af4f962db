/*
 * Tasks: a step of a job, while its program works on it.
 *
 * A program is started for it, or one that is kept for items of its stage is
 * fed with it, which makes no difference to the owner.  What its end means for
 * the step and the job is for others to say.
 */

#ifndef MILLRACE_TASK_H
#define MILLRACE_TASK_H

#include <stdbool.h>
#include <stddef.h>

#include "child.h"
#include "program.h"
#include "said.h"

struct conf;
struct sandbox;
struct task;
struct tasks;

/* What a task tells its owner, from the loop.  END comes last, and once: the
   task is freed when it returns. */
struct task_owner {
	void	(*news)(void *);	/* there is something for clients */
	void	(*end)(void *, const struct child_end *);
	void	*arg;
};

/*
 * tasks_count	Those that run now, of all jobs.
 * task_start	NULL when there are no processes or descriptors left (said);
 *		all else is told to the owner's END.
 * task_said	What it has said so far.
 * task_stop	TERM, KILL after GRACE_MS; END comes.
 * task_kill	KILL; END comes.
 * tasks_idle	Whether a program is kept for a job that has nothing to do.
 * tasks_dismiss Of the programs that are kept for a job let those end that have
 *		nothing to do.  Whether there are any that have not ended yet:
 *		then QUIET of the job is told when they have.  Nothing else may
 *		be started in its directory before, and it may not be freed.
 * tasks_stop_idle	The same, by TERM, KILL after GRACE_MS.
 * tasks_kill_idle	The same, by KILL.
 */
struct tasks	*tasks_new(const struct conf *, const struct sandbox *);
void		 tasks_free(struct tasks *);
size_t		 tasks_count(const struct tasks *);
struct task	*task_start(struct tasks *, const struct task_job *,
		    const struct task_step *, const struct task_owner *);
struct said	*task_said(struct task *);
void		 task_stop(struct task *, unsigned int grace_ms);
void		 task_kill(struct task *);
bool		 tasks_idle(const struct tasks *, const struct task_job *);
bool		 tasks_dismiss(struct tasks *, const struct task_job *);
bool		 tasks_stop_idle(struct tasks *, const struct task_job *,
		    unsigned int grace_ms);
bool		 tasks_kill_idle(struct tasks *, const struct task_job *);

#endif
