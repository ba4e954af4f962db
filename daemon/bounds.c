/*
 * Whether a tree of processes stays within its bounds.
 *
 * To count a tree or to weigh a directory costs time that grows with it; so
 * both are only done when the whole host has more threads, or the disk less
 * room, by a part of the bound than when it was last done.  One call each
 * tells.  And from time to time, since others may have made up for it.
 */

#include "bounds.h"

#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysinfo.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "proc.h"

/* Count and weigh after this long even if nothing seems to have grown, ms. */
#define COUNT_MS	500
#define WEIGH_MS	10000

/* How often to look at the disk, ms: it may be another host's. */
#define ROOM_MS		250

/* What part of a bound is worth a closer look. */
#define PART		8

#define MB		(1024 * 1024)

/* Directories below each other that are looked into. */
#define DEPTH		64

/* ---- processes ----------------------------------------------------------- */

/* Modulo 65536, as the kernel gives it. */
static unsigned int
threads_here(void)
{
	struct sysinfo	 si;

	return sysinfo(&si) == 0 ? si.procs : 0;
}

static bool
too_many(struct bounds *b, uint64_t now, char what[BOUNDS_WHAT])
{
	unsigned int	 crowd = threads_here();
	int16_t		 more = (int16_t)(crowd - b->crowd);

	if (more < 0)
		b->crowd = crowd;
	if (now < b->count_at && more < (int)b->processes / PART)
		return false;
	b->crowd = crowd;
	b->count_at = now + COUNT_MS;
	if (proc_count_below(b->processes) < b->processes)
		return false;
	snprintf(what, BOUNDS_WHAT, "%u processes and threads, its limit",
	    b->processes);
	return true;
}

/* ---- files --------------------------------------------------------------- */

/* Bytes below FD, which is closed.  0 or -1: it cannot be told. */
static int
weigh(int fd, unsigned int depth, uint64_t *bytes)
{
	struct dirent	*entry;
	struct stat	 st;
	DIR		*dir;
	int		 sub, rc = 0;

	if (fd == -1)
		return errno == ENOENT || errno == ENOTDIR ? 0 : -1;
	if (depth == DEPTH || (dir = fdopendir(fd)) == NULL) {
		close(fd);
		return -1;
	}
	while (rc == 0 && (entry = readdir(dir)) != NULL) {
		if (strcmp(entry->d_name, ".") == 0 ||
		    strcmp(entry->d_name, "..") == 0)
			continue;
		if (fstatat(fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) ==
		    -1) {
			rc = errno == ENOENT ? 0 : -1;
			continue;
		}
		/* One file under two names, as the input is, has two halves. */
		*bytes += (uint64_t)st.st_blocks * 512 /
		    (S_ISDIR(st.st_mode) || st.st_nlink == 0 ? 1 : st.st_nlink);
		if (!S_ISDIR(st.st_mode))
			continue;
		sub = openat(fd, entry->d_name, O_RDONLY | O_DIRECTORY |
		    O_NOFOLLOW | O_CLOEXEC);
		rc = weigh(sub, depth + 1, bytes);
	}
	closedir(dir);
	return rc;
}

/* Bytes free on the disk, or 0. */
static uint64_t
room(int dir)
{
	struct statvfs	 fs;

	return fstatvfs(dir, &fs) == 0 ?
	    (uint64_t)fs.f_bfree * fs.f_frsize : 0;
}

static bool
too_much(struct bounds *b, uint64_t now, char what[BOUNDS_WHAT])
{
	uint64_t	 left, bytes = 0;

	if (now < b->room_at)
		return false;
	b->room_at = now + ROOM_MS;
	if ((left = room(b->dir)) > b->room)
		b->room = left;
	if (now < b->weigh_at && b->room - left < b->written / PART)
		return false;
	b->room = left;
	b->weigh_at = now + WEIGH_MS;
	if (weigh(openat(b->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), 0,
	    &bytes) == -1) {
		strlcpy(what, "directories that cannot be looked into",
		    BOUNDS_WHAT);
		return true;
	}
	bytes += proc_deleted_below(b->dir);
	/* What came before this look was less than a part of the bound. */
	if (!b->weighed)
		b->before = bytes;
	b->weighed = true;
	if (bytes <= b->before || bytes - b->before <= b->written -
	    b->written / PART)
		return false;
	snprintf(what, BOUNDS_WHAT, "%.*f MB of files, its limit",
	    b->written % MB == 0 ? 0 : 1, (double)b->written / MB);
	return true;
}

/* ---- both ---------------------------------------------------------------- */

void
bounds_begin(struct bounds *b, uint64_t now)
{
	b->count_at = now + COUNT_MS;
	b->weigh_at = now + WEIGH_MS;
	b->room_at = 0;
	b->weighed = false;
	b->crowd = threads_here();
	b->room = b->written != 0 ? room(b->dir) : 0;
}

bool
bounds_broken(struct bounds *b, uint64_t now, char what[BOUNDS_WHAT])
{
	return too_many(b, now, what) ||
	    (b->written != 0 && too_much(b, now, what));
}
