/*
 * A token is accepted only when it was made with our key, for this purpose,
 * and says everything it has to say now.
 *
 * The file under test is included, so that tokens can be signed here that
 * token_make would never write.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../lib/token.c"

#define SECRET \
	"000102030405060708090a0b0c0d0e0f" \
	"101112131415161718191a1b1c1d1e1f"
#define OTHER \
	"ff0102030405060708090a0b0c0d0e0f" \
	"101112131415161718191a1b1c1d1e1f"
#define SID	"0192f0c1-7b2a-7cde-8f01-23456789abcd"
#define JTI	"0192f0c1-7b2a-7cde-8f01-23456789abce"
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static struct token_keys *
keys_of(const char *secret, const char *previous)
{
	char		 a[128], b[128];
	struct conf	 conf = { .secret = a, .previous_secret = b };

	strlcpy(a, secret, sizeof(a));
	strlcpy(b, previous, sizeof(b));
	return token_keys_new(&conf);
}

/* The keys that the tests below share. */
static struct token_keys	*keys;

static int
setup(void **state)
{
	(void)state;
	keys = keys_of(SECRET, "");
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	token_keys_free(keys);
	return 0;
}

/* Sign HEAD and CLAIMS as they are; in memory of exactly its size. */
static char *
sign_with(const unsigned char key[KEY], const char *head, const char *claims)
{
	static char	 h[8192], c[8192];
	char		 s[64], *body, *text;
	unsigned char	 mac[MAC];

	base64(head, strlen(head), h, sizeof(h));
	base64(claims, strlen(claims), c, sizeof(c));
	xasprintf(&body, "%s.%s", h, c);
	hmac(key, KEY, body, strlen(body), mac);
	base64(mac, sizeof(mac), s, sizeof(s));
	xasprintf(&text, "%s.%s", body, s);
	free(body);
	return text;
}

static char *
head(const char *alg)
{
	char	*text;

	xasprintf(&text, "{\"alg\":\"%s\",\"kid\":\"%s\",\"typ\":\"JWT\"}", alg,
	    keys->set[0].kid);
	return text;
}

/* What becomes of a token that has these claims and a good signature. */
static int
verdict(const char *claims)
{
	char		*h = head("HS256"), *text;
	struct token	 t;
	int		 rc;

	text = sign_with(keys->set[0].key[ACCESS], h, claims);
	rc = token_check(keys, text, &t);
	free(text);
	free(h);
	return rc;
}

/* Claims as they should be, one of them replaced; VALUE NULL: left out. */
static char *
claims_with(const char *name, const char *value)
{
	static const struct { const char *name, *value; } usual[] = {
		{ "aud", "\"millrace\"" }, { "iss", "\"millrace\"" },
		{ "use", "\"access\"" }, { "sub", "\"7\"" },
		{ "role", "\"user\"" }, { "ver", "3" },
		{ "sid", "\"" SID "\"" }, { "jti", "\"" JTI "\"" },
		{ "iat", "%d" }, { "nbf", "%d" }, { "exp", "%d" },
	};
	char	*text = xstrdup(""), *more, number[24];
	size_t	 i;

	for (i = 0; i < COUNT(usual); i++) {
		const char	*v = usual[i].value;

		if (strcmp(v, "%d") == 0) {
			snprintf(number, sizeof(number), "%lld",
			    (long long)time(NULL) +
			    (strcmp(usual[i].name, "exp") == 0 ? 600 : 0));
			v = number;
		}
		if (strcmp(usual[i].name, name) == 0 && (v = value) == NULL)
			continue;
		xasprintf(&more, "%s%s\"%s\":%s", text,
		    text[0] ? "," : "", usual[i].name, v);
		free(text);
		text = more;
	}
	xasprintf(&more, "{%s}", text);
	free(text);
	return more;
}

static int
verdict_with(const char *name, const char *value)
{
	char	*claims = claims_with(name, value);
	int	 rc = verdict(claims);

	free(claims);
	return rc;
}

static const struct token	 usual = {
	.user_id = 7, .role = "admin", .version = 3,
	.login.b = { 0x01, 0x92, 0xf0, 0xc1, 0x7b, 0x2a, 0x7c, 0xde,
		     0x8f, 0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd },
};

static void
says_what_was_put_in(void **state)
{
	struct token	 t;
	char		 text[TOKEN_JWT];

	(void)state;
	assert_int_equal(token_make(keys, &usual, 600, text), 0);
	assert_int_equal(token_check(keys, text, &t), 0);
	assert_int_equal(t.user_id, 7);
	assert_string_equal(t.role, "admin");
	assert_int_equal(t.version, 3);
	assert_true(uuid_equal(&t.login, &usual.login));
	assert_in_range(t.expires, time(NULL) + 598, time(NULL) + 600);
}

static void
the_longest_fits(void **state)
{
	struct token	 t = usual, back;
	char		 text[TOKEN_JWT];

	(void)state;
	t.user_id = 999999999999999999;
	t.version = UINT32_MAX;
	assert_int_equal(token_make(keys, &t, TOKEN_LIFE_MAX, text), 0);
	assert_int_equal(token_check(keys, text, &back), 0);
	assert_int_equal(back.user_id, t.user_id);
	assert_int_equal(back.version, t.version);
}

static void
refuses_to_make_one_that_lives_too_long(void **state)
{
	char	 text[TOKEN_JWT];

	(void)state;
	assert_int_equal(token_make(keys, &usual, 0, text), -1);
	assert_int_equal(token_make(keys, &usual, TOKEN_LIFE_MAX + 1, text),
	    -1);
}

static void
each_claim_is_checked(void **state)
{
	static const struct {
		const char *name, *value; int result;
	} cases[] = {
		{ "none", "",				0 },
		{ "aud", NULL,				-1 },
		{ "aud", "\"other\"",			-1 },
		{ "aud", "[\"millrace\"]",		-1 },
		{ "iss", NULL,				-1 },
		{ "iss", "\"Millrace\"",		-1 },
		{ "iss", "\"millrace\\u0000\"",		-1 },
		{ "use", NULL,				-1 },
		{ "use", "\"sse\"",			-1 },
		{ "use", "\"\"",			-1 },
		{ "sub", NULL,				-1 },
		{ "sub", "7",				-1 },
		{ "sub", "\"\"",			-1 },
		{ "sub", "\"0\"",			-1 },
		{ "sub", "\"07\"",			-1 },
		{ "sub", "\"-7\"",			-1 },
		{ "sub", "\" 7\"",			-1 },
		{ "sub", "\"7 \"",			-1 },
		{ "sub", "\"7a\"",			-1 },
		{ "sub", "\"0x7\"",			-1 },
		{ "sub", "\"1e3\"",			-1 },
		{ "sub", "\"999999999999999999\"",	0 },
		{ "sub", "\"1000000000000000000\"",	-1 },
		{ "sub", "\"18446744073709551623\"",	-1 },
		{ "sub", "true",			-1 },
		{ "sub", "null",			-1 },
		{ "sub", "{\"n\":\"7\"}",		-1 },
		{ "role", NULL,				-1 },
		{ "role", "1",				-1 },
		{ "role", "\"\"",			-1 },
		{ "role", "\"administratorssss\"",	-1 },
		{ "ver", NULL,				-1 },
		{ "ver", "\"3\"",			-1 },
		{ "ver", "0",				-1 },
		{ "ver", "-3",				-1 },
		{ "ver", "3.0",				-1 },
		{ "ver", "3e0",				-1 },
		{ "ver", "03",				-1 },
		{ "ver", "+3",				-1 },
		{ "ver", "4294967295",			0 },
		{ "ver", "4294967299",			-1 },	/* 3, if cut */
		{ "ver", "99999999999999999999",	-1 },
		{ "ver", "true",			-1 },
		{ "ver", "[3]",				-1 },
		{ "sid", NULL,				-1 },
		{ "sid", "\"\"",			-1 },
		{ "sid", "\"" SID "0\"",		-1 },
		{ "sid", "\"0192F0C1-7b2a-7cde-8f01-23456789abcd\"", -1 },
		{ "sid", "12",				-1 },
		{ "jti", NULL,				-1 },
		{ "jti", "12",				-1 },
		{ "jti", "\"\"",			-1 },
	};
	size_t	 i;

	(void)state;
	for (i = 0; i < COUNT(cases); i++)
		if (verdict_with(cases[i].name, cases[i].value) !=
		    cases[i].result)
			fail_msg("%s %s", cases[i].name,
			    cases[i].value ? cases[i].value : "absent");
}

static void
times_are_checked(void **state)
{
	/* Seconds from now; no case stands on an edge, since time goes on. */
	static const struct {
		const char	*what;
		int		 iat, nbf, exp, result;
	} cases[] = {
		{ "usual",			0,	0,	600,	0 },
		{ "longest",			0,	0,	900,	0 },
		{ "too long",			0,	0,	901,	-1 },
		{ "far too long",		0,	0,	1 << 30, -1 },
		{ "over, within the leeway",	-600,	-600,	-50,	0 },
		{ "over",			-700,	-700,	-61,	-1 },
		{ "long over",			-90000,	-90000,	-89400,	-1 },
		{ "issued just ahead",		50,	0,	600,	0 },
		{ "issued in the future",	70,	0,	600,	-1 },
		{ "begins just ahead",		0,	50,	600,	0 },
		{ "begins in the future",	0,	70,	600,	-1 },
		{ "ends before it was issued",	30,	0,	20,	-1 },
		{ "ends as it is issued",	30,	0,	30,	-1 },
	};
	static const char *const wrong[] = {
		NULL, "0", "-1", "\"%lld\"", "%lld.0", "1e10", "null", "true",
		"9999999999999999",
	};
	static const char *const names[] = { "iat", "nbf", "exp" };
	char	 text[512];
	size_t	 i, j;

	(void)state;
	for (i = 0; i < COUNT(cases); i++) {
		long long	 now = time(NULL);

		snprintf(text, sizeof(text), "{\"aud\":\"millrace\","
		    "\"iss\":\"millrace\",\"use\":\"access\",\"sub\":\"7\","
		    "\"role\":\"user\",\"ver\":3,\"sid\":\"" SID "\","
		    "\"jti\":\"" JTI "\",\"iat\":%lld,\"nbf\":%lld,"
		    "\"exp\":%lld}", now + cases[i].iat, now + cases[i].nbf,
		    now + cases[i].exp);
		if (verdict(text) != cases[i].result)
			fail_msg("%s", cases[i].what);
	}
	for (i = 0; i < COUNT(names); i++)
		for (j = 0; j < COUNT(wrong); j++) {
			if (wrong[j] != NULL)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
				snprintf(text, sizeof(text), wrong[j],
				    (long long)time(NULL) + 300);
#pragma GCC diagnostic pop
			if (verdict_with(names[i], wrong[j] ? text : NULL) == 0)
				fail_msg("%s %s", names[i],
				    wrong[j] ? text : "absent");
		}
}

static void
claims_are_one_plain_object(void **state)
{
	static const struct {
		const char *before, *after; int result;
	} cases[] = {
		{ "",			"",			0 },
		{ " \n",		"\t ",			0 },
		{ "[",			"]",			-1 },
		{ "",			"x",			-1 },
		{ "",			"{}",			-1 },
		{ "\xef\xbb\xbf",	"",			-1 },
	};
	static const struct { const char *more; int result; } members[] = {
		{ "\"later\":\"ignored\"",	0 },
		{ "\"later\":12",		0 },
		{ "\"use\":\"access\"",		-1 },	/* twice */
		{ "\"sub\":\"1\"",		-1 },
		{ "\"u\\u0073e\":\"access\"",	-1 },	/* twice, in disguise */
		{ "\"a\":{}",			-1 },
		{ "\"a\":[]",			-1 },
		{ "\"a\":1.5",			-1 },
		{ "\"a\":tru",			-1 },
		{ "\"a\":\"\x01\"",		-1 },
		{ "\"a\":\"\xc3\xa9\"",		-1 },
		{ "\"a\"",			-1 },
		{ "\"a\":",			-1 },
		{ "a:1",			-1 },
		{ "",				-1 },
		{ "\"a\":\"b",			-1 },
		{ "\"a\":1,\"b\":1,\"c\":1,\"d\":1,\"e\":1", 0 },
		{ "\"a\":1,\"b\":1,\"c\":1,\"d\":1,\"e\":1,\"f\":1", -1 },
		{ "\"a_name_too_long_to_be_ours\":1", -1 },
	};
	static const char *const others[] = {
		"{}", "[]", "\"\"", "null", "1", "{", "}", "{{}}",
	};
	char	*claims = claims_with("none", ""), *text;
	size_t	 i;

	(void)state;
	for (i = 0; i < COUNT(cases); i++) {
		xasprintf(&text, "%s%s%s", cases[i].before, claims,
		    cases[i].after);
		if (verdict(text) != cases[i].result)
			fail_msg("%s", text);
		free(text);
	}
	for (i = 0; i < COUNT(members); i++) {
		xasprintf(&text, "{%s,%s", members[i].more, claims + 1);
		if (verdict(text) != members[i].result)
			fail_msg("%s", text);
		free(text);
	}
	for (i = 0; i < COUNT(others); i++)
		if (verdict(others[i]) != -1)
			fail_msg("%s", others[i]);
	free(claims);
}

static void
the_header_is_ours(void **state)
{
	static const struct { const char *head; int result; } cases[] = {
		/* %s: our kid */
		{ "{\"alg\":\"HS256\",\"kid\":\"%s\",\"typ\":\"JWT\"}", 0 },
		{ "{\"typ\":\"JWT\",\"kid\":\"%s\",\"alg\":\"HS256\"}", 0 },
		{ "{\"alg\":\"hs256\",\"kid\":\"%s\",\"typ\":\"JWT\"}", -1 },
		{ "{\"alg\":\"Hs256\",\"kid\":\"%s\",\"typ\":\"JWT\"}", -1 },
		{ "{\"alg\":\"HS384\",\"kid\":\"%s\",\"typ\":\"JWT\"}", -1 },
		{ "{\"alg\":\"HS512\",\"kid\":\"%s\",\"typ\":\"JWT\"}", -1 },
		{ "{\"alg\":\"RS256\",\"kid\":\"%s\",\"typ\":\"JWT\"}", -1 },
		{ "{\"alg\":\"none\",\"kid\":\"%s\",\"typ\":\"JWT\"}", -1 },
		{ "{\"alg\":\"NONE\",\"kid\":\"%s\",\"typ\":\"JWT\"}", -1 },
		{ "{\"alg\":\"\",\"kid\":\"%s\",\"typ\":\"JWT\"}", -1 },
		{ "{\"alg\":256,\"kid\":\"%s\",\"typ\":\"JWT\"}", -1 },
		{ "{\"kid\":\"%s\",\"typ\":\"JWT\"}", -1 },
		{ "{\"alg\":\"HS256\",\"alg\":\"none\",\"kid\":\"%s\"}", -1 },
		{ "{\"alg\":\"HS256\",\"kid\":\"%s\",\"typ\":\"at+jwt\"}", -1 },
		{ "{\"alg\":\"HS256\",\"kid\":\"%s\"}", -1 },
		{ "{\"alg\":\"HS256\",\"typ\":\"JWT\"}", -1 },
		{ "{\"alg\":\"HS256\",\"kid\":\"\",\"typ\":\"JWT\"}", -1 },
		{ "{\"alg\":\"HS256\",\"kid\":\"00000000\","
		    "\"typ\":\"JWT\"}", -1 },
		{ "{\"alg\":\"HS256\",\"kid\":\"../../dev/null\","
		  "\"typ\":\"JWT\"}", -1 },
		{ "{\"alg\":\"HS256\",\"kid\":\"%s' OR 1=1\",\"typ\":\"JWT\"}",
		  -1 },
		{ "{\"alg\":\"HS256\",\"kid\":\"%s0\",\"typ\":\"JWT\"}", -1 },
		{ "{\"alg\":\"HS256\",\"kid\":0,\"typ\":\"JWT\"}", -1 },
		{ "{\"alg\":\"HS256\",\"kid\":\"%s\",\"typ\":\"JWT\","
		  "\"crit\":\"exp\"}", -1 },
		{ "{\"alg\":\"HS256\",\"kid\":\"%s\",\"typ\":\"JWT\","
		  "\"crit\":[\"exp\"]}", -1 },
		{ "{\"alg\":\"HS256\",\"kid\":\"%s\",\"typ\":\"JWT\","
		  "\"jku\":\"http://127.0.0.1/\"}", -1 },
		{ "{\"alg\":\"HS256\",\"kid\":\"%s\",\"typ\":\"JWT\","
		  "\"jwk\":{\"kty\":\"oct\",\"k\":\"AAAA\"}}", -1 },
		{ "[\"HS256\"]", -1 },
		{ "{}", -1 },
		{ "null", -1 },
	};
	char		*claims = claims_with("none", ""), *h, *text;
	struct token	 t;
	size_t		 i;

	(void)state;
	for (i = 0; i < COUNT(cases); i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		xasprintf(&h, cases[i].head, keys->set[0].kid);
#pragma GCC diagnostic pop
		text = sign_with(keys->set[0].key[ACCESS], h, claims);
		if (token_check(keys, text, &t) != cases[i].result)
			fail_msg("%s", h);
		free(text);
		free(h);
	}
	free(claims);
}

/* Keys that an attacker has or could have. */
static void
other_keys_are_refused(void **state)
{
	struct token_keys	*others = keys_of(OTHER, "");
	static const unsigned char zero[KEY];
	unsigned char		 raw[KEY];
	const unsigned char	*wrong[8];
	char			*claims = claims_with("none", "");
	char			*h = head("HS256"), *text;
	struct token		 t;
	size_t			 i, n = 0;

	(void)state;
	memcpy(raw, SECRET, KEY);	/* the secret itself, not derived */
	wrong[n++] = zero;
	wrong[n++] = raw;
	wrong[n++] = others->set[0].key[ACCESS];
	wrong[n++] = keys->set[0].key[TICKET];
	wrong[n++] = keys->set[0].key[REFRESH];
	wrong[n++] = keys->set[0].key[DEVICE];
	for (i = 0; i < n; i++) {
		text = sign_with(wrong[i], h, claims);
		assert_int_equal(token_check(keys, text, &t), -1);
		free(text);
	}
	free(h);
	free(claims);
	token_keys_free(others);
}

static void
every_changed_character_is_refused(void **state)
{
	static const char	 alphabet[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	char			 text[TOKEN_JWT], was;
	struct token		 t;
	size_t			 i, j, sign;

	(void)state;
	assert_int_equal(token_make(keys, &usual, 600, text), 0);
	sign = strrchr(text, '.') + 1 - text;
	assert_int_equal(strlen(text + sign), 43);
	for (i = 0; text[i] != '\0'; i++) {
		was = text[i];
		/* All others within the signature, one of them elsewhere. */
		for (j = 0; j < (i >= sign ? 64 : 1); j++) {
			text[i] = was == alphabet[j] ? '.' : alphabet[j];
			if (token_check(keys, text, &t) != -1)
				fail_msg("%c for %c at %zu", text[i], was, i);
		}
		text[i] = was;
	}
	assert_int_equal(token_check(keys, text, &t), 0);
}

static void
every_length_of_it_is_refused(void **state)
{
	char		 text[TOKEN_JWT], longer[TOKEN_JWT + 2], *cut;
	struct token	 t;
	size_t		 i, len;

	(void)state;
	assert_int_equal(token_make(keys, &usual, 600, text), 0);
	len = strlen(text);
	for (i = 0; i < len; i++) {
		cut = xmalloc(i + 1);
		memcpy(cut, text, i);
		cut[i] = '\0';
		assert_int_equal(token_check(keys, cut, &t), -1);
		free(cut);
	}
	snprintf(longer, sizeof(longer), "%sA", text);
	assert_int_equal(token_check(keys, longer, &t), -1);
	snprintf(longer, sizeof(longer), "%s.", text);
	assert_int_equal(token_check(keys, longer, &t), -1);
	snprintf(longer, sizeof(longer), "%s=", text);
	assert_int_equal(token_check(keys, longer, &t), -1);
	snprintf(longer, sizeof(longer), " %s", text);
	assert_int_equal(token_check(keys, longer, &t), -1);
	snprintf(longer, sizeof(longer), "%s\n", text);
	assert_int_equal(token_check(keys, longer, &t), -1);
}

static void
other_shapes_are_refused(void **state)
{
	static const char *const cases[] = {
		"", ".", "..", "...", "a.b.c", "....................",
		"eyJhbGciOiJub25lIn0.e30.",
		"eyJhbGciOiJub25lIn0..AAAAAAAAAAAAAAAA",
		".eyJhbGciOiJub25lIn0.AAAAAAAAAAAAAAAA",
		"eyJhbGciOiJub25lIn0.AAAAAAAAAAAAAAAA",
		"eyJhbGciOiJub25lIn0.e30.AAAAAAAA.AAAA",
		"eyJhbGciOiJub25lIn0.e30.AAAA+AAA/AAA=",
		"mr_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
		"\x80\x81\x82\x83\x84\x85\x86\x87.\xff\xff\xff\xff."
		    "\xfe\xfe\xfe",
	};
	static const size_t	 lengths[] = { 1023, 1024, 5000, 1 << 20 };
	struct token		 t;
	char			*text;
	size_t			 i, len;

	(void)state;
	for (i = 0; i < COUNT(cases); i++)
		if (token_check(keys, cases[i], &t) != -1)
			fail_msg("%s", cases[i]);
	for (i = 0; i < COUNT(lengths); i++) {
		len = lengths[i];
		text = xmalloc(len + 1);
		memset(text, 'A', len);
		text[len / 3] = text[2 * len / 3] = '.';
		text[len] = '\0';
		assert_int_equal(token_check(keys, text, &t), -1);
		free(text);
	}
}

/* A signed token that is too long is refused for its length. */
static void
a_long_one_is_refused(void **state)
{
	char	*claims, *more, fill[64];
	size_t	 i;

	(void)state;
	memset(fill, 'x', 60);
	fill[60] = '\0';
	claims = claims_with("none", "");
	for (i = 0; i < 5; i++) {
		xasprintf(&more, "{\"%c\":\"%s\",%s", (int)('a' + i), fill,
		    claims + 1);
		free(claims);
		claims = more;
	}
	assert_int_equal(verdict(claims), 0);
	xasprintf(&more, "%*s%s", 600, "", claims);
	assert_int_equal(verdict(more), -1);
	free(more);
	free(claims);
}

/* Add, sign, drop: a key is good only while it is in the table. */
static void
secrets_are_replaced(void **state)
{
	struct token_keys	*old = keys_of(SECRET, "");
	struct token_keys	*both = keys_of(OTHER, SECRET);
	struct token_keys	*new = keys_of(OTHER, "");
	struct ticket		 ticket = { .user_id = 7, .version = 3 }, tt;
	struct uuid		 id;
	struct token		 t;
	char			 by_old[TOKEN_JWT], by_both[TOKEN_JWT];
	char			 ticket_old[TOKEN_TICKET];
	char			 device_old[TOKEN_DEVICE];

	(void)state;
	assert_string_not_equal(old->set[0].kid, new->set[0].kid);
	assert_int_equal(strlen(old->set[0].kid), 8);
	token_make(old, &usual, 600, by_old);
	token_make(both, &usual, 600, by_both);
	ticket_make(old, &ticket, ticket_old);
	device_make(old, "ana", device_old);

	assert_int_equal(token_check(old, by_old, &t), 0);
	assert_int_equal(token_check(both, by_old, &t), 0);
	assert_int_equal(token_check(new, by_old, &t), -1);
	assert_int_equal(token_check(old, by_both, &t), -1);
	assert_int_equal(token_check(both, by_both, &t), 0);
	assert_int_equal(token_check(new, by_both, &t), 0);
	assert_int_equal(ticket_check(both, ticket_old, &tt), 0);
	assert_int_equal(ticket_check(new, ticket_old, &tt), -1);
	assert_int_equal(device_check(both, device_old, "ana", &id), 0);
	assert_int_equal(device_check(new, device_old, "ana", &id), -1);
	token_keys_free(old);
	token_keys_free(both);
	token_keys_free(new);
}

static void
a_weak_secret_is_fatal(void **state)
{
	static const char *const weak[] = {
		"", "secret", "0123456789012345678901234567890",	/* 31 */
	};
	size_t	 i;
	pid_t	 pid;
	int	 status;

	(void)state;
	for (i = 0; i < COUNT(weak); i++) {
		if ((pid = fork()) == 0) {
			close(STDERR_FILENO);
			keys_of(weak[i], "");
			_exit(0);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 1);
	}
}

static void
tickets_say_what_was_put_in(void **state)
{
	struct ticket	 t = {
		.user_id = 0x0123456789abcdef, .version = 0xfedcba98,
		.token_id = 0xf0f1f2f3f4f5f6f7,
	}, back;
	char		 text[TOKEN_TICKET], jwt[TOKEN_JWT], was;
	struct token	 token;
	size_t		 i;

	(void)state;
	uuid_new(&t.job);
	uuid_new(&t.login);
	ticket_make(keys, &t, text);
	assert_int_equal(strlen(text), 112);
	assert_int_equal(ticket_check(keys, text, &back), 0);
	assert_true(back.user_id == t.user_id && back.version == t.version &&
	    back.token_id == t.token_id);
	assert_true(uuid_equal(&back.job, &t.job));
	assert_true(uuid_equal(&back.login, &t.login));

	for (i = 0; text[i] != '\0'; i++) {
		was = text[i];
		text[i] = was == 'A' ? 'B' : 'A';
		assert_int_equal(ticket_check(keys, text, &back), -1);
		text[i] = '\0';
		assert_int_equal(ticket_check(keys, text, &back), -1);
		text[i] = was;
	}
	assert_int_equal(token_check(keys, text, &token), -1);
	assert_int_equal(token_make(keys, &usual, 600, jwt), 0);
	assert_int_equal(ticket_check(keys, jwt, &back), -1);
}

static void
devices_are_known_by_one_name(void **state)
{
	struct uuid	 a, b;
	char		 one[TOKEN_DEVICE], two[TOKEN_DEVICE];
	struct ticket	 ticket;

	(void)state;
	device_make(keys, "ana", one);
	device_make(keys, "ana", two);
	assert_int_equal(device_check(keys, one, "ana", &a), 0);
	assert_int_equal(device_check(keys, two, "ana", &b), 0);
	assert_false(uuid_equal(&a, &b));
	assert_int_equal(device_check(keys, one, "bob", &a), -1);
	assert_int_equal(device_check(keys, one, "", &a), -1);
	assert_int_equal(device_check(keys, "", "ana", &a), -1);
	assert_int_equal(ticket_check(keys, one, &ticket), -1);
	one[3] ^= 1;
	assert_int_equal(device_check(keys, one, "ana", &a), -1);
}

static void
secrets_are_random_and_hashed(void **state)
{
	static const unsigned char	 abc[] = { 0xba, 0x78, 0x16, 0xbf };
	char				 a[TOKEN_SECRET], b[TOKEN_SECRET];
	unsigned char			 hash[TOKEN_HASH];

	(void)state;
	token_secret(TOKEN_API, a);
	token_secret(TOKEN_API, b);
	assert_int_equal(strlen(a), 46);
	assert_memory_equal(a, "mr_", 3);
	assert_string_not_equal(a, b);
	token_hash("abc", hash);
	assert_memory_equal(hash, abc, sizeof(abc));
}

static void
the_next_of_a_secret_is_always_the_same(void **state)
{
	struct token_keys	*others = keys_of(OTHER, "");
	char			 a[TOKEN_SECRET], b[TOKEN_SECRET];
	char			 c[TOKEN_SECRET];

	(void)state;
	token_next(keys, "rt_x", a);
	token_next(keys, "rt_x", b);
	assert_string_equal(a, b);
	assert_int_equal(strlen(a), 46);
	token_next(keys, "rt_y", b);
	assert_string_not_equal(a, b);
	token_next(keys, a, c);
	assert_string_not_equal(a, c);
	token_next(others, "rt_x", c);
	assert_string_not_equal(a, c);
	token_keys_free(others);
}

/*
 * Memory that runs out must never make a bad token good: libjwt answers 0
 * when it could not copy the key.  Sanitizers bring a malloc of their own.
 */
#if defined(__SANITIZE_ADDRESS__)
#define OWN_MALLOC	0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define OWN_MALLOC	0
#endif
#endif
#ifndef OWN_MALLOC
#define OWN_MALLOC	1
#endif

#if OWN_MALLOC
extern void	*__libc_malloc(size_t);
extern void	*__libc_calloc(size_t, size_t);
extern void	*__libc_realloc(void *, size_t);
void		*malloc(size_t);
void		*calloc(size_t, size_t);
void		*realloc(void *, size_t);

/* Allocations until one fails, once or from then on; 0: none does. */
static unsigned int	 left;
static bool		 for_ever;
static unsigned int	 failures;

static bool
fails(void)
{
	if (left == 0 || --left > 0)
		return false;
	failures++;
	if (for_ever)
		left = 1;
	return true;
}

void *
malloc(size_t n)
{
	return fails() ? NULL : __libc_malloc(n);
}

void *
calloc(size_t n, size_t size)
{
	return fails() ? NULL : __libc_calloc(n, size);
}

void *
realloc(void *p, size_t n)
{
	return fails() ? NULL : __libc_realloc(p, n);
}

/* 0: refused; 1: accepted; 2: no allocation failed; else how it died. */
static int
check_with_failure(const char *text, unsigned int nth, bool ever)
{
	struct token	 t;
	int		 status, rc;
	pid_t		 pid;

	if ((pid = fork()) == 0) {
		left = nth;
		for_ever = ever;
		rc = token_check(keys, text, &t);
		left = 0;
		_exit(failures == 0 ? 2 : rc == 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void
nothing_is_accepted_when_memory_runs_out(void **state)
{
	static const unsigned char	 zero[KEY];
	char		*claims = claims_with("none", "");
	char		*h = head("HS256"), *forged;
	unsigned int	 i, ever, n = 0;
	int		 rc;

	(void)state;
	forged = sign_with(zero, h, claims);
	for (ever = 0; ever < 2; ever++)
		for (i = 1; (rc = check_with_failure(forged, i, ever)) != 2;
		    i++, n++)
			if (rc != 0)
				fail_msg("allocation %u: %d", i, rc);
	assert_true(n >= 10);
	free(forged);
	free(h);
	free(claims);
}
#endif

int
main(void)
{
	const struct CMUnitTest	 tests[] = {
		cmocka_unit_test(says_what_was_put_in),
		cmocka_unit_test(the_longest_fits),
		cmocka_unit_test(refuses_to_make_one_that_lives_too_long),
		cmocka_unit_test(each_claim_is_checked),
		cmocka_unit_test(times_are_checked),
		cmocka_unit_test(claims_are_one_plain_object),
		cmocka_unit_test(the_header_is_ours),
		cmocka_unit_test(other_keys_are_refused),
		cmocka_unit_test(every_changed_character_is_refused),
		cmocka_unit_test(every_length_of_it_is_refused),
		cmocka_unit_test(other_shapes_are_refused),
		cmocka_unit_test(a_long_one_is_refused),
		cmocka_unit_test(secrets_are_replaced),
		cmocka_unit_test(a_weak_secret_is_fatal),
		cmocka_unit_test(tickets_say_what_was_put_in),
		cmocka_unit_test(devices_are_known_by_one_name),
		cmocka_unit_test(secrets_are_random_and_hashed),
		cmocka_unit_test(the_next_of_a_secret_is_always_the_same),
#if OWN_MALLOC
		cmocka_unit_test(nothing_is_accepted_when_memory_runs_out),
#endif
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, setup, teardown);
}
