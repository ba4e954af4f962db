/*
 * A model of the database as the daemons see it.
 */

#include "model.h"

void
model_wrong(struct model *m, const char *what)
{
	if (m->wrong == NULL)
		m->wrong = what;
}

/* ---- the job ------------------------------------------------------------- */

static void
lead(struct model *m, enum job_state to)
{
	if (!job_leads(m->state, to))
		model_wrong(m, "the job takes a way that there is not");
	m->state = to;
}

/* The job stops being a daemon's. */
static void
leave(struct model *m, enum job_state to)
{
	lead(m, to);
	m->daemon = 0;
	m->cancel = false;
	m->due = m->now;
}

bool
model_claim(struct model *m, uint32_t daemon, uint32_t token)
{
	if (m->state != JOB_PENDING || m->due > m->now)
		return false;
	lead(m, JOB_RUNNING);
	m->daemon = daemon;
	m->token = token;
	return true;
}

static bool
tolerable(const struct model *m, unsigned int position)
{
	const struct stage	*s = &m->stages[position];
	double			 failed = 0, all = 0;
	size_t			 i;

	for (i = 0; i < m->nsteps; i++) {
		if (m->steps[i].position != position || !m->steps[i].planned)
			continue;
		failed += m->steps[i].state == STEP_FAILED;
		all++;
	}
	if (s->kind != STAGE_EACH || s->failures != FAILURES_ALLOW)
		return failed == 0;
	return failed <= (s->allowed_percent ? s->allowed * all / 100 :
	    s->allowed);
}

/* A job that is completed has done all there was to do, once. */
static void
publish(struct model *m)
{
	const struct model_step	*s;

	if (++m->published > 1)
		model_wrong(m, "results are published twice");
	for (s = m->steps; s < m->steps + m->nsteps; s++) {
		if (m->stages[s->position].kind == STAGE_ALWAYS)
			continue;
		if (!s->planned)
			model_wrong(m, "completed, and an item is missing");
		else if (s->state == STEP_DONE && s->done != 1)
			model_wrong(m, "an item is in the result twice");
		else if (s->state != STEP_DONE && (s->state != STEP_FAILED ||
		    !tolerable(m, s->position)))
			model_wrong(m, "completed, and a step is not done");
	}
}

/* Something has failed for good, or the job is set aside. */
static void
blame(struct model *m)
{
	unsigned int	 i;

	if (job_aside(m->crashes, m->deaths))
		return;
	for (i = 0; i < m->nstages; i++) {
		if (m->stages[i].kind != STAGE_ALWAYS && !tolerable(m, i))
			return;
	}
	model_wrong(m, "the job fails, and nothing in it has");
}

static void
save(struct model *m, struct model_step *s, const struct engine_step *n,
    uint32_t token)
{
	const struct stage	*stage = &m->stages[s->position];

	if (s->token != 0 && s->token != token)
		return;
	if (s->state == STEP_DONE && n->state != STEP_DONE &&
	    stage->kind != STAGE_ALWAYS)
		model_wrong(m, "what was done is not done any more");
	s->done += n->state == STEP_DONE && s->state != STEP_DONE;
	if (n->failures < s->failures || n->crashes < s->crashes)
		model_wrong(m, "a count falls");
	if (n->failures > stage->attempts || n->crashes > ENGINE_CRASHES)
		model_wrong(m, "a step has more tries than it may");
	s->state = n->state;
	s->failures = n->failures;
	s->crashes = n->crashes;
	s->percent = n->percent;
	s->token = s->helper = 0;
	s->open = -1;
	s->ended = false;
}

static void
see(struct model *m, const struct model_news *n)
{
	if (n->progress < m->progress || (n->stage == m->stage &&
	    n->stage_progress < m->stage_progress))
		model_wrong(m, "a percentage falls");
	if (n->progress > 100 || n->stage_progress > 100)
		model_wrong(m, "more than 100 percent");
	m->progress = n->progress;
	m->stage = n->stage;
	m->stage_progress = n->stage_progress;
}

static void
carry_out(struct model *m, const struct model_news *n)
{
	enum engine_verdict	 verdict = n->verdict;

	/* Whom somebody asked to end, ends. */
	if (m->cancel && (verdict == VERDICT_GIVEN_BACK ||
	    verdict == VERDICT_AGAIN))
		verdict = VERDICT_STOPPED;
	switch (verdict) {
	case VERDICT_GIVEN_BACK:
		leave(m, JOB_PENDING);
		break;
	case VERDICT_AGAIN:
		leave(m, JOB_PENDING);
		m->due = m->now + n->delay;
		break;
	case VERDICT_STOPPED:
		leave(m, JOB_CANCELLED);
		break;
	case VERDICT_FAILED:
		blame(m);
		leave(m, JOB_FAILED);
		break;
	case VERDICT_DONE:
		publish(m);
		leave(m, JOB_COMPLETED);
		break;
	default:
		model_wrong(m, "an end that nobody writes");
		break;
	}
}

bool
model_news(struct model *m, const struct model_news *n)
{
	size_t	 i;

	if (m->token != n->token || m->state != JOB_RUNNING)
		return false;
	if (n->recovered)
		m->crashes = m->deaths = 0;
	see(m, n);
	for (i = 0; i < m->nsteps; i++) {
		if (n->planned & 1U << i)
			m->steps[i].planned = true;
		if (n->mask & 1U << i)
			save(m, &m->steps[i], &n->steps[i], n->lent[i]);
	}
	if (n->verdict != VERDICT_NONE)
		carry_out(m, n);
	return true;
}

bool
model_cancel(struct model *m)
{
	if (!job_leads(m->state, JOB_CANCELLED))
		return false;
	if (m->state == JOB_RUNNING)
		m->cancel = true;
	else
		leave(m, JOB_CANCELLED);
	return true;
}

/* From the stage at POSITION; of it and what follows, what is done stays so,
   or ALL is done again. */
bool
model_retry(struct model *m, unsigned int position, bool all)
{
	struct model_step	*s;

	if (!job_ended(m->state) || !job_leads(m->state, JOB_PENDING))
		return false;
	for (s = m->steps; s < m->steps + m->nsteps; s++) {
		if (s->position < position || (!all && s->state == STEP_DONE))
			continue;
		s->planned = s->planned && (!all || s->named_by < position ||
		    m->stages[s->position].kind != STAGE_EACH);
		s->state = STEP_WAITING;
		s->failures = s->crashes = s->done = 0;
		s->percent = 0;
		s->token = s->helper = 0;
		s->open = -1;
		s->ended = false;
	}
	m->crashes = m->deaths = 0;
	m->progress = m->stage_progress = 0;
	leave(m, JOB_PENDING);
	return true;
}

/* ---- daemons ------------------------------------------------------------- */

static struct model_daemon *
find(struct model *m, uint32_t id)
{
	size_t	 i;

	for (i = 0; i < MODEL_DAEMONS; i++) {
		if (m->daemons[i].id == id)
			return &m->daemons[i];
	}
	return NULL;
}

/* Its id, or 0: there is no room. */
uint32_t
model_join(struct model *m, int host, uint64_t lease_ms)
{
	struct model_daemon	*d = find(m, 0);

	if (d == NULL)
		return 0;
	d->id = ++m->last_id;
	d->host = host;
	d->lease_until = m->now + lease_ms;
	return d->id;
}

/* Whether it has a row. */
bool
model_lives(const struct model *m, uint32_t id)
{
	size_t	 i;

	for (i = 0; i < MODEL_DAEMONS; i++) {
		if (m->daemons[i].id == id)
			return true;
	}
	return false;
}

bool
model_renew(struct model *m, uint32_t id, uint64_t lease_ms)
{
	struct model_daemon	*d = find(m, id);

	if (id == 0 || d == NULL)
		return false;
	d->lease_until = m->now + lease_ms;
	return true;
}

void
model_adopt(struct model *m, uint32_t id, enum job_blame blame)
{
	struct model_daemon	*d = find(m, id);
	struct model_step	*s;
	enum job_state		 to;

	for (s = m->steps; s < m->steps + m->nsteps; s++) {
		if (s->token != 0 && s->helper == id && !s->ended) {
			s->ended = true;
			s->how = STEP_LOST;
		}
	}
	if (m->state == JOB_RUNNING && m->daemon == id) {
		to = job_orphaned(&m->crashes, &m->deaths, blame);
		leave(m, m->cancel ? JOB_CANCELLED : to);
		if (m->crashes > JOB_CRASHES + 1 || m->deaths > JOB_DEATHS + 1)
			model_wrong(m, "it brings down daemons for ever");
	}
	if (d != NULL)
		d->id = 0;
}

void
model_release(struct model *m, uint32_t id)
{
	struct model_daemon	*d = find(m, id);
	size_t			 i;

	for (i = 0; i < m->nsteps; i++) {
		if (m->steps[i].token != 0 && m->steps[i].helper == id)
			model_return(m, (int)i, m->steps[i].token, id);
	}
	if (m->state == JOB_RUNNING && m->daemon == id)
		leave(m, m->cancel ? JOB_CANCELLED : JOB_PENDING);
	if (d != NULL)
		d->id = 0;
}

/* ---- lending ------------------------------------------------------------- */

bool
model_offer(struct model *m, int i, uint32_t t)
{
	struct model_step	*s = &m->steps[i];

	if (m->token != t || m->state != JOB_RUNNING || !s->planned ||
	    s->state == STEP_DONE || (s->token != 0 && (s->token != t ||
	    s->helper != 0)))
		return false;
	s->token = t;
	s->open = 1;
	s->state = STEP_WAITING;
	return true;
}

/* Whether it is the lender's, by now or since before. */
bool
model_take_back(struct model *m, int i, uint32_t t)
{
	struct model_step	*s = &m->steps[i];

	if (s->token == t && s->open == 1) {
		s->token = 0;
		s->open = -1;
	}
	return s->token != t;
}

void
model_want_back(struct model *m, int i, uint32_t t)
{
	if (m->steps[i].token == t && m->steps[i].helper != 0)
		m->steps[i].open = 0;
}

bool
model_take(struct model *m, int i, uint32_t t, uint32_t helper)
{
	struct model_step	*s = &m->steps[i];

	if (s->open != 1 || s->token != t)
		return false;
	s->open = -1;
	s->helper = helper;
	s->state = STEP_RUNNING;
	return true;
}

bool
model_held(const struct model *m, int i, uint32_t t, uint32_t helper)
{
	const struct model_step	*s = &m->steps[i];

	return s->token == t && s->helper == helper && !s->ended;
}

bool
model_end(struct model *m, int i, uint32_t t, uint32_t helper,
    enum engine_event how)
{
	if (!model_held(m, i, t, helper))
		return false;
	m->steps[i].ended = true;
	m->steps[i].how = how;
	return true;
}

bool
model_return(struct model *m, int i, uint32_t t, uint32_t helper)
{
	if (!model_held(m, i, t, helper))
		return false;
	m->steps[i].helper = 0;
	m->steps[i].open = -1;
	m->steps[i].state = STEP_WAITING;
	return true;
}

/* For a new owner: what has not ended is its own again. */
bool
model_regain(struct model *m, uint32_t token)
{
	struct model_step	*s;

	if (m->token != token || m->state != JOB_RUNNING)
		return false;
	for (s = m->steps; s < m->steps + m->nsteps; s++) {
		if (s->token == 0 || s->ended)
			continue;
		s->state = STEP_WAITING;
		s->token = s->helper = 0;
		s->open = -1;
	}
	return true;
}
