/*
 * upload: files come in, and become jobs.
 */

#include <stddef.h>

#include "conf.h"
#include "req.h"
#include "route.h"
#include "site.h"
#include "uploads.h"

/*
 * An upload keeps its worker until the last byte, however slow the client is.
 * So there are more of them here than elsewhere, 2 to 3 MB each.
 */
#define WORKERS_FACTOR	4
#define WORKERS_LEAST	16

static const struct route	routes[] = {
	{ "POST", "/api/v1/jobs",	ROUTE_USER,  uploads_submit },
	{ "POST", "/process",		ROUTE_GUEST, uploads_process },
	{ NULL }
};

int
main(int argc, char **argv)
{
	struct site	*site = site_open(argc, argv, "upload");
	unsigned int	 workers = site->conf->workers * WORKERS_FACTOR;

	uploads_open();		/* before the workers, so that they share it */
	return site_serve(site, routes,
	    workers < WORKERS_LEAST ? WORKERS_LEAST : workers);
}
