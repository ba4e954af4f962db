/*
 * Programs of stages: where they are, and what they are given.
 */

#ifndef MILLRACE_PROGRAM_H
#define MILLRACE_PROGRAM_H

struct child;
struct child_owner;
struct conf;
struct job;
struct json_object;
struct pipeline;
struct sandbox;
struct stage;
struct upload;
struct work;

/* What all that runs for a job has in common.  It stays the caller's, and as
   it is as long as something runs. */
struct task_job {
	const struct job *job;
	const struct pipeline *pipeline;
	const struct upload *upload;	/* its input, or NULL */
	const char	*params;	/* JSON: options */
	struct json_object *details;	/* facts are added to it */
	struct work	*work;
	void		(*quiet)(void *);	/* as tasks_dismiss has it */
	void		*arg;
};

/* Which step it is. */
struct task_step {
	const struct stage *stage;
	const char	*item, *args;	/* of an "each" stage, else NULL */
	unsigned int	 cores;		/* that the program may use */
};

/*
 * program_start The program of a step; one that is kept has yet to be fed.
 *		NULL when there are no processes or descriptors left (said).
 */
struct child	*program_start(const struct conf *, const struct sandbox *,
		    const struct task_job *, const struct task_step *,
		    const struct child_owner *);

#endif
