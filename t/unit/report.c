/* Lines of stages are taken apart, or refused; rubbish does no harm. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "report.h"

#define HASH \
	"00112233445566778899aabbccddeeff" \
	"00112233445566778899aabbccddeeff"
#define LONGEST	"nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn" \
		"nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn" \
		"nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn" \
		"nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn" \
		"nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"

static void
takes_lines_apart(void **state)
{
	static const struct {
		const char	*line;
		struct report	 r;
	} cases[] = {
		{ "progress 40 encoding 720p",
		    { REPORT_PROGRESS, .percent = 40,
			.text = "encoding 720p" }},
		{ "progress 12.345", { REPORT_PROGRESS, .percent = 12.345 }},
		{ "progress   7  two  spaces",
		    { REPORT_PROGRESS, .percent = 7, .text = "two  spaces" }},
		{ "progress 0", { REPORT_PROGRESS, .percent = 0 }},
		{ "progress 100.4", { REPORT_PROGRESS, .percent = 100 }},
		{ "progress 999", { REPORT_PROGRESS, .percent = 100 }},
		{ "progress -3", { REPORT_PROGRESS, .percent = 0 }},
		{ "progress 5.", { REPORT_PROGRESS, .percent = 5 }},
		{ "progress\t50\tdone", { REPORT_PROGRESS, .percent = 50,
		    .text = "done" }},
		{ "progress 50\r", { REPORT_PROGRESS, .percent = 50 }},
		{ "step reading page 3",
		    { REPORT_STEP, .text = "reading page 3" }},
		{ "step", { REPORT_STEP }},
		{ "item page-1", { REPORT_ITEM, .name = "page-1" }},
		{ "item page-1 --first 1 --last 2", { REPORT_ITEM,
		    .name = "page-1", .text = "--first 1 --last 2" }},
		{ "item scans/1.png", { REPORT_ITEM, .name = "scans/1.png" }},
		{ "detail pages {\"n\": 3}", { REPORT_DETAIL, .name = "pages",
		    .text = "{\"n\": 3}" }},
		{ "result a.mp4 out/a.mp4 video/mp4", { REPORT_RESULT,
		    .name = "a.mp4", .path = "out/a.mp4",
		    .type = "video/mp4" }},
		{ "result a.mp4 a.mp4",
		    { REPORT_RESULT, .name = "a.mp4", .path = "a.mp4" }},
		{ "result ...x a/..b/c",
		    { REPORT_RESULT, .name = "...x", .path = "a/..b/c" }},
		{ "result " LONGEST " x",
		    { REPORT_RESULT, .name = LONGEST, .path = "x" }},
		{ "stored a.mp4 0 " HASH, { REPORT_STORED, .name = "a.mp4",
		    .sha256 = HASH }},
		{ "stored a.mp4 18446744073709551615 " HASH " video/mp4",
		    { REPORT_STORED, .name = "a.mp4", .size = UINT64_MAX,
		    .sha256 = HASH, .type = "video/mp4" }},
		{ "reject no picture in it",
		    { REPORT_REJECT, .text = "no picture in it" }},
		{ "reject", { REPORT_REJECT }},
		{ "retry the disk is full",
		    { REPORT_RETRY, .text = "the disk is full" }},
		{ "retry 30 the disk is full", { REPORT_RETRY, .seconds = 30,
		    .text = "the disk is full" }},
		{ "retry 30", { REPORT_RETRY, .seconds = 30 }},
		{ "retry 30s", { REPORT_RETRY, .text = "30s" }},
		{ "done", { REPORT_DONE }},
		{ "done ", { REPORT_DONE }},
		{ "done page-1", { REPORT_DONE, .name = "page-1" }},
		{ "failed", { REPORT_FAILED }},
		{ "failed the ink is dry",
		    { REPORT_FAILED, .text = "the ink is dry" }},
		{ "retry 42949672960 bytes missing",
		    { REPORT_RETRY, .text = "42949672960 bytes missing" }},
	};
	struct report	 r;
	char		 line[REPORT_LINE_MAX];
	size_t		 i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct report	*want = &cases[i].r;

		print_message("# %.60s\n", cases[i].line);
		strlcpy(line, cases[i].line, sizeof(line));
		assert_int_equal(report_parse(line, &r), 0);
		assert_int_equal(r.word, want->word);
		assert_true(r.percent == want->percent);
		assert_int_equal(r.seconds, want->seconds);
		assert_true(r.size == want->size);
#define SAME(field)	assert_string_equal(r.field, \
			    want->field != NULL ? want->field : "")
		SAME(name);
		SAME(path);
		SAME(type);
		SAME(sha256);
		SAME(text);
#undef SAME
	}
}

static void
refuses_what_is_no_line(void **state)
{
	static const char *const cases[] = {
		"",
		" ",
		"hello",
		"Progress 5",
		"progress",
		"progress nan",
		"progress inf",
		"progress 1e2",
		"progress 0x10",
		"progress 5%",
		"progress 5,5",
		"progress --5",
		"progress .5",
		"progress 4294967297",	/* 1, were it cut to 32 bits */
		"item",
		"detail",
		"detail key",
		"detail kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk"
		    "kkkkkkkkkkkk 1",
		"done page-1 well",
		"result",
		"result a",
		"result a/b x",
		"result . x",
		"result .. x",
		"result n" LONGEST " x",
		"result a /etc/passwd",
		"result a ../x",
		"result a x/..",
		"result a x/../../y",
		"result a x type more",
		"stored",
		"stored a",
		"stored a 5",
		"stored a 5 00",
		"stored a -5 " HASH,
		"stored a 5k " HASH,
		"stored a 18446744073709551616 " HASH,
		"stored a 5 " HASH "0",
		"stored a 5 zz112233445566778899aabbccddeeff"
		    "00112233445566778899aabbccddeeff",
		"stored ../a 5 " HASH,
	};
	struct report	 r;
	char		 line[REPORT_LINE_MAX];
	size_t		 i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		print_message("# %.60s\n", cases[i]);
		strlcpy(line, cases[i], sizeof(line));
		assert_int_equal(report_parse(line, &r), -1);
	}
}

static void
cleans_the_text(void **state)
{
	static const struct { const char *line, *text; } cases[] = {
		{ "step \xc3\xa4 \xe2\x82\xac \xf0\x9f\x8e\xac",
		    "\xc3\xa4 \xe2\x82\xac \xf0\x9f\x8e\xac" },
		{ "step a\nb\x1b[1mc\x7f", "a?b?[1mc?" },
		{ "step a\tb", "a b" },
		{ "step \xff\xfe", "??" },
		{ "step a\xc3", "a" },			/* cut short */
		{ "step a\xe2\x82", "a" },
		{ "step a\xf0\x9f\x8e", "a" },
		{ "step \xc3(", "?(" },
		{ "step \xc0\xaf.", "??." },		/* overlong */
		{ "step \xe0\x80\xaf.", "???." },
		{ "step \xf0\x80\x80\xaf.", "????." },
		{ "step \xed\xa0\x80.", "???." },	/* a surrogate */
		{ "step \xf4\x90\x80\x80.", "????." },	/* beyond the last */
		{ "step \xf4\x8f\xbf\xbf", "\xf4\x8f\xbf\xbf" },
		{ "step \x80", "?" },
	};
	struct report	 r;
	char		 line[64];
	size_t		 i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		strlcpy(line, cases[i].line, sizeof(line));
		assert_int_equal(report_parse(line, &r), 0);
		assert_string_equal(r.text, cases[i].text);
	}
}

static void
an_item_is_read_as_it_was_said(void **state)
{
	static const struct { const char *said, *line; } cases[] = {
		{ "item page-1", "page-1\n" },
		{ "item page-1  --first 1  --last 2 ",
		    "page-1 --first 1  --last 2\n" },
		{ "item \ta/b\t\tx\r", "a/b x\n" },
		{ "item a\nb c\nd", "a?b c?d\n" },
	};
	struct report	 r;
	char		 said[REPORT_LINE_MAX], line[REPORT_LINE_MAX];
	size_t		 i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		strlcpy(said, cases[i].said, sizeof(said));
		assert_int_equal(report_parse(said, &r), 0);
		assert_int_equal(report_item(r.name, r.text, line),
		    strlen(cases[i].line));
		assert_string_equal(line, cases[i].line);
	}
	/* The longest there is, and what nobody could have said. */
	memset(said, 'x', sizeof(said) - 1);
	said[sizeof(said) - 1] = '\0';
	memcpy(said, "item a ", 7);
	assert_int_equal(report_parse(said, &r), 0);
	assert_int_equal(report_item(r.name, r.text, line),
	    REPORT_LINE_MAX - 1 - 5 + 1);
	memset(said, 'x', 7);
	assert_int_equal(report_item("a", said, line), REPORT_LINE_MAX - 1);
	assert_string_equal(line + REPORT_LINE_MAX - 3, "x\n");
}

struct heard {
	char	 lines[8][REPORT_LINE_MAX];
	size_t	 n;
};

static void
hear(void *arg, char *line)
{
	struct heard	*h = arg;

	assert_true(h->n < 8);
	strlcpy(h->lines[h->n++], line, REPORT_LINE_MAX);
}

static void
lines_are_the_same_in_any_pieces(void **state)
{
	static const char	 data[] =
	    "step one\n\nstep two\r\nst\0ep\nlast";
	struct report_lines	*l;
	struct heard		*h;
	size_t			 piece, i, len;

	(void)state;
	h = test_malloc(sizeof(*h));
	l = test_malloc(sizeof(*l));
	for (piece = 1; piece < sizeof(data); piece++) {
		memset(h, 0, sizeof(*h));
		memset(l, 0, sizeof(*l));
		for (i = 0; i < sizeof(data) - 1; i += len) {
			len = sizeof(data) - 1 - i;
			if (len > piece)
				len = piece;
			report_feed(l, data + i, len, hear, h);
		}
		assert_int_equal(h->n, 3);
		report_feed(l, "\n", 1, hear, h);
		report_feed(l, "\n", 1, hear, h);
		assert_int_equal(h->n, 4);
		assert_string_equal(h->lines[0], "step one");
		assert_string_equal(h->lines[1], "step two\r");
		assert_string_equal(h->lines[2], "st?ep");
		assert_string_equal(h->lines[3], "last");
	}
	test_free(l);
	test_free(h);
}

static void
a_line_too_long_is_cut(void **state)
{
	struct report_lines	*l;
	struct heard		*h;
	char			*data;
	const size_t		 len = 100000;

	(void)state;
	h = test_calloc(1, sizeof(*h));
	l = test_calloc(1, sizeof(*l));
	data = test_malloc(len);
	memset(data, 'x', len);
	memcpy(data, "step ", 5);
	report_feed(l, data, len, hear, h);
	assert_int_equal(h->n, 0);
	report_feed(l, "\nstep next\n", 11, hear, h);
	assert_int_equal(h->n, 2);
	assert_int_equal(strlen(h->lines[0]), REPORT_LINE_MAX - 1);
	assert_string_equal(h->lines[1], "step next");
	test_free(data);
	test_free(l);
	test_free(h);
}

/* Any bytes: an answer, and never a byte outside the line. */
static void
survives_rubbish(void **state)
{
	static const char *const words[] = { "progress ", "item ", "detail ",
	    "result ", "stored a 1 ", "retry ", "" };
	struct report	 r;
	char		 line[80];
	unsigned int	 i, j;

	(void)state;
	srandom(1);
	for (i = 0; i < 100000; i++) {
		char	*heap;

		strlcpy(line, words[i % 7], sizeof(line));
		for (j = strlen(line); j < 16 + i % 60; j++)
			line[j] = random() % 255 + 1;
		line[j] = '\0';
		heap = strdup(line);	/* exact size, for the sanitizer */
		assert_non_null(heap);
		(void)report_parse(heap, &r);
		free(heap);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_lines_apart),
		cmocka_unit_test(refuses_what_is_no_line),
		cmocka_unit_test(cleans_the_text),
		cmocka_unit_test(an_item_is_read_as_it_was_said),
		cmocka_unit_test(lines_are_the_same_in_any_pieces),
		cmocka_unit_test(a_line_too_long_is_cut),
		cmocka_unit_test(survives_rubbish),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
