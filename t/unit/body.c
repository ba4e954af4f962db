/*
 * A body is what its records hold, however they are cut and padded, and ends
 * where it says so; anything else among them is no body.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "body.h"

#define HEAD(type, len, padding)	"\1" type "\0\1\0" len padding "\0"

/* Both ends of a connection. */
struct ends {
	struct body	 body;
	int		 peer;
};

static void
connect_both(struct ends *e)
{
	int	 fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	memset(e, 0, sizeof(*e));
	e->body.fd = fds[0];
	e->peer = fds[1];
}

static void
close_both(struct ends *e)
{
	close(e->body.fd);
	close(e->peer);
}

static void
say(struct ends *e, const char *bytes, size_t len)
{
	assert_int_equal(send(e->peer, bytes, len, 0), len);
}

static void
reads_what_the_records_hold(void **state)
{
	static const struct {
		const char	*bytes;
		size_t		 len;
		ssize_t		 reads[3];	/* -2: no further */
		const char	*text;
	} cases[] = {
#define CASE(bytes, text, ...) \
	{ bytes, sizeof(bytes) - 1, { __VA_ARGS__ }, text }
		CASE(HEAD("\5", "\0", "\0"), "", 0, 0, -2),
		CASE(HEAD("\5", "\3", "\0") "abc" HEAD("\5", "\0", "\0"),
		    "abc", 3, 0, -2),
		CASE(HEAD("\5", "\3", "\5") "abc\0\0\0\0\0"
		    HEAD("\5", "\0", "\0"), "abc", 3, 0, -2),
		CASE(HEAD("\5", "\1", "\7") "a\0\0\0\0\0\0\0"
		    HEAD("\5", "\2", "\6") "bc\0\0\0\0\0\0"
		    HEAD("\5", "\0", "\0"), "abc", 1, 2, 0),
		/* What follows the end is not looked at. */
		CASE(HEAD("\5", "\0", "\0") "rubbish!", "", 0, 0, -2),
		/* Cut: in a header, in the content, in the padding. */
		CASE("\1\5\0", "", -1, -2),
		CASE(HEAD("\5", "\3", "\0") "ab", "ab", 2, -1, -2),
		CASE(HEAD("\5", "\1", "\7") "a\0\0", "", -1, -2),
		/* Another version, id, type: get_values, params, abort. */
		CASE("\2\5\0\1\0\1\0\0a", "", -1, -2),
		CASE("\1\5\0\2\0\1\0\0a", "", -1, -2),
		CASE("\1\5\1\1\0\1\0\0a", "", -1, -2),
		CASE("\1\11\0\0\0\0\0\0", "", -1, -2),
		CASE(HEAD("\4", "\0", "\0"), "", -1, -2),
		CASE(HEAD("\2", "\0", "\0"), "", -1, -2),
		CASE(HEAD("\5", "\1", "\0") "a" HEAD("\1", "\0", "\0"),
		    "a", 1, -1, -2),
	};
	struct ends	 e;
	char		 text[16];
	size_t		 i, k, len;
	ssize_t		 n;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		connect_both(&e);
		say(&e, cases[i].bytes, cases[i].len);
		shutdown(e.peer, SHUT_WR);
		for (len = k = 0; k < 3 && cases[i].reads[k] != -2; k++) {
			n = body_read(&e.body, text + len, 8);
			if (n != cases[i].reads[k])
				fail_msg("case %zu, read %zu: %zd", i, k, n);
			len += n > 0 ? (size_t)n : 0;
		}
		assert_int_equal(len, strlen(cases[i].text));
		assert_memory_equal(text, cases[i].text, len);
		close_both(&e);
	}
}

static void
no_more_is_read_than_was_asked_for(void **state)
{
	struct ends	 e;
	char		 c;
	size_t		 i;

	(void)state;
	connect_both(&e);
	say(&e, HEAD("\5", "\3", "\1") "abc\0", 12);
	for (i = 0; i < 3; i++) {
		assert_true(body_ready(&e.body, 0));
		assert_int_equal(body_read(&e.body, &c, 1), 1);
		assert_int_equal(c, "abc"[i]);
	}
	close_both(&e);
}

/* Padding alone would make it wait for the next record. */
static void
is_ready_only_when_there_is_something(void **state)
{
	struct ends	 e;
	char		 buf[8];

	(void)state;
	connect_both(&e);
	assert_false(body_ready(&e.body, 0));
	assert_false(body_ready(&e.body, 10));
	say(&e, HEAD("\5", "\1", "\7") "a\0\0\0\0\0\0\0", 16);
	assert_true(body_ready(&e.body, 0));
	assert_int_equal(body_read(&e.body, buf, sizeof(buf)), 1);
	assert_false(body_ready(&e.body, 0));
	say(&e, HEAD("\5", "\0", "\0"), 8);
	assert_true(body_ready(&e.body, 0));
	assert_int_equal(body_read(&e.body, buf, sizeof(buf)), 0);
	assert_true(body_ready(&e.body, 0));
	close_both(&e);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_what_the_records_hold),
		cmocka_unit_test(no_more_is_read_than_was_asked_for),
		cmocka_unit_test(is_ready_only_when_there_is_something),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
