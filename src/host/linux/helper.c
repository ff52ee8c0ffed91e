/* SPDX-License-Identifier: BSD-2-Clause */
#include "host/linux/helper.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef ALCAZAR_LIBEXECDIR
#error "ALCAZAR_LIBEXECDIR is where helpers are installed"
#endif

enum { FDS_MAX = 4, FD_ASIDE = 64, END_PATIENCE_MS = 1000 };

/* ---- Finding ------------------------------------------------------------------------------ */

static bool beside_program(const char *name, char path[PATH_MAX])
{
	ssize_t n = readlink("/proc/self/exe", path, PATH_MAX - 1);
	char *slash;

	if (n <= 0)
		return false;
	path[n] = 0;
	slash = strrchr(path, '/');
	n = slash + 1 - path;
	return snprintf(slash + 1, (size_t)(PATH_MAX - n), "%s", name) < PATH_MAX - n &&
	       !access(path, X_OK);
}

int helper_find(const char *name, char *path, struct alc_err *err)
{
	const char *dir = secure_getenv("ALCAZAR_LIBEXEC");

	if (!dir && beside_program(name, path))
		return 0;
	if (!dir)
		dir = ALCAZAR_LIBEXECDIR;
	if (snprintf(path, PATH_MAX, "%s/%s", dir, name) >= PATH_MAX || access(path, X_OK))
		return alc_fail(
			err, -ENOENT,
			"can't find the helper program %s, neither in %s nor beside this one", name,
			dir);
	return 0;
}

/* ---- Life --------------------------------------------------------------------------------- */

/* Descriptors go aside first: one of them may have a number that another must get. */
static int add_fds(posix_spawn_file_actions_t *a, const int *fds, unsigned n)
{
	int rc = 0;

	for (int i = 0; !rc && i < HELPER_FD; i++)
		rc = posix_spawn_file_actions_addopen(a, i, "/dev/null", O_RDWR, 0);
	for (unsigned i = 0; !rc && i < n; i++)
		rc = posix_spawn_file_actions_adddup2(a, fds[i], FD_ASIDE + (int)i);
	for (unsigned i = 0; !rc && i < n; i++)
		rc = posix_spawn_file_actions_adddup2(a, FD_ASIDE + (int)i, HELPER_FD + (int)i);
	return rc ? rc : posix_spawn_file_actions_addclosefrom_np(a, HELPER_FD + (int)n);
}

/* A machine's threads block and ignore signals; a helper starts with a clean slate. */
static int set_attributes(posix_spawnattr_t *attr)
{
	sigset_t none, all;
	int rc;

	sigemptyset(&none);
	sigfillset(&all);
	rc = posix_spawnattr_setsigmask(attr, &none);
	if (!rc)
		rc = posix_spawnattr_setsigdefault(attr, &all);
	if (!rc)
		rc = posix_spawnattr_setpgroup(attr, 0); /* a terminal's ^C is for the machine */
	return rc ? rc
		  : posix_spawnattr_setflags(attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
							   POSIX_SPAWN_SETPGROUP);
}

static int spawn(const char *path, const char *name, const int *fds, unsigned n, pid_t *out)
{
	char *argv[] = {strdup(name), NULL}, *envp[] = {NULL};
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	int rc = ENOMEM;

	if (!argv[0])
		return -ENOMEM;
	if (!posix_spawn_file_actions_init(&actions)) {
		if (!posix_spawnattr_init(&attr)) {
			rc = add_fds(&actions, fds, n);
			if (!rc)
				rc = set_attributes(&attr);
			if (!rc)
				rc = posix_spawn(out, path, &actions, &attr, argv, envp);
			posix_spawnattr_destroy(&attr);
		}
		posix_spawn_file_actions_destroy(&actions);
	}
	free(argv[0]);
	return -rc;
}

int helper_spawn(const char *name, const int *fds, unsigned nfds, pid_t *out, struct alc_err *err)
{
	char path[PATH_MAX];
	int rc = helper_find(name, path, err);

	if (rc)
		return rc;
	rc = spawn(path, name, fds, nfds < FDS_MAX ? nfds : FDS_MAX, out);
	if (rc)
		return alc_fail(err, rc, "can't start %s: %s", path, strerror(-rc));
	return 0;
}

void helper_end(pid_t pid)
{
	if (pid <= 0)
		return;
	kill(pid, SIGKILL);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}

/*
 * A process closes its descriptors before it can be waited for; so who saw the end of a connection
 * gives it a moment.
 */
static void await_end(pid_t pid)
{
	struct pollfd p = {.fd = (int)syscall(SYS_pidfd_open, pid, 0), .events = POLLIN};

	if (p.fd < 0)
		return;
	while (poll(&p, 1, END_PATIENCE_MS) < 0 && errno == EINTR)
		;
	close(p.fd);
}

/* WNOWAIT: helper_end reaps. */
void helper_how_ended(pid_t pid, char *out, size_t size)
{
	siginfo_t how = {0};

	if (pid > 0)
		await_end(pid);
	if (pid <= 0 || waitid(P_PID, (id_t)pid, &how, WEXITED | WNOHANG | WNOWAIT) || !how.si_pid)
		snprintf(out, size, "closed its connection");
	else if (how.si_code == CLD_EXITED)
		snprintf(out, size, "ended with status %d", how.si_status);
	else
		snprintf(out, size, "was killed by signal %d", how.si_status);
}
