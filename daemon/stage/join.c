/*
 * The fragments of all segments of a rendition, one behind the other, are one
 * fragmented MP4: each knows its time in the whole video.  ffmpeg then copies
 * that and the sound into a file with an index at its front, which is what
 * players want.
 *
 * A player is told once how the pictures are encoded, so all segments must
 * have been encoded in the same way.  They begin with the same bytes then.
 */

#include "join.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <json-c/json.h>

#include "ffmpeg.h"
#include "log.h"
#include "media.h"
#include "segment.h"
#include "sound.h"
#include "source.h"
#include "spans.h"
#include "splice.h"
#include "stage.h"

#define SILENCE_S	120

/* Beside the renditions, when all of them are there: what came of joining. */
#define NOTE		MEDIA_DIR "/note.json"

/* All fragments of one rendition, while it is made. */
#define FRAGMENTS	SEGMENT_DIR "/fragments.mp4"

/* The header of a segment takes less than 1 kB. */
#define HEADER_MOST	(64 * 1024)

/* The still picture: where in the video, and its longer side in pixels. */
#define POSTER		"poster.jpg"
#define POSTER_AT	0.1
#define POSTER_SIDE	1280

/* What there is to join. */
struct work {
	const struct media	*media;
	struct span		*spans;
	size_t			 n;
	unsigned long		*frames;	/* of each span */
	unsigned long		 total;		/* of all */
	double			 sound_s;	/* its length */
	unsigned int		 errors;
};

/* The bytes before the first fragment of a file. */
struct header {
	char	 data[HEADER_MOST];
	size_t	 len;
};

/* ---- is all of it there? ------------------------------------------------ */

static const char *
sound_of(const struct work *w)
{
	return w->n == 1 ? segment_name(&w->spans[0]) : SEGMENT_SOUND;
}

/* The name of one that is not there, or NULL. */
static const char *
missing(const struct work *w)
{
	struct segment	 s;
	size_t		 i;

	for (i = 0; i < w->n; i++)
		if (segment_load(segment_name(&w->spans[i]), &s) == -1)
			return segment_name(&w->spans[i]);
	if (w->media->audio == -1 || segment_load(sound_of(w), &s) == 0)
		return NULL;
	for (i = 0; i == 0 || i < w->media->sound_parts; i++)
		if (segment_load(sound_name(w->media, i), &s) == -1)
			return sound_name(w->media, i);
	return NULL;
}

static void
add_up(struct work *w)
{
	struct segment	 s;
	size_t		 i;

	w->frames = xcalloc(w->n, sizeof(*w->frames));
	for (i = 0; i < w->n; i++) {
		segment_load(segment_name(&w->spans[i]), &s);
		w->frames[i] = s.frames;
		w->total += s.frames;
		w->errors += s.errors;
		w->sound_s = s.seconds;
	}
	if (w->media->audio == -1 || w->n == 1)
		return;
	segment_load(SEGMENT_SOUND, &s);
	w->sound_s = s.seconds;
	w->errors += s.errors;
}

/*
 * What headers promise must have come out at the other end.  A segment with
 * pictures missing is the last one that has any: the rest of the file cannot
 * be decoded.
 */
static void
check(const struct work *w)
{
	const struct media	*m = w->media;
	double			 there;
	size_t			 i;
	bool			 ended = false;

	for (i = 0; i < w->n; i++) {
		if (ended && w->frames[i] > 0)
			fatalx("pictures are missing before segment %s",
			    segment_name(&w->spans[i]));
		ended |= w->frames[i] < w->spans[i].end - w->spans[i].first;
	}
	there = fmax((double)w->total * m->fps_den / m->fps_num, w->sound_s);
	if (there < m->seconds - media_slack(m))
		stage_reject("The video is not whole: the file ends after "
		    "%.1f s of %.1f s", there, m->seconds);
}

/* ---- the sound ---------------------------------------------------------- */

static void
encode_sound(const struct media *m)
{
	char		*dir = segment_begin();
	struct sound	 sound = sound_start(m, dir, SILENCE_S);
	struct segment	 s = { 0 };

	while (!sound_ended(&sound)) {
		ffmpeg_wait();
		sound_step(m, sound.encoder->progress.seconds);
	}
	sound_end(&sound, &s);
	segment_keep(dir, SEGMENT_SOUND, &s);
	free(dir);
}

/* Make one segment of its parts; or, where they do not fit, of the source. */
static void
make_sound(const struct media *m)
{
	struct segment	 s;

	if (m->audio == -1 || m->sound_parts <= 1 ||
	    segment_load(SEGMENT_SOUND, &s) == 0)
		return;
	if (!splice_sound(m))
		encode_sound(m);
}

/* ---- fragments ---------------------------------------------------------- */

/* Boxes begin with their length and a word; the first fragment is a "moof". */
static void
read_header(int fd, const char *path, struct header *h)
{
	const unsigned char	*box;
	uint32_t		 size;
	ssize_t			 n, at;

	if ((n = pread(fd, h->data, sizeof(h->data), 0)) == -1)
		fatal("%s", path);
	for (at = 0; at + 8 <= n; at += size) {
		box = (unsigned char *)h->data + at;
		if (memcmp(box + 4, "moof", 4) == 0) {
			h->len = at;
			return;
		}
		size = (uint32_t)box[0] << 24 | box[1] << 16 | box[2] << 8 |
		    box[3];
		if (size < 8 || size > sizeof(h->data))
			break;
	}
	fatalx("%s: has no fragments", path);
}

static void
copy(int from, off_t at, int to, const char *path)
{
	struct stat	 st;
	ssize_t		 n;

	if (fstat(from, &st) == -1)
		fatal("%s", path);
	while (at < st.st_size) {
		n = copy_file_range(from, &at, to, NULL, st.st_size - at, 0);
		if (n == -1)
			stage_failed_write(FRAGMENTS);
		if (n == 0)
			fatalx("%s: has become shorter", path);
	}
}

/* Write all fragments of R, behind the header of the first. */
static void
gather(const struct work *w, const struct rendition *r)
{
	static struct header	 first, other;
	char			*file, *path;
	size_t			 i;
	int			 from, to;

	first.len = 0;
	xasprintf(&file, "%s.mp4", r->name);
	to = open(FRAGMENTS, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
	if (to == -1)
		stage_failed_write(FRAGMENTS);
	for (i = 0; i < w->n; i++) {
		if (w->frames[i] == 0)
			continue;
		path = segment_path(segment_name(&w->spans[i]), file);
		if ((from = open(path, O_RDONLY | O_CLOEXEC)) == -1)
			fatal("%s", path);
		read_header(from, path, &other);
		if (first.len == 0)
			first = other;
		else if (other.len != first.len ||
		    memcmp(other.data, first.data, first.len) != 0)
			fatalx("%s: was made by another version of ffmpeg "
			    "than those before it", path);
		copy(from, lseek(to, 0, SEEK_END) == 0 ? 0 : other.len, to,
		    path);
		close(from);
		free(path);
	}
	close(to);
	free(file);
}

/* ---- renditions --------------------------------------------------------- */

static void
add_index(const struct work *w, const char *part)
{
	struct ffmpeg	*f = ffmpeg_new("ffmpeg");
	char		*sound;

	/* Nothing is moved in time but what SEGMENT_LEAD_S has moved. */
	ffmpeg_add(f, "-copyts", "-itsoffset", NULL);
	ffmpeg_addf(f, "-%u", SEGMENT_LEAD_S);
	ffmpeg_add(f, "-f", "mov", "-i", FRAGMENTS, NULL);
	if (w->media->audio != -1) {
		sound = segment_path(sound_of(w), SEGMENT_SOUND ".mp4");
		ffmpeg_add(f, "-f", "mov", "-i", sound, "-map", "0:v", "-map",
		    "1:a", NULL);
		free(sound);
	}
	ffmpeg_add(f, "-c", "copy", "-map_metadata", "-1", "-map_chapters",
	    "-1", "-movflags", "+faststart", "-f", "mp4", part, NULL);
	f->silence_s = SILENCE_S;
	f->length_s = w->media->seconds;
	ffmpeg_run(f);
	ffmpeg_check_own(f, part);
	if (f->progress.frames != w->total)
		fatalx("%s: has %llu of %lu pictures", part,
		    (unsigned long long)f->progress.frames, w->total);
	ffmpeg_free(f);
}

static void
make_rendition(const struct work *w, const struct rendition *r)
{
	char	*part;

	xasprintf(&part, "%s.part", media_file(r));
	gather(w, r);
	add_index(w, part);
	stage_sync(part);
	if (rename(part, media_file(r)) == -1 || unlink(FRAGMENTS) == -1)
		stage_failed_write(media_file(r));
	free(part);
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
	f->silence_s = SILENCE_S;
	ffmpeg_run(f);
	ffmpeg_check(f, POSTER);
	ffmpeg_free(f);
	stage_sync(POSTER);
}

/* ---- what was made ------------------------------------------------------ */

static void
save_note(const struct work *w)
{
	struct json_object	*o = json_object_new_object();

	json_object_object_add(o, "errors", json_object_new_int64(w->errors));
	stage_save(NOTE, json_object_to_json_string(o));
	json_object_put(o);
}

/* 0, or -1 when nothing was noted. */
static int
load_note(struct work *w)
{
	struct json_object	*o, *value;

	if ((o = json_object_from_file(NOTE)) == NULL) {
		if (access(NOTE, F_OK) == 0)
			fatalx("%s: %s", NOTE, json_util_get_last_err());
		return -1;
	}
	if (json_object_object_get_ex(o, "errors", &value))
		w->errors = json_object_get_int64(value);
	json_object_put(o);
	return 0;
}

/* Say what was made. */
static void
tell(const struct work *w)
{
	struct json_object	*list = json_object_new_array(), *o;
	const struct media	*m = w->media;
	const struct rendition	*r;
	struct stat		 st;
	size_t			 i;

	for (i = 0; i < m->n; i++) {
		r = &m->renditions[i];
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
	stage_detail("renditions", list);
	if (w->errors == 0)
		return;
	log_warnx("%u errors while decoding", w->errors);
	stage_detail("decode_errors", json_object_new_int64(w->errors));
}

static void
join(struct work *w)
{
	const struct media	*m = w->media;
	size_t			 i;

	stage_step("Joining %zu segment%s", w->n, w->n == 1 ? "" : "s");
	make_sound(m);
	add_up(w);
	check(w);
	if (mkdir(MEDIA_DIR, 0750) == -1 && errno != EEXIST)
		stage_failed_write(MEDIA_DIR);
	for (i = 0; i < m->n; i++)
		make_rendition(w, &m->renditions[i]);
	stage_sync(MEDIA_DIR);
	make_poster(m);
	stage_sync(".");
	save_note(w);
}

/*
 * Segments are as large as what is made of them, so they go as soon as that
 * is on the disk and noted.  This may be done again at any point: where all
 * of them are there, as after a transcoding that a person wants again, they
 * are joined; else it is the note that counts, even beside some segments,
 * which somebody left who was taken for dead.
 */
void
join_segments(const struct media *m)
{
	struct work	 w = { .media = m };
	const char	*lost;

	if ((w.n = spans_load(&w.spans)) == 0)
		return;
	if ((lost = missing(&w)) == NULL)
		join(&w);
	else if (load_note(&w) == -1)
		fatalx("segment %s is not there", lost);
	segment_forget();
	source_forget();
	tell(&w);
	free(w.frames);
	free(w.spans);
}
