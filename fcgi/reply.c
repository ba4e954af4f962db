/*
 * What goes back: JSON, problem+json, entity tags, files by nginx.
 */

#include "reply.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>
#include <sodium.h>

#include "conf.h"
#include "jsontext.h"
#include "put.h"
#include "req.h"

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

char *
reply_path(struct req *r, const char *path)
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
	req_header(r, "X-Accel-Redirect", "/.storage/%s", reply_path(r, path));
	/* RFC 6266: the encoded form alone, so that nothing needs quoting. */
	req_header(r, "Content-Disposition", "inline; filename*=UTF-8''%s",
	    reply_path(r, plain));
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
	if ((wrong = jsontext_wrong(body, len, DEPTH_MAX)) != NULL)
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

int
reply_number(struct req *r, const char *name, unsigned int least,
    unsigned int most, unsigned int initial, unsigned int *value)
{
	const char	*text = req_query(r, name);
	uint64_t	 n;

	*value = initial;
	if (text == NULL)
		return 0;
	if (conf_number(text, most, &n) == -1 || n < least)
		return req_fail(r, 400, "%s: \"%s\" is no number from %u to %u",
		    name, text, least, most);
	*value = (unsigned int)n;
	return 0;
}

const char *
reply_next(struct req *r, const char *cursor)
{
	const char	*p = r->query, *start;
	char		*kept = req_alloc(r, strlen(p) + 2), *q = kept, *url;
	size_t		 len;

	for (; *p != '\0'; p += strspn(p, "&")) {
		start = p;
		len = strcspn(p, "&");
		p += len;
		if (strncmp(start, "cursor=", 7) == 0)
			continue;
		q = mempcpy(q, start, len);
		*q++ = '&';
	}
	*q = '\0';
	url = req_printf(r, "%s%s?%scursor=%s", r->site->conf->prefix,
	    reply_path(r, r->path), kept, reply_path(r, cursor));
	req_header(r, "Link", "<%s>; rel=\"next\"", url);
	return url;
}
