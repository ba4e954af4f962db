/*
 * auth: who somebody is.  The only program that sees passwords.
 */

#include <stddef.h>

#include "conf.h"
#include "password.h"
#include "req.h"
#include "route.h"
#include "site.h"
#include "users.h"

/* Twice as many as are busy: the others wait for their turn to hash. */
#define WORKERS_FACTOR	2

static const struct route	routes[] = {
	{ "POST",   "/api/v1/auth/register",	ROUTE_ANYBODY, users_register },
	{ "POST",   "/api/v1/auth/login",	ROUTE_ANYBODY, users_login },
	{ "POST",   "/api/v1/auth/refresh",	ROUTE_ANYBODY, users_refresh },
	{ "POST",   "/api/v1/auth/logout",	ROUTE_USER,  users_logout },
	{ "POST",   "/api/v1/auth/password",	ROUTE_USER,  users_password },
	{ "GET",    "/api/v1/auth/me",		ROUTE_USER,  users_me },
	{ "POST",   "/api/v1/auth/tickets",	ROUTE_USER,  users_ticket },
	{ "GET",    "/api/v1/auth/tokens",	ROUTE_USER,  users_tokens },
	{ "POST",   "/api/v1/auth/tokens",	ROUTE_USER,  users_token_add },
	{ "DELETE", "/api/v1/auth/tokens/:id",	ROUTE_USER,
	    users_token_revoke },
	{ NULL }
};

int
main(int argc, char **argv)
{
	struct site	*site = site_open(argc, argv, "auth");
	unsigned int	 workers = site->conf->workers * WORKERS_FACTOR;

	password_limit(workers);
	return site_serve(site, routes, workers);
}
