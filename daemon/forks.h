/*
 * Be asked before each fork of a tree of processes, whoever its user is and
 * whatever namespaces it has.
 *
 * A filter of seccomp(2) holds up each call that makes a process or a thread
 * until its listener answers.  Where nobody answers nothing is made: a tree
 * that is being killed stands still, and one whose listener is gone cannot
 * grow any more.
 */

#ifndef MILLRACE_FORKS_H
#define MILLRACE_FORKS_H

#include <sys/types.h>

#include <stddef.h>

/*
 * forks_pass	Send the listener through SOCKET, of a pair of sequenced
 *		packets.  0 or -1.
 * forks_receive Read a message as recv(2) does; when it brings a listener,
 *		that becomes *LISTENER.
 * forks_allow	Let the one go on that has waited longest.
 */
int	forks_pass(int socket, int listener);
ssize_t	forks_receive(int socket, void *buf, size_t, int *listener);
void	forks_allow(int listener);

#endif
