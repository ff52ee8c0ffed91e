/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef NET_LINUX_UNIX_SOCKET_H
#define NET_LINUX_UNIX_SOCKET_H

#include <sys/un.h>

#include "alcazar/err.h"

int unix_address(const char *path, struct sockaddr_un *out, struct alc_err *err) ALC_MUST_CHECK;
/* A connected stream socket, with a large buffer. */
int unix_connect(const char *path, int *out, struct alc_err *err) ALC_MUST_CHECK;

#endif
