/* JSON that is not JSON by RFC 8259 is told from what is. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "jsontext.h"

static void
is_strict_about_json(void **state)
{
	static const struct { const char *text; int valid; } cases[] = {
		{ "{}", 1 },
		{ " { \"a\" : [ 1 , -0.5e+3, true, null, \"\\u00e9\" ] } ", 1 },
		{ "\"text\"", 1 },
		{ "0", 1 }, { "-0", 1 }, { "10.25", 1 }, { "1E9", 1 },
		{ "", 0 }, { " ", 0 }, { "{", 0 }, { "[1", 0 }, { "\"a", 0 },
		{ "{} x", 0 }, { "{}{}", 0 },
		{ "01", 0 }, { "-01", 0 }, { "2.", 0 }, { ".5", 0 },
		{ "+1", 0 }, { "1e", 0 }, { "0x10", 0 }, { "- 1", 0 },
		{ "NaN", 0 }, { "Infinity", 0 }, { "-Infinity", 0 },
		{ "True", 0 }, { "nul", 0 }, { "truex", 0 },
		{ "{'a':1}", 0 }, { "{a:1}", 0 }, { "{\"a\" 1}", 0 },
		{ "{\"a\":1,}", 0 }, { "[1,]", 0 }, { "[,1]", 0 },
		{ "{\"a\":1,\"a\":2}", 0 },
		{ "\"a\nb\"", 0 }, { "\"a\tb\"", 0 }, { "\"\\x41\"", 0 },
		{ "\"\\u12\"", 0 }, { "\"\\u12g4\"", 0 },
		{ "/* c */ {}", 0 }, { "\"\xff\"", 0 },
		{ "[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]", 1 },
		{ "[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]", 0 },
	};
	size_t	 i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if ((jsontext_wrong(cases[i].text, strlen(cases[i].text), 16) ==
		    NULL) != cases[i].valid)
			fail_msg("case %zu: %s", i, cases[i].text);
	}
	/* A NUL does not end it. */
	assert_non_null(jsontext_wrong("{}\0{}", 5, 16));
	assert_non_null(jsontext_wrong("\"a\0b\"", 5, 16));
}

int
main(void)
{
	const struct CMUnitTest	 tests[] = {
		cmocka_unit_test(is_strict_about_json),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
