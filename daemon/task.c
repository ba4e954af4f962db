/*
 * Tasks: a step of a job, while its program works on it.
 */

#include "task.h"

#include <sys/statvfs.h>

#include <stdlib.h>
#include <string.h>

#include "blackbox.h"
#include "conf.h"
#include "env.h"
#include "job.h"
#include "log.h"
#include "pipeline.h"
#include "results.h"
#include "work.h"

/* Least room for a file on a disk that is nearly full, bytes. */
#define LEAST_ROOM	(64 * 1024 * 1024)

struct tasks {
	const struct conf *conf;
	const struct sandbox *sandbox;
	size_t		 n;		/* that run */
};

struct task {
	struct tasks	*all;
	const struct task_job *job;
	struct task_owner owner;
	struct child	*child;
	struct said	 said;
};

/* ---- what its program says ----------------------------------------------- */

static void
on_line(void *arg, char *line)
{
	struct task	*t = arg;

	blackbox_name(&t->job->job->id);
	if (said_line(&t->said, line))
		t->owner.news(t->owner.arg);
	blackbox_clear();
}

static void
on_output(void *arg, const char *data, size_t len)
{
	struct task	*t = arg;

	blackbox_name(&t->job->job->id);
	work_log(t->job->work, data, len);
	said_output(&t->said, data, len);
	blackbox_clear();
}

static void
on_end(void *arg, const struct child_end *end)
{
	struct task	*t = arg;

	t->all->n--;
	t->child = NULL;
	t->owner.end(t->owner.arg, end);
	said_clear(&t->said);
	free(t);
}

/* ---- what its program is given ------------------------------------------- */

/* Bytes of the largest file that it may write. */
static uint64_t
room(const struct tasks *all, const struct task_job *j)
{
	struct statvfs	 fs;
	uint64_t	 left = 0;

	if (j->pipeline->written != 0)
		return j->pipeline->written;
	if (fstatvfs(j->work->dir, &fs) == 0)
		left = (uint64_t)fs.f_bavail * fs.f_frsize;
	left = left > all->conf->reserve ? left - all->conf->reserve : 0;
	return left > LEAST_ROOM ? left : LEAST_ROOM;
}

static char **
make_argv(const struct tasks *all, const struct stage *s)
{
	char	**argv;
	size_t	  i, n = 0;

	while (s->argv[n] != NULL)
		n++;
	argv = xcalloc(n + 1, sizeof(*argv));
	if (s->argv[0][0] == '/')
		argv[0] = xstrdup(s->argv[0]);
	else
		xasprintf(&argv[0], "%s/%s", all->conf->stages, s->argv[0]);
	for (i = 1; i < n; i++)
		argv[i] = xstrdup(s->argv[i]);
	return argv;
}

static char **
make_env(const struct tasks *all, const struct task_job *j,
    const struct task_step *s)
{
	struct env_facts	 facts = {
		.job = j->job, .pipeline = j->pipeline, .stage = s->stage,
		.params = j->params, .item = s->item, .args = s->args,
		.cores = s->cores, .upload = j->upload, .dir = j->work->path,
		.share = all->conf->share, .site = all->conf->environment
	};
	char			 name[RESULTS_STORE], *store, **env;

	results_store(j->job->token, name);
	xasprintf(&store, "%s/%s", j->work->path, name);
	facts.store = store;
	env = env_new(&facts);
	free(store);
	return env;
}

/* ---- tasks --------------------------------------------------------------- */

struct task *
task_start(struct tasks *all, const struct task_job *job,
    const struct task_step *step, const struct task_owner *owner)
{
	struct task		*t = xcalloc(1, sizeof(*t));
	struct child_owner	 to_us = {
		.line = on_line, .output = on_output, .end = on_end, .arg = t
	};
	struct child_spec	 spec = {
		.argv = make_argv(all, step->stage),
		.envp = make_env(all, job, step),
		.dir = job->work->path,
		.limit_s = step->stage->limit_s,
		.silence_s = job->pipeline->silence_s,
		.memory = job->pipeline->memory, .written = room(all, job),
		.network = step->stage->network,
		.hold = job->work->hold
	};

	t->all = all;
	t->job = job;
	t->owner = *owner;
	t->said.details = job->details;
	t->child = child_start(all->sandbox, &spec, &to_us);
	env_free(spec.argv);
	env_free(spec.envp);
	if (t->child == NULL) {
		free(t);
		return NULL;
	}
	all->n++;
	return t;
}

struct said *
task_said(struct task *t)
{
	return &t->said;
}

void
task_stop(struct task *t, unsigned int grace_ms)
{
	if (t->child != NULL)
		child_stop(t->child, grace_ms);
}

void
task_kill(struct task *t)
{
	if (t->child != NULL)
		child_kill(t->child);
}

size_t
tasks_count(const struct tasks *all)
{
	return all->n;
}

struct tasks *
tasks_new(const struct conf *conf, const struct sandbox *sandbox)
{
	struct tasks	*all = xcalloc(1, sizeof(*all));

	all->conf = conf;
	all->sandbox = sandbox;
	return all;
}

void
tasks_free(struct tasks *all)
{
	free(all);
}
