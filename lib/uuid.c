/*
 * UUIDs of version 7, RFC 9562 section 5.7:
 *
 *	bytes 0-5	Unix time in milliseconds
 *	bytes 6-7	version, 12 bits of a counter within the millisecond
 *	bytes 8-15	variant, 62 random bits
 *
 * The counter (method 1 of section 6.2) begins at a random place in the
 * lower half of its range.  All 62 bits are new for each id, so that one id
 * tells nothing about its neighbours.
 */

#include "uuid.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define COUNTER_MAX	0xfff

static const char	 hex[] = "0123456789abcdef";

/* Where the text has a dash, and not a digit. */
static int
is_dash(int i)
{
	return i == 8 || i == 13 || i == 18 || i == 23;
}

static uint64_t
wall_ms(void)
{
	struct timespec	 ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* The next pair of time and counter; it only grows, also if the clock falls. */
static void
tick(uint64_t *ms, unsigned int *counter)
{
	static pthread_mutex_t	 lock = PTHREAD_MUTEX_INITIALIZER;
	static uint64_t		 last_ms;
	static unsigned int	 last_counter;
	uint64_t		 now = wall_ms();

	pthread_mutex_lock(&lock);
	if (now > last_ms) {
		last_ms = now;
		last_counter = arc4random() & (COUNTER_MAX >> 1);
	} else if (++last_counter > COUNTER_MAX) {
		last_ms++;
		last_counter = 0;
	}
	*ms = last_ms;
	*counter = last_counter;
	pthread_mutex_unlock(&lock);
}

void
uuid_new(struct uuid *u)
{
	uint64_t	 ms;
	unsigned int	 counter;
	int		 i;

	tick(&ms, &counter);
	arc4random_buf(u->b, sizeof(u->b));
	for (i = 0; i < 6; i++)
		u->b[i] = ms >> (40 - 8 * i);
	u->b[6] = 0x70 | counter >> 8;
	u->b[7] = counter;
	u->b[8] = 0x80 | (u->b[8] & 0x3f);
}

int
uuid_parse(struct uuid *u, const char *text)
{
	struct uuid	 r;
	const char	*digit;
	int		 i, n = 0;

	for (i = 0; i < UUID_TEXT - 1; i++) {
		if (text[i] == '\0')
			return -1;
		if (is_dash(i)) {
			if (text[i] != '-')
				return -1;
			continue;
		}
		if ((digit = strchr(hex, text[i])) == NULL)
			return -1;
		if (n % 2 == 0)
			r.b[n / 2] = (digit - hex) << 4;
		else
			r.b[n / 2] |= digit - hex;
		n++;
	}
	if (text[i] != '\0')
		return -1;
	*u = r;
	return 0;
}

char *
uuid_text(const struct uuid *u, char buf[UUID_TEXT])
{
	int	 i, n = 0;

	for (i = 0; i < UUID_TEXT - 1; i++) {
		if (is_dash(i)) {
			buf[i] = '-';
			continue;
		}
		buf[i] = hex[n % 2 == 0 ? u->b[n / 2] >> 4 : u->b[n / 2] & 15];
		n++;
	}
	buf[i] = '\0';
	return buf;
}

bool
uuid_equal(const struct uuid *a, const struct uuid *b)
{
	return memcmp(a->b, b->b, sizeof(a->b)) == 0;
}

bool
uuid_is_set(const struct uuid *id)
{
	static const struct uuid	 zero;

	return !uuid_equal(id, &zero);
}
