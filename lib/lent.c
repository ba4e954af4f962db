/*
 * Table step, the items that are lent.
 *
 *		token	open	helper	state
 *	own	NULL	NULL	NULL	any
 *	open	lent	1	NULL	waiting
 *	held	lent	NULL	its id	running
 *	wanted	lent	0	its id	running
 *	returned lent	NULL	NULL	waiting
 *	ended	lent	any	its id	done, failed
 *
 * Candidates are found by plain reads; every change names its rows by their
 * primary key, and its WHERE says what they have to be.
 */

#include "lent.h"

#include <stdlib.h>
#include <string.h>

#include "job.h"
#include "log.h"

/* As often may an item be lost before it was begun, for all one knows. */
#define LOSSES	10

/* ---- statements that name items ------------------------------------------ */

/* The values of one: some of its own, then a job and a position, then items. */
struct values {
	struct db_value	 list[LENT_MOST + 4];
	size_t		 n;
};

static void
add_number(struct values *v, uint64_t number)
{
	v->list[v->n++] = (struct db_value){ 'u', .u = number };
}

static void
add_place(struct values *v, const struct lent_job *job, unsigned int position)
{
	v->list[v->n++] = (struct db_value){ 'I', .id = &job->id };
	add_number(v, position);
}

static void
add_item(struct values *v, const char *item)
{
	v->list[v->n++] = (struct db_value){ 's', .s = item };
}

/* "HEAD job_id = ? AND position = ? AND item IN (?,?,...)", for N items. */
static char *
with_items(const char *head, size_t n)
{
	static const char	 place[] =
	    " job_id = ? AND position = ? AND item IN (";
	size_t			 len = strlen(head), i;
	char			*sql = xmalloc(len + sizeof(place) + 2 * n);

	memcpy(sql, head, len);
	memcpy(sql + len, place, sizeof(place) - 1);
	len += sizeof(place) - 1;
	for (i = 0; i < n; i++) {
		sql[len++] = '?';
		sql[len++] = i + 1 < n ? ',' : ')';
	}
	sql[len] = '\0';
	return sql;
}

/* Change N items: how many, or -1. */
static int64_t
change(struct db *db, const char *head, const struct values *v, size_t n)
{
	char	*sql = with_items(head, n);
	int64_t	 rows = db_exec_values(db, sql, v->list, v->n);

	free(sql);
	return rows;
}

static struct db_rows *
read_items(struct db *db, const char *head, const struct values *v, size_t n)
{
	char		*sql = with_items(head, n);
	struct db_rows	*rows = db_query_values(db, sql, v->list, v->n);

	free(sql);
	return rows;
}

/* ---- the lender ---------------------------------------------------------- */

struct offer {
	const struct lent_job *job;
	unsigned int	 position;
	char *const	*items;
	size_t		 n;
	int		 owned;
};

static int
offer(struct db *db, void *arg)
{
	/* What an attempt left that is over may still be called running. */
	static const char	 head[] =
	    "UPDATE step FORCE INDEX (PRIMARY) SET token = ?, open = 1,"
	    " helper = NULL, said = NULL, state = 'waiting', percent = 0,"
	    " ended_at = NULL, exit_status = NULL, output = NULL"
	    " WHERE state <> 'done' AND (token IS NULL"
	    " OR (token = ? AND helper IS NULL)) AND";
	struct offer		*o = arg;
	struct values		 v = { .n = 0 };
	size_t			 i;

	if (job_hold(db, &o->job->id, 1) == -1)
		return -1;
	if ((o->owned = job_owned(db, &o->job->id, o->job->token)) != 1)
		return o->owned;
	add_number(&v, o->job->token);
	add_number(&v, o->job->token);
	add_place(&v, o->job, o->position);
	for (i = 0; i < o->n; i++)
		add_item(&v, o->items[i]);
	return change(db, head, &v, o->n) == -1 ? -1 : 0;
}

int
lent_offer(struct db *db, const struct lent_job *job, unsigned int position,
    char *const *items, size_t n)
{
	struct offer	 o = { .job = job, .position = position,
	    .items = items };
	size_t		 i;

	for (i = 0; i < n; i += o.n) {
		o.items = items + i;
		o.n = n - i < LENT_MOST ? n - i : LENT_MOST;
		if (db_run(db, offer, &o) == -1)
			return -1;
		if (o.owned == 0)
			return 0;
	}
	return 1;
}

static void
tell_news(struct db_rows *rows, void (*to)(void *, const struct lent_news *),
    void *arg)
{
	struct lent_news	 n = { 0 };
	char			 state[16];
	bool			 has_helper;

	while (db_next(rows)) {
		db_uuid(rows, 0, &n.job);
		n.position = (unsigned int)db_u64(rows, 1);
		n.item = db_str(rows, 2);
		db_text(rows, 3, state, sizeof(state));
		n.state = step_state_parse(state);
		has_helper = !db_null(rows, 5);
		n.ended = n.state == STEP_DONE || n.state == STEP_FAILED;
		n.held = !n.ended && has_helper;
		n.open = !n.ended && !has_helper && db_u64(rows, 4) == 1;
		n.percent = db_double(rows, 6);
		n.attempt = (unsigned int)db_u64(rows, 7);
		n.output = db_str(rows, 8);
		n.said = db_null(rows, 9) ? NULL : db_str(rows, 9);
		to(arg, &n);
	}
}

int
lent_read(struct db *db, const struct lent_job *jobs, size_t n,
    void (*to)(void *, const struct lent_news *), void *arg)
{
	static const char	 sql[] =
	    "SELECT job_id, position, item, state, open, helper, percent,"
	    " attempt, output, said FROM step FORCE INDEX (lent)"
	    " WHERE token = ? AND job_id = ? ORDER BY position, item";
	struct db_rows		*rows;
	size_t			 i;

	for (i = 0; i < n; i++) {
		if ((rows = db_query(db, sql, "uI", jobs[i].token,
		    &jobs[i].id)) == NULL)
			return -1;
		tell_news(rows, to, arg);
		db_rows_free(rows);
	}
	return 0;
}

/* Which of N items are not lent: MINE is true of all before. */
static int
cross_out_lent(struct db *db, const struct lent_job *job,
    unsigned int position, char *const *items, size_t n, bool *mine)
{
	static const char	 head[] =
	    "SELECT item FROM step FORCE INDEX (PRIMARY)"
	    " WHERE token = ? AND";
	struct db_rows		*rows;
	struct values		 v = { .n = 0 };
	size_t			 i;

	add_number(&v, job->token);
	add_place(&v, job, position);
	for (i = 0; i < n; i++)
		add_item(&v, items[i]);
	if ((rows = read_items(db, head, &v, n)) == NULL)
		return -1;
	while (db_next(rows)) {
		for (i = 0; i < n; i++) {
			if (strcmp(items[i], db_str(rows, 0)) == 0)
				mine[i] = false;
		}
	}
	db_rows_free(rows);
	return 0;
}

struct take_back {
	const struct lent_job *job;
	unsigned int	 position;
	char *const	*items;
	size_t		 n;
	bool		*mine;
};

static int
take_back(struct db *db, void *arg)
{
	static const char	 head[] =
	    "UPDATE step FORCE INDEX (PRIMARY) SET token = NULL, open = NULL"
	    " WHERE open = 1 AND token = ? AND";
	struct take_back	*t = arg;
	struct values		 v = { .n = 0 };
	size_t			 i;
	int64_t			 rows;

	add_number(&v, t->job->token);
	add_place(&v, t->job, t->position);
	for (i = 0; i < t->n; i++) {
		add_item(&v, t->items[i]);
		t->mine[i] = true;
	}
	if ((rows = change(db, head, &v, t->n)) == -1)
		return -1;
	return rows == (int64_t)t->n ? 0 : cross_out_lent(db, t->job,
	    t->position, t->items, t->n, t->mine);
}

int
lent_take_back(struct db *db, const struct lent_job *job,
    unsigned int position, char *const *items, size_t n, bool *mine)
{
	struct take_back	 t = { .job = job, .position = position };
	size_t			 i;

	for (i = 0; i < n; i += t.n) {
		t.items = items + i;
		t.mine = mine + i;
		t.n = n - i < LENT_MOST ? n - i : LENT_MOST;
		if (db_run(db, take_back, &t) == -1)
			return -1;
	}
	return 0;
}

int
lent_want_back(struct db *db, const struct lent_job *job)
{
	static const char	 sql[] =
	    "UPDATE step FORCE INDEX (lent) SET open = 0"
	    " WHERE token = ? AND job_id = ? AND state = 'running'";

	return db_exec(db, sql, "uI", job->token, &job->id) == -1 ? -1 : 0;
}

static int
regain(struct db *db, void *arg)
{
	static const char	 sql[] =
	    "UPDATE step FORCE INDEX (PRIMARY) SET state = 'waiting',"
	    " percent = 0, token = NULL, open = NULL, helper = NULL,"
	    " said = NULL WHERE job_id = ? AND token IS NOT NULL"
	    " AND state IN ('waiting', 'running')";
	const struct lent_job	*job = arg;
	int			 owned;

	if ((owned = job_owned(db, &job->id, job->token)) != 1)
		return owned;
	return db_exec(db, sql, "I", &job->id) == -1 ? -1 : 0;
}

int
lent_regain(struct db *db, const struct lent_job *job)
{
	struct lent_job	 copy = *job;

	return db_run(db, regain, &copy);
}

/* ---- helpers: to take ---------------------------------------------------- */

int
lent_jobs(struct db *db, uint64_t helper, struct lent_job *jobs, size_t n)
{
	/* Reads all that is open, but from the index alone. */
	static const char	 sql[] =
	    "SELECT STRAIGHT_JOIN j.id, j.token FROM"
	    " (SELECT DISTINCT job_id FROM step FORCE INDEX (offers)"
	    " WHERE open = 1) o JOIN job j ON j.id = o.job_id"
	    " WHERE j.state = 'running' AND j.daemon_id <> ?"
	    " AND j.cancel = 0 LIMIT ?";
	struct db_rows		*rows;
	size_t			 i;

	if ((rows = db_query(db, sql, "uu", helper, (uint64_t)n)) == NULL)
		return -1;
	for (i = 0; i < n && db_next(rows); i++) {
		db_uuid(rows, 0, &jobs[i].id);
		jobs[i].token = db_u64(rows, 1);
	}
	db_rows_free(rows);
	return (int)i;
}

int
lent_open(struct db *db, const struct lent_job *job, struct step *steps,
    size_t n)
{
	static const char	 sql[] =
	    "SELECT position, stage, item, args, attempt"
	    " FROM step FORCE INDEX (offers)"
	    " WHERE open = 1 AND job_id = ? AND token = ? LIMIT ?";
	struct db_rows		*rows;
	struct step		*s;
	size_t			 i;

	if ((rows = db_query(db, sql, "Iuu", &job->id, job->token,
	    (uint64_t)n)) == NULL)
		return -1;
	for (i = 0; i < n && db_next(rows); i++) {
		s = &steps[i];
		s->position = (unsigned int)db_u64(rows, 0);
		db_text(rows, 1, s->stage, sizeof(s->stage));
		db_text(rows, 2, s->item, sizeof(s->item));
		db_text(rows, 3, s->args, sizeof(s->args));
		s->attempt = (unsigned int)db_u64(rows, 4) + 1;
		s->state = STEP_RUNNING;
		s->percent = 0;
		s->exit_status = -1;
		s->output[0] = '\0';
	}
	db_rows_free(rows);
	return (int)i;
}

/* Move those of N steps that a query names to the front: how many. */
static int
take_named(struct db_rows *rows, struct step *steps, size_t n)
{
	struct step	 other;
	size_t		 i, got = 0;

	if (rows == NULL)
		return -1;
	while (db_next(rows)) {
		for (i = got; i < n; i++) {
			if (strcmp(steps[i].item, db_str(rows, 0)) == 0)
				break;
		}
		if (i == n)
			continue;
		other = steps[got];
		steps[got++] = steps[i];
		steps[i] = other;
	}
	db_rows_free(rows);
	return (int)got;
}

int
lent_take(struct db *db, uint64_t helper, const struct lent_job *job,
    struct step *steps, size_t n)
{
	static const char	 take[] =
	    "UPDATE step FORCE INDEX (PRIMARY) SET open = NULL, helper = ?,"
	    " state = 'running', attempt = attempt + 1, started_at = NULL"
	    " WHERE open = 1 AND token = ? AND";
	static const char	 got[] =
	    "SELECT item FROM step FORCE INDEX (PRIMARY)"
	    " WHERE helper = ? AND token = ? AND state = 'running' AND";
	struct values		 v = { .n = 0 };
	size_t			 i;
	int64_t			 rows;

	if (n > LENT_MOST)
		n = LENT_MOST;
	if (n == 0)
		return 0;
	add_number(&v, helper);
	add_number(&v, job->token);
	add_place(&v, job, steps[0].position);
	for (i = 0; i < n; i++)
		add_item(&v, steps[i].item);
	rows = change(db, take, &v, n);
	if (rows <= 0 || rows == (int64_t)n)
		return (int)rows;
	return take_named(read_items(db, got, &v, n), steps, n);
}

/* ---- helpers: what is held ----------------------------------------------- */

#define HELD \
	" WHERE job_id = ? AND position = ? AND item = ?" \
	" AND helper = ? AND token = ? AND state = 'running'"
#define HELD_TYPES	"Iusuu"
#define HELD_VALUES(helper, job, step) \
	&(job)->id, (uint64_t)(step)->position, (step)->item, helper, \
	(job)->token

int
lent_working(struct db *db, uint64_t helper, const struct lent_job *job,
    const struct step *step)
{
	static const char	 sql[] =
	    "UPDATE step FORCE INDEX (PRIMARY) SET percent = ?,"
	    " started_at = COALESCE(started_at, NOW(3))" HELD;

	return (int)db_exec(db, sql, "d" HELD_TYPES, step->percent,
	    HELD_VALUES(helper, job, step));
}

int
lent_end(struct db *db, uint64_t helper, const struct lent_job *job,
    const struct step *step, const char *said)
{
	static const char	 sql[] =
	    "UPDATE step FORCE INDEX (PRIMARY) SET state = ?, percent = ?,"
	    " started_at = COALESCE(started_at, NOW(3)), ended_at = NOW(3),"
	    " exit_status = NULLIF(?, -1), output = ?, said = ?" HELD;

	return (int)db_exec(db, sql, "sdiss" HELD_TYPES,
	    step_state_name(step->state), step->percent,
	    (int64_t)step->exit_status, step->output, said,
	    HELD_VALUES(helper, job, step));
}

int
lent_return(struct db *db, uint64_t helper, const struct lent_job *job,
    const struct step *step, enum lent_begun begun)
{
	static const char	 sql[] =
	    "UPDATE step FORCE INDEX (PRIMARY) SET state = 'waiting',"
	    " percent = 0, attempt = attempt - ?, helper = NULL, open = NULL"
	    HELD;

	return (int)db_exec(db, sql, "u" HELD_TYPES,
	    (uint64_t)(begun == LENT_NOT_BEGUN),
	    HELD_VALUES(helper, job, step));
}

int
lent_held(struct db *db, uint64_t helper,
    void (*to)(void *, const struct lent_held *), void *arg)
{
	static const char	 sql[] =
	    "SELECT s.job_id, s.token, s.position, s.item,"
	    " COALESCE(s.open, 1) = 0, COALESCE(j.cancel, 0),"
	    " j.id IS NULL OR j.token <> s.token OR j.state <> 'running'"
	    " FROM step s FORCE INDEX (of_helper)"
	    " LEFT JOIN job j ON j.id = s.job_id"
	    " WHERE s.helper = ? AND s.state = 'running'";
	struct lent_held	 h;
	struct db_rows		*rows;

	if ((rows = db_query(db, sql, "u", helper)) == NULL)
		return -1;
	while (db_next(rows)) {
		db_uuid(rows, 0, &h.job.id);
		h.job.token = db_u64(rows, 1);
		h.position = (unsigned int)db_u64(rows, 2);
		h.item = db_str(rows, 3);
		h.wanted = db_u64(rows, 4) != 0;
		h.cancelled = db_u64(rows, 5) != 0;
		h.over = db_u64(rows, 6) != 0;
		to(arg, &h);
	}
	db_rows_free(rows);
	return 0;
}

/*
 * Do it to all that HELPER holds: first they are read, then each is changed by
 * its primary key, as everybody else does, and so in no other order of locks.
 * How many, or -1.
 */
static int
change_held(struct db *db, uint64_t helper,
    int (*one)(struct db *, uint64_t, const struct uuid *, uint64_t position,
    const char *item))
{
	static const char	 sql[] =
	    "SELECT job_id, position, item FROM step FORCE INDEX (of_helper)"
	    " WHERE helper = ? AND state = 'running'"
	    " ORDER BY job_id, position, item";
	struct db_rows		*rows;
	struct uuid		 job;
	int			 n, sum = 0;

	if ((rows = db_query(db, sql, "u", helper)) == NULL)
		return -1;
	while (db_next(rows)) {
		db_uuid(rows, 0, &job);
		n = one(db, helper, &job, db_u64(rows, 1), db_str(rows, 2));
		if (n == -1) {
			db_rows_free(rows);
			return -1;
		}
		sum += n;
	}
	db_rows_free(rows);
	return sum;
}

#define OF_HELPER \
	" WHERE job_id = ? AND position = ? AND item = ?" \
	" AND helper = ? AND state = 'running'"

static int
release(struct db *db, uint64_t helper, const struct uuid *job,
    uint64_t position, const char *item)
{
	static const char	 sql[] =
	    "UPDATE step FORCE INDEX (PRIMARY) SET state = 'waiting',"
	    " percent = 0, helper = NULL, open = NULL" OF_HELPER;

	return (int)db_exec(db, sql, "Iusu", job, position, item, helper);
}

static int
lost(struct db *db, uint64_t helper, const struct uuid *job,
    uint64_t position, const char *item)
{
	static const char	 begun[] =
	    "UPDATE step FORCE INDEX (PRIMARY) SET state = 'failed',"
	    " ended_at = NOW(3), open = NULL, said = NULL" OF_HELPER
	    " AND (started_at IS NOT NULL OR attempt >= ?)";
	int			 n;

	n = (int)db_exec(db, begun, "Iusuu", job, position, item, helper,
	    (uint64_t)LOSSES);
	return n != 0 ? n : release(db, helper, job, position, item);
}

int
lent_release(struct db *db, uint64_t helper)
{
	return change_held(db, helper, release);
}

int
lent_lost(struct db *db, uint64_t helper)
{
	return change_held(db, helper, lost);
}
