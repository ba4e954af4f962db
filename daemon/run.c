/*
 * Run jobs: each goes through the stages of its pipeline.
 *
 *	claimed --> load --> open its directory --> stages --> end --> gone
 *	             ^ |            ^ |                         |
 *	             '-'            '-'                         '- until it is
 *	    while the database   while programs of              in the database
 *	    is away              another run hold it
 *
 * engine.h decides; here its decisions are carried out, and what stages say is
 * passed on.
 */

#include "run.h"

#include <sys/queue.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <json.h>

#include "batch.h"
#include "blackbox.h"
#include "child.h"
#include "conf.h"
#include "daemon.h"
#include "db.h"
#include "engine.h"
#include "failed.h"
#include "file.h"
#include "lend.h"
#include "log.h"
#include "loop.h"
#include "plan.h"
#include "reason.h"
#include "results.h"
#include "said.h"
#include "said_json.h"
#include "set.h"
#include "stats.h"
#include "step.h"
#include "sweep.h"
#include "task.h"
#include "utf8.h"
#include "work.h"

/* Pauses before the database, or a directory, is tried again, ms. */
#define LOAD_MS		500
#define LOCK_MS		100

/* Nothing is started for so long when there was no room for a process, ms. */
#define NO_ROOM_MS	1000

/* A job whose pipeline is not known here waits so long for another host, ms;
   and it is taken so often at most. */
#define STRANGE_MS	2000
#define STRANGE_TRIES	60

/* What stages say is passed on this much later, together, ms. */
#define TELL_MS		20

/* Time between TERM and KILL when somebody waits for a job to end, and when
   somebody waits for the daemon to, ms. */
#define CANCEL_GRACE_MS	300
#define HURRY_GRACE_MS	1000

struct run {
	TAILQ_ENTRY(run) entry;
	struct runs	*all;
	struct job	 job;		/* as it was claimed; and its stage and
					   percentages, as clients see them */
	char		 id[UUID_TEXT];
	struct set	*set;
	const struct pipeline *pipeline;	/* NULL: not known here */
	struct outbox	*outbox;
	struct loop_timer *timer;	/* to load or to lock it again */
	bool		 waited;	/* it had to, and that was said */

	struct upload	 upload;
	char		*params;
	struct json_object *details;
	bool		 detailed;	/* they changed */
	struct work	 work;
	struct results	 results;
	bool		 unsaved;	/* of items, since the last list */
	struct task_job	 task_job;	/* of all of the above, for tasks */

	struct engine	 engine;
	struct plan	 plan;
	struct loan	*loan;		/* items that others do for us */
	unsigned int	 lent;		/* of the steps that run */
	bool		 loaded, inherited;	/* all of the above is there */
	bool		 changed;	/* the pipeline did: it starts anew */
	bool		 began;		/* the engine drives it */
	bool		 ending;	/* its end waits in the outbox, as: */
	enum engine_verdict verdict;

	const struct stage *stage;	/* that started last */
	const struct stage *shown;	/* the last one that is not "always" */
	char		 step[256], message[1024], why[1024];
	char		 again[1024];	/* why a step is to be tried again */
	uint64_t	 again_at;	/* not before, loop_now() */
	struct engine_pace pace;
	bool		 dirty;		/* clients do not know yet */
};

struct runs {
	struct runs_tools tools;
	unsigned int	 cores;
	TAILQ_HEAD(, run) list;
	size_t		 n;
	struct set	*set;		/* for those that start from now on */
	struct loop_timer *tell;	/* the dirty ones then */
	struct loop_timer *room;	/* no process is started before; NULL */
	struct lender	*lender;
};

static void	advance_all(void *);
static void	begin(void *);
static void	on_quiet(void *);
static void	perform(struct run *, unsigned int);

/* ---- words --------------------------------------------------------------- */

/* A text for clients; one that was cut to fit may end within a character. */
static void __attribute__((format(printf, 3, 4)))
say(char *to, size_t size, const char *fmt, ...)
{
	va_list	 ap;

	va_start(ap, fmt);
	vsnprintf(to, size, fmt, ap);
	va_end(ap);
	utf8_clean(to);
}

/* "organizing_qr" reads "Organizing qr": until the stage says it better. */
static void
title(const struct stage *s, char *buf, size_t size)
{
	char	*p;

	strlcpy(buf, s->name, size);
	for (p = buf; *p != '\0'; p++) {
		if (*p == '_' || *p == '-')
			*p = ' ';
	}
	if (*buf >= 'a' && *buf <= 'z')
		*buf = (char)(*buf - 'a' + 'A');
}

static const struct stage *
stage_of(const struct part *p)
{
	return plan_stage(&p->run->plan, p);
}

/* "STAGE ITEM", for the log. */
static const char *
name_of(const struct part *p)
{
	static char	 buf[320];

	snprintf(buf, sizeof(buf), "%s%s%s", stage_of(p)->name,
	    p->item != NULL ? " " : "", p->item != NULL ? p->item : "");
	return buf;
}

/* ---- telling clients ----------------------------------------------------- */

/* What was lost with a daemon is done again, but clients never see less. */
static void
never_less(struct run *r, struct job_news *n)
{
	struct job	*seen = &r->job;

	if (n->progress < seen->progress)
		n->progress = seen->progress;
	if (strcmp(n->stage, seen->stage) == 0 &&
	    n->stage_progress < seen->stage_progress)
		n->stage_progress = seen->stage_progress;
	strlcpy(seen->stage, n->stage, sizeof(seen->stage));
	seen->progress = n->progress;
	seen->stage_progress = n->stage_progress;
}

static void
compose(struct run *r, struct job_news *n)
{
	const struct stage	*first = r->pipeline->stages;
	struct engine_progress	 p;

	memset(n, 0, sizeof(*n));
	n->id = r->job.id;
	n->token = r->job.token;
	n->eta_s = -1;
	strlcpy(n->step, r->step, sizeof(n->step));
	strlcpy(n->message, r->message, sizeof(n->message));
	if (r->stage == NULL) {
		strlcpy(n->phase, r->job.phase, sizeof(n->phase));
		strlcpy(n->stage, r->job.stage, sizeof(n->stage));
		n->stage_progress = r->job.stage_progress;
		n->progress = r->job.progress;
		n->items_done = r->job.items_done;
		n->items_total = r->job.items_total;
		return;
	}
	strlcpy(n->phase, r->stage->phase, sizeof(n->phase));
	strlcpy(n->stage, r->shown->name, sizeof(n->stage));
	engine_progress(r->pipeline, r->plan.states, r->plan.n,
	    (unsigned int)(r->shown - first), &p);
	n->stage_progress = p.stage;
	n->progress = p.total;
	n->items_done = p.items_done;
	n->items_total = p.items_total;
	never_less(r, n);
	if (r->engine.state == ENGINE_WORKING)
		n->eta_s = engine_eta(&r->pace, p.total, loop_now());
}

static void
tell(struct run *r)
{
	struct job_news	 news;

	r->dirty = false;
	if (r->outbox == NULL || r->ending || r->pipeline == NULL)
		return;
	compose(r, &news);
	if (r->detailed)
		news.details = json_object_to_json_string(r->details);
	r->detailed = false;
	outbox_news(r->outbox, &news);
}

static void
tell_all(void *arg)
{
	struct runs	*all = arg;
	struct run	*r;

	all->tell = NULL;
	TAILQ_FOREACH(r, &all->list, entry) {
		if (r->dirty)
			tell(r);
	}
}

static void
tell_soon(struct run *r)
{
	r->dirty = true;
	if (r->all->tell == NULL)
		r->all->tell = loop_after(r->all->tools.loop, TELL_MS,
		    tell_all, r->all);
}

/* There may be thousands of items: as long as others follow, they are told of
   together. */
static void
tell_of(const struct part *p)
{
	struct run	*r = p->run;
	int		 next = engine_next(&r->engine, r->plan.states,
			    r->plan.n);

	if (p->item != NULL && next != -1 &&
	    stage_of(r->plan.parts[next]) == stage_of(p))
		tell_soon(r);
	else
		tell(r);
}

static void
save_step(struct part *p, const struct said *said,
    const struct child_end *end)
{
	struct step	 s;

	plan_row(&p->run->plan, p, &s);
	p->lent = 0;			/* nor is the row, any more */
	if (end != NULL && (s.state != STEP_WAITING ||
	    p->run->plan.states[p->at].again)) {
		s.exit_status = end->status;
		said_tail(said, s.output, sizeof(s.output));
	}
	outbox_step(p->run->outbox, &s);
}

/* ---- the end ------------------------------------------------------------- */

/* The run is over: forget it. */
static void
drop(struct run *r)
{
	struct runs	*all = r->all;

	TAILQ_REMOVE(&all->list, r, entry);
	all->n--;
	if (r->verdict == VERDICT_LOST)
		all->tools.lost(all->tools.arg);
	if (r->timer != NULL)
		loop_cancel(all->tools.loop, r->timer);
	outbox_free(r->outbox);
	loan_free(r->loan);
	plan_clear(&r->plan);
	free(r->params);
	json_object_put(r->details);
	work_close(&r->work);
	results_clear(&r->results);
	set_leave(r->set);
	free(r);
	all->tools.ended(all->tools.arg);
}

/* Hand the last word to the batch. */
static void
end_with(struct run *r, enum engine_verdict verdict)
{
	struct outbox_end	 end = { .verdict = verdict, .why = r->why };
	struct artifact		*list = NULL;
	uint64_t		 now = loop_now();

	if (verdict == VERDICT_DONE) {
		r->step[0] = r->message[0] = '\0';
		list = results_artifacts(&r->results, &r->job.id);
		end.artifacts = list;
		end.nartifacts = r->results.n;
		end.result = json_object_to_json_string(r->details);
	} else if (verdict == VERDICT_AGAIN && r->again_at > now)
		end.delay_s = (unsigned int)((r->again_at - now + 999) / 1000);
	tell(r);
	r->ending = true;
	r->verdict = verdict;
	outbox_end(r->outbox, &end);
	free(list);
}

/* The end of a job that cannot even begin; r->why is known. */
static void
end_unbegun(struct run *r, enum engine_verdict verdict)
{
	struct job_news	 news;

	memset(&news, 0, sizeof(news));
	news.id = r->job.id;
	news.token = r->job.token;
	news.progress = r->job.progress;
	news.eta_s = -1;
	strlcpy(news.stage, r->job.stage, sizeof(news.stage));
	if (verdict == VERDICT_AGAIN)
		strlcpy(news.phase, r->job.phase, sizeof(news.phase));
	outbox_news(r->outbox, &news);
	end_with(r, verdict);
}

static void __attribute__((format(printf, 2, 3)))
refuse(struct run *r, const char *fmt, ...)
{
	va_list		 ap;

	va_start(ap, fmt);
	vsnprintf(r->why, sizeof(r->why), fmt, ap);
	va_end(ap);
	log_info("job %s: failed: %s", r->id, r->why);
	end_unbegun(r, VERDICT_FAILED);
}

/*
 * Results have to be stored, and to lie under the token of the attempt that
 * completes the job.
 */
static enum engine_verdict
publish_last(struct run *r, enum engine_verdict verdict)
{
	char	 why[256] = "Its results cannot be noted";

	if (verdict != VERDICT_DONE || r->results.n == 0 ||
	    r->results.token == r->job.token)
		return verdict;
	if (results_publish(&r->results, r->work.dir, r->all->tools.conf->root,
	    &r->job.id, r->job.token, why) == 0 &&
	    results_save(&r->results, r->work.dir) == 0)
		return verdict;
	say(r->why, sizeof(r->why), "%s", why);
	return VERDICT_FAILED;
}

/* Where the reason is not known yet: a step, of this run or of one before. */
static void
explain(struct run *r, enum engine_verdict verdict)
{
	const struct result	*owed = results_owed(&r->results);

	if (verdict == VERDICT_AGAIN)
		strlcpy(r->why, r->again, sizeof(r->why));
	if (verdict != VERDICT_FAILED || r->why[0] != '\0')
		return;
	if (engine_spoilt(&r->engine, r->plan.states, r->plan.n))
		failed_why(r->details, r->why, sizeof(r->why));
	else if (owed != NULL)
		say(r->why, sizeof(r->why), "Result %s was named, but not "
		    "stored", owed->name);
	if (r->why[0] == '\0')
		strlcpy(r->why, "One of its stages has failed",
		    sizeof(r->why));
}

/*
 * Nothing runs any more: carry out the verdict, as soon as the programs that
 * were kept have ended, too.
 */
static void
finish(struct run *r)
{
	static const char *const words[] = {
		[VERDICT_NONE]		= "nothing",
		[VERDICT_GIVEN_BACK]	= "given back",
		[VERDICT_AGAIN]		= "to be tried again",
		[VERDICT_STOPPED]	= "cancelled",
		[VERDICT_FAILED]	= "failed",
		[VERDICT_DONE]		= "completed",
		[VERDICT_LOST]		= "lost: it is another's by now",
	};
	enum engine_verdict	 verdict;
	bool			 reason;

	if (tasks_dismiss(r->all->tools.tasks, &r->task_job))
		return;
	verdict = publish_last(r, r->engine.verdict);
	reason = verdict == VERDICT_AGAIN || verdict == VERDICT_FAILED;
	explain(r, verdict);
	log_info("job %s: %s%s%s", r->id, words[verdict],
	    reason ? ": " : "", reason ? r->why : "");
	r->verdict = verdict;
	stats_run(verdict);
	if (verdict == VERDICT_LOST)
		drop(r);
	else
		end_with(r, verdict);
}

/* The job is another's, or will be soon: write nothing, touch nothing. */
static void
let_go(struct run *r)
{
	outbox_free(r->outbox);
	r->outbox = NULL;
	if (r->engine.state == ENGINE_OVER)	/* it waits to be carried out */
		r->engine.verdict = VERDICT_LOST;
	perform(r, engine_handle(&r->engine, r->plan.states, r->plan.n,
	    JOB_LOST, -1));
}

/* What became of what was handed to the batch. */
static void
fate(void *arg, enum outbox_fate fate)
{
	struct run	*r = arg;
	char		 path[FILE_PATH];

	if (fate == OUTBOX_LOST) {
		if (r->began && !r->ending) {
			let_go(r);
			return;
		}
		log_info("job %s: lost: it is another's by now", r->id);
	} else if (r->verdict == VERDICT_DONE ||
	    r->verdict == VERDICT_STOPPED) {
		file_work_path(&r->job.id, path);
		sweep_remove(r->all->tools.sweep, path);
	}
	drop(r);
}

/* ---- stages -------------------------------------------------------------- */

/* What a program has said, here or elsewhere, is for clients. */
static void
hear(struct part *p, struct said *said)
{
	struct run	*r = p->run;

	if (said->percent > r->plan.states[p->at].percent)
		r->plan.states[p->at].percent = said->percent;
	if (said->message[0] != '\0')
		strlcpy(r->message, said->message, sizeof(r->message));
	strlcpy(r->step, said->step[0] != '\0' ? said->step : r->message,
	    sizeof(r->step));
	utf8_clean(r->step);
	r->detailed |= said->detailed;
	said->detailed = false;
	tell_soon(r);
}

static void
on_news(void *arg)
{
	struct part	*p = arg;

	hear(p, task_said(p->task));
}

/*
 * Write the list of results.  There may be thousands of items that have some:
 * it is written before what became of them is, not with each.
 */
static int
save_results(void *arg)
{
	struct run	*r = arg;

	if (!r->unsaved)
		return 0;
	if (results_save(&r->results, r->work.dir) == -1) {
		log_warn("job %s: list of results", r->id);
		return -1;
	}
	r->unsaved = false;
	return 0;
}

/* Take over what a stage that ended well has left.  0, or -1 and WHY. */
static int
keep(struct part *p, const struct said *said, char *why, size_t size)
{
	struct run		*r = p->run;
	const struct result	*one;
	char			 what[256];
	size_t			 i;

	if (!results_fit(&r->results, &said->results)) {
		say(why, size, "%s: more results than a job can have",
		    stage_of(p)->name);
		return -1;
	}
	for (i = 0; i < said->results.n; i++) {
		one = &said->results.list[i];
		results_add(&r->results, one->name, one->path, one->type)
		    ->stage = r->plan.states[p->at].position;
	}
	for (i = 0; i < said->stored.n; i++) {
		one = &said->stored.list[i];
		if (results_stored(&r->results, one->name, one->size,
		    one->sha256, one->type) == -1) {
			say(why, size, "%s: stored %s, which is "
			    "no result", stage_of(p)->name, one->name);
			return -1;
		}
	}
	if (said->stored.n > 0 && results_publish(&r->results, r->work.dir,
	    r->all->tools.conf->root, &r->job.id, r->job.token, what) == -1) {
		say(why, size, "%s: %s", stage_of(p)->name, what);
		return -1;
	}
	r->unsaved |= said->results.n > 0 || said->stored.n > 0;
	if (p->item == NULL && save_results(r) == -1) {
		say(why, size, "%s: its results cannot be noted",
		    stage_of(p)->name);
		return -1;
	}
	switch (plan_items(&r->plan, r->plan.states[p->at].position, said,
	    r->outbox)) {
	case PLAN_TAKEN:
		break;
	case PLAN_NOWHERE:
		log_warnx("job %s: %zu items named, but no \"each\" follows",
		    r->id, said->nitems);
		break;
	case PLAN_FULL:
		say(why, size, "%s: more than %d items", stage_of(p)->name,
		    PLAN_MOST);
		return -1;
	}
	return 0;
}

static void
log_end(const struct part *p, const struct said *said,
    const struct child_end *end, enum engine_event event)
{
	static const char *const words[] = {
		[STEP_OK]	= "done",
		[STEP_REJECTED]	= "refused the input",
		[STEP_AGAIN]	= "asks for another try",
		[STEP_BROKEN]	= "failed",
		[STEP_LATE]	= "over its limit",
		[STEP_CRASHED]	= "crashed",
		[STEP_LOST]	= "was lost with its daemon",
		[STEP_ENDED]	= "was told to end",
	};

	/* There may be thousands of items. */
	(p->item != NULL && event == STEP_OK ? log_debug : log_info)(
	    "job %s: %s: %s (%u.%03u s of CPU, %llu MB)", p->run->id,
	    name_of(p), words[event], end->cpu_ms / 1000, end->cpu_ms % 1000,
	    (unsigned long long)end->peak >> 20);
	if (said->rubbish > 0)
		log_warnx("job %s: %s: %u lines on descriptor 3 were none of "
		    "its protocol", p->run->id, name_of(p), said->rubbish);
}

/* It is tried again after a pause, of which its program may know more. */
static void
put_off(struct part *p, unsigned int retry_s, const char *why)
{
	struct run		*r = p->run;
	struct engine_step	*s = &r->plan.states[p->at];
	uint64_t		 at;

	if (retry_s == 0)
		retry_s = engine_pause(stage_of(p), s->failures + s->crashes,
		    arc4random());
	at = loop_now() + (uint64_t)retry_s * 1000;
	p->again_at = at;
	if (at > r->again_at)
		r->again_at = at;
	strlcpy(r->again, why, sizeof(r->again));
}

/* A step went wrong, WHY is known or to be found: note what it comes to. */
static void
note(struct part *p, const struct said *said, const struct child_end *end,
    enum engine_event event, char *why, size_t size)
{
	struct run		*r = p->run;
	struct engine_step	*s = &r->plan.states[p->at];
	unsigned int		 n;

	if (why[0] == '\0')
		reason_of(r->pipeline, stage_of(p), end, event, said, why,
		    size);
	if (s->again) {
		put_off(p, event == STEP_AGAIN ? said->retry_s : 0, why);
		return;
	}
	if (s->state != STEP_FAILED || stage_of(p)->kind == STAGE_ALWAYS)
		return;
	n = event == STEP_CRASHED || event == STEP_LOST ? s->crashes :
	    s->failures;
	if (n > 1)
		reason_final(event, n, why, size);
	failed_add(r->details, stage_of(p)->name, p->item, why);
	r->detailed = true;
}

/* Three crashes at one place set a job aside, not three in all its life. */
static void
recover(struct run *r)
{
	if ((r->job.crashes == 0 && r->job.deaths == 0) || r->outbox == NULL)
		return;
	outbox_recovered(r->outbox);
	r->job.crashes = r->job.deaths = 0;
}

/* A stage has ended, in one way or another. */
static void
settle(struct part *p, const struct said *said, const struct child_end *end,
    enum engine_event event)
{
	struct run	*r = p->run;
	char		 why[sizeof(r->why)] = "";
	unsigned int	 actions;

	if (event == STEP_OK && r->outbox != NULL &&
	    keep(p, said, why, sizeof(why)) == -1)
		event = STEP_BROKEN;
	log_end(p, said, end, event);
	stats_step(event);
	r->engine.owes = results_owed(&r->results) != NULL;
	if (event == STEP_OK && stage_of(p)->kind != STAGE_ALWAYS)
		recover(r);
	actions = engine_handle(&r->engine, r->plan.states, r->plan.n, event,
	    (int)p->at);
	if (event != STEP_OK && event != STEP_ENDED)
		note(p, said, end, event, why, sizeof(why));
	if (r->outbox != NULL) {
		save_step(p, said, end);
		tell_of(p);
	}
	perform(r, actions);
}

static void
on_end(void *arg, const struct child_end *end)
{
	struct part	*p = arg;
	struct runs	*all = p->run->all;
	struct said	*said = task_said(p->task);

	p->task = NULL;
	blackbox_name(&p->run->job.id);
	/* Others may have the job by now. */
	if (end->why == CHILD_FENCED || !child_trusted())
		let_go(p->run);
	settle(p, said, end, engine_judge(end, said->rejects, said->retries));
	blackbox_clear();
	advance_all(all);
}

/* Cores that one program of this run may use. */
static unsigned int
share_of_cores(const struct run *r, const struct part *p)
{
	const struct engine_step *states = r->plan.states;
	unsigned int		  share, items = 0;
	size_t			  i;

	share = r->all->cores / (unsigned int)r->all->n;
	for (i = r->engine.from; p->item != NULL && i < r->plan.n &&
	    states[i].position == states[p->at].position && items < share;
	    i++)
		items += states[i].state != STEP_DONE;
	if (items > 1)
		share /= items;
	return share == 0 ? 1 : share;
}

/* Another stage than before: clients see its name, until it speaks itself. */
static void
enter(struct run *r, const struct stage *s)
{
	if (r->stage == s)
		return;
	r->stage = s;
	if (s->kind != STAGE_ALWAYS || r->shown == NULL)
		r->shown = s;
	title(s, r->step, sizeof(r->step));
	strlcpy(r->message, r->step, sizeof(r->message));
}

static void
on_room(void *arg)
{
	struct runs	*all = arg;

	all->room = NULL;
	advance_all(all);
}

/* There may be thousands of items: they shall not all have failed before
   there are processes again. */
static void
wait_for_room(struct runs *all)
{
	if (all->room == NULL)
		all->room = loop_after(all->tools.loop, NO_ROOM_MS, on_room,
		    all);
}

static void
start(struct run *r, int i)
{
	/* No processes or descriptors left: that passes. */
	static const struct child_end	 none = { .why = CHILD_UNSTARTED };
	static const struct said	 no_room = {
		.why = "This host has no room for a process"
	};
	static const struct said	 no_list = {
		.why = "The list of its results cannot be written"
	};
	struct part		*p = r->plan.parts[i];
	struct task_step	 step = {
		.stage = stage_of(p), .item = p->item, .args = p->args
	};
	struct task_owner	 owner = {
		.news = on_news, .end = on_end, .arg = p
	};

	/* A stage finds the results of those before it. */
	bool			 listed = r->stage == stage_of(p) ||
				    save_results(r) == 0;

	p->attempt++;
	engine_start(&r->engine, r->plan.states, i);
	enter(r, stage_of(p));
	(p->item != NULL ? log_debug : log_info)("job %s: %s: starts", r->id,
	    name_of(p));
	step.cores = share_of_cores(r, p);
	if (listed)
		p->task = task_start(r->all->tools.tasks, &r->task_job, &step,
		    &owner);
	if (p->task == NULL) {
		if (listed)
			wait_for_room(r->all);
		settle(p, listed ? &no_room : &no_list, &none, STEP_AGAIN);
		return;
	}
	save_step(p, NULL, NULL);
	tell_of(p);
}

/*
 * Nothing but items of their stage may run beside programs that are kept for
 * it, and without such an item they shall end.
 */
static bool
is_held_up(struct run *r, int next)
{
	if (next != -1 && stage_of(r->plan.parts[next]) == r->stage)
		return false;
	return tasks_dismiss(r->all->tools.tasks, &r->task_job) && next != -1;
}

/* A job always has one program, and more while there are cores for them. */
static bool
has_room(const struct run *r)
{
	return r->all->room == NULL && (r->engine.running == r->lent ||
	    tasks_count(r->all->tools.tasks) < r->all->cores);
}

static void
advance(struct run *r)
{
	int	 i = -1;

	while (r->began && !r->ending) {
		i = engine_next(&r->engine, r->plan.states, r->plan.n);
		if (is_held_up(r, i))
			return;
		if (i == -1 || !has_room(r))
			break;
		start(r, i);
	}
	if (!r->began || r->ending)
		return;
	if (i == -1 && r->lent > 0 && has_room(r))
		loan_take_back(r->loan);
	else if (i != -1 && r->plan.parts[i]->item != NULL)
		loan_ask(r->loan);
}

static void
advance_all(void *arg)
{
	struct runs	*all = arg;
	struct run	*r, *next;

	TAILQ_FOREACH_SAFE(r, &all->list, entry, next)
		advance(r);
}

/* ---- items that are lent ------------------------------------------------- */

/*
 * The last ones that wait, while this host begins with the first; as many as
 * it has cores stay here.
 */
static size_t
choose(void *arg, struct part **parts, size_t n, unsigned int *position)
{
	struct run		*r = arg;
	struct engine_step	*states = r->plan.states;
	int			 first;
	size_t			 i, got = 0;

	if (!r->began || r->ending || r->outbox == NULL ||
	    (first = engine_next(&r->engine, states, r->plan.n)) == -1 ||
	    r->plan.parts[first]->item == NULL)
		return 0;
	*position = states[first].position;
	i = plan_end(&r->plan, *position);
	for (; i > (size_t)first + r->all->cores && got < n; i--) {
		if (states[i - 1].state != STEP_WAITING ||
		    states[i - 1].again || outbox_waits(r->outbox, *position,
		    r->plan.parts[i - 1]->item))
			continue;
		engine_start(&r->engine, states, (int)i - 1);
		r->lent++;
		parts[got++] = r->plan.parts[i - 1];
	}
	return got;
}

static void
on_lent_percent(void *arg, struct part *p, double percent)
{
	struct run	*r = arg;

	if (percent <= r->plan.states[p->at].percent)
		return;
	r->plan.states[p->at].percent = percent;
	tell_soon(r);
}

static void
on_lent_end(void *arg, struct part *p, const struct loan_end *end)
{
	struct run	*r = arg;
	struct said	 said = { .details = r->details };
	struct said_end	 how = { .event = STEP_LOST };

	r->lent--;
	stats_add(STAT_LENT, 1);
	p->attempt = end->attempt;
	enter(r, stage_of(p));
	if (end->said != NULL && said_unpack(end->said, &said, &how) == -1) {
		log_warnx("job %s: %s: what a helper wrote cannot be read",
		    r->id, name_of(p));
		how.event = STEP_LOST;
	}
	said_output(&said, end->output, strlen(end->output));
	hear(p, &said);
	settle(p, &said, &how.child, how.event);
	said_clear(&said);
}

static void
on_lent_back(void *arg, struct part *p)
{
	struct run	*r = arg;

	r->lent--;
	perform(r, engine_handle(&r->engine, r->plan.states, r->plan.n,
	    STEP_ENDED, (int)p->at));
}

static struct loan *
new_loan(struct run *r)
{
	struct lent_job		 job = { r->job.id, r->job.token };
	struct loan_owner	 owner = {
		.choose = choose, .percent = on_lent_percent,
		.end = on_lent_end, .back = on_lent_back, .arg = r
	};

	return loan_new(r->all->lender, &job, r->pipeline->queue,
	    r->job.daemon_id, &owner);
}

/* What helpers made of items that an attempt before had lent: it counts.  0,
   or -1 while the database is away. */
static int
inherit(struct run *r)
{
	struct part	*p;
	size_t		 i;

	if (r->inherited)
		return 0;
	loan_free(r->loan);
	r->loan = new_loan(r);
	for (i = 0; i < r->plan.n; i++) {
		p = r->plan.parts[i];
		if (p->lent != 0)
			loan_inherit(r->loan, p, r->plan.states[i].position,
			    p->lent);
	}
	if (loan_read_inherited(r->loan) == -1)
		return -1;
	r->inherited = true;
	return 0;
}

/* The programs that were kept for items have ended: go on. */
static void
on_quiet(void *arg)
{
	struct run	*r = arg;

	if (r->ending)
		return;
	if (r->engine.state == ENGINE_OVER)
		finish(r);
	else
		advance(r);
}

/* ---- the engine's wishes ------------------------------------------------- */

/* Programs that are kept, and have no item. */
static void
end_idle(struct run *r)
{
	if (r->engine.verdict == VERDICT_LOST)
		tasks_kill_idle(r->all->tools.tasks, &r->task_job);
	else
		tasks_stop_idle(r->all->tools.tasks, &r->task_job,
		    CANCEL_GRACE_MS);
}

static void
end_programs(struct run *r)
{
	enum engine_verdict	 verdict = r->engine.verdict;
	size_t			 i;

	end_idle(r);
	for (i = 0; i < r->plan.n; i++) {
		if (r->plan.parts[i]->task == NULL)
			continue;
		if (verdict == VERDICT_LOST)
			task_kill(r->plan.parts[i]->task);
		else
			task_stop(r->plan.parts[i]->task,
			    verdict == VERDICT_STOPPED ? CANCEL_GRACE_MS :
			    verdict == VERDICT_GIVEN_BACK ? HURRY_GRACE_MS :
			    CHILD_GRACE_MS);
	}
	if (verdict == VERDICT_LOST)
		loan_forget(r->loan);
	else
		loan_recall(r->loan);
}

static void
perform(struct run *r, unsigned int actions)
{
	if (actions & ENGINE_END_ALL)
		end_programs(r);
	if (actions & ENGINE_FINISH)
		finish(r);
}

static void
handle(struct run *r, enum engine_event event)
{
	if (r->ending)
		return;
	if (event == JOB_LOST && r->began) {
		let_go(r);
		return;
	}
	if (r->began) {
		if (event == JOB_LEAVES)
			loan_close(r->loan);
		if (event == JOB_CANCELS)
			end_idle(r);
		perform(r, engine_handle(&r->engine, r->plan.states,
		    r->plan.n, event, -1));
		if (event == JOB_CANCELS)
			advance_all(r->all);
		return;
	}
	/* It has not begun, so there is nothing to end. */
	r->engine.verdict = event == JOB_CANCELS ? VERDICT_STOPPED :
	    event == JOB_LOST ? VERDICT_LOST : VERDICT_GIVEN_BACK;
	if (r->timer != NULL)
		loop_cancel(r->all->tools.loop, r->timer);
	r->timer = NULL;
	finish(r);
}

/* ---- the beginning ------------------------------------------------------- */

/*
 * The steps of the job.  Those that an attempt before has lent, and that have
 * not ended, are ours again before anything starts.  How many, or -1.
 */
static int
load_steps(struct run *r, struct step_brief **steps)
{
	struct lent_job	 job = { r->job.id, r->job.token };
	int		 i, n;

	n = step_briefs(r->all->tools.db, &r->job.id, steps);
	for (i = 0; i < n && (*steps)[i].token == 0; i++)
		continue;
	if (i >= n)
		return n;
	step_briefs_free(*steps, (size_t)n);
	*steps = NULL;
	if (lent_regain(r->all->tools.db, &job) == -1)
		return -1;
	return step_briefs(r->all->tools.db, &r->job.id, steps);
}

/* Nothing that its stages did or said counts any more. */
static void
forget_past(struct run *r)
{
	json_object_put(r->details);
	r->task_job.details = r->details = json_object_new_object();
	r->detailed = true;
	outbox_forget(r->outbox);
}

/* What the database knows of the job.  0, or -1 while it is away. */
static int
load(struct run *r)
{
	static const struct uuid zero;
	struct db	*db = r->all->tools.db;
	struct step_brief *steps = NULL;
	char		*details = NULL;
	int		 n = -1, rc = -1;

	free(r->params);
	r->params = job_params(db, &r->job.id);
	if (db_error(db) == DB_OK)
		details = job_details(db, &r->job.id);
	if (db_error(db) != DB_OK || (n = load_steps(r, &steps)) == -1)
		goto out;
	if (!uuid_equal(&r->job.upload_id, &zero) &&
	    upload_find(db, &r->job.upload_id, &r->upload) == -1 &&
	    db_error(db) != DB_OK)
		goto out;
	r->details = details == NULL ? NULL : json_tokener_parse(details);
	if (!json_object_is_type(r->details, json_type_object)) {
		json_object_put(r->details);
		r->details = json_object_new_object();
	}
	r->task_job = (struct task_job){
		.job = &r->job, .pipeline = r->pipeline,
		.upload = uuid_is_set(&r->job.upload_id) ? &r->upload : NULL,
		.params = r->params, .details = r->details, .work = &r->work,
		.quiet = on_quiet, .arg = r
	};
	r->plan.pipeline = r->pipeline;
	r->plan.run = r;
	r->plan.token = r->job.token;
	r->changed = !plan_fits(r->pipeline, steps, (size_t)n);
	if (r->changed) {
		log_info("job %s: its pipeline has changed: it starts anew",
		    r->id);
		forget_past(r);
	}
	plan_take(&r->plan, steps, r->changed ? 0 : (size_t)n, r->outbox);
	r->loaded = true;
	rc = 0;
out:
	step_briefs_free(steps, n > 0 ? (size_t)n : 0);
	free(details);
	return rc;
}

/* Whether what its stages have left behind counts: one has ended well. */
static bool
has_past(const struct run *r)
{
	size_t	 i;

	for (i = 0; i < r->plan.n; i++) {
		if (r->plan.states[i].state == STEP_DONE &&
		    stage_of(r->plan.parts[i])->kind != STAGE_ALWAYS)
			return true;
	}
	return false;
}

static void
try_again(struct run *r, unsigned int ms, const char *why)
{
	if (!r->waited)
		log_info("job %s: waits: %s", r->id, why);
	r->waited = true;
	r->timer = loop_after(r->all->tools.loop, ms, begin, r);
}

/* The step that would be next, and that nobody else has; or NULL. */
static struct part *
first_undone(const struct run *r)
{
	const struct engine_step *s = r->plan.states;
	size_t			  i;

	for (i = 0; i < r->plan.n; i++) {
		if (s[i].state != STEP_DONE && s[i].state != STEP_FAILED &&
		    r->plan.parts[i]->lent == 0 &&
		    stage_of(r->plan.parts[i])->kind != STAGE_ALWAYS)
			return r->plan.parts[i];
	}
	return NULL;
}

/*
 * It cannot be made.  That may pass, as a full disk does: it counts as a try
 * of the step that would be next.
 */
static void
lack_work(struct run *r)
{
	static const char	 why[] = "Its work directory cannot be made";
	struct part		*p = first_undone(r);
	struct engine_step	*s;

	if (p == NULL) {
		refuse(r, "%s", why);
		return;
	}
	s = &r->plan.states[p->at];
	s->again = ++s->failures < stage_of(p)->attempts;
	s->state = s->again ? STEP_WAITING : STEP_FAILED;
	if (s->again)
		put_off(p, 0, why);
	save_step(p, NULL, NULL);
	if (!s->again) {
		refuse(r, "%s", why);
		return;
	}
	strlcpy(r->why, why, sizeof(r->why));
	end_with(r, VERDICT_AGAIN);
}

/* As the pipeline was before, its stages have left files and results. */
static int
renew_work(struct run *r, const char *root)
{
	char	 path[FILE_PATH];
	int	 rc = work_renew(&r->work, root, &r->job.id, r->job.token);

	file_aside_path(&r->job.id, r->job.token, path);
	sweep_remove(r->all->tools.sweep, path);
	return rc;
}

/* What its stages named before, as far as they do not run again. */
static void
begin_results(struct run *r)
{
	size_t	 i, n = r->pipeline->nstages;
	bool	*done = xcalloc(n, sizeof(*done));

	for (i = 0; i < r->plan.n; i++)
		done[r->plan.states[i].position] |=
		    r->plan.states[i].state == STEP_DONE;
	if (has_past(r)) {
		results_load(&r->results, r->work.dir);
		results_keep(&r->results, done, n);
	} else
		results_forget(r->work.dir);
	r->results.trusted = child_trusted;
	free(done);
}

/* 0: it is there; else the run ends, or begins later. */
static int
open_work(struct run *r)
{
	static const struct uuid zero;
	const char		*root = r->all->tools.conf->root;
	int			 rc = work_open(&r->work, root, &r->job.id);

	if (rc == 0 && r->changed && !r->work.fresh)
		rc = renew_work(r, root);
	if (rc == 1) {
		try_again(r, LOCK_MS, "what ran before is not quite gone");
		return -1;
	}
	if (rc == 0 && !uuid_equal(&r->job.upload_id, &zero))
		rc = work_input(&r->work, root, &r->job.upload_id);
	if (rc == 0)
		return 0;
	if (rc == 1)
		refuse(r, "Its input is not there any more");
	else
		lack_work(r);
	return -1;
}

/*
 * The stage that clients were shown last: it stays where only "always" ones
 * are left.
 */
static const struct stage *
shown_before(const struct run *r)
{
	size_t	 i;

	for (i = 0; i < r->pipeline->nstages; i++) {
		if (strcmp(r->pipeline->stages[i].name, r->job.stage) == 0)
			return &r->pipeline->stages[i];
	}
	return NULL;
}

/* The daemon that had the job before left it, or died, while some of its items
   were to be tried again after a pause that is not over. */
static void
keep_pauses(struct run *r)
{
	size_t	 i;

	for (i = 0; i < r->plan.n; i++) {
		if (r->plan.states[i].again &&
		    r->plan.parts[i]->again_at > r->again_at)
			r->again_at = r->plan.parts[i]->again_at;
	}
	strlcpy(r->again, "Its last try did not succeed", sizeof(r->again));
}

static void
begin_stages(struct run *r)
{
	struct engine_progress	 p;
	unsigned int		 actions;
	size_t			 i;

	if (r->work.fresh && has_past(r)) {
		log_info("job %s: its files are gone: it starts anew", r->id);
		loan_free(r->loan);
		r->loan = new_loan(r);
		plan_clear(&r->plan);
		forget_past(r);
		plan_take(&r->plan, NULL, 0, r->outbox);
	}
	r->shown = shown_before(r);
	begin_results(r);
	r->engine.stages = r->pipeline->stages;
	r->engine.crashes = r->job.crashes;
	r->engine.deaths = r->job.deaths;
	if (job_aside(r->job.crashes, r->job.deaths)) {
		stats_add(STAT_SET_ASIDE, 1);
		job_aside_why(r->job.crashes, r->job.deaths, r->why,
		    sizeof(r->why));
	}
	r->engine.owes = results_owed(&r->results) != NULL;
	keep_pauses(r);
	actions = engine_begin(&r->engine, r->plan.states, r->plan.n);
	for (i = 0; i < r->plan.n; i++) {
		if (r->plan.parts[i]->lent == 0)
			continue;
		engine_start(&r->engine, r->plan.states, (int)i);
		r->lent++;
	}
	loan_begin(r->loan);
	failed_check(r->details, &r->plan);
	engine_progress(r->pipeline, r->plan.states, r->plan.n, 0, &p);
	r->pace = (struct engine_pace){ .since = loop_now(), .from = p.total };
	r->began = true;
	perform(r, actions);
}

/*
 * Its pipeline is not known here.  It may be on another host, where it came
 * earlier or goes later: then that one shall have the job.
 */
static void
lack_pipeline(struct run *r)
{
	if (r->job.attempt >= STRANGE_TRIES || daemon_others(r->all->tools.db,
	    r->job.daemon_id, r->job.queue) == 0) {
		refuse(r, "There is no pipeline \"%s\" here", r->job.pipeline);
		return;
	}
	set_lack(r->set, r->job.pipeline);
	say(r->why, sizeof(r->why), "A host that has pipeline \"%s\" is wanted",
	    r->job.pipeline);
	log_info("job %s: to be tried again: %s", r->id, r->why);
	r->again_at = loop_now() + STRANGE_MS;
	end_unbegun(r, VERDICT_AGAIN);
}

static void
try_to_begin(struct run *r)
{
	if (r->pipeline == NULL) {
		lack_pipeline(r);
		return;
	}
	if ((!r->loaded && load(r) == -1) || inherit(r) == -1) {
		try_again(r, LOAD_MS, "the database is away");
		return;
	}
	if (open_work(r) == 0)
		begin_stages(r);
}

/* From a timer too, when it could not begin before. */
static void
begin(void *arg)
{
	struct run	*r = arg;
	struct runs	*all = r->all;

	r->timer = NULL;
	blackbox_name(&r->job.id);
	try_to_begin(r);
	blackbox_clear();
	advance_all(all);
}

/* ---- all of them --------------------------------------------------------- */

struct runs *
runs_new(const struct runs_tools *tools)
{
	struct runs	*all = xcalloc(1, sizeof(*all));
	long		 n = sysconf(_SC_NPROCESSORS_ONLN);

	all->tools = *tools;
	all->cores = n < 1 ? 1 : (unsigned int)n;
	TAILQ_INIT(&all->list);
	all->lender = lender_new(tools->loop, tools->db, advance_all, all);
	return all;
}

void
runs_use(struct runs *all, struct pipelines *pipelines)
{
	struct set	*before = all->set;

	all->set = set_new(pipelines);
	set_leave(before);
}

struct set *
runs_set(const struct runs *all)
{
	return all->set;
}

void
runs_start(struct runs *all, const struct job *job)
{
	struct run	*r = xcalloc(1, sizeof(*r));

	r->all = all;
	r->job = *job;
	r->work = WORK_NONE;
	uuid_text(&job->id, r->id);
	r->set = set_use(all->set);
	r->pipeline = pipeline_find(r->set->pipelines, job->pipeline);
	r->outbox = outbox_new(all->tools.batch, job, fate, r);
	outbox_first(r->outbox, save_results, r);
	TAILQ_INSERT_TAIL(&all->list, r, entry);
	all->n++;
	log_info("job %s: %s: taken, attempt %u", r->id, job->pipeline,
	    job->attempt);
	begin(r);
}

bool
runs_has(const struct runs *all, const struct job *job)
{
	struct run	*r;

	TAILQ_FOREACH(r, &all->list, entry) {
		if (uuid_equal(&r->job.id, &job->id) &&
		    r->job.token == job->token)
			return true;
	}
	return false;
}

size_t
runs_count(const struct runs *all)
{
	return all->n;
}

void
runs_cancel(struct runs *all, const struct uuid *id)
{
	struct run	*r, *next;

	TAILQ_FOREACH_SAFE(r, &all->list, entry, next) {
		if (uuid_equal(&r->job.id, id))
			handle(r, JOB_CANCELS);
	}
}

void
runs_leave(struct runs *all)
{
	struct run	*r, *next;

	TAILQ_FOREACH_SAFE(r, &all->list, entry, next)
		handle(r, JOB_LEAVES);
}

void
runs_hurry(struct runs *all)
{
	struct run	*r, *next;

	TAILQ_FOREACH_SAFE(r, &all->list, entry, next)
		handle(r, JOB_HURRIES);
}

void
runs_lose(struct runs *all)
{
	struct run	*r, *next;

	TAILQ_FOREACH_SAFE(r, &all->list, entry, next) {
		/* Nothing of it may be written any more. */
		if (r->ending) {
			drop(r);
			continue;
		}
		handle(r, JOB_LOST);
	}
}

void
runs_free(struct runs *all)
{
	struct run	*r, *next;

	if (all == NULL)
		return;
	TAILQ_FOREACH_SAFE(r, &all->list, entry, next)
		drop(r);
	if (all->tell != NULL)
		loop_cancel(all->tools.loop, all->tell);
	if (all->room != NULL)
		loop_cancel(all->tools.loop, all->room);
	lender_free(all->lender);
	set_leave(all->set);
	free(all);
}
