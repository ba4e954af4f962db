/*
 * Which stream gets which frame.
 *
 * Pure bookkeeping: the hub touches no descriptor, clock or database itself;
 * it names descriptors to the functions of struct hub_io and is told what
 * happened.  One thread.
 *
 * A connection is known by its descriptor and a serial number, since the
 * number of a closed descriptor is soon given to another.
 */

#ifndef MILLRACE_HUB_H
#define MILLRACE_HUB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "uuid.h"

struct frame;
struct hub;

/* Kinds of streams (dialects), at most; a kind is a number below it. */
#define HUB_KINDS	4

/* Why a connection ended. */
enum hub_why {
	HUB_DONE,		/* the terminal event was sent */
	HUB_ANSWERED,		/* a reply that was no stream was sent */
	HUB_LEFT,		/* the client went away */
	HUB_STALLED,		/* it took no byte for stalled_s */
	HUB_ROTATED,		/* it shall connect anew */
	HUB_REVOKED,		/* the login behind it is no longer good */
	HUB_DELETED,		/* the job is gone */
	HUB_STOPPED,		/* the hub ends */
	HUB_REFUSED,		/* what came was no request, or not in time */
	HUB_WHYS
};

/* An event, or several, that a stream lacks. */
struct hub_need {
	int		 fd;
	uint32_t	 serial;
	struct uuid	 job;
	uint32_t	 after;		/* number of the last event it has */
	unsigned int	 kind;
};

struct hub_ended {
	int		 fd;
	uint32_t	 serial;
	enum hub_why	 why;
	bool		 stream;	/* it had joined; else the rest is 0 */
	struct uuid	 job;
	unsigned int	 kind;
	uint32_t	 viewer;
	uint32_t	 events;	/* sent to it */
	uint32_t	 open_ms;	/* for how long */
};

/* What the hub wants done.  None of it calls back into the hub. */
struct hub_io {
	/* Bytes taken; 0: none for now; -1: the peer is gone. */
	ssize_t	(*send)(void *, int fd, const void *, size_t);
	/* Call hub_writable when the descriptor takes bytes; or no more. */
	void	(*await)(void *, int fd);
	void	(*relax)(void *, int fd);
	/* Bring these events, to hub_catch_up. */
	void	(*fetch)(void *, const struct hub_need *);
	/* Close the descriptor. */
	void	(*ended)(void *, const struct hub_ended *);
};

struct hub_settings {
	unsigned int	keepalive_s;	/* longest silence */
	unsigned int	stalled_s;
	unsigned int	reading_s;	/* for a request to arrive */
	unsigned int	hot;		/* more streams than this on one job
					   are served in slices */
	unsigned int	slice;		/* streams of one slice */
};

/* What a connection is to follow. */
struct hub_join {
	struct uuid	 job;
	unsigned int	 kind;
	uint32_t	 seq;		/* of the last event it has */
	uint32_t	 latest;	/* of the last event there is */
	uint32_t	 viewer;	/* for hub_revoke; 0: nobody */
	unsigned int	 rotate_s;	/* 0: never */
};

/*
 * hub_new	Until hub_free, which ends nothing.
 * hub_clock	What time it is (monotonic, ms); before the other calls of a
 *		turn of the loop.
 */
struct hub	*hub_new(const struct hub_io *, void *arg,
		    const struct hub_settings *, uint64_t now_ms);
void		 hub_free(struct hub *);
void		 hub_clock(struct hub *, uint64_t now_ms);

/*
 * hub_add	A connection whose request is still to be read.  Its serial.
 * hub_opening	Its request was read and is being answered.
 * hub_refuse	It is no request: end it.
 * hub_answer	Send a frame, which is taken over and is a last one.
 * hub_join	From now on it is a stream.  HEAD is taken over and goes first.
 *		-1: the connection is gone, and HEAD with it.
 * hub_catch_up	Events up to number SEQ, for a stream that fell behind.  FRAME
 *		is taken over; NULL: there were none yet.
 */
uint32_t hub_add(struct hub *, int fd);
void	 hub_opening(struct hub *, int fd);
void	 hub_refuse(struct hub *, int fd);
void	 hub_answer(struct hub *, int fd, uint32_t serial, struct frame *);
int	 hub_join(struct hub *, int fd, uint32_t serial,
	    const struct hub_join *, struct frame *head);
void	 hub_catch_up(struct hub *, int fd, uint32_t serial, struct frame *,
	    uint32_t seq);

/*
 * hub_publish	Event SEQ of a job, a frame for each kind (NULL: for none),
 *		which are taken over.  A job with many streams gets them in
 *		slices: while hub_slice returns true, call it again soon.
 * hub_drop	The job is gone: end its streams.
 * hub_revoke	End the streams of these viewers, in ascending order.
 * hub_notice	TEXT (a frame of comments) is the keep-alive from now on, and
 *		every stream gets it once now.  NULL: the usual one.
 */
void	 hub_publish(struct hub *, const struct uuid *, uint32_t seq,
	    struct frame *[HUB_KINDS]);
bool	 hub_slice(struct hub *);
void	 hub_drop(struct hub *, const struct uuid *);
void	 hub_revoke(struct hub *, const uint32_t *viewers, size_t n);
void	 hub_notice(struct hub *, const char *text);

/*
 * hub_writable	A descriptor takes bytes again.
 * hub_gone	Its peer is gone.
 * hub_reading	Its serial while its request is still to be read, else 0.
 * hub_beat	Ten times a second: keep-alives, limits, rotation.
 * hub_stop	End all cleanly; those that take no bytes stay.
 * hub_size	Connections of any state.
 */
void	 hub_writable(struct hub *, int fd);
void	 hub_gone(struct hub *, int fd);
uint32_t hub_reading(const struct hub *, int fd);
void	 hub_beat(struct hub *);
void	 hub_stop(struct hub *);
size_t	 hub_size(const struct hub *);

/* Upper bounds of the lag histogram, ms; one more bucket for the rest. */
#define HUB_LAGS	10
extern const unsigned int hub_lag_ms[HUB_LAGS];

struct hub_stats {
	size_t		streams[HUB_KINDS];	/* open now */
	uint64_t	joined[HUB_KINDS];	/* ever */
	uint64_t	events[HUB_KINDS];	/* sent */
	uint64_t	behind[HUB_KINDS];	/* times one had to catch up */
	uint64_t	ended[HUB_KINDS][HUB_WHYS];
	uint64_t	lag[HUB_KINDS][HUB_LAGS + 1];	/* event to write */
	uint64_t	lag_ms[HUB_KINDS];	/* their sum */
};
const struct hub_stats *hub_stats(const struct hub *);

#endif
