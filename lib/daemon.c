/*
 * Table daemon: one row per daemon start.
 */

#include "daemon.h"

#include <string.h>

#include "job.h"
#include "lent.h"
#include "log.h"
#include "step.h"

/* Jobs of one daemon that are read at a time. */
#define TURN	32

int
daemon_schema(struct db *db)
{
	static const char	 sql[] =
	    "SELECT COALESCE(MAX(number), 0) FROM schema_step";
	struct db_rows		*row;
	int			 number;

	if ((row = db_one(db, sql, "")) == NULL)
		return -1;
	number = (int)db_u64(row, 0);
	db_rows_free(row);
	return number;
}

struct start {
	const struct daemon *daemon;
	const char	*instance;
	unsigned int	 lease_s;
	uint64_t	 id;
};

static int
insert(struct db *db, void *arg)
{
	static const char	 sql[] =
	    "INSERT INTO daemon (instance, host, pid, version, queues, slots,"
	    " started_at, seen_at, lease_until) VALUES (?, ?, ?, ?, ?, ?,"
	    " NOW(3), NOW(3), NOW(3) + INTERVAL ? SECOND)";
	static const char	 last[] = "SELECT LAST_INSERT_ID()";
	struct start		*s = arg;
	const struct daemon	*d = s->daemon;
	struct db_rows		*row;

	if (db_exec(db, sql, "ssussuu", s->instance, d->host, (uint64_t)d->pid,
	    d->version, d->queues, (uint64_t)d->slots,
	    (uint64_t)s->lease_s) != 1 || (row = db_one(db, last, "")) == NULL)
		return -1;
	s->id = db_u64(row, 0);
	db_rows_free(row);
	return 0;
}

int
daemon_start(struct db *db, const struct daemon *d, const char *instance,
    unsigned int lease_s, uint64_t *id)
{
	struct start	 s = { .daemon = d, .instance = instance,
	    .lease_s = lease_s };

	if (db_run(db, insert, &s) == -1)
		return -1;
	*id = s.id;
	return 0;
}

int
daemon_renew(struct db *db, uint64_t id, unsigned int lease_s,
    unsigned int running)
{
	static const char	 sql[] =
	    "UPDATE daemon SET seen_at = NOW(3), running = ?,"
	    " lease_until = NOW(3) + INTERVAL ? SECOND WHERE id = ?";

	return (int)db_exec(db, sql, "uuu", (uint64_t)running,
	    (uint64_t)lease_s, id);
}

int
daemon_watch(struct db *db, uint64_t self, const char *instance,
    struct daemon_sign *signs, size_t n)
{
	/* Jobs that do not run are of daemon 0. */
	static const char	 sql[] =
	    "SELECT id, 0, instance = ?, seen_at,"
	    " GREATEST(TIMESTAMPDIFF(MICROSECOND, seen_at, lease_until), 0)"
	    "  DIV 1000 FROM daemon WHERE id <> ?"
	    " UNION SELECT j.daemon_id, 1, 0, NULL, 0"
	    " FROM job j FORCE INDEX (of_daemon)"
	    " LEFT JOIN daemon d ON d.id = j.daemon_id"
	    " WHERE j.daemon_id > 0 AND j.state = 'running' AND d.id IS NULL"
	    " UNION SELECT s.helper, 1, 0, NULL, 0"
	    " FROM step s FORCE INDEX (of_helper)"
	    " LEFT JOIN daemon d ON d.id = s.helper"
	    " WHERE s.helper > 0 AND s.state = 'running' AND d.id IS NULL"
	    " LIMIT ?";
	struct db_rows		*rows;
	struct daemon_sign	*s;
	size_t			 i;

	if ((rows = db_query(db, sql, "suu", instance, self,
	    (uint64_t)n)) == NULL)
		return -1;
	for (i = 0; i < n && db_next(rows); i++) {
		s = &signs[i];
		s->id = db_u64(rows, 0);
		s->gone = db_u64(rows, 1) != 0;
		s->ours = db_u64(rows, 2) != 0;
		db_text(rows, 3, s->seen_at, sizeof(s->seen_at));
		s->lease_ms = (unsigned int)db_u64(rows, 4);
	}
	db_rows_free(rows);
	return (int)i;
}

/* ---- the jobs of one that is gone ---------------------------------------- */

enum how { DIED, LEFT };

struct estate {
	uint64_t	 from;
	enum how	 how;
	const char	*seen_at;	/* its row is as it was then, or NULL */
	const struct uuid *named;	/* or NULL */
	bool		 part;		/* others have been handed on before */
	int		 n;		/* jobs of this turn */
	bool		 alive;		/* its row has changed */
};

/*
 * Lock the row, so that one takes the jobs over, and neither the daemon itself,
 * should it live, nor another one comes between.  There may be none.
 */
static int
lock_row(struct db *db, struct estate *e)
{
	static const char	 sql[] =
	    "SELECT running > slots, seen_at FROM daemon WHERE id = ?"
	    " FOR UPDATE";
	struct db_rows		*row;

	if ((row = db_one(db, sql, "u", e->from)) == NULL)
		return db_error(db) == DB_OK ? 0 : -1;
	e->part = db_u64(row, 0) != 0;
	e->alive = e->seen_at != NULL &&
	    strcmp(db_str(row, 1), e->seen_at) != 0;
	db_rows_free(row);
	return 0;
}

/* The row goes with the last jobs.  Before that it has more of them than it
   can: so whoever goes on knows that these are not all. */
static int
settle_row(struct db *db, const struct estate *e)
{
	static const char	 more[] =
	    "UPDATE daemon SET running = slots + 1 WHERE id = ?";
	static const char	 all[] = "DELETE FROM daemon WHERE id = ?";

	if (e->n == TURN)
		return db_exec(db, more, "u", e->from) == -1 ? -1 : 0;
	return db_exec(db, all, "u", e->from) == -1 ? -1 : 0;
}

/* What clients were shown of a job stands, but for the time left. */
static void
as_it_was(const struct job *job, struct job_news *news)
{
	memset(news, 0, sizeof(*news));
	news->id = job->id;
	news->token = job->token;
	strlcpy(news->phase, job->phase, sizeof(news->phase));
	strlcpy(news->stage, job->stage, sizeof(news->stage));
	news->stage_progress = job->stage_progress;
	news->progress = job->progress;
	news->eta_s = -1;
	news->items_done = job->items_done;
	news->items_total = job->items_total;
}

/*
 * What was not begun yet had no part in the end of its daemon: or one that dies
 * as soon as it starts would have all jobs set aside.
 */
static int
hand_on(struct db *db, const struct estate *e, const struct job *job,
    bool only)
{
	struct job_news	 news;
	bool		 named = e->named != NULL &&
			    uuid_equal(e->named, &job->id);
	int		 ran, rc;

	as_it_was(job, &news);
	if ((rc = job_owned(db, &job->id, job->token)) != 1)
		return rc;
	if ((ran = step_stop(db, &job->id)) == -1)
		return -1;
	if (e->how == LEFT || (ran == 0 && !named))
		return job_give_back(db, &news);
	strlcpy(news.step, "Its daemon was lost: it waits for another",
	    sizeof(news.step));
	return job_lost(db, &news, named || only ? JOB_BLAMED : JOB_INNOCENT);
}

/* In one transaction, so that nobody sees a part of it: what was the only job
   must not be what is left of many. */
static int
turn(struct db *db, void *arg)
{
	struct estate	*e = arg;
	struct job	 jobs[TURN];
	int		 i, items;

	e->part = false;
	e->n = 0;
	if (lock_row(db, e) == -1)
		return -1;
	if (e->alive)
		return 0;
	items = e->how == LEFT ? lent_release(db, e->from) :
	    lent_lost(db, e->from);
	if (items == -1 ||
	    (e->n = job_taken(db, e->from, jobs, TURN)) == -1)
		return -1;
	for (i = 0; i < e->n; i++) {
		if (hand_on(db, e, &jobs[i],
		    e->n == 1 && !e->part && items == 0) == -1)
			return -1;
	}
	return settle_row(db, e);
}

/* Jobs, or -1. */
static int
hand_over(struct db *db, struct estate *e)
{
	int	 sum = 0;

	do {
		if (db_run(db, turn, e) == -1 || e->alive)
			return -1;
		sum += e->n;
	} while (e->n == TURN);
	return sum;
}

int
daemon_adopt(struct db *db, uint64_t from, const char *seen_at,
    const struct uuid *named)
{
	struct estate	 e = { .from = from, .how = DIED, .seen_at = seen_at,
	    .named = named };

	return hand_over(db, &e);
}

int
daemon_release(struct db *db, uint64_t from)
{
	struct estate	 e = { .from = from, .how = LEFT };

	return hand_over(db, &e);
}

#define OF_OTHERS \
	" FROM daemon WHERE id <> ? AND lease_until > NOW(3)" \
	" AND FIND_IN_SET(?, REPLACE(queues, ' ', ',')) > 0"

/* What SQL adds up over the other daemons that serve QUEUE; or -1. */
static int
add_up(struct db *db, const char *sql, uint64_t self, const char *queue)
{
	struct db_rows	*row = db_one(db, sql, "us", self, queue);
	int		 n;

	if (row == NULL)
		return -1;
	n = (int)db_u64(row, 0);
	db_rows_free(row);
	return n;
}

int
daemon_room(struct db *db, uint64_t self, const char *queue)
{
	static const char	 sql[] =
	    "SELECT COALESCE(SUM(slots - LEAST(slots, running)), 0)" OF_OTHERS;

	return add_up(db, sql, self, queue);
}

int
daemon_others(struct db *db, uint64_t self, const char *queue)
{
	static const char	 sql[] =
	    "SELECT COUNT(*)" OF_OTHERS " AND slots > 0";

	return add_up(db, sql, self, queue);
}

int
daemon_list(struct db *db, struct daemon *list, size_t n)
{
	static const char	 sql[] =
	    "SELECT id, host, pid, slots, running, version, queues, started_at,"
	    " seen_at, GREATEST(TIMESTAMPDIFF(SECOND, seen_at, NOW(3)), 0),"
	    " lease_until < NOW(3) FROM daemon ORDER BY id DESC LIMIT ?";
	struct db_rows		*rows;
	struct daemon		*d;
	size_t			 i;

	if ((rows = db_query(db, sql, "u", (uint64_t)n)) == NULL)
		return -1;
	for (i = 0; i < n && db_next(rows); i++) {
		d = &list[i];
		d->id = db_u64(rows, 0);
		db_text(rows, 1, d->host, sizeof(d->host));
		d->pid = (unsigned int)db_u64(rows, 2);
		d->slots = (unsigned int)db_u64(rows, 3);
		d->running = (unsigned int)db_u64(rows, 4);
		db_text(rows, 5, d->version, sizeof(d->version));
		db_text(rows, 6, d->queues, sizeof(d->queues));
		db_text(rows, 7, d->started_at, sizeof(d->started_at));
		db_text(rows, 8, d->seen_at, sizeof(d->seen_at));
		d->silent_s = (unsigned int)db_u64(rows, 9);
		d->expired = db_u64(rows, 10) != 0;
	}
	db_rows_free(rows);
	return (int)i;
}
