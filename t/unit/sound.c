/* A sound is cut into parts that follow each other, and they have names. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "media.h"
#include "sound.h"
#include "splice.h"

static void
plans_parts(void **state)
{
	static const struct {
		double		 seconds;
		unsigned int	 length, parts;
	} cases[] = {
		{ 0.04, 240, 1 }, { 30, 240, 1 }, { 239, 240, 1 },
		{ 241, 240, 2 }, { 3600, 240, 16 }, { 24 * 3600, 240, 16 },
		{ 30, 3, 11 }, { 3.1, 3, 2 },
	};
	struct media		 m;
	struct sound_part	 p;
	size_t			 i, j;
	unsigned long		 at;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		m = (struct media){ .seconds = cases[i].seconds };
		sound_plan(&m, cases[i].length);
		assert_int_equal(m.sound_parts, cases[i].parts);
		for (at = 0, j = 0; j < m.sound_parts; j++) {
			p = sound_part(&m, j);
			assert_int_equal(p.first, at);
			assert_true(p.end > p.first);
			assert_int_equal(p.last, j + 1 == m.sound_parts);
			assert_int_equal(p.begin, at < SOUND_OVERLAP ? 0 :
			    at - SOUND_OVERLAP);
			at = p.end;
		}
		assert_true((double)at * SOUND_FRAME / SOUND_RATE >=
		    cases[i].seconds);
	}
}

static void
names_parts(void **state)
{
	static const struct {
		unsigned int	 parts;
		const char	*name;
		int		 i;	/* -1: there is none */
	} cases[] = {
		{ 0, "sound", 0 }, { 1, "sound", 0 }, { 1, "sound-0", -1 },
		{ 3, "sound-0", 0 }, { 3, "sound-2", 2 }, { 3, "sound-3", -1 },
		{ 3, "sound", -1 }, { 3, "sound-", -1 }, { 3, "sound-01", -1 },
		{ 16, "sound-15", 15 }, { 3, "0 150 0", -1 }, { 3, "", -1 },
	};
	struct media	 m = { .n = 0 };
	unsigned int	 i;
	size_t		 j;

	(void)state;
	for (j = 0; j < sizeof(cases) / sizeof(cases[0]); j++) {
		m.sound_parts = cases[j].parts;
		if (cases[j].i == -1) {
			assert_int_equal(sound_parse(&m, cases[j].name, &i),
			    -1);
			continue;
		}
		assert_int_equal(sound_parse(&m, cases[j].name, &i), 0);
		assert_int_equal(i, cases[j].i);
		assert_string_equal(sound_name(&m, i), cases[j].name);
	}
}

static void
reads_windows(void **state)
{
	static const struct {
		unsigned char	 frame[2];
		size_t		 len;
		int		 window;
	} cases[] = {
		/* a pair with one window: long, of the other shape, short */
		{ { 0x21, 0x00 }, 2, 0 }, { { 0x21, 0x1f }, 2, 1 },
		{ { 0x21, 0x40 }, 2, 4 }, { { 0x3f, 0x6f }, 2, 6 },
		/* what is reserved does not count */
		{ { 0x21, 0x90 }, 2, 1 },
		/* a pair with two; a single channel; a filling; too short */
		{ { 0x20, 0x00 }, 2, -1 }, { { 0x01, 0x00 }, 2, -1 },
		{ { 0xc1, 0x00 }, 2, -1 }, { { 0x21, 0x00 }, 1, -1 },
		{ { 0x21, 0x00 }, 0, -1 },
	};
	size_t	 i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(splice_window(cases[i].frame, cases[i].len),
		    cases[i].window);
}

int
main(void)
{
	const struct CMUnitTest	tests[] = {
		cmocka_unit_test(plans_parts),
		cmocka_unit_test(names_parts),
		cmocka_unit_test(reads_windows),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
