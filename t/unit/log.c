/* Whatever is logged is one line, and cannot pretend to be another. */

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "log.h"

static int	 real_stderr, sink;
static char	 said[64 * 1024];

static void
listen_to_stderr(void)
{
	if (sink == 0) {
		real_stderr = dup(STDERR_FILENO);
		sink = memfd_create("stderr", MFD_CLOEXEC);
	}
	assert_int_equal(ftruncate(sink, 0), 0);
	lseek(sink, 0, SEEK_SET);
	dup2(sink, STDERR_FILENO);
	log_init("prog");
}

/* What was logged since, without the program and its process id. */
static const char *
heard(void)
{
	ssize_t	 n;
	char	*text;

	dup2(real_stderr, STDERR_FILENO);
	n = pread(sink, said, sizeof(said) - 1, 0);
	assert_true(n >= 0);
	said[n] = '\0';
	text = strstr(said, "]: ");
	return text == NULL ? said : text + 3;
}

static void
escapes(void **state)
{
	static const struct { const char *text, *line; } cases[] = {
		{ "plain",		"plain\n" },
		{ "two\nlines",		"two\\x0alines\n" },
		{ "back\\slash",	"back\\\\slash\n" },
		{ "\033[2J\177",	"\\x1b[2J\\x7f\n" },
		{ "M\303\274hle",	"M\303\274hle\n" },
		{ "\302\233m",		"\302\\x9bm\n" },
		{ "",			"\n" },
	};
	size_t	 i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		listen_to_stderr();
		log_info("%s", cases[i].text);
		assert_string_equal(heard(), cases[i].line);
	}
}

static void
begins_as_its_reader_wants(void **state)
{
	char		 begin[64], stream[64];
	struct stat	 st;

	(void)state;
	snprintf(begin, sizeof(begin), "prog[%ld]: x\n", (long)getpid());
	listen_to_stderr();
	log_warnx("x");
	heard();
	assert_string_equal(said, begin);

	/* The journal: only when it is this stream that leads there. */
	assert_int_equal(fstat(sink, &st), 0);
	snprintf(stream, sizeof(stream), "%llu:%llu",
	    (unsigned long long)st.st_dev, (unsigned long long)st.st_ino);
	setenv("JOURNAL_STREAM", stream, 1);
	listen_to_stderr();
	log_warnx("x");
	heard();
	assert_string_equal(said, "<4>x\n");
	setenv("JOURNAL_STREAM", "1:1", 1);
	listen_to_stderr();
	log_warnx("x");
	heard();
	assert_string_equal(said, begin);
	unsetenv("JOURNAL_STREAM");

	listen_to_stderr();
	log_bare();
	log_warnx("x");
	heard();
	assert_string_equal(said, "x\n");
}

static void
warn_appends_errno_and_keeps_it(void **state)
{
	(void)state;
	listen_to_stderr();
	errno = ENOENT;
	log_warn("file %d", 7);
	assert_int_equal(errno, ENOENT);
	assert_string_equal(heard(), "file 7: No such file or directory\n");
}

static void
cuts_long_records(void **state)
{
	char	*text = xmalloc(100000);

	(void)state;
	memset(text, '\n', 99999);
	text[99999] = '\0';
	listen_to_stderr();
	log_info("%s", text);
	heard();
	assert_true(strlen(said) <= 4096);
	assert_true(strlen(said) > 4000);
	assert_ptr_equal(strchr(said, '\n'), said + strlen(said) - 1);
	free(text);
}

static void *
other_thread(void *arg)
{
	(void)arg;
	log_info("theirs");
	return NULL;
}

static void
subject_is_of_the_thread(void **state)
{
	pthread_t	 t;

	(void)state;
	listen_to_stderr();
	log_subject("request %s: ", "7f3a");
	log_info("ours");
	assert_string_equal(heard(), "request 7f3a: ours\n");

	listen_to_stderr();
	pthread_create(&t, NULL, other_thread, NULL);
	pthread_join(t, NULL);
	assert_string_equal(heard(), "theirs\n");

	log_subject(NULL);
	listen_to_stderr();
	log_info("nobody's");
	assert_string_equal(heard(), "nobody's\n");
}

static void
debug_only_when_verbose(void **state)
{
	(void)state;
	listen_to_stderr();
	log_debug("quiet");
	assert_string_equal(heard(), "");
	log_verbose();
	listen_to_stderr();
	log_debug("loud");
	assert_string_equal(heard(), "loud\n");
}

static void
fatal_exits_1(void **state)
{
	pid_t	 pid;
	int	 status;

	(void)state;
	listen_to_stderr();
	if ((pid = fork()) == 0) {
		errno = EACCES;
		fatal("key");
	}
	waitpid(pid, &status, 0);
	assert_string_equal(heard(), "key: Permission denied\n");
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 1);
}

int
main(void)
{
	const struct CMUnitTest	 tests[] = {
		cmocka_unit_test(escapes),
		cmocka_unit_test(begins_as_its_reader_wants),
		cmocka_unit_test(warn_appends_errno_and_keeps_it),
		cmocka_unit_test(cuts_long_records),
		cmocka_unit_test(subject_is_of_the_thread),
		cmocka_unit_test(debug_only_when_verbose),
		cmocka_unit_test(fatal_exits_1),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
