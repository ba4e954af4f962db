/*
 * The hub's other thread: it owns the one database connection.
 *
 * A join is exact because everything goes through one line, in order.  The
 * job's row is read at number r, and the stream is handed over standing at r
 * (or at the event its client has seen).  An event up to r that the loop gets
 * later is skipped for this stream; one after r is sent; and a stream that
 * stands before what the loop knows of is behind, and fetches.
 *
 * While the database is away nothing is asked of it but now and then whether
 * it is back.  Requests are told to come later; what streams need waits.
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
#include "feed.h"
#include "log.h"
#include "loop.h"
#include "news.h"
#include "viewers.h"

/* Pauses, ms: between checks of logins, rounds of the sweep, its queries. */
#define CHECK_MS	1000
#define SWEEP_MS	5000
#define SWEEP_STEP_MS	1000

/* Pause before an absent database is tried again, ms: at first, at most. */
#define AWAY_MS		250
#define AWAY_MAX_MS	2000

/* How long poller_stop waits for the thread, s. */
#define STOP_S		1

/* ---- what there is ------------------------------------------------------- */

enum mail_type { MAIL_OPEN, MAIL_FETCH, MAIL_LEFT, MAIL_STOP };

/* From the loop. */
struct mail {
	struct link	 link;
	enum mail_type	 type;
	int		 fd;		/* open */
	uint32_t	 serial;
	char		**env;
	enum follow_later later;
	struct feed_need *need;		/* fetch */
	struct uuid	 job;		/* left */
	unsigned int	 kind;
	uint32_t	 viewer;
};

/* What is done now and then. */
enum chore { TICK, CHECK, SWEEP, CHORES };

struct poller {
	struct line	 in, out;
	pthread_t	 thread;
	struct list	 heard;		/* of the loop: taken out of "out" */

	/* All else is the thread's. */
	const struct conf *conf;
	struct follow	*follow;
	struct feed	*feed;
	struct viewers	*viewers;
	bool		 stop;
	struct list	 opens;		/* struct mail */
	struct list	 needs;		/* struct feed_need */
	struct list	 outbox;	/* news for the next line_put */
	uint64_t	 due[CHORES];	/* loop_now() */
	bool		 away;		/* the database is */
	uint64_t	 retry_at;	/* likewise */
	unsigned int	 pause_ms;
};

/* ---- the database comes and goes ----------------------------------------- */

static void
failed(struct poller *p)
{
	if (!p->away) {
		log_warnx("the database is away: streams stay open");
		news_add(&p->outbox, NEWS_AWAY);
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
	news_add(&p->outbox, NEWS_BACK);
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

/* ---- requests ------------------------------------------------------------ */

static void
join(struct poller *p, struct followed *d)
{
	if (feed_watched(p->feed) == 0) {
		p->due[TICK] = loop_now() + p->conf->tick_ms;
		p->due[SWEEP] = loop_now() + SWEEP_MS;
	}
	feed_watch(p->feed, &d->join);
	d->join.viewer = viewers_add(p->viewers, &d->caller, d->address);
}

static void
answer(struct poller *p, const struct mail *m, enum follow_later later)
{
	struct followed	 d;
	struct news	*news;

	follow_answer(p->follow, m->env, later, m->serial, &d);
	if (later == FOLLOW_NOW && d.later == FOLLOW_AWAY)
		failed(p);
	if (d.stream)
		join(p, &d);
	news = news_add(&p->outbox, d.stream ? NEWS_JOIN : NEWS_ANSWER);
	news->fd = m->fd;
	news->serial = m->serial;
	news->frame = d.frame;
	news->later = d.later;
	news->join = d.join;
}

/* Look up the jobs of N requests. */
static void
prepare(struct poller *p, struct mail **mail, size_t n)
{
	char	**envs[FOLLOW_BATCH];
	size_t	 i, nenvs = 0;

	for (i = 0; i < n; i++) {
		if (mail[i]->later == FOLLOW_NOW)
			envs[nenvs++] = mail[i]->env;
	}
	if (nenvs > 0 && may_try(p))
		judge(p, feed_start(p->feed) == -1 ? -1 :
		    follow_fetch(p->follow, envs, nenvs));
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

/* ---- chores -------------------------------------------------------------- */

static int
tick(struct poller *p)
{
	return feed_tick(p->feed);
}

static int
sweep(struct poller *p)
{
	return feed_sweep(p->feed);
}

static int
check(struct poller *p)
{
	const uint32_t	*revoked;
	struct news	*news;
	size_t		 n;
	int		 rc;

	rc = viewers_check(p->viewers, follow_db(p->follow), &revoked, &n);
	if (n > 0) {
		news = news_add(&p->outbox, NEWS_REVOKED);
		news->nviewers = n;
		news->viewers = xreallocarray(NULL, n, sizeof(*revoked));
		memcpy(news->viewers, revoked, n * sizeof(*revoked));
	}
	return rc;
}

static bool
anybody_watches(const struct poller *p)
{
	return feed_watched(p->feed) > 0;
}

static bool
anybody_is_known(const struct poller *p)
{
	return viewers_n(p->viewers) > 0;
}

static unsigned int
tick_pause(const struct poller *p)
{
	return p->conf->tick_ms;
}

static unsigned int
check_pause(const struct poller *p)
{
	(void)p;
	return CHECK_MS;
}

static unsigned int
sweep_pause(const struct poller *p)
{
	return feed_in_round(p->feed) ? SWEEP_STEP_MS : SWEEP_MS;
}

static const struct {
	int		(*work)(struct poller *);	/* 0 or -1 */
	bool		(*wanted)(const struct poller *);
	unsigned int	(*pause_ms)(const struct poller *);
} chores[CHORES] = {
	[TICK]	= { tick,  anybody_watches,  tick_pause },
	[CHECK]	= { check, anybody_is_known, check_pause },
	[SWEEP]	= { sweep, anybody_watches,  sweep_pause },
};

static void
do_chores(struct poller *p)
{
	uint64_t	 now;
	unsigned int	 i;

	for (i = 0; i < CHORES && may_try(p); i++) {
		now = loop_now();
		if (!chores[i].wanted(p) || now < p->due[i])
			continue;
		judge(p, chores[i].work(p));
		if (!p->away)
			p->due[i] = now + chores[i].pause_ms(p);
		line_put(&p->out, &p->outbox);
	}
}

/* When there is something to do, loop_now(); UINT64_MAX: when mail comes. */
static uint64_t
next_work(const struct poller *p)
{
	uint64_t	 due = UINT64_MAX;
	unsigned int	 i;

	if (p->needs.first != NULL)
		due = 0;
	for (i = 0; i < CHORES; i++) {
		if (chores[i].wanted(p) && p->due[i] < due)
			due = p->due[i];
	}
	if (due != UINT64_MAX && p->away && due < p->retry_at)
		due = p->retry_at;
	return p->opens.first != NULL ? 0 : due;
}

/* For poll(2). */
static int
idle_ms(const struct poller *p)
{
	uint64_t	 now = loop_now(), due = next_work(p);

	if (due == UINT64_MAX)
		return -1;
	if (due <= now)
		return 0;
	return due - now > 60000 ? 60000 : (int)(due - now);
}

/* ---- the thread ---------------------------------------------------------- */

static void
left(struct poller *p, const struct mail *m)
{
	feed_unwatch(p->feed, &m->job, m->kind);
	viewers_remove(p->viewers, m->viewer);
}

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
			list_add(&p->needs, &m->need->link);
			break;
		case MAIL_LEFT:
			left(p, m);
			break;
		case MAIL_STOP:
			p->stop = true;
			break;
		}
		free(m);
	}
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
			judge(p, feed_catch_up(p->feed, &p->needs));
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
	p->feed = feed_new(follow_db(p->follow), &p->outbox, &p->out);
	start_thread(p);
	return p;
}

/* ---- from the loop's side ------------------------------------------------ */

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
	m->need = xcalloc(1, sizeof(*m->need));
	m->need->need = *need;
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

struct news *
poller_next(struct poller *p)
{
	if (p->heard.first == NULL)
		line_take(&p->out, &p->heard);
	return (struct news *)list_take(&p->heard);
}

static void
drop_mail(struct list *list)
{
	struct mail	*m;

	while ((m = (struct mail *)list_take(list)) != NULL) {
		free(m->env);
		free(m->need);
		free(m);
	}
}

static void
drop_needs(struct list *list)
{
	struct link	*need;

	while ((need = list_take(list)) != NULL)
		free(need);
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
	news_drop(&p->heard);
	news_drop(&p->out.list);
	news_drop(&p->outbox);
	drop_mail(&p->in.list);
	drop_mail(&p->opens);
	drop_needs(&p->needs);
	line_close(&p->in);
	line_close(&p->out);
	feed_free(p->feed);
	follow_free(p->follow);
	viewers_free(p->viewers);
	free(p);
	return 0;
}
