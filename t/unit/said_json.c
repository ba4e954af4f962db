/* What an item came to reaches its lender as it was, or not at all. */

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <json.h>

#include "said.h"
#include "said_json.h"

#define HASH	"00112233445566778899aabbccddeeff" \
		"00112233445566778899aabbccddeeff"

static void
hear(struct said *s, const char *const *lines)
{
	char	 line[512];

	for (; *lines != NULL; lines++) {
		strlcpy(line, *lines, sizeof(line));
		said_line(s, line);
	}
}

/* There and back. */
static void
send(const struct said *from, const struct said_end *end, struct said *to,
    struct said_end *read)
{
	char	*text = said_pack(from, end);

	assert_int_equal(said_unpack(text, to, read), 0);
	free(text);
}

static void
all_of_it(void **state)
{
	static const char *const lines[] = {
		"step doing \"n1\"", "item a x y", "item b",
		"result one.txt out/one text/plain", "result two out/two",
		"stored one.txt 5000000000 " HASH " text/plain",
		"detail page {\"n\": [1, \"\\u00e4\"]}", "rubbish", NULL
	};
	struct said		 from = {
		.details = json_object_new_object()
	}, to = { .details = json_object_new_object() };
	struct said_end		 end = {
		.event = STEP_OK,
		.child = { .why = CHILD_EXITED, .cpu_ms = 12, .peak = 1 << 30 }
	}, read;

	(void)state;
	json_object_object_add(to.details, "before",
	    json_object_new_int(1));
	hear(&from, lines);
	send(&from, &end, &to, &read);
	assert_int_equal(read.event, STEP_OK);
	assert_int_equal(read.child.why, CHILD_EXITED);
	assert_int_equal(read.child.cpu_ms, 12);
	assert_int_equal(read.child.peak, 1 << 30);
	assert_string_equal(to.step, "doing \"n1\"");
	assert_int_equal(to.rubbish, 1);
	assert_int_equal(to.nitems, 2);
	assert_string_equal(to.items[0].name, "a");
	assert_string_equal(to.items[0].args, "x y");
	assert_string_equal(to.items[1].args, "");
	assert_int_equal(to.results.n, 2);
	assert_string_equal(to.results.list[0].path, "out/one");
	assert_string_equal(to.results.list[1].type, from.results.list[1].type);
	assert_int_equal(to.stored.n, 1);
	assert_int_equal(to.stored.list[0].size, 5000000000);
	assert_string_equal(to.stored.list[0].sha256, HASH);
	assert_true(to.detailed);
	assert_string_equal(json_object_to_json_string_ext(to.details,
	    JSON_C_TO_STRING_PLAIN),
	    "{\"before\":1,\"page\":{\"n\":[1,\"\xc3\xa4\"]}}");
	said_clear(&from);
	said_clear(&to);
	json_object_put(from.details);
	json_object_put(to.details);
}

/* Ends: what was said last, and how the program went. */
static const struct {
	struct said_end	 end;
	bool		 rejects, retries;
	unsigned int	 retry_s;
} ends[] = {
	{ { STEP_REJECTED, { .why = CHILD_EXITED } }, true, false, 0 },
	{ { STEP_AGAIN, { .why = CHILD_EXITED } }, false, true, 90 },
	{ { STEP_BROKEN, { .why = CHILD_EXITED, .status = 3 << 8 } },
	    false, false, 0 },
	{ { STEP_BROKEN, { .why = CHILD_CUT, .what = "item 12" } },
	    false, false, 0 },
	{ { STEP_LATE, { .why = CHILD_SILENT } }, false, false, 0 },
	{ { STEP_CRASHED, { .why = CHILD_EXITED, .status = SIGSEGV } },
	    false, false, 0 },
};

static void
all_ends(void **state)
{
	struct said	 from, to;
	struct said_end	 read;
	size_t		 i;

	(void)state;
	for (i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		memset(&from, 0, sizeof(from));
		memset(&to, 0, sizeof(to));
		from.retry_s = ends[i].retry_s;
		/* A character that was cut is no reason to lose the rest. */
		strlcpy(from.why, "because \xc3", sizeof(from.why));
		send(&from, &ends[i].end, &to, &read);
		assert_int_equal(read.event, ends[i].end.event);
		assert_int_equal(read.child.why, ends[i].end.child.why);
		assert_int_equal(read.child.status, ends[i].end.child.status);
		assert_string_equal(read.child.what, ends[i].end.child.what);
		assert_int_equal(to.rejects, ends[i].rejects);
		assert_int_equal(to.retries, ends[i].retries);
		assert_int_equal(to.retry_s, ends[i].retry_s);
		assert_string_equal(to.why, "because ");
		said_clear(&to);
	}
}

static void
other_texts(void **state)
{
	static const char *const texts[] = {
		"", "null", "[]", "{", "{}", "{\"event\":\"unheard\"}",
		"{\"event\":1}"
	};
	/* Of a newer daemon, perhaps. */
	static const char	 odd[] =
	    "{\"event\":\"ok\",\"why\":7,\"items\":[[],[1],7,[\"a\"]],"
	    "\"results\":{},\"details\":[],\"new\":{}}";
	struct said		 s;
	struct said_end		 read;
	size_t			 i;

	(void)state;
	for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		memset(&s, 0, sizeof(s));
		assert_int_equal(said_unpack(texts[i], &s, &read), -1);
		said_clear(&s);
	}
	memset(&s, 0, sizeof(s));
	assert_int_equal(said_unpack(odd, &s, &read), 0);
	assert_int_equal(s.nitems, 4);
	assert_string_equal(s.items[3].name, "a");
	said_clear(&s);
}

int
main(void)
{
	const struct CMUnitTest	 tests[] = {
		cmocka_unit_test(all_of_it),
		cmocka_unit_test(all_ends),
		cmocka_unit_test(other_texts),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
