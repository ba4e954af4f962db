/*
 * Whether a tree of processes stays within its bounds.
 *
 * The kernel's own limits are of one process, or of all of a user.  What a
 * tree is and does as a whole its keeper has to look at, again and again; so
 * a bound is passed for as long as a look takes to come.
 */

#ifndef MILLRACE_BOUNDS_H
#define MILLRACE_BOUNDS_H

#include <stdbool.h>
#include <stdint.h>

/* How often to look, ms: a fork bomb makes some hundreds in that time. */
#define BOUNDS_MS	50

/* Room for a bound, in words. */
#define BOUNDS_WHAT	64

struct bounds {
	unsigned int	 processes;	/* and threads, below this process */
	uint64_t	 written;	/* bytes that the files of DIR, deleted
					   ones too, may grow by; 0: any */
	int		 dir;

	/* Those of bounds.c. */
	uint64_t	 count_at, weigh_at;	/* look closer then, at the
					   latest */
	uint64_t	 room_at;	/* ask then how full the disk is */
	unsigned int	 crowd;		/* least threads of this host, and */
	uint64_t	 room;		/* most bytes free, since the last
					   closer look */
	uint64_t	 before;	/* bytes in DIR, at the first of them */
	bool		 weighed;	/* there was one */
};

/*
 * bounds_begin	Before the tree grows; NOW is loop_now().
 * bounds_broken Whether a bound is passed; WHAT then is which, as "320
 *		processes and threads, its limit".
 */
void	bounds_begin(struct bounds *, uint64_t now);
bool	bounds_broken(struct bounds *, uint64_t now, char what[BOUNDS_WHAT]);

#endif
