/*
 * Table job: its states, and the events it leaves behind.
 *
 * Which states lead to which is in jobstate.c, and each change of a state passes
 * by it, in changed() and in what grants a person's wish.  Each is one UPDATE
 * whose WHERE names the state it starts from, so that the number of changed
 * rows tells whether it was taken; nothing is decided on what was read before.
 *
 * Whoever changes a row what clients see counts its seq up in the same
 * statement and calls record(), in the same transaction.
 */

#include "job.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "log.h"
#include "loop.h"
#include "retain.h"
#include "tally.h"
#include "utf8.h"

/* How long a low-water mark is trusted, ms. */
#define MARK_MS		1000

/* A text search looks at this many of the newest jobs. */
#define SEARCH_ROWS	"10000"

/* Ids in one statement, at most. */
#define BATCH		200

/* When daemon after daemon dies, somebody kills them: of so many seconds, one
   counts. */
#define DEATH_S		10

/* Of a row; a state that is not known here is left alone, as ended. */
static enum job_state
state_of(const struct db_rows *row, unsigned int column)
{
	int	 state = job_state_parse(db_str(row, column));

	return state == -1 ? JOB_FAILED : (enum job_state)state;
}

/* ---- rows ---------------------------------------------------------------- */

#define COLUMNS \
	"id, user_id, address, pipeline, queue, state, phase, stage," \
	" stage_progress, progress, eta_s, items_done, items_total, step," \
	" message, attempt, crashes, deaths, daemon_id, token, cancel, seq," \
	" changed_at, created_at, started_at, completed_at, error_message," \
	" upload_id, name, client_key, output_file"

static void
from_row(const struct db_rows *row, struct job *job)
{
	unsigned int	 i = 0;

	memset(job, 0, sizeof(*job));
	db_uuid(row, i++, &job->id);
	job->user_id = db_u64(row, i++);
	db_text(row, i++, job->address, sizeof(job->address));
	db_text(row, i++, job->pipeline, sizeof(job->pipeline));
	db_text(row, i++, job->queue, sizeof(job->queue));
	job->state = state_of(row, i++);
	db_text(row, i++, job->phase, sizeof(job->phase));
	db_text(row, i++, job->stage, sizeof(job->stage));
	job->stage_progress = db_double(row, i++);
	job->progress = db_double(row, i++);
	job->eta_s = db_null(row, i) ? -1 : (int)db_u64(row, i);
	i++;
	job->items_done = (unsigned int)db_u64(row, i++);
	job->items_total = (unsigned int)db_u64(row, i++);
	db_text(row, i++, job->step, sizeof(job->step));
	db_text(row, i++, job->message, sizeof(job->message));
	job->attempt = (unsigned int)db_u64(row, i++);
	job->crashes = (unsigned int)db_u64(row, i++);
	job->deaths = (unsigned int)db_u64(row, i++);
	job->daemon_id = db_u64(row, i++);
	job->token = db_u64(row, i++);
	job->cancel = db_u64(row, i++) != 0;
	job->seq = (uint32_t)db_u64(row, i++);
	db_text(row, i++, job->changed_at, sizeof(job->changed_at));
	db_text(row, i++, job->created_at, sizeof(job->created_at));
	db_text(row, i++, job->started_at, sizeof(job->started_at));
	db_text(row, i++, job->completed_at, sizeof(job->completed_at));
	db_text(row, i++, job->error_message, sizeof(job->error_message));
	db_uuid(row, i++, &job->upload_id);
	db_text(row, i++, job->name, sizeof(job->name));
	db_text(row, i++, job->key, sizeof(job->key));
	db_text(row, i++, job->output_file, sizeof(job->output_file));
}

/* All rows, into JOBS[n]; frees them.  How many, or -1. */
static int
take(struct db_rows *rows, struct job *jobs, size_t n)
{
	size_t	 i = 0;

	if (rows == NULL)
		return -1;
	while (i < n && db_next(rows))
		from_row(rows, &jobs[i++]);
	db_rows_free(rows);
	return (int)i;
}

static int
take_ids(struct db_rows *rows, struct uuid *ids, size_t n)
{
	size_t	 i = 0;

	if (rows == NULL)
		return -1;
	while (i < n && db_next(rows))
		db_uuid(rows, 0, &ids[i++]);
	db_rows_free(rows);
	return (int)i;
}

int
job_find(struct db *db, const struct uuid *id, struct job *job)
{
	static const char	 sql[] =
	    "SELECT " COLUMNS " FROM job WHERE id = ?";
	struct db_rows		*row;

	if ((row = db_one(db, sql, "I", id)) == NULL)
		return -1;
	from_row(row, job);
	db_rows_free(row);
	return 0;
}

int
job_find_all(struct db *db, const struct uuid *ids, size_t n, struct job *jobs)
{
	return take(db_query_ids(db, "SELECT " COLUMNS " FROM job WHERE id IN ",
	    ids, n, ""), jobs, n);
}

static char *
text_of(struct db_rows *row)
{
	char	*text = NULL;

	if (row == NULL)
		return NULL;
	if (!db_null(row, 0))
		text = xstrdup(db_str(row, 0));
	db_rows_free(row);
	return text;
}

char *
job_params(struct db *db, const struct uuid *id)
{
	return text_of(db_one(db, "SELECT params FROM job WHERE id = ?", "I",
	    id));
}

char *
job_result(struct db *db, const struct uuid *id)
{
	return text_of(db_one(db, "SELECT result FROM job WHERE id = ?", "I",
	    id));
}

char *
job_details(struct db *db, const struct uuid *id)
{
	return text_of(db_one(db, "SELECT details FROM job WHERE id = ?", "I",
	    id));
}

/* ---- events and counters ------------------------------------------------- */

/* Copy the row as it is now into table event. */
static int
record(struct db *db, const struct uuid *id)
{
	static const char	 sql[] =
	    "INSERT INTO event (job_id, seq, at, state, phase, stage,"
	    " stage_progress, progress, eta_s, items_done, items_total, step,"
	    " message, details, started_at) "
	    "SELECT id, seq, changed_at, state, phase, stage,"
	    " stage_progress, progress, eta_s, items_done, items_total, step,"
	    " message, details, started_at FROM job WHERE id = ?";

	return db_exec(db, sql, "I", id) == 1 ? 0 : -1;
}

/* A job's row was changed: its event, and the counters of its pipeline. */
static int
changed(struct db *db, const struct uuid *id, enum job_state from,
    enum job_state to)
{
	static const char	 sql[] =
	    "SELECT pipeline FROM job WHERE id = ?";
	struct db_rows		*row;

	if (from != to && !job_leads(from, to)) {
		log_warnx("a job cannot go from %s to %s: rolled back",
		    job_state_name(from), job_state_name(to));
		return -1;
	}
	if (record(db, id) == -1)
		return -1;
	if (from == to)
		return 1;
	if ((row = db_one(db, sql, "I", id)) == NULL)
		return -1;
	tally_add(db, db_str(row, 0), from, -1);
	tally_add(db, db_str(row, 0), to, 1);
	db_rows_free(row);
	return 1;
}

int
job_counts(struct db *db, struct job_count *counts, size_t n)
{
	static const char	 sql[] =
	    "SELECT pipeline, state, GREATEST(SUM(n), 0), SUM(total) FROM tally"
	    " GROUP BY pipeline, state";
	struct db_rows		*rows;
	size_t			 i;

	if ((rows = db_query(db, sql, "")) == NULL)
		return -1;
	for (i = 0; i < n && db_next(rows); i++) {
		db_text(rows, 0, counts[i].pipeline,
		    sizeof(counts[i].pipeline));
		counts[i].state = state_of(rows, 1);
		counts[i].now = db_u64(rows, 2);
		counts[i].total = db_u64(rows, 3);
	}
	db_rows_free(rows);
	return (int)i;
}

/* ---- submitting ---------------------------------------------------------- */

int
job_submit(struct db *db, struct job *job, const char *params)
{
	static const char	 insert[] =
	    "INSERT INTO job (id, user_id, address, pipeline, queue, state,"
	    " ready, seq, changed_at, created_at, upload_id, name, client_key,"
	    " params) VALUES (?, ?, NULLIF(?, ''), ?, ?, ?, ?, 1, NOW(3),"
	    " NOW(3), ?, ?, ?, ?)";
	uint64_t		 ready = JOB_PRIORITY;
	struct db_value		 values[] = {
		{ 'I', .id = &job->id },
		{ 'u', .u = job->user_id },
		{ 's', .s = job->address },
		{ 's', .s = job->pipeline },
		{ 's', .s = job->queue },
		{ 's', .s = job_state_name(job->state) },
		{ 'u', .u = ready },
		{ 'I', .id = uuid_is_set(&job->upload_id) ?
		    &job->upload_id : NULL },
		{ 's', .s = job->name },
		{ 's', .s = job->key },
		{ 's', .s = params },
	};

	if (!uuid_is_set(&job->id))
		uuid_new(&job->id);
	if (job->state != JOB_PENDING)
		values[6] = (struct db_value){ 's', .s = NULL };
	if (db_exec_values(db, insert, values,
	    sizeof(values) / sizeof(values[0])) != 1)
		return -1;
	if (record(db, &job->id) == -1)
		return -1;
	tally_add(db, job->pipeline, job->state, 1);
	return 0;
}

/* ---- lists --------------------------------------------------------------- */

/* A statement that is put together from conditions. */
struct query {
	char		 sql[2048];
	struct db_value	 values[16];
	size_t		 n;
};

static void
add(struct query *q, const char *sql, struct db_value value)
{
	strlcat(q->sql, sql, sizeof(q->sql));
	if (value.type != '\0')
		q->values[q->n++] = value;
}

/* The smallest id that can have been made at TIME, a minute of skew allowed. */
static void
first_id_at(const char *time, struct uuid *id)
{
	struct tm	 tm = { 0 };
	uint64_t	 ms;
	int		 i;

	memset(id, 0, sizeof(*id));
	if (strptime(time, "%Y-%m-%d %H:%M:%S", &tm) == NULL)
		return;
	ms = ((uint64_t)timegm(&tm) - 60) * 1000;
	for (i = 0; i < 6; i++)
		id->b[i] = (unsigned char)(ms >> (8 * (5 - i)));
}

/* TEXT as a pattern that matches it anywhere. */
static void
pattern(const char *text, char *out, size_t size)
{
	size_t	 n = 0;

	out[n++] = '%';
	for (; *text != '\0' && n + 4 < size; text++) {
		if (strchr("%_\\", *text) != NULL)
			out[n++] = '\\';
		out[n++] = *text;
	}
	out[n++] = '%';
	out[n] = '\0';
}

int
job_list(struct db *db, const struct job_filter *f, struct job *jobs)
{
	struct query	 q = { .sql = "", .n = 0 };
	struct uuid	 from;
	char		 like[2 * sizeof(f->text) + 3];
	bool		 search = f->text[0] != '\0';

	add(&q, search ? "SELECT * FROM (" : "", (struct db_value){ 0 });
	add(&q, "SELECT " COLUMNS " FROM job WHERE 1", (struct db_value){ 0 });
	if (f->user_id != 0)
		add(&q, " AND user_id = ?",
		    (struct db_value){ 'u', .u = f->user_id });
	if (f->state != -1)
		add(&q, " AND state = ?", (struct db_value){ 's',
		    .s = job_state_name((enum job_state)f->state) });
	if (f->pipeline[0] != '\0')
		add(&q, " AND pipeline = ?",
		    (struct db_value){ 's', .s = f->pipeline });
	if (f->since[0] != '\0') {
		first_id_at(f->since, &from);
		add(&q, " AND id >= ?", (struct db_value){ 'I', .id = &from });
		add(&q, " AND created_at >= ?",
		    (struct db_value){ 's', .s = f->since });
	}
	if (uuid_is_set(&f->before))
		add(&q, " AND id < ?",
		    (struct db_value){ 'I', .id = &f->before });
	add(&q, " ORDER BY id DESC", (struct db_value){ 0 });
	if (search) {
		pattern(f->text, like, sizeof(like));
		add(&q, " LIMIT " SEARCH_ROWS ") newest WHERE (name LIKE ?",
		    (struct db_value){ 's', .s = like });
		add(&q, " OR LOWER(HEX(id)) LIKE REPLACE(?, '-', '')"
		    ") ORDER BY id DESC",
		    (struct db_value){ 's', .s = like });
	}
	add(&q, " LIMIT ?", (struct db_value){ 'u', .u = f->limit });
	return take(db_query_values(db, q.sql, q.values, q.n), jobs, f->limit);
}

int
job_unfinished(struct db *db, const char *address)
{
	static const char	 sql[] =
	    "SELECT COUNT(*) FROM job WHERE address = ?"
	    " AND state IN ('pending', 'running', 'waiting')";
	struct db_rows		*row;
	int			 n;

	if ((row = db_one(db, sql, "s", address)) == NULL)
		return -1;
	n = (int)db_u64(row, 0);
	db_rows_free(row);
	return n;
}

static int
take_changes(struct db_rows *rows, struct job_change *changes, size_t n)
{
	size_t	 i = 0;

	if (rows == NULL)
		return -1;
	for (; i < n && db_next(rows); i++) {
		db_uuid(rows, 0, &changes[i].id);
		changes[i].seq = (uint32_t)db_u64(rows, 1);
		db_text(rows, 2, changes[i].changed_at,
		    sizeof(changes[i].changed_at));
	}
	db_rows_free(rows);
	return (int)i;
}

int
job_changed(struct db *db, const char *since, unsigned int late_s,
    const struct uuid *after, struct job_change *changes, size_t n,
    char now[DB_TIME])
{
	static const char	 sql[] =
	    "(SELECT NULL, 0, NOW(3)) UNION ALL "
	    "(SELECT id, seq, changed_at FROM job FORCE INDEX (changed)"
	    " WHERE changed_at >= CAST(? AS DATETIME(3)) - INTERVAL ? SECOND"
	    " AND (changed_at > CAST(? AS DATETIME(3)) - INTERVAL ? SECOND"
	    " OR id > ?) ORDER BY changed_at, id LIMIT ?)";
	struct db_rows		*rows;

	rows = db_query(db, sql, "susuIu", since, (uint64_t)late_s, since,
	    (uint64_t)late_s, after, (uint64_t)n);
	if (rows == NULL || !db_next(rows)) {
		db_rows_free(rows);
		return -1;
	}
	db_text(rows, 2, now, DB_TIME);
	return take_changes(rows, changes, n);
}

int
job_changes_of(struct db *db, const struct uuid *ids, size_t n,
    struct job_change *changes)
{
	return take_changes(db_query_ids(db,
	    "SELECT id, seq, changed_at FROM job WHERE id IN ", ids, n, ""),
	    changes, n);
}

int
job_now(struct db *db, char now[DB_TIME])
{
	struct db_rows	*row;

	if ((row = db_one(db, "SELECT NOW(3)", "")) == NULL)
		return -1;
	db_text(row, 0, now, DB_TIME);
	db_rows_free(row);
	return 0;
}

/* ---- claiming ------------------------------------------------------------ */

/*
 * Ids that may be claimed, read without locks; they may be taken by then.
 * The index has all that is asked for, as long as no pipeline is left out.
 */
static int
candidates(struct db *db, struct job_queue *queue, const char *without,
    struct uuid *ids, size_t n)
{
	static const char	 all[] =
	    "SELECT id FROM job FORCE INDEX (ready)"
	    " WHERE queue = ? AND ready = ? AND id > ? ORDER BY id LIMIT ?";
	static const char	 some[] =
	    "SELECT id FROM job FORCE INDEX (ready)"
	    " WHERE queue = ? AND ready = ? AND id > ?"
	    " AND NOT FIND_IN_SET(pipeline, ?) ORDER BY id LIMIT ?";
	uint64_t		 priority = JOB_PRIORITY;

	if (loop_now() >= queue->low_until) {
		memset(&queue->low, 0, sizeof(queue->low));
		queue->low_until = loop_now() + MARK_MS;
	}
	return take_ids(without[0] == '\0' ?
	    db_query(db, all, "suIu", queue->name, priority, &queue->low,
	    (uint64_t)n) :
	    db_query(db, some, "suIsu", queue->name, priority, &queue->low,
	    without, (uint64_t)n), ids, n);
}

struct claim {
	uint64_t	 daemon_id, token;
	struct uuid	*ids;
	size_t		 n;
	struct job	*jobs;
	int		 taken;
};

/*
 * Whoever changes the row has it: no lock is held before, none waited for.
 *
 * Rows are locked by PRIMARY, in the order of their ids, here and wherever a
 * state is asked for beside an id: by the index of states the server would
 * lock that first, and meet another one on the way there.
 */
static int64_t
take_rows(struct db *db, const struct claim *c, const struct db_value *v)
{
	static const char	 prefix[] =
	    "UPDATE job FORCE INDEX (PRIMARY) SET state = 'running',"
	    " ready = NULL, daemon_id = ?, token = ?, attempt = attempt + 1,"
	    " seq = seq + 1, changed_at = NOW(3), step = '', message = '',"
	    " eta_s = NULL, started_at = COALESCE(started_at, NOW(3))"
	    " WHERE state = 'pending' AND id IN ";
	char			*sql = db_list(prefix, c->n, "");
	int64_t			 n = db_exec_values(db, sql, v, c->n + 2);

	free(sql);
	return n;
}

static int
claim(struct db *db, void *arg)
{
	struct claim	*c = arg;
	struct db_value	*v = xcalloc(c->n + 2, sizeof(*v));
	char		*sql;
	size_t		 i;
	int		 rc = -1, k;

	v[0] = (struct db_value){ 'u', .u = c->daemon_id };
	v[1] = (struct db_value){ 'u', .u = c->token };
	for (i = 0; i < c->n; i++)
		v[i + 2] = (struct db_value){ 'I', .id = &c->ids[i] };
	c->taken = 0;
	switch (take_rows(db, c, v)) {
	case -1:
		goto out;
	case 0:
		rc = 0;
		goto out;
	}
	sql = db_list("SELECT " COLUMNS " FROM job FORCE INDEX (PRIMARY)"
	    " WHERE token = ? AND id IN ", c->n, " ORDER BY id");
	c->taken = take(db_query_values(db, sql, v + 1, c->n + 1), c->jobs,
	    c->n);
	free(sql);
	if (c->taken == -1)
		goto out;
	for (k = 0; k < c->taken; k++) {
		if (changed(db, &c->jobs[k].id, JOB_PENDING, JOB_RUNNING) == -1)
			goto out;
	}
	rc = 0;
out:
	free(v);
	return rc;
}

/*
 * FN in a transaction, tried once: others may have the same rows in hand, or
 * stand still with them.  1: done; 0: they have; -1.
 */
static int
attempt(struct db *db, int (*fn)(struct db *, void *), void *arg)
{
	enum db_error	 error;

	if (db_begin(db) == -1)
		return -1;
	if (fn(db, arg) == 0 && db_commit(db) == 0)
		return 1;
	error = db_error(db);
	db_rollback(db);
	return error == DB_AGAIN ? 0 : -1;
}

int
job_claim(struct db *db, struct job_queue *queue, const char *without,
    uint64_t daemon_id, struct job *jobs, size_t n)
{
	struct uuid	 ids[BATCH];
	struct claim	 c = { .daemon_id = daemon_id, .ids = ids,
	    .jobs = jobs };
	int		 found, rc;

	if (n > BATCH)
		n = BATCH;
	if ((found = candidates(db, queue, without, ids, n)) <= 0)
		return found;
	c.n = (size_t)found;
	/* Positive as a signed number too, so that no tool misreads it. */
	c.token = (((uint64_t)arc4random() << 32) | arc4random()) >> 1 | 1;
	if ((rc = attempt(db, claim, &c)) != 1)
		return rc;
	queue->low = ids[found - 1];
	return c.taken;
}

int
job_taken(struct db *db, uint64_t daemon_id, struct job *jobs, size_t n)
{
	static const char	 sql[] =
	    "SELECT " COLUMNS " FROM job FORCE INDEX (of_daemon)"
	    " WHERE daemon_id = ? AND state = 'running' ORDER BY id LIMIT ?";

	return take(db_query(db, sql, "uu", daemon_id, (uint64_t)n), jobs, n);
}

/* ---- running ------------------------------------------------------------- */

int
job_hold(struct db *db, const struct uuid *ids, size_t n)
{
	static const char	 one[] =
	    "SELECT 1 FROM job WHERE id = ? FOR UPDATE NOWAIT";
	struct db_rows		*rows;

	/* Most often it is one: then the statement is there already. */
	rows = n == 1 ? db_query(db, one, "I", ids) :
	    db_query_ids(db, "SELECT 1 FROM job FORCE INDEX (PRIMARY)"
	    " WHERE id IN ", ids, n, " FOR UPDATE NOWAIT");
	db_rows_free(rows);
	return rows == NULL ? -1 : 0;
}

/* What every news changes, and the values for it, in this order. */
#define NEWS_SET \
	"UPDATE job FORCE INDEX (PRIMARY) SET seq = seq + 1," \
	" changed_at = NOW(3), phase = ?, stage = ?, stage_progress = ?," \
	" progress = GREATEST(progress, ?)," \
	" eta_s = NULLIF(?, -1), items_done = ?, items_total = ?, step = ?," \
	" message = ?, details = COALESCE(?, details)"
#define NEWS_TYPES	"ssddiuusss"
#define NEWS_VALUES(n) \
	(n)->phase, (n)->stage, (n)->stage_progress, (n)->progress, \
	(int64_t)(n)->eta_s, (uint64_t)(n)->items_done, \
	(uint64_t)(n)->items_total, (n)->step, (n)->message, (n)->details
#define NEWS_FENCE	" WHERE id = ? AND token = ? AND state = 'running'"
#define UNCANCELLED	" AND cancel = 0"
#define FENCE_TYPES	"Iu"
#define FENCE_VALUES(n)	&(n)->id, (n)->token

int
job_owned(struct db *db, const struct uuid *id, uint64_t token)
{
	static const char	 sql[] =
	    "SELECT 1 FROM job FORCE INDEX (PRIMARY)" NEWS_FENCE
	    " FOR UPDATE";
	struct db_rows		*row = db_one(db, sql, FENCE_TYPES, id, token);

	if (row == NULL)
		return db_error(db) == DB_OK ? 0 : -1;
	db_rows_free(row);
	return 1;
}

/* The job stops being the daemon's. */
#define LEAVES		", daemon_id = 0, cancel = 0, eta_s = NULL"

/* After an UPDATE of CHANGED rows: the event, if the fence let it pass. */
static int
settled(struct db *db, const struct job_news *n, int64_t rows,
    enum job_state to)
{
	if (rows <= 0)
		return (int)rows;
	return changed(db, &n->id, JOB_RUNNING, to);
}

int
job_progress(struct db *db, const struct job_news *n)
{
	static const char	 sql[] = NEWS_SET NEWS_FENCE;

	return settled(db, n, db_exec(db, sql, NEWS_TYPES FENCE_TYPES,
	    NEWS_VALUES(n), FENCE_VALUES(n)), JOB_RUNNING);
}

int
job_done(struct db *db, const struct job_news *n, const char *result,
    const char *output)
{
	static const char	 sql[] =
	    NEWS_SET LEAVES ", state = 'completed', phase = 'completed',"
	    " stage_progress = 100, progress = 100, completed_at = NOW(3),"
	    " error_message = NULL, result = ?, output_file = ?" NEWS_FENCE;

	return settled(db, n, db_exec(db, sql, NEWS_TYPES "ss" FENCE_TYPES,
	    NEWS_VALUES(n), result, output, FENCE_VALUES(n)), JOB_COMPLETED);
}

int
job_failed(struct db *db, const struct job_news *n, const char *why)
{
	static const char	 sql[] =
	    NEWS_SET LEAVES ", state = 'failed', phase = 'failed', message = ?,"
	    " error_message = ?, completed_at = NOW(3)" NEWS_FENCE;

	return settled(db, n, db_exec(db, sql, NEWS_TYPES "ss" FENCE_TYPES,
	    NEWS_VALUES(n), why, why, FENCE_VALUES(n)), JOB_FAILED);
}

int
job_stopped(struct db *db, const struct job_news *n)
{
	static const char	 sql[] =
	    NEWS_SET LEAVES ", state = 'cancelled', phase = 'cancelled',"
	    " step = '', message = 'cancelled', error_message = 'cancelled',"
	    " completed_at = NOW(3)" NEWS_FENCE;

	return settled(db, n, db_exec(db, sql, NEWS_TYPES FENCE_TYPES,
	    NEWS_VALUES(n), FENCE_VALUES(n)), JOB_CANCELLED);
}

/*
 * After an UPDATE that was to make the job pending again: whom somebody has
 * asked to end, ends; else the wish would be lost.
 */
static int
settled_or_stopped(struct db *db, const struct job_news *n, int64_t rows)
{
	if (rows == 0)
		return job_stopped(db, n);
	return settled(db, n, rows, JOB_PENDING);
}

/* The job may be claimed again in DELAY_S. */
static int
due_in(struct db *db, const struct uuid *id, unsigned int delay_s)
{
	static const char	 sql[] =
	    "REPLACE INTO later (job_id, due)"
	    " VALUES (?, NOW(3) + INTERVAL ? SECOND)";

	return db_exec(db, sql, "Iu", id, (uint64_t)delay_s) == -1 ? -1 : 0;
}

/* Back to pending by SQL, whose values are a news, a step and a message. */
static int
put_off(struct db *db, const char *sql, const struct job_news *n,
    const char *why, unsigned int delay_s)
{
	char	 step[sizeof(n->step)];
	int64_t	 rows;

	snprintf(step, sizeof(step), "Again in %u s: %s", delay_s, why);
	utf8_clean(step);		/* a character may have been cut */
	rows = db_exec(db, sql, NEWS_TYPES "ss" FENCE_TYPES, NEWS_VALUES(n),
	    step, why, FENCE_VALUES(n));
	if (rows == 1 && due_in(db, &n->id, delay_s) == -1)
		return -1;
	return settled_or_stopped(db, n, rows);
}

int
job_again(struct db *db, const struct job_news *n, const char *why,
    unsigned int delay_s)
{
	static const char	 sql[] =
	    NEWS_SET LEAVES ", state = 'pending', step = ?, message = ?"
	    NEWS_FENCE UNCANCELLED;

	return put_off(db, sql, n, why, delay_s);
}

int
job_crashed(struct db *db, const struct job_news *n, const char *why,
    unsigned int delay_s)
{
	static const char	 sql[] =
	    NEWS_SET LEAVES ", state = 'pending', step = ?, message = ?,"
	    " crashes = crashes + 1, attempt = GREATEST(attempt, 1) - 1"
	    NEWS_FENCE UNCANCELLED;

	return put_off(db, sql, n, why, delay_s);
}

/* It was set aside before, and its daemon died even so. */
static int
lost_for_good(struct db *db, const struct job_news *n, unsigned int crashes,
    unsigned int deaths)
{
	char	 why[128];

	job_aside_why(crashes, deaths, why, sizeof(why));
	return job_failed(db, n, why);
}

int
job_lost(struct db *db, const struct job_news *n, enum job_blame blame)
{
	static const char	 counts[] =
	    "SELECT crashes, deaths,"
	    " COALESCE(died_at > NOW(3) - INTERVAL ? SECOND, 0)"
	    " FROM job FORCE INDEX (PRIMARY)"
	    NEWS_FENCE " FOR UPDATE";
	static const char	 sql[] =
	    NEWS_SET LEAVES ", state = 'pending', ready = ?, crashes = ?,"
	    " died_at = IF(deaths = ?, died_at, NOW(3)), deaths = ?,"
	    " attempt = GREATEST(attempt, 1) - 1" NEWS_FENCE UNCANCELLED;
	struct db_rows		*row;
	unsigned int		 crashes, deaths;
	bool			 again;

	if ((row = db_one(db, counts, "u" FENCE_TYPES, (uint64_t)DEATH_S,
	    FENCE_VALUES(n))) == NULL)
		return db_error(db) == DB_OK ? 0 : -1;
	crashes = (unsigned int)db_u64(row, 0);
	deaths = (unsigned int)db_u64(row, 1);
	again = db_u64(row, 2) != 0;
	db_rows_free(row);
	if (blame == JOB_INNOCENT && again)
		return job_give_back(db, n);
	if (job_orphaned(&crashes, &deaths, blame) == JOB_FAILED)
		return lost_for_good(db, n, crashes, deaths);
	return settled_or_stopped(db, n, db_exec(db, sql,
	    NEWS_TYPES "uuuu" FENCE_TYPES, NEWS_VALUES(n),
	    (uint64_t)JOB_PRIORITY, (uint64_t)crashes, (uint64_t)deaths,
	    (uint64_t)deaths, FENCE_VALUES(n)));
}

int
job_recovered(struct db *db, const struct uuid *id, uint64_t token)
{
	static const char	 sql[] =
	    "UPDATE job FORCE INDEX (PRIMARY) SET crashes = 0, deaths = 0"
	    NEWS_FENCE;

	return (int)db_exec(db, sql, FENCE_TYPES, id, token);
}

int
job_give_back(struct db *db, const struct job_news *n)
{
	static const char	 sql[] =
	    NEWS_SET LEAVES ", state = 'pending', ready = ?,"
	    " step = 'Waiting for a daemon', attempt = GREATEST(attempt, 1) - 1"
	    NEWS_FENCE UNCANCELLED;

	return settled_or_stopped(db, n, db_exec(db, sql,
	    NEWS_TYPES "u" FENCE_TYPES, NEWS_VALUES(n), (uint64_t)JOB_PRIORITY,
	    FENCE_VALUES(n)));
}

/* ---- waiting ------------------------------------------------------------- */

struct due {
	struct uuid	 ids[BATCH];
	int		 n;
};

static int
make_ready(struct db *db, void *arg)
{
	/* It may be put off anew since it was seen to be due. */
	static const char	 ready[] =
	    "UPDATE job FORCE INDEX (PRIMARY) SET ready = ?"
	    " WHERE id = ? AND state = 'pending' AND EXISTS"
	    " (SELECT 1 FROM later l FORCE INDEX (PRIMARY)"
	    " WHERE l.job_id = job.id AND l.due <= NOW(3))";
	/* Not by the time, which goes on: what was not made ready waits. */
	static const char	 remove[] =
	    "DELETE l FROM later l FORCE INDEX (PRIMARY)"
	    " WHERE l.job_id = ? AND NOT EXISTS"
	    " (SELECT 1 FROM job j FORCE INDEX (PRIMARY)"
	    " WHERE j.id = l.job_id AND j.state = 'pending'"
	    " AND j.ready IS NULL)";
	struct due		*due = arg;
	int			 i;

	/*
	 * First the jobs, as everywhere: one that was due a moment ago may run
	 * again, and be about to be put off by its daemon.
	 */
	if (job_hold(db, due->ids, (size_t)due->n) == -1)
		return -1;
	for (i = 0; i < due->n; i++) {
		if (db_exec(db, ready, "uI", (uint64_t)JOB_PRIORITY,
		    &due->ids[i]) == -1 ||
		    db_exec(db, remove, "I", &due->ids[i]) == -1)
			return -1;
	}
	return 0;
}

static int
by_id(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct uuid));
}

/* So that one which somebody has in hand holds up no other. */
static int
each_alone(struct db *db, const struct due *due)
{
	struct due	 one = { .n = 1 };
	int		 i, rc, sum = 0;

	for (i = 0; i < due->n; i++) {
		one.ids[0] = due->ids[i];
		if ((rc = attempt(db, make_ready, &one)) == -1)
			return -1;
		sum += rc;
	}
	return sum;
}

int
job_due(struct db *db)
{
	static const char	 sql[] =
	    "SELECT job_id FROM later WHERE due <= NOW(3)"
	    " ORDER BY due, job_id LIMIT ?";
	struct due		 due;
	int			 rc;

	due.n = take_ids(db_query(db, sql, "u", (uint64_t)BATCH), due.ids,
	    BATCH);
	if (due.n <= 0)
		return due.n;
	/* All who lock several rows go by their ids: see take_rows. */
	qsort(due.ids, (size_t)due.n, sizeof(due.ids[0]), by_id);
	if ((rc = attempt(db, make_ready, &due)) == 1)
		return due.n;
	return rc == -1 ? -1 : each_alone(db, &due);
}

int
job_cancels(struct db *db, uint64_t daemon_id, struct uuid *ids, size_t n)
{
	static const char	 sql[] =
	    "SELECT id FROM job FORCE INDEX (of_daemon)"
	    " WHERE daemon_id = ? AND state = 'running' AND cancel = 1"
	    " LIMIT ?";

	return take_ids(db_query(db, sql, "uu", daemon_id, (uint64_t)n), ids,
	    n);
}

/* ---- a person's wishes --------------------------------------------------- */

struct wish {
	const struct uuid *id;
	double		 progress;
	int		(*more)(struct db *, void *);
	void		*arg;
	enum job_state	 now;		/* when it was not granted */
	bool		 granted;
};

/* The row's state, locked for the rest of the transaction. */
static int
lock_state(struct db *db, const struct uuid *id, enum job_state *state,
    bool *cancel)
{
	static const char	 sql[] =
	    "SELECT state, cancel FROM job WHERE id = ? FOR UPDATE";
	struct db_rows		*row;

	if ((row = db_one(db, sql, "I", id)) == NULL)
		return -1;
	*state = state_of(row, 0);
	*cancel = db_u64(row, 1) != 0;
	db_rows_free(row);
	return 0;
}

static int
cancel(struct db *db, void *arg)
{
	static const char	 at_once[] =
	    "UPDATE job SET state = 'cancelled', ready = NULL, seq = seq + 1,"
	    " changed_at = NOW(3), completed_at = NOW(3), phase = 'cancelled',"
	    " step = '', message = 'cancelled', error_message = 'cancelled',"
	    " eta_s = NULL WHERE id = ?";
	static const char	 ask[] =
	    "UPDATE job SET cancel = 1, seq = seq + 1, changed_at = NOW(3),"
	    " step = 'Cancelling', eta_s = NULL WHERE id = ?";
	static const char	 not_later[] =
	    "DELETE FROM later WHERE job_id = ?";
	struct wish		*w = arg;
	bool			 asked;

	if (lock_state(db, w->id, &w->now, &asked) == -1)
		return -1;
	w->granted = job_leads(w->now, JOB_CANCELLED);
	if (!w->granted || asked)
		return 0;
	if (w->now == JOB_RUNNING)
		return db_exec(db, ask, "I", w->id) == 1 &&
		    record(db, w->id) == 0 ? 0 : -1;
	if (db_exec(db, at_once, "I", w->id) != 1 ||
	    db_exec(db, not_later, "I", w->id) == -1)
		return -1;
	return changed(db, w->id, w->now, JOB_CANCELLED) == 1 ? 0 : -1;
}

static int
retry(struct db *db, void *arg)
{
	static const char	 sql[] =
	    "UPDATE job SET state = 'pending', ready = ?, seq = seq + 1,"
	    " changed_at = NOW(3), completed_at = NULL, phase = 'pending',"
	    " step = 'To be run again', message = '', error_message = NULL,"
	    " progress = ?, stage_progress = 0, attempt = 0, crashes = 0,"
	    " deaths = 0, cancel = 0, items_done = 0, items_total = 0"
	    " WHERE id = ?";
	struct wish		*w = arg;
	bool			 asked;

	if (lock_state(db, w->id, &w->now, &asked) == -1)
		return -1;
	w->granted = job_ended(w->now) && job_leads(w->now, JOB_PENDING);
	if (!w->granted)
		return 0;
	if (db_exec(db, sql, "udI", (uint64_t)JOB_PRIORITY, w->progress,
	    w->id) != 1 || (w->more != NULL && w->more(db, w->arg) == -1))
		return -1;
	return changed(db, w->id, w->now, JOB_PENDING) == 1 ? 0 : -1;
}

static int
delete(struct db *db, void *arg)
{
	static const char	 find[] =
	    "SELECT pipeline FROM job WHERE id = ?";
	static const char	 sql[] = "DELETE FROM job WHERE id = ?";
	struct wish		*w = arg;
	struct db_rows		*row;
	bool			 asked;

	if (lock_state(db, w->id, &w->now, &asked) == -1)
		return -1;
	w->granted = w->now != JOB_RUNNING;
	if (!w->granted)
		return 0;
	if ((row = db_one(db, find, "I", w->id)) == NULL)
		return -1;
	tally_add(db, db_str(row, 0), w->now, -1);
	db_rows_free(row);
	return gone_add(db, w->id, 1) == 0 &&
	    db_exec(db, sql, "I", w->id) == 1 ? 0 : -1;
}

static int
grant(struct db *db, int (*fn)(struct db *, void *), struct wish *w,
    enum job_state *now)
{
	if (db_run(db, fn, w) == -1)
		return -1;
	*now = w->now;
	return w->granted ? 1 : 0;
}

int
job_cancel(struct db *db, const struct uuid *id, enum job_state *now)
{
	struct wish	 w = { .id = id };

	return grant(db, cancel, &w, now);
}

int
job_retry(struct db *db, const struct uuid *id, double progress,
    int (*more)(struct db *, void *), void *arg, enum job_state *now)
{
	struct wish	 w = { .id = id, .progress = progress, .more = more,
	    .arg = arg };

	return grant(db, retry, &w, now);
}

int
job_delete(struct db *db, const struct uuid *id, enum job_state *now)
{
	struct wish	 w = { .id = id };

	return grant(db, delete, &w, now);
}

/* ---- retention ----------------------------------------------------------- */

/* SQL: it has ended, so far as this program knows the states. */
#define HAS_ENDED	" state IN ('completed', 'failed', 'cancelled')"

int
job_next_pipeline(struct db *db, char name[32])
{
	static const char	 sql[] =
	    "SELECT pipeline FROM job FORCE INDEX (by_pipeline)"
	    " WHERE pipeline > ? ORDER BY pipeline LIMIT 1";
	struct db_rows		*row;

	if ((row = db_one(db, sql, "s", name)) == NULL)
		return db_error(db) == DB_OK ? 0 : -1;
	db_text(row, 0, name, 32);
	db_rows_free(row);
	return 1;
}

int
job_expired(struct db *db, struct job_expiry *e, struct uuid *ids, size_t n)
{
	static const char	 sql[] =
	    "SELECT id, completed_at FROM job FORCE INDEX (for_the_sweep)"
	    " WHERE pipeline = ? AND completed_at >= ?"
	    " AND completed_at < NOW(3) - INTERVAL ? SECOND"
	    " AND (completed_at > ? OR id > ?) AND" HAS_ENDED
	    " ORDER BY completed_at, id LIMIT ?";
	struct db_rows		*rows;
	size_t			 i;

	rows = db_query(db, sql, "ssusIu", e->pipeline, e->at,
	    (uint64_t)e->retain_s, e->at, &e->id, (uint64_t)n);
	if (rows == NULL)
		return -1;
	for (i = 0; i < n && db_next(rows); i++) {
		db_uuid(rows, 0, &ids[i]);
		db_text(rows, 1, e->at, sizeof(e->at));
		e->id = ids[i];
	}
	db_rows_free(rows);
	return (int)i;
}

struct expire {
	const struct uuid *ids;
	size_t		 n;
	unsigned int	 retain_s;
	int		 gone;
};

/* Those of them that are to go, locked, with what they count as. */
static struct db_rows *
lock_expired(struct db *db, const struct expire *e)
{
	struct db_value	*v = xcalloc(e->n + 1, sizeof(*v));
	struct db_rows	*rows;
	char		*sql;
	size_t		 i;

	sql = db_list("SELECT id, pipeline, state FROM job FORCE INDEX"
	    " (PRIMARY) WHERE id IN ", e->n, " AND" HAS_ENDED " AND"
	    " completed_at < NOW(3) - INTERVAL ? SECOND ORDER BY id"
	    " FOR UPDATE NOWAIT");
	for (i = 0; i < e->n; i++)
		v[i] = (struct db_value){ 'I', .id = &e->ids[i] };
	v[i] = (struct db_value){ 'u', .u = e->retain_s };
	rows = db_query_values(db, sql, v, e->n + 1);
	free(sql);
	free(v);
	return rows;
}

static int
expire(struct db *db, void *arg)
{
	struct expire	*e = arg;
	struct uuid	*ids = xcalloc(e->n, sizeof(*ids));
	struct db_rows	*rows = lock_expired(db, e);
	size_t		 found = 0;
	int		 rc = rows == NULL ? -1 : 0;

	for (; rows != NULL && db_next(rows); found++) {
		db_uuid(rows, 0, &ids[found]);
		tally_add(db, db_str(rows, 1), state_of(rows, 2), -1);
	}
	db_rows_free(rows);
	if (found > 0 && (gone_add(db, ids, found) == -1 || db_exec_ids(db,
	    "DELETE j FROM job j FORCE INDEX (PRIMARY) WHERE id IN ", ids,
	    found, "") == -1))
		rc = -1;
	free(ids);
	e->gone = (int)found;
	return rc;
}

int
job_expire(struct db *db, unsigned int retain_s, const struct uuid *ids,
    size_t n)
{
	struct expire	 e = { .ids = ids, .n = n, .retain_s = retain_s };

	return db_run(db, expire, &e) == -1 ? -1 : e.gone;
}

int
job_traces(struct db *db, const struct uuid *ids, size_t n,
    struct job_trace *traces)
{
	struct db_rows	*rows;
	size_t		 i;

	if ((rows = db_query_ids(db, "SELECT id, token,"
	    " state IN ('completed', 'cancelled') FROM job WHERE id IN ",
	    ids, n, "")) == NULL)
		return -1;
	for (i = 0; i < n && db_next(rows); i++) {
		db_uuid(rows, 0, &traces[i].id);
		traces[i].token = db_u64(rows, 1);
		traces[i].tidy = db_u64(rows, 2) != 0;
	}
	db_rows_free(rows);
	return (int)i;
}
