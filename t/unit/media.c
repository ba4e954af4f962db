/* What ffprobe says becomes a plan for renditions, or a reason to refuse. */

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

/* A file with one video stream, MORE of it, and other streams. */
#define FILE_OF(format, more, others) \
	"{\"streams\":[{\"index\":0,\"codec_type\":\"video\"," \
	"\"codec_name\":\"h264\"" more "}" others "],\"format\":{" format "}}"
#define MOV	"\"format_name\":\"mov,mp4,m4a,3gp,3g2,mj2\"," \
		"\"duration\":\"30.2\""
#define VIDEO(more)	FILE_OF(MOV, more, "")
#define SIZE(w, h)	",\"width\":" #w ",\"height\":" #h \
			",\"avg_frame_rate\":\"25/1\",\"r_frame_rate\":\"25/1\""
#define RATE(mean, fine) ",\"width\":640,\"height\":360," \
			"\"avg_frame_rate\":\"" mean "\"," \
			"\"r_frame_rate\":\"" fine "\""
#define TURNED(by)	",\"side_data_list\":[{\"side_data_type\":\"x\"}," \
			"{\"rotation\":" #by "}]"
#define PIXEL(sar)	",\"sample_aspect_ratio\":\"" sar "\""
#define AUDIO		",{\"index\":1,\"codec_type\":\"audio\"," \
			"\"codec_name\":\"aac\",\"duration\":\"29.0\"}"
#define COVER		"{\"index\":0,\"codec_type\":\"video\"," \
			"\"codec_name\":\"mjpeg\",\"width\":600," \
			"\"height\":600," \
			"\"disposition\":{\"attached_pic\":1}}"

static void
knows_the_size_on_a_screen(void **state)
{
	static const struct {
		const char	*json;
		unsigned int	 width, height;
	} cases[] = {
		{ VIDEO(SIZE(768, 432)), 768, 432 },
		{ VIDEO(SIZE(270, 480)), 270, 480 },
		{ VIDEO(SIZE(480, 640) TURNED(-90)), 640, 480 },
		{ VIDEO(SIZE(480, 640) TURNED(90)), 640, 480 },
		{ VIDEO(SIZE(480, 640) TURNED(270)), 640, 480 },
		{ VIDEO(SIZE(480, 640) TURNED(180)), 480, 640 },
		{ VIDEO(SIZE(480, 640) TURNED(0)), 480, 640 },
		{ VIDEO(SIZE(480, 640) TURNED(45)), 480, 640 },
		{ VIDEO(SIZE(720, 576) PIXEL("16:15")), 768, 576 },
		{ VIDEO(SIZE(720, 576) PIXEL("64:45")), 1024, 576 },
		{ VIDEO(SIZE(720, 576) PIXEL("64:45") TURNED(90)), 576, 1024 },
		{ VIDEO(SIZE(720, 576) PIXEL("0:1")), 720, 576 },
		{ VIDEO(SIZE(720, 576) PIXEL("1:1")), 720, 576 },
		{ VIDEO(SIZE(720, 576) PIXEL("rubbish")), 720, 576 },
		{ VIDEO(SIZE(341, 191)), 341, 191 },
		{ VIDEO(SIZE(16, 16)), 16, 16 },
		{ VIDEO(SIZE(8192, 4320)), 8192, 4320 },
	};
	struct media	 m;
	size_t		 i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_null(media_parse(cases[i].json, &m));
		assert_int_equal(m.width, cases[i].width);
		assert_int_equal(m.height, cases[i].height);
		assert_string_equal(m.demuxer, "mov");
	}
}

static void
chooses_one_constant_rate(void **state)
{
	static const struct {
		const char	*json;
		unsigned int	 num, den;
	} cases[] = {
		{ VIDEO(RATE("25/2", "25/2")), 25, 2 },
		{ VIDEO(RATE("30000/1001", "30000/1001")), 30000, 1001 },
		{ VIDEO(RATE("179/6", "30/1")), 30, 1 },  /* some are lost */
		{ VIDEO(RATE("15/1", "1000/1")), 15, 1 }, /* just a clock */
		{ VIDEO(RATE("0/0", "24/1")), 24, 1 },
		{ VIDEO(RATE("0/0", "0/0")), 25, 1 },
		{ VIDEO(RATE("60/1", "60/1")), 60, 1 },
		{ VIDEO(RATE("120/1", "120/1")), 120, 2 },
		{ VIDEO(RATE("240/1", "240/1")), 240, 4 },
		{ VIDEO(RATE("1/10", "1/10")), 1, 10 },
	};
	struct media	 m;
	size_t		 i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_null(media_parse(cases[i].json, &m));
		assert_int_equal(m.fps_num, cases[i].num);
		assert_int_equal(m.fps_den, cases[i].den);
	}
}

/* The least that the file claims, and nothing where ffprobe only guesses. */
static void
knows_how_long_it_should_be(void **state)
{
	static const struct {
		const char	*json;
		double		 seconds;
	} cases[] = {
		{ VIDEO(SIZE(640, 360)), 30.2 },
		{ VIDEO(SIZE(640, 360) ",\"duration\":\"30.16\""), 30.16 },
		{ VIDEO(SIZE(640, 360) ",\"duration\":\"N/A\""), 30.2 },
		{ VIDEO(SIZE(640, 360) ",\"duration\":\"-1\""), 30.2 },
		{ FILE_OF(MOV, SIZE(640, 360) ",\"duration\":\"20.0\"", AUDIO),
		    29 },
		{ FILE_OF("\"format_name\":\"matroska,webm\","
		    "\"duration\":\"60.0\"", SIZE(640, 360)
		    ",\"tags\":{\"DURATION\":\"00:00:50.500000000\"}", ""),
		    50.5 },
		{ FILE_OF("\"format_name\":\"matroska,webm\"",
		    SIZE(640, 360), ""), 0 },
		{ FILE_OF("\"format_name\":\"mpegts\",\"duration\":\"99.0\"",
		    SIZE(640, 360), ""), 0 },
	};
	struct media	 m;
	size_t		 i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_null(media_parse(cases[i].json, &m));
		assert_true(fabs(m.seconds - cases[i].seconds) < 1e-9);
	}
}

static void
chooses_streams(void **state)
{
	struct media	 m;

	(void)state;
	assert_null(media_parse(VIDEO(SIZE(640, 360)), &m));
	assert_int_equal(m.video, 0);
	assert_int_equal(m.audio, -1);
	assert_string_equal(m.audio_codec, "");

	assert_null(media_parse(FILE_OF(MOV, SIZE(640, 360), AUDIO), &m));
	assert_int_equal(m.audio, 1);
	assert_string_equal(m.audio_codec, "aac");

	assert_null(media_parse("{\"streams\":[" COVER AUDIO
	    ",{\"index\":2,\"codec_type\":\"video\",\"codec_name\":\"unknown\"}"
	    ",{\"index\":3,\"codec_type\":\"video\",\"codec_name\":\"vp9\""
	    SIZE(640, 360) ",\"field_order\":\"tt\"}"
	    "],\"format\":{" MOV "}}", &m));
	assert_int_equal(m.video, 3);
	assert_string_equal(m.video_codec, "vp9");
	assert_true(m.interlaced);
}

#define FIVE(x)		x x x x x
static void
says_why_it_refuses(void **state)
{
	static const struct { const char *json, *why; } cases[] = {
		{ "", "nothing was found" },
		{ "rubbish", "nothing was found" },
		{ "[]", "nothing was found" },
		{ "{}", "nothing was found" },
		{ "{\"streams\":{},\"format\":{" MOV "}}", "nothing" },
		{ "{\"streams\":[],\"format\":{" MOV "}}", "no picture" },
		{ "{\"streams\":[null,1,[]],\"format\":{" MOV "}}",
		    "no picture" },
		{ "{\"streams\":[" COVER AUDIO "],\"format\":{" MOV "}}",
		    "sound but no picture" },
		{ "{\"streams\":[" COVER "],\"format\":{" MOV "}}",
		    "no picture" },
		{ VIDEO(""), "0x0" },
		{ VIDEO(SIZE(15, 16)), "15x16 pixels is smaller" },
		{ VIDEO(SIZE(-640, 360)), "0x360" },
		{ VIDEO(SIZE(8193, 16)), "8193x16 pixels is larger" },
		{ VIDEO(SIZE(8000, 8000)), "more than the most, 36 mega" },
		{ VIDEO(SIZE(9999999999, 9999999999)), "larger" },
		{ VIDEO(SIZE(100, 100) PIXEL("1000:1")), "larger" },
		{ VIDEO(SIZE(8000, 8000) PIXEL("1:8")), "36 megapixels" },
		{ VIDEO(SIZE(1000, 1000) PIXEL("1:999")), "smaller" },
		{ FILE_OF("\"format_name\":\"avi\",\"duration\":\"86401\"",
		    SIZE(640, 360), ""), "24:00:01 long" },
		{ "{\"streams\":[1" FIVE(FIVE(",2")) FIVE(",3") ",4,5"
		    "],\"format\":{" MOV "}}", "33 streams" },
	};
	struct media	 m;
	const char	*why;
	size_t		 i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		print_message("# %s\n", cases[i].why);
		assert_non_null(why = media_parse(cases[i].json, &m));
		assert_non_null(strstr(why, cases[i].why));
	}
}

/* "768x432 640x360 426x240" */
static const char *
ladder(unsigned int width, unsigned int height, unsigned int highest)
{
	static char	 text[256];
	struct media	 m = { .width = width, .height = height };
	size_t		 i, len = 0;

	media_ladder(&m, highest);
	assert_in_range(m.n, 1, MEDIA_RENDITIONS);
	for (i = 0; i < m.n; i++) {
		assert_in_range(m.renditions[i].width, 2, width);
		assert_in_range(m.renditions[i].height, 2, height);
		assert_int_equal(m.renditions[i].width % 2, 0);
		assert_int_equal(m.renditions[i].height % 2, 0);
		if (i > 0)
			assert_in_range(m.renditions[i].kbit, 1,
			    m.renditions[i - 1].kbit);
		len += snprintf(text + len, sizeof(text) - len, "%s%ux%u",
		    i > 0 ? " " : "", m.renditions[i].width,
		    m.renditions[i].height);
	}
	return text;
}

static void
never_makes_it_larger(void **state)
{
	static const struct {
		unsigned int	 width, height, highest;
		const char	*ladder;
	} cases[] = {
		{ 768, 432, 1080, "768x432 640x360 426x240" },
		{ 1920, 1080, 1080,
		    "1920x1080 1280x720 854x480 640x360 426x240" },
		{ 1080, 1920, 1080,
		    "1080x1920 720x1280 480x854 360x640 240x426" },
		{ 3840, 2160, 1080,
		    "1920x1080 1280x720 854x480 640x360 426x240" },
		{ 3840, 2160, 2160, "3840x2160 2560x1440 1920x1080 1280x720 "
		    "854x480 640x360 426x240" },
		{ 1920, 1080, 480, "854x480 640x360 426x240" },
		{ 1920, 1080, 300, "534x300 426x240" },
		{ 640, 480, 1080, "640x480 480x360 320x240" },
		{ 320, 240, 1080, "320x240" },
		{ 270, 480, 1080, "270x480 240x426" },
		{ 341, 191, 1080, "340x190" },
		{ 640, 488, 1080, "640x488 472x360 314x240" },
		{ 160, 120, 1080, "160x120" },
		{ 17, 16, 1080, "16x16" },
		{ 8192, 16, 1080, "8192x16" },
	};
	size_t	 i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_string_equal(ladder(cases[i].width, cases[i].height,
		    cases[i].highest), cases[i].ladder);
}

static void
every_size_has_a_ladder(void **state)
{
	unsigned int	 w, h;

	(void)state;
	for (w = MEDIA_SIDE_LEAST; w <= 600; w += 7)
		for (h = MEDIA_SIDE_LEAST; h <= 600; h++)
			ladder(w, h, 1080);
}

static void
names_renditions_by_the_shorter_side(void **state)
{
	struct media	 m = { .width = 270, .height = 480 };

	(void)state;
	media_ladder(&m, 1080);
	assert_string_equal(m.renditions[0].name, "270p");
	assert_string_equal(m.renditions[1].name, "240p");
	assert_string_equal(media_file(&m.renditions[1]),
	    "renditions/240p.mp4");
}

static void
tolerates_little(void **state)
{
	struct media	 m = { .fps_num = 25, .fps_den = 1 };

	(void)state;
	m.seconds = 10;
	assert_true(media_slack(&m) == 0.5);
	m.seconds = 3600;
	assert_true(media_slack(&m) == 36);
	m.fps_num = 1;
	m.seconds = 10;
	assert_true(media_slack(&m) == 5);	/* pictures, of a second */
	assert_true(media_frames(&m) == 10);
}

static void
filters_by_what_it_is(void **state)
{
	struct media	 m = { .fps_num = 30000, .fps_den = 1001 };
	char		*whole = media_filter(&m);
	char		*within = media_filter_within(&m);

	(void)state;
	assert_string_equal(whole, "fps=30000/1001:start_time=0");
	assert_string_equal(within, "fps=30000/1001");
	free(whole);
	free(within);
	m.interlaced = true;
	whole = media_filter(&m);
	assert_string_equal(whole,
	    "yadif=deint=interlaced,fps=30000/1001:start_time=0");
	free(whole);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(knows_the_size_on_a_screen),
		cmocka_unit_test(chooses_one_constant_rate),
		cmocka_unit_test(knows_how_long_it_should_be),
		cmocka_unit_test(chooses_streams),
		cmocka_unit_test(says_why_it_refuses),
		cmocka_unit_test(never_makes_it_larger),
		cmocka_unit_test(every_size_has_a_ladder),
		cmocka_unit_test(names_renditions_by_the_shorter_side),
		cmocka_unit_test(tolerates_little),
		cmocka_unit_test(filters_by_what_it_is),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
