/*
 * Start one of the programs behind nginx.
 */

#include "site.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <sodium.h>

#include "conf.h"
#include "db.h"
#include "log.h"
#include "pipeline.h"
#include "pool.h"
#include "req.h"
#include "route.h"
#include "token.h"

static void
usage(FILE *to, const char *program)
{
	fprintf(to, "usage: %s [-hnVv] [-c file] [-s socket]\n\n"
	    "  -c file    configuration (%s)\n"
	    "  -h         this text\n"
	    "  -n         check the configuration and exit\n"
	    "  -s socket  listen here, not on descriptor 0\n"
	    "  -V         version\n"
	    "  -v         say more\n", program, MILLRACE_CONF);
}

struct site *
site_open(int argc, char **argv, const char *program)
{
	static struct site the_site;	/* of this process */
	struct site	*site = &the_site;
	const char	*socket_path = NULL;
	int		 c, check_only = 0;

	log_init(program);
	site->program = program;
	site->conf_file = MILLRACE_CONF;
	site->started = (int64_t)time(NULL);
	while ((c = getopt(argc, argv, "c:hns:Vv")) != -1) {
		switch (c) {
		case 'c':
			site->conf_file = optarg;
			break;
		case 'h':
			usage(stdout, program);
			exit(0);
		case 'n':
			check_only = 1;
			break;
		case 's':
			socket_path = optarg;
			break;
		case 'V':
			printf("%s %s\n", program, MILLRACE_VERSION);
			exit(0);
		case 'v':
			log_verbose();
			break;
		default:
			usage(stderr, program);
			exit(2);
		}
	}
	if (optind != argc) {
		usage(stderr, program);
		exit(2);
	}
	if (sodium_init() == -1)
		fatalx("libsodium does not start");
	if ((site->conf = conf_load(site->conf_file)) == NULL ||
	    conf_secret(site->conf, site->conf_file) == -1)
		exit(1);
	if (check_only) {
		printf("%s: %s: fine\n", program, site->conf_file);
		exit(0);
	}
	pool_socket(socket_path);
	return site;
}

void
site_attach(struct site *site)
{
	site->db = db_open(site->conf, site->program);
	site->keys = token_keys_new(site->conf);
}

struct work {
	struct site		*site;
	const struct route	*routes;
	struct pipelines	*pipelines;	/* of the site; NULL: not yet */
};

/*
 * The workers get what their master has read: one that is replaced does not
 * stumble over a file that somebody is about to write.
 */
static int
read_pipelines(struct work *w)
{
	struct pipelines	*all;

	/* NULL: pipelines are the daemon's; here they are only named. */
	if ((all = pipeline_load(w->site->conf->pipelines, NULL)) == NULL)
		return -1;
	pipeline_free(w->pipelines);
	w->site->pipelines = w->pipelines = all;
	return 0;
}

static int
renew(void *arg)
{
	if (read_pipelines(arg) == 0)
		return 0;
	log_warnx("reload: the pipelines stay as they were");
	return -1;
}

static void
handle(struct req *r, void *routes)
{
	route_run(r, routes);
}

static void
work(void *arg)
{
	struct work	*w = arg;

	site_attach(w->site);
	req_serve(w->site, handle, (void *)(uintptr_t)w->routes);
}

int
site_serve(struct site *site, const struct route *routes, unsigned int workers)
{
	struct work	 w = { .site = site, .routes = routes };

	if (read_pipelines(&w) == -1)
		fatalx("no pipelines");
	return pool_run(workers, work, renew, &w);
}
