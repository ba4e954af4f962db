/*
 * What goes back: JSON, problem+json, entity tags, files by nginx.
 */

#include "reply.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>
#include <sodium.h>

#include "put.h"
#include "req.h"
#include "utf8.h"

/* Longest JSON body that is read, bytes. */
#define BODY_MAX	(256 * 1024)

/* Deepest nesting in it. */
#define DEPTH_MAX	16

#define PLAIN	(JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE)

int
reply_json(struct req *r, int status, struct json_object *o)
{
	size_t		 len;
	const char	*text = json_object_to_json_string_length(o, PLAIN,
	    &len);

	req_reply(r, status, "application/json", text, len);
	json_object_put(o);
	return 0;
}

/* Whether the If-None-Match list of the client has TAG (RFC 9110, 13.1.2). */
static bool
has_tag(struct req *r, const char *tag)
{
	const char	*p = req_param(r, "HTTP_IF_NONE_MATCH");
	size_t		 len = strlen(tag);

	if (strcmp(p, "*") == 0)
		return true;
	for (; (p = strchr(p, '"')) != NULL; p++) {
		if (strncmp(p, tag, len) == 0)
			return true;
		if ((p = strchr(p + 1, '"')) == NULL)
			return false;
	}
	return false;
}

int
reply_cached(struct req *r, struct json_object *o)
{
	unsigned char	 hash[16];
	char		 hex[sizeof(hash) * 2 + 1], tag[sizeof(hex) + 2];
	size_t		 len;
	const char	*text = json_object_to_json_string_length(o, PLAIN,
	    &len);

	crypto_generichash(hash, sizeof(hash), (const unsigned char *)text, len,
	    NULL, 0);
	sodium_bin2hex(hex, sizeof(hex), hash, sizeof(hash));
	snprintf(tag, sizeof(tag), "\"%s\"", hex);
	req_header(r, "ETag", "%s", tag);
	/* Kept by the client, but never used without asking. */
	req_header(r, "Cache-Control", "private, no-cache");
	if (has_tag(r, tag)) {
		req_reply(r, 304, NULL, NULL, 0);
		json_object_put(o);
		return 0;
	}
	return reply_json(r, 200, o);
}

int
reply_empty(struct req *r, int status)
{
	req_reply(r, status, NULL, NULL, 0);
	return 0;
}

/* Percent-encode what may not stand in a path (RFC 3986). */
static char *
encode_path(struct req *r, const char *path)
{
	static const char	 plain[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	    "0123456789-._~/";
	char			*out = req_alloc(r, strlen(path) * 3 + 1);
	char			*q = out;

	for (; *path != '\0'; path++) {
		if (strchr(plain, *path) != NULL)
			*q++ = *path;
		else
			q += sprintf(q, "%%%02X", (unsigned char)*path);
	}
	*q = '\0';
	return out;
}

int
reply_file(struct req *r, const char *path, const char *name, const char *type)
{
	const char	*plain = strrchr(name, '/');

	plain = plain == NULL ? name : plain + 1;
	req_header(r, "X-Accel-Redirect", "/.storage/%s", encode_path(r, path));
	/* RFC 6266: the encoded form alone, so that nothing needs quoting. */
	req_header(r, "Content-Disposition", "inline; filename*=UTF-8''%s",
	    encode_path(r, plain));
	req_reply(r, 200, type[0] != '\0' ? type : "application/octet-stream",
	    NULL, 0);
	return 0;
}

void
reply_problem(struct req *r, int status, const char *detail)
{
	struct json_object	*o = json_object_new_object();
	size_t			 len;
	const char		*text;

	put_text(o, "type", "about:blank");
	put_text(o, "title", req_reason(status));
	put_number(o, "status", (uint64_t)status);
	if (detail[0] != '\0')
		put_text(o, "detail", detail);
	put_text(o, "request_id", r->id);
	text = json_object_to_json_string_length(o, PLAIN, &len);
	req_header(r, "Cache-Control", "no-store");
	req_reply(r, status, "application/problem+json", text, len);
	json_object_put(o);
}

/* ---- JSON that came ------------------------------------------------------ */

/*
 * json-c is lenient: it takes the last of two equal keys, NaN, single quotes,
 * and control characters in strings.  This walks over a text that json-c has
 * taken and is strict about what it let pass.
 */
struct scan {
	const char	*p, *end;
	unsigned int	 depth;
	const char	*wrong;
};

static void	scan_value(struct scan *);

static void
skip_space(struct scan *s)
{
	while (s->p < s->end && *s->p != '\0' &&
	    strchr(" \t\r\n", *s->p) != NULL)
		s->p++;
}

static bool
take(struct scan *s, char c)
{
	skip_space(s);
	if (s->p < s->end && *s->p == c) {
		s->p++;
		return true;
	}
	return false;
}

/* What may follow a backslash. */
static bool
is_escape(const char *p, const char *end)
{
	int	 i;

	if (p == end || *p == '\0' || strchr("\"\\/bfnrtu", *p) == NULL)
		return false;
	if (*p != 'u')
		return true;
	for (i = 1; i <= 4; i++) {
		if (end - p <= i || !isxdigit((unsigned char)p[i]))
			return false;
	}
	return true;
}

static void
scan_string(struct scan *s)
{
	if (!take(s, '"')) {
		s->wrong = "a string was expected";
		return;
	}
	for (; s->p < s->end; s->p++) {
		if (*s->p == '"') {
			s->p++;
			return;
		}
		if ((unsigned char)*s->p < 0x20) {
			s->wrong = "a control character in a string";
			return;
		}
		if (*s->p == '\\' && !is_escape(++s->p, s->end)) {
			s->wrong = "an unknown escape in a string";
			return;
		}
	}
	s->wrong = "a string does not end";
}

static size_t
digits(struct scan *s)
{
	const char	*start = s->p;

	while (s->p < s->end && *s->p >= '0' && *s->p <= '9')
		s->p++;
	return (size_t)(s->p - start);
}

/* RFC 8259, section 6. */
static void
scan_number(struct scan *s)
{
	const char	*start;

	if (s->p < s->end && *s->p == '-')
		s->p++;
	start = s->p;
	if (digits(s) == 0 || (*start == '0' && s->p > start + 1))
		goto wrong;
	if (s->p < s->end && *s->p == '.') {
		s->p++;
		if (digits(s) == 0)
			goto wrong;
	}
	if (s->p < s->end && (*s->p == 'e' || *s->p == 'E')) {
		s->p++;
		if (s->p < s->end && (*s->p == '+' || *s->p == '-'))
			s->p++;
		if (digits(s) == 0)
			goto wrong;
	}
	return;
wrong:
	s->wrong = "not a number";
}

static void
scan_word(struct scan *s)
{
	static const char *const	 words[] = { "true", "false", "null" };
	size_t				 i, len;

	for (i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		len = strlen(words[i]);
		if ((size_t)(s->end - s->p) >= len &&
		    memcmp(s->p, words[i], len) == 0) {
			s->p += len;
			return;
		}
	}
	s->wrong = "not a value";
}

/* The members of an object; keys are compared as they are written. */
static void
scan_members(struct scan *s)
{
	struct { const char *p; size_t len; } keys[256];
	size_t		 i, n = 0;

	if (take(s, '}'))
		return;
	do {
		skip_space(s);
		if (n == sizeof(keys) / sizeof(keys[0])) {
			s->wrong = "more than 256 members";
			return;
		}
		keys[n].p = s->p;
		scan_string(s);
		if (s->wrong != NULL)
			return;
		keys[n].len = (size_t)(s->p - keys[n].p);
		for (i = 0; i < n; i++) {
			if (keys[i].len == keys[n].len &&
			    memcmp(keys[i].p, keys[n].p, keys[n].len) == 0) {
				s->wrong = "the same member twice";
				return;
			}
		}
		n++;
		if (!take(s, ':')) {
			s->wrong = "a colon is missing";
			return;
		}
		scan_value(s);
	} while (s->wrong == NULL && take(s, ','));
	if (s->wrong == NULL && !take(s, '}'))
		s->wrong = "an object does not end";
}

static void
scan_elements(struct scan *s)
{
	if (take(s, ']'))
		return;
	do {
		scan_value(s);
	} while (s->wrong == NULL && take(s, ','));
	if (s->wrong == NULL && !take(s, ']'))
		s->wrong = "an array does not end";
}

static void
scan_value(struct scan *s)
{
	skip_space(s);
	if (s->wrong != NULL)
		return;
	if (++s->depth > DEPTH_MAX) {
		s->wrong = "nested too deep";
		return;
	}
	if (s->p == s->end)
		s->wrong = "it ends too early";
	else if (take(s, '{'))
		scan_members(s);
	else if (take(s, '['))
		scan_elements(s);
	else if (*s->p == '"')
		scan_string(s);
	else if (*s->p == '-' || (*s->p >= '0' && *s->p <= '9'))
		scan_number(s);
	else
		scan_word(s);
	s->depth--;
}

const char *
reply_json_wrong(const char *text, size_t len)
{
	struct scan	 s = { .p = text, .end = text + len };

	if (!utf8_valid(text, len))
		return "not UTF-8";
	scan_value(&s);
	skip_space(&s);
	if (s.wrong == NULL && s.p != s.end)
		s.wrong = "something follows the value";
	return s.wrong;
}

static void
drop_object(void *o)
{
	json_object_put(o);
}

int
reply_body(struct req *r, struct json_object **object)
{
	const char		*body, *wrong;
	struct json_tokener	*tok;
	size_t			 len;
	int			 status;

	if (strncasecmp(r->type, "application/json", 16) != 0 ||
	    strchr("; \t", r->type[16]) == NULL)
		return req_fail(r, 415, "Content-Type: \"%s\", not "
		    "application/json", r->type);
	if ((status = req_body(r, BODY_MAX, &body, &len)) != 0)
		return status;
	if ((wrong = reply_json_wrong(body, len)) != NULL)
		return req_fail(r, 400, "body: not JSON: %s", wrong);
	if ((tok = json_tokener_new_ex(DEPTH_MAX + 1)) == NULL)
		return 500;
	json_tokener_set_flags(tok, JSON_TOKENER_STRICT |
	    JSON_TOKENER_VALIDATE_UTF8);
	*object = json_tokener_parse_ex(tok, body, (int)len + 1);
	json_tokener_free(tok);
	if (!json_object_is_type(*object, json_type_object)) {
		json_object_put(*object);
		return req_fail(r, 400, "body: not a JSON object");
	}
	req_own(r, *object, drop_object);
	return 0;
}

const char *
reply_string(struct req *r, struct json_object *o, const char *key, size_t most,
    enum reply_need need)
{
	struct json_object	*v;
	const char		*text, *p;
	size_t			 len;

	if (!json_object_object_get_ex(o, key, &v)) {
		if (need == REPLY_OPTIONAL)
			return "";
		req_fail(r, 400, "%s: missing", key);
		return NULL;
	}
	if (!json_object_is_type(v, json_type_string)) {
		req_fail(r, 400, "%s: not a string", key);
		return NULL;
	}
	text = json_object_get_string(v);
	len = (size_t)json_object_get_string_len(v);
	if (len > most) {
		req_fail(r, 400, "%s: %zu bytes, at most %zu", key, len, most);
		return NULL;
	}
	for (p = text; p < text + len; p++) {
		if ((unsigned char)*p < 0x20 || *p == 0x7f) {
			req_fail(r, 400, "%s: has a control character", key);
			return NULL;
		}
	}
	return text;
}
