/* What the engine decides, and how far and how long it takes a job to be. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <signal.h>

#include <cmocka.h>

#include "engine.h"

#define STEPS	16

/* A job, and who drives it. */
struct drive {
	struct engine	 engine;
	struct engine_step steps[STEPS];
	size_t		 n;
	unsigned int	 width;		/* steps at a time */
	unsigned int	 actions;	/* of the last event */
	unsigned int	 starts;
};

/* "o" once, "e" an item, "a" always; items side by side share a position. */
static void
lay_out(struct drive *d, const char *kinds)
{
	static const enum stage_kind	 kind[] = {
		['o'] = STAGE_ONCE, ['e'] = STAGE_EACH, ['a'] = STAGE_ALWAYS
	};
	unsigned int			 position = 0;
	size_t				 i;

	memset(d, 0, sizeof(*d));
	d->width = 2;
	for (i = 0; kinds[i] != '\0'; i++) {
		if (i > 0 && (kinds[i] != 'e' || kinds[i - 1] != 'e'))
			position++;
		d->steps[i].position = position;
		d->steps[i].kind = kind[(unsigned char)kinds[i]];
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
	['t'] = STEP_ENDED,	['C'] = JOB_CANCELS,	['S'] = JOB_LEAVES,
	['L'] = JOB_LOST
};

static const struct {
	const char	*kinds, *events;
	enum engine_verdict verdict;
	const char	*states;	/* w d f: of the steps, at the end */
} decisions[] = {
	{ "o",		"k",		VERDICT_DONE,		"d" },
	{ "ooa",	"kkk",		VERDICT_DONE,		"ddd" },
	{ "oeeeo",	"kkkkk",	VERDICT_DONE,		"ddddd" },
	{ "oa",		"kb",		VERDICT_DONE,		"df" },

	/* what a stage does to its job */
	{ "ooa",	"rk",		VERDICT_FAILED,		"fwd" },
	{ "ooa",	"bk",		VERDICT_FAILED,		"fwd" },
	{ "ooa",	"lk",		VERDICT_FAILED,		"fwd" },
	{ "ooa",	"g",		VERDICT_AGAIN,		"fww" },
	{ "ooa",	"x",		VERDICT_CRASHED,	"fww" },
	{ "oaa",	"rbk",		VERDICT_FAILED,		"ffd" },

	/* an item, and its neighbours */
	{ "eee",	"rt",		VERDICT_FAILED,		"fww" },
	{ "eeea",	"rtk",		VERDICT_FAILED,		"fwwd" },
	{ "eee",	"rk",		VERDICT_FAILED,		"fdw" },
	{ "eee",	"gt",		VERDICT_AGAIN,		"fww" },
	{ "eee",	"gr",		VERDICT_FAILED,		"ffw" },
	{ "eee",	"xg",		VERDICT_CRASHED,	"ffw" },
	{ "eee",	"rg",		VERDICT_FAILED,		"ffw" },

	/* the job is wanted no more */
	{ "ooa",	"Ctk",		VERDICT_STOPPED,	"wwd" },
	{ "ooa",	"kCtk",		VERDICT_STOPPED,	"dwd" },
	{ "ooa",	"Ckk",		VERDICT_STOPPED,	"dwd" },
	{ "ooa",	"CCtk",		VERDICT_STOPPED,	"wwd" },
	{ "oa",		"rCk",		VERDICT_FAILED,		"fd" },
	{ "oa",		"kCk",		VERDICT_DONE,		"dd" },
	{ "eee",	"gCt",		VERDICT_STOPPED,	"fww" },

	/* the daemon leaves */
	{ "ooa",	"St",		VERDICT_GIVEN_BACK,	"www" },
	{ "ooa",	"Sk",		VERDICT_GIVEN_BACK,	"dww" },
	{ "ooa",	"Sr",		VERDICT_FAILED,		"fww" },
	{ "ooa",	"SCt",		VERDICT_STOPPED,	"www" },
	{ "ooa",	"CSt",		VERDICT_STOPPED,	"www" },
	{ "oa",		"kSt",		VERDICT_DONE,		"dw" },
	{ "oa",		"rSt",		VERDICT_FAILED,		"fw" },

	/* the job is another's */
	{ "ooa",	"Lt",		VERDICT_LOST,		"www" },
	{ "ooa",	"rLt",		VERDICT_LOST,		"fww" },
	{ "ooa",	"CLt",		VERDICT_LOST,		"www" },
	{ "oa",		"kLt",		VERDICT_LOST,		"dw" },
};

static void
decides(void **state)
{
	static const char	 words[] = {
		[STEP_WAITING] = 'w', [STEP_RUNNING] = 'R', [STEP_DONE] = 'd',
		[STEP_FAILED] = 'f'
	};
	struct drive		 d;
	char			 states[STEPS + 1];
	const char		*e;
	size_t			 i, k;

	(void)state;
	for (k = 0; k < sizeof(decisions) / sizeof(decisions[0]); k++) {
		print_message("# %s: %s\n", decisions[k].kinds,
		    decisions[k].events);
		lay_out(&d, decisions[k].kinds);
		d.engine.attempt = 1;
		d.engine.attempts = 3;
		assert_int_equal(engine_begin(&d.engine, d.steps, d.n), 0);
		start(&d);
		for (e = decisions[k].events; *e != '\0'; e++) {
			assert_int_not_equal(d.engine.state, ENGINE_OVER);
			happen(&d, letters[(unsigned char)*e]);
		}
		assert_int_equal(d.engine.state, ENGINE_OVER);
		assert_true(d.actions & ENGINE_FINISH);
		assert_int_equal(d.engine.verdict, decisions[k].verdict);
		for (i = 0; i < d.n; i++)
			states[i] = words[d.steps[i].state];
		states[i] = '\0';
		assert_string_equal(states, decisions[k].states);
	}
}

static void
counts_attempts(void **state)
{
	static const struct {
		unsigned int	 attempt, crashes;
		enum engine_event event;
		enum engine_verdict verdict;
	} cases[] = {
		{ 1, 0, STEP_AGAIN,	VERDICT_AGAIN },
		{ 2, 0, STEP_AGAIN,	VERDICT_AGAIN },
		{ 3, 0, STEP_AGAIN,	VERDICT_FAILED },
		{ 9, 0, STEP_AGAIN,	VERDICT_FAILED },
		{ 9, 0, STEP_CRASHED,	VERDICT_CRASHED },
		{ 1, 1, STEP_CRASHED,	VERDICT_CRASHED },
		{ 1, 2, STEP_CRASHED,	VERDICT_FAILED },
		{ 1, 2, STEP_AGAIN,	VERDICT_AGAIN },
	};
	struct drive	 d;
	size_t		 i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		lay_out(&d, "o");
		d.engine.attempt = cases[i].attempt;
		d.engine.attempts = 3;
		d.engine.crashes = cases[i].crashes;
		engine_begin(&d.engine, d.steps, d.n);
		start(&d);
		happen(&d, cases[i].event);
		assert_int_equal(d.engine.verdict, cases[i].verdict);
	}
	/* One that took its daemon down three times does not begin. */
	lay_out(&d, "oa");
	d.engine.crashes = ENGINE_CRASHES;
	assert_int_equal(engine_begin(&d.engine, d.steps, d.n), 0);
	assert_int_equal(engine_next(&d.engine, d.steps, d.n), 1);
	assert_int_equal(d.engine.verdict, VERDICT_FAILED);
}

static void
goes_on_where_it_was(void **state)
{
	struct drive	 d;

	(void)state;
	lay_out(&d, "oeeoa");
	d.steps[0].state = STEP_DONE;
	d.steps[1].state = STEP_DONE;
	d.steps[2].state = STEP_RUNNING;	/* when its daemon died */
	d.steps[3].state = STEP_FAILED;
	d.steps[4].state = STEP_DONE;		/* it will tidy again */
	engine_begin(&d.engine, d.steps, d.n);
	assert_int_equal(engine_next(&d.engine, d.steps, d.n), 2);
	start(&d);
	assert_int_equal(d.starts, 1);		/* not what comes behind it */
	happen(&d, STEP_OK);
	assert_int_equal(first_running(&d), 3);
	happen(&d, STEP_OK);
	assert_int_equal(first_running(&d), 4);
	happen(&d, STEP_OK);
	assert_int_equal(d.engine.verdict, VERDICT_DONE);
}

static void
owes_nothing(void **state)
{
	struct drive	 d;

	(void)state;
	lay_out(&d, "o");
	engine_begin(&d.engine, d.steps, d.n);
	start(&d);
	d.engine.owes = true;
	happen(&d, STEP_OK);
	assert_int_equal(d.engine.verdict, VERDICT_FAILED);
}

/* ---- any order ----------------------------------------------------------- */

static uint32_t	 seed;

static uint32_t
dice(uint32_t sides)
{
	seed = seed * 1664525 + 1013904223;
	return (seed >> 8) % sides;
}

static bool
all_done(const struct drive *d)
{
	size_t	 i;

	for (i = 0; i < d->n; i++) {
		if (d->steps[i].kind != STAGE_ALWAYS &&
		    d->steps[i].state != STEP_DONE)
			return false;
	}
	return true;
}

/* One job under events in any order; what went wrong, or NULL. */
static const char *
schedule(void)
{
	static const char *const layouts[] = {
		"o", "oa", "ooo", "oeeeoa", "eeee", "eea", "oeeeoeeaa"
	};
	enum engine_verdict	 before;
	enum engine_event	 event;
	struct drive		 d;
	unsigned int		 starts;
	int			 turns;

	lay_out(&d, layouts[dice(7)]);
	d.width = 1 + dice(4);
	d.engine.attempt = 1 + dice(4);
	d.engine.attempts = 3;
	d.engine.crashes = dice(4);
	d.actions = engine_begin(&d.engine, d.steps, d.n);
	start(&d);
	for (turns = 0; d.engine.state != ENGINE_OVER; turns++) {
		if (turns > 200)
			return "it does not end";
		if (d.engine.running == 0)
			return "it stands still";
		event = dice(4) == 0 ? (enum engine_event)dice(ENGINE_EVENTS) :
		    STEP_OK;
		before = d.engine.verdict;
		starts = d.starts;
		happen(&d, event);
		if (d.engine.verdict < before)
			return "a verdict was taken back";
		if (before == VERDICT_LOST && d.starts != starts)
			return "something starts for another's job";
		if (d.engine.running > d.width)
			return "more runs than there is room for";
	}
	if (d.engine.running != 0 || first_running(&d) != -1)
		return "something runs after the end";
	if ((d.actions & ENGINE_FINISH) == 0)
		return "nobody was told of the end";
	if (d.engine.verdict == VERDICT_NONE)
		return "it ends without a verdict";
	if (d.engine.verdict == VERDICT_DONE && !all_done(&d))
		return "it is done, and its steps are not";
	return NULL;
}

static void
holds_in_any_order(void **state)
{
	const char	*wrong;
	uint32_t	 i;

	(void)state;
	for (i = 0; i < 100000; i++) {
		seed = i * 2654435761U;
		if ((wrong = schedule()) != NULL)
			fail_msg("seed %u: %s", i, wrong);
	}
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
	unsigned int	 n, least, most, before = 0;

	(void)state;
	for (n = 1; n < 40; n++) {
		least = engine_pause(n, 0);
		most = engine_pause(n, least);	/* the greatest remainder */
		assert_in_range(least, 1, ENGINE_PAUSE_S);
		assert_true(engine_pause(n, UINT32_MAX) >= least);
		assert_true(engine_pause(n, UINT32_MAX) <= 2 * least);
		assert_true(least >= before);
		assert_true(most <= ENGINE_PAUSE_S);
		before = least;
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
		{ 0, {{ 0, STAGE_ONCE, STEP_RUNNING, 0 }}, 1, 0, 0, 0, 0 },
		{ 0, {{ 0, STAGE_ONCE, STEP_RUNNING, 50 }}, 1, 50, 10, 0, 0 },
		{ 1, {{ 0, STAGE_ONCE, STEP_DONE, 0 },
		    { 1, STAGE_EACH, STEP_DONE, 0 },
		    { 1, STAGE_EACH, STEP_RUNNING, 50 },
		    { 2, STAGE_ONCE, STEP_WAITING, 0 }}, 4, 75, 65, 1, 2 },
		{ 2, {{ 0, STAGE_ONCE, STEP_DONE, 0 },
		    { 1, STAGE_EACH, STEP_DONE, 0 },
		    { 2, STAGE_ONCE, STEP_RUNNING, 10 }}, 3, 10, 82, 1, 1 },
		/* no items: nothing to do there */
		{ 2, {{ 0, STAGE_ONCE, STEP_DONE, 0 },
		    { 2, STAGE_ONCE, STEP_RUNNING, 50 }}, 2, 50, 90, 0, 0 },
		/* a hundred is for the end alone */
		{ 2, {{ 0, STAGE_ONCE, STEP_DONE, 0 },
		    { 1, STAGE_EACH, STEP_DONE, 0 },
		    { 2, STAGE_ONCE, STEP_DONE, 100 }}, 3, 100, 99.9, 1, 1 },
		/* items are known before they begin */
		{ 0, {{ 0, STAGE_ONCE, STEP_DONE, 0 },
		    { 1, STAGE_EACH, STEP_WAITING, 0 },
		    { 1, STAGE_EACH, STEP_WAITING, 0 }}, 3, 100, 20, 0, 2 },
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
		cmocka_unit_test(counts_attempts),
		cmocka_unit_test(goes_on_where_it_was),
		cmocka_unit_test(owes_nothing),
		cmocka_unit_test(holds_in_any_order),
		cmocka_unit_test(judges),
		cmocka_unit_test(pauses_longer_each_time),
		cmocka_unit_test(adds_up),
		cmocka_unit_test(says_a_time_it_can_defend),
		cmocka_unit_test(does_not_jump),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
