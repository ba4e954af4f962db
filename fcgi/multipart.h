/*
 * multipart/form-data (RFC 7578; RFC 2046, 5.1), read piece by piece in flat
 * memory, whatever its size.  Pure: no I/O, and no memory but its own.
 *
 * The caller reads into the parser's window and asks what there is:
 *
 *	while ((event = multipart_next(m, &item)) != MULTIPART_END) {
 *		if (event == MULTIPART_MORE) {
 *			p = multipart_space(m, &room);
 *			multipart_add(m, read(fd, p, room));
 *		}
 *		...
 *	}
 *
 * How the input is cut into pieces never changes what comes out.
 *
 * A part with a file name is a file and is handed on as it comes; one without
 * is a text field and is handed over whole.  Fields and files come in any
 * order.  Text is UTF-8.  What other parsers might understand in another way
 * (lines that end with LF alone, folded headers, the same parameter twice) is
 * refused.
 */

#ifndef MILLRACE_MULTIPART_H
#define MILLRACE_MULTIPART_H

#include <stddef.h>

/* Longest boundary (RFC 2046), with its NUL. */
#define MULTIPART_BOUNDARY	71

/* Longest name of a field or file, bytes, with its NUL. */
#define MULTIPART_NAME		256

/* Most of one text field, and of all of them with their names: bytes. */
#define MULTIPART_FIELD_MAX	(64 * 1024)
#define MULTIPART_FIELDS_MAX	(1024 * 1024)

/* Most header bytes and lines of a part, parts, and files among them. */
#define MULTIPART_HEADER_MAX	(16 * 1024)
#define MULTIPART_HEADERS_MAX	32
#define MULTIPART_PARTS_MAX	1000
#define MULTIPART_FILES_MAX	16

enum multipart_event {
	MULTIPART_MORE,		/* nothing, before more bytes have come */
	MULTIPART_FIELD,	/* a text field: name, data, len */
	MULTIPART_FILE,		/* a file begins: name, filename */
	MULTIPART_DATA,		/* bytes of it: data, len; never none */
	MULTIPART_FILE_END,	/* it is whole */
	MULTIPART_END,		/* the last boundary: all is well */
	MULTIPART_BAD		/* status, error; and so from now on */
};

/* What there is.  The pointers die with the next call. */
struct multipart_item {
	const char	*name;		/* not empty, no control bytes */
	const char	*filename;	/* without directories or control bytes;
					   "": the client chose no file */
	const char	*data;		/* of a field: also NUL-terminated, with
					   no other NUL */
	size_t		 len;
	int		 status;	/* 400, or 413 where it is too much */
	const char	*error;		/* a sentence for the client */
};

struct multipart;

/*
 * multipart_boundary Take the boundary from a Content-Type.  0; 1 when the type
 *		is not multipart/form-data; -1 when it has no usable boundary.
 * multipart_new With such a BOUNDARY.  multipart_free(NULL) does nothing.
 * multipart_next What there is.
 * multipart_space After MULTIPART_MORE: where to put the next bytes, and the
 *		room for them (always some).
 * multipart_add Say how many were put there; 0: that was the end of the body.
 */
int		  multipart_boundary(const char *type,
		      char[MULTIPART_BOUNDARY]);
struct multipart *multipart_new(const char *boundary);
void		  multipart_free(struct multipart *);
enum multipart_event multipart_next(struct multipart *,
		      struct multipart_item *);
char		 *multipart_space(struct multipart *, size_t *room);
void		  multipart_add(struct multipart *, size_t);

#endif
