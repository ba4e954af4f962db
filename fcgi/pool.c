/*
 * Worker processes on one listening socket, replaced when they die.
 */

#include "pool.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "log.h"

/* Connections that wait in the kernel while all workers are busy. */
#define BACKLOG		4096

/* Least pause before a worker that died at once is replaced, ms. */
#define RESPAWN_MS	100

/* How long workers may take for the request in hand, s. */
#define GRACE_S		30

struct pool {
	pid_t		*pids;		/* 0: to be started */
	unsigned int	 n;
	void		(*work)(void *);
	void		*arg;
	sigset_t	 blocked;	/* while the master does not wait */
	sigset_t	 inherited;
};

static volatile sig_atomic_t	stopping, renewing;

void
pool_socket(const char *path)
{
	struct sockaddr_un	 sun = { .sun_family = AF_UNIX };
	socklen_t		 len = sizeof(int);
	int			 listening = 0, fd;

	if (path == NULL) {
		if (getsockopt(0, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len)
		    == -1 || !listening)
			fatalx("descriptor 0 is no listening socket, and no "
			    "-s PATH was given");
		return;
	}
	if (strlcpy(sun.sun_path, path, sizeof(sun.sun_path)) >=
	    sizeof(sun.sun_path))
		fatalx("%s: longer than %zu bytes", path,
		    sizeof(sun.sun_path) - 1);
	if ((fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) == -1)
		fatal("socket");
	if (unlink(path) == -1 && errno != ENOENT)
		fatal("%s", path);
	umask(0117);
	if (bind(fd, (struct sockaddr *)&sun, sizeof(sun)) == -1 ||
	    listen(fd, BACKLOG) == -1)
		fatal("%s", path);
	umask(077);
	if (dup2(fd, 0) == -1)
		fatal("%s", path);
	if (fd != 0)
		close(fd);
}

static void
caught(int signo)
{
	if (signo == SIGHUP)
		renewing = 1;
	else if (signo != SIGCHLD)
		stopping = 1;
}

static const int	signals[] = { SIGTERM, SIGINT, SIGHUP, SIGCHLD };
#define NSIGNALS	(sizeof(signals) / sizeof(signals[0]))

static void
catch_signals(struct pool *p)
{
	struct sigaction	 sa = { .sa_handler = caught };
	size_t			 i;

	sigemptyset(&p->blocked);
	for (i = 0; i < NSIGNALS; i++) {
		sigaddset(&p->blocked, signals[i]);
		sigaction(signals[i], &sa, NULL);
	}
	sigprocmask(SIG_BLOCK, &p->blocked, &p->inherited);
}

static pid_t
start(struct pool *p)
{
	struct sigaction	 sa = { .sa_handler = SIG_DFL };
	pid_t			 pid, master = getpid();
	size_t			 i;

	switch (pid = fork()) {
	case -1:
		log_warn("fork");
		return 0;
	case 0:
		for (i = 0; i < NSIGNALS; i++)
			sigaction(signals[i], &sa, NULL);
		sigprocmask(SIG_SETMASK, &p->inherited, NULL);
		/* Not to outlive the master, however it ends. */
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		if (getppid() == master)
			p->work(p->arg);
		_exit(0);
	default:
		return pid;
	}
}

static bool
bury(struct pool *p)
{
	unsigned int	 i;
	pid_t		 pid;
	int		 status;
	bool		 any = false;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		for (i = 0; i < p->n; i++) {
			if (p->pids[i] == pid)
				p->pids[i] = 0;
		}
		any = true;
		if (WIFSIGNALED(status))
			log_warnx("worker %d: %s", (int)pid,
			    strsignal(WTERMSIG(status)));
		else if (WEXITSTATUS(status) != 0)
			log_warnx("worker %d: exit %d", (int)pid,
			    WEXITSTATUS(status));
	}
	return any;
}

static bool
any_left(const struct pool *p)
{
	unsigned int	 i;

	for (i = 0; i < p->n; i++) {
		if (p->pids[i] > 0)
			return true;
	}
	return false;
}

static void
tell(const struct pool *p, int signo)
{
	unsigned int	 i;

	for (i = 0; i < p->n; i++) {
		if (p->pids[i] > 0)
			kill(p->pids[i], signo);
	}
}

/* Wait for a signal of SET, for at most MS. */
static void
doze(const sigset_t *set, long ms)
{
	struct timespec	 ts = { ms / 1000, ms % 1000 * 1000000 };
	siginfo_t	 info;
	int		 signo;

	if ((signo = sigtimedwait(set, &info, &ts)) > 0)
		caught(signo);
}

/* The same, but the death of one more worker is no news. */
static void
rest(const struct pool *p)
{
	sigset_t	 set = p->blocked;

	sigdelset(&set, SIGCHLD);
	doze(&set, RESPAWN_MS);
}

static void
end_all(struct pool *p)
{
	int	 left_ms;

	tell(p, SIGTERM);
	for (left_ms = GRACE_S * 1000; left_ms > 0 && any_left(p);
	    left_ms -= RESPAWN_MS) {
		doze(&p->blocked, RESPAWN_MS);
		bury(p);
	}
	tell(p, SIGKILL);
}

/*
 * What wakes the master: SIGCHLD (a worker died: replace it), SIGHUP (renew,
 * and replace them all, by and by), SIGTERM and SIGINT (end), and a second
 * that passed.
 */
int
pool_run(unsigned int workers, void (*work)(void *), int (*renew)(void *),
    void *arg)
{
	struct pool	 p = { .n = workers, .work = work, .arg = arg };
	unsigned int	 i;

	p.pids = xcalloc(workers, sizeof(*p.pids));
	catch_signals(&p);
	while (!stopping) {
		for (i = 0; i < p.n; i++) {
			if (p.pids[i] == 0)
				p.pids[i] = start(&p);
		}
		doze(&p.blocked, 1000);
		if (renewing) {
			renewing = 0;
			if (renew(arg) == 0)
				tell(&p, SIGTERM);
		}
		if (bury(&p) && !stopping)
			rest(&p);
	}
	end_all(&p);
	free(p.pids);
	return 0;
}
