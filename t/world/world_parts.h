/*
 * What the world of world.h is made of.
 */

#ifndef MILLRACE_WORLD_PARTS_H
#define MILLRACE_WORLD_PARTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "engine.h"
#include "model.h"

#define HOSTS		3
#define HELPS		2		/* items of others, on a host */
#define WIDTH		2		/* programs of a run, on its host */
#define TASKS		32
#define WRITES		24
#define AGENDA		256

/* As in millraced, ms. */
#define LEASE		15000
#define MARGIN		1000
#define HAND_OVER	5000
#define STOP		10000
#define TIMEOUT		4000		/* of a statement */
#define GRACE		2000		/* between TERM and KILL */

/* Within this after all faults the job has to end, ms, and events. */
#define DEADLINE	400000
#define EVENTS		40000

enum kind {
	TICK,		/* of a daemon: its chores are due */
	BEGIN,		/* a run tries to begin */
	END,		/* a daemon hears of the end of a program */
	ANSWER,		/* and of a statement; or that there is none */
	POISON,		/* its job kills it */
	HURRY, EXIT,	/* its time to hand over, or to stop, is over */
	FENCE,		/* its keepers look whether they may go on */
	EXECUTE,	/* a statement runs */
	DIE,		/* a program ends */
	START,		/* a daemon is started */
	FAULT		/* whatever it be */
};

/* One thing that will happen.  LIFE 0: not to a daemon; else only to this. */
struct event {
	uint64_t	 at;		/* ms * 256, and a throw of dice */
	enum kind	 kind;
	int		 host;
	unsigned int	 life;
	unsigned int	 a, b;
};

/* A program that works on a step. */
struct task {
	bool		 lives, used;
	int		 host;
	unsigned int	 life, generation;
	bool		 helps;
	uint32_t	 token;
	int		 row;
	enum engine_event how;
	bool		 fenced;
	uint64_t	 ends_at;
};

enum what { NEWS, CLAIM, OFFER, TAKE };

/* A statement on its way. */
struct write {
	bool		 used, executed, ran, passed, heard;
	unsigned int	 number;	/* in order of sending */
	enum what	 what;
	int		 host;
	unsigned int	 life;
	uint32_t	 token;
	int		 row;
	struct model_news news;
};

struct run {
	bool		 used, began, ending, deaf, unsure, sent_end, hurried;
	bool		 closed, recalled;
	uint32_t	 token;
	struct engine	 engine;
	struct engine_step steps[MODEL_STEPS];
	int		 row[MODEL_STEPS];	/* of a step, in the model */
	size_t		 n;
	uint32_t	 changed, planned;	/* rows not sent yet */
	uint32_t	 lent[MODEL_STEPS];	/* token, by row; or 0 */
	uint32_t	 told[MODEL_STEPS];	/* and for the next news */
	bool		 dirty, recovered;
	int		 sending;	/* a write, or -1 */
	uint64_t	 again_at;
	uint64_t	 told_at;	/* its programs to end; 0: not yet */
	unsigned int	 stage;		/* seen by clients: */
	double		 stage_progress, progress;
};

/* An item of another daemon's job. */
struct help {
	bool		 used, over;
	uint32_t	 token;
	int		 row, task;
	enum engine_event how;
};

struct host {
	bool		 up, leaving, unsure, claiming, taking;
	unsigned int	 life;
	uint64_t	 stopped_until, cut_until;
	uint32_t	 id, before;
	uint64_t	 trust_until, renew_at;
	struct run	 run;
	struct help	 helps[HELPS];
};

struct world {
	struct model	 m;
	struct stage	 stages[6];
	struct pipeline	 pipeline;
	struct host	 hosts[HOSTS];
	struct task	 tasks[TASKS];
	struct write	 writes[WRITES];
	unsigned int	 nwrites;
	struct event	 agenda[AGENDA];
	size_t		 nevents;
	uint64_t	 calm_at;
	int		 poison;	/* step that kills its daemon, or -1 */
	uint32_t	 dice;
	FILE		*trace;
};

/* world.c: chance, time, programs and statements. */
uint32_t w_dice(struct world *, uint32_t sides);
bool	 w_calm(const struct world *);
bool	 w_mishap(struct world *, uint32_t percent);
int	 w_number(const struct world *, const struct host *);
void	 w_note(struct world *, const struct host *, const char *, ...)
	    __attribute__((format(printf, 3, 4)));
void	 w_plan(struct world *, uint64_t in, struct event);
void	 w_plan_for(struct world *, uint64_t in, enum kind,
	    const struct host *, unsigned int, unsigned int);
bool	 w_trusted(const struct world *, const struct host *);
int	 w_start_task(struct world *, struct host *, uint32_t token, int row,
	    bool helps);
void	 w_end_task(struct world *, int, uint64_t in, enum engine_event,
	    bool fenced);
void	 w_end_tasks(struct world *, const struct host *, uint32_t within,
	    enum engine_event, bool fenced);
bool	 w_reaches(struct world *, const struct host *);
bool	 w_is_busy(const struct world *, const struct host *);
struct write *w_write(struct world *, struct host *, enum what,
	    uint32_t token, int row);
void	 w_send(struct world *, struct host *, struct write *);
void	 w_run_out(struct write *);
void	 w_forget_all(struct world *, const struct host *);

/* world_run.c: the run of a host. */
int	 run_step(const struct run *, int row);
void	 run_start(struct world *, struct host *, uint32_t token);
void	 run_begin(struct world *, struct host *, uint32_t token);
void	 run_handle(struct world *, struct host *, enum engine_event, int);
void	 run_end_step(struct world *, struct host *, int row,
	    enum engine_event);
void	 run_advance(struct world *, struct host *);
void	 run_look(struct world *, struct host *);
void	 run_tell(struct world *, struct host *);
void	 run_hear(struct world *, struct host *, const struct write *,
	    bool sure);
void	 run_let_go(struct world *, struct host *);
void	 run_drop(struct world *, struct host *);

/* world_host.c: its daemon. */
void	 host_tick(struct world *, struct host *);
void	 host_hear(struct world *, struct host *, struct write *,
	    unsigned int number);
void	 host_hear_of_end(struct world *, struct host *, struct task *);
void	 host_leave(struct world *, struct host *);
void	 host_hurry(struct world *, struct host *);
void	 host_go_away(struct world *, struct host *, bool clean);
void	 host_vanish(struct world *, struct host *, uint32_t programs_within);

#endif
