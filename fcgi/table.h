/*
 * Things found by a key of 16 bytes: an id, or something as unlikely to meet
 * its equal.  The thing has a struct table_node in it and stays its owner's.
 */

#ifndef MILLRACE_TABLE_H
#define MILLRACE_TABLE_H

#include <stddef.h>

#include "uuid.h"

struct table_node {
	struct table_node	*next;
	struct uuid		 key;
};

/* All zero is an empty one. */
struct table {
	struct table_node	**slots;
	size_t			  size;		/* a power of two, or 0 */
	size_t			  n;
};

/*
 * table_find	NULL when there is none.
 * table_add	NODE has its key already, and no other has the same.
 * table_remove	NODE is in the table.
 * table_each	Call FN for every node, which it may remove.
 * table_free	The slots; the nodes are the owner's.
 */
struct table_node *table_find(const struct table *, const struct uuid *);
void	 table_add(struct table *, struct table_node *);
void	 table_remove(struct table *, struct table_node *);
void	 table_each(struct table *, void (*fn)(struct table_node *, void *),
	    void *);
void	 table_free(struct table *);

#endif
