/*
 * Stops or kills the daemon at a chosen point: a library to be preloaded.
 *
 *	MILLRACE_HALT=FILE LD_PRELOAD=halt.so millraced ...
 *
 * FILE holds a line "stop TEXT" or "segv TEXT", or is not there.  The next call
 * whose description contains TEXT stops the process before it does anything,
 * and removes FILE; or has it die of SIGSEGV, again and again.  With
 * MILLRACE_HALT_AFTER=TEXT that begins once a call has contained this.  Calls
 * are
 *
 *	sql STATEMENT		before it is sent
 *	rename FROM TO		of files
 *	write DATA		to whatever descriptor
 */

#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include <mysql.h>

/* Statements that are prepared at one time, at most. */
#define STATEMENTS	1024

static pid_t		 self;		/* not its children */
static const char	*file, *after;
static struct { MYSQL_STMT *stmt; char *sql; } prepared[STATEMENTS];

static void __attribute__((constructor))
begin(void)
{
	self = getpid();
	file = getenv("MILLRACE_HALT");
	after = getenv("MILLRACE_HALT_AFTER");
}

static void
pass(const char *what)
{
	char	 line[256], *text;
	ssize_t	 n = -1;
	int	 fd;

	if (file == NULL || getpid() != self)
		return;
	if (after != NULL) {
		if (strstr(what, after) != NULL)
			after = NULL;
		return;
	}
	if ((fd = open(file, O_RDONLY | O_CLOEXEC)) == -1)
		return;
	n = read(fd, line, sizeof(line) - 1);
	close(fd);
	if (n <= 0)
		return;
	line[n] = '\0';
	line[strcspn(line, "\n")] = '\0';
	if ((text = strchr(line, ' ')) == NULL ||
	    strstr(what, text + 1) == NULL)
		return;
	if (strncmp(line, "segv", 4) == 0)
		raise(SIGSEGV);
	unlink(file);
	raise(SIGSTOP);
}

static void
pass_sql(const char *sql)
{
	char	 what[8192];

	snprintf(what, sizeof(what), "sql %s", sql);
	pass(what);
}

/* The function that stands behind ours.  C has no cast for it. */
static void
real(const char *name, void *fn)
{
	void	*p = dlsym(RTLD_NEXT, name);

	memcpy(fn, &p, sizeof(p));
}

int
renameat(int at, const char *from, int to_at, const char *to)
{
	int	(*fn)(int, const char *, int, const char *);
	char	 what[8192];

	real("renameat", &fn);
	snprintf(what, sizeof(what), "rename %s %s", from, to);
	pass(what);
	return fn(at, from, to_at, to);
}

ssize_t
write(int fd, const void *data, size_t len)
{
	ssize_t	(*fn)(int, const void *, size_t);
	char	 what[256];

	real("write", &fn);
	snprintf(what, sizeof(what), "write %.*s", len < 200 ? (int)len : 200,
	    (const char *)data);
	pass(what);
	return fn(fd, data, len);
}

int
mysql_query(MYSQL *my, const char *sql)
{
	int	(*fn)(MYSQL *, const char *);

	real("mysql_query", &fn);
	pass_sql(sql);
	return fn(my, sql);
}

int
mysql_stmt_prepare(MYSQL_STMT *stmt, const char *sql, unsigned long len)
{
	int	(*fn)(MYSQL_STMT *, const char *, unsigned long);
	size_t	 i;

	real("mysql_stmt_prepare", &fn);
	for (i = 0; i < STATEMENTS; i++) {
		if (prepared[i].stmt != NULL && prepared[i].stmt != stmt)
			continue;
		free(prepared[i].sql);
		prepared[i].stmt = stmt;
		prepared[i].sql = strndup(sql, len);
		break;
	}
	return fn(stmt, sql, len);
}

int
mysql_stmt_execute(MYSQL_STMT *stmt)
{
	int	(*fn)(MYSQL_STMT *);
	size_t	 i;

	real("mysql_stmt_execute", &fn);
	for (i = 0; i < STATEMENTS && prepared[i].stmt != NULL; i++) {
		if (prepared[i].stmt == stmt)
			pass_sql(prepared[i].sql);
	}
	return fn(stmt);
}
