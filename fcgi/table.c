/*
 * Things found by a key of 16 bytes: chains in a vector of slots, which
 * doubles when it is full and never shrinks.
 *
 * Ids of version 7 begin with the time and end in random bits, so the slot is
 * taken from the end.
 */

#include "table.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"

#define TABLE_LEAST	64

static size_t
slot_of(const struct table *t, const struct uuid *key)
{
	uint64_t	 end;

	memcpy(&end, key->b + 8, sizeof(end));
	return (size_t)(end * 0x9e3779b97f4a7c15u >> 32) & (t->size - 1);
}

struct table_node *
table_find(const struct table *t, const struct uuid *key)
{
	struct table_node	*n;

	if (t->size == 0)
		return NULL;
	for (n = t->slots[slot_of(t, key)]; n != NULL; n = n->next) {
		if (uuid_equal(&n->key, key))
			return n;
	}
	return NULL;
}

static void
put(struct table *t, struct table_node *node)
{
	struct table_node	**slot = &t->slots[slot_of(t, &node->key)];

	node->next = *slot;
	*slot = node;
}

static void
grow(struct table *t)
{
	struct table		 old = *t;
	struct table_node	*node, *next;
	size_t			 i;

	t->size = old.size == 0 ? TABLE_LEAST : old.size * 2;
	t->slots = xcalloc(t->size, sizeof(*t->slots));
	for (i = 0; i < old.size; i++) {
		for (node = old.slots[i]; node != NULL; node = next) {
			next = node->next;
			put(t, node);
		}
	}
	free(old.slots);
}

void
table_add(struct table *t, struct table_node *node)
{
	if (t->n == t->size)
		grow(t);
	put(t, node);
	t->n++;
}

void
table_remove(struct table *t, struct table_node *node)
{
	struct table_node	**p = &t->slots[slot_of(t, &node->key)];

	while (*p != node)
		p = &(*p)->next;
	*p = node->next;
	t->n--;
}

void
table_each(struct table *t, void (*fn)(struct table_node *, void *), void *arg)
{
	struct table_node	*node, *next;
	size_t			 i;

	for (i = 0; i < t->size; i++) {
		for (node = t->slots[i]; node != NULL; node = next) {
			next = node->next;
			fn(node, arg);
		}
	}
}

void
table_free(struct table *t)
{
	free(t->slots);
	memset(t, 0, sizeof(*t));
}
