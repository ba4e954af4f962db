/*
 * A daemon, in the world of world.h: what millraced.c, lease.c and help.c are.
 */

#include "world_parts.h"

#include <string.h>

/* ---- helping ------------------------------------------------------------- */

/* The row was taken, by a statement that was heard of. */
static void
begin_help(struct world *w, struct host *h, uint32_t token, int row)
{
	struct help	*help = h->helps;

	while (help < h->helps + HELPS && help->used)
		help++;
	if (help == h->helps + HELPS) {
		model_wrong(&w->m, "more help than there is room for");
		return;
	}
	help->used = true;
	help->over = false;
	help->token = token;
	help->row = row;
	help->task = w_start_task(w, h, token, row, true);
}

/* Held rows that nobody here knows of: an answer was lost. */
static void
return_unknown(struct world *w, struct host *h)
{
	struct model	*m = &w->m;
	size_t		 i, k;

	for (i = 0; i < m->nsteps; i++) {
		if (m->steps[i].token == 0 || m->steps[i].helper != h->id)
			continue;
		for (k = 0; k < HELPS; k++) {
			if (h->helps[k].used && h->helps[k].row == (int)i)
				break;
		}
		if (k == HELPS)
			model_return(m, (int)i, m->steps[i].token, h->id);
	}
}

static bool
is_wanted(const struct model *m, const struct help *help, uint32_t id)
{
	return model_held(m, help->row, help->token, id) &&
	    m->steps[help->row].open != 0 && m->token == help->token &&
	    m->state == JOB_RUNNING && !m->cancel;
}

static void
look_for_help(struct world *w, struct host *h)
{
	struct model	*m = &w->m;
	struct write	*wr;
	size_t		 i;

	if (h->leaving || !w_trusted(w, h) || h->helps[HELPS - 1].used ||
	    h->helps[0].used || m->state != JOB_RUNNING || m->cancel ||
	    m->daemon == h->id || !w_reaches(w, h))
		return;
	for (i = 0; i < m->nsteps; i++) {
		if (m->steps[i].open != 1 || m->steps[i].token != m->token)
			continue;
		if ((wr = w_write(w, h, TAKE, m->token, (int)i)) == NULL)
			return;
		wr->news.mask = h->id;
		h->taking = true;
		w_send(w, h, wr);
		return;
	}
}

static void
help_others(struct world *w, struct host *h)
{
	struct help	*help;

	if (w_is_busy(w, h))
		return;
	if (w_reaches(w, h)) {
		w_forget_all(w, h);
		return_unknown(w, h);
	}
	for (help = h->helps; help < h->helps + HELPS; help++) {
		if (!help->used || !w_reaches(w, h))
			continue;
		if (!help->over) {
			if (!is_wanted(&w->m, help, h->id))
				w_end_task(w, help->task, w_dice(w, 300),
				    STEP_ENDED, false);
			continue;
		}
		if (help->how == STEP_ENDED)
			model_return(&w->m, help->row, help->token, h->id);
		else
			model_end(&w->m, help->row, help->token, h->id,
			    help->how);
		/* Told again when nobody knows: it does no harm. */
		if (!w_mishap(w, 5))
			help->used = false;
	}
	look_for_help(w, h);
}

/* ---- daemons ------------------------------------------------------------- */

static void
trust(struct world *w, struct host *h)
{
	h->trust_until = w->m.now + LEASE - MARGIN;
	h->renew_at = w->m.now + LEASE / 3;
	w_plan_for(w, LEASE - MARGIN, FENCE, h, 0, 0);
}

static enum job_blame
some_blame(struct world *w)
{
	if (w->poison != -1)
		return JOB_BLAMED;
	return w_dice(w, 3) == 0 ? JOB_BLAMED : JOB_INNOCENT;
}

static void
take_over(struct world *w, struct host *h, uint32_t id)
{
	w_note(w, h, "daemon %u is gone", id);
	model_adopt(&w->m, id, some_blame(w));
}

static void
join(struct world *w, struct host *h)
{
	struct model_daemon	*d;

	if (!w_reaches(w, h) ||
	    (h->id = model_join(&w->m, w_number(w, h), LEASE)) == 0)
		return;
	w_note(w, h, "is daemon %u", h->id);
	trust(w, h);
	if (h->before != 0)
		model_release(&w->m, h->before);
	h->before = 0;
	for (d = w->m.daemons; d < w->m.daemons + MODEL_DAEMONS; d++) {
		if (d->id != 0 && d->id != h->id && d->host == w_number(w, h))
			take_over(w, h, d->id);
	}
}

static void
lose(struct world *w, struct host *h)
{
	w_note(w, h, "fenced");
	if (h->run.used && h->run.ending)
		run_drop(w, h);
	else if (h->run.used && !h->run.deaf)
		run_let_go(w, h);
	w_end_tasks(w, h, 50, STEP_ENDED, true);
	memset(h->helps, 0, sizeof(h->helps));
	h->before = h->id;
	h->id = 0;
	h->unsure = h->taking = false;
}

/* Those whose lease is over, and those that have something but no row. */
static void
dead_daemons(struct world *w, struct host *h)
{
	struct model		*m = &w->m;
	struct model_daemon	*d;
	struct model_step	*s;

	for (d = m->daemons; d < m->daemons + MODEL_DAEMONS; d++) {
		if (d->id != 0 && d->id != h->id && d->lease_until < m->now)
			take_over(w, h, d->id);
	}
	if (m->state == JOB_RUNNING && !model_lives(m, m->daemon))
		take_over(w, h, m->daemon);
	for (s = m->steps; s < m->steps + m->nsteps; s++) {
		if (s->helper != 0 && !s->ended && !model_lives(m, s->helper))
			take_over(w, h, s->helper);
	}
}

static void
look_for_jobs(struct world *w, struct host *h)
{
	struct model	*m = &w->m;
	struct write	*wr;

	if (w_is_busy(w, h))
		return;
	if (h->unsure && w_reaches(w, h)) {
		h->unsure = h->run.used;
		if (m->state == JOB_RUNNING && m->daemon == h->id &&
		    !h->run.used)
			run_start(w, h, m->token);
	}
	if (h->unsure || h->run.used || !w_trusted(w, h) ||
	    m->state != JOB_PENDING || m->due > m->now || !w_reaches(w, h) ||
	    (wr = w_write(w, h, CLAIM, 1 + w_dice(w, UINT32_MAX - 1), -1)) ==
	    NULL)
		return;
	wr->news.mask = h->id;
	w_send(w, h, wr);
}

static void
leave_if_done(struct world *w, struct host *h)
{
	if (h->leaving && !h->run.used && !h->helps[0].used &&
	    !h->helps[1].used)
		w_plan_for(w, 0, EXIT, h, 1, 0);
}

void
host_tick(struct world *w, struct host *h)
{
	w_plan_for(w, 300 + w_dice(w, 500), TICK, h, 0, 0);
	if (w_is_busy(w, h))
		return;
	if (h->id == 0) {
		if (!h->leaving)
			join(w, h);
		return;
	}
	if (w->m.now >= h->trust_until) {
		lose(w, h);
		return;
	}
	if (w->m.now >= h->renew_at && w_reaches(w, h)) {
		if (!model_renew(&w->m, h->id, LEASE)) {
			lose(w, h);
			return;
		}
		if (!w_mishap(w, 5))
			trust(w, h);
		h->unsure = true;
	}
	if (h->run.used && h->run.began && !h->run.ending && w->m.cancel &&
	    w->m.daemon == h->id && w->m.token == h->run.token)
		run_handle(w, h, JOB_CANCELS, -1);
	if (w_dice(w, 3) == 0 && w_reaches(w, h))
		dead_daemons(w, h);
	run_look(w, h);
	help_others(w, h);
	if (!h->leaving)
		look_for_jobs(w, h);
	run_tell(w, h);
	leave_if_done(w, h);
}

/* The process is no more; neither is anything that it knew. */
void
host_vanish(struct world *w, struct host *h, uint32_t programs_within)
{
	struct write	*wr;
	int		 i;

	w_end_tasks(w, h, programs_within, STEP_ENDED, true);
	for (i = 0; i < TASKS; i++) {
		if (w->tasks[i].used && !w->tasks[i].lives &&
		    w->tasks[i].host == w_number(w, h))
			w->tasks[i].used = false;
	}
	for (wr = w->writes; wr < w->writes + WRITES; wr++) {
		if (wr->used && wr->host == w_number(w, h) &&
		    wr->life == h->life) {
			wr->heard = true;
			if (wr->executed || w_dice(w, 2) == 0)
				w_run_out(wr);
		}
	}
	*h = (struct host){ .life = h->life + 1 };
	w_plan(w, 50 + w_dice(w, w_dice(w, 2) == 0 ? 1000 : 30000),
	    (struct event){ .kind = START, .host = w_number(w, h) });
}

void
host_hear(struct world *w, struct host *h, struct write *wr,
    unsigned int number)
{
	bool	 sure = wr->number == number && wr->ran;

	if (!wr->used || wr->host != w_number(w, h) ||
	    wr->life != h->life || wr->heard)
		return;
	wr->heard = true;
	w_note(w, h, "hears of %u: %s", wr->number, !sure ? "nothing" :
	    wr->passed ? "done" : "refused");
	switch (wr->what) {
	case NEWS:
		run_hear(w, h, wr, sure);
		break;
	case CLAIM:
		if (sure && wr->passed && !h->run.used)
			run_start(w, h, wr->token);
		h->unsure |= !sure || h->run.token != wr->token;
		break;
	case OFFER:
		break;			/* the next look tells */
	case TAKE:
		if (sure && wr->passed && h->id == wr->news.mask)
			begin_help(w, h, wr->token, wr->row);
		h->taking = false;
		break;
	}
	if (wr->executed)
		wr->used = false;
	run_tell(w, h);
}

void
host_hear_of_end(struct world *w, struct host *h, struct task *t)
{
	struct run	*r = &h->run;
	struct help	*help;

	t->used = false;
	if (t->helps) {
		for (help = h->helps; help < h->helps + HELPS; help++) {
			if (help->used && help->task == t - w->tasks &&
			    help->row == t->row) {
				help->over = true;
				help->how = t->how;
			}
		}
		return;
	}
	if (!r->used || r->token != t->token || run_step(r, t->row) == -1)
		return;
	if ((t->fenced || !w_trusted(w, h)) && !r->deaf)
		run_let_go(w, h);
	if (r->used)
		run_end_step(w, h, t->row, t->how);
	if (r->used)
		run_advance(w, h);
}

void
host_leave(struct world *w, struct host *h)
{
	struct run	*r = &h->run;

	if (h->leaving)
		return;
	w_note(w, h, "is told to end");
	h->leaving = true;
	w_plan_for(w, HAND_OVER, HURRY, h, 0, 0);
	w_plan_for(w, STOP, EXIT, h, 0, 0);
	r->closed = true;
	if (r->used && !r->began)
		run_drop(w, h);		/* somebody takes it from here */
	else if (r->used && !r->ending && !r->deaf)
		run_handle(w, h, JOB_LEAVES, -1);
}

void
host_hurry(struct world *w, struct host *h)
{
	int	 i;

	if (h->run.used && h->run.began && !h->run.ending && !h->run.deaf)
		run_handle(w, h, JOB_HURRIES, -1);
	for (i = 0; i < HELPS; i++) {
		if (h->helps[i].used && !h->helps[i].over)
			w_end_task(w, h->helps[i].task, w_dice(w, 300),
			    STEP_ENDED, false);
	}
}

void
host_go_away(struct world *w, struct host *h, bool clean)
{
	w_note(w, h, "ends");
	if (clean && h->id != 0 && w_reaches(w, h))
		model_release(&w->m, h->id);
	host_vanish(w, h, 50);
}

