/*
 * Programs that are kept running, and do the items of a stage one after the
 * other.
 */

#include "kept.h"

#include <sys/queue.h>
#include <sys/wait.h>

#include <stdlib.h>
#include <string.h>

#include "job.h"
#include "log.h"
#include "pipeline.h"
#include "report.h"
#include "work.h"

struct kept {
	TAILQ_ENTRY(kept) entry;
	struct kepts	*all;
	const struct task_job *job;
	struct task_step step;		/* the item at hand, if it is busy */
	struct child_owner owner;	/* of that */
	struct child	*child;
	bool		 busy;
	bool		 read;		/* it has begun to read its line */
	bool		 dismissed;	/* it is not fed any more */
	unsigned int	 done;		/* items, by this process */
	unsigned int	 rubbish;	/* lines said outside of an item */
};

struct kepts {
	const struct conf *conf;
	const struct sandbox *sandbox;
	TAILQ_HEAD(, kept) list;
};

/* ---- one process --------------------------------------------------------- */

static void
feed(struct kept *k)
{
	char	 line[REPORT_LINE_MAX];

	report_item(k->step.item, k->step.args, line);
	k->read = false;
	child_feed(k->child, line);
}

/*
 * What was said before it has read the line of an item is not of that item;
 * what it wrote to its log may help to understand why it did not get there.
 */
static void
on_line(void *arg, char *line)
{
	struct kept	*k = arg;

	if (k->busy && !k->read)
		k->read = child_has_read(k->child);
	if (k->busy && k->read)
		k->owner.line(k->owner.arg, line);
	else
		k->rubbish++;
}

static void
on_output(void *arg, const char *data, size_t len)
{
	struct kept	*k = arg;

	if (k->busy)
		k->owner.output(k->owner.arg, data, len);
	else
		work_log(k->job->work, data, len);
}

/* Whether the item at hand is not to blame, and another process may do it. */
static bool
is_spared(const struct kept *k, const struct child_end *end)
{
	return k->busy && k->done > 0 && end->missed &&
	    end->why != CHILD_FENCED;
}

static void
log_end(const struct kept *k, const struct child_end *end)
{
	char	 id[UUID_TEXT];

	uuid_text(&k->job->job->id, id);
	if (k->rubbish > 0)
		log_warnx("job %s: %s: %u lines on descriptor 3 were said "
		    "outside of an item", id, k->step.stage->name, k->rubbish);
	if ((k->busy && !is_spared(k, end)) || k->dismissed)
		return;
	if (WIFSIGNALED(end->status))
		log_info("job %s: %s: killed between two items by signal %d",
		    id, k->step.stage->name, WTERMSIG(end->status));
	else
		log_info("job %s: %s: exit %d between two items", id,
		    k->step.stage->name, WEXITSTATUS(end->status));
}

/* None of those that were told to end is left. */
static bool
is_quiet(const struct kepts *all, const struct task_job *job)
{
	const struct kept	*k;

	TAILQ_FOREACH(k, &all->list, entry) {
		if (k->job == job && k->dismissed)
			return false;
	}
	return true;
}

static void
on_end(void *arg, const struct child_end *end)
{
	struct kept		*k = arg;
	struct child_end	 why = *end;
	struct child_owner	 owner = k->owner;
	const struct task_job	*job = k->job;
	bool			 busy = k->busy, dismissed = k->dismissed;

	log_end(k, end);
	if (is_spared(k, end))
		why.why = CHILD_TOLD;
	if (why.why == CHILD_EXITED && why.status == 0)
		why.why = CHILD_EARLY;
	TAILQ_REMOVE(&k->all->list, k, entry);
	/* Either may be the end of the job. */
	if (busy)
		owner.end(owner.arg, &why);
	else if (dismissed && is_quiet(k->all, job) && job->quiet != NULL)
		job->quiet(job->arg);
	free(k);
}

static int
start(struct kept *k)
{
	struct child_owner	 to_us = {
		.line = on_line, .output = on_output, .end = on_end, .arg = k
	};

	k->child = program_start(k->all->conf, k->all->sandbox, k->job,
	    &k->step, &to_us);
	return k->child == NULL ? -1 : 0;
}

/* ---- items --------------------------------------------------------------- */

/* STAGE may be NULL: any. */
static struct kept *
find_idle(const struct kepts *all, const struct task_job *job,
    const struct stage *stage)
{
	struct kept	*k;

	TAILQ_FOREACH(k, &all->list, entry) {
		if (k->job == job && (stage == NULL ||
		    k->step.stage == stage) && !k->busy && !k->dismissed)
			return k;
	}
	return NULL;
}

bool
kepts_any(const struct kepts *all, const struct task_job *job)
{
	return find_idle(all, job, NULL) != NULL;
}

struct kept *
kept_feed(struct kepts *all, const struct task_job *job,
    const struct task_step *step, const struct child_owner *owner)
{
	struct kept	*k = find_idle(all, job, step->stage);

	if (k == NULL) {
		k = xcalloc(1, sizeof(*k));
		k->all = all;
		k->job = job;
		k->step = *step;
		if (start(k) == -1) {
			free(k);
			return NULL;
		}
		TAILQ_INSERT_TAIL(&all->list, k, entry);
	}
	k->step = *step;
	k->owner = *owner;
	k->busy = true;
	feed(k);
	return k;
}

void
kept_over(struct kept *k)
{
	/* What it wrote to its log before it said so is of this item, too. */
	child_listen(k->child);
	child_rest(k->child);
	k->busy = false;
	k->done++;
	k->dismissed = child_told(k->child);
}

void
kept_stop(struct kept *k, unsigned int grace_ms)
{
	child_stop(k->child, grace_ms);
}

void
kept_kill(struct kept *k)
{
	child_kill(k->child);
}

/* ---- all of a job -------------------------------------------------------- */

static void
let_go(struct kept *k, unsigned int arg)
{
	(void)arg;
	if (!k->dismissed)
		child_close(k->child);
}

static void
stop(struct kept *k, unsigned int grace_ms)
{
	child_stop(k->child, grace_ms);
}

static void
end_now(struct kept *k, unsigned int arg)
{
	(void)arg;
	child_kill(k->child);
}

/* Do it to all idle ones.  Whether there are any. */
static bool
to_idle(struct kepts *all, const struct task_job *job,
    void (*do_it)(struct kept *, unsigned int), unsigned int arg)
{
	struct kept	*k;
	bool		 any = false;

	TAILQ_FOREACH(k, &all->list, entry) {
		if (k->job != job || k->busy)
			continue;
		do_it(k, arg);
		k->dismissed = any = true;
	}
	return any;
}

bool
kepts_dismiss(struct kepts *all, const struct task_job *job)
{
	return to_idle(all, job, let_go, 0);
}

bool
kepts_stop(struct kepts *all, const struct task_job *job,
    unsigned int grace_ms)
{
	return to_idle(all, job, stop, grace_ms);
}

bool
kepts_kill(struct kepts *all, const struct task_job *job)
{
	return to_idle(all, job, end_now, 0);
}

struct kepts *
kepts_new(const struct conf *conf, const struct sandbox *sandbox)
{
	struct kepts	*all = xcalloc(1, sizeof(*all));

	all->conf = conf;
	all->sandbox = sandbox;
	TAILQ_INIT(&all->list);
	return all;
}

/* Their processes end when their keepers see that the daemon is gone. */
void
kepts_free(struct kepts *all)
{
	struct kept	*k;

	while ((k = TAILQ_FIRST(&all->list)) != NULL) {
		TAILQ_REMOVE(&all->list, k, entry);
		free(k);
	}
	free(all);
}
