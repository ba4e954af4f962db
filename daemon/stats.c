/*
 * What a daemon counts of itself, in the text format of Prometheus.
 *
 * Every series is there from the start, with 0.
 */

#include "stats.h"

#include <inttypes.h>
#include <stdio.h>

#include "db.h"
#include "replace.h"

static const struct {
	const char	*name, *help;
} stats[STATS] = {
	[STAT_CLAIMED]	  = { "claimed", "Jobs taken from their queue." },
	[STAT_TAKEN_OVER] = { "taken_over",
			    "Jobs of dead daemons that were made to wait "
			    "again." },
	[STAT_FENCED]	  = { "fenced",
			    "Times that the lease was lost." },
	[STAT_SET_ASIDE]  = { "set_aside",
			    "Jobs set aside since too many daemons died with "
			    "them." },
	[STAT_LENT]	  = { "lent", "Items that other daemons have done." },
};

static const char *const step_ends[] = {
	[STEP_OK]	= "done",
	[STEP_REJECTED]	= "rejected",
	[STEP_AGAIN]	= "retry",
	[STEP_BROKEN]	= "failed",
	[STEP_LATE]	= "late",
	[STEP_CRASHED]	= "crashed",
	[STEP_LOST]	= "lost",
	[STEP_ENDED]	= "stopped",
};
#define STEP_ENDS	(sizeof(step_ends) / sizeof(step_ends[0]))

static const char *const run_ends[] = {
	[VERDICT_NONE]		= NULL,
	[VERDICT_GIVEN_BACK]	= "given_back",
	[VERDICT_AGAIN]		= "retry",
	[VERDICT_CRASHED]	= NULL,
	[VERDICT_STOPPED]	= "cancelled",
	[VERDICT_FAILED]	= "failed",
	[VERDICT_DONE]		= "completed",
	[VERDICT_LOST]		= "lost",
};
#define RUN_ENDS	(sizeof(run_ends) / sizeof(run_ends[0]))

static uint64_t	counts[STATS], steps[STEP_ENDS], runs[RUN_ENDS];

void
stats_add(enum stats_count what, size_t n)
{
	counts[what] += n;
}

void
stats_step(enum engine_event end)
{
	if (end < STEP_ENDS)
		steps[end]++;
}

void
stats_run(enum engine_verdict end)
{
	runs[end]++;
}

static void
head(FILE *f, const char *name, const char *help)
{
	fprintf(f, "# HELP millrace_daemon_%s_total %s\n"
	    "# TYPE millrace_daemon_%s_total counter\n", name, help, name);
}

static void
series(FILE *f, const char *name, const char *label, const char *value,
    uint64_t n)
{
	if (value != NULL)
		fprintf(f, "millrace_daemon_%s_total{%s=\"%s\"} %" PRIu64 "\n",
		    name, label, value, n);
}

static void
conflicts(FILE *f, const struct db *db)
{
	struct db_conflicts	 c;

	db_conflicts(db, &c);
	head(f, "conflicts", "Transactions that others were in the way of.");
	series(f, "conflicts", "reason", "deadlock", c.deadlocks);
	series(f, "conflicts", "reason", "timeout", c.timeouts);
	series(f, "conflicts", "reason", "stale", c.stale);
}

static void
write_all(FILE *f, const struct db *db)
{
	size_t	 i;

	for (i = 0; i < STATS; i++) {
		head(f, stats[i].name, stats[i].help);
		fprintf(f, "millrace_daemon_%s_total %" PRIu64 "\n",
		    stats[i].name, counts[i]);
	}
	head(f, "steps", "Tries of stages and items, by how they ended.");
	for (i = 0; i < STEP_ENDS; i++)
		series(f, "steps", "end", step_ends[i], steps[i]);
	head(f, "runs", "Turns at jobs, by how they ended.");
	for (i = 0; i < RUN_ENDS; i++)
		series(f, "runs", "end", run_ends[i], runs[i]);
	conflicts(f, db);
}

void
stats_write(const char *path, const struct db *db)
{
	struct replacement	 r;

	if (replace_begin(&r, path) == NULL)
		return;
	write_all(r.file, db);
	replace_end(&r);
}
