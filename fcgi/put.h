/*
 * Put members into a JSON object, the way all our answers have them.
 */

#ifndef MILLRACE_PUT_H
#define MILLRACE_PUT_H

#include <stdint.h>

#include "db.h"

struct json_object;
struct uuid;

/*
 * put_text	A string.
 * put_or_null	A string; null for "".
 * put_time	A DATETIME of the database as RFC 3339; null for "".
 * put_number	A whole number.
 * put_percent	0..100 with at most two decimals, and none that say nothing.
 * put_id	An id.
 * put_array	An empty array, which is returned.
 * put_json	JSON text, which is taken and freed; null for NULL.
 */
void	put_text(struct json_object *, const char *key, const char *);
void	put_or_null(struct json_object *, const char *key, const char *);
void	put_time(struct json_object *, const char *key, const char *time,
	    enum db_time_format);
void	put_number(struct json_object *, const char *key, uint64_t);
void	put_percent(struct json_object *, const char *key, double);
void	put_id(struct json_object *, const char *key, const struct uuid *);
struct json_object *put_array(struct json_object *, const char *key);
void	put_json(struct json_object *, const char *key, char *);

#endif
