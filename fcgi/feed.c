/*
 * What happens to the jobs that somebody follows.
 *
 * For each of them there is a "watch": the number of the last event that was
 * handed to the loop.  A tick asks which jobs changed lately; where a job's
 * number is higher than its watch's, the events between are fetched and handed
 * on.  That is one query for any number of streams, and two more for up to
 * WANTS jobs that did change.
 *
 * A change is seen when its transaction commits, which may be after a tick
 * has passed its time; so a tick looks LATE_S back.  What comes even later, or
 * while the database's clock is set, is found by the sweep, which asks for all
 * watched jobs by id, a few at a time.
 */

#include "feed.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "db.h"
#include "dialect.h"
#include "event.h"
#include "follow.h"
#include "frame.h"
#include "job.h"
#include "log.h"
#include "loop.h"
#include "news.h"
#include "table.h"

/* How late a change may become visible and still be found by a tick, s. */
#define LATE_S		5

/* Rows of one page of the tick, and ids of one step of the sweep. */
#define PAGE		2000
#define SWEEP_IDS	1000

/* Jobs in one query for events, and events of each. */
#define WANTS		32
#define MOST		16
#define ROWS		(WANTS * MOST)

/* Text of one answer to a stream that is behind: no more is added after it. */
#define CATCH_UP_MAX	(32 * 1024)

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

struct feed {
	struct db	*db;
	struct list	*news;
	struct line	*out;
	struct table	 watches;
	struct lack	*lacks;
	size_t		 nlacks, room;
	struct uuid	*round;		/* of the sweep: ids */
	size_t		 nround, swept;
	char		 since[DB_TIME];	/* of the last tick */
	int64_t		 clock_ms;	/* the database's less ours */
	struct job_change *changes;	/* PAGE */
	struct event	*events;	/* ROWS */
	struct job	*jobs;		/* WANTS */
	size_t		 nevents, njobs;	/* in use */
	struct text	 text;
};

struct feed *
feed_new(struct db *db, struct list *news, struct line *out)
{
	struct feed	*f = xcalloc(1, sizeof(*f));

	f->db = db;
	f->news = news;
	f->out = out;
	f->changes = xcalloc(PAGE, sizeof(*f->changes));
	f->events = xcalloc(ROWS, sizeof(*f->events));
	f->jobs = xcalloc(WANTS, sizeof(*f->jobs));
	return f;
}

static void
free_watch(struct table_node *node, void *arg)
{
	(void)arg;
	free(node);
}

void
feed_free(struct feed *f)
{
	if (f == NULL)
		return;
	table_each(&f->watches, free_watch, NULL);
	table_free(&f->watches);
	free(f->lacks);
	free(f->round);
	free(f->changes);
	free(f->events);
	free(f->jobs);
	free(f->text.p);
	free(f);
}

/* ---- who is followed ----------------------------------------------------- */

size_t
feed_watched(const struct feed *f)
{
	return f->watches.n;
}

static struct watch *
find_watch(const struct feed *f, const struct uuid *job)
{
	return (struct watch *)table_find(&f->watches, job);
}

int
feed_start(struct feed *f)
{
	if (f->watches.n > 0)
		return 0;
	f->nround = f->swept = 0;
	return job_now(f->db, f->since);
}

void
feed_watch(struct feed *f, const struct hub_join *join)
{
	struct watch	*w = find_watch(f, &join->job);

	if (w == NULL) {
		w = xcalloc(1, sizeof(*w));
		w->node.key = join->job;
		w->seq = join->latest;
		table_add(&f->watches, &w->node);
	}
	w->streams[join->kind]++;
}

void
feed_unwatch(struct feed *f, const struct uuid *job, unsigned int kind)
{
	struct watch	*w = find_watch(f, job);
	unsigned int	 i, n = 0;

	w->streams[kind]--;
	for (i = 0; i < FOLLOW_KINDS; i++)
		n += w->streams[i];
	if (n > 0)
		return;
	table_remove(&f->watches, &w->node);
	free(w);
}

/* ---- time ---------------------------------------------------------------- */

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
born(const struct feed *f, const struct event *e)
{
	int64_t	 now = (int64_t)loop_now(), ms = to_ms(e->at) - f->clock_ms;

	return (uint64_t)(ms < 1 ? 1 : ms > now ? now : ms);
}

/* ---- events -------------------------------------------------------------- */

/* Read events, and then the jobs they belong to: never an older row. */
static int
read_events(struct feed *f, const struct event_want *wants, size_t n)
{
	struct uuid	 ids[WANTS];
	size_t		 i, unique = 0;
	int		 rows;

	rows = event_missing(f->db, wants, n, MOST, f->events, ROWS);
	if (rows == -1)
		return -1;
	f->nevents = (size_t)rows;
	for (i = 0; i < n; i++) {
		if (i == 0 || !uuid_equal(&wants[i].job, &ids[unique - 1]))
			ids[unique++] = wants[i].job;
	}
	if ((rows = job_find_all(f->db, ids, unique, f->jobs)) == -1)
		return -1;
	f->njobs = (size_t)rows;
	return 0;
}

static const struct job *
job_of(const struct feed *f, const struct uuid *id)
{
	size_t	 i;

	for (i = 0; i < f->njobs; i++) {
		if (uuid_equal(&f->jobs[i].id, id))
			return &f->jobs[i];
	}
	return NULL;
}

static struct frame *
to_frame(struct feed *f, unsigned int kind, const struct job *job,
    const struct event *e)
{
	struct frame	*frame;

	f->text.len = 0;
	follow_kinds[kind].dialect->event(&f->text, job, e);
	frame = frame_new(f->text.p, f->text.len,
	    dialect_is_last(job, e) ? FRAME_LAST : FRAME_MORE);
	frame->events = 1;
	frame->born_ms = born(f, e);
	return frame;
}

/* Hand an event to the loop, in the words of all who follow the job. */
static void
publish(struct feed *f, struct watch *w, const struct job *job,
    const struct event *e)
{
	struct news	*news;
	unsigned int	 i;

	if (e->seq <= w->seq)
		return;
	w->seq = e->seq;
	news = news_add(f->news, NEWS_EVENT);
	news->job = job->id;
	news->seq = e->seq;
	for (i = 0; i < FOLLOW_KINDS; i++) {
		if (w->streams[i] > 0)
			news->frames[i] = to_frame(f, i, job, e);
	}
}

/* ---- what the loop lacks ------------------------------------------------- */

static void
note_change(struct feed *f, const struct job_change *c)
{
	struct watch	*w = find_watch(f, &c->id);

	if (w == NULL || c->seq <= w->seq)
		return;
	if (f->nlacks == f->room) {
		f->room = f->room == 0 ? 64 : f->room * 2;
		f->lacks = xreallocarray(f->lacks, f->room, sizeof(*f->lacks));
	}
	f->lacks[f->nlacks++] = (struct lack){ w, c->seq };
}

/*
 * After the events of LACK were published: whether more of them must be
 * fetched.  Events that are not there were pruned; their number alone makes
 * the streams fetch, and learn of it.
 */
static bool
lacks_more(struct feed *f, const struct lack *lack, uint32_t before)
{
	struct news	*news;

	if (lack->watch->seq >= lack->upto)
		return false;
	if (lack->watch->seq > before)
		return true;
	lack->watch->seq = lack->upto;
	news = news_add(f->news, NEWS_EVENT);
	news->job = lack->watch->node.key;
	news->seq = lack->upto;
	return false;
}

static void
tell_gone(struct feed *f, const struct uuid *job)
{
	news_add(f->news, NEWS_GONE)->job = *job;
}

/* Publish for up to WANTS jobs, the last of the list. */
static int
publish_some(struct feed *f)
{
	size_t			 i, n = f->nlacks < WANTS ? f->nlacks : WANTS;
	size_t			 first = f->nlacks - n, more = first;
	struct event_want	 wants[WANTS];
	const struct job	*job;

	for (i = 0; i < n; i++) {
		wants[i].job = f->lacks[first + i].watch->node.key;
		wants[i].after = f->lacks[first + i].watch->seq;
	}
	if (read_events(f, wants, n) == -1)
		return -1;
	for (i = 0; i < f->nevents; i++) {
		if ((job = job_of(f, &f->events[i].job_id)) != NULL)
			publish(f, find_watch(f, &job->id), job, &f->events[i]);
	}
	for (i = 0; i < n; i++) {
		if (job_of(f, &wants[i].job) == NULL)
			tell_gone(f, &wants[i].job);
		else if (lacks_more(f, &f->lacks[first + i], wants[i].after))
			f->lacks[more++] = f->lacks[first + i];
	}
	f->nlacks = more;
	return 0;
}

/* What was not published is found again by the next tick. */
static int
publish_all(struct feed *f)
{
	while (f->nlacks > 0) {
		if (publish_some(f) == -1) {
			f->nlacks = 0;
			return -1;
		}
		line_put(f->out, f->news);
	}
	return 0;
}

/* ---- ticks --------------------------------------------------------------- */

/* Which jobs changed, page by page. */
static int
read_changes(struct feed *f)
{
	static const struct uuid	 zero;
	struct uuid			 after = zero;
	char				 from[DB_TIME], now[DB_TIME];
	char				 next[DB_TIME] = "";
	unsigned int			 late_s = LATE_S;
	int				 i, n;

	strlcpy(from, f->since, sizeof(from));
	do {
		n = job_changed(f->db, from, late_s, &after, f->changes, PAGE,
		    now);
		for (i = 0; i < n; i++)
			note_change(f, &f->changes[i]);
		if (next[0] == '\0')
			strlcpy(next, now, sizeof(next));
		if (n == PAGE) {
			strlcpy(from, f->changes[n - 1].changed_at,
			    sizeof(from));
			after = f->changes[n - 1].id;
			late_s = 0;
		}
	} while (n == PAGE);
	if (n == -1)
		return -1;
	strlcpy(f->since, next, sizeof(f->since));
	f->clock_ms = to_ms(f->since) - (int64_t)loop_now();
	return 0;
}

int
feed_tick(struct feed *f)
{
	f->nlacks = 0;
	if (read_changes(f) == -1) {
		f->nlacks = 0;
		return -1;
	}
	return publish_all(f);
}

/* ---- the sweep ----------------------------------------------------------- */

static void
add_id(struct table_node *node, void *arg)
{
	struct feed	*f = arg;

	f->round[f->nround++] = node->key;
}

/* Begin a round: the jobs that are watched now. */
static void
begin_sweep(struct feed *f)
{
	f->nround = f->swept = 0;
	f->round = xreallocarray(f->round, f->watches.n + 1, sizeof(*f->round));
	table_each(&f->watches, add_id, f);
}

static int
compare_changes(const void *a, const void *b)
{
	return memcmp(&((const struct job_change *)a)->id,
	    &((const struct job_change *)b)->id, sizeof(struct uuid));
}

/* Jobs of this step that the database no longer has. */
static void
find_gone(struct feed *f, const struct uuid *ids, size_t n, size_t rows)
{
	struct job_change	 key;
	size_t			 i;

	qsort(f->changes, rows, sizeof(f->changes[0]), compare_changes);
	for (i = 0; i < n; i++) {
		key.id = ids[i];
		if (bsearch(&key, f->changes, rows, sizeof(f->changes[0]),
		    compare_changes) == NULL)
			tell_gone(f, &ids[i]);
	}
}

int
feed_sweep(struct feed *f)
{
	const struct uuid	*ids;
	size_t			 n;
	int			 i, rows;

	if (f->swept >= f->nround)
		begin_sweep(f);
	ids = f->round + f->swept;
	n = f->nround - f->swept < SWEEP_IDS ? f->nround - f->swept : SWEEP_IDS;
	if ((rows = job_changes_of(f->db, ids, n, f->changes)) == -1)
		return -1;
	f->nlacks = 0;
	for (i = 0; i < rows; i++)
		note_change(f, &f->changes[i]);
	find_gone(f, ids, n, (size_t)rows);
	f->swept += n;
	return publish_all(f);
}

bool
feed_in_round(const struct feed *f)
{
	return f->swept < f->nround;
}

/* ---- streams that are behind --------------------------------------------- */

static int
compare_needs(const void *a, const void *b)
{
	const struct hub_need	*x = &(*(struct feed_need *const *)a)->need;
	const struct hub_need	*y = &(*(struct feed_need *const *)b)->need;
	int			 c = memcmp(&x->job, &y->job, sizeof(x->job));

	if (c != 0)
		return c;
	if (x->after != y->after)
		return x->after < y->after ? -1 : 1;
	return x->kind < y->kind ? -1 : x->kind > y->kind;
}

/* The first event that was read for a need, and those behind it. */
static const struct event *
events_for(const struct feed *f, const struct hub_need *need, size_t *left)
{
	size_t	 i;

	for (i = 0; i < f->nevents; i++) {
		if (uuid_equal(&f->events[i].job_id, &need->job) &&
		    f->events[i].seq > need->after) {
			*left = f->nevents - i;
			return &f->events[i];
		}
	}
	*left = 0;
	return NULL;
}

/* History is gone: say so, with the state now. */
static struct frame *
start_over(struct feed *f, const struct hub_need *need,
    const struct job *job, uint32_t *seq)
{
	f->text.len = 0;
	follow_kinds[need->kind].dialect->reset(&f->text, job);
	*seq = job->seq;
	return frame_new(f->text.p, f->text.len,
	    job_ended(job->state) ? FRAME_LAST : FRAME_MORE);
}

/* Events from E on, as far as they follow on number *SEQ; how many it were. */
static unsigned int
add_events(struct feed *f, const struct hub_need *need, const struct job *job,
    const struct event *e, size_t left, uint32_t *seq)
{
	unsigned int	 n = 0;

	for (; left > 0 && uuid_equal(&e->job_id, &need->job) &&
	    e->seq == *seq + 1 && f->text.len < CATCH_UP_MAX; e++, left--) {
		follow_kinds[need->kind].dialect->event(&f->text, job, e);
		*seq = e->seq;
		n++;
		if (dialect_is_last(job, e))
			break;
	}
	return n;
}

/* What a stream lacks, as far as it was read; NULL: nothing is there yet. */
static struct frame *
fill(struct feed *f, const struct hub_need *need, const struct job *job,
    uint32_t *seq)
{
	const struct event	*e;
	struct frame		*frame;
	size_t			 left;
	unsigned int		 n;

	e = events_for(f, need, &left);
	if (e == NULL && job->seq <= need->after)
		return NULL;
	if (e == NULL || e->seq != need->after + 1)
		return start_over(f, need, job, seq);
	f->text.len = 0;
	*seq = need->after;
	n = add_events(f, need, job, e, left, seq);
	frame = frame_new(f->text.p, f->text.len,
	    job_ended(job->state) && *seq == job->seq ?
	    FRAME_LAST : FRAME_MORE);
	frame->events = n;
	return frame;
}

/* Serve needs that are in order; equal ones share a frame. */
static void
serve(struct feed *f, struct feed_need **needs, size_t n)
{
	const struct hub_need	*need;
	const struct job	*job;
	struct frame		*frame = NULL;
	struct news		*news;
	uint32_t		 seq = 0;
	size_t			 i;

	for (i = 0; i < n; i++) {
		need = &needs[i]->need;
		if ((job = job_of(f, &need->job)) == NULL) {
			tell_gone(f, &need->job);
			continue;
		}
		if (i == 0 || compare_needs(&needs[i - 1], &needs[i]) != 0)
			frame = fill(f, need, job, &seq);
		else if (frame != NULL)
			frame_ref(frame);
		news = news_add(f->news, NEWS_CATCH_UP);
		news->fd = need->fd;
		news->serial = need->serial;
		news->frame = frame;
		news->seq = seq;
	}
}

/* What is to be read for them: each job and number once. */
static size_t
to_wants(struct feed_need **needs, size_t n, struct event_want *wants)
{
	const struct hub_need	*need;
	size_t			 i, unique = 0;

	for (i = 0; i < n; i++) {
		need = &needs[i]->need;
		if (unique > 0 && wants[unique - 1].after == need->after &&
		    uuid_equal(&wants[unique - 1].job, &need->job))
			continue;
		wants[unique].job = need->job;
		wants[unique++].after = need->after;
	}
	return unique;
}

/* Needs that are looked at together; many of them may be for the same. */
#define NEEDS	(8 * WANTS)

int
feed_catch_up(struct feed *f, struct list *list)
{
	struct event_want	 wants[NEEDS];
	struct feed_need	*needs[NEEDS];
	size_t			 i, n, nwants;
	int			 rc;

	for (n = 0; n < NEEDS && list->first != NULL; n++)
		needs[n] = (struct feed_need *)list_take(list);
	qsort(needs, n, sizeof(needs[0]), compare_needs);
	while ((nwants = to_wants(needs, n, wants)) > WANTS)
		list_add(list, &needs[--n]->link);
	if ((rc = read_events(f, wants, nwants)) == 0)
		serve(f, needs, n);
	for (i = 0; i < n; i++) {
		if (rc == -1)
			list_add(list, &needs[i]->link);
		else
			free(needs[i]);
	}
	line_put(f->out, f->news);
	return rc;
}
