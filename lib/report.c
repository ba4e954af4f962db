/*
 * Take the lines of stage programs apart.
 *
 * A line is cleaned before it is parsed, so that no message can break a log, a
 * database or an event stream later on.  Then the first word chooses a row of
 * the table below, and its function takes the rest.
 */

#include "report.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "utf8.h"

/* Longest key of a detail, and longest name that a file may have. */
#define KEY_MAX		63
#define NAME_LENGTH_MAX	255

/* Digits of a wait in seconds; more of them are part of the message. */
#define SECONDS_DIGITS	7

/* Cut the first word off *REST; "" when there is none. */
static char *
next_word(char **rest)
{
	char	*word, *end;

	word = *rest + strspn(*rest, " ");
	end = word + strcspn(word, " ");
	*rest = end + strspn(end, " ");
	*end = '\0';
	return word;
}

/* A name becomes the last part of a path and of an address, so it is flat. */
static bool
is_name(const char *s)
{
	return *s != '\0' && strlen(s) <= NAME_LENGTH_MAX &&
	    strchr(s, '/') == NULL && strcmp(s, ".") != 0 &&
	    strcmp(s, "..") != 0;
}

/* Relative, and never upwards. */
static bool
is_path_below(const char *s)
{
	size_t	 n;

	if (*s == '\0' || *s == '/')
		return false;
	for (; *s != '\0'; s += n + (s[n] == '/')) {
		n = strcspn(s, "/");
		if (n == 2 && s[0] == '.' && s[1] == '.')
			return false;
	}
	return true;
}

/*
 * A plain decimal number.  strtod would take more: "nan", "1e9", "0x10".
 * What is a little out of range is cut to 0..100; a fourth digit before the
 * point means that it is no percentage at all.
 */
static int
take_percent(char *rest, struct report *r)
{
	const char	*s = next_word(&rest), *digits = s + (*s == '-');
	size_t		 whole = strspn(digits, "0123456789"), part = 0;

	if (whole < 1 || whole > 3)
		return -1;
	if (digits[whole] == '.')
		part = 1 + strspn(digits + whole + 1, "0123456789");
	if (digits[whole + part] != '\0')
		return -1;
	r->percent = fmin(fmax(strtod(s, NULL), 0), 100);
	r->text = rest;
	return 0;
}

static int
take_text(char *rest, struct report *r)
{
	r->text = rest;
	return 0;
}

static int
take_item(char *rest, struct report *r)
{
	r->name = next_word(&rest);
	r->text = rest;
	return *r->name != '\0' ? 0 : -1;
}

static int
take_detail(char *rest, struct report *r)
{
	r->name = next_word(&rest);
	r->text = rest;
	return *r->name != '\0' && strlen(r->name) <= KEY_MAX &&
	    *rest != '\0' ? 0 : -1;
}

static int
take_result(char *rest, struct report *r)
{
	r->name = next_word(&rest);
	r->path = next_word(&rest);
	r->type = next_word(&rest);
	return is_name(r->name) && is_path_below(r->path) && *rest == '\0' ?
	    0 : -1;
}

static int
take_stored(char *rest, struct report *r)
{
	char	*size, *sha256, *s;

	r->name = next_word(&rest);
	size = next_word(&rest);
	r->sha256 = sha256 = next_word(&rest);
	r->type = next_word(&rest);
	if (!is_name(r->name) || *rest != '\0' ||
	    size[0] == '\0' || size[strspn(size, "0123456789")] != '\0')
		return -1;
	errno = 0;
	r->size = strtoull(size, NULL, 10);
	if (errno == ERANGE)
		return -1;
	for (s = sha256; isxdigit((unsigned char)*s); s++)
		*s = tolower((unsigned char)*s);
	return *s == '\0' && s - sha256 == 64 ? 0 : -1;
}

/* A number that stands first is the wait. */
static int
take_retry(char *rest, struct report *r)
{
	size_t	 n = strspn(rest, "0123456789");

	if (n > 0 && n <= SECONDS_DIGITS &&
	    (rest[n] == ' ' || rest[n] == '\0'))
		r->seconds = strtoul(next_word(&rest), NULL, 10);
	r->text = rest;
	return 0;
}

static int
take_done(char *rest, struct report *r)
{
	r->name = next_word(&rest);
	return *rest == '\0' ? 0 : -1;
}

static const struct {
	const char	*word;
	int		(*take)(char *, struct report *);
} words[] = {
	[REPORT_PROGRESS] = { "progress", take_percent },
	[REPORT_STEP]	= { "step",	take_text },
	[REPORT_ITEM]	= { "item",	take_item },
	[REPORT_DETAIL]	= { "detail",	take_detail },
	[REPORT_RESULT]	= { "result",	take_result },
	[REPORT_STORED]	= { "stored",	take_stored },
	[REPORT_REJECT]	= { "reject",	take_text },
	[REPORT_RETRY]	= { "retry",	take_retry },
	[REPORT_DONE]	= { "done",	take_done },
	[REPORT_FAILED]	= { "failed",	take_text },
};

int
report_parse(char *line, struct report *r)
{
	const char	*word;
	size_t		 i, len;
	char		*tab;

	*r = (struct report){ .name = "", .path = "", .type = "",
	    .sha256 = "", .text = "" };
	len = strlen(line);
	while (len > 0 && (line[len - 1] == ' ' || line[len - 1] == '\r'))
		line[--len] = '\0';
	while ((tab = strchr(line, '\t')) != NULL)
		*tab = ' ';
	utf8_clean(line);
	word = next_word(&line);
	for (i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (strcmp(word, words[i].word) != 0)
			continue;
		r->word = i;
		return words[i].take(line, r);
	}
	return -1;
}

size_t
report_item(const char *name, const char *args, char line[REPORT_LINE_MAX])
{
	int	 len = snprintf(line, REPORT_LINE_MAX, "%s%s%s\n", name,
		    *args != '\0' ? " " : "", args);

	if (len < REPORT_LINE_MAX)
		return (size_t)len;
	/* It was not report_parse that gave it. */
	line[REPORT_LINE_MAX - 2] = '\n';
	return REPORT_LINE_MAX - 1;
}

void
report_feed(struct report_lines *l, const char *data, size_t len,
    void (*fn)(void *, char *), void *arg)
{
	const char	*end = data + len;

	for (; data < end; data++) {
		if (*data == '\n') {
			l->buf[l->len] = '\0';
			if (l->len > 0)
				fn(arg, l->buf);
			l->len = 0;
		} else if (l->len < sizeof(l->buf) - 1)
			l->buf[l->len++] = *data == '\0' ? '?' : *data;
	}
}
