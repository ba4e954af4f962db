/*
 * Second stage for a video: make all renditions of a part of it.  This is the
 * program of an "each": an item is a span of the video, or a part of its
 * sound.
 *
 * One ffmpeg decodes once, and splits the pictures to as many scalers and
 * encoders as there are renditions.  Keyframes are forced at the same times
 * in all of them, so that a player can change between them, and at the first
 * picture of every span, so that spans can be joined without being encoded
 * again.
 *
 * A span has exactly its pictures: decoding begins at a keyframe well before
 * the first, all times are those in the whole video, and what is not of the
 * span is thrown away before it is scaled.  Were a picture missing, decoding
 * did not begin where it should have; then it is done again from the very
 * beginning of the file, which is slow but right.
 *
 * ffmpeg calls it a success when half of the pictures are broken; so errors
 * are counted, for who joins the segments.
 */

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ffmpeg.h"
#include "log.h"
#include "media.h"
#include "segment.h"
#include "sound.h"
#include "source.h"
#include "spans.h"
#include "stage.h"

/* ffmpeg is killed when it stands still for so long; -s SECONDS changes it. */
#define SILENCE_S	120

/* Constant quality of x264: smaller is better, 18 is hard to tell from it. */
#define QUALITY		"21"

/* Pictures that a decoder may hold back for good at the end of a file. */
#define HELD_BACK	5

/* One item. */
struct work {
	struct media	 media;
	struct span	 span;
	unsigned int	 sound;		/* instead: which part of it */
	char		*dir;		/* to be filled */
	struct segment	 segment;	/* how it went */
};

static unsigned int	 silence_s = SILENCE_S;

/* ---- the command -------------------------------------------------------- */

/*
 * "[0:1]fps=25/1,trim=...,split=2[a0][a1];[a0]scale=...[v0];[a1]scale=...[v1]"
 */
static char *
filter_graph(const struct work *w, double seek)
{
	const struct media	*m = &w->media;
	const struct span	*s = &w->span;
	char			*graph, *common;
	size_t			 i, len;
	FILE			*out;

	common = seek > 0 ? media_filter_within(m) : media_filter(m);
	if ((out = open_memstream(&graph, &len)) == NULL)
		fatal("filter");
	fprintf(out, "[0:%u]%s,trim=start_pts=%lu", seek > 0 ?
	    source_part_video(m) : m->video, common, s->first);
	if (!s->last)
		fprintf(out, ":end_pts=%lu", s->end);
	fprintf(out, ",split=%zu", m->n);
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

/* Begin to read at SEEK, seconds; then times still are those of the file. */
static void
add_input(struct ffmpeg *f, const struct media *m, double seek)
{
	ffmpeg_add(f, "-threads", NULL);
	ffmpeg_addf(f, "%u", stage_cores());
	if (seek > 0)
		source_seek(f, m, seek);
	else
		source_open(f, m);
}

/*
 * Keyframes are where they are in the whole video: "n" counts the pictures of
 * this span, and as many keyframes are before it as there are such times.
 */
static void
add_keyframes(struct ffmpeg *f, const struct media *m, unsigned long first)
{
	unsigned long	 before;

	before = (uint64_t)first * m->fps_den /
	    ((uint64_t)m->fps_num * SPANS_KEYFRAME_S);
	ffmpeg_add(f, "-force_key_frames", NULL);
	ffmpeg_addf(f, "expr:gte((n+%lu)*%u,(n_forced+%lu)*%u*%u)", first,
	    m->fps_den, before, SPANS_KEYFRAME_S, m->fps_num);
	/* As good as infinite: no keyframes but the forced ones. */
	ffmpeg_add(f, "-sc_threshold", "0", "-g", "100000", NULL);
}

static void
add_rendition(struct ffmpeg *f, const struct work *w, size_t i)
{
	const struct rendition	*r = &w->media.renditions[i];

	ffmpeg_add(f, "-map", NULL);
	ffmpeg_addf(f, "[v%zu]", i);
	ffmpeg_add(f, "-c:v", "libx264", "-preset", "veryfast", "-profile:v",
	    "high", "-crf", QUALITY, "-threads", NULL);
	ffmpeg_addf(f, "%u", stage_cores());
	add_keyframes(f, &w->media, w->span.first);
	ffmpeg_add(f, "-maxrate", NULL);
	ffmpeg_addf(f, "%uk", r->kbit);
	ffmpeg_add(f, "-bufsize", NULL);
	ffmpeg_addf(f, "%uk", r->kbit * 2);
	/* The filters have made times that are right; they count. */
	ffmpeg_add(f, "-vsync", "passthrough", "-flags", "+global_header",
	    NULL);
	segment_format(f, "frag_keyframe");
	ffmpeg_addf(f, "%s/%s.mp4", w->dir, r->name);
}

static struct ffmpeg *
command(const struct work *w, double seek)
{
	struct ffmpeg	*f = ffmpeg_new("ffmpeg");
	char		*graph = filter_graph(w, seek);
	size_t		 i;

	ffmpeg_add(f, "-filter_complex_threads", NULL);
	ffmpeg_addf(f, "%u", stage_cores());
	add_input(f, &w->media, seek);
	ffmpeg_add(f, "-filter_complex", graph, NULL);
	for (i = 0; i < w->media.n; i++)
		add_rendition(f, w, i);
	if (seek == 0)
		source_clock(f, &w->media, w->media.audio, 0);
	free(graph);
	return f;
}

/* ---- a span ------------------------------------------------------------- */

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
say_span(const struct work *w, unsigned long frames)
{
	const struct span	*s = &w->span;
	double			 done = (double)frames / (s->end - s->first);

	stage_progress(99 * fmin(done, 1), NULL);
	stage_step("Transcoding %s (%s)", span_text(&w->media, s),
	    names(&w->media));
}

/*
 * Make the segment, decoding from SEEK on, and wait.  Pictures that are
 * decoded in vain show no progress, and are not held against it.
 */
static struct ffmpeg *
make(const struct work *w, double seek)
{
	struct ffmpeg	*f = command(w, seek);
	double		 fps = (double)w->media.fps_num / w->media.fps_den;
	unsigned long	 said = 0;

	f->silence_s = silence_s + w->span.first / fps - seek;
	ffmpeg_start(f);
	while (ffmpeg_wait() != f)
		if (f->progress.frames > said)
			say_span(w, said = f->progress.frames);
	return f;
}

/*
 * Where to begin.  The copy that parts are read from goes when they are joined;
 * one that is made anew after that, as a person may wish, needs another copy.
 */
static double
place_of(const struct work *w)
{
	struct pictures	 pictures = { .n = 0 };
	double		 seek = w->span.seek;

	if (seek > 0 && w->media.copied && !source_has_copy() &&
	    !source_copy(&w->media, &pictures))
		seek = 0;
	pictures_free(&pictures);
	return seek;
}

/* Whether a run that began within the video made all that was asked. */
static bool
is_whole(const struct work *w, const struct ffmpeg *f)
{
	unsigned long	 n = w->span.end - w->span.first;

	return ffmpeg_ok(f) && (w->span.last ?
	    f->progress.frames + HELD_BACK >= n && f->progress.frames > 0 :
	    f->progress.frames == n);
}

/* Whether it is the fault of neither the input nor the seek. */
static bool
may_pass(const struct ffmpeg *f)
{
	return f->disk_full || f->stood_still || WIFSIGNALED(f->status) ||
	    WEXITSTATUS(f->status) == 127;
}

/*
 * How many errors come before the span: those are the ones of another span,
 * or come of beginning in the middle.
 */
static unsigned int
errors_before(const struct work *w)
{
	struct ffmpeg	*f = ffmpeg_new("ffmpeg");
	char		*common = media_filter_within(&w->media);
	unsigned int	 errors;

	add_input(f, &w->media, w->span.seek);
	ffmpeg_add(f, "-filter_complex", NULL);
	ffmpeg_addf(f, "[0:%u]%s,trim=end_pts=%lu[v]",
	    source_part_video(&w->media), common, w->span.first);
	ffmpeg_add(f, "-map", "[v]", "-vsync", "passthrough", "-f", "null",
	    "-", NULL);
	f->silence_s = silence_s;
	ffmpeg_run(f);
	errors = f->errors;
	ffmpeg_free(f);
	free(common);
	return errors;
}

static void
make_span(struct work *w)
{
	double		 seek = place_of(w);
	struct ffmpeg	*f = make(w, seek);
	unsigned int	 before = 0;

	if (seek > 0 && !is_whole(w, f) && !may_pass(f)) {
		log_warnx("%lu of %lu pictures from %.3f s on; decoding again "
		    "from the beginning", (unsigned long)f->progress.frames,
		    w->span.end - w->span.first, w->span.seek);
		ffmpeg_free(f);
		f = make(w, 0);
	} else if (seek > 0 && f->errors > 0 && !may_pass(f))
		before = errors_before(w);

	ffmpeg_check(f, f->progress.frames == 0 ? "Decoding a first picture" :
	    "Transcoding");
	if (f->progress.frames == 0 && w->span.first == 0)
		stage_reject("No picture of the video can be decoded");
	w->segment.frames = f->progress.frames;
	w->segment.errors = f->errors > before ? f->errors - before : 0;
	ffmpeg_free(f);
}

/* ---- the sound ---------------------------------------------------------- */

static void
say_sound(const struct work *w, double done)
{
	double	 all = w->media.seconds;

	stage_progress(99 * fmin(done, all) / all, NULL);
	sound_step(&w->media, done);
}

static void
say_sound_part(const struct work *w, double at)
{
	struct sound_part	 p = sound_part(&w->media, w->sound);
	double			 frame_s = (double)SOUND_FRAME / SOUND_RATE;
	double			 first = p.first * frame_s;
	double			 end = p.end * frame_s;

	at = fmin(fmax(at - SEGMENT_LEAD_S, first), end);
	stage_progress(99 * (at - first) / (end - first), NULL);
	sound_step(&w->media, at);
}

static void
make_sound_part(struct work *w)
{
	struct sound	 s = sound_start_part(&w->media, w->sound, w->dir,
			    silence_s);

	while (!sound_ended(&s)) {
		ffmpeg_wait();
		say_sound_part(w, s.encoder->progress.seconds);
	}
	sound_end(&s, &w->segment);
	w->segment.seconds = 0;
}

static void
make_sound(struct work *w)
{
	struct sound	 s = sound_start(&w->media, w->dir, silence_s);

	while (!sound_ended(&s)) {
		ffmpeg_wait();
		say_sound(w, s.encoder->progress.seconds);
	}
	sound_end(&s, &w->segment);
}

/* Whether it has sound, and no other item makes that. */
static bool
is_alone(const struct work *w)
{
	return w->media.audio != -1 && w->span.first == 0 && w->span.last;
}

static void
make_both(struct work *w)
{
	struct sound	 s = sound_start(&w->media, w->dir, silence_s);

	make_span(w);
	while (!sound_ended(&s))
		ffmpeg_wait();
	sound_end(&s, &w->segment);
}

/* ---- main --------------------------------------------------------------- */

static void
say_done(const struct work *w, bool sound)
{
	if (sound)
		stage_progress(100, "Encoded the sound");
	else
		stage_progress(100, "Transcoded %s in %zu resolution%s",
		    span_text(&w->media, &w->span), w->media.n,
		    w->media.n == 1 ? "" : "s");
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
	struct work	 w = { .dir = NULL };
	const char	*args, *name;
	bool		 sound;
	int		 c;

	while ((c = getopt(argc, argv, "s:")) != -1)
		if (c != 's' || (silence_s = strtoul(optarg, NULL, 10)) == 0)
			usage();

	stage_init("transcode");
	media_load(&w.media);
	args = stage_env("MILLRACE_ITEM_ARGS");
	sound = sound_parse(&w.media, args, &w.sound) == 0;
	if (!sound && span_parse(args, &w.span) == -1)
		fatalx("MILLRACE_ITEM_ARGS: \"%s\" is no span", args);
	name = sound ? args : segment_name(&w.span);

	/* Its item may have been cut off just before it was noted as done. */
	if (segment_load(name, &w.segment) == -1) {
		w.dir = segment_begin();
		if (sound && w.media.sound_parts > 1)
			make_sound_part(&w);
		else if (sound)
			make_sound(&w);
		else if (is_alone(&w))
			make_both(&w);
		else
			make_span(&w);
		if (w.segment.errors > 0)
			log_warnx("%u errors while decoding",
			    w.segment.errors);
		segment_keep(w.dir, name, &w.segment);
		free(w.dir);
	}
	say_done(&w, sound);
	return 0;
}
