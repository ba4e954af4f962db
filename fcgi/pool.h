/*
 * Worker processes on one listening socket, replaced when they die.  The only
 * fork() of this wing.
 *
 * The socket is inherited as descriptor 0 (from a supervisor, spawn-fcgi or
 * systemd), or made at PATH.
 */

#ifndef MILLRACE_POOL_H
#define MILLRACE_POOL_H

/*
 * pool_socket	See that descriptor 0 is the listening socket: the inherited
 *		one, or (PATH not NULL) a new one, mode 0660.  Fatal if not.
 * pool_run	Keep WORKERS processes running WORK(ARG), which ends by
 *		itself on SIGTERM.  SIGTERM and SIGINT end all; SIGHUP calls
 *		RENEW(ARG), and when that returns 0 replaces each worker once
 *		its request in hand is done.  Those that died are replaced, at
 *		most ten times a second.  Returns the exit status.
 */
void	pool_socket(const char *path);
int	pool_run(unsigned int workers, void (*work)(void *),
	    int (*renew)(void *), void *);

#endif
