/*
 * Join the segments that the items of a transcoding made to whole renditions,
 * without encoding anything again, and see whether all of the video is there.
 */

#ifndef MILLRACE_JOIN_H
#define MILLRACE_JOIN_H

struct media;

/*
 * join_segments	Make the renditions and the still picture, and tell the
 *			daemon of them.  Nothing, when there are no segments.
 */
void	join_segments(const struct media *);

#endif
