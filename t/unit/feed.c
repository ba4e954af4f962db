/* A line is read as a whole, once, and never waited for. */

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "feed.h"
#include "loop.h"
#include "report.h"

static struct loop	*loop;

/* A feed, and in *END what its program would have. */
static struct feed *
begin(int *end)
{
	struct feed	*f = feed_new(loop);

	assert_non_null(f);
	*end = dup(feed_end(f));
	feed_handed(f);
	assert_int_equal(feed_end(f), -1);
	return f;
}

static void
stop(void *arg)
{
	(void)arg;
	loop_stop(loop);
}

static void
run_loop(void)
{
	loop_after(loop, 50, stop, NULL);
	loop_run(loop);
}

static void
reads(int end, const char *want)
{
	char	 buf[REPORT_LINE_MAX + 1];
	ssize_t	 n = read(end, buf, sizeof(buf) - 1);

	assert_true(n >= 0);
	buf[n] = '\0';
	assert_string_equal(buf, want);
}

static void
a_line_is_taken_with_its_first_byte(void **state)
{
	uint64_t	 now = loop_now();
	struct feed	*f;
	char		 byte;
	int		 end;

	(void)state;
	f = begin(&end);
	assert_false(feed_taken(f));
	assert_true(feed_due(f) == 0);
	feed_line(f, "page-1 a\n", 60);
	assert_false(feed_taken(f));
	assert_in_range(feed_due(f), now + 60000, loop_now() + 60000);
	assert_int_equal(read(end, &byte, 1), 1);
	assert_true(feed_taken(f));
	reads(end, "age-1 a\n");
	feed_rest(f);
	assert_true(feed_due(f) == 0);
	feed_line(f, "page-2\n", 60);
	assert_false(feed_taken(f));
	reads(end, "page-2\n");
	assert_true(feed_taken(f));
	feed_free(f);
	reads(end, "");
	close(end);
}

static void
what_is_held_is_written_when_it_may_go(void **state)
{
	struct feed	*f;
	int		 end;

	(void)state;
	f = begin(&end);
	feed_hold(f);
	feed_line(f, "one\n", 60);
	feed_line(f, "two\n", 60);
	assert_true(feed_due(f) != 0);
	assert_false(feed_taken(f));
	feed_go(f);
	feed_go(f);
	reads(end, "two\n");
	assert_true(feed_taken(f));
	feed_free(f);
	close(end);
}

static void
who_does_not_read_is_not_waited_for(void **state)
{
	char		 line[REPORT_LINE_MAX], buf[65536];
	struct feed	*f;
	size_t		 i;
	int		 end;

	(void)state;
	memset(line, 'x', sizeof(line) - 2);
	memcpy(line + sizeof(line) - 2, "\n", 2);
	f = begin(&end);
	for (i = 0; i < 100; i++)
		feed_line(f, line, 60);
	feed_line(f, "last\n", 60);
	run_loop();
	assert_false(feed_taken(f));
	while (read(end, buf, sizeof(buf)) == (ssize_t)sizeof(buf))
		continue;
	run_loop();
	reads(end, "last\n");
	assert_true(feed_taken(f));
	feed_free(f);
	close(end);
}

static void
the_end_of_the_input_is_read(void **state)
{
	uint64_t	 now = loop_now();
	struct feed	*f;
	int		 end;

	(void)state;
	f = begin(&end);
	feed_line(f, "last\n", 60);
	feed_close(f, 2000);
	assert_in_range(feed_due(f), now + 2000, loop_now() + 2000);
	reads(end, "last\n");
	reads(end, "");
	feed_free(f);
	close(end);
}

static void
who_is_gone_has_taken_nothing(void **state)
{
	struct feed	*f;
	int		 end;

	(void)state;
	f = begin(&end);
	feed_line(f, "one\n", 60);
	close(end);
	assert_false(feed_taken(f));
	feed_line(f, "two\n", 60);
	assert_false(feed_taken(f));
	feed_line(f, "three\n", 60);
	run_loop();
	assert_false(feed_taken(f));
	feed_free(f);
	feed_free(NULL);
}

int
main(void)
{
	const struct CMUnitTest	 tests[] = {
		cmocka_unit_test(a_line_is_taken_with_its_first_byte),
		cmocka_unit_test(what_is_held_is_written_when_it_may_go),
		cmocka_unit_test(who_does_not_read_is_not_waited_for),
		cmocka_unit_test(the_end_of_the_input_is_read),
		cmocka_unit_test(who_is_gone_has_taken_nothing),
	};
	int			 rc;

	signal(SIGPIPE, SIG_IGN);
	loop = loop_new();
	cmocka_set_message_output(CM_OUTPUT_TAP);
	rc = cmocka_run_group_tests(tests, NULL, NULL);
	loop_free(loop);
	return rc;
}
