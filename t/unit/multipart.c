/* multipart/form-data: what comes out, whatever the pieces that go in. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "multipart.h"

/* The boundary of all bodies here, and what they are put together from. */
#define B	"bnd"
#define NEXT	"\r\n--" B "\r\n"
#define FIRST	"--" B "\r\n"
#define LAST	"\r\n--" B "--\r\n"
#define CD	"Content-Disposition: form-data; "
#define TEXT(name)		CD "name=\"" name "\"\r\n\r\n"
#define UPLOAD(name, file)	CD "name=\"" name "\"; filename=\"" file \
	"\"\r\nContent-Type: application/octet-stream\r\n\r\n"

/* ---- a parse, told as text --------------------------------------------- */

struct tale {
	char	*p;
	size_t	 len, size;
};

static void
tell(struct tale *t, const void *p, size_t len)
{
	if (t->len + len + 1 > t->size) {
		t->size = (t->len + len + 1) * 2;
		t->p = realloc(t->p, t->size);
		assert_non_null(t->p);
	}
	memcpy(t->p + t->len, p, len);
	t->len += len;
	t->p[t->len] = '\0';
}

static void
say(struct tale *t, const char *text)
{
	tell(t, text, strlen(text));
}

static void
tell_item(struct tale *t, enum multipart_event event,
    const struct multipart_item *item)
{
	char	 line[64];

	switch (event) {
	case MULTIPART_FIELD:
		say(t, item->name);
		say(t, "=");
		tell(t, item->data, item->len);
		say(t, "|");
		assert_int_equal(item->data[item->len], '\0');
		break;
	case MULTIPART_FILE:
		say(t, item->name);
		say(t, " <");
		say(t, item->filename);
		say(t, ">");
		break;
	case MULTIPART_DATA:
		assert_true(item->len > 0);
		tell(t, item->data, item->len);
		break;
	case MULTIPART_FILE_END:
		say(t, "|");
		break;
	case MULTIPART_END:
		say(t, "end");
		break;
	case MULTIPART_BAD:
		snprintf(line, sizeof(line), "%d ", item->status);
		say(t, line);
		say(t, item->error);
		break;
	case MULTIPART_MORE:
		break;
	}
}

/* How a body is cut: a first piece, and pieces of another length after it. */
struct cut {
	size_t	 first, then;
};
static const struct cut	 uncut = { SIZE_MAX, SIZE_MAX };

/*
 * Data of a file that ends in an error may have been handed on or not, as it
 * came; so that part of the tale is left out with it.
 */
static char *
parse(const char *boundary, const char *body, size_t len, struct cut cut)
{
	struct multipart	*m = multipart_new(boundary);
	struct multipart_item	 item;
	struct tale		 t = { 0 };
	enum multipart_event	 event;
	size_t			 room, n, piece = cut.first, mark = 0;
	char			*space;

	say(&t, "");
	while ((event = multipart_next(m, &item)) != MULTIPART_END &&
	    event != MULTIPART_BAD) {
		tell_item(&t, event, &item);
		if (event == MULTIPART_FILE)
			mark = t.len;
		if (event == MULTIPART_FILE_END)
			mark = 0;
		if (event != MULTIPART_MORE)
			continue;
		space = multipart_space(m, &room);
		assert_true(room > 0);
		n = len < piece ? len : piece;
		n = n < room ? n : room;
		memcpy(space, body, n);
		multipart_add(m, n);
		body += n;
		len -= n;
		piece = cut.then;
	}
	if (event == MULTIPART_BAD && mark > 0)
		t.len = mark;
	tell_item(&t, event, &item);

	/* It stays what it is. */
	assert_int_equal(multipart_next(m, &item), event);
	multipart_free(m);
	return t.p;
}

/* ---- cases ------------------------------------------------------------- */

static const struct {
	const char	*body;
	size_t		 len;		/* 0: up to the first NUL */
	const char	*tale;
} cases[] = {
	/* As clients send it. */
	{ FIRST TEXT("pipeline") "video" NEXT UPLOAD("file", "a.mp4") "DATA"
	    LAST, 0, "pipeline=video|file <a.mp4>DATA|end" },
	{ FIRST UPLOAD("file", "a.mp4") "DATA" NEXT TEXT("pipeline") "video"
	    LAST, 0, "file <a.mp4>DATA|pipeline=video|end" },
	{ FIRST TEXT("a") "" NEXT UPLOAD("f", "e") "" LAST, 0,
	    "a=|f <e>|end" },
	{ FIRST UPLOAD("f", "") LAST, 0, "f <>|end" },
	{ FIRST UPLOAD("f", "1") "x" NEXT UPLOAD("f", "2") "y" LAST, 0,
	    "f <1>x|f <2>y|end" },
	{ FIRST CD "name=a\r\n\r\n1" LAST, 0, "a=1|end" },
	{ FIRST "content-disposition:form-data;NAME=a;FileName=x.y\r\n\r\n1"
	    LAST, 0, "a <x.y>1|end" },
	{ FIRST "CONTENT-DISPOSITION: \tform-data ; name = \"a\"\r\n\r\n1"
	    LAST, 0, "400 part 1: its Content-Disposition cannot be read" },
	{ FIRST CD " name=\"a\" ; \t filename=\"b\" ;\r\n\r\n1" LAST, 0,
	    "a <b>1|end" },
	{ FIRST "X-Other: \xff\r\n" TEXT("a") "1" LAST, 0, "a=1|end" },
	{ "--" B "--", 0, "end" },
	{ "--" B "--\r\n", 0, "end" },
	{ FIRST TEXT("a") "1\r\n--" B "--", 0, "a=1|end" },

	/* Before the first delimiter and after the last. */
	{ "\r\n" FIRST TEXT("a") "1" LAST, 0, "a=1|end" },
	{ "This is MIME.\r\n--\r\n--bn\r\n" FIRST TEXT("a") "1" LAST, 0,
	    "a=1|end" },
	{ FIRST TEXT("a") "1" LAST "--" B "\r\nrubbish\r\n--" B "--", 0,
	    "a=1|end" },
	{ FIRST TEXT("a") "1\r\n--" B "--rest", 0, "a=1|end" },

	/* Near misses are data. */
	{ FIRST UPLOAD("f", "x") "\r\n--" B "x\r\n--bn\r\n-\r\n\r\r\n--bnx"
	    LAST, 0, "f <x>\r\n--" B "x\r\n--bn\r\n-\r\n\r\r\n--bnx|end" },
	{ FIRST UPLOAD("f", "x") "--" B "\r\n\n--" B "\r\n--" B " x" LAST, 0,
	    "f <x>--" B "\r\n\n--" B "\r\n--" B " x|end" },
	{ FIRST UPLOAD("f", "x") "\r\n--" B "-\r\n--" B "\r" LAST, 0,
	    "f <x>\r\n--" B "-\r\n--" B "\r|end" },
	{ FIRST UPLOAD("f", "x") "\r\n--" B "\r" "\r\n--" B "\r" LAST, 0,
	    "f <x>\r\n--" B "\r" "\r\n--" B "\r|end" },
	{ FIRST UPLOAD("f", "x") "\r\n--" B " -- " LAST, 0,
	    "f <x>\r\n--" B " -- |end" },
	{ FIRST UPLOAD("f", "x") "end\r" LAST, 0, "f <x>end\r|end" },
	{ FIRST UPLOAD("f", "x") "end\r\n" LAST, 0, "f <x>end\r\n|end" },
	{ FIRST UPLOAD("f", "x") "end\r\n--" LAST, 0,
	    "f <x>end\r\n--|end" },
	{ FIRST UPLOAD("f", "x") "end\n" LAST, 0, "f <x>end\n|end" },
	{ FIRST UPLOAD("f", "x") "\r\r\r\r\r" LAST, 0,
	    "f <x>\r\r\r\r\r|end" },
	{ FIRST UPLOAD("f", "x") "a\r\n--" B "                                "
	    "                                 \r\nb" LAST, 0,
	    "f <x>a\r\n--" B "                                "
	    "                                 \r\nb|end" },

	/* Blanks after a delimiter are not. */
	{ "--" B " \t\r\n" TEXT("a") "1\r\n--" B "  \r\n" TEXT("b") "2" LAST, 0,
	    "a=1|b=2|end" },

	/* Names. */
	{ FIRST UPLOAD("f", "a\\\"b.txt") "1" LAST, 0, "f <a\"b.txt>1|end" },
	{ FIRST UPLOAD("f", "a%22b%0D%0a100%.txt") "1" LAST, 0,
	    "f <a\"b__100%.txt>1|end" },
	{ FIRST UPLOAD("f", "%41%00%2f") "1" LAST, 0, "f <%41%00%2f>1|end" },
	{ FIRST UPLOAD("f", "C:\\Users\\me\\clip.mov") "1" LAST, 0,
	    "f <clip.mov>1|end" },
	{ FIRST UPLOAD("f", "../../etc/passwd") "1" LAST, 0,
	    "f <passwd>1|end" },
	{ FIRST UPLOAD("f", "dir/") "1" LAST, 0, "f <>1|end" },
	{ FIRST UPLOAD("f", "a\tb") "1" LAST, 0, "f <a_b>1|end" },
	{ FIRST UPLOAD("f", "a; name=\\\"x\\\"; b=c.txt") "1" LAST, 0,
	    "f <a; name=\"x\"; b=c.txt>1|end" },
	{ FIRST UPLOAD("f", "\xd0\xb2\xd0\xb8\xd0\xb4\xd0\xb5\xd0\xbe \xf0\x9f"
	    "\x8e\xac.mp4") "1" LAST, 0, "f <\xd0\xb2\xd0\xb8\xd0\xb4\xd0\xb5"
	    "\xd0\xbe \xf0\x9f\x8e\xac.mp4>1|end" },
	{ FIRST TEXT("a%22b") "1" LAST, 0, "a\"b=1|end" },
	{ FIRST CD "name=f; filename=old; filename*=utf-8''%e2%82%ac%20rates"
	    "\r\n\r\n1" LAST, 0, "f <\xe2\x82\xac rates>1|end" },
	{ FIRST CD "name=f; filename*=UTF-8'de'a%2Fb%09c\r\n\r\n1" LAST, 0,
	    "f <b_c>1|end" },
	{ FIRST CD "name=f; filename=old; filename*=utf-8''%ff\r\n\r\n1" LAST,
	    0, "f <old>1|end" },
	{ FIRST CD "name=f; filename=old; filename*=latin1''a\r\n\r\n1" LAST,
	    0, "f <old>1|end" },
	{ FIRST CD "name=f; filename*=utf-8''%f\r\n\r\n1" LAST, 0,
	    "400 part 1: its filename* is not UTF-8''..." },
	{ FIRST CD "name=f; filename*=utf-8''a%00b\r\n\r\n1" LAST, 0,
	    "400 part 1: its filename* is not UTF-8''..." },
	{ FIRST UPLOAD("f", "\xe9t\xe9.mp4") "1" LAST, 0,
	    "400 part 1: its file name is not UTF-8" },
	{ FIRST TEXT("\xc0\xaf") "1" LAST, 0,
	    "400 part 1: its name is not UTF-8" },
	{ FIRST TEXT("") "1" LAST, 0, "400 part 1: its name is empty" },
	{ FIRST TEXT("a%0d%0aX: y") "1" LAST, 0,
	    "400 part 1: its name has a control character" },
	{ FIRST TEXT("a\tb") "1" LAST, 0,
	    "400 part 1: its name has a control character" },
	{ FIRST TEXT("a\x01") "1" LAST, 0,
	    "400 part 1: control character in a header" },
	{ FIRST UPLOAD("f", "a\x7f") "1" LAST, 0,
	    "400 part 1: control character in a header" },
	{ FIRST CD "name=\"a\0b\"\r\n\r\n1" LAST,
	    sizeof(FIRST CD "name=\"a\0b\"\r\n\r\n1" LAST) - 1,
	    "400 part 1: control character in a header" },

	/* Parameters. */
	{ FIRST CD "name=a; name=b\r\n\r\n1" LAST, 0,
	    "400 part 1: its Content-Disposition has two name" },
	{ FIRST CD "name=a; filename=b; FILENAME=c\r\n\r\n1" LAST, 0,
	    "400 part 1: its Content-Disposition has two FILENAME" },
	{ FIRST CD "filename=b\r\n\r\n1" LAST, 0,
	    "400 part 1: its Content-Disposition has no name" },
	{ FIRST CD "name=\"a\r\n\r\n1" LAST, 0,
	    "400 part 1: its Content-Disposition cannot be read" },
	{ FIRST CD "name=\"a\"b\r\n\r\n1" LAST, 0,
	    "400 part 1: its Content-Disposition cannot be read" },
	{ FIRST CD "name=a\"b\"\r\n\r\n1" LAST, 0,
	    "400 part 1: its Content-Disposition cannot be read" },
	{ FIRST CD "name=a b\r\n\r\n1" LAST, 0,
	    "400 part 1: its Content-Disposition cannot be read" },
	{ FIRST CD "name\r\n\r\n1" LAST, 0,
	    "400 part 1: its Content-Disposition cannot be read" },
	{ FIRST CD "name=\r\n\r\n1" LAST, 0,
	    "400 part 1: its Content-Disposition cannot be read" },
	{ FIRST CD "=a\r\n\r\n1" LAST, 0,
	    "400 part 1: its Content-Disposition cannot be read" },
	{ FIRST "Content-Disposition: form-data\r\n\r\n1" LAST, 0,
	    "400 part 1: its Content-Disposition has no name" },
	{ FIRST "Content-Disposition: attachment; name=a\r\n\r\n1" LAST, 0,
	    "400 part 1: its Content-Disposition is not form-data" },
	{ FIRST "Content-Disposition:\r\n\r\n1" LAST, 0,
	    "400 part 1: its Content-Disposition is not form-data" },

	/* Headers. */
	{ FIRST "\r\n1" LAST, 0, "400 part 1: no Content-Disposition" },
	{ FIRST "Content-Type: text/plain\r\n\r\n1" LAST, 0,
	    "400 part 1: no Content-Disposition" },
	{ FIRST CD "name=a\r\n" TEXT("b") "1" LAST, 0,
	    "400 part 1: two Content-Disposition headers" },
	{ FIRST CD "\r\n name=a\r\n\r\n1" LAST, 0,
	    "400 part 1: its Content-Disposition has no name" },
	{ FIRST CD "name=a;\r\n filename=b\r\n\r\n1" LAST, 0,
	    "400 part 1: folded header" },
	{ FIRST "nonsense\r\n" TEXT("a") "1" LAST, 0,
	    "400 part 1: a line among its headers is none" },
	{ FIRST "Bad Name: x\r\n" TEXT("a") "1" LAST, 0,
	    "400 part 1: a line among its headers is none" },
	{ FIRST ": x\r\n" TEXT("a") "1" LAST, 0,
	    "400 part 1: a line among its headers is none" },
	{ FIRST "X: a\rb\r\n" TEXT("a") "1" LAST, 0,
	    "400 part 1: control character in a header" },
	{ FIRST "Content-Length: 99\r\n" TEXT("a") "1" LAST, 0, "a=1|end" },
	{ FIRST "Content-Transfer-Encoding: Binary\r\n" TEXT("a") "1" LAST, 0,
	    "a=1|end" },
	{ FIRST "Content-Transfer-Encoding: base64\r\n" UPLOAD("f", "x")
	    "QQ==" LAST, 0, "400 part 1: Content-Transfer-Encoding \"base64\": "
	    "send the bytes as they are" },
	{ FIRST "Content-Type: multipart/mixed; boundary=c\r\n" TEXT("a")
	    "--c\r\n\r\n1\r\n--c--" LAST, 0,
	    "400 part 1: field \"a\": a multipart within a multipart" },
	{ FIRST CD "name=f; filename=page.mhtml\r\n"
	    "Content-Type: multipart/related; boundary=c\r\n\r\n--c--" LAST, 0,
	    "f <page.mhtml>--c--|end" },

	/* Text. */
	{ FIRST TEXT("a") "\xc3\xa4\r\n\t" LAST, 0,
	    "a=\xc3\xa4\r\n\t|end" },
	{ FIRST TEXT("a") "\xe4" LAST, 0,
	    "400 part 1: field \"a\" is not text in UTF-8" },
	{ FIRST TEXT("a") "\xed\xa0\x80" NEXT, 0,
	    "400 part 1: field \"a\" is not text in UTF-8" },
	{ FIRST TEXT("a") "\xf4\x90\x80\x80" NEXT, 0,
	    "400 part 1: field \"a\" is not text in UTF-8" },
	{ FIRST TEXT("a") "1\0002" LAST,
	    sizeof(FIRST TEXT("a") "1\0002" LAST) - 1,
	    "400 part 1: field \"a\" is not text in UTF-8" },

	/* Lines that end with LF alone. */
	{ "--" B "\n" CD "name=a\n\n1\n--" B "--\n", 0,
	    "400 a line ends with LF alone, not with CR LF" },
	{ FIRST CD "name=a\n\n1" LAST, 0,
	    "400 part 1: a line ends with LF alone, not with CR LF" },
	{ FIRST CD "name=a\r\n\n1" LAST, 0,
	    "400 part 1: a line ends with LF alone, not with CR LF" },
	{ FIRST TEXT("a") "1\r\n--" B " \n" TEXT("b") "2" LAST, 0,
	    "400 part 1: a line ends with LF alone, not with CR LF" },

	/* It never begins, or never ends. */
	{ "", 0, "400 the body has no line with the boundary" },
	{ "--other\r\n" TEXT("a") "1\r\n--other--", 0,
	    "400 the body has no line with the boundary" },
	{ FIRST, 0, "400 part 1: the body ends among the headers" },
	{ FIRST TEXT("a") "1", 0,
	    "400 part 1: the body ends before the last boundary" },
	{ FIRST TEXT("a") "1" NEXT, 0,
	    "a=1|400 part 2: the body ends among the headers" },
	{ FIRST UPLOAD("f", "x") "1\r\n--" B "-", 0,
	    "f <x>400 part 1: the body ends before the last boundary" },
};

static void
fail_case(const char *body, struct cut cut, const char *got, const char *want)
{
	fail_msg("cut %zu, %zu of:\n%s\ngives:  %s\nwanted: %s", cut.first,
	    cut.then, body, got, want);
}

static void
check(const char *body, size_t len, struct cut cut, const char *want)
{
	char	*got = parse(B, body, len, cut);

	if (strcmp(got, want) != 0)
		fail_case(body, cut, got, want);
	free(got);
}

/* Each case: whole, cut in two at every place, and in pieces of any size. */
static void
every_case(void **state)
{
	struct cut	 cut;
	size_t		 i, len, n;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		len = cases[i].len ? cases[i].len : strlen(cases[i].body);
		check(cases[i].body, len, uncut, cases[i].tale);
		for (n = 1; n <= len; n++) {
			cut = (struct cut){ n, SIZE_MAX };
			check(cases[i].body, len, cut, cases[i].tale);
			cut = (struct cut){ n, n };
			check(cases[i].body, len, cut, cases[i].tale);
		}
	}
}

/* However short a body is cut off, it is never taken for whole. */
static void
cut_off_anywhere(void **state)
{
	static const char	 body[] = FIRST TEXT("pipeline") "video" NEXT
	    UPLOAD("file", "a.mp4") "\r\n--bnDATA\r\n" LAST;
	size_t			 len, whole = strlen(body) - 2;
	char			*got;

	(void)state;
	for (len = 0; len < whole; len++) {
		got = parse(B, body, len, uncut);
		assert_null(strstr(got, "|end"));
		assert_non_null(strstr(got, "400 "));
		free(got);
	}
	got = parse(B, body, whole, uncut);
	assert_string_equal(got, "pipeline=video|"
	    "file <a.mp4>\r\n--bnDATA\r\n|end");
	free(got);
}

/* ---- large bodies ------------------------------------------------------ */

/* A repeatable stream of bytes that is full of what begins a delimiter. */
static void
fill(char *p, size_t len, uint32_t seed)
{
	static const char	 often[] = "\r\n--bnd";
	size_t			 i;

	for (i = 0; i < len; i++) {
		seed = seed * 1664525 + 1013904223;
		p[i] = seed >> 31 ? often[(seed >> 16) % 7] : (char)(seed >> 8);
	}
}

/* Seven bytes that are a delimiter could come up by chance: break them. */
static void
no_delimiters(char *p, size_t len)
{
	size_t	 i;

	for (i = 0; i + 7 <= len; i++)
		if (memcmp(p + i, "\r\n--" B, 7) == 0)
			p[i + 6] = 'X';
}

static char *
large_body(size_t data_len, struct tale *want)
{
	struct tale	 t = { 0 };
	char		*data = malloc(data_len);

	assert_non_null(data);
	fill(data, data_len, 1);
	no_delimiters(data, data_len);

	say(&t, FIRST UPLOAD("f", "x"));
	tell(&t, data, data_len);
	say(&t, NEXT TEXT("a") "1" LAST);

	say(want, "f <x>");
	tell(want, data, data_len);
	say(want, "|a=1|end");
	free(data);
	want->size = t.len;	/* of the body, for the caller */
	return t.p;
}

static void
check_large(size_t data_len, size_t from, size_t to, size_t step)
{
	struct tale	 want = { 0 };
	char		*body = large_body(data_len, &want), *got;
	size_t		 n;

	for (n = from; n <= to; n += step) {
		got = parse(B, body, want.size, (struct cut){ n, n });
		if (memcmp(got, want.p, want.len + 1) != 0)
			fail_msg("%zu bytes differ in pieces of %zu", data_len,
			    n);
		free(got);
	}
	free(want.p);
	free(body);
}

static void
pieces_of_1_to_8192(void **state)
{
	(void)state;
	check_large(9000, 1, 8192, 1);
}

static void
larger_than_the_window(void **state)
{
	(void)state;
	check_large(1000 * 1000, 100, 400 * 1000, 33331);
}

/* ---- limits ------------------------------------------------------------ */

/* N times TEXT between HEAD and TAIL. */
static char *
repeat(const char *head, const char *text, size_t n, const char *tail)
{
	struct tale	 t = { 0 };

	say(&t, head);
	while (n-- > 0)
		say(&t, text);
	say(&t, tail);
	return t.p;
}

static const struct {
	const char	*what, *head, *text;
	size_t		 most;		/* of text: one more is refused */
	const char	*tail, *error;
} limits[] = {
	{ "a field", FIRST TEXT("a"), "x", 64 * 1024, LAST,
	    "413 part 1: field \"a\" is longer than 65536 bytes" },
	{ "parts", FIRST TEXT("a") "1", NEXT TEXT("b") "2", 999, LAST,
	    "413 part 1000: more than 1000 parts" },
	{ "files", FIRST TEXT("a") "1", NEXT UPLOAD("f", "x") "2", 16, LAST,
	    "413 part 18: more than 16 files" },
	{ "header lines", FIRST, "X: y\r\n", 31, TEXT("a") "1" LAST,
	    "400 part 1: more than 32 headers" },
	{ "header bytes", FIRST TEXT("a") "1" NEXT "X: ", "y",
	    16 * 1024 - 5 - 45, "\r\n" CD "name=\"12\"\r\n\r\n" LAST,
	    "400 part 2: more than 16384 bytes of headers" },
	{ "a name", FIRST CD "name=", "n", 255, "\r\n\r\n1" LAST,
	    "400 part 1: its name is longer than 255 bytes" },
};

static void
limits_hold(void **state)
{
	size_t	 i, n;
	char	*body, *got;

	(void)state;
	for (i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		for (n = limits[i].most; n <= limits[i].most + 1; n++) {
			body = repeat(limits[i].head, limits[i].text, n,
			    limits[i].tail);
			got = parse(B, body, strlen(body),
			    (struct cut){ 1000, 777 });
			if ((strstr(got, "|end") != NULL) !=
			    (n == limits[i].most))
				fail_msg("%s: %zu gives %.200s", limits[i].what,
				    n, got);
			if (n > limits[i].most && strcmp(got + strlen(got) -
			    strlen(limits[i].error), limits[i].error) != 0)
				fail_msg("%s: %zu: %s", limits[i].what, n,
				    got + strlen(got) - 80);
			free(got);
			free(body);
		}
	}
}

/* 16 fields of 64 KiB with their names are more than 1 MiB. */
static void
fields_together(void **state)
{
	struct tale	 t = { 0 };
	char		*field = repeat(NEXT TEXT("a"), "x", 64 * 1024, "");
	char		*got;
	int		 i;

	(void)state;
	for (i = 0; i < 16; i++)
		say(&t, field);
	say(&t, LAST);
	got = parse(B, t.p, t.len, uncut);
	assert_non_null(strstr(got, "413 part 16: all fields together are "
	    "longer than 1048576 bytes"));
	free(got);
	free(field);
	free(t.p);
}

/* A name that is too long for a row is cut between two characters. */
static void
long_filename(void **state)
{
	char	*body = repeat(FIRST CD "name=f; filename=\"a", "\xc3\xa4", 200,
		    "\"\r\n\r\n1" LAST);
	char	*want = repeat("f <a", "\xc3\xa4", 127, ">1|end");
	char	*got;

	(void)state;
	got = parse(B, body, strlen(body), uncut);
	assert_string_equal(got, want);
	free(got);
	free(want);
	free(body);
}

/* ---- boundaries -------------------------------------------------------- */

#define SEVENTY	"1234567890123456789012345678901234567890" \
	"123456789012345678901234567890"

static const struct {
	const char	*type;
	int		 result;
	const char	*boundary;
} types[] = {
	{ "multipart/form-data; boundary=abc", 0, "abc" },
	{ "Multipart/Form-Data;BOUNDARY=abc", 0, "abc" },
	{ "multipart/form-data ; charset=utf-8 ; boundary=\"a b\"", 0, "a b" },
	{ "multipart/form-data; boundary=----WebKitFormBoundaryA1b2C3", 0,
	    "----WebKitFormBoundaryA1b2C3" },
	{ "multipart/form-data; boundary=a/b:c=d?e", 0, "a/b:c=d?e" },
	{ "multipart/form-data; boundary=" SEVENTY, 0, SEVENTY },
	{ "multipart/form-data; boundary=" SEVENTY "1", -1, NULL },
	{ "multipart/form-data; boundary=\"\"", -1, NULL },
	{ "multipart/form-data; boundary=", -1, NULL },
	{ "multipart/form-data; boundary=\"a \"", -1, NULL },
	{ "multipart/form-data; boundary=\"a\\\"b\"", -1, NULL },
	{ "multipart/form-data; boundary=\"a", -1, NULL },
	{ "multipart/form-data; boundary=a; boundary=b", -1, NULL },
	{ "multipart/form-data; boundary=a*b", -1, NULL },
	{ "multipart/form-data; boundary=\xc3\xa4", -1, NULL },
	{ "multipart/form-data boundary=a", -1, NULL },
	{ "multipart/form-data", -1, NULL },
	{ "multipart/form-datax; boundary=a", 1, NULL },
	{ "multipart/mixed; boundary=a", 1, NULL },
	{ "application/json", 1, NULL },
	{ "", 1, NULL },
};

static void
boundaries(void **state)
{
	char	 boundary[MULTIPART_BOUNDARY];
	size_t	 i;
	int	 result;

	(void)state;
	for (i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		result = multipart_boundary(types[i].type, boundary);
		if (result != types[i].result)
			fail_msg("%s: %d", types[i].type, result);
		if (result == 0)
			assert_string_equal(boundary, types[i].boundary);
	}
}

/* The shortest and the longest one. */
static void
boundary_lengths(void **state)
{
	static const char *const	 lengths[] = { "b", SEVENTY };
	char				 body[1024], *got;
	size_t				 i, n;

	(void)state;
	for (i = 0; i < 2; i++) {
		snprintf(body, sizeof(body), "--%s\r\n" UPLOAD("f", "x")
		    "\r\n--%.*s\r\n--%sx\r\n--%s--", lengths[i],
		    (int)strlen(lengths[i]) - 1, lengths[i], lengths[i],
		    lengths[i]);
		for (n = 1; n <= strlen(body); n++) {
			got = parse(lengths[i], body, strlen(body),
			    (struct cut){ n, n });
			assert_non_null(strstr(got, "x|end"));
			free(got);
		}
	}
}

int
main(void)
{
	const struct CMUnitTest	 tests[] = {
		cmocka_unit_test(every_case),
		cmocka_unit_test(cut_off_anywhere),
		cmocka_unit_test(pieces_of_1_to_8192),
		cmocka_unit_test(larger_than_the_window),
		cmocka_unit_test(limits_hold),
		cmocka_unit_test(fields_together),
		cmocka_unit_test(long_filename),
		cmocka_unit_test(boundaries),
		cmocka_unit_test(boundary_lengths),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
