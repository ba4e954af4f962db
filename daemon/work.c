/*
 * The directory in which the stages of a job work.
 *
 * Stages may have put anything there, so nothing in it is followed: no
 * symbolic link, no fifo, no file that has a second name elsewhere.
 */

#include "work.h"

#include <sys/file.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "file.h"
#include "log.h"

static void
open_log(struct work *w)
{
	struct stat	 st;

	w->log = openat(w->dir, "log", O_WRONLY | O_APPEND | O_CREAT |
	    O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0640);
	if (w->log == -1 || fstat(w->log, &st) == -1 ||
	    !S_ISREG(st.st_mode) || st.st_nlink != 1) {
		log_warnx("%s/log: not a file of ours", w->path);
		if (w->log != -1)
			close(w->log);
		w->log = -1;
		return;
	}
	w->log_left = (uint64_t)st.st_size < WORK_LOG_MAX ?
	    WORK_LOG_MAX - (uint64_t)st.st_size : 0;
}

static void
set_path(struct work *w, const char *root, const struct uuid *job)
{
	char	 path[FILE_PATH];

	file_work_path(job, path);
	if (w->path == NULL)
		xasprintf(&w->path, "%s/%s", root, path);
}

static int
open_dir(const struct work *w)
{
	return open(w->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

int
work_open(struct work *w, const char *root, const struct uuid *job)
{
	struct stat	 st;

	set_path(w, root, job);
	if (mkdir(w->path, 0700) == 0)
		w->fresh = true;
	else if (errno != EEXIST) {
		log_warn("%s", w->path);
		return -1;
	}
	if ((w->dir = open_dir(w)) == -1) {
		log_warn("%s", w->path);
		return -1;
	}
	if (flock(w->dir, LOCK_EX | LOCK_NB) == -1) {
		close(w->dir);
		w->dir = -1;
		return 1;
	}
	/* Removed between open and lock: then another is to be made. */
	if (fstat(w->dir, &st) == 0 && st.st_nlink == 0) {
		close(w->dir);
		w->dir = -1;
		return 1;
	}
	flock(w->dir, LOCK_UN);
	if (mkdirat(w->dir, "tmp", 0700) == -1 && errno != EEXIST) {
		log_warn("%s/tmp", w->path);
		return -1;
	}
	open_log(w);
	return 0;
}

int
work_renew(struct work *w, const char *root, const struct uuid *job,
    uint64_t token)
{
	char	 path[FILE_PATH], *aside;
	int	 rc;

	file_aside_path(job, token, path);
	xasprintf(&aside, "%s/%s", root, path);
	if ((rc = rename(w->path, aside)) == -1)
		log_warn("%s", aside);
	free(aside);
	if (rc == -1)
		return -1;
	work_close(w);
	return work_open(w, root, job);
}

int
work_input(const struct work *w, const char *root, const struct uuid *upload)
{
	char	 path[FILE_PATH], *from;
	int	 rc;

	file_upload_path(upload, path);
	xasprintf(&from, "%s/%s", root, path);
	if (linkat(AT_FDCWD, from, w->dir, "input", 0) == 0 || errno == EEXIST)
		rc = 0;
	else if (errno == ENOENT)
		rc = 1;
	else {
		log_warn("%s: as input of %s", from, w->path);
		rc = -1;
	}
	free(from);
	return rc;
}

int
work_join(struct work *w, const char *root, const struct uuid *job)
{
	struct stat	 st;

	set_path(w, root, job);
	/* Anew each time: it may have been removed, and made again. */
	if ((w->hold = open_dir(w)) == -1) {
		w->hold = 0;
		if (errno != ENOENT)
			log_warn("%s", w->path);
		return -1;
	}
	if (flock(w->hold, LOCK_SH | LOCK_NB) == -1 ||
	    fstat(w->hold, &st) == -1 || st.st_nlink == 0) {
		work_release(w);
		return 1;
	}
	/* Not a copy: that would have the lock too. */
	if (w->dir == -1) {
		if ((w->dir = openat(w->hold, ".", O_RDONLY | O_DIRECTORY |
		    O_CLOEXEC)) == -1) {
			log_warn("%s", w->path);
			work_release(w);
			return -1;
		}
		open_log(w);
	}
	return 0;
}

/* What was started meanwhile has copies of it, and so the lock. */
void
work_release(struct work *w)
{
	if (w->hold > 0)
		close(w->hold);
	w->hold = 0;
}

void
work_log(struct work *w, const char *data, size_t len)
{
	static const char	 full[] = "\n(no more is kept)\n";

	if (w->log == -1 || w->log_left == 0)
		return;
	if (len >= w->log_left) {
		len = (size_t)w->log_left;
		w->log_left = 0;
	} else
		w->log_left -= len;
	if (write(w->log, data, len) != (ssize_t)len ||
	    (w->log_left == 0 &&
	    write(w->log, full, sizeof(full) - 1) == -1))
		w->log_left = 0;	/* a full disk: go on without */
}

void
work_close(struct work *w)
{
	work_release(w);
	if (w->log != -1)
		close(w->log);
	if (w->dir != -1)
		close(w->dir);
	free(w->path);
	*w = WORK_NONE;
}
