/*
 * Pipelines that were asked for and are not there.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "set.h"

static struct set *
fresh(void)
{
	return set_new(calloc(1, sizeof(struct pipelines)));
}

/* A claim brings many jobs of one pipeline. */
static void
a_name_is_kept_once(void **state)
{
	struct set	*set = fresh();
	int		 i;

	(void)state;
	assert_string_equal(set_lacks(set), "");
	for (i = 0; i < 1000; i++)
		set_lack(set, "old");
	set_lack(set, "older");
	set_lack(set, "old");
	assert_string_equal(set_lacks(set), "old,older");
	set_leave(set);
}

/* "ol" is not "old", nor "older". */
static void
a_name_is_a_whole_one(void **state)
{
	struct set	*set = fresh();

	(void)state;
	set_lack(set, "older");
	set_lack(set, "old");
	set_lack(set, "ol");
	assert_string_equal(set_lacks(set), "older,old,ol");
	set_leave(set);
}

static void
a_full_list_stays_whole(void **state)
{
	struct set	*set = fresh();
	char		 name[32];
	const char	*last;
	int		 i;

	(void)state;
	for (i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "pipeline-number-%02d", i);
		set_lack(set, name);
	}
	last = strrchr(set_lacks(set), ',');
	assert_non_null(last);
	assert_int_equal(strlen(last + 1), strlen(name));
	assert_in_range(strlen(set_lacks(set)), 400, sizeof(set->lacks) - 1);
	set_leave(set);
}

int
main(void)
{
	const struct CMUnitTest	 tests[] = {
		cmocka_unit_test(a_name_is_kept_once),
		cmocka_unit_test(a_name_is_a_whole_one),
		cmocka_unit_test(a_full_list_stays_whole),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
