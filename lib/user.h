/*
 * Tables user, login, token and throttle: who may come in, and who came.
 */

#ifndef MILLRACE_USER_H
#define MILLRACE_USER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "db.h"
#include "token.h"
#include "uuid.h"

enum user_role { USER_USER, USER_ADMIN };

/* Longest name and password, bytes; shortest password, bytes. */
#define USER_NAME_MAX		190
#define USER_PASSWORD_MIN	8
#define USER_PASSWORD_MAX	1024

struct user {
	uint64_t	id;		/* 0: nobody */
	char		name[USER_NAME_MAX + 1];
	enum user_role	role;
	unsigned int	version;	/* one higher: all logins are void */
	bool		disabled;
	char		created_at[DB_TIME];
};

/* How somebody proved who they are. */
enum user_proof { PROOF_NONE, PROOF_JWT, PROOF_COOKIE, PROOF_API, PROOF_TICKET };

/* Who is asking: filled by user_by_*, 0 and PROOF_NONE for nobody. */
struct caller {
	struct user	user;
	enum user_proof	proof;
	struct uuid	login;		/* JWT, cookie: row of table login */
	uint64_t	token_id;	/* API: row of table token */
	unsigned int	scopes;		/* API: bits of user_scope */
	struct uuid	job;		/* ticket: the only job it is good for */
};

/* What an API token may do; everything else a caller may do everything. */
enum user_scope { SCOPE_READ = 1, SCOPE_WRITE = 2, SCOPE_ADMIN = 4 };

/*
 * Words on the wire and in the database.  *_parse return -1 for others.
 */
const char	*user_role_name(enum user_role);
int		 user_role_parse(const char *);

/*
 * user_add	Make a user; the password is hashed here (argon2id).  0; 1 when
 *		the name is taken; -1.
 * user_find	0; -1 when there is none (DB_OK) or on error.
 * user_named	The same, by name.
 * user_password 0 when PASSWORD is right; 1 when the user is unknown, disabled
 *		or it is wrong (after the same work); -1.
 * user_set_password Also ends every login and token version of the user.
 * user_set_role, user_disable  0 or -1; open logins are void.
 */
int	user_add(struct db *, const char *name, const char *password,
	    enum user_role, uint64_t *id);
int	user_find(struct db *, uint64_t id, struct user *);
int	user_named(struct db *, const char *name, struct user *);
int	user_password(struct db *, const char *name, const char *password,
	    struct user *);
int	user_set_password(struct db *, uint64_t id, const char *password);
int	user_set_role(struct db *, uint64_t id, enum user_role);
int	user_disable(struct db *, uint64_t id, bool disabled);
int	user_list(struct db *, uint64_t after, struct user *, size_t n);

/*
 * Who is asking.  Each 0 and *CALLER when the proof is good now (the user is
 * not disabled, the version is current, the login or token is alive);
 * 1 when it is not; -1 when the database cannot say.
 */
int	user_by_jwt(struct db *, const struct token_keys *, const char *,
	    struct caller *);
int	user_by_cookie(struct db *, const char *, struct caller *);
int	user_by_api_token(struct db *, const char *, struct caller *);
int	user_by_ticket(struct db *, const struct token_keys *, const char *,
	    struct caller *);

/*
 * Logins: one row for each sign-in, with a refresh token that changes at each
 * use and a cookie that does not.  Both are kept as hashes.
 *
 * login_start	New row; writes both secrets.
 * login_refresh 0 and a new refresh token; 1 when it is unknown, old or
 *		expired.  One that was used before ends the whole login
 *		(RFC 9700, 4.14.2); the last one still serves for 10 s, for
 *		two requests that crossed.
 * login_end	Of one login, or (login NULL) all of the user.
 */
int	login_start(struct db *, const struct conf *, const struct user *,
	    const char *address, struct uuid *, char refresh[TOKEN_SECRET],
	    char cookie[TOKEN_SECRET]);
int	login_refresh(struct db *, const struct conf *, const char *refresh,
	    char new_refresh[TOKEN_SECRET], struct caller *);
int	login_end(struct db *, uint64_t user_id, const struct uuid *login);

/* API tokens: "mr_" and 43 characters, shown once, kept as hashes. */
struct api_token {
	uint64_t	id;
	char		name[65];
	unsigned int	scopes;
	char		created_at[DB_TIME], used_at[DB_TIME];
	char		expires_at[DB_TIME];	/* "": never */
};
int	api_token_add(struct db *, uint64_t user_id, const char *name,
	    unsigned int scopes, unsigned int life_s, uint64_t *id,
	    char[TOKEN_SECRET]);
int	api_token_list(struct db *, uint64_t user_id, struct api_token *,
	    size_t n);
int	api_token_revoke(struct db *, uint64_t user_id, uint64_t id);

/*
 * Throttle: 5 tries in 30 s for a KEY ("login/NAME", "login/ADDRESS"), then
 * exponentially longer pauses, up to 15 minutes.
 *
 * throttle_try	Seconds to wait; 0: go ahead, the try is counted; -1.
 * throttle_ok	The try was a good one: forget them.
 */
int	throttle_try(struct db *, const char *key);
int	throttle_ok(struct db *, const char *key);

/*
 * For the hub, in one query a second: which of these may go on?  VALID[i] is
 * set for each caller that is still good.  0 or -1.
 */
int	user_still_valid(struct db *, const struct caller *const *, size_t n,
	    bool *valid);

#endif
