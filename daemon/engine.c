/*
 * What happens to a job while the daemon has it.
 *
 *	           cancelled, or a step failed that ends it at once
 *	[working] -------------------------------------------> [stopping]
 *	 |  |  |  all stages are done, or too much                  |
 *	 |  |  |  of one has failed                    nothing runs |
 *	 |  |  '----------------------> [tidying] <-----------------'
 *	 |  |                               |
 *	 |  | a step is to be tried again   | no "always" is left
 *	 |  '--------------------------> [over] <-------------------.
 *	 |                                             nothing runs |
 *	 '--------------------------------------------> [ending] ---'
 *	           lost, or the daemon has no time
 *
 * When the daemon leaves, [working] becomes [leaving]: that has the same
 * arrows, but starts nothing, and is over as soon as nothing runs and something
 * waits to be started.  The lost and the hurried go to [ending] from
 * [stopping] and [tidying], too.
 *
 * Which event leads where, and to which verdict, stands in a table; where a
 * verdict is known already, the stronger one holds.
 */

#include "engine.h"

#include <sys/wait.h>

#include <signal.h>

#include "jobstate.h"

/* ---- steps --------------------------------------------------------------- */

/* A try of a step is over: what it comes to, and as what it is counted. */
enum count { NOTHING, FAILURE, CRASH, REJECTION };

static const struct {
	enum step_state	 state;		/* if it counts as nothing */
	enum count	 count;
} ends[] = {
	[STEP_OK]	= { STEP_DONE,	  NOTHING },
	[STEP_REJECTED]	= { STEP_FAILED,  REJECTION },
	[STEP_AGAIN]	= { STEP_FAILED,  FAILURE },
	[STEP_BROKEN]	= { STEP_FAILED,  FAILURE },
	[STEP_LATE]	= { STEP_FAILED,  FAILURE },
	[STEP_CRASHED]	= { STEP_FAILED,  CRASH },
	[STEP_LOST]	= { STEP_FAILED,  CRASH },
	[STEP_ENDED]	= { STEP_WAITING, NOTHING },
};

static const struct stage *
stage_of(const struct engine *e, const struct engine_step *s)
{
	return &e->stages[s->position];
}

static bool
exhausted(const struct engine *e, const struct engine_step *s)
{
	return s->failures >= stage_of(e, s)->attempts ||
	    s->crashes >= ENGINE_CRASHES;
}

static void
count(const struct engine *e, struct engine_step *s, enum count what)
{
	switch (what) {
	case NOTHING:
		break;
	case FAILURE:
		s->failures++;
		break;
	case CRASH:
		s->crashes++;
		break;
	case REJECTION:
		/* So that whoever has the job next knows: no more tries. */
		s->failures = stage_of(e, s)->attempts;
		break;
	}
}

/* One that has failed has no tries left; "always" ones have just one. */
static void
end_step(const struct engine *e, struct engine_step *s,
    enum engine_event event)
{
	s->state = ends[event].state;
	if (ends[event].count == NOTHING ||
	    stage_of(e, s)->kind == STAGE_ALWAYS)
		return;
	count(e, s, ends[event].count);
	if (!exhausted(e, s)) {
		s->state = STEP_WAITING;
		s->again = true;
	}
}

static bool
wanted(const struct engine *e, const struct engine_step *s)
{
	return s->state == STEP_WAITING && !s->again &&
	    (stage_of(e, s)->kind == STAGE_ALWAYS) ==
	    (e->state == ENGINE_TIDYING);
}

/* The first step of the stage at work that waits to be started, or -1. */
static int
first_wanted(const struct engine *e, const struct engine_step *steps, size_t n)
{
	size_t	 i;

	for (i = e->from; i < n &&
	    steps[i].position == steps[e->at].position; i++) {
		if (wanted(e, &steps[i]))
			return (int)i;
	}
	return -1;
}

int
engine_next(const struct engine *e, const struct engine_step *steps, size_t n)
{
	if (e->state != ENGINE_WORKING && e->state != ENGINE_TIDYING)
		return -1;
	return first_wanted(e, steps, n);
}

void
engine_start(struct engine *e, struct engine_step *steps, int i)
{
	steps[i].state = STEP_RUNNING;
	e->running++;
}

/* There may be thousands of items: do not look at those that ended again. */
static void
skip_ended(struct engine *e, const struct engine_step *steps, size_t n)
{
	while (e->from < n && steps[e->from].state != STEP_RUNNING &&
	    steps[e->from].position == steps[e->at].position &&
	    !wanted(e, &steps[e->from]))
		e->from++;
}

/* ---- stages -------------------------------------------------------------- */

static bool
too_many(const struct stage *s, size_t failed, size_t all)
{
	double	 allowed = 0;

	if (s->kind == STAGE_ALWAYS)
		return false;
	if (s->kind == STAGE_EACH && s->failures == FAILURES_ALLOW)
		allowed = s->allowed_percent ?
		    s->allowed * (double)all / 100 : s->allowed;
	return (double)failed > allowed;
}

/*
 * What the steps at AT and their neighbours come to when none of them runs or
 * may be started; VERDICT_NONE: the job goes on.  NEXT is behind them.
 */
static enum engine_verdict
outcome(const struct engine *e, const struct engine_step *steps, size_t n,
    size_t at, size_t *next)
{
	size_t	 i, failed = 0, again = 0;

	for (i = at; i < n && steps[i].position == steps[at].position; i++) {
		failed += steps[i].state == STEP_FAILED;
		again += steps[i].again;
	}
	*next = i;
	if (i > at && too_many(stage_of(e, &steps[at]), failed, i - at))
		return VERDICT_FAILED;
	return again > 0 ? VERDICT_AGAIN : VERDICT_NONE;
}

bool
engine_spoilt(const struct engine *e, const struct engine_step *steps,
    size_t n)
{
	size_t	 at, next;

	for (at = 0; at < n; at = next) {
		if (outcome(e, steps, n, at, &next) == VERDICT_FAILED)
			return true;
	}
	return false;
}

/* ---- the job ------------------------------------------------------------- */

/* A step failed, and that ends the job at once. */
#define JOB_SPOILT	ENGINE_EVENTS

/* What is not named changes nothing; nothing leads back to ENGINE_WORKING. */
static const struct move {
	enum engine_state   to;
	enum engine_verdict verdict;
} moves[ENGINE_STATES][ENGINE_EVENTS + 1] = {
	[ENGINE_WORKING] = {
		[JOB_SPOILT]	= { ENGINE_STOPPING,	VERDICT_FAILED },
		[JOB_CANCELS]	= { ENGINE_STOPPING,	VERDICT_STOPPED },
		[JOB_LEAVES]	= { ENGINE_LEAVING,	VERDICT_NONE },
		[JOB_HURRIES]	= { ENGINE_ENDING,	VERDICT_GIVEN_BACK },
		[JOB_LOST]	= { ENGINE_ENDING,	VERDICT_LOST },
	},
	[ENGINE_LEAVING] = {
		[JOB_SPOILT]	= { ENGINE_STOPPING,	VERDICT_FAILED },
		[JOB_CANCELS]	= { ENGINE_STOPPING,	VERDICT_STOPPED },
		[JOB_HURRIES]	= { ENGINE_ENDING,	VERDICT_GIVEN_BACK },
		[JOB_LOST]	= { ENGINE_ENDING,	VERDICT_LOST },
	},
	[ENGINE_STOPPING] = {
		[JOB_SPOILT]	= { ENGINE_STOPPING,	VERDICT_FAILED },
		[JOB_CANCELS]	= { ENGINE_STOPPING,	VERDICT_STOPPED },
		[JOB_HURRIES]	= { ENGINE_ENDING,	VERDICT_GIVEN_BACK },
		[JOB_LOST]	= { ENGINE_ENDING,	VERDICT_LOST },
	},
	/* How the stages ended stands; only the job may be taken from us. */
	[ENGINE_TIDYING] = {
		[JOB_HURRIES]	= { ENGINE_ENDING,	VERDICT_NONE },
		[JOB_LOST]	= { ENGINE_ENDING,	VERDICT_LOST },
	},
	[ENGINE_ENDING] = {
		[JOB_SPOILT]	= { ENGINE_ENDING,	VERDICT_FAILED },
		[JOB_CANCELS]	= { ENGINE_ENDING,	VERDICT_STOPPED },
		[JOB_LOST]	= { ENGINE_ENDING,	VERDICT_LOST },
	},
};

static void
conclude(struct engine *e, enum engine_state state,
    enum engine_verdict verdict)
{
	if (verdict > e->verdict)
		e->verdict = verdict;
	e->state = state;
	if (state == ENGINE_TIDYING)
		e->at = e->from = 0;
}

/* Nothing runs, nor may anything be started: go on to the next stage. */
static void
pass(struct engine *e, const struct engine_step *steps, size_t n)
{
	size_t			 next;
	enum engine_verdict	 verdict = outcome(e, steps, n, e->at,
				    &next);

	if (e->state != ENGINE_TIDYING && verdict != VERDICT_NONE)
		conclude(e, verdict == VERDICT_AGAIN ? ENGINE_OVER :
		    ENGINE_TIDYING, verdict);
	else if (next < n)
		e->at = e->from = next;
	else if (e->state == ENGINE_TIDYING)
		conclude(e, ENGINE_OVER, VERDICT_NONE);
	else
		conclude(e, ENGINE_TIDYING, e->owes ? VERDICT_FAILED :
		    VERDICT_DONE);
}

/* As long as nothing is left to do in a state or a stage, go on. */
static unsigned int
settle(struct engine *e, const struct engine_step *steps, size_t n)
{
	while (e->running == 0 && e->state != ENGINE_OVER &&
	    engine_next(e, steps, n) == -1) {
		if (e->state == ENGINE_STOPPING)
			conclude(e, ENGINE_TIDYING, VERDICT_NONE);
		else if (e->state == ENGINE_ENDING)
			conclude(e, ENGINE_OVER, VERDICT_NONE);
		else if (e->state == ENGINE_LEAVING &&
		    first_wanted(e, steps, n) != -1)
			conclude(e, ENGINE_OVER, VERDICT_GIVEN_BACK);
		else
			pass(e, steps, n);
	}
	return e->state == ENGINE_OVER ? ENGINE_FINISH : 0;
}

unsigned int
engine_begin(struct engine *e, struct engine_step *steps, size_t n)
{
	struct engine_step	*s;

	e->state = ENGINE_WORKING;
	e->verdict = VERDICT_NONE;
	e->running = 0;
	e->at = e->from = 0;
	for (s = steps; s < steps + n; s++) {
		if (stage_of(e, s)->kind == STAGE_ALWAYS)
			s->state = STEP_WAITING;
		else if (s->state != STEP_DONE)
			s->state = exhausted(e, s) ? STEP_FAILED :
			    STEP_WAITING;
		if (s->state != STEP_WAITING ||
		    stage_of(e, s)->kind == STAGE_ALWAYS)
			s->again = false;
	}
	if (job_aside(e->crashes, e->deaths))
		conclude(e, ENGINE_STOPPING, VERDICT_FAILED);
	return settle(e, steps, n);
}

/* Whether the end of a step leaves its neighbours nothing to do. */
static bool
spoils(const struct engine *e, const struct engine_step *s)
{
	const struct stage	*stage = stage_of(e, s);

	return s->state == STEP_FAILED && (stage->kind == STAGE_ONCE ||
	    (stage->kind == STAGE_EACH && stage->failures == FAILURES_STOP));
}

unsigned int
engine_handle(struct engine *e, struct engine_step *steps, size_t n,
    enum engine_event event, int i)
{
	enum engine_state	 state = e->state;
	enum engine_verdict	 verdict = e->verdict;
	const struct move	*m;
	unsigned int		 what = event, actions = 0;

	if (state == ENGINE_OVER)
		return 0;
	if (event < JOB_CANCELS) {
		e->running--;
		end_step(e, &steps[i], event);
		skip_ended(e, steps, n);
		if (spoils(e, &steps[i]))
			what = JOB_SPOILT;
	}
	m = &moves[state][what];
	if (m->to != ENGINE_WORKING)
		conclude(e, m->to, m->verdict);
	if (e->running > 0 && (e->state == ENGINE_STOPPING ||
	    e->state == ENGINE_ENDING) &&
	    (e->state != state || e->verdict != verdict))
		actions = ENGINE_END_ALL;
	return actions | settle(e, steps, n);
}

/* ---- ends of programs ---------------------------------------------------- */

enum engine_event
engine_judge(const struct child_end *end, bool rejected, bool retries)
{
	static const enum engine_event	 by_why[] = {
		[CHILD_TOLD]		= STEP_ENDED,
		[CHILD_LATE]		= STEP_LATE,
		[CHILD_SILENT]		= STEP_LATE,
		[CHILD_OVER]		= STEP_BROKEN,
		[CHILD_CUT]		= STEP_BROKEN,
		[CHILD_EARLY]		= STEP_BROKEN,
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
engine_pause(const struct stage *s, unsigned int tries, uint32_t random)
{
	uint64_t	 pause = s->pause_s;

	while (tries-- > 1 && pause < s->pause_most_s)
		pause *= 2;
	if (pause > s->pause_most_s)
		pause = s->pause_most_s;
	return (unsigned int)((pause + 1) / 2 + random % (pause / 2 + 1));
}

/* ---- how far, and how long ----------------------------------------------- */

/* An item that failed for good is no work any more. */
static double
fraction(const struct engine_step *s, enum stage_kind kind)
{
	if (s->state == STEP_DONE ||
	    (s->state == STEP_FAILED && kind == STAGE_EACH))
		return 1;
	return s->percent / 100;
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
			sum += fraction(&steps[i], p->stages[stage].kind);
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
