/*
 * The states of a job, and what leads from one to another.
 *
 *	           claim            every stage succeeded
 *	[pending] --------> [running] --------> [completed]
 *	 ^ ^  |               |  |  |
 *	 | |  |               |  |  '---------> [failed] ------.
 *	 | |  '-- cancel ---- | -'------------> [cancelled] --.|
 *	 | '---- retry -------'                               ||
 *	 '------------------- by a person --------------------'
 *
 * [waiting] leads to [pending] and to [cancelled].  A job whose daemon leaves,
 * or dies, is "retried" as well.
 */

#ifndef MILLRACE_JOBSTATE_H
#define MILLRACE_JOBSTATE_H

#include <stdbool.h>
#include <stddef.h>

enum job_state {
	JOB_PENDING,		/* may be claimed, or waits until a time */
	JOB_RUNNING,
	JOB_COMPLETED,
	JOB_FAILED,
	JOB_CANCELLED,
	JOB_WAITING,		/* for its upload, or another job */
	JOB_STATES
};

/*
 * Words for a state; job_state_parse returns -1 for anything else.
 * job_leads	Whether an arrow leads from one state to the other.
 * job_ended	Whether nothing but a person leads out of it.
 */
const char	*job_state_name(enum job_state);
int		 job_state_parse(const char *);
bool		 job_leads(enum job_state from, enum job_state to);
bool		 job_ended(enum job_state);

/* Daemons that a job may bring down, and that may die with it otherwise,
   while none of its steps gets done: then it is set aside. */
#define JOB_CRASHES	3
#define JOB_DEATHS	10

/* Whether the death of a daemon was the doing of a job that it had. */
enum job_blame { JOB_INNOCENT, JOB_BLAMED };

/*
 * job_aside	Whether a job with these counts is set aside.  It is claimed
 *		once more, but only its "always" stages run.
 * job_aside_why Says so in words, for people.
 * job_orphaned	The daemon of a running job died: count that, and return the
 *		state that the job comes to.  That is JOB_PENDING, or JOB_FAILED
 *		when it was set aside before, and even so brought its daemon
 *		down.
 */
bool		 job_aside(unsigned int crashes, unsigned int deaths);
void		 job_aside_why(unsigned int crashes, unsigned int deaths,
		    char *buf, size_t);
enum job_state	 job_orphaned(unsigned int *crashes, unsigned int *deaths,
		    enum job_blame);

#endif
