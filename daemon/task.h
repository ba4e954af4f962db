/*
 * Tasks: a step of a job, while its program works on it.
 *
 * Here a program is found, given its arguments and environment, and listened
 * to.  What its end means for the step and the job is for others to say.
 */

#ifndef MILLRACE_TASK_H
#define MILLRACE_TASK_H

#include <stddef.h>

#include "child.h"
#include "said.h"

struct conf;
struct job;
struct pipeline;
struct sandbox;
struct stage;
struct task;
struct tasks;
struct upload;
struct work;

/* What all tasks of a job have in common.  It stays the caller's, and as it is
   while one of them runs. */
struct task_job {
	const struct job *job;
	const struct pipeline *pipeline;
	const struct upload *upload;	/* its input, or NULL */
	const char	*params;	/* JSON: options */
	struct json_object *details;	/* facts are added to it */
	struct work	*work;
};

/* Which step it is. */
struct task_step {
	const struct stage *stage;
	const char	*item, *args;	/* of an "each" stage, else NULL */
	unsigned int	 cores;		/* that the program may use */
};

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
 */
struct tasks	*tasks_new(const struct conf *, const struct sandbox *);
void		 tasks_free(struct tasks *);
size_t		 tasks_count(const struct tasks *);
struct task	*task_start(struct tasks *, const struct task_job *,
		    const struct task_step *, const struct task_owner *);
struct said	*task_said(struct task *);
void		 task_stop(struct task *, unsigned int grace_ms);
void		 task_kill(struct task *);

#endif
