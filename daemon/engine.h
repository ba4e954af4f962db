/*
 * What happens to a job while the daemon has it, as a machine without input
 * or output: no clock, no memory, no database, and no idea where a step runs.
 * run.c drives it and carries out what it says.
 */

#ifndef MILLRACE_ENGINE_H
#define MILLRACE_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "child.h"
#include "pipeline.h"
#include "step.h"

/* A step that crashed so often has failed, and its job is set aside. */
#define ENGINE_CRASHES	3

enum engine_state {
	ENGINE_WORKING,		/* stages run, one after the other */
	ENGINE_LEAVING,		/* what runs may end, nothing starts */
	ENGINE_STOPPING,	/* what runs was told to end; then tidying */
	ENGINE_TIDYING,		/* "always" stages run */
	ENGINE_ENDING,		/* what runs was told to end; then it is over */
	ENGINE_OVER,		/* nothing runs: carry out the verdict */
	ENGINE_STATES
};

/* How the run ends.  In this order: a later one takes the place of an earlier
   one that has not been carried out yet. */
enum engine_verdict {
	VERDICT_NONE,		/* not known yet */
	VERDICT_GIVEN_BACK,	/* another daemon goes on; counts as nothing */
	VERDICT_AGAIN,		/* after a pause: a step is to be tried again */
	VERDICT_CRASHED,	/* its end was refused, see batch.c: as if its
				   daemon had died of it */
	VERDICT_STOPPED,	/* somebody cancelled the job */
	VERDICT_FAILED,		/* for good */
	VERDICT_DONE,
	VERDICT_LOST		/* the job is another's: write nothing */
};

enum engine_event {
	STEP_OK,
	STEP_REJECTED,		/* its program said: the input is bad */
	STEP_AGAIN,		/* it said: a passing fault */
	STEP_BROKEN,		/* it exited with an error, or never started */
	STEP_LATE,		/* over a limit of time or silence */
	STEP_CRASHED,		/* a signal ended it that was not ours */
	STEP_LOST,		/* another daemon ran it, and has died */
	STEP_ENDED,		/* because it was told to */
	JOB_CANCELS,		/* somebody wants the job to end */
	JOB_LEAVES,		/* the daemon is told to end */
	JOB_HURRIES,		/* and its time for that is over */
	JOB_LOST,		/* by the lease, or by the fence */
	ENGINE_EVENTS
};

/* One step, as far as it matters here.  In the order of their positions. */
struct engine_step {
	unsigned int	 position;	/* of its stage in the pipeline */
	enum step_state	 state;
	bool		 again;		/* it waits for the end of a pause:
					   not for this run */
	double		 percent;	/* 0..100; never falls */
	unsigned int	 failures;	/* tries that failed, so far */
	unsigned int	 crashes;	/* and that crashed */
};

struct engine {
	const struct stage *stages;	/* of the pipeline */
	unsigned int	 crashes;	/* of the job, and */
	unsigned int	 deaths;	/* of daemons, as in job.h */
	bool		 owes;		/* results were named and not stored:
					   the driver's to set, at any time */
	enum engine_state state;
	enum engine_verdict verdict;
	unsigned int	 running;	/* steps now */
	size_t		 at;		/* first step of the stage at work */
	size_t		 from;		/* all of that stage before it ended */
};

/* What the driver has to do; bits. */
enum engine_action {
	ENGINE_END_ALL	= 1,		/* tell all steps that run to end */
	ENGINE_FINISH	= 2		/* carry out the verdict: it is over */
};

/*
 * engine_begin	A job was claimed; stages, crashes and deaths are set.  Steps
 *		that are neither done nor out of tries wait again, as do all
 *		"always" ones; AGAIN is set of those whose pause is not over.
 *		Returns actions.
 * engine_next	The step to start now, or -1.  Ask again until -1, or until
 *		there is no room for more.
 * engine_start	It was started.
 * engine_spoilt	Whether more steps of a stage have failed than its job
 *		may do without.
 * engine_handle EVENT has come, of step I (any for those of the job).
 *		Returns actions.  A step that went wrong has then failed, or is
 *		to be tried again.
 *
 * New steps may be put in behind the stage of those that run.
 */
unsigned int	 engine_begin(struct engine *, struct engine_step *, size_t n);
int		 engine_next(const struct engine *, const struct engine_step *,
		    size_t n);
void		 engine_start(struct engine *, struct engine_step *, int i);
bool		 engine_spoilt(const struct engine *,
		    const struct engine_step *, size_t n);
unsigned int	 engine_handle(struct engine *, struct engine_step *, size_t n,
		    enum engine_event, int i);

/*
 * engine_judge	What it means that a program ended like this, after it had said
 *		"reject" or "retry".
 * engine_pause	Seconds before a step of this stage is tried again after TRIES,
 *		from 1: doubled each time, and spread by RANDOM over the upper
 *		half.
 */
enum engine_event engine_judge(const struct child_end *, bool rejected,
		    bool retries);
unsigned int	 engine_pause(const struct stage *, unsigned int tries,
		    uint32_t random);

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
