/*
 * Files that come in, and the jobs that are made of them.
 *
 * A file streams through here into the storage.  It is on the disk, and its
 * job is committed, before the client hears 202; whatever goes wrong earlier
 * leaves neither.
 */

#ifndef MILLRACE_UPLOADS_H
#define MILLRACE_UPLOADS_H

struct req;

/*
 * uploads_open	Load what tells types of files; fatal when it is not there.
 *		Before the workers are made, so that they share it.
 */
void	uploads_open(void);

/* The handlers; millrace-api(7) tells what they take. */
int	uploads_submit(struct req *);	/* POST /api/v1/jobs */
int	uploads_process(struct req *);	/* POST /process */

#endif
