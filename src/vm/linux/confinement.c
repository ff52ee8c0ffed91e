/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What helper processes may do, as they say themselves: they make the report of the same tables as
 * their filters.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "alcazar/device.h"
#include "host/linux/helper.h"
#include "vm/linux/vm_linux.h"

enum { REPORT_MAX = 1 << 20 };

static const char *const helpers[] = {"alcazar-net-user", "alcazar-net-hub"};

static int spawn(const char *path, const char *option, int out_fd, pid_t *pid)
{
	char *argv[] = {(char *)(uintptr_t)path, (char *)(uintptr_t)option, NULL};
	char *env[] = {NULL};
	posix_spawn_file_actions_t a;
	int rc = posix_spawn_file_actions_init(&a);

	if (rc)
		return -rc;
	rc = posix_spawn_file_actions_adddup2(&a, out_fd, STDOUT_FILENO);
	if (!rc)
		rc = posix_spawn(pid, path, &a, NULL, argv, env);
	posix_spawn_file_actions_destroy(&a);
	return -rc;
}

static int read_all(int fd, char *text)
{
	size_t len = 0;
	ssize_t n;

	do {
		n = read(fd, text + len, REPORT_MAX - len);
		if (n > 0)
			len += (size_t)n;
	} while (n > 0 || (n < 0 && errno == EINTR));
	text[len] = '\0';
	return n < 0 ? -errno : 0;
}

/* Reads what a program says; -EIO if it does not end with status 0. */
static int ask(const char *path, const char *option, char *text)
{
	int fds[2], rc, status;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC))
		return -errno;
	rc = spawn(path, option, fds[1], &pid);
	close(fds[1]);
	if (!rc) {
		rc = read_all(fds[0], text);
		while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
			;
		if (!rc && status)
			rc = -EIO;
	}
	close(fds[0]);
	return rc;
}

int alc_confinement(size_t i, bool json, char **out, struct alc_err *err)
{
	char path[PATH_MAX], *text;
	int rc;

	if (i >= ARRAY_LEN(helpers))
		return -ENOENT;
	rc = helper_find(helpers[i], path, err);
	if (rc)
		return rc == -ENOENT ? -ENOEXEC : rc;
	text = malloc(REPORT_MAX + 1);
	if (!text)
		return alc_fail(err, -ENOMEM, "no memory for a report");
	rc = ask(path, json ? "--describe-confinement=json" : "--describe-confinement", text);
	if (rc) {
		free(text);
		return alc_fail(err, rc, "the helper '%s' does not say what it may do: %s", path,
				strerror(-rc));
	}
	*out = text;
	return 0;
}
