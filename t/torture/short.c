/*
 * A short job: a stage of so many milliseconds, with twenty lines of progress.
 *
 *	short PORT LEAST MOST
 *
 * It leaves two traces that can be counted.  A line for each run goes to the
 * file "journal" of the job, which is its result; and for as long as a run
 * lasts it holds a connection to PORT of this host, where it says "JOB begin"
 * and "JOB end".
 */

#include <sys/socket.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINES	20

static const char *
variable(const char *name)
{
	const char	*value = getenv(name);

	return value == NULL ? "" : value;
}

static void __attribute__((noreturn))
give_up(const char *what)
{
	dprintf(3, "retry %s\n", what);
	exit(1);
}

static int
call(int port)
{
	struct sockaddr_in	 sin = { .sin_family = AF_INET };
	int			 fd;

	sin.sin_port = htons((uint16_t)port);
	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if ((fd = socket(AF_INET, SOCK_STREAM, 0)) == -1 ||
	    connect(fd, (struct sockaddr *)&sin, sizeof(sin)) == -1)
		give_up("nobody keeps the journal");
	return fd;
}

/* One line, in one write: a run that is killed leaves it whole, or not. */
static void
note(void)
{
	const char	*store = strrchr(variable("MILLRACE_STORE"), '/');
	FILE		*f;

	if ((f = fopen("journal", "a")) == NULL)
		give_up("the journal cannot be opened");
	fprintf(f, "%s attempt %s\n", store == NULL ? "?" : store + 1,
	    variable("MILLRACE_ATTEMPT"));
	if (fclose(f) != 0)
		give_up("the journal cannot be written");
}

/* As long as it takes, by the job's id: the same in each run. */
static long
duration_ms(long least, long most)
{
	unsigned long	 n = 0;
	const char	*s;

	for (s = variable("MILLRACE_JOB"); *s != '\0'; s++)
		n = n * 31 + (unsigned char)*s;
	return least + (long)(n % (unsigned long)(most - least + 1));
}

int
main(int argc, char **argv)
{
	struct timespec	 pause = { 0 };
	int		 fd, i;

	if (argc != 4)
		give_up("usage: short PORT LEAST MOST");
	fd = call(atoi(argv[1]));
	dprintf(fd, "%s begin\n", variable("MILLRACE_JOB"));
	note();
	pause.tv_nsec = duration_ms(atol(argv[2]), atol(argv[3])) * 1000000 /
	    LINES;
	for (i = 1; i <= LINES; i++) {
		nanosleep(&pause, NULL);
		dprintf(3, "progress %d round %d\n", i * 100 / LINES, i);
	}
	dprintf(3, "result journal journal text/plain\n");
	dprintf(fd, "%s end\n", variable("MILLRACE_JOB"));
	return 0;
}
