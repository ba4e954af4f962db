/*
 * Table event: what clients were shown, in order.
 */

#include "event.h"

#include <stdlib.h>
#include <string.h>

#include "job.h"
#include "log.h"

#define COLUMNS \
	"job_id, seq, at, state, phase, stage, stage_progress, progress," \
	" eta_s, items_done, items_total, step, message, started_at"

static void
from_row(const struct db_rows *row, struct event *e)
{
	unsigned int	 i = 0;

	memset(e, 0, sizeof(*e));
	db_uuid(row, i++, &e->job_id);
	e->seq = (uint32_t)db_u64(row, i++);
	db_text(row, i++, e->at, sizeof(e->at));
	if ((e->state = job_state_parse(db_str(row, i++))) == -1)
		e->state = JOB_FAILED;	/* as in job.c */
	db_text(row, i++, e->phase, sizeof(e->phase));
	db_text(row, i++, e->stage, sizeof(e->stage));
	e->stage_progress = db_double(row, i++);
	e->progress = db_double(row, i++);
	e->eta_s = db_null(row, i) ? -1 : (int)db_u64(row, i);
	i++;
	e->items_done = (unsigned int)db_u64(row, i++);
	e->items_total = (unsigned int)db_u64(row, i++);
	db_text(row, i++, e->step, sizeof(e->step));
	db_text(row, i++, e->message, sizeof(e->message));
	db_text(row, i++, e->started_at, sizeof(e->started_at));
}

static int
take(struct db_rows *rows, struct event *events, size_t n)
{
	size_t	 i = 0;

	if (rows == NULL)
		return -1;
	while (i < n && db_next(rows))
		from_row(rows, &events[i++]);
	db_rows_free(rows);
	return (int)i;
}

int
event_list(struct db *db, const struct uuid *job, uint32_t after,
    struct event *events, size_t n)
{
	static const char	 sql[] =
	    "SELECT " COLUMNS " FROM event WHERE job_id = ? AND seq > ?"
	    " ORDER BY seq LIMIT ?";

	return take(db_query(db, sql, "Iuu", job, (uint64_t)after, (uint64_t)n),
	    events, n);
}

int
event_last(struct db *db, const struct uuid *job, struct event *events,
    size_t n)
{
	static const char	 sql[] =
	    "SELECT * FROM (SELECT " COLUMNS " FROM event WHERE job_id = ?"
	    " ORDER BY seq DESC LIMIT ?) last ORDER BY seq";

	return take(db_query(db, sql, "Iu", job, (uint64_t)n), events, n);
}

int
event_missing(struct db *db, const struct event_want *wants, size_t n,
    unsigned int most, struct event *events, size_t room)
{
	static const char	 select[] =
	    "SELECT " COLUMNS " FROM event WHERE ";
	static const char	 one[] = "(job_id = ? AND seq BETWEEN ? AND ?)";
	static const char	 order[] = " ORDER BY job_id, seq LIMIT ?";
	struct db_value		*v, *values;
	size_t			 i, size;
	struct db_rows		*rows;
	char			*sql;

	size = sizeof(select) + n * (sizeof(one) + 4) + sizeof(order);
	sql = xmalloc(size);
	strlcpy(sql, select, size);
	v = values = xcalloc(3 * n + 1, sizeof(*values));
	for (i = 0; i < n; i++) {
		strlcat(sql, i > 0 ? " OR " : "", size);
		strlcat(sql, one, size);
		*v++ = (struct db_value){ 'I', .id = &wants[i].job };
		*v++ = (struct db_value){ 'u',
		    .u = (uint64_t)wants[i].after + 1 };
		*v++ = (struct db_value){ 'u',
		    .u = (uint64_t)wants[i].after + most };
	}
	strlcat(sql, order, size);
	*v++ = (struct db_value){ 'u', .u = room };
	rows = db_query_values(db, sql, values, (size_t)(v - values));
	free(values);
	free(sql);
	return take(rows, events, room);
}
