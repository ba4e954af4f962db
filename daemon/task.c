/*
 * Tasks: a step of a job, while its program works on it.
 */

#include "task.h"

#include <sys/wait.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "blackbox.h"
#include "job.h"
#include "kept.h"
#include "log.h"
#include "pipeline.h"
#include "verify.h"
#include "work.h"

struct tasks {
	const struct conf *conf;
	const struct sandbox *sandbox;
	struct kepts	*kepts;
	size_t		 n;		/* that run */
};

struct task {
	struct tasks	*all;
	const struct task_job *job;
	struct task_owner owner;
	struct child	*child;		/* its own process; NULL: */
	struct kept	*kept;		/* one that is kept for many */
	struct said	 said;
	struct verify	*verify;	/* of what it stored; NULL: */
	char		*store;		/* where that is */
	struct child_end end;		/* that waits for it */
};

/* ---- what its program says ----------------------------------------------- */

static void
task_ends(void *arg)
{
	struct task	*t = arg;

	t->all->n--;
	t->owner.end(t->owner.arg, &t->end);
	said_clear(&t->said);
	free(t->store);
	free(t);
}

/* What it stored is believed when it was read. */
static void
on_end(void *arg, const struct child_end *end)
{
	struct task	*t = arg;
	char		 name[RESULTS_STORE];

	t->child = NULL;
	t->kept = NULL;
	t->end = *end;
	if (end->why == CHILD_EXITED && end->status == 0 &&
	    t->said.stored.n > 0) {
		results_store(t->job->job->token, name);
		xasprintf(&t->store, "%s/%s", t->job->work->path, name);
		t->verify = verify_start(&t->said.stored, t->store, task_ends,
		    t);
		if (t->verify != NULL)
			return;
		t->end.why = CHILD_UNSTARTED;
		t->end.error = EAGAIN;
		strlcpy(t->end.what, "a look at what it stored",
		    sizeof(t->end.what));
	}
	task_ends(t);
}

/* A kept program says that it is done with the item, well or not. */
static void
end_item(struct task *t)
{
	struct child_end	 end = {
		.why = CHILD_EXITED,
		.status = t->said.fails ? W_EXITCODE(1, 0) : 0
	};

	kept_over(t->kept);
	on_end(t, &end);
}

static void
on_line(void *arg, char *line)
{
	struct task	*t = arg;

	blackbox_name(&t->job->job->id);
	if (said_line(&t->said, line))
		t->owner.news(t->owner.arg);
	if (t->said.over)
		end_item(t);
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

/* ---- tasks --------------------------------------------------------------- */

struct task *
task_start(struct tasks *all, const struct task_job *job,
    const struct task_step *step, const struct task_owner *owner)
{
	struct task		*t = xcalloc(1, sizeof(*t));
	struct child_owner	 to_us = {
		.line = on_line, .output = on_output, .end = on_end, .arg = t
	};

	t->all = all;
	t->job = job;
	t->owner = *owner;
	t->said.details = job->details;
	if (step->stage->kept) {
		t->said.item = step->item;
		t->kept = kept_feed(all->kepts, job, step, &to_us);
	} else
		t->child = program_start(all->conf, all->sandbox, job, step,
		    &to_us);
	if (t->child == NULL && t->kept == NULL) {
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

static void
stop_verify(struct task *t)
{
	if (t->verify == NULL)
		return;
	t->end.why = CHILD_TOLD;
	verify_stop(t->verify);
}

void
task_stop(struct task *t, unsigned int grace_ms)
{
	if (t->child != NULL)
		child_stop(t->child, grace_ms);
	if (t->kept != NULL)
		kept_stop(t->kept, grace_ms);
	stop_verify(t);
}

void
task_kill(struct task *t)
{
	if (t->child != NULL)
		child_kill(t->child);
	if (t->kept != NULL)
		kept_kill(t->kept);
	stop_verify(t);
}

bool
tasks_idle(const struct tasks *all, const struct task_job *job)
{
	return kepts_any(all->kepts, job);
}

bool
tasks_dismiss(struct tasks *all, const struct task_job *job)
{
	return kepts_dismiss(all->kepts, job);
}

bool
tasks_stop_idle(struct tasks *all, const struct task_job *job,
    unsigned int grace_ms)
{
	return kepts_stop(all->kepts, job, grace_ms);
}

bool
tasks_kill_idle(struct tasks *all, const struct task_job *job)
{
	return kepts_kill(all->kepts, job);
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
	all->kepts = kepts_new(conf, sandbox);
	return all;
}

void
tasks_free(struct tasks *all)
{
	if (all == NULL)
		return;
	kepts_free(all->kepts);
	free(all);
}
