/*
 * Start and stop stage programs.
 *
 * The only file of the daemon that forks.  Between the daemon and a program
 * stands a keeper, a small process of ours:
 *
 *	millraced --- keeper --- program --- whatever it starts
 *
 * The keeper is the first process of a pid namespace, or, where there are
 * none, the one that orphans below it fall to.  So all of the tree is within
 * its reach, however often it forked and changed its session, and none of it
 * is left when the keeper has gone.  It watches the clock by itself: the time
 * limit, the pause between TERM and KILL, and the fence; and the bounds of the
 * tree as a whole (bounds.h).  They hold while the daemon waits for a database,
 * is stopped, or is dead.  A keeper that is killed takes its namespace with
 * it; without one, what it kept falls to the daemon, which ends it.
 *
 * The program sees exactly four descriptors:
 *
 *	0	/dev/null; or a pipe from the daemon, for items
 *	1 2	a pipe to the daemon, for the log of its job
 *	3	a pipe to the daemon, for the lines of
 *		millrace-report(7)
 */

#ifndef MILLRACE_CHILD_H
#define MILLRACE_CHILD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct child;
struct child_call;
struct loop;
struct sandbox;

/* Time that a program has between TERM and KILL, where nobody waits for it. */
#define CHILD_GRACE_MS	2000

struct child_spec {
	char		**argv;		/* [0]: absolute path of the program */
	char		**envp;
	const char	 *dir;		/* its working directory, absolute; the
					   keeper holds a shared lock on it */
	unsigned int	  limit_s;	/* wall clock */
	unsigned int	  silence_s;	/* without a line or output; 0: never */
	uint64_t	  memory;	/* bytes of address space; 0: any */
	uint64_t	  written;	/* bytes of one file, and that all
					   files in DIR may grow by; 0: any */
	bool		  network;
	int		  hold;		/* open, with a lock that is held for
					   as long as the program; 0: none */
	bool		  fed;		/* by child_feed; the limits are then
					   those of one item */
};

/* Why a program ended. */
enum child_why {
	CHILD_EXITED,		/* by itself; STATUS tells how */
	CHILD_TOLD,		/* child_stop or child_kill */
	CHILD_LATE,		/* its time was over */
	CHILD_SILENT,
	CHILD_OVER,		/* its tree was over a bound; WHAT tells which */
	CHILD_CUT,		/* it exited with 0 within a line: WHAT */
	CHILD_EARLY,		/* fed: it exited with 0 within an item */
	CHILD_FENCED,		/* the daemon did not say in time that it may
				   go on, or is gone */
	CHILD_UNSTARTED		/* ERROR and WHAT tell why */
};

struct child_end {
	enum child_why	 why;
	int		 status;	/* as of wait(2) */
	int		 error;		/* errno */
	char		 what[64];	/* that failed before it could run, or
					   as said above */
	uint64_t	 peak;		/* bytes, of its largest process */
	unsigned int	 cpu_ms;
	uint64_t	 due;		/* CHILD_LATE, fed: loop_now() at which
					   the time of an item was over */
	bool		 missed;	/* fed: the last item is not to blame, it
					   was not read; or the one before was
					   too late */
};

/* What a child tells its owner, from the loop.  END comes last, and once. */
struct child_owner {
	void	(*line)(void *, char *);		/* of descriptor 3 */
	void	(*output)(void *, const char *, size_t);	/* of 1 and 2 */
	void	(*end)(void *, const struct child_end *);
	void	*arg;
};

/*
 * child_init	Find out which walls can be built around a tree of processes.
 *		Call it once, before the others.
 * child_about	What they are, in words for the log.
 * child_whole	Whether nothing is missing.
 * child_start	Run a program.  NULL when there are no processes or
 *		descriptors left (said); all else is told to the owner's END.
 *		The child is freed after its END.
 * child_feed	Let a fed one read LINE, of at most REPORT_LINE_MAX bytes: its
 *		time for it begins.  Never waits: what is said in the callbacks
 *		of this child is written when they have returned.
 * child_has_read Whether it has begun to read what it was fed last.
 * child_rest	It has nothing to do, and time does not count until it is fed.
 * child_listen	Hand its output on that is there already.
 * child_close	It reads the end of its input, and may exit: within
 *		CHILD_GRACE_MS, then it is late.  It is not fed any more.
 * child_told	Whether it was told to end, by whomever.
 * child_stop	TERM to all of its tree, KILL after GRACE_MS.
 * child_kill	KILL to all of its tree.
 * child_trust	All children may run until UNTIL (loop_now() then); whoever
 *		still runs then is killed by its keeper.  0: for ever.
 * child_trusted Whether that time has not come yet.
 * child_call	Run FN(ARG) in a process of its own, without the sandbox: for
 *		work on files that would stall the loop.  DONE comes when it
 *		has ended, with its exit status, and frees the call.  NULL when
 *		it could not be started (said).
 * child_leave	Free a call that has not ended; DONE does not come.
 */
void		 child_init(struct loop *);
const char	*child_about(void);
bool		 child_whole(void);
struct child	*child_start(const struct sandbox *, const struct child_spec *,
		    const struct child_owner *);
void		 child_feed(struct child *, const char *line);
bool		 child_has_read(const struct child *);
void		 child_rest(struct child *);
void		 child_listen(struct child *);
void		 child_close(struct child *);
bool		 child_told(const struct child *);
void		 child_stop(struct child *, unsigned int grace_ms);
void		 child_kill(struct child *);
void		 child_trust(uint64_t until);
bool		 child_trusted(void);
struct child_call *child_call(int (*fn)(void *), void *arg,
		    void (*done)(void *, int), void *done_arg);
void		 child_leave(struct child_call *);

#endif
