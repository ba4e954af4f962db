/*
 * Table uniq: requests that carry an Idempotency-Key.
 */

#include "uniq.h"

#include <string.h>

int
uniq_add(struct db *db, uint64_t user_id, const char *key,
    const unsigned char request[UNIQ_REQUEST], const struct uuid *job)
{
	static const char	 insert[] =
	    "INSERT INTO uniq (user_id, name, request, job_id)"
	    " VALUES (?, ?, ?, ?)";

	return db_exec(db, insert, "ubbI", user_id, key, strlen(key), request,
	    (size_t)UNIQ_REQUEST, job) == 1 ? 0 : -1;
}

int
uniq_find(struct db *db, uint64_t user_id, const char *key,
    unsigned char request[UNIQ_REQUEST], struct uuid *job)
{
	static const char	 find[] =
	    "SELECT request, job_id FROM uniq WHERE user_id = ? AND name = ?";
	struct db_rows		*row;
	const void		*bytes;
	size_t			 len;

	row = db_one(db, find, "ub", user_id, key, strlen(key));
	if (row == NULL)
		return db_error(db) == DB_OK ? 0 : -1;
	memset(request, 0, UNIQ_REQUEST);
	bytes = db_bytes(row, 0, &len);
	memcpy(request, bytes, len < UNIQ_REQUEST ? len : UNIQ_REQUEST);
	db_uuid(row, 1, job);
	db_rows_free(row);
	return 1;
}

int
uniq_sweep(struct db *db)
{
	static const char	 old[] =
	    "DELETE FROM uniq WHERE created_at < NOW(3) - INTERVAL 1 DAY"
	    " LIMIT 1000";

	return (int)db_exec(db, old, "");
}
