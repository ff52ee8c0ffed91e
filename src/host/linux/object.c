/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host/linux/linux.h"

/*
 * Shared memory with huge pages. A memfd has them only where the administrator has changed
 * /sys/kernel/mm/transparent_hugepage/shmem_enabled from its default, "never". That is the setting
 * of the kernel's own mount of tmpfs; every other mount has its own, and anybody may mount a tmpfs
 * in a user namespace of theirs. So a child in new user and mount namespaces makes one, attached to
 * no directory, and a file in it that has no name. The file stays when the namespaces go: its
 * descriptor is in the table that the child shares with us.
 */

enum { CHILD_STACK_BYTES = 32 << 10, NAMESPACES = CLONE_NEWUSER | CLONE_NEWNS };

struct order {
	const char *name;
	char uid_map[32], gid_map[32];
	int fd; /* the answer; negative: none */
};

/* Not where no page shall be huge: that kind of host saves memory. */
static bool huge_pages_allowed(void)
{
	char text[64] = "";
	int fd = open("/sys/kernel/mm/transparent_hugepage/enabled", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;

	if (fd >= 0)
		close(fd);
	return n > 0 && !strstr(text, "[never]");
}

static bool write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool done = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	if (fd >= 0)
		close(fd);
	return done;
}

/* A file belongs to somebody, so somebody must be known in the namespace: user_namespaces(7). */
static bool map_ids(const struct order *o)
{
	return write_file("/proc/self/setgroups", "deny") &&
	       write_file("/proc/self/uid_map", o->uid_map) &&
	       write_file("/proc/self/gid_map", o->gid_map);
}

/* No limit of size: the default is half of the host's memory, for all files together. */
static bool configure(int context)
{
	return !fsconfig(context, FSCONFIG_SET_STRING, "huge", "always", 0) &&
	       !fsconfig(context, FSCONFIG_SET_STRING, "size", "0", 0) &&
	       !fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0);
}

static int mount_tmpfs(void)
{
	int context = fsopen("tmpfs", FSOPEN_CLOEXEC), mount = -1;

	if (context < 0)
		return -1;
	if (configure(context))
		mount = fsmount(context, FSMOUNT_CLOEXEC, 0);
	close(context);
	return mount;
}

/* In the child. It shares our memory and our descriptors, and we wait: as after vfork(2). */
static int carry_out(void *arg)
{
	struct order *o = arg;
	int mount;

	if (!map_ids(o))
		return 0;
	mount = mount_tmpfs();
	if (mount < 0)
		return 0;
	o->fd = openat(mount, o->name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (o->fd >= 0)
		unlinkat(mount, o->name, 0);
	close(mount);
	return 0;
}

static int nameless_file(const char *name)
{
	_Alignas(16) char stack[CHILD_STACK_BYTES];
	struct order o = {.name = name, .fd = -EPERM};
	sigset_t all, before;
	pid_t child;

	snprintf(o.uid_map, sizeof(o.uid_map), "0 %u 1\n", geteuid());
	snprintf(o.gid_map, sizeof(o.gid_map), "0 %u 1\n", getegid());
	/* No handler of ours may run in the child. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	child = clone(carry_out, stack + sizeof(stack),
		      CLONE_VM | CLONE_VFORK | CLONE_FILES | NAMESPACES, &o);
	/* A child without a signal at its end: no business of who handles SIGCHLD. */
	while (child > 0 && waitpid(child, NULL, __WCLONE) < 0 && errno == EINTR)
		;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return o.fd;
}

static int sized(int fd, u64 size)
{
	int rc;

	if (fd < 0 || !ftruncate(fd, (off_t)size))
		return fd;
	rc = -errno;
	close(fd);
	return rc;
}

int linux_huge_object(const char *name, u64 size)
{
	return sized(huge_pages_allowed() ? nameless_file(name) : -ENOTSUP, size);
}

int linux_object(const char *name, u64 size)
{
	int fd = linux_huge_object(name, size);

	if (fd >= 0)
		return fd;
	fd = memfd_create(name, MFD_CLOEXEC);
	return sized(fd < 0 ? -errno : fd, size);
}
