/*
 * The daemon: takes jobs from their queues and runs them.  millraced(8).
 *
 * One thread, one loop, one connection to the database.  What can wake it:
 *
 *	a descriptor	a stage speaks or has ended (child.c); somebody says
 *			on SOCKETS/daemon.sock that there may be a job
 *	a timer		a chore of the table below is due; what runs have to
 *			tell is to be written (batch.c); a turn of the sweep
 *	a signal	HUP: read the pipelines anew
 *			TERM, INT: give all jobs back, and end
 *
 * A call to the database may take seconds when it does not answer.  Nothing
 * that must happen in time waits for that: limits, the pause before KILL and
 * the fence are kept by each child's keeper (child.h).
 */

#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "batch.h"
#include "child.h"
#include "conf.h"
#include "db.h"
#include "help.h"
#include "job.h"
#include "lease.h"
#include "log.h"
#include "loop.h"
#include "pipeline.h"
#include "run.h"
#include "sandbox.h"
#include "set.h"
#include "stats.h"
#include "sweep.h"
#include "task.h"

/* Pauses between two looks at empty queues, ms. */
#define LOOK_LEAST_MS	50
#define LOOK_MOST_MS	1000

/* Queues, and jobs taken at a time, at most. */
#define QUEUES		32
#define TAKE		32
#define POKES		256	/* read at once, and answered by one look */

/* What cannot be given back so long after it was told to end is left to the
   next start, ms. */
#define STOP_MS		4000

struct millraced {
	const char	*file;		/* of the configuration */
	bool		 check_only;
	struct conf	*conf;
	struct pipelines *pipelines;	/* until the runs have them */
	struct loop	*loop;
	struct db	*db;
	struct batch	*batch;
	struct tasks	*tasks;
	struct runs	*runs;
	struct help	*help;
	struct sandbox	*sandbox;
	struct sweep	*sweep;
	struct lease	*lease;

	int		 poke;
	bool		 unsure;	/* there may be jobs of ours that do
					   not run */
	bool		 complained;	/* about the database, once */
	bool		 leaving;	/* TERM was caught */
	struct loop_timer *hurry;	/* there is time for checkpoints until
					   then */
	struct job_queue queues[QUEUES];
	size_t		 nqueues;
	struct loop_timer *look;	/* at the queues, then */
	unsigned int	 look_ms;	/* the pause before it */
	uint64_t	 due[16];	/* chores, as in their table */
};

static void	look_in(struct millraced *, unsigned int);

/* ---- starting ------------------------------------------------------------ */

static void __attribute__((noreturn))
usage(FILE *to, int status)
{
	fprintf(to, "usage: millraced [-hnVv] [-c file]\n\n"
	    "  -c file  configuration (%s)\n"
	    "  -h       this text\n"
	    "  -n       check the configuration and the pipelines, and exit\n"
	    "  -V       version\n"
	    "  -v       say more\n", MILLRACE_CONF);
	exit(status);
}

static void
options(struct millraced *d, int argc, char **argv)
{
	int	 opt;

	d->file = MILLRACE_CONF;
	while ((opt = getopt(argc, argv, "c:hnVv")) != -1) {
		switch (opt) {
		case 'c':
			d->file = optarg;
			break;
		case 'n':
			d->check_only = true;
			break;
		case 'v':
			log_verbose();
			break;
		case 'V':
			printf("millraced %s\n", MILLRACE_VERSION);
			exit(0);
		case 'h':
			usage(stdout, 0);
		default:
			usage(stderr, 2);
		}
	}
	if (optind != argc)
		usage(stderr, 2);
}

/* Pipes must not become descriptors 0 to 2 when these are closed. */
static void
open_standard_descriptors(void)
{
	int	 fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd != -1 && fd < 3);
	if (fd == -1)
		fatal("/dev/null");
	close(fd);
}

static void
load_conf(struct millraced *d)
{
	if ((d->conf = conf_load(d->file)) == NULL)
		exit(1);
	d->pipelines = pipeline_load(d->conf->pipelines, d->conf->stages);
	if (d->pipelines == NULL)
		exit(1);
}

/* The queues of the configuration, into table and row. */
static void
read_queues(struct millraced *d)
{
	char	*copy = xstrdup(d->conf->queues), *rest = copy, *name;

	while ((name = strsep(&rest, " \t")) != NULL) {
		if (*name == '\0')
			continue;
		if (d->nqueues == QUEUES)
			fatalx("%s: queues: more than %d", d->file, QUEUES);
		strlcpy(d->queues[d->nqueues++].name, name,
		    sizeof(d->queues[0].name));
	}
	free(copy);
	if (d->nqueues == 0)
		fatalx("%s: queues: none", d->file);
}

static void
make_dir(const char *root, const char *name)
{
	char	*path;

	xasprintf(&path, "%s%s%s", root, *name == '\0' ? "" : "/", name);
	if (mkdir(path, 0750) == -1 && errno != EEXIST)
		fatal("%s", path);
	free(path);
}

static void
open_storage(struct millraced *d)
{
	static const char *const dirs[] = {
		"", "uploads", "work", "results", "run"
	};
	size_t			 i;

	for (i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++)
		make_dir(d->conf->root, dirs[i]);
}

static void
poked(void *arg, int fd, unsigned int events)
{
	struct millraced	*d = arg;
	char			 buf[64];
	int			 i;

	(void)events;
	/* Not until there are none: they may come faster than they are read. */
	for (i = 0; i < POKES && recv(fd, buf, sizeof(buf), 0) >= 0; i++)
		continue;
	d->look_ms = LOOK_LEAST_MS;
	look_in(d, 0);
}

/* Any datagram on this socket means: there may be a job. */
static void
open_poke(struct millraced *d)
{
	struct sockaddr_un	 sun = { .sun_family = AF_UNIX };
	int			 n;

	n = snprintf(sun.sun_path, sizeof(sun.sun_path), "%s/daemon.sock",
	    d->conf->sockets);
	if (n < 0 || (size_t)n >= sizeof(sun.sun_path))
		fatalx("%s: sockets: the path is too long", d->file);
	make_dir(d->conf->sockets, "");
	unlink(sun.sun_path);
	if ((d->poke = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC |
	    SOCK_NONBLOCK, 0)) == -1 ||
	    bind(d->poke, (struct sockaddr *)&sun, sizeof(sun)) == -1 ||
	    chmod(sun.sun_path, 0660) == -1)
		fatal("%s", sun.sun_path);
	loop_watch(d->loop, d->poke, LOOP_READ, poked, d);
}

static void
build_walls(struct millraced *d)
{
	child_init(d->loop);
	d->sandbox = sandbox_new(d->conf);
	log_info("stages run behind: %s, %s", child_about(),
	    sandbox_about(d->sandbox));
	if (strcmp(d->conf->sandbox, "require") == 0 &&
	    (!child_whole() || !sandbox_whole(d->sandbox)))
		fatalx("%s: sandbox: not all that it requires can be had here",
		    d->file);
}

/* ---- systemd ------------------------------------------------------------- */

/* One datagram, as sd_notify(3); nothing without a supervisor. */
static void
notify(const char *text)
{
	const char		*path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un	 sun = { .sun_family = AF_UNIX };
	socklen_t		 len;
	int			 fd;

	if (path == NULL || strlen(path) >= sizeof(sun.sun_path))
		return;
	strlcpy(sun.sun_path, path, sizeof(sun.sun_path));
	len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) +
	    strlen(path));
	if (sun.sun_path[0] == '@')
		sun.sun_path[0] = '\0';
	if ((fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) == -1)
		return;
	sendto(fd, text, strlen(text), MSG_NOSIGNAL,
	    (struct sockaddr *)&sun, len);
	close(fd);
}

static void
notify_watchdog(void *arg)
{
	(void)arg;
	notify("WATCHDOG=1");
}

/* ---- the lease ----------------------------------------------------------- */

static void
complain(struct millraced *d, const char *why)
{
	if (!d->complained) {
		log_warnx("waits: %s", why);
		notify("STATUS=Waits for the database");
	}
	d->complained = true;
}

/* Jobs of dead daemons can be had. */
static void
watch(struct millraced *d)
{
	if (lease_watch(d->lease) > 0)
		look_in(d, 0);
}

static void
join(struct millraced *d)
{
	const char	*why = lease_join(d->lease);

	if (why != NULL) {
		if (*why != '\0')
			complain(d, why);
		return;
	}
	d->complained = false;
	notify("READY=1\nSTATUS=Runs jobs");
	watch(d);			/* what was killed here, first */
	d->look_ms = LOOK_LEAST_MS;
	look_in(d, 0);
}

/* Slots that jobs of our own have: one each, or one for each program. */
static size_t
own_slots(const struct millraced *d)
{
	size_t	 jobs = runs_count(d->runs);
	size_t	 programs = tasks_count(d->tasks) - help_running(d->help);

	return jobs > programs ? jobs : programs;
}

/* When it is lost, others may have our jobs from now on: begin anew. */
static void
renew(struct millraced *d)
{
	const char	*why = lease_renew(d->lease, own_slots(d) +
			    help_running(d->help));

	if (why == NULL)
		return;
	log_warnx("fenced: %s: %zu jobs are let go", why, runs_count(d->runs));
	stats_add(STAT_FENCED, 1);
	runs_lose(d->runs);
	help_lose(d->help);
	lease_lost(d->lease);
	d->unsure = false;
}

/* ---- jobs ---------------------------------------------------------------- */

/*
 * A claim may have been made whose answer was lost, and a keeper may have
 * been faster with the fence than we with the lease: find such jobs.
 */
static void
make_sure(struct millraced *d)
{
	struct job	*jobs;
	size_t		 most = runs_count(d->runs) + TAKE;
	int		 i, n;

	if (!d->unsure || d->leaving)
		return;
	jobs = xcalloc(most, sizeof(*jobs));
	n = job_taken(d->db, lease_id(d->lease), jobs, most);
	d->unsure = n == -1 || (size_t)n == most;
	for (i = 0; i < n; i++) {
		if (!runs_has(d->runs, &jobs[i]))
			runs_start(d->runs, &jobs[i]);
	}
	free(jobs);
}

/* The server may commit a claim long after its answer was given up, and after
   we looked for it. */
static void
doubt(struct millraced *d)
{
	d->unsure = true;
}

/* Take up to N jobs of a queue.  How many, or -1. */
static int
take(struct millraced *d, struct job_queue *queue, size_t n)
{
	struct job	 jobs[TAKE];
	int		 i, taken;

	taken = job_claim(d->db, queue, set_lacks(runs_set(d->runs)),
	    lease_id(d->lease), jobs, n < TAKE ? n : TAKE);
	if (taken == -1)
		d->unsure = true;
	else
		stats_add(STAT_CLAIMED, (size_t)taken);
	for (i = 0; i < taken; i++)
		runs_start(d->runs, &jobs[i]);
	return taken;
}

/* What our own jobs leave is for items of others.  Those taken. */
static int
help(struct millraced *d)
{
	size_t	 own = own_slots(d), slots = lease_slots(d->lease);

	if (lease_alone(d->lease))
		return 0;
	return (int)help_look(d->help, lease_id(d->lease),
	    own < slots ? slots - own : 0);
}

static void
look(void *arg)
{
	struct millraced	*d = arg;
	size_t			 i, here;
	int			 n, sum = 0;

	d->look = NULL;
	if (lease_id(d->lease) == 0 || d->leaving)
		return;
	/* Not before it is known what is ours, and that we may take more. */
	make_sure(d);
	if (d->unsure || !child_trusted()) {
		look_in(d, LOOK_MOST_MS);
		return;
	}
	for (i = 0; i < d->nqueues; i++) {
		here = runs_count(d->runs);
		if (here >= lease_slots(d->lease)) {
			help(d);
			return;		/* until one has ended */
		}
		if ((n = take(d, &d->queues[i],
		    lease_slots(d->lease) - here)) == -1)
			break;
		sum += n;
	}
	sum += help(d);
	if (sum > 0)
		d->look_ms = LOOK_LEAST_MS;
	else if ((d->look_ms *= 2) > LOOK_MOST_MS)
		d->look_ms = LOOK_MOST_MS;
	look_in(d, d->look_ms);
}

static void
look_in(struct millraced *d, unsigned int ms)
{
	if (d->look != NULL)
		loop_cancel(d->loop, d->look);
	d->look = loop_after(d->loop, ms, look, d);
}

static void
leave_if_done(struct millraced *d)
{
	if (d->leaving && runs_count(d->runs) == 0 &&
	    help_count(d->help) == 0)
		loop_stop(d->loop);
}

static void
run_ended(void *arg)
{
	struct millraced	*d = arg;

	leave_if_done(d);
	d->look_ms = LOOK_LEAST_MS;
	look_in(d, 0);
}

static void
run_lost(void *arg)
{
	struct millraced	*d = arg;

	d->unsure = true;
}

static void
cancels(struct millraced *d)
{
	struct uuid	 ids[TAKE];
	int		 i, n;

	if (runs_count(d->runs) == 0)
		return;
	n = job_cancels(d->db, lease_id(d->lease), ids, TAKE);
	for (i = 0; i < n; i++)
		runs_cancel(d->runs, &ids[i]);
}

static void
due_jobs(struct millraced *d)
{
	if (job_due(d->db) > 0)
		look_in(d, 0);
}

static void
sweep(struct millraced *d)
{
	sweep_start(d->sweep, runs_set(d->runs)->pipelines);
}

/* ---- chores -------------------------------------------------------------- */

/* Whether we have to have a row in table daemon for it. */
enum chore_where { OUTSIDE, INSIDE };

/* What is done regularly.  A period of 0 is configured, see period(). */
static const struct chore {
	enum chore_where where;
	unsigned int	 every_ms;
	void		(*fn)(struct millraced *);
} chores[] = {
	{ OUTSIDE, 500,	 join },
	{ INSIDE,  250,	 renew },
	{ INSIDE,  250,	 cancels },
	{ INSIDE,  5000, doubt },
	{ INSIDE,  250,	 make_sure },
	{ INSIDE,  1000, due_jobs },
	{ INSIDE,  2000, watch },
	{ INSIDE,  0,	 sweep },
};

#define NCHORES	(sizeof(chores) / sizeof(chores[0]))
#define TICK_MS	250
#define STATS_MS	2000

static uint64_t
period(const struct millraced *d, const struct chore *c)
{
	if (c->fn == sweep)
		return (uint64_t)d->conf->sweep_s * 1000;
	return c->every_ms;
}

static void
tick(void *arg)
{
	struct millraced	*d = arg;
	enum chore_where	 where;
	uint64_t		 now = loop_now();
	size_t			 i;

	for (i = 0; i < NCHORES; i++) {
		where = lease_id(d->lease) == 0 ? OUTSIDE : INSIDE;
		if (now < d->due[i] || chores[i].where != where)
			continue;
		d->due[i] = now + period(d, &chores[i]);
		chores[i].fn(d);
	}
}

/* ---- signals ------------------------------------------------------------- */

static void
reload(void *arg, int signo)
{
	struct millraced	*d = arg;
	struct pipelines	*new;

	(void)signo;
	new = pipeline_load(d->conf->pipelines, d->conf->stages);
	if (new == NULL) {
		log_warnx("reload: the pipelines stay as they were");
		return;
	}
	runs_use(d->runs, new);
	log_info("reload: %zu pipelines", new->n);
}

static void
stop_late(void *arg)
{
	struct millraced	*d = arg;

	log_warnx("stop: %zu jobs could not be given back",
	    runs_count(d->runs));
	loop_stop(d->loop);
}

/* There is no more time for checkpoints: what runs is told to end. */
static void
hurry(void *arg)
{
	struct millraced	*d = arg;

	d->hurry = NULL;
	log_info("stop: %zu jobs are cut off", runs_count(d->runs));
	loop_after(d->loop, STOP_MS, stop_late, d);
	runs_hurry(d->runs);
	help_hurry(d->help);
	leave_if_done(d);
}

/* The second time: at once. */
static void
leave(void *arg, int signo)
{
	struct millraced	*d = arg;

	if (d->leaving) {
		if (d->hurry != NULL) {
			loop_cancel(d->loop, d->hurry);
			hurry(d);
		}
		return;
	}
	log_info("%s: gives %zu jobs back", strsignal(signo),
	    runs_count(d->runs));
	notify("STOPPING=1");
	d->leaving = true;
	d->hurry = loop_after(d->loop, d->conf->handover_s * 1000, hurry, d);
	runs_leave(d->runs);
	help_leave(d->help);
	leave_if_done(d);
}

/* ---- main ---------------------------------------------------------------- */

static struct set *
pipelines_now(void *arg)
{
	struct millraced	*d = arg;

	return runs_set(d->runs);
}

static void
open_engine(struct millraced *d)
{
	struct runs_tools	 tools;
	struct help_tools	 for_help;

	d->db = db_open(d->conf, "millraced");
	d->lease = lease_new(d->conf, d->db);
	d->batch = batch_new(d->loop, d->db);
	d->sweep = sweep_new(d->conf);
	d->tasks = tasks_new(d->conf, d->sandbox);
	tools = (struct runs_tools){
		.loop = d->loop, .db = d->db, .batch = d->batch,
		.sweep = d->sweep, .conf = d->conf, .tasks = d->tasks,
		.ended = run_ended, .lost = run_lost, .arg = d
	};
	d->runs = runs_new(&tools);
	runs_use(d->runs, d->pipelines);
	for_help = (struct help_tools){
		.loop = d->loop, .db = d->db, .conf = d->conf,
		.tasks = d->tasks, .set = pipelines_now,
		.ended = run_ended, .arg = d
	};
	d->help = help_new(&for_help);
}

static void
catch_signals(struct millraced *d)
{
	signal(SIGPIPE, SIG_IGN);
	loop_signal(d->loop, SIGHUP, reload, d);
	loop_signal(d->loop, SIGTERM, leave, d);
	loop_signal(d->loop, SIGINT, leave, d);
}

/* A new daemon beside an old one that leaves has the file. */
static void
write_stats(void *arg)
{
	struct millraced	*d = arg;
	char			*path;

	if (d->leaving)
		return;
	xasprintf(&path, "%s/daemon.metrics", d->conf->sockets);
	stats_write(path, d->db);
	free(path);
}

static void
start_chores(struct millraced *d)
{
	const char	*usec = getenv("WATCHDOG_USEC");
	uint64_t	 n;

	loop_every(d->loop, TICK_MS, tick, d);
	loop_every(d->loop, STATS_MS, write_stats, d);
	write_stats(d);
	if (usec != NULL && conf_number(usec, UINT32_MAX, &n) == 0 && n > 2000)
		loop_every(d->loop, (unsigned int)(n / 2000),
		    notify_watchdog, d);
	tick(d);
}

static void
close_all(struct millraced *d)
{
	/* With what was claimed, but never heard of. */
	if (runs_count(d->runs) == 0 && help_count(d->help) == 0)
		lease_leave(d->lease);
	help_free(d->help);
	runs_free(d->runs);
	tasks_free(d->tasks);
	sweep_free(d->sweep);
	batch_free(d->batch);
	lease_free(d->lease);
	db_close(d->db);
	sandbox_free(d->sandbox);
	loop_free(d->loop);
	conf_free(d->conf);
}

static int
close_check(struct millraced *d)
{
	pipeline_free(d->pipelines);
	conf_free(d->conf);
	return 0;
}

int
main(int argc, char **argv)
{
	struct millraced	 d = { .look_ms = LOOK_LEAST_MS };

	open_standard_descriptors();
	log_init("millraced");
	options(&d, argc, argv);
	load_conf(&d);
	if (d.check_only)
		return close_check(&d);	/* millraced -n: all of it was read */

	umask(027);
	d.loop = loop_new();
	read_queues(&d);
	open_storage(&d);
	build_walls(&d);
	open_engine(&d);
	open_poke(&d);
	catch_signals(&d);
	start_chores(&d);
	loop_run(d.loop);

	close_all(&d);
	log_info("ends");
	return 0;
}
