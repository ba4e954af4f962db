/*
 * Remove what nobody needs any more.
 *
 * A sweep is a process with a connection of its own, so that the daemon waits
 * for nothing that it does.  It goes through a list of chores, in short turns:
 * each takes about TURN_MS, whatever the database is like, and is followed by
 * a rest of several times that, for others.
 *
 * Row first, then files.  An ended job leaves its table at once and a row in
 * table gone, which goes when nothing is left of the job.  What is lost in
 * between all the same is found as a file without a row.
 *
 * Nothing of a job that has not ended is ever removed.
 */

#include "sweep.h"

#include <sys/resource.h>
#include <sys/stat.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "child.h"
#include "conf.h"
#include "db.h"
#include "file.h"
#include "job.h"
#include "log.h"
#include "login.h"
#include "loop.h"
#include "remove.h"
#include "retain.h"
#include "throttle.h"
#include "uniq.h"
#include "uuid.h"

/* A turn, and how much longer the rest after it takes. */
#define TURN_MS		10
#define REST		9
#define REST_MOST_MS	1000	/* who waited has not worked */

/* It gives way to stages as well. */
#define NICE		10

/* Things done in one turn, at most. */
#define JOBS		200
#define ROWS		2000

/* How long a job is kept whose pipeline nobody has ever known. */
#define RETAIN_S	(7 * 24 * 3600)

/* What no row tells of is left alone while it may be in the making. */
#define GRACE_S		(24 * 3600)

/* The clocks of database and daemon may differ by so much. */
#define CLOCKS_S	3600

struct sweep {
	const struct conf *conf;
	const struct pipelines *pipelines;	/* while a sweep is started */
	struct child_call *sweeper;	/* NULL: no sweep goes on */

	char		**gone;		/* paths to be removed */
	size_t		 ngone, room;
	char		**going;	/* removed now, NULL at end */
	struct child_call *remover;	/* of these */
};

/* ---- files that are to go at once ---------------------------------------- */

/* Another daemon may be about it, or a job at work in it again. */
static void
not_removed(const char *path)
{
	if (errno == EWOULDBLOCK)
		log_debug("%s: is in use", path);
	else
		log_warn("%s: cannot be removed", path);
}

/* In a process of its own. */
static int
remove_all(void *arg)
{
	char	**path;
	int	  rc = 0;

	for (path = arg; *path != NULL; path++) {
		if (remove_tree(*path) == -1) {
			not_removed(*path);
			rc = 1;
		}
	}
	return rc;
}

static void	remove_more(struct sweep *);

static void
removed(void *arg, int status)
{
	struct sweep	*s = arg;
	size_t		 i;

	(void)status;			/* it was said there */
	s->remover = NULL;
	for (i = 0; s->going[i] != NULL; i++)
		free(s->going[i]);
	free(s->going);
	s->going = NULL;
	remove_more(s);
}

static void
remove_more(struct sweep *s)
{
	if (s->going != NULL || s->ngone == 0)
		return;
	s->going = s->gone;
	s->gone = NULL;
	s->ngone = s->room = 0;
	s->remover = child_call(remove_all, s->going, removed, s);
	if (s->remover == NULL)
		removed(s, -1);		/* a later sweep finds them */
}

void
sweep_remove(struct sweep *s, const char *path)
{
	if (s->ngone + 1 >= s->room) {
		s->room = s->room == 0 ? 16 : s->room * 2;
		s->gone = xreallocarray(s->gone, s->room, sizeof(*s->gone));
	}
	xasprintf(&s->gone[s->ngone++], "%s/%s", s->conf->root, path);
	s->gone[s->ngone] = NULL;
	remove_more(s);
}

/* ---- in the process that sweeps ------------------------------------------ */

struct sweeper {
	const struct conf *conf;
	const struct pipelines *pipelines;
	struct db	*db;
	bool		 alone;		/* no other daemon's removes rows */
	unsigned int	 jobs, files;	/* removed */
};

/* How much is done in a turn, so that it takes its time and no more. */
struct pace {
	unsigned int	 n, most;
	uint64_t	 began;
};

static void
begin(struct pace *p)
{
	p->began = loop_now();
}

static void
rest(struct pace *p)
{
	uint64_t	 took = loop_now() - p->began;

	if (took > 2 * TURN_MS && p->n > 1)
		p->n /= 2;
	else if (took < TURN_MS / 2)
		p->n = p->n * 2 < p->most ? p->n * 2 : p->most;
	took = 1 + REST * took;
	usleep((useconds_t)(1000 * (took < REST_MOST_MS ? took :
	    REST_MOST_MS)));
}

/* After a call failed: 0: by itself, go on; -1: the database is away. */
static int
go_on(struct sweeper *s)
{
	return db_alive(s->db);
}

/* Remove PATH below the root.  0, or -1: not all of it. */
static int
remove_file(struct sweeper *s, const char *path)
{
	struct stat	 st;
	char		*full;
	int		 rc = 0;

	xasprintf(&full, "%s/%s", s->conf->root, path);
	if (lstat(full, &st) == 0) {
		if ((rc = remove_tree(full)) == 0)
			s->files++;
		else
			not_removed(full);
	}
	free(full);
	return rc;
}

static int
remove_upload(struct sweeper *s, const struct uuid *id)
{
	char	 path[FILE_PATH];
	int	 rc;

	if ((rc = upload_release(s->db, id)) == 1) {
		file_upload_path(id, path);
		remove_file(s, path);
	}
	return rc;
}

/* ---- ended jobs ---------------------------------------------------------- */

/* What our pipelines say, for those who do not know them. */
static int
say_retention(struct sweeper *s)
{
	const struct pipeline	*p;
	size_t			 i;

	for (i = 0; i < s->pipelines->n; i++) {
		p = s->pipelines->list[i];
		if (retain_say(s->db, p->name, p->retain_s) == -1)
			return -1;
	}
	return 0;
}

static int
retention_of(struct sweeper *s, const char *pipeline, unsigned int *retain_s)
{
	const struct pipeline	*p = pipeline_find(s->pipelines, pipeline);

	*retain_s = p != NULL ? p->retain_s : RETAIN_S;
	return p != NULL ? 0 : retain_said(s->db, pipeline, retain_s);
}

/* Somebody keeps one of them locked: the others go.  0 or -1. */
static int
expire_each(struct sweeper *s, const struct job_expiry *e,
    const struct uuid *ids, int n)
{
	int	 i, gone;

	for (i = 0; i < n; i++) {
		if ((gone = job_expire(s->db, e->retain_s, &ids[i], 1)) > 0)
			s->jobs++;
		else if (gone == -1 && go_on(s) == -1)
			return -1;
	}
	return 0;
}

static int
expire_jobs(struct sweeper *s, struct job_expiry *e)
{
	struct uuid	 ids[JOBS];
	struct pace	 pace = { .n = 20, .most = JOBS };
	int		 n, gone;

	for (;;) {
		begin(&pace);
		if ((n = job_expired(s->db, e, ids, pace.n)) <= 0)
			return n;
		gone = job_expire(s->db, e->retain_s, ids, (size_t)n);
		if (gone == -1) {
			if (go_on(s) == -1 || expire_each(s, e, ids, n) == -1)
				return -1;
		} else
			s->jobs += (unsigned int)gone;
		rest(&pace);
	}
}

static int
ended_jobs(struct sweeper *s)
{
	struct job_expiry	 e;
	char			 name[32] = "";
	int			 rc;

	if (!s->alone)
		return 0;
	while ((rc = job_next_pipeline(s->db, name)) == 1) {
		memset(&e, 0, sizeof(e));
		strlcpy(e.pipeline, name, sizeof(e.pipeline));
		strlcpy(e.at, "1970-01-01 00:00:00", sizeof(e.at));
		if (retention_of(s, name, &e.retain_s) == -1 ||
		    expire_jobs(s, &e) == -1)
			return -1;
	}
	return rc;
}

/* The rows of some jobs that are gone.  0, or -1 and some are left. */
static int
clear_rows(struct sweeper *s, struct pace *pace, const struct uuid *ids,
    size_t n)
{
	unsigned int	 most;
	int		 rows;

	do {
		begin(pace);
		most = pace->n;
		rows = gone_rows(s->db, ids, n, most);
		rest(pace);
	} while (rows == (int)most);
	return rows == -1 ? -1 : 0;
}

/* 0, or -1 and some are left. */
static int
clear_files(struct sweeper *s, const struct gone *g)
{
	char	 work[FILE_PATH], results[FILE_PATH];

	file_work_path(&g->id, work);
	file_results_path(&g->id, g->token, results);
	if (remove_file(s, work) == -1 || remove_file(s, results) == -1)
		return -1;
	return uuid_is_set(&g->upload_id) &&
	    remove_upload(s, &g->upload_id) == -1 ? -1 : 0;
}

static int
gone_jobs(struct sweeper *s)
{
	struct gone	 list[JOBS];
	struct uuid	 ids[JOBS], after = { 0 };
	struct pace	 pace = { .n = 100, .most = ROWS };
	size_t		 cleared;
	int		 i, n;

	if (!s->alone)
		return 0;
	while ((n = gone_list(s->db, &after, list, JOBS)) > 0) {
		after = list[n - 1].id;
		for (i = 0; i < n; i++)
			ids[i] = list[i].id;
		if (clear_rows(s, &pace, ids, (size_t)n) == -1) {
			if (go_on(s) == -1)
				return -1;
			continue;	/* the next sweep has them */
		}
		for (i = 0, cleared = 0; i < n; i++) {
			if (clear_files(s, &list[i]) == 0)
				ids[cleared++] = list[i].id;
		}
		if (cleared > 0 && gone_forget(s->db, ids, cleared) == -1)
			return -1;
	}
	return n;
}

/* ---- rows that nobody needs ---------------------------------------------- */

static int
unused_uploads(struct sweeper *s)
{
	struct uuid	 ids[JOBS], after = { 0 };
	struct pace	 pace = { .n = JOBS, .most = JOBS };
	size_t		 i, n;
	int		 seen;

	if (!s->alone)
		return 0;
	do {
		begin(&pace);
		if ((seen = upload_unused(s->db, &after, GRACE_S, ids, JOBS,
		    &n)) == -1)
			return -1;
		for (i = 0; i < n; i++) {
			if (remove_upload(s, &ids[i]) == -1 && go_on(s) == -1)
				return -1;
		}
		rest(&pace);
	} while (seen == JOBS);
	return 0;
}

/* Tables that remove what is old by themselves, some rows at a time. */
static int
old_rows(struct sweeper *s)
{
	static int	(*const old[])(struct db *) = {
		login_sweep, throttle_sweep, uniq_sweep
	};
	struct pace	 pace = { .n = 1, .most = 1 };
	size_t		 i;
	int		 n;

	for (i = 0; s->alone && i < sizeof(old) / sizeof(old[0]); i++) {
		do {
			begin(&pace);
			n = old[i](s->db);
			rest(&pace);
		} while (n > 0);
		if (n == -1 && go_on(s) == -1)
			return -1;
	}
	return 0;
}

/* ---- files without a row ------------------------------------------------- */

/* An entry of a directory that bears the name of something of ours. */
struct entry {
	char		 name[UUID_TEXT + 24];
	struct uuid	 id;
	uint64_t	 token;		/* "ID-TOKEN"; else 0 */
	bool		 gone;		/* there is no such job */
	bool		 tidy;		/* as in struct job_trace */
	bool		 last;		/* TOKEN is the job's */
	bool		 left;		/* nobody wants it */
};

/* 0, or -1: it is none of ours. */
static int
read_entry(struct entry *e, const char *name)
{
	char	 text[UUID_TEXT], *end;

	memset(e, 0, sizeof(*e));
	if (strlen(name) < UUID_TEXT - 1 ||
	    strlcpy(e->name, name, sizeof(e->name)) >= sizeof(e->name))
		return -1;
	strlcpy(text, name, sizeof(text));
	if (uuid_parse(&e->id, text) == -1)
		return -1;
	name += UUID_TEXT - 1;
	if (*name == '\0')
		return 0;
	if (name[0] != '-' || strspn(name + 1, "0123456789") == 0)
		return -1;
	e->token = strtoull(name + 1, &end, 10);
	return *end == '\0' ? 0 : -1;
}

/* Whether the file is so new that its row may yet come to be. */
static bool
is_new(int dir, const char *name)
{
	struct stat	 st;

	return fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == -1 ||
	    st.st_mtime > time(NULL) - GRACE_S;
}

static const struct job_trace *
trace_of(const struct job_trace *traces, int n, const struct uuid *id)
{
	int	 i;

	for (i = 0; i < n; i++) {
		if (uuid_equal(&traces[i].id, id))
			return &traces[i];
	}
	return NULL;
}

static int
find_jobs(struct sweeper *s, struct entry *e, size_t n)
{
	const struct job_trace	*trace;
	struct job_trace	 traces[JOBS];
	struct uuid		 ids[JOBS] = { 0 };
	size_t			 i;
	int			 found;

	for (i = 0; i < n; i++)
		ids[i] = e[i].id;
	if ((found = job_traces(s->db, ids, n, traces)) == -1)
		return -1;
	for (i = 0; i < n; i++) {
		trace = trace_of(traces, found, &e[i].id);
		e[i].gone = trace == NULL;
		e[i].tidy = trace != NULL && trace->tidy;
		e[i].last = trace != NULL && trace->token == e[i].token;
	}
	return 0;
}

static int
judge_work(struct sweeper *s, int dir, struct entry *e, size_t n)
{
	size_t	 i;

	(void)dir;
	if (find_jobs(s, e, n) == -1)
		return -1;
	for (i = 0; i < n; i++)
		e[i].left = e[i].token != 0 || e[i].gone || e[i].tidy;
	return 0;
}

/*
 * In the end only those of the attempt that published them count; before,
 * another attempt may go on from what any has left.
 */
static int
judge_results(struct sweeper *s, int dir, struct entry *e, size_t n)
{
	size_t	 i;

	(void)dir;
	if (find_jobs(s, e, n) == -1)
		return -1;
	for (i = 0; i < n; i++)
		e[i].left = e[i].token != 0 && (e[i].gone ||
		    (e[i].tidy && !e[i].last));
	return 0;
}

static int
judge_uploads(struct sweeper *s, int dir, struct entry *e, size_t n)
{
	struct uuid	 ids[JOBS] = { 0 }, known[JOBS];
	size_t		 i;
	int		 k, found;

	for (i = 0; i < n; i++) {
		ids[i] = e[i].id;
		e[i].left = e[i].token == 0 && !is_new(dir, e[i].name);
	}
	if ((found = upload_known(s->db, ids, n, known)) == -1)
		return -1;
	for (i = 0; i < n; i++) {
		for (k = 0; k < found && e[i].left; k++)
			e[i].left = !uuid_equal(&known[k], &e[i].id);
	}
	return 0;
}

/* Some entries of a directory that bear our names; fewer than N: the last. */
static size_t
read_some(DIR *d, struct entry *e, size_t n)
{
	struct dirent	*entry;
	size_t		 i = 0;

	while (i < n && (entry = readdir(d)) != NULL) {
		if (read_entry(&e[i], entry->d_name) == 0)
			i++;
	}
	return i;
}

/* Remove what is left in the directory PATH below the root.  0 or -1. */
static int
look_through(struct sweeper *s, const char *path,
    int (*judge)(struct sweeper *, int, struct entry *, size_t))
{
	struct entry	 e[JOBS];
	struct pace	 pace = { .n = JOBS, .most = JOBS };
	char		 name[FILE_PATH];
	size_t		 i, n;
	DIR		*d;
	int		 rc = 0;

	snprintf(name, sizeof(name), "%.200s/%s", s->conf->root, path);
	if ((d = opendir(name)) == NULL)
		return 0;
	do {
		begin(&pace);
		n = read_some(d, e, JOBS);
		if (n > 0 && (rc = judge(s, dirfd(d), e, n)) == -1)
			break;
		for (i = 0; i < n; i++) {
			snprintf(name, sizeof(name), "%s/%.*s", path,
			    (int)sizeof(e[i].name), e[i].name);
			if (e[i].left)
				remove_file(s, name);
		}
		rest(&pace);
	} while (n == JOBS);
	closedir(d);
	return rc;
}

static int
lost_work(struct sweeper *s)
{
	return look_through(s, "work", judge_work);
}

static int
lost_results(struct sweeper *s)
{
	return look_through(s, "results", judge_results);
}

static int
lost_uploads(struct sweeper *s)
{
	char	 path[32];
	int	 bucket;

	for (bucket = 0; bucket < 256; bucket++) {
		snprintf(path, sizeof(path), "uploads/%02x", bucket);
		if (look_through(s, path, judge_uploads) == -1)
			return -1;
	}
	return 0;
}

/* ---- a sweep ------------------------------------------------------------- */

/*
 * How old something is, the database says.  When its clock is wrong by far,
 * everything might seem to be old.
 */
static bool
clocks_agree(struct sweeper *s)
{
	struct tm	 tm = { 0 };
	char		 now[DB_TIME];
	long long	 ahead;

	if (job_now(s->db, now) == -1 ||
	    strptime(now, "%Y-%m-%d %H:%M:%S", &tm) == NULL)
		return false;
	ahead = (long long)timegm(&tm) - (long long)time(NULL);
	if (ahead >= -CLOCKS_S && ahead <= CLOCKS_S)
		return true;
	log_warnx("sweep: nothing is removed: the clock of the database is "
	    "%lld s %s that of this host", ahead < 0 ? -ahead : ahead,
	    ahead < 0 ? "behind" : "ahead of");
	return false;
}

static int
sweep(struct sweeper *s)
{
	static int	(*const chores[])(struct sweeper *) = {
		say_retention, ended_jobs, gone_jobs, unused_uploads, old_rows,
		lost_work, lost_results, lost_uploads
	};
	size_t		 i;
	int		 rc;

	if (!clocks_agree(s))
		return 1;
	/* Where there are no such locks, they do each other's work in part. */
	s->alone = (rc = retain_lock(s->db)) != 0;
	if (rc == -1 && go_on(s) == -1)
		return 1;
	for (i = 0; i < sizeof(chores) / sizeof(chores[0]); i++) {
		/* Without the database there is no telling what may go. */
		if (chores[i](s) == -1)
			return 1;
	}
	return 0;
}

/* In a process of its own. */
static int
sweep_all(void *arg)
{
	struct sweep	*owner = arg;
	struct sweeper	 s = { .conf = owner->conf,
	    .pipelines = owner->pipelines };
	int		 rc;

	setpriority(PRIO_PROCESS, 0, NICE);
	s.db = db_open(s.conf, "millraced");
	rc = sweep(&s);
	if (s.jobs > 0 || s.files > 0)
		log_info("sweep: %u jobs and %u files or directories removed",
		    s.jobs, s.files);
	db_close(s.db);
	return rc;
}

static void
swept(void *arg, int status)
{
	struct sweep	*s = arg;

	(void)status;			/* it was said there */
	s->sweeper = NULL;
}

void
sweep_start(struct sweep *s, const struct pipelines *pipelines)
{
	if (s->sweeper != NULL)
		return;
	s->pipelines = pipelines;
	s->sweeper = child_call(sweep_all, s, swept, s);
	s->pipelines = NULL;
}

struct sweep *
sweep_new(const struct conf *conf)
{
	struct sweep	*s = xcalloc(1, sizeof(*s));

	s->conf = conf;
	return s;
}

void
sweep_free(struct sweep *s)
{
	size_t	 i;

	if (s == NULL)
		return;
	child_leave(s->sweeper);
	child_leave(s->remover);
	for (i = 0; i < s->ngone; i++)
		free(s->gone[i]);
	free(s->gone);
	for (i = 0; s->going != NULL && s->going[i] != NULL; i++)
		free(s->going[i]);
	free(s->going);
	free(s);
}
