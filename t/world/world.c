/*
 * A small world for the engine.
 *
 * Faults happen until it is calm; then the job has to end, within a time.
 *
 *	a daemon	is killed, its programs a moment later; is stopped for
 *			longer than its lease; is told to end; is cut off from
 *			the database
 *	a statement	is late by seconds, even after the daemon's death; is
 *			lost; or its answer is
 *	a program	fails in every way that there is; or kills its daemon
 *	a person	cancels the job, and runs it again
 *
 * Of what one daemon sends, an older statement does not run after a newer one:
 * it holds the lock of its rows, or its connection is gone.
 */

#include "world.h"

#include <stdarg.h>
#include <string.h>

#include "world_parts.h"

/* ---- chance and time ----------------------------------------------------- */

uint32_t
w_dice(struct world *w, uint32_t sides)
{
	w->dice ^= w->dice << 13;
	w->dice ^= w->dice >> 17;
	w->dice ^= w->dice << 5;
	return (uint32_t)(((uint64_t)w->dice * sides) >> 32);
}

bool
w_calm(const struct world *w)
{
	return w->m.now >= w->calm_at;
}

/* So many times in a hundred, while it is not calm. */
bool
w_mishap(struct world *w, uint32_t percent)
{
	return !w_calm(w) && w_dice(w, 100) < percent;
}

int
w_number(const struct world *w, const struct host *h)
{
	return (int)(h - w->hosts);
}

void __attribute__((format(printf, 3, 4)))
w_note(struct world *w, const struct host *h, const char *fmt, ...)
{
	va_list	 ap;

	if (w->trace == NULL)
		return;
	fprintf(w->trace, "# %8.3f ", (double)w->m.now / 1000);
	if (h != NULL)
		fprintf(w->trace, "host %d: ", w_number(w, h));
	va_start(ap, fmt);
	vfprintf(w->trace, fmt, ap);
	va_end(ap);
	fputc('\n', w->trace);
}

/* The agenda is a heap: the earliest is first. */
void
w_plan(struct world *w, uint64_t in, struct event e)
{
	struct event	*a = w->agenda;
	size_t		 i = w->nevents, up;

	if (w->nevents == AGENDA) {
		model_wrong(&w->m, "the agenda of the world is full");
		return;
	}
	w->nevents++;
	e.at = ((w->m.now + in) << 8) | w_dice(w, 256);
	for (; i > 0 && a[up = (i - 1) / 2].at > e.at; i = up)
		a[i] = a[up];
	a[i] = e;
}

static struct event
next_event(struct world *w)
{
	struct event	*a = w->agenda, first = a[0], last = a[--w->nevents];
	size_t		 i = 0, k;

	while ((k = 2 * i + 1) < w->nevents) {
		if (k + 1 < w->nevents && a[k + 1].at < a[k].at)
			k++;
		if (a[k].at >= last.at)
			break;
		a[i] = a[k];
		i = k;
	}
	a[i] = last;
	return first;
}

void
w_plan_for(struct world *w, uint64_t in, enum kind kind, const struct host *h,
    unsigned int a, unsigned int b)
{
	w_plan(w, in, (struct event){ .kind = kind, .host = w_number(w, h),
	    .life = h->life, .a = a, .b = b });
}

/* ---- programs ------------------------------------------------------------ */

static enum engine_event
some_end(struct world *w)
{
	static const enum engine_event	 ends[] = {
		STEP_REJECTED, STEP_AGAIN, STEP_AGAIN, STEP_BROKEN,
		STEP_BROKEN, STEP_LATE, STEP_CRASHED, STEP_CRASHED
	};

	return w_mishap(w, 25) ? ends[w_dice(w, 8)] : STEP_OK;
}

void
w_end_task(struct world *w, int i, uint64_t in, enum engine_event how,
    bool fenced)
{
	struct task	*t = &w->tasks[i];

	if (t->ends_at <= w->m.now + in)
		return;
	t->ends_at = w->m.now + in;
	t->how = how;
	t->fenced = fenced;
	w_plan(w, in, (struct event){ .kind = DIE, .a = (unsigned int)i,
	    .b = ++t->generation });
}

bool
w_trusted(const struct world *w, const struct host *h)
{
	return h->id != 0 && w->m.now < h->trust_until;
}

/* What must hold of a program that really starts. */
static void
check_start(struct world *w, const struct host *h, uint32_t token, int row,
    bool helps)
{
	bool	 tidies = w->stages[w->m.steps[row].position].kind ==
		    STAGE_ALWAYS;
	int	 i;

	if (!helps && (w->m.token != token || w->m.state != JOB_RUNNING ||
	    w->m.daemon != h->id))
		model_wrong(&w->m, "a step starts of a job that is another's");
	if (w->m.steps[row].state == STEP_DONE && !tidies)
		model_wrong(&w->m, "a step starts that is done");
	if (job_aside(w->m.crashes, w->m.deaths) && !tidies && !helps)
		model_wrong(&w->m, "a step starts of a job that is set aside");
	for (i = 0; i < TASKS; i++) {
		if (w->tasks[i].lives && w->tasks[i].row == row)
			model_wrong(&w->m, "two programs work on one step");
	}
}

/* Where nobody is trusted it dies before it has done anything. */
int
w_start_task(struct world *w, struct host *h, uint32_t token, int row,
    bool helps)
{
	struct task	*t;
	bool		 stillborn = !w_trusted(w, h);
	int		 i;

	for (i = 0; i < TASKS && w->tasks[i].used; i++)
		continue;
	if (i == TASKS) {
		model_wrong(&w->m, "the world has no more programs");
		return 0;
	}
	if (!stillborn)
		check_start(w, h, token, row, helps);
	t = &w->tasks[i];
	t->used = true;
	t->lives = !stillborn;
	t->host = w_number(w, h);
	t->life = h->life;
	t->helps = helps;
	t->token = token;
	t->row = row;
	t->ends_at = UINT64_MAX;
	w_note(w, h, "%s step %d of %u", helps ? "helps with" : "starts", row,
	    token);
	if (row == w->poison && !helps && !stillborn)
		w_plan_for(w, 5 + w_dice(w, 20), POISON, h, 0, 0);
	if (stillborn)
		w_end_task(w, i, 0, STEP_ENDED, true);
	else
		w_end_task(w, i, 20 + w_dice(w, w_dice(w, 3) == 0 ? 12000 :
		    3000), some_end(w), false);
	return i;
}

static void
die(struct world *w, int i, unsigned int generation)
{
	struct task	*t = &w->tasks[i];
	struct host	*h = &w->hosts[t->host];

	if (!t->used || t->generation != generation)
		return;
	t->lives = false;
	if (h->up && h->life == t->life)
		w_plan_for(w, 0, END, h, (unsigned int)i, 0);
	else
		t->used = false;
}

void
w_end_tasks(struct world *w, const struct host *h, uint32_t within,
    enum engine_event how, bool fenced)
{
	int	 i;

	for (i = 0; i < TASKS; i++) {
		if (w->tasks[i].used && w->tasks[i].host == w_number(w, h) &&
		    w->tasks[i].life == h->life)
			w_end_task(w, i, w_dice(w, within), how, fenced);
	}
}

/* ---- statements ---------------------------------------------------------- */

/* Whether a statement that takes no time gets there and back. */
bool
w_reaches(struct world *w, const struct host *h)
{
	return w->m.now >= h->cut_until && !w_mishap(w, 4);
}

/* It will not run any more, or has. */
void
w_run_out(struct write *wr)
{
	wr->executed = true;
	wr->used = wr->used && !wr->heard;
}

/* The daemon runs another statement: those before it have run, or never do.
   But a claim may be committed behind a look that did not wait for it. */
static void
forget_older(struct world *w, int host, unsigned int life, unsigned int than)
{
	struct write	*wr;

	for (wr = w->writes; wr < w->writes + WRITES; wr++) {
		if (wr->used && wr->number < than && wr->host == host &&
		    wr->life == life && wr->what != CLAIM)
			w_run_out(wr);
	}
}

/* It runs one that takes no time here. */
void
w_forget_all(struct world *w, const struct host *h)
{
	forget_older(w, w_number(w, h), h->life, ++w->nwrites);
}

/* It waits for an answer, and does nothing meanwhile. */
bool
w_is_busy(const struct world *w, const struct host *h)
{
	const struct write	*wr;

	for (wr = w->writes; wr < w->writes + WRITES; wr++) {
		if (wr->used && !wr->heard && wr->host == w_number(w, h) &&
		    wr->life == h->life)
			return true;
	}
	return false;
}

struct write *
w_write(struct world *w, struct host *h, enum what what, uint32_t token,
    int row)
{
	struct write	*wr = w->writes;

	while (wr < w->writes + WRITES && wr->used)
		wr++;
	if (wr == w->writes + WRITES)
		return NULL;
	wr->used = true;
	wr->executed = wr->ran = wr->passed = wr->heard = false;
	wr->number = ++w->nwrites;
	wr->what = what;
	wr->host = w_number(w, h);
	wr->life = h->life;
	wr->token = token;
	wr->row = row;
	return wr;
}

void
w_send(struct world *w, struct host *h, struct write *wr)
{
	unsigned int	 i = (unsigned int)(wr - w->writes);
	bool		 cut = w->m.now < h->cut_until;
	uint64_t	 in = 5 + w_dice(w, 50);

	if (w_mishap(w, 5))
		in = w_dice(w, 25000);
	if ((cut && w_dice(w, 2) == 0) || w_mishap(w, 2))
		wr->executed = true;	/* that is, it never will be */
	else
		w_plan(w, in, (struct event){ .kind = EXECUTE, .a = i,
		    .b = wr->number });
	if (in >= TIMEOUT || wr->executed || cut || w_mishap(w, 3))
		w_plan_for(w, TIMEOUT, ANSWER, h, i, 0);
	else
		w_plan_for(w, in + 1 + w_dice(w, 30), ANSWER, h, i, wr->number);
}

static void
execute(struct world *w, struct write *wr, unsigned int which)
{
	struct model	*m = &w->m;
	struct host	*h = &w->hosts[wr->host];

	if (!wr->used || wr->executed || wr->number != which)
		return;
	wr->ran = true;
	switch (wr->what) {
	case NEWS:
		wr->passed = model_news(m, &wr->news);
		break;
	case CLAIM:
		wr->passed = model_claim(m, wr->news.mask, wr->token);
		break;
	case OFFER:
		wr->passed = model_offer(m, wr->row, wr->token);
		break;
	case TAKE:
		wr->passed = model_take(m, wr->row, wr->token, wr->news.mask);
		break;
	}
	forget_older(w, wr->host, wr->life, wr->number);
	wr->heard |= h->life != wr->life;
	w_run_out(wr);
	w_note(w, h, "statement %u (%d, %u) has run: %s", wr->number, wr->what,
	    wr->token, wr->passed ? "done" : "refused");
}

/* ---- what goes wrong ----------------------------------------------------- */

static void
fault(struct world *w)
{
	struct host	*h = &w->hosts[w_dice(w, HOSTS)];

	if (w_calm(w))
		return;
	w_plan(w, 200 + w_dice(w, 6000), (struct event){ .kind = FAULT });
	switch (w_dice(w, 12)) {
	case 0: case 1: case 2:
		if (h->up) {
			w_note(w, h, "is killed");
			host_vanish(w, h, 300);
		}
		break;
	case 3: case 4: case 5:
		h->stopped_until = w->m.now + 1000 + w_dice(w, 25000);
		w_note(w, h, "is stopped for %.3f s", (double)
		    (h->stopped_until - w->m.now) / 1000);
		break;
	case 6: case 7:
		h->cut_until = w->m.now + w_dice(w, 20000);
		w_note(w, h, "is cut off");
		break;
	case 8: case 9:
		if (h->up)
			host_leave(w, h);
		break;
	case 10:
		if (w_dice(w, 2) == 0 && model_cancel(&w->m))
			w_note(w, NULL, "somebody cancels the job");
		break;
	case 11:
		if (model_retry(&w->m, w_dice(w, (uint32_t)w->m.nstages),
		    w_dice(w, 2) == 0))
			w_note(w, NULL, "somebody runs it again");
		break;
	}
}

/* ---- the world ----------------------------------------------------------- */

/* A pipeline, and how many items each of its "each" stages will have. */
static void
make_pipeline(struct world *w)
{
	struct model	*m = &w->m;
	unsigned int	 i, k, namer = 0, items;
	struct stage	*s;

	m->nstages = 2 + w_dice(w, 4);
	for (i = 0; i < m->nstages; i++) {
		s = &w->stages[i];
		s->kind = i == 0 ? STAGE_ONCE : w_dice(w, 2) == 0 ? STAGE_EACH :
		    i == m->nstages - 1 && w_dice(w, 2) == 0 ? STAGE_ALWAYS :
		    STAGE_ONCE;
		s->share = 100.0 / (double)m->nstages;
		s->attempts = 1 + w_dice(w, 3);
		s->pause_s = w_dice(w, 4);
		s->pause_most_s = s->pause_s + w_dice(w, 5);
		s->failures = (enum stage_failures)w_dice(w, 3);
		s->allowed = w_dice(w, 3);
		s->allowed_percent = w_dice(w, 4) == 0;
		if (s->allowed_percent)
			s->allowed *= 30;
		items = s->kind == STAGE_EACH ? w_dice(w, 7) : 1;
		for (k = 0; k < items && m->nsteps < MODEL_STEPS; k++)
			m->steps[m->nsteps++] = (struct model_step){
				.position = i, .open = -1,
				.named_by = s->kind == STAGE_EACH ? namer : i
			};
		if (s->kind == STAGE_ONCE || (s->kind == STAGE_EACH &&
		    items > 0 && w_dice(w, 2) == 0 &&
		    s->failures != FAILURES_ALLOW))
			namer = i;
	}
	m->stages = w->stages;
	w->pipeline.stages = w->stages;
	w->pipeline.nstages = m->nstages;
}

static void
make_world(struct world *w, uint32_t seed)
{
	int	 i;

	memset(w, 0, sizeof(*w));
	w->dice = seed * 2654435761U ^ 0x9e3779b9U;
	if (w->dice == 0)
		w->dice = 1;
	for (i = 0; i < 4; i++)
		w_dice(w, 2);
	make_pipeline(w);
	w->m.state = JOB_PENDING;
	w->poison = w_dice(w, 16) != 0 ? -1 :
	    (int)w_dice(w, (uint32_t)w->m.nsteps);
	w->calm_at = w_dice(w, 5) == 0 ? 0 : 2000 + w_dice(w, 60000);
	for (i = 0; i < HOSTS; i++) {
		w->hosts[i].life = 1;
		w_plan(w, w_dice(w, 2000), (struct event){ .kind = START,
		    .host = i });
	}
	w_plan(w, 500, (struct event){ .kind = FAULT });
}

static void
happen(struct world *w, const struct event *e)
{
	struct host	*h = &w->hosts[e->host];

	/* A daemon that is stopped hears of it later. */
	if (e->life != 0 && h->life == e->life &&
	    w->m.now < h->stopped_until && e->kind != FENCE) {
		w_plan_for(w, h->stopped_until - w->m.now + w_dice(w, 30),
		    e->kind, h, e->a, e->b);
		return;
	}
	if (e->life != 0 && (h->life != e->life || !h->up))
		return;
	switch (e->kind) {
	case TICK:
		host_tick(w, h);
		break;
	case BEGIN:
		run_begin(w, h, e->a);
		break;
	case END:
		host_hear_of_end(w, h, &w->tasks[e->a]);
		break;
	case ANSWER:
		host_hear(w, h, &w->writes[e->a], e->b);
		break;
	case POISON:
		w_note(w, h, "is brought down by its job");
		host_vanish(w, h, 300);
		break;
	case HURRY:
		host_hurry(w, h);
		break;
	case EXIT:
		host_go_away(w, h, e->a == 1);
		break;
	case FENCE:
		if (w->m.now >= h->trust_until)
			w_end_tasks(w, h, 1, STEP_ENDED, true);
		break;
	case EXECUTE:
		execute(w, &w->writes[e->a], e->b);
		break;
	case DIE:
		die(w, (int)e->a, e->b);
		break;
	case START:
		h->up = true;
		w_note(w, h, "starts");
		w_plan_for(w, 0, TICK, h, 0, 0);
		break;
	case FAULT:
		fault(w);
		break;
	}
}

/* Programs of a run that stops are gone when their grace is over. */
static void
check_stop(struct world *w, struct host *h)
{
	struct run	*r = &h->run;
	struct task	*t;

	if (!r->used || !r->began || (r->engine.state != ENGINE_STOPPING &&
	    r->engine.state != ENGINE_ENDING)) {
		r->told_at = 0;
		return;
	}
	if (r->told_at == 0)
		r->told_at = w->m.now;
	for (t = w->tasks; t < w->tasks + TASKS; t++) {
		if (t->lives && !t->helps && t->host == w_number(w, h) &&
		    w->m.now > r->told_at + GRACE)
			model_wrong(&w->m, "nobody tells a program to end");
	}
}

/* What must hold at any time. */
static void
check(struct world *w)
{
	int	 i, owners = 0, lives[MODEL_STEPS] = { 0 };

	for (i = 0; i < HOSTS; i++) {
		check_stop(w, &w->hosts[i]);
		owners += w->hosts[i].run.used && !w->hosts[i].run.deaf &&
		    w->hosts[i].run.token == w->m.token;
	}
	if (owners > 1)
		model_wrong(&w->m, "two runs may write");
	for (i = 0; i < TASKS; i++) {
		if (w->tasks[i].lives && ++lives[w->tasks[i].row] > 1)
			model_wrong(&w->m, "two programs work on one step");
	}
}

static bool
is_over(const struct world *w)
{
	int	 i;

	if (!w_calm(w) || !job_ended(w->m.state))
		return false;
	for (i = 0; i < HOSTS; i++) {
		if (w->hosts[i].run.used)
			return false;
	}
	for (i = 0; i < TASKS; i++) {
		if (w->tasks[i].lives)
			return false;
	}
	return true;
}

const char *
world_run(uint32_t seed, FILE *trace)
{
	struct world	 w;
	struct event	 e;
	unsigned int	 n = 0;

	make_world(&w, seed);
	w.trace = trace;
	while (w.m.wrong == NULL && !is_over(&w)) {
		e = next_event(&w);
		w.m.now = e.at >> 8;
		happen(&w, &e);
		check(&w);
		if (w.m.now > w.calm_at + DEADLINE || ++n > EVENTS)
			model_wrong(&w.m, "the job does not end");
	}
	return w.m.wrong;
}
