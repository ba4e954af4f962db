/*
 * The hub gives each stream every event of its job once, in order, whatever
 * its reader does, and nobody waits for a slow one.
 *
 * The world around the hub is made of variables here: a reader takes as many
 * bytes as it has room for, and the event table is a number for each job.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "frame.h"
#include "hub.h"

#define FDS	4000
#define JOBS	8
#define NEEDS	20000

/* One reader. */
struct reader {
	uint32_t	 serial;
	size_t		 room;		/* bytes it takes now */
	bool		 gone;		/* it hung up */
	bool		 awaited;	/* the hub wants to know of room */
	bool		 ended;
	enum hub_why	 why;
	unsigned char	*p;		/* all that it got */
	size_t		 len, size;
};

static struct reader	 readers[FDS];
static struct hub_need	 needs[NEEDS];
static size_t		 nneeds;
static struct hub	*hub;
static uint64_t		 clock_ms;

static ssize_t
fake_send(void *arg, int fd, const void *p, size_t len)
{
	struct reader	*r = &readers[fd];

	(void)arg;
	assert_false(r->ended);
	if (r->gone)
		return -1;
	if (len > r->room)
		len = r->room;
	r->room -= len;
	if (r->len + len > r->size) {
		r->size = (r->len + len) * 2;
		r->p = realloc(r->p, r->size);
	}
	if (len > 0)
		memcpy(r->p + r->len, p, len);
	r->len += len;
	return (ssize_t)len;
}

static void
fake_await(void *arg, int fd)
{
	(void)arg;
	assert_false(readers[fd].awaited);
	readers[fd].awaited = true;
}

static void
fake_relax(void *arg, int fd)
{
	(void)arg;
	assert_true(readers[fd].awaited);
	readers[fd].awaited = false;
}

static void
fake_fetch(void *arg, const struct hub_need *need)
{
	(void)arg;
	assert_true(nneeds < NEEDS);
	needs[nneeds++] = *need;
}

static void
fake_ended(void *arg, const struct hub_ended *e)
{
	(void)arg;
	assert_int_equal(e->serial, readers[e->fd].serial);
	assert_false(readers[e->fd].ended);
	readers[e->fd].ended = true;
	readers[e->fd].awaited = false;
	readers[e->fd].why = e->why;
}

static const struct hub_io	io = {
	.send = fake_send, .await = fake_await, .relax = fake_relax,
	.fetch = fake_fetch, .ended = fake_ended,
};

static void
start(unsigned int hot, unsigned int slice)
{
	struct hub_settings	 set = {
		.keepalive_s = 15, .stalled_s = 60, .reading_s = 5,
		.hot = hot, .slice = slice,
	};

	memset(readers, 0, sizeof(readers));
	nneeds = 0;
	clock_ms = 1000000;
	hub = hub_new(&io, NULL, &set, clock_ms);
}

static int
set_up(void **state)
{
	(void)state;
	start(1000, 500);
	return 0;
}

static int
tear_down(void **state)
{
	int	 fd;

	(void)state;
	hub_free(hub);
	for (fd = 0; fd < FDS; fd++)
		free(readers[fd].p);
	return 0;
}

/* ---- words for the tests ------------------------------------------------- */

#define PLENTY	((size_t)1 << 40)

static struct uuid
job(unsigned int n)
{
	struct uuid	 id = { { 1, (unsigned char)n } };

	id.b[15] = (unsigned char)n;
	return id;
}

static struct frame *
text_frame(enum frame_end end, const char *text)
{
	return frame_new(text, strlen(text), end);
}

/* What a reader got, without FastCGI around it; "$" is the request's end. */
static const char *
text_of(int fd)
{
	static char	 text[1 << 20];
	struct reader	*r = &readers[fd];
	size_t		 at, len, n = 0;

	for (at = 0; at + 8 <= r->len; at += 8 + len + r->p[at + 6]) {
		len = (size_t)r->p[at + 4] << 8 | r->p[at + 5];
		assert_int_equal(r->p[at], 1);
		assert_int_equal(r->p[at + 3], 1);
		assert_int_equal((8 + len + r->p[at + 6]) % 8, 0);
		if (r->p[at + 1] == FRAME_END_REQUEST)
			text[n++] = '$';
		else if (at + 8 + len <= r->len) {
			memcpy(text + n, r->p + at + 8, len);
			n += len;
		}
	}
	text[n] = '\0';
	return text;
}

static void
add(int fd)
{
	free(readers[fd].p);
	memset(&readers[fd], 0, sizeof(readers[fd]));
	readers[fd].room = PLENTY;
	readers[fd].serial = hub_add(hub, fd);
	hub_opening(hub, fd);
}

/* A stream that has SEQ of LATEST events. */
static void
join(int fd, unsigned int n, uint32_t seq, uint32_t latest)
{
	struct hub_join	 j = { .job = job(n), .seq = seq, .latest = latest,
		.viewer = (uint32_t)fd };

	add(fd);
	assert_int_equal(hub_join(hub, fd, readers[fd].serial, &j,
	    text_frame(FRAME_MORE, "<")), 0);
}

static void
publish(unsigned int n, uint32_t seq, enum frame_end end)
{
	struct frame	*frames[HUB_KINDS] = { NULL };
	struct uuid	 id = job(n);
	char		 text[16];

	snprintf(text, sizeof(text), "%u;", seq);
	frames[0] = text_frame(end, text);
	frames[0]->events = 1;
	hub_publish(hub, &id, seq, frames);
}

/* Answer the oldest need with the events up to SEQ. */
static void
serve(uint32_t seq, enum frame_end end)
{
	struct hub_need	 need = needs[0];
	char		 text[4096] = "";
	uint32_t	 i;

	assert_true(nneeds > 0);
	memmove(needs, needs + 1, --nneeds * sizeof(needs[0]));
	if (seq <= need.after) {
		hub_catch_up(hub, need.fd, need.serial, NULL, 0);
		return;
	}
	for (i = need.after + 1; i <= seq; i++)
		sprintf(text + strlen(text), "%u;", i);
	hub_catch_up(hub, need.fd, need.serial,
	    frame_new(text, strlen(text), end), seq);
}

static void
take(int fd, size_t room)
{
	readers[fd].room = room;
	if (readers[fd].awaited)
		hub_writable(hub, fd);
}

/* Let time pass. */
static void
wait_s(unsigned int seconds)
{
	unsigned int	 i;

	for (i = 0; i < seconds * 10; i++) {
		clock_ms += 100;
		hub_clock(hub, clock_ms);
		hub_beat(hub);
	}
}

/* ---- tests --------------------------------------------------------------- */

static void
events_go_out_in_order(void **state)
{
	(void)state;
	join(5, 1, 3, 3);
	join(6, 2, 0, 0);
	publish(1, 3, FRAME_MORE);	/* it was in the snapshot */
	publish(1, 4, FRAME_MORE);
	publish(1, 4, FRAME_MORE);
	publish(2, 1, FRAME_MORE);
	publish(1, 5, FRAME_LAST);
	assert_string_equal(text_of(5), "<4;5;$");
	assert_true(readers[5].ended);
	assert_int_equal(readers[5].why, HUB_DONE);
	assert_string_equal(text_of(6), "<1;");
	assert_false(readers[6].ended);
	publish(1, 6, FRAME_MORE);	/* nobody follows it any more */
	assert_int_equal(hub_size(hub), 1);
	assert_int_equal(hub_stats(hub)->events[0], 3);
	assert_int_equal(nneeds, 0);
}

static void
an_answer_is_no_stream(void **state)
{
	uint32_t	 old;

	(void)state;
	add(7);
	readers[7].room = 3;
	hub_answer(hub, 7, readers[7].serial, text_frame(FRAME_LAST, "no"));
	assert_false(readers[7].ended);
	take(7, PLENTY);
	assert_string_equal(text_of(7), "no$");
	assert_int_equal(readers[7].why, HUB_ANSWERED);
	/* The descriptor is another's when a late answer comes. */
	old = readers[7].serial;
	add(7);
	hub_answer(hub, 7, old, text_frame(FRAME_LAST, "late"));
	assert_false(readers[7].ended);
	assert_string_equal(text_of(7), "");
}

static void
a_slow_reader_is_served_later(void **state)
{
	(void)state;
	join(5, 1, 0, 0);
	join(6, 1, 0, 0);
	readers[5].room = 10;
	publish(1, 1, FRAME_MORE);	/* partly sent */
	publish(1, 2, FRAME_MORE);	/* kept */
	publish(1, 3, FRAME_MORE);	/* not kept */
	publish(1, 4, FRAME_MORE);
	assert_string_equal(text_of(6), "<1;2;3;4;");
	assert_int_equal(nneeds, 0);	/* it holds all it can */
	take(5, PLENTY);
	assert_string_equal(text_of(5), "<1;2;");
	assert_int_equal(nneeds, 1);
	assert_int_equal(needs[0].after, 2);
	publish(1, 5, FRAME_MORE);	/* while it waits for 3 and 4 */
	serve(4, FRAME_MORE);
	assert_int_equal(nneeds, 1);
	serve(5, FRAME_MORE);
	publish(1, 6, FRAME_LAST);
	assert_string_equal(text_of(5), "<1;2;3;4;5;6;$");
	assert_string_equal(text_of(6), "<1;2;3;4;5;6;$");
}

static void
the_end_comes_from_the_table_too(void **state)
{
	(void)state;
	join(5, 1, 0, 0);
	readers[5].room = 0;
	publish(1, 1, FRAME_MORE);
	publish(1, 2, FRAME_MORE);
	publish(1, 3, FRAME_LAST);
	take(5, PLENTY);
	serve(3, FRAME_LAST);
	assert_string_equal(text_of(5), "<1;2;3;$");
	assert_int_equal(readers[5].why, HUB_DONE);
	assert_int_equal(hub_size(hub), 0);
}

static void
who_joins_with_old_events_catches_up(void **state)
{
	(void)state;
	join(5, 1, 2, 9);
	assert_string_equal(text_of(5), "<");
	assert_int_equal(nneeds, 1);
	publish(1, 10, FRAME_MORE);	/* while it joins */
	serve(6, FRAME_MORE);		/* a part */
	serve(10, FRAME_MORE);
	publish(1, 11, FRAME_MORE);
	assert_string_equal(text_of(5), "<3;4;5;6;7;8;9;10;11;");
	assert_int_equal(nneeds, 0);
}

static void
a_gap_is_filled(void **state)
{
	(void)state;
	join(5, 1, 1, 1);
	publish(1, 4, FRAME_MORE);
	assert_int_equal(nneeds, 1);
	publish(1, 5, FRAME_MORE);
	assert_int_equal(nneeds, 1);	/* asked once */
	serve(5, FRAME_MORE);
	assert_string_equal(text_of(5), "<2;3;4;5;");
}

static void
nothing_yet_is_asked_again(void **state)
{
	(void)state;
	join(5, 1, 1, 3);
	serve(1, FRAME_MORE);		/* a replica may lag */
	assert_int_equal(nneeds, 0);
	wait_s(10);
	assert_int_equal(nneeds, 1);
	serve(3, FRAME_MORE);
	assert_string_equal(text_of(5), "<2;3;");
}

static void
silence_is_broken_in_time(void **state)
{
	unsigned int	 i, since = 0, fd;
	size_t		 len;

	(void)state;
	for (fd = 5; fd < 15; fd++)
		join((int)fd, fd % JOBS, 0, 0);
	len = readers[9].len;
	for (i = 0; i < 1200; i++) {
		clock_ms += 100;
		hub_clock(hub, clock_ms);
		hub_beat(hub);
		since = readers[9].len == len ? since + 1 : 0;
		len = readers[9].len;
		assert_true(since <= 150);
		if (i == 401)
			publish(9 % JOBS, 1, FRAME_MORE);
	}
	/* And no more often than it must be: three times in 45 s at most. */
	assert_true(strlen(text_of(9)) <= strlen("<1;") + 12 * strlen(":\n\n"));
}

static void
a_reader_that_takes_nothing_is_closed(void **state)
{
	(void)state;
	join(5, 1, 0, 0);
	join(6, 1, 0, 0);
	readers[5].room = 2;
	publish(1, 1, FRAME_MORE);
	wait_s(58);
	assert_false(readers[5].ended);
	hub_writable(hub, 5);		/* it takes none, after all */
	wait_s(8);
	assert_true(readers[5].ended);
	assert_int_equal(readers[5].why, HUB_STALLED);
	assert_false(readers[6].ended);
}

static void
a_reader_that_takes_a_little_is_not(void **state)
{
	unsigned int	 i;

	(void)state;
	join(5, 1, 0, 0);
	readers[5].room = 0;
	publish(1, 1, FRAME_MORE);
	for (i = 0; i < 8; i++) {
		wait_s(40);
		take(5, 1);
	}
	assert_false(readers[5].ended);
}

static void
a_request_must_arrive(void **state)
{
	(void)state;
	memset(&readers[5], 0, sizeof(readers[5]));
	readers[5].serial = hub_add(hub, 5);
	assert_int_equal(hub_reading(hub, 5), readers[5].serial);
	wait_s(4);
	assert_false(readers[5].ended);
	wait_s(7);
	assert_true(readers[5].ended);
	assert_int_equal(readers[5].why, HUB_REFUSED);
	/* One that waits for the poller has no such limit. */
	add(6);
	wait_s(100);
	assert_false(readers[6].ended);
}

static void
old_streams_rotate(void **state)
{
	struct hub_join	 j = { .job = job(1), .rotate_s = 100 };

	(void)state;
	add(5);
	hub_join(hub, 5, readers[5].serial, &j, text_frame(FRAME_MORE, "<"));
	join(6, 1, 0, 0);
	wait_s(99);
	assert_false(readers[5].ended);
	wait_s(7);
	assert_true(readers[5].ended);
	assert_int_equal(readers[5].why, HUB_ROTATED);
	assert_non_null(strchr(text_of(5), '$'));
	assert_false(readers[6].ended);
}

static void
revoked_ones_end(void **state)
{
	static const uint32_t	 revoked[] = { 5, 7 };

	(void)state;
	join(5, 1, 0, 0);
	join(6, 1, 0, 0);
	join(7, 2, 0, 0);
	readers[7].room = 2;
	publish(2, 1, FRAME_MORE);
	publish(2, 2, FRAME_MORE);
	hub_revoke(hub, revoked, 2);
	assert_int_equal(readers[5].why, HUB_REVOKED);
	assert_false(readers[6].ended);
	/* What was begun is finished, or the record would be cut; no more. */
	take(7, PLENTY);
	assert_string_equal(text_of(7), "<1;$");
}

static void
a_deleted_job_ends_its_streams(void **state)
{
	struct uuid	 id = job(1);

	(void)state;
	join(5, 1, 0, 0);
	join(6, 2, 0, 0);
	hub_drop(hub, &id);
	assert_string_equal(text_of(5), "<$");
	assert_int_equal(readers[5].why, HUB_DELETED);
	assert_false(readers[6].ended);
	hub_drop(hub, &id);
}

static void
stopping_ends_all_cleanly(void **state)
{
	(void)state;
	join(5, 1, 0, 0);
	add(6);
	join(7, 1, 0, 0);
	readers[7].room = 0;
	publish(1, 1, FRAME_MORE);
	hub_stop(hub);
	assert_string_equal(text_of(5), "<1;$");
	assert_int_equal(readers[6].why, HUB_STOPPED);
	assert_int_equal(hub_size(hub), 1);
	take(7, PLENTY);
	assert_string_equal(text_of(7), "<1;$");
	assert_int_equal(hub_size(hub), 0);
}

static void
a_peer_that_leaves_is_forgotten(void **state)
{
	(void)state;
	join(5, 1, 0, 0);
	join(6, 1, 0, 0);
	join(7, 1, 0, 0);
	readers[6].gone = true;		/* found out by a send */
	publish(1, 1, FRAME_MORE);
	assert_int_equal(readers[6].why, HUB_LEFT);
	hub_gone(hub, 5);
	assert_int_equal(readers[5].why, HUB_LEFT);
	publish(1, 2, FRAME_MORE);
	assert_string_equal(text_of(7), "<1;2;");
	hub_gone(hub, 5);
	hub_gone(hub, 3999);
	hub_writable(hub, 5);
	assert_int_equal(hub_size(hub), 1);
}

static void
a_notice_reaches_all(void **state)
{
	(void)state;
	join(5, 1, 0, 0);
	join(6, 2, 0, 0);
	hub_notice(hub, ": away\n\n");
	wait_s(1);
	assert_string_equal(text_of(5), "<: away\n\n");
	assert_string_equal(text_of(6), "<: away\n\n");
	wait_s(15);
	assert_string_equal(text_of(5), "<: away\n\n: away\n\n");
	hub_notice(hub, NULL);
	wait_s(1);
	assert_string_equal(text_of(5), "<: away\n\n: away\n\n:\n\n");
}

static void
a_long_frame_is_several_records(void **state)
{
	static char	 text[200001];
	struct frame	*f;

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	add(5);
	f = frame_new(text, sizeof(text) - 1, FRAME_LAST);
	hub_answer(hub, 5, readers[5].serial, f);
	assert_int_equal(strlen(text_of(5)), sizeof(text));
	assert_memory_equal(text_of(5), text, sizeof(text) - 1);
}

/* ---- jobs that very many follow ------------------------------------------ */

#define MANY	3000

static void
a_hot_job_goes_out_in_slices(void **state)
{
	int	 fd, slices, got = 0;

	(void)state;
	for (fd = 5; fd < 5 + MANY; fd++)
		join(fd, 1, 0, 0);
	join(3999, 2, 0, 0);
	publish(1, 1, FRAME_MORE);
	assert_true(hub_slice(hub));
	for (fd = 5; fd < 5 + MANY; fd++)
		got += strcmp(text_of(fd), "<1;") == 0;
	assert_in_range(got, 100, 1000);
	publish(2, 1, FRAME_MORE);	/* does not wait */
	assert_string_equal(text_of(3999), "<1;");
	publish(1, 2, FRAME_MORE);	/* in the middle of the round */
	for (fd = 5; fd < 5 + MANY; fd += 3)
		hub_gone(hub, fd);
	join(3998, 1, 2, 2);
	publish(1, 3, FRAME_LAST);
	for (slices = 0; hub_slice(hub); slices++)
		assert_true(slices < 100);
	for (fd = 5; fd < 5 + MANY; fd++) {
		assert_true(readers[fd].ended);
		if ((fd - 5) % 3 != 0)
			assert_string_equal(text_of(fd), "<1;2;3;$");
	}
	assert_string_equal(text_of(3998), "<3;$");
	assert_int_equal(hub_size(hub), 1);
	assert_int_equal(nneeds, 0);
}

static void
the_end_of_a_hot_job_comes_first(void **state)
{
	int	 fd, ended = 0;

	(void)state;
	for (fd = 5; fd < 5 + MANY; fd++)
		join(fd, 1 + (unsigned int)fd % 2, 0, 0);
	publish(1, 1, FRAME_MORE);
	publish(2, 1, FRAME_LAST);
	assert_true(hub_slice(hub));
	for (fd = 5; fd < 5 + MANY; fd++)
		ended += readers[fd].ended;
	assert_int_equal(ended, 500);
	while (hub_slice(hub))
		;
	for (fd = 5; fd < 5 + MANY; fd++)
		assert_string_equal(text_of(fd), fd % 2 ? "<1;$" : "<1;");
}

static void
many_events_of_a_hot_job_are_not_dropped(void **state)
{
	char		 all[512] = "<";
	uint32_t	 seq;
	int		 fd;

	(void)state;
	for (fd = 5; fd < 5 + MANY; fd++)
		join(fd, 1, 0, 0);
	for (seq = 1; seq <= 40; seq++) {
		publish(1, seq, FRAME_MORE);
		sprintf(all + strlen(all), "%u;", seq);
	}
	while (hub_slice(hub))
		;
	for (fd = 5; fd < 5 + MANY; fd++)
		assert_string_equal(text_of(fd), all);
	assert_int_equal(nneeds, 0);
}

/* ---- anything at all ----------------------------------------------------- */

#define SEEDS	300
#define STEPS	600
#define STREAMS	24

/* The event table, and how far its events were handed to the hub. */
static uint32_t	 table[JOBS], handed[JOBS];
static bool	 over[JOBS];		/* the last one is terminal */
static uint32_t	 begun[FDS];		/* what a stream had when it joined */
static unsigned int follows[FDS];

static void
hand_on(unsigned int n)
{
	if (handed[n] < table[n]) {
		handed[n]++;
		publish(n, handed[n], over[n] && handed[n] == table[n] ?
		    FRAME_LAST : FRAME_MORE);
	}
}

static void
serve_need(void)
{
	unsigned int	 n = needs[0].job.b[1];
	uint32_t	 upto = needs[0].after + 1 + (uint32_t)random() % 4;

	if (upto > table[n])
		upto = table[n];
	serve(upto, over[n] && upto == table[n] ? FRAME_LAST : FRAME_MORE);
}

static void
join_somewhere(int fd)
{
	unsigned int	 n = (unsigned int)random() % JOBS;

	if (over[n])
		return;
	follows[fd] = n;
	begun[fd] = (uint32_t)random() % (table[n] + 1);
	if (random() % 2)
		begun[fd] = table[n];
	join(fd, n, begun[fd], table[n]);
}

static void
step(void)
{
	int		 fd = 5 + (int)(random() % STREAMS);
	unsigned int	 n = (unsigned int)random() % JOBS;
	bool		 open = readers[fd].serial != 0 && !readers[fd].ended;

	switch (random() % 9) {
	case 0:
		if (!open)
			join_somewhere(fd);
		break;
	case 1:
	case 2:
		if (!over[n]) {
			table[n]++;
			over[n] = random() % 20 == 0;
		}
		break;
	case 3:
	case 4:
		hand_on(n);
		break;
	case 5:
		if (nneeds > 0)
			serve_need();
		break;
	case 6:
		if (open)
			take(fd, random() % 3 ? (size_t)random() % 40 : PLENTY);
		break;
	case 7:
		clock_ms += 500;	/* never so long that one is stalled */
		hub_clock(hub, clock_ms);
		hub_beat(hub);
		break;
	case 8:
		hub_slice(hub);
		break;
	}
}

/* What a reader got, without the keep-alives in between. */
static const char *
events_of(int fd)
{
	static char	 got[8192];
	const char	*p = text_of(fd);
	size_t		 n = 0;

	while (*p != '\0') {
		if (strncmp(p, ":\n\n", 3) == 0)
			p += 3;
		else
			got[n++] = *p++;
	}
	got[n] = '\0';
	return got;
}

static void
got_all(unsigned int seed, int fd)
{
	char		 all[8192] = "<";
	uint32_t	 seq;

	for (seq = begun[fd] + 1; seq <= table[follows[fd]]; seq++)
		sprintf(all + strlen(all), "%u;", seq);
	if (over[follows[fd]])
		strcat(all, "$");
	if (strcmp(events_of(fd), all) != 0)
		fail_msg("seed %u, stream %d: %s, not %s", seed, fd,
		    events_of(fd), all);
	if (readers[fd].ended)
		assert_int_equal(readers[fd].why, HUB_DONE);
	assert_int_equal(readers[fd].ended, over[follows[fd]]);
}

/* Let everybody read to the end, and see that all of it arrived. */
static void
settle(unsigned int seed)
{
	int	 fd, i;

	for (i = 0; i < 2000; i++) {
		for (fd = 5; fd < 5 + STREAMS; fd++) {
			if (readers[fd].serial != 0 && !readers[fd].ended)
				take(fd, PLENTY);
		}
		hand_on((unsigned int)i % JOBS);
		if (nneeds > 0)
			serve_need();
		hub_slice(hub);
		if (i % 100 == 0)
			wait_s(6);
	}
	for (fd = 5; fd < 5 + STREAMS; fd++) {
		if (readers[fd].serial != 0)
			got_all(seed, fd);
	}
}

static void
nothing_is_lost_in_any_order(void **state)
{
	unsigned int	 seed, i;

	for (seed = 1; seed <= SEEDS; seed++) {
		tear_down(state);
		start(seed % 2 ? 1000 : 2, 1 + seed % 5);
		memset(table, 0, sizeof(table));
		memset(handed, 0, sizeof(handed));
		memset(over, 0, sizeof(over));
		srandom(seed);
		for (i = 0; i < STEPS; i++)
			step();
		settle(seed);
	}
}

#define T(test)	cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(events_go_out_in_order),
		T(an_answer_is_no_stream),
		T(a_slow_reader_is_served_later),
		T(the_end_comes_from_the_table_too),
		T(who_joins_with_old_events_catches_up),
		T(a_gap_is_filled),
		T(nothing_yet_is_asked_again),
		T(silence_is_broken_in_time),
		T(a_reader_that_takes_nothing_is_closed),
		T(a_reader_that_takes_a_little_is_not),
		T(a_request_must_arrive),
		T(old_streams_rotate),
		T(revoked_ones_end),
		T(a_deleted_job_ends_its_streams),
		T(stopping_ends_all_cleanly),
		T(a_peer_that_leaves_is_forgotten),
		T(a_notice_reaches_all),
		T(a_long_frame_is_several_records),
		T(a_hot_job_goes_out_in_slices),
		T(the_end_of_a_hot_job_comes_first),
		T(many_events_of_a_hot_job_are_not_dropped),
		T(nothing_is_lost_in_any_order),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
