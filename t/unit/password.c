/* Hashes are argon2id of today's strength, and few are made at a time. */

#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "../../lib/password.c"

static void
a_hash_fits_its_password_alone(void **state)
{
	char	 a[PASSWORD_HASH], b[PASSWORD_HASH];

	(void)state;
	assert_int_equal(password_hash("correct horse", a), 0);
	assert_int_equal(password_hash("correct horse", b), 0);
	assert_string_not_equal(a, b);
	assert_memory_equal(a, "$argon2id$v=19$m=65536,t=3,p=1$", 31);
	assert_int_equal(password_check(a, "correct horse"), 0);
	assert_int_equal(password_check(a, "correct horsf"), 1);
	assert_int_equal(password_check(a, "correct horse "), 1);
	assert_int_equal(password_check(a, ""), 1);
}

static void
all_of_a_long_password_counts(void **state)
{
	char	 hash[PASSWORD_HASH], text[1025];

	(void)state;
	memset(text, 'x', 1024);
	text[1024] = '\0';
	assert_int_equal(password_hash(text, hash), 0);
	assert_int_equal(password_check(hash, text), 0);
	text[1023] = 'y';
	assert_int_equal(password_check(hash, text), 1);
}

static void
nothing_fits_what_is_no_hash(void **state)
{
	static const char *const cases[] = {
		"", "*0", "*1", "!", "x", "$argon2id$", "correct horse",
		"$2b$12$abcdefghijklmnopqrstuuIi8xqZ3cW9dZ9gZxvZ8gk1",
	};
	size_t	 i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(password_check(cases[i], cases[i]), 1);
		assert_int_equal(password_check(cases[i], ""), 1);
	}
	assert_int_equal(password_check(NULL, ""), 1);
}

/* Whoever compares with nothing must take as long as with something. */
static void
the_hash_of_nobody_is_of_todays_strength(void **state)
{
	char	 now[PASSWORD_HASH];

	(void)state;
	assert_int_equal(password_old(dummy), 0);
	assert_int_equal(password_hash("x", now), 0);
	assert_int_equal(password_old(now), 0);
	assert_int_equal(strlen(now), strlen(dummy));
	assert_true(password_old("$argon2id$v=19$m=19456,t=2,p=1$"
	    "hIQaLdaujwPeX1q107oRvQ"
	    "$oLTfqo5JfqYE6ZPmYhYeYnERUEPyBqRJC54/SI1I/vI"));
}

/* Begin to hold a turn in a child; it says so on a pipe, and waits on one. */
static pid_t
hold_turn(int *say, int *go)
{
	int	 up[2], down[2];
	char	 c;
	pid_t	 pid;

	assert_int_equal(pipe(up), 0);
	assert_int_equal(pipe(down), 0);
	if ((pid = fork()) == 0) {
		c = (char)take_turn();
		if (write(up[1], &c, 1) != 1 || read(down[0], &c, 1) == -1)
			_exit(1);
		_exit(0);
	}
	*say = up[0];
	*go = down[1];
	return pid;
}

static bool
is_taken(unsigned int i)
{
	struct flock	 l = {
		.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = i,
		.l_len = 1,
	};

	assert_int_equal(fcntl(turns, F_GETLK, &l), 0);
	return l.l_type != F_UNLCK;
}

static void
few_run_a_few_wait_the_rest_is_turned_away(void **state)
{
	pid_t	 pid[3];
	int	 say[3], go[3], i, status;
	char	 c;

	(void)state;
	password_limit(4);		/* two run, one waits */
	for (i = 0; i < 2; i++) {
		pid[i] = hold_turn(&say[i], &go[i]);
		assert_int_equal(read(say[i], &c, 1), 1);
		assert_int_equal(c, i);
	}
	pid[2] = hold_turn(&say[2], &go[2]);
	while (!is_taken(at_once))
		sched_yield();		/* until the third waits */
	assert_int_equal(password_check(NULL, "x"), PASSWORD_BUSY);

	/* A turn comes back however its holder ends. */
	for (i = 0; i < 2; i++) {
		kill(pid[i], SIGKILL);
		assert_int_equal(waitpid(pid[i], &status, 0), pid[i]);
	}
	assert_int_equal(read(say[2], &c, 1), 1);
	assert_in_range(c, 0, 1);
	assert_int_equal(password_check(NULL, "x"), 1);
	assert_int_equal(write(go[2], "x", 1), 1);
	assert_int_equal(waitpid(pid[2], &status, 0), pid[2]);
	close(turns);
	turns = -1;
}

static void
one_worker_stays_free(void **state)
{
	static const struct {
		unsigned int workers, at_once, seats;
	} cases[] = {
		{ 1, 1, 0 }, { 2, 1, 0 }, { 3, 2, 0 }, { 4, 2, 1 },
		{ 16, 2, 13 },
	};
	size_t	 i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		password_limit(cases[i].workers);
		assert_int_equal(at_once, cases[i].at_once);
		assert_int_equal(seats, cases[i].seats);
		close(turns);
	}
	turns = -1;
}

int
main(void)
{
	const struct CMUnitTest	 tests[] = {
		cmocka_unit_test(a_hash_fits_its_password_alone),
		cmocka_unit_test(all_of_a_long_password_counts),
		cmocka_unit_test(nothing_fits_what_is_no_hash),
		cmocka_unit_test(the_hash_of_nobody_is_of_todays_strength),
		cmocka_unit_test(few_run_a_few_wait_the_rest_is_turned_away),
		cmocka_unit_test(one_worker_stays_free),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
