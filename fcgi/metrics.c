/*
 * Handler: numbers for Prometheus.
 *
 * All of them come from rows that are maintained, or from the files that the
 * hub and the daemon write; a scrape costs the same at ten jobs and at ten million.
 */

#include "metrics.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf.h"
#include "daemon.h"
#include "dialect.h"
#include "job.h"
#include "pipeline.h"
#include "req.h"
#include "route.h"
#include "user.h"

#define COUNTS_MAX	1000
#define DAEMONS_MAX	100

/* What one program writes of itself, at most, bytes. */
#define COUNTED_MAX	(64 * 1024)

static void
head(struct text *t, const char *name, const char *type, const char *help)
{
	text_printf(t, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static const struct job_count *
count_of(const struct job_count *counts, int n, const char *pipeline,
    enum job_state state)
{
	int	 i;

	for (i = 0; i < n; i++) {
		if (counts[i].state == state &&
		    strcmp(counts[i].pipeline, pipeline) == 0)
			return &counts[i];
	}
	return NULL;
}

/* Every series exists from the start, with 0. */
static void
jobs(struct text *t, struct req *r, const struct job_count *counts, int n)
{
	const struct pipelines	*all = r->site->pipelines;
	const struct job_count	*c;
	size_t			 i;
	int			 state, pass;

	for (pass = 0; pass < 2; pass++) {
		head(t, pass == 0 ? "millrace_jobs" : "millrace_jobs_total",
		    pass == 0 ? "gauge" : "counter",
		    pass == 0 ? "Jobs there are now, by state." :
		    "Jobs that ever came to a state.");
		for (i = 0; i < all->n; i++) {
			for (state = 0; state < JOB_STATES; state++) {
				c = count_of(counts, n, all->list[i]->name,
				    (enum job_state)state);
				text_printf(t, "%s{pipeline=\"%s\",state="
				    "\"%s\"} %llu\n", pass == 0 ?
				    "millrace_jobs" : "millrace_jobs_total",
				    all->list[i]->name,
				    job_state_name((enum job_state)state),
				    c == NULL ? 0ULL : (unsigned long long)
				    (pass == 0 ? c->now : c->total));
			}
		}
	}
}

static void
daemons(struct text *t, const struct daemon *list, int n)
{
	unsigned int	 slots = 0, busy = 0, up = 0;
	int		 i;

	for (i = 0; i < n; i++) {
		if (list[i].expired)
			continue;
		up++;
		slots += list[i].slots;
		busy += list[i].running;
	}
	head(t, "millrace_workers", "gauge", "Daemons with a valid lease.");
	text_printf(t, "millrace_workers %u\n", up);
	head(t, "millrace_worker_slots", "gauge", "Jobs they can run at once.");
	text_printf(t, "millrace_worker_slots %u\n", slots);
	head(t, "millrace_worker_busy", "gauge", "Jobs they run.");
	text_printf(t, "millrace_worker_busy %u\n", busy);
}

/* What the hub or the daemon of this host wrote of itself; nothing where there
   is none. */
static void
counted(struct text *t, struct req *r, const char *file)
{
	char	*buf = req_alloc(r, COUNTED_MAX);
	FILE	*f;

	if ((f = fopen(req_printf(r, "%s/%s", r->site->conf->sockets, file),
	    "re")) == NULL)
		return;
	text_add(t, buf, fread(buf, 1, COUNTED_MAX, f));
	fclose(f);
}

/* Asked from this host, and not by a proxy here on behalf of somebody. */
static bool
is_local(struct req *r)
{
	return req_param(r, "FORWARDED_FOR")[0] == '\0' &&
	    (strcmp(r->address, "127.0.0.1") == 0 ||
	    strcmp(r->address, "::1") == 0);
}

int
metrics_show(struct req *r)
{
	struct job_count	*counts;
	struct daemon		*list;
	struct text		 t = { 0 };
	int			 n, nlist, status;

	if (!is_local(r) && (status = route_caller(r, ROUTE_ADMIN, 0)) != 0)
		return status;
	counts = req_alloc(r, COUNTS_MAX * sizeof(*counts));
	list = req_alloc(r, DAEMONS_MAX * sizeof(*list));
	if ((n = job_counts(r->site->db, counts, COUNTS_MAX)) == -1 ||
	    (nlist = daemon_list(r->site->db, list, DAEMONS_MAX)) == -1)
		return route_db(r);
	head(&t, "millrace_build_info", "gauge", "The version that runs.");
	text_printf(&t, "millrace_build_info{version=\"%s\"} 1\n",
	    MILLRACE_VERSION);
	jobs(&t, r, counts, n);
	daemons(&t, list, nlist);
	counted(&t, r, "daemon.metrics");
	counted(&t, r, "sse.metrics");
	req_reply(r, 200, "text/plain; version=0.0.4; charset=utf-8", t.p,
	    t.len);
	free(t.p);
	return 0;
}
