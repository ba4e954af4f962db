/*
 * What happens to a job while the daemon has it, as a machine without input
 * or output: no clock, no memory, no database.  run.c drives it and carries
 * out what it says.
 */

#ifndef MILLRACE_ENGINE_H
#define MILLRACE_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "child.h"
#include "pipeline.h"
#include "step.h"

/* A job that took its daemon or a stage down so often is set aside. */
#define ENGINE_CRASHES	3

/* Longest pause before another attempt, seconds. */
#define ENGINE_PAUSE_S	600

enum engine_state {
	ENGINE_WORKING,		/* stages run, one after the other */
	ENGINE_STOPPING,	/* what runs was told to end */
	ENGINE_TIDYING,		/* "always" stages run */
	ENGINE_OVER,		/* nothing runs: carry out the verdict */
	ENGINE_STATES
};

/* How the run ends.  In this order: a later one takes the place of an earlier
   one that has not been carried out yet. */
enum engine_verdict {
	VERDICT_NONE,		/* not known yet */
	VERDICT_GIVEN_BACK,	/* another daemon goes on; counts as nothing */
	VERDICT_AGAIN,		/* after a pause */
	VERDICT_CRASHED,	/* after a pause, counted as a crash */
	VERDICT_STOPPED,	/* somebody cancelled the job */
	VERDICT_FAILED,		/* for good */
	VERDICT_DONE,
	VERDICT_LOST		/* the job is another's: write nothing */
};

enum engine_event {
	STEP_OK,
	STEP_REJECTED,		/* the stage said: the input is bad */
	STEP_AGAIN,		/* it said: a passing fault */
	STEP_BROKEN,		/* it exited with an error, or never started */
	STEP_LATE,		/* over a limit of time or silence */
	STEP_CRASHED,		/* a signal ended it that was not ours */
	STEP_ENDED,		/* because we told it to */
	JOB_CANCELS,		/* somebody wants the job to end */
	JOB_LEAVES,		/* the daemon is told to end */
	JOB_LOST,		/* by the lease, or by the fence */
	ENGINE_EVENTS
};

/* One step, as far as it matters here.  In the order of their positions. */
struct engine_step {
	unsigned int	 position;	/* of its stage in the pipeline */
	enum stage_kind	 kind;
	enum step_state	 state;
	double		 percent;	/* 0..100 */
};

struct engine {
	enum engine_state state;
	enum engine_verdict verdict;
	bool		 hurry;		/* no "always" stage may start */
	bool		 owes;		/* results were named and not stored:
					   the driver's to set */
	unsigned int	 attempt;	/* this one, from 1 */
	unsigned int	 attempts;	/* that the pipeline allows */
	unsigned int	 crashes;	/* so far */
	unsigned int	 running;	/* steps now */
};

/* What the driver has to do; bits. */
enum engine_action {
	ENGINE_END_ALL	= 1,		/* tell all steps that run to end */
	ENGINE_FINISH	= 2		/* carry out the verdict: it is over */
};

/*
 * engine_begin	A job was claimed.  Steps that are not done wait again, as do
 *		all "always" ones.  Returns actions.
 * engine_next	The step to start now, or -1.  Ask again until -1, or until
 *		there is no room for more.
 * engine_start	It was started.
 * engine_handle EVENT has come, of step I (any for those of the job).
 *		Returns actions.
 */
unsigned int	 engine_begin(struct engine *, struct engine_step *, size_t n);
int		 engine_next(const struct engine *, const struct engine_step *,
		    size_t n);
void		 engine_start(struct engine *, struct engine_step *, int i);
unsigned int	 engine_handle(struct engine *, struct engine_step *, size_t n,
		    enum engine_event, int i);

/*
 * engine_judge	What it means that a stage ended like this, after it had said
 *		"reject" or "retry".
 * engine_pause	Seconds before attempt N+1, from 1: doubled each time, and
 *		spread by RANDOM.
 */
enum engine_event engine_judge(const struct child_end *, bool rejected,
		    bool retries);
unsigned int	 engine_pause(unsigned int n, uint32_t random);

/* How far a job is, seen from the stage at POSITION. */
struct engine_progress {
	double		 stage;		/* 0..100, of that stage */
	double		 total;		/* 0..100, of the job; 100 only when
					   it is done, which is not said here */
	unsigned int	 items_done, items_total;	/* of the "each" that
					   runs, ran last, or comes next */
};
void	engine_progress(const struct pipeline *, const struct engine_step *,
	    size_t n, unsigned int position, struct engine_progress *);

/* How fast a run is.  All zero: it begins. */
struct engine_pace {
	uint64_t	 since;		/* loop_now() when it began */
	double		 from;		/* percent of the job, then */
	uint64_t	 said_at;	/* when one was last given; 0: never */
	double		 said_s;	/* which */
};

/*
 * engine_eta	Seconds that are left, or -1 as long as nobody can tell: the
 *		run must have taken 5 s and moved 5 %.  Follows the measured
 *		rate slowly, so that it does not jump.
 */
int	engine_eta(struct engine_pace *, double percent, uint64_t now);

#endif
