/* Only well-formed UTF-8 is called so, and whatever comes is made so. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "utf8.h"

static void
tells_good_from_bad(void **state)
{
	static const struct { const char *text; bool valid; } cases[] = {
		{ "", true },
		{ "plain", true },
		{ "Gr\xc3\xbc\xc3\x9f Gott", true },
		{ "\xe2\x82\xac", true },		/* euro sign */
		{ "\xf0\x9f\x8e\xac", true },		/* clapper board */
		{ "\xf4\x8f\xbf\xbf", true },		/* U+10FFFF */
		{ "\xf4\x90\x80\x80", false },		/* one above */
		{ "\xc0\xaf", false },			/* "/", overlong */
		{ "\xc1\xbf", false },
		{ "\xe0\x80\xaf", false },
		{ "\xf0\x80\x80\xaf", false },
		{ "\xed\xa0\x80", false },		/* a surrogate */
		{ "\x80", false },			/* no first byte */
		{ "\xc3", false },			/* cut */
		{ "\xe2\x82", false },
		{ "\xe2\x28\xa1", false },
		{ "\xff", false },
	};
	size_t	 i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (utf8_valid(cases[i].text, strlen(cases[i].text)) !=
		    cases[i].valid)
			fail_msg("case %zu: \"%s\"", i, cases[i].text);
	}
}

static void
cleans_what_is_bad(void **state)
{
	static const struct { const char *text, *clean; } cases[] = {
		{ "plain", "plain" },
		{ "\xe2\x82\xac", "\xe2\x82\xac" },
		{ "a\nb\x7f", "a?b?" },
		{ "a\xff" "b", "a?b" },
		{ "\xc0\xaf", "??" },
		{ "cut \xe2\x82", "cut " },
		{ "cut \xf0", "cut " },
		{ "\xe2\x28\xa1", "?(?" },
	};
	char	 buf[64];
	size_t	 i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		strcpy(buf, cases[i].text);
		utf8_clean(buf);
		assert_string_equal(buf, cases[i].clean);
	}
}

/* Every text of three bytes comes out valid. */
static void
leaves_nothing_bad(void **state)
{
	char	 buf[4];
	int	 n;

	(void)state;
	for (n = 0; n < 1 << 24; n += 7) {
		buf[0] = (char)(n >> 16);
		buf[1] = (char)(n >> 8);
		buf[2] = (char)n;
		buf[3] = '\0';
		utf8_clean(buf);
		assert_true(utf8_valid(buf, strlen(buf)));
	}
}

int
main(void)
{
	const struct CMUnitTest	 tests[] = {
		cmocka_unit_test(tells_good_from_bad),
		cmocka_unit_test(cleans_what_is_bad),
		cmocka_unit_test(leaves_nothing_bad),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
