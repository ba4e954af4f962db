/*
 * Table step: one stage of one job; of an "each" stage, one item.  It is the
 * checkpoint: a job that is taken over continues at the first that is not done.
 */

#ifndef MILLRACE_STEP_H
#define MILLRACE_STEP_H

#include <stddef.h>
#include <stdint.h>

#include "db.h"
#include "uuid.h"

enum step_state { STEP_WAITING, STEP_RUNNING, STEP_DONE, STEP_FAILED };
#define STEP_STATES	(STEP_FAILED + 1)

struct step {
	unsigned int	position;	/* of its stage, from 0 */
	char		stage[32];
	char		item[256];	/* "" but for "each" */
	char		args[1024];	/* of the item */
	enum step_state	state;
	double		percent;	/* 0..100 */
	unsigned int	attempt;	/* runs of this step */
	unsigned int	failures, crashes;	/* of them that ended so */
	uint64_t	token;		/* of the attempt that lent it;
					   0: it is not lent */
	unsigned int	pause_s;	/* before it may be tried again */
	char		started_at[DB_TIME], ended_at[DB_TIME];	/* or "" */
	int		exit_status;	/* as of wait(2); -1: has not ended */
	char		output[4096];	/* last lines it wrote to its log */
};

/* One that is not there yet.  The texts are the caller's. */
struct step_new {
	unsigned int	 position;
	const char	*stage, *item, *args;
};

/* What is to be stored of one.  The texts are the caller's. */
struct step_now {
	unsigned int	 position;
	const char	*item;
	enum step_state	 state;
	double		 percent;
	unsigned int	 attempt, failures, crashes, pause_s;
	uint64_t	 token;
	int		 exit_status;
	const char	*output;
};

/* What matters to who goes on with a job: there may be thousands. */
struct step_brief {
	unsigned int	 position;
	char		*stage, *item, *args;
	enum step_state	 state;
	double		 percent;
	unsigned int	 attempt, failures, crashes, pause_s;
	uint64_t	 token;
};

/* Words for a state; step_state_parse takes any other for STEP_FAILED. */
const char	*step_state_name(enum step_state);
enum step_state	 step_state_parse(const char *);

/*
 * Inside the caller's transaction, which has passed the fence of job.h and
 * so has the job's row locked; 0, or -1.
 *
 * step_plan	Add steps that are not there yet; existing ones stay.
 * step_save	Store state, percent, attempt, failures, crashes, pause, exit
 *		and output; a new attempt starts now.  One that is lent under its
 *		token is not lent any more; one lent under another stays as it
 *		is.
 * step_stop	Its daemon is gone: steps that it ran itself wait again, as far
 *		as they had come.  How many, or -1.  What it has lent, and
 *		nobody has taken, cannot be taken any more.
 * step_reset	All from POSITION on wait again, as if they had never run;
 *		items of stages behind KEEP go, to be named anew.  Not fenced:
 *		for a job that does not run.
 * step_resume	The same for what is not done from POSITION on; no item goes.
 * step_forget	All of them go: the job starts from the beginning.
 */
int	step_plan(struct db *, const struct uuid *job, const struct step_new *,
	    size_t n);
int	step_save(struct db *, const struct uuid *job, const struct step_now *);
int	step_stop(struct db *, const struct uuid *job);
int	step_reset(struct db *, const struct uuid *job, unsigned int position,
	    unsigned int keep);
int	step_resume(struct db *, const struct uuid *job, unsigned int position);
int	step_forget(struct db *, const struct uuid *job);

/* Which steps of a job, and from where on. */
struct step_want {
	const char	*stage;		/* NULL: of any */
	const char	*state;		/* its word; NULL: in any */
	unsigned int	 position;	/* from this one on: 0 and "" for all */
	const char	*item;
	unsigned int	 limit;
};

/* A stage of a job: all of its steps in one. */
struct step_sum {
	unsigned int	position;
	char		stage[32];
	unsigned int	n[STEP_STATES];	/* how many are in a state */
	double		percent;	/* the mean of all */
	unsigned int	attempt;	/* most runs that one had */
	char		started_at[DB_TIME];	/* of the first, or "" */
	char		ended_at[DB_TIME];	/* of the last, or "" */
};

/*
 * step_list	Steps of a job, in order, at most as many as are wanted.  How
 *		many, or -1.
 * step_sums	Its stages; *SUMS is to be freed.  How many, or -1.
 * step_briefs	All steps in brief; to be freed by step_briefs_free.
 */
int	step_list(struct db *, const struct uuid *job,
	    const struct step_want *, struct step *steps);
int	step_sums(struct db *, const struct uuid *job, struct step_sum **sums);
int	step_briefs(struct db *, const struct uuid *job,
	    struct step_brief **steps);
void	step_briefs_free(struct step_brief *, size_t n);

#endif
