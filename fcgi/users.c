/*
 * Handlers: who somebody is.
 *
 * To a stranger all that fails looks alike: an unknown name and a wrong
 * password are one 401, after the same work; a name that is taken and one
 * that nobody may have are one 409.
 */

#include "users.h"

#include <arpa/inet.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

#include <json-c/json.h>

#include "conf.h"
#include "log.h"
#include "login.h"
#include "put.h"
#include "reply.h"
#include "req.h"
#include "route.h"
#include "throttle.h"
#include "token.h"
#include "user.h"

/* What those wait who came while too many passwords were at work, s. */
#define BUSY_S		1

/* Longest life that an API token can be given, s; else it has none. */
#define API_LIFE_MAX	(10 * 365 * 86400)

/* Least life of one, s: below that an access token will do. */
#define API_LIFE_MIN	60

/* ---- what came ----------------------------------------------------------- */

/*
 * The JSON object of the body, whose members are among KEYS.  Here, and only
 * here, others are refused: who sends "role" hopes that it is heard.
 */
static int
read_body(struct req *r, const char *const *keys, struct json_object **body)
{
	size_t	 i;
	int	 status;

	if ((status = reply_body(r, body)) != 0)
		return status;
	json_object_object_foreach(*body, key, value) {
		(void)value;
		for (i = 0; keys[i] != NULL && strcmp(keys[i], key) != 0; i++)
			continue;
		if (keys[i] == NULL)
			return req_fail(r, 400, "\"%s\": there is no such "
			    "member here", key);
	}
	return 0;
}

static int
read_name(struct req *r, struct json_object *body, const char **name)
{
	*name = reply_string(r, body, "name", USER_NAME_MAX, REPLY_REQUIRED);
	if (*name == NULL)
		return 400;
	if (!user_name_good(*name))
		return req_fail(r, 400, "name: \"%s\" is not made of A-Z a-z "
		    "0-9 . _ - + @, beginning with a letter or digit", *name);
	return 0;
}

/* A password that is to be: it has to be long enough. */
static int
read_new_password(struct req *r, struct json_object *body, const char *key,
    const char **password)
{
	*password = reply_string(r, body, key, USER_PASSWORD_MAX,
	    REPLY_REQUIRED);
	if (*password == NULL)
		return 400;
	if (strlen(*password) < USER_PASSWORD_MIN)
		return req_fail(r, 400, "%s: %zu bytes, at least %d", key,
		    strlen(*password), USER_PASSWORD_MIN);
	return 0;
}

/* ---- those who try too often --------------------------------------------- */

/* Keys that one try counts for, at most. */
#define TRIES_MAX	2

struct tries {
	const char	*key[TRIES_MAX];
	size_t		 n;
};

static int
too_many(struct req *r, unsigned int seconds)
{
	r->retry_s = seconds;
	return req_fail(r, 429, "too many tries; wait %u s", seconds);
}

/* Count a try for each key.  0, or the status that ends the request. */
static int
count_tries(struct req *r, const struct tries *t)
{
	size_t	 i;
	int	 wait_s;

	for (i = 0; i < t->n; i++) {
		if ((wait_s = throttle_try(r->site->db, t->key[i])) == -1)
			return route_db(r);
		if (wait_s > 0) {
			log_info("%s: throttled for %d s: %s", r->path, wait_s,
			    t->key[i]);
			return too_many(r, (unsigned int)wait_s);
		}
	}
	return 0;
}

static void
forget_tries(struct req *r, const struct tries *t)
{
	size_t	 i;

	for (i = 0; i < t->n; i++)
		throttle_ok(r->site->db, t->key[i]);
}

/* What a password function says, as a status; those of failure are WRONG. */
static int
password_status(struct req *r, int rc, const struct tries *t)
{
	if (rc == USER_BUSY) {
		forget_tries(r, t);
		return too_many(r, BUSY_S);
	}
	return rc == -1 ? route_db(r) : rc;
}

static const char *
net_key(struct req *r, const char *what)
{
	char	 net[THROTTLE_NET];

	throttle_net(r->address, net);
	return req_printf(r, "%s/net/%s", what, net);
}

static char *
lower(struct req *r, const char *name)
{
	char	*text = req_printf(r, "%s", name), *p;

	for (p = text; *p != '\0'; p++)
		if (*p >= 'A' && *p <= 'Z')
			*p += 'a' - 'A';
	return text;
}

/* ---- cookies ------------------------------------------------------------- */

struct cookie {
	const char	*name;
	const char	*plain;		/* over plain HTTP, on loopback */
};

static const struct cookie	session = {
	"__Host-millrace", "millrace_session"
};
static const struct cookie	device = {
	"__Host-millrace-device", "millrace_device"
};

/* How long a device is known, s. */
#define DEVICE_S	(365 * 86400)

static bool
is_loopback(const char *host)
{
	char		 name[64];
	struct in_addr	 addr;

	strlcpy(name, host, sizeof(name));
	if (name[0] == '[')
		return strncmp(name, "[::1]", 5) == 0;
	name[strcspn(name, ":")] = '\0';
	return strcasecmp(name, "localhost") == 0 ||
	    (inet_pton(AF_INET, name, &addr) == 1 &&
	    ntohl(addr.s_addr) >> 24 == 127);
}

/* Browsers keep a Secure cookie of plain HTTP on no host but some loopbacks. */
static bool
is_plain(struct req *r)
{
	return strcmp(req_param(r, "REQUEST_SCHEME"), "http") == 0 &&
	    is_loopback(req_param(r, "HTTP_HOST"));
}

/* Nothing is put into a page's cookies that its scripts could read. */
static void
set_cookie(struct req *r, const struct cookie *c, const char *value,
    unsigned int life_s)
{
	bool	 plain = is_plain(r);

	req_header(r, "Set-Cookie", "%s=%s; Path=/; Max-Age=%u; HttpOnly; "
	    "SameSite=Strict%s", plain ? c->plain : c->name, value, life_s,
	    plain ? "" : "; Secure");
}

static const char *
get_cookie(struct req *r, const struct cookie *c)
{
	return req_cookie(r, is_plain(r) ? c->plain : c->name);
}

/* ---- what goes back ------------------------------------------------------ */

static const char *
number(struct req *r, uint64_t n)
{
	return req_printf(r, "%llu", (unsigned long long)n);
}

static struct json_object *
user_object(struct req *r, const struct user *u)
{
	struct json_object	*o = json_object_new_object();

	put_text(o, "id", number(r, u->id));
	put_text(o, "name", u->name);
	put_text(o, "role", user_role_name(u->role));
	return o;
}

static int
reply_secret(struct req *r, int status, struct json_object *o)
{
	req_header(r, "Cache-Control", "no-store");
	return reply_json(r, status, o);
}

/* An access token for a login, with the refresh token that carries it on. */
static int
reply_tokens(struct req *r, const struct user *u, const struct uuid *login,
    const char *refresh)
{
	const struct site	*site = r->site;
	struct token		 t = {
		.user_id = u->id, .version = u->version, .login = *login,
	};
	struct json_object	*o;
	char			 text[TOKEN_JWT];

	strlcpy(t.role, user_role_name(u->role), sizeof(t.role));
	if (token_make(site->keys, &t, site->conf->access_s, text) == -1)
		return req_fail(r, 500, "no token could be made");
	o = json_object_new_object();
	put_text(o, "access_token", text);
	put_text(o, "token_type", "Bearer");
	put_number(o, "expires_in", site->conf->access_s);
	put_text(o, "refresh_token", refresh);
	json_object_object_add(o, "user", user_object(r, u));
	explicit_bzero(text, sizeof(text));
	return reply_secret(r, 200, o);
}

/* ---- signing in and out -------------------------------------------------- */

int
users_register(struct req *r)
{
	static const char *const keys[] = { "name", "password", NULL };
	struct tries		 tries = { .n = 0 };
	struct json_object	*body;
	const char		*name, *password;
	struct user		 u = { .role = USER_USER };
	int			 status;

	if (!r->site->conf->registration)
		return req_fail(r, 403, "registration is closed here");
	if ((status = read_body(r, keys, &body)) != 0 ||
	    (status = read_name(r, body, &name)) != 0 ||
	    (status = read_new_password(r, body, "password", &password)) != 0)
		return status;
	tries.key[tries.n++] = net_key(r, "register");
	if ((status = count_tries(r, &tries)) != 0)
		return status;
	status = user_register(r->site->db, name, password, &u.id);
	if (status == 1)
		return req_fail(r, 409, "name: \"%s\" cannot be had; choose "
		    "another one", name);
	if (status != 0)
		return password_status(r, status, &tries);
	forget_tries(r, &tries);
	log_info("register: user %llu \"%s\" from %s",
	    (unsigned long long)u.id, name, r->address);
	strlcpy(u.name, name, sizeof(u.name));
	return reply_secret(r, 201, user_object(r, &u));
}

/*
 * Who signed in here before is counted apart, so that those who guess at a
 * name do not lock its owner out.
 */
static void
login_tries(struct req *r, const char *name, struct tries *t)
{
	const char	*text = get_cookie(r, &device);
	struct uuid	 id;
	char		 hex[UUID_TEXT];

	t->n = 0;
	if (text != NULL && device_check(r->site->keys, text, name, &id) == 0) {
		t->key[t->n++] = req_printf(r, "login/device/%s",
		    uuid_text(&id, hex));
		return;
	}
	t->key[t->n++] = net_key(r, "login");
	t->key[t->n++] = req_printf(r, "login/name/%s", name);
}

static void
remember_device(struct req *r, const char *name)
{
	const char	*text = get_cookie(r, &device);
	char		 made[TOKEN_DEVICE];
	struct uuid	 id;

	if (text != NULL && device_check(r->site->keys, text, name, &id) == 0)
		return;
	device_make(r->site->keys, name, made);
	set_cookie(r, &device, made, DEVICE_S);
}

static int
sign_in(struct req *r, const struct user *u)
{
	char		 refresh[TOKEN_SECRET], cookie[TOKEN_SECRET];
	struct uuid	 login;
	int		 status;

	if (login_start(r->site->db, r->site->conf, u, r->address, &login,
	    refresh, cookie) == -1)
		return route_db(r);
	log_info("login: user %llu \"%s\" from %s", (unsigned long long)u->id,
	    u->name, r->address);
	set_cookie(r, &session, cookie, r->site->conf->login_s);
	status = reply_tokens(r, u, &login, refresh);
	explicit_bzero(refresh, sizeof(refresh));
	explicit_bzero(cookie, sizeof(cookie));
	return status;
}

int
users_login(struct req *r)
{
	static const char *const keys[] = { "name", "password", NULL };
	struct tries		 tries;
	struct json_object	*body;
	const char		*name, *password;
	struct user		 u;
	int			 status;

	if ((status = read_body(r, keys, &body)) != 0)
		return status;
	name = reply_string(r, body, "name", USER_NAME_MAX, REPLY_REQUIRED);
	if (name == NULL || (password = reply_string(r, body, "password",
	    USER_PASSWORD_MAX, REPLY_REQUIRED)) == NULL)
		return 400;
	name = lower(r, name);
	login_tries(r, name, &tries);
	if ((status = count_tries(r, &tries)) != 0)
		return status;
	status = user_password(r->site->db, name, password, &u);
	if (status == 1) {
		log_warnx("login: refused: \"%s\" from %s", name, r->address);
		return req_fail(r, 401, "name or password is wrong");
	}
	if (status != 0)
		return password_status(r, status, &tries);
	forget_tries(r, &tries);
	remember_device(r, name);
	return sign_in(r, &u);
}

int
users_refresh(struct req *r)
{
	static const char *const keys[] = { "refresh_token", NULL };
	struct json_object	*body;
	const char		*old;
	char			 next[TOKEN_SECRET], hex[UUID_TEXT];
	struct uuid		 login;
	struct user		 u;
	int			 status;

	if ((status = read_body(r, keys, &body)) != 0)
		return status;
	old = reply_string(r, body, "refresh_token", TOKEN_JWT, REPLY_REQUIRED);
	if (old == NULL)
		return 400;
	switch (login_refresh(r->site->db, r->site->keys, old, next, &login,
	    &u)) {
	case LOGIN_NEXT:
		status = reply_tokens(r, &u, &login, next);
		explicit_bzero(next, sizeof(next));
		return status;
	case LOGIN_STOLEN:
		log_warnx("refresh: a token of user %llu \"%s\" came twice, "
		    "from %s; login %s is over", (unsigned long long)u.id,
		    u.name, r->address, uuid_text(&login, hex));
		/* FALLTHROUGH */
	case LOGIN_UNKNOWN:
		return req_fail(r, 401, "refresh_token: not valid, or not any "
		    "more");
	case LOGIN_FAILED:
		break;
	}
	return route_db(r);
}

static int
refuse_api_token(struct req *r)
{
	if (r->caller.proof != PROOF_API)
		return 0;
	return req_fail(r, 403, "an API token is no sign-in: it cannot do "
	    "this");
}

int
users_logout(struct req *r)
{
	bool	 everywhere = req_query(r, "everywhere") != NULL;
	int	 status;

	if ((status = refuse_api_token(r)) != 0)
		return status;
	if (login_end(r->site->db, r->caller.user.id,
	    everywhere ? NULL : &r->caller.login) == -1)
		return route_db(r);
	log_info("logout: user %llu \"%s\" from %s%s",
	    (unsigned long long)r->caller.user.id, r->caller.user.name,
	    r->address, everywhere ? ", everywhere" : "");
	set_cookie(r, &session, "", 0);
	return reply_empty(r, 204);
}

int
users_password(struct req *r)
{
	static const char *const keys[] = { "password", "new_password", NULL };
	const struct user	*me = &r->caller.user;
	struct tries		 tries = { .n = 0 };
	struct json_object	*body;
	const char		*old, *new;
	struct user		 u;
	int			 status;

	if ((status = refuse_api_token(r)) != 0 ||
	    (status = read_body(r, keys, &body)) != 0)
		return status;
	if ((old = reply_string(r, body, "password", USER_PASSWORD_MAX,
	    REPLY_REQUIRED)) == NULL)
		return 400;
	if ((status = read_new_password(r, body, "new_password", &new)) != 0)
		return status;
	tries.key[tries.n++] = req_printf(r, "password/%s", number(r, me->id));
	if ((status = count_tries(r, &tries)) != 0)
		return status;
	if ((status = user_password(r->site->db, me->name, old, &u)) == 1) {
		log_warnx("password: refused: user %llu \"%s\" from %s",
		    (unsigned long long)me->id, me->name, r->address);
		return req_fail(r, 401, "password: is wrong");
	}
	if (status == 0)
		status = user_set_password(r->site->db, me->id, new);
	if (status != 0)
		return password_status(r, status, &tries);
	forget_tries(r, &tries);
	log_info("password: changed: user %llu \"%s\" from %s",
	    (unsigned long long)me->id, me->name, r->address);
	set_cookie(r, &session, "", 0);
	return reply_empty(r, 204);
}

int
users_me(struct req *r)
{
	struct json_object	*o = user_object(r, &r->caller.user);

	put_text(o, "proof", user_proof_name(r->caller.proof));
	return reply_secret(r, 200, o);
}

/* ---- tickets and tokens -------------------------------------------------- */

int
users_ticket(struct req *r)
{
	static const char *const keys[] = { "job_id", NULL };
	struct json_object	*body, *o;
	const char		*id;
	struct ticket		 t = {
		.user_id = r->caller.user.id,
		.version = r->caller.user.version,
		.login = r->caller.login,
		.token_id = r->caller.token_id,
	};
	char			 text[TOKEN_TICKET];
	int			 status;

	if ((status = read_body(r, keys, &body)) != 0)
		return status;
	if ((id = reply_string(r, body, "job_id", 64, REPLY_REQUIRED)) == NULL)
		return 400;
	if (uuid_parse(&t.job, id) == -1)
		return req_fail(r, 400, "job_id: \"%s\" is no UUID of 36 "
		    "lower-case characters", id);
	status = user_sees_job(r->site->db, &r->caller.user, &t.job);
	if (status == 1)
		return req_fail(r, 404, "no such job");
	if (status != 0)
		return route_db(r);
	ticket_make(r->site->keys, &t, text);
	o = json_object_new_object();
	put_text(o, "ticket", text);
	put_text(o, "job_id", id);
	return reply_secret(r, 201, o);
}

static struct json_object *
scopes_array(unsigned int scopes)
{
	struct json_object	*a = json_object_new_array();
	char			 words[24], *rest = words, *word;

	user_scope_text(scopes, words);
	while ((word = strsep(&rest, ",")) != NULL)
		json_object_array_add(a, json_object_new_string(word));
	return a;
}

static struct json_object *
token_object(struct req *r, const struct api_token *t)
{
	struct json_object	*o = json_object_new_object();

	put_text(o, "id", number(r, t->id));
	put_text(o, "name", t->name);
	json_object_object_add(o, "scopes", scopes_array(t->scopes));
	put_time(o, "created_at", t->created_at, DB_TIME_SECONDS);
	put_time(o, "used_at", t->used_at, DB_TIME_SECONDS);
	put_time(o, "expires_at", t->expires_at, DB_TIME_SECONDS);
	return o;
}

int
users_tokens(struct req *r)
{
	struct json_object	*o, *items;
	struct api_token	*t;
	int			 i, n;

	t = req_alloc(r, API_TOKENS_MAX * sizeof(*t));
	n = api_token_list(r->site->db, r->caller.user.id, t, API_TOKENS_MAX);
	if (n == -1)
		return route_db(r);
	o = json_object_new_object();
	items = put_array(o, "items");
	for (i = 0; i < n; i++)
		json_object_array_add(items, token_object(r, &t[i]));
	return reply_secret(r, 200, o);
}

/* "scopes": an array of words.  0 or 400. */
static int
read_scopes(struct req *r, struct json_object *body, unsigned int *scopes)
{
	struct json_object	*a, *word;
	const char		*text;
	size_t			 i;
	int			 bit;

	*scopes = 0;
	if (!json_object_object_get_ex(body, "scopes", &a))
		return req_fail(r, 400, "scopes: missing");
	if (!json_object_is_type(a, json_type_array))
		return req_fail(r, 400, "scopes: not an array");
	for (i = 0; i < json_object_array_length(a); i++) {
		word = json_object_array_get_idx(a, i);
		text = json_object_is_type(word, json_type_string) ?
		    json_object_get_string(word) :
		    json_object_to_json_string(word);
		if ((bit = user_scope_parse(text)) == -1)
			return req_fail(r, 400, "scopes: \"%s\" is not one of "
			    "read, write, admin", text);
		*scopes |= (unsigned int)bit;
	}
	if (*scopes == 0)
		return req_fail(r, 400, "scopes: none in it");
	if ((*scopes & SCOPE_ADMIN) != 0 &&
	    r->caller.user.role != USER_ADMIN)
		return req_fail(r, 403, "scopes: \"admin\" is for "
		    "administrators");
	return 0;
}

/* "expires_in": whole seconds; absent or null: never.  0 or 400. */
static int
read_life(struct req *r, struct json_object *body, unsigned int *life_s)
{
	struct json_object	*v;
	int64_t			 s;

	*life_s = 0;
	if (!json_object_object_get_ex(body, "expires_in", &v) || v == NULL)
		return 0;
	s = json_object_is_type(v, json_type_int) ?
	    json_object_get_int64(v) : -1;
	if (s < API_LIFE_MIN || s > API_LIFE_MAX)
		return req_fail(r, 400, "expires_in: %s is no whole number of "
		    "seconds from %d to %d", json_object_to_json_string(v),
		    API_LIFE_MIN, API_LIFE_MAX);
	*life_s = (unsigned int)s;
	return 0;
}

/* The token that was just added, as the list shows it, and its secret. */
static int
reply_added(struct req *r, uint64_t id, const char *text)
{
	struct api_token	*t;
	struct json_object	*o;
	int			 i, n;

	t = req_alloc(r, API_TOKENS_MAX * sizeof(*t));
	n = api_token_list(r->site->db, r->caller.user.id, t, API_TOKENS_MAX);
	for (i = 0; i < n && t[i].id != id; i++)
		continue;
	if (i >= n)
		return n == -1 ? route_db(r) :
		    req_fail(r, 404, "the token was revoked meanwhile");
	o = token_object(r, &t[i]);
	put_text(o, "token", text);
	return reply_secret(r, 201, o);
}

int
users_token_add(struct req *r)
{
	static const char *const keys[] = {
		"name", "scopes", "expires_in", NULL
	};
	struct json_object	*body;
	const char		*name;
	char			 text[TOKEN_SECRET];
	unsigned int		 scopes, life_s;
	uint64_t		 id, me = r->caller.user.id;
	int			 status;

	if ((status = refuse_api_token(r)) != 0 ||
	    (status = read_body(r, keys, &body)) != 0)
		return status;
	if ((name = reply_string(r, body, "name", 64, REPLY_REQUIRED)) == NULL)
		return 400;
	if (name[0] == '\0')
		return req_fail(r, 400, "name: empty");
	if ((status = read_scopes(r, body, &scopes)) != 0 ||
	    (status = read_life(r, body, &life_s)) != 0)
		return status;
	status = api_token_add(r->site->db, me, name, scopes, life_s, &id,
	    text);
	if (status == 1)
		return req_fail(r, 409, "there are %d tokens; revoke one first",
		    API_TOKENS_MAX);
	if (status != 0)
		return route_db(r);
	log_info("token: %llu \"%s\" of user %llu made", (unsigned long long)id,
	    name, (unsigned long long)me);
	status = reply_added(r, id, text);
	explicit_bzero(text, sizeof(text));
	return status;
}

int
users_token_revoke(struct req *r)
{
	uint64_t	 id;
	int		 status;

	if ((status = refuse_api_token(r)) != 0)
		return status;
	if (conf_number(r->args[0], INT64_MAX, &id) == -1)
		return req_fail(r, 400, "id: \"%s\" is no number", r->args[0]);
	status = api_token_revoke(r->site->db, r->caller.user.id, id);
	if (status == 1)
		return req_fail(r, 404, "no such token");
	if (status != 0)
		return route_db(r);
	log_info("token: %llu of user %llu revoked", (unsigned long long)id,
	    (unsigned long long)r->caller.user.id);
	return reply_empty(r, 204);
}
