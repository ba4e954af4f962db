/*
 * First stage for a video: is it one, is it whole, and what is it like?
 *
 * ffprobe reads the headers; they can promise more than the file holds.  So
 * ffmpeg then reads all packets without decoding them, which is as fast as
 * the disk: a file that was cut off is refused here, before hours of work.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <json-c/json.h>

#include "ffmpeg.h"
#include "log.h"
#include "media.h"
#include "stage.h"

/* ffprobe reads a little of the file; reading all of it shows progress. */
#define SILENCE_S	60

/* Highest rendition, by the shorter side, when the job does not say. */
#define HIGHEST		"1080"

/* The stage is done to so much when the headers are understood. */
#define PROBED		10

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

/* How many seconds of packets there really are. */
static double
read_through(const struct media *m)
{
	struct ffmpeg	*f = ffmpeg_new("ffmpeg");
	double		 seconds;

	ffmpeg_input(f, m->demuxer);
	ffmpeg_add(f, "-map", NULL);
	ffmpeg_addf(f, "0:%u", m->video);
	if (m->audio != -1) {
		ffmpeg_add(f, "-map", NULL);
		ffmpeg_addf(f, "0:%d", m->audio);
	}
	ffmpeg_add(f, "-c", "copy", "-f", "null", "-", NULL);
	f->silence_s = SILENCE_S;
	ffmpeg_start(f);
	while (ffmpeg_wait() != f) {
		seconds = f->progress.seconds;
		if (m->seconds > 0 && seconds < m->seconds)
			stage_progress(PROBED + (100 - PROBED) * seconds /
			    m->seconds, NULL);
		stage_step("Reading: %s", stage_time(seconds));
	}
	ffmpeg_check(f, "Reading the file");
	seconds = f->progress.seconds;
	ffmpeg_free(f);
	return seconds;
}

/* Compare what was read with what was promised. */
static void
measure(struct media *m)
{
	double	 there = read_through(m);

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

int
main(void)
{
	struct media	 m;
	struct stat	 st;

	stage_init("intake");
	stage_progress(0, "Checking the file");
	if (stat(STAGE_INPUT, &st) == -1)
		fatal("%s", STAGE_INPUT);
	if (st.st_size == 0)
		stage_reject("This is not a video: the file is empty");

	probe(&m);
	measure(&m);
	media_ladder(&m, strtoul(stage_option("max_height", HIGHEST), NULL,
	    10));
	media_save(&m);
	tell(&m);
	stage_progress(100, "File saved");
	return 0;
}
