/* The loop calls what was asked for, in order, and nothing that was not. */

#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "log.h"
#include "loop.h"

static struct loop	*loop;
static char		 trace[256];	/* a letter for each call */

static void
note(char c)
{
	size_t	 n = strlen(trace);

	assert_true(n < sizeof(trace) - 1);
	trace[n] = c;
	trace[n + 1] = '\0';
}

static int
begin(void **state)
{
	(void)state;
	trace[0] = '\0';
	loop = loop_new();
	return 0;
}

static int
end(void **state)
{
	(void)state;
	loop_free(loop);
	return 0;
}

static void
note_it(void *arg)
{
	note(*(char *)arg);
}

/* Note C in MS milliseconds. */
static struct loop_timer *
after(unsigned int ms, char c)
{
	static char	 letters[128];

	letters[(int)c] = c;
	return loop_after(loop, ms, note_it, &letters[(int)c]);
}

static void
note_and_stop(void *arg)
{
	(void)arg;
	note('.');
	loop_stop(loop);
}

static int
ready_fd(void)
{
	int	 fd = eventfd(1, EFD_NONBLOCK);

	assert_true(fd >= 0);
	return fd;
}

/* ---- timers ------------------------------------------------------------- */

static void
timers_fire_in_order(void **state)
{
	uint64_t	 began = loop_now();

	(void)state;
	loop_after(loop, 30, note_and_stop, NULL);
	after(20, 'c');
	after(1, 'a');
	after(1, 'b');
	loop_run(loop);
	assert_string_equal(trace, "abc.");
	assert_true(loop_now() - began >= 29);
}

static void
many_timers_fire_in_order(void **state)
{
	static const int	 ms[] = { 9, 3, 25, 1, 17, 0, 12, 5, 21, 7 };
	struct loop_timer	*cancelled[10];
	size_t			 i;

	(void)state;
	for (i = 0; i < 10; i++) {
		after(ms[i], 'a' + ms[i]);
		cancelled[i] = after(ms[i], '!');
	}
	for (i = 0; i < 10; i++)
		loop_cancel(loop, cancelled[i]);
	loop_after(loop, 40, note_and_stop, NULL);
	loop_run(loop);
	assert_string_equal(trace, "abdfhjmrvz.");
}

static struct loop_timer	*beat;
static int			 beats;

static void
three_beats(void *arg)
{
	(void)arg;
	note('x');
	if (++beats == 3) {
		loop_cancel(loop, beat);
		loop_after(loop, 10, note_and_stop, NULL);
	}
}

static void
every_repeats_until_cancelled_by_itself(void **state)
{
	(void)state;
	beats = 0;
	beat = loop_every(loop, 2, three_beats, NULL);
	loop_run(loop);
	assert_string_equal(trace, "xxx.");
}

static void
cancel_the_beat(void *arg)
{
	(void)arg;
	note('c');
	loop_cancel(loop, beat);
}

static void
a_timer_that_is_due_can_be_cancelled(void **state)
{
	(void)state;
	loop_after(loop, 1, cancel_the_beat, NULL);
	beat = after(1, '!');
	loop_after(loop, 5, note_and_stop, NULL);
	loop_run(loop);
	assert_string_equal(trace, "c.");
}

static void
at_once_for_ever(void *arg)
{
	loop_after(loop, 0, at_once_for_ever, arg);
}

static void
read_and_stop(void *arg, int fd, unsigned int events)
{
	(void)arg;
	(void)fd;
	assert_int_equal(events, LOOP_READ);
	note('r');
	loop_stop(loop);
}

static void
timers_without_delay_starve_nobody(void **state)
{
	int	 fd = ready_fd();

	(void)state;
	at_once_for_ever(NULL);
	loop_watch(loop, fd, LOOP_READ, read_and_stop, NULL);
	loop_run(loop);
	assert_string_equal(trace, "r");
	loop_forget(loop, fd);
	close(fd);
}

static void
stop_before_run_is_not_lost(void **state)
{
	(void)state;
	loop_stop(loop);
	loop_run(loop);
	loop_after(loop, 0, note_and_stop, NULL);
	loop_run(loop);
	assert_string_equal(trace, ".");
}

/* ---- descriptors -------------------------------------------------------- */

static int	 pair[2];

static void
write_then_read(void *arg, int fd, unsigned int events)
{
	char	 c;

	if (events & LOOP_WRITE) {
		note('w');
		assert_int_equal(write(pair[1], "x", 1), 1);
		loop_watch(loop, fd, LOOP_READ, write_then_read, arg);
	} else if (events & LOOP_READ) {
		note('r');
		if (read(fd, &c, 1) == 1) {
			close(pair[1]);
			loop_watch(loop, fd, 0, write_then_read, arg);
		}
	} else if (events & LOOP_HANGUP) {
		note('h');
		loop_forget(loop, fd);
		loop_forget(loop, fd);		/* twice does no harm */
		loop_stop(loop);
	}
}

static void
events_follow_what_is_watched(void **state)
{
	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	loop_watch(loop, pair[0], LOOP_WRITE, write_then_read, NULL);
	loop_run(loop);
	assert_string_equal(trace, "wrh");
	close(pair[0]);
}

static int	 both[2], reused;

static void
unexpected(void *arg, int fd, unsigned int events)
{
	(void)arg;
	(void)fd;
	(void)events;
	note('!');
}

/* Whichever comes first closes the other and reuses its number. */
static void
replace_the_other(void *arg, int fd, unsigned int events)
{
	int	 other = both[fd == both[0]];

	(void)arg;
	(void)events;
	note('1');
	loop_forget(loop, other);
	close(other);
	reused = eventfd(0, EFD_NONBLOCK);
	assert_int_equal(reused, other);
	loop_watch(loop, reused, LOOP_READ, unexpected, NULL);
	loop_forget(loop, fd);
	loop_after(loop, 10, note_and_stop, NULL);
}

static void
a_forgotten_event_does_not_reach_who_has_its_number(void **state)
{
	(void)state;
	both[0] = ready_fd();
	both[1] = ready_fd();
	loop_watch(loop, both[0], LOOP_READ, replace_the_other, NULL);
	loop_watch(loop, both[1], LOOP_READ, replace_the_other, NULL);
	loop_run(loop);
	assert_string_equal(trace, "1.");
	loop_forget(loop, reused);
	close(both[0]);
	close(both[1]);
}

static size_t	 left;

static void
count_down(void *arg, int fd, unsigned int events)
{
	uint64_t	 n;

	(void)arg;
	(void)events;
	assert_int_equal(read(fd, &n, sizeof(n)), sizeof(n));
	if (--left == 0)
		loop_stop(loop);
}

static void
watches_as_many_as_there_are(void **state)
{
	struct rlimit	 lim;
	size_t		 i, n;
	int		*fds;

	(void)state;
	getrlimit(RLIMIT_NOFILE, &lim);
	lim.rlim_cur = lim.rlim_max;
	setrlimit(RLIMIT_NOFILE, &lim);
	n = lim.rlim_max > 20100 ? 20000 : lim.rlim_max - 100;
	fds = xcalloc(n, sizeof(*fds));
	for (i = 0; i < n; i++) {
		fds[i] = ready_fd();
		loop_watch(loop, fds[i], LOOP_READ, count_down, NULL);
	}
	left = n;
	loop_run(loop);
	assert_int_equal(left, 0);
	for (i = 0; i < n; i++) {
		loop_forget(loop, fds[i]);
		close(fds[i]);
	}
	free(fds);
}

/* ---- signals ------------------------------------------------------------ */

static void
signalled(void *arg, int signo)
{
	(void)arg;
	note(signo == SIGUSR1 ? '1' : '2');
	if (signo == SIGUSR2)
		loop_stop(loop);
}

static void
signals_arrive_in_the_loop(void **state)
{
	(void)state;
	loop_signal(loop, SIGUSR1, signalled, NULL);
	loop_signal(loop, SIGUSR2, signalled, NULL);
	raise(SIGUSR1);
	raise(SIGUSR1);
	assert_string_equal(trace, "");
	after(5, 't');
	raise(SIGUSR2);
	loop_run(loop);
	assert_string_equal(trace, "12");
}

static void
handlers_go_with_the_loop(void **state)
{
	struct sigaction	 act;

	(void)state;
	loop_signal(loop, SIGUSR1, signalled, NULL);
	loop_free(loop);
	sigaction(SIGUSR1, NULL, &act);
	assert_true(act.sa_handler == SIG_DFL);
	loop = loop_new();
	loop_signal(loop, SIGUSR2, signalled, NULL);
	raise(SIGUSR2);
	loop_run(loop);
	assert_string_equal(trace, "2");
}

/* A program started by fork and exec dies of a signal that we catch. */
static void
started_programs_have_default_signals(void **state)
{
	pid_t	 pid;
	int	 status;

	(void)state;
	loop_signal(loop, SIGUSR1, signalled, NULL);
	if ((pid = fork()) == 0) {
		execl("/bin/sh", "sh", "-c", "kill -USR1 $$; exit 0", NULL);
		_exit(9);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGUSR1);
}

#define TEST(f)	cmocka_unit_test_setup_teardown(f, begin, end)

int
main(void)
{
	const struct CMUnitTest	 tests[] = {
		TEST(timers_fire_in_order),
		TEST(many_timers_fire_in_order),
		TEST(every_repeats_until_cancelled_by_itself),
		TEST(a_timer_that_is_due_can_be_cancelled),
		TEST(timers_without_delay_starve_nobody),
		TEST(stop_before_run_is_not_lost),
		TEST(events_follow_what_is_watched),
		TEST(a_forgotten_event_does_not_reach_who_has_its_number),
		TEST(watches_as_many_as_there_are),
		TEST(signals_arrive_in_the_loop),
		TEST(handlers_go_with_the_loop),
		TEST(started_programs_have_default_signals),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
