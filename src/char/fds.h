/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef CHAR_FDS_H
#define CHAR_FDS_H

#include "alcazar/err.h"
#include "char/char.h"
#include "host/clock.h"

/*
 * A stream over file descriptors: a terminal, pipes, files. For hosted programs.
 *
 * A thread of the stream's own reads in_fd and pushes into the front end as it has room. Output
 * waits for a slow reader, until char_fds_unblock; a reader who is gone loses the output, and the
 * guest does not notice.
 */
struct char_fds_params {
	int in_fd, out_fd; /* -1: none. Not closed */
	int escape_char;   /* typed, it calls stop and ends the input; -1: none */
	bool eof_as_eot;   /* the front end gets a Ctrl-D at the end of input */
	/*
	 * Input is a file, and the stream has no thread: from char_fds_set_clock on a timer of that
	 * virtual clock reads it, so that it comes at instants that depend on the guest alone.
	 */
	bool by_clock;
	bool await_ready;        /* hold input back until char_fds_ready */
	void (*stop)(void *ctx); /* from the stream's thread */
	void *stop_ctx;
};

struct char_fds;

int char_fds_create(const struct char_fds_params *p, struct char_fds **out,
		    struct alc_err *err) ALC_MUST_CHECK;
/* Who writes or takes input must be gone. NULL is fine. */
void char_fds_destroy(struct char_fds *f);
struct alc_char char_fds_stream(struct char_fds *f);
void char_fds_ready(struct char_fds *f);
/* Before the machine runs. The clock may go before the stream, after who takes input. */
void char_fds_set_clock(struct char_fds *f, struct alc_clock *clock);
/* From now on output is dropped rather than waited for; who waits returns. From any thread. */
void char_fds_unblock(struct char_fds *f);

#endif
