/*
 * The body of a FastCGI request, read off the connection as it comes.
 */

#include "body.h"

#include <poll.h>
#include <sys/socket.h>

#include "frame.h"
#include "log.h"

/* All of LEN bytes that the peer sends in one piece with others. */
static int
read_all(struct body *b, void *p, size_t len)
{
	return recv(b->fd, p, len, MSG_WAITALL) == (ssize_t)len ? 0 : -1;
}

/* What stands before the content of a record. */
static int
next_record(struct body *b)
{
	unsigned char	 h[FRAME_HEADER];

	if (read_all(b, h, sizeof(h)) == -1)
		return -1;
	if (h[0] != FRAME_VERSION || h[1] != FRAME_STDIN || h[2] != 0 ||
	    h[3] != FRAME_REQUEST_ID) {
		log_warnx("a record of type %d within the body", h[1]);
		return -1;
	}
	b->left = (size_t)h[4] << 8 | h[5];
	b->padding = h[6];
	b->over = b->left == 0;
	return 0;
}

/* It was sent with the content: then only what is news makes FD readable. */
static int
skip_padding(struct body *b)
{
	unsigned char	 padding[255];
	size_t		 len = b->padding;

	b->padding = 0;
	return len == 0 ? 0 : read_all(b, padding, len);
}

ssize_t
body_read(struct body *b, void *p, size_t size)
{
	ssize_t	 n;

	if (b->left == 0 && !b->over && next_record(b) == -1)
		return -1;
	if (b->over)
		return 0;
	n = recv(b->fd, p, size < b->left ? size : b->left, 0);
	if (n <= 0)
		return -1;
	b->left -= (size_t)n;
	if (b->left == 0 && skip_padding(b) == -1)
		return -1;
	return n;
}

bool
body_ready(const struct body *b, int ms)
{
	struct pollfd	 p = { .fd = b->fd, .events = POLLIN };

	return b->over || poll(&p, 1, ms) == 1;
}
