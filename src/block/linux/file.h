/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BLOCK_LINUX_FILE_H
#define BLOCK_LINUX_FILE_H

#include "alcazar/err.h"
#include "block/block.h"
#include "host/host.h"

/*
 * Raw files and block devices.
 *
 * An open image is locked (fcntl(2), open file description locks, on the whole file): by any
 * number of readers, or by one writer. Flush is fdatasync. An fdatasync that failed has lost what
 * it can't tell, and the kernel forgets about it, so from then on every flush fails.
 */
enum file_aio { FILE_AIO_AUTO, FILE_AIO_URING, FILE_AIO_THREADS };

struct file_params {
	bool read_only;
	bool direct; /* past the page cache (O_DIRECT) */
	enum file_aio aio;
};

int block_file_open(const struct alc_host *host, const char *path, const struct file_params *p,
		    struct block **out, struct alc_err *err) ALC_MUST_CHECK;
/* The same for a descriptor, which it takes also when it fails; `name` is for messages. */
int block_file_take(const struct alc_host *host, int fd, const char *name,
		    const struct file_params *p, struct block **out,
		    struct alc_err *err) ALC_MUST_CHECK;

#endif
