/*
 * What the items of a transcoding leave for who joins them.
 *
 *	segments/0-150/480p.mp4		pictures 0 to 149, in this size
 *	segments/0-150/note.json	how that went
 *	segments/150-300/...
 *	segments/sound/sound.mp4	the sound, all of it
 *	segments/sound-0/sound.mp4	or a part of it, as of sound.h
 *
 * The directory of a segment is filled under another name and then renamed:
 * it is there as a whole or not at all, however often and wherever its item
 * is done.  A video of one segment has the sound in it.
 *
 * A video file here is a fragmented MP4 in which times count from
 * SEGMENT_LEAD_S seconds before the video, so that none is negative.  The
 * fragments of all segments, one behind the other, are such a file again.
 * So is the file of a part of the sound; that of all of it is a usual MP4.
 */

#ifndef MILLRACE_SEGMENT_H
#define MILLRACE_SEGMENT_H

#include <stddef.h>

struct ffmpeg;
struct span;

#define SEGMENT_DIR	"segments"
#define SEGMENT_LEAD_S	10
#define SEGMENT_SOUND	"sound"

/* How it went. */
struct segment {
	unsigned long	 frames;	/* of each rendition */
	double		 seconds;	/* of all of the sound; 0: has none */
	unsigned int	 errors;	/* while decoding */
};

/*
 * segment_name	"0-150".  One static buffer.
 * segment_path	"segments/0-150/480p.mp4".  To be freed.
 * segment_format
 *		Arguments before the name of a video file, with fragments as
 *		MODE, one of ffmpeg's flags, says.
 * segment_begin
 *		The path of a new directory, to be filled, and to be freed.
 * segment_keep	Bring DIR and what is in it to the disk, with how it went, and
 *		give it its NAME; one that has it already stays instead.
 * segment_load	How NAME went.  0, or -1 when it is not there.
 * segment_forget
 *		Remove all of them: at first none is there any more, at once,
 *		and then no file.  What was left of an earlier time goes too.
 */
const char	*segment_name(const struct span *);
char		*segment_path(const char *name, const char *file);
void		 segment_format(struct ffmpeg *, const char *mode);
char		*segment_begin(void);
void		 segment_keep(const char *dir, const char *name,
		    const struct segment *);
int		 segment_load(const char *name, struct segment *);
void		 segment_forget(void);

#endif
