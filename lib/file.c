/*
 * Tables upload and artifact, and where the files are that they tell of.
 */

#include "file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"

/* ---- paths -------------------------------------------------------------- */

/*
 * The last digits of an id are random, the first ones a time: by the last,
 * files spread evenly over 256 directories.
 */
void
file_upload_path(const struct uuid *id, char path[FILE_PATH])
{
	char	 text[UUID_TEXT];

	uuid_text(id, text);
	snprintf(path, FILE_PATH, "uploads/%s/%s", text + strlen(text) - 2,
	    text);
}

void
file_work_path(const struct uuid *job, char path[FILE_PATH])
{
	char	 text[UUID_TEXT];

	snprintf(path, FILE_PATH, "work/%s", uuid_text(job, text));
}

void
file_aside_path(const struct uuid *job, uint64_t token, char path[FILE_PATH])
{
	char	 text[UUID_TEXT];

	snprintf(path, FILE_PATH, "work/%s-%llu", uuid_text(job, text),
	    (unsigned long long)token);
}

void
file_results_path(const struct uuid *job, uint64_t token, char path[FILE_PATH])
{
	char	 text[UUID_TEXT];

	snprintf(path, FILE_PATH, "results/%s-%llu", uuid_text(job, text),
	    (unsigned long long)token);
}

/* ---- uploads ------------------------------------------------------------ */

int
upload_add(struct db *db, const struct upload *u)
{
	static const char	 insert[] =
	    "INSERT INTO upload (id, user_id, name, type, size)"
	    " VALUES (?, ?, ?, ?, ?)";

	return db_exec(db, insert, "Iussu", &u->id, u->user_id, u->name,
	    u->type, u->size) == 1 ? 0 : -1;
}

int
upload_find(struct db *db, const struct uuid *id, struct upload *u)
{
	static const char	 find[] =
	    "SELECT id, user_id, name, type, size, created_at FROM upload"
	    " WHERE id = ?";
	struct db_rows		*row;

	if ((row = db_one(db, find, "I", id)) == NULL)
		return -1;
	memset(u, 0, sizeof(*u));
	db_uuid(row, 0, &u->id);
	u->user_id = db_u64(row, 1);
	db_text(row, 2, u->name, sizeof(u->name));
	db_text(row, 3, u->type, sizeof(u->type));
	u->size = db_u64(row, 4);
	db_text(row, 5, u->created_at, sizeof(u->created_at));
	db_rows_free(row);
	return 0;
}

int
upload_hold(struct db *db, const struct uuid *id)
{
	static const char	 sql[] =
	    "SELECT 1 FROM upload WHERE id = ? LOCK IN SHARE MODE";
	struct db_rows		*row;

	if ((row = db_one(db, sql, "I", id)) == NULL)
		return db_error(db) == DB_OK ? 0 : -1;
	db_rows_free(row);
	return 1;
}

struct release {
	const struct uuid *id;
	int		 gone;
};

/*
 * First the lock, then the look: who makes a job of this upload at the same
 * time holds it until that job can be seen.
 */
static int
release(struct db *db, void *arg)
{
	static const char	 lock[] =
	    "SELECT 1 FROM upload WHERE id = ? FOR UPDATE";
	static const char	 sql[] =
	    "DELETE FROM upload WHERE id = ? AND NOT EXISTS"
	    " (SELECT 1 FROM job WHERE upload_id = ?)";
	struct release		*r = arg;
	struct db_rows		*row;

	r->gone = 0;
	if ((row = db_one(db, lock, "I", r->id)) == NULL)
		return db_error(db) == DB_OK ? 0 : -1;
	db_rows_free(row);
	r->gone = (int)db_exec(db, sql, "II", r->id, r->id);
	return r->gone == -1 ? -1 : 0;
}

int
upload_release(struct db *db, const struct uuid *id)
{
	struct release	 r = { .id = id };

	return db_run(db, release, &r) == -1 ? -1 : r.gone;
}

int
upload_unused(struct db *db, struct uuid *after, unsigned int older_s,
    struct uuid *ids, size_t n, size_t *found)
{
	static const char	 sql[] =
	    "SELECT u.id, u.created_at < NOW(3) - INTERVAL ? SECOND AND"
	    " NOT EXISTS (SELECT 1 FROM job j WHERE j.upload_id = u.id)"
	    " FROM upload u WHERE u.id > ? ORDER BY u.id LIMIT ?";
	struct db_rows		*rows;
	int			 seen = 0;

	*found = 0;
	if ((rows = db_query(db, sql, "uIu", (uint64_t)older_s, after,
	    (uint64_t)n)) == NULL)
		return -1;
	for (; db_next(rows); seen++) {
		db_uuid(rows, 0, after);
		if (db_u64(rows, 1) != 0)
			ids[(*found)++] = *after;
	}
	db_rows_free(rows);
	return seen;
}

int
upload_known(struct db *db, const struct uuid *ids, size_t n,
    struct uuid *known)
{
	struct db_rows	*rows;
	size_t		 i;

	if ((rows = db_query_ids(db, "SELECT id FROM upload WHERE id IN ",
	    ids, n, "")) == NULL)
		return -1;
	for (i = 0; i < n && db_next(rows); i++)
		db_uuid(rows, 0, &known[i]);
	db_rows_free(rows);
	return (int)i;
}

/* ---- results ------------------------------------------------------------ */

#define ARTIFACT_COLUMNS	"name, path, type, size, sha256"

static void
from_row(const struct db_rows *row, struct artifact *a)
{
	memset(a, 0, sizeof(*a));
	db_text(row, 0, a->name, sizeof(a->name));
	db_text(row, 1, a->path, sizeof(a->path));
	db_text(row, 2, a->type, sizeof(a->type));
	a->size = db_u64(row, 3);
	db_text(row, 4, a->sha256, sizeof(a->sha256));
}

int
artifact_replace(struct db *db, const struct uuid *job,
    const struct artifact *list, size_t n)
{
	static const char	 clear[] =
	    "DELETE FROM artifact WHERE job_id = ?";
	static const char	 insert[] =
	    "INSERT INTO artifact (job_id, position, " ARTIFACT_COLUMNS ")"
	    " VALUES (?, ?, ?, ?, ?, ?, ?)";
	const struct artifact	*a;
	size_t			 i;

	if (db_exec(db, clear, "I", job) == -1)
		return -1;
	for (i = 0; i < n; i++) {
		a = &list[i];
		if (db_exec(db, insert, "Iusssus", job, (uint64_t)i, a->name,
		    a->path, a->type, a->size, a->sha256) != 1)
			return -1;
	}
	return 0;
}

int
artifact_list(struct db *db, const struct uuid *job, struct artifact **list)
{
	static const char	 all[] =
	    "SELECT " ARTIFACT_COLUMNS " FROM artifact WHERE job_id = ?"
	    " ORDER BY position";
	struct db_rows		*rows;
	size_t			 n = 0;

	*list = NULL;
	if ((rows = db_query(db, all, "I", job)) == NULL)
		return -1;
	while (db_next(rows)) {
		if (n % 64 == 0)
			*list = xreallocarray(*list, n + 64, sizeof(**list));
		from_row(rows, &(*list)[n++]);
	}
	db_rows_free(rows);
	return (int)n;
}

int
artifact_find(struct db *db, const struct uuid *job, const char *name,
    struct artifact *a)
{
	static const char	 find[] =
	    "SELECT " ARTIFACT_COLUMNS " FROM artifact WHERE job_id = ?"
	    " AND name = ?";
	struct db_rows		*row;

	if ((row = db_one(db, find, "Is", job, name)) == NULL)
		return -1;
	from_row(row, a);
	db_rows_free(row);
	return 0;
}
