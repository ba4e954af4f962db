/*
 * millrace-sse: live progress, as Server-Sent Events.
 *
 * One process, two threads.  This one owns every connection and waits in one
 * place, loop_run(), for:
 *
 *	a connection to take, a request to arrive, a peer to leave
 *	a connection that takes bytes again
 *	news from the poller, which owns the database (poller.c)
 *	the beat, ten times a second, while there are connections
 *	the next slice of a job that very many follow
 *	the next writing of the metrics
 *	SIGTERM and SIGINT
 *
 * None of it blocks.  What is to be sent to whom is the hub's (hub.c).
 */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "accept.h"
#include "conf.h"
#include "follow.h"
#include "frame.h"
#include "hub.h"
#include "hubstats.h"
#include "log.h"
#include "loop.h"
#include "news.h"
#include "poller.h"
#include "req.h"
#include "site.h"
#include "token.h"

/* Descriptors for all but streams: database, files, replies that are short. */
#define RESERVE		64

/* Connections taken before the others get a turn. */
#define ACCEPT_ROUND	64

/* Bytes the kernel keeps for a reader that does not read. */
#define SEND_BUFFER	(16 * 1024)

/* How long a request may take to arrive, s. */
#define READING_S	5

/* More streams than this on one job are served in slices of so many. */
#define HOT		1000
#define SLICE		500

/* Pauses, ms. */
#define BEAT_MS		100
#define PART_MS		20	/* before looking at part of a request again */
#define SLICE_MS	5	/* between slices of a hot job */
#define HEAR_MS		5	/* of news, before the others get a turn */
#define FULL_MS		100	/* before accepting again without descriptors */
#define METRICS_MS	2000
#define STOP_STEP_MS	20
#define STOP_MS		1000	/* for streams to take their end */

struct sse {
	struct site	*site;
	const struct conf *conf;	/* the site's */
	struct loop	*loop;
	struct hub	*hub;
	struct poller	*poller;
	size_t		 most;		/* streams */
	bool		 accepting;
	struct loop_timer *beat, *slice, *hear;	/* NULL: not set */
	uint64_t	 refused[FOLLOW_LATERS];
	char		*metrics;	/* path */
	bool		 counted;	/* something since they were written */
	uint64_t	 stop_at;	/* ms; 0: not told to stop */
};

static void	listening(void *, int, unsigned int);
static void	connection(void *, int, unsigned int);

/* ---- what the hub wants done --------------------------------------------- */

static ssize_t
send_bytes(void *arg, int fd, const void *p, size_t len)
{
	ssize_t	 n = send(fd, p, len, MSG_DONTWAIT | MSG_NOSIGNAL);

	(void)arg;
	if (n == -1 && (errno == EAGAIN || errno == EINTR || errno == ENOBUFS))
		return 0;
	return n;
}

static void
await(void *arg, int fd)
{
	struct sse	*s = arg;

	loop_watch(s->loop, fd, LOOP_READ | LOOP_WRITE, connection, s);
}

static void
relax(void *arg, int fd)
{
	struct sse	*s = arg;

	loop_watch(s->loop, fd, LOOP_READ, connection, s);
}

static void
fetch(void *arg, const struct hub_need *need)
{
	struct sse	*s = arg;

	poller_fetch(s->poller, need);
}

static void
ended(void *arg, const struct hub_ended *e)
{
	static const char *const words[HUB_WHYS] = {
		[HUB_DONE] = "the job has ended",
		[HUB_ANSWERED] = "answered",
		[HUB_LEFT] = "the client left",
		[HUB_STALLED] = "the client takes no bytes",
		[HUB_ROTATED] = "old enough to connect anew",
		[HUB_REVOKED] = "the login is not valid any more",
		[HUB_DELETED] = "the job was deleted",
		[HUB_STOPPED] = "the hub stops",
		[HUB_REFUSED] = "no request",
	};
	struct sse	*s = arg;

	s->counted = true;
	accept_drain(e->fd);
	loop_forget(s->loop, e->fd);
	close(e->fd);
	if (!e->stream) {
		log_debug("stream %u: %s", e->serial, words[e->why]);
		return;
	}
	log_info("stream %u: closed: %s, after %.1f s, %u events", e->serial,
	    words[e->why], e->open_ms / 1000.0, e->events);
	poller_left(s->poller, &e->job, e->kind, e->viewer);
}

static const struct hub_io	io = {
	.send = send_bytes,
	.await = await,
	.relax = relax,
	.fetch = fetch,
	.ended = ended,
};

/* ---- slices and beats ---------------------------------------------------- */

static void	next_slice(void *);

static void
slices(struct sse *s)
{
	hub_clock(s->hub, loop_now());
	if (hub_slice(s->hub) && s->slice == NULL)
		s->slice = loop_after(s->loop, SLICE_MS, next_slice, s);
}

static void
next_slice(void *arg)
{
	struct sse	*s = arg;

	s->slice = NULL;
	slices(s);
}

static void
beat(void *arg)
{
	struct sse	*s = arg;

	hub_clock(s->hub, loop_now());
	hub_beat(s->hub);
	if (hub_size(s->hub) == 0) {
		loop_cancel(s->loop, s->beat);
		s->beat = NULL;
	}
}

/* ---- connections --------------------------------------------------------- */

static void
refuse(struct sse *s, int fd, const char *why)
{
	log_warnx("no request: %s", why);
	hub_refuse(s->hub, fd);
}

/* A request has arrived: the poller's from here. */
static void
hand_over(struct sse *s, int fd, uint32_t serial)
{
	char	**env;

	if ((env = accept_take(fd)) == NULL) {
		hub_refuse(s->hub, fd);
		return;
	}
	loop_watch(s->loop, fd, LOOP_READ, connection, s);
	hub_opening(s->hub, fd);
	poller_open(s->poller, fd, serial, env,
	    hub_size(s->hub) > s->most ? FOLLOW_FULL : FOLLOW_NOW);
}

/* A connection with a part of a request. */
struct part {
	struct sse	*s;
	int		 fd;
	uint32_t	 serial;
};

static void	look_again(void *);

/*
 * What has arrived stays where it is, so that the descriptor would be readable
 * all the time: look now and then instead.
 */
static void
wait_for_rest(struct sse *s, int fd, uint32_t serial)
{
	struct part	*p = xcalloc(1, sizeof(*p));

	p->s = s;
	p->fd = fd;
	p->serial = serial;
	loop_forget(s->loop, fd);
	loop_after(s->loop, PART_MS, look_again, p);
}

static void
read_request(struct sse *s, int fd, uint32_t serial)
{
	const char	*why;

	switch (accept_peek(fd, &why)) {
	case ACCEPT_NOTHING:
		loop_watch(s->loop, fd, LOOP_READ, connection, s);
		break;
	case ACCEPT_MORE:
		wait_for_rest(s, fd, serial);
		break;
	case ACCEPT_READY:
		hand_over(s, fd, serial);
		break;
	case ACCEPT_BAD:
		refuse(s, fd, why);
		break;
	case ACCEPT_GONE:
		hub_gone(s->hub, fd);
		break;
	}
}

static void
look_again(void *arg)
{
	struct part	*p = arg;

	hub_clock(p->s->hub, loop_now());
	if (hub_reading(p->s->hub, p->fd) == p->serial)
		read_request(p->s, p->fd, p->serial);
	free(p);
}

static void
connection(void *arg, int fd, unsigned int events)
{
	struct sse	*s = arg;
	uint32_t	 serial;

	hub_clock(s->hub, loop_now());
	if ((events & LOOP_WRITE) != 0)
		hub_writable(s->hub, fd);
	if ((events & (LOOP_READ | LOOP_HANGUP)) == 0)
		return;
	if ((serial = hub_reading(s->hub, fd)) != 0)
		read_request(s, fd, serial);
	else if (accept_drain(fd) == -1)
		hub_gone(s->hub, fd);
}

static void
accept_again(void *arg)
{
	struct sse	*s = arg;

	if (s->stop_at != 0)
		return;
	s->accepting = true;
	loop_watch(s->loop, 0, LOOP_READ, listening, s);
}

/* New connections wait in the kernel for a moment. */
static void
pause_accepting(struct sse *s)
{
	if (!s->accepting)
		return;
	s->accepting = false;
	loop_forget(s->loop, 0);
	loop_after(s->loop, FULL_MS, accept_again, s);
}

static void
add_connection(struct sse *s, int fd)
{
	int		 size = SEND_BUFFER;
	uint32_t	 serial;

	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)) == -1)
		log_warn("SO_SNDBUF");
	serial = hub_add(s->hub, fd);
	if (s->beat == NULL)
		s->beat = loop_every(s->loop, BEAT_MS, beat, s);
	read_request(s, fd, serial);
}

/* Whether errno says that the peer is at fault, or a passing signal. */
static bool
is_harmless(int error)
{
	return error == EINTR || error == ECONNABORTED || error == EPROTO;
}

static void
listening(void *arg, int listener, unsigned int events)
{
	struct sse	*s = arg;
	int		 fd, i;

	(void)events;
	hub_clock(s->hub, loop_now());
	for (i = 0; i < ACCEPT_ROUND; i++) {
		if (hub_size(s->hub) >= s->most + RESERVE / 2) {
			pause_accepting(s);
			return;
		}
		fd = accept4(listener, NULL, NULL,
		    SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd != -1)
			add_connection(s, fd);
		else if (errno == EAGAIN)
			return;
		else if (!is_harmless(errno)) {
			log_warn("accept");
			pause_accepting(s);
			return;
		}
	}
}

/* ---- news from the poller ------------------------------------------------ */

static void
join(struct sse *s, const struct news *n)
{
	if (hub_join(s->hub, n->fd, n->serial, &n->join, n->frame) == -1)
		poller_left(s->poller, &n->join.job, n->join.kind,
		    n->join.viewer);
}

static void
hear(struct sse *s, struct news *n)
{
	static const char	 away[] = ": the database is away; what is "
				    "missed follows when it is back\n\n";

	switch (n->type) {
	case NEWS_ANSWER:
		s->refused[n->later]++;
		hub_answer(s->hub, n->fd, n->serial, n->frame);
		break;
	case NEWS_JOIN:
		join(s, n);
		break;
	case NEWS_EVENT:
		hub_publish(s->hub, &n->job, n->seq, n->frames);
		break;
	case NEWS_CATCH_UP:
		hub_catch_up(s->hub, n->fd, n->serial, n->frame, n->seq);
		break;
	case NEWS_GONE:
		hub_drop(s->hub, &n->job);
		break;
	case NEWS_REVOKED:
		hub_revoke(s->hub, n->viewers, n->nviewers);
		break;
	case NEWS_AWAY:
		hub_notice(s->hub, away);
		break;
	case NEWS_BACK:
		hub_notice(s->hub, NULL);
		break;
	}
}

static void
hear_all(void *arg)
{
	struct sse		*s = arg;
	struct news	*n;
	uint64_t		 begun = loop_now(), now = begun;

	s->hear = NULL;
	s->counted = true;
	while (now - begun < HEAR_MS) {
		hub_clock(s->hub, now);
		if ((n = poller_next(s->poller)) == NULL) {
			slices(s);
			return;
		}
		hear(s, n);
		news_free(n);
		now = loop_now();
	}
	slices(s);
	s->hear = loop_after(s->loop, 0, hear_all, s);
}

static void
news(void *arg, int fd, unsigned int events)
{
	struct sse	*s = arg;

	(void)fd;
	(void)events;
	if (s->hear == NULL)
		hear_all(s);
}

/* ---- stopping ------------------------------------------------------------ */

static void
write_metrics(void *arg)
{
	struct sse	*s = arg;

	if (s->counted || hub_size(s->hub) > 0)
		hubstats_write(s->metrics, hub_stats(s->hub), s->refused);
	s->counted = false;
}

static void
stop_if_ended(void *arg)
{
	struct sse	*s = arg;

	if (hub_size(s->hub) == 0 || loop_now() >= s->stop_at)
		loop_stop(s->loop);
}

/* Clients reconnect, and nginx answers them until the next hub is there. */
static void
stop(void *arg, int signo)
{
	struct sse	*s = arg;

	if (s->stop_at != 0)
		return;
	log_info("signal %d: ending %zu connections", signo, hub_size(s->hub));
	s->stop_at = loop_now() + STOP_MS;
	loop_forget(s->loop, 0);
	s->accepting = false;
	hub_clock(s->hub, loop_now());
	hub_stop(s->hub);
	loop_every(s->loop, STOP_STEP_MS, stop_if_ended, s);
}

/* ---- starting ------------------------------------------------------------ */

/* As many descriptors as we may have; all but a few are for streams. */
static size_t
count_descriptors(void)
{
	struct rlimit	 l;

	if (getrlimit(RLIMIT_NOFILE, &l) == -1)
		fatal("RLIMIT_NOFILE");
	l.rlim_cur = l.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &l) == -1 ||
	    getrlimit(RLIMIT_NOFILE, &l) == -1)
		fatal("RLIMIT_NOFILE");
	if (l.rlim_cur <= 2 * RESERVE)
		fatalx("%llu descriptors are too few (ulimit -n)",
		    (unsigned long long)l.rlim_cur);
	return l.rlim_cur - RESERVE;
}

static void
set_limit(struct sse *s)
{
	s->most = count_descriptors();
	if (s->conf->streams != 0 && s->conf->streams < s->most)
		s->most = s->conf->streams;
	log_info("up to %zu streams", s->most);
}

static void
make_hub(struct sse *s)
{
	struct hub_settings	 set = {
		.keepalive_s = s->conf->keepalive_s,
		.stalled_s = s->conf->stalled_s,
		.reading_s = READING_S,
		.hot = HOT,
		.slice = SLICE,
	};

	s->hub = hub_new(&io, s, &set, loop_now());
	xasprintf(&s->metrics, "%s/sse.metrics", s->conf->sockets);
	s->counted = true;
	write_metrics(s);
}

static void
watch_all(struct sse *s)
{
	accept_start();
	signal(SIGHUP, SIG_IGN);	/* after libfcgi, which sets its own */
	loop_signal(s->loop, SIGTERM, stop, s);
	loop_signal(s->loop, SIGINT, stop, s);
	if (fcntl(0, F_SETFL, fcntl(0, F_GETFL) | O_NONBLOCK) == -1)
		fatal("listening socket");
	s->accepting = true;
	loop_watch(s->loop, 0, LOOP_READ, listening, s);
	loop_watch(s->loop, poller_fd(s->poller), LOOP_READ, news, s);
	loop_every(s->loop, METRICS_MS, write_metrics, s);
}

int
main(int argc, char **argv)
{
	static struct sse	 s;

	s.site = site_open(argc, argv, "sse");
	s.conf = s.site->conf;
	s.site->keys = token_keys_new(s.conf);
	set_limit(&s);
	s.loop = loop_new();
	make_hub(&s);
	s.poller = poller_start(s.conf, s.site->keys);
	watch_all(&s);

	loop_run(s.loop);

	write_metrics(&s);
	if (poller_stop(s.poller) == -1)
		_exit(0);		/* its thread still runs */
	hub_free(s.hub);
	loop_free(s.loop);
	free(s.metrics);
	return 0;
}
