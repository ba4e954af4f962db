/*
 * The hub's other thread: database and frames.
 *
 * For each job that somebody follows there is a "watch": the number of the
 * last event that was handed to the loop.  A tick asks which jobs changed
 * lately; where a job's number is higher than its watch's, the events between
 * are fetched and handed on.  That is one query for any number of streams, and
 * one more for up to WANTS jobs that did change.
 *
 * A join is exact because everything goes through one line, in order.  The
 * job's row is read at number r, and the stream is handed over standing at r
 * (or at the event its client has seen).  An event up to r that the loop gets
 * later is skipped for this stream; one after r is sent; and a stream that
 * stands before what the loop knows of is behind, and fetches.
 *
 * A change is seen when its transaction commits, which may be after a tick
 * has passed its time; so a tick looks LATE_S back.  What comes even later, or
 * while the database's clock is set, is found by the sweep, which asks for all
 * watched jobs by id, a few at a time.
 */

#include "poller.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "conf.h"
#include "db.h"
#include "dialect.h"
#include "event.h"
#include "frame.h"
#include "job.h"
#include "line.h"
#include "log.h"
#include "loop.h"
#include "table.h"
#include "viewers.h"

/* How late a change may become visible and still be found by a tick, s. */
#define LATE_S		5

/* Rows of one page of the tick. */
#define PAGE		2000

/* Jobs in one query for events, and events of each. */
#define WANTS		32
#define MOST		16
#define ROWS		(WANTS * MOST)

/* Text of one answer to a stream that is behind: no more is added after it. */
#define CATCH_UP_MAX	(32 * 1024)

/* Pauses, ms: between checks of logins, rounds of the sweep, its queries. */
#define CHECK_MS	1000
#define SWEEP_MS	5000
#define SWEEP_STEP_MS	1000
#define SWEEP_IDS	1000

/* Pause before an absent database is tried again, ms: at first, at most. */
#define AWAY_MS		250
#define AWAY_MAX_MS	2000

/* How long poller_stop waits for the thread, s. */
#define STOP_S		1

/* ---- what there is -------------------------------------------------------- */

enum mail_type { MAIL_OPEN, MAIL_FETCH, MAIL_LEFT, MAIL_STOP };

/* From the loop. */
struct mail {
	struct link	 link;
	enum mail_type	 type;
	int		 fd;		/* open */
	uint32_t	 serial;
	char		**env;
	enum follow_later later;
	struct hub_need	 need;		/* fetch */
	struct uuid	 job;		/* left */
	unsigned int	 kind;
	uint32_t	 viewer;
};

/* A job that somebody follows. */
struct watch {
	struct table_node node;		/* by job id */
	uint32_t	 seq;		/* last event the loop was given */
	unsigned int	 streams[FOLLOW_KINDS];
};

/* A watched job that has more events than the loop was given. */
struct lack {
	struct watch	*watch;
	uint32_t	 upto;
};

struct poller {
	struct line	 in, out;
	pthread_t	 thread;
	struct list	 heard;		/* of the loop: taken out of "out" */

	/* All else is the thread's. */
	const struct conf *conf;
	struct follow	*follow;
	struct db	*db;		/* follow's */
	struct viewers	*viewers;
	bool		 stop;
	struct list	 opens, needs;	/* mail that is still to be served */
	struct list	 outbox;	/* news for the next line_put */
	struct table	 watches;
	struct lack	*lacks;
	size_t		 nlacks, lacks_room;
	struct uuid	*sweep;		/* ids of this round */
	size_t		 nsweep, swept;
	uint64_t	 tick_at, check_at, sweep_at;	/* loop_now(), ms */
	char		 since[DB_TIME];	/* of the last tick */
	int64_t		 clock_ms;	/* the database's less ours */
	bool		 away;		/* the database is */
	uint64_t	 retry_at;
	unsigned int	 pause_ms;
	struct job_change *changes;	/* PAGE */
	struct event	*events;	/* ROWS */
	struct job	*jobs;		/* WANTS */
	size_t		 nevents, njobs;	/* in use */
	struct text	 text;
};

static struct poller_news *
tell(struct poller *p, enum poller_type type)
{
	struct poller_news	*news = xcalloc(1, sizeof(*news));

	news->type = type;
	list_add(&p->outbox, &news->link);
	return news;
}

/* ---- the database comes and goes ------------------------------------------ */

static void
failed(struct poller *p)
{
	if (!p->away) {
		log_warnx("the database is away: streams stay open");
		tell(p, POLLER_AWAY);
		p->pause_ms = AWAY_MS;
	} else if (p->pause_ms < AWAY_MAX_MS)
		p->pause_ms *= 2;
	p->away = true;
	p->retry_at = loop_now() + p->pause_ms +
	    arc4random_uniform(p->pause_ms / 4);
}

static void
worked(struct poller *p)
{
	if (!p->away)
		return;
	log_info("the database is back");
	tell(p, POLLER_BACK);
	p->away = false;
}

/* RC is what somebody made of a question to the database. */
static void
judge(struct poller *p, int rc)
{
	if (rc == -1)
		failed(p);
	else
		worked(p);
}

static bool
may_try(const struct poller *p)
{
	return !p->away || loop_now() >= p->retry_at;
}

/* Milliseconds of a DATETIME(3) in UTC. */
static int64_t
to_ms(const char *time)
{
	struct tm	 tm = { 0 };
	const char	*rest = strptime(time, "%Y-%m-%d %H:%M:%S", &tm);

	if (rest == NULL)
		return 0;
	return (int64_t)timegm(&tm) * 1000 +
	    (*rest == '.' ? strtol(rest + 1, NULL, 10) : 0);
}

/* When an event was recorded, by our own clock. */
static uint64_t
born(const struct poller *p, const struct event *e)
{
	int64_t	 now = (int64_t)loop_now(), ms = to_ms(e->at) - p->clock_ms;

	return (uint64_t)(ms < 1 ? 1 : ms > now ? now : ms);
}

/* ---- events --------------------------------------------------------------- */

/* Read events, and then the jobs they belong to: never an older row. */
static int
read_events(struct poller *p, const struct event_want *wants, size_t n)
{
	struct uuid	 ids[WANTS];
	size_t		 i, unique = 0;
	int		 rows;

	rows = event_missing(p->db, wants, n, MOST, p->events, ROWS);
	if (rows == -1)
		return -1;
	p->nevents = (size_t)rows;
	for (i = 0; i < n; i++) {
		if (i == 0 || !uuid_equal(&wants[i].job, &ids[unique - 1]))
			ids[unique++] = wants[i].job;
	}
	if ((rows = job_find_all(p->db, ids, unique, p->jobs)) == -1)
		return -1;
	p->njobs = (size_t)rows;
	return 0;
}

static const struct job *
job_of(const struct poller *p, const struct uuid *id)
{
	size_t	 i;

	for (i = 0; i < p->njobs; i++) {
		if (uuid_equal(&p->jobs[i].id, id))
			return &p->jobs[i];
	}
	return NULL;
}

/* The event that ended a job for good; another may have been retried. */
static bool
is_last(const struct job *job, const struct event *e)
{
	return job_ended((enum job_state)e->state) && e->seq == job->seq;
}

static struct frame *
to_frame(struct poller *p, unsigned int kind, const struct job *job,
    const struct event *e)
{
	struct frame	*f;

	p->text.len = 0;
	follow_kinds[kind].dialect->event(&p->text, job, e);
	f = frame_new(p->text.p, p->text.len,
	    is_last(job, e) ? FRAME_LAST : FRAME_MORE);
	f->events = 1;
	f->born_ms = born(p, e);
	return f;
}

/* Hand an event to the loop, in the words of all who follow the job. */
static void
publish(struct poller *p, struct watch *w, const struct job *job,
    const struct event *e)
{
	struct poller_news	*news;
	unsigned int		 i;

	if (e->seq <= w->seq)
		return;
	w->seq = e->seq;
	news = tell(p, POLLER_EVENT);
	news->job = job->id;
	news->seq = e->seq;
	for (i = 0; i < FOLLOW_KINDS; i++) {
		if (w->streams[i] > 0)
			news->frames[i] = to_frame(p, i, job, e);
	}
}

/* ---- what the loop lacks -------------------------------------------------- */

static struct watch *
find_watch(const struct poller *p, const struct uuid *job)
{
	return (struct watch *)table_find(&p->watches, job);
}

static void
note_change(struct poller *p, const struct job_change *c)
{
	struct watch	*w = find_watch(p, &c->id);

	if (w == NULL || c->seq <= w->seq)
		return;
	if (p->nlacks == p->lacks_room) {
		p->lacks_room = p->lacks_room == 0 ? 64 : p->lacks_room * 2;
		p->lacks = xreallocarray(p->lacks, p->lacks_room,
		    sizeof(*p->lacks));
	}
	p->lacks[p->nlacks++] = (struct lack){ w, c->seq };
}

/*
 * After the events of LACK were published: whether more of them must be
 * fetched.  Events that are not there were pruned; their number alone makes
 * the streams fetch, and learn of it.
 */
static bool
lacks_more(struct poller *p, const struct lack *lack, uint32_t before)
{
	struct poller_news	*news;

	if (lack->watch->seq >= lack->upto)
		return false;
	if (lack->watch->seq > before)
		return true;
	lack->watch->seq = lack->upto;
	news = tell(p, POLLER_EVENT);
	news->job = lack->watch->node.key;
	news->seq = lack->upto;
	return false;
}

static void
tell_gone(struct poller *p, const struct uuid *job)
{
	tell(p, POLLER_GONE)->job = *job;
}

/* Publish for up to WANTS jobs, the last of the list. */
static int
publish_some(struct poller *p)
{
	size_t			 i, n = p->nlacks < WANTS ? p->nlacks : WANTS;
	size_t			 first = p->nlacks - n, more = first;
	struct event_want	 wants[WANTS];
	const struct job	*job;

	for (i = 0; i < n; i++) {
		wants[i].job = p->lacks[first + i].watch->node.key;
		wants[i].after = p->lacks[first + i].watch->seq;
	}
	if (read_events(p, wants, n) == -1)
		return -1;
	for (i = 0; i < p->nevents; i++) {
		if ((job = job_of(p, &p->events[i].job_id)) != NULL)
			publish(p, find_watch(p, &job->id), job, &p->events[i]);
	}
	for (i = 0; i < n; i++) {
		if (job_of(p, &wants[i].job) == NULL)
			tell_gone(p, &wants[i].job);
		else if (lacks_more(p, &p->lacks[first + i], wants[i].after))
			p->lacks[more++] = p->lacks[first + i];
	}
	p->nlacks = more;
	return 0;
}

/* What was not published is found again by the next tick. */
static int
publish_all(struct poller *p)
{
	while (p->nlacks > 0) {
		if (publish_some(p) == -1) {
			p->nlacks = 0;
			return -1;
		}
		line_put(&p->out, &p->outbox);
	}
	return 0;
}

/* ---- ticks ---------------------------------------------------------------- */

/* Which jobs changed, page by page. */
static int
read_changes(struct poller *p)
{
	static const struct uuid	 zero;
	struct uuid			 after = zero;
	char				 from[DB_TIME], now[DB_TIME];
	char				 next[DB_TIME] = "";
	unsigned int			 late_s = LATE_S;
	int				 i, n;

	strlcpy(from, p->since, sizeof(from));
	do {
		n = job_changed(p->db, from, late_s, &after, p->changes, PAGE,
		    now);
		for (i = 0; i < n; i++)
			note_change(p, &p->changes[i]);
		if (next[0] == '\0')
			strlcpy(next, now, sizeof(next));
		if (n == PAGE) {
			strlcpy(from, p->changes[n - 1].changed_at,
			    sizeof(from));
			after = p->changes[n - 1].id;
			late_s = 0;
		}
	} while (n == PAGE);
	if (n == -1)
		return -1;
	strlcpy(p->since, next, sizeof(p->since));
	p->clock_ms = to_ms(p->since) - (int64_t)loop_now();
	return 0;
}

static int
tick(struct poller *p)
{
	p->nlacks = 0;
	if (read_changes(p) == -1) {
		p->nlacks = 0;
		return -1;
	}
	return publish_all(p);
}

/* ---- the sweep ------------------------------------------------------------ */

static void
add_id(struct table_node *node, void *arg)
{
	struct poller	*p = arg;

	p->sweep[p->nsweep++] = node->key;
}

/* Begin a round: the jobs that are watched now. */
static void
begin_sweep(struct poller *p)
{
	p->nsweep = p->swept = 0;
	p->sweep = xreallocarray(p->sweep, p->watches.n + 1, sizeof(*p->sweep));
	table_each(&p->watches, add_id, p);
}

static int
compare_changes(const void *a, const void *b)
{
	return memcmp(&((const struct job_change *)a)->id,
	    &((const struct job_change *)b)->id, sizeof(struct uuid));
}

/* Jobs of this step that the database no longer has. */
static void
find_gone(struct poller *p, const struct uuid *ids, size_t n, size_t rows)
{
	struct job_change	 key;
	size_t			 i;

	qsort(p->changes, rows, sizeof(p->changes[0]), compare_changes);
	for (i = 0; i < n; i++) {
		key.id = ids[i];
		if (bsearch(&key, p->changes, rows, sizeof(p->changes[0]),
		    compare_changes) == NULL)
			tell_gone(p, &ids[i]);
	}
}

static int
sweep(struct poller *p)
{
	const struct uuid	*ids;
	size_t			 n;
	int			 i, rows;

	if (p->swept >= p->nsweep)
		begin_sweep(p);
	ids = p->sweep + p->swept;
	n = p->nsweep - p->swept < SWEEP_IDS ? p->nsweep - p->swept : SWEEP_IDS;
	if ((rows = job_changes_of(p->db, ids, n, p->changes)) == -1)
		return -1;
	p->nlacks = 0;
	for (i = 0; i < rows; i++)
		note_change(p, &p->changes[i]);
	find_gone(p, ids, n, (size_t)rows);
	p->swept += n;
	return publish_all(p);
}

/* ---- logins --------------------------------------------------------------- */

static int
check(struct poller *p)
{
	struct poller_news	*news;
	const uint32_t		*revoked;
	size_t			 n;
	int			 rc;

	rc = viewers_check(p->viewers, p->db, &revoked, &n);
	if (n > 0) {
		news = tell(p, POLLER_REVOKED);
		news->nviewers = n;
		news->viewers = xreallocarray(NULL, n, sizeof(*revoked));
		memcpy(news->viewers, revoked, n * sizeof(*revoked));
	}
	return rc;
}

/* ---- streams that are behind ---------------------------------------------- */

static int
compare_needs(const void *a, const void *b)
{
	const struct hub_need	*x = &(*(struct mail *const *)a)->need;
	const struct hub_need	*y = &(*(struct mail *const *)b)->need;
	int			 c = memcmp(&x->job, &y->job, sizeof(x->job));

	if (c != 0)
		return c;
	if (x->after != y->after)
		return x->after < y->after ? -1 : 1;
	return x->kind < y->kind ? -1 : x->kind > y->kind;
}

/* The first event that was read for a need, and those behind it. */
static const struct event *
events_for(const struct poller *p, const struct hub_need *need, size_t *left)
{
	size_t	 i;

	for (i = 0; i < p->nevents; i++) {
		if (uuid_equal(&p->events[i].job_id, &need->job) &&
		    p->events[i].seq > need->after) {
			*left = p->nevents - i;
			return &p->events[i];
		}
	}
	*left = 0;
	return NULL;
}

/* History is gone: say so, with the state now. */
static struct frame *
start_over(struct poller *p, const struct hub_need *need,
    const struct job *job, uint32_t *seq)
{
	p->text.len = 0;
	follow_kinds[need->kind].dialect->reset(&p->text, job);
	*seq = job->seq;
	return frame_new(p->text.p, p->text.len,
	    job_ended(job->state) ? FRAME_LAST : FRAME_MORE);
}

/* What a stream lacks, as far as it was read; NULL: nothing is there yet. */
static struct frame *
fill(struct poller *p, const struct hub_need *need, const struct job *job,
    uint32_t *seq)
{
	const struct event	*e;
	struct frame		*f;
	size_t			 left;
	unsigned int		 n = 0;
	bool			 last = false;

	e = events_for(p, need, &left);
	if (e == NULL && job->seq <= need->after)
		return NULL;
	if (e == NULL || e->seq != need->after + 1)
		return start_over(p, need, job, seq);
	p->text.len = 0;
	for (*seq = need->after; left > 0 && e->seq == *seq + 1 &&
	    uuid_equal(&e->job_id, &need->job) && !last &&
	    p->text.len < CATCH_UP_MAX; e++, left--) {
		follow_kinds[need->kind].dialect->event(&p->text, job, e);
		last = is_last(job, e);
		*seq = e->seq;
		n++;
	}
	f = frame_new(p->text.p, p->text.len, last ? FRAME_LAST : FRAME_MORE);
	f->events = n;
	return f;
}

/* Serve needs that are in order; equal ones share a frame. */
static void
serve_needs(struct poller *p, struct mail **mail, size_t n)
{
	struct poller_news	*news;
	const struct job	*job;
	struct frame		*f = NULL;
	uint32_t		 seq = 0;
	size_t			 i;

	for (i = 0; i < n; i++) {
		if ((job = job_of(p, &mail[i]->need.job)) == NULL) {
			tell_gone(p, &mail[i]->need.job);
			continue;
		}
		if (i == 0 || compare_needs(&mail[i - 1], &mail[i]) != 0)
			f = fill(p, &mail[i]->need, job, &seq);
		else if (f != NULL)
			frame_ref(f);
		news = tell(p, POLLER_CATCH_UP);
		news->fd = mail[i]->need.fd;
		news->serial = mail[i]->need.serial;
		news->frame = f;
		news->seq = seq;
	}
}

/* What is to be read for them: each job and number once. */
static size_t
to_wants(struct mail **mail, size_t n, struct event_want *wants)
{
	size_t	 i, unique = 0;

	for (i = 0; i < n; i++) {
		if (unique > 0 &&
		    wants[unique - 1].after == mail[i]->need.after &&
		    uuid_equal(&wants[unique - 1].job, &mail[i]->need.job))
			continue;
		wants[unique].job = mail[i]->need.job;
		wants[unique++].after = mail[i]->need.after;
	}
	return unique;
}

/* As many needs as one query can serve; many of them may be for the same. */
#define NEEDS	(8 * WANTS)

static int
catch_up(struct poller *p)
{
	struct event_want	 wants[NEEDS];
	struct mail		*mail[NEEDS];
	size_t			 i, n, nwants;
	int			 rc;

	for (n = 0; n < NEEDS && p->needs.first != NULL; n++)
		mail[n] = (struct mail *)list_take(&p->needs);
	qsort(mail, n, sizeof(mail[0]), compare_needs);
	while ((nwants = to_wants(mail, n, wants)) > WANTS)
		list_add(&p->needs, &mail[--n]->link);
	if ((rc = read_events(p, wants, nwants)) == 0)
		serve_needs(p, mail, n);
	for (i = 0; i < n; i++) {
		if (rc == -1)
			list_add(&p->needs, &mail[i]->link);
		else
			free(mail[i]);
	}
	return rc;
}

/* ---- requests ------------------------------------------------------------- */

static void
watch(struct poller *p, const struct hub_join *join)
{
	struct watch	*w = find_watch(p, &join->job);

	if (w == NULL) {
		w = xcalloc(1, sizeof(*w));
		w->node.key = join->job;
		w->seq = join->latest;
		if (p->watches.n == 0) {
			p->tick_at = loop_now() + p->conf->tick_ms;
			p->sweep_at = loop_now() + SWEEP_MS;
			p->nsweep = p->swept = 0;
		}
		table_add(&p->watches, &w->node);
	}
	w->streams[join->kind]++;
}

static void
unwatch(struct poller *p, const struct mail *m)
{
	struct watch	*w = find_watch(p, &m->job);
	unsigned int	 i, n = 0;

	viewers_remove(p->viewers, m->viewer);
	w->streams[m->kind]--;
	for (i = 0; i < FOLLOW_KINDS; i++)
		n += w->streams[i];
	if (n > 0)
		return;
	table_remove(&p->watches, &w->node);
	free(w);
}

static void
answer(struct poller *p, const struct mail *m, enum follow_later later)
{
	struct poller_news	*news;
	struct followed		 d;

	follow_answer(p->follow, m->env, later, m->serial, &d);
	if (later == FOLLOW_NOW && d.later == FOLLOW_AWAY)
		failed(p);
	news = tell(p, d.stream ? POLLER_JOIN : POLLER_ANSWER);
	news->fd = m->fd;
	news->serial = m->serial;
	news->frame = d.frame;
	news->later = d.later;
	if (!d.stream)
		return;
	watch(p, &d.join);
	d.join.viewer = viewers_add(p->viewers, &d.caller, d.address);
	news->join = d.join;
}

/* Where ticks begin, before the first row is read; and the jobs of N. */
static int
prepare(struct poller *p, struct mail **mail, size_t n)
{
	char	**envs[FOLLOW_BATCH];
	size_t	 i, nenvs = 0;

	for (i = 0; i < n; i++) {
		if (mail[i]->later == FOLLOW_NOW)
			envs[nenvs++] = mail[i]->env;
	}
	if (nenvs == 0)
		return 0;
	if (!may_try(p))
		return -1;
	if ((p->watches.n == 0 && job_now(p->db, p->since) == -1) ||
	    follow_fetch(p->follow, envs, nenvs) == -1) {
		failed(p);
		return -1;
	}
	worked(p);
	return 0;
}

static void
answer_some(struct poller *p)
{
	struct mail		*mail[FOLLOW_BATCH];
	enum follow_later	 later;
	size_t			 i, n;

	for (n = 0; n < FOLLOW_BATCH && p->opens.first != NULL; n++)
		mail[n] = (struct mail *)list_take(&p->opens);
	if (n == 0)
		return;
	prepare(p, mail, n);
	for (i = 0; i < n; i++) {
		later = mail[i]->later;
		if (later == FOLLOW_NOW && p->away)
			later = FOLLOW_AWAY;
		answer(p, mail[i], later);
		free(mail[i]->env);
		free(mail[i]);
	}
}

/* ---- the thread ----------------------------------------------------------- */

static void
sort_mail(struct poller *p)
{
	struct list	 list;
	struct mail	*m;

	list_init(&list);
	line_take(&p->in, &list);
	while ((m = (struct mail *)list_take(&list)) != NULL) {
		switch (m->type) {
		case MAIL_OPEN:
			list_add(&p->opens, &m->link);
			continue;
		case MAIL_FETCH:
			list_add(&p->needs, &m->link);
			continue;
		case MAIL_LEFT:
			unwatch(p, m);
			break;
		case MAIL_STOP:
			p->stop = true;
			break;
		}
		free(m);
	}
}

/* What is done now and then, while somebody watches. */
static const struct chore {
	int		(*work)(struct poller *);
	size_t		at;		/* of its time in struct poller */
	bool		for_viewers;	/* else for watches */
} chores[] = {
	{ tick,  offsetof(struct poller, tick_at),  false },
	{ check, offsetof(struct poller, check_at), true },
	{ sweep, offsetof(struct poller, sweep_at), false },
};
#define NCHORES	(sizeof(chores) / sizeof(chores[0]))

static uint64_t *
time_of(struct poller *p, const struct chore *c)
{
	return (uint64_t *)(void *)((char *)p + c->at);
}

static bool
is_wanted(const struct poller *p, const struct chore *c)
{
	return c->for_viewers ? viewers_n(p->viewers) > 0 : p->watches.n > 0;
}

static uint64_t
next_time(const struct poller *p, const struct chore *c)
{
	if (c->work == tick)
		return p->conf->tick_ms;
	if (c->work == check)
		return CHECK_MS;
	return p->swept < p->nsweep ? SWEEP_STEP_MS : SWEEP_MS;
}

static void
do_chores(struct poller *p)
{
	const struct chore	*c;
	uint64_t		*at, now;

	for (c = chores; c < chores + NCHORES && may_try(p); c++) {
		at = time_of(p, c);
		now = loop_now();
		if (!is_wanted(p, c) || now < *at)
			continue;
		judge(p, c->work(p));
		if (p->away)
			return;
		*at = now + next_time(p, c);
		line_put(&p->out, &p->outbox);
	}
}

/* How long there is nothing to do, ms; -1: until mail comes. */
static int
idle_ms(struct poller *p)
{
	const struct chore	*c;
	uint64_t		 now = loop_now(), due = UINT64_MAX;

	if (p->opens.first != NULL)
		return 0;
	if (p->needs.first != NULL)
		due = now;
	for (c = chores; c < chores + NCHORES; c++) {
		if (is_wanted(p, c) && *time_of(p, c) < due)
			due = *time_of(p, c);
	}
	if (due == UINT64_MAX)
		return -1;
	if (p->away && due < p->retry_at)
		due = p->retry_at;
	return due <= now ? 0 : due - now > 60000 ? 60000 : (int)(due - now);
}

/* Woken by mail, and when something is due. */
static void *
run(void *arg)
{
	struct poller	*p = arg;
	struct pollfd	 woken = { .fd = p->in.fd, .events = POLLIN };

	while (!p->stop) {
		if (poll(&woken, 1, idle_ms(p)) == -1 && errno != EINTR)
			fatal("poll");
		sort_mail(p);
		answer_some(p);
		line_put(&p->out, &p->outbox);
		if (p->needs.first != NULL && may_try(p))
			judge(p, catch_up(p));
		line_put(&p->out, &p->outbox);
		do_chores(p);
		line_put(&p->out, &p->outbox);
	}
	return NULL;
}

/* Signals are the loop's. */
static void
start_thread(struct poller *p)
{
	sigset_t	 all, before;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	if ((errno = pthread_create(&p->thread, NULL, run, p)) != 0)
		fatal("pthread_create");
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

struct poller *
poller_start(const struct conf *conf, struct token_keys *keys)
{
	struct poller	*p = xcalloc(1, sizeof(*p));

	line_init(&p->in);
	line_init(&p->out);
	list_init(&p->heard);
	list_init(&p->opens);
	list_init(&p->needs);
	list_init(&p->outbox);
	p->conf = conf;
	p->viewers = viewers_new();
	p->follow = follow_new(conf, keys, p->viewers);
	p->db = follow_db(p->follow);
	p->changes = xcalloc(PAGE, sizeof(*p->changes));
	p->events = xcalloc(ROWS, sizeof(*p->events));
	p->jobs = xcalloc(WANTS, sizeof(*p->jobs));
	start_thread(p);
	return p;
}

/* ---- from the loop's side ------------------------------------------------- */

static void
post(struct poller *p, struct mail *m)
{
	struct list	 list;

	list_init(&list);
	list_add(&list, &m->link);
	line_put(&p->in, &list);
}

void
poller_open(struct poller *p, int fd, uint32_t serial, char **env,
    enum follow_later later)
{
	struct mail	*m = xcalloc(1, sizeof(*m));

	m->type = MAIL_OPEN;
	m->fd = fd;
	m->serial = serial;
	m->env = env;
	m->later = later;
	post(p, m);
}

void
poller_fetch(struct poller *p, const struct hub_need *need)
{
	struct mail	*m = xcalloc(1, sizeof(*m));

	m->type = MAIL_FETCH;
	m->need = *need;
	post(p, m);
}

void
poller_left(struct poller *p, const struct uuid *job, unsigned int kind,
    uint32_t viewer)
{
	struct mail	*m = xcalloc(1, sizeof(*m));

	m->type = MAIL_LEFT;
	m->job = *job;
	m->kind = kind;
	m->viewer = viewer;
	post(p, m);
}

int
poller_fd(const struct poller *p)
{
	return p->out.fd;
}

struct poller_news *
poller_next(struct poller *p)
{
	if (p->heard.first == NULL)
		line_take(&p->out, &p->heard);
	return (struct poller_news *)list_take(&p->heard);
}

void
poller_news_free(struct poller_news *news)
{
	free(news->viewers);
	free(news);
}

static void
drop_news(struct list *list)
{
	struct poller_news	*news;
	unsigned int		 i;

	while ((news = (struct poller_news *)list_take(list)) != NULL) {
		frame_unref(news->frame);
		for (i = 0; i < HUB_KINDS; i++)
			frame_unref(news->frames[i]);
		poller_news_free(news);
	}
}

static void
drop_mail(struct list *list)
{
	struct mail	*m;

	while ((m = (struct mail *)list_take(list)) != NULL) {
		free(m->env);
		free(m);
	}
}

static void
free_watch(struct table_node *node, void *arg)
{
	(void)arg;
	free(node);
}

int
poller_stop(struct poller *p)
{
	struct mail	*m = xcalloc(1, sizeof(*m));
	struct timespec	 until;

	m->type = MAIL_STOP;
	post(p, m);
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += STOP_S;
	if (pthread_timedjoin_np(p->thread, NULL, &until) != 0)
		return -1;
	drop_news(&p->heard);
	drop_news(&p->out.list);
	drop_news(&p->outbox);
	drop_mail(&p->in.list);
	drop_mail(&p->opens);
	drop_mail(&p->needs);
	line_close(&p->in);
	line_close(&p->out);
	table_each(&p->watches, free_watch, NULL);
	table_free(&p->watches);
	follow_free(p->follow);
	viewers_free(p->viewers);
	free(p->lacks);
	free(p->sweep);
	free(p->changes);
	free(p->events);
	free(p->jobs);
	free(p->text.p);
	free(p);
	return 0;
}
