/*
 * A model of the database as the daemons see it: one job, its steps, and the
 * daemons, with the statements of lib/job.c, lib/daemon.c and lib/lent.c.
 * Each runs at once and as a whole; when, and who hears of it, is the world's
 * to say (world.h).
 *
 * What must hold of a job whatever happens is watched here: the first breach
 * is told in WRONG, and stays there.
 */

#ifndef MILLRACE_MODEL_H
#define MILLRACE_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine.h"
#include "jobstate.h"

/* Steps of the job, and rows of table daemon, at most. */
#define MODEL_STEPS	24
#define MODEL_DAEMONS	32

/* A row of table step. */
struct model_step {
	unsigned int	 position;
	unsigned int	 named_by;	/* an item: position of the stage that
					   names it; else its own */
	bool		 planned;	/* the row is there */
	enum step_state	 state;
	unsigned int	 failures, crashes;
	double		 percent;
	uint32_t	 token;		/* lent under; 0: not lent */
	int		 open;		/* -1: NULL */
	uint32_t	 helper;
	bool		 ended;		/* by its helper, who tells HOW */
	enum engine_event how;
	unsigned int	 done;		/* how often it became done */
};

struct model_daemon {
	uint32_t	 id;		/* 0: no row */
	uint64_t	 lease_until;
	int		 host;
};

/* The rest is a row of table job, its pipeline, and the clock. */
struct model {
	uint64_t	 now;		/* ms */
	const char	*wrong;		/* NULL: all is well */

	const struct stage *stages;
	size_t		 nstages;
	struct model_step steps[MODEL_STEPS];
	size_t		 nsteps;
	struct model_daemon daemons[MODEL_DAEMONS];
	uint32_t	 last_id;

	enum job_state	 state;
	uint64_t	 due;		/* it may be claimed then */
	uint32_t	 daemon, token;
	unsigned int	 crashes, deaths;
	bool		 cancel;
	unsigned int	 stage;		/* position */
	double		 stage_progress, progress;
	unsigned int	 published;
};

/* What a run writes: some of its steps, and how it ends. */
struct model_news {
	uint32_t	 token;
	uint32_t	 mask;		/* of the steps that are written */
	uint32_t	 planned;	/* of new ones */
	struct engine_step steps[MODEL_STEPS];
	uint32_t	 lent[MODEL_STEPS];	/* token under which it was */
	unsigned int	 stage;
	double		 stage_progress, progress;
	bool		 recovered;
	enum engine_verdict verdict;	/* VERDICT_NONE: it goes on */
	uint64_t	 delay;		/* VERDICT_AGAIN */
};

/* The first breach counts. */
void	model_wrong(struct model *, const char *);

/* As the statements that they are named after.  What returns bool: whether the
   fence, or the state, let it pass. */
bool	model_claim(struct model *, uint32_t daemon, uint32_t token);
bool	model_news(struct model *, const struct model_news *);
bool	model_cancel(struct model *);
bool	model_retry(struct model *, unsigned int position, bool all);

uint32_t model_join(struct model *, int host, uint64_t lease_ms);
bool	model_lives(const struct model *, uint32_t daemon);
bool	model_renew(struct model *, uint32_t daemon, uint64_t lease_ms);
void	model_adopt(struct model *, uint32_t daemon, enum job_blame);
void	model_release(struct model *, uint32_t daemon);

/* I is a step; T the token under which it is lent. */
bool	model_offer(struct model *, int i, uint32_t t);
bool	model_take_back(struct model *, int i, uint32_t t);
void	model_want_back(struct model *, int i, uint32_t t);
bool	model_take(struct model *, int i, uint32_t t, uint32_t helper);
bool	model_held(const struct model *, int i, uint32_t t, uint32_t helper);
bool	model_end(struct model *, int i, uint32_t t, uint32_t helper,
	    enum engine_event);
bool	model_return(struct model *, int i, uint32_t t, uint32_t helper);
bool	model_regain(struct model *, uint32_t token);

#endif
