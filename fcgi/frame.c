/*
 * Bytes as they go to a FastCGI connection.
 */

#include "frame.h"

#include <stdlib.h>
#include <string.h>

#include "log.h"

/* Content of the record that ends a request (FastCGI 1.0, section 5.5). */
#define END_BODY	8

/* Content of one record: as much as fits, and a multiple of eight. */
#define CONTENT_MAX	65528

static size_t
padding(size_t len)
{
	return (8 - len % 8) % 8;
}

static unsigned char *
header(unsigned char *p, enum frame_type type, size_t len)
{
	p[0] = FRAME_VERSION;
	p[1] = (unsigned char)type;
	p[2] = 0;
	p[3] = FRAME_REQUEST_ID;
	p[4] = (unsigned char)(len >> 8);
	p[5] = (unsigned char)len;
	p[6] = (unsigned char)padding(len);
	p[7] = 0;
	return p + FRAME_HEADER;
}

static unsigned char *
content(unsigned char *p, const char *text, size_t len)
{
	p = header(p, FRAME_STDOUT, len);
	memcpy(p, text, len);
	memset(p + len, 0, padding(len));
	return p + len + padding(len);
}

struct frame *
frame_new(const char *text, size_t len, enum frame_end end)
{
	size_t		 most = len +
			     (len / CONTENT_MAX + 1) * (FRAME_HEADER + 7) +
			     2 * FRAME_HEADER + END_BODY;
	struct frame	*f = xmalloc(sizeof(*f) + most);
	unsigned char	*p = f->bytes;
	size_t		 n;

	memset(f, 0, sizeof(*f));
	f->refs = 1;
	f->last = end == FRAME_LAST;
	for (; len > 0; text += n, len -= n) {
		n = len < CONTENT_MAX ? len : CONTENT_MAX;
		p = content(p, text, n);
	}
	if (f->last) {
		p = header(p, FRAME_STDOUT, 0);
		p = header(p, FRAME_END_REQUEST, END_BODY);
		memset(p, 0, END_BODY);		/* exit 0, request complete */
		p += END_BODY;
	}
	f->len = (size_t)(p - f->bytes);
	return f;
}

struct frame *
frame_ref(struct frame *f)
{
	f->refs++;
	return f;
}

void
frame_unref(struct frame *f)
{
	if (f != NULL && --f->refs == 0)
		free(f);
}
