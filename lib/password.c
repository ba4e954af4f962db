/*
 * Hash and compare passwords, a few at a time.
 *
 * Turns are taken by locks on single bytes of a file that only this program
 * and its children have.  The kernel gives a lock back when its process ends,
 * however it ends.
 */

#include "password.h"

#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <sodium.h>

#include "log.h"

/* The work for one hash: OWASP asks for at least 2 passes over 19 MiB. */
#define PASSES		3
#define MEMORY		(64 * 1024 * 1024)	/* bytes */

/* Hashes at a time; more of them only fight for the same memory bus. */
#define AT_ONCE		2

/* Of a password that nobody knows, with the work of today. */
static const char	 dummy[] =
    "$argon2id$v=19$m=65536,t=3,p=1$hIQaLdaujwPeX1q107oRvQ"
    "$oLTfqo5JfqYE6ZPmYhYeYnERUEPyBqRJC54/SI1I/vI";

_Static_assert(PASSWORD_HASH >= crypto_pwhash_STRBYTES, "hashes do not fit");

/* -1: no limit.  Bytes from 0: turns; after them: seats to wait on. */
static int		 turns = -1;
static unsigned int	 at_once, seats;

void
password_limit(unsigned int workers)
{
	unsigned int	 most = workers > 1 ? workers - 1 : 1;

	if ((turns = memfd_create("password turns", MFD_CLOEXEC)) == -1)
		fatal("memfd_create");
	at_once = most < AT_ONCE ? most : AT_ONCE;
	seats = most - at_once;
}

/* Lock or unlock byte I: CMD is F_SETLK, or F_SETLKW to wait. */
static int
lock(int cmd, short type, unsigned int i)
{
	struct flock	 l = {
		.l_type = type, .l_whence = SEEK_SET, .l_start = i, .l_len = 1,
	};

	return fcntl(turns, cmd, &l);
}

/* The byte that could be locked without waiting, from FIRST on, or -1. */
static int
lock_any(unsigned int first, unsigned int n)
{
	unsigned int	 i;

	for (i = first; i < first + n; i++)
		if (lock(F_SETLK, F_WRLCK, i) == 0)
			return (int)i;
	return -1;
}

/* The turn that was taken, or -1: no seat is left to wait for one. */
static int
take_turn(void)
{
	int	 seat, turn;

	if ((turn = lock_any(0, at_once)) != -1)
		return turn;
	if ((seat = lock_any(at_once, seats)) == -1)
		return -1;
	turn = getpid() % (int)at_once;
	if (lock(F_SETLKW, F_WRLCK, turn) == -1)
		turn = -1;		/* a signal: we are to end */
	lock(F_SETLK, F_UNLCK, seat);
	return turn;
}

/* Run WORK in its turn.  What it returns, or PASSWORD_BUSY. */
static int
in_turn(int (*work)(const char *, char *), const char *password, char *hash)
{
	int	 turn = 0, rc;

	if (sodium_init() == -1)
		fatalx("libsodium: cannot start");
	if (turns != -1 && (turn = take_turn()) == -1)
		return PASSWORD_BUSY;
	rc = work(password, hash);
	if (turns != -1)
		lock(F_SETLK, F_UNLCK, turn);
	return rc;
}

static int
make(const char *password, char *hash)
{
	if (crypto_pwhash_str(hash, password, strlen(password), PASSES,
	    MEMORY) == 0)
		return 0;
	log_warn("password: cannot hash");
	return PASSWORD_BUSY;		/* memory is short */
}

static int
compare(const char *password, char *hash)
{
	return crypto_pwhash_str_verify(hash, password, strlen(password)) == 0 ?
	    0 : 1;
}

int
password_hash(const char *password, char hash[PASSWORD_HASH])
{
	return in_turn(make, password, hash);
}

int
password_check(const char *hash, const char *password)
{
	char	 copy[PASSWORD_HASH];
	int	 rc;

	strlcpy(copy, hash != NULL ? hash : dummy, sizeof(copy));
	rc = in_turn(compare, password, copy);
	return rc == 0 && hash == NULL ? 1 : rc;
}

int
password_old(const char *hash)
{
	char	 copy[PASSWORD_HASH];	/* libsodium wants all of its bytes */

	strlcpy(copy, hash, sizeof(copy));
	return crypto_pwhash_str_needs_rehash(copy, PASSES, MEMORY) != 0;
}
