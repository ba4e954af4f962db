/*
 * Processes, as /proc lists them.
 */

#ifndef MILLRACE_PROC_H
#define MILLRACE_PROC_H

#include <sys/types.h>

#include <stddef.h>
#include <stdint.h>

/*
 * proc_signal_below	Send SIGNO to all that descend from this process.
 * proc_end_below	Kill and collect all that do, but for OURS and what
 *			descends from them.  0, or -1: some do not end.
 * proc_count_below	Processes and threads that descend from this one; it
 *			need not count further than MOST.
 * proc_deleted_below	Bytes on the disk of DIR, a descriptor, of files that
 *			have no name any more and are open there.
 * proc_own_threads	Threads that our user has now.
 */
void		 proc_signal_below(int signo);
int		 proc_end_below(const pid_t *ours, size_t n);
unsigned int	 proc_count_below(unsigned int most);
uint64_t	 proc_deleted_below(int dir);
unsigned long	 proc_own_threads(void);

#endif
