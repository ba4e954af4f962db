/*
 * What a stage program says while it runs.  None of it is trusted.
 */

#include "said.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json.h>

#include "jsontext.h"
#include "log.h"
#include "report.h"
#include "utf8.h"

/* How deep a detail may be nested. */
#define DEPTH	16

/* Longest name of an item, what is behind it, and name of a detail. */
#define NAME	255
#define ARGS	1023
#define KEY	63

static bool
rubbish(struct said *s)
{
	s->rubbish++;
	return false;
}

/* Text that was cut to fit may end within a character. */
static void
set(char *to, const char *text, size_t size)
{
	strlcpy(to, text, size);
	utf8_clean(to);
}

static bool
progress(struct said *s, const struct report *r)
{
	if (r->percent > s->percent)
		s->percent = r->percent;
	if (*r->text != '\0')
		set(s->message, r->text, sizeof(s->message));
	return true;
}

static bool
step(struct said *s, const struct report *r)
{
	set(s->step, r->text, sizeof(s->step));
	set(s->message, r->text, sizeof(s->message));
	return true;
}

/* It names what there is no room for: that is refused for good. */
static bool __attribute__((format(printf, 2, 3)))
refuse(struct said *s, const char *fmt, ...)
{
	va_list	 ap;

	if (!s->rejects) {
		va_start(ap, fmt);
		vsnprintf(s->why, sizeof(s->why), fmt, ap);
		va_end(ap);
		utf8_clean(s->why);	/* it may be cut within a character */
	}
	s->rejects = true;
	return false;
}

static bool
item(struct said *s, const struct report *r)
{
	struct said_item	*one;
	char			 args[ARGS + 1];

	if (strlen(r->name) > NAME)
		return refuse(s, "The name of an item is longer than %d bytes: "
		    "%.60s...", NAME, r->name);
	if (s->nitems == SAID_ITEMS)
		return refuse(s, "More than %d items", SAID_ITEMS);
	s->items = xreallocarray(s->items, s->nitems + 1, sizeof(*s->items));
	one = &s->items[s->nitems++];
	one->name = xstrdup(r->name);
	/* As the database will have it, so that it is always the same. */
	set(args, r->text, sizeof(args));
	one->args = xstrdup(args);
	return strlen(r->text) > ARGS ? rubbish(s) : false;
}

static bool
detail(struct said *s, const struct report *r)
{
	if (strlen(r->name) > KEY ||
	    (json_object_object_length(s->details) >= SAID_DETAILS &&
	    !json_object_object_get_ex(s->details, r->name, NULL)) ||
	    jsontext_wrong(r->text, strlen(r->text), DEPTH) != NULL)
		return rubbish(s);
	json_object_object_add(s->details, r->name,
	    json_tokener_parse(r->text));
	s->detailed = true;
	return true;
}

static bool
result(struct said *s, const struct report *r)
{
	if (s->results.n == SAID_RESULTS)
		return refuse(s, "More than %d results", SAID_RESULTS);
	results_add(&s->results, r->name, r->path, r->type);
	return false;
}

static bool
stored(struct said *s, const struct report *r)
{
	if (s->stored.n == SAID_RESULTS)
		return refuse(s, "More than %d results", SAID_RESULTS);
	results_add(&s->stored, r->name, "", r->type);
	results_stored(&s->stored, r->name, r->size, r->sha256, r->type);
	return false;
}

static bool
reject(struct said *s, const struct report *r)
{
	s->rejects = true;
	s->over = s->item != NULL;
	set(s->why, r->text, sizeof(s->why));
	return false;
}

static bool
retry(struct said *s, const struct report *r)
{
	s->retries = true;
	s->retry_s = r->seconds;
	s->over = s->item != NULL;
	set(s->why, r->text, sizeof(s->why));
	return false;
}

static bool
done(struct said *s, const struct report *r)
{
	/* Said once too often it is of the item before, if it has a name. */
	if (s->item == NULL ||
	    (*r->name != '\0' && strcmp(r->name, s->item) != 0))
		return rubbish(s);
	s->over = true;
	return false;
}

static bool
failed(struct said *s, const struct report *r)
{
	if (s->item == NULL)
		return rubbish(s);
	s->over = s->fails = true;
	set(s->why, r->text, sizeof(s->why));
	return false;
}

bool
said_line(struct said *s, char *line)
{
	static bool	 (*const words[])(struct said *,
			    const struct report *) = {
		[REPORT_PROGRESS]	= progress,
		[REPORT_STEP]		= step,
		[REPORT_ITEM]		= item,
		[REPORT_DETAIL]		= detail,
		[REPORT_RESULT]		= result,
		[REPORT_STORED]		= stored,
		[REPORT_REJECT]		= reject,
		[REPORT_RETRY]		= retry,
		[REPORT_DONE]		= done,
		[REPORT_FAILED]		= failed,
	};
	struct report	 r;

	if (report_parse(line, &r) == -1)
		return rubbish(s);
	return words[r.word](s, &r);
}

/* ---- the log ------------------------------------------------------------- */

void
said_output(struct said *s, const char *data, size_t len)
{
	size_t	 over;

	if (len >= sizeof(s->tail)) {
		data += len - sizeof(s->tail);
		len = sizeof(s->tail);
	}
	if (s->ntail + len > sizeof(s->tail)) {
		over = s->ntail + len - sizeof(s->tail);
		memmove(s->tail, s->tail + over, s->ntail - over);
		s->ntail -= over;
	}
	memcpy(s->tail + s->ntail, data, len);
	s->ntail += len;
}

/* LEN bytes, cut at the front to fit, each line made fit to be shown. */
static void
copy_lines(const char *from, size_t len, char *buf, size_t size)
{
	char	*line, *end;
	size_t	 i;

	if (len >= size) {
		from += len - size + 1;
		len = size - 1;
	}
	for (i = 0; i < len; i++)
		buf[i] = from[i] == '\0' ? '?' : from[i];
	buf[len] = '\0';
	for (line = buf; line != NULL; line = end) {
		if ((end = strchr(line, '\n')) != NULL)
			*end = '\0';
		utf8_clean(line);
		if (end != NULL) {
			/* What was cut off makes the rest move up. */
			i = strlen(line);
			memmove(line + i + 1, end + 1, strlen(end + 1) + 1);
			line[i] = '\n';
			end = line + i + 1;
		}
	}
}

void
said_tail(const struct said *s, char *buf, size_t size)
{
	copy_lines(s->tail, s->ntail, buf, size);
}

void
said_last(const struct said *s, char *buf, size_t size)
{
	size_t	 end = s->ntail, begin;

	while (end > 0 && strchr("\r\n \t", s->tail[end - 1]) != NULL)
		end--;
	for (begin = end; begin > 0 && s->tail[begin - 1] != '\n' &&
	    s->tail[begin - 1] != '\r'; begin--)
		continue;
	copy_lines(s->tail + begin, end - begin, buf, size);
}

void
said_clear(struct said *s)
{
	size_t	 i;

	for (i = 0; i < s->nitems; i++) {
		free(s->items[i].name);
		free(s->items[i].args);
	}
	free(s->items);
	results_clear(&s->results);
	results_clear(&s->stored);
}
