/*
 * millrace db: bring the schema up to date, print what accounts may do.
 *
 * A step is a file NNN-what.sql.  Each is applied once, under a lock of the
 * database, and written down in table schema_step with the hash of its text:
 * a step that was edited after it was applied is refused.  DDL is not
 * transactional, so a step that broke off half way is named and left to a
 * person.
 */

#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "cli.h"
#include "conf.h"
#include "db.h"
#include "log.h"

/* How long another one may be at it, and one statement may take, s. */
#define LOCK_S		60
#define STEP_S		3600

static const char	ledger[] =
	"CREATE TABLE IF NOT EXISTS schema_step ("
	" number INT UNSIGNED NOT NULL PRIMARY KEY,"
	" name VARCHAR(63) NOT NULL,"
	" hash CHAR(64) NOT NULL,"	/* SHA-256 of the file */
	" applied_at DATETIME(3),"	/* NULL: broke off half way */
	" version VARCHAR(31) NOT NULL"	/* of millrace that did it */
	") ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;\n";

static char *
read_file(const char *path, size_t *len)
{
	FILE	*f;
	char	*text = NULL;
	size_t	 size = 0;
	ssize_t	 n;

	if ((f = fopen(path, "re")) == NULL) {
		log_warn("%s", path);
		return NULL;
	}
	if ((n = getdelim(&text, &size, '\0', f)) == -1) {
		log_warnx("%s: empty", path);
		free(text);
		text = NULL;
	}
	*len = n == -1 ? 0 : (size_t)n;
	fclose(f);
	return text;
}

static void
hash_of(const char *text, size_t len, char hex[65])
{
	unsigned char	 hash[crypto_hash_sha256_BYTES];

	crypto_hash_sha256(hash, (const unsigned char *)text, len);
	sodium_bin2hex(hex, 65, hash, sizeof(hash));
}

static int
is_step(const struct dirent *e)
{
	size_t	 len = strlen(e->d_name);

	return strspn(e->d_name, "0123456789") == 3 && e->d_name[3] == '-' &&
	    len > 8 && strcmp(e->d_name + len - 4, ".sql") == 0;
}

enum done { DONE_NOT, DONE_SAME, DONE_WRONG };

/* Whether a step was applied; says so if that went wrong. */
static enum done
look_up(struct db *db, unsigned int number, const char *name, const char *hash)
{
	struct db_rows	*row;
	enum done	 done = DONE_WRONG;

	row = db_one(db, "SELECT hash, applied_at FROM schema_step"
	    " WHERE number = ?", "u", (uint64_t)number);
	if (row == NULL)
		return db_error(db) == DB_OK ? DONE_NOT : DONE_WRONG;
	if (db_null(row, 1))
		log_warnx("%s: was begun and broke off; mend the schema by "
		    "hand, then set applied_at in schema_step", name);
	else if (strcmp(db_str(row, 0), hash) != 0)
		log_warnx("%s: is not the text that was applied", name);
	else
		done = DONE_SAME;
	db_rows_free(row);
	return done;
}

static int
apply(struct db *db, const char *dir, const char *name, bool dry_run)
{
	unsigned int	 number = (unsigned int)strtoul(name, NULL, 10);
	char		*path, *text, hash[65];
	size_t		 len;
	int		 rc = -1;

	xasprintf(&path, "%s/%s", dir, name);
	if ((text = read_file(path, &len)) == NULL)
		goto out;
	hash_of(text, len, hash);
	switch (look_up(db, number, name, hash)) {
	case DONE_WRONG:
		goto out;
	case DONE_SAME:
		rc = 0;
		goto out;
	case DONE_NOT:
		break;
	}
	printf("%s %s\n", dry_run ? "would apply" : "apply", name);
	if (dry_run)
		rc = 0;
	else if (db_exec(db, "INSERT INTO schema_step (number, name, hash,"
	    " version) VALUES (?, ?, ?, ?)", "usss", (uint64_t)number, name,
	    hash, MILLRACE_VERSION) == 1 && db_script(db, text) == 0 &&
	    db_exec(db, "UPDATE schema_step SET applied_at = NOW(3)"
	    " WHERE number = ?", "u", (uint64_t)number) == 1)
		rc = 0;
	else
		log_warnx("%s: not applied", name);
out:
	free(text);
	free(path);
	return rc;
}

static int
apply_all(struct db *db, const char *dir, bool dry_run)
{
	struct dirent	**list;
	int		  i, n, rc = 0;

	if ((n = scandir(dir, &list, is_step, alphasort)) == -1) {
		log_warn("%s", dir);
		return -1;
	}
	if (n == 0) {
		log_warnx("%s: no steps in it", dir);
		rc = -1;
	}
	for (i = 0; i < n; i++) {
		if (rc == 0)
			rc = apply(db, dir, list[i]->d_name, dry_run);
		free(list[i]);
	}
	free(list);
	return rc;
}

/* The name of the lock is the database's: two sites may share a server. */
static int
lock(struct db *db)
{
	struct db_rows	*row;
	bool		 got;

	row = db_one(db, "SELECT GET_LOCK(CONCAT('millrace ', DATABASE()), ?)",
	    "u", (uint64_t)LOCK_S);
	got = row != NULL && db_u64(row, 0) == 1;
	db_rows_free(row);
	if (!got)
		log_warnx("somebody else is migrating this database");
	return got ? 0 : -1;
}

static int
migrate(const struct conf *conf, bool dry_run)
{
	struct db	*db = db_open(conf, "admin");
	char		*dir;
	int		 status = EXIT_FAILED;

	db_patience(db, STEP_S);
	xasprintf(&dir, "%s/sql", conf->share);
	if (db_alive(db) == -1)
		status = EXIT_UNREACHABLE;
	else if (lock(db) == 0 && db_script(db, ledger) == 0 &&
	    apply_all(db, dir, dry_run) == 0)
		status = EXIT_DONE;
	free(dir);
	db_close(db);			/* and the lock is free */
	return status;
}

static int
status(const struct conf *conf)
{
	struct db	*db = db_open(conf, "admin");
	struct db_rows	*rows;

	rows = db_query(db, "SELECT name, COALESCE(applied_at, 'broke off')"
	    " FROM schema_step ORDER BY number", "");
	if (rows == NULL) {
		db_close(db);
		return EXIT_UNREACHABLE;
	}
	while (db_next(rows))
		printf("%s  %s\n", db_str(rows, 1), db_str(rows, 0));
	db_rows_free(rows);
	db_close(db);
	return EXIT_DONE;
}

/* ---- accounts ------------------------------------------------------------ */

/* Write TEXT between the quotes Q, doubled inside. */
static void
quoted(const char *text, char q, FILE *to)
{
	putc(q, to);
	for (; *text != '\0'; text++) {
		if (*text == q || (*text == '\\' && q == '\''))
			putc(*text, to);
		putc(*text, to);
	}
	putc(q, to);
}

/* What stands for @WORD@, or @WORD:PROGRAM@; -1 when it is unknown. */
static int
fill(const struct conf *conf, const char *word, FILE *to)
{
	const char	*program = strchr(word, ':');
	char		*user, *password;

	if (strcmp(word, "database") == 0) {
		quoted(conf->db_name, '`', to);
		return 0;
	}
	if (program == NULL)
		return -1;
	db_account(conf, program + 1, &user, &password);
	if (strncmp(word, "account:", 8) == 0) {
		quoted(user, '\'', to);
		fprintf(to, "@%s", conf->db_socket[0] != '\0' ? "'localhost'" :
		    "'%'");
	} else
		quoted(password, '\'', to);
	free(user);
	free(password);
	return 0;
}

/* Print statements for an administrator of the database. */
static int
print(const struct conf *conf, const char *name)
{
	char	*path, *text, *p, *at, *end;
	size_t	 len;

	xasprintf(&path, "%s/sql/%s", conf->share, name);
	if ((text = read_file(path, &len)) == NULL)
		return EXIT_FAILED;
	for (p = text; (at = strchr(p, '@')) != NULL; p = end + 1) {
		fwrite(p, 1, (size_t)(at - p), stdout);
		if ((end = strchr(at + 1, '@')) == NULL)
			break;
		*end = '\0';
		if (fill(conf, at + 1, stdout) == -1) {
			log_warnx("%s: unknown word @%s@", path, at + 1);
			return EXIT_FAILED;
		}
	}
	fputs(p, stdout);
	free(text);
	free(path);
	return EXIT_DONE;
}

int
cmd_db(const struct conf *conf, int argc, char **argv)
{
	static const struct option	 longopts[] = {
		{ "dry-run",	no_argument,	NULL, 'n' },
		{ "help",	no_argument,	NULL, 'h' },
		{ NULL, 0, NULL, 0 }
	};
	static const char		 use[] =
	    "usage: millrace [-c file] db create   # SQL for the database's root\n"
	    "       millrace [-c file] db migrate [--dry-run]\n"
	    "       millrace [-c file] db grants   # more of it, after migrate\n"
	    "       millrace [-c file] db status\n";
	bool				 dry_run = false;
	int				 c;

	while ((c = getopt_long(argc, argv, "hn", longopts, NULL)) != -1) {
		if (c == 'n')
			dry_run = true;
		else {
			fputs(use, c == 'h' ? stdout : stderr);
			return c == 'h' ? EXIT_DONE : EXIT_USAGE;
		}
	}
	if (optind + 1 == argc && strcmp(argv[optind], "migrate") == 0)
		return migrate(conf, dry_run);
	if (optind + 1 == argc && strcmp(argv[optind], "status") == 0)
		return status(conf);
	if (optind + 1 == argc && strcmp(argv[optind], "grants") == 0)
		return print(conf, "grants.sql");
	if (optind + 1 == argc && strcmp(argv[optind], "create") == 0)
		return print(conf, "create.sql");
	fputs(use, stderr);
	return EXIT_USAGE;
}
