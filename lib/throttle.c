/*
 * Count tries, and make those wait who try too often.
 */

#include "throttle.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <string.h>

#include "db.h"
#include "token.h"

/*
 * Count one more, unless a pause lasts.  Assignments are made from left to
 * right: "tries" is the new one in the second and the third.  A burst begins
 * when the last one is over: 30 s after its start, when it was short; 15
 * minutes after its last pause, when it was not.
 *
 * Returns 1 when it was counted, 0: a pause lasts, or there is no row; -1.
 */
static int
count_more(struct db *db, const unsigned char hash[TOKEN_HASH])
{
	static const char	 more[] =
	    "UPDATE throttle SET"
	    " tries = IF(until < NOW(3) - INTERVAL 15 MINUTE OR"
	    "  (tries < 5 AND since < NOW(3) - INTERVAL 30 SECOND),"
	    "  1, tries + 1),"
	    " since = IF(tries = 1, NOW(3), since),"
	    " until = IF(tries < 5, NOW(3), NOW(3) +"
	    "  INTERVAL LEAST(900, 30 << LEAST(tries - 5, 5)) SECOND)"
	    " WHERE name = ? AND until <= NOW(3)";

	return (int)db_exec(db, more, "b", hash, (size_t)TOKEN_HASH);
}

/* The same for a key that was never seen, or not for long. */
static int
count_first(struct db *db, const unsigned char hash[TOKEN_HASH])
{
	static const char	 first[] =
	    "INSERT IGNORE INTO throttle (name, tries, since, until)"
	    " VALUES (?, 1, NOW(3), NOW(3))";

	return (int)db_exec(db, first, "b", hash, (size_t)TOKEN_HASH);
}

/* Seconds until the pause is over, at least 1; 0: there is none; -1. */
static int
pause_left(struct db *db, const unsigned char hash[TOKEN_HASH])
{
	static const char	 left[] =
	    "SELECT 1 + TIMESTAMPDIFF(SECOND, NOW(3), until) FROM throttle"
	    " WHERE name = ? AND until > NOW(3)";
	struct db_rows		*rows;
	int			 s = 0;

	rows = db_one(db, left, "b", hash, (size_t)TOKEN_HASH);
	if (rows == NULL)
		return db_error(db) == DB_OK ? 0 : -1;
	s = (int)db_u64(rows, 0);
	db_rows_free(rows);
	return s;
}

int
throttle_try(struct db *db, const char *key)
{
	unsigned char	 hash[TOKEN_HASH];
	int		 i, n;

	token_hash(key, hash);
	for (i = 0; i < 3; i++) {
		if ((n = count_more(db, hash)) != 0)
			return n == -1 ? -1 : 0;
		if ((n = count_first(db, hash)) != 0)
			return n == -1 ? -1 : 0;
		/* Between the two another one may have begun the row. */
		if ((n = pause_left(db, hash)) != 0)
			return n;
	}
	return 1;
}

int
throttle_ok(struct db *db, const char *key)
{
	static const char	 back[] =
	    "UPDATE throttle SET until = NOW(3), tries = tries - 1"
	    " WHERE name = ? AND tries > 0";
	unsigned char		 hash[TOKEN_HASH];

	token_hash(key, hash);
	return db_exec(db, back, "b", hash, sizeof(hash)) == -1 ? -1 : 0;
}

int
throttle_sweep(struct db *db)
{
	static const char	 sweep[] =
	    "DELETE FROM throttle WHERE until < NOW(3) - INTERVAL 15 MINUTE"
	    " LIMIT 1000";

	return (int)db_exec(db, sweep, "");
}

void
throttle_net(const char *address, char net[THROTTLE_NET])
{
	static const unsigned char	 mapped[12] = {
		0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff,
	};
	unsigned char			 b[16];

	if (inet_pton(AF_INET, address, b) == 1) {
		b[3] = 0;
		inet_ntop(AF_INET, b, net, THROTTLE_NET);
	} else if (inet_pton(AF_INET6, address, b) == 1) {
		if (memcmp(b, mapped, sizeof(mapped)) == 0) {
			b[15] = 0;
			inet_ntop(AF_INET, b + 12, net, THROTTLE_NET);
			return;
		}
		memset(b + 8, 0, 8);
		inet_ntop(AF_INET6, b, net, THROTTLE_NET);
	} else
		strlcpy(net, address, THROTTLE_NET);
}
