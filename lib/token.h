/*
 * Tokens: JWTs for people and scripts, capabilities for streams, random
 * secrets and their hashes.  No SQL: whether a token was revoked is user.c's.
 *
 * token_check is the only function that calls libjwt to verify: version 1.10
 * of it checks the signature and nothing else.
 */

#ifndef MILLRACE_TOKEN_H
#define MILLRACE_TOKEN_H

#include <stddef.h>
#include <stdint.h>

#include "uuid.h"

struct conf;
struct token_keys;

/* Longest life of an access token: one that claims more is refused. */
#define TOKEN_LIFE_MAX	900		/* seconds */

/* What an access token says (RFC 7519, HS256). */
struct token {
	uint64_t	user_id;	/* "sub", a string on the wire */
	char		role[16];
	unsigned int	version;	/* "ver": of the user's row */
	struct uuid	login;		/* "sid": row of table login */
	int64_t		expires;	/* "exp", seconds since 1970 */
};

/* What a stream ticket says: this user may follow this job. */
struct ticket {
	uint64_t	user_id;
	unsigned int	version;
	struct uuid	job;
	struct uuid	login;		/* behind it; zero: an API token */
	uint64_t	token_id;	/* that API token; 0: a login */
};

/* Lengths in text, NUL included. */
#define TOKEN_JWT	1024
#define TOKEN_SECRET	48		/* prefix, 43 characters, NUL */
#define TOKEN_TICKET	128
#define TOKEN_DEVICE	128
#define TOKEN_HASH	32		/* bytes */

/* What begins each kind of secret. */
#define TOKEN_API	"mr_"
#define TOKEN_REFRESH	"rt_"
#define TOKEN_COOKIE	"sc_"

/*
 * token_keys_new Keys derived from the configured secrets, one for each
 *		purpose, so that one kind never passes for another.  Fatal
 *		when the secret is too short for conf_secret().
 * token_make	Write a signed access token that lives LIFE_S; of *T all but
 *		"expires" is read.  0 or -1.
 * token_check	0 and *T when TEXT is a valid access token now; else -1.
 * ticket_make	Write a ticket.
 * ticket_check	0 and *T when the signature holds; else -1.
 * token_secret	Write PREFIX (at most 4 characters) and 256 random bits.
 * token_next	Write the refresh token that follows after OLD.  It is the
 *		same one each time, so that two requests that crossed get the
 *		same answer.
 * token_hash	SHA-256 of TEXT, as kept in the database.
 */
struct token_keys *token_keys_new(const struct conf *);
void	 token_keys_free(struct token_keys *);
int	 token_make(const struct token_keys *, const struct token *,
	    unsigned int life_s, char[TOKEN_JWT]);
int	 token_check(const struct token_keys *, const char *, struct token *);
void	 ticket_make(const struct token_keys *, const struct ticket *,
	    char[TOKEN_TICKET]);
int	 ticket_check(const struct token_keys *, const char *, struct ticket *);
void	 token_secret(const char *prefix, char[TOKEN_SECRET]);
void	 token_next(const struct token_keys *, const char *old,
	    char[TOKEN_SECRET]);
void	 token_hash(const char *, unsigned char[TOKEN_HASH]);

/*
 * A device is known once somebody signed in there: it keeps a text that says
 * so, and what others get wrong does not lock its owner out.
 *
 * device_make	Write the text for a device where NAME signed in.
 * device_check	0 and the device's own ID when TEXT was made for NAME; else -1.
 */
void	 device_make(const struct token_keys *, const char *name,
	    char[TOKEN_DEVICE]);
int	 device_check(const struct token_keys *, const char *, const char *name,
	    struct uuid *);

#endif
