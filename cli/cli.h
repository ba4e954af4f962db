/*
 * The commands of millrace(1).  Each takes its own words (argv[0] is the
 * command) and returns the exit status.
 */

#ifndef MILLRACE_CLI_H
#define MILLRACE_CLI_H

struct conf;

/* Exit statuses, as in the manual. */
enum {
	EXIT_DONE	= 0,
	EXIT_FAILED	= 1,	/* for a reason that was printed */
	EXIT_USAGE	= 2,
	EXIT_NOT_FOUND	= 6,
	EXIT_REFUSED	= 7,	/* because of its state */
	EXIT_UNREACHABLE = 69	/* server or database */
};

int	cmd_config(const char *conf_file, int argc, char **argv);
int	cmd_db(const struct conf *, int argc, char **argv);
int	cmd_nginx(const struct conf *, int argc, char **argv);
int	cmd_token(const struct conf *, int argc, char **argv);
int	cmd_user(const struct conf *, int argc, char **argv);

#endif
