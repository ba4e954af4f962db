/*
 * The black box: which job the daemon was busy with when it met its end, for
 * whoever finds it dead.
 *
 * It is a file that is mapped into memory, so that noting it is no system call
 * and outlives the process.  It tells of a defect that a job has met: a signal
 * of the kind that a process gets for what it did, or an error that is fatal.
 * One that is killed from outside says nothing.
 */

#ifndef MILLRACE_BLACKBOX_H
#define MILLRACE_BLACKBOX_H

#include <stdint.h>

#include "uuid.h"

/*
 * blackbox_open	Note it as daemon ID below the storage ROOT from now on.
 *			Where that cannot be, it is not noted (said).
 * blackbox_name	What is done from here on is done with this job.
 * blackbox_clear	It is over.
 * blackbox_read	The job that brought daemon ID down.  0; -1: none, or
 *			nobody can tell.
 * blackbox_remove	The box of ID has been read.
 */
void	blackbox_open(const char *root, uint64_t id);
void	blackbox_name(const struct uuid *job);
void	blackbox_clear(void);
int	blackbox_read(const char *root, uint64_t id, struct uuid *job);
void	blackbox_remove(const char *root, uint64_t id);

#endif
