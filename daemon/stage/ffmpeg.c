/*
 * Children that work on video, and the one loop that listens to them.
 *
 * A child has, besides the three that every program has,
 *
 *	3	a pipe to us, for -progress
 *	4 5	what ffmpeg_pipe gave it, as from another child
 *
 * Its end is seen through a pidfd, so that one poll(2) waits for everything
 * and nothing depends on SIGCHLD.
 */

#include "ffmpeg.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "log.h"
#include "media.h"
#include "stage.h"

#define PROGRESS_FD	3

/* Descriptors are moved up here in the child, out of the way of 0..5. */
#define SPARE_FD	16

/* How long ffmpeg_wait waits when nothing happens. */
#define TICK_MS		500

/* Log of one child that is handed on; a broken file can fill a disk. */
#define LOG_MAX		(64 * 1024)

/* ffprobe says some kilobytes per stream. */
#define OUTPUT_MAX	(4 * 1024 * 1024)

/*
 * An index is moved to the front of a file after its last frame was written:
 * as much I/O again, of which -progress says nothing.
 */
#define WRITTEN		0.98	/* of length_s */
#define PATIENCE	10	/* times silence_s */

/* Between SIGTERM and SIGKILL. */
#define GRACE_MS	1000

static struct ffmpeg		*running;
static volatile sig_atomic_t	 told_to_end;

static uint64_t
now_ms(void)
{
	struct timespec	 ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* ---- the command -------------------------------------------------------- */

static struct ffmpeg *
new(const char *program)
{
	struct ffmpeg	*f = xcalloc(1, sizeof(*f));
	size_t		 i;

	for (i = 0; i < FFMPEG_PIPES; i++)
		f->pipes[i] = -1;
	f->output_to = -1;
	f->pidfd = f->log_fd = f->progress_fd = f->output_fd = -1;
	ffmpeg_add(f, program, "-hide_banner", "-v", "repeat+level+error",
	    NULL);
	return f;
}

struct ffmpeg *
ffmpeg_new(const char *program)
{
	struct ffmpeg	*f = new(program);

	ffmpeg_add(f, "-nostdin", "-y", "-progress", NULL);
	ffmpeg_addf(f, "pipe:%d", PROGRESS_FD);
	return f;
}

struct ffmpeg *
ffprobe_new(void)
{
	struct ffmpeg	*f = new("ffprobe");

	ffmpeg_add(f, "-of", "json", NULL);
	f->keep_output = true;
	return f;
}

void
ffmpeg_free(struct ffmpeg *f)
{
	size_t	 i;

	if (f == NULL)
		return;
	for (i = 0; i < f->argc; i++)
		free(f->argv[i]);
	free(f->argv);
	free(f->output);
	free(f);
}

static void
append(struct ffmpeg *f, char *word)
{
	f->argv = xreallocarray(f->argv, f->argc + 2, sizeof(*f->argv));
	f->argv[f->argc++] = word;
	f->argv[f->argc] = NULL;
}

void
ffmpeg_add(struct ffmpeg *f, ...)
{
	const char	*word;
	va_list		 ap;

	va_start(ap, f);
	while ((word = va_arg(ap, const char *)) != NULL)
		append(f, xstrdup(word));
	va_end(ap);
}

void
ffmpeg_addf(struct ffmpeg *f, const char *fmt, ...)
{
	char	*word;
	va_list	 ap;

	va_start(ap, fmt);
	if (vasprintf(&word, fmt, ap) == -1)
		fatal("argument");
	va_end(ap);
	append(f, word);
}

/*
 * A "video" can be a playlist that names other files, or a format whose
 * parser nobody has looked at for years; none of them is opened.
 */
void
ffmpeg_input(struct ffmpeg *f, const char *demuxer)
{
	ffmpeg_add(f, "-protocol_whitelist", "file", "-format_whitelist",
	    demuxer != NULL ? demuxer : MEDIA_DEMUXERS, NULL);
	if (demuxer != NULL)
		ffmpeg_add(f, "-f", demuxer, NULL);
	ffmpeg_add(f, "-max_pixels", NULL);
	ffmpeg_addf(f, "%u", MEDIA_PIXELS_MOST);
	ffmpeg_add(f, "-i", "file:" STAGE_INPUT, NULL);
}

void
ffmpeg_pipe(struct ffmpeg *f, int fd)
{
	size_t	 i = 0;

	while (f->pipes[i] != -1)
		i++;
	f->pipes[i] = fd;
}

void
ffmpeg_connect(struct ffmpeg *from, struct ffmpeg *to)
{
	int	 fds[2];

	if (pipe2(fds, O_CLOEXEC) == -1)
		fatal("pipe");
	from->output_to = fds[1];
	ffmpeg_pipe(to, fds[0]);
}

/* ---- the child ---------------------------------------------------------- */

/* In the child: descriptor FROM becomes TO; -1 leaves TO as it is. */
static void
place(int from, int to)
{
	if (from != -1 && dup2(from, to) == -1)
		_exit(127);
}

static void
run_child(struct ffmpeg *f, pid_t parent, int log, int progress, int output)
{
	int	 from[] = { open("/dev/null", O_RDONLY | O_CLOEXEC), output,
		    log, progress, f->pipes[0], f->pipes[1] };
	size_t	 i;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(127);
	signal(SIGTERM, SIG_DFL);
	close_range(PROGRESS_FD, ~0U, CLOSE_RANGE_CLOEXEC);
	for (i = 0; i < sizeof(from) / sizeof(from[0]); i++)
		if (from[i] != -1 && (from[i] = fcntl(from[i],
		    F_DUPFD_CLOEXEC, SPARE_FD)) == -1)
			_exit(127);
	for (i = 0; i < sizeof(from) / sizeof(from[0]); i++)
		place(from[i], i);
	execvp(f->argv[0], f->argv);
	dprintf(STDERR_FILENO, "[error] %s\n", strerror(errno));
	_exit(127);
}

/* A pipe of which a child has the writing end, *CHILDS. */
static int
listen_to(int *childs)
{
	int	 fds[2];

	if (pipe2(fds, O_CLOEXEC) == -1)
		fatal("pipe");
	if (fcntl(fds[0], F_SETFL, O_NONBLOCK) == -1)
		fatal("pipe");
	*childs = fds[1];
	return fds[0];
}

static void
close_one(int *fd)
{
	if (*fd != -1)
		close(*fd);
	*fd = -1;
}

static void
note_signal(int signo)
{
	(void)signo;
	told_to_end = 1;
}

void
ffmpeg_start(struct ffmpeg *f)
{
	pid_t	 parent = getpid();
	int	 log, progress, output = f->output_to;
	size_t	 i;

	if (running == NULL)
		signal(SIGTERM, note_signal);
	f->log_fd = listen_to(&log);
	f->progress_fd = listen_to(&progress);
	if (f->keep_output || f->line != NULL)
		f->output_fd = listen_to(&output);

	if ((f->pid = fork()) == -1)
		fatal("fork");
	if (f->pid == 0)
		run_child(f, parent, log, progress, output);
	if ((f->pidfd = pidfd_open(f->pid, 0)) == -1)
		fatal("pidfd_open");

	close(log);
	close(progress);
	close_one(&output);
	f->output_to = -1;
	for (i = 0; i < FFMPEG_PIPES; i++)
		close_one(&f->pipes[i]);
	f->moved_ms = now_ms();
	f->next = running;
	running = f;
}

/* ---- what it says ------------------------------------------------------- */

bool
ffmpeg_progress_line(struct ffmpeg_progress *p, const char *line)
{
	unsigned long long	 n;
	char			*end;
	const char		*value = strchr(line, '=');

	if (value == NULL)
		return false;
	if (strcmp(line, "progress=end") == 0) {
		p->end = true;
		return true;
	}
	/* strtoull would take a sign, and "N/A" as 0. */
	if (*++value < '0' || *value > '9')
		return false;
	errno = 0;
	n = strtoull(value, &end, 10);
	if (*end != '\0' || errno == ERANGE)
		return false;
	if (strncmp(line, "frame=", 6) == 0 && n > p->frames)
		p->frames = n;
	/* out_time_ms is in microseconds as well, in old builds. */
	else if (strncmp(line, "out_time_us=", 12) == 0 &&
	    n / 1e6 > p->seconds)
		p->seconds = n / 1e6;
	else
		return false;
	return true;
}

static void
take_progress(void *arg, char *line)
{
	struct ffmpeg	*f = arg;

	if (ffmpeg_progress_line(&f->progress, line))
		f->moved_ms = now_ms();
}

static void
take_log(void *arg, char *line)
{
	static const char *const marks[] = { "[error] ", "[fatal] ",
	    "[panic] " };
	struct ffmpeg	*f = arg;
	const char	*text = NULL;
	size_t		 i;

	for (i = 0; i < sizeof(marks) / sizeof(marks[0]) && text == NULL; i++)
		if ((text = strstr(line, marks[i])) != NULL)
			text += strlen(marks[i]);
	if (text != NULL) {
		if (f->errors++ == 0)
			strlcpy(f->first, text, sizeof(f->first));
		/* The very last one adds nothing to those before it. */
		if (strcmp(text, "Conversion failed!") != 0)
			strlcpy(f->reason, text, sizeof(f->reason));
		if (strstr(text, strerror(ENOSPC)) != NULL ||
		    strstr(text, strerror(EDQUOT)) != NULL)
			f->disk_full = true;
	}
	if (f->log_bytes >= LOG_MAX)
		return;
	f->log_bytes += strlen(line) + 1;
	dprintf(STDERR_FILENO, "%s\n", line);
	if (f->log_bytes >= LOG_MAX)
		log_warnx("%s: the rest of its log is left out", f->argv[0]);
}

static void
take_output(struct ffmpeg *f, const char *data, size_t len)
{
	if (f->output_len + len > OUTPUT_MAX) {
		log_warnx("%s: says more than %d bytes", f->argv[0],
		    OUTPUT_MAX);
		ffmpeg_kill(f);
		close_one(&f->output_fd);
		return;
	}
	f->output = xreallocarray(f->output, f->output_len + len + 1, 1);
	memcpy(f->output + f->output_len, data, len);
	f->output_len += len;
	f->output[f->output_len] = '\0';
}

/* Read *FD, which is closed at its end.  True while there may be more. */
static bool
hear(struct ffmpeg *f, int *fd)
{
	char	 buf[16 * 1024];
	ssize_t	 n;

	if (*fd == -1)
		return false;
	if ((n = read(*fd, buf, sizeof(buf))) == -1)
		return errno == EINTR;
	if (n == 0)
		close_one(fd);
	else if (fd == &f->log_fd)
		report_feed(&f->log_lines, buf, n, take_log, f);
	else if (fd == &f->progress_fd)
		report_feed(&f->progress_lines, buf, n, take_progress, f);
	else if (f->line != NULL)
		report_feed(&f->output_lines, buf, n, f->line, f->arg);
	else
		take_output(f, buf, n);
	return n > 0;
}

/* ---- the loop ----------------------------------------------------------- */

/* It is gone; what it said last may still be in the pipes. */
static void
bury(struct ffmpeg *f)
{
	struct ffmpeg	**p;

	while (waitpid(f->pid, &f->status, 0) == -1)
		if (errno != EINTR)
			fatal("waitpid");
	while (hear(f, &f->log_fd) || hear(f, &f->progress_fd) ||
	    hear(f, &f->output_fd))
		;
	report_feed(&f->log_lines, "\n", 1, take_log, f);
	if (f->line != NULL)
		report_feed(&f->output_lines, "\n", 1, f->line, f->arg);
	close_one(&f->log_fd);
	close_one(&f->progress_fd);
	close_one(&f->output_fd);
	close_one(&f->pidfd);
	for (p = &running; *p != f; p = &(*p)->next)
		;
	*p = f->next;
	if (running == NULL)
		signal(SIGTERM, SIG_DFL);
}

/* Told to end: first all children, then this program, by the same signal. */
static void
end_all(void)
{
	struct ffmpeg	*f;
	struct pollfd	 pfd;
	uint64_t	 deadline = now_ms() + GRACE_MS, now;

	for (f = running; f != NULL; f = f->next)
		kill(f->pid, SIGTERM);
	for (f = running; f != NULL; f = f->next) {
		pfd = (struct pollfd){ f->pidfd, POLLIN, 0 };
		now = now_ms();
		if (now >= deadline || poll(&pfd, 1, deadline - now) != 1)
			kill(f->pid, SIGKILL);
		waitpid(f->pid, NULL, 0);
	}
	signal(SIGTERM, SIG_DFL);
	raise(SIGTERM);
	_exit(1);
}

static void
kill_the_silent(void)
{
	struct ffmpeg	*f;
	uint64_t	 limit_ms;

	for (f = running; f != NULL; f = f->next) {
		limit_ms = f->silence_s * 1000ULL;
		if (f->length_s > 0 &&
		    f->progress.seconds >= f->length_s * WRITTEN)
			limit_ms *= PATIENCE;
		if (limit_ms == 0 || f->stood_still ||
		    now_ms() - f->moved_ms < limit_ms)
			continue;
		f->stood_still = true;
		ffmpeg_kill(f);
	}
}

struct ffmpeg *
ffmpeg_wait(void)
{
	static struct pollfd	*pfds;
	struct ffmpeg		*f;
	size_t			 n = 0;

	for (f = running; f != NULL; f = f->next)
		n += 4;
	pfds = xreallocarray(pfds, n + 1, sizeof(*pfds));
	for (f = running, n = 0; f != NULL; f = f->next) {
		/* poll passes over those that are -1. */
		pfds[n++] = (struct pollfd){ f->pidfd, POLLIN, 0 };
		pfds[n++] = (struct pollfd){ f->log_fd, POLLIN, 0 };
		pfds[n++] = (struct pollfd){ f->progress_fd, POLLIN, 0 };
		pfds[n++] = (struct pollfd){ f->output_fd, POLLIN, 0 };
	}
	if (!told_to_end && poll(pfds, n, TICK_MS) == -1 && errno != EINTR)
		fatal("poll");
	if (told_to_end)
		end_all();
	for (f = running, n = 0; f != NULL; f = f->next, n += 4) {
		if (pfds[n].revents != 0) {
			bury(f);
			return f;
		}
		if (pfds[n + 1].revents != 0)
			hear(f, &f->log_fd);
		if (pfds[n + 2].revents != 0)
			hear(f, &f->progress_fd);
		if (pfds[n + 3].revents != 0)
			hear(f, &f->output_fd);
	}
	kill_the_silent();
	return NULL;
}

bool
ffmpeg_run(struct ffmpeg *f)
{
	ffmpeg_start(f);
	while (ffmpeg_wait() != f)
		;
	return ffmpeg_ok(f);
}

void
ffmpeg_kill(struct ffmpeg *f)
{
	kill(f->pid, SIGKILL);
}

/* ---- how it ended ------------------------------------------------------- */

bool
ffmpeg_ended(const struct ffmpeg *f)
{
	return f->pidfd == -1;
}

bool
ffmpeg_ok(const struct ffmpeg *f)
{
	return WIFEXITED(f->status) && WEXITSTATUS(f->status) == 0;
}

bool
ffmpeg_broke(const struct ffmpeg *f)
{
	return !ffmpeg_ok(f) && strstr(f->reason, strerror(EPIPE)) == NULL;
}

const char *
ffmpeg_why(const struct ffmpeg *f)
{
	static char	 text[2 * FFMPEG_REASON + 64];
	const char	*name = strrchr(f->argv[0], '/');

	name = name != NULL ? name + 1 : f->argv[0];
	if (f->stood_still)
		snprintf(text, sizeof(text), "%s: stood still for %u s", name,
		    f->silence_s);
	else if (WIFSIGNALED(f->status))
		snprintf(text, sizeof(text), "%s: was killed by signal %d",
		    name, WTERMSIG(f->status));
	else if (strcmp(f->first, f->reason) != 0)
		snprintf(text, sizeof(text), "%s: %s; %s", name, f->first,
		    f->reason);
	else if (f->first[0] != '\0')
		snprintf(text, sizeof(text), "%s: %s", name, f->first);
	else
		snprintf(text, sizeof(text), "%s: exit status %d", name,
		    WEXITSTATUS(f->status));
	return text;
}

void
ffmpeg_check(const struct ffmpeg *f, const char *what)
{
	if (ffmpeg_ok(f))
		return;
	if (f->disk_full) {
		errno = ENOSPC;
		stage_failed_write(what);
	}
	if (f->stood_still || WIFSIGNALED(f->status))
		stage_retry(0, "%s: %s", what, ffmpeg_why(f));
	if (WEXITSTATUS(f->status) == 127)
		fatalx("%s: %s", what, ffmpeg_why(f));
	stage_reject("%s: %s", what, ffmpeg_why(f));
}

void
ffmpeg_check_own(const struct ffmpeg *f, const char *what)
{
	if (f->disk_full || WIFSIGNALED(f->status))
		ffmpeg_check(f, what);
	if (!ffmpeg_ok(f))
		fatalx("%s: %s", what, ffmpeg_why(f));
}
