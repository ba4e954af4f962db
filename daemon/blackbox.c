/*
 * The black box: STORAGE/run/busy-ID, a struct box.
 */

#include "blackbox.h"

#include <sys/mman.h>

#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"

struct box {
	struct uuid	 job;		/* all zero: none */
	int		 end;		/* a signal, or EXITED; 0: none yet */
};
#define EXITED	(-1)

/* For what it did, or, by a watchdog, did not; and how they were handled. */
static const int	 signals[] = {
	SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGSYS
};
#define SIGNALS	(sizeof(signals) / sizeof(signals[0]))
static struct sigaction	 before[SIGNALS];
static pid_t		 self;		/* children share the box */

/* What is noted before there is a file. */
static struct box	 nowhere;
static struct box	*box = &nowhere;

static char *
path_of(const char *root, uint64_t id)
{
	char	*path;

	xasprintf(&path, "%s/run/busy-%llu", root, (unsigned long long)id);
	return path;
}

/* ---- the end ------------------------------------------------------------- */

/* It ends all the same, in the way it would have. */
static void
on_signal(int signo)
{
	size_t	 i;

	if (getpid() == self)
		box->end = signo;
	for (i = 0; i < SIGNALS; i++) {
		if (signals[i] == signo)
			sigaction(signo, &before[i], NULL);
	}
	raise(signo);
}

static void
on_exit_called(void)
{
	if (getpid() == self)
		box->end = EXITED;
}

/* A stack that is full is a reason too, so there is another one. */
static void
catch_ends(void)
{
	static bool		 done;
	static char		 stack[16 * 1024];
	stack_t			 other = {
		.ss_sp = stack, .ss_size = sizeof(stack)
	};
	struct sigaction	 sa = {
		.sa_handler = on_signal, .sa_flags = SA_ONSTACK
	};
	size_t			 i;

	if (done)
		return;
	done = true;
	self = getpid();
	if (sigaltstack(&other, NULL) == -1)
		log_warn("sigaltstack");
	for (i = 0; i < SIGNALS; i++)
		sigaction(signals[i], &sa, &before[i]);
	atexit(on_exit_called);
}

/* ---- the box ------------------------------------------------------------- */

void
blackbox_open(const char *root, uint64_t id)
{
	static const struct box	 none;
	char			*path = path_of(root, id);
	void			*p = MAP_FAILED;
	int			 fd;

	if (box != &nowhere)
		munmap(box, sizeof(*box));
	/* Written, not only made that long: on a full disk a store to a hole
	   is the end of us. */
	if ((fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC,
	    0640)) != -1) {
		if (write(fd, &none, sizeof(none)) == (ssize_t)sizeof(none))
			p = mmap(NULL, sizeof(*box), PROT_READ | PROT_WRITE,
			    MAP_SHARED, fd, 0);
		close(fd);
	}
	if (p == MAP_FAILED)
		log_warn("%s", path);
	else
		catch_ends();
	box = p == MAP_FAILED ? &nowhere : p;
	free(path);
}

/* The compiler must not find the stores idle, nor move them. */
void
blackbox_name(const struct uuid *job)
{
	box->job = *job;
	atomic_signal_fence(memory_order_seq_cst);
}

void
blackbox_clear(void)
{
	atomic_signal_fence(memory_order_seq_cst);
	box->job = (struct uuid){ 0 };
	atomic_signal_fence(memory_order_seq_cst);
}

int
blackbox_read(const char *root, uint64_t id, struct uuid *job)
{
	struct box	 found;
	char		*path = path_of(root, id);
	int		 fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t		 n;

	free(path);
	if (fd == -1)
		return -1;
	n = read(fd, &found, sizeof(found));
	close(fd);
	if (n != (ssize_t)sizeof(found) || found.end == 0 ||
	    !uuid_is_set(&found.job))
		return -1;
	*job = found.job;
	return 0;
}

void
blackbox_remove(const char *root, uint64_t id)
{
	char	*path = path_of(root, id);

	unlink(path);
	free(path);
}
