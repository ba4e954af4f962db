/*
 * millrace user, millrace token: who may come in.
 *
 * A password is asked for, read from the standard input or made here; it is
 * never a word of the command line, which everybody on the host can read.
 * What was made is printed alone on the standard output, once.
 */

#include <getopt.h>
#include <readpassphrase.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "conf.h"
#include "db.h"
#include "user.h"
#include "utf8.h"

/* Words after the verb, at most. */
#define WORDS_MAX	2

/* Users of one page of the list. */
#define PAGE		100

/* Groups of five characters of a password that is made here: 99 bits. */
#define GROUPS		4

struct people {
	struct db	*db;
	char		*word[WORDS_MAX];
	/* options */
	enum user_role	 role;
	bool		 generate, from_stdin;
	const char	*name;
	unsigned int	 scopes;	/* 0: all that the user may do */
	unsigned int	 life_s;	/* 0: for ever */
};

struct verb {
	const char	*name;
	int		 (*run)(struct people *);
	int		 words;		/* that it needs after its name */
	const char	*options;	/* letters of those that it takes */
	const char	*use;
};

static const struct option	 longopts[] = {
	{ "expires",		required_argument,	NULL, 'e' },
	{ "generate",		no_argument,		NULL, 'g' },
	{ "help",		no_argument,		NULL, 'h' },
	{ "name",		required_argument,	NULL, 'n' },
	{ "password-stdin",	no_argument,		NULL, 'p' },
	{ "role",		required_argument,	NULL, 'r' },
	{ "scope",		required_argument,	NULL, 's' },
	{ NULL, 0, NULL, 0 }
};

/* ---- helpers ------------------------------------------------------------- */

/* The database failed, which was logged. */
static int
trouble(const struct people *p)
{
	return db_error(p->db) == DB_AWAY ? EXIT_UNREACHABLE : EXIT_FAILED;
}

static int
find_user(const struct people *p, struct user *u)
{
	if (user_named(p->db, p->word[0], u) == 0)
		return EXIT_DONE;
	if (db_error(p->db) != DB_OK)
		return trouble(p);
	fprintf(stderr, "millrace: user \"%s\": there is none\n", p->word[0]);
	return EXIT_NOT_FOUND;
}

/* For a name or word that is printed between others: "-" when there is none. */
static const char *
or_dash(const char *text)
{
	return text[0] != '\0' ? text : "-";
}

/* ---- passwords ----------------------------------------------------------- */

/* Room for a password, the end of its line and NUL. */
#define PASSWORD_TEXT	(USER_PASSWORD_MAX + 2)

/* Without the characters that look like others. */
static void
generate(char text[PASSWORD_TEXT])
{
	static const char	 letters[] = "abcdefghjkmnpqrstuvwxyz23456789";
	char			*p = text;
	int			 i, j;

	for (i = 0; i < GROUPS; i++) {
		if (i > 0)
			*p++ = '-';
		for (j = 0; j < 5; j++)
			*p++ = letters[arc4random_uniform(sizeof(letters) - 1)];
	}
	*p = '\0';
}

static int
read_line(char text[PASSWORD_TEXT])
{
	size_t	 len;

	if (fgets(text, PASSWORD_TEXT, stdin) == NULL) {
		fprintf(stderr, "millrace: password: nothing on the standard "
		    "input\n");
		return -1;
	}
	len = strcspn(text, "\r\n");
	text[len] = '\0';
	return 0;
}

static int
ask(char text[PASSWORD_TEXT])
{
	char	 again[PASSWORD_TEXT];
	int	 rc = -1;

	if (readpassphrase("New password: ", text, PASSWORD_TEXT,
	    RPP_REQUIRE_TTY) == NULL ||
	    readpassphrase("The same again: ", again, sizeof(again),
	    RPP_REQUIRE_TTY) == NULL)
		fprintf(stderr, "millrace: password: no terminal to ask on; "
		    "see --password-stdin and --generate\n");
	else if (strcmp(text, again) != 0)
		fprintf(stderr, "millrace: password: the two differ\n");
	else
		rc = 0;
	explicit_bzero(again, sizeof(again));
	return rc;
}

static bool
has_control(const char *text)
{
	for (; *text != '\0'; text++)
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			return true;
	return false;
}

/* What nobody could type into a form, or send as JSON, is no password. */
static int
check(const char *text)
{
	size_t	 len = strlen(text);

	if (len < USER_PASSWORD_MIN || len > USER_PASSWORD_MAX)
		fprintf(stderr, "millrace: password: %zu bytes, not %d to %d\n",
		    len, USER_PASSWORD_MIN, USER_PASSWORD_MAX);
	else if (!utf8_valid(text, len) || has_control(text))
		fprintf(stderr, "millrace: password: not UTF-8 without control "
		    "characters\n");
	else
		return 0;
	return -1;
}

static int
new_password(const struct people *p, char text[PASSWORD_TEXT])
{
	if (p->generate) {
		generate(text);
		return 0;
	}
	if ((p->from_stdin ? read_line(text) : ask(text)) == -1)
		return -1;
	return check(text);
}

/* ---- users --------------------------------------------------------------- */

static int
add_user(struct people *p)
{
	char		 password[PASSWORD_TEXT];
	uint64_t	 id;
	int		 rc, status = EXIT_FAILED;

	if (!user_name_good(p->word[0])) {
		fprintf(stderr, "millrace: user \"%s\": a name is at most %d "
		    "of A-Z a-z 0-9 . _ - + @, and begins with a letter or "
		    "digit\n", p->word[0], USER_NAME_MAX);
		return EXIT_USAGE;
	}
	if (new_password(p, password) == 0) {
		rc = user_add(p->db, p->word[0], password, p->role, &id);
		if (rc == 1)
			fprintf(stderr, "millrace: user \"%s\": there is one "
			    "of this name\n", p->word[0]);
		status = rc == 0 ? EXIT_DONE : rc == -1 ? trouble(p) :
		    EXIT_FAILED;
	}
	if (status == EXIT_DONE && p->generate)
		printf("%s\n", password);
	explicit_bzero(password, sizeof(password));
	return status;
}

static int
list_users(struct people *p)
{
	struct user	 users[PAGE];
	uint64_t	 after = 0;
	char		 time[25];
	int		 i, n;

	do {
		if ((n = user_list(p->db, after, users, PAGE)) == -1)
			return trouble(p);
		for (i = 0; i < n; i++) {
			db_rfc3339(users[i].created_at, DB_TIME_SECONDS, time);
			printf("%-6llu %-6s %-9s %s  %s\n",
			    (unsigned long long)users[i].id,
			    user_role_name(users[i].role),
			    users[i].disabled ? "disabled" : "-", time,
			    users[i].name);
			after = users[i].id;
		}
	} while (n == PAGE);
	return EXIT_DONE;
}

static int
set_role(struct people *p)
{
	struct user	 u;
	int		 to, status;

	if ((to = user_role_parse(p->word[1])) == -1) {
		fprintf(stderr, "millrace: role: \"%s\" is not \"user\" or "
		    "\"admin\"\n", p->word[1]);
		return EXIT_USAGE;
	}
	if ((status = find_user(p, &u)) != EXIT_DONE)
		return status;
	return user_set_role(p->db, u.id, (enum user_role)to) == 0 ?
	    EXIT_DONE : trouble(p);
}

static int
disable_or_enable(struct people *p, bool disabled)
{
	struct user	 u;
	int		 status;

	if ((status = find_user(p, &u)) != EXIT_DONE)
		return status;
	return user_disable(p->db, u.id, disabled) == 0 ? EXIT_DONE :
	    trouble(p);
}

static int
disable(struct people *p)
{
	return disable_or_enable(p, true);
}

static int
enable(struct people *p)
{
	return disable_or_enable(p, false);
}

static int
set_password(struct people *p)
{
	char		 password[PASSWORD_TEXT];
	struct user	 u;
	int		 rc, status;

	if ((status = find_user(p, &u)) != EXIT_DONE)
		return status;
	status = EXIT_FAILED;
	if (new_password(p, password) == 0) {
		rc = user_set_password(p->db, u.id, password);
		status = rc == 0 ? EXIT_DONE : trouble(p);
	}
	if (status == EXIT_DONE && p->generate)
		printf("%s\n", password);
	explicit_bzero(password, sizeof(password));
	return status;
}

/* ---- tokens -------------------------------------------------------------- */

static int
create_token(struct people *p)
{
	char		 text[TOKEN_SECRET];
	unsigned int	 scopes = p->scopes;
	uint64_t	 id;
	struct user	 u;
	int		 rc, status;

	if ((status = find_user(p, &u)) != EXIT_DONE)
		return status;
	if (scopes == 0)
		scopes = SCOPE_READ | SCOPE_WRITE |
		    (u.role == USER_ADMIN ? SCOPE_ADMIN : 0);
	rc = api_token_add(p->db, u.id, p->name, scopes, p->life_s, &id, text);
	if (rc == 1)
		fprintf(stderr, "millrace: token: user \"%s\" has %d; revoke "
		    "one first\n", u.name, API_TOKENS_MAX);
	if (rc != 0)
		return rc == 1 ? EXIT_REFUSED : trouble(p);
	printf("%s\n", text);
	explicit_bzero(text, sizeof(text));
	return EXIT_DONE;
}

static int
list_tokens(struct people *p)
{
	struct api_token	 t[API_TOKENS_MAX];
	char			 words[24], made[25], used[25], ends[25];
	struct user		 u;
	int			 i, n, status;

	if ((status = find_user(p, &u)) != EXIT_DONE)
		return status;
	if ((n = api_token_list(p->db, u.id, t, API_TOKENS_MAX)) == -1)
		return trouble(p);
	for (i = 0; i < n; i++) {
		db_rfc3339(t[i].created_at, DB_TIME_SECONDS, made);
		db_rfc3339(t[i].used_at, DB_TIME_SECONDS, used);
		db_rfc3339(t[i].expires_at, DB_TIME_SECONDS, ends);
		printf("%-6llu %-16s made %s  used %-20s  until %-20s  %s\n",
		    (unsigned long long)t[i].id,
		    user_scope_text(t[i].scopes, words), made, or_dash(used),
		    or_dash(ends), t[i].name);
	}
	return EXIT_DONE;
}

static int
revoke_token(struct people *p)
{
	struct user	 u;
	uint64_t	 id;
	int		 rc, status;

	if (conf_number(p->word[1], INT64_MAX, &id) == -1) {
		fprintf(stderr, "millrace: token: \"%s\" is no number of one\n",
		    p->word[1]);
		return EXIT_USAGE;
	}
	if ((status = find_user(p, &u)) != EXIT_DONE)
		return status;
	if ((rc = api_token_revoke(p->db, u.id, id)) == 0)
		return EXIT_DONE;
	if (rc == -1)
		return trouble(p);
	fprintf(stderr, "millrace: token: user \"%s\" has no %s\n", u.name,
	    p->word[1]);
	return EXIT_NOT_FOUND;
}

/* ---- words of the command line ------------------------------------------- */

static const struct verb	 user_verbs[] = {
	{ "add",	add_user,	1,	"gpr",
	    "add [--role user|admin] [--generate | --password-stdin] NAME" },
	{ "list",	list_users,	0,	"",	"list" },
	{ "role",	set_role,	2,	"",
	    "role NAME user|admin" },
	{ "disable",	disable,	1,	"",	"disable NAME" },
	{ "enable",	enable,		1,	"",	"enable NAME" },
	{ "password",	set_password,	1,	"gp",
	    "password [--generate | --password-stdin] NAME" },
	{ NULL }
};

static const struct verb	 token_verbs[] = {
	{ "create",	create_token,	1,	"ens",
	    "create [--name NAME] [--scope read,write,admin] [--expires 90d] "
	    "USER" },
	{ "list",	list_tokens,	1,	"",	"list USER" },
	{ "revoke",	revoke_token,	2,	"",
	    "revoke USER NUMBER" },
	{ NULL }
};

static void
usage(FILE *to, const char *command, const struct verb *v)
{
	const char	*begin = "usage:";

	for (; v->name != NULL; v++, begin = "      ")
		fprintf(to, "%s millrace [-c file] %s %s\n", begin, command,
		    v->use);
}

/* One option and its value, into *P.  0, or -1 and said. */
static int
take_option(struct people *p, int c, const char *value)
{
	int	 n;

	switch (c) {
	case 'e':
		if (conf_duration(value, &p->life_s) == 0 && p->life_s > 0)
			return 0;
		fprintf(stderr, "millrace: --expires: \"%s\" is no time such "
		    "as 12h or 90d\n", value);
		return -1;
	case 'g':
		p->generate = true;
		return 0;
	case 'n':
		p->name = value;
		if (strlen(value) <= 64 && value[0] != '\0' &&
		    utf8_valid(value, strlen(value)))
			return 0;
		fprintf(stderr, "millrace: --name: 1 to 64 bytes of UTF-8\n");
		return -1;
	case 'p':
		p->from_stdin = true;
		return 0;
	case 'r':
		if ((n = user_role_parse(value)) != -1) {
			p->role = (enum user_role)n;
			return 0;
		}
		fprintf(stderr, "millrace: --role: \"%s\" is not \"user\" or "
		    "\"admin\"\n", value);
		return -1;
	default:
		if ((n = user_scope_parse(value)) != -1) {
			p->scopes |= (unsigned int)n;
			return 0;
		}
		fprintf(stderr, "millrace: --scope: \"%s\" is not made of "
		    "read, write, admin\n", value);
		return -1;
	}
}

static const struct verb *
find_verb(const struct verb *verbs, const char *command, const char *name)
{
	const char		*names[8] = { NULL }, *near;
	const struct verb	*v;

	for (v = verbs; v->name != NULL; v++) {
		if (strcmp(v->name, name) == 0)
			return v;
		names[v - verbs] = v->name;
	}
	near = conf_nearest(name, names);
	fprintf(stderr, "millrace: unknown command \"%s %s\"%s%s%s\n", command,
	    name, near ? "; did you mean \"" : "", near ? near : "",
	    near ? "\"?" : "");
	return NULL;
}

/* Read the options and words.  The verb, or NULL: the exit is *STATUS. */
static const struct verb *
parse(struct people *p, const struct verb *verbs, int argc, char **argv,
    int *status)
{
	const struct verb	*v;
	char			 given[16] = "";
	size_t			 n = 0;
	int			 c, i;

	*status = EXIT_USAGE;
	while ((c = getopt_long(argc, argv, "h", longopts, NULL)) != -1) {
		if (c == 'h' || c == '?') {
			usage(c == 'h' ? stdout : stderr, argv[0], verbs);
			*status = c == 'h' ? EXIT_DONE : EXIT_USAGE;
			return NULL;
		}
		if (take_option(p, c, optarg) == -1)
			return NULL;
		if (n + 1 < sizeof(given))
			given[n++] = (char)c;
	}
	if (optind == argc) {
		usage(stderr, argv[0], verbs);
		return NULL;
	}
	if ((v = find_verb(verbs, argv[0], argv[optind])) == NULL)
		return NULL;
	if (argc - optind - 1 != v->words ||
	    given[strspn(given, v->options)] != '\0' ||
	    (p->generate && p->from_stdin)) {
		fprintf(stderr, "usage: millrace [-c file] %s %s\n", argv[0],
		    v->use);
		return NULL;
	}
	for (i = 0; i < v->words; i++)
		p->word[i] = argv[optind + 1 + i];
	return v;
}

static int
run(const struct conf *conf, const struct verb *verbs, int argc, char **argv)
{
	struct people		 p = { .role = USER_USER, .name = "cli" };
	const struct verb	*v;
	int			 status;

	if ((v = parse(&p, verbs, argc, argv, &status)) == NULL)
		return status;
	p.db = db_open(conf, "admin");
	status = v->run(&p);
	db_close(p.db);
	return status;
}

int
cmd_user(const struct conf *conf, int argc, char **argv)
{
	return run(conf, user_verbs, argc, argv);
}

int
cmd_token(const struct conf *conf, int argc, char **argv)
{
	return run(conf, token_verbs, argc, argv);
}
