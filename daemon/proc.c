/*
 * Processes, as /proc lists them.
 *
 * A list is out of date once it is read.  Who wants all of a tree gone calls
 * again until nothing is left of it; orphans must fall to the caller
 * (PR_SET_CHILD_SUBREAPER), or they are not below it any more.
 *
 * The caller may be in a pid namespace: the numbers in /proc are those of the
 * namespace that it was mounted in.  Whoever signals must not be.
 */

#include "proc.h"

#include <sys/stat.h>
#include <sys/wait.h>

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "log.h"

/* Looks at a tree until all of it stands still. */
#define ROUNDS	100

/* ...and until all of it is gone, 1 ms each. */
#define END_ROUNDS	200

/* Files without a name that are told apart. */
#define DELETED		4096

struct process {
	pid_t		 pid, parent;
	unsigned int	 threads;
	uid_t		 uid;
	char		 state;		/* as in proc(5) */
	bool		 below;		/* us */
};

static int
read_process(int proc, const char *name, struct process *p)
{
	char		 path[64], buf[512], *rest;
	struct stat	 st;
	ssize_t		 n;
	int		 fd;

	snprintf(path, sizeof(path), "%.16s/stat", name);
	if ((fd = openat(proc, path, O_RDONLY | O_CLOEXEC)) == -1)
		return -1;
	n = fstat(fd, &st) == 0 ? read(fd, buf, sizeof(buf) - 1) : -1;
	close(fd);
	if (n <= 0)
		return -1;
	buf[n] = '\0';
	/* The name of the program may hold anything, ")" too. */
	if ((rest = strrchr(buf, ')')) == NULL)
		return -1;
	p->pid = (pid_t)strtol(name, NULL, 10);
	p->uid = st.st_uid;
	p->below = false;
	return sscanf(rest + 1, " %c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u"
	    " %*u %*u %*d %*d %*d %*d %u", &p->state, &p->parent,
	    &p->threads) == 3 ? 0 : -1;
}

/* All of them; *LIST is to be freed.  How many. */
static size_t
read_all(struct process **list)
{
	struct dirent	*entry;
	size_t		 n = 0, room = 0;
	DIR		*dir;

	*list = NULL;
	if ((dir = opendir("/proc")) == NULL)
		return 0;
	while ((entry = readdir(dir)) != NULL) {
		if (entry->d_name[0] < '1' || entry->d_name[0] > '9')
			continue;
		if (n == room) {
			room = room == 0 ? 256 : room * 2;
			*list = xreallocarray(*list, room, sizeof(**list));
		}
		if (read_process(dirfd(dir), entry->d_name, &(*list)[n]) == 0)
			n++;
	}
	closedir(dir);
	return n;
}

static int
by_pid(const void *a, const void *b)
{
	const struct process	*p = a, *q = b;

	return (p->pid > q->pid) - (p->pid < q->pid);
}

/* Our own pid, as /proc has it. */
static pid_t
self(void)
{
	char	 buf[16];
	ssize_t	 n = readlink("/proc/self", buf, sizeof(buf) - 1);

	if (n <= 0)
		return -1;
	buf[n] = '\0';
	return (pid_t)strtol(buf, NULL, 10);
}

/* Our children, but for those that are not looked at. */
struct except {
	const pid_t	*pids;
	size_t		 n;
};

static bool
is_child(const struct process *p, pid_t of, const struct except *except)
{
	size_t	 i;

	for (i = 0; except != NULL && i < except->n; i++) {
		if (except->pids[i] == p->pid)
			return false;
	}
	return p->parent == of;
}

/* Mark all that descend from us; *LIST is to be freed.  How many there are. */
static size_t
read_below(struct process **list, const struct except *except)
{
	const struct process	*parent;
	struct process		*p, key;
	size_t			 n = read_all(list);
	pid_t			 us = self();
	bool			 more;

	if (n == 0)
		return 0;
	qsort(*list, n, sizeof(**list), by_pid);
	/* A child may have a smaller pid than its parent: go round again. */
	do {
		more = false;
		for (p = *list; p < *list + n; p++) {
			if (p->below)
				continue;
			key.pid = p->parent;
			parent = bsearch(&key, *list, n, sizeof(**list),
			    by_pid);
			p->below = is_child(p, us, except) ||
			    (parent != NULL && parent->below);
			more |= p->below;
		}
	} while (more);
	return n;
}

/* ---- signals ------------------------------------------------------------- */

/* To those below that are not in STATE.  How many these were. */
static size_t
send_below(int signo, char state, const struct except *except)
{
	struct process	*list;
	size_t		 i, sent = 0, n = read_below(&list, except);

	for (i = 0; i < n; i++) {
		if (list[i].below && list[i].state != 'Z' &&
		    list[i].state != state) {
			kill(list[i].pid, signo);
			sent++;
		}
	}
	free(list);
	return sent;
}

static void
signal_below(int signo, const struct except *except)
{
	int	 i;

	/* Who is stopped cannot fork faster than we kill. */
	for (i = 0; signo == SIGKILL && i < ROUNDS; i++) {
		if (send_below(SIGSTOP, 'T', except) == 0)
			break;
	}
	send_below(signo, '\0', except);
}

void
proc_signal_below(int signo)
{
	signal_below(signo, NULL);
}

/* Collect what has ended of our children.  How many there still are. */
static size_t
collect(const struct except *except)
{
	struct process	*list;
	size_t		 i, left = 0, n = read_below(&list, except);

	for (i = 0; i < n; i++) {
		if (list[i].below && waitpid(list[i].pid, NULL, WNOHANG) !=
		    list[i].pid)
			left++;
	}
	free(list);
	return left;
}

int
proc_end_below(const pid_t *ours, size_t n)
{
	struct timespec	 pause = { .tv_nsec = 1000 * 1000 };
	struct except	 except = { ours, n };
	int		 i;

	for (i = 0; i < END_ROUNDS; i++) {
		if (collect(&except) == 0)
			return 0;
		signal_below(SIGKILL, &except);
		nanosleep(&pause, NULL);
	}
	return -1;
}

/* ---- counting ------------------------------------------------------------ */

/* Processes of which the threads and children are still to be counted. */
struct todo {
	pid_t	*pids;
	size_t	 n, room;
};

static void
add_children(struct todo *t, int task, const char *thread)
{
	char	 path[64];
	FILE	*f;
	int	 fd, pid;

	snprintf(path, sizeof(path), "%.16s/children", thread);
	if ((fd = openat(task, path, O_RDONLY | O_CLOEXEC)) == -1)
		return;			/* it has just ended */
	if ((f = fdopen(fd, "r")) == NULL) {
		close(fd);
		return;
	}
	while (fscanf(f, "%d", &pid) == 1) {
		if (t->n == t->room) {
			t->room = t->room == 0 ? 64 : t->room * 2;
			t->pids = xreallocarray(t->pids, t->room,
			    sizeof(*t->pids));
		}
		t->pids[t->n++] = pid;
	}
	fclose(f);
}

/* Threads of the process PID; its children are noted. */
static unsigned int
count_one(struct todo *t, pid_t pid)
{
	struct dirent	*entry;
	char		 path[64];
	unsigned int	 n = 0;
	DIR		*task;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	if ((task = opendir(path)) == NULL)
		return 0;
	while ((entry = readdir(task)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		n++;
		add_children(t, dirfd(task), entry->d_name);
	}
	closedir(task);
	return n;
}

/* For kernels without lists of children. */
static unsigned int
count_all(void)
{
	struct process	*list;
	size_t		 i, n = read_below(&list, NULL);
	unsigned int	 sum = 0;

	for (i = 0; i < n; i++) {
		if (list[i].below)
			sum += list[i].threads;
	}
	free(list);
	return sum;
}

unsigned int
proc_count_below(unsigned int most)
{
	struct todo	 t = { .n = 0 };
	unsigned int	 n = 0;

	if (access("/proc/thread-self/children", R_OK) == -1)
		return count_all();
	count_one(&t, self());
	while (t.n > 0 && n < most)
		n += count_one(&t, t.pids[--t.n]);
	free(t.pids);
	return n;
}

/* ---- files --------------------------------------------------------------- */

/* Inodes that were added up. */
struct seen {
	ino_t	 list[DELETED];
	size_t	 n;
};

static bool
is_new(struct seen *seen, ino_t ino)
{
	size_t	 i;

	for (i = 0; i < seen->n; i++) {
		if (seen->list[i] == ino)
			return false;
	}
	if (seen->n < DELETED)
		seen->list[seen->n++] = ino;
	return true;
}

static uint64_t
deleted_of(pid_t pid, dev_t dev, struct seen *seen)
{
	struct dirent	*entry;
	struct stat	 st;
	char		 path[64];
	uint64_t	 bytes = 0;
	DIR		*dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	if ((dir = opendir(path)) == NULL)
		return 0;
	while ((entry = readdir(dir)) != NULL) {
		if (entry->d_name[0] != '.' && fstatat(dirfd(dir),
		    entry->d_name, &st, 0) == 0 && S_ISREG(st.st_mode) &&
		    st.st_nlink == 0 && st.st_dev == dev &&
		    is_new(seen, st.st_ino))
			bytes += (uint64_t)st.st_blocks * 512;
	}
	closedir(dir);
	return bytes;
}

uint64_t
proc_deleted_below(int dir)
{
	struct process	*list;
	struct stat	 st;
	struct seen	 seen = { .n = 0 };
	uint64_t	 bytes = 0;
	size_t		 i, n;

	if (fstat(dir, &st) == -1)
		return 0;
	n = read_below(&list, NULL);
	for (i = 0; i < n; i++) {
		if (list[i].below)
			bytes += deleted_of(list[i].pid, st.st_dev, &seen);
	}
	free(list);
	return bytes;
}

/* ---- all of our user ----------------------------------------------------- */

unsigned long
proc_own_threads(void)
{
	struct process	*list;
	size_t		 i, n = read_all(&list);
	unsigned long	 sum = 0;

	for (i = 0; i < n; i++) {
		if (list[i].uid == geteuid())
			sum += list[i].threads;
	}
	free(list);
	return sum;
}
