/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Disk and network measurements inside a guest, or on the host. Each prints one line as bench.c's
 * programs do; work is bytes.
 *
 *	bench-io read FILE BYTES                from the start, 1 MiB at a time, past the page cache
 *	bench-io random FILE READS DEPTH        4 KiB reads at random places, DEPTH in flight
 *	                                        (named disk-single for a depth of 1)
 *	bench-io send ADDRESS PORT BYTES        over one TCP connection, until the peer has it all
 *	bench-io receive ADDRESS PORT BYTES     likewise, the other way
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { CHUNK = 1 << 20, BLOCK = 4096, DEPTH_MAX = 256 };

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static int report(const char *name, uint64_t start, uint64_t work)
{
	printf("BENCH %s %llu %llu\n", name, (unsigned long long)(now_ns() - start),
	       (unsigned long long)work);
	return 0;
}

static int fail(const char *what)
{
	perror(what);
	return 1;
}

static int bench_read(const char *path, uint64_t bytes)
{
	void *buffer = aligned_alloc(BLOCK, CHUNK);
	int fd = open(path, O_RDONLY | O_DIRECT);
	uint64_t start = now_ns(), done = 0;

	if (fd < 0 || !buffer)
		return fail(path);
	while (done < bytes) {
		ssize_t n = read(fd, buffer, CHUNK);

		if (n <= 0)
			return fail("read");
		done += (uint64_t)n;
	}
	close(fd);
	free(buffer);
	return report("disk-read", start, done);
}

/* A read at a random block, from a fixed seed: every contender reads the same. */
static void place(struct iocb *io, uint64_t blocks)
{
	static uint64_t seed = 88172645463325252u;

	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	io->aio_offset = (int64_t)(seed % blocks * BLOCK);
}

static int run_random(aio_context_t ctx, int fd, uint64_t reads, unsigned depth)
{
	static struct iocb ios[DEPTH_MAX];
	struct io_event events[DEPTH_MAX];
	uint64_t blocks = (uint64_t)lseek(fd, 0, SEEK_END) / BLOCK, issued = 0, done = 0;

	for (unsigned i = 0; i < depth; i++, issued++) {
		struct iocb *io = &ios[i];

		*io = (struct iocb){.aio_fildes = (uint32_t)fd,
				    .aio_lio_opcode = IOCB_CMD_PREAD,
				    .aio_buf = (uint64_t)aligned_alloc(BLOCK, BLOCK),
				    .aio_nbytes = BLOCK};
		place(io, blocks);
		if (syscall(SYS_io_submit, ctx, 1, &io) != 1)
			return fail("io_submit");
	}
	while (done < reads) {
		long n = syscall(SYS_io_getevents, ctx, 1, depth, events, NULL);

		if (n < 1)
			return fail("io_getevents");
		for (long i = 0; i < n; i++) {
			struct iocb *io = (void *)(uintptr_t)events[i].obj;

			if (events[i].res != BLOCK)
				return fail("a read was short");
			done++;
			if (issued++ >= reads)
				continue;
			place(io, blocks);
			if (syscall(SYS_io_submit, ctx, 1, &io) != 1)
				return fail("io_submit");
		}
	}
	return 0;
}

static int bench_random(const char *path, uint64_t reads, unsigned depth)
{
	aio_context_t ctx = 0;
	int fd = open(path, O_RDONLY | O_DIRECT);
	uint64_t start = now_ns();

	if (!depth || depth > DEPTH_MAX || depth > reads)
		return fail("depth");
	if (fd < 0)
		return fail(path);
	if (syscall(SYS_io_setup, depth, &ctx) || run_random(ctx, fd, reads, depth))
		return fail("asynchronous reads");
	syscall(SYS_io_destroy, ctx);
	close(fd);
	return report(depth > 1 ? "disk-random" : "disk-single", start, reads * BLOCK);
}

static int open_connection(const char *address, const char *port)
{
	struct sockaddr_in to = {.sin_family = AF_INET,
				 .sin_port = htons((uint16_t)strtoul(port, NULL, 10))};
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (inet_pton(AF_INET, address, &to.sin_addr) != 1 || fd < 0 ||
	    connect(fd, (struct sockaddr *)&to, sizeof(to)))
		return -1;
	return fd;
}

/* The peer answers one byte when it has everything. */
static int bench_send(int fd, uint64_t bytes)
{
	char *buffer = calloc(1, CHUNK), answer;
	uint64_t start = now_ns(), done = 0;

	if (fd < 0 || !buffer)
		return fail("connect");
	while (done < bytes) {
		size_t want = bytes - done < CHUNK ? bytes - done : CHUNK;
		ssize_t n = write(fd, buffer, want);

		if (n <= 0)
			return fail("send");
		done += (uint64_t)n;
	}
	if (read(fd, &answer, 1) != 1)
		return fail("the peer's answer");
	close(fd);
	return report("net-send", start, bytes);
}

static int bench_receive(int fd, uint64_t bytes)
{
	char *buffer = malloc(CHUNK);
	uint64_t start = now_ns(), done = 0;

	if (fd < 0 || !buffer)
		return fail("connect");
	while (done < bytes) {
		ssize_t n = read(fd, buffer, CHUNK);

		if (n <= 0)
			return fail("receive");
		done += (uint64_t)n;
	}
	close(fd);
	return report("net-receive", start, done);
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	if (argc == 4 && !strcmp(what, "read"))
		return bench_read(argv[2], strtoull(argv[3], NULL, 10));
	if (argc == 5 && !strcmp(what, "random"))
		return bench_random(argv[2], strtoull(argv[3], NULL, 10),
				    (unsigned)strtoul(argv[4], NULL, 10));
	if (argc == 5 && !strcmp(what, "send"))
		return bench_send(open_connection(argv[2], argv[3]), strtoull(argv[4], NULL, 10));
	if (argc == 5 && !strcmp(what, "receive"))
		return bench_receive(open_connection(argv[2], argv[3]),
				     strtoull(argv[4], NULL, 10));
	fprintf(stderr, "usage: bench-io read FILE BYTES | random FILE READS DEPTH | "
			"send|receive ADDRESS PORT BYTES\n");
	return 2;
}
