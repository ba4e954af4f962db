/*
 * Who follows.
 *
 * A number stands for a viewer in the hub, which knows nothing of users.  The
 * numbers of viewers that are gone are used again; the hub has forgotten them
 * by then, since it has told us the end of each of their streams.
 */

#include "viewers.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "log.h"
#include "table.h"
#include "user.h"

/* Asked about in one statement, at most. */
#define BATCH		500

/* Calls in which all are asked about. */
#define CALLS		3

struct owner {
	struct table_node node;		/* key: user, or address */
	unsigned int	 streams;
};

/* What of a caller the check needs; a struct caller is ten times the size. */
struct viewer {
	struct table_node node;		/* key: login or token, and version */
	struct owner	*owner;
	uint32_t	 number;
	unsigned int	 streams;
	enum user_proof	 proof;
	bool		 revoked;
	uint64_t	 user_id, token_id;
	unsigned int	 version;
	struct uuid	 login;
};

struct viewers {
	struct table	  by_proof, owners;
	struct viewer	**by_number;	/* NULL: free, and 0 always is */
	uint32_t	  size;
	uint32_t	  lowest;	/* no number below it is free */
	uint32_t	  cursor;	/* whose turn it is */
	uint32_t	 *revoked;	/* found by the last check */
	size_t		  nrevoked, room;
	unsigned char	  salt[crypto_shorthash_KEYBYTES];
	struct caller	 *callers;	/* BATCH, for one statement */
};

struct viewers *
viewers_new(void)
{
	struct viewers	*v = xcalloc(1, sizeof(*v));

	crypto_shorthash_keygen(v->salt);
	v->lowest = 1;
	v->callers = xcalloc(BATCH, sizeof(*v->callers));
	return v;
}

static void
free_node(struct table_node *node, void *arg)
{
	(void)arg;
	free(node);
}

void
viewers_free(struct viewers *v)
{
	if (v == NULL)
		return;
	table_each(&v->by_proof, free_node, NULL);
	table_each(&v->owners, free_node, NULL);
	table_free(&v->by_proof);
	table_free(&v->owners);
	free(v->by_number);
	free(v->revoked);
	free(v->callers);
	free(v);
}

size_t
viewers_n(const struct viewers *v)
{
	return v->by_proof.n;
}

enum key_kind { KEY_USER, KEY_ADDRESS, KEY_TOKEN };

/* A key from numbers; no id of version 7 begins like one. */
static struct uuid
key_of(enum key_kind kind, uint32_t detail, uint64_t number)
{
	struct uuid	 key = { { (unsigned char)kind } };

	memcpy(key.b + 4, &detail, sizeof(detail));
	memcpy(key.b + 8, &number, sizeof(number));
	return key;
}

/* Addresses are the client's choice, so their hash is salted. */
static struct uuid
owner_key(const struct viewers *v, const struct caller *c, const char *address)
{
	uint64_t	 hash;

	if (c->user.id != 0)
		return key_of(KEY_USER, 0, c->user.id);
	crypto_shorthash((unsigned char *)&hash,
	    (const unsigned char *)address, strlen(address), v->salt);
	return key_of(KEY_ADDRESS, 0, hash);
}

/*
 * The login or API token that stands behind a proof, a ticket included: that
 * is what can be revoked; at the version of its user.
 */
static struct uuid
proof_key(const struct viewers *v, const struct caller *c, const char *address)
{
	struct uuid	 key = c->login;
	uint32_t	 end;

	if (c->proof == PROOF_NONE)
		return owner_key(v, c, address);
	if (c->token_id != 0)
		return key_of(KEY_TOKEN, c->user.version, c->token_id);
	memcpy(&end, key.b + 12, sizeof(end));
	end ^= c->user.version;
	memcpy(key.b + 12, &end, sizeof(end));
	return key;
}

static struct owner *
owner_of(struct viewers *v, const struct caller *c, const char *address)
{
	struct uuid	 key = owner_key(v, c, address);
	struct owner	*o;

	if ((o = (struct owner *)table_find(&v->owners, &key)) == NULL) {
		o = xcalloc(1, sizeof(*o));
		o->node.key = key;
		table_add(&v->owners, &o->node);
	}
	return o;
}

/* The lowest number that is free. */
static uint32_t
take_number(struct viewers *v)
{
	uint32_t	 old = v->size;

	while (v->lowest < v->size && v->by_number[v->lowest] != NULL)
		v->lowest++;
	if (v->lowest >= v->size) {
		v->size = old == 0 ? 64 : old * 2;
		v->by_number = xreallocarray(v->by_number, v->size,
		    sizeof(*v->by_number));
		memset(v->by_number + old, 0,
		    (v->size - old) * sizeof(*v->by_number));
	}
	return v->lowest++;
}

static struct viewer *
viewer_of(struct viewers *v, const struct caller *c, const char *address)
{
	struct uuid	 key = proof_key(v, c, address);
	struct viewer	*w;

	if ((w = (struct viewer *)table_find(&v->by_proof, &key)) != NULL)
		return w;
	w = xcalloc(1, sizeof(*w));
	w->node.key = key;
	table_add(&v->by_proof, &w->node);
	w->owner = owner_of(v, c, address);
	w->proof = c->proof;
	w->user_id = c->user.id;
	w->version = c->user.version;
	w->login = c->login;
	w->token_id = c->token_id;
	w->number = take_number(v);
	v->by_number[w->number] = w;
	return w;
}

uint32_t
viewers_add(struct viewers *v, const struct caller *c, const char *address)
{
	struct viewer	*w = viewer_of(v, c, address);

	w->streams++;
	w->owner->streams++;
	w->revoked = false;		/* it was good just now */
	return w->number;
}

void
viewers_remove(struct viewers *v, uint32_t number)
{
	struct viewer	*w = v->by_number[number];

	if (--w->owner->streams == 0) {
		table_remove(&v->owners, &w->owner->node);
		free(w->owner);
	}
	if (--w->streams == 0) {
		v->by_number[number] = NULL;
		if (number < v->lowest)
			v->lowest = number;
		table_remove(&v->by_proof, &w->node);
		free(w);
	}
}

unsigned int
viewers_owned(struct viewers *v, const struct caller *c, const char *address)
{
	struct uuid	 key = owner_key(v, c, address);
	struct owner	*o = (struct owner *)table_find(&v->owners, &key);

	return o == NULL ? 0 : o->streams;
}

/* ---- whether they still may ---------------------------------------------- */

static void
to_caller(const struct viewer *w, struct caller *c)
{
	memset(c, 0, sizeof(*c));
	c->proof = w->proof;
	c->user.id = w->user_id;
	c->user.version = w->version;
	c->login = w->login;
	c->token_id = w->token_id;
}

/* The next BATCH viewers at most, of at most *LEFT slots; how many. */
static size_t
take_turn(struct viewers *v, size_t *left, struct viewer **turn)
{
	struct viewer	*w;
	size_t		 n = 0;

	for (; *left > 0 && n < BATCH; (*left)--) {
		if (++v->cursor >= v->size)
			v->cursor = 0;
		w = v->by_number[v->cursor];
		if (w != NULL && w->proof != PROOF_NONE && !w->revoked)
			turn[n++] = w;
	}
	return n;
}

static int
ask(struct viewers *v, struct db *db, struct viewer **turn, size_t n,
    bool *valid)
{
	const struct caller	*callers[BATCH];
	size_t			 i;

	for (i = 0; i < n; i++) {
		to_caller(turn[i], &v->callers[i]);
		callers[i] = &v->callers[i];
	}
	memset(valid, 0, n * sizeof(*valid));
	return user_still_valid(db, callers, n, valid);
}

static int
by_number(const void *a, const void *b)
{
	uint32_t	 x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static void
add_revoked(struct viewers *v, struct viewer *w)
{
	if (v->nrevoked == v->room) {
		v->room = v->room == 0 ? 64 : v->room * 2;
		v->revoked = xreallocarray(v->revoked, v->room,
		    sizeof(*v->revoked));
	}
	v->revoked[v->nrevoked++] = w->number;
	w->revoked = true;
}

int
viewers_check(struct viewers *v, struct db *db, const uint32_t **revoked,
    size_t *nrevoked)
{
	struct viewer	*turn[BATCH];
	bool		 valid[BATCH];
	size_t		 i, n, left = v->size / CALLS + BATCH;
	int		 rc = 0;

	v->nrevoked = 0;
	if (left > v->size)
		left = v->size;
	while (rc == 0 && (n = take_turn(v, &left, turn)) > 0) {
		rc = ask(v, db, turn, n, valid);
		for (i = 0; rc == 0 && i < n; i++) {
			if (!valid[i])
				add_revoked(v, turn[i]);
		}
	}
	if (v->nrevoked > 0)
		qsort(v->revoked, v->nrevoked, sizeof(*v->revoked), by_number);
	*revoked = v->revoked;
	*nrevoked = v->nrevoked;
	return rc;
}
