/*
 * What failed, in the details of a job.
 */

#include "failed.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <json.h>

#include "plan.h"
#include "utf8.h"

/* The list; NULL: there is none. */
static struct json_object *
list_of(struct json_object *details)
{
	struct json_object	*list;

	return json_object_object_get_ex(details, "failed", &list) &&
	    json_object_is_type(list, json_type_array) ? list : NULL;
}

static int64_t
items_of(struct json_object *details)
{
	struct json_object	*n;

	return json_object_object_get_ex(details, "items_failed", &n) ?
	    json_object_get_int64(n) : 0;
}

/* A program may have given a detail of its own this name: it is no text then,
   or null. */
static const char *
text_of(struct json_object *one, const char *key)
{
	struct json_object	*text;

	return json_object_object_get_ex(one, key, &text) &&
	    json_object_is_type(text, json_type_string) ?
	    json_object_get_string(text) : "";
}

static void
put_text(struct json_object *o, const char *key, const char *text)
{
	char	 clean[1024];

	strlcpy(clean, text, sizeof(clean));
	utf8_clean(clean);
	json_object_object_add(o, key, json_object_new_string(clean));
}

static void
put_items(struct json_object *details, int64_t n)
{
	if (n == 0)
		json_object_object_del(details, "items_failed");
	else
		json_object_object_add(details, "items_failed",
		    json_object_new_int64(n));
}

void
failed_add(struct json_object *details, const char *stage, const char *item,
    const char *why)
{
	struct json_object	*list = list_of(details), *one;

	if (item != NULL)
		put_items(details, items_of(details) + 1);
	if (list == NULL) {
		list = json_object_new_array();
		json_object_object_add(details, "failed", list);
	}
	if (json_object_array_length(list) >= FAILED_MOST)
		return;
	one = json_object_new_object();
	put_text(one, "stage", stage);
	if (item != NULL)
		put_text(one, "item", item);
	put_text(one, "reason", why);
	json_object_array_add(list, one);
}

static bool
has_failed(const struct plan *plan, const char *stage, const char *item)
{
	const struct part	*p;
	size_t			 i;

	for (i = 0; i < plan->n; i++) {
		p = plan->parts[i];
		if (plan->states[i].state == STEP_FAILED &&
		    strcmp(plan_stage(plan, p)->name, stage) == 0 &&
		    strcmp(p->item == NULL ? "" : p->item, item) == 0)
			return true;
	}
	return false;
}

void
failed_check(struct json_object *details, const struct plan *plan)
{
	struct json_object	*list = list_of(details), *kept, *one;
	int64_t			 items = 0;
	size_t			 i;

	for (i = 0; i < plan->n; i++)
		items += plan->states[i].state == STEP_FAILED &&
		    plan->parts[i]->item != NULL;
	put_items(details, items);
	if (list == NULL)
		return;
	kept = json_object_new_array();
	for (i = 0; i < json_object_array_length(list); i++) {
		one = json_object_array_get_idx(list, i);
		if (has_failed(plan, text_of(one, "stage"),
		    text_of(one, "item")))
			json_object_array_add(kept, json_object_get(one));
	}
	if (json_object_array_length(kept) > 0)
		json_object_object_add(details, "failed", kept);
	else {
		json_object_object_del(details, "failed");
		json_object_put(kept);
	}
}

void
failed_why(struct json_object *details, char *buf, size_t size)
{
	struct json_object	*list = list_of(details);
	int64_t			 items = items_of(details);
	size_t			 n;

	buf[0] = '\0';
	if (list == NULL || (n = json_object_array_length(list)) == 0)
		return;
	strlcpy(buf, text_of(json_object_array_get_idx(list, n - 1), "reason"),
	    size);
	if (items > 1)
		snprintf(buf + strlen(buf), size - strlen(buf),
		    " (%lld items failed)", (long long)items);
	utf8_clean(buf);
}
