/*
 * Tokens, and the keys that make them.
 *
 * Every key is derived from the configured secret for one purpose (HKDF,
 * RFC 5869), so that a ticket can never be read as an access token even
 * though both are signed with HMAC-SHA256.  While a secret is being replaced
 * there are two sets of keys: the first signs, both verify.
 *
 * What a token says is read here, from the very bytes that were signed, and
 * not through libjwt, whose accessors turn claims of a wrong type into
 * plausible values.
 */

#include "token.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>

#include <jwt.h>
#include <sodium.h>

#include "conf.h"
#include "log.h"

#define KEY	crypto_auth_hmacsha256_KEYBYTES		/* 32 */
#define MAC	crypto_auth_hmacsha256_BYTES		/* 32 */
#define KID	9		/* 8 hexadecimal digits and NUL */

/* Least bytes of a secret. */
#define SECRET_MIN	32

/* Clocks of two hosts may differ by this. */
#define LEEWAY_S	60

#define ISSUER		"millrace"
#define AUDIENCE	"millrace"
#define USE		"access"

/* Two base64url characters and dots: shorter ones are nothing. */
#define JWT_MIN		20

enum purpose { ACCESS, TICKET, REFRESH, DEVICE, PURPOSES };

static const char *const purposes[PURPOSES] = {
	[ACCESS]	= "access",
	[TICKET]	= "ticket",
	[REFRESH]	= "refresh",
	[DEVICE]	= "device",
};

/* All that follows from one secret. */
struct keys {
	char		kid[KID];
	unsigned char	key[PURPOSES][KEY];
};

struct token_keys {
	size_t		n;
	struct keys	set[2];		/* the present one, the previous */
};

static void
hmac(const unsigned char *key, size_t key_len, const void *data, size_t len,
    unsigned char mac[MAC])
{
	crypto_auth_hmacsha256_state	 st;

	crypto_auth_hmacsha256_init(&st, key, key_len);
	crypto_auth_hmacsha256_update(&st, data, len);
	crypto_auth_hmacsha256_final(&st, mac);
	explicit_bzero(&st, sizeof(st));
}

/* HKDF's second half; 32 bytes need one round, which ends in the byte 1. */
static void
expand(const unsigned char prk[MAC], const char *info, unsigned char out[MAC])
{
	char	 text[32];
	int	 len;

	len = snprintf(text, sizeof(text), "%s%c", info, 1);
	hmac(prk, MAC, text, len, out);
}

static void
derive(struct keys *k, const char *secret)
{
	static const unsigned char	 salt[] = "millrace";
	unsigned char			 prk[MAC], id[MAC];
	size_t				 i;

	hmac(salt, sizeof(salt) - 1, secret, strlen(secret), prk);
	for (i = 0; i < PURPOSES; i++)
		expand(prk, purposes[i], k->key[i]);
	expand(prk, "kid", id);
	sodium_bin2hex(k->kid, KID, id, (KID - 1) / 2);
	explicit_bzero(prk, sizeof(prk));
}

struct token_keys *
token_keys_new(const struct conf *c)
{
	struct token_keys	*keys;

	if (sodium_init() == -1)
		fatalx("libsodium: cannot start");
	/* libjwt takes any token for good when its key is empty. */
	if (strlen(c->secret) < SECRET_MIN)
		fatalx("the secret is shorter than %d bytes", SECRET_MIN);
	keys = xcalloc(1, sizeof(*keys));
	derive(&keys->set[keys->n++], c->secret);
	if (strlen(c->previous_secret) >= SECRET_MIN)
		derive(&keys->set[keys->n++], c->previous_secret);
	return keys;
}

void
token_keys_free(struct token_keys *keys)
{
	if (keys == NULL)
		return;
	explicit_bzero(keys, sizeof(*keys));
	free(keys);
}

static const struct keys *
by_kid(const struct token_keys *keys, const char *kid)
{
	size_t	 i;

	for (i = 0; i < keys->n; i++)
		if (strcmp(keys->set[i].kid, kid) == 0)
			return &keys->set[i];
	return NULL;
}

static void
base64(const void *data, size_t len, char *text, size_t size)
{
	sodium_bin2base64(text, size, data, len,
	    sodium_base64_VARIANT_URLSAFE_NO_PADDING);
}

/* Bytes in BUF, or -1: not base64url, or more than SIZE of them. */
static ssize_t
unbase64(const char *text, size_t text_len, void *buf, size_t size)
{
	size_t		 len;
	const char	*end;

	if (sodium_base642bin(buf, size, text, text_len, NULL, &len, &end,
	    sodium_base64_VARIANT_URLSAFE_NO_PADDING) == -1 ||
	    end != text + text_len)
		return -1;
	return len;
}

/*
 * JSON as it stands in our tokens: one object, whose members are strings
 * without escapes, or whole numbers.  Anything else was not made here.
 */

#define MEMBERS_MAX	16

struct member {
	char	 name[16];
	char	 text[64];		/* without the quotes */
	bool	 quoted;		/* a string, not a number */
};

struct object {
	struct member	 member[MEMBERS_MAX];
	size_t		 n;
};

static const char *
skip_space(const char *p)
{
	return p + strspn(p, " \t\r\n");
}

/* The byte after the string that begins at P, or NULL. */
static const char *
read_string(const char *p, char *buf, size_t size)
{
	size_t	 n = 0;

	if (*p++ != '"')
		return NULL;
	for (; *p != '"'; p++) {
		if (*p < 0x20 || *p > 0x7e || *p == '\\' || n + 1 == size)
			return NULL;
		buf[n++] = *p;
	}
	buf[n] = '\0';
	return p + 1;
}

/* The same for a number: at most 15 digits, none of them a needless 0. */
static const char *
read_number(const char *p, char *buf, size_t size)
{
	static const char	 digits[] = "0123456789";
	size_t			 sign = *p == '-', n;

	n = strspn(p + sign, digits);
	if (n == 0 || n > 15 || (n > 1 && p[sign] == '0') || sign + n >= size)
		return NULL;
	memcpy(buf, p, sign + n);
	buf[sign + n] = '\0';
	return p + sign + n;
}

static const struct member *
member(const struct object *o, const char *name)
{
	size_t	 i;

	for (i = 0; i < o->n; i++)
		if (strcmp(o->member[i].name, name) == 0)
			return &o->member[i];
	return NULL;
}

static const char *
read_member(const char *p, struct object *o)
{
	struct member	*m;

	if (o->n == MEMBERS_MAX)
		return NULL;
	m = &o->member[o->n];
	if ((p = read_string(skip_space(p), m->name, sizeof(m->name))) == NULL)
		return NULL;
	if (member(o, m->name) != NULL)
		return NULL;		/* twice: which one would count? */
	p = skip_space(p);
	if (*p++ != ':')
		return NULL;
	p = skip_space(p);
	m->quoted = *p == '"';
	p = m->quoted ? read_string(p, m->text, sizeof(m->text)) :
	    read_number(p, m->text, sizeof(m->text));
	if (p == NULL)
		return NULL;
	o->n++;
	return skip_space(p);
}

static int
read_object(const char *p, struct object *o)
{
	o->n = 0;
	p = skip_space(p);
	if (*p++ != '{')
		return -1;
	do {
		if ((p = read_member(p, o)) == NULL)
			return -1;
	} while (*p++ == ',');
	return p[-1] == '}' && *skip_space(p) == '\0' ? 0 : -1;
}

/* The object that the base64url of one part of a token stands for. */
static int
read_part(const char *text, size_t len, struct object *o)
{
	char	 json[TOKEN_JWT];
	ssize_t	 n;

	if ((n = unbase64(text, len, json, sizeof(json) - 1)) == -1)
		return -1;
	json[n] = '\0';
	if (strlen(json) != (size_t)n)
		return -1;
	return read_object(json, o);
}

static bool
says(const struct object *o, const char *name, const char *text)
{
	const struct member	*m = member(o, name);

	return m != NULL && m->quoted && strcmp(m->text, text) == 0;
}

/* A text claim that fits into BUF. */
static int
text_claim(const struct object *o, const char *name, char *buf, size_t size)
{
	const struct member	*m = member(o, name);

	if (m == NULL || !m->quoted || m->text[0] == '\0')
		return -1;
	return strlcpy(buf, m->text, size) < size ? 0 : -1;
}

/* A number claim from LEAST to MOST. */
static int
number_claim(const struct object *o, const char *name, int64_t least,
    int64_t most, int64_t *n)
{
	const struct member	*m = member(o, name);

	if (m == NULL || m->quoted)
		return -1;
	*n = strtoll(m->text, NULL, 10);	/* at most 15 digits */
	return *n >= least && *n <= most ? 0 : -1;
}

/* "sub": a positive number, written as a string. */
static int
subject_claim(const struct object *o, uint64_t *id)
{
	char	 text[19];		/* 18 digits always fit into 64 bits */

	if (text_claim(o, "sub", text, sizeof(text)) == -1 || text[0] == '0' ||
	    text[strspn(text, "0123456789")] != '\0')
		return -1;
	*id = strtoull(text, NULL, 10);
	return 0;
}

/* Three parts of base64url with a dot between; LEN gets their lengths. */
static int
split(const char *text, size_t len[3])
{
	static const char	 alphabet[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	size_t			 i, all;

	all = strnlen(text, TOKEN_JWT);
	if (all < JWT_MIN || all == TOKEN_JWT)
		return -1;
	for (i = 0; i < 3; i++) {
		if ((len[i] = strspn(text, alphabet)) == 0)
			return -1;
		text += len[i];
		if (*text++ != (i < 2 ? '.' : '\0'))
			return -1;
	}
	return 0;
}

/* The key that the header names, or NULL: not a header of ours. */
static const struct keys *
key_of_header(const struct token_keys *keys, const char *text, size_t len)
{
	struct object	 head;
	char		 kid[KID];

	/* "crit", "jku", "x5u", "jwk": whoever sends them wants something. */
	if (read_part(text, len, &head) == -1 || head.n != 3)
		return NULL;
	if (!says(&head, "alg", "HS256") || !says(&head, "typ", "JWT") ||
	    text_claim(&head, "kid", kid, sizeof(kid)) == -1)
		return NULL;
	return by_kid(keys, kid);
}

/*
 * Whether the signature holds.  libjwt answers 0 also when it could not
 * allocate its copy of the key and has verified nothing; the object is of
 * algorithm "none" then.
 */
static bool
is_signed(const char *text, const unsigned char key[KEY])
{
	jwt_t	*jwt = NULL;
	bool	 good;

	good = jwt_decode(&jwt, text, key, KEY) == 0 && jwt != NULL &&
	    jwt_get_alg(jwt) == JWT_ALG_HS256;
	jwt_free(jwt);
	return good;
}

/* Now is within the time that the claims give, and that is not too long. */
static int
check_times(const struct object *claims, int64_t *expires)
{
	const int64_t	 most = 999999999999;
	int64_t		 now = time(NULL), issued, begins, ends;

	if (number_claim(claims, "iat", 1, most, &issued) == -1 ||
	    number_claim(claims, "nbf", 1, most, &begins) == -1 ||
	    number_claim(claims, "exp", 1, most, &ends) == -1)
		return -1;
	if (issued > now + LEEWAY_S || begins > now + LEEWAY_S ||
	    ends <= now - LEEWAY_S)
		return -1;
	if (ends <= issued || ends - issued > TOKEN_LIFE_MAX)
		return -1;
	*expires = ends;
	return 0;
}

static int
read_claims(const struct object *claims, struct token *t)
{
	char	 sid[UUID_TEXT], jti[UUID_TEXT];
	int64_t	 version;

	if (!says(claims, "iss", ISSUER) || !says(claims, "aud", AUDIENCE) ||
	    !says(claims, "use", USE))
		return -1;
	if (subject_claim(claims, &t->user_id) == -1 ||
	    text_claim(claims, "role", t->role, sizeof(t->role)) == -1 ||
	    text_claim(claims, "jti", jti, sizeof(jti)) == -1 ||
	    text_claim(claims, "sid", sid, sizeof(sid)) == -1 ||
	    uuid_parse(&t->login, sid) == -1 ||
	    number_claim(claims, "ver", 1, UINT32_MAX, &version) == -1)
		return -1;
	t->version = (unsigned int)version;
	return check_times(claims, &t->expires);
}

int
token_check(const struct token_keys *keys, const char *text, struct token *t)
{
	const struct keys	*k;
	struct object		 claims;
	struct token		 said = { .user_id = 0 };
	size_t			 len[3];

	/* libjwt copies the token onto the stack, whatever its length. */
	if (split(text, len) == -1 ||
	    (k = key_of_header(keys, text, len[0])) == NULL ||
	    !is_signed(text, k->key[ACCESS]) ||
	    read_part(text + len[0] + 1, len[1], &claims) == -1 ||
	    read_claims(&claims, &said) == -1)
		return -1;
	*t = said;
	return 0;
}

/* Every claim of an access token.  Nonzero when memory ran out. */
static int
add_claims(jwt_t *jwt, const struct token *t, unsigned int life_s)
{
	struct uuid	 jti;
	char		 sub[24], sid[UUID_TEXT], id[UUID_TEXT];
	int64_t		 now = time(NULL);

	snprintf(sub, sizeof(sub), "%llu", (unsigned long long)t->user_id);
	uuid_text(&t->login, sid);
	uuid_new(&jti);
	uuid_text(&jti, id);
	return jwt_add_grant(jwt, "iss", ISSUER) ||
	    jwt_add_grant(jwt, "aud", AUDIENCE) ||
	    jwt_add_grant(jwt, "use", USE) ||
	    jwt_add_grant(jwt, "sub", sub) ||
	    jwt_add_grant(jwt, "role", t->role) ||
	    jwt_add_grant_int(jwt, "ver", t->version) ||
	    jwt_add_grant(jwt, "sid", sid) ||
	    jwt_add_grant(jwt, "jti", id) ||
	    jwt_add_grant_int(jwt, "iat", now) ||
	    jwt_add_grant_int(jwt, "nbf", now) ||
	    jwt_add_grant_int(jwt, "exp", now + life_s);
}

int
token_make(const struct token_keys *keys, const struct token *t,
    unsigned int life_s, char buf[TOKEN_JWT])
{
	const struct keys	*k = &keys->set[0];
	jwt_t			*jwt = NULL;
	char			*text = NULL;
	int			 rc = -1;

	if (life_s == 0 || life_s > TOKEN_LIFE_MAX) {
		log_warnx("token: a life of %u s is not within 1 to %d",
		    life_s, TOKEN_LIFE_MAX);
		return -1;
	}
	/* An object without claims must never be encoded: it overflows. */
	if (jwt_new(&jwt) == 0 && add_claims(jwt, t, life_s) == 0 &&
	    jwt_add_header(jwt, "kid", k->kid) == 0 &&
	    jwt_set_alg(jwt, JWT_ALG_HS256, k->key[ACCESS], KEY) == 0 &&
	    (text = jwt_encode_str(jwt)) != NULL &&
	    strlcpy(buf, text, TOKEN_JWT) < TOKEN_JWT)
		rc = 0;
	else
		log_warnx("token: libjwt cannot make one");
	if (text != NULL)
		freezero(text, strlen(text));
	jwt_free(jwt);
	return rc;
}

/*
 * A capability: DATA and its MAC in base64url.  DATA is at most SEALED_MAX
 * bytes and of one length for each purpose, so that nothing needs a parser.
 */

#define SEALED_MAX	64

static void
seal(const struct token_keys *keys, enum purpose purpose, const void *data,
    size_t len, char *text, size_t size)
{
	unsigned char	 buf[SEALED_MAX + MAC];

	memcpy(buf, data, len);
	hmac(keys->set[0].key[purpose], KEY, data, len, buf + len);
	base64(buf, len + MAC, text, size);
}

/* 0 and DATA when it was sealed for this purpose by either secret; else -1. */
static int
unseal(const struct token_keys *keys, enum purpose purpose, const char *text,
    void *data, size_t len)
{
	unsigned char	 buf[SEALED_MAX + MAC], mac[MAC];
	size_t		 i, text_len;

	text_len = strnlen(text, TOKEN_JWT);
	if (text_len == TOKEN_JWT ||
	    unbase64(text, text_len, buf, sizeof(buf)) != (ssize_t)(len + MAC))
		return -1;
	for (i = 0; i < keys->n; i++) {
		hmac(keys->set[i].key[purpose], KEY, buf, len, mac);
		if (sodium_memcmp(mac, buf + len, MAC) == 0) {
			memcpy(data, buf, len);
			return 0;
		}
	}
	return -1;
}

/* A ticket as it is sealed; numbers with their greatest byte first. */
struct sealed_ticket {
	unsigned char	user_id[8], version[4], token_id[8];
	struct uuid	job, login;
};

static void
put_number(unsigned char *p, size_t len, uint64_t n)
{
	while (len-- > 0) {
		p[len] = n & 0xff;
		n >>= 8;
	}
}

static uint64_t
get_number(const unsigned char *p, size_t len)
{
	uint64_t	 n = 0;

	while (len-- > 0)
		n = n << 8 | *p++;
	return n;
}

void
ticket_make(const struct token_keys *keys, const struct ticket *t,
    char text[TOKEN_TICKET])
{
	struct sealed_ticket	 s;

	put_number(s.user_id, sizeof(s.user_id), t->user_id);
	put_number(s.version, sizeof(s.version), t->version);
	put_number(s.token_id, sizeof(s.token_id), t->token_id);
	s.job = t->job;
	s.login = t->login;
	seal(keys, TICKET, &s, sizeof(s), text, TOKEN_TICKET);
}

int
ticket_check(const struct token_keys *keys, const char *text, struct ticket *t)
{
	struct sealed_ticket	 s;

	if (unseal(keys, TICKET, text, &s, sizeof(s)) == -1)
		return -1;
	t->user_id = get_number(s.user_id, sizeof(s.user_id));
	t->version = (unsigned int)get_number(s.version, sizeof(s.version));
	t->token_id = get_number(s.token_id, sizeof(s.token_id));
	t->job = s.job;
	t->login = s.login;
	return 0;
}

/* A device as it is sealed. */
struct sealed_device {
	struct uuid	id;
	unsigned char	name[TOKEN_HASH];	/* SHA-256 */
};

void
device_make(const struct token_keys *keys, const char *name,
    char text[TOKEN_DEVICE])
{
	struct sealed_device	 s;

	uuid_new(&s.id);
	token_hash(name, s.name);
	seal(keys, DEVICE, &s, sizeof(s), text, TOKEN_DEVICE);
}

int
device_check(const struct token_keys *keys, const char *text, const char *name,
    struct uuid *id)
{
	struct sealed_device	 s;
	unsigned char		 hash[TOKEN_HASH];

	token_hash(name, hash);
	if (unseal(keys, DEVICE, text, &s, sizeof(s)) == -1 ||
	    memcmp(s.name, hash, sizeof(hash)) != 0)
		return -1;
	*id = s.id;
	return 0;
}

/* PREFIX and the 43 characters of 32 bytes. */
static void
secret_text(const char *prefix, const unsigned char bytes[MAC],
    char text[TOKEN_SECRET])
{
	size_t	 len = strlcpy(text, prefix, TOKEN_SECRET);

	base64(bytes, MAC, text + len, TOKEN_SECRET - len);
}

void
token_secret(const char *prefix, char text[TOKEN_SECRET])
{
	unsigned char	 bytes[MAC];

	randombytes_buf(bytes, sizeof(bytes));
	secret_text(prefix, bytes, text);
	explicit_bzero(bytes, sizeof(bytes));
}

void
token_next(const struct token_keys *keys, const char *old,
    char text[TOKEN_SECRET])
{
	unsigned char	 mac[MAC];

	hmac(keys->set[0].key[REFRESH], KEY, old, strlen(old), mac);
	secret_text(TOKEN_REFRESH, mac, text);
	explicit_bzero(mac, sizeof(mac));
}

void
token_hash(const char *text, unsigned char hash[TOKEN_HASH])
{
	crypto_hash_sha256(hash, (const unsigned char *)text, strlen(text));
}
