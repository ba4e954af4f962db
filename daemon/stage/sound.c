/*
 * Plan the parts of a sound, and encode them.
 */

#include "sound.h"

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
 * exact sample.  That is some hundred times as fast as the sound is played,
 * but so many times are enough; parts of a long one are longer.
 */
#define PARTS_MOST	16

/* Sound is decoded at least so much faster than it is played. */
#define DECODES		10

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

/* ---- the command -------------------------------------------------------- */

/* Encode the sound, as FILTER changes it: "" or ",atrim=...". */
static void
add_encoder(struct ffmpeg *f, const struct media *m, const char *filter)
{
	ffmpeg_add(f, "-threads", NULL);
	ffmpeg_addf(f, "%u", stage_cores());
	source_open(f, m);
	ffmpeg_add(f, "-map", NULL);
	ffmpeg_addf(f, "0:%d", m->audio);
	ffmpeg_add(f, "-c:a", "aac", "-b:a", "128k", "-ac", "2", "-ar", NULL);
	ffmpeg_addf(f, "%u", SOUND_RATE);
	/* Gaps are filled with silence, or the sound would run ahead. */
	ffmpeg_add(f, "-af", NULL);
	ffmpeg_addf(f, "aresample=async=1:first_pts=0%s", filter);
}

struct ffmpeg *
sound_command(const struct media *m, const char *dir, unsigned int silence_s)
{
	struct ffmpeg	*f = ffmpeg_new("ffmpeg");

	add_encoder(f, m, "");
	/* What a camera notes (place, owner) is nobody's business. */
	ffmpeg_add(f, "-map_metadata", "-1", "-map_chapters", "-1", "-f",
	    "mp4", NULL);
	ffmpeg_addf(f, "%s/" SEGMENT_SOUND ".mp4", dir);
	source_clock(f, m, m->video, 0);
	f->silence_s = silence_s;
	f->length_s = m->seconds;
	return f;
}

/* Samples FROM to TO of the sound, and if TO is 0 all from there on. */
static char *
sample_filter(unsigned long from, unsigned long to)
{
	char	*end = NULL, *filter;

	if (to > 0)
		xasprintf(&end, ":end_sample=%lu", to);
	/* Samples are counted when they are as they will be encoded. */
	xasprintf(&filter, ",aformat=sample_rates=%u:channel_layouts=stereo,"
	    "atrim=start_sample=%lu%s,asetpts=N+%lu", SOUND_RATE, from,
	    end != NULL ? end : "", from);
	free(end);
	return filter;
}

/*
 * It is decoded from the very beginning, for every sample to be what it is in
 * the whole.
 */
struct ffmpeg *
sound_part_command(const struct media *m, unsigned int i, const char *dir,
    unsigned int silence_s)
{
	struct ffmpeg		*f = ffmpeg_new("ffmpeg");
	struct sound_part	 p = sound_part(m, i);
	unsigned long		 from = p.begin * SOUND_FRAME;
	unsigned long		 to = p.last ? 0 : p.end * SOUND_FRAME;
	char			*filter = sample_filter(from, to);

	add_encoder(f, m, filter);
	/* Else some frames begin with the encoder's name. */
	ffmpeg_add(f, "-flags", "+bitexact", NULL);
	segment_format(f, "frag_every_frame");
	ffmpeg_addf(f, "%s/" SEGMENT_SOUND ".mp4", dir);
	source_clock(f, m, m->video, (double)to / SOUND_RATE);
	/* Samples that are decoded in vain show no progress. */
	f->silence_s = silence_s + from / SOUND_RATE / DECODES;
	free(filter);
	return f;
}
