/*
 * Table tally: maintained counters of jobs.
 */

#include "tally.h"

#include <stdlib.h>
#include <string.h>

#include "db.h"
#include "log.h"

/*
 * Slots of each counter.  A process adds to one, so that as a rule it has its
 * rows to itself.
 */
#define SLOTS	16

struct sum {
	char		 pipeline[32];
	enum job_state	 state;
	int64_t		 n, total;
};

/* Of the transaction that this thread has open; one at a time. */
struct sums {
	const struct db	*db;
	uint64_t	 transaction;	/* they are void in another one */
	struct sum	*list;
	size_t		 n, room;
};

static _Thread_local struct sums	 sums;

static int
by_key(const void *a, const void *b)
{
	const struct sum	*one = a, *other = b;
	int			 c = strcmp(one->pipeline, other->pipeline);

	return c != 0 ? c : (int)one->state - (int)other->state;
}

static int
write_sums(struct db *db, void *arg)
{
	static const char	 sql[] =
	    "INSERT INTO tally (pipeline, state, slot, n, total)"
	    " VALUES (?, ?, ?, ?, ?)"
	    " ON DUPLICATE KEY UPDATE n = n + VALUES(n),"
	    " total = total + VALUES(total)";
	static _Thread_local int slot = -1;
	struct sums		*s = arg;
	size_t			 i;

	if (slot == -1)
		slot = (int)arc4random_uniform(SLOTS);
	qsort(s->list, s->n, sizeof(*s->list), by_key);
	for (i = 0; i < s->n; i++) {
		if (s->list[i].n == 0 && s->list[i].total == 0)
			continue;
		if (db_exec(db, sql, "ssuii", s->list[i].pipeline,
		    job_state_name(s->list[i].state), (uint64_t)slot,
		    s->list[i].n, s->list[i].total) == -1)
			return -1;
	}
	return 0;
}

static struct sum *
find(struct sums *s, const char *pipeline, enum job_state state)
{
	size_t	 i;

	for (i = 0; i < s->n; i++) {
		if (s->list[i].state == state &&
		    strcmp(s->list[i].pipeline, pipeline) == 0)
			return &s->list[i];
	}
	if (s->n == s->room) {
		s->room = s->room == 0 ? 8 : s->room * 2;
		s->list = xreallocarray(s->list, s->room, sizeof(*s->list));
	}
	memset(&s->list[s->n], 0, sizeof(*s->list));
	strlcpy(s->list[s->n].pipeline, pipeline,
	    sizeof(s->list[s->n].pipeline));
	s->list[s->n].state = state;
	return &s->list[s->n++];
}

void
tally_add(struct db *db, const char *pipeline, enum job_state state, int64_t n)
{
	uint64_t	 transaction = db_before_commit(db, write_sums, &sums);
	struct sum	*sum;

	if (sums.db != db || sums.transaction != transaction) {
		sums.db = db;
		sums.transaction = transaction;
		sums.n = 0;
	}
	sum = find(&sums, pipeline, state);
	sum->n += n;
	if (n > 0)
		sum->total += n;
}
