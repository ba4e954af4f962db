/*
 * First stage for a video: is it one, is it whole, and what is it like?
 *
 * ffprobe reads the headers; they can promise more than the file holds.  So
 * ffmpeg then reads all packets without decoding them, which is as fast as
 * the disk: a file that was cut off is refused here, before hours of work.
 *
 * What it sees of the packets also tells where the video can be cut, so that
 * transcoding is many items.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <json-c/json.h>

#include "ffmpeg.h"
#include "log.h"
#include "media.h"
#include "sound.h"
#include "source.h"
#include "spans.h"
#include "stage.h"

/* ffprobe reads a little of the file; reading all of it shows progress. */
#define SILENCE_S	60

/* Highest rendition, by the shorter side, when the job does not say. */
#define HIGHEST		"1080"

/* Percent of the stage, when the headers are understood and all is read. */
#define PROBED		10
#define READ		90

/* So many seeks are tried by one ffprobe. */
#define SEEKS		500

/* How exact times are that are written as decimals, seconds. */
#define EXACT		0.002

/* What ffprobe says, in words for those who do not know containers. */
static const struct { const char *error, *text; } known[] = {
	{ "moov atom not found", "it has no index (moov atom), as when a "
	    "recording or an upload was broken off" },
	{ "Format not on whitelist", "it is of a format that is no video" },
	{ "Invalid data found", "it is of no known video format" },
};

static void
refuse(const char *error)
{
	size_t	 i;

	for (i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (strstr(error, known[i].error) != NULL)
			error = known[i].text;
	stage_reject("This is not a video: %s", error);
}

static void
probe(struct media *m)
{
	struct ffmpeg	*f = ffprobe_new();
	const char	*why;

	ffmpeg_add(f, "-show_format", "-show_streams", NULL);
	ffmpeg_input(f, NULL);
	f->silence_s = SILENCE_S;
	if (!ffmpeg_run(f) && f->first[0] != '\0' && !f->stood_still)
		refuse(f->first);
	ffmpeg_check(f, "Reading the headers");
	if ((why = media_parse(f->output != NULL ? f->output : "", m)) != NULL)
		refuse(why);
	ffmpeg_free(f);
}

/* What was seen of the packets. */
struct packets {
	struct pictures	*pictures;
	bool		 sound;		/* there is any */
};

/* Stream 0 of what is listed are the pictures, and 1 is the sound. */
static void
take_line(void *arg, char *line)
{
	struct packets	*p = arg;

	if (line[0] == '1')
		p->sound = true;
	else
		pictures_line(p->pictures, line);
}

/*
 * How many seconds of packets there really are, and which pictures; and
 * whether there is the sound that was promised.
 */
static double
read_through(struct media *m, struct pictures *pictures)
{
	struct packets	 packets = { .pictures = pictures };
	struct ffmpeg	*f = ffmpeg_new("ffmpeg");
	double		 seconds = 0;

	source_open(f, m);
	ffmpeg_add(f, "-map", NULL);
	ffmpeg_addf(f, "0:%u", m->video);
	if (m->audio != -1) {
		ffmpeg_add(f, "-map", NULL);
		ffmpeg_addf(f, "0:%d", m->audio);
	}
	/* None waits for the other, which may never come. */
	ffmpeg_add(f, "-c", "copy", "-max_interleave_delta", "1", "-f",
	    "framecrc", "pipe:1", NULL);
	f->line = take_line;
	f->arg = &packets;
	f->silence_s = SILENCE_S;
	ffmpeg_start(f);
	while (ffmpeg_wait() != f) {
		if (f->progress.seconds <= seconds)
			continue;
		seconds = f->progress.seconds;
		if (m->seconds > 0 && seconds < m->seconds)
			stage_progress(PROBED + (READ - PROBED) * seconds /
			    m->seconds, NULL);
		stage_step("Reading: %s", stage_time(seconds));
	}
	ffmpeg_check(f, "Reading the file");
	seconds = f->progress.seconds;
	ffmpeg_free(f);
	if (!packets.sound) {
		m->audio = -1;
		m->audio_codec[0] = '\0';
	}
	return seconds;
}

/* Compare what was read with what was promised. */
static void
measure(struct media *m, struct pictures *pictures)
{
	double	 there = read_through(m, pictures);

	if (there < m->seconds - media_slack(m))
		stage_reject("The video is not whole: the file ends after "
		    "%.1f s of %.1f s", there, m->seconds);
	if (there > m->seconds + media_slack(m))
		m->seconds = there;	/* or nothing was promised */
	if (m->seconds > MEDIA_SECONDS_MOST)
		stage_reject("The video is %s long, more than the most, %u h",
		    stage_time(m->seconds), MEDIA_SECONDS_MOST / 3600);
	if (m->seconds <= 0)
		stage_reject("This is not a video: it shows nothing");
}

static void
tell(const struct media *m)
{
	struct json_object	*o = json_object_new_object();
	char			 fps[32];

	snprintf(fps, sizeof(fps), "%u/%u", m->fps_num, m->fps_den);
	json_object_object_add(o, "container",
	    json_object_new_string(m->demuxer));
	json_object_object_add(o, "codec",
	    json_object_new_string(m->video_codec));
	json_object_object_add(o, "audio_codec", m->audio == -1 ? NULL :
	    json_object_new_string(m->audio_codec));
	json_object_object_add(o, "width", json_object_new_int(m->width));
	json_object_object_add(o, "height", json_object_new_int(m->height));
	json_object_object_add(o, "fps", json_object_new_string(fps));
	json_object_object_add(o, "seconds",
	    stage_number(m->seconds, 2));
	stage_detail("video", o);
}

/* ---- cutting ------------------------------------------------------------ */

/* Where a seek for each of the N SPANS leads: packets, as ffprobe says. */
static struct json_object *
try_seeks(const struct media *m, const struct span *spans, size_t n)
{
	struct ffmpeg		*f = ffprobe_new();
	struct json_object	*o;
	char			*list;
	size_t			 i, len;
	FILE			*out;

	if ((out = open_memstream(&list, &len)) == NULL)
		fatal("seeks");
	for (i = 0; i < n; i++)
		fprintf(out, "%s%.3f%%+#1", i > 0 ? "," : "",
		    source_zero(m) + spans[i].seek);
	if (fclose(out) == EOF)
		fatal("seeks");
	ffmpeg_add(f, "-select_streams", NULL);
	ffmpeg_addf(f, "%u", source_part_video(m));
	ffmpeg_add(f, "-show_entries", "packet=pts_time,flags",
	    "-read_intervals", list, NULL);
	source_part(f, m);
	f->silence_s = SILENCE_S;
	ffmpeg_run(f);
	o = json_tokener_parse(f->output != NULL ? f->output : "");
	ffmpeg_free(f);
	free(list);
	return o;
}

/* Whether PACKET is where one can begin for SPAN: a keyframe before it. */
static bool
is_start(const struct media *m, struct json_object *packet,
    const struct span *span)
{
	struct json_object	*at, *flags;

	return json_object_object_get_ex(packet, "pts_time", &at) &&
	    json_object_object_get_ex(packet, "flags", &flags) &&
	    json_object_get_string(flags)[0] == 'K' &&
	    json_object_get_double(at) - source_zero(m) < span->seek + EXACT;
}

/*
 * Cuts that no seek leads to are none.  The index of a file may be wrong, or
 * ffmpeg may not know how to use it; so each is tried.
 */
static void
keep_good_cuts(const struct media *m, struct span *spans, size_t *n)
{
	struct json_object	*o, *packets;
	size_t			 at, from, count, i;
	bool			 ok;

	for (at = *n; at > 1; at = from) {
		from = at > SEEKS + 1 ? at - SEEKS : 1;
		count = at - from;
		o = try_seeks(m, spans + from, count);
		ok = json_object_object_get_ex(o, "packets", &packets) &&
		    json_object_array_length(packets) == count;
		for (i = count; i > 0; i--)
			if (!ok || !is_start(m, json_object_array_get_idx(
			    packets, i - 1), &spans[from + i - 1]))
				spans_join(spans, n, from + i - 1);
		json_object_put(o);
	}
}

/*
 * Plan the cuts; of a file in which they are not to be found, in a copy of
 * its pictures, if there can be one.
 */
static size_t
plan(struct media *m, struct pictures *pictures, unsigned int length,
    struct span **spans)
{
	unsigned int	 cores = stage_cores();
	size_t		 n = spans_plan(m, pictures, length, cores, spans);

	source_forget();		/* of a try that was cut off */
	if (n > 1 && !source_timed(m)) {
		m->copied = source_copy(m, pictures);
		pictures->doubtful |= !m->copied;
		free(*spans);
		n = spans_plan(m, pictures, length, cores, spans);
	}
	keep_good_cuts(m, *spans, &n);
	if (n == 1 && m->copied) {
		m->copied = false;
		source_forget();
	}
	return n;
}

/*
 * Name the items; LENGTH is the longest, seconds, or 0 for the usual, and
 * SOUND that of the sound.
 */
static void
cut(struct media *m, struct pictures *pictures, unsigned int length,
    unsigned int sound)
{
	struct span	*spans;
	size_t		 i, n;

	n = plan(m, pictures, length > 0 ? length : spans_length(m), &spans);
	if (m->audio != -1 && n > 1)
		sound_plan(m, sound);
	media_save(m);
	spans_save(spans, n);
	for (i = 0; i < m->sound_parts; i++)
		stage_item(sound_name(m, i), sound_name(m, i));
	for (i = 0; i < n; i++)
		stage_item(span_name(m, &spans[i]), span_args(&spans[i]));
	free(spans);
}

static void __attribute__((noreturn))
usage(void)
{
	fprintf(stderr, "usage: intake [-a seconds] [-l seconds]\n");
	exit(1);
}

/* TEXT as a length in seconds, LEAST or more. */
static unsigned int
length_of(const char *text, unsigned int least)
{
	unsigned int	 length = strtoul(text, NULL, 10);

	if (length < least)
		usage();
	return length;
}

int
main(int argc, char *argv[])
{
	struct pictures	 pictures = { .n = 0 };
	struct media	 m;
	struct stat	 st;
	unsigned int	 length = 0, sound = SOUND_LENGTH;
	int		 c;

	while ((c = getopt(argc, argv, "a:l:")) != -1) {
		if (c == 'a')
			sound = length_of(optarg, SOUND_LENGTH_LEAST);
		else if (c == 'l')
			length = length_of(optarg, SPANS_KEYFRAME_S);
		else
			usage();
	}

	stage_init("intake");
	stage_progress(0, "Checking the file");
	if (stat(STAGE_INPUT, &st) == -1)
		fatal("%s", STAGE_INPUT);
	if (st.st_size == 0)
		stage_reject("This is not a video: the file is empty");

	probe(&m);
	measure(&m, &pictures);
	media_ladder(&m, strtoul(stage_option("max_height", HIGHEST), NULL,
	    10));
	tell(&m);
	stage_progress(READ, NULL);
	cut(&m, &pictures, length, sound);
	pictures_free(&pictures);
	stage_progress(100, "File saved");
	return 0;
}
