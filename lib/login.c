/*
 * Sign-ins, and the refresh tokens that carry them on.
 */

#include "login.h"

#include <string.h>

#include "conf.h"
#include "db.h"
#include "log.h"
#include "user.h"

int
login_start(struct db *db, const struct conf *conf, const struct user *u,
    const char *address, struct uuid *id, char refresh[TOKEN_SECRET],
    char cookie[TOKEN_SECRET])
{
	static const char	 start[] =
	    "INSERT INTO login (id, user_id, version, refresh, cookie, address,"
	    " idle_s, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?,"
	    " NOW(3) + INTERVAL ? SECOND)";
	unsigned char		 refresh_hash[TOKEN_HASH];
	unsigned char		 cookie_hash[TOKEN_HASH];

	uuid_new(id);
	token_secret(TOKEN_REFRESH, refresh);
	token_secret(TOKEN_COOKIE, cookie);
	token_hash(refresh, refresh_hash);
	token_hash(cookie, cookie_hash);
	return db_exec(db, start, "Iuubbsuu", id, u->id, (uint64_t)u->version,
	    refresh_hash, sizeof(refresh_hash), cookie_hash,
	    sizeof(cookie_hash), address, (uint64_t)conf->idle_s,
	    (uint64_t)conf->login_s) == -1 ? -1 : 0;
}

/* One refresh, in a transaction. */
struct refresh {
	unsigned char	 old[TOKEN_HASH], next[TOKEN_HASH];
	struct uuid	 login;
	struct user	 user;
	enum login_refreshed result;
};

/* Whoever changes the row has replaced the token.  1, 0 or -1. */
static int
take(struct db *db, struct refresh *f)
{
	static const char	 take_it[] =
	    "UPDATE login l JOIN user u ON u.id = l.user_id"
	    " SET l.refresh = ?, l.rotated_at = NOW(3), l.used_at = NOW(3)"
	    " WHERE l.refresh = ? AND" LOGIN_ALIVE;
	static const char	 spend[] =
	    "INSERT INTO spent (refresh, login_id)"
	    " SELECT ?, id FROM login WHERE refresh = ?";
	int64_t			 n;

	n = db_exec(db, take_it, "bb", f->next, sizeof(f->next), f->old,
	    sizeof(f->old));
	if (n == 1)
		n = db_exec(db, spend, "bb", f->old, sizeof(f->old), f->next,
		    sizeof(f->next));
	return (int)n;
}

/*
 * The login of a token that was replaced before now.  *CROSSED: by the one
 * that follows after it, just now.  1, 0: none, -1.
 */
static int
find_spent(struct db *db, struct refresh *f, bool *crossed)
{
	static const char	 find[] =
	    "SELECT l.id, l.user_id, l.refresh = ? AND"
	    " l.rotated_at > NOW(3) - INTERVAL 10 SECOND"
	    " FROM spent s JOIN login l ON l.id = s.login_id"
	    " JOIN user u ON u.id = l.user_id WHERE s.refresh = ? AND"
	    LOGIN_ALIVE;
	struct db_rows		*rows;

	rows = db_one(db, find, "bb", f->next, sizeof(f->next), f->old,
	    sizeof(f->old));
	if (rows == NULL)
		return db_error(db) == DB_OK ? 0 : -1;
	db_uuid(rows, 0, &f->login);
	f->user.id = db_u64(rows, 1);
	*crossed = db_u64(rows, 2) != 0;
	db_rows_free(rows);
	return 1;
}

/* The login that has the new token, and its user. */
static int
find_next(struct db *db, struct refresh *f)
{
	static const char	 find[] =
	    "SELECT id, user_id FROM login WHERE refresh = ?";
	struct db_rows		*rows;

	if ((rows = db_one(db, find, "b", f->next, sizeof(f->next))) == NULL)
		return -1;
	db_uuid(rows, 0, &f->login);
	f->user.id = db_u64(rows, 1);
	db_rows_free(rows);
	return user_find(db, f->user.id, &f->user);
}

static int
refresh(struct db *db, void *arg)
{
	struct refresh	*f = arg;
	bool		 crossed = false;
	int		 n;

	f->result = LOGIN_UNKNOWN;
	if ((n = take(db, f)) == 0) {
		if ((n = find_spent(db, f, &crossed)) == 0)
			return 0;
		if (n == 1 && !crossed) {
			f->result = LOGIN_STOLEN;
			if (user_find(db, f->user.id, &f->user) == -1)
				return -1;
			return login_end(db, f->user.id, &f->login);
		}
	}
	f->result = LOGIN_NEXT;
	return n == 1 ? find_next(db, f) : -1;
}

enum login_refreshed
login_refresh(struct db *db, const struct token_keys *keys, const char *old,
    char next[TOKEN_SECRET], struct uuid *login, struct user *u)
{
	struct refresh	 f = { .result = LOGIN_UNKNOWN };

	token_next(keys, old, next);
	token_hash(old, f.old);
	token_hash(next, f.next);
	if (db_run(db, refresh, &f) == -1)
		return LOGIN_FAILED;
	*login = f.login;
	*u = f.user;
	return f.result;
}

int
login_end(struct db *db, uint64_t user_id, const struct uuid *login)
{
	static const char	 one[] =
	    "UPDATE login SET ended_at = NOW(3)"
	    " WHERE id = ? AND user_id = ? AND ended_at IS NULL";
	static const char	 all[] =
	    "UPDATE user SET version = version + 1 WHERE id = ?";

	return (login != NULL ? db_exec(db, one, "Iu", login, user_id) :
	    db_exec(db, all, "u", user_id)) == -1 ? -1 : 0;
}

/* Few at a time: with each go the thousands of tokens that it has spent. */
int
login_sweep(struct db *db)
{
	static const char	 expired[] =
	    "DELETE FROM login WHERE expires_at < NOW(3) - INTERVAL 1 DAY"
	    " LIMIT 20";

	return (int)db_exec(db, expired, "");
}
