/*
 * Tables login and spent: one row for each sign-in, with a refresh token that
 * changes at each use and a cookie that does not.  Both are kept as hashes.
 */

#ifndef MILLRACE_LOGIN_H
#define MILLRACE_LOGIN_H

#include <stdint.h>

#include "token.h"
#include "uuid.h"

struct conf;
struct db;
struct user;

/*
 * SQL: the row l of table login is good for its user u.  A stream may stay
 * open on one that is merely idle.
 */
#define LOGIN_OPEN \
	" l.ended_at IS NULL AND l.expires_at > NOW(3)" \
	" AND l.version = u.version AND u.disabled = 0"
#define LOGIN_ALIVE \
	LOGIN_OPEN " AND l.used_at > NOW(3) - INTERVAL l.idle_s SECOND"

/* What became of a refresh token. */
enum login_refreshed {
	LOGIN_FAILED = -1,	/* the database cannot say */
	LOGIN_NEXT,		/* the next one was written */
	LOGIN_UNKNOWN,		/* it is unknown, or its login is over */
	LOGIN_STOLEN		/* it was used before: its login is over now */
};

/*
 * login_start	New row; writes both secrets.  0 or -1.
 * login_refresh Replace the refresh token OLD.  Used a second time it ends the
 *		whole login (RFC 9700, 4.14.2); only for 10 s does it give the
 *		same answer again, for two requests that crossed.  *LOGIN and
 *		*USER are set for LOGIN_NEXT and LOGIN_STOLEN.
 * login_end	One login of the user, or (LOGIN NULL) all of them, and all
 *		their access tokens and tickets.  0 or -1.
 * login_sweep	Forget some logins that are over for a day.  Rows, or -1.
 */
int	login_start(struct db *, const struct conf *, const struct user *,
	    const char *address, struct uuid *, char refresh[TOKEN_SECRET],
	    char cookie[TOKEN_SECRET]);
enum login_refreshed login_refresh(struct db *, const struct token_keys *,
	    const char *old, char next[TOKEN_SECRET], struct uuid *,
	    struct user *);
int	login_end(struct db *, uint64_t user_id, const struct uuid *login);
int	login_sweep(struct db *);

#endif
