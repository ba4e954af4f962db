/*
 * The black box: STORAGE/run/busy-ID, 16 bytes: the id of a job, or zeros.
 */

#include "blackbox.h"

#include <sys/mman.h>

#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "log.h"

/* What is noted before there is a file. */
static struct uuid	 nowhere;
static struct uuid	*box = &nowhere;

static char *
path_of(const char *root, uint64_t id)
{
	char	*path;

	xasprintf(&path, "%s/run/busy-%llu", root, (unsigned long long)id);
	return path;
}

void
blackbox_open(const char *root, uint64_t id)
{
	static const struct uuid none;
	char			*path = path_of(root, id);
	void			*p = MAP_FAILED;
	int			 fd;

	if (box != &nowhere)
		munmap(box, sizeof(*box));
	/* Written, not only made that long: on a full disk a store to a hole
	   is the end of us. */
	if ((fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC,
	    0640)) != -1) {
		if (write(fd, &none, sizeof(none)) == (ssize_t)sizeof(none))
			p = mmap(NULL, sizeof(*box), PROT_READ | PROT_WRITE,
			    MAP_SHARED, fd, 0);
		close(fd);
	}
	if (p == MAP_FAILED)
		log_warn("%s", path);
	box = p == MAP_FAILED ? &nowhere : p;
	free(path);
}

/* The compiler must not find the stores idle, nor move them. */
void
blackbox_name(const struct uuid *job)
{
	*box = *job;
	atomic_signal_fence(memory_order_seq_cst);
}

void
blackbox_clear(void)
{
	atomic_signal_fence(memory_order_seq_cst);
	*box = (struct uuid){ 0 };
	atomic_signal_fence(memory_order_seq_cst);
}

int
blackbox_read(const char *root, uint64_t id, struct uuid *job)
{
	char	*path = path_of(root, id);
	int	 fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t	 n = -1;

	free(path);
	if (fd == -1)
		return -1;
	n = read(fd, job, sizeof(*job));
	close(fd);
	return n == (ssize_t)sizeof(*job) && uuid_is_set(job) ? 0 : -1;
}

void
blackbox_remove(const char *root, uint64_t id)
{
	char	*path = path_of(root, id);

	unlink(path);
	free(path);
}
