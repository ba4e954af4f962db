/*
 * What a stage program may see and do: capabilities(7), landlock(7) and
 * seccomp(2).
 *
 * Landlock looks at opening, making, removing and renaming files, but not at
 * changing the mode, the owner or the attributes of one by its path; so the
 * system calls that do this are refused.  Their forms that take a descriptor
 * stay: a descriptor was opened, and that Landlock has looked at.
 */

#include "sandbox.h"

#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>

#include "conf.h"
#include "log.h"

struct sandbox {
	const struct conf *conf;
	int		 landlock;	/* version of its interface; 0: none */
	bool		 seccomp;
	char		 about[128];
};

/* ---- capabilities -------------------------------------------------------- */

/*
 * To an ordinary user exec leaves no capabilities but ambient ones.  Root
 * without any still owns root's files, so the other walls are needed all the
 * same; reading past permissions is only left where Landlock says what may be
 * read.
 */
static int
drop_capabilities(const struct sandbox *sb)
{
	struct __user_cap_header_struct	 head = {
		.version = _LINUX_CAPABILITY_VERSION_3
	};
	struct __user_cap_data_struct	 data[2];
	uint32_t			 keep = 0;
	unsigned long			 cap;

	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	if (geteuid() != 0)
		return 0;
	if (sb->landlock > 0)
		keep = 1U << CAP_DAC_READ_SEARCH;
	/* EPERM is for who had no such right: then there is none to lose. */
	if (setgroups(0, NULL) == -1 && errno != EPERM)
		return -1;
	for (cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) != -1; cap++) {
		if ((cap >= 32 || (keep & (1U << cap)) == 0) &&
		    prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) == -1 &&
		    errno != EPERM)
			return -1;
	}
	if (syscall(SYS_capget, &head, data) == -1)
		return -1;
	data[0].permitted &= keep;
	data[0].effective = data[0].permitted;
	data[0].inheritable = 0;
	memset(&data[1], 0, sizeof(data[1]));
	return (int)syscall(SYS_capset, &head, data);
}

/* ---- files --------------------------------------------------------------- */

/* The kernel's interface, whatever the age of its headers. */
struct ruleset {
	uint64_t	 files;		/* refused, where no rule allows it */
	uint64_t	 network;
	uint64_t	 scope;
};

struct below {
	uint64_t	 allowed;
	int32_t		 fd;
} __attribute__((packed));

#define RULE_BELOW	1
#define RULESET_VERSION	1

enum access {
	EXECUTE		= 1 << 0,
	WRITE_FILE	= 1 << 1,
	READ_FILE	= 1 << 2,
	READ_DIR	= 1 << 3,
	REMOVE_DIR	= 1 << 4,
	REMOVE_FILE	= 1 << 5,
	MAKE_CHAR	= 1 << 6,
	MAKE_DIR	= 1 << 7,
	MAKE_REG	= 1 << 8,
	MAKE_SOCK	= 1 << 9,
	MAKE_FIFO	= 1 << 10,
	MAKE_BLOCK	= 1 << 11,
	MAKE_SYM	= 1 << 12,
	REFER		= 1 << 13,	/* since version 2 */
	TRUNCATE	= 1 << 14,	/* 3 */
	IOCTL_DEV	= 1 << 15,	/* 5 */

	ALL_ACCESS	= (1 << 16) - 1,
	OF_A_FILE	= EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE |
			  IOCTL_DEV,

	READ		= READ_FILE | READ_DIR,
	RUN		= READ | EXECUTE,
	DEVICE		= READ_FILE | WRITE_FILE | TRUNCATE,
	OWN		= READ | WRITE_FILE | REMOVE_DIR | REMOVE_FILE |
			  MAKE_DIR | MAKE_REG | MAKE_SOCK | MAKE_FIFO |
			  MAKE_SYM | REFER | TRUNCATE
};

/* Since version 4: no TCP, neither out nor in. */
#define TCP_ALL		3

/* Since version 6: no abstract sockets of others, no signals to them. */
#define SCOPE_ALL	3

/* What any program needs to start and to look up names; no secrets. */
static const struct {
	const char	*path;
	uint64_t	 allowed;
} system_paths[] = {
	{ "/usr",			RUN },
	{ "/bin",			RUN },
	{ "/sbin",			RUN },
	{ "/lib",			RUN },
	{ "/lib32",			RUN },
	{ "/lib64",			RUN },
	{ "/libx32",			RUN },
	{ "/etc/alternatives",		READ },
	{ "/etc/fonts",			READ },
	{ "/etc/gai.conf",		READ },
	{ "/etc/group",			READ },
	{ "/etc/host.conf",		READ },
	{ "/etc/hosts",			READ },
	{ "/etc/ld.so.cache",		READ },
	{ "/etc/ld.so.conf",		READ },
	{ "/etc/ld.so.conf.d",		READ },
	{ "/etc/locale.alias",		READ },
	{ "/etc/localtime",		READ },
	{ "/etc/magic",			READ },
	{ "/etc/mime.types",		READ },
	{ "/etc/nsswitch.conf",		READ },
	{ "/etc/passwd",		READ },
	{ "/etc/perl",			READ },
	{ "/etc/php",			READ },
	{ "/etc/protocols",		READ },
	{ "/etc/python3",		READ },
	{ "/etc/resolv.conf",		READ },
	{ "/etc/services",		READ },
	{ "/etc/ssl/certs",		READ },
	{ "/etc/ssl/openssl.cnf",	READ },
	{ "/var/cache/fontconfig",	READ },
	{ "/proc/cpuinfo",		READ },
	{ "/proc/filesystems",		READ },
	{ "/proc/meminfo",		READ },
	{ "/proc/stat",			READ },
	{ "/sys/devices/system/cpu",	READ },
	{ "/dev/full",			DEVICE },
	{ "/dev/null",			DEVICE },
	{ "/dev/random",		READ },
	{ "/dev/urandom",		READ },
	{ "/dev/zero",			DEVICE },
};

/* What version ABI of Landlock knows; it refuses bits that it does not. */
static struct ruleset
handled(int abi, bool network)
{
	struct ruleset	 r = { .files = ALL_ACCESS };

	if (abi < 5)
		r.files &= ~(uint64_t)IOCTL_DEV;
	if (abi < 3)
		r.files &= ~(uint64_t)TRUNCATE;
	if (abi < 2)
		r.files &= ~(uint64_t)REFER;
	if (abi >= 4 && !network)
		r.network = TCP_ALL;
	if (abi >= 6)
		r.scope = SCOPE_ALL;
	return r;
}

/* Allow it for PATH and what is below; a path that is not there needs none. */
static int
allow(int ruleset, const struct ruleset *r, const char *path, uint64_t allowed)
{
	struct below	 rule;
	struct stat	 st;
	int		 fd, rc;

	if ((fd = open(path, O_PATH | O_CLOEXEC)) == -1)
		return errno == ENOENT || errno == EACCES ||
		    errno == ENOTDIR ? 0 : -1;
	rule.allowed = allowed & r->files;
	if (fstat(fd, &st) == 0 && !S_ISDIR(st.st_mode))
		rule.allowed &= OF_A_FILE;
	rule.fd = fd;
	rc = (int)syscall(SYS_landlock_add_rule, ruleset, RULE_BELOW, &rule, 0);
	close(fd);
	return rc;
}

/* Tools that the site names: values of [environment] that are paths. */
static int
allow_tools(int ruleset, const struct ruleset *r, char **environment)
{
	const char	*value;

	for (; environment != NULL && *environment != NULL; environment++) {
		value = strchr(*environment, '=');
		if (value != NULL && value[1] == '/' && value[2] != '\0' &&
		    allow(ruleset, r, value + 1, RUN) == -1)
			return -1;
	}
	return 0;
}

static int
confine_files(const struct sandbox *sb, const struct sandbox_need *need)
{
	struct ruleset	 r = handled(sb->landlock, need->network);
	size_t		 i;
	int		 fd, rc;

	if ((fd = (int)syscall(SYS_landlock_create_ruleset, &r, sizeof(r),
	    0)) == -1)
		return -1;
	for (i = 0; i < sizeof(system_paths) / sizeof(system_paths[0]); i++) {
		if (allow(fd, &r, system_paths[i].path,
		    system_paths[i].allowed) == -1)
			return -1;
	}
	if (allow(fd, &r, sb->conf->stages, RUN) == -1 ||
	    allow(fd, &r, sb->conf->share, READ) == -1 ||
	    allow(fd, &r, need->program, RUN) == -1 ||
	    allow(fd, &r, need->dir, OWN) == -1 ||
	    allow_tools(fd, &r, sb->conf->environment) == -1)
		return -1;
	rc = (int)syscall(SYS_landlock_restrict_self, fd, 0);
	close(fd);
	return rc;
}

/* ---- calls --------------------------------------------------------------- */

#if defined(__x86_64__)
#define ARCH		AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCH		AUDIT_ARCH_AARCH64
#elif defined(__riscv) && __riscv_xlen == 64
#define ARCH		AUDIT_ARCH_RISCV64
#else
#define ARCH		0		/* not known here: no filter */
#endif

#define REFUSE(e)	(SECCOMP_RET_ERRNO | ((e) & SECCOMP_RET_DATA))

/* Calls that no stage needs; each could lead out. */
static const unsigned int	 refused[] = {
	/* into other processes, or out of the namespaces */
	SYS_ptrace, SYS_process_vm_readv, SYS_process_vm_writev, SYS_setns,
	SYS_unshare, SYS_pidfd_getfd, SYS_kcmp,
	/* another view of the files */
	SYS_mount, SYS_umount2, SYS_pivot_root, SYS_chroot, SYS_move_mount,
	SYS_open_tree, SYS_fsopen, SYS_fsconfig, SYS_fsmount, SYS_fspick,
	SYS_mount_setattr, SYS_open_by_handle_at, SYS_name_to_handle_at,
	SYS_memfd_create, SYS_swapon, SYS_swapoff, SYS_quotactl, SYS_acct,
	/* files by path, which Landlock does not look at */
	SYS_fchmodat, 452 /* fchmodat2 */, SYS_fchownat, SYS_setxattr,
	SYS_lsetxattr, SYS_removexattr, SYS_lremovexattr,
#ifdef SYS_chmod
	SYS_chmod, SYS_chown, SYS_lchown,
#endif
	/* calls in another guise */
	SYS_io_uring_setup, SYS_io_uring_enter, SYS_io_uring_register,
	/* parts of the kernel that only trouble comes from */
	SYS_bpf, SYS_userfaultfd, SYS_perf_event_open, SYS_add_key,
	SYS_request_key, SYS_keyctl, SYS_personality, SYS_init_module,
	SYS_finit_module, SYS_delete_module, SYS_kexec_load, SYS_reboot,
	SYS_syslog, SYS_settimeofday, SYS_clock_settime, SYS_adjtimex,
	SYS_clock_adjtime, SYS_sethostname, SYS_setdomainname, SYS_vhangup,
#ifdef SYS_kexec_file_load
	SYS_kexec_file_load,
#endif
#ifdef SYS_iopl
	SYS_iopl, SYS_ioperm, SYS_modify_ldt,
#endif
};

/* Families that "network" opens.  A unix socket leads to the database. */
static const unsigned int	 families[] = { AF_INET, AF_INET6, AF_NETLINK };

/* The bits of a socket's type that are not flags. */
#define SOCK_TYPES	0xf

#define NAMESPACES \
	(CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | \
	CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET)

/* A program for the kernel's filter, as it is written. */
struct program {
	struct sock_filter	 code[256];
	unsigned short		 len;
};

static void
put(struct program *p, unsigned int code, uint32_t k, unsigned char jt,
    unsigned char jf)
{
	if (p->len == sizeof(p->code) / sizeof(p->code[0]))
		fatalx("sandbox: the filter is too long");
	p->code[p->len++] = (struct sock_filter){ (unsigned short)code, jt, jf,
	    k };
}

#define LOAD(p, field)	put(p, BPF_LD | BPF_W | BPF_ABS, \
			    offsetof(struct seccomp_data, field), 0, 0)
#define RETURN(p, what)	put(p, BPF_RET | BPF_K, what, 0, 0)

/* What was loaded equals K: return WHAT; else go on. */
static void
when(struct program *p, uint32_t k, uint32_t what)
{
	put(p, BPF_JMP | BPF_JEQ | BPF_K, k, 0, 1);
	RETURN(p, what);
}

static void
write_filter(struct program *p, bool network)
{
	size_t	 i;

	/* Other tables of calls: 32 bits, and x32. */
	LOAD(p, arch);
	put(p, BPF_JMP | BPF_JEQ | BPF_K, ARCH, 1, 0);
	RETURN(p, SECCOMP_RET_KILL_PROCESS);
	LOAD(p, nr);
	put(p, BPF_JMP | BPF_JGE | BPF_K, 0x40000000, 0, 1);
	RETURN(p, SECCOMP_RET_KILL_PROCESS);

	for (i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
		when(p, refused[i], REFUSE(EPERM));
	/* Its flags are out of a filter's sight; libc then takes clone. */
	when(p, SYS_clone3, REFUSE(ENOSYS));

	put(p, BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 0, 4);
	LOAD(p, args[0]);
	put(p, BPF_JMP | BPF_JSET | BPF_K, NAMESPACES, 0, 1);
	RETURN(p, REFUSE(EPERM));
	RETURN(p, SECCOMP_RET_ALLOW);

	/* One of a pair of datagram sockets can write to any socket by path. */
	put(p, BPF_JMP | BPF_JEQ | BPF_K, SYS_socketpair, 0, 7);
	LOAD(p, args[1]);
	put(p, BPF_ALU | BPF_AND | BPF_K, SOCK_TYPES, 0, 0);
	when(p, SOCK_STREAM, SECCOMP_RET_ALLOW);
	when(p, SOCK_SEQPACKET, SECCOMP_RET_ALLOW);
	RETURN(p, REFUSE(EPERM));

	put(p, BPF_JMP | BPF_JEQ | BPF_K, SYS_socket, 1, 0);
	RETURN(p, SECCOMP_RET_ALLOW);
	LOAD(p, args[0]);
	for (i = 0; network && i < sizeof(families) / sizeof(families[0]); i++)
		when(p, families[i], SECCOMP_RET_ALLOW);
	RETURN(p, REFUSE(EPERM));
}

static int
confine_calls(bool network)
{
	struct program		 p = { .len = 0 };
	struct sock_fprog	 prog = { .filter = p.code };

	write_filter(&p, network);
	prog.len = p.len;
	return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog);
}

/* ---- all of them --------------------------------------------------------- */

struct sandbox *
sandbox_new(const struct conf *conf)
{
	struct sandbox	*sb = xcalloc(1, sizeof(*sb));
	uint32_t	 action = SECCOMP_RET_ERRNO;
	long		 abi;

	sb->conf = conf;
	abi = syscall(SYS_landlock_create_ruleset, NULL, (size_t)0,
	    RULESET_VERSION);
	sb->landlock = abi > 0 ? (int)abi : 0;
	sb->seccomp = ARCH != 0 && syscall(SYS_seccomp,
	    SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0;
	if (sb->landlock > 0)
		snprintf(sb->about, sizeof(sb->about), "Landlock %d, ",
		    sb->landlock);
	else
		strlcpy(sb->about, "NO Landlock, ", sizeof(sb->about));
	strlcat(sb->about, sb->seccomp ? "seccomp" : "NO seccomp",
	    sizeof(sb->about));
	return sb;
}

void
sandbox_free(struct sandbox *sb)
{
	free(sb);
}

const char *
sandbox_about(const struct sandbox *sb)
{
	return sb->about;
}

bool
sandbox_whole(const struct sandbox *sb)
{
	return sb->landlock > 0 && sb->seccomp;
}

const char *
sandbox_enter(const struct sandbox *sb, const struct sandbox_need *need)
{
	/* Without this an ordinary user may build none of the others. */
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1)
		return "no new privileges";
	if (sb->landlock > 0 && confine_files(sb, need) == -1)
		return "Landlock";
	if (drop_capabilities(sb) == -1)
		return "capabilities";
	if (sb->seccomp && confine_calls(need->network) == -1)
		return "seccomp";
	return NULL;
}
