/*
 * status: what is known of jobs, and what a person may do with one.
 */

#include <stddef.h>

#include "admin.h"
#include "conf.h"
#include "jobs.h"
#include "metrics.h"
#include "req.h"
#include "route.h"
#include "site.h"
#include "steps.h"

/* Streams of these jobs are the hub's; what makes them is upload's. */
static const struct route	routes[] = {
	{ "GET",    "/api/v1/jobs",		ROUTE_USER,  jobs_list },
	{ "POST",   "/api/v1/jobs",		ROUTE_USER,  NULL },
	{ "GET",    "/api/v1/jobs/:id",		ROUTE_USER,  jobs_show },
	{ "DELETE", "/api/v1/jobs/:id",		ROUTE_USER,  jobs_delete },
	{ "GET",    "/api/v1/jobs/:id/status",	ROUTE_USER,  jobs_status },
	{ "GET",    "/api/v1/jobs/:id/events",	ROUTE_USER,  jobs_events },
	{ "GET",    "/api/v1/jobs/:id/steps",	ROUTE_USER,  steps_list },
	{ "GET",    "/api/v1/jobs/:id/logs",	ROUTE_USER,  steps_logs },
	{ "GET",    "/api/v1/jobs/:id/artifacts", ROUTE_GUEST, jobs_artifacts },
	{ "GET",    "/api/v1/jobs/:id/artifacts/*name", ROUTE_GUEST,
	    jobs_artifact },
	{ "POST",   "/api/v1/jobs/:id/cancel",	ROUTE_USER,  jobs_cancel },
	{ "POST",   "/api/v1/jobs/:id/retry",	ROUTE_USER,  jobs_retry },
	{ "GET",    "/api/v1/pipelines",	ROUTE_USER,  jobs_pipelines },
	{ "GET",    "/api/v1/pipelines/:name",	ROUTE_USER,  jobs_pipeline },
	{ "GET",    "/api/v1/admin/users",	ROUTE_ADMIN, admin_users },
	{ "GET",    "/api/v1/admin/daemons",	ROUTE_ADMIN, admin_daemons },
	{ "GET",    "/api/v1/admin/stats",	ROUTE_ADMIN, admin_stats },
	{ "GET",    "/jobs/:id",		ROUTE_GUEST, jobs_process },
	{ "GET",    "/health",			ROUTE_ANYBODY, admin_health },
	{ "GET",    "/metrics",			ROUTE_ANYBODY, metrics_show },
	{ NULL }
};

int
main(int argc, char **argv)
{
	struct site	*site = site_open(argc, argv, "status");

	return site_serve(site, routes, site->conf->workers);
}
