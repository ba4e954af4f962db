/* What a stage says is taken at its word, within bounds; its log is cut. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <json.h>

#include "reason.h"
#include "said.h"

#define HASH	"00112233445566778899aabbccddeeff" \
		"00112233445566778899aabbccddeeff"

static struct said *
begin(void)
{
	struct said	*s = calloc(1, sizeof(*s));

	assert_non_null(s);
	s->details = json_object_new_object();
	return s;
}

static void
end(struct said *s)
{
	json_object_put(s->details);
	said_clear(s);
	free(s);
}

static bool
hear(struct said *s, const char *text)
{
	char	 line[8192];

	strlcpy(line, text, sizeof(line));
	return said_line(s, line);
}

static void
keeps_the_best(void **state)
{
	struct said	*s = begin();

	(void)state;
	assert_true(hear(s, "progress 40 halfway"));
	assert_true(hear(s, "progress 20"));
	assert_float_equal(s->percent, 40, 0);
	assert_string_equal(s->message, "halfway");
	assert_true(hear(s, "step looking closely"));
	assert_string_equal(s->step, "looking closely");
	assert_string_equal(s->message, "looking closely");
	assert_true(hear(s, "progress 999"));
	assert_float_equal(s->percent, 100, 0);
	assert_int_equal(s->rubbish, 0);
	end(s);
}

static void
collects(void **state)
{
	struct said	*s = begin();

	(void)state;
	assert_false(hear(s, "item page-1 --first"));
	assert_false(hear(s, "item page-2"));
	assert_int_equal(s->nitems, 2);
	assert_string_equal(s->items[0].args, "--first");
	assert_string_equal(s->items[1].args, "");
	assert_false(hear(s, "result a.mp4 x/a.mp4 video/mp4"));
	assert_false(hear(s, "result a.mp4 y/a.mp4 video/mp4"));
	assert_int_equal(s->results.n, 1);
	assert_string_equal(s->results.list[0].path, "y/a.mp4");
	assert_false(hear(s, "stored a.mp4 17 " HASH));
	assert_int_equal(s->stored.list[0].size, 17);
	assert_true(s->stored.list[0].stored);
	assert_false(hear(s, "retry 30 later"));
	assert_true(s->retries);
	assert_int_equal(s->retry_s, 30);
	assert_false(hear(s, "reject bad"));
	assert_true(s->rejects);
	assert_string_equal(s->why, "bad");
	end(s);
}

static void
bounds_details(void **state)
{
	struct said	*s = begin();
	char		 line[64];
	int		 i;

	(void)state;
	assert_true(hear(s, "detail n {\"a\": [1, 2]}"));
	assert_true(s->detailed);
	assert_true(hear(s, "detail n 3"));
	assert_string_equal(json_object_to_json_string(s->details),
	    "{ \"n\": 3 }");
	assert_false(hear(s, "detail n {"));
	assert_false(hear(s, "detail n 1 2"));
	assert_false(hear(s, "detail n NaN"));
	assert_int_equal(s->rubbish, 3);
	for (i = 0; i < 1000; i++) {
		snprintf(line, sizeof(line), "detail key-%d %d", i, i);
		hear(s, line);
	}
	assert_int_equal(json_object_object_length(s->details), SAID_DETAILS);
	assert_true(hear(s, "detail n 4"));	/* one that is there */
	end(s);
}

/* Work that is left out is not done: rather nothing of it is. */
static void
refuses_more_than_it_takes(void **state)
{
	struct said	*s = begin();
	char		 line[300];
	int		 i;

	(void)state;
	for (i = 0; i < SAID_ITEMS; i++) {
		snprintf(line, sizeof(line), "item page-%d", i);
		hear(s, line);
	}
	assert_false(s->rejects);
	hear(s, "item one-more");
	assert_int_equal(s->nitems, SAID_ITEMS);
	assert_true(s->rejects);
	assert_string_equal(s->why, "More than 20000 items");
	end(s);
	s = begin();
	for (i = 0; i <= SAID_RESULTS; i++) {
		snprintf(line, sizeof(line), "result %d %d", i, i);
		hear(s, line);
	}
	assert_string_equal(s->why, "More than 10000 results");
	end(s);
	s = begin();
	snprintf(line, sizeof(line), "item ");
	memset(line + 5, 'x', 255);
	line[5 + 255] = '\0';
	hear(s, line);
	assert_false(s->rejects);
	strlcat(line, "y", sizeof(line));
	hear(s, line);
	assert_int_equal(s->nitems, 1);
	assert_true(s->rejects);
	assert_non_null(strstr(s->why, "longer than 255 bytes: xxx"));
	end(s);
}

static void
counts_rubbish(void **state)
{
	static const char *const lines[] = {
		"", "x", "progress", "progress x", "item", "result a",
		"result ../a b", "stored a 1 zz", "PROGRESS 4", "\xff\xfe",
	};
	struct said	*s = begin();
	size_t		 i;

	(void)state;
	for (i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		assert_false(hear(s, lines[i]));
	assert_int_equal(s->rubbish, i);
	end(s);
}

static void
only_a_kept_program_says_when_an_item_is_over(void **state)
{
	static const struct {
		const char	*line;
		bool		 over, fails, rejects, retries;
		const char	*why;
	} cases[] = {
		{ "done",		true, false, false, false, "" },
		{ "failed too dark",	true, true, false, false, "too dark" },
		{ "reject upside down",	true, false, true, false,
		    "upside down" },
		{ "retry 5 busy",	true, false, false, true, "busy" },
		{ "progress 100",	false, false, false, false, "" },
		{ "done page-1",	true, false, false, false, "" },
		{ "done page-2",	false, false, false, false, "" },
	};
	struct said	*s;
	size_t		 i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		s = begin();
		s->item = "page-1";
		hear(s, cases[i].line);
		assert_int_equal(s->over, cases[i].over);
		assert_int_equal(s->fails, cases[i].fails);
		assert_int_equal(s->rejects, cases[i].rejects);
		assert_int_equal(s->retries, cases[i].retries);
		assert_string_equal(s->why, cases[i].why);
		end(s);
	}
	s = begin();
	assert_false(hear(s, "done"));
	assert_false(hear(s, "failed"));
	assert_int_equal(s->rubbish, 2);
	assert_false(hear(s, "reject no"));
	assert_false(s->over || s->fails);
	end(s);
}

static void
keeps_the_end_of_the_log(void **state)
{
	struct said	*s = begin();
	char		 buf[4096], line[64];
	int		 i;

	(void)state;
	said_tail(s, buf, sizeof(buf));
	assert_string_equal(buf, "");
	said_last(s, buf, sizeof(buf));
	assert_string_equal(buf, "");
	said_output(s, "one\ntwo \x01\xff\r\n\n \n", 15);
	said_last(s, buf, sizeof(buf));
	assert_string_equal(buf, "two ??");
	for (i = 0; i < 10000; i++) {
		snprintf(line, sizeof(line), "line %d\n", i);
		said_output(s, line, strlen(line));
	}
	said_tail(s, buf, sizeof(buf));
	assert_true(strlen(buf) <= SAID_TAIL);
	assert_non_null(strstr(buf, "line 9998\nline 9999\n"));
	assert_null(strstr(buf, "line 9000\n"));
	said_last(s, buf, 6);			/* cut to fit, at the front */
	assert_string_equal(buf, " 9999");
	memset(buf, 'x', sizeof(buf));
	for (i = 0; i < 100; i++)
		said_output(s, buf, sizeof(buf));
	said_last(s, buf, sizeof(buf));
	assert_int_equal(strlen(buf), SAID_TAIL);
	end(s);
}

static void
gives_reasons(void **state)
{
	static struct pipeline	 p = { .memory = 100 << 20, .silence_s = 90 };
	static char		 cut[] = "cut", *argv[] = { cut, NULL };
	static const struct stage stage = {
		.name = "cutting", .limit_s = 7200, .argv = argv
	};
	static const struct {
		struct child_end end;
		enum engine_event event;
		const char	*why;
	} cases[] = {
		{{ .status = 0 }, STEP_REJECTED, "page 3 is torn" },
		{{ .status = 3 << 8 }, STEP_BROKEN,
		    "cutting: exit 3: no scissors" },
		{{ .status = 3 << 8, .peak = 95 << 20 }, STEP_BROKEN,
		    "cutting: exit 3, after it used 95 of its 100 MB of "
		    "memory: no scissors" },
		{{ .status = 11 }, STEP_CRASHED,
		    "cutting: ended by signal 11 (Segmentation fault)" },
		{{ CHILD_LATE, .status = 9 }, STEP_LATE,
		    "cutting: ended after 2 h, its limit" },
		{{ CHILD_SILENT, .status = 9 }, STEP_LATE,
		    "cutting: ended after 90 s without a word" },
		{{ CHILD_OVER, .status = 9, .what = "9 files, its limit" },
		    STEP_BROKEN, "cutting: ended with 9 files, its limit" },
		{{ CHILD_CUT, .what = "item 12" }, STEP_BROKEN,
		    "cutting: exit 0 within a line on descriptor 3: item 12" },
		{{ CHILD_UNSTARTED, .error = 2, .what = "exec" }, STEP_BROKEN,
		    "cutting: cut could not be started: exec: "
		    "No such file or directory" },
	};
	struct said	*s = begin();
	char		 buf[1024];
	size_t		 i;

	(void)state;
	hear(s, "reject page 3 is torn");
	said_output(s, "no scissors\n", 12);
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		reason_of(&p, &stage, &cases[i].end, cases[i].event, s, buf,
		    sizeof(buf));
		assert_string_equal(buf, cases[i].why);
	}
	strlcpy(buf, "busy", sizeof(buf));
	reason_final(STEP_AGAIN, 3, buf, sizeof(buf));
	assert_string_equal(buf, "Given up after 3 attempts: busy");
	end(s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keeps_the_best),
		cmocka_unit_test(collects),
		cmocka_unit_test(bounds_details),
		cmocka_unit_test(refuses_more_than_it_takes),
		cmocka_unit_test(counts_rubbish),
		cmocka_unit_test(only_a_kept_program_says_when_an_item_is_over),
		cmocka_unit_test(keeps_the_end_of_the_log),
		cmocka_unit_test(gives_reasons),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
