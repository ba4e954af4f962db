/*
 * Join the parts of a sound, without encoding anything again.
 *
 * A frame of AAC overlaps with the one before it: a moment is the sum of the
 * end of one and the beginning of the next, which only fit if both encoders
 * have faded them in the same way.  So a part takes over behind a frame that
 * has the same window in both.  Each of the two encoders had that moment as it
 * is in the source, hence nothing is heard of the change.
 */

#ifndef MILLRACE_SPLICE_H
#define MILLRACE_SPLICE_H

#include <stdbool.h>
#include <stddef.h>

struct media;

/*
 * splice_sound	Make the segment "sound" of those of its parts, which are all
 *		there.  False, and there is none, when two of them have no
 *		frame behind which they can be joined.
 * splice_window
 *		How the LEN bytes of a FRAME are windowed: equal or not to that
 *		of another; or -1 when its two channels differ in it.
 */
bool	splice_sound(const struct media *);
int	splice_window(const unsigned char *frame, size_t len);

#endif
