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
#include "uuid.h"

struct daemon {
	uint64_t	id;
	char		host[256];
	unsigned int	pid;
	unsigned int	slots;
	unsigned int	running;	/* of these, some time ago: of its own
					   jobs, and of items of others */
	char		version[32];
	char		queues[256];
	char		started_at[DB_TIME];
	char		seen_at[DB_TIME];
	unsigned int	silent_s;	/* since seen_at, by the database */
	bool		expired;	/* its lease is over */
};

/* A daemon as the others see it. */
struct daemon_sign {
	uint64_t	id;
	bool		gone;		/* it has jobs, or items of others, but
					   no row: a claim may be committed
					   after its daemon was given up */
	bool		ours;		/* it is of the same instance */
	char		seen_at[DB_TIME];	/* its lease was renewed, by the
					   database's clock */
	unsigned int	lease_ms;	/* and lasts so long from then on */
};

/*
 * daemon_schema Number of the newest schema step that was applied; 0: none;
 *		-1 (DB_AWAY also while there is no schema at all).
 * daemon_start	Insert a row with a lease of LEASE_S; *ID is the new one.
 *		INSTANCE is host and storage root.
 * daemon_renew	1: renewed; 0: the row is gone (jobs were taken over); -1.
 * daemon_watch	What there is of others than SELF.  How many, or -1.
 * daemon_others How many others than SELF live and take jobs of QUEUE, or -1.
 * daemon_room	Slots that others than daemon SELF have free for jobs of QUEUE,
 *		or -1.
 * daemon_list	All, newest first.  How many, or -1.
 */
int	daemon_schema(struct db *);
int	daemon_start(struct db *, const struct daemon *, const char *instance,
	    unsigned int lease_s, uint64_t *id);
int	daemon_renew(struct db *, uint64_t id, unsigned int lease_s,
	    unsigned int running);
int	daemon_watch(struct db *, uint64_t self, const char *instance,
	    struct daemon_sign *, size_t n);
int	daemon_others(struct db *, uint64_t self, const char *queue);
int	daemon_room(struct db *, uint64_t self, const char *queue);
int	daemon_list(struct db *, struct daemon *, size_t n);

/*
 * daemon_adopt	Daemon FROM is dead: its running jobs are pending again, its
 *		row goes, and items that it did for others (lent.h) have
 *		crashed.  A job is blamed that was NAMED as what it was busy
 *		with, or was the only thing that it had; for others of which a
 *		step ran it is a death, for the rest nothing.  Jobs, or -1: also
 *		when its row has changed since it was SEEN_AT (NULL: it is
 *		known to be dead, whatever the row says), and nothing was done.
 * daemon_release It left: the same, counted as nothing.
 */
int	daemon_adopt(struct db *, uint64_t from, const char *seen_at,
	    const struct uuid *named);
int	daemon_release(struct db *, uint64_t from);

#endif
