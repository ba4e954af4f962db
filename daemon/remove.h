/*
 * Remove files, and directories with all that is in them.
 */

#ifndef MILLRACE_REMOVE_H
#define MILLRACE_REMOVE_H

/*
 * remove_tree	Remove PATH and all below it; 0 also when there is none.  -1:
 *		something of it is still there.  A directory that somebody
 *		works in stays (the keepers hold a lock on theirs), and nobody
 *		begins to while it goes: a person may want a cancelled job back
 *		before its files are gone.  Then, or when another removes it
 *		just now, errno is EWOULDBLOCK.
 */
int	remove_tree(const char *path);

#endif
