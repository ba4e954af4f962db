/*
 * What runs have to tell the database, written together.
 *
 * When a commit is cut off nobody knows whether it took place.  The outboxes
 * that were in it are then "unsure": before they are written again, the row
 * of the job is read, and what is there already is crossed out.
 *
 * One job does not hold up the others.  The rows are locked first, without
 * waiting; when somebody else has one, or one is refused, each outbox gets a
 * transaction of its own, and the one that fails again is "held": it is tried
 * alone, later and later, while the others go on.
 */

#include "batch.h"

#include <sys/queue.h>
#include <sys/tree.h>

#include <stdlib.h>
#include <string.h>

#include "db.h"
#include "log.h"
#include "loop.h"

/* Between two transactions, and between two events of a job, ms. */
#define FLUSH_MS	100
#define NEWS_MS		250

/*
 * What is urgent does not wait for so long, but leaves the database four times
 * as long to itself as the last transaction took, and this at least, ms.
 */
#define URGENT_MS	5

#define NEVER		UINT64_MAX

/* Rows in one transaction, about. */
#define ROWS		200

/* Steps of one job that go with its news; more go before, so many at a time. */
#define PLANS		1000
#define MARKS		200

/* Then other things of the loop have their turn, ms. */
#define BUSY_MS		500

/* Pauses before an outbox that is held is tried again, ms; and when that is
   said. */
#define HELD_LEAST_MS	50
#define HELD_SAID_MS	800
#define HELD_MOST_MS	3000

/* When even its end is refused, the job is taken again after so long, s. */
#define REFUSED_S	10

/* Pauses while the database is away, ms. */
#define AWAY_LEAST_MS	100
#define AWAY_MOST_MS	2000

/* News of one job that are kept while the database is away. */
#define KEPT		64

struct letter {
	struct job_news	 news;
	char		*details;
};

/* A step as it is now, that waits to be written.  The texts are ours. */
struct mark {
	RB_ENTRY(mark)	 entry;
	struct step_now	 step;
};
RB_HEAD(marks, mark);

/* How often the database has refused what an outbox has to tell. */
enum refusals {
	REFUSED_NOTHING,
	REFUSED_WORDS,			/* say it in plain ones */
	REFUSED_END,			/* let the job be taken again */
	REFUSED_ALL			/* without what its steps came to */
};

struct outbox {
	TAILQ_ENTRY(outbox) entry;
	struct batch	*batch;
	struct uuid	 id;
	uint64_t	 token;
	struct letter	*letters;	/* oldest first; the last one may be
					   replaced by a later one */
	size_t		 nletters;
	size_t		 sent;		/* of these, that may be in the
					   database already */
	char		 phase[32], stage[32];	/* of the last one ever */
	bool		 urgent;	/* a change of stage, or the end */
	uint64_t	 next_at;	/* not before, unless urgent */
	struct step_new	*plans;		/* texts are ours */
	size_t		 nplans, room;
	struct marks	 marks;
	size_t		 nmarks;
	size_t		 nplanned, nmarked;	/* of these, first ones that
					   the transaction at hand has */
	bool		 whole;		/* it has all of it */
	bool		 forgets;	/* what the database has of them */
	bool		 recovers;
	bool		 ends;
	struct outbox_end end;
	bool		 unsure;	/* what waits may have been written */
	bool		 in;		/* in the transaction at hand */
	unsigned int	 held_ms;	/* the last pause; 0: it is not held */
	uint64_t	 held_until;
	enum refusals	 refusals;
	bool		 refused;	/* by the fence */
	bool		 told;		/* its fate is known and was told */
	int		(*first)(void *);	/* or NULL */
	void		*first_arg;
	void		(*fate)(void *, enum outbox_fate);
	void		*arg;
};

struct batch {
	struct loop	*loop;
	struct db	*db;
	TAILQ_HEAD(, outbox) all;
	struct loop_timer *timer;
	uint64_t	 at;		/* when it is due */
	uint64_t	 flushed_at;
	uint64_t	 pause_ms;	/* after it, before what is urgent */
	unsigned int	 away_ms;	/* 0: the database answers */
};

static void	plan_flush(struct batch *);

static int
by_step(const struct mark *a, const struct mark *b)
{
	if (a->step.position != b->step.position)
		return a->step.position < b->step.position ? -1 : 1;
	return strcmp(a->step.item, b->step.item);
}

/* Not RB_GENERATE_STATIC: its "__unused" is a field's name in Linux headers. */
RB_GENERATE_INTERNAL(marks, mark, entry, by_step,
    __attribute__((unused)) static)

/* ---- outboxes ------------------------------------------------------------ */

struct outbox *
outbox_new(struct batch *b, const struct job *job,
    void (*fate)(void *, enum outbox_fate), void *arg)
{
	struct outbox	*o = xcalloc(1, sizeof(*o));

	o->batch = b;
	o->id = job->id;
	o->token = job->token;
	o->fate = fate;
	o->arg = arg;
	RB_INIT(&o->marks);
	TAILQ_INSERT_TAIL(&b->all, o, entry);
	return o;
}

void
outbox_first(struct outbox *o, int (*fn)(void *), void *arg)
{
	o->first = fn;
	o->first_arg = arg;
}

/* Forget the first N letters. */
static void
drop_letters(struct outbox *o, size_t n)
{
	size_t	 i;

	if (n == 0)
		return;
	for (i = 0; i < n; i++)
		free(o->letters[i].details);
	memmove(o->letters, o->letters + n,
	    (o->nletters - n) * sizeof(o->letters[0]));
	o->nletters -= n;
	o->sent = o->sent > n ? o->sent - n : 0;
}

static void
free_text(const char *text)
{
	free((void *)(uintptr_t)text);
}

/* Forget the first N plans, and the first N marks. */
static void
drop_plans(struct outbox *o, size_t n)
{
	size_t	 i;

	if (n == 0)
		return;
	for (i = 0; i < n; i++) {
		free_text(o->plans[i].stage);
		free_text(o->plans[i].item);
		free_text(o->plans[i].args);
	}
	o->nplans -= n;
	memmove(o->plans, o->plans + n, o->nplans * sizeof(o->plans[0]));
	if (o->nplans == 0) {
		free(o->plans);
		o->plans = NULL;
		o->room = 0;
	}
}

static void
free_mark(struct mark *m)
{
	free_text(m->step.item);
	free_text(m->step.output);
	free(m);
}

static void
drop_marks(struct outbox *o, size_t n)
{
	struct mark	*m;

	for (; n > 0; n--, o->nmarks--) {
		m = RB_MIN(marks, &o->marks);
		RB_REMOVE(marks, &o->marks, m);
		free_mark(m);
	}
}

static void
drop_steps(struct outbox *o)
{
	drop_plans(o, o->nplans);
	drop_marks(o, o->nmarks);
	o->forgets = o->recovers = false;
}

void
outbox_free(struct outbox *o)
{
	if (o == NULL)
		return;
	TAILQ_REMOVE(&o->batch->all, o, entry);
	drop_letters(o, o->nletters);
	free(o->letters);
	drop_steps(o);
	free_text(o->end.why);
	free_text(o->end.result);
	free((void *)(uintptr_t)o->end.artifacts);
	free(o);
}

/* Room for one more. */
static struct letter *
add_letter(struct outbox *o)
{
	if (o->nletters == KEPT) {
		log_warnx("more than %d news of a job wait: the oldest is lost",
		    KEPT);
		drop_letters(o, 1);
	}
	o->letters = xreallocarray(o->letters, o->nletters + 1,
	    sizeof(*o->letters));
	o->letters[o->nletters].details = NULL;
	return &o->letters[o->nletters++];
}

void
outbox_news(struct outbox *o, const struct job_news *news)
{
	struct letter	*l;
	bool		 same = strcmp(o->phase, news->phase) == 0 &&
			    strcmp(o->stage, news->stage) == 0;

	if (o->nletters > o->sent && same)
		l = &o->letters[o->nletters - 1];
	else
		l = add_letter(o);
	o->urgent |= !same;
	strlcpy(o->phase, news->phase, sizeof(o->phase));
	strlcpy(o->stage, news->stage, sizeof(o->stage));
	/* Facts that were not written yet are not lost with their news. */
	if (news->details != NULL) {
		free(l->details);
		l->details = xstrdup(news->details);
	}
	l->news = *news;
	l->news.details = l->details;
	plan_flush(o->batch);
}

void
outbox_forget(struct outbox *o)
{
	drop_steps(o);
	o->forgets = true;
}

void
outbox_plan(struct outbox *o, const struct step *step)
{
	if (o->nplans == o->room) {
		o->room = o->room == 0 ? 8 : o->room * 2;
		o->plans = xreallocarray(o->plans, o->room, sizeof(*o->plans));
	}
	o->plans[o->nplans++] = (struct step_new){
		.position = step->position, .stage = xstrdup(step->stage),
		.item = xstrdup(step->item), .args = xstrdup(step->args)
	};
}

void
outbox_step(struct outbox *o, const struct step *step)
{
	struct mark	*m = xcalloc(1, sizeof(*m)), *before;

	m->step = (struct step_now){
		.position = step->position, .item = xstrdup(step->item),
		.state = step->state, .percent = step->percent,
		.attempt = step->attempt, .failures = step->failures,
		.crashes = step->crashes, .pause_s = step->pause_s,
		.token = step->token,
		.exit_status = step->exit_status,
		.output = xstrdup(step->output)
	};
	if ((before = RB_FIND(marks, &o->marks, m)) != NULL) {
		RB_REMOVE(marks, &o->marks, before);
		free_mark(before);
		o->nmarks--;
	}
	RB_INSERT(marks, &o->marks, m);
	o->nmarks++;
}

bool
outbox_waits(const struct outbox *o, unsigned int position, const char *item)
{
	struct marks	 marks = o->marks;	/* RB_FIND takes no const one */
	struct mark	 key;

	key.step.position = position;
	key.step.item = item;
	return o->nplans > 0 || o->forgets ||
	    RB_FIND(marks, &marks, &key) != NULL;
}

void
outbox_recovered(struct outbox *o)
{
	o->recovers = true;
}

static char *
copy(const char *text)
{
	return xstrdup(text == NULL ? "" : text);
}

void
outbox_end(struct outbox *o, const struct outbox_end *end)
{
	struct artifact	*list;
	struct job_news	 last = o->letters[o->nletters - 1].news;

	/* The end takes the last news along, but not a stage's begin or end. */
	if (o->urgent || o->nletters == o->sent || last.stage_progress >= 100)
		add_letter(o)->news = last;
	o->letters[o->nletters - 1].news.details =
	    o->letters[o->nletters - 1].details;

	list = xreallocarray(NULL, end->nartifacts + 1, sizeof(*list));
	if (end->nartifacts > 0)
		memcpy(list, end->artifacts, end->nartifacts * sizeof(*list));
	o->end = *end;
	o->end.why = copy(end->why);
	o->end.result = copy(end->result);
	o->end.artifacts = list;
	o->ends = o->urgent = true;
	o->refusals = REFUSED_NOTHING;
	plan_flush(o->batch);
}

/* ---- writing ------------------------------------------------------------- */

static int
write_end(struct db *db, const struct outbox *o, const struct job_news *n)
{
	const struct outbox_end	*e = &o->end;
	int			 rc;

	switch (e->verdict) {
	case VERDICT_DONE:
		/* Rows of results have no fence of their own. */
		if ((rc = job_done(db, n, e->result,
		    e->nartifacts > 0 ? e->artifacts[0].name : "")) != 1)
			return rc;
		return artifact_replace(db, &o->id, e->artifacts,
		    e->nartifacts) == -1 ? -1 : 1;
	case VERDICT_FAILED:
		return job_failed(db, n, e->why);
	case VERDICT_AGAIN:
		return job_again(db, n, e->why, e->delay_s);
	case VERDICT_CRASHED:
		return job_crashed(db, n, e->why, e->delay_s);
	case VERDICT_STOPPED:
		return job_stopped(db, n);
	case VERDICT_GIVEN_BACK:
		return job_give_back(db, n);
	case VERDICT_LOST:
	case VERDICT_NONE:
		break;
	}
	return 0;
}

static int
write_marks(struct db *db, struct outbox *o, size_t most)
{
	struct mark	*m;

	o->nmarked = 0;
	RB_FOREACH(m, marks, &o->marks) {
		if (o->nmarked == most)
			break;
		if (step_save(db, &o->id, &m->step) == -1)
			return -1;
		o->nmarked++;
	}
	return 0;
}

/* Steps go before the news when they are many: they are seen by nobody. */
static int
write_piece(struct db *db, struct outbox *o)
{
	int	 rc;

	if ((rc = job_owned(db, &o->id, o->token)) != 1)
		return rc;
	if (o->forgets && step_forget(db, &o->id) == -1)
		return -1;
	/* A step has to be there before it can be marked. */
	if (o->nplans == 0)
		return write_marks(db, o, MARKS) == -1 ? -1 : 1;
	o->nplanned = o->nplans < PLANS ? o->nplans : PLANS;
	return step_plan(db, &o->id, o->plans, o->nplanned) == -1 ? -1 : 1;
}

static int
write_whole(struct db *db, struct outbox *o)
{
	size_t	 i, n = o->ends ? o->nletters - 1 : o->nletters;
	int	 rc;

	o->sent = o->nletters;
	if (o->recovers && (rc = job_recovered(db, &o->id, o->token)) != 1)
		return rc;
	for (i = 0; i < n; i++) {
		if ((rc = job_progress(db, &o->letters[i].news)) != 1)
			return rc;
	}
	if (o->ends && (rc = write_end(db, o, &o->letters[n].news)) != 1)
		return rc;
	if (o->forgets && step_forget(db, &o->id) == -1)
		return -1;
	if (step_plan(db, &o->id, o->plans, o->nplans) == -1 ||
	    write_marks(db, o, o->nmarks) == -1)
		return -1;
	return 1;
}

/* All outboxes that are "in".  1 of each that the fence lets pass. */
static int
write_all(struct batch *b)
{
	struct uuid	 ids[ROWS];
	struct outbox	*o;
	size_t		 n = 0;
	int		 rc;

	TAILQ_FOREACH(o, &b->all, entry) {
		if (o->in)
			ids[n++] = o->id;
	}
	if (job_hold(b->db, ids, n) == -1)
		return -1;
	TAILQ_FOREACH(o, &b->all, entry) {
		if (!o->in)
			continue;
		o->nplanned = o->nmarked = 0;
		o->whole = o->nplans <= PLANS && o->nmarks <= MARKS;
		rc = o->whole ? write_whole(b->db, o) : write_piece(b->db, o);
		if (rc == -1)
			return -1;
		o->refused = rc == 0;
	}
	return 0;
}

/* What was written is crossed out. */
static void
cross_out(struct outbox *o)
{
	drop_letters(o, o->nletters);
	drop_steps(o);
	o->urgent = false;
	o->next_at = loop_now() + NEWS_MS;
}

static void
written(struct outbox *o)
{
	char	 id[UUID_TEXT];

	if (o->held_ms > HELD_SAID_MS)
		log_info("job %s: its news could be written",
		    uuid_text(&o->id, id));
	o->held_ms = 0;
	if (o->refused)
		return;
	o->refusals = o->ends ? o->refusals : REFUSED_NOTHING;
	if (o->whole) {
		cross_out(o);
		return;
	}
	o->forgets = false;
	drop_plans(o, o->nplanned);
	drop_marks(o, o->nmarked);
}

/*
 * One transaction, tried once: db_run would wait for who collides with it, and
 * everybody with it.
 */
static int
transact(struct batch *b)
{
	struct outbox	*o;

	if (db_begin(b->db) == -1)
		return -1;
	if (write_all(b) == -1 || db_commit(b->db) == -1) {
		db_rollback(b->db);
		return -1;
	}
	TAILQ_FOREACH(o, &b->all, entry) {
		if (o->in)
			written(o);
	}
	return 0;
}

/*
 * The same, when more has come to wait meanwhile.  Steps are written once more
 * with that: it does no harm.
 */
static void
cross_out_sent(struct outbox *o)
{
	if (o->sent == o->nletters)
		cross_out(o);
	else
		drop_letters(o, o->sent);
}

static bool
same_news(const struct job *job, const struct job_news *n)
{
	return strcmp(job->phase, n->phase) == 0 &&
	    strcmp(job->stage, n->stage) == 0 &&
	    strcmp(job->step, n->step) == 0 &&
	    strcmp(job->message, n->message) == 0 &&
	    job->items_done == n->items_done &&
	    job->stage_progress - n->stage_progress < 0.01 &&
	    n->stage_progress - job->stage_progress < 0.01;
}

/* The state in which a verdict leaves the job. */
static enum job_state
state_after(enum engine_verdict verdict)
{
	switch (verdict) {
	case VERDICT_DONE:
		return JOB_COMPLETED;
	case VERDICT_FAILED:
		return JOB_FAILED;
	case VERDICT_STOPPED:
		return JOB_CANCELLED;
	default:
		return JOB_PENDING;
	}
}

/*
 * Was this one written by the commit that was cut off?  The fence holds in
 * any case; this is about not telling clients the same thing twice, and about
 * an end that has taken place.  0, or -1 when the database does not say.
 */
static int
make_sure(struct batch *b, struct outbox *o)
{
	struct job	 job;
	bool		 end_sent = o->ends && o->sent == o->nletters;

	if (job_find(b->db, &o->id, &job) == -1) {
		if (db_error(b->db) != DB_OK)
			return -1;
		o->refused = true;
	} else if (job.token != o->token)
		o->refused = true;
	else if (job.state == JOB_RUNNING) {
		if (!end_sent && o->sent > 0 && same_news(&job,
		    &o->letters[o->sent - 1].news))
			cross_out_sent(o);
	} else if (end_sent && job.state == state_after(o->end.verdict))
		cross_out(o);
	else
		o->refused = true;
	o->unsure = false;
	o->sent = 0;
	return 0;
}

/* ---- when ---------------------------------------------------------------- */

static bool
is_due(const struct outbox *o, uint64_t now)
{
	return !o->told && !o->refused && o->nletters > 0 &&
	    now >= o->held_until && (o->urgent || now >= o->next_at);
}

static size_t
rows(const struct outbox *o)
{
	return o->nletters + o->nplans + o->nmarks;
}

/* Not now.  COST_MS is how long everybody has waited to learn that. */
static void
hold(struct outbox *o, uint64_t cost_ms)
{
	unsigned int	 before = o->held_ms;
	char		 id[UUID_TEXT];

	o->held_ms = before == 0 ? HELD_LEAST_MS : before * 2;
	if (o->held_ms > HELD_MOST_MS)
		o->held_ms = HELD_MOST_MS;
	if (before <= HELD_SAID_MS && o->held_ms > HELD_SAID_MS)
		log_warnx("job %s: its news cannot be written now, and wait",
		    uuid_text(&o->id, id));
	o->held_until = loop_now() +
	    (o->held_ms > 4 * cost_ms ? o->held_ms : 4 * cost_ms);
	o->sent = 0;
}

/* Whether all is done that has to be before. */
static bool
may_go(struct outbox *o)
{
	if (o->first == NULL || o->first(o->first_arg) == 0)
		return true;
	hold(o, 0);
	return false;
}

/* Due, after what is there already was crossed out.  1, 0, or -1. */
static int
is_ready(struct batch *b, struct outbox *o)
{
	uint64_t	 now = loop_now();

	if (!is_due(o, now))
		return 0;
	if (o->unsure && make_sure(b, o) == -1)
		return -1;
	return is_due(o, now) && may_go(o);
}

/*
 * Choose what goes into the next transaction.  How many outboxes, or -1 when
 * the database does not say what is there already.
 */
static int
choose(struct batch *b)
{
	struct outbox	*o;
	size_t		 sum = 0;
	int		 n = 0, ready;

	TAILQ_FOREACH(o, &b->all, entry)
		o->in = false;
	TAILQ_FOREACH(o, &b->all, entry) {
		if (sum >= ROWS)
			break;
		if (o->held_ms != 0 || (ready = is_ready(b, o)) == 0)
			continue;
		if (ready == -1)
			return -1;
		o->in = true;
		o->sent = 0;
		sum += rows(o);
		n++;
	}
	return n;
}

static void
tell_fates(struct batch *b)
{
	struct outbox	*o, *next;

	TAILQ_FOREACH_SAFE(o, &b->all, entry, next) {
		if (o->told)
			continue;
		if (o->refused) {
			o->told = true;
			o->fate(o->arg, OUTBOX_LOST);
		} else if (o->ends && o->nletters == 0) {
			o->told = true;
			o->fate(o->arg, o->refusals == REFUSED_NOTHING ?
			    OUTBOX_ENDED : OUTBOX_LOST);
		}
	}
}

/* An end that can be told by the fewest words. */
static void
plain_end(struct outbox *o)
{
	struct job_news	*last;

	if (o->refusals >= REFUSED_END) {
		o->end.verdict = VERDICT_CRASHED;
		o->end.delay_s = REFUSED_S;
	} else if (o->end.verdict == VERDICT_DONE)
		o->end.verdict = VERDICT_FAILED;
	free_text(o->end.why);
	o->end.why = xstrdup("What it came to cannot be stored");
	drop_letters(o, o->nletters - 1);
	last = &o->letters[0].news;
	last->details = NULL;
	last->step[0] = last->message[0] = '\0';
	if (o->refusals == REFUSED_ALL)
		drop_steps(o);
}

/*
 * The database refuses what this one has to tell, for good: a text that it
 * does not take, or a defect.
 *
 * News are dropped; their steps wait for the next ones.  An end is told in
 * plain words, and as a failure.  When that is refused too, the job is put
 * back, counted as a crash, so that it is taken again until it is set aside.
 * As long as even that is refused, nobody could have the job: it stays ours,
 * and is tried again.
 */
static void
give_up(struct outbox *o)
{
	char	 id[UUID_TEXT];

	if (o->refusals < REFUSED_ALL)
		log_warnx("job %s: the database does not take its %s",
		    uuid_text(&o->id, id), o->ends ? "end" : "news");
	if (!o->ends) {
		drop_letters(o, o->nletters);
		o->refusals = REFUSED_WORDS;
		o->urgent = false;
		return;
	}
	if (o->refusals < REFUSED_ALL)
		o->refusals++;
	plain_end(o);
}

/* One by one, so that a row that is not taken does not hold up the others. */
static int
write_alone(struct batch *b, struct outbox *o)
{
	struct outbox	*other;
	uint64_t	 began = loop_now();

	TAILQ_FOREACH(other, &b->all, entry)
		other->in = other == o;
	o->sent = 0;
	if (transact(b) == 0)
		return 0;
	switch (db_error(b->db)) {
	case DB_AWAY:
		return -1;
	case DB_AGAIN:
		break;
	default:
		give_up(o);
	}
	hold(o, loop_now() - began);
	return 0;
}

static int
write_each(struct batch *b)
{
	struct outbox	*o;
	uint64_t	 end = loop_now() + BUSY_MS;

	TAILQ_FOREACH(o, &b->all, entry) {
		if (o->unsure || o->held_ms != 0 ||
		    !is_due(o, loop_now()) || !may_go(o))
			continue;
		if (write_alone(b, o) == -1)
			return -1;
		if (loop_now() >= end)
			break;
	}
	return 0;
}

/* Those whose pause is over.  0 or -1. */
static int
write_held(struct batch *b)
{
	struct outbox	*o;
	uint64_t	 end = loop_now() + BUSY_MS;
	int		 ready;

	TAILQ_FOREACH(o, &b->all, entry) {
		if (o->held_ms == 0 || (ready = is_ready(b, o)) == 0)
			continue;
		if (ready == -1 || write_alone(b, o) == -1)
			return -1;
		if (loop_now() >= end)
			break;
	}
	return 0;
}

/* The database did not answer: all that was sent is in doubt. */
static void
away(struct batch *b)
{
	struct outbox	*o;

	TAILQ_FOREACH(o, &b->all, entry)
		o->unsure |= o->in && o->sent > 0;
	if (b->away_ms == 0)
		log_warnx("database: away; jobs go on, and their news wait");
	b->away_ms = b->away_ms == 0 ? AWAY_LEAST_MS : b->away_ms * 2;
	if (b->away_ms > AWAY_MOST_MS)
		b->away_ms = AWAY_MOST_MS;
}

/* One transaction.  1: there may be more to write, 0: there is not, -1. */
static int
flush_some(struct batch *b)
{
	int	 n;

	if ((n = choose(b)) <= 0)
		return n;
	if (transact(b) == -1 && (db_error(b->db) == DB_AWAY ||
	    write_each(b) == -1))
		return -1;
	return 1;
}

/* Write what is due. */
static void
flush(struct batch *b)
{
	uint64_t	 began = loop_now();
	int		 rc = write_held(b) == -1 ? -1 : 1;

	while (rc == 1 && loop_now() < began + BUSY_MS)
		rc = flush_some(b);
	if (rc == -1)
		away(b);
	else if (b->away_ms != 0) {
		log_info("database: back");
		b->away_ms = 0;
	}
	b->flushed_at = loop_now();
	b->pause_ms = 4 * (b->flushed_at - began);
	if (b->pause_ms < URGENT_MS)
		b->pause_ms = URGENT_MS;
	if (b->pause_ms > FLUSH_MS)
		b->pause_ms = FLUSH_MS;
	tell_fates(b);
	plan_flush(b);
}

static void
flush_now(void *arg)
{
	struct batch	*b = arg;

	b->timer = NULL;
	flush(b);
}

/* When the next transaction is due; NEVER: nothing waits. */
static uint64_t
next_flush(const struct batch *b, uint64_t now)
{
	const struct outbox	*o;
	uint64_t		 at = NEVER, own;
	uint64_t		 urgent = b->flushed_at + b->pause_ms;
	uint64_t		 later = b->flushed_at + FLUSH_MS;
	size_t			 sum = 0;

	TAILQ_FOREACH(o, &b->all, entry) {
		if (o->told || o->nletters == 0)
			continue;
		own = o->next_at > later ? o->next_at : later;
		if (o->urgent)
			own = urgent;
		if (o->held_ms == 0)
			sum += rows(o);
		else if (own < o->held_until)
			own = o->held_until;
		if (own < at)
			at = own;
	}
	if (at == NEVER)
		return NEVER;
	if (sum >= ROWS && at > urgent)
		at = urgent;
	if (b->away_ms != 0 && at < b->flushed_at + b->away_ms)
		at = b->flushed_at + b->away_ms;
	return at < now ? now : at;
}

static void
plan_flush(struct batch *b)
{
	uint64_t	 now = loop_now(), at = next_flush(b, now);

	if (b->timer != NULL) {
		if (at != NEVER && b->at <= at)
			return;
		loop_cancel(b->loop, b->timer);
		b->timer = NULL;
	}
	if (at == NEVER)
		return;
	b->at = at;
	b->timer = loop_after(b->loop, (unsigned int)(at - now), flush_now, b);
}

struct batch *
batch_new(struct loop *loop, struct db *db)
{
	struct batch	*b = xcalloc(1, sizeof(*b));

	b->loop = loop;
	b->db = db;
	TAILQ_INIT(&b->all);
	return b;
}

void
batch_free(struct batch *b)
{
	if (b == NULL)
		return;
	if (b->timer != NULL)
		loop_cancel(b->loop, b->timer);
	free(b);
}
