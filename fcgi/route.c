/*
 * Find the row for a method and a path, see who asks, run its handler.
 */

#include "route.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "conf.h"
#include "job.h"
#include "log.h"
#include "reply.h"
#include "req.h"
#include "user.h"

/* What a client should wait when the database is away, s. */
#define AWAY_S	2

/* ---- paths --------------------------------------------------------------- */

/* Whether PATH has the shape of PATTERN; its parts go to ARGS. */
static bool
fits(struct req *r, const char *pattern, const char *path, const char **args)
{
	size_t	 n = 0, len;

	while (*pattern != '\0') {
		if (*pattern == '*') {
			args[n] = path;
			return *path != '\0';
		}
		if (*pattern == ':') {
			if ((len = strcspn(path, "/")) == 0)
				return false;
			args[n++] = req_printf(r, "%.*s", (int)len, path);
			path += len;
			pattern += strcspn(pattern, "/");
			continue;
		}
		if (*pattern++ != *path++)
			return false;
	}
	return *path == '\0';
}

static bool
same_method(const char *row, const char *method)
{
	/* nginx leaves the body out for HEAD. */
	return strcmp(row, method) == 0 ||
	    (strcmp(row, "GET") == 0 && strcmp(method, "HEAD") == 0);
}

/* The row for a request; NULL and the methods there are, or "". */
static const struct route *
find(struct req *r, const struct route *row, char *allow, size_t size)
{
	const char	*args[REQ_ARGS];

	allow[0] = '\0';
	for (; row->method != NULL; row++) {
		memset(args, 0, sizeof(args));
		if (!fits(r, row->path, r->path, args))
			continue;
		if (row->handle != NULL &&
		    same_method(row->method, r->method)) {
			memcpy(r->args, args, sizeof(args));
			return row;
		}
		if (strstr(allow, row->method) != NULL)
			continue;
		if (allow[0] != '\0')
			strlcat(allow, ", ", size);
		strlcat(allow, row->method, size);
		if (strcmp(row->method, "GET") == 0)
			strlcat(allow, ", HEAD", size);
	}
	return NULL;
}

int
route_uuid(struct req *r, const char *text, struct uuid *id)
{
	if (uuid_parse(id, text) == 0)
		return 0;
	return req_fail(r, 400, "id: \"%s\" is no UUID of 36 lower-case "
	    "characters", text);
}

bool
route_shows(const struct caller *c, const struct job *job)
{
	if (c->proof == PROOF_TICKET)
		return uuid_equal(&c->job, &job->id);
	return job->user_id == 0 || job->user_id == c->user.id ||
	    c->user.role == USER_ADMIN;
}

int
route_job(struct req *r, struct job *job)
{
	struct uuid	 id;
	int		 status;

	if ((status = route_uuid(r, r->args[0], &id)) != 0)
		return status;
	if (job_find(r->site->db, &id, job) == 0) {
		if (route_shows(&r->caller, job))
			return 0;
	} else if (db_error(r->site->db) != DB_OK)
		return route_db(r);
	return req_fail(r, 404, "no such job");
}

int
route_db(struct req *r)
{
	if (db_error(r->site->db) == DB_WRONG)
		return req_fail(r, 500, "the database refused a statement");
	r->retry_s = AWAY_S;
	return req_fail(r, 503, "the database is away");
}

/* ---- who asks ------------------------------------------------------------ */

/* Our own origin, as a browser would write it. */
static bool
own_origin(struct req *r, const char *origin)
{
	const char	*scheme = req_param(r, "REQUEST_SCHEME");
	size_t		 len = strlen(scheme);

	return strncmp(origin, scheme, len) == 0 &&
	    strncmp(origin + len, "://", 3) == 0 &&
	    strcmp(origin + len + 3, req_param(r, "HTTP_HOST")) == 0;
}

static bool
is_safe(const char *method)
{
	return strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;
}

/*
 * A browser sends its cookie with forms of other sites too.  It also says
 * where a request comes from; who says nothing is no browser of today and can
 * use a token.
 */
static int
check_site(struct req *r)
{
	const char	*site = req_param(r, "HTTP_SEC_FETCH_SITE");
	const char	*origin = req_param(r, "HTTP_ORIGIN");

	if (is_safe(r->method) || strcmp(site, "same-origin") == 0)
		return 0;
	if (site[0] == '\0' && own_origin(r, origin))
		return 0;
	return req_fail(r, 403, "a session cookie is good for our own pages "
	    "only: Origin: \"%s\", Sec-Fetch-Site: \"%s\"", origin, site);
}

/* The proof that came: its kind, and the text of it. */
struct proof {
	const char	*text;
	enum user_proof	 kind;
};

static const char *
session_cookie(struct req *r)
{
	const char	*cookie = req_cookie(r, "__Host-millrace");

	/* The other name says nothing of who has set it: see users.c. */
	if (cookie == NULL &&
	    strcmp(req_param(r, "REQUEST_SCHEME"), "http") == 0)
		cookie = req_cookie(r, "millrace_session");
	return cookie;
}

static struct proof
find_proof(struct req *r, unsigned int flags)
{
	const char	*header = req_param(r, "HTTP_AUTHORIZATION");
	const char	*text;

	if (header[0] != '\0') {
		if (strncasecmp(header, "Bearer ", 7) != 0)
			return (struct proof){ "", PROOF_JWT };
		text = header + 7 + strspn(header + 7, " ");
		return (struct proof){ text, strncmp(text, "mr_", 3) == 0 ?
		    PROOF_API : PROOF_JWT };
	}
	if ((flags & ROUTE_STREAM) != 0 &&
	    (text = req_query(r, "ticket")) != NULL)
		return (struct proof){ text, PROOF_TICKET };
	if ((text = session_cookie(r)) != NULL)
		return (struct proof){ text, PROOF_COOKIE };
	return (struct proof){ NULL, PROOF_NONE };
}

static int
check_proof(struct req *r, const struct proof *p)
{
	struct site	*site = r->site;

	switch (p->kind) {
	case PROOF_JWT:
		return user_by_jwt(site->db, site->keys, p->text, &r->caller);
	case PROOF_API:
		return user_by_api_token(site->db, p->text, &r->caller);
	case PROOF_COOKIE:
		return user_by_cookie(site->db, p->text, &r->caller);
	case PROOF_TICKET:
		return user_by_ticket(site->db, site->keys, p->text,
		    &r->caller);
	case PROOF_NONE:
		break;
	}
	return 1;
}

static int
check_rights(struct req *r, enum route_access access)
{
	unsigned int	 scope = is_safe(r->method) ? SCOPE_READ : SCOPE_WRITE;

	if (access == ROUTE_ADMIN && r->caller.user.role != USER_ADMIN)
		return req_fail(r, 403, "for administrators only");
	if (access == ROUTE_ADMIN)
		scope |= SCOPE_ADMIN;
	if (r->caller.proof == PROOF_API &&
	    (r->caller.scopes & scope) != scope)
		return req_fail(r, 403, "this token lacks the scope \"%s\"",
		    scope & SCOPE_ADMIN & ~r->caller.scopes ? "admin" :
		    scope & SCOPE_WRITE ? "write" : "read");
	/* Without that scope, one of an administrator is like any other. */
	if (r->caller.proof == PROOF_API &&
	    (r->caller.scopes & SCOPE_ADMIN) == 0)
		r->caller.user.role = USER_USER;
	if (r->caller.proof == PROOF_COOKIE)
		return check_site(r);
	return 0;
}

int
route_caller(struct req *r, enum route_access access, unsigned int flags)
{
	struct proof	 proof;

	memset(&r->caller, 0, sizeof(r->caller));
	if (access == ROUTE_ANYBODY)
		return 0;
	proof = find_proof(r, flags);
	if (proof.kind == PROOF_NONE) {
		if (access == ROUTE_GUEST && r->site->conf->anonymous)
			return 0;
		return req_fail(r, 401, "no credentials: send "
		    "\"Authorization: Bearer ...\" or sign in");
	}
	switch (check_proof(r, &proof)) {
	case 0:
		return check_rights(r, access);
	case 1:
		return req_fail(r, 401, "the credentials are not valid, or not "
		    "any more");
	default:
		return route_db(r);
	}
}

/* ---- other origins ------------------------------------------------------- */

static bool
is_allowed(const char *origins, const char *origin)
{
	size_t	 len = strlen(origin), n;

	for (; *origins != '\0'; origins += n) {
		origins += strspn(origins, " \t");
		n = strcspn(origins, " \t");
		if (n == len && len > 0 && memcmp(origins, origin, n) == 0)
			return true;
	}
	return false;
}

/* Say that a page of a configured origin may read this (Fetch standard). */
static void
share(struct req *r)
{
	const char	*origins = r->site->conf->origins;
	const char	*origin = req_param(r, "HTTP_ORIGIN");

	if (origins[0] == '\0')
		return;
	req_header(r, "Vary", "Origin");
	if (!is_allowed(origins, origin))
		return;
	req_header(r, "Access-Control-Allow-Origin", "%s", origin);
	req_header(r, "Access-Control-Allow-Credentials", "true");
	req_header(r, "Access-Control-Expose-Headers", "ETag, Link, Location, "
	    "Retry-After, X-Request-Id, Idempotent-Replayed");
}

/* OPTIONS: what may be asked here. */
static void
preflight(struct req *r, const char *allow)
{
	req_header(r, "Allow", "%s, OPTIONS", allow);
	if (req_param(r, "HTTP_ACCESS_CONTROL_REQUEST_METHOD")[0] != '\0' &&
	    is_allowed(r->site->conf->origins, req_param(r, "HTTP_ORIGIN"))) {
		req_header(r, "Access-Control-Allow-Methods", "%s", allow);
		req_header(r, "Access-Control-Allow-Headers", "Authorization, "
		    "Content-Type, Idempotency-Key, If-None-Match, "
		    "Last-Event-ID, X-Request-Id");
		req_header(r, "Access-Control-Max-Age", "3600");
	}
	reply_empty(r, 204);
}

/* ---- running ------------------------------------------------------------- */

static void
problem(struct req *r, int status)
{
	if (status == 401)
		req_header(r, "WWW-Authenticate", "Bearer");
	if (r->retry_s > 0)
		req_header(r, "Retry-After", "%u", r->retry_s);
	if (status >= 500)
		log_warnx("%s %s: %d %s", r->method, r->path, status,
		    r->detail);
	reply_problem(r, status, r->detail);
}

static int
run(struct req *r, const struct route *row)
{
	int	 status;

	if ((status = route_caller(r, row->access, row->flags)) != 0)
		return status;
	if (req_query_bad(r) != NULL)
		return req_fail(r, 400, "query string: %s", req_query_bad(r));
	return row->handle(r);
}

void
route_run(struct req *r, const struct route *routes)
{
	const struct route	*row;
	char			 allow[128];
	int			 status;

	req_header(r, "X-Request-Id", "%s", r->id);
	req_header(r, "X-Content-Type-Options", "nosniff");
	share(r);
	row = find(r, routes, allow, sizeof(allow));
	if (row == NULL && allow[0] != '\0' &&
	    strcmp(r->method, "OPTIONS") == 0) {
		preflight(r, allow);
		return;
	}
	if (row != NULL)
		status = run(r, row);
	else if (allow[0] != '\0') {
		req_header(r, "Allow", "%s, OPTIONS", allow);
		status = req_fail(r, 405, "method: \"%s\", not one of %s",
		    r->method, allow);
	} else
		status = req_fail(r, 404, "no such resource");
	if (status != 0)
		problem(r, status);
	else if (!req_replied(r))
		fatalx("%s %s: no answer", r->method, r->path);
}
