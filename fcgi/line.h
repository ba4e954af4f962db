/*
 * Things that stand in line, and lines that lead from one thread to another.
 */

#ifndef MILLRACE_LINE_H
#define MILLRACE_LINE_H

#include <pthread.h>

/* The first member of whatever stands in line. */
struct link {
	struct link	*next;
};

struct list {
	struct link	*first, **last;
};

/* list_move puts all of FROM behind TO; list_take returns NULL at the end. */
void		 list_init(struct list *);
void		 list_add(struct list *, struct link *);
void		 list_move(struct list *to, struct list *from);
struct link	*list_take(struct list *);

/* One thread puts lists in, another takes all there is. */
struct line {
	pthread_mutex_t	 lock;
	struct list	 list;
	int		 fd;		/* readable while something is in it */
};

/*
 * line_init	Fatal when there is no descriptor.
 * line_put	All of a list, which is empty then.
 * line_take	All there is, behind a list.
 * line_close	What is still in it is the caller's, in list.
 */
void		 line_init(struct line *);
void		 line_put(struct line *, struct list *);
void		 line_take(struct line *, struct list *);
void		 line_close(struct line *);

#endif
