/* Results keep their place through attempts that are cut off. */

#include <sys/stat.h>

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "results.h"

#define SHA256	"0123456789abcdef0123456789abcdef" \
		"0123456789abcdef0123456789abcdef"

static const struct uuid	 job = { { 1 } };

/* A storage root with one job, whose work directory is open as fd WORK. */
struct rig {
	char		 root[64];
	int		 work;
};

static int
set_up(void **state)
{
	struct rig	*rig = calloc(1, sizeof(*rig));

	strlcpy(rig->root, "/tmp/results.XXXXXX", sizeof(rig->root));
	assert_non_null(mkdtemp(rig->root));
	assert_int_equal(chdir(rig->root), 0);
	assert_int_equal(mkdir("results", 0700), 0);
	assert_int_equal(mkdir("work", 0700), 0);
	rig->work = open("work", O_RDONLY | O_DIRECTORY);
	assert_int_not_equal(rig->work, -1);
	*state = rig;
	return 0;
}

static int
tear_down(void **state)
{
	struct rig	*rig = *state;
	char		 command[96];

	close(rig->work);
	assert_int_equal(chdir("/"), 0);
	snprintf(command, sizeof(command), "rm -r %s", rig->root);
	assert_int_equal(system(command), 0);
	free(rig);
	return 0;
}

/* A stage of the attempt TOKEN stores "a", which is "word". */
static void
store(const struct rig *rig, uint64_t token, const char *word)
{
	char	 name[RESULTS_STORE], path[RESULTS_STORE + 8];
	int	 fd;

	results_store(token, name);
	assert_int_equal(mkdirat(rig->work, name, 0700), 0);
	snprintf(path, sizeof(path), "%s/a", name);
	fd = openat(rig->work, path, O_WRONLY | O_CREAT, 0600);
	assert_int_equal(write(fd, word, strlen(word)), strlen(word));
	close(fd);
}

static int
publish(const struct rig *rig, struct results *r, uint64_t token)
{
	char	 why[256];

	return results_publish(r, rig->work, rig->root, &job, token, why);
}

static void
begin(const struct rig *rig, struct results *r)
{
	memset(r, 0, sizeof(*r));
	results_load(r, rig->work);
}

/* Published by attempt 1; 2 dies once it has moved them; 3 and 4 go on. */
static void
moved_and_cut_off(void **state)
{
	struct rig	*rig = *state;
	struct results	 r = { .n = 0 };
	uint64_t	 token;

	store(rig, 1, "word");
	results_add(&r, "a", "a", "");
	assert_int_equal(results_stored(&r, "a", 4, SHA256, ""), 0);
	assert_int_equal(publish(rig, &r, 1), 0);
	assert_int_equal(results_save(&r, rig->work), 0);
	results_clear(&r);

	for (token = 2; token < 5; token++) {
		begin(rig, &r);
		assert_null(results_owed(&r));
		assert_int_equal(publish(rig, &r, token), 0);
		results_clear(&r);		/* and dies */
	}
}

/* As many as fit, with names and paths as long as they can be: whoever has the
   job next finds all of them. */
static void
as_many_as_fit(void **state)
{
	struct rig	*rig = *state;
	struct results	 r = { .n = 0 }, one = { .n = 0 };
	char		 name[256], path[3800];
	size_t		 n;

	memset(path, 'p', sizeof(path));
	path[sizeof(path) - 1] = '\0';
	for (;;) {
		snprintf(name, sizeof(name), "%0250zu", r.n);
		results_clear(&one);
		results_add(&one, name, path, "text/plain");
		results_stored(&one, name, UINT64_MAX, SHA256, "");
		if (!results_fit(&r, &one))
			break;
		results_add(&r, name, path, "text/plain");
		results_stored(&r, name, UINT64_MAX, SHA256, "");
	}
	assert_in_range(r.n, 1000, RESULTS_MOST);
	assert_int_equal(results_save(&r, rig->work), 0);
	n = r.n;
	results_clear(&r);
	results_load(&r, rig->work);
	assert_int_equal(r.n, n);
	assert_null(results_owed(&r));
	results_clear(&r);
	results_clear(&one);
}

/* Attempt 2 dies when it has noted, but not yet made, its move. */
static void
noted_and_cut_off(void **state)
{
	struct rig	*rig = *state;
	struct results	 r = { .n = 0 };

	store(rig, 1, "word");
	results_add(&r, "a", "a", "");
	assert_int_equal(results_stored(&r, "a", 4, SHA256, ""), 0);
	assert_int_equal(publish(rig, &r, 1), 0);
	r.before = 1;
	r.token = 2;
	assert_int_equal(results_save(&r, rig->work), 0);
	results_clear(&r);

	begin(rig, &r);
	assert_int_equal(publish(rig, &r, 3), 0);
	results_clear(&r);
}

static bool
not_any_more(void)
{
	return false;
}

/* An attempt whose job is another's by now leaves the list as it is. */
static void
too_late(void **state)
{
	struct rig	*rig = *state;
	struct results	 r = { .n = 0 }, late = { .n = 0 };
	int		 fd;

	results_add(&r, "a", "a", "");
	results_add(&r, "b", "b", "");
	assert_int_equal(results_save(&r, rig->work), 0);
	results_add(&late, "a", "a", "");
	late.trusted = not_any_more;
	assert_int_equal(results_save(&late, rig->work), -1);
	results_clear(&late);
	results_clear(&r);

	/* What it was about to write when it was stopped. */
	fd = openat(rig->work, ".list-0", O_WRONLY | O_CREAT, 0600);
	assert_int_not_equal(fd, -1);
	close(fd);
	begin(rig, &r);
	assert_int_equal(r.n, 2);
	assert_int_equal(faccessat(rig->work, ".list-0", F_OK, 0), -1);
	results_clear(&r);
}

/* What a stage named that runs again is its own to name. */
static void
named_again(void **state)
{
	static const bool	 done[] = { true, false, true };
	struct rig		*rig = *state;
	struct results		 r = { .n = 0 };

	results_add(&r, "a", "a", "")->stage = 0;
	results_add(&r, "b", "b", "")->stage = 1;
	results_add(&r, "c", "c", "text/plain")->stage = 2;
	results_add(&r, "d", "d", "")->stage = 3;
	assert_int_equal(results_stored(&r, "c", 4, SHA256, ""), 0);
	assert_int_equal(results_save(&r, rig->work), 0);
	results_clear(&r);
	begin(rig, &r);
	assert_int_equal(r.n, 4);
	results_keep(&r, done, 3);
	assert_int_equal(r.n, 2);
	assert_string_equal(r.list[0].name, "a");
	assert_string_equal(r.list[1].name, "c");
	assert_true(r.list[1].stored);
	assert_int_equal(r.bytes, 4 + strlen("text/plain"));
	results_clear(&r);
}

/* The same attempt stores and publishes once more. */
static void
twice(void **state)
{
	struct rig	*rig = *state;
	struct results	 r = { .n = 0 };

	store(rig, 1, "word");
	results_add(&r, "a", "a", "");
	assert_int_equal(results_stored(&r, "a", 4, SHA256, ""), 0);
	assert_int_equal(publish(rig, &r, 1), 0);
	store(rig, 1, "other");
	assert_int_equal(results_stored(&r, "a", 5, SHA256, ""), 0);
	assert_int_equal(publish(rig, &r, 1), 0);
	results_clear(&r);
}

/* What a stage says that is not so. */
static void
not_as_said(void **state)
{
	struct rig	*rig = *state;
	struct results	 r = { .n = 0 };

	assert_int_equal(results_stored(&r, "a", 4, SHA256, ""), -1);
	store(rig, 1, "word");
	results_add(&r, "a", "a", "");
	assert_int_equal(results_stored(&r, "a", 5, SHA256, ""), 0);
	assert_int_equal(publish(rig, &r, 1), -1);
	results_clear(&r);
}

int
main(void)
{
#define TEST(fn) \
	cmocka_unit_test_setup_teardown(fn, set_up, tear_down)
	const struct CMUnitTest	 tests[] = {
		TEST(as_many_as_fit),
		TEST(moved_and_cut_off),
		TEST(noted_and_cut_off),
		TEST(too_late),
		TEST(named_again),
		TEST(twice),
		TEST(not_as_said),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
