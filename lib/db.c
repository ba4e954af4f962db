/*
 * The database: one connection, statements with bound values, rows.
 *
 * Statements are prepared once per connection and found again by the address
 * of their text.  Rows are copied out of the client library at once, so that
 * a statement is free again when db_query returns.
 *
 * There is no call without a time limit: a server that is frozen while we
 * connect would else hold us for ever.  The library's own reconnect stays off,
 * since it silently drops session settings and the transaction.
 */

#include "db.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <mysql.h>
#include <mysqld_error.h>
#include <errmsg.h>

#include "conf.h"
#include "log.h"
#include "loop.h"
#include "uuid.h"

/* Limits of one call, seconds.  The server gives up before we do. */
#define CONNECT_S	2
#define STATEMENT_S	3
#define READ_S		5

/*
 * How long a lock is waited for, and how long a transaction may stand still.
 * A program that is stopped in the middle of one keeps its locks; without an
 * end to that, all others would wait for it until they lost their leases.
 * MySQL knows no such limit but that of any session that is silent: there it
 * is longer, for those that have nothing to do.
 */
#define LOCK_S		1
#define STILL_S		2
#define SILENT_S	10

/* Values of one prepared statement, at most; lists are made in pieces. */
#define VALUES_MAX	4096

/* Tries of db_run, and the longest pause between two, ms. */
#define TRIES		6
#define TRIES_MS	2500
#define PAUSE_MS	50

/* Slots of the table of prepared statements; a power of two. */
#define STATEMENTS	256

struct statement {
	const char	*sql;		/* its address is the key; NULL: free */
	MYSQL_STMT	*stmt;
};

struct db {
	MYSQL		*my;		/* NULL: not connected */
	char		*host, *socket, *name, *user, *password;
	bool		 repeatable;	/* isolation */
	unsigned int	 port;
	unsigned int	 read_s;
	bool		 in_transaction;
	bool		 failed;	/* this transaction is lost */
	uint64_t	 transaction;	/* number of the last one */
	int		(*last)(struct db *, void *);	/* before its commit */
	void		*last_arg;
	bool		 missed;	/* no connection: it was said */
	enum db_error	 error;
	struct db_conflicts conflicts;
	struct statement statements[STATEMENTS];
	size_t		 nstatements;
};

/* One value of a row: its place in the arena. */
struct cell {
	size_t		 at, len;
	bool		 null;
};

struct db_rows {
	unsigned int	 ncolumns;
	size_t		 nrows, row;	/* row: 1.. while on one; 0 before */
	struct cell	*cells;
	char		*arena;
	size_t		 used, size;
};

/* ---- opening ------------------------------------------------------------- */

/* Replace each %p in TEXT by PROGRAM. */
static char *
expand(const char *text, const char *program)
{
	char	*out = NULL;
	size_t	 len;
	FILE	*f;

	if ((f = open_memstream(&out, &len)) == NULL)
		fatal("open_memstream");
	for (; *text != '\0'; text++) {
		if (text[0] == '%' && text[1] == 'p') {
			fputs(program, f);
			text++;
		} else
			putc(*text, f);
	}
	if (fclose(f) != 0)
		fatal("open_memstream");
	return out;
}

/* The first line of FILE, or NULL and said. */
static char *
first_line(const char *file)
{
	char	*line = NULL;
	size_t	 size = 0;
	FILE	*f;

	if ((f = fopen(file, "re")) == NULL) {
		log_warn("database: password_file %s", file);
		return NULL;
	}
	if (getline(&line, &size, f) == -1) {
		log_warnx("database: password_file %s: empty", file);
		free(line);
		line = NULL;
	} else
		line[strcspn(line, "\r\n")] = '\0';
	fclose(f);
	return line;
}

void
db_account(const struct conf *conf, const char *program, char **user,
    char **password)
{
	char	*file;

	*user = expand(conf->db_user, program);
	if (conf->db_password_file[0] == '\0') {
		*password = xstrdup(conf->db_password);
		return;
	}
	file = expand(conf->db_password_file, program);
	if ((*password = first_line(file)) == NULL)
		fatalx("database: no password for \"%s\"", *user);
	free(file);
}

struct db *
db_open(const struct conf *conf, const char *program)
{
	struct db	*db = xcalloc(1, sizeof(*db));

	db->host = xstrdup(conf->db_host);
	db->socket = xstrdup(conf->db_socket);
	db->port = conf->db_port;
	db->name = xstrdup(conf->db_name);
	db_account(conf, program, &db->user, &db->password);
	db->repeatable = strcmp(conf->db_isolation, "repeatable-read") == 0;
	db->read_s = READ_S;
	return db;
}

void
db_patience(struct db *db, unsigned int seconds)
{
	db->read_s = seconds;
}

static void
disconnect(struct db *db)
{
	size_t	 i;

	for (i = 0; i < STATEMENTS; i++) {
		if (db->statements[i].sql != NULL)
			mysql_stmt_close(db->statements[i].stmt);
		db->statements[i].sql = NULL;
	}
	db->nstatements = 0;
	if (db->my != NULL)
		mysql_close(db->my);
	db->my = NULL;
}

void
db_close(struct db *db)
{
	if (db == NULL)
		return;
	disconnect(db);
	free(db->host);
	free(db->socket);
	free(db->name);
	free(db->user);
	if (db->password != NULL)
		explicit_bzero(db->password, strlen(db->password));
	free(db->password);
	free(db);
}

/* ---- errors -------------------------------------------------------------- */

static enum db_error
classify(unsigned int number)
{
	static const struct {
		unsigned int	 number;
		enum db_error	 error;
	} known[] = {
		{ ER_DUP_ENTRY,			DB_DUPLICATE },
		{ ER_LOCK_DEADLOCK,		DB_AGAIN },
		{ ER_LOCK_WAIT_TIMEOUT,		DB_AGAIN },
		{ ER_CHECKREAD,			DB_AGAIN },
		{ 3572 /* NOWAIT */,		DB_AGAIN },
		{ ER_QUERY_INTERRUPTED,		DB_AGAIN },
		{ 1969 /* max_statement_time */, DB_AWAY },
		{ 3024 /* max_execution_time */, DB_AWAY },
		{ ER_OPTION_PREVENTS_STATEMENT,	DB_AWAY },	/* read-only */
		{ 1047 /* no quorum */,		DB_AWAY },
		{ ER_CON_COUNT_ERROR,		DB_AWAY },
		{ ER_TOO_MANY_USER_CONNECTIONS,	DB_AWAY },
		{ ER_USER_LIMIT_REACHED,	DB_AWAY },
		{ ER_SERVER_SHUTDOWN,		DB_AWAY },
		{ ER_CONNECTION_KILLED,		DB_AWAY },
		{ 4031 /* silent for too long */, DB_AWAY },
		{ ER_RECORD_FILE_FULL,		DB_AWAY },
		{ ER_DISK_FULL,			DB_AWAY },
		{ ER_BAD_DB_ERROR /* not yet */, DB_AWAY },
		{ ER_NO_SUCH_TABLE /* not yet */, DB_AWAY },
		{ ER_ACCESS_DENIED_ERROR,	DB_AWAY },
		{ ER_DBACCESS_DENIED_ERROR,	DB_AWAY },
	};
	size_t	 i;

	if (number >= CR_MIN_ERROR && number <= CR_MAX_ERROR)
		return DB_AWAY;
	for (i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (known[i].number == number)
			return known[i].error;
	}
	return DB_WRONG;
}

/* Whether the connection is of no use after this error. */
static bool
broken(unsigned int number)
{
	return (number >= CR_MIN_ERROR && number <= CR_MAX_ERROR) ||
	    number == ER_SERVER_SHUTDOWN || number == ER_CONNECTION_KILLED ||
	    number == 4031;
}

/* Somebody else was in the way. */
static void
count_conflict(struct db *db, unsigned int number)
{
	if (number == ER_LOCK_DEADLOCK)
		db->conflicts.deadlocks++;
	else if (number == ER_LOCK_WAIT_TIMEOUT)
		db->conflicts.timeouts++;
	else if (number == ER_CHECKREAD)
		db->conflicts.stale++;
}

void
db_conflicts(const struct db *db, struct db_conflicts *c)
{
	*c = db->conflicts;
}

/* Note an error, say it, and drop a connection that is of no use. */
static void
failed(struct db *db, const char *what, unsigned int number, const char *text)
{
	db->error = classify(number);
	count_conflict(db, number);
	if (db->in_transaction)
		db->failed = true;
	if (number == ER_LOCK_DEADLOCK)
		log_info("database: %s: %s (%u)", what, text, number);
	else if (db->error == DB_AGAIN)
		log_debug("database: %s: %s (%u)", what, text, number);
	else if (db->error != DB_DUPLICATE)
		log_warnx("database: %s: %s (%u)", what, text, number);
	if (number == ER_BINLOG_STMT_MODE_AND_ROW_ENGINE)
		log_warnx("database: the server logs statements: set "
		    "binlog_format = ROW there, or isolation = "
		    "repeatable-read in [database] here");
	if (broken(number))
		disconnect(db);
}

enum db_error
db_error(const struct db *db)
{
	return db->error;
}

/* ---- connecting ---------------------------------------------------------- */

/* Who is patient may take any time, but for locks. */
static int
limit(struct db *db)
{
	bool	 hurry = db->read_s == READ_S;
	char	 sql[160];

	if (strstr(mysql_get_server_info(db->my), "MariaDB") != NULL)
		snprintf(sql, sizeof(sql), "SET SESSION"
		    " innodb_lock_wait_timeout = %u, max_statement_time = %u,"
		    " idle_transaction_timeout = %u", LOCK_S,
		    hurry ? STATEMENT_S : 0, hurry ? STILL_S : 0);
	else
		snprintf(sql, sizeof(sql), "SET SESSION"
		    " innodb_lock_wait_timeout = %u, max_execution_time = %u,"
		    " wait_timeout = %u", LOCK_S,
		    hurry ? STATEMENT_S * 1000 : 0, hurry ? SILENT_S : 28800);
	return mysql_query(db->my, sql);
}

/* What a session must have; the server's own defaults are not ours. */
static int
settle(struct db *db)
{
	static const char	 common[] =
	    "SET SESSION time_zone = '+00:00', sql_mode = "
	    "'STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,"
	    "ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION'";
	char			 isolation[80];

	snprintf(isolation, sizeof(isolation),
	    "SET SESSION TRANSACTION ISOLATION LEVEL %s",
	    db->repeatable ? "REPEATABLE READ" : "READ COMMITTED");
	if (mysql_query(db->my, common) == 0 &&
	    mysql_query(db->my, isolation) == 0 && limit(db) == 0)
		return 0;
	return -1;
}

/* It can't be reached: said once, however often it is tried. */
static void
miss(struct db *db)
{
	if (!db->missed)
		log_warnx("database: connect: %s (%u)", mysql_error(db->my),
		    mysql_errno(db->my));
	db->missed = true;
	disconnect(db);
	db->error = DB_AWAY;
}

static int
connect_now(struct db *db)
{
	unsigned int	 connect_s = CONNECT_S, write_s = READ_S;
	unsigned int	 protocol = db->socket[0] != '\0' ?
	    MYSQL_PROTOCOL_SOCKET : MYSQL_PROTOCOL_TCP;

	if ((db->my = mysql_init(NULL)) == NULL)
		fatalx("database: out of memory");
	mysql_options(db->my, MYSQL_OPT_CONNECT_TIMEOUT, &connect_s);
	mysql_options(db->my, MYSQL_OPT_READ_TIMEOUT, &db->read_s);
	mysql_options(db->my, MYSQL_OPT_WRITE_TIMEOUT, &write_s);
	mysql_options(db->my, MYSQL_OPT_PROTOCOL, &protocol);
	mysql_options(db->my, MYSQL_SET_CHARSET_NAME, "utf8mb4");
	/*
	 * With a host the library goes by TCP, whatever the protocol says.
	 * CLIENT_FOUND_ROWS: a row that was right already counts as done.
	 */
	if (mysql_real_connect(db->my, db->socket[0] ? NULL : db->host,
	    db->user, db->password, db->name, db->port,
	    db->socket[0] ? db->socket : NULL, CLIENT_FOUND_ROWS) == NULL ||
	    settle(db) == -1) {
		miss(db);
		return -1;
	}
	if (db->missed)
		log_info("database: it is back");
	db->missed = false;
	return 0;
}

/*
 * Whether the server has hung up while nothing was asked: it was restarted, or
 * found us idle for too long.  Nothing is lost by that.
 */
static bool
hung_up(const struct db *db)
{
	struct pollfd	 p = { .fd = (int)db->my->net.fd, .events = POLLIN };

	return poll(&p, 1, 0) == 1;
}

/* Be connected; a transaction that lost its connection stays lost. */
static int
ready(struct db *db)
{
	if (db->my != NULL && !db->in_transaction && hung_up(db))
		disconnect(db);
	if (db->failed) {
		if (db->error == DB_OK)
			db->error = DB_AWAY;
		return -1;
	}
	if (db->my == NULL && connect_now(db) == -1)
		return -1;
	db->error = DB_OK;
	return 0;
}

int
db_alive(struct db *db)
{
	if (ready(db) == -1)
		return -1;
	if (mysql_ping(db->my) == 0)
		return 0;
	failed(db, "ping", mysql_errno(db->my), mysql_error(db->my));
	disconnect(db);
	return ready(db);
}

/* ---- statements ---------------------------------------------------------- */

static MYSQL_STMT *
prepare(struct db *db, const char *sql)
{
	MYSQL_STMT	*stmt;

	if ((stmt = mysql_stmt_init(db->my)) == NULL)
		fatalx("database: out of memory");
	if (mysql_stmt_prepare(stmt, sql, strlen(sql)) != 0) {
		unsigned int	 number = mysql_stmt_errno(stmt);
		char		 text[256];

		strlcpy(text, mysql_stmt_error(stmt), sizeof(text));
		mysql_stmt_close(stmt);
		failed(db, sql, number, text);
		return NULL;
	}
	return stmt;
}

/* The prepared statement of a text, by the text's address. */
static MYSQL_STMT *
lookup(struct db *db, const char *sql)
{
	size_t		 i = ((uintptr_t)sql >> 3) & (STATEMENTS - 1);
	MYSQL_STMT	*stmt;

	for (; db->statements[i].sql != NULL; i = (i + 1) & (STATEMENTS - 1)) {
		if (db->statements[i].sql == sql)
			return db->statements[i].stmt;
	}
	if (db->nstatements == STATEMENTS / 2)
		fatalx("database: more than %d statements", STATEMENTS / 2);
	if ((stmt = prepare(db, sql)) == NULL)
		return NULL;
	db->statements[i].sql = sql;
	db->statements[i].stmt = stmt;
	db->nstatements++;
	return stmt;
}

static void
bind_value(MYSQL_BIND *b, const struct db_value *v)
{
	const void	*p = NULL;
	size_t		 len = 0;

	memset(b, 0, sizeof(*b));
	switch (v->type) {
	case 'u':
		b->is_unsigned = 1;
		/* FALLTHROUGH */
	case 'i':
		b->buffer_type = MYSQL_TYPE_LONGLONG;
		b->buffer = (void *)(uintptr_t)&v->u;
		return;
	case 'd':
		b->buffer_type = MYSQL_TYPE_DOUBLE;
		b->buffer = (void *)(uintptr_t)&v->d;
		return;
	case 's':
		b->buffer_type = MYSQL_TYPE_STRING;
		p = v->s;
		len = v->s == NULL ? 0 : strlen(v->s);
		break;
	case 'I':
		b->buffer_type = MYSQL_TYPE_BLOB;
		p = v->id;
		len = sizeof(*v->id);
		break;
	case 'b':
		b->buffer_type = MYSQL_TYPE_BLOB;
		p = v->b.p;
		len = v->b.len;
		break;
	default:
		fatalx("database: no value of type '%c'", v->type);
	}
	if (p == NULL)
		b->buffer_type = MYSQL_TYPE_NULL;
	b->buffer = (void *)(uintptr_t)p;
	b->buffer_length = len;
}

static int
execute(struct db *db, MYSQL_STMT *stmt, const char *sql,
    const struct db_value *values, size_t n)
{
	MYSQL_BIND	 few[32], *binds = few;
	size_t		 i;
	int		 error = 0;

	if (mysql_stmt_param_count(stmt) != n || n > VALUES_MAX)
		fatalx("database: %zu values for: %s", n, sql);
	if (n > sizeof(few) / sizeof(few[0]))
		binds = xcalloc(n, sizeof(*binds));
	for (i = 0; i < n; i++)
		bind_value(&binds[i], &values[i]);
	if ((n > 0 && mysql_stmt_bind_param(stmt, binds) != 0) ||
	    mysql_stmt_execute(stmt) != 0)
		error = -1;
	if (binds != few)
		free(binds);
	if (error == -1) {
		char	 text[256];

		strlcpy(text, mysql_stmt_error(stmt), sizeof(text));
		failed(db, sql, mysql_stmt_errno(stmt), text);
	}
	return error;
}

static size_t
collect(const char *types, va_list ap, struct db_value *values, size_t most)
{
	size_t	 n;

	for (n = 0; types[n] != '\0'; n++) {
		if (n == most)
			fatalx("database: more than %zu values", most);
		values[n].type = types[n];
		switch (types[n]) {
		case 's':
			values[n].s = va_arg(ap, const char *);
			break;
		case 'u':
			values[n].u = va_arg(ap, uint64_t);
			break;
		case 'i':
			values[n].i = va_arg(ap, int64_t);
			break;
		case 'd':
			values[n].d = va_arg(ap, double);
			break;
		case 'b':
			values[n].b.p = va_arg(ap, const void *);
			values[n].b.len = va_arg(ap, size_t);
			break;
		case 'I':
			values[n].id = va_arg(ap, const struct uuid *);
			break;
		default:
			fatalx("database: no value of type '%c'", types[n]);
		}
	}
	return n;
}

/* Most values of a statement with a fixed text. */
#define FIXED_MAX	64

static int64_t
exec_stmt(struct db *db, MYSQL_STMT *stmt, const char *sql,
    const struct db_value *values, size_t n)
{
	if (execute(db, stmt, sql, values, n) == -1)
		return -1;
	return (int64_t)mysql_stmt_affected_rows(stmt);
}

int64_t
db_exec(struct db *db, const char *sql, const char *types, ...)
{
	struct db_value	 values[FIXED_MAX];
	MYSQL_STMT	*stmt;
	va_list		 ap;
	size_t		 n;

	va_start(ap, types);
	n = collect(types, ap, values, FIXED_MAX);
	va_end(ap);
	if (ready(db) == -1 || (stmt = lookup(db, sql)) == NULL)
		return -1;
	return exec_stmt(db, stmt, sql, values, n);
}

int64_t
db_exec_values(struct db *db, const char *sql, const struct db_value *values,
    size_t n)
{
	MYSQL_STMT	*stmt;
	int64_t		 changed;

	if (ready(db) == -1 || (stmt = prepare(db, sql)) == NULL)
		return -1;
	changed = exec_stmt(db, stmt, sql, values, n);
	mysql_stmt_close(stmt);
	return changed;
}

/* ---- rows ---------------------------------------------------------------- */

/* Copy one value to the arena, with a NUL behind it. */
static void
keep(struct db_rows *rows, struct cell *cell, const char *p, size_t len)
{
	if (rows->used + len + 1 > rows->size) {
		rows->size = (rows->used + len + 1) * 2;
		rows->arena = xreallocarray(rows->arena, rows->size, 1);
	}
	cell->at = rows->used;
	cell->len = len;
	cell->null = p == NULL;
	if (len > 0)
		memcpy(rows->arena + rows->used, p, len);
	rows->arena[rows->used + len] = '\0';
	rows->used += len + 1;
}

/* What one column is fetched into: as text, whatever its type. */
struct column {
	char		*buf;
	unsigned long	 len;
	my_bool		 null;
};

static MYSQL_BIND *
bind_columns(MYSQL_RES *meta, struct column *columns, unsigned int n)
{
	MYSQL_BIND	*binds = xcalloc(n, sizeof(*binds));
	MYSQL_FIELD	*fields = mysql_fetch_fields(meta);
	unsigned int	 i;

	for (i = 0; i < n; i++) {
		columns[i].buf = xmalloc(fields[i].max_length + 1);
		binds[i].buffer_type = MYSQL_TYPE_STRING;
		binds[i].buffer = columns[i].buf;
		binds[i].buffer_length = fields[i].max_length + 1;
		binds[i].length = &columns[i].len;
		binds[i].is_null = &columns[i].null;
	}
	return binds;
}

static int
fetch(MYSQL_STMT *stmt, struct db_rows *rows, struct column *columns)
{
	struct cell	*row;
	unsigned int	 i;
	size_t		 room = 0;
	int		 rc;

	while ((rc = mysql_stmt_fetch(stmt)) == 0) {
		if (rows->nrows == room) {
			room = room == 0 ? 8 : room * 2;
			rows->cells = xreallocarray(rows->cells, room,
			    rows->ncolumns * sizeof(*rows->cells));
		}
		row = &rows->cells[rows->nrows++ * rows->ncolumns];
		for (i = 0; i < rows->ncolumns; i++)
			keep(rows, &row[i],
			    columns[i].null ? NULL : columns[i].buf,
			    columns[i].null ? 0 : columns[i].len);
	}
	return rc == MYSQL_NO_DATA ? 0 : -1;
}

/* All rows of an executed statement; NULL on error. */
static struct db_rows *
take_rows(struct db *db, MYSQL_STMT *stmt, const char *sql)
{
	struct db_rows	*rows = NULL;
	struct column	*columns;
	MYSQL_RES	*meta;
	MYSQL_BIND	*binds;
	my_bool		 yes = 1;
	unsigned int	 i, n;
	int		 ok;

	mysql_stmt_attr_set(stmt, STMT_ATTR_UPDATE_MAX_LENGTH, &yes);
	if (mysql_stmt_store_result(stmt) != 0 ||
	    (meta = mysql_stmt_result_metadata(stmt)) == NULL)
		goto error;
	n = mysql_num_fields(meta);
	columns = xcalloc(n, sizeof(*columns));
	binds = bind_columns(meta, columns, n);
	rows = xcalloc(1, sizeof(*rows));
	rows->ncolumns = n;
	ok = mysql_stmt_bind_result(stmt, binds) == 0 &&
	    fetch(stmt, rows, columns) == 0;
	for (i = 0; i < n; i++)
		free(columns[i].buf);
	free(columns);
	free(binds);
	mysql_free_result(meta);
	if (ok) {
		mysql_stmt_free_result(stmt);
		return rows;
	}
error:
	failed(db, sql, mysql_stmt_errno(stmt), mysql_stmt_error(stmt));
	db_rows_free(rows);
	return NULL;
}

static struct db_rows *
query_stmt(struct db *db, MYSQL_STMT *stmt, const char *sql,
    const struct db_value *values, size_t n)
{
	if (execute(db, stmt, sql, values, n) == -1)
		return NULL;
	return take_rows(db, stmt, sql);
}

static struct db_rows *
query_fixed(struct db *db, const char *sql, const char *types, va_list ap)
{
	struct db_value	 values[FIXED_MAX];
	MYSQL_STMT	*stmt;
	size_t		 n = collect(types, ap, values, FIXED_MAX);

	if (ready(db) == -1 || (stmt = lookup(db, sql)) == NULL)
		return NULL;
	return query_stmt(db, stmt, sql, values, n);
}

struct db_rows *
db_query(struct db *db, const char *sql, const char *types, ...)
{
	struct db_rows	*rows;
	va_list		 ap;

	va_start(ap, types);
	rows = query_fixed(db, sql, types, ap);
	va_end(ap);
	return rows;
}

struct db_rows *
db_one(struct db *db, const char *sql, const char *types, ...)
{
	struct db_rows	*rows;
	va_list		 ap;

	va_start(ap, types);
	rows = query_fixed(db, sql, types, ap);
	va_end(ap);
	if (rows == NULL || db_next(rows))
		return rows;
	db_rows_free(rows);
	return NULL;
}

struct db_rows *
db_query_values(struct db *db, const char *sql, const struct db_value *values,
    size_t n)
{
	struct db_rows	*rows;
	MYSQL_STMT	*stmt;

	if (ready(db) == -1 || (stmt = prepare(db, sql)) == NULL)
		return NULL;
	rows = query_stmt(db, stmt, sql, values, n);
	mysql_stmt_close(stmt);
	return rows;
}

void
db_rows_free(struct db_rows *rows)
{
	if (rows == NULL)
		return;
	free(rows->cells);
	free(rows->arena);
	free(rows);
}

bool
db_next(struct db_rows *rows)
{
	if (rows->row == rows->nrows)
		return false;
	rows->row++;
	return true;
}

static const struct cell *
cell_of(const struct db_rows *rows, unsigned int column)
{
	if (rows->row == 0 || column >= rows->ncolumns)
		fatalx("database: no column %u of this row", column);
	return &rows->cells[(rows->row - 1) * rows->ncolumns + column];
}

bool
db_null(const struct db_rows *rows, unsigned int column)
{
	return cell_of(rows, column)->null;
}

const char *
db_str(const struct db_rows *rows, unsigned int column)
{
	return rows->arena + cell_of(rows, column)->at;
}

const void *
db_bytes(const struct db_rows *rows, unsigned int column, size_t *len)
{
	*len = cell_of(rows, column)->len;
	return db_str(rows, column);
}

uint64_t
db_u64(const struct db_rows *rows, unsigned int column)
{
	return strtoull(db_str(rows, column), NULL, 10);
}

double
db_double(const struct db_rows *rows, unsigned int column)
{
	return strtod(db_str(rows, column), NULL);
}

void
db_text(const struct db_rows *rows, unsigned int column, char *buf, size_t size)
{
	strlcpy(buf, db_str(rows, column), size);
}

void
db_uuid(const struct db_rows *rows, unsigned int column, struct uuid *id)
{
	const struct cell	*cell = cell_of(rows, column);

	memset(id, 0, sizeof(*id));
	if (cell->len == sizeof(id->b))
		memcpy(id->b, rows->arena + cell->at, sizeof(id->b));
}

/* ---- lists of ids -------------------------------------------------------- */

char *
db_list(const char *prefix, size_t n, const char *suffix)
{
	char	*sql;
	size_t	 i, len = strlen(prefix);

	sql = xmalloc(len + n * 2 + strlen(suffix) + 3);
	memcpy(sql, prefix, len);
	sql[len++] = '(';
	for (i = 0; i < n; i++) {
		sql[len++] = '?';
		sql[len++] = i + 1 < n ? ',' : ')';
	}
	memcpy(sql + len, suffix, strlen(suffix) + 1);
	return sql;
}

static struct db_value *
values_of(const struct uuid *ids, size_t n)
{
	struct db_value	*values = xcalloc(n, sizeof(*values));
	size_t		 i;

	for (i = 0; i < n; i++)
		values[i] = (struct db_value){ 'I', .id = &ids[i] };
	return values;
}

int64_t
db_exec_ids(struct db *db, const char *prefix, const struct uuid *ids, size_t n,
    const char *suffix)
{
	struct db_value	*values = values_of(ids, n);
	char		*sql = db_list(prefix, n, suffix);
	int64_t		 changed = db_exec_values(db, sql, values, n);

	free(values);
	free(sql);
	return changed;
}

struct db_rows *
db_query_ids(struct db *db, const char *prefix, const struct uuid *ids,
    size_t n, const char *suffix)
{
	struct db_value	*values = values_of(ids, n);
	char		*sql = db_list(prefix, n, suffix);
	struct db_rows	*rows = db_query_values(db, sql, values, n);

	free(values);
	free(sql);
	return rows;
}

/* ---- transactions -------------------------------------------------------- */

static int
plain(struct db *db, const char *sql)
{
	if (mysql_query(db->my, sql) == 0)
		return 0;
	failed(db, sql, mysql_errno(db->my), mysql_error(db->my));
	return -1;
}

int
db_begin(struct db *db)
{
	if (db->in_transaction)
		fatalx("database: a transaction inside a transaction");
	if (ready(db) == -1 || plain(db, "START TRANSACTION") == -1)
		return -1;
	db->in_transaction = true;
	db->transaction++;
	db->last = NULL;
	return 0;
}

uint64_t
db_before_commit(struct db *db, int (*fn)(struct db *, void *), void *arg)
{
	if (!db->in_transaction || (db->last != NULL && db->last != fn))
		fatalx("database: not in a transaction, or two ends of one");
	db->last = fn;
	db->last_arg = arg;
	return db->transaction;
}

int
db_commit(struct db *db)
{
	if (db->failed ||
	    (db->last != NULL && db->last(db, db->last_arg) == -1) ||
	    plain(db, "COMMIT") == -1) {
		enum db_error	 error = db->error;

		db_rollback(db);
		db->error = error;
		return -1;
	}
	db->in_transaction = false;
	return 0;
}

void
db_rollback(struct db *db)
{
	db->failed = false;
	if (db->in_transaction && db->my != NULL &&
	    mysql_query(db->my, "ROLLBACK") != 0)
		disconnect(db);
	db->in_transaction = false;
}

/* A pause that two who collided do not both take, longer each time. */
static void
pause_randomly(int tries)
{
	usleep(1000 * (1 + arc4random_uniform(PAUSE_MS * (unsigned)tries / TRIES
	    + 1)));
}

int
db_run(struct db *db, int (*fn)(struct db *, void *), void *arg)
{
	enum db_error	 error;
	uint64_t	 began = loop_now();
	int		 tries;

	for (tries = 1; ; tries++) {
		if (db_begin(db) == -1)
			return -1;
		if (fn(db, arg) == 0 && db_commit(db) == 0)
			return 0;
		error = db->error;
		db_rollback(db);
		db->error = error;
		if (error != DB_AGAIN)
			return -1;
		/* A lock that somebody keeps costs two seconds each time. */
		if (tries == TRIES || loop_now() - began > TRIES_MS) {
			log_warnx("database: given up after %d tries", tries);
			db->error = DB_AWAY;
			return -1;
		}
		pause_randomly(tries);
	}
}

/* ---- scripts ------------------------------------------------------------- */

int
db_script(struct db *db, const char *sql)
{
	char	*copy = xstrdup(sql), *next = copy, *statement, *end;
	int	 rc = 0;

	if (ready(db) == -1) {
		free(copy);
		return -1;
	}
	while (rc == 0 && *next != '\0') {
		statement = next;
		if ((end = strstr(statement, ";\n")) != NULL) {
			*end = '\0';
			next = end + 2;
		} else
			next = statement + strlen(statement);
		if (statement[strspn(statement, " \t\r\n")] != '\0')
			rc = plain(db, statement);
	}
	free(copy);
	return rc;
}

void
db_rfc3339(const char *time, enum db_time_format format, char out[25])
{
	/* "2026-11-24 22:50:37.250" */
	if (strlen(time) < 19) {
		out[0] = '\0';
		return;
	}
	strlcpy(out, time, format == DB_TIME_SECONDS ? 20 : 24);
	out[10] = 'T';
	strlcat(out, "Z", 25);
}
