/*
 * One line a record on stderr.
 *
 * A record is built in one buffer and written by one write(2), so that
 * records of several threads and processes do not mix.
 */

#include "log.h"

#include <sys/stat.h>

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Longest record, newline included: what a pipe takes in one piece. */
#define LINE_MAX_BYTES	4096

/* Longest subject; longer ones are cut. */
#define SUBJECT_MAX	160

/* Priorities of sd-daemon(3). */
enum priority { PRIO_ERR = 3, PRIO_WARNING = 4, PRIO_INFO = 6, PRIO_DEBUG = 7 };

struct line {
	char	 buf[LINE_MAX_BYTES];
	size_t	 len;
};

static char	 program[32] = "millrace";
static bool	 verbose;
static enum { NAMED, JOURNAL, BARE } style;	/* of a line; see log.h */

static _Thread_local char subject[SUBJECT_MAX];

/* systemd names the stream that it gave us; stderr may be another by now. */
static bool
is_journal(void)
{
	const char		*stream = getenv("JOURNAL_STREAM");
	unsigned long long	 dev, ino;
	struct stat		 st;

	return stream != NULL && sscanf(stream, "%llu:%llu", &dev, &ino) == 2 &&
	    fstat(STDERR_FILENO, &st) == 0 && st.st_dev == dev &&
	    st.st_ino == ino;
}

void
log_init(const char *name)
{
	strlcpy(program, name, sizeof(program));
	style = is_journal() ? JOURNAL : NAMED;
}

void
log_bare(void)
{
	style = BARE;
}

void
log_verbose(void)
{
	verbose = true;
}

void
log_subject(const char *fmt, ...)
{
	va_list	 ap;

	if (fmt == NULL) {
		subject[0] = '\0';
		return;
	}
	va_start(ap, fmt);
	vsnprintf(subject, sizeof(subject), fmt, ap);
	va_end(ap);
}

/* C0, DEL, and the C1 controls as UTF-8 writes them. */
static bool
is_control(unsigned char before, unsigned char c)
{
	return c < 0x20 || c == 0x7f ||
	    (before == 0xc2 && c >= 0x80 && c <= 0x9f);
}

/* Append TEXT so that it can neither end the line nor steer a terminal. */
static void
add(struct line *l, const char *text)
{
	static const char	 hex[] = "0123456789abcdef";
	const unsigned char	*s;
	unsigned char		 before = 0;

	/* The newline and the longest escape must still fit. */
	for (s = (const unsigned char *)text;
	    *s != '\0' && l->len < sizeof(l->buf) - 5; before = *s++) {
		if (!is_control(before, *s) && *s != '\\') {
			l->buf[l->len++] = *s;
			continue;
		}
		l->buf[l->len++] = '\\';
		if (*s != '\\') {
			l->buf[l->len++] = 'x';
			l->buf[l->len++] = hex[*s >> 4];
			l->buf[l->len++] = hex[*s & 15];
		} else
			l->buf[l->len++] = '\\';
	}
}

static void __attribute__((format(printf, 3, 0)))
record(enum priority priority, int error, const char *fmt, va_list ap)
{
	struct line	 l = { .len = 0 };
	char		 text[LINE_MAX_BYTES], reason[128];

	if (style == JOURNAL)
		l.len = snprintf(l.buf, sizeof(l.buf), "<%d>", priority);
	else if (style == NAMED)
		l.len = snprintf(l.buf, sizeof(l.buf), "%s[%ld]: ", program,
		    (long)getpid());
	add(&l, subject);
	vsnprintf(text, sizeof(text), fmt, ap);
	add(&l, text);
	if (error != 0) {
		add(&l, ": ");
		add(&l, strerror_r(error, reason, sizeof(reason)));
	}
	l.buf[l.len++] = '\n';

	/* Nobody is left to be told when stderr fails. */
	while (write(STDERR_FILENO, l.buf, l.len) == -1 && errno == EINTR)
		continue;
}

void
log_debug(const char *fmt, ...)
{
	int	 saved = errno;
	va_list	 ap;

	if (!verbose)
		return;
	va_start(ap, fmt);
	record(PRIO_DEBUG, 0, fmt, ap);
	va_end(ap);
	errno = saved;
}

void
log_info(const char *fmt, ...)
{
	int	 saved = errno;
	va_list	 ap;

	va_start(ap, fmt);
	record(PRIO_INFO, 0, fmt, ap);
	va_end(ap);
	errno = saved;
}

void
log_warn(const char *fmt, ...)
{
	int	 saved = errno;
	va_list	 ap;

	va_start(ap, fmt);
	record(PRIO_WARNING, saved, fmt, ap);
	va_end(ap);
	errno = saved;
}

void
log_warnx(const char *fmt, ...)
{
	int	 saved = errno;
	va_list	 ap;

	va_start(ap, fmt);
	record(PRIO_WARNING, 0, fmt, ap);
	va_end(ap);
	errno = saved;
}

void
fatal(const char *fmt, ...)
{
	int	 saved = errno;
	va_list	 ap;

	va_start(ap, fmt);
	record(PRIO_ERR, saved, fmt, ap);
	va_end(ap);
	exit(1);
}

void
fatalx(const char *fmt, ...)
{
	va_list	 ap;

	va_start(ap, fmt);
	record(PRIO_ERR, 0, fmt, ap);
	va_end(ap);
	exit(1);
}

void *
xmalloc(size_t size)
{
	void	*p;

	if ((p = malloc(size != 0 ? size : 1)) == NULL)
		fatal("malloc %zu", size);
	return p;
}

void *
xcalloc(size_t n, size_t size)
{
	void	*p;

	if (n == 0 || size == 0)
		n = size = 1;
	if ((p = calloc(n, size)) == NULL)
		fatal("calloc %zu x %zu", n, size);
	return p;
}

void *
xreallocarray(void *old, size_t n, size_t size)
{
	void	*p;

	if (n == 0 || size == 0)
		n = size = 1;
	if ((p = reallocarray(old, n, size)) == NULL)
		fatal("reallocarray %zu x %zu", n, size);
	return p;
}

char *
xstrdup(const char *s)
{
	char	*p;

	if ((p = strdup(s)) == NULL)
		fatal("strdup");
	return p;
}

int
xasprintf(char **out, const char *fmt, ...)
{
	va_list	 ap;
	int	 n;

	va_start(ap, fmt);
	n = vasprintf(out, fmt, ap);
	va_end(ap);
	if (n == -1)
		fatal("asprintf");
	return n;
}
