/*
 * Processes, as /proc lists them: for systems without pid namespaces.
 */

#ifndef MILLRACE_PROC_H
#define MILLRACE_PROC_H

/*
 * proc_signal_below	Send SIGNO to all that descend from this process.
 * proc_own_threads	Threads that our user has now.
 */
void		 proc_signal_below(int signo);
unsigned long	 proc_own_threads(void);

#endif
