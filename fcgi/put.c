/*
 * Put members into a JSON object.
 */

#include "put.h"

#include <stdio.h>
#include <stdlib.h>

#include <json-c/json.h>

#include "uuid.h"

void
put_text(struct json_object *o, const char *key, const char *value)
{
	json_object_object_add(o, key, json_object_new_string(value));
}

void
put_or_null(struct json_object *o, const char *key, const char *value)
{
	json_object_object_add(o, key, value[0] == '\0' ? NULL :
	    json_object_new_string(value));
}

void
put_time(struct json_object *o, const char *key, const char *time,
    enum db_time_format format)
{
	char	 text[25];

	db_rfc3339(time, format, text);
	put_or_null(o, key, text);
}

void
put_number(struct json_object *o, const char *key, uint64_t n)
{
	json_object_object_add(o, key, json_object_new_uint64(n));
}

void
put_percent(struct json_object *o, const char *key, double percent)
{
	char	 text[16];
	size_t	 len;

	len = (size_t)snprintf(text, sizeof(text), "%.2f", percent);
	while (text[len - 1] == '0')
		text[--len] = '\0';
	if (text[len - 1] == '.')
		text[--len] = '\0';
	json_object_object_add(o, key, json_object_new_double_s(percent, text));
}

void
put_id(struct json_object *o, const char *key, const struct uuid *id)
{
	char	 text[UUID_TEXT];

	put_text(o, key, uuid_text(id, text));
}

struct json_object *
put_array(struct json_object *o, const char *key)
{
	struct json_object	*a = json_object_new_array();

	json_object_object_add(o, key, a);
	return a;
}

void
put_json(struct json_object *o, const char *key, char *text)
{
	json_object_object_add(o, key, text == NULL ? NULL :
	    json_tokener_parse(text));
	free(text);
}
