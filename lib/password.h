/*
 * Passwords as they are kept: argon2id, as text (RFC 9106; libsodium).
 *
 * A hash costs 64 MiB and a tenth of a second, and strangers make us compute
 * them.  So a program that serves strangers says password_limit() before it
 * forks its workers; then two are computed at a time, a few wait, and the
 * rest is turned away.  Workers have one thread.
 */

#ifndef MILLRACE_PASSWORD_H
#define MILLRACE_PASSWORD_H

#define PASSWORD_HASH	128		/* length of the text, NUL included */

/* "Too many at a time, try again soon": of the functions below. */
#define PASSWORD_BUSY	2

/*
 * password_limit Let this process and its WORKERS children hash in turns, so
 *		that one of them is always free for something else.
 * password_hash Write the hash.  0 or PASSWORD_BUSY.
 * password_check 0 when PASSWORD is that of HASH, 1 when not, PASSWORD_BUSY.
 *		With HASH NULL the work is done all the same, for 1.
 * password_old	Whether HASH was made with less work than is asked for today.
 */
void	password_limit(unsigned int workers);
int	password_hash(const char *password, char[PASSWORD_HASH]);
int	password_check(const char *hash, const char *password);
int	password_old(const char *hash);

#endif
