/*
 * Table daemon: one row per daemon start.  Its lease says that it lives; the
 * clock is the database's.
 */

#ifndef MILLRACE_DAEMON_H
#define MILLRACE_DAEMON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "db.h"

struct daemon {
	uint64_t	id;
	char		host[256];
	unsigned int	pid;
	unsigned int	slots;
	unsigned int	running;	/* jobs now */
	char		version[32];
	char		queues[256];
	char		started_at[DB_TIME];
	char		seen_at[DB_TIME];
	unsigned int	silent_s;	/* since seen_at, by the database */
	bool		expired;	/* its lease is over */
};

/*
 * daemon_schema Number of the newest schema step that was applied; 0: none;
 *		-1 (DB_AWAY also while there is no schema at all).
 * daemon_start	Insert a row with a lease of LEASE_S; *ID is the new one.
 *		OTHERS are the rows of the same INSTANCE (host and storage
 *		root): the jobs of one whose process is gone can be taken over
 *		at once.  How many, or -1.
 * daemon_renew	1: renewed; 0: the row is gone (jobs were taken over); -1.
 * daemon_stop	Remove the row.
 * daemon_lost	Daemons whose lease ended before now, and those that have jobs,
 *		or items of others, but no row: a claim may be committed after
 *		its daemon was given up.  Their ids: how many, or -1.
 * daemon_adopt	Running jobs of daemon FROM are pending again, counted as a
 *		crash, so are items that it did for others (lent.h), and its
 *		row goes.  Jobs, or -1.
 * daemon_release The same, counted as nothing: they did not crash.
 * daemon_room	Slots that others than daemon SELF have free for jobs of QUEUE,
 *		or -1.
 * daemon_list	All, newest first.  How many, or -1.
 */
int	daemon_schema(struct db *);
int	daemon_start(struct db *, const struct daemon *, const char *instance,
	    unsigned int lease_s, uint64_t *id, uint64_t *others, size_t n);
int	daemon_renew(struct db *, uint64_t id, unsigned int lease_s,
	    unsigned int running);
int	daemon_stop(struct db *, uint64_t id);
int	daemon_lost(struct db *, uint64_t *ids, size_t n);
int	daemon_adopt(struct db *, uint64_t from);
int	daemon_release(struct db *, uint64_t from);
int	daemon_room(struct db *, uint64_t self, const char *queue);
int	daemon_list(struct db *, struct daemon *, size_t n);

#endif
