/*
 * Remove files, and directories with all that is in them.
 *
 * What stages leave behind may be deeper than we have descriptors, have names
 * longer than a path may be, and be closed to its owner.
 */

#include "remove.h"

#include <sys/file.h>
#include <sys/stat.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Directories within directories that a walk holds open. */
#define DEPTH		64

/* A walk through a tree.  It may be deeper than we have descriptors. */
struct walk {
	int		 top;
	unsigned int	 moved;		/* what lay too deep, to the top */
};

static void	empty(struct walk *, DIR *, unsigned int);

/* Remove the entry NAME of DIR, whatever it is. */
static void
remove_entry(struct walk *w, int dir, const char *name, unsigned int depth)
{
	struct stat	 st;
	char		 up[32];
	DIR		*d;
	int		 fd;

	if (unlinkat(dir, name, 0) == 0 || errno == ENOENT)
		return;
	/* A stage may have locked its owner, which is us, out. */
	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == -1 ||
	    !S_ISDIR(st.st_mode) || ((st.st_mode & 0700) != 0700 &&
	    fchmodat(dir, name, 0700, 0) == -1))
		return;
	if (depth == DEPTH) {
		snprintf(up, sizeof(up), ".deep-%u", w->moved);
		if (renameat(dir, name, w->top, up) == 0)
			w->moved++;
		return;
	}
	if ((fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW |
	    O_CLOEXEC)) == -1)
		return;
	if ((d = fdopendir(fd)) == NULL) {
		close(fd);
		return;
	}
	empty(w, d, depth + 1);
	closedir(d);
	unlinkat(dir, name, AT_REMOVEDIR);
}

static void
empty(struct walk *w, DIR *d, unsigned int depth)
{
	struct dirent	*entry;

	while ((entry = readdir(d)) != NULL) {
		if (strcmp(entry->d_name, ".") != 0 &&
		    strcmp(entry->d_name, "..") != 0)
			remove_entry(w, dirfd(d), entry->d_name, depth);
	}
}

int
remove_tree(const char *path)
{
	struct walk	 w = { .moved = 0 };
	unsigned int	 before;
	DIR		*d;
	int		 rc, error;

	if (unlink(path) == 0 || errno == ENOENT)
		return 0;
	chmod(path, 0700);
	if ((d = opendir(path)) == NULL)
		return errno == ENOENT ? 0 : -1;
	w.top = dirfd(d);
	if (flock(w.top, LOCK_EX | LOCK_NB) == -1) {
		closedir(d);
		errno = EWOULDBLOCK;
		return -1;
	}
	do {
		before = w.moved;
		rewinddir(d);
		empty(&w, d, 0);
	} while (w.moved != before);
	rc = rmdir(path) == 0 || errno == ENOENT ? 0 : -1;
	error = errno;
	closedir(d);			/* not before: it holds the lock */
	errno = error;
	return rc;
}
