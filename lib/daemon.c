/*
 * Table daemon: one row per daemon start.
 */

#include "daemon.h"

#include <string.h>

#include "job.h"
#include "lent.h"
#include "log.h"

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

static int
take_ids(struct db_rows *rows, uint64_t *ids, size_t n)
{
	size_t	 i = 0;

	if (rows == NULL)
		return -1;
	while (i < n && db_next(rows))
		ids[i++] = db_u64(rows, 0);
	db_rows_free(rows);
	return (int)i;
}

int
daemon_start(struct db *db, const struct daemon *d, const char *instance,
    unsigned int lease_s, uint64_t *id, uint64_t *others, size_t n)
{
	static const char	 sql[] =
	    "SELECT id FROM daemon FORCE INDEX (of_instance)"
	    " WHERE instance = ? AND id <> ? ORDER BY id LIMIT ?";
	struct start		 s = { .daemon = d, .instance = instance,
	    .lease_s = lease_s };

	if (db_run(db, insert, &s) == -1)
		return -1;
	*id = s.id;
	return take_ids(db_query(db, sql, "suu", instance, s.id, (uint64_t)n),
	    others, n);
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
daemon_stop(struct db *db, uint64_t id)
{
	return db_exec(db, "DELETE FROM daemon WHERE id = ?", "u", id) == -1 ?
	    -1 : 0;
}

int
daemon_lost(struct db *db, uint64_t *ids, size_t n)
{
	static const char	 sql[] =
	    "SELECT id FROM daemon WHERE lease_until < NOW(3)"
	    " UNION SELECT j.daemon_id FROM job j FORCE INDEX (by_state)"
	    " LEFT JOIN daemon d ON d.id = j.daemon_id"
	    " WHERE j.state = 'running' AND d.id IS NULL"
	    " UNION SELECT s.helper FROM step s FORCE INDEX (of_helper)"
	    " LEFT JOIN daemon d ON d.id = s.helper"
	    " WHERE s.helper > 0 AND s.state = 'running' AND d.id IS NULL"
	    " ORDER BY id LIMIT ?";

	return take_ids(db_query(db, sql, "u", (uint64_t)n), ids, n);
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

static int
crashed(struct db *db, void *arg)
{
	struct job_news	 news;

	as_it_was(arg, &news);
	return job_crashed(db, &news, "its daemon was lost", 0) == -1 ? -1 : 0;
}

static int
given_back(struct db *db, void *arg)
{
	struct job_news	 news;

	as_it_was(arg, &news);
	return job_give_back(db, &news) == -1 ? -1 : 0;
}

/* Do it with all jobs of a daemon, and remove its row.  Jobs, or -1. */
static int
empty(struct db *db, uint64_t id, int (*fn)(struct db *, void *))
{
	struct job	 jobs[TURN];
	int		 i, n, sum = 0;

	do {
		if ((n = job_taken(db, id, jobs, TURN)) == -1)
			return -1;
		for (i = 0; i < n; i++) {
			if (db_run(db, fn, &jobs[i]) == -1)
				return -1;
		}
		sum += n;
	} while (n == TURN);
	return daemon_stop(db, id) == -1 ? -1 : sum;
}

int
daemon_adopt(struct db *db, uint64_t from)
{
	if (lent_lost(db, from) == -1)
		return -1;
	return empty(db, from, crashed);
}

int
daemon_release(struct db *db, uint64_t from)
{
	if (lent_release(db, from) == -1)
		return -1;
	return empty(db, from, given_back);
}

int
daemon_room(struct db *db, uint64_t self, const char *queue)
{
	static const char	 sql[] =
	    "SELECT COALESCE(SUM(slots - LEAST(slots, running)), 0)"
	    " FROM daemon WHERE id <> ? AND lease_until > NOW(3)"
	    " AND FIND_IN_SET(?, REPLACE(queues, ' ', ',')) > 0";
	struct db_rows		*row = db_one(db, sql, "us", self, queue);
	int			 n;

	if (row == NULL)
		return -1;
	n = (int)db_u64(row, 0);
	db_rows_free(row);
	return n;
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
