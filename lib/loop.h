/*
 * Wait for descriptors, timers and signals: the only epoll.
 *
 * Callbacks run from loop_run(), one at a time.  All times are of the
 * monotonic clock, in milliseconds, and do not follow a clock that is set.
 */

#ifndef MILLRACE_LOOP_H
#define MILLRACE_LOOP_H

#include <stdint.h>

struct loop;
struct loop_timer;

enum loop_events { LOOP_READ = 1, LOOP_WRITE = 2, LOOP_HANGUP = 4 };

typedef void	 loop_io_fn(void *arg, int fd, unsigned int events);
typedef void	 loop_fn(void *arg);
typedef void	 loop_signal_fn(void *arg, int signo);

struct loop	*loop_new(void);
void		 loop_free(struct loop *);

/*
 * loop_watch	Call FN when FD has one of EVENTS (a hangup always counts);
 *		again for the same FD: change it.
 * loop_forget	Stop watching FD.  Call it before closing FD.  Safe in a
 *		callback, also for a descriptor whose event is still to come.
 * loop_after	Call FN once in MS; freed by itself then, or by loop_cancel.
 * loop_every	Call FN each MS until loop_cancel.
 * loop_signal	Call FN, from the loop, when SIGNO was caught.
 * loop_run	Until loop_stop().
 * loop_now	The monotonic clock, ms.
 */
void	 loop_watch(struct loop *, int fd, unsigned int events, loop_io_fn *,
	    void *);
void	 loop_forget(struct loop *, int fd);
struct loop_timer *loop_after(struct loop *, unsigned int ms, loop_fn *,
	    void *);
struct loop_timer *loop_every(struct loop *, unsigned int ms, loop_fn *,
	    void *);
void	 loop_cancel(struct loop *, struct loop_timer *);
void	 loop_signal(struct loop *, int signo, loop_signal_fn *, void *);
void	 loop_run(struct loop *);
void	 loop_stop(struct loop *);
uint64_t loop_now(void);

#endif
