/*
 * Remove what nobody needs any more.
 *
 * A sweep is a list of chores, done one after the other in short turns.  Each
 * asks the database about a few things at a time and queues what is to be
 * removed.  Row first, then file: what is lost in between is found by a later
 * sweep, as a file without a row.
 *
 * Nothing of a job that has not ended is ever removed.
 */

#include "sweep.h"

#include <sys/file.h>
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
#include "throttle.h"
#include "uniq.h"
#include "uuid.h"

/* Between two turns, ms; and things looked at in one. */
#define TURN_MS		100
#define JOBS		20
#define ROWS		100

/* How long a job of a pipeline that is gone is kept. */
#define RETAIN_S	(7 * 24 * 3600)

/* What no row tells of is left alone while it may be in the making. */
#define GRACE_S		(24 * 3600)

/* Pipelines and states that counters tell of, at most. */
#define COUNTS		1024

/* Directories within directories that a walk holds open. */
#define DEPTH		64

/* Ended jobs of a pipeline are kept for so long. */
struct rule {
	char		 pipeline[PIPELINE_NAME];
	unsigned int	 retain_s;
};

struct sweep {
	struct loop	*loop;
	struct db	*db;
	const struct conf *conf;
	struct loop_timer *timer;	/* NULL: no sweep goes on */
	size_t		 chore;		/* at hand */
	struct rule	*rules;
	size_t		 nrules, rule;
	struct uuid	 upload;	/* looked at last */
	DIR		*dir;		/* that is gone through */
	unsigned int	 bucket;	/* 0..255, of uploads/ */
	unsigned int	 looks;		/* at entries, left in this turn */
	unsigned int	 jobs, files;	/* removed in this sweep */

	char		**gone;		/* paths to be removed */
	size_t		 ngone, room;
	char		**going;	/* removed now, NULL at end */
	struct child_call *remover;	/* of these */
};

/* ---- files --------------------------------------------------------------- */

/* A walk through a tree.  It may be deeper than we have descriptors. */
struct walk {
	int		 top;
	unsigned int	 moved;		/* what lay too deep, to the top */
};

static void	empty(struct walk *, DIR *, unsigned int);

/* Remove the entry NAME of DIR, whatever it is. */
static void
remove_entry(struct walk *w, int dir, const char *name, unsigned int depth)
{
	struct stat	 st;
	char		 up[32];
	DIR		*d;
	int		 fd;

	if (unlinkat(dir, name, 0) == 0 || errno == ENOENT)
		return;
	/* A stage may have locked its owner, which is us, out. */
	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == -1 ||
	    !S_ISDIR(st.st_mode) || ((st.st_mode & 0700) != 0700 &&
	    fchmodat(dir, name, 0700, 0) == -1))
		return;
	if (depth == DEPTH) {
		snprintf(up, sizeof(up), ".deep-%u", w->moved);
		if (renameat(dir, name, w->top, up) == 0)
			w->moved++;
		return;
	}
	if ((fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW |
	    O_CLOEXEC)) == -1)
		return;
	if ((d = fdopendir(fd)) == NULL) {
		close(fd);
		return;
	}
	empty(w, d, depth + 1);
	closedir(d);
	unlinkat(dir, name, AT_REMOVEDIR);
}

static void
empty(struct walk *w, DIR *d, unsigned int depth)
{
	struct dirent	*entry;

	while ((entry = readdir(d)) != NULL) {
		if (strcmp(entry->d_name, ".") != 0 &&
		    strcmp(entry->d_name, "..") != 0)
			remove_entry(w, dirfd(d), entry->d_name, depth);
	}
}

/*
 * PATH, and all below it.  0 or -1.  A directory that somebody works in stays
 * (the keepers hold a lock on theirs), and nobody begins to while it goes: a
 * person may want a cancelled job back before its files are gone.
 */
static int
remove_tree(const char *path)
{
	struct walk	 w = { .moved = 0 };
	unsigned int	 before;
	DIR		*d;
	int		 rc;

	if (unlink(path) == 0 || errno == ENOENT)
		return 0;
	chmod(path, 0700);
	if ((d = opendir(path)) == NULL)
		return -1;
	w.top = dirfd(d);
	if (flock(w.top, LOCK_EX | LOCK_NB) == -1) {
		closedir(d);
		return -1;
	}
	do {
		before = w.moved;
		rewinddir(d);
		empty(&w, d, 0);
	} while (w.moved != before);
	rc = rmdir(path);
	closedir(d);			/* not before: it holds the lock */
	return rc;
}

/* In a process of its own. */
static int
remove_all(void *arg)
{
	char	**path;
	int	  rc = 0;

	for (path = arg; *path != NULL; path++) {
		if (remove_tree(*path) == -1) {
			log_warn("%s: cannot be removed", *path);
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
	s->files++;
	remove_more(s);
}

/* ---- ended jobs ---------------------------------------------------------- */

static int
remove_upload(struct sweep *s, const struct uuid *id)
{
	char	 path[FILE_PATH];
	int	 rc;

	if ((rc = upload_release(s->db, id)) == 1) {
		file_upload_path(id, path);
		sweep_remove(s, path);
	}
	return rc;
}

static int
remove_job(struct sweep *s, const struct uuid *id)
{
	enum job_state	 now;
	struct job	 job;
	char		 path[FILE_PATH];
	int		 rc;

	if (job_find(s->db, id, &job) == -1)
		return db_error(s->db) == DB_OK ? 0 : -1;
	if ((rc = job_delete(s->db, id, &now)) != 1)
		return rc;
	s->jobs++;
	file_work_path(id, path);
	sweep_remove(s, path);
	file_results_path(id, job.token, path);
	sweep_remove(s, path);
	return uuid_is_set(&job.upload_id) ?
	    remove_upload(s, &job.upload_id) : 0;
}

/* Each chore's turn returns 1: there is more, 0: done, -1: not now. */
static int
ended_jobs(struct sweep *s)
{
	struct uuid	 ids[JOBS];
	struct rule	*rule = &s->rules[s->rule];
	int		 i, n;

	if (s->rule == s->nrules)
		return 0;
	if ((n = job_expired(s->db, rule->pipeline, rule->retain_s, ids,
	    JOBS)) == -1)
		return -1;
	for (i = 0; i < n; i++) {
		if (remove_job(s, &ids[i]) == -1)
			return -1;
	}
	if (n < JOBS)
		s->rule++;
	return 1;
}

static int
unused_uploads(struct sweep *s)
{
	struct uuid	 ids[ROWS];
	size_t		 i, n;
	int		 seen;

	if ((seen = upload_unused(s->db, &s->upload, GRACE_S, ids, ROWS,
	    &n)) == -1)
		return -1;
	for (i = 0; i < n; i++) {
		if (remove_upload(s, &ids[i]) == -1)
			return -1;
	}
	return seen == ROWS;
}

/* ---- rows ---------------------------------------------------------------- */

static int
old_logins(struct sweep *s)
{
	return login_sweep(s->db);
}

static int
old_throttles(struct sweep *s)
{
	return throttle_sweep(s->db);
}

static int
old_keys(struct sweep *s)
{
	return uniq_sweep(s->db);
}

/* ---- files without a row ------------------------------------------------- */

/* Whether NAME begins with an id; *REST is what follows. */
static bool
read_id(const char *name, struct uuid *id, const char **rest)
{
	char	 text[UUID_TEXT];

	if (strlen(name) < UUID_TEXT - 1)
		return false;
	strlcpy(text, name, sizeof(text));
	*rest = name + UUID_TEXT - 1;
	return uuid_parse(id, text) == 0;
}

/* 1: there is a row; 0: there is none; -1: the database is away. */
static int
find_job(struct sweep *s, const struct uuid *id, struct job *job)
{
	if (job_find(s->db, id, job) == 0)
		return 1;
	return db_error(s->db) == DB_OK ? 0 : -1;
}

/* Whether NAME, an entry of a directory, may go: 1, 0, or -1. */
static int
work_is_left(struct sweep *s, const char *name)
{
	const char	*rest;
	struct uuid	 id;
	struct job	 job;
	int		 rc;

	if (!read_id(name, &id, &rest) || *rest != '\0')
		return 0;
	if ((rc = find_job(s, &id, &job)) != 1)
		return rc == 0 ? 1 : -1;
	return job.state == JOB_COMPLETED || job.state == JOB_CANCELLED;
}

/* Of a job that has ended only what its last attempt published counts. */
static int
result_is_left(struct sweep *s, const char *name)
{
	const char	*rest;
	struct uuid	 id;
	struct job	 job;
	int		 rc;

	if (!read_id(name, &id, &rest) || *rest != '-')
		return 0;
	if ((rc = find_job(s, &id, &job)) != 1)
		return rc == 0 ? 1 : -1;
	return job_ended(job.state) &&
	    strtoull(rest + 1, NULL, 10) != job.token;
}

static int
upload_is_left(struct sweep *s, const char *name)
{
	struct upload	 upload;
	struct stat	 st;
	const char	*rest;
	struct uuid	 id;

	if (!read_id(name, &id, &rest) || *rest != '\0' ||
	    fstatat(dirfd(s->dir), name, &st, AT_SYMLINK_NOFOLLOW) == -1 ||
	    st.st_mtime > time(NULL) - GRACE_S)
		return 0;
	if (upload_find(s->db, &id, &upload) == 0)
		return 0;
	return db_error(s->db) == DB_OK ? 1 : -1;
}

/*
 * Look at more entries of the directory PATH below the root, as many as this
 * turn may.  1: there are more; 0: that was all; -1.
 */
static int
look_through(struct sweep *s, const char *path,
    int (*is_left)(struct sweep *, const char *))
{
	struct dirent	*entry;
	char		 name[FILE_PATH];
	int		 rc;

	snprintf(name, sizeof(name), "%.200s/%s", s->conf->root, path);
	if (s->dir == NULL && (s->dir = opendir(name)) == NULL)
		return 0;
	for (; s->looks > 0; s->looks--) {
		if ((entry = readdir(s->dir)) == NULL) {
			closedir(s->dir);
			s->dir = NULL;
			return 0;
		}
		if ((rc = is_left(s, entry->d_name)) == -1)
			return -1;
		snprintf(name, sizeof(name), "%s/%.255s", path, entry->d_name);
		if (rc == 1)
			sweep_remove(s, name);
	}
	return 1;
}

static int
lost_work(struct sweep *s)
{
	return look_through(s, "work", work_is_left);
}

static int
lost_results(struct sweep *s)
{
	return look_through(s, "results", result_is_left);
}

static int
lost_uploads(struct sweep *s)
{
	char	 path[32];
	int	 rc;

	for (; s->bucket < 256; s->bucket++) {
		snprintf(path, sizeof(path), "uploads/%02x", s->bucket);
		if ((rc = look_through(s, path, upload_is_left)) != 0)
			return rc;
	}
	return 0;
}

/* ---- a sweep ------------------------------------------------------------- */

static int	(*const chores[])(struct sweep *) = {
	ended_jobs, unused_uploads, old_logins, old_throttles, old_keys,
	lost_work, lost_results, lost_uploads
};

#define NCHORES	(sizeof(chores) / sizeof(chores[0]))

static void
end(struct sweep *s)
{
	if (s->jobs > 0 || s->files > 0)
		log_info("sweep: %u jobs and %u files or directories removed",
		    s->jobs, s->files);
	if (s->dir != NULL)
		closedir(s->dir);
	s->dir = NULL;
	free(s->rules);
	s->rules = NULL;
	s->nrules = 0;
}

static void
turn(void *arg)
{
	struct sweep	*s = arg;
	int		 rc;

	s->timer = NULL;
	s->looks = ROWS;
	rc = chores[s->chore](s);
	if (rc == 0)
		s->chore++;
	/* Without the database there is no telling what may go. */
	if (rc == -1 || s->chore == NCHORES)
		end(s);
	else
		s->timer = loop_after(s->loop, TURN_MS, turn, s);
}

static void
add_rule(struct sweep *s, const char *pipeline, unsigned int retain_s)
{
	size_t	 i;

	for (i = 0; i < s->nrules; i++) {
		if (strcmp(s->rules[i].pipeline, pipeline) == 0)
			return;
	}
	s->rules = xreallocarray(s->rules, s->nrules + 1, sizeof(*s->rules));
	strlcpy(s->rules[s->nrules].pipeline, pipeline, PIPELINE_NAME);
	s->rules[s->nrules++].retain_s = retain_s;
}

void
sweep_start(struct sweep *s, const struct pipelines *pipelines)
{
	struct job_count	*counts;
	size_t			 i;
	int			 n;

	if (s->timer != NULL)
		return;
	s->chore = s->rule = 0;
	s->bucket = s->jobs = s->files = 0;
	memset(&s->upload, 0, sizeof(s->upload));
	for (i = 0; i < pipelines->n; i++)
		add_rule(s, pipelines->list[i]->name,
		    pipelines->list[i]->retain_s);
	/* Jobs of pipelines that are gone. */
	counts = xreallocarray(NULL, COUNTS, sizeof(*counts));
	n = job_counts(s->db, counts, COUNTS);
	for (i = 0; n > 0 && i < (size_t)n; i++)
		add_rule(s, counts[i].pipeline, RETAIN_S);
	free(counts);
	s->timer = loop_after(s->loop, TURN_MS, turn, s);
}

struct sweep *
sweep_new(struct loop *loop, struct db *db, const struct conf *conf)
{
	struct sweep	*s = xcalloc(1, sizeof(*s));

	s->loop = loop;
	s->db = db;
	s->conf = conf;
	return s;
}

void
sweep_free(struct sweep *s)
{
	size_t	 i;

	if (s == NULL)
		return;
	if (s->timer != NULL) {
		loop_cancel(s->loop, s->timer);
		end(s);
	}
	child_leave(s->remover);
	for (i = 0; i < s->ngone; i++)
		free(s->gone[i]);
	free(s->gone);
	for (i = 0; s->going != NULL && s->going[i] != NULL; i++)
		free(s->going[i]);
	free(s->going);
	free(s);
}
