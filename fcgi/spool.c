/*
 * A file on its way into the storage.
 *
 * It is written without a name (O_TMPFILE) and linked to its place at the end.
 * Where the file system cannot do that, it has its name from the beginning: if
 * we are killed it stays, and the sweeper finds that no row knows it.
 */

#include "spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "file.h"
#include "log.h"

/*
 * Bytes after which the disk is told to begin writing, and asked whether there
 * is room: with it the last fdatasync() has little left to do.
 */
#define STRIDE	(8 * 1024 * 1024)

struct spool {
	char		 path[FILE_PATH];	/* below the root */
	const char	*name;		/* last part of path */
	bool		 named;		/* it has that name */
	bool		 kept;
	char		*root;
	uint64_t	 reserve;
	int		 dir;		/* where it will be */
	int		 fd;
	uint64_t	 size;
	uint64_t	 pushed;	/* the disk was told of these */
};

/* Say what failed; -1, with one errno for all that is full. */
static int
failed(const char *root, const char *path, const char *what)
{
	int	 error = errno;

	if (error == EDQUOT || error == EFBIG)
		error = ENOSPC;
	if (error != ENOSPC)
		log_warn("%s/%s: %s", root, path, what);
	errno = error;
	return -1;
}

int
spool_room(const char *root, uint64_t reserve, uint64_t len)
{
	struct statvfs	 fs;

	if (statvfs(root, &fs) == -1)
		return failed(root, "", "statvfs");
	if ((uint64_t)fs.f_bavail * fs.f_frsize < reserve + len) {
		errno = ENOSPC;
		return -1;
	}
	return 0;
}

/* Open directory NAME in DIR, and make it if it is not there. */
static int
open_dir(int dir, const char *name)
{
	if (mkdirat(dir, name, 0750) == 0) {
		if (fsync(dir) == -1)
			return -1;
	} else if (errno != EEXIST)
		return -1;
	return openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* The directory for PATH, which is relative and made by us; or -1. */
static int
open_parent(const char *root, const char *path)
{
	char		 part[FILE_PATH];
	const char	*slash;
	int		 dir, next;

	if ((dir = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) == -1)
		return -1;
	for (; (slash = strchr(path, '/')) != NULL; path = slash + 1) {
		snprintf(part, sizeof(part), "%.*s", (int)(slash - path), path);
		next = open_dir(dir, part);
		close(dir);
		if (next == -1)
			return -1;
		dir = next;
	}
	return dir;
}

static int
open_file(struct spool *s)
{
	int	 fd;

	fd = openat(s->dir, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0640);
	if (fd != -1 || (errno != EOPNOTSUPP && errno != EISDIR))
		return fd;
	fd = openat(s->dir, s->name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC,
	    0640);
	s->named = fd != -1;
	return fd;
}

struct spool *
spool_new(const char *root, uint64_t reserve, const struct uuid *id)
{
	struct spool	*s = xcalloc(1, sizeof(*s));
	int		 error;

	file_upload_path(id, s->path);
	s->name = strrchr(s->path, '/') + 1;
	s->root = xstrdup(root);
	s->reserve = reserve;
	s->fd = -1;
	if ((s->dir = open_parent(root, s->path)) == -1 ||
	    (s->fd = open_file(s)) == -1) {
		failed(root, s->path, "create");
		error = errno;
		spool_free(s);
		errno = error;
		return NULL;
	}
	return s;
}

int
spool_write(struct spool *s, const void *data, size_t len)
{
	const char	*p = data;
	ssize_t		 n;

	while (len > 0) {
		if ((n = write(s->fd, p, len)) == -1) {
			if (errno == EINTR)
				continue;
			return failed(s->root, s->path, "write");
		}
		p += n;
		len -= (size_t)n;
		s->size += (uint64_t)n;
	}
	while (s->size - s->pushed >= STRIDE) {
		/* A hint, so what it returns does not matter. */
		sync_file_range(s->fd, (off_t)s->pushed, STRIDE,
		    SYNC_FILE_RANGE_WRITE);
		s->pushed += STRIDE;
		if (spool_room(s->root, s->reserve, 0) == -1)
			return -1;
	}
	return 0;
}

/* Give it its name. */
static int
name_it(struct spool *s)
{
	char	 self[64];

	snprintf(self, sizeof(self), "/proc/self/fd/%d", s->fd);
	if (!s->named && linkat(AT_FDCWD, self, s->dir, s->name,
	    AT_SYMLINK_FOLLOW) == -1)
		return -1;
	s->named = true;
	return 0;
}

/* An error of fsync() is final: what is on the disk then is not known. */
int
spool_keep(struct spool *s)
{
	if (fdatasync(s->fd) == -1 || name_it(s) == -1 || fsync(s->dir) == -1)
		return failed(s->root, s->path, "keep");
	s->kept = true;
	return 0;
}

void
spool_forget(struct spool *s)
{
	s->kept = false;
}

void
spool_free(struct spool *s)
{
	if (s == NULL)
		return;
	if (s->named && !s->kept && unlinkat(s->dir, s->name, 0) == -1)
		log_warn("%s/%s: remove", s->root, s->path);
	if (s->fd != -1)
		close(s->fd);
	if (s->dir != -1)
		close(s->dir);
	free(s->root);
	free(s);
}
