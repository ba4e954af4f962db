/*
 * millrace(1): what an administrator does on the host itself.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sodium.h>

#include "cli.h"
#include "conf.h"
#include "log.h"

static const struct command {
	const char	*name;
	int		(*run)(const struct conf *, int, char **);
	const char	*about;
} commands[] = {
	{ "config", NULL,	"check, show or explain the configuration" },
	{ "db",	    cmd_db,	"migrate the database, print its grants" },
	{ "nginx",  cmd_nginx,	"print the configuration for nginx" },
	{ "token",  cmd_token,	"create, list and revoke API tokens" },
	{ "user",   cmd_user,	"add, list and change users" },
	{ NULL }
};

static void
usage(FILE *to)
{
	const struct command	*c;

	fprintf(to, "usage: millrace [-hVv] [-c file] command ...\n\n"
	    "  millrace db migrate\n"
	    "  millrace user add ana --generate --role admin\n"
	    "  millrace token create ana --name backup --scope read\n\n");
	for (c = commands; c->name != NULL; c++)
		fprintf(to, "  %-10s %s\n", c->name, c->about);
	fprintf(to, "\nEach command says more with --help.\n");
}

static const struct command *
find(const char *name)
{
	const char		*names[sizeof(commands) / sizeof(commands[0])];
	const char		*near;
	const struct command	*c;
	size_t			 n = 0;

	for (c = commands; c->name != NULL; c++) {
		if (strcmp(c->name, name) == 0)
			return c;
		names[n++] = c->name;
	}
	names[n] = NULL;
	near = conf_nearest(name, names);
	fprintf(stderr, "millrace: unknown command \"%s\"%s%s%s\n", name,
	    near ? "; did you mean \"" : "", near ? near : "",
	    near ? "\"?" : "");
	exit(EXIT_USAGE);
}

/* A command is asked for its options: that needs no configuration. */
static int
wants_help(int argc, char **argv)
{
	return argc == 2 && (strcmp(argv[1], "--help") == 0 ||
	    strcmp(argv[1], "-h") == 0);
}

static int
run(const struct command *command, const char *file, int argc, char **argv)
{
	struct conf	*conf;
	int		 status;

	if (command->run == NULL)
		return cmd_config(file, argc, argv);
	if (wants_help(argc, argv))
		return command->run(NULL, argc, argv);
	if ((conf = conf_load(file)) == NULL)
		return EXIT_FAILED;
	status = command->run(conf, argc, argv);
	conf_free(conf);
	return status;
}

int
main(int argc, char **argv)
{
	const char		*file = MILLRACE_CONF;
	const struct command	*command;
	int			 c, status;

	log_init("millrace");
	while ((c = getopt(argc, argv, "+c:hVv")) != -1) {
		switch (c) {
		case 'c':
			file = optarg;
			break;
		case 'h':
			usage(stdout);
			return EXIT_DONE;
		case 'V':
			printf("millrace %s\n", MILLRACE_VERSION);
			return EXIT_DONE;
		case 'v':
			log_verbose();
			break;
		default:
			usage(stderr);
			return EXIT_USAGE;
		}
	}
	argc -= optind;
	argv += optind;
	if (argc == 0) {
		usage(stderr);
		return EXIT_USAGE;
	}
	if (sodium_init() == -1)
		fatalx("libsodium does not start");
	command = find(argv[0]);
	optind = 0;			/* the command has options of its own */
	status = run(command, file, argc, argv);
	/* What was printed must have arrived: it goes into files and pipes. */
	if (fflush(stdout) == EOF || ferror(stdout)) {
		log_warn("standard output");
		return EXIT_FAILED;
	}
	return status;
}
