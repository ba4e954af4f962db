/*
 * Find the row for a method and a path, see who asks, run its handler.
 *
 * Checks come in this order, whatever the route: 405 and 404 of unknown
 * paths, 401 no or bad credentials, 403 the role or scope is missing, then the
 * handler's own: 400 malformed, 404 unknown.
 */

#ifndef MILLRACE_ROUTE_H
#define MILLRACE_ROUTE_H

#include <stdbool.h>

struct caller;
struct job;
struct req;
struct uuid;

enum route_access {
	ROUTE_ANYBODY,		/* credentials are not looked at */
	ROUTE_GUEST,		/* anybody, if the site opened the dialect; else
				   as ROUTE_USER.  Given credentials must be
				   good. */
	ROUTE_USER,		/* signed in */
	ROUTE_ADMIN		/* with role admin */
};

/* Proofs in the query string, where a header or cookie cannot be sent. */
enum route_flags {
	ROUTE_STREAM	= 1	/* ?ticket= is a proof here */
};

/*
 * A row.  PATH has ":name" for one part; "*name" for the rest.  Without HANDLE
 * it is another program's, and only told of where methods are.
 */
struct route {
	const char	*method;
	const char	*path;
	enum route_access access;
	int		(*handle)(struct req *); /* 0, or an HTTP status */
	unsigned int	 flags;
};

/*
 * route_run	Answer one request by ROUTES (its last row has method NULL).
 *		A status of 400 and more that a handler returns becomes an
 *		application/problem+json (RFC 9457) here, and nowhere else.
 * route_caller	Who asks, into r->caller.  0, or the status that ends it.
 */
void	route_run(struct req *, const struct route *routes);
int	route_caller(struct req *, enum route_access, unsigned int flags);

/*
 * route_uuid	An argument of a route: 0, or 400 with the detail set.
 * route_shows	Whether a caller may see a job: its owner, an administrator,
 *		the holder of a ticket for it; an anonymous one whoever has its
 *		id.
 * route_job	The job that the first argument names, if the caller may see
 *		it.  0, 400, 404 or 503; a job of somebody else is told from an
 *		unknown one by nothing.
 * route_db	The status for a call of the database that failed: 503 with
 *		Retry-After while it is away, 500 for a defect of ours.
 */
int	route_uuid(struct req *, const char *text, struct uuid *);
bool	route_shows(const struct caller *, const struct job *);
int	route_job(struct req *, struct job *);
int	route_db(struct req *);

#endif
