/*
 * The steps of one job.
 *
 * Items come while others run, but always behind what runs: an index that a
 * running step knows of itself stays right.
 */

#include "plan.h"

#include <stdlib.h>
#include <string.h>

#include "batch.h"
#include "log.h"
#include "loop.h"
#include "said.h"
#include "utf8.h"

/* There may be thousands: none is compared with all others. */
static int
by_name(const struct part *a, const struct part *b)
{
	if (a->position != b->position)
		return a->position < b->position ? -1 : 1;
	return strcmp(a->item, b->item);
}

RB_GENERATE_INTERNAL(parts, part, entry, by_name,
    __attribute__((unused)) static)

static bool
has_item(struct plan *plan, unsigned int position, char *item)
{
	struct part	 key = { .position = position, .item = item };

	return RB_FIND(parts, &plan->items, &key) != NULL;
}

const struct stage *
plan_stage(const struct plan *plan, const struct part *p)
{
	return &plan->pipeline->stages[plan->states[p->at].position];
}

/* Seconds until it may be tried again, if it waits for that. */
static unsigned int
pause_of(const struct plan *plan, const struct part *p)
{
	uint64_t	 now = loop_now();

	if (!plan->states[p->at].again || p->again_at <= now)
		return 0;
	return (unsigned int)((p->again_at - now + 999) / 1000);
}

void
plan_row(const struct plan *plan, const struct part *p, struct step *s)
{
	const struct engine_step	*state = &plan->states[p->at];

	memset(s, 0, sizeof(*s));
	s->position = state->position;
	strlcpy(s->stage, plan_stage(plan, p)->name, sizeof(s->stage));
	if (p->item != NULL) {
		strlcpy(s->item, p->item, sizeof(s->item));
		strlcpy(s->args, p->args, sizeof(s->args));
		utf8_clean(s->args);
	}
	s->state = state->state;
	s->percent = state->state == STEP_DONE ? 100 : state->percent;
	s->attempt = p->attempt;
	s->failures = state->failures;
	s->crashes = state->crashes;
	s->pause_s = pause_of(plan, p);
	s->token = p->lent != 0 ? p->lent : plan->token;
	s->exit_status = -1;
}

size_t
plan_end(const struct plan *plan, unsigned int position)
{
	size_t	 i = plan->n;

	while (i > 0 && plan->states[i - 1].position > position)
		i--;
	return i;
}

/* Put a new step, that waits, behind the others of its position. */
static struct part *
insert(struct plan *plan, unsigned int position, const char *item,
    const char *args)
{
	struct part	*p = xcalloc(1, sizeof(*p));
	size_t		 i, at = plan_end(plan, position);

	if (plan->n == plan->room) {
		plan->room = plan->room == 0 ? 16 : plan->room * 2;
		plan->states = xreallocarray(plan->states, plan->room,
		    sizeof(*plan->states));
		plan->parts = xreallocarray(plan->parts, plan->room,
		    sizeof(*plan->parts));
	}
	memmove(plan->states + at + 1, plan->states + at,
	    (plan->n - at) * sizeof(*plan->states));
	memmove(plan->parts + at + 1, plan->parts + at,
	    (plan->n - at) * sizeof(*plan->parts));
	plan->n++;
	for (i = at + 1; i < plan->n; i++)
		plan->parts[i]->at = i;

	p->run = plan->run;
	p->at = at;
	p->position = position;
	p->item = item == NULL ? NULL : xstrdup(item);
	p->args = item == NULL ? NULL : xstrdup(args);
	if (item != NULL)
		RB_INSERT(parts, &plan->items, p);
	plan->parts[at] = p;
	plan->states[at] = (struct engine_step){
		.position = position,
		.state = STEP_WAITING
	};
	return p;
}

static void
announce(const struct plan *plan, const struct part *p, struct outbox *outbox)
{
	struct step	 s;

	plan_row(plan, p, &s);
	outbox_plan(outbox, &s);
}

bool
plan_fits(const struct pipeline *pipeline, const struct step_brief *steps,
    size_t n)
{
	const struct stage	*s;
	size_t			 i;

	for (i = 0; i < n; i++) {
		if (steps[i].position >= pipeline->nstages)
			return false;
		s = &pipeline->stages[steps[i].position];
		if (strcmp(s->name, steps[i].stage) != 0 ||
		    (s->kind == STAGE_EACH) != (steps[i].item[0] != '\0'))
			return false;
	}
	return true;
}

void
plan_take(struct plan *plan, const struct step_brief *steps, size_t n,
    struct outbox *outbox)
{
	struct engine_step	*state;
	struct part		*p;
	unsigned int		 position;
	size_t			 i, at;

	for (i = 0; i < n; i++) {
		p = insert(plan, steps[i].position,
		    steps[i].item[0] != '\0' ? steps[i].item : NULL,
		    steps[i].args);
		p->attempt = steps[i].attempt;
		p->lent = steps[i].token;
		state = &plan->states[p->at];
		/* What a helper made of it has not been looked at yet. */
		state->state = steps[i].token != 0 ? STEP_WAITING :
		    steps[i].state;
		state->percent = steps[i].percent;
		state->failures = steps[i].failures;
		state->crashes = steps[i].crashes;
		state->again = steps[i].token == 0 && steps[i].pause_s > 0;
		p->again_at = loop_now() + (uint64_t)steps[i].pause_s * 1000;
	}
	for (position = 0; position < plan->pipeline->nstages; position++) {
		at = plan_end(plan, position);
		if (plan->pipeline->stages[position].kind != STAGE_EACH &&
		    (at == 0 || plan->states[at - 1].position != position))
			announce(plan, insert(plan, position, NULL, NULL),
			    outbox);
	}
}

enum plan_taken
plan_items(struct plan *plan, unsigned int position, const struct said *said,
    struct outbox *outbox)
{
	struct part	*p;
	size_t		 i;

	if (said->nitems == 0)
		return PLAN_TAKEN;
	do {
		if (++position == plan->pipeline->nstages)
			return PLAN_NOWHERE;
	} while (plan->pipeline->stages[position].kind != STAGE_EACH);
	for (i = 0; i < said->nitems; i++) {
		if (has_item(plan, position, said->items[i].name))
			continue;
		if (plan->n == PLAN_MOST)
			return PLAN_FULL;
		p = insert(plan, position, said->items[i].name,
		    said->items[i].args);
		announce(plan, p, outbox);
	}
	return PLAN_TAKEN;
}

void
plan_clear(struct plan *plan)
{
	size_t	 i;

	for (i = 0; i < plan->n; i++) {
		free(plan->parts[i]->item);
		free(plan->parts[i]->args);
		free(plan->parts[i]);
	}
	free(plan->parts);
	free(plan->states);
	plan->parts = NULL;
	plan->states = NULL;
	plan->n = plan->room = 0;
	RB_INIT(&plan->items);
}
