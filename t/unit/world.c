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
#include <stdlib.h>
#include <string.h>

#include "model.h"

#define HOSTS		3
#define HELPS		2		/* items of others, on a host */
#define WIDTH		2		/* programs of a run, on its host */
#define TASKS		32
#define WRITES		24
#define AGENDA		256

/* As in millraced, ms. */
#define LEASE		15000
#define MARGIN		1000
#define HAND_OVER	5000
#define STOP		10000
#define TIMEOUT		4000		/* of a statement */
#define GRACE		2000		/* between TERM and KILL */

/* Within this after all faults the job has to end, ms, and events. */
#define DEADLINE	400000
#define EVENTS		40000

enum kind {
	TICK,		/* of a daemon: its chores are due */
	BEGIN,		/* a run tries to begin */
	END,		/* a daemon hears of the end of a program */
	ANSWER,		/* and of a statement; or that there is none */
	POISON,		/* its job kills it */
	HURRY, EXIT,	/* its time to hand over, or to stop, is over */
	FENCE,		/* its keepers look whether they may go on */
	EXECUTE,	/* a statement runs */
	DIE,		/* a program ends */
	START,		/* a daemon is started */
	FAULT		/* whatever it be */
};

/* One thing that will happen.  LIFE 0: not to a daemon; else only to this. */
struct event {
	uint64_t	 at;		/* ms * 256, and a throw of dice */
	enum kind	 kind;
	int		 host;
	unsigned int	 life;
	unsigned int	 a, b;
};

/* A program that works on a step. */
struct task {
	bool		 lives, used;
	int		 host;
	unsigned int	 life, generation;
	bool		 helps;
	uint32_t	 token;
	int		 row;
	enum engine_event how;
	bool		 fenced;
	uint64_t	 ends_at;
};

enum what { NEWS, CLAIM, OFFER, TAKE };

/* A statement on its way. */
struct write {
	bool		 used, executed, ran, passed, heard;
	unsigned int	 number;	/* in order of sending */
	enum what	 what;
	int		 host;
	unsigned int	 life;
	uint32_t	 token;
	int		 row;
	struct model_news news;
};

struct run {
	bool		 used, began, ending, deaf, unsure, sent_end, hurried;
	bool		 closed, recalled;
	uint32_t	 token;
	struct engine	 engine;
	struct engine_step steps[MODEL_STEPS];
	int		 row[MODEL_STEPS];	/* of a step, in the model */
	size_t		 n;
	uint32_t	 changed, planned;	/* rows not sent yet */
	uint32_t	 lent[MODEL_STEPS];	/* token, by row; 0: it is not */
	uint32_t	 told[MODEL_STEPS];	/* likewise, for the next news */
	bool		 dirty, recovered;
	int		 sending;	/* a write, or -1 */
	uint64_t	 again_at;
	uint64_t	 told_at;	/* its programs to end; 0: not yet */
	unsigned int	 stage;		/* seen by clients: */
	double		 stage_progress, progress;
};

/* An item of another daemon's job. */
struct help {
	bool		 used, over;
	uint32_t	 token;
	int		 row, task;
	enum engine_event how;
};

struct host {
	bool		 up, leaving, unsure, claiming, taking;
	unsigned int	 life;
	uint64_t	 stopped_until, cut_until;
	uint32_t	 id, before;
	uint64_t	 trust_until, renew_at;
	struct run	 run;
	struct help	 helps[HELPS];
};

struct world {
	struct model	 m;
	struct stage	 stages[6];
	struct pipeline	 pipeline;
	struct host	 hosts[HOSTS];
	struct task	 tasks[TASKS];
	struct write	 writes[WRITES];
	unsigned int	 nwrites;
	struct event	 agenda[AGENDA];
	size_t		 nevents;
	uint64_t	 calm_at;
	int		 poison;	/* a step that kills its daemon, or -1 */
	uint32_t	 dice;
	FILE		*trace;
};

static void	advance(struct world *, struct host *);
static void	perform(struct world *, struct host *, unsigned int);

/* ---- chance and time ----------------------------------------------------- */

static uint32_t
dice(struct world *w, uint32_t sides)
{
	w->dice ^= w->dice << 13;
	w->dice ^= w->dice >> 17;
	w->dice ^= w->dice << 5;
	return (uint32_t)(((uint64_t)w->dice * sides) >> 32);
}

static bool
calm(const struct world *w)
{
	return w->m.now >= w->calm_at;
}

/* So many times in a hundred, while it is not calm. */
static bool
mishap(struct world *w, uint32_t percent)
{
	return !calm(w) && dice(w, 100) < percent;
}

static int
number(const struct world *w, const struct host *h)
{
	return (int)(h - w->hosts);
}

static void __attribute__((format(printf, 3, 4)))
note(struct world *w, const struct host *h, const char *fmt, ...)
{
	va_list	 ap;

	if (w->trace == NULL)
		return;
	fprintf(w->trace, "# %8.3f ", (double)w->m.now / 1000);
	if (h != NULL)
		fprintf(w->trace, "host %d: ", number(w, h));
	va_start(ap, fmt);
	vfprintf(w->trace, fmt, ap);
	va_end(ap);
	fputc('\n', w->trace);
}

/* The agenda is a heap: the earliest is first. */
static void
plan(struct world *w, uint64_t in, struct event e)
{
	struct event	*a = w->agenda;
	size_t		 i = w->nevents, up;

	if (w->nevents == AGENDA) {
		model_wrong(&w->m, "the agenda of the world is full");
		return;
	}
	w->nevents++;
	e.at = ((w->m.now + in) << 8) | dice(w, 256);
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

static void
plan_for(struct world *w, uint64_t in, enum kind kind, const struct host *h,
    unsigned int a, unsigned int b)
{
	plan(w, in, (struct event){ .kind = kind, .host = number(w, h),
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

	return mishap(w, 25) ? ends[dice(w, 8)] : STEP_OK;
}

static void
end_task(struct world *w, int i, uint64_t in, enum engine_event how,
    bool fenced)
{
	struct task	*t = &w->tasks[i];

	if (t->ends_at <= w->m.now + in)
		return;
	t->ends_at = w->m.now + in;
	t->how = how;
	t->fenced = fenced;
	plan(w, in, (struct event){ .kind = DIE, .a = (unsigned int)i,
	    .b = ++t->generation });
}

static bool
trusted(const struct world *w, const struct host *h)
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
static int
start_task(struct world *w, struct host *h, uint32_t token, int row,
    bool helps)
{
	struct task	*t;
	bool		 stillborn = !trusted(w, h);
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
	t->host = number(w, h);
	t->life = h->life;
	t->helps = helps;
	t->token = token;
	t->row = row;
	t->ends_at = UINT64_MAX;
	note(w, h, "%s step %d of %u", helps ? "helps with" : "starts", row,
	    token);
	if (row == w->poison && !helps && !stillborn)
		plan_for(w, 5 + dice(w, 20), POISON, h, 0, 0);
	end_task(w, i, stillborn ? 0 : 20 + dice(w, dice(w, 3) == 0 ? 12000 :
	    3000), stillborn ? STEP_ENDED : some_end(w), stillborn);
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
		plan_for(w, 0, END, h, (unsigned int)i, 0);
	else
		t->used = false;
}

static void
end_tasks(struct world *w, const struct host *h, uint32_t within,
    enum engine_event how, bool fenced)
{
	int	 i;

	for (i = 0; i < TASKS; i++) {
		if (w->tasks[i].used && w->tasks[i].host == number(w, h) &&
		    w->tasks[i].life == h->life)
			end_task(w, i, dice(w, within), how, fenced);
	}
}

/* ---- statements ---------------------------------------------------------- */

/* Whether a statement that takes no time gets there and back. */
static bool
reaches(struct world *w, const struct host *h)
{
	return w->m.now >= h->cut_until && !mishap(w, 4);
}

/* It will not run any more, or has. */
static void
run_out(struct write *wr)
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
			run_out(wr);
	}
}

/* It runs one that takes no time here. */
static void
forget_all(struct world *w, const struct host *h)
{
	forget_older(w, number(w, h), h->life, ++w->nwrites);
}

/* It waits for an answer, and does nothing meanwhile. */
static bool
is_busy(const struct world *w, const struct host *h)
{
	const struct write	*wr;

	for (wr = w->writes; wr < w->writes + WRITES; wr++) {
		if (wr->used && !wr->heard && wr->host == number(w, h) &&
		    wr->life == h->life)
			return true;
	}
	return false;
}

static struct write *
new_write(struct world *w, struct host *h, enum what what, uint32_t token,
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
	wr->host = number(w, h);
	wr->life = h->life;
	wr->token = token;
	wr->row = row;
	return wr;
}

static void
send(struct world *w, struct host *h, struct write *wr)
{
	unsigned int	 i = (unsigned int)(wr - w->writes);
	bool		 cut = w->m.now < h->cut_until;
	uint64_t	 in = 5 + dice(w, 50);

	if (mishap(w, 5))
		in = dice(w, 25000);
	if ((cut && dice(w, 2) == 0) || mishap(w, 2))
		wr->executed = true;	/* that is, it never will be */
	else
		plan(w, in, (struct event){ .kind = EXECUTE, .a = i,
		    .b = wr->number });
	if (in >= TIMEOUT || wr->executed || cut || mishap(w, 3))
		plan_for(w, TIMEOUT, ANSWER, h, i, 0);
	else
		plan_for(w, in + 1 + dice(w, 30), ANSWER, h, i, wr->number);
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
	run_out(wr);
	note(w, h, "statement %u (%d, %u) has run: %s", wr->number, wr->what,
	    wr->token, wr->passed ? "done" : "refused");
}

/* ---- runs ---------------------------------------------------------------- */

static int
step_of(const struct run *r, int row)
{
	size_t	 k;

	for (k = 0; k < r->n; k++) {
		if (r->row[k] == row)
			return (int)k;
	}
	return -1;
}

static void
drop(struct world *w, struct host *h)
{
	note(w, h, "the run of %u is over", h->run.token);
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
static void
let_go(struct world *w, struct host *h)
{
	struct run	*r = &h->run;

	note(w, h, "lets %u go", r->token);
	r->deaf = true;
	if (!r->began || r->ending) {
		drop(w, h);
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

	if (!reaches(w, h))
		return false;
	r->unsure = false;
	if (m->token == r->token && m->state == JOB_RUNNING)
		return true;
	if (m->token == r->token && r->sent_end &&
	    m->state == state_after(r->engine.verdict))
		drop(w, h);
	else
		let_go(w, h);
	return false;
}

static void
tell(struct world *w, struct host *h)
{
	struct run		*r = &h->run;
	struct write		*wr;
	struct model_news	*n;
	size_t			 k;

	if (!r->used || !r->began || r->deaf || !r->dirty ||
	    is_busy(w, h) || (r->unsure && !make_sure(w, h)) ||
	    (wr = new_write(w, h, NEWS, r->token, -1)) == NULL)
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
	send(w, h, wr);
}

static void
hear_news(struct world *w, struct host *h, const struct write *wr, bool sure)
{
	struct run	*r = &h->run;

	if (!r->used || r->deaf || r->token != wr->token ||
	    r->sending != wr - w->writes)
		return;
	r->sending = -1;
	if (sure && !wr->passed)
		let_go(w, h);
	else if (sure && wr->news.verdict != VERDICT_NONE)
		drop(w, h);
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

	note(w, h, "verdict %d", r->engine.verdict);
	if (r->engine.running != 0)
		model_wrong(&w->m, "a verdict, and something runs");
	if (r->engine.verdict == VERDICT_LOST) {
		drop(w, h);
		return;
	}
	if (r->deaf)
		model_wrong(&w->m, "a job that was lost gets a verdict");
	check_tidy(w, r);
	r->ending = r->dirty = true;
	tell(w, h);
}

/* What is lent: back if nobody has it; else wanted back. */
static void
recall(struct world *w, struct host *h)
{
	struct run	*r = &h->run;
	size_t		 i;

	r->closed = r->recalled = true;
	for (i = 0; i < w->m.nsteps && reaches(w, h); i++) {
		if (r->lent[i] != 0)
			model_want_back(&w->m, (int)i, r->token);
	}
}

static void	handle(struct world *, struct host *, enum engine_event, int);

static void
forget_loans(struct world *w, struct host *h)
{
	struct run	*r = &h->run;
	int		 i;

	for (i = 0; i < (int)w->m.nsteps && r->used; i++) {
		if (r->lent[i] == 0)
			continue;
		r->lent[i] = 0;
		handle(w, h, STEP_ENDED, step_of(r, i));
	}
}

static void
perform(struct world *w, struct host *h, unsigned int actions)
{
	struct run	*r = &h->run;
	bool		 lost = r->engine.verdict == VERDICT_LOST;
	int		 i;

	for (i = 0; i < TASKS && actions & ENGINE_END_ALL; i++) {
		if (w->tasks[i].used && w->tasks[i].host == number(w, h) &&
		    w->tasks[i].life == h->life && !w->tasks[i].helps)
			end_task(w, i, dice(w, lost ? 50 : GRACE), STEP_ENDED,
			    false);
	}
	if (actions & ENGINE_FINISH)
		finish(w, h);
	else if (actions & ENGINE_END_ALL && lost)
		forget_loans(w, h);
	else if (actions & ENGINE_END_ALL)
		recall(w, h);
}

/* An event of the job, or of step K. */
static void
handle(struct world *w, struct host *h, enum engine_event event, int k)
{
	struct run		*r = &h->run;
	struct engine_step	*s = k == -1 ? NULL : &r->steps[k], before;
	unsigned int		 actions;
	uint64_t		 at;

	note(w, h, "event %d, step %d", event, k == -1 ? -1 : r->row[k]);
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
			    dice(w, UINT32_MAX));
			if (at > r->again_at)
				r->again_at = at;
		}
	}
	r->dirty |= s != NULL || actions != 0;
	perform(w, h, actions);
	if (r->used)
		tell(w, h);
}

/* Put steps for rows that are new into their places. */
static void
add_steps(struct world *w, struct run *r, uint32_t rows)
{
	struct model_step	*s;
	size_t			 i, at;

	for (i = 0; i < w->m.nsteps; i++) {
		if ((rows & 1U << i) == 0 || step_of(r, (int)i) != -1)
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
static void
end_step(struct world *w, struct host *h, int row, enum engine_event how)
{
	struct run	*r = &h->run;
	int		 k = step_of(r, row);

	if (how == STEP_OK && !r->deaf &&
	    w->stages[r->steps[k].position].kind != STAGE_ALWAYS) {
		r->recovered = true;
		name_items(w, r, r->steps[k].position);
	}
	handle(w, h, how, step_of(r, row));
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

static void
advance(struct world *w, struct host *h)
{
	struct run	*r = &h->run;
	struct write	*wr;
	unsigned int	 here = 0;
	size_t		 i;
	int		 k;

	for (i = 0; i < TASKS; i++)
		here += w->tasks[i].used && w->tasks[i].life == h->life &&
		    w->tasks[i].host == number(w, h);
	while (r->used && r->began && !r->ending &&
	    (k = engine_next(&r->engine, r->steps, r->n)) != -1) {
		if (r->deaf)
			model_wrong(&w->m, "something starts after the loss");
		if (w->stages[r->steps[k].position].kind == STAGE_EACH &&
		    !r->closed && !is_busy(w, h) && others_are_up(w, h) &&
		    dice(w, 2) == 0 &&
		    (wr = new_write(w, h, OFFER, r->token, r->row[k])) !=
		    NULL) {
			engine_start(&r->engine, r->steps, k);
			r->lent[r->row[k]] = r->token;
			note(w, h, "lends step %d", r->row[k]);
			send(w, h, wr);
			continue;
		}
		if (r->engine.running > 0 && here >= WIDTH)
			break;
		here++;
		engine_start(&r->engine, r->steps, k);
		r->changed |= 1U << r->row[k];
		r->told[r->row[k]] = r->token;
		r->dirty = true;
		start_task(w, h, r->token, r->row[k], false);
	}
	if (r->used)
		tell(w, h);
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

static void
begin(struct world *w, struct host *h, uint32_t token)
{
	struct run	*r = &h->run;
	struct model	*m = &w->m;
	unsigned int	 actions;

	if (!r->used || r->began || r->token != token)
		return;
	if (is_busy(w, h) || !reaches(w, h) || is_locked(w)) {
		plan_for(w, 100, BEGIN, h, token, 0);
		return;
	}
	forget_all(w, h);
	if (!model_regain(m, token)) {
		let_go(w, h);
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
	note(w, h, "begins %u", token);
	if (actions == 0)
		inherit(w, r);
	perform(w, h, actions);
	advance(w, h);
}

static void
start_run(struct world *w, struct host *h, uint32_t token)
{
	struct run	*r = &h->run;

	memset(r, 0, sizeof(*r));
	r->used = true;
	r->token = token;
	r->sending = -1;
	plan_for(w, dice(w, 20), BEGIN, h, token, 0);
}

/* What became of what is lent? */
static void
look_at_loans(struct world *w, struct host *h)
{
	struct run		*r = &h->run;
	struct model_step	*s;
	uint32_t		 t, changed;
	int			 i;

	for (i = 0; i < (int)w->m.nsteps && r->used && r->began; i++) {
		s = &w->m.steps[i];
		if ((t = r->lent[i]) == 0 || r->ending || is_busy(w, h) ||
		    !reaches(w, h))
			continue;
		forget_all(w, h);
		if (s->token == t && !s->ended && s->helper != 0) {
			if (r->recalled)
				model_want_back(&w->m, i, t);
			continue;
		}
		if (s->token == t && s->open == 1 && !r->closed &&
		    dice(w, 4) != 0)
			continue;
		if (s->token == t && s->open == 1 &&
		    !model_take_back(&w->m, i, t))
			continue;
		r->lent[i] = 0;
		if (s->token != t || !s->ended) {
			/* As if nothing had been: nothing is written. */
			changed = r->changed;
			handle(w, h, STEP_ENDED, step_of(r, i));
			r->changed = changed;
			continue;
		}
		r->told[i] = t;
		end_step(w, h, i, s->how);
	}
	if (r->used)
		advance(w, h);
}

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
	help->task = start_task(w, h, token, row, true);
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

	if (h->leaving || !trusted(w, h) || h->helps[HELPS - 1].used ||
	    h->helps[0].used || m->state != JOB_RUNNING || m->cancel ||
	    m->daemon == h->id || !reaches(w, h))
		return;
	for (i = 0; i < m->nsteps; i++) {
		if (m->steps[i].open != 1 || m->steps[i].token != m->token)
			continue;
		if ((wr = new_write(w, h, TAKE, m->token, (int)i)) == NULL)
			return;
		wr->news.mask = h->id;
		h->taking = true;
		send(w, h, wr);
		return;
	}
}

static void
help_others(struct world *w, struct host *h)
{
	struct help	*help;

	if (is_busy(w, h))
		return;
	if (reaches(w, h)) {
		forget_all(w, h);
		return_unknown(w, h);
	}
	for (help = h->helps; help < h->helps + HELPS; help++) {
		if (!help->used || !reaches(w, h))
			continue;
		if (!help->over) {
			if (!is_wanted(&w->m, help, h->id))
				end_task(w, help->task, dice(w, 300),
				    STEP_ENDED, false);
			continue;
		}
		if (help->how == STEP_ENDED)
			model_return(&w->m, help->row, help->token, h->id);
		else
			model_end(&w->m, help->row, help->token, h->id,
			    help->how);
		/* Told again when nobody knows: it does no harm. */
		if (!mishap(w, 5))
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
	plan_for(w, LEASE - MARGIN, FENCE, h, 0, 0);
}

static enum job_blame
some_blame(struct world *w)
{
	if (w->poison != -1)
		return JOB_BLAMED;
	return dice(w, 3) == 0 ? JOB_BLAMED : JOB_INNOCENT;
}

static void
take_over(struct world *w, struct host *h, uint32_t id)
{
	note(w, h, "daemon %u is gone", id);
	model_adopt(&w->m, id, some_blame(w));
}

static void
join(struct world *w, struct host *h)
{
	struct model_daemon	*d;

	if (!reaches(w, h) ||
	    (h->id = model_join(&w->m, number(w, h), LEASE)) == 0)
		return;
	note(w, h, "is daemon %u", h->id);
	trust(w, h);
	if (h->before != 0)
		model_release(&w->m, h->before);
	h->before = 0;
	for (d = w->m.daemons; d < w->m.daemons + MODEL_DAEMONS; d++) {
		if (d->id != 0 && d->id != h->id && d->host == number(w, h))
			take_over(w, h, d->id);
	}
}

static void
lose(struct world *w, struct host *h)
{
	note(w, h, "fenced");
	if (h->run.used && h->run.ending)
		drop(w, h);
	else if (h->run.used && !h->run.deaf)
		let_go(w, h);
	end_tasks(w, h, 50, STEP_ENDED, true);
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

	if (is_busy(w, h))
		return;
	if (h->unsure && reaches(w, h)) {
		h->unsure = h->run.used;
		if (m->state == JOB_RUNNING && m->daemon == h->id &&
		    !h->run.used)
			start_run(w, h, m->token);
	}
	if (h->unsure || h->run.used || !trusted(w, h) ||
	    m->state != JOB_PENDING || m->due > m->now || !reaches(w, h) ||
	    (wr = new_write(w, h, CLAIM, 1 + dice(w, UINT32_MAX - 1), -1)) ==
	    NULL)
		return;
	wr->news.mask = h->id;
	send(w, h, wr);
}

static void
leave_if_done(struct world *w, struct host *h)
{
	if (h->leaving && !h->run.used && !h->helps[0].used &&
	    !h->helps[1].used)
		plan_for(w, 0, EXIT, h, 1, 0);
}

static void
tick(struct world *w, struct host *h)
{
	plan_for(w, 300 + dice(w, 500), TICK, h, 0, 0);
	if (is_busy(w, h))
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
	if (w->m.now >= h->renew_at && reaches(w, h)) {
		if (!model_renew(&w->m, h->id, LEASE)) {
			lose(w, h);
			return;
		}
		if (!mishap(w, 5))
			trust(w, h);
		h->unsure = true;
	}
	if (h->run.used && h->run.began && !h->run.ending && w->m.cancel &&
	    w->m.daemon == h->id && w->m.token == h->run.token)
		handle(w, h, JOB_CANCELS, -1);
	if (dice(w, 3) == 0 && reaches(w, h))
		dead_daemons(w, h);
	look_at_loans(w, h);
	help_others(w, h);
	if (!h->leaving)
		look_for_jobs(w, h);
	tell(w, h);
	leave_if_done(w, h);
}

/* The process is no more; neither is anything that it knew. */
static void
vanish(struct world *w, struct host *h, uint32_t programs_within)
{
	struct write	*wr;
	int		 i;

	end_tasks(w, h, programs_within, STEP_ENDED, true);
	for (i = 0; i < TASKS; i++) {
		if (w->tasks[i].used && !w->tasks[i].lives &&
		    w->tasks[i].host == number(w, h))
			w->tasks[i].used = false;
	}
	for (wr = w->writes; wr < w->writes + WRITES; wr++) {
		if (wr->used && wr->host == number(w, h) &&
		    wr->life == h->life) {
			wr->heard = true;
			if (wr->executed || dice(w, 2) == 0)
				run_out(wr);
		}
	}
	i = (int)h->life + 1;
	memset(h, 0, sizeof(*h));
	h->life = (unsigned int)i;
	plan(w, 50 + dice(w, dice(w, 2) == 0 ? 1000 : 30000), (struct event){
	    .kind = START, .host = number(w, h) });
}

static void
hear(struct world *w, struct host *h, struct write *wr, unsigned int number)
{
	bool	 sure = wr->number == number && wr->ran;

	if (!wr->used || wr->host != (int)(h - w->hosts) ||
	    wr->life != h->life || wr->heard)
		return;
	wr->heard = true;
	note(w, h, "hears of %u: %s", wr->number, !sure ? "nothing" :
	    wr->passed ? "done" : "refused");
	switch (wr->what) {
	case NEWS:
		hear_news(w, h, wr, sure);
		break;
	case CLAIM:
		if (sure && wr->passed && !h->run.used)
			start_run(w, h, wr->token);
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
	tell(w, h);
}

static void
hear_of_end(struct world *w, struct host *h, struct task *t)
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
	if (!r->used || r->token != t->token || step_of(r, t->row) == -1)
		return;
	if ((t->fenced || !trusted(w, h)) && !r->deaf)
		let_go(w, h);
	if (r->used)
		end_step(w, h, t->row, t->how);
	if (r->used)
		advance(w, h);
}

/* ---- what goes wrong ----------------------------------------------------- */

static void
leave(struct world *w, struct host *h)
{
	struct run	*r = &h->run;

	if (h->leaving)
		return;
	note(w, h, "is told to end");
	h->leaving = true;
	plan_for(w, HAND_OVER, HURRY, h, 0, 0);
	plan_for(w, STOP, EXIT, h, 0, 0);
	r->closed = true;
	if (r->used && !r->began)
		drop(w, h);		/* somebody takes it from here */
	else if (r->used && !r->ending && !r->deaf)
		handle(w, h, JOB_LEAVES, -1);
}

static void
hurry(struct world *w, struct host *h)
{
	int	 i;

	if (h->run.used && h->run.began && !h->run.ending && !h->run.deaf)
		handle(w, h, JOB_HURRIES, -1);
	for (i = 0; i < HELPS; i++) {
		if (h->helps[i].used && !h->helps[i].over)
			end_task(w, h->helps[i].task, dice(w, 300), STEP_ENDED,
			    false);
	}
}

static void
go_away(struct world *w, struct host *h, bool clean)
{
	note(w, h, "ends");
	if (clean && h->id != 0 && reaches(w, h))
		model_release(&w->m, h->id);
	vanish(w, h, 50);
}

static void
fault(struct world *w)
{
	struct host	*h = &w->hosts[dice(w, HOSTS)];

	if (calm(w))
		return;
	plan(w, 200 + dice(w, 6000), (struct event){ .kind = FAULT });
	switch (dice(w, 12)) {
	case 0: case 1: case 2:
		if (h->up) {
			note(w, h, "is killed");
			vanish(w, h, 300);
		}
		break;
	case 3: case 4: case 5:
		h->stopped_until = w->m.now + 1000 + dice(w, 25000);
		note(w, h, "is stopped for %.3f s", (double)
		    (h->stopped_until - w->m.now) / 1000);
		break;
	case 6: case 7:
		h->cut_until = w->m.now + dice(w, 20000);
		note(w, h, "is cut off");
		break;
	case 8: case 9:
		if (h->up)
			leave(w, h);
		break;
	case 10:
		if (dice(w, 2) == 0 && model_cancel(&w->m))
			note(w, NULL, "somebody cancels the job");
		break;
	case 11:
		if (model_retry(&w->m, dice(w, (uint32_t)w->m.nstages),
		    dice(w, 2) == 0))
			note(w, NULL, "somebody runs it again");
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

	m->nstages = 2 + dice(w, 4);
	for (i = 0; i < m->nstages; i++) {
		s = &w->stages[i];
		s->kind = i == 0 ? STAGE_ONCE : dice(w, 2) == 0 ? STAGE_EACH :
		    i == m->nstages - 1 && dice(w, 2) == 0 ? STAGE_ALWAYS :
		    STAGE_ONCE;
		s->share = 100.0 / (double)m->nstages;
		s->attempts = 1 + dice(w, 3);
		s->pause_s = dice(w, 4);
		s->pause_most_s = s->pause_s + dice(w, 5);
		s->failures = (enum stage_failures)dice(w, 3);
		s->allowed = dice(w, 3);
		s->allowed_percent = dice(w, 4) == 0;
		if (s->allowed_percent)
			s->allowed *= 30;
		items = s->kind == STAGE_EACH ? dice(w, 7) : 1;
		for (k = 0; k < items && m->nsteps < MODEL_STEPS; k++)
			m->steps[m->nsteps++] = (struct model_step){
				.position = i, .open = -1,
				.named_by = s->kind == STAGE_EACH ? namer : i
			};
		if (s->kind == STAGE_ONCE || (s->kind == STAGE_EACH &&
		    items > 0 && dice(w, 2) == 0 &&
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
		dice(w, 2);
	make_pipeline(w);
	w->m.state = JOB_PENDING;
	w->poison = dice(w, 16) != 0 ? -1 :
	    (int)dice(w, (uint32_t)w->m.nsteps);
	w->calm_at = dice(w, 5) == 0 ? 0 : 2000 + dice(w, 60000);
	for (i = 0; i < HOSTS; i++) {
		w->hosts[i].life = 1;
		plan(w, dice(w, 2000), (struct event){ .kind = START,
		    .host = i });
	}
	plan(w, 500, (struct event){ .kind = FAULT });
}

static void
happen(struct world *w, const struct event *e)
{
	struct host	*h = &w->hosts[e->host];

	/* A daemon that is stopped hears of it later. */
	if (e->life != 0 && h->life == e->life &&
	    w->m.now < h->stopped_until && e->kind != FENCE) {
		plan_for(w, h->stopped_until - w->m.now + dice(w, 30), e->kind,
		    h, e->a, e->b);
		return;
	}
	if (e->life != 0 && (h->life != e->life || !h->up))
		return;
	switch (e->kind) {
	case TICK:
		tick(w, h);
		break;
	case BEGIN:
		begin(w, h, e->a);
		break;
	case END:
		hear_of_end(w, h, &w->tasks[e->a]);
		break;
	case ANSWER:
		hear(w, h, &w->writes[e->a], e->b);
		break;
	case POISON:
		note(w, h, "is brought down by its job");
		vanish(w, h, 300);
		break;
	case HURRY:
		hurry(w, h);
		break;
	case EXIT:
		go_away(w, h, e->a == 1);
		break;
	case FENCE:
		if (w->m.now >= h->trust_until)
			end_tasks(w, h, 1, STEP_ENDED, true);
		break;
	case EXECUTE:
		execute(w, &w->writes[e->a], e->b);
		break;
	case DIE:
		die(w, (int)e->a, e->b);
		break;
	case START:
		h->up = true;
		note(w, h, "starts");
		plan_for(w, 0, TICK, h, 0, 0);
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
		if (t->lives && !t->helps && t->host == number(w, h) &&
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

	if (!calm(w) || !job_ended(w->m.state))
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
