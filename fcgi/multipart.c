/*
 * multipart/form-data, read piece by piece.
 *
 * A body is data between delimiter lines.  A delimiter is CRLF, "--" and the
 * boundary (the body is treated as if it began with CRLF); it counts as a line
 * only when "--" follows, or blanks and CRLF; anything else makes it data.
 *
 *	             next               empty line
 *	[PREAMBLE] --------> [HEADERS] ------------> [FIELD] or [FILE]
 *	     |                   ^                       |     |
 *	     |                   '--------- next --------'     |
 *	     '-------------> [END] <----------- last ----------'
 *
 * Everything is decided on the window, in which a line is always whole: what
 * cannot be decided yet stays at its front until more has come.  Such a rest is
 * a header line or a delimiter line, so it is short, and moving it is cheap.
 *
 * No byte but the first of a delimiter is a CR.  So what turned out to be no
 * delimiter can be handed on as data up to the next CR, and no candidate
 * overlaps another one's beginning.
 */

#include "multipart.h"

#include <endian.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "log.h"
#include "utf8.h"

/* Bytes held at once: where uploads stop getting faster with it. */
#define WINDOW		(128 * 1024)

/* Most blanks between a boundary and the end of its line. */
#define BLANKS_MAX	64

/* Places in a body that are tested at once; a multiple of 8. */
#define BLOCK		64

/* Not an event for the caller: look at the new state. */
#define AGAIN		((enum multipart_event)-1)

enum state { PREAMBLE, HEADERS, FIELD, FILE_BODY, END, BAD };

/* What a place in the window is the beginning of. */
enum line {
	LINE_NONE,		/* data */
	LINE_MORE,		/* perhaps a delimiter: more must come */
	LINE_NEXT,		/* a delimiter, and a part follows */
	LINE_LAST,		/* the delimiter after the last part */
	LINE_LF			/* a delimiter that ends with LF alone */
};

struct multipart {
	enum state	 state;
	char		 delimiter[4 + MULTIPART_BOUNDARY];
	size_t		 delimiter_len;
	size_t		 start, fill;	/* of the window: what is not taken */
	bool		 ended;		/* nothing will be added any more */

	/* So far. */
	size_t		 parts, files;
	size_t		 fields;	/* bytes of text fields and names */
	int		 status;
	char		 error[512];

	/* Of the part at hand. */
	size_t		 header_bytes, header_lines;
	bool		 disposed;	/* Content-Disposition was there */
	bool		 is_file;
	bool		 nested;	/* its type is multipart/ something */
	char		 name[MULTIPART_NAME];
	char		 filename[MULTIPART_NAME];
	size_t		 value_len;

	char		 value[MULTIPART_FIELD_MAX + 1];
	char		 window[WINDOW];
};

/* Stay in error from now on. */
static enum multipart_event __attribute__((format(printf, 3, 4)))
bad(struct multipart *m, int status, const char *fmt, ...)
{
	va_list	 ap;
	int	 n;

	n = m->parts == 0 ? 0 : snprintf(m->error, sizeof(m->error),
	    "part %zu: ", m->parts);
	va_start(ap, fmt);
	vsnprintf(m->error + n, sizeof(m->error) - n, fmt, ap);
	va_end(ap);
	m->status = status;
	m->state = BAD;
	return AGAIN;
}

/* ---- characters -------------------------------------------------------- */

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static bool
is_control(char c)
{
	return (unsigned char)c < 0x20 || c == 0x7f;
}

static bool
is_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	    (c >= '0' && c <= '9');
}

/* RFC 9110, 5.6.2. */
static bool
is_token(char c)
{
	return is_alnum(c) || (c != '\0' && strchr("!#$%&'*+-.^_`|~", c));
}

/* RFC 2046, 5.1.1. */
static bool
is_boundary(char c)
{
	return is_alnum(c) || (c != '\0' && strchr("'()+_,-./:=? ", c));
}

/* Copy TEXT, which is UTF-8: at most SIZE - 1 bytes, and whole characters. */
static void
copy_cut(char *to, const char *text, size_t size)
{
	size_t	 len = strlen(text);

	if (len >= size)
		for (len = size - 1; (text[len] & 0xc0) == 0x80; len--)
			;
	memcpy(to, text, len);
	to[len] = '\0';
}

/* ---- header values ----------------------------------------------------- */

static char *
skip_blanks(char *p)
{
	while (is_blank(*p))
		p++;
	return p;
}

/*
 * Undo the quoting at P in place: P is then the text, and what is returned is
 * behind the closing quote; NULL when there is none.  Only \" and \\ are
 * escapes: some clients send a path with backslashes as it is.
 */
static char *
unquote(char *p)
{
	char	*from = p + 1;

	for (; *from != '"'; from++) {
		if (*from == '\0')
			return NULL;
		if (*from == '\\' && (from[1] == '"' || from[1] == '\\'))
			from++;
		*p++ = *from;
	}
	*p = '\0';
	return from + 1;
}

/*
 * A value ends at *P: terminate it there and go on behind the ";", if there is
 * one.  False when something else is there.
 */
static bool
end_value(char **p)
{
	char	*end = *p;

	*p = skip_blanks(end);
	if (**p != ';' && **p != '\0')
		return false;
	if (**p == ';')
		++*p;
	*end = '\0';
	return true;
}

/*
 * Take the next NAME=VALUE off *P, in place.  1; 0: none is left; -1: what is
 * there is none.
 */
static int
next_parameter(char **p, char **name, char **value)
{
	while (is_blank(**p) || **p == ';')
		++*p;
	if (**p == '\0')
		return 0;

	*name = *p;
	while (is_token(**p))
		++*p;
	if (*p == *name || **p != '=')
		return -1;
	*(*p)++ = '\0';

	*value = *p;
	if (**p == '"') {
		if ((*p = unquote(*p)) == NULL)
			return -1;
	} else {
		while (**p != '\0' && strchr("; \t\"", **p) == NULL)
			++*p;
		if (*p == *value)
			return -1;
	}
	return end_value(p) ? 1 : -1;
}

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Bytes that browsers write as %XX in names; they leave a "%" as it is. */
static const char	 escaped_by_browsers[] = "\"\r\n";

/* Undo %XX in place: all of them, or just those in ONLY. */
static bool
unescape(char *text, const char *only)
{
	char	*to = text;
	int	 high, low;

	for (; *text != '\0'; text++) {
		high = low = -1;
		if (*text == '%' && (high = hex_digit(text[1])) != -1)
			low = hex_digit(text[2]);
		if (low != -1 && high * 16 + low != 0 && (only == NULL ||
		    strchr(only, high * 16 + low) != NULL)) {
			*to++ = high * 16 + low;
			text += 2;
		} else if (*text == '%' && only == NULL)
			return false;
		else
			*to++ = *text;
	}
	*to = '\0';
	return true;
}

/*
 * Undo the coding of filename* (RFC 8187) in place: UTF-8'LANGUAGE'%XX...
 * NULL when it is not that.
 */
static char *
decode_extended(char *value)
{
	char	*p;

	if (strncasecmp(value, "utf-8'", 6) != 0 ||
	    (p = strchr(value + 6, '\'')) == NULL)
		return NULL;
	p++;
	return unescape(p, NULL) && utf8_valid(p, strlen(p)) ? p : NULL;
}

/* ---- headers of a part ------------------------------------------------- */

static bool
keep_name(struct multipart *m, char *value)
{
	const char	*p;

	unescape(value, escaped_by_browsers);
	if (*value == '\0') {
		bad(m, 400, "its name is empty");
		return false;
	}
	if (strlen(value) >= sizeof(m->name)) {
		bad(m, 400, "its name is longer than %d bytes",
		    MULTIPART_NAME - 1);
		return false;
	}
	if (!utf8_valid(value, strlen(value))) {
		bad(m, 400, "its name is not UTF-8");
		return false;
	}
	for (p = value; *p != '\0'; p++) {
		if (is_control(*p)) {
			bad(m, 400, "its name has a control character");
			return false;
		}
	}
	memcpy(m->name, value, strlen(value) + 1);
	return true;
}

/*
 * A file name is shown to people and never opened.  So directories are cut
 * off, of either kind, and a byte that no name should have becomes "_".
 */
static bool
keep_filename(struct multipart *m, char *value)
{
	char	*p, *base;

	if (!utf8_valid(value, strlen(value))) {
		bad(m, 400, "its file name is not UTF-8");
		return false;
	}
	for (base = p = value; *p != '\0'; p++) {
		if (*p == '/' || *p == '\\')
			base = p + 1;
		if (is_control(*p))
			*p = '_';
	}
	copy_cut(m->filename, base, sizeof(m->filename));
	m->is_file = true;
	return true;
}

/* Content-Disposition: form-data; name="..."[; filename="..."] */
static bool
take_disposition(struct multipart *m, char *value)
{
	char	*p = value, *name, *text = NULL, *file = NULL, *extended = NULL;
	char	**seen;
	int	 more;

	if (m->disposed) {
		bad(m, 400, "two Content-Disposition headers");
		return false;
	}
	m->disposed = true;

	while (is_token(*p))
		p++;
	if (!end_value(&p) || strcasecmp(value, "form-data") != 0) {
		bad(m, 400, "its Content-Disposition is not form-data");
		return false;
	}
	while ((more = next_parameter(&p, &name, &value)) == 1) {
		seen = strcasecmp(name, "name") == 0 ? &text :
		    strcasecmp(name, "filename") == 0 ? &file :
		    strcasecmp(name, "filename*") == 0 ? &extended : NULL;
		if (seen == NULL)
			continue;
		if (*seen != NULL) {
			bad(m, 400, "its Content-Disposition has two %s", name);
			return false;
		}
		*seen = value;
	}
	if (more == -1) {
		bad(m, 400, "its Content-Disposition cannot be read");
		return false;
	}
	if (text == NULL) {
		bad(m, 400, "its Content-Disposition has no name");
		return false;
	}
	if (!keep_name(m, text))
		return false;
	if (extended != NULL) {
		if ((extended = decode_extended(extended)) != NULL)
			return keep_filename(m, extended);
		if (file == NULL) {
			bad(m, 400, "its filename* is not UTF-8''...");
			return false;
		}
	}
	if (file == NULL)
		return true;
	unescape(file, escaped_by_browsers);
	return keep_filename(m, file);
}

static bool
take_type(struct multipart *m, char *value)
{
	m->nested = strncasecmp(value, "multipart/", 10) == 0;
	return true;
}

/* Browsers send none; RFC 7578, 4.7: nobody should. */
static bool
take_encoding(struct multipart *m, char *value)
{
	static const char *const	 plain[] = { "7bit", "8bit", "binary" };
	size_t				 i;

	for (i = 0; i < sizeof(plain) / sizeof(plain[0]); i++)
		if (strcasecmp(value, plain[i]) == 0)
			return true;
	bad(m, 400, "Content-Transfer-Encoding \"%.40s\": send the bytes as "
	    "they are", value);
	return false;
}

/* Other headers say nothing that we go by, Content-Length least of all. */
static const struct header {
	const char	*name;
	bool		(*take)(struct multipart *, char *);
} headers[] = {
	{ "Content-Disposition",	take_disposition },
	{ "Content-Type",		take_type },
	{ "Content-Transfer-Encoding",	take_encoding },
	{ NULL }
};

/* One header line, NUL-terminated. */
static bool
take_header(struct multipart *m, char *line, size_t len)
{
	const struct header	*h;
	char			*p;
	size_t			 i;

	for (i = 0; i < len; i++) {
		if (is_control(line[i]) && line[i] != '\t') {
			bad(m, 400, "control character in a header");
			return false;
		}
	}
	if (is_blank(*line)) {
		bad(m, 400, "folded header");
		return false;
	}
	for (p = line; is_token(*p); p++)
		;
	if (p == line || *p != ':') {
		bad(m, 400, "a line among its headers is none");
		return false;
	}
	*p = '\0';
	p = skip_blanks(p + 1);
	for (i = strlen(p); i > 0 && is_blank(p[i - 1]); i--)
		p[i - 1] = '\0';

	for (h = headers; h->name != NULL; h++)
		if (strcasecmp(h->name, line) == 0)
			return h->take(m, p);
	return true;
}

/* ---- delimiters -------------------------------------------------------- */

/*
 * What P, of which LEN bytes are there, would be if it began with the
 * delimiter; *SIZE: length of the line.
 */
static enum line
line_end(const struct multipart *m, const char *p, size_t len, size_t *size)
{
	size_t	 i = m->delimiter_len, end = i + BLANKS_MAX;

	while (i < len && i < end && is_blank(p[i]))
		i++;
	if (i >= len)
		return LINE_MORE;
	*size = i + 2;
	if (p[i] == '\n')
		return LINE_LF;
	if (p[i] != '\r' && (p[i] != '-' || i != m->delimiter_len))
		return LINE_NONE;
	if (i + 1 == len)
		return LINE_MORE;
	if (p[i] == '\r')
		return p[i + 1] == '\n' ? LINE_NEXT : LINE_NONE;
	return p[i + 1] == '-' ? LINE_LAST : LINE_NONE;
}

/* What P is.  Near misses mostly fail behind the boundary: look there first. */
static enum line
line_at(const struct multipart *m, const char *p, size_t len, size_t *size)
{
	enum line	 line = line_end(m, p, len, size);

	if (line != LINE_NONE && memcmp(p, m->delimiter,
	    len < m->delimiter_len ? len : m->delimiter_len) != 0)
		return LINE_NONE;
	return line;
}

/*
 * Which of the BLOCK places from P on may begin a delimiter.
 *
 * There are no branches in the loop, so that compilers make vectors of it.
 * First and last byte make a search fast on any data; one in between makes
 * those candidates few that somebody who knows the boundary can write.  (A
 * search by memchr() for CR crawls on such a body.)
 */
static void
candidates(const char *restrict p, size_t reach, char last,
    unsigned char *restrict hit)
{
	size_t	 k;

	for (k = 0; k < BLOCK; k++)
		hit[k] = (p[k] == '\r') & (p[k + 2] == '-') &
		    (p[k + reach] == last);
}

/*
 * Bytes of data at the front of the window: up to a delimiter line, or what
 * may become one (*LINE says which), or all.
 */
static size_t
find_line(const struct multipart *m, enum line *line, size_t *size)
{
	const char	*p = m->window + m->start;
	size_t		 len = m->fill - m->start, i = 0, at, w;
	size_t		 reach = m->delimiter_len - 1;
	char		 last = m->delimiter[reach];
	uint64_t	 bits;
	union {
		unsigned char	byte[BLOCK];
		uint64_t	word[BLOCK / 8];
	} hit;

	for (; i + BLOCK + reach <= len; i += BLOCK) {
		candidates(p + i, reach, last, hit.byte);
		for (w = 0; w < BLOCK / 8; w++) {
			bits = le64toh(hit.word[w]);
			for (; bits != 0; bits &= bits - 1) {
				at = i + w * 8 + __builtin_ctzll(bits) / 8;
				if ((*line = line_at(m, p + at, len - at,
				    size)) != LINE_NONE)
					return at;
			}
		}
	}
	for (; i < len; i++)
		if (p[i] == '\r' && (*line = line_at(m, p + i, len - i,
		    size)) != LINE_NONE)
			return i;
	*line = LINE_NONE;
	return len;
}

/*
 * Take the line that find_line() found at the front of the window.  DONE is
 * the event that it brings.
 */
static enum multipart_event
take_line(struct multipart *m, enum line line, size_t size,
    enum multipart_event done)
{
	switch (line) {
	case LINE_NEXT:
		m->start += size;
		if (m->parts == MULTIPART_PARTS_MAX)
			return bad(m, 413, "more than %d parts",
			    MULTIPART_PARTS_MAX);
		m->parts++;
		m->state = HEADERS;
		m->header_bytes = m->header_lines = 0;
		m->disposed = m->is_file = m->nested = false;
		m->value_len = 0;
		return done;
	case LINE_LAST:
		m->state = END;
		return done;
	case LINE_LF:
		return bad(m, 400, "a line ends with LF alone, not with CR LF");
	case LINE_NONE:
	case LINE_MORE:
		break;
	}
	if (!m->ended)
		return MULTIPART_MORE;
	if (m->state == PREAMBLE)
		return bad(m, 400, "the body has no line with the boundary");
	return bad(m, 400, "the body ends before the last boundary");
}

/* ---- states ------------------------------------------------------------ */

/* What stands before the first delimiter is for nobody. */
static enum multipart_event
in_preamble(struct multipart *m, struct multipart_item *item)
{
	enum line	 line;
	size_t		 size = 0;

	(void)item;
	m->start += find_line(m, &line, &size);
	return take_line(m, line, size, AGAIN);
}

/* The empty line came: what is this part? */
static enum multipart_event
begin_part(struct multipart *m, struct multipart_item *item)
{
	if (!m->disposed)
		return bad(m, 400, "no Content-Disposition");
	if (!m->is_file) {
		if (m->nested)
			return bad(m, 400, "field \"%s\": a multipart within a "
			    "multipart", m->name);
		m->fields += strlen(m->name);
		m->state = FIELD;
		return AGAIN;
	}
	if (m->files == MULTIPART_FILES_MAX)
		return bad(m, 413, "more than %d files", MULTIPART_FILES_MAX);
	m->files++;
	m->state = FILE_BODY;
	item->name = m->name;
	item->filename = m->filename;
	return MULTIPART_FILE;
}

static enum multipart_event
in_headers(struct multipart *m, struct multipart_item *item)
{
	char	*line = m->window + m->start, *lf;
	size_t	 len = m->fill - m->start;

	lf = memchr(line, '\n', len);
	if (lf != NULL)
		len = lf + 1 - line;
	if (m->header_bytes + len > MULTIPART_HEADER_MAX)
		return bad(m, 400, "more than %d bytes of headers",
		    MULTIPART_HEADER_MAX);
	if (lf == NULL) {
		if (m->ended)
			return bad(m, 400, "the body ends among the headers");
		return MULTIPART_MORE;
	}
	if (len < 2 || lf[-1] != '\r')
		return bad(m, 400, "a line ends with LF alone, not with CR LF");
	m->start += len;
	m->header_bytes += len;
	if (len == 2)
		return begin_part(m, item);

	if (++m->header_lines > MULTIPART_HEADERS_MAX)
		return bad(m, 400, "more than %d headers",
		    MULTIPART_HEADERS_MAX);
	lf[-1] = '\0';
	take_header(m, line, len - 2);
	return AGAIN;
}

static enum multipart_event
in_field(struct multipart *m, struct multipart_item *item)
{
	enum line	 line;
	size_t		 size = 0, len;

	len = find_line(m, &line, &size);
	if (m->value_len + len > MULTIPART_FIELD_MAX)
		return bad(m, 413, "field \"%s\" is longer than %d bytes",
		    m->name, MULTIPART_FIELD_MAX);
	m->fields += len;
	if (m->fields > MULTIPART_FIELDS_MAX)
		return bad(m, 413, "all fields together are longer than %d "
		    "bytes", MULTIPART_FIELDS_MAX);
	memcpy(m->value + m->value_len, m->window + m->start, len);
	m->value_len += len;
	m->start += len;

	if ((line == LINE_NEXT || line == LINE_LAST) &&
	    (memchr(m->value, '\0', m->value_len) != NULL ||
	    !utf8_valid(m->value, m->value_len)))
		return bad(m, 400, "field \"%s\" is not text in UTF-8",
		    m->name);
	m->value[m->value_len] = '\0';
	item->name = m->name;
	item->data = m->value;
	item->len = m->value_len;
	return take_line(m, line, size, MULTIPART_FIELD);
}

static enum multipart_event
in_file(struct multipart *m, struct multipart_item *item)
{
	enum line	 line;
	size_t		 size = 0, len;

	if ((len = find_line(m, &line, &size)) > 0) {
		item->data = m->window + m->start;
		item->len = len;
		m->start += len;
		return MULTIPART_DATA;
	}
	return take_line(m, line, size, MULTIPART_FILE_END);
}

/* What follows the last delimiter is for nobody either. */
static enum multipart_event
at_end(struct multipart *m, struct multipart_item *item)
{
	(void)item;
	m->start = m->fill;
	return MULTIPART_END;
}

static enum multipart_event
when_bad(struct multipart *m, struct multipart_item *item)
{
	item->status = m->status;
	item->error = m->error;
	m->start = m->fill;
	return MULTIPART_BAD;
}

static enum multipart_event (*const states[])(struct multipart *,
    struct multipart_item *) = {
	[PREAMBLE]	= in_preamble,
	[HEADERS]	= in_headers,
	[FIELD]		= in_field,
	[FILE_BODY]	= in_file,
	[END]		= at_end,
	[BAD]		= when_bad,
};

/* ---- for the caller ---------------------------------------------------- */

int
multipart_boundary(const char *type, char boundary[MULTIPART_BOUNDARY])
{
	static const char	 form_data[] = "multipart/form-data";
	size_t			 len = strlen(form_data), i;
	char			 text[1024], *p, *name, *value, *found = NULL;
	int			 more;

	if (strncasecmp(type, form_data, len) != 0 || is_token(type[len]))
		return 1;
	if (strlen(type) >= sizeof(text))
		return -1;
	memcpy(text, type, strlen(type) + 1);
	p = text + len;
	if (!end_value(&p))
		return -1;
	while ((more = next_parameter(&p, &name, &value)) == 1) {
		if (strcasecmp(name, "boundary") != 0)
			continue;
		if (found != NULL)
			return -1;
		found = value;
	}
	if (more == -1 || found == NULL || *found == '\0' ||
	    (len = strlen(found)) >= MULTIPART_BOUNDARY ||
	    found[len - 1] == ' ')
		return -1;
	for (i = 0; i < len; i++)
		if (!is_boundary(found[i]))
			return -1;
	memcpy(boundary, found, len + 1);
	return 0;
}

/* The window and the value are large and need no zeros. */
struct multipart *
multipart_new(const char *boundary)
{
	struct multipart	*m = xmalloc(sizeof(*m));

	memset(m, 0, offsetof(struct multipart, value));
	m->delimiter_len = snprintf(m->delimiter, sizeof(m->delimiter),
	    "\r\n--%s", boundary);
	memcpy(m->window, "\r\n", 2);
	m->fill = 2;
	return m;
}

void
multipart_free(struct multipart *m)
{
	free(m);
}

enum multipart_event
multipart_next(struct multipart *m, struct multipart_item *item)
{
	enum multipart_event	 event;

	do {
		memset(item, 0, sizeof(*item));
		event = states[m->state](m, item);
	} while (event == AGAIN);
	return event;
}

char *
multipart_space(struct multipart *m, size_t *room)
{
	if (m->start > 0) {
		m->fill -= m->start;
		memmove(m->window, m->window + m->start, m->fill);
		m->start = 0;
	}
	*room = sizeof(m->window) - m->fill;
	return m->window + m->fill;
}

void
multipart_add(struct multipart *m, size_t len)
{
	if (len == 0)
		m->ended = true;
	m->fill += len;
}
