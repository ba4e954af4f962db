/*
 * The file that came in, and the copy that one can find a place in.
 *
 * The copy is a NUT file: it takes every encoding, keeps any clock without
 * rounding, and changes no byte of a packet.  Still nothing of that is
 * believed: all packets of both files are summed up and compared.
 */

#include "source.h"

#include <errno.h>
#include <glob.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <sodium.h>

#include "ffmpeg.h"
#include "log.h"
#include "media.h"
#include "spans.h"
#include "stage.h"

#define COPY		"copy.nut"
#define DEMUXER		"nut"

/* Decoding times begin before 0, which a NUT file cannot tell. */
#define LEAD_S		10

#define SILENCE_S	60

/*
 * Where decoding times are further apart than this, ffmpeg may take that for
 * a clock that was set anew, and close the gap; it does at ten seconds.
 */
#define JUMP_S		5

/* The streams that are listened to: pictures, and sound if there is any. */
enum { PICTURES, SOUND, STREAMS };

/* The packets of a file, as they come by. */
struct packets {
	struct pictures		*pictures;
	crypto_generichash_state sum;		/* of the pictures' */
	uint64_t		 n;
	struct {
		unsigned int	 num, den;	/* its clock; 0: not known */
		int64_t		 last;		/* decoding time */
		bool		 any;
	}			 stream[STREAMS];
	bool			 jumps;		/* or a time is missing */
};

static const char *const	timed[] = {
	"mov", "matroska", "avi", "flv", "asf", "mxf"
};

bool
source_timed(const struct media *m)
{
	size_t	 i;

	for (i = 0; i < sizeof(timed) / sizeof(timed[0]); i++)
		if (strcmp(m->demuxer, timed[i]) == 0)
			return true;
	return false;
}

/* ---- packets ------------------------------------------------------------ */

/* TIME of a clock with ticks of NUM/DEN seconds, which no other one alters. */
static void
add_time(struct packets *p, int64_t time)
{
	int64_t	 a = time * p->stream[PICTURES].num;
	int64_t	 b = p->stream[PICTURES].den, rest, fraction[2];
	int64_t	 x = a, y = b;

	while (y != 0) {
		rest = x % y;
		x = y;
		y = rest;
	}
	x = x < 0 ? -x : x;
	fraction[0] = a / x;
	fraction[1] = b / x;
	crypto_generichash_update(&p->sum, (unsigned char *)fraction,
	    sizeof(fraction));
}

static void
add_sum(struct packets *p, int64_t dts, int64_t pts, int64_t duration,
    uint64_t size, uint64_t crc, const char *line)
{
	const char	*flags = strstr(line, ", F=0x");
	uint64_t	 rest[] = { size, crc,
		    flags != NULL ? strtoul(flags + 6, NULL, 16) : 1 };

	add_time(p, dts);
	add_time(p, pts);
	add_time(p, duration);
	crypto_generichash_update(&p->sum, (unsigned char *)rest,
	    sizeof(rest));
	p->n++;
}

/* Whether TIME of stream I can be calculated with. */
static bool
is_time(const struct packets *p, unsigned int i, int64_t time)
{
	int64_t	 most = INT64_MAX / 4;

	return p->stream[i].num != 0 && time >= -most / p->stream[i].num &&
	    time <= most / p->stream[i].num;
}

/* Whether DTS follows the one before, in stream I. */
static bool
goes_on(struct packets *p, unsigned int i, int64_t dts)
{
	bool	 first = !p->stream[i].any;
	int64_t	 step;

	if (!is_time(p, i, dts))
		return false;
	step = dts - p->stream[i].last;
	p->stream[i].last = dts;
	p->stream[i].any = true;
	return first || (step >= 0 && step * p->stream[i].num <=
	    (int64_t)JUMP_S * p->stream[i].den);
}

/* As in spans.c: stream, decoding time, time, duration, size and checksum. */
static void
take_packet(void *arg, char *line)
{
	struct packets	*p = arg;
	unsigned int	 i, num, den;
	int64_t		 dts, pts, duration;
	uint64_t	 size, crc;

	if (sscanf(line, "#tb %1u: %9u/%9u", &i, &num, &den) == 3 &&
	    i < STREAMS && num != 0 && den != 0) {
		p->stream[i].num = num;
		p->stream[i].den = den;
	}
	if (line[0] == '0' || line[0] == '#')
		pictures_line(p->pictures, line);
	if (strncmp(line, "#extradata 0:", 13) == 0)
		crypto_generichash_update(&p->sum, (unsigned char *)line,
		    strlen(line));
	if (line[0] == '#')
		return;
	if (sscanf(line, "%1u, %" SCNd64 ", %" SCNd64 ", %" SCNd64 ", %" SCNu64
	    ", 0x%" SCNx64, &i, &dts, &pts, &duration, &size, &crc) != 6 ||
	    i >= STREAMS) {
		p->jumps = true;
		return;
	}
	/* Sound matters only for what it does to the clock. */
	if (i == SOUND) {
		p->jumps |= dts != INT64_MIN && !goes_on(p, i, dts);
		return;
	}
	if (is_time(p, i, pts) && is_time(p, i, duration) &&
	    goes_on(p, i, dts))
		add_sum(p, dts, pts, duration, size, crc, line);
	else
		p->jumps = true;
}

/* Start F, which lists its packets, and wait.  Whether it went well. */
static bool
list(struct ffmpeg *f, struct packets *p, const char *step)
{
	double	 said = 0;

	crypto_generichash_init(&p->sum, NULL, 0, crypto_generichash_BYTES);
	f->line = take_packet;
	f->arg = p;
	f->silence_s = SILENCE_S;
	ffmpeg_start(f);
	while (ffmpeg_wait() != f) {
		if (f->progress.seconds <= said)
			continue;
		said = f->progress.seconds;
		stage_step("%s: %s", step, stage_time(said));
	}
	/* These pass. */
	if (f->stood_still || WIFSIGNALED(f->status))
		ffmpeg_check(f, step);
	if (!ffmpeg_ok(f))
		log_warnx("%s: %s", COPY, ffmpeg_why(f));
	return ffmpeg_ok(f);
}

/* ---- the copy ----------------------------------------------------------- */

static void
add_list(struct ffmpeg *f)
{
	ffmpeg_add(f, "-c", "copy", "-f", "framecrc", "pipe:1", NULL);
}

/* Copy the pictures to PART, and see what there is. */
static bool
write_copy(const struct media *m, const char *part, struct packets *p)
{
	struct ffmpeg	*f = ffmpeg_new("ffmpeg");
	bool		 ok;

	/* Jumps are to be seen, not mended. */
	ffmpeg_add(f, "-copyts", "-start_at_zero", NULL);
	source_open(f, m);
	ffmpeg_add(f, "-map", NULL);
	ffmpeg_addf(f, "0:%u", m->video);
	if (m->audio != -1) {
		ffmpeg_add(f, "-map", NULL);
		ffmpeg_addf(f, "0:%d", m->audio);
	}
	add_list(f);
	ffmpeg_add(f, "-map", NULL);
	ffmpeg_addf(f, "0:%u", m->video);
	ffmpeg_add(f, "-c", "copy", "-map_metadata", "-1", "-map_chapters",
	    "-1", "-avoid_negative_ts", "disabled", "-output_ts_offset",
	    NULL);
	ffmpeg_addf(f, "%u", LEAD_S);
	ffmpeg_add(f, "-f", DEMUXER, part, NULL);
	ok = list(f, p, "Copying");
	ffmpeg_free(f);
	return ok && !p->jumps;
}

static void
open_copy(struct ffmpeg *f, const char *path)
{
	ffmpeg_add(f, "-protocol_whitelist", "file", "-format_whitelist",
	    DEMUXER, "-f", DEMUXER, "-max_pixels", NULL);
	ffmpeg_addf(f, "%u", MEDIA_PIXELS_MOST);
	ffmpeg_add(f, "-i", NULL);
	ffmpeg_addf(f, "file:%s", path);
}

static bool
read_copy(const char *part, struct packets *p)
{
	struct ffmpeg	*f = ffmpeg_new("ffmpeg");
	bool		 ok;

	ffmpeg_add(f, "-copyts", "-itsoffset", NULL);
	ffmpeg_addf(f, "-%u", LEAD_S);
	open_copy(f, part);
	ffmpeg_add(f, "-map", "0:0", "-avoid_negative_ts", "disabled", NULL);
	add_list(f);
	ok = list(f, p, "Checking the copy");
	ffmpeg_free(f);
	return ok && !p->jumps;
}

static bool
are_same(struct packets *a, struct packets *b)
{
	unsigned char	 x[crypto_generichash_BYTES];
	unsigned char	 y[crypto_generichash_BYTES];

	crypto_generichash_final(&a->sum, x, sizeof(x));
	crypto_generichash_final(&b->sum, y, sizeof(y));
	return a->n == b->n && memcmp(x, y, sizeof(x)) == 0;
}

bool
source_copy(const struct media *m, struct pictures *pictures)
{
	struct pictures	 other = { .n = 0 };
	struct packets	 from = { .pictures = pictures };
	struct packets	 to = { .pictures = &other };
	char		*part;
	bool		 ok;

	/* Items of a job that is done again may do this at the same time. */
	xasprintf(&part, COPY ".%08x%08x", arc4random(), arc4random());
	pictures_free(pictures);
	*pictures = (struct pictures){ .n = 0 };
	ok = write_copy(m, part, &from) && read_copy(part, &to) &&
	    are_same(&from, &to);
	if (ok) {
		stage_sync(part);
		if (rename(part, COPY) == -1)
			stage_failed_write(COPY);
		stage_sync(".");
	} else {
		log_info("the container cannot be cut");
		if (unlink(part) == -1 && errno != ENOENT)
			log_warn("%s", part);
	}
	pictures_free(&other);
	free(part);
	return ok;
}

bool
source_has_copy(void)
{
	return access(COPY, F_OK) == 0;
}

void
source_forget(void)
{
	glob_t	 files;
	size_t	 i;

	if (glob(COPY "*", 0, NULL, &files) != 0)
		return;
	for (i = 0; i < files.gl_pathc; i++)
		if (unlink(files.gl_pathv[i]) == -1 && errno != ENOENT)
			log_warn("%s", files.gl_pathv[i]);
	globfree(&files);
}

/* ---- to read ------------------------------------------------------------ */

/*
 * A program stream of MPEG-1 or -2 need not tell the time of every picture: it
 * follows from the order in which they are decoded.
 */
static bool
may_lack_times(const struct media *m)
{
	return strcmp(m->demuxer, "mpeg") == 0 &&
	    (strcmp(m->video_codec, "mpeg1video") == 0 ||
	    strcmp(m->video_codec, "mpeg2video") == 0);
}

void
source_open(struct ffmpeg *f, const struct media *m)
{
	if (may_lack_times(m))
		ffmpeg_add(f, "-fflags", "+genpts", NULL);
	ffmpeg_input(f, m->demuxer);
}

void
source_part(struct ffmpeg *f, const struct media *m)
{
	if (m->copied)
		open_copy(f, COPY);
	else
		source_open(f, m);
}

void
source_seek(struct ffmpeg *f, const struct media *m, double seconds)
{
	ffmpeg_add(f, "-copyts", "-noaccurate_seek", NULL);
	if (m->copied) {
		ffmpeg_add(f, "-seek_timestamp", "1", "-itsoffset", NULL);
		ffmpeg_addf(f, "-%u", LEAD_S);
		seconds += LEAD_S;
	} else
		ffmpeg_add(f, "-start_at_zero", NULL);
	ffmpeg_add(f, "-ss", NULL);
	ffmpeg_addf(f, "%.3f", seconds);
	source_part(f, m);
}

double
source_zero(const struct media *m)
{
	return m->copied ? LEAD_S : m->start;
}

unsigned int
source_part_video(const struct media *m)
{
	return m->copied ? 0 : m->video;
}

void
source_clock(struct ffmpeg *f, const struct media *m, int other,
    double seconds)
{
	if (source_timed(m) || other == -1)
		return;
	ffmpeg_add(f, "-map", NULL);
	ffmpeg_addf(f, "0:%d", other);
	if (seconds > 0) {
		ffmpeg_add(f, "-t", NULL);
		ffmpeg_addf(f, "%.3f", seconds);
	}
	ffmpeg_add(f, "-c", "copy", "-f", "null", "-", NULL);
}
