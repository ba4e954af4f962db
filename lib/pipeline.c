/*
 * Read pipelines, and check what is sent to them.
 *
 * A file is lines of words.  Each first word is a row of words[]; those that
 * set a plain value have its range and place in the row.  All mistakes of all
 * files are told, then nothing is loaded: a daemon that reads its pipelines
 * anew keeps the old ones.
 */

#include "pipeline.h"

#include <sys/stat.h>

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <json-c/json.h>

#include "conf.h"
#include "log.h"
#include "utf8.h"

#define SUFFIX		".conf"
#define SUFFIX_LEN	(sizeof(SUFFIX) - 1)

/* Bytes of an option's text: it has to fit into an environment variable. */
#define TEXT_MAX	4096

/* Digits of a number that somebody sends. */
#define NUMBER_MAX	64

/* Bytes of an offending value that are repeated in an error. */
#define QUOTE_MAX	64

/* Every whole number up to here is exact in JSON, both ways. */
#define NUMBER_LIMIT	9007199254740992.0

/* The longest pause before a stage is tried again. */
#define PAUSE_MOST_S	(365 DAYS)

/* Most tries of a stage, and most of its items that may fail. */
#define ATTEMPTS_MOST	100
#define FAILURES_MOST	1000000

/* What a stage does not say, the pipeline does. */
#define UNSAID		UINT_MAX

#define MANY		SIZE_MAX
#define K		* UINT64_C(1024)
#define DAYS		* UINT64_C(86400)

struct word;

/* A file that is being read. */
struct parser {
	struct pipeline	*p;
	const char	*stages;	/* of programs; NULL: no matter */
	char		*file;
	unsigned int	 line;		/* 0: the file as a whole */
	unsigned int	 mistakes;
	const struct word *word;	/* that begins the line */
	uint64_t	 seen;		/* a bit per row of words[] */
	bool		 about_over;	/* its first comment lines are read */
	char		 phase[PIPELINE_NAME];	/* or "": their own names */
	bool		 network;
};

struct word {
	const char	*name;
	const char	*usage;
	size_t		 args_least, args_most;
	void		(*read)(struct parser *, char **, size_t);
	bool		 many;		/* lines of it in a file */
	size_t		 where;		/* of a plain value, in the pipeline */
	uint64_t	 least, most;
};

static void __attribute__((format(printf, 2, 3)))
mistake(struct parser *r, const char *fmt, ...)
{
	va_list	 ap;
	char	 text[1024];

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (r->line != 0)
		log_warnx("%s:%u: %s", r->file, r->line, text);
	else
		log_warnx("%s: %s", r->file, text);
	r->mistakes++;
}

static bool
is_name(const char *s)
{
	return islower((unsigned char)s[0]) && strlen(s) < PIPELINE_NAME &&
	    s[strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789_-")] == '\0';
}

/* Copy the name S into its place, or say that it is none. */
static bool
take_name(struct parser *r, const char *s, char to[PIPELINE_NAME])
{
	if (!is_name(s)) {
		mistake(r, "%s: \"%s\" is not a name: a lower-case letter,"
		    " then at most %d of a-z 0-9 _ -", r->word->name, s,
		    PIPELINE_NAME - 2);
		return false;
	}
	strlcpy(to, s, PIPELINE_NAME);
	return true;
}

static char **
copy_words(char **words, size_t n)
{
	char	**copy = xcalloc(n + 1, sizeof(*copy));
	size_t	 i;

	for (i = 0; i < n; i++)
		copy[i] = xstrdup(words[i]);
	return copy;
}

static void
free_words(char **words)
{
	size_t	 i;

	for (i = 0; words != NULL && words[i] != NULL; i++)
		free(words[i]);
	free(words);
}

/* ---- plain values ------------------------------------------------------- */

static void *
place(struct parser *r)
{
	return (char *)r->p + r->word->where;
}

static void
read_count(struct parser *r, char **args, size_t n)
{
	unsigned int	*to = place(r);
	uint64_t	 value;

	(void)n;
	if (conf_number(args[0], r->word->most, &value) == -1 ||
	    value < r->word->least)
		mistake(r, "%s: \"%s\" is not a number from %ju to %ju",
		    r->word->name, args[0], (uintmax_t)r->word->least,
		    (uintmax_t)r->word->most);
	else
		*to = value;
}

static void
read_duration(struct parser *r, char **args, size_t n)
{
	unsigned int	*to = place(r), value;

	(void)n;
	if (conf_duration(args[0], &value) == -1)
		mistake(r, "%s: \"%s\" is not a duration as 90s, 5m, 2h or 7d",
		    r->word->name, args[0]);
	else if (value < r->word->least || value > r->word->most)
		mistake(r, "%s: %s is not from %jus to %jud", r->word->name,
		    args[0], (uintmax_t)r->word->least,
		    (uintmax_t)(r->word->most / (1 DAYS)));
	else
		*to = value;
}

/* How long to wait before the second try, and before any, MOST may be NULL. */
static bool
take_pause(struct parser *r, const char *first, const char *most,
    unsigned int *first_s, unsigned int *most_s)
{
	const char	*texts[] = { first, most };
	unsigned int	*to[] = { first_s, most_s };
	size_t		 i;

	for (i = 0; i < 2 && texts[i] != NULL; i++) {
		if (conf_duration(texts[i], to[i]) == -1) {
			mistake(r, "%s: pause \"%s\" is not a duration as 10s,"
			    " 5m or 2h", r->word->name, texts[i]);
			return false;
		}
		if (*to[i] > PAUSE_MOST_S) {
			mistake(r, "%s: pause %s is above the most, 365d",
			    r->word->name, texts[i]);
			return false;
		}
	}
	if (most == NULL || *first_s <= *most_s)
		return true;
	mistake(r, "%s: the first pause, %s, is longer than the longest, %s",
	    r->word->name, first, most);
	return false;
}

static void
read_pause(struct parser *r, char **args, size_t n)
{
	struct pipeline	*p = r->p;

	take_pause(r, args[0], n > 1 ? args[1] : NULL, &p->pause_s,
	    &p->pause_most_s);
	if (p->pause_most_s < p->pause_s)
		p->pause_most_s = p->pause_s;
}

static void
read_size(struct parser *r, char **args, size_t n)
{
	uint64_t	*to = place(r), value;

	(void)n;
	if (conf_size(args[0], &value) == -1)
		mistake(r, "%s: \"%s\" is not a size as 64k, 2m or 32g",
		    r->word->name, args[0]);
	else if (value < r->word->least)
		mistake(r, "%s: %s is below the least, %ju bytes",
		    r->word->name, args[0], (uintmax_t)r->word->least);
	else
		*to = value;
}

static void
read_title(struct parser *r, char **args, size_t n)
{
	char	*title = xstrdup(args[0]), *longer;
	size_t	 i;

	for (i = 1; i < n; i++) {
		xasprintf(&longer, "%s %s", title, args[i]);
		free(title);
		title = longer;
	}
	free(r->p->title);
	r->p->title = title;
}

static void
read_queue(struct parser *r, char **args, size_t n)
{
	(void)n;
	take_name(r, args[0], r->p->queue);
}

/* ---- media types -------------------------------------------------------- */

/* Bytes of one half of a media type, RFC 6838 section 4.2. */
static size_t
half_type(const char *s)
{
	size_t	 len = strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789"
		     "!#$&-^_.+");

	return isalnum((unsigned char)s[0]) && len <= 127 ? len : 0;
}

/* "video/mp4", "video/" and a star, or two stars. */
static bool
is_media_type(const char *s)
{
	size_t	 len;

	if (strcmp(s, "*/*") == 0)
		return true;
	if ((len = half_type(s)) == 0 || s[len] != '/')
		return false;
	s += len + 1;
	if (strcmp(s, "*") == 0)
		return true;
	return (len = half_type(s)) > 0 && s[len] == '\0';
}

static void
read_accept(struct parser *r, char **args, size_t n)
{
	char	**list = r->p->accept, *s;
	size_t	 i, k, have = 0;

	while (list != NULL && list[have] != NULL)
		have++;
	list = xreallocarray(list, have + n + 1, sizeof(*list));
	for (i = 0; i < n; i++) {
		for (s = args[i]; *s != '\0'; s++)
			*s = tolower((unsigned char)*s);
		if (!is_media_type(args[i])) {
			mistake(r, "accept: \"%s\" is not a media type as"
			    " text/plain or video/*", args[i]);
			continue;
		}
		for (k = 0; k < have && strcmp(list[k], args[i]) != 0;)
			k++;
		if (k < have)
			mistake(r, "accept: %s is given twice", args[i]);
		else
			list[have++] = xstrdup(args[i]);
	}
	list[have] = NULL;
	r->p->accept = list;
}

bool
pipeline_accepts(const struct pipeline *p, const char *type)
{
	size_t	 len = strcspn(type, "; \t"), kind = strcspn(type, "/");
	char	**a;

	/* After a type there may be parameters: "text/plain; charset=...". */
	for (a = p->accept; a != NULL && *a != NULL; a++) {
		if (strcmp(*a, "*/*") == 0)
			return true;
		if (strlen(*a) == len && strncasecmp(*a, type, len) == 0)
			return true;
		if (kind < len && strcmp(*a + strcspn(*a, "/"), "/*") == 0 &&
		    strncasecmp(*a, type, kind + 1) == 0)
			return true;
	}
	return false;
}

/* ---- options ------------------------------------------------------------ */

static const struct option_kind {
	const char	*name, *usage;
	size_t		 args_least, args_most;	/* behind the name */
} option_kinds[] = {
	[OPTION_TEXT]	 = { "text", "[INITIAL]", 0, 1 },
	[OPTION_NUMBER]	 = { "number", "INITIAL [LEAST MOST]", 1, 3 },
	[OPTION_BOOLEAN] = { "boolean", "INITIAL", 1, 1 },
	[OPTION_CHOICE]	 = { "choice", "INITIAL CHOICE ...", 2, MANY },
};

#define NOPTION_KINDS	(sizeof(option_kinds) / sizeof(option_kinds[0]))

/* A value of somebody, fit for an error: short, and valid UTF-8. */
static const char *
quote(const char *value, char buf[QUOTE_MAX + 4])
{
	if (strlcpy(buf, value, QUOTE_MAX + 1) > QUOTE_MAX) {
		utf8_clean(buf);
		strlcat(buf, "...", QUOTE_MAX + 4);
	} else
		utf8_clean(buf);
	return buf;
}

static int
text_fits(const char *value, char **json, char **error)
{
	struct json_object	*o;
	size_t			 len = strlen(value);

	if (len > TEXT_MAX) {
		xasprintf(error, "%zu bytes of text are more than %d", len,
		    TEXT_MAX);
		return -1;
	}
	if (!utf8_valid(value, len)) {
		xasprintf(error, "the text is not valid UTF-8");
		return -1;
	}
	if ((o = json_object_new_string_len(value, len)) == NULL)
		fatal("json_object_new_string");
	*json = xstrdup(json_object_to_json_string_ext(o,
	    JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(o);
	return 0;
}

/* The whole of TEXT as a decimal number. */
static bool
read_double(const char *text, double *d)
{
	char	*end;

	if (strlen(text) > NUMBER_MAX ||
	    text[strspn(text, "0123456789+-.eE")] != '\0')
		return false;
	*d = strtod(text, &end);
	return end != text && *end == '\0' && isfinite(*d);
}

/* As few digits as give the same number back; JSON takes what %g writes. */
static void
print_double(double d, char *buf, size_t size)
{
	snprintf(buf, size, "%.15g", d);
	if (strtod(buf, NULL) != d)
		snprintf(buf, size, "%.17g", d);
}

static int
number_fits(const struct option_spec *o, const char *value, char **json,
    char **error)
{
	char	 buf[QUOTE_MAX + 4], limit[32], text[32];
	double	 d;

	if (!read_double(value, &d)) {
		xasprintf(error, "\"%s\" is not a number", quote(value, buf));
		return -1;
	}
	if (d < o->least || d > o->most) {
		print_double(d < o->least ? o->least : o->most, limit,
		    sizeof(limit));
		xasprintf(error, "%s is %s, %s", value, d < o->least ?
		    "below the least" : "above the most", limit);
		return -1;
	}
	print_double(d, text, sizeof(text));
	*json = xstrdup(text);
	return 0;
}

static int
boolean_fits(const char *value, char **json, char **error)
{
	char	 buf[QUOTE_MAX + 4];
	bool	 yes;

	if (conf_boolean(value, &yes) == -1) {
		xasprintf(error, "\"%s\" is not true or false",
		    quote(value, buf));
		return -1;
	}
	*json = xstrdup(yes ? "true" : "false");
	return 0;
}

static int
choice_fits(const struct option_spec *o, const char *value, char **json,
    char **error)
{
	char	 buf[QUOTE_MAX + 4], *list, *longer;
	size_t	 i;

	for (i = 0; o->choices[i] != NULL; i++)
		if (strcmp(value, o->choices[i]) == 0)
			return text_fits(value, json, error);
	xasprintf(&list, "\"%s\" is none of %s", quote(value, buf),
	    o->choices[0]);
	for (i = 1; o->choices[i] != NULL; i++) {
		xasprintf(&longer, "%s, %s", list, o->choices[i]);
		free(list);
		list = longer;
	}
	*error = list;
	return -1;
}

/* As pipeline_option, without the name before the error. */
static int
fits(const struct option_spec *o, const char *value, char **json, char **error)
{
	switch (o->type) {
	case OPTION_TEXT:
		return text_fits(value, json, error);
	case OPTION_NUMBER:
		return number_fits(o, value, json, error);
	case OPTION_BOOLEAN:
		return boolean_fits(value, json, error);
	case OPTION_CHOICE:
		return choice_fits(o, value, json, error);
	}
	return -1;
}

static const struct option_spec *
find_option(const struct pipeline *p, const char *name)
{
	size_t	 i;

	for (i = 0; i < p->noptions; i++)
		if (strcmp(p->options[i].name, name) == 0)
			return &p->options[i];
	return NULL;
}

static char *
unknown_option(const struct pipeline *p, const char *name)
{
	const char	**names = xcalloc(p->noptions + 1, sizeof(*names));
	const char	*nearest;
	char		 buf[QUOTE_MAX + 4], *error;
	size_t		 i;

	for (i = 0; i < p->noptions; i++)
		names[i] = p->options[i].name;
	nearest = conf_nearest(name, names);
	free(names);
	if (nearest != NULL)
		xasprintf(&error, "pipeline %s has no option \"%s\"; did you"
		    " mean \"%s\"?", p->name, quote(name, buf), nearest);
	else
		xasprintf(&error, "pipeline %s has no option \"%s\"", p->name,
		    quote(name, buf));
	return error;
}

int
pipeline_option(const struct pipeline *p, const char *name, const char *value,
    char **json, char **error)
{
	const struct option_spec	*o = find_option(p, name);
	char				*why;

	if (o == NULL) {
		*error = unknown_option(p, name);
		return -1;
	}
	if (fits(o, value, json, &why) == 0)
		return 0;
	xasprintf(error, "option %s: %s", name, why);
	free(why);
	return -1;
}

/* Option names become MILLRACE_OPTION_NAME, so they have no dash. */
static bool
take_option_name(struct parser *r, const char *name, struct option_spec *o)
{
	if (!take_name(r, name, o->name))
		return false;
	if (strchr(name, '-') != NULL) {
		mistake(r, "option: \"%s\" has a dash; use _", name);
		return false;
	}
	if (find_option(r->p, name) != NULL) {
		mistake(r, "option: %s is given twice", name);
		return false;
	}
	return true;
}

static bool
take_option_type(struct parser *r, char **args, size_t n, struct option_spec *o)
{
	const struct option_kind	*k;
	size_t				 i;

	for (i = 0; i < NOPTION_KINDS; i++)
		if (strcmp(args[1], option_kinds[i].name) == 0)
			break;
	if (i == NOPTION_KINDS) {
		mistake(r, "option %s: \"%s\" is not text, number, boolean or"
		    " choice", args[0], args[1]);
		return false;
	}
	o->type = i;
	k = &option_kinds[i];
	/* The least is given together with the most. */
	if (n - 2 < k->args_least || n - 2 > k->args_most ||
	    (o->type == OPTION_NUMBER && n - 2 == 2)) {
		mistake(r, "option %s: expected %s %s", args[0], k->name,
		    k->usage);
		return false;
	}
	return true;
}

static bool
take_limits(struct parser *r, char **args, size_t n, struct option_spec *o)
{
	o->least = -NUMBER_LIMIT;
	o->most = NUMBER_LIMIT;
	if (o->type != OPTION_NUMBER || n < 5)
		return true;
	if (read_double(args[3], &o->least) && read_double(args[4], &o->most) &&
	    o->least <= o->most)
		return true;
	mistake(r, "option %s: %s and %s are no limits", args[0], args[3],
	    args[4]);
	return false;
}

static bool
take_choices(struct parser *r, char **args, size_t n, struct option_spec *o)
{
	size_t	 i, k;

	if (o->type != OPTION_CHOICE)
		return true;
	for (i = 3; i < n; i++)
		for (k = 3; k < i; k++)
			if (strcmp(args[i], args[k]) == 0) {
				mistake(r, "option %s: %s is given twice",
				    args[0], args[i]);
				return false;
			}
	o->choices = copy_words(args + 3, n - 3);
	return true;
}

/* The initial value has to be one that could be sent. */
static bool
take_initial(struct parser *r, char **args, size_t n, struct option_spec *o)
{
	const char	*value = n > 2 ? args[2] : "";
	char		*json, *error;

	if (fits(o, value, &json, &error) == -1) {
		mistake(r, "option %s: %s", args[0], error);
		free(error);
		return false;
	}
	if (o->type == OPTION_TEXT || o->type == OPTION_CHOICE) {
		free(json);
		json = xstrdup(value);
	}
	o->initial = json;
	return true;
}

static void
read_option(struct parser *r, char **args, size_t n)
{
	struct pipeline		*p = r->p;
	struct option_spec	 o = { .initial = NULL };

	if (!take_option_name(r, args[0], &o) ||
	    !take_option_type(r, args, n, &o) ||
	    !take_limits(r, args, n, &o) ||
	    !take_choices(r, args, n, &o) ||
	    !take_initial(r, args, n, &o)) {
		free_words(o.choices);
		return;
	}
	p->options = xreallocarray(p->options, p->noptions + 1,
	    sizeof(*p->options));
	p->options[p->noptions++] = o;
}

/* ---- settings of a stage ------------------------------------------------ */

static bool
take_attempts(struct parser *r, char *value, struct stage *s)
{
	uint64_t	 n;

	if (conf_number(value, ATTEMPTS_MOST, &n) == 0 && n > 0) {
		s->attempts = (unsigned int)n;
		return true;
	}
	mistake(r, "%s: attempts \"%s\" is not a number from 1 to %d",
	    r->word->name, value, ATTEMPTS_MOST);
	return false;
}

/* "10s", or "10s,10m". */
static bool
take_stage_pause(struct parser *r, char *value, struct stage *s)
{
	char	*first = strsep(&value, ",");

	return take_pause(r, first, value, &s->pause_s, &s->pause_most_s);
}

/* So many items, or so many percent of them. */
static bool
take_allowed(const char *text, struct stage *s)
{
	char		 number[NUMBER_MAX];
	size_t		 len = strlen(text);
	uint64_t	 n;

	s->failures = FAILURES_ALLOW;
	s->allowed_percent = len > 0 && text[len - 1] == '%';
	if (!s->allowed_percent) {
		if (conf_number(text, FAILURES_MOST, &n) == -1)
			return false;
		s->allowed = (double)n;
		return true;
	}
	if (len > sizeof(number) ||
	    strspn(text, "0123456789.") != len - 1)
		return false;
	strlcpy(number, text, len);
	return read_double(number, &s->allowed) && s->allowed <= 100;
}

static bool
take_failures(struct parser *r, char *value, struct stage *s)
{
	if (strcmp(value, "finish") == 0)
		s->failures = FAILURES_FINISH;
	else if (strcmp(value, "stop") == 0)
		s->failures = FAILURES_STOP;
	else if (!take_allowed(strcmp(value, "all") == 0 ? "100%" : value,
	    s)) {
		mistake(r, "%s: failures \"%s\" is not finish, stop, all, a"
		    " number of items as 5, or a part of them as 5%%",
		    r->word->name, value);
		return false;
	}
	return true;
}

static bool
take_kept(struct parser *r, char *value, struct stage *s)
{
	if (conf_boolean(value, &s->kept) == 0)
		return true;
	mistake(r, "%s: kept \"%s\" is not yes or no", r->word->name, value);
	return false;
}

#define FITS(kind)	(1U << (kind))

static const struct setting {
	const char	*name;
	bool		(*take)(struct parser *, char *, struct stage *);
	unsigned int	 fits;		/* which kinds of stages */
} settings[] = {
	{ "attempts", take_attempts,	FITS(STAGE_ONCE) | FITS(STAGE_EACH) },
	{ "pause",    take_stage_pause,	FITS(STAGE_ONCE) | FITS(STAGE_EACH) },
	{ "failures", take_failures,	FITS(STAGE_EACH) },
	{ "kept",     take_kept,	FITS(STAGE_EACH) },
};

#define NSETTINGS	(sizeof(settings) / sizeof(settings[0]))

/* A program has no "=" in it, but for one with an absolute path. */
static bool
is_setting(const char *word)
{
	return word[0] != '/' && strchr(word, '=') != NULL;
}

static const struct setting *
find_setting(struct parser *r, const char *name)
{
	const char	*names[NSETTINGS + 1] = { NULL }, *nearest;
	size_t		 i;

	for (i = 0; i < NSETTINGS; i++) {
		names[i] = settings[i].name;
		if (strcmp(settings[i].name, name) == 0)
			return &settings[i];
	}
	nearest = conf_nearest(name, names);
	mistake(r, "%s: unknown setting \"%s\"%s%s%s", r->word->name, name,
	    nearest != NULL ? "; did you mean \"" : "",
	    nearest != NULL ? nearest : "", nearest != NULL ? "\"?" : "");
	return NULL;
}

/* NAME=VALUE; *SEEN has a bit per row of settings[]. */
static bool
take_setting(struct parser *r, char *word, struct stage *s, unsigned int *seen)
{
	const struct setting	*one;
	char			*name = strsep(&word, "=");

	if ((one = find_setting(r, name)) == NULL)
		return false;
	if ((one->fits & FITS(s->kind)) == 0) {
		mistake(r, "%s: a stage of this kind has no %s", r->word->name,
		    name);
		return false;
	}
	if (*seen & 1U << (one - settings)) {
		mistake(r, "%s: %s is given twice", r->word->name, name);
		return false;
	}
	*seen |= 1U << (one - settings);
	return one->take(r, word, s);
}

/* ---- stages ------------------------------------------------------------- */

static void
read_phase(struct parser *r, char **args, size_t n)
{
	(void)n;
	if (strcmp(args[0], "-") == 0)
		r->phase[0] = '\0';
	else
		take_name(r, args[0], r->phase);
}

static void
read_network(struct parser *r, char **args, size_t n)
{
	if (n == 1 && strcmp(args[0], "-") != 0)
		mistake(r, "network: expected nothing or -, found \"%s\"",
		    args[0]);
	else
		r->network = n == 0;
}

static bool
take_share(struct parser *r, const char *text, double *share)
{
	if (text[strspn(text, "0123456789.")] == '\0' &&
	    read_double(text, share) && *share <= 1000000)
		return true;
	mistake(r, "%s: share \"%s\" is not a number from 0 to 1000000",
	    r->word->name, text);
	return false;
}

static bool
take_limit(struct parser *r, const char *text, unsigned int *limit_s)
{
	if (conf_duration(text, limit_s) == 0 && *limit_s > 0)
		return true;
	mistake(r, "%s: limit \"%s\" is not a duration as 90s, 5m, 2h or 7d",
	    r->word->name, text);
	return false;
}

static bool
check_program(struct parser *r, const char *program)
{
	char		*path;
	struct stat	 st;
	bool		 good = false;

	if (program[0] != '/' && strchr(program, '/') != NULL) {
		mistake(r, "%s: program \"%s\" is neither a name nor an"
		    " absolute path", r->word->name, program);
		return false;
	}
	if (r->stages == NULL)
		return true;
	if (program[0] == '/')
		path = xstrdup(program);
	else
		xasprintf(&path, "%s/%s", r->stages, program);
	if (stat(path, &st) == -1)
		mistake(r, "%s: program %s: %s", r->word->name, path,
		    strerror(errno));
	else if (!S_ISREG(st.st_mode) || access(path, X_OK) == -1)
		mistake(r, "%s: program %s cannot be executed", r->word->name,
		    path);
	else
		good = true;
	free(path);
	return good;
}

/* What must hold between the stages of a pipeline. */
static bool
check_order(struct parser *r, const struct stage *s)
{
	const struct pipeline	*p = r->p;
	bool			 once_above = false;
	size_t			 i;

	for (i = 0; i < p->nstages; i++) {
		if (strcmp(p->stages[i].name, s->name) == 0) {
			mistake(r, "%s: %s is given twice", r->word->name,
			    s->name);
			return false;
		}
		if (p->stages[i].kind == STAGE_ONCE)
			once_above = true;
	}
	if (s->kind == STAGE_EACH && !once_above) {
		mistake(r, "each: %s: no stage above it can name an item",
		    s->name);
		return false;
	}
	return true;
}

/* ARGS are NAME SHARE LIMIT [SETTING=VALUE ...] PROGRAM [ARGUMENT ...]. */
static void
add_stage(struct parser *r, enum stage_kind kind, char **args, size_t n)
{
	struct pipeline	*p = r->p;
	struct stage	 s = {
		.kind = kind, .network = r->network, .attempts = UNSAID,
		.pause_s = UNSAID, .pause_most_s = UNSAID
	};
	unsigned int	 seen = 0;
	size_t		 i;
	bool		 good;

	if (!take_name(r, args[0], s.name))
		return;
	good = check_order(r, &s);
	good = take_share(r, args[1], &s.share) && good;
	good = take_limit(r, args[2], &s.limit_s) && good;
	for (i = 3; i < n && is_setting(args[i]); i++)
		good = take_setting(r, args[i], &s, &seen) && good;
	if (i == n) {
		mistake(r, "%s: no program", r->word->name);
		return;
	}
	good = check_program(r, args[i]) && good;
	if (!good)
		return;
	strlcpy(s.phase, r->phase[0] != '\0' ? r->phase : s.name,
	    sizeof(s.phase));
	s.argv = copy_words(args + i, n - i);
	p->stages = xreallocarray(p->stages, p->nstages + 1,
	    sizeof(*p->stages));
	p->stages[p->nstages++] = s;
}

static void
read_stage(struct parser *r, char **args, size_t n)
{
	add_stage(r, STAGE_ONCE, args, n);
}

static void
read_each(struct parser *r, char **args, size_t n)
{
	add_stage(r, STAGE_EACH, args, n);
}

static void
read_always(struct parser *r, char **args, size_t n)
{
	add_stage(r, STAGE_ALWAYS, args, n);
}

/* ---- lines -------------------------------------------------------------- */

#define STAGE_USAGE	"NAME SHARE LIMIT [SETTING=VALUE ...] PROGRAM" \
			" [ARGUMENT ...]"
#define AT(member)	offsetof(struct pipeline, member)

static const struct word words[] = {
	{ "title",	"TEXT ...",	  1, MANY, read_title },
	{ "accept",	"TYPE ...",	  1, MANY, read_accept, true },
	{ "queue",	"NAME",		  1, 1, read_queue },
	{ "attempts",	"NUMBER",	  1, 1, read_count, false,
	    AT(attempts), 1, ATTEMPTS_MOST },
	{ "pause",	"FIRST [MOST]",	  1, 2, read_pause },
	{ "retain",	"DURATION",	  1, 1, read_duration, false,
	    AT(retain_s), 1, 36500 DAYS },
	{ "silence",	"DURATION",	  1, 1, read_duration, false,
	    AT(silence_s), 0, 365 DAYS },
	{ "size",	"SIZE",		  1, 1, read_size, false,
	    AT(max_size), 1 },
	{ "memory",	"SIZE",		  1, 1, read_size, false,
	    AT(memory), 32 K K },
	{ "written",	"SIZE",		  1, 1, read_size, false,
	    AT(written), 0 },
	{ "option",	"NAME TYPE ...",  2, MANY, read_option, true },
	{ "phase",	"NAME or -",	  1, 1, read_phase, true },
	{ "network",	"nothing or -",	  0, 1, read_network, true },
	{ "stage",	STAGE_USAGE,	  4, MANY, read_stage, true },
	{ "each",	STAGE_USAGE,	  4, MANY, read_each, true },
	{ "always",	STAGE_USAGE,	  4, MANY, read_always, true },
};

#define NWORDS		(sizeof(words) / sizeof(words[0]))

static void
unknown_word(struct parser *r, const char *s)
{
	const char	*names[NWORDS + 1] = { NULL }, *nearest;
	size_t		 i;

	for (i = 0; i < NWORDS; i++)
		names[i] = words[i].name;
	if ((nearest = conf_nearest(s, names)) != NULL)
		mistake(r, "unknown word \"%s\"; did you mean \"%s\"?", s,
		    nearest);
	else
		mistake(r, "unknown word \"%s\"", s);
}

static void
read_words(struct parser *r, char **args, size_t n)
{
	const struct word	*w;
	uint64_t		 bit;

	for (w = words; w < words + NWORDS; w++)
		if (strcmp(w->name, args[0]) == 0)
			break;
	if (w == words + NWORDS) {
		unknown_word(r, args[0]);
		return;
	}
	args++;
	n--;
	if (n < w->args_least || n > w->args_most) {
		mistake(r, "%s: expected %s", w->name, w->usage);
		return;
	}
	bit = UINT64_C(1) << (w - words);
	if (!w->many && (r->seen & bit) != 0) {
		mistake(r, "%s: given twice", w->name);
		return;
	}
	r->seen |= bit;
	r->word = w;
	w->read(r, args, n);
}

/*
 * One word at *S, which is moved behind it; NULL when the line is over.  A
 * word in quotes may have blanks in it, and nothing in it is special.
 */
static char *
next_word(struct parser *r, char **s)
{
	char	*word, *end;

	*s += strspn(*s, " \t");
	if (**s == '\0' || **s == '#')
		return NULL;
	word = *s;
	if (*word != '"' && *word != '\'')
		end = word + strcspn(word, " \t");
	else if ((end = strchr(word + 1, *word)) == NULL) {
		mistake(r, "a quote without its end");
		return NULL;
	} else {
		*end++ = '\0';
		word++;
		if (*end != '\0' && *end != ' ' && *end != '\t') {
			mistake(r, "text behind a quote: %s", end);
			return NULL;
		}
	}
	*s = *end == '\0' ? end : end + 1;
	*end = '\0';
	return word;
}

/* The first comment lines say what the pipeline is about. */
static void
read_comment(struct parser *r, const char *s)
{
	char	*about;

	s += strspn(s, "# \t");
	if (r->about_over || *s == '\0')
		return;
	xasprintf(&about, "%s%s%s", r->p->about,
	    r->p->about[0] == '\0' ? "" : " ", s);
	free(r->p->about);
	r->p->about = about;
}

static void
read_line(struct parser *r, char *line, size_t len)
{
	unsigned int	 mistakes = r->mistakes;
	char		*s = line, *word, **args = NULL;
	size_t		 n = 0, room = 0;

	while (len > 0 && strchr("\r\n\t ", line[len - 1]) != NULL &&
	    line[len - 1] != '\0')
		line[--len] = '\0';
	for (; s < line + len; s++)
		if (iscntrl((unsigned char)*s) && *s != '\t') {
			mistake(r, "control byte 0x%02x in column %td",
			    (unsigned char)*s, s - line + 1);
			return;
		}
	if (!utf8_valid(line, len)) {
		mistake(r, "not valid UTF-8");
		return;
	}
	s = line + strspn(line, " \t");
	if (*s == '#') {
		read_comment(r, s);
		return;
	}
	if (*s != '\0' || r->p->about[0] != '\0')
		r->about_over = true;
	while ((word = next_word(r, &s)) != NULL) {
		if (n == room) {
			room = room == 0 ? 16 : 2 * room;
			args = xreallocarray(args, room, sizeof(*args));
		}
		args[n++] = word;
	}
	if (n > 0 && r->mistakes == mistakes)
		read_words(r, args, n);
	free(args);
}

static void
read_file(struct parser *r)
{
	FILE	*f;
	char	*line = NULL;
	size_t	 size = 0;
	ssize_t	 len;

	if ((f = fopen(r->file, "re")) == NULL) {
		mistake(r, "%s", strerror(errno));
		return;
	}
	for (r->line = 1; (len = getline(&line, &size, f)) != -1; r->line++)
		read_line(r, line, len);
	r->line = 0;
	if (ferror(f))
		mistake(r, "%s", strerror(errno));
	free(line);
	fclose(f);
}

/* ---- a whole pipeline --------------------------------------------------- */

static struct pipeline *
pipeline_new(void)
{
	struct pipeline	*p = xcalloc(1, sizeof(*p));

	p->about = xstrdup("");
	p->accept = xcalloc(1, sizeof(char *));
	p->retain_s = 7 DAYS;
	p->attempts = 3;
	p->pause_s = 2;
	p->pause_most_s = 600;
	p->memory = 4 K K K;
	strlcpy(p->queue, "default", sizeof(p->queue));
	return p;
}

static void
free_one(struct pipeline *p)
{
	size_t	 i;

	for (i = 0; i < p->noptions; i++) {
		free(p->options[i].initial);
		free_words(p->options[i].choices);
	}
	for (i = 0; i < p->nstages; i++)
		free_words(p->stages[i].argv);
	free(p->options);
	free(p->stages);
	free_words(p->accept);
	free(p->title);
	free(p->about);
	free(p);
}

/* What a stage does not say.  One that is always run is never tried again. */
static void
complete(const struct pipeline *p, struct stage *s)
{
	if (s->attempts == UNSAID)
		s->attempts = s->kind == STAGE_ALWAYS ? 1 : p->attempts;
	if (s->pause_s == UNSAID)
		s->pause_s = p->pause_s;
	if (s->pause_most_s == UNSAID)
		s->pause_most_s = p->pause_most_s > s->pause_s ?
		    p->pause_most_s : s->pause_s;
}

/* What only shows when all lines are read. */
static void
finish(struct parser *r)
{
	struct pipeline	*p = r->p;
	double		 sum = 0;
	bool		 once = false;
	size_t		 i;

	if (p->title == NULL)
		p->title = xstrdup(p->name);
	for (i = 0; i < p->nstages; i++) {
		complete(p, &p->stages[i]);
		sum += p->stages[i].share;
		if (p->stages[i].kind == STAGE_ONCE)
			once = true;
	}
	if (!once)
		mistake(r, "no stage");
	else if (sum <= 0)
		mistake(r, "the shares of its stages sum to 0");
	else
		for (i = 0; i < p->nstages; i++)
			p->stages[i].share *= 100 / sum;
}

/* NULL after mistakes. */
static struct pipeline *
load_one(const char *dir, const char *entry, const char *stages)
{
	struct parser	 r = { .stages = stages };
	char		*name = xstrdup(entry);

	name[strlen(name) - SUFFIX_LEN] = '\0';
	r.p = pipeline_new();
	xasprintf(&r.file, "%s/%s", dir, entry);
	if (is_name(name)) {
		strlcpy(r.p->name, name, sizeof(r.p->name));
		read_file(&r);
		if (r.mistakes == 0)
			finish(&r);
	} else
		mistake(&r, "\"%s\" is not a name: a lower-case letter, then at"
		    " most %d of a-z 0-9 _ -", name, PIPELINE_NAME - 2);
	free(name);
	free(r.file);
	if (r.mistakes == 0)
		return r.p;
	free_one(r.p);
	return NULL;
}

static int
is_pipeline_file(const struct dirent *d)
{
	size_t	 len = strlen(d->d_name);

	return d->d_name[0] != '.' && len > SUFFIX_LEN &&
	    strcmp(d->d_name + len - SUFFIX_LEN, SUFFIX) == 0;
}

static int
by_name(const void *a, const void *b)
{
	const struct pipeline	*const *pa = a, *const *pb = b;

	return strcmp((*pa)->name, (*pb)->name);
}

struct pipelines *
pipeline_load(const char *dir, const char *stages)
{
	struct pipelines	*all;
	struct pipeline		*p;
	struct dirent		**entries;
	bool			 good = true;
	int			 i, n;

	if ((n = scandir(dir, &entries, is_pipeline_file, alphasort)) == -1) {
		log_warn("pipelines %s", dir);
		return NULL;
	}
	all = xcalloc(1, sizeof(*all));
	all->list = xcalloc(n, sizeof(*all->list));
	for (i = 0; i < n; i++) {
		if ((p = load_one(dir, entries[i]->d_name, stages)) != NULL)
			all->list[all->n++] = p;
		else
			good = false;
		free(entries[i]);
	}
	free(entries);
	if (!good) {
		pipeline_free(all);
		return NULL;
	}
	qsort(all->list, all->n, sizeof(*all->list), by_name);
	return all;
}

void
pipeline_free(struct pipelines *all)
{
	size_t	 i;

	if (all == NULL)
		return;
	for (i = 0; i < all->n; i++)
		free_one(all->list[i]);
	free(all->list);
	free(all);
}

const struct pipeline *
pipeline_find(const struct pipelines *all, const char *name)
{
	size_t	 i;

	for (i = 0; i < all->n; i++)
		if (strcmp(all->list[i]->name, name) == 0)
			return all->list[i];
	return NULL;
}
