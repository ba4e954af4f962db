/*
 * Table uniq: requests that carry an Idempotency-Key, and the job each of them
 * made, so that the same request again makes no second one.
 */

#ifndef MILLRACE_UNIQ_H
#define MILLRACE_UNIQ_H

#include <stddef.h>
#include <stdint.h>

#include "db.h"
#include "uuid.h"

/* Longest key, bytes. */
#define UNIQ_KEY_MAX	255

/* Length of what tells one request from another: a SHA-256. */
#define UNIQ_REQUEST	32

/*
 * uniq_add	Inside the caller's transaction.  0; -1, and db_error() is
 *		DB_DUPLICATE when USER_ID has used KEY before.
 * uniq_find	1, and what was kept, when USER_ID has used KEY before; 0 when
 *		not; -1.
 * uniq_sweep	Forget keys that are older than a day.  Rows, or -1.
 */
int	uniq_add(struct db *, uint64_t user_id, const char *key,
	    const unsigned char request[UNIQ_REQUEST], const struct uuid *job);
int	uniq_find(struct db *, uint64_t user_id, const char *key,
	    unsigned char request[UNIQ_REQUEST], struct uuid *job);
int	uniq_sweep(struct db *);

#endif
