/*
 * One epoll, a heap of timers, and signals as events.
 *
 * Signals: the handler sets a flag and makes an eventfd readable; the loop
 * finds the flag and calls back.  Nothing is blocked, so that a program that
 * is started by fork and exec gets default handlers and an empty mask without
 * further care.  Two signals of one kind may arrive as one: who waits for
 * children calls waitpid until there are no more.
 *
 * Descriptors: one slot each, found by number.  Every watch has a serial
 * number, which the kernel hands back with the event.  An event whose serial
 * is not that of the slot belongs to a watch that was forgotten after the
 * kernel reported it, and is dropped, also when the number was reused.
 */

#include "loop.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "log.h"

/* Events taken from the kernel at a time. */
#define ROUND_MAX	256

#define NS_PER_MS	UINT64_C(1000000)

struct slot {
	loop_io_fn	*fn;		/* NULL: not watched */
	void		*arg;
	unsigned int	 events;	/* of enum loop_events */
	uint32_t	 serial;	/* of the watch, see above */
};

struct loop_timer {
	loop_fn		*fn;
	void		*arg;
	uint64_t	 due_ns;
	uint64_t	 serial;	/* orders those due at the same time */
	uint64_t	 every_ns;	/* 0: once */
	size_t		 at;		/* place in the heap */
	bool		 cancelled;	/* by its own callback */
};

struct loop {
	int		  epoll;
	int		  woken;	/* eventfd: a signal was caught */
	struct slot	 *slots;	/* by descriptor */
	size_t		  nslots;
	uint32_t	  io_serial;
	struct loop_timer **heap;	/* the next one due is the first */
	size_t		  ntimers, heap_size;
	uint64_t	  timer_serial;
	struct loop_timer *running;	/* whose callback runs, not in heap */
	bool		  stop;
};

/* Signals belong to the process, so to one loop. */
static struct loop	*signal_loop;
static volatile sig_atomic_t caught[NSIG];
static volatile sig_atomic_t wake_fd = -1;
static struct {
	loop_signal_fn	*fn;
	void		*arg;
	struct sigaction before;
} on_signal[NSIG];

static uint64_t
now_ns(void)
{
	struct timespec	 ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 * NS_PER_MS + ts.tv_nsec;
}

uint64_t
loop_now(void)
{
	return now_ns() / NS_PER_MS;
}

/* ---- signals ------------------------------------------------------------ */

static void
catch(int signo)
{
	int		 saved = errno;
	uint64_t	 one = 1;

	caught[signo] = 1;
	/* It only fails for good when it is readable already. */
	while (write(wake_fd, &one, sizeof(one)) == -1 && errno == EINTR)
		continue;
	errno = saved;
}

static void
signals_caught(void *arg, int fd, unsigned int events)
{
	uint64_t	 n;
	int		 signo;

	(void)arg;
	(void)events;
	if (read(fd, &n, sizeof(n)) == -1 && errno != EAGAIN)
		log_warn("loop: eventfd");
	for (signo = 1; signo < NSIG; signo++) {
		if (!caught[signo])
			continue;
		caught[signo] = 0;	/* before the call: none is lost */
		if (on_signal[signo].fn != NULL)
			on_signal[signo].fn(on_signal[signo].arg, signo);
	}
}

void
loop_signal(struct loop *l, int signo, loop_signal_fn *fn, void *arg)
{
	struct sigaction	 act = { .sa_handler = catch };
	bool			 first = on_signal[signo].fn == NULL;

	if (signal_loop != NULL && signal_loop != l)
		fatalx("loop: a second loop wants signals");
	signal_loop = l;
	wake_fd = l->woken;
	on_signal[signo].fn = fn;
	on_signal[signo].arg = arg;
	act.sa_flags = SA_RESTART;
	sigfillset(&act.sa_mask);
	if (sigaction(signo, &act,
	    first ? &on_signal[signo].before : NULL) == -1)
		fatal("loop: signal %d", signo);
}

static void
release_signals(void)
{
	int	 signo;

	for (signo = 1; signo < NSIG; signo++) {
		if (on_signal[signo].fn == NULL)
			continue;
		sigaction(signo, &on_signal[signo].before, NULL);
		on_signal[signo].fn = NULL;
		caught[signo] = 0;
	}
	wake_fd = -1;
	signal_loop = NULL;
}

/* ---- descriptors -------------------------------------------------------- */

static uint32_t
to_epoll(unsigned int events)
{
	return ((events & LOOP_READ) ? EPOLLIN | EPOLLRDHUP : 0) |
	    ((events & LOOP_WRITE) ? EPOLLOUT : 0);
}

/* A peer that only stopped writing is readable, with nothing to read. */
static unsigned int
from_epoll(uint32_t events)
{
	return ((events & (EPOLLIN | EPOLLRDHUP)) ? LOOP_READ : 0) |
	    ((events & EPOLLOUT) ? LOOP_WRITE : 0) |
	    ((events & (EPOLLHUP | EPOLLERR)) ? LOOP_HANGUP : 0);
}

static struct slot *
slot_of(struct loop *l, int fd)
{
	size_t	 n = l->nslots;

	if ((size_t)fd >= n) {
		n = (size_t)fd + 1 > 2 * n ? (size_t)fd + 1 : 2 * n;
		l->slots = xreallocarray(l->slots, n, sizeof(*l->slots));
		memset(l->slots + l->nslots, 0,
		    (n - l->nslots) * sizeof(*l->slots));
		l->nslots = n;
	}
	return &l->slots[fd];
}

void
loop_watch(struct loop *l, int fd, unsigned int events, loop_io_fn *fn,
    void *arg)
{
	struct slot		*s;
	struct epoll_event	 e;
	int			 op;

	if (fd < 0)
		fatalx("loop: watch descriptor %d", fd);
	s = slot_of(l, fd);
	if (s->fn == NULL) {
		s->serial = ++l->io_serial;
		op = EPOLL_CTL_ADD;
	} else
		op = EPOLL_CTL_MOD;
	s->fn = fn;
	s->arg = arg;
	if (op == EPOLL_CTL_MOD && s->events == events)
		return;
	s->events = events;
	e.events = to_epoll(events);
	e.data.u64 = (uint64_t)s->serial << 32 | (uint32_t)fd;
	if (epoll_ctl(l->epoll, op, fd, &e) == -1)
		fatal("loop: watch descriptor %d", fd);
}

void
loop_forget(struct loop *l, int fd)
{
	if (fd < 0 || (size_t)fd >= l->nslots || l->slots[fd].fn == NULL)
		return;
	l->slots[fd].fn = NULL;
	if (epoll_ctl(l->epoll, EPOLL_CTL_DEL, fd, NULL) == -1)
		log_warn("loop: forget descriptor %d", fd);
}

static void
deliver(struct loop *l, const struct epoll_event *e)
{
	int		 fd = (int)(uint32_t)e->data.u64;
	uint32_t	 serial = e->data.u64 >> 32;
	struct slot	 s = l->slots[fd];	/* the callback may move it */
	unsigned int	 events;

	if (s.fn == NULL || s.serial != serial)
		return;
	events = from_epoll(e->events) & (s.events | LOOP_HANGUP);
	if (events != 0)
		s.fn(s.arg, fd, events);
}

/* ---- timers ------------------------------------------------------------- */

static bool
is_before(const struct loop_timer *a, const struct loop_timer *b)
{
	if (a->due_ns != b->due_ns)
		return a->due_ns < b->due_ns;
	return a->serial < b->serial;
}

static void
put(struct loop *l, size_t at, struct loop_timer *t)
{
	l->heap[at] = t;
	t->at = at;
}

static void
move_up(struct loop *l, struct loop_timer *t)
{
	size_t	 at = t->at;

	while (at > 0 && is_before(t, l->heap[(at - 1) / 2])) {
		put(l, at, l->heap[(at - 1) / 2]);
		at = (at - 1) / 2;
	}
	put(l, at, t);
}

static void
move_down(struct loop *l, struct loop_timer *t)
{
	size_t	 at = t->at, child;

	while ((child = 2 * at + 1) < l->ntimers) {
		if (child + 1 < l->ntimers &&
		    is_before(l->heap[child + 1], l->heap[child]))
			child++;
		if (!is_before(l->heap[child], t))
			break;
		put(l, at, l->heap[child]);
		at = child;
	}
	put(l, at, t);
}

static void
insert(struct loop *l, struct loop_timer *t, uint64_t due_ns)
{
	if (l->ntimers == l->heap_size) {
		l->heap_size = l->heap_size == 0 ? 64 : 2 * l->heap_size;
		l->heap = xreallocarray(l->heap, l->heap_size,
		    sizeof(struct loop_timer *));
	}
	t->due_ns = due_ns;
	t->serial = l->timer_serial++;
	put(l, l->ntimers++, t);
	move_up(l, t);
}

static void
take_out(struct loop *l, struct loop_timer *t)
{
	struct loop_timer	*last = l->heap[--l->ntimers];

	if (last == t)
		return;
	put(l, t->at, last);
	move_up(l, last);
	move_down(l, last);
}

static struct loop_timer *
timer_new(struct loop *l, unsigned int ms, loop_fn *fn, void *arg)
{
	struct loop_timer	*t = xcalloc(1, sizeof(*t));

	t->fn = fn;
	t->arg = arg;
	insert(l, t, now_ns() + ms * NS_PER_MS);
	return t;
}

struct loop_timer *
loop_after(struct loop *l, unsigned int ms, loop_fn *fn, void *arg)
{
	return timer_new(l, ms, fn, arg);
}

struct loop_timer *
loop_every(struct loop *l, unsigned int ms, loop_fn *fn, void *arg)
{
	struct loop_timer	*t = timer_new(l, ms, fn, arg);

	t->every_ns = (ms > 0 ? ms : 1) * NS_PER_MS;
	return t;
}

void
loop_cancel(struct loop *l, struct loop_timer *t)
{
	if (t == NULL)
		return;
	if (t == l->running) {
		t->cancelled = true;	/* freed when its callback is back */
		return;
	}
	take_out(l, t);
	free(t);
}

/* Beats that were missed are not made up for. */
static void
again(struct loop *l, struct loop_timer *t)
{
	uint64_t	 now = now_ns(), due = t->due_ns + t->every_ns;

	insert(l, t, due > now ? due : now + t->every_ns);
}

/* Those that are due; what their callbacks add has to wait for a round. */
static void
run_timers(struct loop *l)
{
	uint64_t		 now = now_ns(), first_new = l->timer_serial;
	struct loop_timer	*t;

	while (!l->stop && l->ntimers > 0) {
		t = l->heap[0];
		if (t->due_ns > now || t->serial >= first_new)
			return;
		take_out(l, t);
		l->running = t;
		t->fn(t->arg);
		l->running = NULL;
		if (t->every_ns != 0 && !t->cancelled)
			again(l, t);
		else
			free(t);
	}
}

/* Until the next timer, rounded up: none may be early. */
static int
wait_ms(const struct loop *l)
{
	uint64_t	 now, ms;

	if (l->ntimers == 0)
		return -1;
	now = now_ns();
	if (l->heap[0]->due_ns <= now)
		return 0;
	ms = (l->heap[0]->due_ns - now + NS_PER_MS - 1) / NS_PER_MS;
	return ms > INT_MAX ? INT_MAX : (int)ms;
}

/* ---- the loop ----------------------------------------------------------- */

struct loop *
loop_new(void)
{
	struct loop	*l = xcalloc(1, sizeof(*l));

	if ((l->epoll = epoll_create1(EPOLL_CLOEXEC)) == -1)
		fatal("loop: epoll");
	if ((l->woken = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) == -1)
		fatal("loop: eventfd");
	loop_watch(l, l->woken, LOOP_READ, signals_caught, NULL);
	return l;
}

void
loop_free(struct loop *l)
{
	if (l == NULL)
		return;
	if (signal_loop == l)
		release_signals();
	while (l->ntimers > 0)
		free(l->heap[--l->ntimers]);
	close(l->epoll);
	close(l->woken);
	free(l->heap);
	free(l->slots);
	free(l);
}

void
loop_stop(struct loop *l)
{
	l->stop = true;
}

/* Woken by descriptors, by timers that are due, and by signals. */
void
loop_run(struct loop *l)
{
	struct epoll_event	 events[ROUND_MAX];
	int			 i, n;

	while (!l->stop) {
		n = epoll_wait(l->epoll, events, ROUND_MAX, wait_ms(l));
		if (n == -1 && errno != EINTR)
			fatal("loop: epoll_wait");
		for (i = 0; i < n && !l->stop; i++)
			deliver(l, &events[i]);
		run_timers(l);
	}
	l->stop = false;
}
