/* Children are followed, stopped, and their end is understood. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "ffmpeg.h"

static void
understands_progress(void **state)
{
	static const struct {
		const char	*line;
		bool		 moved;
		uint64_t	 frames;
		double		 seconds;
	} cases[] = {	/* one after the other */
		{ "frame=0", false, 0, 0 },
		{ "out_time_us=N/A", false, 0, 0 },
		{ "out_time_us=-9223372036854775807", false, 0, 0 },
		{ "frame=12", true, 12, 0 },
		{ "out_time_us=1500000", true, 12, 1.5 },
		{ "out_time_ms=9900000", false, 12, 1.5 },
		{ "out_time=00:00:09.900000", false, 12, 1.5 },
		{ "out_time_us=1500000", false, 12, 1.5 },
		{ "out_time_us=1400000", false, 12, 1.5 },
		{ "frame=11", false, 12, 1.5 },
		{ "frame=99999999999999999999999", false, 12, 1.5 },
		{ "frame=13x", false, 12, 1.5 },
		{ "frame= 13", false, 12, 1.5 },
		{ "frame", false, 12, 1.5 },
		{ "=13", false, 12, 1.5 },
		{ "", false, 12, 1.5 },
		{ "speed=2.1x", false, 12, 1.5 },
		{ "progress=continue", false, 12, 1.5 },
	};
	struct ffmpeg_progress	 p = { 0, 0, false };
	size_t			 i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(ffmpeg_progress_line(&p, cases[i].line),
		    cases[i].moved);
		assert_true(p.frames == cases[i].frames);
		assert_true(p.seconds == cases[i].seconds);
		assert_false(p.end);
	}
	assert_true(ffmpeg_progress_line(&p, "progress=end"));
	assert_true(p.end);
}

/* A shell in the place of ffmpeg; the arguments of every run are $0, $1... */
static struct ffmpeg *
shell(const char *script)
{
	struct ffmpeg	*f = ffmpeg_new("sh");
	size_t		 i;

	/* Not those of ffmpeg. */
	for (i = 1; i < f->argc; i++) {
		free(f->argv[i]);
		f->argv[i] = NULL;
	}
	f->argc = 1;
	ffmpeg_add(f, "-c", script, NULL);
	return f;
}

static void
hears_all_that_a_child_says(void **state)
{
	struct ffmpeg	*f = shell("echo frame=7 >&3;"
	    "echo out_time_us=2500000 >&3; echo progress=end >&3;"
	    "echo '[h264 @ 0x1] [error] first' >&2;"
	    "echo '[info] harmless' >&2;"
	    "echo '[fatal] second' >&2;"
	    "printf '[error] Conversion failed!' >&2; exit 3");

	(void)state;
	assert_false(ffmpeg_run(f));
	assert_int_equal(f->progress.frames, 7);
	assert_true(f->progress.seconds == 2.5);
	assert_true(f->progress.end);
	assert_int_equal(f->errors, 3);
	assert_string_equal(f->first, "first");
	assert_string_equal(f->reason, "second");
	assert_int_equal(WEXITSTATUS(f->status), 3);
	assert_string_equal(ffmpeg_why(f), "sh: first; second");
	assert_false(f->disk_full);
	ffmpeg_free(f);
}

static void
tells_how_it_ended(void **state)
{
	static const struct { const char *script, *why; } cases[] = {
		{ "exit 4", "sh: exit status 4" },
		{ "kill -11 $$", "sh: was killed by signal 11" },
		{ "echo '[error] no such filter' >&2; exit 1",
		    "sh: no such filter" },
	};
	struct ffmpeg	*f;
	size_t		 i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		f = shell(cases[i].script);
		assert_false(ffmpeg_run(f));
		assert_string_equal(ffmpeg_why(f), cases[i].why);
		ffmpeg_free(f);
	}
	f = shell("exit 0");
	assert_true(ffmpeg_run(f));
	ffmpeg_free(f);

	f = ffmpeg_new("no-such-program");
	assert_false(ffmpeg_run(f));
	assert_int_equal(WEXITSTATUS(f->status), 127);
	assert_non_null(strstr(f->reason, "No such file"));
	ffmpeg_free(f);
}

static void
sees_a_full_disk(void **state)
{
	struct ffmpeg	*f = shell(
	    "echo '[error] a.mp4: No space left on device' >&2; exit 1");

	(void)state;
	assert_false(ffmpeg_run(f));
	assert_true(f->disk_full);
	ffmpeg_free(f);
}

static void
kills_what_stands_still(void **state)
{
	struct ffmpeg	*f = shell(
	    "while :; do echo frame=1 >&3; read -r x < /dev/zero; done");

	(void)state;
	f->silence_s = 1;
	assert_false(ffmpeg_run(f));
	assert_true(f->stood_still);
	assert_string_equal(ffmpeg_why(f), "sh: stood still for 1 s");
	ffmpeg_free(f);
}

static void
collects_output(void **state)
{
	struct ffmpeg	*f = shell("i=0; while [ $i -lt 20000 ];"
	    " do echo 0123456789; i=$((i+1)); done");

	(void)state;
	f->keep_output = true;
	assert_true(ffmpeg_run(f));
	assert_int_equal(strlen(f->output), 220000);
	ffmpeg_free(f);
}

static void
add_length(void *arg, char *line)
{
	*(size_t *)arg += strlen(line) + 1;
}

static void
hands_on_lines(void **state)
{
	struct ffmpeg	*f = shell("i=0; while [ $i -lt 20000 ];"
	    " do echo 0123456789; i=$((i+1)); done; printf end");
	size_t		 len = 0;

	(void)state;
	f->line = add_length;
	f->arg = &len;
	assert_true(ffmpeg_run(f));
	assert_true(ffmpeg_ended(f));
	assert_int_equal(len, 220004);
	assert_null(f->output);
	ffmpeg_free(f);
}

static void
refuses_endless_output(void **state)
{
	struct ffmpeg	*f = shell("exec cat /dev/zero");

	(void)state;
	f->keep_output = true;
	assert_false(ffmpeg_run(f));
	assert_true(WIFSIGNALED(f->status));
	ffmpeg_free(f);
}

/* Several at once, connected by a pipe; none holds an end of another's. */
static void
connects_children(void **state)
{
	struct ffmpeg	*from = shell("echo hello");
	struct ffmpeg	*to = shell("read -r x <&4; echo frame=5 >&3;"
	    "read -r y <&4 || test \"$x\" = hello");
	struct ffmpeg	*f;
	int		 ended = 0;

	(void)state;
	ffmpeg_connect(from, to);
	ffmpeg_start(from);
	ffmpeg_start(to);
	while (ended < 2)
		if ((f = ffmpeg_wait()) != NULL) {
			assert_true(ffmpeg_ok(f));
			ended++;
		}
	assert_int_equal(to->progress.frames, 5);
	ffmpeg_free(from);
	ffmpeg_free(to);
}

/* A child sees 0 to 3 and what it was given, and cannot speak as we do. */
static void
hands_on_no_other_descriptor(void **state)
{
	struct ffmpeg	*f = shell("exec ls /proc/self/fd");
	int		 mine = dup(1);

	(void)state;
	f->keep_output = true;
	assert_true(ffmpeg_run(f));
	/* 4 is how ls reads the list. */
	assert_string_equal(f->output, "0\n1\n2\n3\n4\n");
	close(mine);
	ffmpeg_free(f);
}

/* Told to end, it ends its children first, and then in the same way. */
static void
ends_its_children(void **state)
{
	struct ffmpeg	*f;
	char		 c;
	int		 fds[2], status;
	pid_t		 pid;

	(void)state;
	assert_int_equal(pipe(fds), 0);
	if ((pid = fork()) == 0) {
		f = shell("trap '' TERM; echo x >&4; read -r x < /dev/zero");
		ffmpeg_pipe(f, fds[1]);
		close(fds[0]);
		ffmpeg_start(f);
		for (;;)
			ffmpeg_wait();
	}
	close(fds[1]);
	assert_int_equal(read(fds[0], &c, 1), 1);
	assert_int_equal(kill(pid, SIGTERM), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
	/* The other end of the pipe is closed: the grandchild is gone. */
	while (read(fds[0], &c, 1) > 0)
		;
	close(fds[0]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(understands_progress),
		cmocka_unit_test(hears_all_that_a_child_says),
		cmocka_unit_test(tells_how_it_ended),
		cmocka_unit_test(sees_a_full_disk),
		cmocka_unit_test(kills_what_stands_still),
		cmocka_unit_test(collects_output),
		cmocka_unit_test(hands_on_lines),
		cmocka_unit_test(refuses_endless_output),
		cmocka_unit_test(connects_children),
		cmocka_unit_test(hands_on_no_other_descriptor),
		cmocka_unit_test(ends_its_children),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
