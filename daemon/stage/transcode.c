/*
 * Second stage for a video: make all renditions of it.
 *
 * One ffmpeg decodes once, splits the pictures to as many scalers and
 * encoders as there are renditions, encodes the sound once, and writes each
 * rendition with the sound to a file of its own.  Keyframes are forced at the
 * same times in all of them, so that a player can change between them.
 *
 * ffmpeg calls it a success when a file ends in the middle or half of its
 * pictures are broken; so the result is measured, and errors are counted.
 */

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <json-c/json.h>

#include "ffmpeg.h"
#include "log.h"
#include "media.h"
#include "stage.h"

/* ffmpeg is killed when it stands still for so long; -s SECONDS changes it. */
#define SILENCE_S	120

/* Constant quality of x264: smaller is better, 18 is hard to tell from it. */
#define QUALITY		"21"

/* Keyframes are so many seconds apart; segments begin at one. */
#define KEYFRAMES	"expr:gte(t,n_forced*2)"

/* What is left of the stage, in percent, once all is encoded. */
#define AFTERWARDS	4

/* The still picture: where in the video, and its longer side in pixels. */
#define POSTER		"poster.jpg"
#define POSTER_AT	0.1
#define POSTER_SIDE	1280

static unsigned int	 silence_s = SILENCE_S;

/* "[0:1]fps=25/1,split=2[a0][a1];[a0]scale=...[v0];[a1]scale=...[v1]" */
static char *
filter_graph(const struct media *m)
{
	char	*graph, *common = media_filter(m);
	size_t	 i, len;
	FILE	*out;

	if ((out = open_memstream(&graph, &len)) == NULL)
		fatal("filter");
	fprintf(out, "[0:%u]%s,split=%zu", m->video, common, m->n);
	for (i = 0; i < m->n; i++)
		fprintf(out, "[a%zu]", i);
	for (i = 0; i < m->n; i++)
		fprintf(out, ";[a%zu]scale=%u:%u:flags=bicubic,setsar=1,"
		    "format=yuv420p[v%zu]", i, m->renditions[i].width,
		    m->renditions[i].height, i);
	if (fclose(out) == EOF)
		fatal("filter");
	free(common);
	return graph;
}

/* The tee muxer: "[select='v:0,a':...]renditions/720p.mp4|[...]..." */
static char *
outputs(const struct media *m)
{
	char	*list;
	size_t	 i, len;
	FILE	*out;

	if ((out = open_memstream(&list, &len)) == NULL)
		fatal("outputs");
	for (i = 0; i < m->n; i++)
		fprintf(out, "%s[f=mp4:movflags=+faststart:select=\\'v:%zu%s"
		    "\\']%s", i > 0 ? "|" : "", i, m->audio != -1 ? ",a" : "",
		    media_file(&m->renditions[i]));
	if (fclose(out) == EOF)
		fatal("outputs");
	return list;
}

static void
add_encoders(struct ffmpeg *f, const struct media *m)
{
	size_t	 i;

	for (i = 0; i < m->n; i++) {
		ffmpeg_add(f, "-map", NULL);
		ffmpeg_addf(f, "[v%zu]", i);
	}
	ffmpeg_add(f, "-c:v", "libx264", "-preset", "veryfast", "-profile:v",
	    "high", "-crf", QUALITY, "-force_key_frames:v", KEYFRAMES,
	    "-sc_threshold:v", "0", NULL);
	/* As good as infinite: no keyframes but the forced ones. */
	ffmpeg_add(f, "-g:v", "100000", NULL);
	for (i = 0; i < m->n; i++) {
		ffmpeg_addf(f, "-maxrate:v:%zu", i);
		ffmpeg_addf(f, "%uk", m->renditions[i].kbit);
		ffmpeg_addf(f, "-bufsize:v:%zu", i);
		ffmpeg_addf(f, "%uk", m->renditions[i].kbit * 2);
	}
	if (m->audio == -1)
		return;
	ffmpeg_add(f, "-map", NULL);
	ffmpeg_addf(f, "0:%d", m->audio);
	/* Gaps are filled with silence, or the sound would run ahead. */
	ffmpeg_add(f, "-c:a", "aac", "-b:a", "128k", "-ac", "2", "-ar",
	    "48000", "-af", "aresample=async=1:first_pts=0", NULL);
}

static struct ffmpeg *
command(const struct media *m)
{
	struct ffmpeg	*f = ffmpeg_new("ffmpeg");
	char		*graph = filter_graph(m), *files = outputs(m);
	unsigned int	 threads = stage_cores();

	ffmpeg_add(f, "-filter_complex_threads", NULL);
	ffmpeg_addf(f, "%u", threads);
	ffmpeg_add(f, "-threads", NULL);
	ffmpeg_addf(f, "%u", threads);
	ffmpeg_input(f, m->demuxer);
	ffmpeg_add(f, "-filter_complex", graph, NULL);
	add_encoders(f, m);
	ffmpeg_add(f, "-threads", NULL);
	ffmpeg_addf(f, "%u", threads);
	/* What a camera notes (place, owner) is nobody's business. */
	ffmpeg_add(f, "-map_metadata", "-1", "-map_chapters", "-1", NULL);
	ffmpeg_add(f, "-flags", "+global_header", "-f", "tee", files, NULL);
	f->silence_s = silence_s;
	f->length_s = m->seconds;
	free(graph);
	free(files);
	return f;
}

/* "720p, 480p, 360p" */
static const char *
names(const struct media *m)
{
	static char	 list[MEDIA_RENDITIONS * 16];
	size_t		 i;

	list[0] = '\0';
	for (i = 0; i < m->n; i++) {
		strlcat(list, i > 0 ? ", " : "", sizeof(list));
		strlcat(list, m->renditions[i].name, sizeof(list));
	}
	return list;
}

static void
follow(struct ffmpeg *f, const struct media *m)
{
	double	 done, said = -1;

	ffmpeg_start(f);
	while (ffmpeg_wait() != f) {
		if (f->progress.seconds <= said)
			continue;
		said = done = f->progress.seconds;
		if (done > m->seconds)
			done = m->seconds;
		stage_progress((100 - AFTERWARDS) * done / m->seconds, NULL);
		stage_step("Transcoding %s: %s of %s", names(m),
		    stage_time(done), stage_time(m->seconds));
	}
}

/* All of it must have come out at the other end. */
static void
check(const struct ffmpeg *f, const struct media *m)
{
	ffmpeg_check(f, f->progress.frames == 0 ? "Decoding a first picture" :
	    "Transcoding");
	if (f->progress.frames == 0)
		stage_reject("No picture of the video can be decoded");
	if (f->progress.seconds < m->seconds - media_slack(m))
		stage_reject("The video is not whole: the file ends after "
		    "%.1f s of %.1f s", f->progress.seconds, m->seconds);
	if (f->errors == 0)
		return;
	log_warnx("%u errors while decoding", f->errors);
	stage_detail("decode_errors", json_object_new_int(f->errors));
}

static void
make_poster(const struct media *m)
{
	struct ffmpeg	*f = ffmpeg_new("ffmpeg");
	double		 picture = floor(media_frames(m) * POSTER_AT);

	/* A little before the picture, so that rounding cannot skip it. */
	ffmpeg_add(f, "-ss", NULL);
	ffmpeg_addf(f, "%.3f", fmax(picture - 0.5, 0) * m->fps_den /
	    m->fps_num);
	/* From our own file: nothing of the stranger's is read again. */
	ffmpeg_add(f, "-i", media_file(&m->renditions[0]), "-frames:v", "1",
	    "-vf", NULL);
	ffmpeg_addf(f, "scale=w=min(%u\\,iw):h=min(%u\\,ih):"
	    "force_original_aspect_ratio=decrease", POSTER_SIDE, POSTER_SIDE);
	ffmpeg_add(f, "-q:v", "3", "-f", "image2", "-update", "1", POSTER,
	    NULL);
	f->silence_s = silence_s;
	ffmpeg_run(f);
	ffmpeg_check(f, POSTER);
	ffmpeg_free(f);
}

/* Bring all to the disk, and say what was made. */
static void
keep(const struct media *m)
{
	struct json_object	*list = json_object_new_array(), *o;
	const struct rendition	*r;
	struct stat		 st;
	size_t			 i;

	for (i = 0; i < m->n; i++) {
		r = &m->renditions[i];
		stage_sync(media_file(r));
		if (stat(media_file(r), &st) == -1)
			fatal("%s", media_file(r));
		o = json_object_new_object();
		json_object_object_add(o, "name",
		    json_object_new_string(r->name));
		json_object_object_add(o, "width",
		    json_object_new_int(r->width));
		json_object_object_add(o, "height",
		    json_object_new_int(r->height));
		json_object_object_add(o, "bytes",
		    json_object_new_int64(st.st_size));
		json_object_object_add(o, "bitrate",
		    json_object_new_int64(st.st_size * 8 / m->seconds));
		json_object_array_add(list, o);
	}
	stage_sync(MEDIA_DIR);
	stage_sync(POSTER);
	stage_sync(".");
	stage_detail("renditions", list);
}

static void
usage(void)
{
	fprintf(stderr, "usage: transcode [-s seconds]\n");
	exit(1);
}

int
main(int argc, char *argv[])
{
	struct ffmpeg	*f;
	struct media	 m;
	int		 c;

	while ((c = getopt(argc, argv, "s:")) != -1)
		if (c != 's' || (silence_s = strtoul(optarg, NULL, 10)) == 0)
			usage();

	stage_init("transcode");
	media_load(&m);
	if (mkdir(MEDIA_DIR, 0750) == -1 && errno != EEXIST)
		stage_failed_write(MEDIA_DIR);
	stage_progress(0, "Transcoding %s", names(&m));

	f = command(&m);
	follow(f, &m);
	check(f, &m);
	ffmpeg_free(f);

	stage_progress(100 - AFTERWARDS, NULL);
	stage_step("Choosing a still picture");
	make_poster(&m);
	stage_step("Writing to the disk");
	keep(&m);
	stage_progress(100, "Transcoded %zu resolution%s", m.n,
	    m.n == 1 ? "" : "s");
	return 0;
}
