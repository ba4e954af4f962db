/*
 * Processes, as /proc lists them.
 *
 * A list is out of date once it is read.  Who wants all of a tree gone calls
 * again until nothing is left of it; orphans must fall to the caller
 * (PR_SET_CHILD_SUBREAPER), or they are not below it any more.
 */

#include "proc.h"

#include <sys/stat.h>
#include <sys/types.h>

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"

/* Looks at a tree until all of it stands still. */
#define ROUNDS	100

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

/* Mark all that descend from us; *LIST is to be freed.  How many there are. */
static size_t
read_below(struct process **list)
{
	const struct process	*parent;
	struct process		*p, key;
	size_t			 n = read_all(list);
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
			p->below = p->parent == getpid() ||
			    (parent != NULL && parent->below);
			more |= p->below;
		}
	} while (more);
	return n;
}

/* To those below that are not in STATE.  How many these were. */
static size_t
send_below(int signo, char state)
{
	struct process	*list;
	size_t		 i, sent = 0, n = read_below(&list);

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

void
proc_signal_below(int signo)
{
	int	 i;

	/* Who is stopped cannot fork faster than we kill. */
	for (i = 0; signo == SIGKILL && i < ROUNDS; i++) {
		if (send_below(SIGSTOP, 'T') == 0)
			break;
	}
	send_below(signo, '\0');
}

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
