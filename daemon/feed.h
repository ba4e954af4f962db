/*
 * What a program that does items one after the other is fed: a pipe, with one
 * line in it at a time, and the clock of the item at hand.  The clock is a
 * page of memory that the program's keeper shares, so that it holds while the
 * daemon does something else.
 */

#ifndef MILLRACE_FEED_H
#define MILLRACE_FEED_H

#include <stdbool.h>
#include <stdint.h>

struct feed;
struct loop;

/*
 * feed_new	NULL with errno set: there is no room for one.
 * feed_free	The daemon's side of it.
 * feed_end	The descriptor that the program reads; feed_handed closes the
 *		daemon's copy of it.
 * feed_line	Let it read LINE, of at most REPORT_LINE_MAX bytes, and give it
 *		LIMIT_S seconds for it.  Never waits.  A line before it that
 *		was not taken yet is forgotten.
 * feed_hold	Write nothing...
 * feed_go	...until now.
 * feed_taken	Whether it has begun to read the last line.
 * feed_rest	No time is over until the next line.
 * feed_close	There will be none: it reads the end of the input, and its time
 *		is over after MS.
 * feed_due	When its time is over, loop_now(); 0: never.
 */
struct feed	*feed_new(struct loop *);
void		 feed_free(struct feed *);
int		 feed_end(const struct feed *);
void		 feed_handed(struct feed *);
void		 feed_line(struct feed *, const char *line,
		    unsigned int limit_s);
void		 feed_hold(struct feed *);
void		 feed_go(struct feed *);
bool		 feed_taken(const struct feed *);
void		 feed_rest(struct feed *);
void		 feed_close(struct feed *, unsigned int ms);
uint64_t	 feed_due(const struct feed *);

#endif
