/*
 * millrace config: check and explain the configuration.
 */

#include "cli.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "conf.h"

static int
check(const char *file)
{
	struct conf	*conf = conf_load(file);
	int		 status = EXIT_FAILED;

	if (conf == NULL)
		return EXIT_FAILED;
	if (conf_secret(conf, file) == 0) {
		printf("%s: good\n", file);
		status = EXIT_DONE;
	}
	conf_free(conf);
	return status;
}

static int
show(const char *file)
{
	struct conf	*conf = conf_load(file);

	if (conf == NULL)
		return EXIT_FAILED;
	conf_show(stdout, conf);
	conf_free(conf);
	return EXIT_DONE;
}

static int
sample(const char *file)
{
	(void)file;
	conf_sample(stdout);
	return EXIT_DONE;
}

static int
mdoc(const char *file)
{
	(void)file;
	conf_mdoc(stdout);
	return EXIT_DONE;
}

static const struct {
	const char	*name;
	int		(*run)(const char *);
	const char	*about;
} verbs[] = {
	{ "check",	check,	"what is wrong with the file, if anything" },
	{ "show",	show,	"what is in force, and where it is from" },
	{ "sample",	sample,	"a file to begin with, with every key" },
	{ "mdoc",	mdoc,	"every key, for the manual page" },
};

#define NVERBS	(sizeof(verbs) / sizeof(verbs[0]))

static void
usage(FILE *to)
{
	size_t	 i;

	for (i = 0; i < NVERBS; i++)
		fprintf(to, "%s millrace [-c file] config %-8s# %s\n",
		    i == 0 ? "usage:" : "      ", verbs[i].name,
		    verbs[i].about);
}

static int
unknown(const char *verb)
{
	const char	*names[NVERBS + 1] = { NULL }, *nearest;
	size_t		 i;

	for (i = 0; i < NVERBS; i++)
		names[i] = verbs[i].name;
	if ((nearest = conf_nearest(verb, names)) != NULL)
		fprintf(stderr, "millrace: unknown command \"config %s\"; did"
		    " you mean \"config %s\"?\n", verb, nearest);
	else
		fprintf(stderr, "millrace: unknown command \"config %s\"\n",
		    verb);
	return EXIT_USAGE;
}

int
cmd_config(const char *file, int argc, char **argv)
{
	static const struct option	 longopts[] = {
		{ "help",	no_argument,	NULL, 'h' },
		{ NULL, 0, NULL, 0 }
	};
	size_t				 i;
	int				 c;

	while ((c = getopt_long(argc, argv, "h", longopts, NULL)) != -1) {
		usage(c == 'h' ? stdout : stderr);
		return c == 'h' ? EXIT_DONE : EXIT_USAGE;
	}
	if (optind + 1 != argc) {
		usage(stderr);
		return EXIT_USAGE;
	}
	for (i = 0; i < NVERBS; i++)
		if (strcmp(argv[optind], verbs[i].name) == 0)
			return verbs[i].run(file);
	return unknown(argv[optind]);
}
