/*
 * Handlers: what is known of jobs, and what a person may do with one.
 */

#include "jobs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "conf.h"
#include "dialect.h"
#include "event.h"
#include "file.h"
#include "job.h"
#include "log.h"
#include "pipeline.h"
#include "put.h"
#include "reply.h"
#include "req.h"
#include "route.h"
#include "step.h"
#include "user.h"

/* Rows of one page: what is given, and at most. */
#define LIST_ROWS	50
#define LIST_MAX	200
#define EVENT_ROWS	200
#define EVENT_MAX	1000

/* Events of a process snapshot. */
#define LATEST		20

/* ---- small things -------------------------------------------------------- */

/* Two digits. */
static int
two(const char *p)
{
	return (p[0] - '0') * 10 + p[1] - '0';
}

/* "2026-11-24T22:50:37Z" of the query string, as the database writes it. */
static int
moment(struct req *r, const char *name, char time[DB_TIME])
{
	static const char	 shape[] = "dddd-dd-ddTdd:dd:dd";
	const char		*text = req_query(r, name);
	size_t			 i;

	time[0] = '\0';
	if (text == NULL)
		return 0;
	for (i = 0; shape[i] != '\0'; i++) {
		if (shape[i] == 'd' ? text[i] < '0' || text[i] > '9' :
		    text[i] != shape[i])
			goto wrong;
	}
	if (strcmp(text + i, "Z") != 0 || two(text + 5) - 1u > 11 ||
	    two(text + 8) - 1u > 30 || two(text + 11) > 23 ||
	    two(text + 14) > 59 || two(text + 17) > 59)
		goto wrong;
	strlcpy(time, text, 20);
	time[10] = ' ';
	return 0;
wrong:
	return req_fail(r, 400, "%s: \"%s\" is no time like "
	    "2026-11-24T22:50:37Z", name, text);
}

/* ---- lists --------------------------------------------------------------- */

static int
read_user(struct req *r, struct job_filter *f)
{
	const char	*name = req_query(r, "user");
	struct user	 user;

	if (r->caller.user.role != USER_ADMIN) {
		f->user_id = r->caller.user.id;
		if (name != NULL && strcmp(name, r->caller.user.name) != 0)
			return req_fail(r, 403, "user: for administrators");
		return 0;
	}
	if (name == NULL)
		return 0;
	if (user_named(r->site->db, name, &user) == -1) {
		if (db_error(r->site->db) != DB_OK)
			return route_db(r);
		return req_fail(r, 400, "user: \"%s\" is unknown", name);
	}
	f->user_id = user.id;
	return 0;
}

static int
read_filter(struct req *r, struct job_filter *f)
{
	const char	*text;
	int		 status;

	memset(f, 0, sizeof(*f));
	f->state = -1;
	if ((status = read_user(r, f)) != 0 ||
	    (status = moment(r, "since", f->since)) != 0 ||
	    (status = reply_number(r, "limit", 1, LIST_MAX, LIST_ROWS, &f->limit)) !=
	    0)
		return status;
	if ((text = req_query(r, "status")) != NULL &&
	    (f->state = job_state_parse(text)) == -1)
		return req_fail(r, 400, "status: \"%s\" is not one of pending, "
		    "running, completed, failed, cancelled", text);
	if ((text = req_query(r, "pipeline")) != NULL) {
		if (pipeline_find(r->site->pipelines, text) == NULL)
			return req_fail(r, 400, "pipeline: \"%s\" is unknown",
			    text);
		strlcpy(f->pipeline, text, sizeof(f->pipeline));
	}
	if ((text = req_query(r, "q")) != NULL &&
	    strlcpy(f->text, text, sizeof(f->text)) >= sizeof(f->text))
		return req_fail(r, 400, "q: longer than %zu bytes",
		    sizeof(f->text) - 1);
	if ((text = req_query(r, "cursor")) != NULL &&
	    uuid_parse(&f->before, text) == -1)
		return req_fail(r, 400, "cursor: \"%s\" is none of ours", text);
	return 0;
}

/* Names of users, asked for once each. */
struct names {
	struct { uint64_t id; char name[USER_NAME_MAX + 1]; } known[LIST_MAX];
	size_t	 n;
};

static const char *
user_name(struct req *r, struct names *names, uint64_t id)
{
	struct user	 user;
	size_t		 i;

	if (id == 0)
		return "";
	for (i = 0; i < names->n; i++) {
		if (names->known[i].id == id)
			return names->known[i].name;
	}
	names->known[i].id = id;
	names->known[i].name[0] = '\0';
	if (user_find(r->site->db, id, &user) == 0)
		strlcpy(names->known[i].name, user.name, sizeof(user.name));
	names->n++;
	return names->known[i].name;
}

int
jobs_list(struct req *r)
{
	struct job_filter	 f;
	struct job		*jobs;
	struct names		*names;
	struct json_object	*o, *items, *one;
	char			 cursor[UUID_TEXT] = "";
	int			 i, n, status;

	if ((status = read_filter(r, &f)) != 0)
		return status;
	f.limit++;			/* one more tells whether there is */
	jobs = req_alloc(r, f.limit * sizeof(*jobs));
	if ((n = job_list(r->site->db, &f, jobs)) == -1)
		return route_db(r);
	if (n == (int)f.limit)
		uuid_text(&jobs[--n - 1].id, cursor);
	names = req_alloc(r, sizeof(*names));
	names->n = 0;
	o = json_object_new_object();
	items = put_array(o, "items");
	for (i = 0; i < n; i++) {
		one = dialect_v1_job(&jobs[i]);
		put_text(one, "name", jobs[i].name);
		if (r->caller.user.role == USER_ADMIN)
			put_or_null(one, "user",
			    user_name(r, names, jobs[i].user_id));
		json_object_array_add(items, one);
	}
	put_or_null(o, "next_cursor", cursor);
	if (cursor[0] != '\0')
		reply_next(r, cursor);
	return reply_cached(r, o);
}

/* ---- one job ------------------------------------------------------------- */

int
jobs_status(struct req *r)
{
	struct job	 job;
	int		 status;

	if ((status = route_job(r, &job)) != 0)
		return status;
	return reply_cached(r, dialect_v1_job(&job));
}

static struct json_object *
links(struct req *r, const char *id)
{
	static const char *const	 parts[] = { "status", "stream",
	    "events", "steps", "artifacts", "logs" };
	struct json_object		*o = json_object_new_object();
	const char			*prefix = r->site->conf->prefix;
	size_t				 i;

	put_text(o, "self", req_printf(r, "%s/api/v1/jobs/%s", prefix, id));
	for (i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		put_text(o, parts[i], req_printf(r, "%s/api/v1/jobs/%s/%s",
		    prefix, id, parts[i]));
	return o;
}

int
jobs_show(struct req *r)
{
	struct json_object	*o;
	struct upload		 upload;
	struct names		*names;
	struct job		 job;
	char			 id[UUID_TEXT];
	int			 status;

	if ((status = route_job(r, &job)) != 0)
		return status;
	names = req_alloc(r, sizeof(*names));
	names->n = 0;
	o = dialect_v1_job(&job);
	put_text(o, "name", job.name);
	if (upload_find(r->site->db, &job.upload_id, &upload) == 0)
		put_number(o, "size", upload.size);
	else
		json_object_object_add(o, "size", NULL);
	put_or_null(o, "user", user_name(r, names, job.user_id));
	put_number(o, "attempt", job.attempt);
	put_text(o, "stage", job.stage);
	put_percent(o, "stage_progress", job.stage_progress);
	put_text(o, "message", job.message);
	put_json(o, "details", job_details(r->site->db, &job.id));
	put_json(o, "result", job_result(r->site->db, &job.id));
	put_json(o, "options", job_params(r->site->db, &job.id));
	json_object_object_add(o, "links", links(r, uuid_text(&job.id, id)));
	return reply_cached(r, o);
}

static struct json_object *
event_object(const struct event *e)
{
	struct json_object	*o = json_object_new_object();

	put_number(o, "seq", e->seq);
	put_time(o, "at", e->at, DB_TIME_MILLISECONDS);
	put_text(o, "status", job_state_name(e->state == JOB_WAITING ?
	    JOB_PENDING : (enum job_state)e->state));
	put_text(o, "phase", e->phase);
	put_text(o, "stage", e->stage);
	put_percent(o, "stage_progress", e->stage_progress);
	put_percent(o, "progress_percentage", e->progress);
	put_number(o, "items_done", e->items_done);
	put_number(o, "items_total", e->items_total);
	put_text(o, "current_step", e->step);
	put_text(o, "message", e->message);
	return o;
}

int
jobs_events(struct req *r)
{
	struct json_object	*o, *items;
	struct event		*events;
	struct job		 job;
	unsigned int		 after, limit;
	int			 i, n, status;

	if ((status = route_job(r, &job)) != 0 ||
	    (status = reply_number(r, "after", 0, UINT32_MAX, 0, &after)) != 0 ||
	    (status = reply_number(r, "limit", 1, EVENT_MAX, EVENT_ROWS, &limit)) !=
	    0)
		return status;
	events = req_alloc(r, limit * sizeof(*events));
	if ((n = event_list(r->site->db, &job.id, after, events, limit)) == -1)
		return route_db(r);
	o = json_object_new_object();
	items = put_array(o, "items");
	for (i = 0; i < n; i++)
		json_object_array_add(items, event_object(&events[i]));
	if (n == (int)limit)
		put_number(o, "next_after", events[n - 1].seq);
	else
		json_object_object_add(o, "next_after", NULL);
	return reply_cached(r, o);
}

/* ---- results ------------------------------------------------------------- */

/*
 * Results are for those who see the job; of an anonymous one for everybody.
 * Who comes without credentials learns nothing of the others.
 */
static int
result_job(struct req *r, struct job *job)
{
	int	 status = route_job(r, job);

	if ((status == 400 || status == 404) && r->caller.proof == PROOF_NONE)
		return req_fail(r, 401, "no credentials for this job");
	return status;
}

static const char *
artifact_url(struct req *r, const struct job *job, const char *name)
{
	char	 id[UUID_TEXT];

	return req_printf(r, "%s/api/v1/jobs/%s/artifacts/%s",
	    r->site->conf->prefix, uuid_text(&job->id, id),
	    reply_path(r, name));
}

int
jobs_artifacts(struct req *r)
{
	struct json_object	*o, *items, *one;
	struct artifact		*list;
	struct job		 job;
	int			 i, n, status;

	if ((status = result_job(r, &job)) != 0)
		return status;
	if ((n = artifact_list(r->site->db, &job.id, &list)) == -1)
		return route_db(r);
	o = json_object_new_object();
	items = put_array(o, "items");
	for (i = 0; i < n; i++) {
		one = json_object_new_object();
		put_text(one, "name", list[i].name);
		put_text(one, "type", list[i].type);
		put_number(one, "size", list[i].size);
		put_text(one, "sha256", list[i].sha256);
		put_text(one, "url", artifact_url(r, &job, list[i].name));
		json_object_array_add(items, one);
	}
	free(list);
	return reply_cached(r, o);
}

int
jobs_artifact(struct req *r)
{
	struct artifact	 artifact;
	struct job	 job;
	int		 status;

	if ((status = result_job(r, &job)) != 0)
		return status;
	if (artifact_find(r->site->db, &job.id, r->args[1], &artifact) == -1) {
		if (db_error(r->site->db) != DB_OK)
			return route_db(r);
		return req_fail(r, 404, "no such result");
	}
	return reply_file(r, artifact.path, artifact.name, artifact.type);
}

/* ---- wishes -------------------------------------------------------------- */

static int
accepted(struct req *r, const struct job *job, const char *state)
{
	struct json_object	*o = json_object_new_object();
	char			 id[UUID_TEXT];

	put_text(o, "job_id", uuid_text(&job->id, id));
	put_text(o, "status", state);
	return reply_json(r, 202, o);
}

/* What became of a wish: 1 granted, 0 refused in state NOW, -1 error. */
static int
refused(struct req *r, int granted, enum job_state now, const char *what)
{
	if (granted == 0)
		return req_fail(r, 409, "state: the job is %s and can't be %s",
		    job_state_name(now), what);
	if (db_error(r->site->db) == DB_OK)
		return req_fail(r, 404, "no such job");
	return route_db(r);
}

/* An anonymous job is everybody's to see, and nobody's to change. */
static int
own_job(struct req *r, struct job *job)
{
	int	 status;

	if ((status = route_job(r, job)) != 0)
		return status;
	if (job->user_id == 0 && r->caller.user.role != USER_ADMIN)
		return req_fail(r, 403, "an anonymous job is changed by "
		    "administrators only");
	return 0;
}

int
jobs_cancel(struct req *r)
{
	enum job_state	 now;
	struct job	 job;
	int		 granted, status;

	if ((status = own_job(r, &job)) != 0)
		return status;
	if ((granted = job_cancel(r->site->db, &job.id, &now)) != 1)
		return refused(r, granted, now, "cancelled");
	log_info("job %s: cancelled by %s", r->args[0], r->caller.user.name);
	return accepted(r, &job, now == JOB_RUNNING ? "cancelling" :
	    "cancelled");
}

/* Where a job is to begin again. */
struct again {
	const struct job *job;
	const struct pipeline *pipeline;
	unsigned int	  position;	/* of the stage */
	bool		  all;		/* also what is done of it, and after */
};

/*
 * Behind this position no items are kept: all that name them run again.  Those
 * of the first "each" may have been named by a stage that stays done.
 */
static unsigned int
keep_items(const struct again *again)
{
	unsigned int	 i = again->position;

	while (i > 0 && i < again->pipeline->nstages &&
	    again->pipeline->stages[i].kind != STAGE_EACH)
		i++;
	return i;
}

static int
reset_steps(struct db *db, void *arg)
{
	const struct again	*again = arg;

	if (again->all)
		return step_reset(db, &again->job->id, again->position,
		    keep_items(again));
	return step_resume(db, &again->job->id, again->position);
}

/* The share of what stays done, in percent. */
static double
done_already(const struct step_sum *sums, int n, const struct again *again)
{
	const struct pipeline	*p = again->pipeline;
	const struct step_sum	*s;
	double			 all, share = 0;

	/* As the pipeline was before: it starts anew. */
	for (s = sums; s < sums + n; s++) {
		if (s->position >= p->nstages ||
		    strcmp(s->stage, p->stages[s->position].name) != 0)
			return 0;
	}
	for (s = sums; s < sums + n; s++) {
		if (again->all && s->position >= again->position)
			break;
		all = s->n[STEP_WAITING] + s->n[STEP_RUNNING] +
		    s->n[STEP_DONE] + s->n[STEP_FAILED];
		share += p->stages[s->position].share * s->n[STEP_DONE] / all;
	}
	/* All that it has to do may be done, and its end be what failed. */
	return share > 99.9 ? 99.9 : share;
}

static int
find_stage(const struct pipeline *p, const char *name)
{
	size_t	 i;

	for (i = 0; i < p->nstages; i++) {
		if (strcmp(p->stages[i].name, name) == 0)
			return (int)i;
	}
	return -1;
}

/* "from" of the body: a stage, or "start"; else the stage that failed.  Of a
   cancelled job nothing is kept. */
static int
read_from(struct req *r, struct again *again)
{
	const struct pipeline	*p = again->pipeline;
	struct json_object	*o;
	const char		*from = "";
	int			 at, status;

	if (r->length > 0) {
		if ((status = reply_body(r, &o)) != 0)
			return status;
		if ((from = reply_string(r, o, "from", PIPELINE_NAME,
		    REPLY_OPTIONAL)) == NULL)
			return 400;
	}
	again->all = from[0] != '\0' || again->job->state == JOB_CANCELLED;
	at = find_stage(p, again->all ? from : again->job->stage);
	if (at == -1 && from[0] != '\0' && strcmp(from, "start") != 0)
		return req_fail(r, 400, "from: \"%s\" is no stage of \"%s\"",
		    from, p->name);
	again->position = at == -1 || again->job->state == JOB_CANCELLED ? 0 :
	    (unsigned int)at;
	return 0;
}

int
jobs_retry(struct req *r)
{
	enum job_state	 now;
	struct again	 again;
	struct step_sum	*sums;
	struct job	 job;
	double		 progress;
	int		 granted, n, status;

	if ((status = own_job(r, &job)) != 0)
		return status;
	again.job = &job;
	again.pipeline = pipeline_find(r->site->pipelines, job.pipeline);
	if (again.pipeline == NULL)
		return req_fail(r, 409, "pipeline: \"%s\" is gone",
		    job.pipeline);
	if ((status = read_from(r, &again)) != 0)
		return status;
	if ((n = step_sums(r->site->db, &job.id, &sums)) == -1)
		return route_db(r);
	progress = done_already(sums, n, &again);
	free(sums);
	/* What is tried once more by itself does not fall either. */
	if (!again.all && progress < job.progress)
		progress = job.progress;
	granted = job_retry(r->site->db, &job.id, progress, reset_steps,
	    &again, &now);
	if (granted != 1)
		return refused(r, granted, now, "run again");
	log_info("job %s: retried by %s", r->args[0], r->caller.user.name);
	return accepted(r, &job, "pending");
}

int
jobs_delete(struct req *r)
{
	enum job_state	 now;
	struct job	 job;
	int		 granted, status;

	if ((status = own_job(r, &job)) != 0)
		return status;
	if ((granted = job_delete(r->site->db, &job.id, &now)) != 1)
		return refused(r, granted, now, "deleted");
	log_info("job %s: deleted by %s", r->args[0], r->caller.user.name);
	return reply_empty(r, 204);
}

/* ---- dialect process ----------------------------------------------------- */

/*
 * Where the results of a job are, by name; NULL: there are none.  Segments,
 * thousands of a long film, are found by their manifests.
 */
static struct json_object *
storage_urls(struct req *r, const struct job *job)
{
	struct json_object	*o = NULL;
	struct artifact		*list;
	int			 i, n;

	if (job->state != JOB_COMPLETED ||
	    (n = artifact_list(r->site->db, &job->id, &list)) == -1)
		return NULL;
	for (i = 0; i < n; i++) {
		if (strcmp(list[i].type, "video/iso.segment") == 0)
			continue;
		if (o == NULL)
			o = json_object_new_object();
		put_text(o, list[i].name, artifact_url(r, job, list[i].name));
	}
	free(list);
	return o;
}

int
jobs_process(struct req *r)
{
	struct event		 latest[LATEST];
	struct json_object	*o, *urls;
	struct job		 job;
	char			*result;
	int			 n, status;

	if ((status = route_job(r, &job)) != 0)
		return status;
	if ((n = event_last(r->site->db, &job.id, latest, LATEST)) == -1)
		return route_db(r);
	urls = storage_urls(r, &job);
	if (db_error(r->site->db) != DB_OK)
		return route_db(r);
	result = job_result(r->site->db, &job.id);
	o = dialect_process_job(&job, latest, (size_t)n, result, urls);
	free(result);
	return reply_cached(r, o);
}

/* ---- pipelines ----------------------------------------------------------- */

static struct json_object *
words(char *const *list)
{
	struct json_object	*a = json_object_new_array();

	for (; list != NULL && *list != NULL; list++)
		json_object_array_add(a, json_object_new_string(*list));
	return a;
}

static struct json_object *
option_object(const struct option_spec *s)
{
	static const char *const	 types[] = {
		[OPTION_TEXT] = "text", [OPTION_NUMBER] = "number",
		[OPTION_BOOLEAN] = "boolean", [OPTION_CHOICE] = "choice",
	};
	struct json_object		*o = json_object_new_object();

	put_text(o, "name", s->name);
	put_text(o, "type", types[s->type]);
	put_or_null(o, "default", s->initial != NULL ? s->initial : "");
	if (s->type == OPTION_CHOICE)
		json_object_object_add(o, "choices", words(s->choices));
	if (s->type == OPTION_NUMBER) {
		json_object_object_add(o, "least",
		    json_object_new_double(s->least));
		json_object_object_add(o, "most",
		    json_object_new_double(s->most));
	}
	return o;
}

static struct json_object *
stage_object(const struct stage *s)
{
	static const char *const	 kinds[] = { [STAGE_ONCE] = "once",
	    [STAGE_EACH] = "each", [STAGE_ALWAYS] = "always" };
	struct json_object		*o = json_object_new_object();

	put_text(o, "name", s->name);
	put_text(o, "phase", s->phase);
	put_text(o, "kind", kinds[s->kind]);
	put_percent(o, "share", s->share);
	return o;
}

static struct json_object *
pipeline_object(struct req *r, const struct pipeline *p)
{
	struct json_object	*o = json_object_new_object();
	struct json_object	*options = json_object_new_array();
	struct json_object	*stages = json_object_new_array();
	uint64_t		 most = r->site->conf->max_size;
	size_t			 i;

	if (p->max_size != 0 && p->max_size < most)
		most = p->max_size;
	put_text(o, "name", p->name);
	put_text(o, "title", p->title != NULL ? p->title : p->name);
	put_text(o, "about", p->about != NULL ? p->about : "");
	json_object_object_add(o, "accept", words(p->accept));
	put_number(o, "max_size", most);
	put_number(o, "retain_seconds", p->retain_s);
	for (i = 0; i < p->noptions; i++)
		json_object_array_add(options, option_object(&p->options[i]));
	json_object_object_add(o, "options", options);
	for (i = 0; i < p->nstages; i++)
		json_object_array_add(stages, stage_object(&p->stages[i]));
	json_object_object_add(o, "stages", stages);
	return o;
}

int
jobs_pipelines(struct req *r)
{
	struct json_object	*o, *items;
	size_t			 i;

	o = json_object_new_object();
	items = put_array(o, "items");
	for (i = 0; i < r->site->pipelines->n; i++)
		json_object_array_add(items,
		    pipeline_object(r, r->site->pipelines->list[i]));
	return reply_cached(r, o);
}

int
jobs_pipeline(struct req *r)
{
	const struct pipeline	*p = pipeline_find(r->site->pipelines,
	    r->args[0]);

	if (p == NULL)
		return req_fail(r, 404, "no such pipeline");
	return reply_cached(r, pipeline_object(r, p));
}
