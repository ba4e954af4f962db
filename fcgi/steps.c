/*
 * Handlers: the stages of a job, their items, and what those wrote.
 *
 * An "each" may have thousands of items, so there are pages of them; what all
 * of a stage come to is told on each page.
 */

#include "steps.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include <json-c/json.h>

#include "dialect.h"
#include "job.h"
#include "pipeline.h"
#include "put.h"
#include "reply.h"
#include "req.h"
#include "route.h"
#include "step.h"

/* Rows of one page: what is given, and at most. */
#define PAGE_ROWS	200
#define PAGE_MAX	1000

/* Where a page begins, as "3.page-7": position and item. */
#define CURSOR		(8 + sizeof(((struct step *)NULL)->item))

struct page {
	struct job	 job;
	struct step	*steps;
	unsigned int	 n;
	char		 next[CURSOR];	/* "": there are no more */
	const char	*url;		/* of those */
};

/* ---- pages --------------------------------------------------------------- */

static int
read_cursor(struct req *r, struct step_want *w)
{
	const char	*text = req_query(r, "cursor");
	unsigned long	 position;
	char		*end;

	w->position = 0;
	w->item = "";
	if (text == NULL)
		return 0;
	position = strtoul(text, &end, 10);
	if (text[0] < '0' || text[0] > '9' || position > UINT16_MAX ||
	    *end != '.')
		return req_fail(r, 400, "cursor: \"%s\" is none of ours", text);
	w->position = (unsigned int)position;
	w->item = end + 1;
	return 0;
}

static int
read_want(struct req *r, struct step_want *w)
{
	int	 status;

	w->stage = req_query(r, "stage");
	w->state = req_query(r, "state");
	if (w->state != NULL && strcmp(w->state,
	    step_state_name(step_state_parse(w->state))) != 0)
		return req_fail(r, 400, "state: \"%s\" is not one of waiting, "
		    "running, done, failed", w->state);
	if ((status = read_cursor(r, w)) != 0)
		return status;
	return reply_number(r, "limit", 1, PAGE_MAX, PAGE_ROWS, &w->limit);
}

/* The page that a request names; 0, or the status. */
static int
read_page(struct req *r, struct page *p)
{
	struct step_want	 want;
	int			 n, status;

	if ((status = route_job(r, &p->job)) != 0 ||
	    (status = read_want(r, &want)) != 0)
		return status;
	want.limit++;			/* one more tells whether there is */
	p->steps = req_alloc(r, want.limit * sizeof(*p->steps));
	if ((n = step_list(r->site->db, &p->job.id, &want, p->steps)) == -1)
		return route_db(r);
	p->n = (unsigned int)n;
	p->next[0] = '\0';
	if (p->n < want.limit)
		return 0;
	p->n--;
	snprintf(p->next, sizeof(p->next), "%u.%s", p->steps[p->n].position,
	    p->steps[p->n].item);
	p->url = reply_next(r, p->next);
	return 0;
}

/* ---- steps --------------------------------------------------------------- */

/* The phase of a stage, from its pipeline as it is today. */
static const char *
phase_of(struct req *r, const struct job *job, unsigned int position,
    const char *stage)
{
	const struct pipeline	*p = pipeline_find(r->site->pipelines,
	    job->pipeline);

	return p != NULL && position < p->nstages ?
	    p->stages[position].phase : stage;
}

/* The one that runs; how far it is stands in the job's row. */
static bool
is_now(const struct job *job, const struct step *s)
{
	return s->state == STEP_RUNNING && s->item[0] == '\0' &&
	    strcmp(s->stage, job->stage) == 0;
}

static struct json_object *
step_object(struct req *r, const struct job *job, const struct step *s)
{
	struct json_object	*o = json_object_new_object();

	put_text(o, "stage", s->stage);
	put_text(o, "phase", phase_of(r, job, s->position, s->stage));
	put_or_null(o, "item", s->item);
	put_text(o, "state", step_state_name(s->state));
	put_percent(o, "percent", is_now(job, s) ? job->stage_progress :
	    s->percent);
	put_number(o, "attempt", s->attempt);
	put_number(o, "failures", s->failures);
	put_number(o, "crashes", s->crashes);
	put_time(o, "started_at", s->started_at, DB_TIME_MILLISECONDS);
	put_time(o, "ended_at", s->ended_at, DB_TIME_MILLISECONDS);
	if (s->exit_status == -1)
		json_object_object_add(o, "exit_status", NULL);
	else if (WIFEXITED(s->exit_status))
		json_object_object_add(o, "exit_status",
		    json_object_new_int(WEXITSTATUS(s->exit_status)));
	else
		put_text(o, "exit_status", strsignal(WTERMSIG(s->exit_status)));
	put_or_null(o, "output", s->output);
	return o;
}

static struct json_object *
sum_object(struct req *r, const struct job *job, const struct step_sum *s)
{
	struct json_object	*o = json_object_new_object();
	bool			 now = s->n[STEP_RUNNING] > 0 &&
				    strcmp(s->stage, job->stage) == 0;
	int			 state;

	put_text(o, "stage", s->stage);
	put_text(o, "phase", phase_of(r, job, s->position, s->stage));
	for (state = 0; state < STEP_STATES; state++)
		put_number(o, step_state_name((enum step_state)state),
		    s->n[state]);
	put_percent(o, "percent", now ? job->stage_progress : s->percent);
	put_number(o, "attempt", s->attempt);
	put_time(o, "started_at", s->started_at, DB_TIME_MILLISECONDS);
	put_time(o, "ended_at", s->ended_at, DB_TIME_MILLISECONDS);
	return o;
}

int
steps_list(struct req *r)
{
	struct json_object	*o, *items, *stages;
	struct step_sum		*sums;
	struct page		 p;
	unsigned int		 k;
	int			 i, n, status;

	if ((status = read_page(r, &p)) != 0)
		return status;
	if ((n = step_sums(r->site->db, &p.job.id, &sums)) == -1)
		return route_db(r);
	o = json_object_new_object();
	items = put_array(o, "items");
	for (k = 0; k < p.n; k++)
		json_object_array_add(items, step_object(r, &p.job,
		    &p.steps[k]));
	stages = put_array(o, "stages");
	for (i = 0; i < n; i++)
		json_object_array_add(stages, sum_object(r, &p.job, &sums[i]));
	free(sums);
	put_or_null(o, "next_cursor", p.next);
	return reply_cached(r, o);
}

/* ---- logs ---------------------------------------------------------------- */

static void
add_log(struct text *t, const struct step *s)
{
	text_printf(t, "== %s%s%s, %s since %s\n%s", s->stage,
	    s->item[0] ? " " : "", s->item, step_state_name(s->state),
	    s->ended_at[0] ? s->ended_at : s->started_at, s->output);
	if (t->p[t->len - 1] != '\n')
		text_add(t, "\n", 1);
}

/* What each stage wrote last, with a line before it that names the stage. */
int
steps_logs(struct req *r)
{
	struct text	 t = { 0 };
	struct page	 p;
	unsigned int	 i;
	int		 status;

	if ((status = read_page(r, &p)) != 0)
		return status;
	text_add(&t, "", 0);
	for (i = 0; i < p.n; i++) {
		if (p.steps[i].started_at[0] != '\0')
			add_log(&t, &p.steps[i]);
	}
	if (p.next[0] != '\0')
		text_printf(&t, "== more: %s\n", p.url);
	req_header(r, "Cache-Control", "private, no-cache");
	req_reply(r, 200, "text/plain; charset=utf-8", t.p, t.len);
	free(t.p);
	return 0;
}
