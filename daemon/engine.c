/*
 * What happens to a job while the daemon has it.
 *
 *	             a step went wrong, or the job may not go on
 *	[working] ------------------------------------------> [stopping]
 *	    |                                                  |      |
 *	    | no step is left                    nothing runs; |      |
 *	    |                           the job ends for good  |      |
 *	    '----------------> [tidying] <---------------------'      |
 *	                           |                                  |
 *	                           | no "always" is left,             |
 *	                           v or there is no time              |
 *	                        [over] <------------------------------'
 *
 * In which state which event leads to which verdict stands in a table; where
 * a verdict is known already, the stronger one holds.
 */

#include "engine.h"

#include <sys/wait.h>

#include <signal.h>

/* ---- verdicts ------------------------------------------------------------ */

/* An event that is not named leaves the verdict as it is. */
static const enum engine_verdict verdicts[ENGINE_STATES][ENGINE_EVENTS] = {
	[ENGINE_WORKING] = {
		[STEP_REJECTED]	= VERDICT_FAILED,
		[STEP_AGAIN]	= VERDICT_AGAIN,
		[STEP_BROKEN]	= VERDICT_FAILED,
		[STEP_LATE]	= VERDICT_FAILED,
		[STEP_CRASHED]	= VERDICT_CRASHED,
		[STEP_ENDED]	= VERDICT_CRASHED,	/* not told: a defect */
		[JOB_CANCELS]	= VERDICT_STOPPED,
		[JOB_LEAVES]	= VERDICT_GIVEN_BACK,
		[JOB_LOST]	= VERDICT_LOST,
	},
	[ENGINE_STOPPING] = {
		[STEP_REJECTED]	= VERDICT_FAILED,
		[STEP_AGAIN]	= VERDICT_AGAIN,
		[STEP_BROKEN]	= VERDICT_FAILED,
		[STEP_LATE]	= VERDICT_FAILED,
		[STEP_CRASHED]	= VERDICT_CRASHED,
		[JOB_CANCELS]	= VERDICT_STOPPED,
		[JOB_LEAVES]	= VERDICT_GIVEN_BACK,
		[JOB_LOST]	= VERDICT_LOST,
	},
	/* How the stages ended stands; only the job may be taken from us. */
	[ENGINE_TIDYING] = {
		[JOB_LOST]	= VERDICT_LOST,
	},
};

/* Whether "always" stages belong to a verdict: the job ends for good. */
static const bool	 tidies[] = {
	[VERDICT_STOPPED]	= true,
	[VERDICT_FAILED]	= true,
	[VERDICT_DONE]		= true,
	[VERDICT_LOST]		= false,
};

/* There is an end to attempts, and to crashes. */
static enum engine_verdict
bounded(const struct engine *e, enum engine_verdict verdict)
{
	if (verdict == VERDICT_AGAIN && e->attempt >= e->attempts)
		return VERDICT_FAILED;
	if (verdict == VERDICT_CRASHED && e->crashes + 1 >= ENGINE_CRASHES)
		return VERDICT_FAILED;
	return verdict;
}

/* ---- steps --------------------------------------------------------------- */

static bool
wanted(const struct engine *e, const struct engine_step *s)
{
	bool	 always = s->kind == STAGE_ALWAYS;

	return s->state == STEP_WAITING &&
	    ((e->state == ENGINE_WORKING && !always) ||
	    (e->state == ENGINE_TIDYING && always && !e->hurry));
}

int
engine_next(const struct engine *e, const struct engine_step *steps, size_t n)
{
	size_t	 i, first;

	/* What runs, runs at one position: only its neighbours may join it. */
	for (first = 0; first < n; first++) {
		if (steps[first].state == STEP_RUNNING)
			break;
	}
	for (i = 0; i < n; i++) {
		if (!wanted(e, &steps[i]))
			continue;
		if (first == n || steps[i].position == steps[first].position)
			return (int)i;
		return -1;
	}
	return -1;
}

void
engine_start(struct engine *e, struct engine_step *steps, int i)
{
	steps[i].state = STEP_RUNNING;
	steps[i].percent = 0;
	e->running++;
}

/* ---- events -------------------------------------------------------------- */

/* Go on to the next state as long as nothing is left to do in this one. */
static unsigned int
settle(struct engine *e, const struct engine_step *steps, size_t n)
{
	while (e->running == 0 && e->state != ENGINE_OVER &&
	    engine_next(e, steps, n) == -1) {
		switch (e->state) {
		case ENGINE_WORKING:
			e->verdict = e->owes ? VERDICT_FAILED : VERDICT_DONE;
			e->state = ENGINE_TIDYING;
			break;
		case ENGINE_STOPPING:
			e->state = tidies[e->verdict] ? ENGINE_TIDYING :
			    ENGINE_OVER;
			break;
		default:
			e->state = ENGINE_OVER;
			break;
		}
	}
	return e->state == ENGINE_OVER ? ENGINE_FINISH : 0;
}

unsigned int
engine_begin(struct engine *e, struct engine_step *steps, size_t n)
{
	size_t	 i;

	for (i = 0; i < n; i++) {
		if (steps[i].state == STEP_DONE &&
		    steps[i].kind != STAGE_ALWAYS)
			continue;
		steps[i].state = STEP_WAITING;
		steps[i].percent = 0;
	}
	e->state = ENGINE_WORKING;
	e->verdict = VERDICT_NONE;
	e->running = 0;
	if (e->crashes >= ENGINE_CRASHES) {
		e->verdict = VERDICT_FAILED;
		e->state = ENGINE_STOPPING;
	}
	return settle(e, steps, n);
}

unsigned int
engine_handle(struct engine *e, struct engine_step *steps, size_t n,
    enum engine_event event, int i)
{
	enum engine_verdict	 verdict;
	unsigned int		 actions = 0;

	if (e->state == ENGINE_OVER)
		return 0;
	if (event < JOB_CANCELS) {
		e->running--;
		steps[i].state = event == STEP_OK ? STEP_DONE :
		    event == STEP_ENDED ? STEP_WAITING : STEP_FAILED;
	}
	if (event == JOB_LEAVES || event == JOB_LOST)
		e->hurry = true;

	verdict = bounded(e, verdicts[e->state][event]);
	if (verdict > e->verdict)
		e->verdict = verdict;
	if (e->state == ENGINE_WORKING && e->verdict != VERDICT_NONE) {
		e->state = ENGINE_STOPPING;
		actions = ENGINE_END_ALL;
	} else if (e->hurry)
		actions = ENGINE_END_ALL;
	if (e->running == 0)
		actions = 0;
	return actions | settle(e, steps, n);
}

enum engine_event
engine_judge(const struct child_end *end, bool rejected, bool retries)
{
	static const enum engine_event	 by_why[] = {
		[CHILD_TOLD]		= STEP_ENDED,
		[CHILD_LATE]		= STEP_LATE,
		[CHILD_SILENT]		= STEP_LATE,
		[CHILD_OVER]		= STEP_BROKEN,
		[CHILD_CUT]		= STEP_BROKEN,
		[CHILD_FENCED]		= STEP_ENDED,
		[CHILD_UNSTARTED]	= STEP_BROKEN,
	};

	if (rejected)
		return STEP_REJECTED;
	/* Told to end, it may exit 0 with half of its work: do it again. */
	if (end->why != CHILD_EXITED)
		return by_why[end->why];
	if (retries)
		return STEP_AGAIN;
	if (end->status == 0)
		return STEP_OK;
	/* Too large a file is the input's fault: it would be so again. */
	if (WIFSIGNALED(end->status) && WTERMSIG(end->status) != SIGXFSZ)
		return STEP_CRASHED;
	return STEP_BROKEN;
}

unsigned int
engine_pause(unsigned int n, uint32_t random)
{
	unsigned int	 most = ENGINE_PAUSE_S;

	if (n < 9)
		most = 2U << (n == 0 ? 0 : n - 1);
	return most / 2 + random % (most / 2 + 1);
}

/* ---- how far, and how long ----------------------------------------------- */

static double
fraction(const struct engine_step *s)
{
	return s->state == STEP_DONE ? 1 : s->percent / 100;
}

void
engine_progress(const struct pipeline *p, const struct engine_step *steps,
    size_t n, unsigned int position, struct engine_progress *out)
{
	unsigned int	 stage, items, done;
	double		 sum, part;
	size_t		 i = 0;

	*out = (struct engine_progress){ 0 };
	for (stage = 0; stage < p->nstages; stage++) {
		sum = 0;
		items = done = 0;
		for (; i < n && steps[i].position == stage; i++) {
			sum += fraction(&steps[i]);
			done += steps[i].state == STEP_DONE;
			items++;
		}
		/* Without items there was nothing to do. */
		part = items > 0 ? sum / items : stage < position;
		out->total += p->stages[stage].share * part;
		if (stage == position)
			out->stage = 100 * part;
		if (p->stages[stage].kind == STAGE_EACH && items > 0 &&
		    (stage <= position || out->items_total == 0)) {
			out->items_done = done;
			out->items_total = items;
		}
	}
	if (out->total > 99.9)
		out->total = 99.9;
}

/* Least of a run that tells its rate. */
#define ETA_AFTER_MS	5000
#define ETA_PERCENT	5

/* A new estimate counts half after this time, seconds. */
#define ETA_HALF_S	10

int
engine_eta(struct engine_pace *pace, double percent, uint64_t now)
{
	double	 moved = percent - pace->from, left_s, passed_s, told_s;

	if (now - pace->since < ETA_AFTER_MS || moved < ETA_PERCENT)
		return -1;
	left_s = (100 - percent) / moved * (double)(now - pace->since) / 1000;
	if (pace->said_at != 0) {
		passed_s = (double)(now - pace->said_at) / 1000;
		told_s = pace->said_s > passed_s ? pace->said_s - passed_s : 0;
		left_s = told_s + (left_s - told_s) * passed_s /
		    (passed_s + ETA_HALF_S);
	}
	pace->said_at = now;
	pace->said_s = left_s;
	return (int)(left_s + 0.5);
}
