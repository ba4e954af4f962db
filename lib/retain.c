/*
 * Tables retention and gone: how long ended jobs are kept, and what is left of
 * those that are not.
 */

#include "retain.h"

#include <stdio.h>
#include <stdlib.h>

#include "db.h"
#include "log.h"

int
retain_say(struct db *db, const char *pipeline, unsigned int retain_s)
{
	static const char	 sql[] =
	    "INSERT INTO retention (pipeline, retain_s, said_at)"
	    " VALUES (?, ?, NOW(3)) ON DUPLICATE KEY UPDATE"
	    " retain_s = VALUES(retain_s), said_at = VALUES(said_at)";

	return db_exec(db, sql, "su", pipeline, (uint64_t)retain_s) == -1 ?
	    -1 : 0;
}

int
retain_said(struct db *db, const char *pipeline, unsigned int *retain_s)
{
	static const char	 sql[] =
	    "SELECT retain_s FROM retention WHERE pipeline = ?";
	struct db_rows		*row;

	if ((row = db_one(db, sql, "s", pipeline)) == NULL)
		return db_error(db) == DB_OK ? 0 : -1;
	*retain_s = (unsigned int)db_u64(row, 0);
	db_rows_free(row);
	return 1;
}

int
retain_lock(struct db *db)
{
	static const char	 sql[] =
	    "SELECT GET_LOCK(CONCAT('millrace sweep ', DATABASE()), 0)";
	struct db_rows		*row;
	int			 got;

	if ((row = db_one(db, sql, "")) == NULL)
		return -1;
	got = db_null(row, 0) ? -1 : (int)db_u64(row, 0);
	db_rows_free(row);
	return got;
}

/* ---- what is left of a job ----------------------------------------------- */

int
gone_add(struct db *db, const struct uuid *ids, size_t n)
{
	return db_exec_ids(db, "INSERT IGNORE INTO gone (job_id, token,"
	    " upload_id) SELECT id, token, upload_id FROM job FORCE INDEX"
	    " (PRIMARY) WHERE id IN ", ids, n, "") == -1 ? -1 : 0;
}

int
gone_list(struct db *db, const struct uuid *after, struct gone *list, size_t n)
{
	static const char	 sql[] =
	    "SELECT job_id, token, upload_id FROM gone WHERE job_id > ?"
	    " ORDER BY job_id LIMIT ?";
	struct db_rows		*rows;
	size_t			 i;

	if ((rows = db_query(db, sql, "Iu", after, (uint64_t)n)) == NULL)
		return -1;
	for (i = 0; i < n && db_next(rows); i++) {
		db_uuid(rows, 0, &list[i].id);
		list[i].token = db_u64(rows, 1);
		db_uuid(rows, 2, &list[i].upload_id);
	}
	db_rows_free(rows);
	return (int)i;
}

/*
 * Keys first, and then the rows by their keys: a plain DELETE with a LIMIT may
 * go through the whole table when its statistics are old, and wait for rows
 * that are none of these.  In the order of the keys, so that two who do the
 * same do not lock crosswise.
 */
#define REMOVE(table, key, same) {					\
	"DELETE t FROM (SELECT " key " FROM " table " FORCE INDEX (PRIMARY)" \
	    " WHERE job_id IN ",					\
	" ORDER BY " key,						\
	") k STRAIGHT_JOIN " table " t FORCE INDEX (PRIMARY) ON"	\
	    " t.job_id = k.job_id AND " same				\
}

int
gone_rows(struct db *db, const struct uuid *ids, size_t n, unsigned int most)
{
	static const struct {
		const char	*first, *order, *then;
	} tables[] = {
		REMOVE("event", "job_id, seq", "t.seq = k.seq"),
		REMOVE("step", "job_id, position, item",
		    "t.position = k.position AND t.item = k.item"),
		REMOVE("artifact", "job_id, position",
		    "t.position = k.position"),
	};
	char			 suffix[256];
	int64_t			 removed;
	unsigned int		 left = most;
	size_t			 i;

	for (i = 0; left > 0 && i < sizeof(tables) / sizeof(tables[0]); i++) {
		snprintf(suffix, sizeof(suffix), "%s LIMIT %u%s",
		    tables[i].order, left, tables[i].then);
		if ((removed = db_exec_ids(db, tables[i].first, ids, n,
		    suffix)) == -1)
			return -1;
		left -= (unsigned int)removed;
	}
	return (int)(most - left);
}

int
gone_forget(struct db *db, const struct uuid *ids, size_t n)
{
	return db_exec_ids(db, "DELETE g FROM gone g FORCE INDEX (PRIMARY)"
	    " WHERE job_id IN ", ids, n, "") == -1 ? -1 : 0;
}
