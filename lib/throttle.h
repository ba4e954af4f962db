/*
 * Table throttle: tries of strangers, counted for all hosts together.
 *
 * What is counted is named by a KEY, as "login/name/ana" or
 * "login/net/192.0.2.0".  Five tries in 30 s are free; after that each is
 * followed by a pause, of 30 s at first and twice as long each time, up to
 * 15 minutes.  All is forgotten 15 minutes after the last pause.
 */

#ifndef MILLRACE_THROTTLE_H
#define MILLRACE_THROTTLE_H

struct db;

/* Longest name of a network, NUL included. */
#define THROTTLE_NET	46

/*
 * throttle_try	0: go ahead, the try is counted; else seconds to wait; -1.
 * throttle_ok	The last try was a good one: it does not count.  0 or -1.
 * throttle_sweep Forget what is long over.  Rows, or -1.
 * throttle_net	Write the network of ADDRESS, which is what one client can
 *		easily choose from: /24 of IPv4, /64 of IPv6.
 */
int	throttle_try(struct db *, const char *key);
int	throttle_ok(struct db *, const char *key);
int	throttle_sweep(struct db *);
void	throttle_net(const char *address, char[THROTTLE_NET]);

#endif
