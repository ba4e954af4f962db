/*
 * Plan the parts of a sound, and encode them.
 */

#include "sound.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ffmpeg.h"
#include "log.h"
#include "media.h"
#include "segment.h"
#include "source.h"
#include "stage.h"

/*
 * Each part decodes the sound from its beginning, since no seek leads to an
 * exact sample.  With so many parts, all that takes half as long as to encode
 * them, be the sound long or short; so parts of a long one are longer.
 */
#define PARTS_MOST	16

/* So much is decoded behind a part: what a clock may be off before it. */
#define BEHIND_S	10

/* ---- the plan ----------------------------------------------------------- */

void
sound_plan(struct media *m, unsigned int length)
{
	unsigned long	 all, most;

	all = m->seconds * SOUND_RATE / SOUND_FRAME + 1;
	most = (unsigned long)length * SOUND_RATE / SOUND_FRAME;
	m->sound_parts = (all + most - 1) / most;
	if (m->sound_parts > PARTS_MOST)
		m->sound_parts = PARTS_MOST;
	m->sound_frames = (all + m->sound_parts - 1) / m->sound_parts;
}

struct sound_part
sound_part(const struct media *m, unsigned int i)
{
	unsigned long	 first = i * m->sound_frames;

	return (struct sound_part){
		.begin = first > SOUND_OVERLAP ? first - SOUND_OVERLAP : 0,
		.first = first,
		.end = first + m->sound_frames,
		.last = i + 1 >= m->sound_parts,
	};
}

const char *
sound_name(const struct media *m, unsigned int i)
{
	static char	 name[32];

	if (m->sound_parts <= 1)
		return SEGMENT_SOUND;
	snprintf(name, sizeof(name), SEGMENT_SOUND "-%u", i);
	return name;
}

int
sound_parse(const struct media *m, const char *name, unsigned int *i)
{
	for (*i = 0; *i == 0 || *i < m->sound_parts; (*i)++)
		if (strcmp(name, sound_name(m, *i)) == 0)
			return 0;
	return -1;
}

/* ---- the programs ------------------------------------------------------- */

/*
 * What decodes the first SECONDS of the sound, or all of it if that is 0, from
 * the very beginning: for every sample to be what it is in the whole.
 */
static struct ffmpeg *
decoder(const struct media *m, double seconds)
{
	struct ffmpeg	*f = ffmpeg_new("ffmpeg");

	ffmpeg_add(f, "-threads", NULL);
	ffmpeg_addf(f, "%u", stage_cores());
	source_open(f, m);
	ffmpeg_add(f, "-map", NULL);
	ffmpeg_addf(f, "0:%d", m->audio);
	ffmpeg_add(f, "-c:a", "pcm_f32le", "-ac", "2", "-ar", NULL);
	ffmpeg_addf(f, "%u", SOUND_RATE);
	if (seconds > 0) {
		ffmpeg_add(f, "-t", NULL);
		ffmpeg_addf(f, "%.3f", seconds);
	}
	/* What a camera notes (place, owner) is nobody's business. */
	ffmpeg_add(f, "-map_metadata", "-1", "-map_chapters", "-1",
	    "-avoid_negative_ts", "disabled", "-output_ts_offset", NULL);
	ffmpeg_addf(f, "%u", SEGMENT_LEAD_S);
	ffmpeg_add(f, "-f", "nut", "pipe:1", NULL);
	source_clock(f, m, m->video, seconds);
	return f;
}

/* What encodes that, as FILTER changes it: "" or ",atrim=...". */
static struct ffmpeg *
encoder(const char *filter)
{
	struct ffmpeg	*f = ffmpeg_new("ffmpeg");

	/* Times are kept; with -copyts, progress would not begin at 0. */
	ffmpeg_add(f, "-protocol_whitelist", "pipe", "-seek_timestamp", "1",
	    "-itsoffset", NULL);
	ffmpeg_addf(f, "-%u", SEGMENT_LEAD_S);
	ffmpeg_add(f, "-f", "nut", "-i", NULL);
	ffmpeg_addf(f, "pipe:%d", FFMPEG_PIPE(0));
	ffmpeg_add(f, "-map", "0:0", "-c:a", "aac", "-b:a", "128k", "-af",
	    NULL);
	ffmpeg_addf(f, "aresample=async=1:first_pts=0%s", filter);
	return f;
}

static struct sound
start(struct ffmpeg *from, struct ffmpeg *to, unsigned int silence_s)
{
	from->silence_s = to->silence_s = silence_s;
	ffmpeg_connect(from, to);
	ffmpeg_start(from);
	ffmpeg_start(to);
	return (struct sound){ .decoder = from, .encoder = to };
}

struct sound
sound_start(const struct media *m, const char *dir, unsigned int silence_s)
{
	struct ffmpeg	*f = encoder("");

	ffmpeg_add(f, "-map_metadata", "-1", "-map_chapters", "-1", "-f",
	    "mp4", NULL);
	ffmpeg_addf(f, "%s/" SEGMENT_SOUND ".mp4", dir);
	f->length_s = m->seconds;
	return start(decoder(m, 0), f, silence_s);
}

/* Samples FROM to TO of the sound, and if TO is 0 all from there on. */
static char *
sample_filter(unsigned long from, unsigned long to)
{
	char	*end = NULL, *filter;

	if (to > 0)
		xasprintf(&end, ":end_sample=%lu", to);
	xasprintf(&filter, ",atrim=start_sample=%lu%s,asetpts=N+%lu", from,
	    end != NULL ? end : "", from);
	free(end);
	return filter;
}

struct sound
sound_start_part(const struct media *m, unsigned int i, const char *dir,
    unsigned int silence_s)
{
	struct sound_part	 p = sound_part(m, i);
	unsigned long		 from = p.begin * SOUND_FRAME;
	unsigned long		 to = p.last ? 0 : p.end * SOUND_FRAME;
	char			*filter = sample_filter(from, to);
	struct ffmpeg		*f = encoder(filter);

	/* Else some frames begin with the encoder's name. */
	ffmpeg_add(f, "-flags", "+bitexact", NULL);
	segment_format(f, "frag_every_frame");
	ffmpeg_addf(f, "%s/" SEGMENT_SOUND ".mp4", dir);
	/*
	 * It reads on to the end, when it has its samples, for the decoder to
	 * end well; and shows progress before it has the first.
	 */
	ffmpeg_add(f, "-map", "0:0", "-c", "copy", "-f", "null", "-", NULL);
	free(filter);
	return start(decoder(m, to == 0 ? 0 :
	    (double)to / SOUND_RATE + BEHIND_S), f, silence_s);
}

void
sound_step(const struct media *m, double seconds)
{
	stage_step("Encoding the sound: %s of %s",
	    stage_time(fmin(seconds, m->seconds)), stage_time(m->seconds));
}

bool
sound_ended(const struct sound *s)
{
	return ffmpeg_ended(s->decoder) && ffmpeg_ended(s->encoder);
}

void
sound_end(struct sound *s, struct segment *segment)
{
	if (ffmpeg_broke(s->decoder))
		ffmpeg_check(s->decoder, "Decoding the sound");
	ffmpeg_check(s->encoder, "Encoding the sound");
	segment->seconds = s->encoder->progress.seconds;
	segment->errors += s->decoder->errors + s->encoder->errors;
	ffmpeg_free(s->decoder);
	ffmpeg_free(s->encoder);
}
