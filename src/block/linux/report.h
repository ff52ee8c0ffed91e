/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BLOCK_LINUX_REPORT_H
#define BLOCK_LINUX_REPORT_H

#include <stdatomic.h>

#include "alcazar/err.h"
#include "host/host.h"

/*
 * Lines for the operator about one disk: a disk that fails does so by the thousand, so after a
 * line the next ones are only counted for a while. From any thread.
 */
struct report {
	const struct alc_host *host;
	_Atomic(u64) quiet_until_ns; /* 0: nothing was said yet */
	_Atomic(u64) unsaid;
};

void report_line(struct report *r, const char *fmt, ...) ALC_PRINTF(2, 3);

#endif
