/*
 * What the program of an item said, and how it ended, as text.
 *
 *	{"event": "ok", "why": "exited", "status": 0, ...
 *	 "items": [["NAME", "ARGS"], ...],
 *	 "results": [["NAME", "PATH", "TYPE"], ...],
 *	 "stored": [["NAME", SIZE, "SHA256", "TYPE"], ...],
 *	 "details": {"KEY": ..., ...}}
 *
 * Daemons of two versions may share a job while a new one is installed: what
 * is not known is passed over, what is missing is 0 or empty.
 */

#include "said_json.h"

#include <stdlib.h>
#include <string.h>

#include <json.h>

#include "log.h"
#include "said.h"
#include "utf8.h"

#define LENGTH(a)	(sizeof(a) / sizeof((a)[0]))

static const char *const events[] = {
	[STEP_OK]	= "ok",
	[STEP_REJECTED]	= "rejected",
	[STEP_AGAIN]	= "again",
	[STEP_BROKEN]	= "broken",
	[STEP_LATE]	= "late",
	[STEP_CRASHED]	= "crashed",
};

static const char *const whys[] = {
	[CHILD_EXITED]	= "exited",
	[CHILD_TOLD]	= "told",
	[CHILD_LATE]	= "late",
	[CHILD_SILENT]	= "silent",
	[CHILD_OVER]	= "over",
	[CHILD_CUT]	= "cut",
	[CHILD_EARLY]	= "early",
	[CHILD_FENCED]	= "fenced",
	[CHILD_UNSTARTED] = "unstarted",
};

/* ---- to text ------------------------------------------------------------- */

/* The database takes nothing but whole characters. */
static struct json_object *
text(const char *s)
{
	struct json_object	*o;
	char			*copy = xstrdup(s);

	utf8_clean(copy);
	o = json_object_new_string(copy);
	free(copy);
	return o;
}

static void
add_text(struct json_object *o, const char *key, const char *s)
{
	if (*s != '\0')
		json_object_object_add(o, key, text(s));
}

static void
add_number(struct json_object *o, const char *key, uint64_t n)
{
	if (n != 0)
		json_object_object_add(o, key,
		    json_object_new_int64((int64_t)n));
}

static void
add_array(struct json_object *o, const char *key, struct json_object *array)
{
	if (json_object_array_length(array) > 0)
		json_object_object_add(o, key, array);
	else
		json_object_put(array);
}

static struct json_object *
items(const struct said *s)
{
	struct json_object	*all = json_object_new_array(), *one;
	size_t			 i;

	for (i = 0; i < s->nitems; i++) {
		one = json_object_new_array();
		json_object_array_add(one, text(s->items[i].name));
		json_object_array_add(one, text(s->items[i].args));
		json_object_array_add(all, one);
	}
	return all;
}

static struct json_object *
results(const struct results *r)
{
	struct json_object	*all = json_object_new_array(), *one;
	size_t			 i;

	for (i = 0; i < r->n; i++) {
		one = json_object_new_array();
		json_object_array_add(one, text(r->list[i].name));
		json_object_array_add(one, text(r->list[i].path));
		json_object_array_add(one, text(r->list[i].type));
		json_object_array_add(all, one);
	}
	return all;
}

static struct json_object *
stored(const struct results *r)
{
	struct json_object	*all = json_object_new_array(), *one;
	size_t			 i;

	for (i = 0; i < r->n; i++) {
		one = json_object_new_array();
		json_object_array_add(one, text(r->list[i].name));
		json_object_array_add(one,
		    json_object_new_int64((int64_t)r->list[i].size));
		json_object_array_add(one, text(r->list[i].sha256));
		json_object_array_add(one, text(r->list[i].type));
		json_object_array_add(all, one);
	}
	return all;
}

char *
said_pack(const struct said *s, const struct said_end *end)
{
	struct json_object	*o = json_object_new_object();
	char			*copy;

	add_text(o, "event", events[end->event]);
	add_text(o, "why", whys[end->child.why]);
	add_number(o, "status", (uint64_t)end->child.status);
	add_number(o, "error", (uint64_t)end->child.error);
	add_text(o, "what", end->child.what);
	add_number(o, "peak", end->child.peak);
	add_number(o, "cpu_ms", end->child.cpu_ms);
	add_text(o, "step", s->step);
	add_text(o, "message", s->message);
	add_text(o, "reason", s->why);
	add_number(o, "retry_s", s->retry_s);
	add_number(o, "rubbish", s->rubbish);
	add_array(o, "items", items(s));
	add_array(o, "results", results(&s->results));
	add_array(o, "stored", stored(&s->stored));
	if (s->details != NULL && json_object_object_length(s->details) > 0)
		json_object_object_add(o, "details",
		    json_object_get(s->details));
	copy = xstrdup(json_object_to_json_string_ext(o,
	    JSON_C_TO_STRING_PLAIN));
	json_object_put(o);
	return copy;
}

/* ---- from text ----------------------------------------------------------- */

static const char *
get_text(const struct json_object *o, const char *key)
{
	struct json_object	*v;

	if (!json_object_object_get_ex(o, key, &v) ||
	    !json_object_is_type(v, json_type_string))
		return "";
	return json_object_get_string(v);
}

static uint64_t
get_number(const struct json_object *o, const char *key)
{
	struct json_object	*v;

	return json_object_object_get_ex(o, key, &v) ?
	    (uint64_t)json_object_get_int64(v) : 0;
}

/* An array, or NULL. */
static struct json_object *
get_array(const struct json_object *o, const char *key)
{
	struct json_object	*v;

	return json_object_object_get_ex(o, key, &v) &&
	    json_object_is_type(v, json_type_array) ? v : NULL;
}

static size_t
count(const struct json_object *array)
{
	return array == NULL ? 0 : json_object_array_length(array);
}

/* The word at place I of an array in place N of another. */
static const char *
word(const struct json_object *all, size_t n, size_t i)
{
	struct json_object	*one = json_object_array_get_idx(all, n), *v;

	if (!json_object_is_type(one, json_type_array) ||
	    (v = json_object_array_get_idx(one, i)) == NULL)
		return "";
	return json_object_get_string(v);
}

static int
find(const char *const *words, size_t n, const char *s)
{
	size_t	 i;

	for (i = 0; i < n; i++) {
		if (words[i] != NULL && strcmp(words[i], s) == 0)
			return (int)i;
	}
	return -1;
}

static void
take_lists(const struct json_object *o, struct said *s)
{
	struct json_object	*all = get_array(o, "items");
	size_t			 i, n = count(all);

	if (n > 0)
		s->items = xcalloc(n, sizeof(*s->items));
	for (i = 0; i < n; i++) {
		s->items[i].name = xstrdup(word(all, i, 0));
		s->items[i].args = xstrdup(word(all, i, 1));
	}
	s->nitems = n;
	all = get_array(o, "results");
	for (i = 0; i < count(all); i++)
		results_add(&s->results, word(all, i, 0), word(all, i, 1),
		    word(all, i, 2));
	all = get_array(o, "stored");
	for (i = 0; i < count(all); i++) {
		results_add(&s->stored, word(all, i, 0), "", word(all, i, 3));
		results_stored(&s->stored, word(all, i, 0),
		    strtoull(word(all, i, 1), NULL, 10), word(all, i, 2),
		    word(all, i, 3));
	}
}

static void
take_details(const struct json_object *o, struct said *s)
{
	struct json_object	*all;

	if (s->details == NULL ||
	    !json_object_object_get_ex(o, "details", &all) ||
	    !json_object_is_type(all, json_type_object))
		return;
	json_object_object_foreach(all, key, value) {
		if (json_object_object_length(s->details) >= SAID_DETAILS &&
		    !json_object_object_get_ex(s->details, key, NULL)) {
			s->rubbish++;
			continue;
		}
		json_object_object_add(s->details, key,
		    json_object_get(value));
		s->detailed = true;
	}
}

static void
take_end(const struct json_object *o, struct said_end *end)
{
	int	 why = find(whys, LENGTH(whys), get_text(o, "why"));

	end->child.why = why == -1 ? CHILD_EXITED : (enum child_why)why;
	end->child.status = (int)get_number(o, "status");
	end->child.error = (int)get_number(o, "error");
	strlcpy(end->child.what, get_text(o, "what"),
	    sizeof(end->child.what));
	end->child.peak = get_number(o, "peak");
	end->child.cpu_ms = (unsigned int)get_number(o, "cpu_ms");
}

int
said_unpack(const char *json, struct said *s, struct said_end *end)
{
	struct json_object	*o = json_tokener_parse(json);
	int			 event, rc = -1;

	if (json_object_is_type(o, json_type_object) &&
	    (event = find(events, LENGTH(events),
	    get_text(o, "event"))) != -1) {
		end->event = (enum engine_event)event;
		take_end(o, end);
		strlcpy(s->step, get_text(o, "step"), sizeof(s->step));
		strlcpy(s->message, get_text(o, "message"),
		    sizeof(s->message));
		strlcpy(s->why, get_text(o, "reason"), sizeof(s->why));
		s->rejects = event == STEP_REJECTED;
		s->retries = event == STEP_AGAIN;
		s->retry_s = (unsigned int)get_number(o, "retry_s");
		s->rubbish = (unsigned int)get_number(o, "rubbish");
		s->fails = event == STEP_BROKEN &&
		    end->child.why == CHILD_EXITED && s->why[0] != '\0';
		take_lists(o, s);
		take_details(o, s);
		rc = 0;
	}
	json_object_put(o);
	return rc;
}
