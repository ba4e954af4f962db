/*
 * Whether what a stage stored is what it said it is.
 *
 * A page of memory is shared with the process that reads: how many it has
 * found to be so, in their order, and whether it shall stop.
 */

#include "verify.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/openat2.h>
#include <sodium.h>

#include "child.h"
#include "log.h"
#include "results.h"

#define BUFFER	(256 * 1024)

struct shared {
	_Atomic size_t	 good;
	_Atomic bool	 stop;
};

struct verify {
	struct results	*stored;
	const char	*store;
	struct shared	*shared;
	void		(*done)(void *);
	void		*arg;
};

/* ---- the process --------------------------------------------------------- */

/* Its hash, as text.  0, or -1: it cannot be read, or we were told to stop. */
static int
hash(const struct verify *v, int fd, char hex[65])
{
	static unsigned char		 buf[BUFFER];
	unsigned char			 sum[crypto_hash_sha256_BYTES];
	crypto_hash_sha256_state	 state;
	ssize_t				 n;

	crypto_hash_sha256_init(&state);
	while ((n = read(fd, buf, sizeof(buf))) > 0) {
		if (atomic_load(&v->shared->stop))
			return -1;
		crypto_hash_sha256_update(&state, buf, (size_t)n);
	}
	crypto_hash_sha256_final(&state, sum);
	sodium_bin2hex(hex, 65, sum, sizeof(sum));
	return n == 0 ? 0 : -1;
}

static bool
is_so(const struct verify *v, int store, const struct result *one)
{
	struct open_how	 how = {
		.flags = O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS
	};
	struct stat	 st;
	char		 hex[65];
	bool		 so;
	int		 fd;

	if ((fd = (int)syscall(SYS_openat2, store, one->name, &how,
	    sizeof(how))) == -1)
		return false;
	so = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
	    (uint64_t)st.st_size == one->size && hash(v, fd, hex) == 0 &&
	    strcmp(hex, one->sha256) == 0;
	close(fd);
	return so;
}

static int
verify(void *arg)
{
	struct verify	*v = arg;
	size_t		 i;
	int		 store;

	if ((store = open(v->store, O_RDONLY | O_DIRECTORY | O_NOFOLLOW |
	    O_CLOEXEC)) == -1)
		return 1;
	for (i = 0; i < v->stored->n; i++) {
		if (!is_so(v, store, &v->stored->list[i]))
			return 1;
		atomic_store(&v->shared->good, i + 1);
	}
	return 0;
}

/* ---- the daemon's side --------------------------------------------------- */

static void
ended(void *arg, int status)
{
	struct verify	*v = arg;
	size_t		 i;

	(void)status;
	for (i = atomic_load(&v->shared->good); i < v->stored->n; i++)
		v->stored->list[i].sha256[0] = '\0';
	munmap(v->shared, sizeof(*v->shared));
	v->done(v->arg);
	free(v);
}

struct verify *
verify_start(struct results *stored, const char *store, void (*done)(void *),
    void *arg)
{
	struct verify	*v = xcalloc(1, sizeof(*v));

	v->stored = stored;
	v->store = store;
	v->done = done;
	v->arg = arg;
	v->shared = mmap(NULL, sizeof(*v->shared), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (v->shared == MAP_FAILED) {
		log_warn("mmap");
		free(v);
		return NULL;
	}
	if (child_call(verify, v, ended, v) == NULL) {
		munmap(v->shared, sizeof(*v->shared));
		free(v);
		return NULL;
	}
	return v;
}

void
verify_stop(struct verify *v)
{
	atomic_store(&v->shared->stop, true);
}
