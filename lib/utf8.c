/*
 * Text of others: is it UTF-8, and how to make it so.
 */

#include "utf8.h"

#include <string.h>

/* Bytes of the character at P, of LEN that are there; 0: none is. */
static size_t
character(const unsigned char *p, size_t len)
{
	/* By the first byte: how many follow, and what the second may be. */
	static const struct {
		unsigned char	 first, last, more, least, most;
	} forms[] = {
		{ 0x00, 0x7f, 0, 0x00, 0x00 },
		{ 0xc2, 0xdf, 1, 0x80, 0xbf },
		{ 0xe0, 0xe0, 2, 0xa0, 0xbf },
		{ 0xe1, 0xec, 2, 0x80, 0xbf },
		{ 0xed, 0xed, 2, 0x80, 0x9f },
		{ 0xee, 0xef, 2, 0x80, 0xbf },
		{ 0xf0, 0xf0, 3, 0x90, 0xbf },
		{ 0xf1, 0xf3, 3, 0x80, 0xbf },
		{ 0xf4, 0xf4, 3, 0x80, 0x8f },
	};
	size_t	 i, k;

	for (i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		if (p[0] < forms[i].first || p[0] > forms[i].last)
			continue;
		if (len < 1u + forms[i].more)
			return 0;
		if (forms[i].more > 0 &&
		    (p[1] < forms[i].least || p[1] > forms[i].most))
			return 0;
		for (k = 2; k <= forms[i].more; k++) {
			if ((p[k] & 0xc0) != 0x80)
				return 0;
		}
		return 1u + forms[i].more;
	}
	return 0;
}

bool
utf8_valid(const char *text, size_t len)
{
	const unsigned char	*p = (const unsigned char *)text;
	size_t			 n;

	for (; len > 0; p += n, len -= n) {
		if ((n = character(p, len)) == 0)
			return false;
	}
	return true;
}

void
utf8_clean(char *text)
{
	unsigned char	*p = (unsigned char *)text, *q = p;
	size_t		 len = strlen(text), n;

	for (; len > 0; p += n, len -= n) {
		n = character(p, len);
		if (n == 0 && len < 4 && p[0] >= 0xc2 && p[0] <= 0xf4) {
			size_t	 k;

			for (k = 1; k < len && (p[k] & 0xc0) == 0x80; k++)
				;
			if (k == len)
				break;		/* cut at the end */
		}
		if (n == 0) {
			n = 1;
			*q++ = '?';
		} else if (n == 1 && (p[0] < 0x20 || p[0] == 0x7f)) {
			*q++ = '?';
		} else {
			memmove(q, p, n);
			q += n;
		}
	}
	*q = '\0';
}
