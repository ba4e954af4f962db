/*
 * What the hub counts, in the text format of Prometheus.
 *
 * Every series is there from the start, with 0, so that a rate can be taken
 * of the first thing that happens.
 */

#include "hubstats.h"

#include <inttypes.h>
#include <stdio.h>

#include "dialect.h"
#include "replace.h"

static const char *const why_names[HUB_WHYS] = {
	[HUB_DONE] = "done",
	[HUB_LEFT] = "left",
	[HUB_STALLED] = "stalled",
	[HUB_ROTATED] = "rotated",
	[HUB_REVOKED] = "revoked",
	[HUB_DELETED] = "deleted",
	[HUB_STOPPED] = "stopped",
};				/* the others are no ends of streams */

static const char *const later_names[FOLLOW_LATERS] = {
	[FOLLOW_FULL] = "full",
	[FOLLOW_MANY] = "many",
	[FOLLOW_AWAY] = "database",
};

static const char *
kind_name(unsigned int kind)
{
	return follow_kinds[kind].dialect->name;
}

static void
head(FILE *f, const char *name, const char *type, const char *help)
{
	fprintf(f, "# HELP millrace_sse_%s %s\n# TYPE millrace_sse_%s %s\n",
	    name, help, name, type);
}

static void
by_kind(FILE *f, const char *name, const char *help, const uint64_t *values)
{
	unsigned int	 i;

	head(f, name, "counter", help);
	for (i = 0; i < FOLLOW_KINDS; i++)
		fprintf(f, "millrace_sse_%s{kind=\"%s\"} %" PRIu64 "\n", name,
		    kind_name(i), values[i]);
}

static void
connections(FILE *f, const struct hub_stats *st)
{
	unsigned int	 i;

	head(f, "connections", "gauge", "Streams that are open.");
	for (i = 0; i < FOLLOW_KINDS; i++)
		fprintf(f, "millrace_sse_connections{kind=\"%s\"} %zu\n",
		    kind_name(i), st->streams[i]);
}

static void
ends(FILE *f, const struct hub_stats *st)
{
	unsigned int	 i, why;

	head(f, "ended_total", "counter", "Streams that ended, and why.");
	for (i = 0; i < FOLLOW_KINDS; i++) {
		for (why = 0; why < HUB_WHYS; why++) {
			if (why_names[why] == NULL)
				continue;
			fprintf(f, "millrace_sse_ended_total{kind=\"%s\","
			    "reason=\"%s\"} %" PRIu64 "\n", kind_name(i),
			    why_names[why], st->ended[i][why]);
		}
	}
	head(f, "dropped_total", "counter",
	    "Streams that were closed because their reader took no byte.");
	for (i = 0; i < FOLLOW_KINDS; i++)
		fprintf(f, "millrace_sse_dropped_total{kind=\"%s\"} %" PRIu64
		    "\n", kind_name(i), st->ended[i][HUB_STALLED]);
}

static void
refusals(FILE *f, const uint64_t *refused)
{
	unsigned int	 i;

	head(f, "refused_total", "counter",
	    "Requests for a stream that were told to come back later.");
	for (i = 0; i < FOLLOW_LATERS; i++) {
		if (later_names[i] != NULL)
			fprintf(f, "millrace_sse_refused_total{reason=\"%s\"} %"
			    PRIu64 "\n", later_names[i], refused[i]);
	}
}

static void
lags(FILE *f, const struct hub_stats *st)
{
	static const char	 bucket[] = "millrace_sse_lag_seconds_bucket";
	unsigned int		 i, k;
	uint64_t		 n;

	head(f, "lag_seconds", "histogram",
	    "From the time of an event to its write to a stream.");
	for (k = 0; k < FOLLOW_KINDS; k++) {
		for (i = 0, n = 0; i < HUB_LAGS; i++) {
			n += st->lag[k][i];
			fprintf(f, "%s{kind=\"%s\",le=\"%g\"} %" PRIu64 "\n",
			    bucket, kind_name(k), hub_lag_ms[i] / 1000.0, n);
		}
		n += st->lag[k][HUB_LAGS];
		fprintf(f, "%s{kind=\"%s\",le=\"+Inf\"} %" PRIu64 "\n", bucket,
		    kind_name(k), n);
		fprintf(f, "millrace_sse_lag_seconds_sum{kind=\"%s\"} %.3f\n",
		    kind_name(k), (double)st->lag_ms[k] / 1000);
		fprintf(f, "millrace_sse_lag_seconds_count{kind=\"%s\"} %"
		    PRIu64 "\n", kind_name(k), n);
	}
}

void
hubstats_write(const char *path, const struct hub_stats *st,
    const uint64_t refused[FOLLOW_LATERS])
{
	struct replacement	 r;
	FILE			*f;

	if ((f = replace_begin(&r, path)) == NULL)
		return;
	connections(f, st);
	by_kind(f, "opened_total", "Streams that were opened.", st->joined);
	by_kind(f, "events_total", "Events that were sent.", st->events);
	by_kind(f, "behind_total", "Times a slow stream had to be served from "
	    "the event table.", st->behind);
	ends(f, st);
	refusals(f, refused);
	lags(f, st);
	replace_end(&r);
}
