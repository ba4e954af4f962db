/*
 * Fourth stage for a video: cut the renditions into segments for players.
 *
 * HLS and DASH share one set of segments (CMAF); only the playlists differ.
 * Everything lies in one directory under flat names, so that the playlists
 * work wherever the files are served from one address.
 *
 * What a playlist names must be there, and must be as long as the video: a
 * muxer that ran out of input calls that a success.
 */

#include <dirent.h>
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

#define OUT		"out"
#define HLS		"master.m3u8"
#define DASH		"manifest.mpd"
#define INIT		"init_%zu.mp4"
#define SEGMENT		"chunk_%zu_%05zu.m4s"
#define POSTER		"poster.jpg"
#define QUALITY		"quality.json"

#define SILENCE_S	120

/*
 * Segments last for a whole number of keyframes, as short as players like
 * them; but every segment is a result of the job, and too many are refused.
 */
#define SEGMENT_S	4
#define KEYFRAME_S	2
#define SEGMENTS_MOST	8000

/* What is left of the stage, in percent, once ffmpeg is through. */
#define AFTERWARDS	20

/* Names of files that the playlists refer to, each once. */
struct names {
	char	**list;
	size_t	  n;
};

/* What a media playlist adds up to. */
struct track {
	double	 seconds;
	double	 bits;
	double	 peak;		/* bits per second, of its worst segment */
};

/* ---- the segments ------------------------------------------------------- */

/* An empty directory; what an earlier run left is gone. */
static void
make_dir(void)
{
	struct dirent	*e;
	DIR		*dir;

	if (mkdir(OUT, 0750) == -1 && errno != EEXIST)
		stage_failed_write(OUT);
	if ((dir = opendir(OUT)) == NULL)
		fatal(OUT);
	while ((e = readdir(dir)) != NULL)
		if (e->d_name[0] != '.' &&
		    unlinkat(dirfd(dir), e->d_name, 0) == -1)
			fatal(OUT "/%s", e->d_name);
	closedir(dir);
}

static unsigned int
segment_s(const struct media *m)
{
	double		 tracks = m->n + (m->audio != -1);
	unsigned int	 s;

	s = KEYFRAME_S *
	    ceil(m->seconds * tracks / SEGMENTS_MOST / KEYFRAME_S);
	return s > SEGMENT_S ? s : SEGMENT_S;
}

static struct ffmpeg *
command(const struct media *m)
{
	struct ffmpeg	*f = ffmpeg_new("ffmpeg");
	size_t		 i;

	for (i = 0; i < m->n; i++)
		ffmpeg_add(f, "-i", media_file(&m->renditions[i]), NULL);
	for (i = 0; i < m->n; i++) {
		ffmpeg_add(f, "-map", NULL);
		ffmpeg_addf(f, "%zu:v", i);
	}
	if (m->audio != -1)
		ffmpeg_add(f, "-map", "0:a", NULL);
	/* 426x240 is not quite 16:9; in one set all must claim the same. */
	ffmpeg_add(f, "-c", "copy", "-aspect:v", NULL);
	ffmpeg_addf(f, "%u:%u", m->renditions[0].width,
	    m->renditions[0].height);
	ffmpeg_add(f, "-f", "dash", "-dash_segment_type", "mp4",
	    "-seg_duration", NULL);
	ffmpeg_addf(f, "%u", segment_s(m));
	ffmpeg_add(f, "-adaptation_sets", m->audio != -1 ?
	    "id=0,streams=v id=1,streams=a" : "id=0,streams=v",
	    "-use_timeline", "1", "-use_template", "1",
	    "-init_seg_name", "init_$RepresentationID$.mp4",
	    "-media_seg_name", "chunk_$RepresentationID$_$Number%05d$.m4s",
	    "-hls_playlist", "1", "-hls_master_name", HLS,
	    OUT "/" DASH, NULL);
	f->silence_s = SILENCE_S;
	f->length_s = m->seconds;
	return f;
}

static void
cut(const struct media *m)
{
	struct ffmpeg	*f = command(m);
	double		 done;

	ffmpeg_start(f);
	while (ffmpeg_wait() != f) {
		done = f->progress.seconds / m->seconds;
		stage_progress((100 - AFTERWARDS) * (done < 1 ? done : 1),
		    NULL);
	}
	ffmpeg_check(f, "Packaging");
	ffmpeg_free(f);
}

/* ---- what the playlists say --------------------------------------------- */

/*
 * The file NAME belongs to the result; it must be there and hold something.
 * Returns its size in bytes.
 */
static off_t
need(struct names *names, const char *playlist, const char *name)
{
	struct stat	 st;
	char		*path;
	size_t		 i;

	xasprintf(&path, OUT "/%s", name);
	if (strchr(name, '/') != NULL || stat(path, &st) == -1 ||
	    !S_ISREG(st.st_mode) || st.st_size == 0)
		fatalx("%s names %s, which is not there", playlist, name);
	free(path);
	for (i = 0; i < names->n; i++)
		if (strcmp(names->list[i], name) == 0)
			return st.st_size;
	names->list = xreallocarray(names->list, names->n + 1,
	    sizeof(*names->list));
	names->list[names->n++] = xstrdup(name);
	return st.st_size;
}

static FILE *
open_playlist(const char *name)
{
	char	*path;
	FILE	*in;

	xasprintf(&path, OUT "/%s", name);
	if ((in = fopen(path, "re")) == NULL)
		fatal("%s", path);
	free(path);
	return in;
}

/* A segment of SIZE bytes; a short one at the end says little of the rate. */
static void
add_segment(struct track *t, double seconds, off_t size)
{
	t->seconds += seconds;
	t->bits += size * 8.0;
	if (seconds >= KEYFRAME_S)
		t->peak = fmax(t->peak, size * 8.0 / seconds);
}

static double
mean_rate(const struct track *t)
{
	return t->bits / t->seconds;
}

static double
peak_rate(const struct track *t)
{
	return fmax(t->peak, mean_rate(t));
}

/*
 * The files that an M3U8 names: on lines of their own, and as URI="..." in
 * tags.
 */
static struct track
read_m3u8(struct names *names, const char *name)
{
	struct track	 t = { 0, 0, 0 };
	FILE		*in = open_playlist(name);
	char		*line = NULL, *uri;
	size_t		 size = 0;
	double		 seconds = 0;

	while (getline(&line, &size, in) != -1) {
		line[strcspn(line, "\r\n")] = '\0';
		if (strncmp(line, "#EXTINF:", 8) == 0)
			seconds = strtod(line + 8, NULL);
		if ((uri = strstr(line, "URI=\"")) != NULL) {
			uri += 5;
			uri[strcspn(uri, "\"")] = '\0';
			need(names, name, uri);
		} else if (line[0] != '#' && line[0] != '\0') {
			add_segment(&t, seconds, need(names, name, line));
			seconds = 0;
		}
	}
	free(line);
	fclose(in);
	return t;
}

/*
 * ffmpeg gives the mean rate of a rendition where a player is to find its
 * peak, sound included, and then stalls.  Write the master playlist anew;
 * TRACKS are what the playlists PLAYLISTS add up to, SOUND is one of them or
 * NULL.
 */
static void
correct_rates(char *const *playlists, const struct track *tracks, size_t n,
    const struct track *sound)
{
	FILE	*in = open_playlist(HLS), *out;
	char	*line = NULL, *tag = NULL, *text, *rest;
	size_t	 size = 0, len, i;
	double	 peak, mean;

	if ((out = open_memstream(&text, &len)) == NULL)
		fatal(HLS);
	while (getline(&line, &size, in) != -1) {
		if (strncmp(line, "#EXT-X-STREAM-INF:", 18) == 0) {
			free(tag);
			tag = xstrdup(line);
			continue;
		}
		line[strcspn(line, "\n")] = '\0';
		for (i = 0; i < n && strcmp(playlists[i], line) != 0; i++)
			;
		if (i < n && tag != NULL &&
		    (rest = strchr(tag, ',')) != NULL) {
			peak = peak_rate(&tracks[i]);
			mean = mean_rate(&tracks[i]);
			if (sound != NULL) {
				peak += peak_rate(sound);
				mean += mean_rate(sound);
			}
			fprintf(out, "#EXT-X-STREAM-INF:BANDWIDTH=%.0f,"
			    "AVERAGE-BANDWIDTH=%.0f%s", peak, mean, rest);
		}
		fprintf(out, "%s\n", line);
	}
	if (fclose(out) == EOF)
		fatal(HLS);
	stage_save(OUT "/" HLS, text);
	fclose(in);
	free(line);
	free(tag);
	free(text);
}

/*
 * The files that the MPD names.  It was written by the options above, one
 * element on a line: a representation, then <S d="..." r="N"/> for every
 * N + 1 segments of it that are equally long.
 */
static void
read_mpd(struct names *names)
{
	FILE	*in = open_playlist(DASH);
	char	*line = NULL, *found, *name;
	size_t	 size = 0, representation = 0, segment = 0, repeat;

	while (getline(&line, &size, in) != -1) {
		if ((found = strstr(line, "<Representation id=\"")) != NULL) {
			representation = strtoul(found + 20, NULL, 10);
			segment = 0;
			xasprintf(&name, INIT, representation);
			need(names, DASH, name);
			free(name);
		}
		if ((found = strstr(line, "<S ")) == NULL)
			continue;
		found = strstr(found, " r=\"");
		repeat = found != NULL ? strtoul(found + 4, NULL, 10) : 0;
		do {
			xasprintf(&name, SEGMENT, representation, ++segment);
			need(names, DASH, name);
			free(name);
		} while (repeat-- > 0);
	}
	free(line);
	fclose(in);
	if (segment == 0)
		fatalx("%s names no segments", DASH);
}

/*
 * All files, in the order in which a player wants them.  The master playlist
 * names the others, which then stand behind it in the list, to be read; that
 * of the sound comes first.
 */
static void
read_playlists(struct names *names, const struct media *m)
{
	struct track	 tracks[MEDIA_RENDITIONS + 1];
	double		 longest = 0;
	size_t		 i, n;

	need(names, "the stage", HLS);
	need(names, "the stage", DASH);
	read_m3u8(names, HLS);
	n = names->n - 2;
	if (n != m->n + (m->audio != -1))
		fatalx("%s names %zu tracks", HLS, n);
	for (i = 0; i < n; i++) {
		tracks[i] = read_m3u8(names, names->list[2 + i]);
		longest = fmax(longest, tracks[i].seconds);
		if (tracks[i].seconds <= 0)
			fatalx("%s has no length", names->list[2 + i]);
	}
	if (longest < m->seconds - media_slack(m))
		fatalx("the playlists last %.1f s, not %.1f s", longest,
		    m->seconds);
	correct_rates(names->list + 2, tracks, n,
	    m->audio != -1 ? &tracks[0] : NULL);
	read_mpd(names);
}

/* ---- the results -------------------------------------------------------- */

static const char *
type_of(const char *name)
{
	static const struct { const char *suffix, *type; } types[] = {
		{ ".m3u8",	"application/vnd.apple.mpegurl" },
		{ ".mpd",	"application/dash+xml" },
		{ ".m4s",	"video/iso.segment" },
		{ ".mp4",	"video/mp4" },
		{ ".jpg",	"image/jpeg" },
		{ ".json",	"application/json" },
	};
	const char	*dot = strrchr(name, '.');
	size_t		 i;

	for (i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (dot != NULL && strcmp(dot, types[i].suffix) == 0)
			return types[i].type;
	return NULL;
}

static void
keep(const struct names *names)
{
	char	*path;
	size_t	 i;

	for (i = 0; i < names->n; i++) {
		xasprintf(&path, OUT "/%s", names->list[i]);
		stage_sync(path);
		stage_result(names->list[i], path, type_of(names->list[i]));
		free(path);
	}
	stage_sync(OUT);
}

int
main(void)
{
	struct names		 names = { NULL, 0 };
	struct json_object	*o;
	struct media		 m;
	char			*name;
	size_t			 i;

	stage_init("package");
	media_load(&m);
	stage_progress(0, "Packaging for HLS and DASH");
	make_dir();
	cut(&m);

	stage_progress(100 - AFTERWARDS, NULL);
	stage_step("Checking the playlists");
	read_playlists(&names, &m);
	keep(&names);
	for (i = 0; i < m.n; i++) {
		xasprintf(&name, "%s.mp4", m.renditions[i].name);
		stage_result(name, media_file(&m.renditions[i]),
		    type_of(name));
		free(name);
	}
	stage_result(POSTER, POSTER, type_of(POSTER));
	if (access(QUALITY, F_OK) == 0)
		stage_result(QUALITY, QUALITY, type_of(QUALITY));

	o = json_object_new_object();
	json_object_object_add(o, "hls", json_object_new_string(HLS));
	json_object_object_add(o, "dash", json_object_new_string(DASH));
	stage_detail("manifests", o);
	stage_detail("poster", json_object_new_string(POSTER));
	stage_progress(100, "Packaged for HLS and DASH: %zu files", names.n);
	return 0;
}
