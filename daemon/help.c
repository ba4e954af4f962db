/*
 * Help with items of jobs that other daemons run.
 *
 *	        start          its program ended
 *	[waits] -----> [runs] -------------------> [over] --> gone
 *	   |                                         ^        |
 *	   '-----------------------------------------'        '- until it is in
 *	          wanted back, before it could begin             the database
 *
 * Of a stage whose programs are kept, more items are taken than can run, so
 * that a quick one does not cost a question to the database: up to as many as
 * were done in the last half second.
 *
 * The directory of a job is locked before an item is taken, until its program
 * has the lock (work.h).  A new owner takes what is lent to itself before it
 * asks for that lock.  So either it finds ours, or we find the item taken.
 */

#include "help.h"

#include <sys/queue.h>

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <json.h>

#include "child.h"
#include "conf.h"
#include "db.h"
#include "engine.h"
#include "job.h"
#include "lent.h"
#include "log.h"
#include "loop.h"
#include "pipeline.h"
#include "said.h"
#include "said_json.h"
#include "set.h"
#include "step.h"
#include "task.h"
#include "work.h"

/* Between two looks at what is held, ms. */
#define LOOK_MS		250

/* Pauses before what became of items is written, ms: four times as long as the
   last time took, but within these; and while the database is away. */
#define FLUSH_LEAST_MS	5
#define FLUSH_MOST_MS	100
#define AWAY_MOST_MS	2000

/* Between TERM and KILL for what somebody waits for, ms. */
#define WANTED_GRACE_MS	300

/* So long after an answer was lost the server may still do what it was asked,
   ms. */
#define DOUBT_MS	30000

/* A job of which nothing was held for so long is forgotten, ms. */
#define IDLE_MS		500

/* In which the items are counted that were done, ms. */
#define PACE_MS		500

/* Jobs that are looked at at a time, and that are remembered as not for us. */
#define JOBS		32
#define REFUSED		64

enum aid_state { AID_WAITS, AID_RUNS, AID_OVER };

/* One item. */
struct aid {
	TAILQ_ENTRY(aid) entry;
	struct helped	*job;
	enum aid_state	 state;
	unsigned int	 position;	/* of its stage */
	char		*item, *args;
	double		 percent;
	struct task	*task;
	struct json_object *details;	/* facts, of this item alone */
	double		 written;	/* percent */
	bool		 begun;
	bool		 noted;		/* that, in the database */
	bool		 told;		/* to end */
	bool		 lost;		/* it is not ours: write nothing */
	bool		 returned;	/* else it has ended: */
	enum step_state	 end;
	int		 exit_status;
	char		*output, *said;
	unsigned int	 refusals;	/* of what is to be written */
	bool		 seen;		/* by the look at hand */
};
TAILQ_HEAD(aids, aid);

/* A job of another daemon. */
struct helped {
	TAILQ_ENTRY(helped) entry;
	struct help	*all;
	struct lent_job	 lent;
	struct job	 job;
	char		 id[UUID_TEXT];
	struct set	*set;
	const struct pipeline *pipeline;
	struct upload	 upload;
	char		*params;
	struct work	 work;
	struct task_job	 task_job;	/* of all of the above, for tasks */
	struct aids	 aids;
	size_t		 waiting, running;
	uint64_t	 used;		/* when something was last held */
	uint64_t	 since;		/* items done since then, and in the */
	size_t		 done, pace;	/* PACE_MS before */
	size_t		 sum;		/* of all that was done */
};

struct help {
	struct help_tools tools;
	uint64_t	 self;
	size_t		 slots;		/* programs that may run */
	size_t		 running;
	size_t		 count;		/* items */
	TAILQ_HEAD(, helped) jobs;
	struct lent_job	 refused[REFUSED];
	size_t		 nrefused;	/* ever */
	bool		 leaving;
	bool		 unsure;	/* we may hold what we do not know of */
	uint64_t	 doubt_until;	/* or may be given it until then */
	struct loop_timer *look;	/* or NULL */
	struct loop_timer *flush;	/* or NULL */
	unsigned int	 pause_ms;	/* before the next */
	unsigned int	 away_ms;	/* 0: the database answers */
};

static void	flush_soon(struct help *);
static void	look_soon(struct help *);
static void	start_waiting(struct helped *);

/* ---- jobs ---------------------------------------------------------------- */

static bool
is_refused(const struct help *h, const struct lent_job *job)
{
	size_t	 i, n = h->nrefused < REFUSED ? h->nrefused : REFUSED;

	for (i = 0; i < n; i++) {
		if (uuid_equal(&h->refused[i].id, &job->id) &&
		    h->refused[i].token == job->token)
			return true;
	}
	return false;
}

static void
refuse(struct help *h, const struct lent_job *job, const char *why)
{
	char	 id[UUID_TEXT];

	log_info("job %s: no help: %s", uuid_text(&job->id, id), why);
	h->refused[h->nrefused++ % REFUSED] = *job;
}

static void
forget_job(struct helped *j)
{
	if (j->sum > 0)
		log_info("job %s: helped with %zu items", j->id, j->sum);
	TAILQ_REMOVE(&j->all->jobs, j, entry);
	work_close(&j->work);
	free(j->params);
	set_leave(j->set);
	free(j);
}

/* Whether it is of a queue that this daemon serves. */
static bool
is_served(const struct conf *conf, const char *queue)
{
	char	*copy = xstrdup(conf->queues), *rest = copy, *name;
	bool	 found = false;

	while (!found && (name = strsep(&rest, " \t")) != NULL)
		found = strcmp(name, queue) == 0;
	free(copy);
	return found;
}

/* What the database knows of it.  0; 1: it is not for us; -1: not now. */
static int
load(struct helped *j)
{
	struct db	*db = j->all->tools.db;

	if (job_find(db, &j->lent.id, &j->job) == -1)
		return db_error(db) == DB_OK ? 1 : -1;
	if (j->job.token != j->lent.token)
		return -1;
	if (!is_served(j->all->tools.conf, j->job.queue) ||
	    (j->pipeline = pipeline_find(j->set->pipelines,
	    j->job.pipeline)) == NULL)
		return 1;
	j->params = job_params(db, &j->job.id);
	if (db_error(db) != DB_OK)
		return -1;
	if (uuid_is_set(&j->job.upload_id) &&
	    upload_find(db, &j->job.upload_id, &j->upload) == -1)
		return db_error(db) == DB_OK ? 1 : -1;
	j->task_job = (struct task_job){
		.job = &j->job, .pipeline = j->pipeline,
		.upload = uuid_is_set(&j->job.upload_id) ? &j->upload : NULL,
		.params = j->params, .work = &j->work
	};
	return 0;
}

static struct helped *
new_job(struct help *h, const struct lent_job *lent)
{
	struct helped	*j = xcalloc(1, sizeof(*j));
	int		 rc;

	j->all = h;
	j->lent = *lent;
	uuid_text(&lent->id, j->id);
	j->set = set_use(h->tools.set(h->tools.arg));
	j->work = WORK_NONE;
	TAILQ_INIT(&j->aids);
	TAILQ_INSERT_TAIL(&h->jobs, j, entry);
	j->used = j->since = loop_now();
	if ((rc = load(j)) == 0) {
		look_soon(h);
		return j;
	}
	if (rc == 1)
		refuse(h, lent, "its queue or pipeline is not served here");
	forget_job(j);
	return NULL;
}

static struct helped *
find_job(struct help *h, const struct lent_job *lent)
{
	struct helped	*j;

	TAILQ_FOREACH(j, &h->jobs, entry) {
		if (uuid_equal(&j->lent.id, &lent->id) &&
		    j->lent.token == lent->token)
			return j;
	}
	return NULL;
}

static const struct stage *
stage_of(const struct aid *a)
{
	return &a->job->pipeline->stages[a->position];
}

/* ---- items --------------------------------------------------------------- */

static void
new_aid(struct helped *j, const struct step *step)
{
	struct aid	*a = xcalloc(1, sizeof(*a));

	a->job = j;
	a->position = step->position;
	a->item = xstrdup(step->item);
	a->args = xstrdup(step->args);
	a->state = AID_WAITS;
	j->waiting++;
	j->all->count++;
	TAILQ_INSERT_TAIL(&j->aids, a, entry);
}

static void
forget_aid(struct aid *a)
{
	TAILQ_REMOVE(&a->job->aids, a, entry);
	a->job->waiting -= a->state == AID_WAITS;
	a->job->used = loop_now();
	a->job->all->count--;
	json_object_put(a->details);
	free(a->item);
	free(a->args);
	free(a->output);
	free(a->said);
	free(a);
}

/* Nothing of it runs: what became of it is to be written. */
static void
set_over(struct aid *a)
{
	a->job->waiting -= a->state == AID_WAITS;
	a->state = AID_OVER;
	flush_soon(a->job->all);
}

static void
give_back(struct aid *a)
{
	a->returned = true;
	set_over(a);
}

static void
on_news(void *arg)
{
	struct aid	*a = arg;

	a->percent = task_said(a->task)->percent;
}

static void
count_done(struct helped *j)
{
	uint64_t	 now = loop_now();

	if (now - j->since >= PACE_MS) {
		j->pace = now - j->since < 2 * PACE_MS ? j->done : 0;
		j->done = 0;
		j->since = now;
	}
	j->done++;
	j->sum++;
}

/* How the program of an item ended, for its row and its lender. */
static void
describe_end(struct aid *a, const struct said *said,
    const struct child_end *end, enum engine_event event)
{
	struct said_end	 how = { .event = event, .child = *end };
	char		 output[SAID_TAIL + 1];

	a->end = event == STEP_OK ? STEP_DONE : STEP_FAILED;
	a->percent = event == STEP_OK ? 100 : said->percent;
	a->exit_status = end->status;
	said_tail(said, output, sizeof(output));
	a->output = xstrdup(output);
	a->said = said_pack(said, &how);
}

static void
on_end(void *arg, const struct child_end *end)
{
	struct aid		*a = arg;
	struct helped		*j = a->job;
	struct help		*h = j->all;
	const struct said	*said = task_said(a->task);
	enum engine_event	 event;

	event = engine_judge(end, said->rejects, said->retries);
	a->task = NULL;
	h->running--;
	j->running--;
	if (a->lost || end->why == CHILD_FENCED || !child_trusted())
		forget_aid(a);
	else if (end->why == CHILD_UNSTARTED) {
		refuse(h, &j->lent, "its programs do not start here");
		give_back(a);
	} else if (event == STEP_ENDED)
		give_back(a);
	else {
		describe_end(a, said, end, event);
		count_done(j);
		set_over(a);
	}
	start_waiting(j);
	h->tools.ended(h->tools.arg);
}

/* 0, or -1 when there are no processes left. */
static int
start(struct aid *a)
{
	struct helped		*j = a->job;
	struct help		*h = j->all;
	struct task_step	 step = {
		.stage = stage_of(a), .item = a->item, .args = a->args,
		.cores = 1
	};
	struct task_owner	 owner = {
		.news = on_news, .end = on_end, .arg = a
	};

	if ((a->task = task_start(h->tools.tasks, &j->task_job, &step,
	    &owner)) == NULL)
		return -1;
	a->details = json_object_new_object();
	task_said(a->task)->details = a->details;
	a->begun = true;
	a->state = AID_RUNS;
	j->waiting--;
	j->running++;
	h->running++;
	flush_soon(h);
	return 0;
}

static struct aid *
first_waiting(struct helped *j)
{
	struct aid	*a;

	TAILQ_FOREACH(a, &j->aids, entry) {
		if (a->state == AID_WAITS)
			return a;
	}
	return NULL;
}

static void
return_waiting(struct helped *j)
{
	struct aid	*a;

	while ((a = first_waiting(j)) != NULL)
		give_back(a);
}

static void
start_some(struct helped *j)
{
	struct aid	*a;

	while (j->all->running < j->all->slots && child_trusted() &&
	    (a = first_waiting(j)) != NULL) {
		if (start(a) == 0)
			continue;
		return_waiting(j);
		return;
	}
}

/* ---- what is held -------------------------------------------------------- */

static struct aid *
find_aid(struct helped *j, const struct lent_held *held)
{
	struct aid	*a;

	TAILQ_FOREACH(a, &j->aids, entry) {
		if (a->position == held->position &&
		    strcmp(a->item, held->item) == 0)
			return a;
	}
	return NULL;
}

/* Left by a question whose answer was lost. */
static void
return_unknown(struct help *h, const struct lent_held *held)
{
	struct step	 step = { .position = held->position };

	strlcpy(step.item, held->item, sizeof(step.item));
	lent_return(h->tools.db, h->self, &held->job, &step, LENT_NOT_BEGUN);
}

static void
stop(struct aid *a, const struct lent_held *held)
{
	if (a->state == AID_WAITS)
		give_back(a);
	if (a->state != AID_RUNS)
		return;
	if (held->over)
		task_kill(a->task);
	else if (!a->told)
		task_stop(a->task, WANTED_GRACE_MS);
	a->told = true;
}

static void
see(void *arg, const struct lent_held *held)
{
	struct help	*h = arg;
	struct helped	*j = find_job(h, &held->job);
	struct aid	*a = j == NULL ? NULL : find_aid(j, held);

	if (a == NULL) {
		return_unknown(h, held);
		return;
	}
	a->seen = true;
	if (held->wanted || held->cancelled || held->over)
		stop(a, held);
}

/* It is another's by now. */
static void
lose(struct aid *a)
{
	a->lost = true;
	if (a->state == AID_RUNS)
		task_kill(a->task);
	else
		forget_aid(a);
}

/* 0, or -1 when it cannot be said what is held. */
static int
look_at_held(struct help *h)
{
	struct helped	*j;
	struct aid	*a, *next;

	TAILQ_FOREACH(j, &h->jobs, entry) {
		TAILQ_FOREACH(a, &j->aids, entry)
			a->seen = a->lost;
	}
	if (lent_held(h->tools.db, h->self, see, h) == -1)
		return -1;
	h->unsure = false;
	TAILQ_FOREACH(j, &h->jobs, entry) {
		TAILQ_FOREACH_SAFE(a, &j->aids, entry, next) {
			if (!a->seen)
				lose(a);
		}
	}
	return 0;
}

static void
look(void *arg)
{
	struct help	*h = arg;
	struct helped	*j, *next;
	uint64_t	 now = loop_now();

	h->look = NULL;
	if (h->self != 0 && (h->count > 0 || h->unsure ||
	    now < h->doubt_until))
		look_at_held(h);
	TAILQ_FOREACH_SAFE(j, &h->jobs, entry, next) {
		if (j->running + j->waiting == 0 &&
		    !tasks_dismiss(h->tools.tasks, &j->task_job) &&
		    TAILQ_EMPTY(&j->aids) && now - j->used > IDLE_MS)
			forget_job(j);
	}
	if (h->count > 0)
		flush_soon(h);		/* how far they are */
	if (!TAILQ_EMPTY(&h->jobs) || h->unsure || now < h->doubt_until)
		look_soon(h);
}

static void
look_soon(struct help *h)
{
	if (h->look == NULL)
		h->look = loop_after(h->tools.loop, LOOK_MS, look, h);
}

/* ---- taking -------------------------------------------------------------- */

/* Whether the pipeline is the same here, as far as the item goes. */
static bool
fits(const struct helped *j, const struct step *s)
{
	const struct stage	*stage;

	if (s->position >= j->pipeline->nstages)
		return false;
	stage = &j->pipeline->stages[s->position];
	return stage->kind == STAGE_EACH && strcmp(stage->name, s->stage) == 0;
}

/* Open items, somewhere among those that there are: others choose too. */
static int
candidates(struct helped *j, struct step *steps, size_t n)
{
	size_t	 most = 4 * n < LENT_MOST ? 4 * n : LENT_MOST, at;
	struct step *all = xcalloc(most, sizeof(*all));
	int	 found = lent_open(j->all->tools.db, &j->lent, all, most);

	if (found > 0) {
		at = (size_t)found > n ?
		    arc4random_uniform((uint32_t)((size_t)found - n + 1)) : 0;
		found = (size_t)found < n ? found : (int)n;
		memcpy(steps, all + at, (size_t)found * sizeof(*steps));
	}
	free(all);
	return found;
}

/* Take up to N items of a job.  How many; -1: not of this one. */
static int
take(struct helped *j, size_t n)
{
	struct help	*h = j->all;
	struct step	*steps = xcalloc(n, sizeof(*steps));
	int		 found, taken = 0, i;

	found = candidates(j, steps, n);
	if (found > 0 && !fits(j, &steps[0])) {
		refuse(h, &j->lent, "its pipeline has other stages here");
		taken = -1;
	} else if (found > 0)
		taken = lent_take(h->tools.db, h->self, &j->lent, steps,
		    (size_t)found);
	if (found > 0 && taken == -1 && !is_refused(h, &j->lent)) {
		h->unsure = true;
		h->doubt_until = loop_now() + DOUBT_MS;
	}
	for (i = 0; i < taken; i++)
		new_aid(j, &steps[i]);
	free(steps);
	if (taken > 0)
		j->used = loop_now();
	return taken;
}

/* How many more items a job should have here. */
static size_t
wanted(const struct helped *j)
{
	const struct help	*h = j->all;
	const struct aid	*a = TAILQ_FIRST(&j->aids);
	size_t			 n = h->slots > h->running ?
				    h->slots - h->running : 0;

	if (a != NULL && stage_of(a)->kept && n < j->pace)
		n = j->pace;
	if (n > LENT_MOST)
		n = LENT_MOST;
	return n > j->waiting ? n - j->waiting : 0;
}

/* Take items of a job and start them, under the lock.  How many. */
static int
take_and_start(struct helped *j)
{
	size_t	 n = wanted(j);
	int	 taken;

	if (n == 0 || j->all->leaving || is_refused(j->all, &j->lent))
		return 0;
	switch (work_join(&j->work, j->all->tools.conf->root, &j->lent.id)) {
	case 1:
		return 0;
	case -1:
		refuse(j->all, &j->lent, "its directory is not here");
		return 0;
	}
	if ((taken = take(j, n)) > 0)
		start_some(j);
	work_release(&j->work);
	return taken < 0 ? 0 : taken;
}

/*
 * What was taken and could not start then.  When none of our programs has the
 * lock, be it that it is kept and has nothing to do, it may be that others have
 * the job: ask.
 */
static void
start_waiting(struct helped *j)
{
	struct help	*h = j->all;

	if (h->self == 0 || j->waiting == 0)
		return;
	if (h->leaving || h->running >= h->slots) {
		if (h->leaving)
			return_waiting(j);
		return;
	}
	if (j->running > 0 || tasks_idle(h->tools.tasks, &j->task_job)) {
		start_some(j);
		return;
	}
	if (work_join(&j->work, h->tools.conf->root, &j->lent.id) == 0 &&
	    look_at_held(h) == 0)
		start_some(j);
	else
		return_waiting(j);
	work_release(&j->work);
}

size_t
help_look(struct help *h, uint64_t self, size_t slots)
{
	struct lent_job	 jobs[JOBS];
	struct helped	*j;
	size_t		 sum = 0;
	int		 i, n, at;

	h->self = self;
	h->slots = slots;
	/* What waits to be written may be there, and its items lent anew: that
	   must not end them a second time. */
	if (h->leaving || h->unsure || h->away_ms != 0 || h->running >= slots)
		return 0;
	if ((n = lent_jobs(h->tools.db, self, jobs, JOBS)) <= 0)
		return 0;
	at = (int)arc4random_uniform((uint32_t)n);
	for (i = 0; i < n && h->running < h->slots; i++) {
		j = find_job(h, &jobs[(at + i) % n]);
		if (j == NULL && !is_refused(h, &jobs[(at + i) % n]))
			j = new_job(h, &jobs[(at + i) % n]);
		if (j != NULL)
			sum += (size_t)take_and_start(j);
	}
	return sum;
}

/* ---- writing ------------------------------------------------------------- */

/* What runs is told of when a flush comes anyway, or a look. */
static bool
has_news(const struct aid *a)
{
	return !a->lost && (a->state == AID_OVER || (a->state == AID_RUNS &&
	    (!a->noted || a->percent > a->written)));
}

/* One of them, in the transaction at hand. */
static int
write_aid(struct db *db, struct aid *a)
{
	const struct helped	*j = a->job;
	uint64_t		 self = j->all->self;
	struct step		 step = {
		.position = a->position, .state = a->end,
		.percent = a->percent, .exit_status = a->exit_status
	};

	strlcpy(step.item, a->item, sizeof(step.item));
	if (a->state == AID_RUNS)
		return lent_working(db, self, &j->lent, &step);
	if (a->returned)
		return lent_return(db, self, &j->lent, &step,
		    a->begun ? LENT_BEGUN : LENT_NOT_BEGUN);
	strlcpy(step.output, a->output, sizeof(step.output));
	return lent_end(db, self, &j->lent, &step, a->said);
}

static int
write_all(struct db *db, void *arg)
{
	struct help	*h = arg;
	struct helped	*j;
	struct aid	*a;

	TAILQ_FOREACH(j, &h->jobs, entry) {
		TAILQ_FOREACH(a, &j->aids, entry) {
			if (has_news(a) && write_aid(db, a) == -1)
				return -1;
		}
	}
	return 0;
}

static void
written(struct aid *a)
{
	if (a->state == AID_OVER)
		forget_aid(a);
	else if (a->state == AID_RUNS) {
		a->written = a->percent;
		a->noted = true;
	}
}

/* The database does not take what it said: say less. */
static void
say_less(struct aid *a)
{
	struct said	 said = {
		.why = "What its program said cannot be stored"
	};
	struct said_end	 how = { .event = STEP_BROKEN };

	if (a->refusals++ == 0)
		log_warnx("job %s: %s: the database does not take its end",
		    a->job->id, a->item);
	else
		a->returned = true;
	free(a->said);
	free(a->output);
	a->end = STEP_FAILED;
	a->output = xstrdup("");
	a->said = said_pack(&said, &how);
}

static int
write_one(struct db *db, void *arg)
{
	return has_news(arg) && write_aid(db, arg) == -1 ? -1 : 0;
}

/* One by one, so that one that is refused does not hold up the others. */
static int
write_each(struct help *h)
{
	struct helped	*j;
	struct aid	*a, *next;

	TAILQ_FOREACH(j, &h->jobs, entry) {
		TAILQ_FOREACH_SAFE(a, &j->aids, entry, next) {
			if (db_run(h->tools.db, write_one, a) == 0)
				written(a);
			else if (db_error(h->tools.db) == DB_AWAY)
				return -1;
			else if (db_error(h->tools.db) != DB_AGAIN &&
			    a->state == AID_OVER)
				say_less(a);
		}
	}
	return 0;
}

static int
write_now(struct help *h)
{
	struct helped	*j;
	struct aid	*a, *next;

	if (db_run(h->tools.db, write_all, h) == -1)
		return db_error(h->tools.db) == DB_AWAY ? -1 : write_each(h);
	TAILQ_FOREACH(j, &h->jobs, entry) {
		TAILQ_FOREACH_SAFE(a, &j->aids, entry, next)
			written(a);
	}
	return 0;
}

/* Anything that is to be written, or just an end. */
static bool
any(const struct help *h, bool (*is)(const struct aid *))
{
	const struct helped	*j;
	const struct aid	*a;

	TAILQ_FOREACH(j, &h->jobs, entry) {
		TAILQ_FOREACH(a, &j->aids, entry) {
			if (is(a))
				return true;
		}
	}
	return false;
}

static bool
is_over(const struct aid *a)
{
	return a->state == AID_OVER;
}

static void
flush(void *arg)
{
	struct help	*h = arg;
	struct helped	*j;
	uint64_t	 began = loop_now();

	h->flush = NULL;
	if (h->self == 0)
		return;
	if (any(h, has_news) && write_now(h) == -1) {
		h->away_ms = h->away_ms == 0 ? FLUSH_MOST_MS : h->away_ms * 2;
		if (h->away_ms > AWAY_MOST_MS)
			h->away_ms = AWAY_MOST_MS;
		h->pause_ms = h->away_ms;
		flush_soon(h);
		return;
	}
	h->away_ms = 0;
	h->pause_ms = 4 * (unsigned int)(loop_now() - began);
	if (h->pause_ms < FLUSH_LEAST_MS)
		h->pause_ms = FLUSH_LEAST_MS;
	if (h->pause_ms > FLUSH_MOST_MS)
		h->pause_ms = FLUSH_MOST_MS;
	if (any(h, is_over))
		flush_soon(h);
	/* Before what was taken runs out. */
	TAILQ_FOREACH(j, &h->jobs, entry) {
		if (j->running > 0 && j->waiting < j->pace / 2)
			take_and_start(j);
	}
	h->tools.ended(h->tools.arg);
}

static void
flush_soon(struct help *h)
{
	if (h->flush == NULL)
		h->flush = loop_after(h->tools.loop, h->pause_ms, flush, h);
}

/* ---- all of it ----------------------------------------------------------- */

size_t
help_running(const struct help *h)
{
	return h->running;
}

size_t
help_count(const struct help *h)
{
	return h->count;
}

void
help_leave(struct help *h)
{
	struct helped	*j;

	h->leaving = true;
	TAILQ_FOREACH(j, &h->jobs, entry)
		return_waiting(j);
}

void
help_hurry(struct help *h)
{
	struct helped	*j;
	struct aid	*a;

	help_leave(h);
	TAILQ_FOREACH(j, &h->jobs, entry) {
		TAILQ_FOREACH(a, &j->aids, entry) {
			if (a->state == AID_RUNS)
				task_stop(a->task, CHILD_GRACE_MS);
		}
	}
}

void
help_lose(struct help *h)
{
	struct helped	*j;
	struct aid	*a, *next;

	h->self = 0;
	h->unsure = false;
	h->doubt_until = 0;
	h->away_ms = 0;
	TAILQ_FOREACH(j, &h->jobs, entry) {
		TAILQ_FOREACH_SAFE(a, &j->aids, entry, next)
			lose(a);
	}
}

struct help *
help_new(const struct help_tools *tools)
{
	struct help	*h = xcalloc(1, sizeof(*h));

	h->tools = *tools;
	h->pause_ms = FLUSH_LEAST_MS;
	TAILQ_INIT(&h->jobs);
	return h;
}

void
help_free(struct help *h)
{
	struct helped	*j;
	struct aid	*a;

	if (h == NULL)
		return;
	while ((j = TAILQ_FIRST(&h->jobs)) != NULL) {
		while ((a = TAILQ_FIRST(&j->aids)) != NULL)
			forget_aid(a);
		forget_job(j);
	}
	if (h->look != NULL)
		loop_cancel(h->tools.loop, h->look);
	if (h->flush != NULL)
		loop_cancel(h->tools.loop, h->flush);
	free(h);
}
