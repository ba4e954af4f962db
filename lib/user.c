/*
 * Users, their API tokens, and who is behind a request.
 */

#include "user.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "log.h"
#include "login.h"
#include "password.h"

#define COUNT(a)	(sizeof(a) / sizeof((a)[0]))

_Static_assert(USER_BUSY == PASSWORD_BUSY, "callers pass it on");

/* Columns of table user u, as from_row() reads them. */
#define COLUMNS	"u.id, u.name, u.role, u.version, u.disabled, u.created_at"
#define NCOLUMNS	6

/* SQL: the row t of table token is good for its user u. */
#define TOKEN_ALIVE \
	" (t.expires_at IS NULL OR t.expires_at > NOW(3)) AND u.disabled = 0"

/* How long a ticket is good after its job has ended, for the last reconnect. */
#define TICKET_AFTER	"10 MINUTE"

static const char *const roles[] = {
	[USER_USER]	= "user",
	[USER_ADMIN]	= "admin",
};

static const char *const proofs[] = {
	[PROOF_NONE]	= "none",
	[PROOF_JWT]	= "jwt",
	[PROOF_COOKIE]	= "cookie",
	[PROOF_API]	= "api",
	[PROOF_TICKET]	= "ticket",
};

static const struct { const char *name; unsigned int bit; } scope_names[] = {
	{ "read",	SCOPE_READ },
	{ "write",	SCOPE_WRITE },
	{ "admin",	SCOPE_ADMIN },
};

const char *
user_role_name(enum user_role role)
{
	return roles[role];
}

int
user_role_parse(const char *text)
{
	size_t	 i;

	for (i = 0; i < COUNT(roles); i++)
		if (strcmp(roles[i], text) == 0)
			return (int)i;
	return -1;
}

const char *
user_proof_name(enum user_proof proof)
{
	return proofs[proof];
}

/* The bit of the word of LEN bytes at TEXT; 0: none. */
static unsigned int
scope_bit(const char *text, size_t len)
{
	size_t	 i;

	for (i = 0; i < COUNT(scope_names); i++)
		if (strlen(scope_names[i].name) == len &&
		    strncmp(scope_names[i].name, text, len) == 0)
			return scope_names[i].bit;
	return 0;
}

int
user_scope_parse(const char *text)
{
	unsigned int	 bit, scopes = 0;
	size_t		 len;

	for (;;) {
		text += strspn(text, ", ");
		if ((len = strcspn(text, ", ")) == 0)
			return scopes != 0 ? (int)scopes : -1;
		if ((bit = scope_bit(text, len)) == 0)
			return -1;
		scopes |= bit;
		text += len;
	}
}

const char *
user_scope_text(unsigned int scopes, char text[24])
{
	size_t	 i;

	text[0] = '\0';
	for (i = 0; i < COUNT(scope_names); i++) {
		if ((scopes & scope_names[i].bit) == 0)
			continue;
		if (text[0] != '\0')
			strlcat(text, ",", 24);
		strlcat(text, scope_names[i].name, 24);
	}
	return text;
}

/* ---- users --------------------------------------------------------------- */

static void
from_row(const struct db_rows *rows, struct user *u)
{
	memset(u, 0, sizeof(*u));
	u->id = db_u64(rows, 0);
	db_text(rows, 1, u->name, sizeof(u->name));
	u->role = strcmp(db_str(rows, 2), roles[USER_ADMIN]) == 0 ?
	    USER_ADMIN : USER_USER;
	u->version = (unsigned int)db_u64(rows, 3);
	u->disabled = db_u64(rows, 4) != 0;
	db_text(rows, 5, u->created_at, sizeof(u->created_at));
}

bool
user_name_good(const char *name)
{
	static const char	 letters[] =
	    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	    "._-+@";
	size_t			 len = strspn(name, letters);

	return len > 0 && len <= USER_NAME_MAX && name[len] == '\0' &&
	    strchr("._-+@", name[0]) == NULL;
}

static int
insert(struct db *db, const char *name, const char *hash, enum user_role role,
    uint64_t *id)
{
	static const char	 add[] =
	    "INSERT INTO user (name, password, role) VALUES (?, ?, ?)";
	static const char	 last[] = "SELECT LAST_INSERT_ID()";
	struct db_rows		*rows;

	if (db_exec(db, add, "sss", name, hash, roles[role]) == -1)
		return db_error(db) == DB_DUPLICATE ? 1 : -1;
	if ((rows = db_one(db, last, "")) == NULL)
		return -1;
	*id = db_u64(rows, 0);
	db_rows_free(rows);
	return 0;
}

int
user_add(struct db *db, const char *name, const char *password,
    enum user_role role, uint64_t *id)
{
	char	 hash[PASSWORD_HASH];
	int	 rc;

	if ((rc = password_hash(password, hash)) == 0)
		rc = insert(db, name, hash, role, id);
	explicit_bzero(hash, sizeof(hash));
	return rc;
}

/* Names that others would trust, or that an administrator may want to have. */
static bool
is_reserved(const char *name)
{
	static const char *const	 reserved[] = {
		"abuse", "admin", "administrator", "anonymous", "api", "daemon",
		"guest", "help", "hostmaster", "info", "millrace", "moderator",
		"nobody", "operator", "owner", "postmaster", "root", "security",
		"service", "staff", "superuser", "support", "sysadmin",
		"system", "test", "user", "webmaster", "www",
	};
	size_t				 i;

	for (i = 0; i < COUNT(reserved); i++)
		if (strcasecmp(reserved[i], name) == 0)
			return true;
	return false;
}

/*
 * The name is looked up also when it is reserved, and only after the long
 * part: taken and reserved names take the same time.
 */
int
user_register(struct db *db, const char *name, const char *password,
    uint64_t *id)
{
	char		 hash[PASSWORD_HASH];
	struct user	 other;
	int		 rc;

	if ((rc = password_hash(password, hash)) != 0)
		return rc;
	if (user_named(db, name, &other) == 0)
		rc = 1;
	else if (db_error(db) != DB_OK)
		rc = -1;
	else if (is_reserved(name))
		rc = 1;
	else
		rc = insert(db, name, hash, USER_USER, id);
	explicit_bzero(hash, sizeof(hash));
	return rc;
}

int
user_find(struct db *db, uint64_t id, struct user *u)
{
	static const char	 find[] =
	    "SELECT " COLUMNS " FROM user u WHERE u.id = ?";
	struct db_rows		*rows;

	if ((rows = db_one(db, find, "u", id)) == NULL)
		return -1;
	from_row(rows, u);
	db_rows_free(rows);
	return 0;
}

int
user_named(struct db *db, const char *name, struct user *u)
{
	static const char	 find[] =
	    "SELECT " COLUMNS " FROM user u WHERE u.name = ?";
	struct db_rows		*rows;

	if ((rows = db_one(db, find, "s", name)) == NULL)
		return -1;
	from_row(rows, u);
	db_rows_free(rows);
	return 0;
}

/* Replace the hash of a user by one of today's strength. */
static void
upgrade(struct db *db, const struct user *u, const char *password,
    const char *old)
{
	static const char	 set[] =
	    "UPDATE user SET password = ? WHERE id = ? AND password = ?";
	char			 hash[PASSWORD_HASH];

	if (password_hash(password, hash) != 0)
		return;			/* the next sign-in tries again */
	db_exec(db, set, "sus", hash, u->id, old);
	explicit_bzero(hash, sizeof(hash));
}

int
user_password(struct db *db, const char *name, const char *password,
    struct user *u)
{
	static const char	 find[] =
	    "SELECT " COLUMNS ", u.password FROM user u WHERE u.name = ?";
	char			 hash[PASSWORD_HASH] = "";
	struct db_rows		*rows;
	bool			 known = false;
	int			 rc;

	if (user_name_good(name)) {
		rows = db_one(db, find, "s", name);
		if (rows == NULL && db_error(db) != DB_OK)
			return -1;
		if (rows != NULL) {
			from_row(rows, u);
			known = !u->disabled;
			db_text(rows, NCOLUMNS, hash, sizeof(hash));
		}
		db_rows_free(rows);
	}
	rc = password_check(known ? hash : NULL, password);
	if (rc == 0 && password_old(hash))
		upgrade(db, u, password, hash);
	explicit_bzero(hash, sizeof(hash));
	return rc;
}

int
user_set_password(struct db *db, uint64_t id, const char *password)
{
	static const char	 set[] =
	    "UPDATE user SET password = ?, version = version + 1 WHERE id = ?";
	char			 hash[PASSWORD_HASH];
	int			 rc;

	if ((rc = password_hash(password, hash)) == 0)
		rc = db_exec(db, set, "su", hash, id) == 1 ? 0 : -1;
	explicit_bzero(hash, sizeof(hash));
	return rc;
}

int
user_set_role(struct db *db, uint64_t id, enum user_role role)
{
	static const char	 set[] =
	    "UPDATE user SET role = ?, version = version + 1 WHERE id = ?";

	return db_exec(db, set, "su", roles[role], id) == 1 ? 0 : -1;
}

int
user_disable(struct db *db, uint64_t id, bool disabled)
{
	static const char	 set[] =
	    "UPDATE user SET disabled = ?, version = version + 1 WHERE id = ?";

	return db_exec(db, set, "uu", (uint64_t)disabled, id) == 1 ? 0 : -1;
}

int
user_list(struct db *db, uint64_t after, struct user *users, size_t n)
{
	static const char	 list[] =
	    "SELECT " COLUMNS " FROM user u WHERE u.id > ? ORDER BY u.id"
	    " LIMIT ?";
	struct db_rows		*rows;
	int			 i = 0;

	if ((rows = db_query(db, list, "uu", after, (uint64_t)n)) == NULL)
		return -1;
	while (db_next(rows))
		from_row(rows, &users[i++]);
	db_rows_free(rows);
	return i;
}

int
user_sees_job(struct db *db, const struct user *u, const struct uuid *job)
{
	static const char	 find[] =
	    "SELECT user_id FROM job WHERE id = ?";
	struct db_rows		*rows;
	uint64_t		 owner;

	if ((rows = db_one(db, find, "I", job)) == NULL)
		return db_error(db) == DB_OK ? 1 : -1;
	owner = db_u64(rows, 0);
	db_rows_free(rows);
	return owner == u->id || owner == 0 || u->role == USER_ADMIN ? 0 : 1;
}

/* ---- who is asking ------------------------------------------------------- */

/*
 * That a login or token was used is noted once a minute; ignored when it
 * fails, since a database that is read-only can still say who asks.
 */
static void
touch_login(struct db *db, const struct uuid *id)
{
	static const char	 touch[] =
	    "UPDATE login SET used_at = NOW(3) WHERE id = ?";

	db_exec(db, touch, "I", id);
}

static void
touch_token(struct db *db, uint64_t id)
{
	static const char	 touch[] =
	    "UPDATE token SET used_at = NOW(3) WHERE id = ?";

	db_exec(db, touch, "u", id);
}

/* Read the row of a login: columns of user, its id, whether to touch it. */
static int
by_login(struct db *db, struct db_rows *rows, enum user_proof proof,
    struct caller *c)
{
	bool	 stale;

	if (rows == NULL)
		return db_error(db) == DB_OK ? 1 : -1;
	memset(c, 0, sizeof(*c));
	from_row(rows, &c->user);
	db_uuid(rows, NCOLUMNS, &c->login);
	stale = db_u64(rows, NCOLUMNS + 1) != 0;
	db_rows_free(rows);
	c->proof = proof;
	if (stale)
		touch_login(db, &c->login);
	return 0;
}

/* Not used within the last minute, or a quarter of what makes it idle. */
#define STALE \
	"l.used_at < NOW(3) - INTERVAL LEAST(60, l.idle_s DIV 4) SECOND"

int
user_by_jwt(struct db *db, const struct token_keys *keys, const char *text,
    struct caller *c)
{
	static const char	 find[] =
	    "SELECT " COLUMNS ", l.id, " STALE
	    " FROM login l JOIN user u ON u.id = l.user_id"
	    " WHERE l.id = ? AND u.id = ? AND u.version = ? AND u.role = ?"
	    " AND" LOGIN_ALIVE;
	struct token		 t;

	if (token_check(keys, text, &t) == -1 || user_role_parse(t.role) == -1)
		return 1;
	return by_login(db, db_one(db, find, "Iuus", &t.login, t.user_id,
	    (uint64_t)t.version, t.role), PROOF_JWT, c);
}

/* Whether TEXT looks like a secret that begins with PREFIX. */
static bool
is_secret(const char *text, const char *prefix)
{
	size_t	 len = strlen(prefix);

	return strncmp(text, prefix, len) == 0 &&
	    strnlen(text, TOKEN_SECRET) == len + 43;
}

int
user_by_cookie(struct db *db, const char *text, struct caller *c)
{
	static const char	 find[] =
	    "SELECT " COLUMNS ", l.id, " STALE
	    " FROM login l JOIN user u ON u.id = l.user_id"
	    " WHERE l.cookie = ? AND" LOGIN_ALIVE;
	unsigned char		 hash[TOKEN_HASH];

	if (!is_secret(text, TOKEN_COOKIE))
		return 1;
	token_hash(text, hash);
	return by_login(db, db_one(db, find, "b", hash, sizeof(hash)),
	    PROOF_COOKIE, c);
}

int
user_by_api_token(struct db *db, const char *text, struct caller *c)
{
	static const char	 find[] =
	    "SELECT " COLUMNS ", t.id, t.scopes, t.used_at IS NULL OR"
	    " t.used_at < NOW(3) - INTERVAL 1 MINUTE"
	    " FROM token t JOIN user u ON u.id = t.user_id"
	    " WHERE t.hash = ? AND" TOKEN_ALIVE;
	unsigned char		 hash[TOKEN_HASH];
	struct db_rows		*rows;
	bool			 stale;

	if (!is_secret(text, TOKEN_API))
		return 1;
	token_hash(text, hash);
	if ((rows = db_one(db, find, "b", hash, sizeof(hash))) == NULL)
		return db_error(db) == DB_OK ? 1 : -1;
	memset(c, 0, sizeof(*c));
	from_row(rows, &c->user);
	c->token_id = db_u64(rows, NCOLUMNS);
	c->scopes = (unsigned int)db_u64(rows, NCOLUMNS + 1);
	stale = db_u64(rows, NCOLUMNS + 2) != 0;
	db_rows_free(rows);
	c->proof = PROOF_API;
	if (stale)
		touch_token(db, c->token_id);
	return 0;
}

int
user_by_ticket(struct db *db, const struct token_keys *keys, const char *text,
    struct caller *c)
{
	static const char	 find[] =
	    "SELECT " COLUMNS " FROM user u JOIN job j ON j.id = ?"
	    " WHERE u.id = ? AND u.version = ? AND u.disabled = 0"
	    " AND (j.completed_at IS NULL OR"
	    " j.completed_at > NOW(3) - INTERVAL " TICKET_AFTER ")"
	    " AND (EXISTS (SELECT 1 FROM login l WHERE l.id = ?"
	    "  AND l.user_id = u.id AND" LOGIN_ALIVE ")"
	    " OR EXISTS (SELECT 1 FROM token t WHERE t.id = ?"
	    "  AND t.user_id = u.id AND" TOKEN_ALIVE "))";
	struct ticket		 t;
	struct db_rows		*rows;

	if (ticket_check(keys, text, &t) == -1)
		return 1;
	rows = db_one(db, find, "IuuIu", &t.job, t.user_id,
	    (uint64_t)t.version, &t.login, t.token_id);
	if (rows == NULL)
		return db_error(db) == DB_OK ? 1 : -1;
	memset(c, 0, sizeof(*c));
	from_row(rows, &c->user);
	db_rows_free(rows);
	c->proof = PROOF_TICKET;
	c->job = t.job;
	c->login = t.login;
	c->token_id = t.token_id;
	return 0;
}

/* ---- API tokens ---------------------------------------------------------- */

int
api_token_add(struct db *db, uint64_t user_id, const char *name,
    unsigned int scopes, unsigned int life_s, uint64_t *id,
    char text[TOKEN_SECRET])
{
	static const char	 add[] =
	    "INSERT INTO token (user_id, name, hash, scopes, expires_at)"
	    " SELECT ?, ?, ?, ?, IF(? = 0, NULL, NOW(3) + INTERVAL ? SECOND)"
	    " FROM DUAL WHERE"
	    " (SELECT COUNT(*) FROM token t WHERE t.user_id = ?) < ?";
	static const char	 last[] = "SELECT LAST_INSERT_ID()";
	unsigned char		 hash[TOKEN_HASH];
	struct db_rows		*rows;
	int64_t			 n;

	token_secret(TOKEN_API, text);
	token_hash(text, hash);
	n = db_exec(db, add, "usbuuuuu", user_id, name, hash, sizeof(hash),
	    (uint64_t)scopes, (uint64_t)life_s, (uint64_t)life_s, user_id,
	    (uint64_t)API_TOKENS_MAX);
	if (n != 1)
		return n == 0 ? 1 : -1;
	if ((rows = db_one(db, last, "")) == NULL)
		return -1;
	*id = db_u64(rows, 0);
	db_rows_free(rows);
	return 0;
}

int
api_token_list(struct db *db, uint64_t user_id, struct api_token *t, size_t n)
{
	static const char	 list[] =
	    "SELECT id, name, scopes, created_at, used_at, expires_at"
	    " FROM token WHERE user_id = ? ORDER BY id DESC LIMIT ?";
	struct db_rows		*rows;
	int			 i;

	if ((rows = db_query(db, list, "uu", user_id, (uint64_t)n)) == NULL)
		return -1;
	for (i = 0; db_next(rows); i++, t++) {
		t->id = db_u64(rows, 0);
		db_text(rows, 1, t->name, sizeof(t->name));
		t->scopes = (unsigned int)db_u64(rows, 2);
		db_text(rows, 3, t->created_at, sizeof(t->created_at));
		db_text(rows, 4, t->used_at, sizeof(t->used_at));
		db_text(rows, 5, t->expires_at, sizeof(t->expires_at));
	}
	db_rows_free(rows);
	return i;
}

int
api_token_revoke(struct db *db, uint64_t user_id, uint64_t id)
{
	static const char	 revoke[] =
	    "DELETE FROM token WHERE id = ? AND user_id = ?";
	int64_t			 n;

	n = db_exec(db, revoke, "uu", id, user_id);
	return n == -1 ? -1 : n == 1 ? 0 : 1;
}

/* ---- open streams -------------------------------------------------------- */

/* Logins or tokens of one query. */
#define BATCH	1000

/*
 * Callers by what stands behind them, sorted: those of one login, or of one
 * API token, are neighbours.
 */
struct ref {
	const struct caller	*caller;
	bool			*valid;
};

static int
compare_callers(const struct caller *a, const struct caller *b)
{
	if (a->token_id != b->token_id)
		return a->token_id < b->token_id ? -1 : 1;
	return memcmp(&a->login, &b->login, sizeof(a->login));
}

static int
compare_refs(const void *a, const void *b)
{
	return compare_callers(((const struct ref *)a)->caller,
	    ((const struct ref *)b)->caller);
}

/* The first of N refs that is not below KEY. */
static size_t
lower_bound(const struct ref *refs, size_t n, const struct caller *key)
{
	size_t	 low = 0, high = n, middle;

	while (low < high) {
		middle = low + (high - low) / 2;
		if (compare_callers(refs[middle].caller, key) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* The login or token KEY is good, of a user at this version. */
static void
mark(struct ref *refs, size_t n, const struct caller *key, unsigned int version)
{
	size_t	 i;

	for (i = lower_bound(refs, n, key); i < n &&
	    compare_callers(refs[i].caller, key) == 0; i++)
		*refs[i].valid = refs[i].caller->user.version == version;
}

static const char	 good_logins[] =
    "SELECT l.id, u.version FROM login l JOIN user u ON u.id = l.user_id"
    " WHERE" LOGIN_OPEN " AND l.id IN (?";
static const char	 good_tokens[] =
    "SELECT t.id, u.version FROM token t JOIN user u ON u.id = t.user_id"
    " WHERE" TOKEN_ALIVE " AND t.id IN (?";

/* Ask for M distinct ones, and mark those among the N refs that are good. */
static int
ask(struct db *db, const char *sql, const struct db_value *values, size_t m,
    struct ref *refs, size_t n)
{
	struct caller	 key;
	struct db_rows	*rows;
	char		*text, *end;
	size_t		 i;

	text = xmalloc(strlen(sql) + 2 * m + 1);
	end = stpcpy(text, sql);
	for (i = 1; i < m; i++)
		end = stpcpy(end, ",?");
	stpcpy(end, ")");
	rows = db_query_values(db, text, values, m);
	free(text);
	if (rows == NULL)
		return -1;
	memset(&key, 0, sizeof(key));
	while (db_next(rows)) {
		if (values[0].type == 'u')
			key.token_id = db_u64(rows, 0);
		else
			db_uuid(rows, 0, &key.login);
		mark(refs, n, &key, (unsigned int)db_u64(rows, 1));
	}
	db_rows_free(rows);
	return 0;
}

/* All of one kind, in batches: N refs with a token, or with a login. */
static int
ask_all(struct db *db, const char *sql, struct ref *refs, size_t n)
{
	struct db_value	 values[BATCH];
	size_t		 i, m = 0;

	for (i = 0; i < n; i++) {
		const struct caller	*c = refs[i].caller;

		if (i > 0 && compare_refs(&refs[i - 1], &refs[i]) == 0)
			continue;
		if (m == BATCH) {
			if (ask(db, sql, values, m, refs, n) == -1)
				return -1;
			m = 0;
		}
		values[m].type = c->token_id != 0 ? 'u' : 'I';
		if (c->token_id != 0)
			values[m++].u = c->token_id;
		else
			values[m++].id = &c->login;
	}
	return m == 0 ? 0 : ask(db, sql, values, m, refs, n);
}

int
user_still_valid(struct db *db, const struct caller *const *callers, size_t n,
    bool *valid)
{
	struct ref	*refs = xcalloc(n + 1, sizeof(*refs));
	struct caller	 first_token = { .token_id = 1 };
	size_t		 i, m = 0, logins;
	int		 rc;

	for (i = 0; i < n; i++) {
		valid[i] = callers[i]->proof == PROOF_NONE;
		if (valid[i])
			continue;	/* nobody's rights cannot be revoked */
		refs[m].caller = callers[i];
		refs[m++].valid = &valid[i];
	}
	qsort(refs, m, sizeof(*refs), compare_refs);
	logins = lower_bound(refs, m, &first_token);
	rc = ask_all(db, good_logins, refs, logins);
	if (rc == 0)
		rc = ask_all(db, good_tokens, refs + logins, m - logins);
	free(refs);
	return rc;
}
