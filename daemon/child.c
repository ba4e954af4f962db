/*
 * Start and stop stage programs, each below a keeper.
 *
 * The keeper takes two signals: TERM (all of the tree is told to end, and is
 * killed later) and USR1 (it is killed now).  As the first process of a pid
 * namespace it may also simply be killed: the kernel takes the rest with it.
 * When the program has ended the keeper writes a struct child_end to a pipe
 * and exits; its pidfd is what wakes the daemon.
 *
 * The fence is a page of memory that the daemon and all keepers share: the
 * time until which the daemon vouches for its leases.
 */

#include "child.h"

#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/queue.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <linux/sched.h>

#include "bounds.h"
#include "feed.h"
#include "log.h"
#include "loop.h"
#include "proc.h"
#include "report.h"
#include "sandbox.h"

/* Time between TERM and KILL for one that is over its time already, ms. */
#define LATE_GRACE_MS	500

/* Processes and threads of one program: as many, and 32 for each core. */
#define PROCESSES	256

/* Open files of one process of a program. */
#define FILES		1024

/* What one child may make us read in WINDOW_MS; more waits in its pipe. */
#define WINDOW_MS	100
#define WINDOW_BYTES	(256 * 1024)

/* Pids that the kernel does not give out again in a namespace. */
#define RESERVED_PIDS	300

enum { OUT, IN };			/* ends of a pipe */

struct child {
	LIST_ENTRY(child) entry;
	struct child_owner owner;
	pid_t		 keeper;
	int		 pidfd;
	int		 report, output, end;	/* pipes, to read from */
	struct feed	*feed;		/* or NULL */
	unsigned int	 limit_s;	/* of what it is fed */
	unsigned int	 calls;		/* of the owner, at the moment */
	struct report_lines lines;
	bool		 told;
	bool		 silent;
	unsigned int	 silence_ms;
	uint64_t	 heard;		/* when the last byte came */
	uint64_t	 window;	/* when this one began, and how much */
	size_t		 read;		/* was read in it */
	struct loop_timer *quiet;	/* pipes are watched again then */
	struct loop_timer *hush;	/* looks at the silence */
};

struct child_call {
	LIST_ENTRY(child_call) entry;
	int		 pidfd;
	pid_t		 pid;
	void		(*done)(void *, int);
	void		*arg;
};

static struct loop	*loop;
static LIST_HEAD(, child) children = LIST_HEAD_INITIALIZER(children);
static LIST_HEAD(, child_call) calls = LIST_HEAD_INITIALIZER(calls);
static _Atomic uint64_t	*fence;
static unsigned int	 spaces;	/* namespaces that can be had */
static bool		 counts_pids;	/* a namespace bounds its processes */
static char		 about[128];

/* ---- processes ----------------------------------------------------------- */

/*
 * fork() that also gives a descriptor of the process, and namespaces.  Not
 * clone3: containers often refuse it, since they cannot see its flags.
 */
static pid_t
spawn(unsigned int flags, int *pidfd)
{
	return (pid_t)syscall(SYS_clone, (unsigned long)(CLONE_PIDFD | SIGCHLD |
	    flags), NULL, pidfd, NULL, NULL);
}

static int
write_file(const char *path, const char *text)
{
	size_t	 len = strlen(text);
	int	 fd, rc;

	if ((fd = open(path, O_WRONLY | O_CLOEXEC)) == -1)
		return -1;
	rc = write(fd, text, len) == (ssize_t)len ? 0 : -1;
	close(fd);
	return rc;
}

/* In a user namespace of our own we stay who we were. */
static int
map_ids(uid_t uid, gid_t gid)
{
	char	 map[64];

	if ((spaces & CLONE_NEWUSER) == 0)
		return 0;
	if (write_file("/proc/self/setgroups", "deny") == -1)
		return -1;
	snprintf(map, sizeof(map), "%u %u 1", uid, uid);
	if (write_file("/proc/self/uid_map", map) == -1)
		return -1;
	snprintf(map, sizeof(map), "%u %u 1", gid, gid);
	return write_file("/proc/self/gid_map", map);
}

static unsigned int
cores(void)
{
	long	 n = sysconf(_SC_NPROCESSORS_ONLN);

	return n < 1 ? 1 : (unsigned int)n;
}

static unsigned int
most_processes(void)
{
	return PROCESSES + 32 * cores();
}

/* ---- the program --------------------------------------------------------- */

static int
limit(int resource, rlim_t most)
{
	struct rlimit	 r = { most, most }, now;

	if (getrlimit(resource, &now) == -1)
		return -1;
	if (now.rlim_max != RLIM_INFINITY && most > now.rlim_max)
		r.rlim_cur = r.rlim_max = now.rlim_max;
	return setrlimit(resource, &r);
}

/*
 * Counted within a user namespace, with the keeper; else over all of the user:
 * then the keeper ends the tree before it takes from others.  Root is exempt,
 * or is that of a container, with all that runs there.
 */
static int
limit_processes(void)
{
	rlim_t	 most = most_processes();

	if (spaces & CLONE_NEWUSER)
		return limit(RLIMIT_NPROC, most + 1);
	return geteuid() == 0 ? 0 :
	    limit(RLIMIT_NPROC, 2 * most + proc_own_threads());
}

static int
set_limits(const struct child_spec *spec)
{
#if !defined(__SANITIZE_ADDRESS__)
	/* A sanitizer's shadow takes terabytes of address space. */
	if (spec->memory != 0 && limit(RLIMIT_AS, spec->memory) == -1)
		return -1;
#endif
	if (spec->written != 0 && limit(RLIMIT_FSIZE, spec->written) == -1)
		return -1;
	if (!spec->fed &&
	    limit(RLIMIT_CPU, (rlim_t)spec->limit_s * cores() + 1) == -1)
		return -1;
	if (limit(RLIMIT_NOFILE, FILES) == -1 || limit(RLIMIT_CORE, 0) == -1)
		return -1;
	return limit_processes();
}

/* Descriptors 0 to 3 and ERROR, which exec closes.  INPUT may be -1. */
static int
set_descriptors(int input, int output, int report, int *error)
{
	if ((output = fcntl(output, F_DUPFD_CLOEXEC, 10)) == -1 ||
	    (report = fcntl(report, F_DUPFD_CLOEXEC, 10)) == -1 ||
	    (*error = fcntl(*error, F_DUPFD_CLOEXEC, 10)) == -1 ||
	    (input = input != -1 ? fcntl(input, F_DUPFD_CLOEXEC, 10) :
	    open("/dev/null", O_RDONLY | O_CLOEXEC)) == -1)
		return -1;
	if (dup2(input, 0) == -1 || dup2(output, 1) == -1 ||
	    dup2(output, 2) == -1 || dup2(report, 3) == -1)
		return -1;
	close_range(4, (unsigned int)*error - 1, 0);
	return close_range((unsigned int)*error + 1, ~0U, 0);
}

/* Signals as a new program expects them, but for those BLOCKED. */
static void
reset_signals(const sigset_t *blocked)
{
	int	 i;

	for (i = 1; i < NSIG; i++)
		signal(i, SIG_DFL);
	sigprocmask(SIG_SETMASK, blocked, NULL);
}

/* Become the program.  Returns what failed, with errno. */
static const char *
run(const struct sandbox *sb, const struct child_spec *spec, int input,
    int output, int report, int *error)
{
	struct sandbox_need	 need = {
		.dir = spec->dir, .program = spec->argv[0],
		.network = spec->network
	};
	const char		*wall;
	sigset_t		 none;

	setsid();
	umask(022);
	/* The first to go when memory is short. */
	write_file("/proc/self/oom_score_adj", "500");
	if (set_limits(spec) == -1)
		return "limits";
	if (set_descriptors(input, output, report, error) == -1)
		return "descriptors";
	if ((wall = sandbox_enter(sb, &need)) != NULL)
		return wall;
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	sigemptyset(&none);
	reset_signals(&none);
	execve(spec->argv[0], spec->argv, spec->envp);
	return "exec";
}

/* ---- the keeper ---------------------------------------------------------- */

struct keeper {
	const struct child_spec *spec;
	const struct sandbox *sandbox;
	const struct feed *feed;	/* or NULL */
	int		 input;		/* -1: none */
	int		 output, report, end;	/* pipes, to write to */
	pid_t		 program;
	uint64_t	 late_at;	/* its time is over; 0: never */
	uint64_t	 kill_at;	/* 0: it was not told to end */
	struct bounds	 bounds;
	struct child_end result;
};

/* Close all but 0 to 2 and FDS, which are N. */
static void
close_others(int *fds, size_t n)
{
	unsigned int	 from = 3;
	size_t		 i, j;
	int		 fd;

	for (i = 0; i < n; i++) {
		for (j = i + 1; j < n; j++) {
			if (fds[j] < fds[i]) {
				fd = fds[i];
				fds[i] = fds[j];
				fds[j] = fd;
			}
		}
		if ((unsigned int)fds[i] > from)
			close_range(from, (unsigned int)fds[i] - 1, 0);
		from = (unsigned int)fds[i] + 1;
	}
	close_range(from, ~0U, 0);
}

static void
signal_tree(int signo)
{
	if (spaces & CLONE_NEWPID)
		kill(-1, signo);
	else
		proc_signal_below(signo);
}

static void
tell(struct keeper *k, enum child_why why, uint64_t kill_at)
{
	if (k->kill_at != 0 && k->kill_at <= kill_at)
		return;
	if (k->kill_at == 0)
		k->result.why = why;
	k->kill_at = kill_at;
	signal_tree(SIGTERM);
}

static void
tell_now(struct keeper *k, enum child_why why, uint64_t now)
{
	if (k->kill_at == 0)
		k->result.why = why;
	k->kill_at = now;
}

/* The daemon reads from the other end for as long as it lives. */
static bool
daemon_is_gone(const struct keeper *k)
{
	struct pollfd	 p = { .fd = k->end };

	return poll(&p, 1, 0) == 1 && (p.revents & POLLERR) != 0;
}

/* Its time, which is that of the item at hand if it is fed. */
static void
look_at_clock(struct keeper *k)
{
	uint64_t	 due;

	if (k->feed == NULL || (due = feed_due(k->feed)) == k->late_at)
		return;
	k->late_at = due;
	k->bounds.weighed = false;	/* what others wrote is not its own */
}

static void
look(struct keeper *k, uint64_t now)
{
	look_at_clock(k);
	if (!child_trusted() || daemon_is_gone(k))
		tell_now(k, CHILD_FENCED, now);
	else if (bounds_broken(&k->bounds, now, k->result.what))
		tell_now(k, CHILD_OVER, now);
	else if (k->late_at != 0 && now >= k->late_at) {
		if (k->kill_at == 0)
			k->result.due = k->late_at;
		tell(k, CHILD_LATE, k->late_at + LATE_GRACE_MS);
	}
	if (k->kill_at != 0 && now >= k->kill_at)
		signal_tree(SIGKILL);
}

/* Collect what has ended.  Whether the program itself is among it. */
static bool
reap(struct keeper *k)
{
	struct rusage	 used;
	pid_t		 pid;
	int		 status;
	bool		 ended = false;

	while ((pid = wait4(-1, &status, WNOHANG, &used)) > 0) {
		if (pid != k->program)
			continue;
		ended = true;
		k->result.status = status;
		k->result.peak = (uint64_t)used.ru_maxrss * 1024;
		k->result.cpu_ms = (unsigned int)(used.ru_utime.tv_sec * 1000 +
		    used.ru_utime.tv_usec / 1000 +
		    used.ru_stime.tv_sec * 1000 +
		    used.ru_stime.tv_usec / 1000);
	}
	return ended;
}

/*
 * It takes several turns until nobody is left.  A namespace would take all with
 * it when we exit, but the kernel closes our files before: others would get the
 * directory while something still runs in it.
 */
static void
end_all(void)
{
	struct timespec	 pause = { .tv_nsec = 1000 * 1000 };
	pid_t		 pid;

	for (;;) {
		while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
			continue;
		if (pid == -1)
			return;
		signal_tree(SIGKILL);
		nanosleep(&pause, NULL);
	}
}

/* When something may be due: not before 10 ms, or a KILL would be a loop. */
static uint64_t
next_look(const struct keeper *k, uint64_t now)
{
	uint64_t	 at = now + BOUNDS_MS, until = atomic_load(fence);

	if (until != 0 && until < at)
		at = until;
	if (k->kill_at != 0 && k->kill_at < at)
		at = k->kill_at;
	if (k->kill_at == 0 && k->late_at != 0 && k->late_at < at)
		at = k->late_at;
	return at < now + 10 ? now + 10 : at;
}

/* That the daemon sends along with TERM, ms. */
static uint64_t
grace(const struct signalfd_siginfo *info)
{
	return info->ssi_code == SI_QUEUE && info->ssi_int >= 0 ?
	    (uint64_t)info->ssi_int : CHILD_GRACE_MS;
}

static void
take_signals(struct keeper *k, int fd, uint64_t now)
{
	struct signalfd_siginfo	 info;

	while (read(fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		if (info.ssi_signo == SIGTERM)
			tell(k, CHILD_TOLD, now + grace(&info));
		else if (info.ssi_signo == SIGUSR1)
			tell_now(k, CHILD_TOLD, now);
	}
}

/* Until the program has ended: then the rest has to as well. */
static void
watch(struct keeper *k, const sigset_t *set)
{
	struct pollfd	 p = { .events = POLLIN };
	uint64_t	 now;

	p.fd = signalfd(-1, set, SFD_NONBLOCK | SFD_CLOEXEC);
	do {
		now = loop_now();
		poll(&p, 1, (int)(next_look(k, now) - now));
		now = loop_now();
		take_signals(k, p.fd, now);
		look(k, now);
	} while (!reap(k));
	end_all();
}

/*
 * Bound the processes of our namespace: root is exempt from RLIMIT_NPROC.
 * A kernel before 6.14 would take this for the limit of the whole machine:
 * there it is only we who count them.
 */
static void
bound_processes(void)
{
	char	 text[16];

	if (!counts_pids)
		return;
	snprintf(text, sizeof(text), "%u", RESERVED_PIDS +
	    most_processes());
	write_file("/proc/sys/kernel/pid_max", text);
}

/* Go to the directory, and hold it: nobody else begins there before we end. */
static int
hold_directory(const char *path)
{
	int	 fd;

	if ((fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW |
	    O_CLOEXEC)) == -1 || flock(fd, LOCK_SH) == -1 || fchdir(fd) == -1)
		return -1;
	return fd;
}

/* What its program sends before it is one.  0, or -1: it does not get there. */
static int
hear_start(struct keeper *k, int socket)
{
	ssize_t	 n;

	do
		n = recv(socket, &k->result, sizeof(k->result), 0);
	while (n == -1 && errno == EINTR);
	if (n > 0)
		return -1;
	/* Nothing comes when exec succeeds. */
	memset(&k->result, 0, sizeof(k->result));
	k->result.why = CHILD_EXITED;
	return 0;
}

static int
cannot(struct keeper *k, const char *what)
{
	k->result.why = CHILD_UNSTARTED;
	k->result.error = errno;
	strlcpy(k->result.what, what, sizeof(k->result.what));
	return -1;
}

/* Start the program; 0, or -1 with the result filled in. */
static int
launch(struct keeper *k)
{
	const char	*what;
	int		 error[2], rc;

	if ((k->bounds.dir = hold_directory(k->spec->dir)) == -1)
		return cannot(k, "working directory");
	/* It may have been another's for long. */
	if (!child_trusted() || daemon_is_gone(k)) {
		k->result.why = CHILD_FENCED;
		return -1;
	}
	bounds_begin(&k->bounds, loop_now());
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, error) ==
	    -1 || (k->program = fork()) == -1)
		return cannot(k, "fork");
	if (k->program == 0) {
		what = run(k->sandbox, k->spec, k->input, k->output,
		    k->report, &error[IN]);
		cannot(k, what);
		_exit(write(error[IN], &k->result, sizeof(k->result)) == -1);
	}
	close(error[IN]);
	if (k->input != -1)
		close(k->input);
	close(k->output);
	close(k->report);
	rc = hear_start(k, error[OUT]);
	close(error[OUT]);
	return rc;
}

/* The signals that a keeper waits for. */
static sigset_t
keeper_signals(void)
{
	sigset_t	 set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGUSR1);
	return set;
}

static void __attribute__((noreturn))
keep(struct keeper *k, uid_t uid, gid_t gid)
{
	int		 fds[] = { k->output, k->report, k->end,
			     k->spec->hold, 0 };
	size_t		 n = k->spec->hold > 0 ? 4 : 3;
	sigset_t	 set = keeper_signals();

	if (k->input != -1)
		fds[n++] = k->input;
	close_others(fds, n);
	reset_signals(&set);
	setpgid(0, 0);			/* the terminal's ^C is not for us */
	prctl(PR_SET_PDEATHSIG, SIGUSR1, 0, 0, 0);
	if (daemon_is_gone(k))
		_exit(1);
	prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	if (map_ids(uid, gid) == -1)
		log_warn("child: user namespace");
	bound_processes();
	k->bounds.processes = most_processes();
	k->bounds.written = k->spec->written;
	if (k->feed == NULL)
		k->late_at = loop_now() + (uint64_t)k->spec->limit_s * 1000;
	if (launch(k) == 0) {
		/* Our memory is a copy of the daemon's: for nobody to read. */
		prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
		watch(k, &set);
	}
	_exit(write(k->end, &k->result, sizeof(k->result)) == -1);
}

/* ---- the daemon's side --------------------------------------------------- */

static void
close_fd(int *fd)
{
	if (*fd == -1)
		return;
	loop_forget(loop, *fd);
	close(*fd);
	*fd = -1;
}

static void
child_free(struct child *c)
{
	close_fd(&c->report);
	close_fd(&c->output);
	close_fd(&c->end);
	close_fd(&c->pidfd);
	feed_free(c->feed);
	if (c->quiet != NULL)
		loop_cancel(loop, c->quiet);
	if (c->hush != NULL)
		loop_cancel(loop, c->hush);
	if (c->keeper > 0)
		LIST_REMOVE(c, entry);
	free(c);
}

/* Read once.  Bytes, 0 when there are none now, -1 at the end. */
static ssize_t
take(struct child *c, int fd)
{
	char	 buf[64 * 1024];
	ssize_t	 n;

	if ((n = read(fd, buf, sizeof(buf))) <= 0)
		return n == -1 && (errno == EAGAIN || errno == EINTR) ? 0 : -1;
	c->heard = loop_now();
	c->read += (size_t)n;
	if (c->feed != NULL && c->calls++ == 0)
		feed_hold(c->feed);
	if (fd == c->report)
		report_feed(&c->lines, buf, (size_t)n, c->owner.line,
		    c->owner.arg);
	else
		c->owner.output(c->owner.arg, buf, (size_t)n);
	if (c->feed != NULL && --c->calls == 0)
		feed_go(c->feed);
	return n;
}

static void	readable(void *, int, unsigned int);

static void
listen_to(struct child *c)
{
	if (c->report != -1)
		loop_watch(loop, c->report, LOOP_READ, readable, c);
	if (c->output != -1)
		loop_watch(loop, c->output, LOOP_READ, readable, c);
}

static void
listen_again(void *arg)
{
	struct child	*c = arg;

	c->quiet = NULL;
	c->read = 0;
	c->window = loop_now();
	listen_to(c);
}

/* One that talks without end shall not have all of our time. */
static void
bound(struct child *c)
{
	if (c->heard - c->window >= WINDOW_MS) {
		c->window = c->heard;
		c->read = 0;
	}
	if (c->read < WINDOW_BYTES || c->quiet != NULL)
		return;
	if (c->report != -1)
		loop_forget(loop, c->report);
	if (c->output != -1)
		loop_forget(loop, c->output);
	c->quiet = loop_after(loop, WINDOW_MS, listen_again, c);
}

static void
readable(void *arg, int fd, unsigned int events)
{
	struct child	*c = arg;

	(void)events;
	if (take(c, fd) == -1)
		close_fd(fd == c->report ? &c->report : &c->output);
	else
		bound(c);
}

/* What the pipes still hold: nobody is left who could write more. */
static void
drain(struct child *c, int fd)
{
	size_t	 before = c->read;

	while (fd != -1 && c->read - before <= WINDOW_BYTES &&
	    take(c, fd) > 0)
		continue;
}

/* A keeper was killed, and what it kept fell to us. */
static void
end_orphans(void)
{
	struct child_call	*call;
	struct child		*c;
	pid_t			*ours;
	size_t			 n = 0;

	LIST_FOREACH(c, &children, entry)
		n++;
	LIST_FOREACH(call, &calls, entry)
		n++;
	ours = xcalloc(n, sizeof(*ours));
	n = 0;
	LIST_FOREACH(c, &children, entry)
		ours[n++] = c->keeper;
	LIST_FOREACH(call, &calls, entry)
		ours[n++] = call->pid;
	if (proc_end_below(ours, n) == -1)
		log_warnx("what a killed keeper kept does not end");
	free(ours);
}

/* How it ended, as its keeper tells. */
static void
read_end(struct child *c, struct child_end *end)
{
	int	 status;

	if (waitpid(c->keeper, &status, 0) != c->keeper)
		status = SIGKILL;
	if (read(c->end, end, sizeof(*end)) != (ssize_t)sizeof(*end)) {
		/* It was killed before it could say anything. */
		memset(end, 0, sizeof(*end));
		end->status = status;
		end->why = c->told ? CHILD_TOLD : CHILD_EXITED;
		if ((spaces & CLONE_NEWPID) == 0)
			end_orphans();
	}
	if (end->why == CHILD_TOLD && c->silent)
		end->why = CHILD_SILENT;
}

/*
 * The last line has no end.  Half of one may read like another ("item 12" of
 * "item 123"), so it only counts where it can but tell why it failed.
 */
static void
half_a_line(struct child *c, struct child_end *end)
{
	if (end->why != CHILD_EXITED || !WIFEXITED(end->status))
		return;
	if (end->status != 0) {
		report_feed(&c->lines, "\n", 1, c->owner.line, c->owner.arg);
		return;
	}
	end->why = CHILD_CUT;
	snprintf(end->what, sizeof(end->what), "%.*s", (int)c->lines.len,
	    c->lines.buf);
}

/* Whether the item that it had last has nothing to do with its end. */
static bool
has_missed(const struct child *c, const struct child_end *end)
{
	return c->feed != NULL && (!feed_taken(c->feed) ||
	    (end->why == CHILD_LATE && end->due != feed_due(c->feed)));
}

/* The keeper is gone, and all of the tree with it. */
static void
ended(void *arg, int fd, unsigned int events)
{
	struct child		*c = arg;
	struct child_owner	 owner = c->owner;
	struct child_end	 end;

	(void)fd;
	(void)events;
	/* Before its pid is free for others: the owner may want to kill it. */
	drain(c, c->report);
	drain(c, c->output);
	read_end(c, &end);
	if (c->lines.len > 0)
		half_a_line(c, &end);
	end.missed = has_missed(c, &end);
	child_free(c);
	owner.end(owner.arg, &end);
}

static void
look_for_silence(void *arg)
{
	struct child	*c = arg;
	uint64_t	 silent = loop_now() - c->heard;

	c->hush = NULL;
	if (c->feed != NULL && feed_due(c->feed) == 0)
		silent = 0;		/* it has nothing to say */
	if (silent >= c->silence_ms && c->quiet == NULL) {
		c->silent = true;
		child_stop(c, LATE_GRACE_MS);
		return;
	}
	c->hush = loop_after(loop, c->quiet != NULL ? c->silence_ms :
	    (unsigned int)(c->silence_ms - silent), look_for_silence, c);
}

/* The three pipes of a child; TO are the keeper's ends. */
static int
open_pipes(struct child *c, int to[3])
{
	int	*from[] = { &c->output, &c->report, &c->end };
	int	 fds[2];
	size_t	 i;

	for (i = 0; i < 3; i++)
		*from[i] = to[i] = -1;
	for (i = 0; i < 3; i++) {
		if (pipe2(fds, O_CLOEXEC) == -1)
			return -1;
		*from[i] = fds[OUT];
		to[i] = fds[IN];
		/* Only our end: a program expects its own to block. */
		if (fcntl(fds[OUT], F_SETFL, O_NONBLOCK) == -1)
			return -1;
	}
	return 0;
}

/* Start the keeper.  0 or -1. */
static int
start_keeper(struct child *c, const struct sandbox *sb,
    const struct child_spec *spec)
{
	struct keeper	 k = {
		.spec = spec, .sandbox = sb, .feed = c->feed,
		.input = c->feed != NULL ? feed_end(c->feed) : -1
	};
	unsigned int	 flags = spaces;
	uid_t		 uid = geteuid();
	gid_t		 gid = getegid();
	sigset_t	 set = keeper_signals(), before;
	int		 to[3];
	size_t		 i;

	if (spec->network)
		flags &= ~(unsigned int)CLONE_NEWNET;
	c->pidfd = -1;
	if (open_pipes(c, to) == 0) {
		k.output = to[0];
		k.report = to[1];
		k.end = to[2];
		/* What we send before it is ready shall wait for it. */
		sigprocmask(SIG_BLOCK, &set, &before);
		if ((c->keeper = spawn(flags, &c->pidfd)) == 0)
			keep(&k, uid, gid);
		sigprocmask(SIG_SETMASK, &before, NULL);
	} else
		c->keeper = -1;
	if (c->keeper == -1)
		log_warn("start %s", spec->argv[0]);
	for (i = 0; i < 3; i++) {
		if (to[i] != -1)
			close(to[i]);
	}
	return c->keeper == -1 ? -1 : 0;
}

struct child *
child_start(const struct sandbox *sb, const struct child_spec *spec,
    const struct child_owner *owner)
{
	struct child	*c = xcalloc(1, sizeof(*c));

	c->owner = *owner;
	c->heard = c->window = loop_now();
	c->limit_s = spec->limit_s;
	if (spec->fed && (c->feed = feed_new(loop)) == NULL) {
		log_warn("start %s", spec->argv[0]);
		free(c);
		return NULL;
	}
	if (start_keeper(c, sb, spec) == -1) {
		c->keeper = 0;
		child_free(c);
		return NULL;
	}
	if (c->feed != NULL)
		feed_handed(c->feed);
	LIST_INSERT_HEAD(&children, c, entry);
	loop_watch(loop, c->pidfd, LOOP_READ, ended, c);
	listen_to(c);
	if (spec->silence_s != 0) {
		c->silence_ms = spec->silence_s * 1000;
		c->hush = loop_after(loop, c->silence_ms, look_for_silence, c);
	}
	return c;
}

void
child_feed(struct child *c, const char *line)
{
	c->heard = loop_now();
	feed_line(c->feed, line, c->limit_s);
}

bool
child_has_read(const struct child *c)
{
	return feed_taken(c->feed);
}

void
child_rest(struct child *c)
{
	feed_rest(c->feed);
}

void
child_listen(struct child *c)
{
	drain(c, c->output);
}

void
child_close(struct child *c)
{
	feed_close(c->feed, CHILD_GRACE_MS);
}

bool
child_told(const struct child *c)
{
	return c->told;
}

void
child_stop(struct child *c, unsigned int grace_ms)
{
	union sigval	 grace = { .sival_int = (int)grace_ms };

	c->told = true;
	sigqueue(c->keeper, SIGTERM, grace);
}

void
child_kill(struct child *c)
{
	c->told = true;
	kill(c->keeper, spaces & CLONE_NEWPID ? SIGKILL : SIGUSR1);
}

void
child_trust(uint64_t until)
{
	atomic_store(fence, until);
}

bool
child_trusted(void)
{
	uint64_t	 until = atomic_load(fence);

	return until == 0 || loop_now() < until;
}

/* ---- calls --------------------------------------------------------------- */

static void
call_ended(void *arg, int fd, unsigned int events)
{
	struct child_call	*c = arg;
	int		 status;

	(void)events;
	if (waitpid(c->pid, &status, WNOHANG) != c->pid)
		return;
	loop_forget(loop, fd);
	close(fd);
	LIST_REMOVE(c, entry);
	c->done(c->arg, status);
	free(c);
}

struct child_call *
child_call(int (*fn)(void *), void *arg, void (*done)(void *, int),
    void *done_arg)
{
	struct child_call	*c = xcalloc(1, sizeof(*c));
	sigset_t	 none;

	c->done = done;
	c->arg = done_arg;
	if ((c->pid = spawn(0, &c->pidfd)) == -1) {
		log_warn("start a process");
		free(c);
		return NULL;
	}
	if (c->pid == 0) {
		sigemptyset(&none);
		reset_signals(&none);
		prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
		close_range(3, ~0U, 0);
		_exit(fn(arg));
	}
	LIST_INSERT_HEAD(&calls, c, entry);
	loop_watch(loop, c->pidfd, LOOP_READ, call_ended, c);
	return c;
}

void
child_leave(struct child_call *c)
{
	if (c == NULL)
		return;
	loop_forget(loop, c->pidfd);
	close(c->pidfd);
	LIST_REMOVE(c, entry);
	free(c);
}

/* ---- what this machine has ----------------------------------------------- */

/* Whether a process with these namespaces can be had. */
static bool
try_spaces(unsigned int flags)
{
	uid_t	 uid = geteuid();
	gid_t	 gid = getegid();
	pid_t	 pid;
	int	 pidfd, status;

	spaces = flags;
	if ((pid = spawn(flags, &pidfd)) == -1)
		return false;
	if (pid == 0)
		_exit(map_ids(uid, gid) == -1);
	close(pidfd);
	return waitpid(pid, &status, 0) == pid && status == 0;
}

/* A namespace counts its own processes since Linux 6.14. */
static bool
kernel_counts(void)
{
	struct utsname	 u;
	unsigned int	 major, minor;

	return uname(&u) == 0 &&
	    sscanf(u.release, "%u.%u", &major, &minor) == 2 &&
	    (major > 6 || (major == 6 && minor >= 14));
}

void
child_init(struct loop *l)
{
	static const unsigned int	 sets[] = {
		CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWNET,
		CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWNET | CLONE_NEWUSER,
		CLONE_NEWPID,
		CLONE_NEWPID | CLONE_NEWUSER,
		0
	};
	size_t				 i = 0;

	loop = l;
	fence = mmap(NULL, sizeof(*fence), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (fence == MAP_FAILED)
		fatal("mmap");
	while (!try_spaces(sets[i]) && sets[i] != 0)
		i++;
	if ((spaces & CLONE_NEWPID) == 0)
		prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);	/* end_orphans */
	counts_pids = (spaces & CLONE_NEWPID) != 0 && geteuid() == 0 &&
	    kernel_counts();
	snprintf(about, sizeof(about), "%s, %s",
	    spaces & CLONE_NEWPID ? "pid namespace" : "NO pid namespace",
	    spaces & CLONE_NEWNET ? "network namespace" :
	    "NO network namespace");
}

const char *
child_about(void)
{
	return about;
}

bool
child_whole(void)
{
	return (spaces & CLONE_NEWPID) != 0 && (spaces & CLONE_NEWNET) != 0;
}
