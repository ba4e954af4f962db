/*
 * What a program that does items one after the other is fed.
 *
 * A line is no longer than a pipe takes at once, so it is in the pipe as a
 * whole or not at all.
 */

#include "feed.h"

#include <sys/ioctl.h>
#include <sys/mman.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "loop.h"
#include "report.h"

_Static_assert(REPORT_LINE_MAX <= PIPE_BUF, "a line is written at once");

enum { OUT, IN };			/* ends of a pipe */

struct feed {
	struct loop	*loop;
	int		 pipe[2];	/* -1: closed */
	_Atomic uint64_t *due;		/* shared with the keeper */
	char		 line[REPORT_LINE_MAX];
	size_t		 len;
	bool		 waits;		/* to be written */
	bool		 held;
};

struct feed *
feed_new(struct loop *loop)
{
	struct feed	*f = xcalloc(1, sizeof(*f));

	f->loop = loop;
	f->due = mmap(NULL, sizeof(*f->due), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (f->due == MAP_FAILED)
		goto fail;
	if (pipe2(f->pipe, O_CLOEXEC) == -1)
		goto fail_pipe;
	/* Only our end: a program expects its own to block. */
	if (fcntl(f->pipe[IN], F_SETFL, O_NONBLOCK) == 0)
		return f;
	close(f->pipe[IN]);
	close(f->pipe[OUT]);
fail_pipe:
	munmap(f->due, sizeof(*f->due));
fail:
	free(f);
	return NULL;
}

static void
close_end(struct feed *f, int end)
{
	if (f->pipe[end] == -1)
		return;
	loop_forget(f->loop, f->pipe[end]);
	close(f->pipe[end]);
	f->pipe[end] = -1;
}

void
feed_free(struct feed *f)
{
	if (f == NULL)
		return;
	close_end(f, IN);
	close_end(f, OUT);
	munmap(f->due, sizeof(*f->due));
	free(f);
}

int
feed_end(const struct feed *f)
{
	return f->pipe[OUT];
}

void
feed_handed(struct feed *f)
{
	close_end(f, OUT);
}

static void	writable(void *, int, unsigned int);

static void
put(struct feed *f)
{
	if (!f->waits || f->held || f->pipe[IN] == -1)
		return;
	if (write(f->pipe[IN], f->line, f->len) == (ssize_t)f->len)
		f->waits = false;
	else if (errno == EAGAIN || errno == EINTR)
		loop_watch(f->loop, f->pipe[IN], LOOP_WRITE, writable, f);
	else
		/* It does not read any more: it will end, or be late. */
		close_end(f, IN);
}

static void
writable(void *arg, int fd, unsigned int events)
{
	struct feed	*f = arg;

	(void)events;
	loop_forget(f->loop, fd);
	put(f);
}

void
feed_line(struct feed *f, const char *line, unsigned int limit_s)
{
	f->len = strlcpy(f->line, line, sizeof(f->line));
	f->waits = true;
	atomic_store(f->due, loop_now() + (uint64_t)limit_s * 1000);
	put(f);
}

void
feed_hold(struct feed *f)
{
	f->held = true;
}

void
feed_go(struct feed *f)
{
	f->held = false;
	put(f);
}

bool
feed_taken(const struct feed *f)
{
	int	 left;

	return !f->waits && f->pipe[IN] != -1 &&
	    ioctl(f->pipe[IN], FIONREAD, &left) == 0 && (size_t)left < f->len;
}

void
feed_rest(struct feed *f)
{
	atomic_store(f->due, 0);
}

void
feed_close(struct feed *f, unsigned int ms)
{
	close_end(f, IN);
	atomic_store(f->due, loop_now() + ms);
}

uint64_t
feed_due(const struct feed *f)
{
	return atomic_load(f->due);
}
