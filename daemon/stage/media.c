/*
 * Understand what ffprobe says, and choose what to make of it.
 *
 * All of this is pure but for the two functions at the end, which keep the
 * outcome in the work directory.
 */

#include "media.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "log.h"
#include "stage.h"

#define PROBE		"probe.json"

/* No renditions with more pictures per second: no screen shows them. */
#define FPS_MOST	60

/* A rung this close below another one looks the same, for twice the work. */
#define RUNG_APART	0.9

/*
 * The ladder, by the shorter side.  Rates are the usual ones of H.264 at 30
 * pictures per second; they bind only where the constant quality asked for
 * would take more.
 */
static const struct {
	unsigned int	side;		/* pixels */
	unsigned int	kbit;		/* per second */
} rungs[] = {
	{ 2160, 16000 }, { 1440, 9000 }, { 1080, 5000 }, { 720, 2800 },
	{ 480, 1400 }, { 360, 800 }, { 240, 400 },
};
#define RUNGS	(sizeof(rungs) / sizeof(rungs[0]))

struct ratio {
	unsigned int	num, den;	/* 0 and 0: not known */
};

/* ---- reading JSON ------------------------------------------------------- */

static struct json_object *
member(struct json_object *o, const char *key)
{
	struct json_object	*value = NULL;

	json_object_object_get_ex(o, key, &value);
	return value;
}

/* Text, or "". */
static const char *
text(struct json_object *o, const char *key)
{
	const char	*s = json_object_get_string(member(o, key));

	return s != NULL ? s : "";
}

static unsigned int
count(struct json_object *o, const char *key)
{
	int64_t	 n = json_object_get_int64(member(o, key));

	return n < 0 ? 0 : n > INT_MAX ? INT_MAX : n;
}

/* A number that ffprobe writes as text: "30.2", or "N/A", or not at all. */
static double
seconds(struct json_object *o, const char *key)
{
	char	*end;
	double	 s = strtod(text(o, key), &end);

	return *end == '\0' && isfinite(s) && s > 0 ? s : 0;
}

/* "25/2" or "16:9"; ffprobe writes "0/0" or "0:1" for what it cannot tell. */
static struct ratio
ratio(struct json_object *o, const char *key)
{
	struct ratio	 r;
	char		 separator, more;

	if (sscanf(text(o, key), "%9u%c%9u%c", &r.num, &separator, &r.den,
	    &more) != 3 || r.num == 0 || r.den == 0)
		return (struct ratio){ 0, 0 };
	return r;
}

/* ---- what ffprobe says -------------------------------------------------- */

static const char * __attribute__((format(printf, 1, 2)))
refuse(const char *fmt, ...)
{
	static char	 why[256];
	va_list		 ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	return why;
}

/*
 * The first stream of KIND ("video", "audio") that can be decoded; the picture
 * on the cover of a song is no video.
 */
static struct json_object *
choose(struct json_object *streams, const char *kind)
{
	struct json_object	*s;
	const char		*codec;
	size_t			 i;

	for (i = 0; i < json_object_array_length(streams); i++) {
		s = json_object_array_get_idx(streams, i);
		codec = text(s, "codec_name");
		if (strcmp(text(s, "codec_type"), kind) == 0 &&
		    count(member(s, "disposition"), "attached_pic") == 0 &&
		    strcmp(codec, "") != 0 && strcmp(codec, "unknown") != 0)
			return s;
	}
	return NULL;
}

/* Whether a player turns it by a quarter. */
static bool
lies_on_its_side(struct json_object *stream)
{
	struct json_object	*list = member(stream, "side_data_list");
	struct json_object	*rotation;
	size_t			 i;
	long			 degrees;

	for (i = 0; list != NULL && i < json_object_array_length(list); i++) {
		rotation = member(json_object_array_get_idx(list, i),
		    "rotation");
		if (rotation == NULL)
			continue;
		degrees = lround(json_object_get_double(rotation)) % 180;
		return labs(degrees) == 90;
	}
	return false;
}

/* The size on a screen, which need not be the stored one. */
static const char *
take_size(struct json_object *stream, struct media *m)
{
	struct ratio	 pixel = ratio(stream, "sample_aspect_ratio");
	unsigned int	 w = count(stream, "width");
	unsigned int	 h = count(stream, "height"), stored = w;

	if (pixel.num != 0)
		w = lround(fmin((double)w * pixel.num / pixel.den, INT_MAX));
	if (w < MEDIA_SIDE_LEAST || h < MEDIA_SIDE_LEAST)
		return refuse("the picture of %ux%u pixels is smaller than the "
		    "least, %ux%u", w, h, MEDIA_SIDE_LEAST, MEDIA_SIDE_LEAST);
	if (w > MEDIA_SIDE_MOST || h > MEDIA_SIDE_MOST ||
	    stored > MEDIA_SIDE_MOST)
		return refuse("the picture of %ux%u pixels is larger than the "
		    "most, %u on a side", w, h, MEDIA_SIDE_MOST);
	if ((double)w * h > MEDIA_PIXELS_MOST ||
	    (double)stored * h > MEDIA_PIXELS_MOST)
		return refuse("the picture of %ux%u pixels has more than the "
		    "most, %u megapixels", w, h, MEDIA_PIXELS_MOST / 1000000);
	m->width = lies_on_its_side(stream) ? h : w;
	m->height = lies_on_its_side(stream) ? w : h;
	return NULL;
}

/*
 * One constant rate for all renditions, so that their pictures pair up with
 * those of the source.  "r_frame_rate" is the finest rate that shows each
 * picture at its time; where a recording merely lost some, that is the one.
 * Where the two are far apart it would mostly repeat pictures.
 */
static void
take_rate(struct json_object *stream, struct media *m)
{
	struct ratio	 mean = ratio(stream, "avg_frame_rate");
	struct ratio	 fine = ratio(stream, "r_frame_rate");
	struct ratio	 r = mean;

	if (mean.num == 0)
		r = fine;
	else if (fine.num != 0 && (double)fine.num / fine.den <
	    2.0 * mean.num / mean.den)
		r = fine;
	if (r.num == 0)
		r = (struct ratio){ 25, 1 };
	while ((double)r.num / r.den > FPS_MOST)
		r.den *= 2;
	m->fps_num = r.num;
	m->fps_den = r.den;
}

/* "00:00:03.700000000", as Matroska keeps it per stream. */
static double
tagged_duration(struct json_object *stream)
{
	unsigned int	 h, min;
	double		 s;

	if (sscanf(text(member(stream, "tags"), "DURATION"), "%5u:%2u:%lf",
	    &h, &min, &s) != 3 || !isfinite(s) || s < 0)
		return 0;
	return h * 3600.0 + min * 60.0 + s;
}

static double
stream_duration(struct json_object *stream)
{
	double	 s = seconds(stream, "duration");

	return s > 0 ? s : tagged_duration(stream);
}

/*
 * How long the file says it is.  The container can be longer than what is
 * used of it (subtitles, time codes), and a track longer than what is shown
 * of it (edit lists), so the smaller of the two is taken.  Streams of MPEG say
 * nothing: ffprobe makes a guess from what is there.
 */
static double
claimed_duration(const struct media *m, struct json_object *format,
    struct json_object *video, struct json_object *audio)
{
	double	 whole = seconds(format, "duration");
	double	 used = stream_duration(video);

	if (strcmp(m->demuxer, "mpegts") == 0 ||
	    strcmp(m->demuxer, "mpeg") == 0)
		return 0;
	if (audio != NULL)
		used = fmax(used, stream_duration(audio));
	if (whole > 0 && used > 0)
		return fmin(whole, used);
	return fmax(whole, used);
}

static const char *
take_probe(struct json_object *probe, struct media *m)
{
	struct json_object	*format = member(probe, "format");
	struct json_object	*streams = member(probe, "streams");
	struct json_object	*video, *audio;
	const char		*name = text(format, "format_name"), *why;
	size_t			 n;

	if (!json_object_is_type(streams, json_type_array) || *name == '\0')
		return refuse("nothing was found in it");
	n = json_object_array_length(streams);
	if (n > MEDIA_STREAMS_MOST)
		return refuse("it has %zu streams, more than the most, %u", n,
		    MEDIA_STREAMS_MOST);
	if ((video = choose(streams, "video")) == NULL)
		return refuse(choose(streams, "audio") != NULL ?
		    "it has sound but no picture" : "it has no picture");
	audio = choose(streams, "audio");

	/* The first of "mov,mp4,m4a" stands for all. */
	snprintf(m->demuxer, sizeof(m->demuxer), "%.*s",
	    (int)strcspn(name, ","), name);
	m->video = count(video, "index");
	m->audio = audio != NULL ? (int)count(audio, "index") : -1;
	strlcpy(m->video_codec, text(video, "codec_name"),
	    sizeof(m->video_codec));
	if (audio != NULL)
		strlcpy(m->audio_codec, text(audio, "codec_name"),
		    sizeof(m->audio_codec));
	/* "tt", "bb", "tb" and "bt" are orders of two fields. */
	m->interlaced = strlen(text(video, "field_order")) == 2;
	take_rate(video, m);
	m->seconds = claimed_duration(m, format, video, audio);
	m->start = strtod(text(format, "start_time"), NULL);
	if ((why = take_size(video, m)) != NULL)
		return why;
	if (m->seconds > MEDIA_SECONDS_MOST)
		return refuse("it is %s long, more than the most, %u h",
		    stage_time(m->seconds), MEDIA_SECONDS_MOST / 3600);
	return NULL;
}

const char *
media_parse(const char *json, struct media *m)
{
	struct json_object	*probe = json_tokener_parse(json);
	const char		*why;

	memset(m, 0, sizeof(*m));
	why = take_probe(probe, m);
	json_object_put(probe);
	return why;
}

/* ---- what is made of it ------------------------------------------------- */

/* The even number nearest to X, but never above MOST. */
static unsigned int
even(double x, unsigned int most)
{
	unsigned int	 n = lround(x / 2) * 2;

	return n > most ? most / 2 * 2 : n < 2 ? 2 : n;
}

static void
add_rendition(struct media *m, unsigned int side)
{
	struct rendition	*r = &m->renditions[m->n++];
	unsigned int		 shorter, i;
	double			 scale;

	shorter = m->width < m->height ? m->width : m->height;
	scale = (double)side / shorter;
	r->width = even(m->width * scale, m->width);
	r->height = even(m->height * scale, m->height);
	snprintf(r->name, sizeof(r->name), "%up",
	    r->width < r->height ? r->width : r->height);
	for (i = 0; i < RUNGS && rungs[i].side >= side; i++)
		r->kbit = rungs[i].kbit;
	if (i == 0)
		r->kbit = rungs[0].kbit;
}

void
media_ladder(struct media *m, unsigned int highest)
{
	unsigned int	 side, i;

	side = m->width < m->height ? m->width : m->height;
	if (side > highest)
		side = highest;
	m->n = 0;
	add_rendition(m, side);
	for (i = 0; i < RUNGS; i++) {
		if (rungs[i].side > side * RUNG_APART)
			continue;
		side = rungs[i].side;
		add_rendition(m, side);
	}
}

/* A few pictures, for those that a decoder still holds back at the end. */
double
media_slack(const struct media *m)
{
	double	 pictures = 5.0 * m->fps_den / m->fps_num;

	return fmax(fmax(0.5, m->seconds / 100), pictures);
}

double
media_frames(const struct media *m)
{
	return m->seconds * m->fps_num / m->fps_den;
}

char *
media_filter_within(const struct media *m)
{
	char	*filter;

	xasprintf(&filter, "%sfps=%u/%u", m->interlaced ?
	    "yadif=deint=interlaced," : "", m->fps_num, m->fps_den);
	return filter;
}

char *
media_filter(const struct media *m)
{
	char	*within = media_filter_within(m), *filter;

	xasprintf(&filter, "%s:start_time=0", within);
	free(within);
	return filter;
}

const char *
media_file(const struct rendition *r)
{
	static char	 path[64];

	snprintf(path, sizeof(path), "%s/%s.mp4", MEDIA_DIR, r->name);
	return path;
}

/* ---- probe.json --------------------------------------------------------- */

static struct json_object *
rendition_json(const struct rendition *r)
{
	struct json_object	*o = json_object_new_object();

	json_object_object_add(o, "name", json_object_new_string(r->name));
	json_object_object_add(o, "width", json_object_new_int(r->width));
	json_object_object_add(o, "height", json_object_new_int(r->height));
	json_object_object_add(o, "kbit", json_object_new_int(r->kbit));
	return o;
}

void
media_save(const struct media *m)
{
	struct json_object	*o = json_object_new_object();
	struct json_object	*list = json_object_new_array();
	char			*fps;
	size_t			 i;

	xasprintf(&fps, "%u/%u", m->fps_num, m->fps_den);
	json_object_object_add(o, "demuxer",
	    json_object_new_string(m->demuxer));
	json_object_object_add(o, "video", json_object_new_int(m->video));
	json_object_object_add(o, "audio", json_object_new_int(m->audio));
	json_object_object_add(o, "video_codec",
	    json_object_new_string(m->video_codec));
	json_object_object_add(o, "audio_codec",
	    json_object_new_string(m->audio_codec));
	json_object_object_add(o, "width", json_object_new_int(m->width));
	json_object_object_add(o, "height", json_object_new_int(m->height));
	json_object_object_add(o, "fps", json_object_new_string(fps));
	json_object_object_add(o, "interlaced",
	    json_object_new_boolean(m->interlaced));
	json_object_object_add(o, "copied",
	    json_object_new_boolean(m->copied));
	json_object_object_add(o, "sound_parts",
	    json_object_new_int(m->sound_parts));
	json_object_object_add(o, "sound_frames",
	    json_object_new_int64(m->sound_frames));
	json_object_object_add(o, "seconds",
	    stage_number(m->seconds, 3));
	for (i = 0; i < m->n; i++)
		json_object_array_add(list, rendition_json(&m->renditions[i]));
	json_object_object_add(o, "renditions", list);
	stage_save(PROBE, json_object_to_json_string_ext(o,
	    JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(o);
	free(fps);
}

static void
load_rendition(struct json_object *o, struct rendition *r)
{
	strlcpy(r->name, text(o, "name"), sizeof(r->name));
	r->width = count(o, "width");
	r->height = count(o, "height");
	r->kbit = count(o, "kbit");
}

void
media_load(struct media *m)
{
	struct json_object	*o, *list;
	struct ratio		 fps;

	memset(m, 0, sizeof(*m));
	if ((o = json_object_from_file(PROBE)) == NULL)
		fatalx("%s: %s", PROBE, json_util_get_last_err());
	strlcpy(m->demuxer, text(o, "demuxer"), sizeof(m->demuxer));
	m->video = count(o, "video");
	m->audio = json_object_get_int(member(o, "audio"));
	strlcpy(m->video_codec, text(o, "video_codec"),
	    sizeof(m->video_codec));
	strlcpy(m->audio_codec, text(o, "audio_codec"),
	    sizeof(m->audio_codec));
	m->width = count(o, "width");
	m->height = count(o, "height");
	fps = ratio(o, "fps");
	m->fps_num = fps.num;
	m->fps_den = fps.den;
	m->interlaced = json_object_get_boolean(member(o, "interlaced"));
	m->copied = json_object_get_boolean(member(o, "copied"));
	m->sound_parts = count(o, "sound_parts");
	m->sound_frames = count(o, "sound_frames");
	m->seconds = json_object_get_double(member(o, "seconds"));
	list = member(o, "renditions");
	while (list != NULL && m->n < MEDIA_RENDITIONS &&
	    m->n < json_object_array_length(list)) {
		load_rendition(json_object_array_get_idx(list, m->n),
		    &m->renditions[m->n]);
		m->n++;
	}
	if (m->n == 0 || m->width == 0 || m->height == 0 || m->fps_num == 0)
		fatalx("%s: is not complete", PROBE);
	json_object_put(o);
}
