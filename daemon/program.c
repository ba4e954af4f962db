/*
 * Programs of stages: where they are, and what they are given.
 */

#include "program.h"

#include <sys/statvfs.h>

#include <stdlib.h>

#include "child.h"
#include "conf.h"
#include "env.h"
#include "job.h"
#include "log.h"
#include "pipeline.h"
#include "results.h"
#include "work.h"

/* Least room for a file on a disk that is nearly full, bytes. */
#define LEAST_ROOM	(64 * 1024 * 1024)

/* Bytes of the largest file that it may write. */
static uint64_t
room(const struct conf *conf, const struct task_job *j)
{
	struct statvfs	 fs;
	uint64_t	 left = 0;

	if (j->pipeline->written != 0)
		return j->pipeline->written;
	if (fstatvfs(j->work->dir, &fs) == 0)
		left = (uint64_t)fs.f_bavail * fs.f_frsize;
	left = left > conf->reserve ? left - conf->reserve : 0;
	return left > LEAST_ROOM ? left : LEAST_ROOM;
}

static char **
make_argv(const struct conf *conf, const struct stage *s)
{
	char	**argv;
	size_t	  i, n = 0;

	while (s->argv[n] != NULL)
		n++;
	argv = xcalloc(n + 1, sizeof(*argv));
	if (s->argv[0][0] == '/')
		argv[0] = xstrdup(s->argv[0]);
	else
		xasprintf(&argv[0], "%s/%s", conf->stages, s->argv[0]);
	for (i = 1; i < n; i++)
		argv[i] = xstrdup(s->argv[i]);
	return argv;
}

static char **
make_env(const struct conf *conf, const struct task_job *j,
    const struct task_step *s)
{
	struct env_facts	 facts = {
		.job = j->job, .pipeline = j->pipeline, .stage = s->stage,
		.params = j->params, .cores = s->cores, .upload = j->upload,
		.dir = j->work->path, .share = conf->share,
		.site = conf->environment
	};
	char			 name[RESULTS_STORE], *store, **env;

	if (!s->stage->kept) {
		facts.item = s->item;
		facts.args = s->args;
	}
	results_store(j->job->token, name);
	xasprintf(&store, "%s/%s", j->work->path, name);
	facts.store = store;
	env = env_new(&facts);
	free(store);
	return env;
}

struct child *
program_start(const struct conf *conf, const struct sandbox *sandbox,
    const struct task_job *job, const struct task_step *step,
    const struct child_owner *owner)
{
	struct child_spec	 spec = {
		.argv = make_argv(conf, step->stage),
		.envp = make_env(conf, job, step),
		.dir = job->work->path,
		.limit_s = step->stage->limit_s,
		.silence_s = job->pipeline->silence_s,
		.memory = job->pipeline->memory, .written = room(conf, job),
		.network = step->stage->network,
		.hold = job->work->hold,
		.fed = step->stage->kept
	};
	struct child		*c;

	c = child_start(sandbox, &spec, owner);
	env_free(spec.argv);
	env_free(spec.envp);
	return c;
}
