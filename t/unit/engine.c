/* What the engine decides, on any schedule, and how far and how long it takes a
   job to be. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine.h"
#include "jobstate.h"
#include "world.h"

#define STEPS	16

/* A job, and who drives it. */
struct drive {
	struct stage	 stages[STEPS];
	struct engine	 engine;
	struct engine_step steps[STEPS];
	size_t		 n;
	unsigned int	 width;		/* steps at a time */
	unsigned int	 actions;	/* of the last event */
	unsigned int	 starts;
};

/* What a letter stands for.  Equal ones side by side are items of a stage. */
static const struct stage	 kinds[] = {
	['o'] = { .kind = STAGE_ONCE },
	['a'] = { .kind = STAGE_ALWAYS },
	['e'] = { .kind = STAGE_EACH, .failures = FAILURES_FINISH },
	['s'] = { .kind = STAGE_EACH, .failures = FAILURES_STOP },
	['1'] = { .kind = STAGE_EACH, .failures = FAILURES_ALLOW,
	    .allowed = 1 },
	['%'] = { .kind = STAGE_EACH, .failures = FAILURES_ALLOW,
	    .allowed = 50, .allowed_percent = true },
};

static void
lay_out(struct drive *d, const char *letters, unsigned int attempts)
{
	unsigned int	 position = 0;
	size_t		 i;

	memset(d, 0, sizeof(*d));
	d->width = 2;
	d->engine.stages = d->stages;
	for (i = 0; letters[i] != '\0'; i++) {
		if (i > 0 && (letters[i] != letters[i - 1] ||
		    strchr("oa", letters[i]) != NULL))
			position++;
		d->stages[position] = kinds[(unsigned char)letters[i]];
		d->stages[position].attempts = attempts;
		d->steps[i].position = position;
	}
	d->n = i;
}

static void
start(struct drive *d)
{
	int	 i;

	while (d->engine.running < d->width &&
	    (i = engine_next(&d->engine, d->steps, d->n)) != -1) {
		engine_start(&d->engine, d->steps, i);
		d->starts++;
	}
}

static void
begin(struct drive *d)
{
	d->actions = engine_begin(&d->engine, d->steps, d->n);
	start(d);
}

static int
first_running(const struct drive *d)
{
	size_t	 i;

	for (i = 0; i < d->n; i++) {
		if (d->steps[i].state == STEP_RUNNING)
			return (int)i;
	}
	return -1;
}

static void
happen(struct drive *d, enum engine_event event)
{
	d->actions = engine_handle(&d->engine, d->steps, d->n, event,
	    event < JOB_CANCELS ? first_running(d) : -1);
	start(d);
}

/* ---- decisions ----------------------------------------------------------- */

static const enum engine_event	 letters[] = {
	['k'] = STEP_OK,	['r'] = STEP_REJECTED,	['g'] = STEP_AGAIN,
	['b'] = STEP_BROKEN,	['l'] = STEP_LATE,	['x'] = STEP_CRASHED,
	['y'] = STEP_LOST,	['t'] = STEP_ENDED,	['C'] = JOB_CANCELS,
	['S'] = JOB_LEAVES,	['H'] = JOB_HURRIES,	['L'] = JOB_LOST
};

static const struct {
	const char	*steps;
	unsigned int	 attempts;
	const char	*events;
	enum engine_verdict verdict;
	const char	*states;	/* of the steps, at the end: waiting,
					   done, failed, to be tried Again */
} decisions[] = {
	{ "o",	   1,	"k",	   VERDICT_DONE,	"d" },
	{ "ooa",   1,	"kkk",	   VERDICT_DONE,	"ddd" },
	{ "oeeeo", 1,	"kkkkk",   VERDICT_DONE,	"ddddd" },
	{ "oa",	   3,	"kb",	   VERDICT_DONE,	"df" },

	/* what a stage does to its job: at its last try, and before */
	{ "ooa",   3,	"rk",	   VERDICT_FAILED,	"fwd" },
	{ "ooa",   1,	"bk",	   VERDICT_FAILED,	"fwd" },
	{ "ooa",   1,	"lk",	   VERDICT_FAILED,	"fwd" },
	{ "ooa",   1,	"gk",	   VERDICT_FAILED,	"fwd" },
	{ "ooa",   2,	"b",	   VERDICT_AGAIN,	"Aww" },
	{ "ooa",   2,	"l",	   VERDICT_AGAIN,	"Aww" },
	{ "ooa",   2,	"g",	   VERDICT_AGAIN,	"Aww" },
	{ "ooa",   1,	"x",	   VERDICT_AGAIN,	"Aww" },
	{ "ooa",   1,	"y",	   VERDICT_AGAIN,	"Aww" },
	{ "ooa",   1,	"kx",	   VERDICT_AGAIN,	"dAw" },
	{ "oaa",   1,	"rbk",	   VERDICT_FAILED,	"ffd" },

	/* items leave their neighbours alone */
	{ "eee",   3,	"rkk",	   VERDICT_FAILED,	"fdd" },
	{ "eeea",  1,	"bkkk",	   VERDICT_FAILED,	"fddd" },
	{ "eeeo",  2,	"bkk",	   VERDICT_AGAIN,	"Addw" },
	{ "eeeo",  2,	"gkb",	   VERDICT_AGAIN,	"AdAw" },
	{ "eeeo",  2,	"yxk",	   VERDICT_AGAIN,	"AAdw" },
	{ "eee",   2,	"brk",	   VERDICT_FAILED,	"Afd" },
	/* or stop them, once they have failed */
	{ "sss",   1,	"bt",	   VERDICT_FAILED,	"fww" },
	{ "sssa",  3,	"rtk",	   VERDICT_FAILED,	"fwwd" },
	{ "sss",   1,	"bk",	   VERDICT_FAILED,	"fdw" },
	{ "sss",   1,	"bb",	   VERDICT_FAILED,	"ffw" },
	{ "sss",   2,	"bkk",	   VERDICT_AGAIN,	"Add" },
	/* or some of them may fail */
	{ "111o",  1,	"bkkk",	   VERDICT_DONE,	"fddd" },
	{ "111o",  1,	"bbk",	   VERDICT_FAILED,	"ffdw" },
	{ "111o",  2,	"rbk",	   VERDICT_AGAIN,	"fAdw" },
	{ "%%%%o", 1,	"bbkkk",   VERDICT_DONE,	"ffddd" },
	{ "%%%%o", 1,	"bbkb",	   VERDICT_FAILED,	"ffdfw" },
	{ "1o",	   1,	"bb",	   VERDICT_FAILED,	"ff" },

	/* the job is wanted no more */
	{ "ooa",   1,	"Ctk",	   VERDICT_STOPPED,	"wwd" },
	{ "ooa",   1,	"kCtk",	   VERDICT_STOPPED,	"dwd" },
	{ "ooa",   1,	"Ckk",	   VERDICT_STOPPED,	"dwd" },
	{ "ooa",   1,	"CCtk",	   VERDICT_STOPPED,	"wwd" },
	{ "ooa",   2,	"Cbk",	   VERDICT_STOPPED,	"Awd" },
	{ "oa",	   1,	"rCk",	   VERDICT_FAILED,	"fd" },
	{ "oa",	   1,	"kCk",	   VERDICT_DONE,	"dd" },
	{ "eee",   2,	"gCtk",	   VERDICT_STOPPED,	"Awd" },

	/* the daemon leaves: nothing starts, what runs may end */
	{ "ooa",   1,	"Sk",	   VERDICT_GIVEN_BACK,	"dww" },
	{ "ooa",   1,	"St",	   VERDICT_GIVEN_BACK,	"www" },
	{ "eeea",  1,	"Skk",	   VERDICT_GIVEN_BACK,	"ddww" },
	{ "eeee",  2,	"Sgk",	   VERDICT_GIVEN_BACK,	"Adww" },
	{ "ee",	   2,	"Sgk",	   VERDICT_AGAIN,	"Ad" },
	{ "ooa",   1,	"Srk",	   VERDICT_FAILED,	"fwd" },
	{ "oa",	   1,	"Skk",	   VERDICT_DONE,	"dd" },
	{ "oa",	   1,	"kSk",	   VERDICT_DONE,	"dd" },
	{ "ooa",   1,	"SCtk",	   VERDICT_STOPPED,	"wwd" },
	{ "ooa",   1,	"CStk",	   VERDICT_STOPPED,	"wwd" },
	/* and hurries */
	{ "ooa",   1,	"SHt",	   VERDICT_GIVEN_BACK,	"www" },
	{ "ooa",   1,	"Ht",	   VERDICT_GIVEN_BACK,	"www" },
	{ "ooa",   1,	"SHk",	   VERDICT_GIVEN_BACK,	"dww" },
	{ "ooa",   1,	"SHr",	   VERDICT_FAILED,	"fww" },
	{ "ooa",   1,	"SHCt",	   VERDICT_STOPPED,	"www" },
	{ "ooa",   1,	"CHt",	   VERDICT_STOPPED,	"www" },
	{ "oa",	   1,	"kHt",	   VERDICT_DONE,	"dw" },
	{ "oa",	   1,	"rHt",	   VERDICT_FAILED,	"fw" },

	/* the job is another's */
	{ "ooa",   1,	"Lt",	   VERDICT_LOST,	"www" },
	{ "ooa",   1,	"rLt",	   VERDICT_LOST,	"fww" },
	{ "ooa",   1,	"CLt",	   VERDICT_LOST,	"www" },
	{ "ooa",   1,	"SLk",	   VERDICT_LOST,	"dww" },
	{ "ooa",   1,	"HLt",	   VERDICT_LOST,	"www" },
	{ "oa",	   1,	"kLt",	   VERDICT_LOST,	"dw" },
};

static char
state_letter(const struct engine_step *s)
{
	static const char	 words[] = {
		[STEP_WAITING] = 'w', [STEP_RUNNING] = 'R', [STEP_DONE] = 'd',
		[STEP_FAILED] = 'f'
	};

	return s->again ? 'A' : words[s->state];
}

static void
decides(void **state)
{
	struct drive	 d;
	char		 states[STEPS + 1];
	const char	*e;
	size_t		 i, k;

	(void)state;
	for (k = 0; k < sizeof(decisions) / sizeof(decisions[0]); k++) {
		print_message("# %s: %s\n", decisions[k].steps,
		    decisions[k].events);
		lay_out(&d, decisions[k].steps, decisions[k].attempts);
		begin(&d);
		assert_int_equal(d.actions, 0);
		for (e = decisions[k].events; *e != '\0'; e++) {
			assert_int_not_equal(d.engine.state, ENGINE_OVER);
			happen(&d, letters[(unsigned char)*e]);
		}
		assert_int_equal(d.engine.state, ENGINE_OVER);
		assert_true(d.actions & ENGINE_FINISH);
		assert_int_equal(d.engine.verdict, decisions[k].verdict);
		for (i = 0; i < d.n; i++)
			states[i] = state_letter(&d.steps[i]);
		states[i] = '\0';
		assert_string_equal(states, decisions[k].states);
	}
}

/* As often as a stage is tried, and a crash is none of these tries. */
static void
counts_tries(void **state)
{
	static const struct {
		unsigned int	 failures, crashes;
		enum engine_event event;
		unsigned int	 failures_then, crashes_then;
		enum step_state	 state;
	} cases[] = {
		{ 0, 0, STEP_OK,	0, 0, STEP_DONE },
		{ 2, 2, STEP_OK,	2, 2, STEP_DONE },
		{ 0, 0, STEP_AGAIN,	1, 0, STEP_WAITING },
		{ 1, 0, STEP_BROKEN,	2, 0, STEP_WAITING },
		{ 2, 0, STEP_LATE,	3, 0, STEP_FAILED },
		{ 2, 2, STEP_AGAIN,	3, 2, STEP_FAILED },
		{ 0, 0, STEP_REJECTED,	3, 0, STEP_FAILED },
		{ 2, 1, STEP_CRASHED,	2, 2, STEP_WAITING },
		{ 2, 1, STEP_LOST,	2, 2, STEP_WAITING },
		{ 0, 2, STEP_CRASHED,	0, 3, STEP_FAILED },
		{ 0, 2, STEP_LOST,	0, 3, STEP_FAILED },
		{ 2, 2, STEP_ENDED,	2, 2, STEP_WAITING },
	};
	struct drive	 d;
	size_t		 i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		lay_out(&d, "o", 3);
		d.steps[0].failures = cases[i].failures;
		d.steps[0].crashes = cases[i].crashes;
		begin(&d);
		d.width = 0;
		happen(&d, cases[i].event);
		assert_int_equal(d.steps[0].failures, cases[i].failures_then);
		assert_int_equal(d.steps[0].crashes, cases[i].crashes_then);
		assert_int_equal(d.steps[0].state, cases[i].state);
	}
}

static void
goes_on_where_it_was(void **state)
{
	struct drive	 d;

	(void)state;
	lay_out(&d, "oeeoa", 3);
	d.steps[0].state = STEP_DONE;
	d.steps[1].state = STEP_DONE;
	d.steps[2].state = STEP_RUNNING;	/* when its daemon died */
	d.steps[2].percent = 40;
	d.steps[3].state = STEP_WAITING;
	d.steps[4].state = STEP_DONE;		/* it will tidy again */
	begin(&d);
	assert_int_equal(first_running(&d), 2);
	assert_int_equal(d.starts, 1);		/* not what comes behind it */
	assert_float_equal(d.steps[2].percent, 40, 0.001);
	happen(&d, STEP_OK);
	assert_int_equal(first_running(&d), 3);
	happen(&d, STEP_OK);
	assert_int_equal(first_running(&d), 4);
	happen(&d, STEP_OK);
	assert_int_equal(d.engine.verdict, VERDICT_DONE);
}

/* Whoever has the job next: what is to be tried after a pause waits for its
   end, but for no longer, and holds up nothing else. */
static void
keeps_pauses(void **state)
{
	struct drive	 d;

	(void)state;
	lay_out(&d, "oeeoa", 3);
	d.steps[0].state = STEP_DONE;
	d.steps[1].again = true;
	begin(&d);
	assert_int_equal(first_running(&d), 2);
	assert_int_equal(d.starts, 1);
	happen(&d, STEP_OK);
	assert_int_equal(d.engine.state, ENGINE_OVER);
	assert_int_equal(d.engine.verdict, VERDICT_AGAIN);
	d.steps[1].again = false;
	begin(&d);
	assert_int_equal(first_running(&d), 1);

	/* It is nothing to those that are done, have failed, or tidy. */
	lay_out(&d, "eea", 1);
	d.steps[0].state = STEP_DONE;
	d.steps[1].failures = 1;
	d.steps[0].again = d.steps[1].again = d.steps[2].again = true;
	begin(&d);
	assert_int_equal(d.steps[1].state, STEP_FAILED);
	assert_int_equal(first_running(&d), 2);
	happen(&d, STEP_OK);
	assert_int_equal(d.engine.verdict, VERDICT_FAILED);
}

/* What has failed for good stays so, whoever has the job. */
static void
knows_what_has_failed(void **state)
{
	struct drive	 d;

	(void)state;
	lay_out(&d, "eeeeo", 2);
	begin(&d);
	happen(&d, STEP_REJECTED);
	happen(&d, JOB_LEAVES);
	happen(&d, STEP_OK);
	happen(&d, STEP_OK);
	assert_int_equal(d.engine.verdict, VERDICT_GIVEN_BACK);
	begin(&d);
	assert_int_equal(first_running(&d), 3);
	assert_int_equal(d.steps[0].state, STEP_FAILED);
	happen(&d, STEP_OK);
	assert_int_equal(d.engine.verdict, VERDICT_FAILED);
	assert_true(engine_spoilt(&d.engine, d.steps, d.n));

	/* One that failed with tries left has them. */
	lay_out(&d, "o", 2);
	d.steps[0].state = STEP_FAILED;
	d.steps[0].failures = 1;
	begin(&d);
	assert_int_equal(first_running(&d), 0);
}

static void
sets_aside(void **state)
{
	static const struct {
		unsigned int	 crashes, deaths;
		bool		 aside;
	} cases[] = {
		{ 2, 9, false }, { 3, 0, true }, { 0, 10, true },
		{ 4, 11, true }
	};
	struct drive	 d;
	size_t		 i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		lay_out(&d, "oa", 3);
		d.engine.crashes = cases[i].crashes;
		d.engine.deaths = cases[i].deaths;
		begin(&d);
		assert_int_equal(first_running(&d), cases[i].aside ? 1 : 0);
		assert_int_equal(d.engine.verdict, cases[i].aside ?
		    VERDICT_FAILED : VERDICT_NONE);
	}
	lay_out(&d, "o", 3);
	d.engine.crashes = JOB_CRASHES;
	begin(&d);
	assert_true(d.actions & ENGINE_FINISH);
}

static void
takes_steps_in(void **state)
{
	struct drive	 d;

	(void)state;
	lay_out(&d, "oe", 1);
	d.n = 1;
	begin(&d);
	d.n = 2;			/* it has named an item */
	happen(&d, STEP_OK);
	assert_int_equal(first_running(&d), 1);
	happen(&d, STEP_OK);
	assert_int_equal(d.engine.verdict, VERDICT_DONE);
}

static void
owes_nothing(void **state)
{
	struct drive	 d;

	(void)state;
	lay_out(&d, "o", 1);
	begin(&d);
	d.engine.owes = true;
	happen(&d, STEP_OK);
	assert_int_equal(d.engine.verdict, VERDICT_FAILED);
	assert_false(engine_spoilt(&d.engine, d.steps, d.n));
}

/* ---- the states of a job ------------------------------------------------- */

static void
leads_where_it_says(void **state)
{
	/* from: pending running completed failed cancelled waiting */
	static const char *const	 arrows[JOB_STATES] = {
		[JOB_PENDING]	= ".r..c.",
		[JOB_RUNNING]	= "p.CFc.",
		[JOB_COMPLETED]	= "......",
		[JOB_FAILED]	= "p.....",
		[JOB_CANCELLED]	= "p.....",
		[JOB_WAITING]	= "p...c.",
	};
	int	 from, to;

	(void)state;
	for (from = 0; from < JOB_STATES; from++) {
		for (to = 0; to < JOB_STATES; to++)
			assert_int_equal(job_leads((enum job_state)from,
			    (enum job_state)to), arrows[from][to] != '.');
	}
}

static void
outlives_daemons(void **state)
{
	static const struct {
		unsigned int	 crashes, deaths;
		enum job_blame	 blame;
		unsigned int	 crashes_then, deaths_then;
		enum job_state	 state;
	} cases[] = {
		{ 0, 0, JOB_BLAMED,	1, 0,	JOB_PENDING },
		{ 0, 0, JOB_INNOCENT,	0, 1,	JOB_PENDING },
		{ 2, 0, JOB_BLAMED,	3, 0,	JOB_PENDING },
		{ 0, 9, JOB_INNOCENT,	0, 10,	JOB_PENDING },
		/* set aside, and it has happened again while it tidied up */
		{ 3, 0, JOB_BLAMED,	4, 0,	JOB_FAILED },
		{ 0, 10, JOB_INNOCENT,	0, 11,	JOB_FAILED },
		{ 3, 0, JOB_INNOCENT,	3, 1,	JOB_FAILED },
	};
	unsigned int	 crashes, deaths;
	size_t		 i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		crashes = cases[i].crashes;
		deaths = cases[i].deaths;
		assert_int_equal(job_orphaned(&crashes, &deaths,
		    cases[i].blame), cases[i].state);
		assert_int_equal(crashes, cases[i].crashes_then);
		assert_int_equal(deaths, cases[i].deaths_then);
	}
}

/* ---- any schedule -------------------------------------------------------- */

/* Schedules that ./check runs; MILLRACE_SCHEDULES says how many, and
   MILLRACE_SEED the first. */
#define SCHEDULES	100000
#define THREADS		16

struct share {
	pthread_t	 thread;
	uint32_t	 seed;		/* the next one, and then each... */
	uint32_t	 step;
	uint64_t	 left;		/* ...so many */
	const char	*wrong;		/* of that seed */
};

static atomic_bool	 found;

static void *
run_share(void *arg)
{
	struct share	*s = arg;

	for (; s->left > 0 && !found; s->left--, s->seed += s->step) {
		if ((s->wrong = world_run(s->seed, NULL)) != NULL) {
			found = true;
			break;
		}
	}
	return NULL;
}

static uint64_t
setting(const char *name, uint64_t initial)
{
	const char	*text = getenv(name);

	return text == NULL || *text == '\0' ? initial :
	    strtoull(text, NULL, 10);
}

static unsigned int
cores(void)
{
	long	 n = sysconf(_SC_NPROCESSORS_ONLN);

	return n < 1 ? 1 : n > THREADS ? THREADS : (unsigned int)n;
}

static void
holds_on_any_schedule(void **state)
{
	struct share	 shares[THREADS];
	uint64_t	 n = setting("MILLRACE_SCHEDULES", SCHEDULES);
	uint32_t	 seed = (uint32_t)setting("MILLRACE_SEED", 1);
	unsigned int	 i, ncores = cores();

	(void)state;
	for (i = 0; i < ncores; i++) {
		shares[i] = (struct share){
			.seed = seed + i, .step = ncores,
			.left = (n + ncores - 1 - i) / ncores
		};
		assert_int_equal(pthread_create(&shares[i].thread, NULL,
		    run_share, &shares[i]), 0);
	}
	for (i = 0; i < ncores; i++)
		pthread_join(shares[i].thread, NULL);
	for (i = 0; i < ncores; i++) {
		if (shares[i].wrong == NULL)
			continue;
		world_run(shares[i].seed, stdout);
		fail_msg("%s; again with MILLRACE_SEED=%u "
		    "MILLRACE_SCHEDULES=1", shares[i].wrong, shares[i].seed);
	}
	print_message("# %llu schedules from seed %u\n",
	    (unsigned long long)n, seed);
}

/* ---- ends of a stage ----------------------------------------------------- */

static void
judges(void **state)
{
	static const struct {
		struct child_end end;
		bool		 rejects, retries;
		enum engine_event event;
	} cases[] = {
		{{ .status = 0 },		false, false, STEP_OK },
		{{ .status = 1 << 8 },		false, false, STEP_BROKEN },
		{{ .status = SIGSEGV },		false, false, STEP_CRASHED },
		{{ .status = SIGKILL },		false, false, STEP_CRASHED },
		{{ .status = SIGXFSZ },		false, false, STEP_BROKEN },
		{{ .status = 0 },		true, false, STEP_REJECTED },
		{{ .status = 1 << 8 },		true, false, STEP_REJECTED },
		{{ .status = 0 },		false, true, STEP_AGAIN },
		{{ .status = SIGSEGV },		false, true, STEP_AGAIN },
		{{ .status = 0 },		true, true, STEP_REJECTED },
		{{ CHILD_TOLD, .status = 0 },	false, false, STEP_ENDED },
		{{ CHILD_TOLD, .status = 15 },	false, true, STEP_ENDED },
		{{ CHILD_TOLD, .status = 15 },	true, false, STEP_REJECTED },
		{{ CHILD_LATE, .status = 9 },	false, false, STEP_LATE },
		{{ CHILD_SILENT, .status = 15 }, false, false, STEP_LATE },
		{{ CHILD_OVER, .status = 9 },	false, false, STEP_BROKEN },
		{{ CHILD_CUT },			false, true, STEP_BROKEN },
		{{ CHILD_FENCED, .status = 9 },	false, false, STEP_ENDED },
		{{ CHILD_UNSTARTED },		false, false, STEP_BROKEN },
	};
	size_t	 i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(engine_judge(&cases[i].end, cases[i].rejects,
		    cases[i].retries), cases[i].event);
}

static void
pauses_longer_each_time(void **state)
{
	static const struct {
		unsigned int	 first, most, tries, least, greatest;
	} cases[] = {
		{ 2, 600, 1,	1, 2 },
		{ 2, 600, 2,	2, 4 },
		{ 2, 600, 5,	16, 32 },
		{ 2, 600, 9,	256, 512 },
		{ 2, 600, 10,	300, 600 },
		{ 2, 600, 4000000000U, 300, 600 },
		{ 10, 10, 7,	5, 10 },
		{ 1, 5, 1,	1, 1 },
		{ 1, 5, 3,	2, 4 },
		{ 1, 5, 4,	3, 5 },
		{ 0, 0, 3,	0, 0 },
		{ 0, 60, 3,	0, 0 },
		{ 4000000000U, 4000000000U, 9, 2000000000U, 4000000000U },
	};
	struct stage	 s;
	uint32_t	 random;
	unsigned int	 pause, least, greatest;
	size_t		 i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		s = (struct stage){ .pause_s = cases[i].first,
		    .pause_most_s = cases[i].most };
		least = UINT_MAX;
		greatest = 0;
		for (random = 0; random < 2000; random++) {
			pause = engine_pause(&s, cases[i].tries, random);
			assert_in_range(pause, cases[i].least,
			    cases[i].greatest);
			least = pause < least ? pause : least;
			greatest = pause > greatest ? pause : greatest;
		}
		assert_int_equal(least, cases[i].least);
		if (cases[i].greatest < 2000)
			assert_int_equal(greatest, cases[i].greatest);
	}
}

/* ---- how far, how long --------------------------------------------------- */

static void
adds_up(void **state)
{
	static struct stage	 stages[] = {
		{ .name = "a", .kind = STAGE_ONCE, .share = 20 },
		{ .name = "b", .kind = STAGE_EACH, .share = 60 },
		{ .name = "c", .kind = STAGE_ONCE, .share = 20 },
	};
	static const struct pipeline p = { .stages = stages, .nstages = 3 };
	static const struct {
		unsigned int	 position;
		struct engine_step steps[4];
		size_t		 n;
		double		 stage, total;
		unsigned int	 done, items;
	} cases[] = {
		{ 0, {{ 0, STEP_RUNNING, false, 0, 0, 0 }}, 1, 0, 0, 0, 0 },
		{ 0, {{ 0, STEP_RUNNING, false, 50, 0, 0 }}, 1, 50, 10, 0, 0 },
		{ 1, {{ 0, STEP_DONE, false, 0, 0, 0 },
		    { 1, STEP_DONE, false, 0, 0, 0 },
		    { 1, STEP_RUNNING, false, 50, 0, 0 },
		    { 2, STEP_WAITING, false, 0, 0, 0 }}, 4, 75, 65, 1, 2 },
		{ 2, {{ 0, STEP_DONE, false, 0, 0, 0 },
		    { 1, STEP_DONE, false, 0, 0, 0 },
		    { 2, STEP_RUNNING, false, 10, 0, 0 }}, 3, 10, 82, 1, 1 },
		/* no items: nothing to do there */
		{ 2, {{ 0, STEP_DONE, false, 0, 0, 0 },
		    { 2, STEP_RUNNING, false, 50, 0, 0 }}, 2, 50, 90, 0, 0 },
		/* a hundred is for the end alone */
		{ 2, {{ 0, STEP_DONE, false, 0, 0, 0 },
		    { 1, STEP_DONE, false, 0, 0, 0 },
		    { 2, STEP_DONE, false, 100, 0, 0 }}, 3, 100, 99.9, 1, 1 },
		/* what has failed for good is no work any more */
		{ 1, {{ 0, STEP_DONE, false, 0, 0, 0 },
		    { 1, STEP_FAILED, false, 10, 3, 0 },
		    { 1, STEP_WAITING, true, 50, 1, 0 }}, 3, 75, 65, 0, 2 },
		/* items are known before they begin */
		{ 0, {{ 0, STEP_DONE, false, 0, 0, 0 },
		    { 1, STEP_WAITING, false, 0, 0, 0 },
		    { 1, STEP_WAITING, false, 0, 0, 0 }}, 3, 100, 20, 0, 2 },
	};
	struct engine_progress	 out;
	size_t			 i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		engine_progress(&p, cases[i].steps, cases[i].n,
		    cases[i].position, &out);
		assert_float_equal(out.stage, cases[i].stage, 0.001);
		assert_float_equal(out.total, cases[i].total, 0.001);
		assert_int_equal(out.items_done, cases[i].done);
		assert_int_equal(out.items_total, cases[i].items);
	}
}

static void
says_a_time_it_can_defend(void **state)
{
	struct engine_pace	 pace = { .since = 1000, .from = 20 };

	(void)state;
	assert_int_equal(engine_eta(&pace, 60, 5000), -1);	/* too soon */
	assert_int_equal(engine_eta(&pace, 24, 60000), -1);	/* too little */
	/* 40 of 80 % in 10 s: 10 more */
	assert_int_equal(engine_eta(&pace, 60, 11000), 10);
}

static void
does_not_jump(void **state)
{
	struct engine_pace	 pace = { .since = 0, .from = 0 };
	uint64_t		 now;
	int			 eta, before = -1;

	(void)state;
	/* One percent a second; from 50 on, for a minute, nothing. */
	for (now = 6000; now <= 110000; now += 250) {
		eta = engine_eta(&pace, now < 50000 ? (double)now / 1000 : 50,
		    now);
		if (before != -1) {
			assert_in_range(eta + 5, before, before + 10);
		}
		before = eta;
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(decides),
		cmocka_unit_test(counts_tries),
		cmocka_unit_test(goes_on_where_it_was),
		cmocka_unit_test(keeps_pauses),
		cmocka_unit_test(knows_what_has_failed),
		cmocka_unit_test(sets_aside),
		cmocka_unit_test(takes_steps_in),
		cmocka_unit_test(owes_nothing),
		cmocka_unit_test(leads_where_it_says),
		cmocka_unit_test(outlives_daemons),
		cmocka_unit_test(holds_on_any_schedule),
		cmocka_unit_test(judges),
		cmocka_unit_test(pauses_longer_each_time),
		cmocka_unit_test(adds_up),
		cmocka_unit_test(says_a_time_it_can_defend),
		cmocka_unit_test(does_not_jump),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
