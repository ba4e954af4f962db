/*
 * A request is taken off a connection only when it is whole and well formed,
 * without waiting, and the descriptor is ours afterwards.  This also watches
 * the fields of libfcgi that accept.c sets.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "accept.h"
#include "frame.h"

/* Bytes of a request under construction. */
struct bytes {
	unsigned char	 p[2 * ACCEPT_MAX];
	size_t		 len;
};

static void
record(struct bytes *b, unsigned int type, unsigned int id, const void *p,
    size_t len, size_t padding)
{
	unsigned char	*q = b->p + b->len;

	q[0] = 1;
	q[1] = (unsigned char)type;
	q[2] = (unsigned char)(id >> 8);
	q[3] = (unsigned char)id;
	q[4] = (unsigned char)(len >> 8);
	q[5] = (unsigned char)len;
	q[6] = (unsigned char)padding;
	q[7] = 0;
	if (len > 0)
		memcpy(q + 8, p, len);
	memset(q + 8 + len, 0, padding);
	b->len += 8 + len + padding;
}

static void
begin(struct bytes *b)
{
	record(b, FRAME_BEGIN_REQUEST, 1, "\0\1\0\0\0\0\0\0", 8, 0);
}

static void
params(struct bytes *b, const void *p, size_t len)
{
	record(b, FRAME_PARAMS, 1, p, len, 0);
}

static size_t
put_length(unsigned char *p, size_t len)
{
	if (len < 128) {
		p[0] = (unsigned char)len;
		return 1;
	}
	p[0] = (unsigned char)(len >> 24 | 0x80);
	p[1] = (unsigned char)(len >> 16);
	p[2] = (unsigned char)(len >> 8);
	p[3] = (unsigned char)len;
	return 4;
}

/* A name and a value, as in FCGI_PARAMS. */
static size_t
pair(unsigned char *p, const char *name, const char *value)
{
	size_t	 n = put_length(p, strlen(name));

	n += put_length(p + n, strlen(value));
	memcpy(p + n, name, strlen(name));
	n += strlen(name);
	memcpy(p + n, value, strlen(value));
	return n + strlen(value);
}

/* What nginx sends for a GET. */
static void
request(struct bytes *b)
{
	unsigned char	 p[1024];
	size_t		 n = 0;

	b->len = 0;
	n += pair(p + n, "REQUEST_METHOD", "GET");
	n += pair(p + n, "QUERY_STRING", "");
	n += pair(p + n, "DOCUMENT_URI", "/jobs/x/stream");
	begin(b);
	params(b, p, n);
	params(b, NULL, 0);
	record(b, 5, 1, NULL, 0, 0);	/* no body */
}

/* ---- tests --------------------------------------------------------------- */

static void
every_beginning_of_a_request_is_incomplete(void **state)
{
	struct bytes	 b;
	const char	*why;
	unsigned char	*copy;
	size_t		 n;

	(void)state;
	request(&b);
	for (n = 0; n <= b.len; n++) {
		copy = malloc(n + 1);	/* exact size, for the sanitizer */
		memcpy(copy, b.p, n);
		assert_int_equal(accept_judge(copy, n, &why),
		    n == 0 ? ACCEPT_NOTHING :
		    n < b.len - 8 ? ACCEPT_MORE : ACCEPT_READY);
		free(copy);
	}
}

static void
refuses_what_libfcgi_would_choke_on(void **state)
{
	static const struct {
		const char	*what;
		const char	*pairs;
		size_t		 len;
	} cases[] = {
		{ "a length cut", "\x80\0\0", 3 },
		{ "a value's length missing", "\1", 1 },
		{ "a name beyond the end", "\5\0abc", 5 },
		{ "a value beyond the end", "\1\5abc", 5 },
		{ "lengths that overflow an int",
		    "\xff\xff\xff\xff\xff\xff\xff\xff", 8 },
		{ "lengths that wrap when added",
		    "\xc0\0\0\0\xc0\0\0\0", 8 },
		{ "no name", "\0\1a", 3 },
		{ "a name with =", "\2\0A=", 4 },
		{ "a NUL in a value", "\1\1A\0", 4 },
	};
	struct bytes	 b;
	const char	*why;
	size_t		 i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		b.len = 0;
		begin(&b);
		params(&b, cases[i].pairs, cases[i].len);
		params(&b, NULL, 0);
		if (accept_judge(b.p, b.len, &why) != ACCEPT_BAD)
			fail_msg("%s", cases[i].what);
	}
}

static void
refuses_what_is_no_request(void **state)
{
	static const struct {
		const char	*what;
		unsigned int	 type, id;
		const char	*body;
		size_t		 len;
	} cases[] = {
		{ "parameters first", FRAME_PARAMS, 1, "", 0 },
		{ "a management record", 9, 0, "\17\0FCGI_MAX_CONNS", 17 },
		{ "an authorizer's request", FRAME_BEGIN_REQUEST, 1,
		    "\0\2\0\0\0\0\0\0", 8 },
		{ "another id", FRAME_BEGIN_REQUEST, 2,
		    "\0\1\0\0\0\0\0\0", 8 },
		{ "a short beginning", FRAME_BEGIN_REQUEST, 1, "\0\1", 2 },
	};
	struct bytes	 b;
	const char	*why;
	size_t		 i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		b.len = 0;
		record(&b, cases[i].type, cases[i].id, cases[i].body,
		    cases[i].len, 0);
		params(&b, NULL, 0);
		if (accept_judge(b.p, b.len, &why) != ACCEPT_BAD)
			fail_msg("%s", cases[i].what);
	}
	assert_int_equal(accept_judge((const unsigned char *)
	    "GET / HTTP/1.1\r\n\r\n", 18, &why), ACCEPT_BAD);
}

static void
the_second_beginning_is_refused(void **state)
{
	struct bytes	 b = { .len = 0 };
	const char	*why;

	(void)state;
	begin(&b);
	begin(&b);
	assert_int_equal(accept_judge(b.p, b.len, &why), ACCEPT_BAD);
}

static void
parameters_are_bounded(void **state)
{
	static unsigned char	 value[ACCEPT_MAX];
	struct bytes		 b = { .len = 0 };
	const char		*why;

	(void)state;
	begin(&b);
	params(&b, value, 60000);
	assert_int_equal(accept_judge(b.p, b.len, &why), ACCEPT_MORE);
	params(&b, value, 8000);
	/* Known to be too long as soon as the header says so. */
	assert_int_equal(accept_judge(b.p, 16 + 60008 + 8, &why), ACCEPT_BAD);
	assert_int_equal(accept_judge(b.p, b.len, &why), ACCEPT_BAD);
}

static void
a_pair_may_lie_in_two_records(void **state)
{
	unsigned char	 p[300];
	char		 value[200];
	struct bytes	 b = { .len = 0 };
	const char	*why;
	size_t		 n;

	(void)state;
	memset(value, 'v', sizeof(value) - 1);
	value[sizeof(value) - 1] = '\0';
	n = pair(p, "HTTP_COOKIE", value);
	begin(&b);
	record(&b, FRAME_PARAMS, 1, p, 3, 5);
	record(&b, FRAME_PARAMS, 1, p + 3, n - 3, 200);
	params(&b, NULL, 0);
	assert_int_equal(accept_judge(b.p, b.len, &why), ACCEPT_READY);
}

static void
send_all(int fd, const struct bytes *b)
{
	assert_int_equal(send(fd, b->p, b->len, 0), b->len);
}

/* Whether ENV has exactly this NAME=VALUE. */
static bool
has(char **env, const char *text)
{
	while (*env != NULL && strcmp(*env, text) != 0)
		env++;
	return *env != NULL;
}

static double
seconds(void)
{
	struct timespec	 ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void
takes_a_request_and_leaves_the_descriptor(void **state)
{
	static const char *const wanted[] = { "REQUEST_METHOD=GET",
	    "QUERY_STRING=", "DOCUMENT_URI=/jobs/x/stream", NULL };
	struct bytes	 b;
	const char	*why;
	char		**env, answer[8];
	int		 fds[2], i, copy;

	(void)state;
	request(&b);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0,
	    fds), 0);
	assert_int_equal(accept_peek(fds[0], &why), ACCEPT_NOTHING);
	send_all(fds[1], &b);
	assert_int_equal(accept_peek(fds[0], &why), ACCEPT_READY);
	assert_int_equal(accept_peek(fds[0], &why), ACCEPT_READY);
	env = accept_take(fds[0]);
	assert_non_null(env);
	for (i = 0; wanted[i] != NULL; i++)
		assert_true(has(env, wanted[i]));
	free(env);
	/* Nothing was written, and it is open in both directions. */
	assert_int_equal(recv(fds[1], answer, 8, MSG_DONTWAIT), -1);
	assert_int_equal(send(fds[0], "x", 1, 0), 1);
	assert_int_equal(recv(fds[1], answer, 8, 0), 1);
	assert_int_equal(accept_drain(fds[0]), 0);
	/* Nor was a descriptor left behind. */
	copy = dup(fds[0]);
	assert_int_equal(copy, fds[1] + 1);
	close(copy);
	close(fds[1]);
	assert_int_equal(accept_drain(fds[0]), -1);
	close(fds[0]);
}

static void
takes_the_longest_request(void **state)
{
	static unsigned char	 p[ACCEPT_MAX];
	static char		 value[65001] = "HTTP_COOKIE=";
	const size_t		 name = strlen(value);
	struct bytes		 b = { .len = 0 };
	const char		*why;
	char			**env;
	int			 fds[2], size = 4 * ACCEPT_MAX;

	(void)state;
	memset(value + name, 'v', sizeof(value) - name - 1);
	begin(&b);
	params(&b, p, pair(p, "HTTP_COOKIE", value + name));
	params(&b, NULL, 0);
	record(&b, 5, 1, "a body", 6, 2);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0,
	    fds), 0);
	setsockopt(fds[1], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	send_all(fds[1], &b);
	assert_int_equal(accept_peek(fds[0], &why), ACCEPT_READY);
	env = accept_take(fds[0]);
	assert_non_null(env);
	assert_true(has(env, value));
	free(env);
	assert_int_equal(accept_drain(fds[0]), 0);
	close(fds[0]);
	close(fds[1]);
}

/* What accept_judge lets pass by mistake must not stop the loop either. */
static void
what_libfcgi_refuses_takes_no_time(void **state)
{
	struct bytes	 b = { .len = 0 };
	double		 begun = seconds();
	int		 fds[2];

	(void)state;
	params(&b, NULL, 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0,
	    fds), 0);
	send_all(fds[1], &b);
	assert_null(accept_take(fds[0]));
	assert_true(seconds() - begun < 0.5);
	assert_int_equal(close(fds[0]), 0);
	close(fds[1]);
}

static void
survives_rubbish(void **state)
{
	struct bytes	 b;
	const char	*why;
	unsigned char	*copy;
	int		 i, k;

	(void)state;
	srandom(1);
	for (i = 0; i < 200000; i++) {
		request(&b);
		b.len -= (size_t)random() % b.len;
		for (k = (int)random() % 4; k > 0; k--)
			b.p[(size_t)random() % b.len] =
			    (unsigned char)random();
		copy = malloc(b.len);
		memcpy(copy, b.p, b.len);
		(void)accept_judge(copy, b.len, &why);
		free(copy);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_beginning_of_a_request_is_incomplete),
		cmocka_unit_test(refuses_what_libfcgi_would_choke_on),
		cmocka_unit_test(refuses_what_is_no_request),
		cmocka_unit_test(the_second_beginning_is_refused),
		cmocka_unit_test(parameters_are_bounded),
		cmocka_unit_test(a_pair_may_lie_in_two_records),
		cmocka_unit_test(takes_a_request_and_leaves_the_descriptor),
		cmocka_unit_test(takes_the_longest_request),
		cmocka_unit_test(what_libfcgi_refuses_takes_no_time),
		cmocka_unit_test(survives_rubbish),
	};

	accept_start();
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
