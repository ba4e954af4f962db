/*
 * Handlers: what an administrator asks for, and the state of the whole.
 */

#include "admin.h"

#include <string.h>
#include <sys/statvfs.h>
#include <time.h>

#include <json-c/json.h>

#include "conf.h"
#include "daemon.h"
#include "job.h"
#include "put.h"
#include "reply.h"
#include "req.h"
#include "route.h"
#include "user.h"

/* Rows of one answer, at most. */
#define USERS_MAX	200
#define DAEMONS_MAX	100
#define COUNTS_MAX	1000

/* A daemon that was not heard for this long is late, s; it renews each 5. */
#define LATE_S		12

int
admin_users(struct req *r)
{
	struct json_object	*o, *items, *one;
	struct user		*users;
	const char		*text = req_query(r, "after");
	uint64_t		 after = 0;
	int			 i, n;

	if (text != NULL && conf_number(text, INT64_MAX, &after) == -1)
		return req_fail(r, 400, "after: \"%s\" is no id", text);
	users = req_alloc(r, USERS_MAX * sizeof(*users));
	if ((n = user_list(r->site->db, after, users, USERS_MAX)) == -1)
		return route_db(r);
	o = json_object_new_object();
	items = put_array(o, "items");
	for (i = 0; i < n; i++) {
		one = json_object_new_object();
		put_text(one, "id", req_printf(r, "%llu",
		    (unsigned long long)users[i].id));
		put_text(one, "name", users[i].name);
		put_text(one, "role", user_role_name(users[i].role));
		json_object_object_add(one, "disabled",
		    json_object_new_boolean(users[i].disabled));
		put_time(one, "created_at", users[i].created_at,
		    DB_TIME_SECONDS);
		json_object_array_add(items, one);
	}
	put_or_null(o, "next_after", n < USERS_MAX ? "" : req_printf(r, "%llu",
	    (unsigned long long)users[n - 1].id));
	return reply_cached(r, o);
}

static struct json_object *
words(const char *text)
{
	struct json_object	*a = json_object_new_array();
	size_t			 len;

	for (;;) {
		text += strspn(text, " ");
		if ((len = strcspn(text, " ")) == 0)
			return a;
		json_object_array_add(a, json_object_new_string_len(text,
		    (int)len));
		text += len;
	}
}

static struct json_object *
daemon_object(struct req *r, const struct daemon *d)
{
	struct json_object	*o = json_object_new_object();

	put_text(o, "id", req_printf(r, "%llu", (unsigned long long)d->id));
	put_text(o, "host", d->host);
	put_number(o, "pid", d->pid);
	put_text(o, "version", d->version);
	put_number(o, "slots", d->slots);
	put_number(o, "running", d->running);
	json_object_object_add(o, "queues", words(d->queues));
	put_time(o, "started_at", d->started_at, DB_TIME_SECONDS);
	put_time(o, "seen_at", d->seen_at, DB_TIME_SECONDS);
	put_text(o, "state", d->expired ? "gone" : d->silent_s >= LATE_S ?
	    "late" : "up");
	return o;
}

int
admin_daemons(struct req *r)
{
	struct json_object	*o, *items;
	struct daemon		*list;
	int			 i, n;

	list = req_alloc(r, DAEMONS_MAX * sizeof(*list));
	if ((n = daemon_list(r->site->db, list, DAEMONS_MAX)) == -1)
		return route_db(r);
	o = json_object_new_object();
	items = put_array(o, "items");
	for (i = 0; i < n; i++)
		json_object_array_add(items, daemon_object(r, &list[i]));
	return reply_cached(r, o);
}

int
admin_stats(struct req *r)
{
	struct json_object	*o = json_object_new_object();
	struct json_object	*jobs = json_object_new_object();
	struct job_count	*counts;
	uint64_t		 sums[JOB_STATES] = { 0 };
	int			 i, n;

	counts = req_alloc(r, COUNTS_MAX * sizeof(*counts));
	if ((n = job_counts(r->site->db, counts, COUNTS_MAX)) == -1) {
		json_object_put(o);
		json_object_put(jobs);
		return route_db(r);
	}
	for (i = 0; i < n; i++)
		sums[counts[i].state] += counts[i].now;
	for (i = 0; i < JOB_STATES; i++)
		put_number(jobs, job_state_name((enum job_state)i), sums[i]);
	json_object_object_add(o, "jobs", jobs);
	return reply_cached(r, o);
}

/* ---- health -------------------------------------------------------------- */

static const char *
check_database(struct req *r)
{
	return db_alive(r->site->db) == 0 ? NULL : "the database is away";
}

static const char *
check_schema(struct req *r)
{
	struct job_count	 count;

	return job_counts(r->site->db, &count, 1) == -1 ?
	    "the tables are not there: millrace db migrate" : NULL;
}

static const char *
check_daemon(struct req *r)
{
	struct daemon	*list = req_alloc(r, DAEMONS_MAX * sizeof(*list));
	int		 i, n;

	if ((n = daemon_list(r->site->db, list, DAEMONS_MAX)) == -1)
		return "the database does not say";
	for (i = 0; i < n; i++) {
		if (!list[i].expired)
			return NULL;
	}
	return "no daemon has a fresh heartbeat";
}

static const char *
check_disk(struct req *r)
{
	struct statvfs	 s;

	if (statvfs(r->site->conf->root, &s) == -1)
		return "the storage root is not there";
	return (uint64_t)s.f_bavail * s.f_frsize < r->site->conf->reserve ?
	    "less than the reserve is free: uploads are refused" : NULL;
}

static const struct check {
	const char	*name;
	const char	*(*run)(struct req *);	/* NULL, or what is wrong */
} checks[] = {
	{ "database",	check_database },
	{ "schema",	check_schema },
	{ "daemon",	check_daemon },
	{ "disk",	check_disk },
	{ NULL }
};

int
admin_health(struct req *r)
{
	struct json_object	*o = json_object_new_object();
	struct json_object	*failed = json_object_new_object();
	const struct check	*c;
	const char		*wrong;
	bool			 healthy = true;

	for (c = checks; c->name != NULL; c++) {
		if ((wrong = c->run(r)) == NULL)
			continue;
		put_text(failed, c->name, wrong);
		healthy = false;
	}
	put_text(o, "status", healthy ? "healthy" : "unhealthy");
	put_text(o, "service", "millrace");
	put_text(o, "version", MILLRACE_VERSION);
	put_number(o, "uptime_seconds", (uint64_t)(time(NULL) -
	    r->site->started));
	if (healthy)
		json_object_put(failed);
	else
		json_object_object_add(o, "failed", failed);
	req_header(r, "Cache-Control", "no-store");
	if (!healthy)
		req_header(r, "Retry-After", "2");
	return reply_json(r, healthy ? 200 : 503, o);
}
