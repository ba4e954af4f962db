/* A pipeline is what its file says, or each mistake in the file is named. */

#include <sys/mman.h>
#include <sys/stat.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "log.h"
#include "pipeline.h"

#define N(a)	(sizeof(a) / sizeof((a)[0]))

/* The least that is a pipeline. */
#define STAGE	"stage a 1 1m work\n"

/* One that lacks settings and a program. */
#define EACH	STAGE "each b 1 1m "

static char	 dir[] = "/tmp/millrace-pipeline-XXXXXX";
static char	 stages[64], path[64], program[80];
static char	 said[64 * 1024];
static int	 real_stderr, sink;

static void
write_bytes(const char *name, const char *text, size_t len, mode_t mode)
{
	FILE	*f = fopen(name, "w");

	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, len, f), len);
	fclose(f);
	chmod(name, mode);
}

static struct pipelines *
load_from(const char *pipelines, const char *programs)
{
	struct pipelines	*all;
	ssize_t			 n;

	assert_int_equal(ftruncate(sink, 0), 0);
	lseek(sink, 0, SEEK_SET);
	dup2(sink, STDERR_FILENO);
	all = pipeline_load(pipelines, programs);
	dup2(real_stderr, STDERR_FILENO);
	n = pread(sink, said, sizeof(said) - 1, 0);
	assert_true(n >= 0);
	said[n] = '\0';
	return all;
}

static struct pipelines *
load_dir(void)
{
	return load_from(dir, stages);
}

/* What p.conf with TEXT in it is read as; what was said is in said[]. */
static struct pipelines *
load(const char *text)
{
	write_bytes(path, text, strlen(text), 0644);
	return load_dir();
}

static void
initial_values(void **state)
{
	struct pipelines	*all = load(STAGE);
	const struct pipeline	*p;

	(void)state;
	assert_string_equal(said, "");
	assert_int_equal(all->n, 1);
	assert_non_null(p = pipeline_find(all, "p"));
	assert_null(pipeline_find(all, "P"));
	assert_string_equal(p->title, "p");
	assert_string_equal(p->about, "");
	assert_null(p->accept[0]);
	assert_string_equal(p->queue, "default");
	assert_int_equal(p->retain_s, 7 * 86400);
	assert_int_equal(p->attempts, 3);
	assert_int_equal(p->max_size, 0);
	assert_int_equal(p->silence_s, 0);
	assert_int_equal(p->nstages, 1);
	assert_string_equal(p->stages[0].phase, "a");
	assert_true(p->stages[0].share == 100);
	assert_false(p->stages[0].network);
	assert_int_equal(p->stages[0].attempts, 3);
	assert_int_equal(p->stages[0].pause_s, 2);
	assert_int_equal(p->stages[0].pause_most_s, 600);
	assert_int_equal(p->stages[0].failures, FAILURES_FINISH);
	assert_false(p->stages[0].kept);
	pipeline_free(all);
}

static void
reads_all_words(void **state)
{
	static const char	 text[] =
	    "# Counts words,\r\n"
	    "#   in several ways.\n"
	    "\n"
	    "# not about it\n"
	    "title\tWord  count '# 1' # why\n"
	    "accept text/plain Video/* text/markdown\n"
	    "accept\timage/svg+xml\n"
	    "queue slow\nattempts 5\nretain 2h\nsize 2m\nmemory 1g\n"
	    "written 3g\nsilence 5m\n"
	    "option language choice en de en fr\n"
	    "option qr boolean yes\n"
	    "option crf number 23.50 0 51\n"
	    "option note text \"two words\"\n"
	    "option free text\n"
	    "phase counting\n"
	    "stage count 45 5m work --all \"a b\" '' #no\n"
	    "network\n"
	    "each page 0.5 90 work\n"
	    "network -\n"
	    "phase -\n"
	    "always tidy 4.5 1m /bin/sh -c 'exit 0'";
	struct pipelines	*all = load(text);
	const struct pipeline	*p;
	const struct stage	*s;

	(void)state;
	assert_string_equal(said, "");
	assert_non_null(all);
	p = all->list[0];
	assert_string_equal(p->about, "Counts words, in several ways.");
	assert_string_equal(p->title, "Word count # 1");
	assert_string_equal(p->accept[0], "text/plain");
	assert_string_equal(p->accept[1], "video/*");
	assert_string_equal(p->accept[3], "image/svg+xml");
	assert_null(p->accept[4]);
	assert_string_equal(p->queue, "slow");
	assert_int_equal(p->attempts, 5);
	assert_int_equal(p->retain_s, 7200);
	assert_int_equal(p->max_size, 2 << 20);
	assert_int_equal(p->memory, 1 << 30);
	assert_int_equal(p->written, UINT64_C(3) << 30);
	assert_int_equal(p->silence_s, 300);

	assert_int_equal(p->noptions, 5);
	assert_string_equal(p->options[0].initial, "en");
	assert_string_equal(p->options[0].choices[1], "en");
	assert_null(p->options[0].choices[3]);
	assert_string_equal(p->options[1].initial, "true");
	assert_string_equal(p->options[2].initial, "23.5");
	assert_true(p->options[2].most == 51);
	assert_string_equal(p->options[3].initial, "two words");
	assert_string_equal(p->options[4].initial, "");

	assert_int_equal(p->nstages, 3);
	s = p->stages;
	assert_int_equal(s[0].kind, STAGE_ONCE);
	assert_string_equal(s[0].phase, "counting");
	assert_string_equal(s[0].argv[0], "work");
	assert_string_equal(s[0].argv[2], "a b");
	assert_string_equal(s[0].argv[3], "");
	assert_null(s[0].argv[4]);
	assert_true(fabs(s[0].share - 90) < 1e-9);
	assert_int_equal(s[1].kind, STAGE_EACH);
	assert_string_equal(s[1].phase, "counting");
	assert_int_equal(s[1].limit_s, 90);
	assert_true(s[1].network);
	assert_int_equal(s[2].kind, STAGE_ALWAYS);
	assert_string_equal(s[2].phase, "tidy");
	assert_string_equal(s[2].argv[2], "exit 0");
	assert_false(s[2].network);
	assert_true(fabs(s[0].share + s[1].share + s[2].share - 100) < 1e-9);
	pipeline_free(all);
}

/* Of stage "b", whose line has SETTINGS in it, below and above others. */
static void
a_stage_says_how_often_and_what_failures_do(void **state)
{
	static const struct {
		const char	*kind, *settings, *top;
		struct stage	 want;
	} cases[] = {
		{ "each", "", "", { .attempts = 3, .pause_s = 2,
		    .pause_most_s = 600 }},
		{ "each", "", "attempts 7\npause 5\n", { .attempts = 7,
		    .pause_s = 5, .pause_most_s = 600 }},
		{ "each", "", "pause 5s 5s\n", { .attempts = 3, .pause_s = 5,
		    .pause_most_s = 5 }},
		{ "each", "", "pause 1h\n", { .attempts = 3, .pause_s = 3600,
		    .pause_most_s = 3600 }},
		{ "stage", "attempts=1 pause=0,0", "attempts 7\npause 5\n",
		    { .attempts = 1, .pause_s = 0, .pause_most_s = 0 }},
		{ "stage", "pause=1m", "pause 2s 30s\n", { .attempts = 3,
		    .pause_s = 60, .pause_most_s = 60 }},
		{ "stage", "pause=10s", "pause 2s 30s\n", { .attempts = 3,
		    .pause_s = 10, .pause_most_s = 30 }},
		{ "each", "pause=10s,1h attempts=100", "", { .attempts = 100,
		    .pause_s = 10, .pause_most_s = 3600 }},
		{ "always", "", "attempts 7\n", { .attempts = 1, .pause_s = 2,
		    .pause_most_s = 600 }},
		{ "each", "failures=finish kept=no", "", { .attempts = 3,
		    .pause_s = 2, .pause_most_s = 600 }},
		{ "each", "failures=stop", "", { .attempts = 3, .pause_s = 2,
		    .pause_most_s = 600, .failures = FAILURES_STOP }},
		{ "each", "failures=all kept=yes", "", { .attempts = 3,
		    .pause_s = 2, .pause_most_s = 600,
		    .failures = FAILURES_ALLOW, .allowed = 100,
		    .allowed_percent = true, .kept = true }},
		{ "each", "failures=12", "", { .attempts = 3, .pause_s = 2,
		    .pause_most_s = 600, .failures = FAILURES_ALLOW,
		    .allowed = 12 }},
		{ "each", "'failures=2.5%'", "", { .attempts = 3, .pause_s = 2,
		    .pause_most_s = 600, .failures = FAILURES_ALLOW,
		    .allowed = 2.5, .allowed_percent = true }},
	};
	struct pipelines	*all;
	const struct stage	*s, *want;
	char			 text[256];
	size_t			 i;

	(void)state;
	for (i = 0; i < N(cases); i++) {
		want = &cases[i].want;
		snprintf(text, sizeof(text), STAGE "%s b 1 1m %s work x=y\n%s",
		    cases[i].kind, cases[i].settings, cases[i].top);
		print_message("# %s %s\n", cases[i].kind, cases[i].settings);
		all = load(text);
		assert_string_equal(said, "");
		s = &all->list[0]->stages[1];
		assert_string_equal(s->argv[0], "work");
		assert_string_equal(s->argv[1], "x=y");
		assert_int_equal(s->attempts, want->attempts);
		assert_int_equal(s->pause_s, want->pause_s);
		assert_int_equal(s->pause_most_s, want->pause_most_s);
		assert_int_equal(s->failures, want->failures);
		assert_true(s->allowed == want->allowed);
		assert_int_equal(s->allowed_percent, want->allowed_percent);
		assert_int_equal(s->kept, want->kept);
		pipeline_free(all);
	}
}

static void
names_mistakes(void **state)
{
	static const struct { const char *text, *said; } cases[] = {
		{ "",			"p.conf: no stage" },
		{ "\n\n# only this",	"p.conf: no stage" },
		{ "always a 1 1m work\n", "p.conf: no stage" },
		{ "stage a 0 1m work\n", "p.conf: the shares of its stages" },
		{ STAGE "stgae b 1 1m work\n",
		    "p.conf:2: unknown word \"stgae\"; did you mean \"stage" },
		{ STAGE "colour red\n", ":2: unknown word \"colour\"\n" },
		{ STAGE "stage b 1 1m\n", ":2: stage: expected NAME SHARE" },
		{ STAGE "stage B 1 1m work\n",
		    ":2: stage: \"B\" is not a name" },
		{ STAGE "stage 1b 1 1m work\n", "\"1b\" is not a name" },
		{ STAGE "stage abcdefghijklmnopqrstuvwxyz_12345 1 1m work\n",
		    "is not a name" },
		{ STAGE "stage a 1 1m work\n", ":2: stage: a is given twice" },
		{ STAGE "stage b -1 1m work\n", ":2: stage: share \"-1\"" },
		{ STAGE "stage b 1e3 1m work\n", ":2: stage: share \"1e3\"" },
		{ STAGE "stage b 1.2.3 1m work\n", "share \"1.2.3\"" },
		{ STAGE "stage b 1 1x work\n", ":2: stage: limit \"1x\"" },
		{ STAGE "stage b 1 0 work\n", ":2: stage: limit \"0\"" },
		{ STAGE "stage b 1 1m none\n",
		    "/none: No such file or directory" },
		{ STAGE "stage b 1 1m plain\n", "/plain cannot be executed" },
		{ STAGE "stage b 1 1m .\n", "/. cannot be executed" },
		{ STAGE "stage b 1 1m ../work\n",
		    "\"../work\" is neither a name nor an absolute path" },
		{ STAGE "stage b 1 1m /nonexistent/x\n",
		    "/nonexistent/x: No such file" },
		{ "each b 1 1m work\n" STAGE,
		    ":1: each: b: no stage above it can name an item" },
		{ STAGE "title\n", ":2: title: expected TEXT" },
		{ STAGE "title a\ntitle b\n", ":3: title: given twice" },
		{ STAGE "accept video\n", ":2: accept: \"video\" is not" },
		{ STAGE "accept */mp4\n", ":2: accept: \"*/mp4\" is not" },
		{ STAGE "accept video/m*\n",
		    ":2: accept: \"video/m*\" is not" },
		{ STAGE "accept a/b;c=d\n", ":2: accept: \"a/b;c=d\" is not" },
		{ STAGE "accept a/b\naccept A/B\n",
		    ":3: accept: a/b is given twice" },
		{ STAGE "queue Fast\n", ":2: queue: \"Fast\" is not a name" },
		{ STAGE "attempts 0\n",
		    ":2: attempts: \"0\" is not a number from 1 to 100" },
		{ STAGE "attempts x\n", ":2: attempts: \"x\" is not a number" },
		{ STAGE "pause x\n",
		    ":2: pause: pause \"x\" is not a duration" },
		{ STAGE "pause 5s 1x\n", ":2: pause: pause \"1x\" is not a" },
		{ STAGE "pause 366d\n", "pause 366d is above the most, 365d" },
		{ STAGE "pause 1m 10s\n",
		    "the first pause, 1m, is longer than the longest, 10s" },
		{ EACH "attempts=0 work\n",
		    ":2: each: attempts \"0\" is not a number from 1 to 100" },
		{ EACH "attempts= work\n", "attempts \"\" is not a number" },
		{ EACH "attempts=101 work\n", "attempts \"101\" is not a" },
		{ EACH "pause=1m, work\n", "pause \"\" is not a duration" },
		{ EACH "pause=1m,1s work\n",
		    "the first pause, 1m, is longer than the longest, 1s" },
		{ EACH "pause=1,2,3 work\n", "pause \"2,3\" is not a" },
		{ EACH "failures=-1 work\n",
		    "failures \"-1\" is not finish, stop, all, a number" },
		{ EACH "failures=101% work\n", "failures \"101%\" is not" },
		{ EACH "failures=% work\n", "failures \"%\" is not" },
		{ EACH "failures=1.5 work\n", "failures \"1.5\" is not" },
		{ EACH "failures=1.5.2% work\n", "\"1.5.2%\" is not" },
		{ EACH "failures= work\n", "failures \"\" is not" },
		{ EACH "kept=maybe work\n",
		    ":2: each: kept \"maybe\" is not yes or no" },
		{ EACH "kept=yes kept=no work\n", "kept is given twice" },
		{ EACH "keep=yes work\n",
		    "unknown setting \"keep\"; did you mean \"kept\"?" },
		{ EACH "colour=red work\n", "unknown setting \"colour\"\n" },
		{ EACH "kept=yes\n", ":2: each: no program" },
		{ STAGE "stage b 1 1m kept=yes work\n",
		    ":2: stage: a stage of this kind has no kept" },
		{ STAGE "stage b 1 1m failures=all work\n",
		    "a stage of this kind has no failures" },
		{ STAGE "always b 1 1m attempts=2 work\n",
		    ":2: always: a stage of this kind has no attempts" },
		{ STAGE "retain 0\n", ":2: retain: 0 is not from 1s" },
		{ STAGE "retain ever\n", ":2: retain: \"ever\" is not a" },
		{ STAGE "size 1x\n", ":2: size: \"1x\" is not a size" },
		{ STAGE "size 0\n", ":2: size: 0 is below the least, 1" },
		{ STAGE "memory 1m\n", ":2: memory: 1m is below the least" },
		{ STAGE "network on\n", ":2: network: expected nothing or -" },
		{ STAGE "phase Two\n", ":2: phase: \"Two\" is not a name" },
		{ STAGE "option a\n", ":2: option: expected NAME TYPE" },
		{ STAGE "option a colour red\n",
		    ":2: option a: \"colour\" is not text, number" },
		{ STAGE "option a-b text\n", ":2: option: \"a-b\" has a dash" },
		{ STAGE "option a text x y\n",
		    ":2: option a: expected text [INITIAL]" },
		{ STAGE "option a text\noption a text\n",
		    ":3: option: a is given twice" },
		{ STAGE "option a number\n", "expected number INITIAL" },
		{ STAGE "option a number 1 0\n", "expected number INITIAL" },
		{ STAGE "option a number 1 5 0\n", "5 and 0 are no limits" },
		{ STAGE "option a number 1 nan 3\n",
		    "nan and 3 are no limits" },
		{ STAGE "option a number 9 0 5\n",
		    ":2: option a: 9 is above the most, 5" },
		{ STAGE "option a boolean maybe\n",
		    ":2: option a: \"maybe\" is not true or false" },
		{ STAGE "option a choice x\n",
		    "expected choice INITIAL CHOICE" },
		{ STAGE "option a choice x y z\n",
		    ":2: option a: \"x\" is none of y, z" },
		{ STAGE "option a choice y y y\n", "a: y is given twice" },
		{ STAGE "title \"x\n", ":2: a quote without its end" },
		{ STAGE "title 'x'y\n", ":2: text behind a quote: y" },
		{ STAGE "title \001\n", ":2: control byte 0x01 in column 7" },
		{ STAGE "title \xff\n", ":2: not valid UTF-8" },
	};
	struct pipelines	*all;
	size_t			 i;

	(void)state;
	for (i = 0; i < N(cases); i++) {
		all = load(cases[i].text);
		if (all != NULL || strstr(said, cases[i].said) == NULL)
			fail_msg("%s: said %s, not %s", cases[i].text, said,
			    cases[i].said);
	}
}

static void
names_all_mistakes_of_a_file(void **state)
{
	(void)state;
	assert_null(load("foo\nstage B 1 1m work\nstage c x 0 none\n"));
	assert_non_null(strstr(said, "p.conf:1: unknown word"));
	assert_non_null(strstr(said, "p.conf:2: stage: \"B\""));
	assert_non_null(strstr(said, "p.conf:3: stage: share"));
	assert_non_null(strstr(said, "p.conf:3: stage: limit"));
	assert_non_null(strstr(said, "p.conf:3: stage: program"));
}

static void
survives_rubbish(void **state)
{
	static const char	 nul[] = STAGE "title a\0b\n";
	static const char	 ends[] = STAGE "title a\0";
	char			*line = xmalloc(200001);
	size_t			 i;
	unsigned int		 seed = 1;

	(void)state;
	write_bytes(path, nul, sizeof(nul) - 1, 0644);
	assert_null(load_dir());
	assert_non_null(strstr(said, ":2: control byte 0x00 in column 8"));
	write_bytes(path, ends, sizeof(ends) - 1, 0644);
	assert_null(load_dir());
	assert_non_null(strstr(said, ":2: control byte 0x00 in column 8"));

	memset(line, 'x', 200000);
	line[200000] = '\0';
	assert_null(load(line));
	for (i = 0; i < 200000; i += 2)
		line[i] = ' ';
	memcpy(line, "stage a 1 1m work ", 18);
	pipeline_free(load(line));
	assert_string_equal(said, "");

	for (i = 0; i < 20000; i++)
		line[i] = "stage a1m\n #\"'-/\t\r\xc3\xa4\0option"
		    [rand_r(&seed) % 28];
	write_bytes(path, line, 20000, 0644);
	pipeline_free(load_dir());
	free(line);
}

static void
a_file_with_a_bad_name_is_refused(void **state)
{
	char	 bad[80];

	(void)state;
	pipeline_free(load(STAGE));
	snprintf(bad, sizeof(bad), "%s/My Video.conf", dir);
	write_bytes(bad, STAGE, strlen(STAGE), 0644);
	assert_null(load_dir());
	assert_non_null(strstr(said, "\"My Video\" is not a name"));
	unlink(bad);

	/* What is not called .conf, or hidden, does not matter. */
	snprintf(bad, sizeof(bad), "%s/.q.conf", dir);
	write_bytes(bad, "?", 1, 0644);
	pipeline_free(load_dir());
	assert_string_equal(said, "");
	unlink(bad);
}

static void
many_are_sorted_and_loaded_again(void **state)
{
	static const char *const	 names[] = { "zip", "a-b", "ab", "a" };
	struct pipelines		*first, *second;
	char				 file[80];
	size_t				 i;

	(void)state;
	for (i = 0; i < N(names); i++) {
		snprintf(file, sizeof(file), "%s/%s.conf", dir, names[i]);
		write_bytes(file, STAGE, strlen(STAGE), 0644);
	}
	first = load(STAGE);
	second = load("title New\n" STAGE);
	assert_int_equal(first->n, 5);
	assert_string_equal(pipeline_find(first, "p")->title, "p");
	assert_string_equal(pipeline_find(second, "p")->title, "New");
	for (i = 1; i < first->n; i++)
		assert_true(strcmp(first->list[i - 1]->name,
		    first->list[i]->name) < 0);
	pipeline_free(first);
	pipeline_free(second);
	for (i = 0; i < N(names); i++) {
		snprintf(file, sizeof(file), "%s/%s.conf", dir, names[i]);
		unlink(file);
	}
}

static void
programs_may_be_anywhere_to_who_wants_names(void **state)
{
	struct pipelines	*all;

	(void)state;
	write_bytes(path, "stage a 1 1m nowhere\n", 21, 0644);
	assert_non_null(all = load_from(dir, NULL));
	pipeline_free(all);
	assert_null(load_from(dir, stages));
	assert_null(load_from("/nonexistent", NULL));
}

static void
accepts(void **state)
{
	static const struct { const char *line, *type; bool yes; } cases[] = {
		{ "accept text/plain", "text/plain", true },
		{ "accept text/plain", "TEXT/Plain", true },
		{ "accept text/plain", "text/plain; charset=utf-8", true },
		{ "accept text/plain", "text/plainer", false },
		{ "accept text/plain", "text/plai", false },
		{ "accept text/plain", "text", false },
		{ "accept text/plain", "", false },
		{ "accept video/*", "video/mp4", true },
		{ "accept video/*", "video", false },
		{ "accept video/*", "videos/mp4", false },
		{ "accept video/*", "audio/mp4", false },
		{ "accept audio/ogg video/*", "audio/ogg", true },
		{ "accept */*", "x/y", true },
		{ "", "text/plain", false },
	};
	struct pipelines	*all;
	char			 text[128];
	size_t			 i;

	(void)state;
	for (i = 0; i < N(cases); i++) {
		snprintf(text, sizeof(text), "%s\n" STAGE, cases[i].line);
		all = load(text);
		if (pipeline_accepts(all->list[0], cases[i].type) !=
		    cases[i].yes)
			fail_msg("%s: %s", cases[i].line, cases[i].type);
		pipeline_free(all);
	}
}

static void
options(void **state)
{
	static const char	 text[] = STAGE
	    "option lang choice en en de \"x \\\"\n"
	    "option qr boolean no\n"
	    "option crf number 23 0 51\n"
	    "option any number 0\n"
	    "option note text\n";
	static const struct {
		const char *name, *value, *json, *error;
	} cases[] = {
		{ "lang", "de", "\"de\"", NULL },
		{ "lang", "x \\", "\"x \\\\\"", NULL },
		{ "lang", "DE", NULL,
		    "option lang: \"DE\" is none of en, de, x \\" },
		{ "lang", "", NULL,
		    "option lang: \"\" is none of en, de, x \\" },
		{ "langg", "de", NULL, "pipeline p has no option \"langg\";"
		    " did you mean \"lang\"?" },
		{ "zzzzzz\n", "", NULL,
		    "pipeline p has no option \"zzzzzz?\"" },
		{ "qr", "on", "true", NULL },
		{ "qr", "TRUE", "true", NULL },
		{ "qr", "0", "false", NULL },
		{ "qr", "", NULL, "option qr: \"\" is not true or false" },
		{ "crf", "0", "0", NULL },
		{ "crf", "51.0", "51", NULL },
		{ "crf", "1e1", "10", NULL },
		{ "crf", ".1", "0.1", NULL },
		{ "crf", "51.1", NULL,
		    "option crf: 51.1 is above the most, 51" },
		{ "crf", "-1", NULL, "option crf: -1 is below the least, 0" },
		{ "crf",
		    "1e999", NULL, "option crf: \"1e999\" is not a number" },
		{ "crf", "0x10", NULL, "option crf: \"0x10\" is not a number" },
		{ "crf", "nan", NULL, "option crf: \"nan\" is not a number" },
		{ "crf", " 1", NULL, "option crf: \" 1\" is not a number" },
		{ "crf", "1\n", NULL, "option crf: \"1?\" is not a number" },
		{ "any", "9007199254740992", "9007199254740992", NULL },
		{ "note", "a\n\"b\"\\/\303\244\001",
		    "\"a\\n\\\"b\\\"\\\\/\303\244\\u0001\"", NULL },
		{ "note", "\xff", NULL, "option note: the text is not valid"
		    " UTF-8" },
	};
	struct pipelines	*all = load(text);
	char			*json, *error;
	size_t			 i;
	int			 result;

	(void)state;
	assert_string_equal(said, "");
	for (i = 0; i < N(cases); i++) {
		json = error = NULL;
		result = pipeline_option(all->list[0], cases[i].name,
		    cases[i].value, &json, &error);
		if (cases[i].json != NULL) {
			if (error != NULL)
				fail_msg("%s", error);
			assert_int_equal(result, 0);
			assert_string_equal(json, cases[i].json);
		} else {
			assert_int_equal(result, -1);
			assert_null(json);
			assert_string_equal(error, cases[i].error);
		}
		free(json);
		free(error);
	}
	pipeline_free(all);
}

static void
errors_repeat_little_of_a_long_value(void **state)
{
	struct pipelines	*all = load(STAGE "option qr boolean no\n"
				    "option note text\n");
	char			*json, *error, *value = xmalloc(5001);

	(void)state;
	memset(value, 'y', 5000);
	value[5000] = '\0';
	assert_int_equal(pipeline_option(all->list[0], "qr", value, &json,
	    &error), -1);
	assert_true(strlen(error) < 120);
	assert_non_null(strstr(error, "yyy...\" is not true or false"));
	free(error);
	assert_int_equal(pipeline_option(all->list[0], "note", value, &json,
	    &error), -1);
	assert_string_equal(error,
	    "option note: 5000 bytes of text are more than 4096");
	free(error);
	free(value);
	pipeline_free(all);
}

static int
begin(void **state)
{
	char	 plain[80];

	(void)state;
	if (mkdtemp(dir) == NULL)
		return -1;
	snprintf(path, sizeof(path), "%s/p.conf", dir);
	snprintf(stages, sizeof(stages), "%s/stage", dir);
	snprintf(program, sizeof(program), "%s/work", stages);
	snprintf(plain, sizeof(plain), "%s/plain", stages);
	mkdir(stages, 0755);
	write_bytes(program, "#!/bin/sh\n", 10, 0755);
	write_bytes(plain, "", 0, 0644);
	real_stderr = dup(STDERR_FILENO);
	sink = memfd_create("stderr", MFD_CLOEXEC);
	return 0;
}

static int
end(void **state)
{
	char	 plain[80];

	(void)state;
	snprintf(plain, sizeof(plain), "%s/plain", stages);
	unlink(plain);
	unlink(program);
	unlink(path);
	rmdir(stages);
	return rmdir(dir);
}

int
main(void)
{
	const struct CMUnitTest	 tests[] = {
		cmocka_unit_test(initial_values),
		cmocka_unit_test(reads_all_words),
		cmocka_unit_test(a_stage_says_how_often_and_what_failures_do),
		cmocka_unit_test(names_mistakes),
		cmocka_unit_test(names_all_mistakes_of_a_file),
		cmocka_unit_test(survives_rubbish),
		cmocka_unit_test(a_file_with_a_bad_name_is_refused),
		cmocka_unit_test(many_are_sorted_and_loaded_again),
		cmocka_unit_test(programs_may_be_anywhere_to_who_wants_names),
		cmocka_unit_test(accepts),
		cmocka_unit_test(options),
		cmocka_unit_test(errors_repeat_little_of_a_long_value),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, begin, end);
}
