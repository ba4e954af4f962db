/*
 * The configuration file, all of it a table.
 *
 * A row of keys[] says what a key is called, what may be its value, and what
 * it means; a row of kinds[] says how a value of that kind is read.  Reader,
 * checker, sample and manual are loops over the two.
 */

#include "conf.h"

#include <sys/stat.h>

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"

/* Longest name of an environment variable of ours, its NUL included. */
#define VARIABLE_MAX	64

/* Bytes of a signing secret: the key length of HS256, RFC 7518 section 3.2. */
#define SECRET_MIN	32

/* Lengths of text, in bytes. */
#define PATH_MOST	(PATH_MAX - 1)
#define SOCKET_MOST	107		/* sun_path, its NUL not included */
#define TEXT_MOST	4096

enum conf_kind {
	CONF_TEXT, CONF_SECRET, CONF_PATH, CONF_LISTEN, CONF_PREFIX,
	CONF_HOSTS, CONF_ORIGINS, CONF_NETS, CONF_NAMES, CONF_SANDBOX,
	CONF_ISOLATION,
	CONF_BOOLEAN, CONF_NUMBER, CONF_SECONDS, CONF_MILLIS, CONF_SIZE
};

struct conf_key {
	const char	*section;
	const char	*name;
	enum conf_kind	 kind;
	uint64_t	 least, most;	/* of a number; of text, its length */
	const char	*initial;
	size_t		 where;		/* in struct conf */
	const char	*help;		/* sentences, for sample and manual */
};

static const struct {
	const char	*name, *help;
} sections[] = {
	{ "database",	"How to reach MySQL or MariaDB." },
	{ "site",	"What the world sees." },
	{ "auth",	"Who may come in, and for how long." },
	{ "storage",	"Where files are." },
	{ "upload",	"What is taken in." },
	{ "run",	"The programs behind nginx." },
	{ "daemon",	"The program that runs jobs." },
	{ "sse",	"Live streams." },
	{ "environment", "Variables for stage programs, as NAME = VALUE." },
};

#define NSECTIONS	(sizeof(sections) / sizeof(sections[0]))
#define ENVIRONMENT	(NSECTIONS - 1)
#define K		* UINT64_C(1024)
#define DAYS		* 86400
#define AT(member)	offsetof(struct conf, member)

static const struct conf_key keys[] = {
	{ "database", "socket", CONF_PATH, 0, SOCKET_MOST,
	    "/run/mysqld/mysqld.sock", AT(db_socket),
	    "Socket of the server.  When empty, host and port are used." },
	{ "database", "host", CONF_TEXT, 1, 255, "127.0.0.1", AT(db_host),
	    "Name or address of the server, when there is no socket." },
	{ "database", "port", CONF_NUMBER, 1, 65535, "3306", AT(db_port),
	    "TCP port of the server, when there is no socket." },
	{ "database", "name", CONF_TEXT, 1, 64, "millrace", AT(db_name),
	    "Name of the database." },
	{ "database", "user", CONF_TEXT, 1, 80, "millrace", AT(db_user),
	    "Account at the server.  %p in it is the name of the program, for"
	    " one account per program." },
	{ "database", "password", CONF_SECRET, 0, TEXT_MOST, "",
	    AT(db_password), "Password of the account." },
	{ "database", "password_file", CONF_PATH, 0, PATH_MOST, "",
	    AT(db_password_file),
	    "File whose first line is the password.  %p as in user." },
	{ "database", "isolation", CONF_ISOLATION, 1, 16, "read-committed",
	    AT(db_isolation),
	    "Level of isolation.  repeatable-read is for servers that log"
	    " statements instead of rows (binlog_format), which refuse the"
	    " other one with error 1665." },

	{ "site", "prefix", CONF_PREFIX, 0, 255, "", AT(prefix),
	    "Path below which Millrace lives on the site, as /jobs.  Empty:"
	    " the whole site." },
	{ "site", "listen", CONF_LISTEN, 1, 255, "127.0.0.1:8080", AT(listen),
	    "Address and port that nginx serves." },
	{ "site", "server_name", CONF_HOSTS, 1, TEXT_MOST, "_",
	    AT(server_name), "Host names that nginx serves, by spaces." },
	{ "site", "origins", CONF_ORIGINS, 0, TEXT_MOST, "", AT(origins),
	    "Origins whose pages may call the API from a browser (CORS), by"
	    " spaces." },
	{ "site", "trusted_proxies", CONF_NETS, 0, TEXT_MOST, "",
	    AT(trusted_proxies),
	    "Addresses or nets of proxies that are believed about the address"
	    " of a client, by spaces." },
	{ "site", "anonymous", CONF_BOOLEAN, 0, 0, "no", AT(anonymous),
	    "Whether files are taken from clients who are not signed in." },
	{ "site", "anonymous_jobs", CONF_NUMBER, 0, 1000000, "10",
	    AT(anonymous_jobs),
	    "Unfinished jobs that such a client may have, by address." },
	{ "site", "registration", CONF_BOOLEAN, 0, 0, "no", AT(registration),
	    "Whether everybody may make an account." },

	{ "auth", "secret", CONF_SECRET, 0, TEXT_MOST, "", AT(secret),
	    "Key that signs access tokens: 64 hex digits, or any 32 random"
	    " bytes and more.  The variables JWT_SECRET and SECRET_KEY are"
	    " read as well." },
	{ "auth", "secret_file", CONF_PATH, 0, PATH_MOST, "", AT(secret_file),
	    "File whose first line is the secret." },
	{ "auth", "previous_secret", CONF_SECRET, 0, TEXT_MOST, "",
	    AT(previous_secret),
	    "Key that is still accepted while the secret is being changed." },
	/* The most is that of token.h. */
	{ "auth", "access", CONF_SECONDS, 1, 900, "10m", AT(access_s),
	    "Life of an access token." },
	{ "auth", "idle", CONF_SECONDS, 1, 365 DAYS, "7d", AT(idle_s),
	    "A login that is not used for so long has ended." },
	{ "auth", "login", CONF_SECONDS, 1, 3650 DAYS, "30d", AT(login_s),
	    "Longest life of a login." },

	{ "storage", "root", CONF_PATH, 1, PATH_MOST - 256, MILLRACE_STATE,
	    AT(root),
	    "Directory of uploads, work and results: one file system." },
	{ "storage", "reserve", CONF_SIZE, 0, 1024 K K K K, "2g", AT(reserve),
	    "Space that is kept free: no upload begins when it would be"
	    " touched." },

	{ "upload", "max_size", CONF_SIZE, 1, 1024 K K K K, "32g",
	    AT(max_size), "Largest file that is taken." },

	{ "run", "sockets", CONF_PATH, 1, SOCKET_MOST - 16, MILLRACE_RUN,
	    AT(sockets), "Directory of the sockets that nginx connects to." },
	{ "run", "workers", CONF_NUMBER, 1, 1024, "4", AT(workers),
	    "Processes of status.  auth has twice as many, upload four times as"
	    " many and at least 16." },
	{ "run", "share", CONF_PATH, 1, PATH_MOST - 256, MILLRACE_SHARE,
	    AT(share), "Directory of what was installed: sql, web, nginx." },

	{ "daemon", "slots", CONF_NUMBER, 0, 4096, "0", AT(slots),
	    "Jobs that run at the same time.  0: one for each processor." },
	{ "daemon", "pipelines", CONF_PATH, 1, PATH_MOST - 256,
	    MILLRACE_SHARE "/pipelines", AT(pipelines),
	    "Directory of pipelines; see millrace-pipeline(5)." },
	{ "daemon", "stages", CONF_PATH, 1, PATH_MOST - 256,
	    MILLRACE_LIBEXEC "/stage", AT(stages),
	    "Directory of stage programs." },
	{ "daemon", "queues", CONF_NAMES, 1, TEXT_MOST, "default", AT(queues),
	    "Queues that are served on this host, by spaces." },
	{ "daemon", "lease", CONF_SECONDS, 5, 3600, "15s", AT(lease_s),
	    "A daemon that was silent for so long has lost its jobs to the"
	    " others." },
	{ "daemon", "handover", CONF_SECONDS, 0, 3600, "3s", AT(handover_s),
	    "When the daemon is told to end, what runs may go on for so long"
	    " to end by itself.  Then it is told to, and killed a second"
	    " later." },
	{ "daemon", "sweep", CONF_SECONDS, 1, 7 DAYS, "1h", AT(sweep_s),
	    "How often old jobs and files are removed." },
	{ "daemon", "sandbox", CONF_SANDBOX, 1, 16, "best", AT(sandbox),
	    "Whether a stage may run on a kernel that cannot confine it: best"
	    " does what the kernel can, require refuses." },

	{ "sse", "tick", CONF_MILLIS, 20, 60000, "500ms", AT(tick_ms),
	    "Time between two queries for news, all streams together." },
	{ "sse", "keepalive", CONF_SECONDS, 1, 30, "15s", AT(keepalive_s),
	    "A stream that has no news says so this often." },
	{ "sse", "stalled", CONF_SECONDS, 1, 3600, "60s", AT(stalled_s),
	    "A stream whose reader takes nothing for so long is closed." },
	{ "sse", "rotate", CONF_SECONDS, 0, 1 DAYS, "20m", AT(rotate_s),
	    "Age at which a stream is closed for the client to open a new"
	    " one.  0: never." },
	{ "sse", "streams", CONF_NUMBER, 0, 10000000, "0", AT(streams),
	    "Streams open at the same time.  0: as many as there are"
	    " descriptors." },
	{ "sse", "user_streams", CONF_NUMBER, 1, 10000000, "64",
	    AT(user_streams), "Of these, those of one user or address." },
};

#define NKEYS		(sizeof(keys) / sizeof(keys[0]))

/* Where a value came from: a line of the file, or one of these. */
#define FROM_INITIAL	0
#define FROM_VARIABLE	-1

/* What conf_load hands out: the caller sees the first member only. */
struct loaded {
	struct conf	 conf;
	char		*file;
	int		 from[NKEYS];
	size_t		 nenvironment;
};

/* A file, or an environment variable (line 0), that is being read. */
struct reader {
	struct loaded	*loaded;
	const char	*name;
	int		 line;
	size_t		 section;	/* NSECTIONS: unknown, or not yet */
	bool		 skipping;	/* the keys of an unknown section */
	bool		 open_to_all;	/* everybody may read the file */
	unsigned int	 mistakes;
};

/* ---- numbers with a unit ------------------------------------------------ */

struct unit {
	const char	*name;
	uint64_t	 factor;
};

/* From large to small; the last one goes without saying. */
static const struct unit plain[] = { { "", 1 }, { NULL } };
static const struct unit seconds[] = {
	{ "d", 86400 }, { "h", 3600 }, { "m", 60 }, { "s", 1 }, { NULL }
};
static const struct unit millis[] = {
	{ "m", 60000 }, { "s", 1000 }, { "ms", 1 }, { NULL }
};
static const struct unit bytes[] = {
	{ "t", 1 K K K K }, { "g", 1 K K K }, { "m", 1 K K }, { "k", 1 K },
	{ "", 1 }, { NULL }
};

/* The whole of TEXT as digits and a unit, at most MOST; or -1. */
static int
read_number(const char *text, const struct unit *u, uint64_t most,
    uint64_t *out)
{
	uint64_t	 n = 0;
	const char	*s;

	for (s = text; isdigit((unsigned char)*s); s++)
		if (__builtin_mul_overflow(n, 10, &n) ||
		    __builtin_add_overflow(n, *s - '0', &n))
			return -1;
	if (s == text)
		return -1;
	while (*s != '\0' && u->name != NULL && strcasecmp(s, u->name) != 0)
		u++;
	if (u->name == NULL)
		return -1;
	if (*s != '\0' && __builtin_mul_overflow(n, u->factor, &n))
		return -1;
	if (n > most)
		return -1;
	*out = n;
	return 0;
}

/* N in the largest unit that leaves no remainder. */
static void
print_number(uint64_t n, const struct unit *u, char *buf, size_t size)
{
	while (u[1].name != NULL && (n == 0 || n % u->factor != 0))
		u++;
	snprintf(buf, size, "%ju%s", (uintmax_t)(n / u->factor), u->name);
}

int
conf_number(const char *text, uint64_t most, uint64_t *out)
{
	return read_number(text, plain, most, out);
}

int
conf_duration(const char *text, unsigned int *out)
{
	uint64_t	 n;

	if (read_number(text, seconds, UINT_MAX, &n) == -1)
		return -1;
	*out = n;
	return 0;
}

int
conf_size(const char *text, uint64_t *out)
{
	return read_number(text, bytes, UINT64_MAX, out);
}

int
conf_boolean(const char *text, bool *out)
{
	static const struct { const char *word; bool value; } booleans[] = {
		{ "yes", true }, { "true", true }, { "on", true },
		{ "1", true }, { "no", false }, { "false", false },
		{ "off", false }, { "0", false },
	};
	size_t	 i;

	for (i = 0; i < sizeof(booleans) / sizeof(booleans[0]); i++)
		if (strcasecmp(text, booleans[i].word) == 0) {
			*out = booleans[i].value;
			return 0;
		}
	return -1;
}

/* ---- text of a certain form --------------------------------------------- */

static bool
is_path(const char *s)
{
	return s[0] == '/';
}

static bool
all_of(const char *s, const char *more)
{
	for (; *s != '\0'; s++)
		if (!isalnum((unsigned char)*s) && strchr(more, *s) == NULL)
			return false;
	return true;
}

static bool
is_port(const char *s)
{
	uint64_t	 n;

	return conf_number(s, 65535, &n) == 0 && n > 0;
}

/* A name, an IPv4 address, or an IPv6 address in brackets. */
static bool
is_host(const char *s)
{
	char		 address[INET6_ADDRSTRLEN];
	struct in6_addr	 in6;
	size_t		 len = strlen(s);

	if (s[0] != '[')
		return len > 0 && len < 256 && all_of(s, ".-");
	if (len < 3 || len - 2 >= sizeof(address) || s[len - 1] != ']')
		return false;
	strlcpy(address, s + 1, len - 1);
	return inet_pton(AF_INET6, address, &in6) == 1;
}

static bool
is_host_port(const char *s, bool port_needed)
{
	char		 host[300];
	const char	*colon = strrchr(s, ':');

	if (colon != NULL && strchr(colon, ']') != NULL)
		colon = NULL;		/* one within an IPv6 address */
	if (colon == NULL)
		return !port_needed && is_host(s);
	if ((size_t)(colon - s) >= sizeof(host))
		return false;
	strlcpy(host, s, colon - s + 1);
	return is_host(host) && is_port(colon + 1);
}

static bool
is_listen(const char *s)
{
	if (strncmp(s, "*:", 2) == 0)
		return is_port(s + 2);
	return is_host_port(s, true);
}

static bool
is_origin(const char *s)
{
	size_t	 scheme = strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789+.-");

	return islower((unsigned char)s[0]) &&
	    strncmp(s + scheme, "://", 3) == 0 &&
	    is_host_port(s + scheme + 3, false);
}

static bool
is_prefix(const char *s)
{
	return s[0] == '/' && s[strlen(s) - 1] != '/' &&
	    strstr(s, "//") == NULL && all_of(s, "/._~-");
}

static bool
is_server_name(const char *s)
{
	return all_of(s, "._-*");
}

static bool
is_net(const char *s)
{
	unsigned char	 in[sizeof(struct in6_addr)];
	char		 address[INET6_ADDRSTRLEN];
	size_t		 len = strcspn(s, "/");
	uint64_t	 most, bits;

	if (len >= sizeof(address))
		return false;
	strlcpy(address, s, len + 1);
	if (inet_pton(AF_INET, address, in) == 1)
		most = 32;
	else if (inet_pton(AF_INET6, address, in) == 1)
		most = 128;
	else
		return false;
	return s[len] == '\0' || conf_number(s + len + 1, most, &bits) == 0;
}

/* As in lib/pipeline.h. */
static bool
is_name(const char *s)
{
	size_t	 len = strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789_-");

	return islower((unsigned char)s[0]) && s[len] == '\0' && len < 32;
}

static bool
is_sandbox(const char *s)
{
	return strcmp(s, "best") == 0 || strcmp(s, "require") == 0;
}

static bool
is_isolation(const char *s)
{
	return strcmp(s, "read-committed") == 0 ||
	    strcmp(s, "repeatable-read") == 0;
}

/* ---- kinds -------------------------------------------------------------- */

static const struct kind {
	const char		*arg;	/* what the manual calls a value */
	const char		*form;	/* "is not ..." */
	const struct unit	*units;	/* of numbers; else it is text */
	bool			 list;	/* of words, each of this form */
	bool			(*good)(const char *);
} kinds[] = {
	[CONF_TEXT]	= { "text" },
	[CONF_SECRET]	= { "secret" },
	[CONF_PATH]	= { "path", "an absolute path", NULL, false, is_path },
	[CONF_LISTEN]	= { "address:port", "ADDRESS:PORT", NULL, false,
			    is_listen },
	[CONF_PREFIX]	= { "path", "a path that begins with / and does not"
			    " end with it", NULL, false, is_prefix },
	[CONF_HOSTS]	= { "name ...", "a host name", NULL, true,
			    is_server_name },
	[CONF_ORIGINS]	= { "origin ...", "SCHEME://HOST[:PORT]", NULL, true,
			    is_origin },
	[CONF_NETS]	= { "net ...", "an address or ADDRESS/BITS", NULL,
			    true, is_net },
	[CONF_NAMES]	= { "name ...", "a name: a lower-case letter, then at"
			    " most 30 of a-z 0-9 _ -", NULL, true, is_name },
	[CONF_SANDBOX]	= { "best | require", "best or require", NULL, false,
			    is_sandbox },
	[CONF_ISOLATION] = { "read-committed | repeatable-read",
			    "read-committed or repeatable-read", NULL, false,
			    is_isolation },
	[CONF_BOOLEAN]	= { "yes | no", "yes or no" },
	[CONF_NUMBER]	= { "number", "a number", plain },
	[CONF_SECONDS]	= { "duration", "a duration as 90s, 5m, 2h or 7d",
			    seconds },
	[CONF_MILLIS]	= { "duration", "a duration as 500ms or 2s", millis },
	[CONF_SIZE]	= { "size", "a size as 64k, 2m or 32g", bytes },
};

static void *
member(struct conf *c, const struct conf_key *k)
{
	return (char *)c + k->where;
}

static const void *
const_member(const struct conf *c, const struct conf_key *k)
{
	return (const char *)c + k->where;
}

static bool
is_text(const struct conf_key *k)
{
	return kinds[k->kind].units == NULL && k->kind != CONF_BOOLEAN;
}

static void __attribute__((format(printf, 2, 3)))
mistake(struct reader *r, const char *fmt, ...)
{
	va_list	 ap;
	char	 text[1024];

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (r->line != 0)
		log_warnx("%s:%d: %s", r->name, r->line, text);
	else
		log_warnx("%s: %s", r->name, text);
	r->mistakes++;
}

static int
wrong_form(struct reader *r, const struct conf_key *k, const char *value)
{
	mistake(r, "[%s] %s: \"%s\" is not %s", k->section, k->name, value,
	    kinds[k->kind].form);
	return -1;
}

static int
set_boolean(struct reader *r, const struct conf_key *k, const char *value)
{
	return conf_boolean(value, member(&r->loaded->conf, k)) == 0 ? 0 :
	    wrong_form(r, k, value);
}

static int
set_number(struct reader *r, const struct conf_key *k, const char *value)
{
	const struct unit	*u = kinds[k->kind].units;
	void			*where = member(&r->loaded->conf, k);
	uint64_t		 n;
	char			 limit[32];

	if (read_number(value, u, UINT64_MAX, &n) == -1)
		return wrong_form(r, k, value);
	if (n < k->least || n > k->most) {
		print_number(n < k->least ? k->least : k->most, u, limit,
		    sizeof(limit));
		mistake(r, "[%s] %s: %s is %s, %s", k->section, k->name, value,
		    n < k->least ? "below the least" : "above the most", limit);
		return -1;
	}
	if (k->kind == CONF_SIZE)
		*(uint64_t *)where = n;
	else
		*(unsigned int *)where = n;
	return 0;
}

/* Whether each word of the list VALUE has the form of its kind. */
static int
check_words(struct reader *r, const struct conf_key *k, const char *value)
{
	char	*copy = xstrdup(value), *rest = copy, *word;
	int	 result = 0;

	while ((word = strsep(&rest, " \t")) != NULL)
		if (*word != '\0' && !kinds[k->kind].good(word))
			result = wrong_form(r, k, word);
	free(copy);
	return result;
}

static int
set_text(struct reader *r, const struct conf_key *k, const char *value)
{
	const struct kind	*kind = &kinds[k->kind];
	char			**where = member(&r->loaded->conf, k);
	size_t			 len = strlen(value);

	if (len < k->least) {
		mistake(r, "[%s] %s: must not be empty", k->section, k->name);
		return -1;
	}
	if (len > k->most) {
		mistake(r, "[%s] %s: longer than %ju bytes", k->section,
		    k->name, (uintmax_t)k->most);
		return -1;
	}
	if (kind->list && check_words(r, k, value) == -1)
		return -1;
	if (!kind->list && kind->good != NULL && len > 0 && !kind->good(value))
		return wrong_form(r, k, value);
	free(*where);
	*where = xstrdup(value);
	return 0;
}

static void
set(struct reader *r, const struct conf_key *k, const char *value, int from)
{
	int	 result;

	if (is_text(k))
		result = set_text(r, k, value);
	else if (k->kind == CONF_BOOLEAN)
		result = set_boolean(r, k, value);
	else
		result = set_number(r, k, value);
	if (result == 0)
		r->loaded->from[k - keys] = from;
}

/* ---- did you mean ------------------------------------------------------- */

static int
least_of(int a, int b, int c)
{
	int	 least = a < b ? a : b;

	return least < c ? least : c;
}

/* Edits (Levenshtein) from A to B; letter case and kind of dash are free. */
static int
distance(const char *a, const char *b)
{
	int	 row[64], i, j, corner, above, na = strlen(a), nb = strlen(b);
	char	 x, y;

	if (na > 63 || nb > 63)
		return INT_MAX;
	for (j = 0; j <= nb; j++)
		row[j] = j;
	for (i = 1; i <= na; i++) {
		corner = row[0];
		row[0] = i;
		for (j = 1; j <= nb; j++) {
			above = row[j];
			x = a[i - 1] == '-' ? '_' : tolower(a[i - 1]);
			y = b[j - 1] == '-' ? '_' : tolower(b[j - 1]);
			row[j] = least_of(above + 1, row[j - 1] + 1,
			    corner + (x != y));
			corner = above;
		}
	}
	return row[nb];
}

const char *
conf_nearest(const char *word, const char *const *candidates)
{
	const char	*nearest = NULL;
	int		 d, best = 1 + (int)strlen(word) / 3;

	for (; *candidates != NULL; candidates++)
		if ((d = distance(word, *candidates)) <= best &&
		    (nearest == NULL || d < best)) {
			best = d;
			nearest = *candidates;
		}
	return nearest;
}

static void
unknown_section(struct reader *r, const char *name)
{
	const char	*names[NSECTIONS + 1] = { NULL }, *nearest;
	size_t		 i;

	for (i = 0; i < NSECTIONS; i++)
		names[i] = sections[i].name;
	if ((nearest = conf_nearest(name, names)) != NULL)
		mistake(r, "unknown section [%s]; did you mean [%s]?", name,
		    nearest);
	else
		mistake(r, "unknown section [%s]", name);
}

/* A key that exists elsewhere was put here; else it was misspelt. */
static void
unknown_key(struct reader *r, const char *name)
{
	const char	*section = sections[r->section].name;
	const char	*names[NKEYS + 1] = { NULL }, *nearest;
	size_t		 i, n = 0;

	for (i = 0; i < NKEYS; i++)
		if (strcmp(keys[i].section, section) == 0)
			names[n++] = keys[i].name;
	nearest = conf_nearest(name, names);
	for (i = 0; i < NKEYS; i++)
		if (strcmp(keys[i].name, name) == 0) {
			mistake(r, "[%s] %s: unknown key; it belongs to [%s]",
			    section, name, keys[i].section);
			return;
		}
	if (nearest != NULL)
		mistake(r, "[%s] %s: unknown key; did you mean \"%s\"?",
		    section, name, nearest);
	else
		mistake(r, "[%s] %s: unknown key", section, name);
}

/* ---- the file ----------------------------------------------------------- */

static char *
trim(char *s)
{
	size_t	 len;

	s += strspn(s, " \t");
	for (len = strlen(s); len > 0 && strchr(" \t", s[len - 1]) != NULL;)
		s[--len] = '\0';
	return s;
}

/* Whether nothing but a comment is left. */
static bool
is_over(const char *s)
{
	s += strspn(s, " \t");
	return *s == '\0' || *s == '#' || *s == ';';
}

/* A value without its quotes or without the comment behind it. */
static char *
read_value(struct reader *r, char *s)
{
	char	*end;

	s = trim(s);
	if (*s == '"' || *s == '\'') {
		if ((end = strchr(s + 1, *s)) == NULL)
			mistake(r, "a quote without its end");
		else if (!is_over(end + 1))
			mistake(r, "text behind the quoted value: %s",
			    trim(end + 1));
		else {
			*end = '\0';
			return s + 1;
		}
		return NULL;
	}
	for (end = s; *end != '\0'; end++)
		if (*end == '#' && (end == s || end[-1] == ' ' ||
		    end[-1] == '\t')) {
			*end = '\0';
			break;
		}
	return trim(s);
}

static void
read_section(struct reader *r, char *s)
{
	char	*end, *name;
	size_t	 i;

	r->section = NSECTIONS;
	r->skipping = true;
	if ((end = strchr(s, ']')) == NULL || !is_over(end + 1)) {
		mistake(r, "expected [SECTION], found \"%s\"", s);
		return;
	}
	*end = '\0';
	name = trim(s + 1);
	for (i = 0; i < NSECTIONS; i++)
		if (strcmp(name, sections[i].name) == 0) {
			r->section = i;
			r->skipping = false;
			return;
		}
	unknown_section(r, name);
}

/* A line of [environment]. */
static void
add_variable(struct reader *r, const char *name, const char *value)
{
	struct loaded	*l = r->loaded;
	char		**list = l->conf.environment;
	size_t		 i, len = strlen(name);

	if (!isupper((unsigned char)name[0]) ||
	    name[strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")]) {
		mistake(r, "[environment] %s: not a name of A-Z, 0-9 and _",
		    name);
		return;
	}
	if (strncmp(name, "MILLRACE_", 9) == 0) {
		mistake(r, "[environment] %s: names that begin with MILLRACE_"
		    " are set by the daemon", name);
		return;
	}
	for (i = 0; i < l->nenvironment; i++)
		if (strncmp(list[i], name, len) == 0 && list[i][len] == '=') {
			mistake(r, "[environment] %s: given twice", name);
			return;
		}
	list = xreallocarray(list, l->nenvironment + 2, sizeof(*list));
	xasprintf(&list[l->nenvironment++], "%s=%s", name, value);
	list[l->nenvironment] = NULL;
	l->conf.environment = list;
}

static void
read_pair(struct reader *r, char *s)
{
	const struct conf_key	*k;
	char			*equals, *name, *value, *c;
	int			 before;

	if (r->skipping)
		return;
	if ((equals = strchr(s, '=')) == NULL) {
		mistake(r, "expected KEY = VALUE, found \"%s\"", s);
		return;
	}
	*equals = '\0';
	name = trim(s);
	if (r->section == NSECTIONS) {
		mistake(r, "%s: before the first [SECTION]", name);
		return;
	}
	if ((value = read_value(r, equals + 1)) == NULL)
		return;
	if (r->section == ENVIRONMENT) {
		add_variable(r, name, value);
		return;
	}
	for (c = name; (c = strchr(c, '-')) != NULL;)
		*c = '_';
	for (k = keys; k < keys + NKEYS; k++)
		if (strcmp(k->section, sections[r->section].name) == 0 &&
		    strcmp(k->name, name) == 0)
			break;
	if (k == keys + NKEYS) {
		unknown_key(r, name);
		return;
	}
	if ((before = r->loaded->from[k - keys]) != FROM_INITIAL)
		mistake(r, "[%s] %s: given before, in line %d", k->section,
		    name, before);
	if (k->kind == CONF_SECRET && *value != '\0' && r->open_to_all)
		mistake(r, "[%s] %s: everybody may read this file; chmod"
		    " o-rwx %s", k->section, name, r->name);
	set(r, k, value, r->line);
}

static void
read_line(struct reader *r, char *line, size_t len)
{
	size_t	 i;
	char	*s;

	while (len > 0 && (line[len - 1] == '\n' || line[len - 1] == '\r'))
		line[--len] = '\0';
	for (i = 0; i < len; i++)
		if (iscntrl((unsigned char)line[i]) && line[i] != '\t') {
			mistake(r, "control byte 0x%02x in column %zu",
			    (unsigned char)line[i], i + 1);
			return;
		}
	s = trim(line);
	if (is_over(s))
		return;
	if (*s == '[')
		read_section(r, s);
	else
		read_pair(r, s);
}

static void
read_lines(struct reader *r, FILE *f)
{
	char	*line = NULL;
	size_t	 size = 0;
	ssize_t	 len;

	for (r->line = 1; (len = getline(&line, &size, f)) != -1; r->line++)
		read_line(r, line, len);
	r->line = 0;
	if (ferror(f))
		mistake(r, "%s", strerror(errno));
	if (size > 0)
		explicit_bzero(line, size);
	free(line);
}

static void
read_file(struct reader *r)
{
	struct stat	 st;
	FILE		*f;

	if ((f = fopen(r->name, "re")) == NULL || fstat(fileno(f), &st) == -1)
		mistake(r, "%s", strerror(errno));
	else if (S_ISDIR(st.st_mode))
		mistake(r, "%s", strerror(EISDIR));
	else {
		r->open_to_all = S_ISREG(st.st_mode) && (st.st_mode & S_IROTH);
		read_lines(r, f);
	}
	if (f != NULL)
		fclose(f);
}

/* ---- the environment ---------------------------------------------------- */

static const struct conf_key *
key_of(size_t where)
{
	const struct conf_key	*k = keys;

	while (k->where != where)
		k++;
	return k;
}

static void
variable_of(const struct conf_key *k, char name[VARIABLE_MAX])
{
	char	*s;

	snprintf(name, VARIABLE_MAX, "MILLRACE_%s_%s", k->section, k->name);
	for (s = name; *s != '\0'; s++)
		*s = toupper((unsigned char)*s);
}

/* An empty variable is one that is not set. */
static bool
take_variable(struct reader *r, const struct conf_key *k, const char *name)
{
	const char	*value = getenv(name);

	if (value == NULL || *value == '\0')
		return false;
	r->name = name;
	set(r, k, value, FROM_VARIABLE);
	return true;
}

static void
read_variables(struct reader *r)
{
	const struct conf_key	*k, *secret = key_of(AT(secret));
	char			 name[VARIABLE_MAX];

	for (k = keys; k < keys + NKEYS; k++) {
		variable_of(k, name);
		if (take_variable(r, k, name) || k != secret)
			continue;
		if (!take_variable(r, k, "JWT_SECRET"))
			take_variable(r, k, "SECRET_KEY");
	}
}

/* ---- the secret --------------------------------------------------------- */

/* The first line of a secret file, or NULL after a mistake. */
static char *
first_line(struct reader *r, FILE *f)
{
	struct stat	 st;
	char		*line = NULL;
	size_t		 size = 0;

	if (fstat(fileno(f), &st) == -1)
		mistake(r, "%s", strerror(errno));
	else if (S_ISREG(st.st_mode) && (st.st_mode & S_IRWXO))
		mistake(r, "everybody may open this secret; chmod o-rwx %s",
		    r->name);
	else if (getline(&line, &size, f) == -1)
		mistake(r, "%s", ferror(f) ? strerror(errno) : "empty");
	else {
		line[strcspn(line, "\r\n")] = '\0';
		return line;
	}
	free(line);
	return NULL;
}

/*
 * secret_file stands for secret.  What the environment says comes before
 * what the file says; both from the same place is a mistake.
 */
static void
read_secret(struct reader *r)
{
	const struct conf_key	*secret = key_of(AT(secret));
	struct conf		*c = &r->loaded->conf;
	int			 value = r->loaded->from[secret - keys];
	int			 file;
	char			*line;
	FILE			*f;

	file = r->loaded->from[key_of(AT(secret_file)) - keys];
	if (c->secret_file[0] == '\0')
		return;
	if (c->secret[0] != '\0' && (value < 0) == (file < 0)) {
		mistake(r, "[auth] secret and secret_file: only one of them");
		return;
	}
	if (c->secret[0] != '\0' && value < 0)
		return;
	r->name = c->secret_file;
	if ((f = fopen(c->secret_file, "re")) == NULL) {
		mistake(r, "[auth] secret_file: %s", strerror(errno));
		return;
	}
	if ((line = first_line(r, f)) != NULL) {
		set(r, secret, line, file);
		explicit_bzero(line, strlen(line));
		free(line);
	}
	fclose(f);
}

/* Whether S is one part again and again, as 0123456701234567... */
static bool
is_periodic(const char *s)
{
	size_t	 period, len = strlen(s);

	for (period = 1; period <= len / 2; period++)
		if (memcmp(s, s + period, len - period) == 0)
			return true;
	return false;
}

/* Whether most of S counts up or down, as abcdefg... */
static bool
is_sequence(const char *s)
{
	size_t	 steps = 0, i, len = strlen(s);

	for (i = 1; i < len; i++)
		if (s[i] == s[i - 1] + 1 || s[i] == s[i - 1] - 1)
			steps++;
	return steps > len / 2;
}

static size_t
different_bytes(const char *s)
{
	bool	 seen[UCHAR_MAX + 1] = { false };
	size_t	 n = 0;

	for (; *s != '\0'; s++)
		if (!seen[(unsigned char)*s]) {
			seen[(unsigned char)*s] = true;
			n++;
		}
	return n;
}

/* Words of examples and defaults; random text does not have them. */
static bool
is_placeholder(const char *s)
{
	static const char *const	 words[] = {
		"changeme", "change-me", "change_me", "secret", "password",
		"example", "default", "placeholder", "insecure", "your-",
		"your_",
	};
	size_t	 i;

	for (i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strcasestr(s, words[i]) != NULL)
			return true;
	return false;
}

/* What is weak about a secret, or NULL. */
static const char *
weakness(const char *s)
{
	size_t	 len = strlen(s);

	if (len < SECRET_MIN)
		return "shorter than 32 bytes";
	if (len < 2 * SECRET_MIN && strspn(s, "0123456789abcdefABCDEF") == len)
		return "fewer than 64 hex digits";
	if (different_bytes(s) < 8)
		return "few different characters";
	if (is_periodic(s) || is_sequence(s))
		return "a pattern";
	if (is_placeholder(s))
		return "an example, not a secret";
	return NULL;
}

int
conf_secret(const struct conf *c, const char *file)
{
	const char	*why = NULL, *name = "secret";

	if (c->secret[0] == '\0')
		why = "not set";
	else if ((why = weakness(c->secret)) == NULL &&
	    c->previous_secret[0] != '\0') {
		name = "previous_secret";
		why = weakness(c->previous_secret);
	}
	if (why == NULL)
		return 0;
	log_warnx("%s: [auth] %s, or MILLRACE_AUTH_%s in the environment: %s;"
	    " \"openssl rand -hex 32\" makes a good one", file, name,
	    name[0] == 's' ? "SECRET" : "PREVIOUS_SECRET", why);
	return -1;
}

/* ---- all of it ---------------------------------------------------------- */

struct conf *
conf_load(const char *file)
{
	struct reader	 r = { .name = "initial value", .section = NSECTIONS };
	size_t		 i;

	r.loaded = xcalloc(1, sizeof(*r.loaded));
	r.loaded->file = xstrdup(file);
	r.loaded->conf.environment = xcalloc(1, sizeof(char *));
	for (i = 0; i < NKEYS; i++)
		set(&r, &keys[i], keys[i].initial, FROM_INITIAL);
	r.name = file;
	read_file(&r);
	read_variables(&r);
	r.name = file;
	if (r.mistakes == 0)
		read_secret(&r);
	if (r.mistakes == 0)
		return &r.loaded->conf;
	conf_free(&r.loaded->conf);
	return NULL;
}

void
conf_free(struct conf *c)
{
	struct loaded	*l = (struct loaded *)c;
	size_t		 i;
	char		*text;

	if (c == NULL)
		return;
	for (i = 0; i < NKEYS; i++) {
		if (!is_text(&keys[i]))
			continue;
		text = *(char **)member(c, &keys[i]);
		if (text != NULL && keys[i].kind == CONF_SECRET)
			explicit_bzero(text, strlen(text));
		free(text);
	}
	for (i = 0; i < l->nenvironment; i++)
		free(c->environment[i]);
	free(c->environment);
	free(l->file);
	free(l);
}

/* ---- what is said about it ---------------------------------------------- */

static void
print_value(FILE *f, const struct conf *c, const struct conf_key *k)
{
	const void		*where = const_member(c, k);
	const struct unit	*u = kinds[k->kind].units;
	const char		*text;
	char			 number[32];

	if (k->kind == CONF_BOOLEAN) {
		fputs(*(const bool *)where ? "yes" : "no", f);
	} else if (u != NULL) {
		print_number(k->kind == CONF_SIZE ? *(const uint64_t *)where :
		    *(const unsigned int *)where, u, number, sizeof(number));
		fputs(number, f);
	} else {
		text = *(const char *const *)where;
		if (k->kind == CONF_SECRET && text[0] != '\0')
			text = "(hidden)";
		fprintf(f, strpbrk(text, "#;'\"") == NULL ? "%s" :
		    strchr(text, '"') == NULL ? "\"%s\"" : "'%s'", text);
	}
}

static void
print_from(FILE *f, const struct loaded *l, size_t i)
{
	if (l->from[i] == FROM_INITIAL)
		fputs("\t# initial value\n", f);
	else if (l->from[i] == FROM_VARIABLE)
		fputs("\t# environment\n", f);
	else
		fprintf(f, "\t# %s:%d\n", l->file, l->from[i]);
}

void
conf_show(FILE *f, const struct conf *c)
{
	const struct loaded	*l = (const struct loaded *)c;
	size_t			 i, s;

	for (s = 0; s < NSECTIONS; s++) {
		fprintf(f, "%s[%s]\n", s == 0 ? "" : "\n", sections[s].name);
		for (i = 0; i < NKEYS; i++) {
			if (strcmp(keys[i].section, sections[s].name) != 0)
				continue;
			fprintf(f, "%s = ", keys[i].name);
			print_value(f, c, &keys[i]);
			print_from(f, l, i);
		}
	}
	for (i = 0; i < l->nenvironment; i++)
		fprintf(f, "%.*s = %s\n",
		    (int)strcspn(c->environment[i], "="), c->environment[i],
		    strchr(c->environment[i], '=') + 1);
}

/* TEXT as a comment in lines of at most 78 columns. */
static void
print_comment(FILE *f, const char *text)
{
	size_t	 len, column = 0;

	while (*text != '\0') {
		len = strcspn(text, " ");
		if (column > 0 && column + 1 + len > 78) {
			fputc('\n', f);
			column = 0;
		}
		column += fprintf(f, "%s%.*s", column == 0 ? "# " : " ",
		    (int)len, text);
		text += len;
		text += strspn(text, " ");
	}
	fputc('\n', f);
}

void
conf_sample(FILE *f)
{
	size_t	 i, s;

	fputs("# Configuration of Millrace; millrace.conf(5) is the manual.\n"
	    "# What is commented out has the value that is shown.\n", f);
	for (s = 0; s < NSECTIONS; s++) {
		fputc('\n', f);
		print_comment(f, sections[s].help);
		fprintf(f, "[%s]\n", sections[s].name);
		for (i = 0; i < NKEYS; i++) {
			if (strcmp(keys[i].section, sections[s].name) != 0)
				continue;
			fputc('\n', f);
			print_comment(f, keys[i].help);
			fprintf(f, "#%s =%s%s\n", keys[i].name,
			    keys[i].initial[0] == '\0' ? "" : " ",
			    keys[i].initial);
		}
	}
}

/* Each sentence on a line of its own, as mdoc(7) wants it. */
static void
print_sentences(FILE *f, const char *text)
{
	for (; *text != '\0'; text++)
		if (strncmp(text, ".  ", 3) == 0) {
			fputs(".\n", f);
			text += 2;
		} else
			fputc(*text, f);
	fputc('\n', f);
}

static void
print_limits(FILE *f, const struct conf_key *k)
{
	const struct unit	*u = kinds[k->kind].units;
	char			 least[32], most[32];

	if (u != NULL) {
		print_number(k->least, u, least, sizeof(least));
		print_number(k->most, u, most, sizeof(most));
		fprintf(f, "From\n.Ql %s\nto\n.Ql %s .\n", least, most);
	}
	if (k->initial[0] != '\0')
		fprintf(f, "Initially\n.Ql %s .\n", k->initial);
}

/* The arguments of Ar, and | between words to choose from. */
static void
print_item(FILE *f, const struct conf_key *k)
{
	const char	*arg = kinds[k->kind].arg;

	if (strchr(arg, '|') != NULL)
		fprintf(f, ".It Ic %s No = Cm %.*s | %s\n", k->name,
		    (int)strcspn(arg, " "), arg, strchr(arg, '|') + 2);
	else
		fprintf(f, ".It Ic %s No = Ar %s\n", k->name, arg);
}

void
conf_mdoc(FILE *f)
{
	size_t	 i, s;

	for (s = 0; s < ENVIRONMENT; s++) {
		fprintf(f, ".Ss [%s]\n", sections[s].name);
		print_sentences(f, sections[s].help);
		fputs(".Bl -tag -width Ds\n", f);
		for (i = 0; i < NKEYS; i++) {
			if (strcmp(keys[i].section, sections[s].name) != 0)
				continue;
			print_item(f, &keys[i]);
			print_sentences(f, keys[i].help);
			print_limits(f, &keys[i]);
		}
		fputs(".El\n", f);
	}
}
