/*
 * Start a whole stack in a directory and keep it running, for the demo and
 * the tests.
 *
 *	launch [-f] DIR/stack		run it until SIGTERM; -f: or until the
 *					process that started it is gone
 *	launch DIR/stack status		a line "NAME PID" for each program
 *	launch DIR/stack start NAME
 *	launch DIR/stack stop [NAME]	one program, or all of it
 *
 * DIR/stack is a table with a program on each line:
 *
 *	NAME  SOCKET  COMMAND...
 *
 * SOCKET is where the program listens, as its descriptor 0.  The socket stays
 * open here, so that nobody is refused while the program is started again.
 * "-" is no socket.  "!" is a command that must end well before the lines
 * below it are started.  Words are separated by blanks; "a b" is one word.
 *
 * Programs run in DIR, write to log/NAME and stand in pid/NAME.  One that
 * dies is started again: at once the first time, then later and later.
 * Whatever happens to this process, its programs end with it; what escaped
 * that (all were killed) is ended by the next start.
 *
 * What can wake it: a signal (a program ended, or all shall stop), a word on
 * DIR/control, a timer (a program may start again, or was told to stop and
 * did not).
 */

#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <sys/file.h>

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "loop.h"
#include "replace.h"

/* Connections that may wait: as many as the kernel lets (somaxconn). */
#define BACKLOG		4096

/* Time to end by oneself, for one program and for all of them together. */
#define STOP_MS		8000
#define STOP_ALL_MS	10000

/* Pauses before a program that died is started again: none, 100 ms, ... */
#define PAUSE_LEAST_MS	100
#define PAUSE_MOST_MS	5000

/* When there was no room for another process. */
#define FORK_AGAIN_MS	200

/* One that ran as long as this is well: the next pause is the first again. */
#define WELL_MS		10000

/* Longest line of the table, and of a word on the control socket. */
#define LINE		4096

enum state {
	NEW,			/* not reached yet */
	RUNNING,
	STOPPING,		/* was told to end */
	PAUSED,			/* died, waits to be started again */
	STOPPED,		/* somebody wanted it */
	DONE			/* a "!" that ended well */
};

struct program {
	char		 *name;
	char		 *socket;	/* path; NULL: none */
	bool		  once;		/* "!" */
	char		**argv;		/* NULL at the end */
	int		  fd;		/* listening socket, or -1 */
	enum state	  state;
	pid_t		  pid;		/* 0: none */
	uint64_t	  since;	/* when it was started, ms */
	unsigned int	  deaths;	/* in a row, none of them well */
	struct loop_timer *timer;	/* of PAUSED and STOPPING */
	int		  waiter;	/* client who wants it stopped; -1 */
};

struct stack {
	struct loop	 *loop;
	const char	 *file;		/* name of the table, below DIR */
	FILE		 *table;	/* open and locked while this runs */
	struct program	 *programs;
	size_t		  n;
	size_t		  up;		/* those below were started */
	bool		  ending;
	int		  status;	/* for exit */
};

static void	 bring_up(struct stack *);
static void	 start_again(void *);
static void	 take_down(struct stack *);

/* The programs and the loop are needed by timers, which carry one pointer. */
static struct stack stack;

/* ---- the table ---------------------------------------------------------- */

/* The next word of *LINE, cut out in place; NULL at the end of the line. */
static char *
next_word(char **line)
{
	char	*p = *line + strspn(*line, " \t\n"), *end;

	if (*p == '\0' || *p == '#')
		return NULL;
	end = *p == '"' ? strchr(++p, '"') : p + strcspn(p, " \t\n");
	if (end == NULL)
		fatalx("%s: a quote is not closed: \"%s", stack.file, p);
	*line = *end == '\0' ? end : end + 1;
	*end = '\0';
	return p;
}

static void
add_program(struct stack *s, char *line)
{
	struct program	*p;
	char		*name, *socket, *word;
	size_t		 n = 0;

	if ((name = next_word(&line)) == NULL)
		return;
	if ((socket = next_word(&line)) == NULL)
		fatalx("%s: %s has no socket and no command", s->file, name);
	s->programs = xreallocarray(s->programs, s->n + 1, sizeof(*p));
	p = &s->programs[s->n++];
	memset(p, 0, sizeof(*p));
	p->name = xstrdup(name);
	p->once = strcmp(socket, "!") == 0;
	if (!p->once && strcmp(socket, "-") != 0)
		p->socket = xstrdup(socket);
	p->fd = p->waiter = -1;
	do {
		word = next_word(&line);
		p->argv = xreallocarray(p->argv, n + 1, sizeof(*p->argv));
		p->argv[n++] = word == NULL ? NULL : xstrdup(word);
	} while (word != NULL);
	if (n == 1)
		fatalx("%s: %s has no command", s->file, name);
}

/* The table is locked as long as this runs: one stack in one directory. */
static void
read_table(struct stack *s)
{
	char	 line[LINE];

	if ((s->table = fopen(s->file, "re")) == NULL)
		fatal("%s", s->file);
	if (flock(fileno(s->table), LOCK_EX | LOCK_NB) == -1)
		fatalx("%s: already running", s->file);
	while (fgets(line, sizeof(line), s->table) != NULL) {
		if (strchr(line, '\n') == NULL)
			fatalx("%s: a line is longer than %d bytes", s->file,
			    LINE - 2);
		add_program(s, line);
	}
	if (s->n == 0)
		fatalx("%s: nothing to start", s->file);
}

static struct program *
find(struct stack *s, const char *name)
{
	for (size_t i = 0; i < s->n; i++)
		if (strcmp(s->programs[i].name, name) == 0)
			return &s->programs[i];
	return NULL;
}

/* ---- processes that nobody owns any more -------------------------------- */

/* Parent and session of process PID, as proc(5) has them. */
static int
relatives(const char *pid, pid_t *parent, pid_t *session)
{
	char	 path[64], text[512], *p;
	ssize_t	 n;
	int	 fd;

	snprintf(path, sizeof(path), "/proc/%s/stat", pid);
	if ((fd = open(path, O_RDONLY | O_CLOEXEC)) == -1)
		return -1;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n <= 0)
		return -1;
	text[n] = '\0';
	/* The name may hold anything, but nothing after it has a ")". */
	if ((p = strrchr(text, ')')) == NULL)
		return -1;
	return sscanf(p + 1, " %*c %d %*d %d", parent, session) == 2 ? 0 : -1;
}

static bool
works_below(const char *pid, const char *dir)
{
	char	 path[64], cwd[4096];
	ssize_t	 n;
	size_t	 len = strlen(dir);

	snprintf(path, sizeof(path), "/proc/%s/cwd", pid);
	if ((n = readlink(path, cwd, sizeof(cwd) - 1)) == -1)
		return false;
	cwd[n] = '\0';
	return strncmp(cwd, dir, len) == 0 &&
	    (cwd[len] == '\0' || cwd[len] == '/');
}

/*
 * Kill the children of PARENT, or what works below DIR in SESSION (0: any of
 * them is not looked for).  How many there were.
 */
static unsigned int
kill_all(pid_t parent, pid_t session, const char *dir)
{
	struct dirent	*e;
	DIR		*proc;
	pid_t		 pid, itsparent, itssession;
	unsigned int	 n = 0;

	if ((proc = opendir("/proc")) == NULL)
		fatal("/proc");
	while ((e = readdir(proc)) != NULL) {
		if (!isdigit((unsigned char)e->d_name[0]) ||
		    relatives(e->d_name, &itsparent, &itssession) == -1)
			continue;
		pid = atoi(e->d_name);
		if (pid == getpid() ||
		    !((parent != 0 && itsparent == parent) ||
		    (session != 0 && itssession == session &&
		    works_below(e->d_name, dir))))
			continue;
		if (kill(pid, SIGKILL) == 0)
			n++;
	}
	closedir(proc);
	return n;
}

/*
 * All of an earlier stack may have been killed, but for some grandchildren.
 * They are known by the session that it was, and by where they work.
 */
static void
kill_old(void)
{
	char	 dir[4096], text[32] = "";
	FILE	*f;
	pid_t	 session;

	if ((f = fopen("pid/launch", "re")) == NULL)
		return;
	if (fgets(text, sizeof(text), f) == NULL)
		text[0] = '\0';
	fclose(f);
	session = atoi(text);
	if (session <= 1 || getcwd(dir, sizeof(dir)) == NULL)
		return;
	for (unsigned int tries = 0; tries < 200; tries++) {
		if (kill_all(0, session, dir) == 0)
			return;
		usleep(10 * 1000);
	}
	fatalx("processes of an earlier stack do not end");
}

static void
write_pid(const char *name, pid_t pid)
{
	struct replacement	 r;
	char			 path[512];

	snprintf(path, sizeof(path), "pid/%s", name);
	if (pid == 0) {
		unlink(path);
		return;
	}
	if (replace_begin(&r, path) == NULL)
		return;
	fprintf(r.file, "%d\n", pid);
	replace_end(&r);
}

/* ---- sockets ------------------------------------------------------------ */

static int
listen_at(const char *path, mode_t mode)
{
	struct sockaddr_un	 sun = { .sun_family = AF_UNIX };
	mode_t			 mask;
	int			 fd;

	if (strlcpy(sun.sun_path, path, sizeof(sun.sun_path)) >=
	    sizeof(sun.sun_path))
		fatalx("%s: longer than the %zu bytes of a socket's path",
		    path, sizeof(sun.sun_path) - 1);
	if ((fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) == -1)
		fatal("socket");
	unlink(path);
	mask = umask(0777 & ~mode);
	if (bind(fd, (struct sockaddr *)&sun, sizeof(sun)) == -1 ||
	    listen(fd, BACKLOG) == -1)
		fatal("%s", path);
	umask(mask);
	return fd;
}

static void
open_sockets(struct stack *s)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->programs[i].socket != NULL)
			s->programs[i].fd =
			    listen_at(s->programs[i].socket, 0660);
}

/* ---- a program's life --------------------------------------------------- */

/* Where a program writes to: it is there when the next one is started. */
static int
open_log(const char *name)
{
	char	 path[512];
	int	 fd;

	snprintf(path, sizeof(path), "log/%s", name);
	if ((fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC,
	    0640)) == -1)
		log_warn("%s", path);
	return fd;
}

/* The child: everything here ends in the program or in exit. */
static void
become(struct program *p, int out, pid_t parent)
{
	sigset_t	 none;
	int		 in;

	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent)
		_exit(1);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);

	in = p->fd != -1 ? p->fd : open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (in == -1 || out == -1 || dup2(in, 0) == -1 ||
	    dup2(out, 1) == -1 || dup2(out, 2) == -1)
		_exit(1);
	execvp(p->argv[0], p->argv);
	log_warn("%s", p->argv[0]);
	_exit(127);
}

static void
start(struct program *p)
{
	pid_t	 parent = getpid();
	int	 out = open_log(p->name);

	if ((p->pid = fork()) == 0)
		become(p, out, parent);
	if (out != -1)
		close(out);
	if (p->pid == -1) {
		/* This host has too many processes now, not for ever. */
		log_warn("%s: fork", p->name);
		p->pid = 0;
		p->state = PAUSED;
		p->timer = loop_after(stack.loop, FORK_AGAIN_MS, start_again,
		    p);
		return;
	}
	setpgid(p->pid, p->pid);	/* both sides: whoever comes first */
	p->since = loop_now();
	p->state = RUNNING;
	write_pid(p->name, p->pid);
}

static void
start_again(void *arg)
{
	struct program	*p = arg;

	p->timer = NULL;
	start(p);
}

static void
kill_now(void *arg)
{
	struct program	*p = arg;

	p->timer = NULL;
	log_warnx("%s: does not end by itself, killed", p->name);
	kill(-p->pid, SIGKILL);
}

static void
stop(struct program *p)
{
	if (p->timer != NULL)
		loop_cancel(stack.loop, p->timer);
	p->timer = NULL;
	if (p->pid == 0) {
		p->state = STOPPED;
		return;
	}
	p->state = STOPPING;
	kill(p->pid, SIGTERM);
	p->timer = loop_after(stack.loop, STOP_MS, kill_now, p);
}

static void
answer(int fd, const char *text)
{
	/* A client that is gone does not want to know. */
	if (send(fd, text, strlen(text), MSG_NOSIGNAL) == -1)
		log_debug("control: client went away");
	close(fd);
}

static void
pause_after_death(struct program *p)
{
	unsigned int	 ms = 0;

	p->deaths = loop_now() - p->since >= WELL_MS ? 1 : p->deaths + 1;
	if (p->deaths > 1) {
		ms = PAUSE_LEAST_MS;
		for (unsigned int i = 2; i < p->deaths && ms < PAUSE_MOST_MS;
		    i++)
			ms *= 2;
	}
	p->state = PAUSED;
	p->timer = loop_after(stack.loop, ms, start_again, p);
}

static void
say_end(const struct program *p, int status)
{
	if (WIFSIGNALED(status))
		log_warnx("%s: died of signal %d", p->name, WTERMSIG(status));
	else if (WEXITSTATUS(status) != 0 || !p->once)
		log_warnx("%s: exited with status %d", p->name,
		    WEXITSTATUS(status));
}

static void
ended(struct stack *s, struct program *p, int status)
{
	enum state	 was = p->state;

	kill(-p->pid, SIGKILL);		/* workers that it left behind */
	p->pid = 0;
	write_pid(p->name, 0);
	if (p->timer != NULL)
		loop_cancel(s->loop, p->timer);
	p->timer = NULL;
	if (was == STOPPING) {
		p->state = STOPPED;
		if (p->waiter != -1)
			answer(p->waiter, "ok\n");
		p->waiter = -1;
		return;
	}
	say_end(p, status);
	if (!p->once) {
		pause_after_death(p);
	} else if (status == 0) {
		p->state = DONE;
	} else {
		log_warnx("%s: failed, see log/%s", p->name, p->name);
		p->state = STOPPED;
		s->status = 1;
		s->ending = true;
	}
}

/* ---- all of them -------------------------------------------------------- */

/* Start what comes next, down to a "!" that is not done. */
static void
bring_up(struct stack *s)
{
	struct program	*p;

	for (; s->up < s->n; s->up++) {
		p = &s->programs[s->up];
		if (p->state == NEW)
			start(p);
		if (p->once && p->state != DONE)
			return;
	}
}

/* Stop the last one that is left; come here again when it has ended. */
static void
take_down(struct stack *s)
{
	struct program	*p;

	for (size_t i = s->n; i-- > 0; ) {
		p = &s->programs[i];
		if (p->state == STOPPING)
			return;
		if (p->state == RUNNING || p->state == PAUSED)
			stop(p);
		if (p->state == STOPPING)
			return;
	}
	loop_stop(s->loop);
}

static void
give_up(void *arg)
{
	struct stack	*s = arg;

	log_warnx("not all ended in time");
	loop_stop(s->loop);
}

static void
begin_end(struct stack *s)
{
	if (!s->ending)
		loop_after(s->loop, STOP_ALL_MS, give_up, s);
	s->ending = true;
	take_down(s);
}

static void
on_stop(void *arg, int signo)
{
	(void)signo;
	begin_end(arg);
}

static void
on_child(void *arg, int signo)
{
	struct stack	*s = arg;
	pid_t		 pid;
	int		 status;

	(void)signo;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		for (size_t i = 0; i < s->n; i++)
			if (s->programs[i].pid == pid)
				ended(s, &s->programs[i], status);
	if (s->ending)
		take_down(s);
	else
		bring_up(s);
}

/* ---- the control socket ------------------------------------------------- */

static void
control_status(struct stack *s, int fd)
{
	static const char *const words[] = {
		[NEW] = "to come", [STOPPING] = "stopping",
		[PAUSED] = "died", [STOPPED] = "stopped", [DONE] = "done",
	};
	struct program	*p;
	char		*text = NULL, *more;

	xasprintf(&text, "ok\n");
	for (p = s->programs; p < s->programs + s->n; p++) {
		if (p->state == RUNNING)
			xasprintf(&more, "%s%s %d\n", text, p->name, p->pid);
		else
			xasprintf(&more, "%s%s %s\n", text, p->name,
			    words[p->state]);
		free(text);
		text = more;
	}
	answer(fd, text);
	free(text);
}

static void
control_stop(struct stack *s, int fd, struct program *p)
{
	if (p == NULL) {
		begin_end(s);
		return;			/* FD closes when all have ended */
	}
	if (p->waiter != -1) {
		answer(fd, "it is being stopped\n");
		return;
	}
	stop(p);
	if (p->state == STOPPING)
		p->waiter = fd;
	else
		answer(fd, "ok\n");
}

static void
control_start(struct stack *s, int fd, struct program *p)
{
	if (p == NULL || s->ending || p->state == STOPPING) {
		answer(fd, "not now\n");
		return;
	}
	if (p->timer != NULL)
		loop_cancel(s->loop, p->timer);
	p->timer = NULL;
	p->deaths = 0;
	if (p->pid == 0)
		start(p);
	answer(fd, p->pid != 0 ? "ok\n" : "cannot fork\n");
}

static void
on_word(void *arg, int fd, unsigned int events)
{
	struct stack	*s = arg;
	struct program	*p = NULL;
	char		 line[LINE], *rest = line, *verb, *name;
	ssize_t		 n;

	(void)events;
	loop_forget(s->loop, fd);
	if ((n = recv(fd, line, sizeof(line) - 1, 0)) <= 0) {
		close(fd);
		return;
	}
	line[n] = '\0';
	verb = next_word(&rest);
	name = verb == NULL ? NULL : next_word(&rest);
	if (name != NULL && (p = find(s, name)) == NULL)
		answer(fd, "no program has that name\n");
	else if (verb != NULL && strcmp(verb, "status") == 0)
		control_status(s, fd);
	else if (verb != NULL && strcmp(verb, "stop") == 0)
		control_stop(s, fd, p);
	else if (verb != NULL && strcmp(verb, "start") == 0)
		control_start(s, fd, p);
	else
		answer(fd, "status, start or stop?\n");
}

static void
on_client(void *arg, int fd, unsigned int events)
{
	struct stack	*s = arg;
	int		 client;

	(void)events;
	if ((client = accept4(fd, NULL, NULL, SOCK_CLOEXEC)) != -1)
		loop_watch(s->loop, client, LOOP_READ, on_word, s);
}

/*
 * The other side: say WORDS to the running stack and show what it answers.
 * The socket is named from within DIR: its whole path may be too long.
 */
static int
ask(char **words)
{
	struct sockaddr_un	 sun = { .sun_family = AF_UNIX,
				    .sun_path = "control" };
	char			 text[LINE] = "";
	ssize_t			 n, have = 0;
	int			 fd;

	if ((fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) == -1)
		fatal("socket");
	if (connect(fd, (struct sockaddr *)&sun, sizeof(sun)) == -1)
		fatalx("not running");
	snprintf(text, sizeof(text), "%s %s\n", words[0],
	    words[1] == NULL ? "" : words[1]);
	if (send(fd, text, strlen(text), MSG_NOSIGNAL) == -1)
		fatal("control");
	while ((n = recv(fd, text + have, sizeof(text) - 1 - have, 0)) > 0)
		have += n;
	text[have] = '\0';
	if (have == 0 && words[1] == NULL && strcmp(words[0], "stop") == 0)
		return 0;		/* it has ended */
	if (strncmp(text, "ok\n", 3) != 0)
		fatalx("%s", text);
	fputs(text + 3, stdout);
	return 0;
}

/* ---- main --------------------------------------------------------------- */

static void
usage(void)
{
	fputs("usage: launch [-f] DIR/stack [status | start NAME |"
	    " stop [NAME]]\n", stderr);
	exit(2);
}

/* Go where the table is; what comes with it are directories of its own. */
static void
enter(struct stack *s, char *path)
{
	char	*copy = xstrdup(path);

	s->file = xstrdup(basename(path));
	if (chdir(dirname(copy)) == -1)
		fatal("%s", copy);
	free(copy);
}

static void
make_directories(void)
{
	if ((mkdir("log", 0750) == -1 && errno != EEXIST) ||
	    (mkdir("pid", 0750) == -1 && errno != EEXIST))
		fatal("log, pid");
}

static void
own_descendants(bool with_parent)
{
	pid_t	 parent = getppid();

	if (with_parent) {
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		if (getppid() != parent)
			exit(1);
	}
	close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
	if (setsid() == -1)
		log_debug("not a session of its own");
	prctl(PR_SET_CHILD_SUBREAPER, 1);
}

/* Nobody is left: orphans have become our children. */
static void
end_all(struct stack *s)
{
	for (size_t i = 0; i < s->n; i++) {
		if (s->programs[i].pid != 0)
			kill(-s->programs[i].pid, SIGKILL);
		write_pid(s->programs[i].name, 0);
	}
	do {
		kill_all(getpid(), 0, NULL);
	} while (waitpid(-1, NULL, 0) > 0);
	unlink("control");
	write_pid("launch", 0);
}

int
main(int argc, char **argv)
{
	struct stack	*s = &stack;
	bool		 with_parent = false;
	int		 c;

	log_init("launch");
	while ((c = getopt(argc, argv, "f")) != -1) {
		if (c != 'f')
			usage();
		with_parent = true;
	}
	if (argc - optind < 1 || argc - optind > 3)
		usage();
	enter(s, argv[optind]);
	if (argc - optind > 1)
		return ask(argv + optind + 1);

	own_descendants(with_parent);
	read_table(s);
	make_directories();
	kill_old();
	write_pid("launch", getpid());
	open_sockets(s);

	s->loop = loop_new();
	loop_signal(s->loop, SIGTERM, on_stop, s);
	loop_signal(s->loop, SIGINT, on_stop, s);
	loop_signal(s->loop, SIGCHLD, on_child, s);
	loop_watch(s->loop, listen_at("control", 0600), LOOP_READ, on_client,
	    s);
	bring_up(s);
	loop_run(s->loop);

	end_all(s);
	loop_free(s->loop);
	return s->status;
}
