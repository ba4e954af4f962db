/*
 * Bytes as they go to a FastCGI connection: made once, shared by all the
 * streams that get them.  References are counted without locks: a frame
 * belongs to one thread at a time.
 */

#ifndef MILLRACE_FRAME_H
#define MILLRACE_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Records (FastCGI 1.0, sections 3.3 and 8): a header, content, padding.
 * Every frame is made for the same request id; nginx uses no other.
 */
#define FRAME_VERSION		1
#define FRAME_REQUEST_ID	1
#define FRAME_HEADER		8
enum frame_type {
	FRAME_BEGIN_REQUEST	= 1,
	FRAME_END_REQUEST	= 3,
	FRAME_PARAMS		= 4,
	FRAME_STDIN		= 5,
	FRAME_STDOUT		= 6
};

struct frame {
	unsigned int	refs;
	unsigned int	events;		/* of the job, in it */
	uint64_t	born_ms;	/* when its event was recorded, by the
					   monotonic clock; 0: never mind */
	bool		last;		/* ends the request */
	size_t		len;
	unsigned char	bytes[];
};

enum frame_end { FRAME_MORE, FRAME_LAST };

/*
 * frame_new	FCGI_STDOUT records with LEN bytes of TEXT (none if it is 0);
 *		with FRAME_LAST, also what ends the request.  One reference.
 * frame_ref	One more; returns the frame.
 * frame_unref	One less; the last one frees it.  NULL does nothing.
 */
struct frame	*frame_new(const char *text, size_t len, enum frame_end);
struct frame	*frame_ref(struct frame *);
void		 frame_unref(struct frame *);

#endif
