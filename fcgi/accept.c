/*
 * Take a FastCGI request off a connection without ever waiting for it.
 *
 * libfcgi reads a request with blocking reads and trusts the lengths in it.
 * In the hub thousands of streams would wait for one peer that stops in the
 * middle, and die with one whose lengths overflow; elsewhere a worker would.
 * So what has arrived is first looked at in place (MSG_PEEK), and libfcgi gets
 * to read only a request that is complete, bounded and well formed:
 *
 *	BEGIN_REQUEST  PARAMS...  PARAMS of length 0 | a body, perhaps
 *
 * It reads from a file in memory, and so not a byte of the body.  The
 * descriptor of that is handed to FCGX_Accept_r by presetting it, as it would
 * be after an earlier request on a kept connection; with no listening socket
 * and FCGX_Detach it then neither accepts nor waits.  FCGX_Free(r, 0) gives
 * back all memory and leaves the descriptor open.  These fields are not part
 * of the library's public interface; they have not changed from 2.4.0 on, and
 * t/unit/accept.c watches them.
 */

#include "accept.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <fcgiapp.h>

#include "frame.h"
#include "log.h"

/* The first record's content (FastCGI 1.0, section 5.1), and what it asks. */
#define BEGIN_BODY	8
#define RESPONDER	1

/* Reads of accept_drain, so that a peer who never stops holds up nobody. */
#define DRAIN_READS	16

/* What has arrived on the connection at hand: one thread accepts. */
static unsigned char	arrived[ACCEPT_MAX];

/*
 * The file in memory from which libfcgi reads.  It closes a descriptor that it
 * does not like, so it gets a duplicate, which always has the same number:
 * there is one even when no other is left.
 */
static int	memory = -1, nothing = -1, duplicate = -1;

void
accept_start(void)
{
	if (FCGX_Init() != 0)
		fatalx("libfcgi: FCGX_Init failed");
	if ((memory = memfd_create("request", MFD_CLOEXEC)) == -1)
		fatal("memfd_create");
	if ((nothing = open("/dev/null", O_RDWR | O_CLOEXEC)) == -1 ||
	    (duplicate = open("/dev/null", O_RDWR | O_CLOEXEC)) == -1)
		fatal("/dev/null");
}

/* A length of one or four bytes at P; how many it took, 0: not all there. */
static size_t
pair_length(const unsigned char *p, size_t left, uint32_t *len)
{
	if (left >= 1 && p[0] < 0x80) {
		*len = p[0];
		return 1;
	}
	if (left < 4)
		return 0;
	*len = ((uint32_t)(p[0] & 0x7f) << 24) | ((uint32_t)p[1] << 16) |
	    ((uint32_t)p[2] << 8) | p[3];
	return 4;
}

/* Whether P holds names and values whose lengths add up. */
static const char *
wrong_pairs(const unsigned char *p, size_t left)
{
	uint32_t	 name, value;
	size_t		 used;

	while (left > 0) {
		if ((used = pair_length(p, left, &name)) == 0)
			return "a length is cut off";
		p += used;
		left -= used;
		if ((used = pair_length(p, left, &value)) == 0)
			return "a length is cut off";
		p += used;
		left -= used;
		if (name > left || value > left - name)
			return "a length goes beyond the end";
		if (name == 0 || memchr(p, '=', name) != NULL)
			return "not a name";
		if (memchr(p, '\0', name + value) != NULL)
			return "a NUL byte";
		p += name + value;
		left -= name + value;
	}
	return NULL;
}

static enum accept_state
bad(const char **why, const char *what)
{
	*why = what;
	return ACCEPT_BAD;
}

/* One record: its header at P, which is complete. */
struct record {
	unsigned int	 type, id;
	size_t		 len, whole;	/* content; with header and padding */
};

static struct record
record_at(const unsigned char *p)
{
	struct record	 r = {
		.type = p[1],
		.id = ((unsigned int)p[2] << 8) | p[3],
		.len = ((size_t)p[4] << 8) | p[5],
	};

	r.whole = FRAME_HEADER + r.len + p[6];
	return r;
}

/* The body of the first record: a responder's request? */
static const char *
wrong_begin(const struct record *r, const unsigned char *body)
{
	if (r->type != FRAME_BEGIN_REQUEST || r->len != BEGIN_BODY)
		return "does not begin a request";
	if (((unsigned int)body[0] << 8 | body[1]) != RESPONDER)
		return "asks for a role other than responder";
	return NULL;
}

enum accept_state
accept_judge(const unsigned char *p, size_t len, const char **why)
{
	static unsigned char	 pairs[ACCEPT_MAX];
	struct record		 r;
	size_t			 at, n = 0;

	for (at = 0; len - at >= FRAME_HEADER; at += r.whole) {
		r = record_at(p + at);
		if (p[at] != FRAME_VERSION)
			return bad(why, "not FastCGI version 1");
		if (r.id != FRAME_REQUEST_ID)
			return bad(why, "the request id is not 1");
		if (at > 0 && r.type != FRAME_PARAMS)
			return bad(why, "a record among the parameters");
		if (r.whole > ACCEPT_MAX - at)
			return bad(why, "the parameters are too long");
		if (r.whole > len - at)
			break;
		if (at == 0) {
			if ((*why = wrong_begin(&r, p + FRAME_HEADER)) != NULL)
				return ACCEPT_BAD;
		} else if (r.len == 0) {
			*why = wrong_pairs(pairs, n);
			return *why == NULL ? ACCEPT_READY : ACCEPT_BAD;
		} else {
			memcpy(pairs + n, p + at + FRAME_HEADER, r.len);
			n += r.len;
		}
	}
	if (len >= ACCEPT_MAX)
		return bad(why, "the parameters are too long");
	return len == 0 ? ACCEPT_NOTHING : ACCEPT_MORE;
}

enum accept_state
accept_peek(int fd, const char **why)
{
	ssize_t	 n;

	n = recv(fd, arrived, sizeof(arrived), MSG_PEEK | MSG_DONTWAIT);
	if (n > 0)
		return accept_judge(arrived, (size_t)n, why);
	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return ACCEPT_NOTHING;
	return ACCEPT_GONE;
}

/* A copy in one piece: the pointers, then the texts. */
static char **
copy(char *const *envp)
{
	size_t	 i, n, size = 0, len;
	char	**out, *text;

	for (n = 0; envp[n] != NULL; n++)
		size += strlen(envp[n]) + 1;
	out = xmalloc((n + 1) * sizeof(*out) + size);
	text = (char *)(out + n + 1);
	for (i = 0; i < n; i++) {
		len = strlen(envp[i]) + 1;
		out[i] = memcpy(text, envp[i], len);
		text += len;
	}
	out[n] = NULL;
	return out;
}

/* Bytes up to the end of the parameters, of LEN that have arrived. */
static size_t
request_length(size_t len)
{
	struct record	 r;
	size_t		 at;

	for (at = 0; at + FRAME_HEADER <= len; at += r.whole) {
		r = record_at(arrived + at);
		if (r.type == FRAME_PARAMS && r.len == 0)
			return at + r.whole;
	}
	return len;
}

/* Move a request from FD to where libfcgi reads it. */
static int
move(int fd)
{
	ssize_t	 n;

	n = recv(fd, arrived, sizeof(arrived), MSG_PEEK | MSG_DONTWAIT);
	if (n > 0)
		n = recv(fd, arrived, request_length((size_t)n), MSG_DONTWAIT);
	if (n <= 0)
		return -1;
	if (pwrite(memory, arrived, (size_t)n, 0) != n ||
	    ftruncate(memory, n) == -1 || lseek(memory, 0, SEEK_SET) == -1)
		fatal("memory of a request");
	return 0;
}

char **
accept_take(int fd)
{
	FCGX_Request	 r;
	char		**env = NULL;
	int		 rc;

	if (move(fd) == -1)
		return NULL;
	if (FCGX_InitRequest(&r, -1, 0) != 0)
		fatalx("libfcgi: FCGX_InitRequest failed");
	if ((r.ipcFd = dup3(memory, duplicate, O_CLOEXEC)) == -1)
		fatal("dup3");
	r.keepConnection = 1;	/* or it would close the descriptor first */
	FCGX_Detach(&r);	/* or it would wait 2 s when it closes one */
	if ((rc = FCGX_Accept_r(&r)) == 0)
		env = copy(r.envp);
	else
		log_warnx("accept: libfcgi refused a request: %d", rc);
	FCGX_Free(&r, 0);
	if (dup3(nothing, duplicate, O_CLOEXEC) == -1)
		fatal("dup3");
	return env;
}

int
accept_drain(int fd)
{
	char	 buf[4096];
	ssize_t	 n = 1;
	int	 i;

	for (i = 0; i < DRAIN_READS && n > 0; i++)
		n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);
	if (n == 0 || (n == -1 && errno != EAGAIN && errno != EINTR))
		return -1;
	return 0;
}
