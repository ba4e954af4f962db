/*
 * How the sound of a video is encoded: whole, or a long one in parts, which
 * splice.h joins.
 *
 * Frames of AAC are counted from 0, as an encoder of the whole sound writes
 * them, and each has 1024 samples.  Frame 0 holds what a decoder needs to
 * begin; so frame N is heard from sample (N - 1) * 1024 on.
 *
 * An encoder that is to keep to a rate spends it as it has learned from what
 * came before, and is coarser until it has.  So the one of a part begins
 * SOUND_OVERLAP frames before its own ones, and where it has settled the part
 * takes over from the one before.
 *
 * Two programs work on it.  The first decodes, and makes two channels of any
 * number; for that it begins anew where the number or the rate changes, as in
 * a recording of television.  The second, which encodes, sees no such change,
 * so it can count the samples from the very beginning and fill every gap with
 * silence, or the sound would run ahead.
 */

#ifndef MILLRACE_SOUND_H
#define MILLRACE_SOUND_H

#include <stdbool.h>

struct ffmpeg;
struct media;
struct segment;

#define SOUND_RATE		48000	/* samples a second */
#define SOUND_FRAME		1024	/* samples */

/*
 * The usual length of a part, seconds: six of work for a core of a small
 * server.  A part is at least as long as the range in which it may be joined.
 */
#define SOUND_LENGTH		240
#define SOUND_LENGTH_LEAST	3

/* Frames until an encoder is as good as one of the whole, and some to join. */
#define SOUND_SETTLED		400
#define SOUND_OVERLAP		(SOUND_SETTLED + 128)

/* Frames FIRST to END of the sound, which sound part I has to give. */
struct sound_part {
	unsigned long	 begin;		/* the first that is encoded */
	unsigned long	 first;
	unsigned long	 end;		/* the one behind the last */
	bool		 last;		/* whatever comes is part of it */
};

/*
 * sound_plan	Cut the sound into parts of LENGTH seconds at most, or more if
 *		that were too many.
 * sound_part	Part I of it.
 * sound_name	"sound", if it is one, or "sound-0": its item, what that
 *		carries, and its segment.  One static buffer.
 * sound_parse	The opposite.  0, or -1 when there is no such part.
 */
void			 sound_plan(struct media *, unsigned int length);
struct sound_part	 sound_part(const struct media *, unsigned int i);
const char		*sound_name(const struct media *, unsigned int i);
int			 sound_parse(const struct media *, const char *,
			    unsigned int *i);

/* The programs that are at it. */
struct sound {
	struct ffmpeg	*decoder, *encoder;
};

/*
 * sound_start	Begin to encode all of it, to sound.mp4 in the directory DIR;
 *		may stand still for SILENCE_S seconds.
 * sound_start_part
 *		The same for part I, as of segment.h and with a fragment for
 *		each frame.  None, where the sound is at its end before.
 * sound_step	Say that it is at SECONDS of the sound.
 * sound_ended	Whether both programs have, for which ffmpeg_wait waits.
 * sound_end	Take note of how it went; or, if it went wrong, end this
 *		program as ffmpeg_check does.
 */
struct sound	 sound_start(const struct media *, const char *dir,
		    unsigned int silence_s);
struct sound	 sound_start_part(const struct media *, unsigned int i,
		    const char *dir, unsigned int silence_s);
void		 sound_step(const struct media *, double seconds);
bool		 sound_ended(const struct sound *);
void		 sound_end(struct sound *, struct segment *);

#endif
