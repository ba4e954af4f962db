/*
 * How ffmpeg reads the video of a job: from its beginning, or from a place
 * within.
 *
 * Not every container has a place for each time: in MPEG streams and Ogg one
 * has to look for it, and may find another.  The pictures of such a file are
 * copied, as they are encoded, to a file that has an index, and parts are
 * decoded from there.  It is good for that only if it has the same packets at
 * the same times; where a clock jumps or a time is missing there is no copy,
 * and the video is not cut.
 */

#ifndef MILLRACE_SOURCE_H
#define MILLRACE_SOURCE_H

#include <stdbool.h>

struct ffmpeg;
struct media;
struct pictures;

/*
 * source_timed	Whether its container tells the time of every picture, the same
 *		from wherever one reads, and an index where it lies.
 * source_copy	Make the copy.  False, and there is none, if it would differ;
 *		else PICTURES are those in it.
 * source_has_copy
 *		Whether it is there.
 * source_forget
 *		Remove it, and what was to become one.
 */
bool	source_timed(const struct media *);
bool	source_copy(const struct media *, struct pictures *);
bool	source_has_copy(void);
void	source_forget(void);

/*
 * source_open	Arguments that open the file that came in.
 * source_part	The same for what parts are read from: the copy if there
 *		should be one.
 * source_seek	And begin SECONDS behind the beginning of the video; times are
 *		those in the whole of it.
 * source_zero	What the clock of source_part shows at the beginning, seconds.
 * source_part_video
 *		The number of its stream with pictures.
 * source_clock	Behind the last output: keep to the clock that pictures and
 *		sound share.  ffmpeg counts times from the first packet that it
 *		uses, and mends jumps as it sees them; so it has to see stream
 *		OTHER (-1: there is none) as well, of which nothing is made; up
 *		to SECONDS, or to the end if that is 0.
 */
void		source_open(struct ffmpeg *, const struct media *);
void		source_part(struct ffmpeg *, const struct media *);
void		source_seek(struct ffmpeg *, const struct media *,
		    double seconds);
double		source_zero(const struct media *);
unsigned int	source_part_video(const struct media *);
void		source_clock(struct ffmpeg *, const struct media *, int other,
		    double seconds);

#endif
