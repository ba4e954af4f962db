/* Ids are of version 7, differ, and sort by the time they were made. */

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "uuid.h"

#define MANY		20000	/* more than the counter of one millisecond */
#define THREADS		4

static void
parses_its_own_text_only(void **state)
{
	static const struct { const char *text; int result; } cases[] = {
		{ "0192f0c1-7b2a-7cde-8f01-23456789abcd", 0 },
		{ "00000000-0000-0000-0000-000000000000", 0 },
		{ "ffffffff-ffff-ffff-ffff-ffffffffffff", 0 },
		{ "0192F0C1-7B2A-7CDE-8F01-23456789ABCD", -1 },
		{ "0192f0c1-7b2a-7cde-8f01-23456789abc", -1 },
		{ "0192f0c1-7b2a-7cde-8f01-23456789abcde", -1 },
		{ "0192f0c17b2a7cde8f0123456789abcd", -1 },
		{ "0192f0c1-7b2a-7cde-8f0-123456789abcd", -1 },
		{ "0192f0c1-7b2a-7cde-8f01-23456789abcg", -1 },
		{ "{192f0c1-7b2a-7cde-8f01-23456789abc}", -1 },
		{ " 192f0c1-7b2a-7cde-8f01-23456789abcd", -1 },
		{ "0192f0c1-7b2a-7cde-8f01-23456789abcd\n", -1 },
		{ "", -1 },
		{ "-", -1 },
	};
	struct uuid	 u;
	char		 text[UUID_TEXT];
	size_t		 i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(uuid_parse(&u, cases[i].text),
		    cases[i].result);
		if (cases[i].result == 0)
			assert_string_equal(uuid_text(&u, text),
			    cases[i].text);
	}
}

static void
bad_text_leaves_the_id_alone(void **state)
{
	struct uuid	 a, b;

	(void)state;
	uuid_new(&a);
	b = a;
	assert_int_equal(uuid_parse(&b, "0192f0c1-7b2a-7cde-8f01-xyz"), -1);
	assert_true(uuid_equal(&a, &b));
}

static void
has_version_variant_and_time(void **state)
{
	struct uuid	 u;
	uint64_t	 ms = 0, now;
	int		 i;

	(void)state;
	uuid_new(&u);
	now = (uint64_t)time(NULL) * 1000;
	assert_int_equal(u.b[6] >> 4, 7);
	assert_int_equal(u.b[8] >> 6, 2);
	for (i = 0; i < 6; i++)
		ms = ms << 8 | u.b[i];
	assert_true(ms + 2000 > now && ms < now + 2000);
}

static void
later_ones_sort_after_earlier(void **state)
{
	struct uuid	 before, after;
	int		 i;

	(void)state;
	uuid_new(&before);
	for (i = 0; i < MANY; i++) {
		uuid_new(&after);
		assert_true(memcmp(before.b, after.b, sizeof(after.b)) < 0);
		before = after;
	}
}

static int
compare(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct uuid));
}

static void *
make_many(void *arg)
{
	struct uuid	*u = arg;
	int		 i;

	for (i = 0; i < MANY; i++)
		uuid_new(&u[i]);
	return NULL;
}

static void
threads_never_make_the_same(void **state)
{
	static struct uuid	 all[THREADS * MANY];
	pthread_t		 t[THREADS];
	int			 i;

	(void)state;
	for (i = 0; i < THREADS; i++)
		pthread_create(&t[i], NULL, make_many, all + i * MANY);
	for (i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	qsort(all, THREADS * MANY, sizeof(all[0]), compare);
	for (i = 1; i < THREADS * MANY; i++)
		assert_false(uuid_equal(&all[i - 1], &all[i]));
}

int
main(void)
{
	const struct CMUnitTest	 tests[] = {
		cmocka_unit_test(parses_its_own_text_only),
		cmocka_unit_test(bad_text_leaves_the_id_alone),
		cmocka_unit_test(has_version_variant_and_time),
		cmocka_unit_test(later_ones_sort_after_earlier),
		cmocka_unit_test(threads_never_make_the_same),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
