/*
 * Any body: how it is cut into pieces changes nothing, no more comes out than
 * went in, and no name has a directory or a control character in it.
 *
 * The first byte of the input says how it is cut; the boundary is "b".
 */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "multipart.h"

/* All that came out, one thing after the other. */
struct tale {
	char	*p;
	size_t	 len;
};

int	LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static void
must(int holds, const char *what)
{
	if (!holds) {
		fprintf(stderr, "broken: %s\n", what);
		abort();
	}
}

static void
tell(struct tale *t, char kind, const char *p, size_t len)
{
	t->p[t->len++] = kind;
	memcpy(t->p + t->len, p, len);
	t->len += len;
}

static void
check_name(const char *name)
{
	const char	*p;

	must(strlen(name) < MULTIPART_NAME, "names are short");
	for (p = name; *p != '\0'; p++)
		must((unsigned char)*p >= 0x20 && *p != 0x7f,
		    "no control characters in names");
}

static void
tell_item(struct tale *t, enum multipart_event event,
    const struct multipart_item *item)
{
	switch (event) {
	case MULTIPART_FIELD:
		check_name(item->name);
		must(item->len <= MULTIPART_FIELD_MAX, "fields are short");
		must(strlen(item->data) == item->len, "text has no NUL");
		tell(t, 'F', item->name, strlen(item->name));
		tell(t, '=', item->data, item->len);
		break;
	case MULTIPART_FILE:
		check_name(item->name);
		check_name(item->filename);
		must(strpbrk(item->filename, "/\\") == NULL, "no directories");
		tell(t, 'f', item->name, strlen(item->name));
		tell(t, '>', item->filename, strlen(item->filename));
		break;
	case MULTIPART_DATA:
		must(item->len > 0, "data is something");
		memcpy(t->p + t->len, item->data, item->len);
		t->len += item->len;
		break;
	case MULTIPART_FILE_END:
		tell(t, '|', "", 0);
		break;
	case MULTIPART_END:
		tell(t, '.', "", 0);
		break;
	case MULTIPART_BAD:
		must(item->status == 400 || item->status == 413, "status");
		tell(t, '!', item->error, strlen(item->error));
		break;
	case MULTIPART_MORE:
		break;
	}
}

/* As in the unit test: data of a file that ends in an error may vary. */
static struct tale
parse(const uint8_t *body, size_t len, size_t piece)
{
	struct multipart	*m = multipart_new("b");
	struct multipart_item	 item;
	enum multipart_event	 event;
	/* Each part of a body is longer than what is told besides its text. */
	struct tale		 t = { malloc(len + 1024), 0 };
	size_t			 room, n, mark = 0, all = len;
	char			*space;

	must(t.p != NULL, "memory");
	while ((event = multipart_next(m, &item)) != MULTIPART_END &&
	    event != MULTIPART_BAD) {
		tell_item(&t, event, &item);
		must(t.len <= all, "no more comes out than went in");
		if (event == MULTIPART_FILE)
			mark = t.len;
		if (event == MULTIPART_FILE_END)
			mark = 0;
		if (event != MULTIPART_MORE)
			continue;
		space = multipart_space(m, &room);
		must(room > 0, "there is room");
		n = len < piece ? len : piece;
		n = n < room ? n : room;
		memcpy(space, body, n);
		multipart_add(m, n);
		body += n;
		len -= n;
	}
	if (event == MULTIPART_BAD && mark > 0)
		t.len = mark;
	tell_item(&t, event, &item);
	multipart_free(m);
	return t;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tale	 whole, cut;

	if (size < 1)
		return 0;
	whole = parse(data + 1, size - 1, SIZE_MAX);
	cut = parse(data + 1, size - 1, (size_t)data[0] + 1);
	must(whole.len == cut.len && memcmp(whole.p, cut.p, cut.len) == 0,
	    "pieces make no difference");
	free(whole.p);
	free(cut.p);
	return 0;
}
