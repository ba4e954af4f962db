/*
 * Tables user and token: who may come in, and who came.
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
enum user_proof {
	PROOF_NONE, PROOF_JWT, PROOF_COOKIE, PROOF_API, PROOF_TICKET
};

/* Who is asking: filled by user_by_*, 0 and PROOF_NONE for nobody. */
struct caller {
	struct user	user;
	enum user_proof	proof;
	struct uuid	login;		/* JWT, cookie: row of table login */
	uint64_t	token_id;	/* API: row of table token; a ticket has
					   the one or the other */
	unsigned int	scopes;		/* API: bits of user_scope */
	struct uuid	job;		/* ticket: the one job it is for */
};

/* What an API token may do; everything else a caller may do everything. */
enum user_scope { SCOPE_READ = 1, SCOPE_WRITE = 2, SCOPE_ADMIN = 4 };

/* "Too many passwords at a time, try again soon": see password.h. */
#define USER_BUSY	2

/*
 * Words on the wire and in the database.  user_role_parse returns -1 for
 * others.  user_scope_parse reads a list of words with commas or spaces
 * between them, as "read,write"; -1 for others.  user_scope_text writes one.
 */
const char	*user_role_name(enum user_role);
int		 user_role_parse(const char *);
const char	*user_proof_name(enum user_proof);
int		 user_scope_parse(const char *);
const char	*user_scope_text(unsigned int scopes, char[24]);

/*
 * user_name_good Letters and digits of ASCII and . _ - + @, the first a letter
 *		or a digit; case does not count.
 * user_add	Make a user; the password is hashed here.  0; 1 when the name
 *		is taken; -1; USER_BUSY.
 * user_register The same for a stranger: names that would mislead others are
 *		refused too, with nothing to tell them from taken ones.
 * user_find	0; -1 when there is none (DB_OK) or on error.
 * user_named	The same, by name.
 * user_password 0 when PASSWORD is right; 1 when the user is unknown, disabled
 *		or it is wrong (after the same work); -1; USER_BUSY.
 * user_set_password 0, -1 or USER_BUSY.  Also voids every login, access token
 *		and ticket of the user; API tokens stay.
 * user_set_role, user_disable  0 or -1; the same is void.
 * user_list	Those with an id greater than AFTER, by id: how many, or -1.
 * user_sees_job 0 when the job is theirs or nobody's, or they are an
 *		administrator; 1 when not, or there is none; -1.
 */
bool	user_name_good(const char *);
int	user_add(struct db *, const char *name, const char *password,
	    enum user_role, uint64_t *id);
int	user_register(struct db *, const char *name, const char *password,
	    uint64_t *id);
int	user_find(struct db *, uint64_t id, struct user *);
int	user_named(struct db *, const char *name, struct user *);
int	user_password(struct db *, const char *name, const char *password,
	    struct user *);
int	user_set_password(struct db *, uint64_t id, const char *password);
int	user_set_role(struct db *, uint64_t id, enum user_role);
int	user_disable(struct db *, uint64_t id, bool disabled);
int	user_list(struct db *, uint64_t after, struct user *, size_t n);
int	user_sees_job(struct db *, const struct user *, const struct uuid *);

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

/* API tokens: "mr_" and 43 characters, shown once, kept as hashes. */
struct api_token {
	uint64_t	id;
	char		name[65];
	unsigned int	scopes;
	char		created_at[DB_TIME], used_at[DB_TIME];
	char		expires_at[DB_TIME];	/* "": never */
};

/* API tokens of one user, at most. */
#define API_TOKENS_MAX	100

/*
 * api_token_add  LIFE_S 0: for ever.  0; 1 when there are too many; -1.
 * api_token_list Newest first: how many, or -1.
 * api_token_revoke 0; 1 when the user has no such token; -1.
 */
int	api_token_add(struct db *, uint64_t user_id, const char *name,
	    unsigned int scopes, unsigned int life_s, uint64_t *id,
	    char[TOKEN_SECRET]);
int	api_token_list(struct db *, uint64_t user_id, struct api_token *,
	    size_t n);
int	api_token_revoke(struct db *, uint64_t user_id, uint64_t id);

/*
 * For the hub, once a second, in one query a thousand logins: which of these
 * may go on?  VALID[i] is set for each caller that is still good.  0 or -1.
 */
int	user_still_valid(struct db *, const struct caller *const *, size_t n,
	    bool *valid);

#endif
