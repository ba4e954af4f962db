/*
 * A run of the job, in the world of world.h: what run.c, batch.c and lend.c
 * are around the engine.
 */

#include "world_parts.h"

#include <string.h>

static void	perform(struct world *, struct host *, unsigned int);

int
run_step(const struct run *r, int row)
{
	size_t	 k;

	for (k = 0; k < r->n; k++) {
		if (r->row[k] == row)
			return (int)k;
	}
	return -1;
}

void
run_drop(struct world *w, struct host *h)
{
	w_note(w, h, "the run of %u is over", h->run.token);
	h->unsure |= h->run.deaf;
	h->run.used = false;
}

/* As seen by clients: never less than before. */
static void
compose(struct world *w, struct run *r, struct model_news *n)
{
	struct engine_progress	 p;
	unsigned int		 stage = r->stage;

	if (r->n > 0 && r->engine.at < r->n && r->engine.state <
	    ENGINE_TIDYING)
		stage = r->steps[r->engine.at].position;
	engine_progress(&w->pipeline, r->steps, r->n, stage, &p);
	if (stage != r->stage || p.stage > r->stage_progress)
		r->stage_progress = p.stage;
	if (p.total > r->progress)
		r->progress = p.total;
	r->stage = stage;
	n->stage = stage;
	n->stage_progress = r->stage_progress;
	n->progress = r->progress;
}

static enum job_state
state_after(enum engine_verdict verdict)
{
	static const enum job_state	 states[] = {
		[VERDICT_GIVEN_BACK] = JOB_PENDING,
		[VERDICT_AGAIN] = JOB_PENDING,
		[VERDICT_STOPPED] = JOB_CANCELLED,
		[VERDICT_FAILED] = JOB_FAILED,
		[VERDICT_DONE] = JOB_COMPLETED,
	};

	return states[verdict];
}

/* The job is another's, or will be soon. */
void
run_let_go(struct world *w, struct host *h)
{
	struct run	*r = &h->run;

	w_note(w, h, "lets %u go", r->token);
	r->deaf = true;
	if (!r->began || r->ending) {
		run_drop(w, h);
		return;
	}
	perform(w, h, engine_handle(&r->engine, r->steps, r->n, JOB_LOST, -1));
}

/* After an answer that was lost.  Whether there is something to write. */
static bool
make_sure(struct world *w, struct host *h)
{
	struct run	*r = &h->run;
	struct model	*m = &w->m;

	if (!w_reaches(w, h))
		return false;
	r->unsure = false;
	if (m->token == r->token && m->state == JOB_RUNNING)
		return true;
	if (m->token == r->token && r->sent_end &&
	    m->state == state_after(r->engine.verdict))
		run_drop(w, h);
	else
		run_let_go(w, h);
	return false;
}

void
run_tell(struct world *w, struct host *h)
{
	struct run		*r = &h->run;
	struct write		*wr;
	struct model_news	*n;
	size_t			 k;

	if (!r->used || !r->began || r->deaf || !r->dirty ||
	    w_is_busy(w, h) || (r->unsure && !make_sure(w, h)) ||
	    (wr = w_write(w, h, NEWS, r->token, -1)) == NULL)
		return;
	n = &wr->news;
	memset(n, 0, sizeof(*n));
	n->token = r->token;
	n->mask = r->changed;
	n->planned = r->planned;
	n->recovered = r->recovered;
	for (k = 0; k < r->n; k++) {
		n->steps[r->row[k]] = r->steps[k];
		n->lent[r->row[k]] = r->told[r->row[k]];
	}
	compose(w, r, n);
	if (r->ending) {
		n->verdict = r->engine.verdict;
		if (r->again_at > w->m.now)
			n->delay = r->again_at - w->m.now;
	}
	r->sent_end = r->ending;
	r->changed = r->planned = 0;
	r->dirty = r->recovered = false;
	r->sending = (int)(wr - w->writes);
	w_send(w, h, wr);
}

void
run_hear(struct world *w, struct host *h, const struct write *wr, bool sure)
{
	struct run	*r = &h->run;

	if (!r->used || r->deaf || r->token != wr->token ||
	    r->sending != wr - w->writes)
		return;
	r->sending = -1;
	if (sure && !wr->passed)
		run_let_go(w, h);
	else if (sure && wr->news.verdict != VERDICT_NONE)
		run_drop(w, h);
	else if (!sure) {
		r->changed |= wr->news.mask;
		r->planned |= wr->news.planned;
		r->recovered |= wr->news.recovered;
		r->dirty = r->unsure = true;
	}
}

/* It ends for good: were the "always" stages run? */
static void
check_tidy(struct world *w, const struct run *r)
{
	size_t	 k;

	if (r->hurried || r->engine.verdict < VERDICT_STOPPED)
		return;
	for (k = 0; k < r->n; k++) {
		if (w->stages[r->steps[k].position].kind == STAGE_ALWAYS &&
		    r->steps[k].state != STEP_DONE &&
		    r->steps[k].state != STEP_FAILED)
			model_wrong(&w->m, "it ends and is not tidied up");
	}
}

static void
finish(struct world *w, struct host *h)
{
	struct run	*r = &h->run;

	w_note(w, h, "verdict %d", r->engine.verdict);
	if (r->engine.running != 0)
		model_wrong(&w->m, "a verdict, and something runs");
	if (r->engine.verdict == VERDICT_LOST) {
		run_drop(w, h);
		return;
	}
	if (r->deaf)
		model_wrong(&w->m, "a job that was lost gets a verdict");
	check_tidy(w, r);
	r->ending = r->dirty = true;
	run_tell(w, h);
}

/* What is lent: back if nobody has it; else wanted back. */
static void
recall(struct world *w, struct host *h)
{
	struct run	*r = &h->run;
	size_t		 i;

	r->closed = r->recalled = true;
	for (i = 0; i < w->m.nsteps && w_reaches(w, h); i++) {
		if (r->lent[i] != 0)
			model_want_back(&w->m, (int)i, r->token);
	}
}

static void
forget_loans(struct world *w, struct host *h)
{
	struct run	*r = &h->run;
	int		 i;

	for (i = 0; i < (int)w->m.nsteps && r->used; i++) {
		if (r->lent[i] == 0)
			continue;
		r->lent[i] = 0;
		run_handle(w, h, STEP_ENDED, run_step(r, i));
	}
}

static void
perform(struct world *w, struct host *h, unsigned int actions)
{
	struct run	*r = &h->run;
	bool		 lost = r->engine.verdict == VERDICT_LOST;
	int		 i;

	for (i = 0; i < TASKS && actions & ENGINE_END_ALL; i++) {
		if (w->tasks[i].used && w->tasks[i].host == w_number(w, h) &&
		    w->tasks[i].life == h->life && !w->tasks[i].helps)
			w_end_task(w, i, w_dice(w, lost ? 50 : GRACE),
			    STEP_ENDED, false);
	}
	if (actions & ENGINE_FINISH)
		finish(w, h);
	else if (actions & ENGINE_END_ALL && lost)
		forget_loans(w, h);
	else if (actions & ENGINE_END_ALL)
		recall(w, h);
}

/* An event of the job, or of step K. */
void
run_handle(struct world *w, struct host *h, enum engine_event event, int k)
{
	struct run		*r = &h->run;
	struct engine_step	*s = k == -1 ? NULL : &r->steps[k], before;
	unsigned int		 actions;
	uint64_t		 at;

	w_note(w, h, "event %d, step %d", event, k == -1 ? -1 : r->row[k]);
	if (s != NULL)
		before = *s;
	r->hurried |= event == JOB_HURRIES;
	actions = engine_handle(&r->engine, r->steps, r->n, event, k);
	if (s != NULL) {
		r->changed |= 1U << r->row[k];
		if (event == STEP_ENDED && (s->failures != before.failures ||
		    s->crashes != before.crashes || s->again))
			model_wrong(&w->m, "what was told to end is counted");
		if (s->again) {
			at = w->m.now + 1000 * (uint64_t)engine_pause(
			    &w->stages[s->position], s->failures + s->crashes,
			    w_dice(w, UINT32_MAX));
			if (at > r->again_at)
				r->again_at = at;
		}
	}
	r->dirty |= s != NULL || actions != 0;
	perform(w, h, actions);
	if (r->used)
		run_tell(w, h);
}

/* Put steps for rows that are new into their places. */
static void
add_steps(struct world *w, struct run *r, uint32_t rows)
{
	struct model_step	*s;
	size_t			 i, at;

	for (i = 0; i < w->m.nsteps; i++) {
		if ((rows & 1U << i) == 0 || run_step(r, (int)i) != -1)
			continue;
		s = &w->m.steps[i];
		for (at = r->n; at > 0 && r->row[at - 1] > (int)i; at--) {
			r->steps[at] = r->steps[at - 1];
			r->row[at] = r->row[at - 1];
		}
		r->row[at] = (int)i;
		r->steps[at] = (struct engine_step){
			.position = s->position, .state = STEP_WAITING
		};
		r->n++;
		r->planned |= 1U << i;
	}
}

/* A step of this position was done: the items that it names. */
static void
name_items(struct world *w, struct run *r, unsigned int position)
{
	uint32_t	 rows = 0;
	size_t		 i;

	for (i = 0; i < w->m.nsteps; i++) {
		if (w->m.steps[i].position != position &&
		    w->m.steps[i].named_by == position)
			rows |= 1U << i;
	}
	add_steps(w, r, rows);
}

/* A step has ended in some way, here or elsewhere. */
void
run_end_step(struct world *w, struct host *h, int row, enum engine_event how)
{
	struct run	*r = &h->run;
	int		 k = run_step(r, row);

	if (how == STEP_OK && !r->deaf &&
	    w->stages[r->steps[k].position].kind != STAGE_ALWAYS) {
		r->recovered = true;
		name_items(w, r, r->steps[k].position);
	}
	run_handle(w, h, how, run_step(r, row));
}

static bool
others_are_up(const struct world *w, const struct host *h)
{
	const struct host	*o;

	for (o = w->hosts; o < w->hosts + HOSTS; o++) {
		if (o != h && o->up && o->id != 0)
			return true;
	}
	return false;
}

void
run_advance(struct world *w, struct host *h)
{
	struct run	*r = &h->run;
	struct write	*wr;
	unsigned int	 here = 0;
	size_t		 i;
	int		 k;

	for (i = 0; i < TASKS; i++)
		here += w->tasks[i].used && w->tasks[i].life == h->life &&
		    w->tasks[i].host == w_number(w, h);
	while (r->used && r->began && !r->ending &&
	    (k = engine_next(&r->engine, r->steps, r->n)) != -1) {
		if (r->deaf)
			model_wrong(&w->m, "something starts after the loss");
		if (w->stages[r->steps[k].position].kind == STAGE_EACH &&
		    !r->closed && !w_is_busy(w, h) && others_are_up(w, h) &&
		    w_dice(w, 2) == 0 &&
		    (wr = w_write(w, h, OFFER, r->token, r->row[k])) !=
		    NULL) {
			engine_start(&r->engine, r->steps, k);
			r->lent[r->row[k]] = r->token;
			w_note(w, h, "lends step %d", r->row[k]);
			w_send(w, h, wr);
			continue;
		}
		if (r->engine.running > 0 && here >= WIDTH)
			break;
		here++;
		engine_start(&r->engine, r->steps, k);
		r->changed |= 1U << r->row[k];
		r->told[r->row[k]] = r->token;
		r->dirty = true;
		w_start_task(w, h, r->token, r->row[k], false);
	}
	if (r->used)
		run_tell(w, h);
}

/* Programs of a run before, or somebody who joins it, have its directory. */
static bool
is_locked(const struct world *w)
{
	int	 i;

	for (i = 0; i < TASKS; i++) {
		if (w->tasks[i].lives)
			return true;
	}
	for (i = 0; i < HOSTS; i++) {
		if (w->hosts[i].taking)
			return true;
	}
	return false;
}

/* What the database knows of the steps. */
static void
load(struct world *w, struct run *r)
{
	const struct model_step	*s;
	uint32_t		 rows = 0;
	size_t			 i, k;

	for (i = 0; i < w->m.nsteps; i++) {
		s = &w->m.steps[i];
		if (s->planned || w->stages[s->position].kind != STAGE_EACH)
			rows |= 1U << i;
	}
	add_steps(w, r, rows);
	for (k = 0; k < r->n; k++) {
		s = &w->m.steps[r->row[k]];
		if (!s->planned)
			continue;
		r->planned &= ~(1U << r->row[k]);
		r->steps[k].state = s->state;
		r->steps[k].percent = s->percent;
		r->steps[k].failures = s->failures;
		r->steps[k].crashes = s->crashes;
	}
}

/* Items that ended elsewhere, and nobody has heard of it. */
static void
inherit(struct world *w, struct run *r)
{
	const struct model_step	*s;
	size_t			 k;

	for (k = 0; k < r->n; k++) {
		s = &w->m.steps[r->row[k]];
		if (s->token == 0 || !s->ended ||
		    r->engine.state != ENGINE_WORKING ||
		    r->steps[k].state != STEP_WAITING)
			continue;
		engine_start(&r->engine, r->steps, (int)k);
		r->lent[r->row[k]] = s->token;
	}
}

void
run_begin(struct world *w, struct host *h, uint32_t token)
{
	struct run	*r = &h->run;
	struct model	*m = &w->m;
	unsigned int	 actions;

	if (!r->used || r->began || r->token != token)
		return;
	if (w_is_busy(w, h) || !w_reaches(w, h) || is_locked(w)) {
		w_plan_for(w, 100, BEGIN, h, token, 0);
		return;
	}
	w_forget_all(w, h);
	if (!model_regain(m, token)) {
		run_let_go(w, h);
		return;
	}
	load(w, r);
	r->stage = m->stage;
	r->stage_progress = m->stage_progress;
	r->progress = m->progress;
	r->engine.stages = w->stages;
	r->engine.crashes = m->crashes;
	r->engine.deaths = m->deaths;
	actions = engine_begin(&r->engine, r->steps, r->n);
	r->began = r->dirty = true;
	w_note(w, h, "begins %u", token);
	if (actions == 0)
		inherit(w, r);
	perform(w, h, actions);
	run_advance(w, h);
}

void
run_start(struct world *w, struct host *h, uint32_t token)
{
	struct run	*r = &h->run;

	memset(r, 0, sizeof(*r));
	r->used = true;
	r->token = token;
	r->sending = -1;
	w_plan_for(w, w_dice(w, 20), BEGIN, h, token, 0);
}

/* What became of what is lent? */
void
run_look(struct world *w, struct host *h)
{
	struct run		*r = &h->run;
	struct model_step	*s;
	uint32_t		 t, changed;
	int			 i;

	for (i = 0; i < (int)w->m.nsteps && r->used && r->began; i++) {
		s = &w->m.steps[i];
		if ((t = r->lent[i]) == 0 || r->ending || w_is_busy(w, h) ||
		    !w_reaches(w, h))
			continue;
		w_forget_all(w, h);
		if (s->token == t && !s->ended && s->helper != 0) {
			if (r->recalled)
				model_want_back(&w->m, i, t);
			continue;
		}
		if (s->token == t && s->open == 1 && !r->closed &&
		    w_dice(w, 4) != 0)
			continue;
		if (s->token == t && s->open == 1 &&
		    !model_take_back(&w->m, i, t))
			continue;
		r->lent[i] = 0;
		if (s->token != t || !s->ended) {
			/* As if nothing had been: nothing is written. */
			changed = r->changed;
			run_handle(w, h, STEP_ENDED, run_step(r, i));
			r->changed = changed;
			continue;
		}
		r->told[i] = t;
		run_end_step(w, h, i, s->how);
	}
	if (r->used)
		run_advance(w, h);
}

