/*
 * Be asked before each fork of a tree of processes.
 */

#include "forks.h"

#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <linux/seccomp.h>

/* Room for one descriptor beside a message. */
union control {
	struct cmsghdr	 head;
	char		 buf[CMSG_SPACE(sizeof(int))];
};

/* The kernel's requests may be longer than those of its headers were. */
union request {
	struct seccomp_notif	 one;
	char			 room[1024];
};

int
forks_pass(int socket, int listener)
{
	char		 text[] = "listener";
	struct iovec	 iov = { text, sizeof(text) };
	union control	 c;
	struct msghdr	 msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = c.buf, .msg_controllen = sizeof(c.buf)
	};

	memset(&c, 0, sizeof(c));
	c.head.cmsg_level = SOL_SOCKET;
	c.head.cmsg_type = SCM_RIGHTS;
	c.head.cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(&c.head), &listener, sizeof(int));
	return sendmsg(socket, &msg, MSG_NOSIGNAL) == -1 ? -1 : 0;
}

ssize_t
forks_receive(int socket, void *buf, size_t size, int *listener)
{
	struct iovec	 iov = { buf, size };
	union control	 c;
	struct msghdr	 msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = c.buf, .msg_controllen = sizeof(c.buf)
	};
	struct cmsghdr	*head;
	ssize_t		 n;

	do
		n = recvmsg(socket, &msg, MSG_CMSG_CLOEXEC);
	while (n == -1 && errno == EINTR);
	if (n > 0 && (head = CMSG_FIRSTHDR(&msg)) != NULL &&
	    head->cmsg_level == SOL_SOCKET && head->cmsg_type == SCM_RIGHTS &&
	    head->cmsg_len == CMSG_LEN(sizeof(int)))
		memcpy(listener, CMSG_DATA(head), sizeof(int));
	return n;
}

void
forks_allow(int listener)
{
	union request			 r;
	struct seccomp_notif_resp	 answer;

	/* It may be gone by now, or be again where it was. */
	memset(&r, 0, sizeof(r));
	if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &r.one) == -1)
		return;
	memset(&answer, 0, sizeof(answer));
	answer.id = r.one.id;
	answer.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
	ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer);
}
