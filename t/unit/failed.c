/*
 * What failed, in the details of a job, where the programs of stages write too.
 */

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <json.h>

#include "failed.h"
#include "plan.h"

static const struct stage stages[] = {
	{ .name = "read", .kind = STAGE_ONCE },
	{ .name = "page", .kind = STAGE_EACH },
};

/* plan.c needs a whole run. */
const struct stage *
plan_stage(const struct plan *plan, const struct part *p)
{
	return &stages[plan->states[p->at].position];
}

static struct json_object *
parse(const char *text)
{
	struct json_object	*o = json_tokener_parse(text);

	assert_non_null(o);
	return o;
}

/* Details that programs said, and a step that has failed: nothing of it is
   believed, and nobody comes to grief. */
static void
said_by_programs(void **state)
{
	static const char *const said[] = {
		"{\"failed\": null}",
		"{\"failed\": 1, \"items_failed\": \"many\"}",
		"{\"failed\": [null, 1, [], {}]}",
		"{\"failed\": [{\"stage\": null, \"item\": null}]}",
		"{\"failed\": [{\"stage\": \"page\", \"item\": null}]}",
		"{\"failed\": [{\"stage\": [1], \"item\": {}}]}",
		"{\"failed\": [{\"reason\": null}]}",
	};
	struct engine_step	 states[] = {
		{ .position = 0, .state = STEP_DONE },
		{ .position = 1, .state = STEP_FAILED },
	};
	char			 item[] = "n1";
	struct part		 parts[] = {
		{ .at = 0 }, { .at = 1, .item = item }
	}, *all[] = { &parts[0], &parts[1] };
	struct plan		 plan = {
		.states = states, .parts = all, .n = 2
	};
	struct json_object	*details;
	char			 why[256];
	size_t			 i;

	(void)state;
	for (i = 0; i < sizeof(said) / sizeof(said[0]); i++) {
		details = parse(said[i]);
		failed_why(details, why, sizeof(why));
		failed_check(details, &plan);
		failed_why(details, why, sizeof(why));
		assert_string_equal(why, "");
		failed_add(details, "page", "n1", "It was late");
		failed_why(details, why, sizeof(why));
		assert_non_null(strstr(why, "It was late"));
		json_object_put(details);
	}
}

/* So many that ours has no place. */
static void
full(void **state)
{
	struct json_object	*details = json_object_new_object();
	struct json_object	*list = json_object_new_array(), *one;
	char			 why[256];
	size_t			 i;

	(void)state;
	for (i = 0; i < FAILED_MOST; i++) {
		one = json_object_new_object();
		json_object_object_add(one, "reason", NULL);
		json_object_array_add(list, one);
	}
	json_object_object_add(details, "failed", list);
	failed_add(details, "read", NULL, "exit 1");
	failed_why(details, why, sizeof(why));
	assert_string_equal(why, "");
	json_object_put(details);
}

int
main(void)
{
	const struct CMUnitTest	 tests[] = {
		cmocka_unit_test(said_by_programs),
		cmocka_unit_test(full),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
