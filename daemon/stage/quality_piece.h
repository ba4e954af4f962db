/*
 * The pieces in which the quality of a rendition is measured, so that a kill
 * costs no more than those at hand.
 *
 * A piece is some pictures of the video, from one of the cuts that were made
 * for the transcoding on: that is where the source can be decoded from.  What
 * came of it is kept in a file of its own, which is there as a whole or not at
 * all.
 */

#ifndef MILLRACE_QUALITY_PIECE_H
#define MILLRACE_QUALITY_PIECE_H

#include <stdbool.h>
#include <stddef.h>

struct span;

/* Pictures FIRST to END of the video, counted from 0. */
struct piece {
	unsigned long	 first;
	unsigned long	 end;		/* the one behind the last */
	double		 seek;		/* where to begin to decode the
					   source, seconds; 0: at the
					   beginning of the file */
	bool		 last;		/* whatever comes is part of it */
};

/* What was measured of some pictures. */
struct scores {
	double		*of;		/* each picture; n of them */
	size_t		 n;
	double		 psnr;		/* sum of all; 0: not measured */
	char		 tool[64];	/* that did it */
};

/*
 * pieces_plan	Cut FRAMES pictures into pieces of about LENGTH, each of which
 *		begins at a multiple of STEP.  Returns how many, at least 1;
 *		*PIECES is to be freed.  The same every time.
 */
size_t	pieces_plan(const struct span *, size_t n, unsigned long frames,
	    unsigned int step, unsigned long length, struct piece **pieces);

/*
 * scores_add	One more.
 * scores_join	Append those of another.
 * scores_free	What it points to; there are none then.
 * scores_save	Write them to PATH, which is complete or not there, with OF,
 *		which says what was measured.
 * scores_load	Read them into one that is empty.  0, or -1 when they are not
 *		there, or those of something else.
 */
void	scores_add(struct scores *, double);
void	scores_join(struct scores *, const struct scores *);
void	scores_free(struct scores *);
void	scores_save(const struct scores *, const char *path, const char *of);
int	scores_load(struct scores *, const char *path, const char *of);

#endif
