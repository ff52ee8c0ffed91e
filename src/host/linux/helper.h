/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef HOST_LINUX_HELPER_H
#define HOST_LINUX_HELPER_H

#include <sys/types.h>

#include "alcazar/err.h"

/*
 * Helper processes: programs of our own that parse what strangers send, each in a process that
 * confines itself. Looked for in $ALCAZAR_LIBEXEC if that is set; else beside the running program
 * (a build tree), then where they are installed.
 */
enum { HELPER_FD = 3 }; /* the first of the descriptors that it is given */

/* path has room for PATH_MAX bytes. */
int helper_find(const char *name, char *path, struct alc_err *err) ALC_MUST_CHECK;
/* fds stay the caller's. The helper has an empty environment and no terminal. */
int helper_spawn(const char *name, const int *fds, unsigned nfds, pid_t *out,
		 struct alc_err *err) ALC_MUST_CHECK;
/* Ends it, waits for it, and says in words how it ended; pid 0: nothing. */
void helper_end(pid_t pid);
/* When its connection has ended, how it did, in words: "was killed by signal 9". pid 0: not ours.
 */
void helper_how_ended(pid_t pid, char *out, size_t size);

/*
 * Messages at the start of the conversation, before a helper's own protocol: 32-bit length in
 * network order, then text. Wait at most some seconds.
 */
enum { HELPER_TEXT_MAX = 4096 };
int helper_send_text(int fd, const char *text, struct alc_err *err) ALC_MUST_CHECK;
/* The answer: 0, or the helper's error with its sentence. */
int helper_await_answer(int fd, const char *name, struct alc_err *err) ALC_MUST_CHECK;

/* The helper's side: text is terminated. -errno: there is no machine to talk to. */
int helper_receive_text(int fd, char text[HELPER_TEXT_MAX]) ALC_MUST_CHECK;
int helper_answer(int fd, int code, const char *text) ALC_MUST_CHECK;

#endif
