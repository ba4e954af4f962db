/*
 * One request: what came, what goes back.
 *
 * A connection serves one request: whatever is left of a body can then never
 * be read as the records of another one.
 */

#include "req.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "accept.h"
#include "body.h"
#include "conf.h"
#include "frame.h"
#include "log.h"
#include "loop.h"
#include "utf8.h"

/* A peer from which nothing comes, or that takes nothing, for this long. */
#define SILENCE_S	60

/* Pause before accepting again when there is no descriptor for it, us. */
#define ACCEPT_US	100000

/* How long a peer may keep a worker waiting, also while others need one, ms. */
struct patience {
	uint64_t	 usual, crowded;
};

/* For a request, without its body: nginx sends it all at once. */
static const struct patience	request_ms = { 2000, 200 };

/* For a body that is read as a whole. */
static const struct patience	body_ms = { 15000, 1000 };

/* How long others have to wait, before it counts, ms. */
#define CROWD_MS	500

/* Pause before what has arrived is looked at again, ms. */
#define PART_MS		10
#define LOOK_MS		100

/* How long a peer may take to hang up when it has got its answer, ms. */
#define HANGUP_MS	2000

/* Parameters of a query string, at most. */
#define QUERY_MAX	64

struct memory {
	struct memory	*next;
	void		(*drop)(void *);	/* NULL: just memory */
	void		*what;
	max_align_t	 bytes[];
};

struct pair {
	char	*name, *value;
};

struct req_io {
	int		 fd;		/* -1: no body, output is kept */
	char *const	*envp;
	struct body	 body;
	struct memory	*memory;
	struct pair	 query[QUERY_MAX];
	size_t		 nquery;
	const char	*query_bad;
	int64_t		 body_left;	/* of what was promised; -1: unknown */
	char		*head;		/* header lines of the reply so far */
	size_t		 head_len;
	char		*out;		/* the whole reply */
	size_t		 out_len;
	bool		 replied;
};

static volatile sig_atomic_t	stopping;

/* ---- memory -------------------------------------------------------------- */

void *
req_alloc(struct req *r, size_t size)
{
	struct memory	*m = xmalloc(sizeof(*m) + size);

	m->drop = NULL;
	m->next = r->io->memory;
	r->io->memory = m;
	return m->bytes;
}

void
req_own(struct req *r, void *p, void (*drop)(void *))
{
	req_alloc(r, 0);
	r->io->memory->drop = drop;
	r->io->memory->what = p;
}

char *
req_printf(struct req *r, const char *fmt, ...)
{
	va_list	 ap;
	char	*text, *copy;
	int	 len;

	va_start(ap, fmt);
	if ((len = vasprintf(&text, fmt, ap)) == -1)
		fatal("vasprintf");
	va_end(ap);
	copy = req_alloc(r, (size_t)len + 1);
	memcpy(copy, text, (size_t)len + 1);
	free(text);
	return copy;
}

/* ---- what came ----------------------------------------------------------- */

const char *
req_param(struct req *r, const char *name)
{
	size_t	 i, len = strlen(name);

	for (i = 0; r->io->envp[i] != NULL; i++) {
		if (strncmp(r->io->envp[i], name, len) == 0 &&
		    r->io->envp[i][len] == '=')
			return r->io->envp[i] + len + 1;
	}
	return "";
}

static int
hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Decode LEN bytes of form encoding.  NULL when it is wrong. */
static char *
decode(struct req *r, const char *p, size_t len)
{
	char	*out = req_alloc(r, len + 1), *q = out;
	size_t	 i;

	for (i = 0; i < len; i++) {
		if (p[i] == '+')
			*q++ = ' ';
		else if (p[i] != '%')
			*q++ = p[i];
		else if (i + 2 < len && hex(p[i + 1]) != -1 &&
		    hex(p[i + 2]) != -1) {
			*q++ = (char)(hex(p[i + 1]) << 4 | hex(p[i + 2]));
			i += 2;
		} else
			return NULL;
	}
	*q = '\0';
	return strlen(out) == (size_t)(q - out) &&
	    utf8_valid(out, strlen(out)) ? out : NULL;
}

static void
add_pair(struct req *r, const char *p, size_t len)
{
	struct req_io	*io = r->io;
	struct pair	*pair = &io->query[io->nquery];
	const char	*eq = memchr(p, '=', len);
	size_t		 i, namelen = eq == NULL ? len : (size_t)(eq - p);

	if (len == 0)
		return;
	if (io->nquery == QUERY_MAX) {
		io->query_bad = "too many parameters";
		return;
	}
	pair->name = decode(r, p, namelen);
	pair->value = eq == NULL ? decode(r, "", 0) :
	    decode(r, eq + 1, len - namelen - 1);
	if (pair->name == NULL || pair->value == NULL) {
		io->query_bad = "not percent-encoded UTF-8 text";
		return;
	}
	for (i = 0; i < io->nquery; i++) {
		if (strcmp(io->query[i].name, pair->name) == 0)
			io->query_bad = "the same parameter twice";
	}
	io->nquery++;
}

static void
parse_query(struct req *r)
{
	const char	*p = r->query;
	size_t		 len;

	for (;;) {
		len = strcspn(p, "&");
		add_pair(r, p, len);
		if (p[len] == '\0')
			return;
		p += len + 1;
	}
}

const char *
req_query(struct req *r, const char *name)
{
	size_t	 i;

	for (i = 0; i < r->io->nquery; i++) {
		if (strcmp(r->io->query[i].name, name) == 0)
			return r->io->query[i].value;
	}
	return NULL;
}

const char *
req_query_bad(struct req *r)
{
	return r->io->query_bad;
}

const char *
req_cookie(struct req *r, const char *name)
{
	const char	*p = req_param(r, "HTTP_COOKIE");
	size_t		 len = strlen(name), end;

	while (*p != '\0') {
		p += strspn(p, " ;");
		end = strcspn(p, ";");
		if (strncmp(p, name, len) == 0 && p[len] == '=')
			return req_printf(r, "%.*s", (int)(end - len - 1),
			    p + len + 1);
		p += end;
	}
	return NULL;
}

ssize_t
req_read(struct req *r, void *buf, size_t size)
{
	struct req_io	*io = r->io;
	ssize_t		 n;

	if (io->fd == -1 || io->body_left == 0 || size == 0)
		return 0;
	if (io->body_left > 0 && (uint64_t)io->body_left < size)
		size = (size_t)io->body_left;
	n = body_read(&io->body, buf, size);
	if (io->body_left > 0 && n > 0)
		io->body_left -= n;
	/* A clean end before all that was promised is no clean end. */
	return n == 0 && io->body_left > 0 ? -1 : n;
}

bool
req_ready(const struct req *r, int ms)
{
	return r->io->fd == -1 || r->io->body_left == 0 ||
	    body_ready(&r->io->body, ms);
}

/* A look now and then may just see one that is being taken. */
bool
req_others_wait(void)
{
	static uint64_t	 since, looked;
	struct pollfd	 p = { .fd = 0, .events = POLLIN };
	uint64_t	 now = loop_now();

	if (poll(&p, 1, 0) != 1 || now - looked > CROWD_MS)
		since = now;
	looked = now;
	return now - since >= CROWD_MS;
}

/* Whether something that BEGAN then takes too long. */
static bool
is_late(uint64_t began, const struct patience *p)
{
	return loop_now() - began >=
	    (req_others_wait() ? p->crowded : p->usual);
}

int
req_body(struct req *r, size_t most, const char **body, size_t *len)
{
	uint64_t	 began = loop_now();
	char		*buf;
	size_t		 size = most + 2, used = 0;
	ssize_t		 n = 1;

	if (r->length > (int64_t)most)
		return req_fail(r, 413, "body: %lld bytes, at most %zu here",
		    (long long)r->length, most);
	if (r->length >= 0)
		size = (size_t)r->length + 2;
	buf = req_alloc(r, size);
	while (n > 0) {
		if (is_late(began, &body_ms))
			return req_fail(r, 408, "body: only %zu bytes of it "
			    "came in time", used);
		if (!req_ready(r, LOOK_MS))
			continue;
		if ((n = req_read(r, buf + used, size - 1 - used)) > 0)
			used += (size_t)n;
		if (used > most)
			return req_fail(r, 413, "body: more than %zu bytes",
			    most);
	}
	if (n == -1)
		return req_fail(r, 400, "body: ended too early");
	buf[used] = '\0';
	*body = buf;
	*len = used;
	return 0;
}

/* ---- what goes back ------------------------------------------------------ */

void
req_header(struct req *r, const char *name, const char *fmt, ...)
{
	struct req_io	*io = r->io;
	va_list		 ap;
	char		*value, *p, *q;
	size_t		 len;

	va_start(ap, fmt);
	if (vasprintf(&value, fmt, ap) == -1)
		fatal("vasprintf");
	va_end(ap);
	for (p = q = value; *p != '\0'; p++) {
		if ((unsigned char)*p >= 0x20 && *p != 0x7f)
			*q++ = *p;
	}
	*q = '\0';
	len = strlen(name) + strlen(value) + 4;
	io->head = xreallocarray(io->head, io->head_len + len + 1, 1);
	snprintf(io->head + io->head_len, len + 1, "%s: %s\r\n", name, value);
	io->head_len += len;
	free(value);
}

static const char *
reason(int status)
{
	static const struct { int status; const char *reason; } known[] = {
		{ 200, "OK" }, { 201, "Created" }, { 202, "Accepted" },
		{ 204, "No Content" }, { 304, "Not Modified" },
		{ 400, "Bad Request" }, { 401, "Unauthorized" },
		{ 403, "Forbidden" }, { 404, "Not Found" },
		{ 405, "Method Not Allowed" }, { 408, "Request Timeout" },
		{ 409, "Conflict" }, { 411, "Length Required" },
		{ 413, "Content Too Large" },
		{ 415, "Unsupported Media Type" },
		{ 422, "Unprocessable Content" },
		{ 429, "Too Many Requests" },
		{ 500, "Internal Server Error" },
		{ 503, "Service Unavailable" },
		{ 507, "Insufficient Storage" },
	};
	size_t	 i;

	for (i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (known[i].status == status)
			return known[i].reason;
	}
	return "Unknown";
}

const char *
req_reason(int status)
{
	return reason(status);
}

/* Of a stream only the beginning is known. */
static bool
goes_on(const char *type)
{
	return type != NULL && strcmp(type, "text/event-stream") == 0;
}

static void
send_answer(const struct req_io *io)
{
	struct frame	*f = frame_new(io->out, io->out_len, FRAME_LAST);
	size_t		 at;
	ssize_t		 n;

	for (at = 0; at < f->len; at += (size_t)n) {
		n = send(io->fd, f->bytes + at, f->len - at, MSG_NOSIGNAL);
		if (n <= 0)
			break;		/* nobody wants it any more */
	}
	frame_unref(f);
}

void
req_reply(struct req *r, int status, const char *type, const void *body,
    size_t len)
{
	struct req_io	*io = r->io;
	int		 n;
	size_t		 size;

	if (io->replied)
		fatalx("request answered twice: %s %s", r->method, r->path);
	io->replied = true;
	if (type != NULL)
		req_header(r, "Content-Type", "%s", type);
	if (status != 204 && status != 304 && !goes_on(type))
		req_header(r, "Content-Length", "%zu", len);
	size = io->head_len + len + 64;
	io->out = xmalloc(size);
	n = snprintf(io->out, size, "Status: %d %s\r\n%.*s\r\n", status,
	    reason(status), (int)io->head_len, io->head ? io->head : "");
	if (len > 0)
		memcpy(io->out + n, body, len);
	io->out_len = (size_t)n + len;
	if (io->fd != -1)
		send_answer(io);
}

bool
req_replied(const struct req *r)
{
	return r->io->replied;
}

const char *
req_output(const struct req *r, size_t *len)
{
	*len = r->io->out_len;
	return r->io->out;
}

int
req_fail(struct req *r, int status, const char *fmt, ...)
{
	va_list	 ap;

	va_start(ap, fmt);
	vsnprintf(r->detail, sizeof(r->detail), fmt, ap);
	va_end(ap);
	utf8_clean(r->detail);
	return status;
}

/* ---- making and freeing -------------------------------------------------- */

static bool
sane_id(const char *id)
{
	size_t	 len = strspn(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	    "abcdefghijklmnopqrstuvwxyz0123456789._-");

	return len > 0 && len <= 64 && id[len] == '\0';
}

static int64_t
content_length(struct req *r)
{
	uint64_t	 n;

	return conf_number(req_param(r, "CONTENT_LENGTH"), INT64_MAX, &n) == 0 ?
	    (int64_t)n : -1;
}

/* The path without the site's prefix, under which nginx serves us. */
static const char *
path_of(struct req *r)
{
	const char	*path = req_param(r, "DOCUMENT_URI");
	const char	*prefix = r->site->conf->prefix;
	size_t		 len = strlen(prefix);

	if (len > 0 && strncmp(path, prefix, len) == 0 && path[len] == '/')
		path += len;
	return path;
}

static struct req *
make(struct site *site, char *const *envp, int fd)
{
	struct req	*r = xcalloc(1, sizeof(*r));

	r->io = xcalloc(1, sizeof(*r->io));
	r->io->envp = envp;
	r->io->fd = r->io->body.fd = fd;
	r->site = site;
	r->method = req_param(r, "REQUEST_METHOD");
	r->path = path_of(r);
	r->query = req_param(r, "QUERY_STRING");
	r->address = req_param(r, "REMOTE_ADDR");
	r->type = req_param(r, "CONTENT_TYPE");
	r->length = r->io->body_left = content_length(r);
	if (sane_id(req_param(r, "REQUEST_ID")))
		strlcpy(r->id, req_param(r, "REQUEST_ID"), sizeof(r->id));
	else
		snprintf(r->id, sizeof(r->id), "%08x%08x", arc4random(),
		    arc4random());
	parse_query(r);
	return r;
}

struct req *
req_from(struct site *site, char *const *envp)
{
	return make(site, envp, -1);
}

void
req_free(struct req *r)
{
	struct memory	*m, *next;

	if (r == NULL)
		return;
	for (m = r->io->memory; m != NULL; m = next) {
		next = m->next;
		if (m->drop != NULL)
			m->drop(m->what);
		free(m);
	}
	free(r->io->head);
	free(r->io->out);
	free(r->io);
	free(r);
}

/* ---- serving ------------------------------------------------------------- */

static void
stop(int signo)
{
	(void)signo;
	stopping = 1;
}

static void
catch_signals(void)
{
	struct sigaction	 sa = { .sa_handler = stop };

	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGINT, &sa, NULL);
	sa.sa_handler = SIG_IGN;
	sigaction(SIGPIPE, &sa, NULL);
}

/* The next connection, or -1 when it is time to stop. */
static int
next_connection(const sigset_t *waiting)
{
	struct pollfd	 p = { .fd = 0, .events = POLLIN };
	struct timeval	 tv = { .tv_sec = SILENCE_S };
	int		 fd;

	while (!stopping) {
		if (ppoll(&p, 1, NULL, waiting) == -1)
			continue;	/* a signal: look at stopping */
		fd = accept4(0, NULL, NULL, SOCK_CLOEXEC);
		if (fd == -1) {
			if (errno == EAGAIN || errno == EINTR ||
			    errno == ECONNABORTED)
				continue;
			log_warn("accept");
			usleep(ACCEPT_US);
			continue;
		}
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
		setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
		return fd;
	}
	return -1;
}

/* Whether a request is there, or comes soon. */
static bool
has_arrived(int fd)
{
	struct pollfd	 p = { .fd = fd, .events = POLLIN };
	uint64_t	 began = loop_now();
	const char	*why;

	do {
		switch (accept_peek(fd, &why)) {
		case ACCEPT_READY:
			return true;
		case ACCEPT_NOTHING:
			poll(&p, 1, LOOK_MS);
			break;
		case ACCEPT_MORE:
			/* It is readable already, by what is there. */
			poll(NULL, 0, PART_MS);
			break;
		case ACCEPT_BAD:
			log_warnx("no request: %s", why);
			return false;
		case ACCEPT_GONE:
			return false;
		}
	} while (!is_late(began, &request_ms));
	log_warnx("no request: not whole in time");
	return false;
}

/*
 * nginx hangs up when it has read the answer.  Until then it may be sending a
 * body that nobody wants, and would take an error for a broken program.
 */
static void
hang_up(int fd)
{
	struct pollfd	 p = { .fd = fd, .events = POLLIN };
	uint64_t	 now = loop_now(), end = now + HANGUP_MS;

	shutdown(fd, SHUT_WR);
	for (; now < end && accept_drain(fd) == 0; now = loop_now())
		poll(&p, 1, (int)(end - now));
}

static void
serve(struct site *site, int fd, void (*handle)(struct req *, void *),
    void *arg)
{
	struct req	*r;
	char		**env;

	if (!has_arrived(fd) || (env = accept_take(fd)) == NULL)
		return;
	r = make(site, env, fd);
	log_subject("request %s: ", r->id);
	handle(r, arg);
	req_free(r);
	log_subject(NULL);
	free(env);
	hang_up(fd);
}

void
req_serve(struct site *site, void (*handle)(struct req *, void *), void *arg)
{
	sigset_t	 blocked, waiting;
	int		 fd;

	accept_start();
	catch_signals();		/* libfcgi has set its own */
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGTERM);
	sigaddset(&blocked, SIGINT);
	sigprocmask(SIG_BLOCK, &blocked, &waiting);
	sigdelset(&waiting, SIGTERM);
	sigdelset(&waiting, SIGINT);
	if (fcntl(0, F_SETFL, fcntl(0, F_GETFL) | O_NONBLOCK) == -1)
		fatal("listening socket");
	while ((fd = next_connection(&waiting)) != -1) {
		serve(site, fd, handle, arg);
		close(fd);
	}
}
