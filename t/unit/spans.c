/* A video is cut where that costs little, and no picture is lost by it. */

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "media.h"
#include "spans.h"

/* A video of a size and a rate, with the renditions it usually gets. */
static struct media
video(unsigned int width, unsigned int height, unsigned int num,
    unsigned int den, double seconds)
{
	struct media	 m = { .width = width, .height = height,
			    .fps_num = num, .fps_den = den,
			    .seconds = seconds };

	media_ladder(&m, 1080);
	return m;
}

/* Pictures up to LAST, every EVERY seconds a keyframe. */
static struct pictures
keys(double every, double last)
{
	struct pictures	 p = { .last = last };
	double		 at;

	p.keys = calloc(last / every + 2, sizeof(*p.keys));
	for (at = 0; at <= last; at += every)
		p.keys[p.n++] = at;
	return p;
}

static void
reads_packets(void **state)
{
	static const struct {
		const char	*lines[6];
		size_t		 keys;
		double		 last;
		bool		 doubtful;
	} cases[] = {
		{ { "#software: Lavf59.27.100", "#tb 0: 1/30000",
		    "0,  -2002,     0, 1001, 746, 0x2e5cfe99",
		    "0,  -1001,  3003, 1001,  43, 0xb49e142a, F=0x0",
		    "0, 120120, 123123, 1001, 29, 0xb6300e52",
		    "0, 121121, 122122, 1001, 29, 0xb6300e52, F=0x0" },
		    2, 123123 / 30000.0, false },
		/* a keyframe that is thrown away, one with something beside */
		{ { "#tb 0: 1/10", "0, 0, 0, 1, 5, 0x1, F=0x5, S=1, 8, 0x2",
		    "0, 9, 9, 1, 5, 0x1, S=1, 8, 0x2",
		    "0, 19, 19, 1, 5, 0x1, F=0x4" }, 2, 1.9, false },
		/* so close that they are one */
		{ { "#tb 0: 1/100", "0, 0, 0, 1, 5, 0x1",
		    "0, 4, 4, 1, 5, 0x1", "0, 8, 8, 1, 5, 0x1",
		    "0, 12, 12, 1, 5, 0x1" }, 2, 0.12, false },
		/* no time; a time that runs back; no unit of it; rubbish */
		{ { "#tb 0: 1/10", "0, 0, -9223372036854775808, 1, 5, 0x1" },
		    0, 0, true },
		{ { "#tb 0: 1/10", "0, 90, 90, 1, 5, 0x1",
		    "0, 10, 10, 1, 5, 0x1" }, 1, 9, true },
		{ { "0, 0, 0, 1, 5, 0x1" }, 0, 0, true },
		{ { "#tb 0: 1/0", "0, 0, 0, 1, 5, 0x1" }, 0, 0, true },
		{ { "#tb 0: 1/10", "frame" }, 0, 0, true },
	};
	struct pictures	 p;
	size_t		 i, j;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		p = (struct pictures){ .n = 0 };
		for (j = 0; j < 6 && cases[i].lines[j] != NULL; j++)
			pictures_line(&p, cases[i].lines[j]);
		assert_int_equal(p.n, cases[i].keys);
		assert_true(fabs(p.last - cases[i].last) < 1e-9);
		assert_int_equal(p.doubtful, cases[i].doubtful);
		pictures_free(&p);
	}
}

static void
larger_pictures_make_shorter_spans(void **state)
{
	static const struct {
		unsigned int	 width, height, fps;
		double		 seconds;
		unsigned int	 length;
	} cases[] = {
		{ 320, 240, 25, 60, 30 },
		{ 1280, 720, 25, 60, 10 },
		{ 1280, 720, 30, 60, 8 },
		{ 1920, 1080, 25, 60, 4 },
		{ 1080, 1920, 25, 60, 4 },
		{ 1920, 1080, 60, 60, 2 },
		{ 3840, 2160, 60, 60, 2 },
		/* no more than can be managed */
		{ 1920, 1080, 60, 24 * 3600, 10 },
		/* nor none at all */
		{ 8192, 4320, 60, 1, 2 },
	};
	struct media	 m;
	size_t		 i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		m = video(cases[i].width, cases[i].height, cases[i].fps, 1,
		    cases[i].seconds);
		assert_int_equal(spans_length(&m), cases[i].length);
	}
}

/*
 * Spans follow each other without a gap from picture 0 on, each has some, and
 * each but the first begins to decode before its first picture, at a place
 * with a keyframe that is not too far before it.
 */
static void
check_spans(const struct media *m, const struct pictures *p,
    const struct span *s, size_t n, double length)
{
	double	 fps = (double)m->fps_num / m->fps_den, key;
	size_t	 i, j;

	assert_int_equal(s[0].first, 0);
	assert_true(s[0].seek == 0);
	for (i = 0; i < n; i++) {
		assert_true(s[i].end > s[i].first);
		assert_int_equal(s[i].last, i == n - 1);
		if (i == 0)
			continue;
		assert_int_equal(s[i].first, s[i - 1].end);
		assert_true(s[i].seek <= s[i].first / fps - 0.5);
		/* it is one of the keyframes that every rendition has */
		assert_true(fabs(fmod(floor(s[i].first / fps + 1e-9) / 2, 1))
		    < 1e-9 || fps < 1);
		for (j = 0, key = -1; j < p->n && p->keys[j] <= s[i].seek; j++)
			key = p->keys[j];
		assert_true(key >= 0 && s[i].seek - key <= 4 * length);
	}
	assert_int_equal(s[n - 1].end, lround(p->last * fps) + 1);
}

static void
covers_all_pictures(void **state)
{
	static const struct { unsigned int num, den; } rates[] = {
		{ 25, 1 }, { 30000, 1001 }, { 24000, 1001 }, { 60, 1 },
		{ 25, 2 }, { 10, 1 }, { 1, 1 }, { 1, 2 }, { 1, 10 },
		{ 2997003, 100000 },
	};
	static const double	 every[] = { 0.2, 1, 2.002, 4.8, 10, 25, 97 };
	static const double	 last[] = { 0, 0.04, 1.9, 7.3, 30.12, 301 };
	struct pictures		 p;
	struct media		 m;
	struct span		*s;
	unsigned int		 length;
	size_t			 i, j, k, n;

	(void)state;
	for (i = 0; i < sizeof(rates) / sizeof(rates[0]); i++)
	for (j = 0; j < sizeof(every) / sizeof(every[0]); j++)
	for (k = 0; k < sizeof(last) / sizeof(last[0]); k++)
	for (length = 2; length <= 30; length += 4) {
		m = video(1280, 720, rates[i].num, rates[i].den, last[k]);
		p = keys(every[j], last[k]);
		n = spans_plan(&m, &p, length, 2, &s);
		check_spans(&m, &p, s, n, length);
		free(s);
		pictures_free(&p);
	}
}

static void
cuts_as_often_as_is_good(void **state)
{
	static const struct {
		double		 every, last;	/* keyframes; seconds */
		unsigned int	 length, cores;
		size_t		 least, most;	/* spans */
	} cases[] = {
		/* keyframes all over */
		{ 0.5, 60, 6, 1, 10, 11 },
		{ 2, 60, 6, 2, 10, 12 },
		/* something for every core to do, to the end */
		{ 0.5, 60, 20, 2, 4, 4 },
		{ 0.5, 60, 20, 4, 4, 4 },
		/* one span is not cut for the sake of it */
		{ 0.5, 6, 6, 8, 1, 1 },
		{ 0.5, 7.4, 6, 1, 1, 1 },
		/* keyframes are rare, or there is none but the first */
		{ 60, 600, 6, 2, 30, 60 },
		{ 601, 600, 6, 2, 2, 5 },
		{ 10000, 7200, 6, 2, 2, 5 },
	};
	struct media	 m = video(1280, 720, 25, 1, 600);
	struct pictures	 p;
	struct span	*s;
	size_t		 i, n;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		p = keys(cases[i].every, cases[i].last);
		n = spans_plan(&m, &p, cases[i].length, cases[i].cores, &s);
		assert_in_range(n, cases[i].least, cases[i].most);
		check_spans(&m, &p, s, n, cases[i].length);
		free(s);
		p.doubtful = true;
		assert_int_equal(spans_plan(&m, &p, cases[i].length,
		    cases[i].cores, &s), 1);
		free(s);
		pictures_free(&p);
	}
}

static void
undoes_cuts(void **state)
{
	struct span	 s[] = {
		{ 0, 50, 0, false }, { 50, 100, 1.5, false },
		{ 100, 150, 3.5, true }
	};
	size_t		 n = 3;

	(void)state;
	spans_join(s, &n, 1);
	assert_int_equal(n, 2);
	assert_string_equal(span_args(&s[0]), "0 100 0.000");
	assert_string_equal(span_args(&s[1]), "100 150 3.500 last");
	spans_join(s, &n, 1);
	assert_int_equal(n, 1);
	assert_string_equal(span_args(&s[0]), "0 150 0.000 last");
}

static void
names_spans(void **state)
{
	struct media	 m = video(1280, 720, 30000, 1001, 3700);
	struct span	 s = { .first = 180, .end = 360 };

	(void)state;
	assert_string_equal(span_name(&m, &s), "00:00:06-00:00:12");
	assert_string_equal(span_text(&m, &s), "00:06 to 00:12");
	s = (struct span){ .first = 107893, .end = 108072 };
	assert_string_equal(span_name(&m, &s), "01:00:00-01:00:06");
}

static void
reads_what_an_item_carries(void **state)
{
	static const struct {
		const char	*args;
		int		 result;
	} cases[] = {
		{ "0 100 0.000 last", 0 },
		{ "100 150 3.5", 0 },
		{ "", -1 },
		{ "sound", -1 },
		{ "0 100", -1 },
		{ "0 0 0.000", -1 },
		{ "100 50 0.000", -1 },
		{ "0 100 -1", -1 },
		{ "0 100 nan", -1 },
		{ "0 100 0.000 first", -1 },
	};
	struct span	 s;
	size_t		 i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(span_parse(cases[i].args, &s),
		    cases[i].result);
	assert_int_equal(span_parse("100 150 3.5 last", &s), 0);
	assert_string_equal(span_args(&s), "100 150 3.500 last");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_packets),
		cmocka_unit_test(larger_pictures_make_shorter_spans),
		cmocka_unit_test(covers_all_pictures),
		cmocka_unit_test(cuts_as_often_as_is_good),
		cmocka_unit_test(undoes_cuts),
		cmocka_unit_test(names_spans),
		cmocka_unit_test(reads_what_an_item_carries),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
