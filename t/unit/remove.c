/* What is removed goes whole, and what is in use stays. */

#include <sys/file.h>
#include <sys/stat.h>

#include <errno.h>
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

#include "remove.h"

static int
set_up(void **state)
{
	char	*root = strdup("/tmp/remove.XXXXXX");

	assert_non_null(mkdtemp(root));
	assert_int_equal(chdir(root), 0);
	*state = root;
	return 0;
}

static int
tear_down(void **state)
{
	assert_int_equal(chdir("/"), 0);
	assert_int_equal(rmdir(*state), 0);
	free(*state);
	return 0;
}

static void
goes_however_deep_and_closed(void **state)
{
	int	 i;

	(void)state;
	assert_int_equal(mkdir("job", 0700), 0);
	assert_int_equal(chdir("job"), 0);
	for (i = 0; i < 200; i++) {
		assert_int_equal(mkdir("d", 0700), 0);
		assert_int_equal(close(open("f", O_CREAT | O_WRONLY, 0600)), 0);
		assert_int_equal(chdir("d"), 0);
	}
	assert_int_equal(chdir(*state), 0);
	assert_int_equal(chmod("job/d", 0), 0);
	assert_int_equal(remove_tree("job"), 0);
	assert_int_equal(access("job", F_OK), -1);
}

static void
is_gone_when_it_is_not_there(void **state)
{
	(void)state;
	assert_int_equal(remove_tree("job"), 0);
}

static void
stays_while_somebody_has_it(void **state)
{
	int	 fd;

	(void)state;
	assert_int_equal(mkdir("job", 0700), 0);
	fd = open("job", O_RDONLY | O_DIRECTORY);
	assert_int_equal(flock(fd, LOCK_SH), 0);
	errno = 0;
	assert_int_equal(remove_tree("job"), -1);
	assert_int_equal(errno, EWOULDBLOCK);
	close(fd);
	assert_int_equal(remove_tree("job"), 0);
}

int
main(void)
{
	static const struct CMUnitTest	 tests[] = {
		cmocka_unit_test(goes_however_deep_and_closed),
		cmocka_unit_test(is_gone_when_it_is_not_there),
		cmocka_unit_test(stays_while_somebody_has_it),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
