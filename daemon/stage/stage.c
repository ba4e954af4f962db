/*
 * Speak to the daemon as a stage.
 *
 * A line is written by one write(2), so it arrives whole.  When the daemon is
 * gone the write raises SIGPIPE, which ends the stage: nobody is left to work
 * for, and whoever takes the job over starts the stage anew.
 */

#include "stage.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <json-c/json.h>

#include "log.h"
#include "report.h"

#define REPORT_FD	3

/* What is worth waiting for before a full disk is tried again. */
#define DISK_FULL_S	60

void
stage_init(const char *program)
{
	log_init(program);

	/*
	 * Whether inherited or made here, no child may have it: what reads a
	 * stranger's bytes has no business talking to the daemon.
	 */
	if (fcntl(REPORT_FD, F_SETFD, FD_CLOEXEC) == 0)
		log_bare();		/* clients see it */
	else if (dup3(STDOUT_FILENO, REPORT_FD, O_CLOEXEC) == -1)
		fatal("descriptor %d", REPORT_FD);
}

static void
say(const char *line, size_t len)
{
	ssize_t	 n;

	if (len >= REPORT_LINE_MAX) {
		log_warnx("line of %zu bytes is too long: %.40s...", len, line);
		return;
	}
	do
		n = write(REPORT_FD, line, len);
	while (n == -1 && errno == EINTR);
	if (n == -1)
		fatal("descriptor %d", REPORT_FD);
}

/* WORD and the text, which is cut rather than lost when it is too long. */
static void __attribute__((format(printf, 2, 0)))
say_text(const char *word, const char *fmt, va_list ap)
{
	char	 line[REPORT_LINE_MAX];
	size_t	 len;

	len = strlcpy(line, word, sizeof(line));
	if (fmt != NULL) {
		line[len++] = ' ';
		vsnprintf(line + len, sizeof(line) - len - 1, fmt, ap);
		for (; line[len] != '\0'; len++)
			if (line[len] == '\n')
				line[len] = ' ';
	}
	line[len++] = '\n';
	say(line, len);
}

static void __attribute__((format(printf, 1, 2)))
say_words(const char *fmt, ...)
{
	char	*line;
	va_list	 ap;
	int	 len;

	va_start(ap, fmt);
	if ((len = vasprintf(&line, fmt, ap)) == -1)
		fatal("line");
	va_end(ap);
	say(line, len);
	free(line);
}

void
stage_progress(double percent, const char *fmt, ...)
{
	char	 word[32];
	va_list	 ap;

	snprintf(word, sizeof(word), "progress %.2f", percent);
	va_start(ap, fmt);
	say_text(word, fmt, ap);
	va_end(ap);
}

void
stage_step(const char *fmt, ...)
{
	va_list	 ap;

	va_start(ap, fmt);
	say_text("step", fmt, ap);
	va_end(ap);
}

void
stage_item(const char *name, const char *args)
{
	say_words("item %s%s%s\n", name, args != NULL ? " " : "",
	    args != NULL ? args : "");
}

void
stage_detail(const char *key, struct json_object *value)
{
	say_words("detail %s %s\n", key, json_object_to_json_string_ext(value,
	    JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(value);
}

void
stage_result(const char *name, const char *path, const char *type)
{
	say_words("result %s %s%s%s\n", name, path, type != NULL ? " " : "",
	    type != NULL ? type : "");
}

void
stage_stored(const char *name, uint64_t size, const char *sha256,
    const char *type)
{
	say_words("stored %s %llu %s%s%s\n", name, (unsigned long long)size,
	    sha256, type != NULL ? " " : "", type != NULL ? type : "");
}

void
stage_reject(const char *fmt, ...)
{
	va_list	 ap;

	va_start(ap, fmt);
	say_text("reject", fmt, ap);
	va_end(ap);
	exit(1);
}

static void __attribute__((format(printf, 2, 0)))
say_retry(unsigned int seconds, const char *fmt, va_list ap)
{
	char	 word[32] = "retry";

	if (seconds > 0)
		snprintf(word, sizeof(word), "retry %u", seconds);
	say_text(word, fmt, ap);
}

void
stage_retry(unsigned int seconds, const char *fmt, ...)
{
	va_list	 ap;

	va_start(ap, fmt);
	say_retry(seconds, fmt, ap);
	va_end(ap);
	exit(1);
}

/* ---- items of a kept program --------------------------------------------- */

static const char *at_hand;		/* the item that was not ended */

/*
 * Items come as descriptor 0.  No program that is run for one of them shall
 * read the next.
 */
static FILE *
open_items(void)
{
	FILE	*f;
	int	 fd, null;

	if ((fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, REPORT_FD + 1)) == -1 ||
	    (f = fdopen(fd, "r")) == NULL ||
	    (null = open("/dev/null", O_RDONLY | O_CLOEXEC)) == -1 ||
	    dup2(null, STDIN_FILENO) == -1)
		fatal("descriptor 0");
	close(null);
	return f;
}

bool
stage_next(struct stage_item *item)
{
	static FILE	*items;
	static char	*line;
	static size_t	 size;
	ssize_t		 len;
	char		*rest;

	if (at_hand != NULL)
		stage_failed("Its program did not say how it ended");
	if (items == NULL)
		items = open_items();
	if ((len = getline(&line, &size, items)) == -1) {
		if (ferror(items))
			fatal("descriptor 0");
		return false;
	}
	if (len > 0 && line[len - 1] == '\n')
		line[len - 1] = '\0';
	rest = line;
	item->name = at_hand = strsep(&rest, " ");
	item->args = rest != NULL ? rest : "";
	return true;
}

void
stage_done(void)
{
	if (at_hand != NULL)
		say_words("done %s\n", at_hand);
	at_hand = NULL;
}

void
stage_failed(const char *fmt, ...)
{
	va_list	 ap;

	va_start(ap, fmt);
	say_text("failed", fmt, ap);
	va_end(ap);
	at_hand = NULL;
}

void
stage_refused(const char *fmt, ...)
{
	va_list	 ap;

	va_start(ap, fmt);
	say_text("reject", fmt, ap);
	va_end(ap);
	at_hand = NULL;
}

void
stage_postponed(unsigned int seconds, const char *fmt, ...)
{
	va_list	 ap;

	va_start(ap, fmt);
	say_retry(seconds, fmt, ap);
	va_end(ap);
	at_hand = NULL;
}

/* ---- what it was given --------------------------------------------------- */

const char *
stage_env(const char *variable)
{
	const char	*value = getenv(variable);

	if (value == NULL || *value == '\0')
		fatalx("%s is not set: this program is a stage, "
		    "millraced(8) runs it", variable);
	return value;
}

const char *
stage_option(const char *name, const char *otherwise)
{
	char		 variable[80];
	const char	*value;
	char		*s;

	snprintf(variable, sizeof(variable), "MILLRACE_OPTION_%s", name);
	for (s = variable; *s != '\0'; s++)
		*s = toupper((unsigned char)*s);
	value = getenv(variable);
	return value != NULL ? value : otherwise;
}

unsigned int
stage_cores(void)
{
	const char	*value = getenv("MILLRACE_CORES");
	long		 n;

	n = value != NULL ? strtol(value, NULL, 10) :
	    sysconf(_SC_NPROCESSORS_ONLN);
	return n < 1 ? 1 : n > 1024 ? 1024 : n;
}

void
stage_failed_write(const char *path)
{
	if (errno == ENOSPC || errno == EDQUOT)
		stage_retry(DISK_FULL_S, "%s: %s", path, strerror(errno));
	fatal("%s", path);
}

void
stage_write(int fd, const char *path, const void *data, size_t len)
{
	const char	*at = data;
	ssize_t		 n;

	for (; len > 0; at += n, len -= n)
		if ((n = write(fd, at, len)) == -1)
			stage_failed_write(path);
}

void
stage_sync(const char *path)
{
	int	 fd;

	if ((fd = open(path, O_RDONLY | O_CLOEXEC)) == -1 || fsync(fd) == -1)
		stage_failed_write(path);
	close(fd);
}

void
stage_save(const char *path, const char *text)
{
	char	*part;
	int	 fd;

	xasprintf(&part, "%s.part", path);
	fd = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
	if (fd == -1)
		stage_failed_write(part);
	stage_write(fd, part, text, strlen(text));
	if (fsync(fd) == -1 || rename(part, path) == -1)
		stage_failed_write(path);
	close(fd);
	free(part);
	stage_sync(".");
}

struct json_object *
stage_number(double value, int digits)
{
	char	 text[32];

	snprintf(text, sizeof(text), "%.*f", digits, value);
	return json_object_new_double_s(value, text);
}

const char *
stage_time(double seconds)
{
	static char	 texts[4][24];
	static size_t	 i;
	char		*text = texts[i++ % 4];
	unsigned long	 s = seconds > 0 ? (unsigned long)seconds : 0;

	if (s >= 3600)
		snprintf(text, sizeof(texts[0]), "%lu:%02lu:%02lu", s / 3600,
		    s / 60 % 60, s % 60);
	else
		snprintf(text, sizeof(texts[0]), "%02lu:%02lu", s / 60, s % 60);
	return text;
}
