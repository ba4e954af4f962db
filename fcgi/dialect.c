/*
 * Dialects: one job, told in the words of different clients.
 *
 * Everything is made from an event and the facts of its job that never
 * change; a snapshot is the event that the job's row stands for.  So polling
 * and streaming cannot differ.
 */

#include "dialect.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <json-c/json.h>

#include "db.h"
#include "event.h"
#include "job.h"
#include "log.h"
#include "put.h"
#include "uuid.h"

#define PLAIN	(JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE)

/* ---- text and JSON ------------------------------------------------------- */

void
text_add(struct text *t, const char *p, size_t len)
{
	if (t->len + len + 1 > t->size) {
		t->size = (t->len + len + 1) * 2;
		t->p = xreallocarray(t->p, t->size, 1);
	}
	memcpy(t->p + t->len, p, len);
	t->len += len;
	t->p[t->len] = '\0';
}

void
text_printf(struct text *t, const char *fmt, ...)
{
	va_list	 ap;
	char	*p;
	int	 len;

	va_start(ap, fmt);
	if ((len = vasprintf(&p, fmt, ap)) == -1)
		fatal("vasprintf");
	va_end(ap);
	text_add(t, p, (size_t)len);
	free(p);
}

/*
 * One frame.  JSON has no raw line breaks, so that nothing a stage says can
 * end a field or an event.  SEQ 0: no id.
 */
static void
frame(struct text *t, const char *event, uint32_t seq, struct json_object *o)
{
	size_t		 len;
	const char	*json = json_object_to_json_string_length(o, PLAIN,
	    &len);

	if (event != NULL)
		text_printf(t, "event: %s\n", event);
	if (seq != 0)
		text_printf(t, "id: %u\n", seq);
	text_add(t, "data: ", 6);
	text_add(t, json, len);
	text_add(t, "\n\n", 2);
	json_object_put(o);
}

/* ---- what both need ------------------------------------------------------ */

void
dialect_event_of(const struct job *job, struct event *e)
{
	memset(e, 0, sizeof(*e));
	e->job_id = job->id;
	e->seq = job->seq;
	strlcpy(e->at, job->changed_at, sizeof(e->at));
	e->state = (int)job->state;
	strlcpy(e->phase, job->phase, sizeof(e->phase));
	strlcpy(e->stage, job->stage, sizeof(e->stage));
	e->stage_progress = job->stage_progress;
	e->progress = job->progress;
	e->eta_s = job->eta_s;
	e->items_done = job->items_done;
	e->items_total = job->items_total;
	strlcpy(e->step, job->step, sizeof(e->step));
	strlcpy(e->message, job->message, sizeof(e->message));
	strlcpy(e->started_at, job->started_at, sizeof(e->started_at));
}

static bool
has_ended(const struct event *e)
{
	return job_ended((enum job_state)e->state);
}

bool
dialect_is_last(const struct job *job, const struct event *e)
{
	return has_ended(e) && e->seq == job->seq;
}

static const char *
error_of(const struct event *e)
{
	return has_ended(e) && e->state != JOB_COMPLETED ? e->message : "";
}

/* ---- v1 ------------------------------------------------------------------ */

struct json_object *
dialect_v1_event(const struct job *job, const struct event *e)
{
	struct json_object	*o = json_object_new_object();

	put_id(o, "job_id", &job->id);
	put_text(o, "pipeline", job->pipeline);
	put_text(o, "status", job_state_name(e->state == JOB_WAITING ?
	    JOB_PENDING : (enum job_state)e->state));
	put_text(o, "phase", e->phase);
	put_percent(o, "progress_percentage", e->progress);
	put_text(o, "current_step", e->step[0] != '\0' ? e->step : e->message);
	json_object_object_add(o, "eta_seconds", e->eta_s < 0 ? NULL :
	    json_object_new_int(e->eta_s));
	put_time(o, "created_at", job->created_at, DB_TIME_SECONDS);
	put_time(o, "started_at", e->started_at, DB_TIME_SECONDS);
	put_time(o, "completed_at", has_ended(e) ? e->at : "", DB_TIME_SECONDS);
	put_or_null(o, "error_message", error_of(e));
	put_or_null(o, "output_file", e->state == JOB_COMPLETED ?
	    job->output_file : "");
	put_time(o, "timestamp", e->at, DB_TIME_MILLISECONDS);
	return o;
}

struct json_object *
dialect_v1_job(const struct job *job)
{
	struct event	 e;

	dialect_event_of(job, &e);
	return dialect_v1_event(job, &e);
}

static void
v1_snapshot(struct text *t, const struct job *job)
{
	frame(t, NULL, job->seq, dialect_v1_job(job));
}

static void
v1_event(struct text *t, const struct job *job, const struct event *e)
{
	frame(t, NULL, e->seq, dialect_v1_event(job, e));
}

static void
v1_reset(struct text *t, const struct job *job)
{
	frame(t, "reset", job->seq, dialect_v1_job(job));
}

const struct dialect	dialect_v1 = {
	.name = "v1",
	.snapshot = v1_snapshot,
	.event = v1_event,
	.reset = v1_reset,
};

/* ---- process ------------------------------------------------------------- */

/* Percent of the whole from the stage and its own: fixed by the dialect. */
static const struct span {
	const char	*stage;
	int		 from, length;
} spans[] = {
	{ "uploading",		5,	5 },
	{ "transcoding",	30,	20 },
	{ "validation",		60,	0 },
	{ "packaging",		75,	10 },
	{ "storage",		90,	5 },
	{ NULL }
};

/* Waits to be run for the first time. */
static bool
is_new(const struct event *e)
{
	return (e->state == JOB_PENDING || e->state == JOB_WAITING) &&
	    e->started_at[0] == '\0';
}

static const char *
process_status(const struct event *e)
{
	switch ((enum job_state)e->state) {
	case JOB_COMPLETED:
		return "completed";
	case JOB_FAILED:
	case JOB_CANCELLED:
		return "failed";
	default:
		return is_new(e) ? "pending" : "processing";
	}
}

static const char *
process_stage(const struct event *e)
{
	if (e->state == JOB_COMPLETED)
		return "completed";
	return e->stage[0] != '\0' ? e->stage : spans[0].stage;
}

static int
process_progress(const struct event *e)
{
	const struct span	*s;

	if (e->state == JOB_COMPLETED)
		return 100;
	if (e->stage[0] == '\0')
		return 0;
	for (s = spans; s->stage != NULL; s++) {
		if (strcmp(s->stage, e->stage) == 0)
			return s->from +
			    (int)(s->length * e->stage_progress / 100);
	}
	return (int)e->progress;	/* a stage the dialect lacks */
}

static void
put_state(struct json_object *o, const struct event *e)
{
	put_text(o, "status", process_status(e));
	put_text(o, "stage", process_stage(e));
	json_object_object_add(o, "progress",
	    json_object_new_int(process_progress(e)));
}

static struct json_object *
progress_object(const struct event *e)
{
	struct json_object	*o = json_object_new_object();

	put_id(o, "job_id", &e->job_id);
	put_text(o, "stage", process_stage(e));
	json_object_object_add(o, "progress",
	    json_object_new_int(process_progress(e)));
	put_text(o, "message", e->message[0] != '\0' ? e->message : e->step);
	put_time(o, "timestamp", e->at, DB_TIME_SECONDS);
	if (error_of(e)[0] != '\0')
		put_text(o, "error_message", error_of(e));
	return o;
}

static void
process_event(struct text *t, const struct job *job, const struct event *e)
{
	bool	 last = dialect_is_last(job, e);

	frame(t, "progress", last ? 0 : e->seq, progress_object(e));
	if (last)
		frame(t, "done", e->seq, json_object_new_object());
}

static void
process_state(struct text *t, const struct job *job)
{
	struct json_object	*o = json_object_new_object();
	struct event		 e;

	dialect_event_of(job, &e);
	put_id(o, "job_id", &job->id);
	put_state(o, &e);
	frame(t, "status", 0, o);
}

static void
process_snapshot(struct text *t, const struct job *job)
{
	struct event	 e;

	process_state(t, job);
	dialect_event_of(job, &e);
	if (has_ended(&e))
		process_event(t, job, &e);
}

const struct dialect	dialect_process = {
	.name = "process",
	.snapshot = process_snapshot,
	.resumed = process_state,
	.event = process_event,
	.reset = process_snapshot,
};

/* The same word for a job whoever asks, as workflow engines have one. */
static void
put_workflow_id(struct json_object *o, const struct job *job, const char *key)
{
	struct tm	 tm = { 0 };
	struct text	 t = { 0 };

	strptime(job->created_at, "%Y-%m-%d %H:%M:%S", &tm);
	text_printf(&t, "video-processing-%s-%lld", key,
	    (long long)timegm(&tm));
	put_text(o, "workflow_id", t.p);
	free(t.p);
}

struct json_object *
dialect_process_job(const struct job *job, const struct event *latest,
    size_t n, const char *result, struct json_object *urls)
{
	struct json_object	*o = json_object_new_object();
	struct json_object	*list = json_object_new_array(), *one;
	const char		*key = job->key[0] ? job->key : job->name;
	struct event		 now;
	size_t			 i;

	dialect_event_of(job, &now);
	put_id(o, "id", &job->id);
	put_text(o, "key", key);
	put_text(o, "bucket", "input");
	put_state(o, &now);
	put_workflow_id(o, job, key);
	put_time(o, "created_at", job->created_at, DB_TIME_SECONDS);
	put_time(o, "updated_at", job->changed_at, DB_TIME_SECONDS);
	for (i = 0; i < n; i++) {
		one = json_object_new_object();
		put_text(one, "stage", process_stage(&latest[i]));
		json_object_object_add(one, "progress",
		    json_object_new_int(process_progress(&latest[i])));
		put_text(one, "message", latest[i].message[0] != '\0' ?
		    latest[i].message : latest[i].step);
		put_time(one, "created_at", latest[i].at, DB_TIME_SECONDS);
		json_object_array_add(list, one);
	}
	json_object_object_add(o, "latest_events", list);
	if (has_ended(&now))
		put_time(o, "completed_at", now.at, DB_TIME_SECONDS);
	if (error_of(&now)[0] != '\0')
		put_text(o, "error_message", error_of(&now));
	one = result == NULL ? NULL : json_tokener_parse(result);
	if (one == NULL && urls != NULL)
		one = json_object_new_object();
	if (urls != NULL)
		json_object_object_add(one, "storage_urls", urls);
	if (one != NULL)
		json_object_object_add(o, "result", one);
	return o;
}
