/*
 * Is a text JSON, and nothing but JSON?
 *
 * json-c, also when told to be strict, takes the last of two equal keys, NaN,
 * single quotes, numbers like "2." and control characters in strings.  This
 * walks over a text before json-c sees it, and refuses all of these.
 */

#include "jsontext.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

#include "utf8.h"

/* Members of one object, at most: they are compared with each other. */
#define MEMBERS_MAX	256

struct scan {
	const char	*p, *end;
	unsigned int	 depth_left;
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
	struct { const char *p; size_t len; } keys[MEMBERS_MAX];
	size_t		 i, n = 0;

	if (take(s, '}'))
		return;
	do {
		skip_space(s);
		if (n == MEMBERS_MAX) {
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
	if (s->depth_left == 0) {
		s->wrong = "nested too deep";
		return;
	}
	s->depth_left--;
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
	s->depth_left++;
}

const char *
jsontext_wrong(const char *text, size_t len, unsigned int depth)
{
	struct scan	 s = { .p = text, .end = text + len,
	    .depth_left = depth };

	if (!utf8_valid(text, len))
		return "not UTF-8";
	scan_value(&s);
	skip_space(&s);
	if (s.wrong == NULL && s.p != s.end)
		s.wrong = "something follows the value";
	return s.wrong;
}
