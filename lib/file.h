/*
 * Tables upload and artifact: files that came in, and results that may be
 * fetched.  Paths are relative to the storage root and are made here, from
 * ids; a client's file name is data and never becomes one.
 *
 *	uploads/ab/ID		input, ab being the last two digits of ID
 *	work/JOB/		where the stages of a job work
 *	work/JOB-TOKEN/		where they did, until that attempt started anew
 *	results/JOB-TOKEN/NAME	results, of the attempt that published them
 */

#ifndef MILLRACE_FILE_H
#define MILLRACE_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "db.h"
#include "uuid.h"

struct upload {
	struct uuid	id;
	uint64_t	user_id;	/* 0: anonymous */
	char		name[256];	/* as the client said; display only */
	char		type[128];	/* media type, sniffed */
	uint64_t	size;		/* bytes */
	char		created_at[DB_TIME];
};

struct artifact {
	char		name[256];	/* as in the URL */
	char		path[512];	/* below the storage root */
	char		type[128];	/* media type; "" when not said */
	uint64_t	size;		/* bytes */
	char		sha256[65];
};

/* Longest path that these write, NUL included. */
#define FILE_PATH	512

void	file_upload_path(const struct uuid *, char[FILE_PATH]);
void	file_work_path(const struct uuid *job, char[FILE_PATH]);
void	file_aside_path(const struct uuid *job, uint64_t token,
	    char[FILE_PATH]);
void	file_results_path(const struct uuid *job, uint64_t token,
	    char[FILE_PATH]);

/*
 * upload_add	Inside the caller's transaction.  0 or -1.
 * upload_find	0; -1 when there is none (DB_OK) or on error.
 * upload_hold	Inside the transaction that makes a job of an upload which was
 *		here before: it stays, until that commits.  1; 0: it is gone;
 *		-1.
 * upload_release Remove the row if no job uses it.  1: its file may go; 0; -1.
 * upload_unused Look at the next N uploads behind AFTER, and move that on.
 *		Those that no job uses, OLDER_S after they came, are put into
 *		IDS, which are *FOUND.  Rows looked at, or -1.
 * upload_known	Those of N uploads that have a row, in no order.  How many, or
 *		-1.
 */
int	upload_add(struct db *, const struct upload *);
int	upload_find(struct db *, const struct uuid *, struct upload *);
int	upload_hold(struct db *, const struct uuid *);
int	upload_release(struct db *, const struct uuid *);
int	upload_unused(struct db *, struct uuid *after, unsigned int older_s,
	    struct uuid *ids, size_t n, size_t *found);
int	upload_known(struct db *, const struct uuid *, size_t n,
	    struct uuid *known);

/*
 * artifact_replace	The results of a job are now these, in this order (the
 *			first is the main one).  Inside a transaction.
 * artifact_list	In order; *LIST is to be freed.  How many, or -1.
 * artifact_find	0; -1 when there is none (DB_OK) or on error.
 */
int	artifact_replace(struct db *, const struct uuid *job,
	    const struct artifact *, size_t n);
int	artifact_list(struct db *, const struct uuid *job, struct artifact **);
int	artifact_find(struct db *, const struct uuid *job, const char *name,
	    struct artifact *);

#endif
