/*
 * The database: one connection, statements with bound values, rows.
 *
 * This is the only file that knows the client library.  A statement is
 * prepared the first time its text (by address: use static strings) is seen
 * on a connection and kept.  There is no call without a time limit.  A
 * connection that was lost is made again by the next call outside a
 * transaction.
 *
 * Values are given by a string of letters, one for each "?":
 *
 *	s	const char *		text; NULL is NULL
 *	u	uint64_t		(cast it: the compiler cannot see)
 *	i	int64_t
 *	d	double
 *	b	const void *, size_t	bytes; NULL is NULL
 *	I	const struct uuid *	an id; NULL is NULL
 */

#ifndef MILLRACE_DB_H
#define MILLRACE_DB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct conf;
struct db;
struct db_rows;
struct uuid;

/* What went wrong with the last call, as far as a caller cares. */
enum db_error {
	DB_OK,
	DB_DUPLICATE,		/* 1062: a unique key has it already */
	DB_AGAIN,		/* 1213, 1205, 1020, 3572: roll back, do it
				   again */
	DB_AWAY,		/* not there, lost, full, read-only: later */
	DB_WRONG		/* anything else: a defect, it was logged */
};

/*
 * db_open	Prepare to talk to the database as the account of PROGRAM;
 *		connects on first use.  Each thread has its own.
 * db_account	The user and password that PROGRAM connects with; both are to
 *		be freed.  A password file that cannot be read is fatal.
 * db_patience	Let statements of this connection take SECONDS, from the next
 *		connect on: for schema steps.  Others are ended after 3 s.
 * db_alive	0 when the server answers now, else -1.
 * db_error	Of the last call.
 * db_exec	Run a statement.  Rows inserted, deleted, or matched by an
 *		UPDATE (changed or not), or -1.
 * db_query	Run a statement that returns rows: all of them are fetched.
 *		NULL on error.  db_rows_free(NULL) does nothing.
 * db_next	Go to the next row; false after the last.
 * db_one	db_query and its first row; NULL with DB_OK when there is none.
 */
struct db	*db_open(const struct conf *, const char *program);
void		 db_account(const struct conf *, const char *program,
		    char **user, char **password);
void		 db_patience(struct db *, unsigned int seconds);
void		 db_close(struct db *);
int		 db_alive(struct db *);
enum db_error	 db_error(const struct db *);
int64_t		 db_exec(struct db *, const char *sql, const char *types, ...);
struct db_rows	*db_query(struct db *, const char *sql, const char *types, ...);
bool		 db_next(struct db_rows *);
struct db_rows	*db_one(struct db *, const char *sql, const char *types, ...);
void		 db_rows_free(struct db_rows *);

/*
 * For statements whose text is made at run time, as lists of ids: prepared,
 * run and forgotten.
 *
 * db_list	"PREFIX(?,?,...)SUFFIX" for N values; to be freed.
 * db_exec_ids, db_query_ids	The same with N ids, as a statement without
 *		other values: db_exec and db_query of that.
 */
struct db_value {
	char		 type;		/* one of the letters above */
	union {
		const char	*s;
		uint64_t	 u;
		int64_t		 i;
		double		 d;
		struct { const void *p; size_t len; } b;
		const struct uuid *id;
	};
};
int64_t		 db_exec_values(struct db *, const char *sql,
		    const struct db_value *, size_t n);
struct db_rows	*db_query_values(struct db *, const char *sql,
		    const struct db_value *, size_t n);
char		*db_list(const char *prefix, size_t n, const char *suffix);
int64_t		 db_exec_ids(struct db *, const char *prefix,
		    const struct uuid *, size_t n, const char *suffix);
struct db_rows	*db_query_ids(struct db *, const char *prefix,
		    const struct uuid *, size_t n, const char *suffix);

/*
 * Columns of the current row, from 0.  The pointers die with the rows.
 * db_str gives "" for NULL; db_text copies into a buffer, cut to fit.
 */
bool		 db_null(const struct db_rows *, unsigned int);
const char	*db_str(const struct db_rows *, unsigned int);
const void	*db_bytes(const struct db_rows *, unsigned int, size_t *len);
uint64_t	 db_u64(const struct db_rows *, unsigned int);
double		 db_double(const struct db_rows *, unsigned int);
void		 db_text(const struct db_rows *, unsigned int, char *, size_t);
void		 db_uuid(const struct db_rows *, unsigned int, struct uuid *);

/*
 * A transaction.  The first failure inside makes every later call fail until
 * db_rollback; so a caller may check db_commit alone.  db_commit that fails
 * has rolled back, except with DB_AWAY, where the outcome is unknown.
 */
int		 db_begin(struct db *);
int		 db_commit(struct db *);
void		 db_rollback(struct db *);

/*
 * db_before_commit Call FN(DB, ARG) when this transaction is about to commit:
 *		what it writes is the last.  It returns 0, or -1 to roll back.
 *		There is one such FN for a transaction.  Returns the number of
 *		the transaction, which no other one of DB has.
 */
uint64_t	 db_before_commit(struct db *,
		    int (*fn)(struct db *, void *), void *);

/*
 * db_run	Run FN(DB, ARG) in a transaction and commit it; on DB_AGAIN
 *		roll back and do it again after a random pause: five times,
 *		or as often as fits in two seconds or so.
 *		FN returns 0, or -1 to roll back.  0, or -1.
 */
int		 db_run(struct db *, int (*fn)(struct db *, void *), void *);

/* How often others were in the way of this connection, so far. */
struct db_conflicts {
	uint64_t	 deadlocks;	/* 1213 */
	uint64_t	 timeouts;	/* 1205: a lock was not to be had */
	uint64_t	 stale;		/* 1020: changed since it was read */
};
void		 db_conflicts(const struct db *, struct db_conflicts *);

/*
 * db_script	Run statements separated by ";" at the end of a line, as text:
 *		for schema steps, never with values of users.  0 or -1.
 */
int		 db_script(struct db *, const char *sql);

/* A DATETIME(3) of the database in text: "2026-11-24 22:50:37.250" and NUL. */
#define DB_TIME	24

/*
 * db_rfc3339	Turn one into "2026-11-24T22:50:37.250Z"; without the
 *		milliseconds when they are not wanted.
 */
enum db_time_format { DB_TIME_SECONDS, DB_TIME_MILLISECONDS };
void		 db_rfc3339(const char *time, enum db_time_format, char[25]);

#endif
