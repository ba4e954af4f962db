/*
 * The steps of one job, in the order in which they are done: one for each
 * stage, of an "each" stage one for each item.
 */

#ifndef MILLRACE_PLAN_H
#define MILLRACE_PLAN_H

#include <sys/queue.h>
#include <sys/tree.h>

#include <stdbool.h>
#include <stddef.h>

#include "engine.h"
#include "pipeline.h"
#include "step.h"

struct outbox;
struct run;
struct said;
struct task;

/* Steps of one job, at most. */
#define PLAN_MOST	100000

/* One step.  Its state is the engine's, at the same index. */
struct part {
	struct run	*run;
	size_t		 at;		/* the index */
	unsigned int	 position;	/* of its stage */
	RB_ENTRY(part)	 entry;		/* of an item */
	char		*item, *args;	/* of an "each" stage, else NULL */
	unsigned int	 attempt;	/* runs so far */
	uint64_t	 again_at;	/* loop_now(): not tried again before */
	struct task	*task;		/* while it runs */
	uint64_t	 lent;		/* by an attempt before, under this
					   token; 0: not */
};

RB_HEAD(parts, part);

struct plan {
	const struct pipeline *pipeline;
	struct run	*run;		/* whose it is */
	uint64_t	 token;		/* of this attempt */
	struct engine_step *states;
	struct part	**parts;
	size_t		 n, room;	/* of both */
	struct parts	 items;		/* those of them, by name */
};

/* What becomes of items that were named. */
enum plan_taken {
	PLAN_TAKEN,		/* they are there, now or since before */
	PLAN_NOWHERE,		/* no "each" follows */
	PLAN_FULL		/* there would be too many */
};

/*
 * plan_fits	Whether rows of the database are steps of the pipeline as it
 *		is now.
 * plan_take	Fill it with these rows, and with what the pipeline has beyond
 *		them; that is new, and goes to OUTBOX.
 * plan_items	What the stage at POSITION named becomes items of the next
 *		"each", but for those that are there.
 * plan_stage	The stage of a step.
 * plan_row	A step as a row.
 * plan_end	Index behind the last step of POSITION, or where it would be.
 */
bool	plan_fits(const struct pipeline *, const struct step_brief *,
	    size_t n);
void	plan_take(struct plan *, const struct step_brief *, size_t n,
	    struct outbox *);
enum plan_taken plan_items(struct plan *, unsigned int position,
	    const struct said *, struct outbox *);
const struct stage *plan_stage(const struct plan *, const struct part *);
size_t	plan_end(const struct plan *, unsigned int position);
void	plan_row(const struct plan *, const struct part *, struct step *);
void	plan_clear(struct plan *);

#endif
