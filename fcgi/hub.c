/*
 * Which stream gets which frame.
 *
 *	           request read       joined            last frame queued
 *	[reading] ------------> [opening] ---> [following] -----.
 *	    |                       |               |           v
 *	    |                       '---------------+------> [ending]
 *	    |                        answered       |           | last byte sent
 *	    '-- no request, late --.      gone, stalled         |
 *	                           v                v           v
 *	                         (the descriptor is free again)
 *
 * A stream gets the events of its job one after the other, by number.  It
 * holds at most one frame that is partly sent, and one more.  An event that
 * finds both places taken is not kept: the stream is "behind", and when it
 * has sent what it holds it is served from the event table, in batches, until
 * it has caught up.  So a slow reader costs no memory and loses nothing.
 * Whatever else goes wrong (a gap in the numbers, an event that came while a
 * stream was joining) makes a stream be behind, too: it is the only repair.
 *
 * A job that very many follow is served in slices, so that the others need
 * not wait: its events lie in a "fan" while rounds are made over its streams.
 */

#include "hub.h"

#include <stdlib.h>
#include <string.h>

#include "frame.h"
#include "log.h"
#include "table.h"

/* A beat, ms: the unit of all times below. */
#define BEAT_MS		100
#define BEATS(s)	((s) * (1000 / BEAT_MS))

/* Events of one job that wait for a round; one more makes it be finished. */
#define FAN_EVENTS	8

/* Streams that get a notice in one beat, at least. */
#define NOTICES		1000

const unsigned int hub_lag_ms[HUB_LAGS] = {
	5, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000
};

enum state { FREE, READING, OPENING, FOLLOWING, ENDING };

#define NONE	(-1)

/* A connection; its index is its descriptor. */
struct stream {
	struct topic	*topic;		/* NULL: has not joined */
	struct frame	*now, *then;	/* being sent; after it */
	uint32_t	 offset;	/* bytes of now that are sent */
	int		 next, prev;	/* of the same topic, or NONE */
	uint32_t	 serial;
	uint32_t	 seq;		/* last event it has, or holds */
	uint32_t	 viewer;
	uint32_t	 events;	/* sent */
	uint32_t	 opened, moved;	/* beats: it came, took bytes */
	uint32_t	 rotate;	/* beat; 0: never */
	uint8_t		 kind;
	uint8_t		 state;		/* enum state */
	uint8_t		 why;		/* ending: enum hub_why */
	bool		 waiting;	/* for hub_writable */
	bool		 behind;	/* lacks events */
	bool		 fetching;	/* and was promised some */
};

/* A job that somebody follows. */
struct topic {
	struct table_node node;		/* by job id */
	int		 first;		/* stream */
	unsigned int	 n;		/* streams */
	uint32_t	 seq;		/* newest event known of */
	struct fan	*fan;		/* events under way, or NULL */
};

struct fan_event {
	uint32_t	 seq;
	struct frame	*frames[HUB_KINDS];
};

/* Events on their way to many streams.  A round visits every stream once. */
struct fan {
	struct topic	*topic;
	struct fan	*next;		/* in hub->fans */
	int		 cursor;	/* stream to visit next, or NONE */
	unsigned int	 n;
	unsigned int	 whole;		/* of them were there when it began */
	struct fan_event events[FAN_EVENTS];
};

struct hub {
	const struct hub_io *io;
	void		*arg;
	uint64_t	 start_ms, now_ms;
	uint32_t	 beat;		/* the last that was seen to */
	uint32_t	 keepalive, stalled, reading;	/* beats */
	uint32_t	 cycle;		/* beats in which all are looked at */
	unsigned int	 hot, slice;	/* as in struct hub_settings */
	uint32_t	 serial;	/* last one given */
	struct stream	*streams;
	int		 nstreams;	/* slots */
	int		 cursor;	/* slot hub_beat looks at next */
	int		 notices;	/* slots still to be told the notice */
	size_t		 size;		/* connections */
	struct table	 topics;
	struct fan	*fans;		/* under way */
	struct frame	*usual, *keepalive_frame, *end_frame;
	struct hub_stats stats;
};

static uint32_t
now(const struct hub *hub)
{
	return (uint32_t)((hub->now_ms - hub->start_ms) / BEAT_MS);
}

struct hub *
hub_new(const struct hub_io *io, void *arg, const struct hub_settings *set,
    uint64_t now_ms)
{
	static const char	 comment[] = ":\n\n";
	struct hub		*hub = xcalloc(1, sizeof(*hub));

	hub->io = io;
	hub->arg = arg;
	hub->start_ms = hub->now_ms = now_ms;
	hub->keepalive = BEATS(set->keepalive_s);
	hub->stalled = BEATS(set->stalled_s);
	hub->reading = BEATS(set->reading_s);
	hub->cycle = hub->keepalive / 3 > 0 ? hub->keepalive / 3 : 1;
	hub->hot = set->hot;
	hub->slice = set->slice;
	hub->usual = frame_new(comment, sizeof(comment) - 1, FRAME_MORE);
	hub->keepalive_frame = frame_ref(hub->usual);
	hub->end_frame = frame_new("", 0, FRAME_LAST);
	return hub;
}

void
hub_clock(struct hub *hub, uint64_t now_ms)
{
	hub->now_ms = now_ms;
}

size_t
hub_size(const struct hub *hub)
{
	return hub->size;
}

const struct hub_stats *
hub_stats(const struct hub *hub)
{
	return &hub->stats;
}

/* ---- topics -------------------------------------------------------------- */

static struct topic *
find_topic(const struct hub *hub, const struct uuid *job)
{
	return (struct topic *)table_find(&hub->topics, job);
}

static struct topic *
topic_of(struct hub *hub, const struct uuid *job)
{
	struct topic	*t;

	if ((t = find_topic(hub, job)) != NULL)
		return t;
	t = xcalloc(1, sizeof(*t));
	t->node.key = *job;
	t->first = NONE;
	table_add(&hub->topics, &t->node);
	return t;
}

static void
drop_event(struct fan_event *e)
{
	unsigned int	 i;

	for (i = 0; i < HUB_KINDS; i++)
		frame_unref(e->frames[i]);
}

static void
free_fan(struct hub *hub, struct fan *fan)
{
	struct fan	**p = &hub->fans;
	unsigned int	  i;

	while (*p != fan)
		p = &(*p)->next;
	*p = fan->next;
	for (i = 0; i < fan->n; i++)
		drop_event(&fan->events[i]);
	fan->topic->fan = NULL;
	free(fan);
}

static void
free_topic(struct hub *hub, struct topic *t)
{
	if (t->fan != NULL)
		free_fan(hub, t->fan);
	table_remove(&hub->topics, &t->node);
	free(t);
}

static void
link_stream(struct hub *hub, struct topic *t, int fd)
{
	struct stream	*s = &hub->streams[fd];

	s->topic = t;
	s->prev = NONE;
	s->next = t->first;
	if (s->next != NONE)
		hub->streams[s->next].prev = fd;
	t->first = fd;
	t->n++;
}

/* A topic without streams is freed. */
static void
unlink_stream(struct hub *hub, int fd)
{
	struct stream	*s = &hub->streams[fd];
	struct topic	*t = s->topic;

	if (t->fan != NULL && t->fan->cursor == fd)
		t->fan->cursor = s->next;
	if (s->next != NONE)
		hub->streams[s->next].prev = s->prev;
	if (s->prev != NONE)
		hub->streams[s->prev].next = s->next;
	else
		t->first = s->next;
	s->topic = NULL;
	if (--t->n == 0)
		free_topic(hub, t);
}

/* ---- the end of a connection --------------------------------------------- */

static void
end(struct hub *hub, int fd, enum hub_why why)
{
	struct stream		*s = &hub->streams[fd];
	struct hub_ended	 e = {
		.fd = fd, .serial = s->serial, .why = why,
		.stream = s->topic != NULL,
		.open_ms = (now(hub) - s->opened) * BEAT_MS,
	};

	if (e.stream) {
		e.job = s->topic->node.key;
		e.kind = s->kind;
		e.viewer = s->viewer;
		e.events = s->events;
		hub->stats.streams[s->kind]--;
		hub->stats.ended[s->kind][why]++;
		unlink_stream(hub, fd);
	}
	frame_unref(s->now);
	frame_unref(s->then);
	memset(s, 0, sizeof(*s));
	hub->size--;
	hub->io->ended(hub->arg, &e);
}

/* ---- sending ------------------------------------------------------------- */

/* The frame in hand was sent whole. */
static void
sent(struct hub *hub, struct stream *s)
{
	struct hub_stats	*st = &hub->stats;
	struct frame		*f = s->now;
	uint64_t		 lag;
	unsigned int		 i;

	if (s->topic != NULL) {
		s->events += f->events;
		st->events[s->kind] += f->events;
	}
	if (f->born_ms != 0) {
		lag = hub->now_ms > f->born_ms ? hub->now_ms - f->born_ms : 0;
		for (i = 0; i < HUB_LAGS && lag > hub_lag_ms[i]; i++)
			;
		st->lag[s->kind][i]++;
		st->lag_ms[s->kind] += lag;
	}
	frame_unref(f);
	s->now = s->then;
	s->then = NULL;
	s->offset = 0;
}

static void
fetch(struct hub *hub, int fd)
{
	struct stream	*s = &hub->streams[fd];
	struct hub_need	 need = {
		.fd = fd, .serial = s->serial, .job = s->topic->node.key,
		.after = s->seq, .kind = s->kind,
	};

	s->fetching = true;
	hub->io->fetch(hub->arg, &need);
}

/* Nothing is in hand: go on with what the event table has, if need be. */
static void
idle(struct hub *hub, int fd)
{
	struct stream	*s = &hub->streams[fd];

	if (s->state == FOLLOWING && s->behind && !s->fetching)
		fetch(hub, fd);
}

/* Send what is in hand, as far as it goes.  false: the stream has ended. */
static bool
flush(struct hub *hub, int fd)
{
	struct stream	*s = &hub->streams[fd];
	ssize_t		 n;

	while (s->now != NULL) {
		n = hub->io->send(hub->arg, fd, s->now->bytes + s->offset,
		    s->now->len - s->offset);
		if (n == -1) {
			end(hub, fd, HUB_LEFT);
			return false;
		}
		if (n > 0)
			s->moved = now(hub);
		s->offset += (uint32_t)n;
		if (s->offset < s->now->len) {
			if (!s->waiting)
				hub->io->await(hub->arg, fd);
			s->waiting = true;
			return true;
		}
		if (s->now->last) {
			sent(hub, s);
			end(hub, fd, s->why);
			return false;
		}
		sent(hub, s);
	}
	if (s->waiting)
		hub->io->relax(hub->arg, fd);
	s->waiting = false;
	idle(hub, fd);
	return true;
}

/* Take a frame over; there must be room.  false: the stream has ended. */
static bool
put(struct hub *hub, int fd, struct frame *f)
{
	struct stream	*s = &hub->streams[fd];

	if (s->now != NULL) {
		frame_unref(s->then);
		s->then = f;
		return true;
	}
	s->now = f;
	s->offset = 0;
	return flush(hub, fd);
}

/* End a connection after what it has begun to send, and only that. */
static void
finish(struct hub *hub, int fd, enum hub_why why)
{
	struct stream	*s = &hub->streams[fd];

	if (s->state == ENDING)
		return;
	s->state = ENDING;
	s->why = (uint8_t)why;
	put(hub, fd, frame_ref(hub->end_frame));
}

/* Give a stream the frames that end it by themselves. */
static void
put_last(struct hub *hub, int fd, struct frame *f, enum hub_why why)
{
	hub->streams[fd].state = ENDING;
	hub->streams[fd].why = (uint8_t)why;
	put(hub, fd, f);
}

/* ---- connections --------------------------------------------------------- */

static void
grow(struct hub *hub, int fd)
{
	int	 n = hub->nstreams == 0 ? 64 : hub->nstreams;

	while (n <= fd)
		n *= 2;
	hub->streams = xreallocarray(hub->streams, (size_t)n,
	    sizeof(*hub->streams));
	memset(hub->streams + hub->nstreams, 0,
	    (size_t)(n - hub->nstreams) * sizeof(*hub->streams));
	hub->nstreams = n;
}

uint32_t
hub_add(struct hub *hub, int fd)
{
	struct stream	*s;

	if (fd >= hub->nstreams)
		grow(hub, fd);
	s = &hub->streams[fd];
	memset(s, 0, sizeof(*s));
	if (++hub->serial == 0)
		hub->serial = 1;
	s->serial = hub->serial;
	s->state = READING;
	s->opened = s->moved = now(hub);
	hub->size++;
	return s->serial;
}

static struct stream *
known(const struct hub *hub, int fd)
{
	if (fd < 0 || fd >= hub->nstreams || hub->streams[fd].state == FREE)
		return NULL;
	return &hub->streams[fd];
}

/* The connection that a serial was given to, if it is still there. */
static struct stream *
same(const struct hub *hub, int fd, uint32_t serial)
{
	struct stream	*s = known(hub, fd);

	return s != NULL && s->serial == serial ? s : NULL;
}

void
hub_opening(struct hub *hub, int fd)
{
	struct stream	*s = known(hub, fd);

	if (s != NULL && s->state == READING)
		s->state = OPENING;
}

void
hub_refuse(struct hub *hub, int fd)
{
	if (known(hub, fd) != NULL)
		end(hub, fd, HUB_REFUSED);
}

uint32_t
hub_reading(const struct hub *hub, int fd)
{
	struct stream	*s = known(hub, fd);

	return s != NULL && s->state == READING ? s->serial : 0;
}

void
hub_answer(struct hub *hub, int fd, uint32_t serial, struct frame *f)
{
	struct stream	*s = same(hub, fd, serial);

	if (s == NULL || s->state != OPENING)
		frame_unref(f);
	else
		put_last(hub, fd, f, HUB_ANSWERED);
}

int
hub_join(struct hub *hub, int fd, uint32_t serial, const struct hub_join *j,
    struct frame *head)
{
	struct stream	*s = same(hub, fd, serial);
	struct topic	*t;

	if (s == NULL || s->state != OPENING) {
		frame_unref(head);
		return -1;
	}
	t = topic_of(hub, &j->job);
	if (t->seq < j->latest)
		t->seq = j->latest;
	s->state = FOLLOWING;
	s->kind = (uint8_t)j->kind;
	s->viewer = j->viewer;
	s->seq = j->seq;
	s->behind = s->seq < t->seq;
	if (j->rotate_s > 0)
		s->rotate = now(hub) + BEATS(j->rotate_s);
	link_stream(hub, t, fd);
	hub->stats.streams[s->kind]++;
	hub->stats.joined[s->kind]++;
	put(hub, fd, head);
	return 0;
}

void
hub_catch_up(struct hub *hub, int fd, uint32_t serial, struct frame *f,
    uint32_t seq)
{
	struct stream	*s = same(hub, fd, serial);

	if (s == NULL || s->state != FOLLOWING) {
		frame_unref(f);
		return;
	}
	s->fetching = false;
	if (f == NULL)
		return;			/* hub_beat asks again */
	s->seq = seq;
	s->behind = seq < s->topic->seq;
	if (f->last)
		put_last(hub, fd, f, HUB_DONE);
	else
		put(hub, fd, f);
}

void
hub_writable(struct hub *hub, int fd)
{
	if (known(hub, fd) != NULL)
		flush(hub, fd);
}

void
hub_gone(struct hub *hub, int fd)
{
	if (known(hub, fd) != NULL)
		end(hub, fd, HUB_LEFT);
}

/* ---- events -------------------------------------------------------------- */

/* Give a stream one event, if it is its next.  false: the stream has ended. */
static bool
offer(struct hub *hub, int fd, const struct fan_event *e)
{
	struct stream	*s = &hub->streams[fd];
	struct frame	*f = e->frames[s->kind];

	if (s->state != FOLLOWING || s->seq >= e->seq)
		return true;
	if (s->behind || s->then != NULL || f == NULL || s->seq + 1 != e->seq) {
		if (!s->behind)
			hub->stats.behind[s->kind]++;
		s->behind = true;
		if (s->now == NULL)
			idle(hub, fd);
		return true;
	}
	s->seq = e->seq;
	frame_ref(f);
	if (!f->last)
		return put(hub, fd, f);
	s->state = ENDING;
	s->why = HUB_DONE;
	return put(hub, fd, f);
}

/* One event to all streams of a job with few of them. */
static void
offer_all(struct hub *hub, struct topic *t, const struct fan_event *e)
{
	int	 fd, next;

	for (fd = t->first; fd != NONE; fd = next) {
		next = hub->streams[fd].next;
		offer(hub, fd, e);	/* the topic may be freed by the last */
	}
}

/* All events of the fan to the stream at its cursor. */
static void
visit(struct hub *hub, struct fan *fan)
{
	int		 fd = fan->cursor;
	unsigned int	 i, n = fan->n;

	fan->cursor = hub->streams[fd].next;
	for (i = 0; i < n; i++) {
		if (!offer(hub, fd, &fan->events[i]))
			return;		/* perhaps the fan with it */
	}
}

/* A round is over: forget what all streams were offered. */
static void
next_round(struct hub *hub, struct fan *fan)
{
	unsigned int	 i;

	for (i = 0; i < fan->whole; i++)
		drop_event(&fan->events[i]);
	fan->n -= fan->whole;
	memmove(fan->events, fan->events + fan->whole,
	    fan->n * sizeof(fan->events[0]));
	fan->whole = fan->n;
	fan->cursor = fan->topic->first;
	if (fan->n == 0)
		free_fan(hub, fan);
}

/* Visit up to MOST streams of the first hot job.  How many it were. */
static unsigned int
work(struct hub *hub, unsigned int most)
{
	struct fan	*fan = hub->fans;
	unsigned int	 n;

	for (n = 0; n < most && fan->cursor != NONE; n++) {
		visit(hub, fan);
		if (hub->fans != fan)
			return n + 1;	/* its last stream has ended */
	}
	if (fan->cursor == NONE)
		next_round(hub, fan);
	return n;
}

bool
hub_slice(struct hub *hub)
{
	unsigned int	 n = 0;

	while (hub->fans != NULL && n < hub->slice)
		n += work(hub, hub->slice - n);
	return hub->fans != NULL;
}

static struct fan *
fan_of(struct hub *hub, struct topic *t)
{
	struct fan	**p;

	if (t->fan == NULL) {
		t->fan = xcalloc(1, sizeof(*t->fan));
		t->fan->topic = t;
		t->fan->cursor = t->first;
		for (p = &hub->fans; *p != NULL; p = &(*p)->next)
			;
		*p = t->fan;
	}
	return t->fan;
}

static void
bring_forward(struct hub *hub, struct fan *fan)
{
	struct fan	**p = &hub->fans;

	while (*p != fan)
		p = &(*p)->next;
	*p = fan->next;
	fan->next = hub->fans;
	hub->fans = fan;
}

static bool
is_last(const struct fan_event *e)
{
	unsigned int	 i;

	for (i = 0; i < HUB_KINDS; i++) {
		if (e->frames[i] != NULL && e->frames[i]->last)
			return true;
	}
	return false;
}

/*
 * Put an event in line for the streams of a hot job; terminal ones overtake
 * other jobs.  There is room: rounds are finished on the spot if need be.
 */
static void
fan_out(struct hub *hub, const struct uuid *job, struct fan_event *e)
{
	struct topic	*t;
	struct fan	*fan;

	while ((t = find_topic(hub, job)) != NULL && t->fan != NULL &&
	    t->fan->n == FAN_EVENTS) {
		bring_forward(hub, t->fan);
		work(hub, UINT32_MAX);
	}
	if (t == NULL) {
		drop_event(e);
		return;
	}
	fan = fan_of(hub, t);
	fan->events[fan->n++] = *e;
	if (fan->n == 1)
		fan->whole = 1;
	if (is_last(e))
		bring_forward(hub, fan);
}

void
hub_publish(struct hub *hub, const struct uuid *job, uint32_t seq,
    struct frame *frames[HUB_KINDS])
{
	struct topic		*t = find_topic(hub, job);
	struct fan_event	 e = { .seq = seq };

	memcpy(e.frames, frames, sizeof(e.frames));
	if (t != NULL && t->seq < seq)
		t->seq = seq;
	if (t != NULL && (t->n > hub->hot || t->fan != NULL)) {
		fan_out(hub, job, &e);
		return;
	}
	if (t != NULL)
		offer_all(hub, t, &e);
	drop_event(&e);
}

void
hub_drop(struct hub *hub, const struct uuid *job)
{
	struct topic	*t = find_topic(hub, job);
	int		 fd, next;

	for (fd = t == NULL ? NONE : t->first; fd != NONE; fd = next) {
		next = hub->streams[fd].next;
		finish(hub, fd, HUB_DELETED);
	}
}

static int
by_number(const void *a, const void *b)
{
	uint32_t	 x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

void
hub_revoke(struct hub *hub, const uint32_t *viewers, size_t n)
{
	int	 fd;

	for (fd = 0; fd < hub->nstreams; fd++) {
		if (hub->streams[fd].state == FOLLOWING &&
		    bsearch(&hub->streams[fd].viewer, viewers, n,
		    sizeof(*viewers), by_number) != NULL)
			finish(hub, fd, HUB_REVOKED);
	}
}

/* ---- time ---------------------------------------------------------------- */

void
hub_notice(struct hub *hub, const char *text)
{
	frame_unref(hub->keepalive_frame);
	hub->keepalive_frame = text == NULL ? frame_ref(hub->usual) :
	    frame_new(text, strlen(text), FRAME_MORE);
	hub->notices = hub->nstreams;
}

/* Whether a connection has had its time; *WHY says of what. */
static bool
overdue(const struct hub *hub, const struct stream *s, enum hub_why *why)
{
	*why = HUB_STALLED;
	if (s->now != NULL && hub->beat - s->moved >= hub->stalled)
		return true;
	*why = HUB_REFUSED;
	return s->state == READING && hub->beat - s->opened >= hub->reading;
}

/*
 * A stream is looked at once in a cycle, so it must be spoken to when its
 * silence would be too long by the next time.
 */
static void
look_at(struct hub *hub, int fd)
{
	struct stream	*s = &hub->streams[fd];
	bool		 tell = hub->notices > 0;
	enum hub_why	 why;

	if (overdue(hub, s, &why))
		end(hub, fd, why);
	else if (s->state != FOLLOWING)
		return;
	else if (s->rotate != 0 && hub->beat >= s->rotate)
		finish(hub, fd, HUB_ROTATED);
	else if (s->now == NULL && (tell ||
	    hub->beat - s->moved + hub->cycle >= hub->keepalive))
		put(hub, fd, frame_ref(hub->keepalive_frame));
	else if (s->now == NULL)
		idle(hub, fd);
}

void
hub_beat(struct hub *hub)
{
	uint32_t	 beat = now(hub), past = beat - hub->beat;
	uint64_t	 n;

	if (past > hub->cycle)
		past = hub->cycle;
	hub->beat = beat;
	n = ((uint64_t)hub->nstreams * past + hub->cycle - 1) / hub->cycle;
	if (hub->notices > 0 && n < NOTICES)
		n = NOTICES;
	if (n > (uint64_t)hub->nstreams)
		n = (uint64_t)hub->nstreams;
	for (; n > 0; n--) {
		if (hub->cursor >= hub->nstreams)
			hub->cursor = 0;
		if (hub->streams[hub->cursor].state != FREE)
			look_at(hub, hub->cursor);
		hub->cursor++;
		if (hub->notices > 0)
			hub->notices--;
	}
}

void
hub_stop(struct hub *hub)
{
	int	 fd;

	for (fd = 0; fd < hub->nstreams; fd++) {
		if (hub->streams[fd].state == READING ||
		    hub->streams[fd].state == OPENING)
			end(hub, fd, HUB_STOPPED);
		else if (hub->streams[fd].state == FOLLOWING)
			finish(hub, fd, HUB_STOPPED);
	}
}

static void
free_node(struct table_node *node, void *arg)
{
	free_topic(arg, (struct topic *)node);
}

void
hub_free(struct hub *hub)
{
	int	 fd;

	if (hub == NULL)
		return;
	for (fd = 0; fd < hub->nstreams; fd++) {
		frame_unref(hub->streams[fd].now);
		frame_unref(hub->streams[fd].then);
	}
	table_each(&hub->topics, free_node, hub);
	table_free(&hub->topics);
	frame_unref(hub->usual);
	frame_unref(hub->keepalive_frame);
	frame_unref(hub->end_frame);
	free(hub->streams);
	free(hub);
}
