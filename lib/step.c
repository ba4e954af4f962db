/*
 * Table step: one stage of one job; of an "each" stage, one item.
 */

#include "step.h"

#include <stdlib.h>
#include <string.h>

#include "log.h"

/* Rows that are inserted by one statement, at most. */
#define AT_ONCE		200

static const char *const names[] = {
	[STEP_WAITING]	= "waiting",
	[STEP_RUNNING]	= "running",
	[STEP_DONE]	= "done",
	[STEP_FAILED]	= "failed",
};

const char *
step_state_name(enum step_state state)
{
	return names[state];
}

enum step_state
step_state_parse(const char *text)
{
	size_t	 i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(text, names[i]) == 0)
			return (enum step_state)i;
	}
	return STEP_FAILED;
}

/* All that says that a row is in other hands. */
#define NOT_LENT \
	" token = NULL, open = NULL, helper = NULL, said = NULL"

/* Some of them, in one statement. */
static int
plan_some(struct db *db, const struct uuid *job, const struct step_new *steps,
    size_t n)
{
	static const char	 insert[] =
	    "INSERT IGNORE INTO step (job_id, position, item, stage, args)"
	    " VALUES ";
	static const char	 row[] = "(?,?,?,?,?),";
	struct db_value		 values[5 * AT_ONCE], *v = values;
	char			 sql[sizeof(insert) + AT_ONCE * sizeof(row)];
	const struct step_new	*s;
	size_t			 len = strlcpy(sql, insert, sizeof(sql));

	for (s = steps; s < steps + n; s++) {
		len += strlcpy(sql + len, row, sizeof(sql) - len);
		*v++ = (struct db_value){ 'I', .id = job };
		*v++ = (struct db_value){ 'u', .u = s->position };
		*v++ = (struct db_value){ 's', .s = s->item };
		*v++ = (struct db_value){ 's', .s = s->stage };
		*v++ = (struct db_value){ 's', .s = s->args };
	}
	sql[len - 1] = '\0';		/* the last comma */
	return db_exec_values(db, sql, values, 5 * n) == -1 ? -1 : 0;
}

int
step_plan(struct db *db, const struct uuid *job, const struct step_new *steps,
    size_t n)
{
	size_t	 some;

	for (; n > 0; steps += some, n -= some) {
		some = n < AT_ONCE ? n : AT_ONCE;
		if (plan_some(db, job, steps, some) == -1)
			return -1;
	}
	return 0;
}

int
step_save(struct db *db, const struct uuid *job, const struct step_now *step)
{
	static const char	 sql[] =
	    "UPDATE step SET started_at = IF(attempt <> ?, NOW(3),"
	    "  COALESCE(started_at, NOW(3))),"	/* before it is set */
	    " state = ?, percent = ?, attempt = ?, failures = ?, crashes = ?,"
	    " due = IF(? > 0, NOW(3) + INTERVAL ? SECOND, NULL),"
	    " ended_at = IF(? IN ('done', 'failed'), NOW(3), NULL),"
	    " exit_status = NULLIF(?, -1), output = ?," NOT_LENT
	    " WHERE job_id = ? AND position = ? AND item = ?"
	    " AND (token IS NULL OR token = ?)";
	const char		*state = step_state_name(step->state);

	return db_exec(db, sql, "usduuuuusisIusu", (uint64_t)step->attempt,
	    state, step->percent, (uint64_t)step->attempt,
	    (uint64_t)step->failures, (uint64_t)step->crashes,
	    (uint64_t)step->pause_s, (uint64_t)step->pause_s, state,
	    (int64_t)step->exit_status, step->output, job,
	    (uint64_t)step->position, step->item, step->token) == -1 ? -1 : 0;
}

int
step_stop(struct db *db, const struct uuid *job)
{
	static const char	 sql[] =
	    "UPDATE step SET state = 'waiting' WHERE job_id = ?"
	    " AND state = 'running' AND token IS NULL";
	/* The job may be cancelled now, and nobody have it again: who looks
	   for open ones would find them for ever. */
	static const char	 close[] =
	    "UPDATE step FORCE INDEX (offers) SET open = NULL"
	    " WHERE open = 1 AND job_id = ?";

	if (db_exec(db, close, "I", job) == -1)
		return -1;
	return (int)db_exec(db, sql, "I", job);
}

#define WAIT_AGAIN \
	"UPDATE step SET state = 'waiting', percent = 0, failures = 0," \
	" crashes = 0, due = NULL, started_at = NULL, ended_at = NULL," \
	" exit_status = NULL, output = NULL," NOT_LENT " WHERE job_id = ?"

int
step_reset(struct db *db, const struct uuid *job, unsigned int position,
    unsigned int keep)
{
	static const char	 items[] =
	    "DELETE FROM step WHERE job_id = ? AND position > ? AND item <> ''";
	static const char	 rest[] = WAIT_AGAIN " AND position >= ?";

	if (db_exec(db, items, "Iu", job, (uint64_t)keep) == -1 ||
	    db_exec(db, rest, "Iu", job, (uint64_t)position) == -1)
		return -1;
	return 0;
}

int
step_resume(struct db *db, const struct uuid *job, unsigned int position)
{
	static const char	 sql[] =
	    WAIT_AGAIN " AND state <> 'done' AND position >= ?";

	return db_exec(db, sql, "Iu", job, (uint64_t)position) == -1 ? -1 : 0;
}

int
step_forget(struct db *db, const struct uuid *job)
{
	static const char	 sql[] = "DELETE FROM step WHERE job_id = ?";

	return db_exec(db, sql, "I", job) == -1 ? -1 : 0;
}

static void
from_row(const struct db_rows *row, struct step *s)
{
	s->position = (unsigned int)db_u64(row, 0);
	db_text(row, 1, s->stage, sizeof(s->stage));
	db_text(row, 2, s->item, sizeof(s->item));
	db_text(row, 3, s->args, sizeof(s->args));
	s->state = step_state_parse(db_str(row, 4));
	s->percent = db_double(row, 5);
	s->attempt = (unsigned int)db_u64(row, 6);
	s->failures = (unsigned int)db_u64(row, 7);
	s->crashes = (unsigned int)db_u64(row, 8);
	s->token = db_u64(row, 9);
	db_text(row, 10, s->started_at, sizeof(s->started_at));
	db_text(row, 11, s->ended_at, sizeof(s->ended_at));
	s->exit_status = db_null(row, 12) ? -1 : (int)db_u64(row, 12);
	db_text(row, 13, s->output, sizeof(s->output));
}

int
step_list(struct db *db, const struct uuid *job, const struct step_want *want,
    struct step *steps)
{
	static const char	 sql[] =
	    "SELECT position, stage, item, args, state, percent, attempt,"
	    " failures, crashes, COALESCE(token, 0), started_at, ended_at,"
	    " exit_status, output FROM step WHERE job_id = ?"
	    " AND position >= ? AND (position > ? OR item >= ?)"
	    " AND stage = COALESCE(?, stage) AND state = COALESCE(?, state)"
	    " ORDER BY position, item LIMIT ?";
	struct db_rows		*rows;
	unsigned int		 n = 0;

	if ((rows = db_query(db, sql, "Iuusssu", job, (uint64_t)want->position,
	    (uint64_t)want->position, want->item, want->stage, want->state,
	    (uint64_t)want->limit)) == NULL)
		return -1;
	while (n < want->limit && db_next(rows))
		from_row(rows, &steps[n++]);
	db_rows_free(rows);
	return (int)n;
}

int
step_sums(struct db *db, const struct uuid *job, struct step_sum **sums)
{
	static const char	 sql[] =
	    "SELECT position, MAX(stage), SUM(state = 'waiting'),"
	    " SUM(state = 'running'), SUM(state = 'done'),"
	    " SUM(state = 'failed'), AVG(percent), MAX(attempt),"
	    " MIN(started_at), MAX(ended_at) FROM step"
	    " WHERE job_id = ? GROUP BY position ORDER BY position";
	struct db_rows		*rows;
	struct step_sum		*s;
	size_t			 n = 0, room = 0;
	unsigned int		 state;

	*sums = NULL;
	if ((rows = db_query(db, sql, "I", job)) == NULL)
		return -1;
	for (; db_next(rows); n++) {
		if (n == room) {
			room = room == 0 ? 16 : room * 2;
			*sums = xreallocarray(*sums, room, sizeof(**sums));
		}
		s = &(*sums)[n];
		s->position = (unsigned int)db_u64(rows, 0);
		db_text(rows, 1, s->stage, sizeof(s->stage));
		for (state = 0; state < STEP_STATES; state++)
			s->n[state] = (unsigned int)db_u64(rows, 2 + state);
		s->percent = db_double(rows, 6);
		s->attempt = (unsigned int)db_u64(rows, 7);
		db_text(rows, 8, s->started_at, sizeof(s->started_at));
		db_text(rows, 9, s->ended_at, sizeof(s->ended_at));
	}
	db_rows_free(rows);
	return (int)n;
}

int
step_briefs(struct db *db, const struct uuid *job, struct step_brief **steps)
{
	static const char	 sql[] =
	    "SELECT position, stage, item, args, state, percent, attempt,"
	    " failures, crashes, COALESCE(token, 0),"
	    " GREATEST(COALESCE(TIMESTAMPDIFF(SECOND, NOW(3), due), 0), 0)"
	    " FROM step WHERE job_id = ? ORDER BY position, item";
	struct db_rows		*rows;
	size_t			 n = 0, room = 0;

	*steps = NULL;
	if ((rows = db_query(db, sql, "I", job)) == NULL)
		return -1;
	for (; db_next(rows); n++) {
		if (n == room) {
			room = room == 0 ? 16 : room * 2;
			*steps = xreallocarray(*steps, room, sizeof(**steps));
		}
		(*steps)[n] = (struct step_brief){
			.position = (unsigned int)db_u64(rows, 0),
			.stage = xstrdup(db_str(rows, 1)),
			.item = xstrdup(db_str(rows, 2)),
			.args = xstrdup(db_str(rows, 3)),
			.state = step_state_parse(db_str(rows, 4)),
			.percent = db_double(rows, 5),
			.attempt = (unsigned int)db_u64(rows, 6),
			.failures = (unsigned int)db_u64(rows, 7),
			.crashes = (unsigned int)db_u64(rows, 8),
			.token = db_u64(rows, 9),
			.pause_s = (unsigned int)db_u64(rows, 10)
		};
	}
	db_rows_free(rows);
	return (int)n;
}

void
step_briefs_free(struct step_brief *steps, size_t n)
{
	size_t	 i;

	for (i = 0; i < n; i++) {
		free(steps[i].stage);
		free(steps[i].item);
		free(steps[i].args);
	}
	free(steps);
}
