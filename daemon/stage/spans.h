/*
 * Where a video is cut, so that its parts can be transcoded by themselves.
 *
 * A cut is a picture of the renditions that is a keyframe there, every two
 * seconds, and that a decoder reaches by a seek: to a keyframe of the source
 * that comes before.  What lies between those two is decoded in vain, so cuts
 * are made where that is little, and none where it is much; a video without
 * keyframes is not cut at all.
 *
 * All of this is pure but for the two functions that keep the plan in the
 * work directory.
 */

#ifndef MILLRACE_SPANS_H
#define MILLRACE_SPANS_H

#include <stdbool.h>
#include <stddef.h>

struct media;

/* Renditions have a keyframe every so many seconds; spans begin at one. */
#define SPANS_KEYFRAME_S	2

/* What is known of the source's pictures, from its packets. */
struct pictures {
	double	*keys;			/* seconds at which one can begin to
					   decode, ascending; n of them */
	size_t	 n;
	double	 last;			/* when the last is shown, seconds */
	double	 tick;			/* of the times that follow, seconds */
	bool	 doubtful;		/* times are missing or run backwards */
};

/* Pictures FIRST to END of each rendition, counted from 0. */
struct span {
	unsigned long	 first;
	unsigned long	 end;		/* the one behind the last */
	double		 seek;		/* where to begin to decode, seconds;
					   0: at the beginning of the file */
	bool		 last;		/* whatever comes is part of it; END
					   is about how many there are */
};

/*
 * pictures_line	Take a line of what ffmpeg's muxer "framecrc" writes of
 *			one stream.
 * pictures_free	What it points to.
 */
void	pictures_line(struct pictures *, const char *line);
void	pictures_free(struct pictures *);

/*
 * spans_length	How many seconds of the video are some seconds of work for one
 *		core: a whole number of keyframes.
 * spans_plan	Cut it into spans of about LENGTH seconds, none of which is
 *		more than that unless keyframes of the source are rare, and as
 *		many as keep CORES busy.  Returns how many, at least 1; *SPANS
 *		is to be freed.
 * spans_join	Undo the cut before span I of *N, which shall not be 0.
 */
unsigned int	spans_length(const struct media *);
size_t		spans_plan(const struct media *, const struct pictures *,
		    unsigned int length, unsigned int cores, struct span **);
void		spans_join(struct span *, size_t *n, size_t i);

/*
 * spans_save	Write down the plan.
 * spans_load	Read it.  How many, or 0 when there is none.
 */
void		spans_save(const struct span *, size_t n);
size_t		spans_load(struct span **);

/*
 * span_name	"00:00:06-00:00:12"; sorts by time.
 * span_text	"00:06 to 00:12", for people.
 * span_args	"150 300 5.5", and " last"; what an item carries.
 * span_parse	The opposite.  0, or -1 when it is none.
 *		Each returns one static buffer.
 */
const char	*span_name(const struct media *, const struct span *);
const char	*span_text(const struct media *, const struct span *);
const char	*span_args(const struct span *);
int		 span_parse(const char *, struct span *);

#endif
