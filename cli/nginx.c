/*
 * millrace nginx: write a configuration for nginx.
 *
 * What nginx does is written in the templates below SHARE/nginx; they are
 * copied, and each @word@ in them is replaced by what a row of the table
 * below makes of the configuration.  @name.conf@ is another template.
 */

#include "cli.h"

#include <sys/resource.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conf.h"
#include "log.h"

/* Descriptors of a worker for logs, listening sockets and files. */
#define RESERVE		64

/* More would only cost memory, on hosts where the limit is out of sight. */
#define CONNECTIONS_MOST 100000

/* Templates in templates, at most. */
#define DEPTH_MOST	3

struct maker {
	const struct conf *conf;
	FILE		*out;
	bool		 standalone;
};

struct word {
	const char	*name;
	void		(*write)(const struct maker *);
};

/* ---- values ------------------------------------------------------------- */

/* nginx knows no way to write these inside of quotes, or at all. */
static void
put_plain(const struct maker *m, const char *what, const char *text)
{
	const char	*p;

	for (p = text; *p != '\0'; p++)
		if (strchr("\"'\\$;{}", *p) != NULL || (unsigned char)*p < 0x20)
			fatalx("%s: \"%s\" has a character that nginx cannot"
			    " be told", what, text);
	fputs(text, m->out);
}

/* TEXT as part of a regular expression in quotes. */
static void
put_regex(const struct maker *m, const char *what, const char *text, size_t len)
{
	char	*copy = strndup(text, len), *p;

	if (copy == NULL)
		fatal("strndup");
	for (p = copy; *p != '\0'; p++) {
		if (strchr(".+*?()[]^|#", *p) != NULL)
			fputc('\\', m->out);
		put_plain(m, what, (const char[]){ *p, '\0' });
	}
	free(copy);
}

/* Call PUT for each word of LIST, which is cut at blanks. */
static void
each_word(const struct maker *m, const char *list,
    void (*put)(const struct maker *, const char *, size_t))
{
	size_t	 len;

	for (; *(list += strspn(list, " \t")) != '\0'; list += len) {
		len = strcspn(list, " \t");
		put(m, list, len);
	}
}

static void
put_listen(const struct maker *m)
{
	put_plain(m, "site.listen", m->conf->listen);
}

static void
put_server_name(const struct maker *m)
{
	put_plain(m, "site.server_name", m->conf->server_name);
}

static void
put_prefix(const struct maker *m)
{
	put_plain(m, "site.prefix", m->conf->prefix);
}

static void
put_prefix_regex(const struct maker *m)
{
	put_regex(m, "site.prefix", m->conf->prefix,
	    strlen(m->conf->prefix));
}

/* What lies beside the prefix is not ours to answer for. */
static void
put_outside_prefix(const struct maker *m)
{
	const char	*prefix = m->conf->prefix;

	if (prefix[0] != '\0')
		fprintf(m->out, "location = %s { return 301 %s/; }\n"
		    "\tlocation / { return 404; }", prefix, prefix);
}

static void
put_sockets(const struct maker *m)
{
	put_plain(m, "run.sockets", m->conf->sockets);
}

static void
put_share(const struct maker *m)
{
	put_plain(m, "run.share", m->conf->share);
}

static void
put_root(const struct maker *m)
{
	put_plain(m, "storage.root", m->conf->root);
}

/* A stream of which nginx hears nothing is dead: two keep-alives and more. */
static void
put_stream_timeout(const struct maker *m)
{
	fprintf(m->out, "%us", 2 * m->conf->keepalive_s + 45);
}

static void
put_proxy_set(const struct maker *m, const char *net, size_t len)
{
	fprintf(m->out, "set_real_ip_from %.*s;\n\t", (int)len, net);
}

static void
put_proxies_set(const struct maker *m)
{
	each_word(m, m->conf->trusted_proxies, put_proxy_set);
}

static void
put_proxy_geo(const struct maker *m, const char *net, size_t len)
{
	fprintf(m->out, "%.*s 1;\n\t", (int)len, net);
}

static void
put_proxies_geo(const struct maker *m)
{
	each_word(m, m->conf->trusted_proxies, put_proxy_geo);
}

/* Expressions, since a long word does not fit into the hash of a map. */
static void
put_origin(const struct maker *m, const char *origin, size_t len)
{
	fputs("\"~^", m->out);
	put_regex(m, "site.origins", origin, len);
	fputs("$\" $http_origin;\n\t", m->out);
}

static void
put_origins_map(const struct maker *m)
{
	each_word(m, m->conf->origins, put_origin);
}

static void
put_vary(const struct maker *m)
{
	if (m->conf->origins[0] != '\0')
		fputs("Origin", m->out);
}

static void
put_access_log(const struct maker *m)
{
	fputs(m->standalone ? "log/access" : "/var/log/nginx/millrace.log",
	    m->out);
}

/* Only root may say as whom the workers run; the demo's files are root's. */
static void
put_user(const struct maker *m)
{
	if (geteuid() == 0)
		fputs("user root root;", m->out);
}

/* ---- limits of this machine --------------------------------------------- */

static unsigned long
descriptors(void)
{
	struct rlimit	 rl;

	if (getrlimit(RLIMIT_NOFILE, &rl) == -1)
		fatal("getrlimit");
	return rl.rlim_max == RLIM_INFINITY ||
	    rl.rlim_max > CONNECTIONS_MOST + RESERVE ?
	    CONNECTIONS_MOST + RESERVE : rl.rlim_max;
}

static unsigned long
connections(void)
{
	unsigned long	 n = descriptors();

	return n > 2 * RESERVE ? n - RESERVE : RESERVE;
}

/*
 * One worker for each core; more where the streams that are wanted do not
 * fit.  Each takes two connections, and 15 in 100 are lost to the uneven
 * way in which the kernel spreads them.
 */
static unsigned long
workers(const struct conf *conf)
{
	long		 cores = sysconf(_SC_NPROCESSORS_ONLN);
	unsigned long	 n = cores < 1 ? 1 : (unsigned long)cores, fit;

	fit = connections() * 85 / 200;
	if (fit > 0 && conf->streams > n * fit)
		n = (conf->streams + fit - 1) / fit;
	return n;
}

static void
put_descriptors(const struct maker *m)
{
	fprintf(m->out, "%lu", descriptors());
}

static void
put_connections(const struct maker *m)
{
	fprintf(m->out, "%lu", connections());
}

static void
put_workers(const struct maker *m)
{
	fprintf(m->out, "%lu", workers(m->conf));
}

static const struct word words[] = {
	{ "access_log",		put_access_log },
	{ "connections",	put_connections },
	{ "descriptors",	put_descriptors },
	{ "listen",		put_listen },
	{ "origins_map",	put_origins_map },
	{ "outside_prefix",	put_outside_prefix },
	{ "prefix",		put_prefix },
	{ "prefix_regex",	put_prefix_regex },
	{ "proxies_geo",	put_proxies_geo },
	{ "proxies_set",	put_proxies_set },
	{ "root",		put_root },
	{ "server_name",	put_server_name },
	{ "share",		put_share },
	{ "sockets",		put_sockets },
	{ "stream_timeout",	put_stream_timeout },
	{ "user",		put_user },
	{ "vary",		put_vary },
	{ "workers",		put_workers },
	{ NULL,			NULL }
};

/* ---- templates ---------------------------------------------------------- */

static char *
read_template(const struct conf *conf, const char *name)
{
	char	*path, *text = NULL;
	size_t	 size = 0;
	FILE	*f;

	xasprintf(&path, "%s/nginx/%s", conf->share, name);
	if ((f = fopen(path, "re")) == NULL)
		fatal("%s", path);
	if (getdelim(&text, &size, '\0', f) == -1)
		fatal("%s", path);
	fclose(f);
	free(path);
	return text;
}

/* The length of the "@word@" at P, or 0 when it is none. */
static size_t
word_at(const char *p)
{
	size_t	 len = 1 + strspn(p + 1, "abcdefghijklmnopqrstuvwxyz_.");

	return *p == '@' && len > 1 && p[len] == '@' ? len + 1 : 0;
}

static void
fill(const struct maker *m, const char *name, unsigned int depth)
{
	const struct word	*w;
	char			*text = read_template(m->conf, name);
	char			*p, *word;
	size_t			 len;

	if (depth > DEPTH_MOST)
		fatalx("%s: templates go round in circles", name);
	for (p = text; *p != '\0'; p += len) {
		if ((len = word_at(p)) == 0) {
			len = 1 + strcspn(p + 1, "@");
			fwrite(p, len, 1, m->out);
			continue;
		}
		word = p + 1;
		p[len - 1] = '\0';
		for (w = words; w->name != NULL; w++)
			if (strcmp(w->name, word) == 0)
				break;
		if (w->name != NULL)
			w->write(m);
		else if (strchr(word, '.') != NULL)
			fill(m, word, depth + 1);
		else
			fatalx("%s: unknown word @%s@", name, word);
	}
	free(text);
}

int
cmd_nginx(const struct conf *conf, int argc, char **argv)
{
	static const char	 use[] =
	    "usage: millrace [-c file] nginx [--standalone]\n";
	struct maker		 m = { .conf = conf, .out = stdout };

	if (argc == 2 && strcmp(argv[1], "--standalone") == 0)
		m.standalone = true;
	else if (argc == 2 && (strcmp(argv[1], "--help") == 0 ||
	    strcmp(argv[1], "-h") == 0)) {
		fputs(use, stdout);
		return EXIT_DONE;
	} else if (argc != 1) {
		fputs(use, stderr);
		return EXIT_USAGE;
	}
	fill(&m, m.standalone ? "standalone.conf" : "site.conf", 0);
	return EXIT_DONE;
}
