/* SPDX-License-Identifier: BSD-2-Clause */
#include "net/linux/helper/profiles.h"

#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "base/bits.h"

#define ALLOW(call_, why_)                 \
	{                                  \
		.call = call_, .why = why_ \
	}
#define EQUAL(arg_, value_)                                                \
	{                                                                  \
		.compare = CONFINE_EQUAL, .arg = (arg_), .value = (value_) \
	}
#define BITS(arg_, mask_, value_)                                                          \
	{                                                                                  \
		.compare = CONFINE_BITS, .arg = (arg_), .value = (value_), .mask = (mask_) \
	}
#define ALLOW_IF(call_, why_, ...)                                  \
	{                                                           \
		.call = call_, .why = why_, .when = { __VA_ARGS__ } \
	}
#define REFUSE(call_, why_)                                           \
	{                                                             \
		.call = call_, .why = why_, .verdict = CONFINE_REFUSE \
	}

/* Memory, the end, and what the C library does of its own accord. */
#define COMMON                                                                                    \
	ALLOW_IF("mmap", "heap, never executable", BITS(2, PROT_EXEC, 0), EQUAL(4, ~0u)),         \
		ALLOW_IF("mmap", "heap, never executable", BITS(2, PROT_EXEC, 0),                 \
			 EQUAL(4, ~0ull)),                                                        \
		ALLOW("munmap", "heap"), ALLOW("mremap", "heap"), ALLOW("brk", "heap"),           \
		ALLOW("madvise", "heap"), ALLOW("exit_group", "the end"),                         \
		ALLOW("rt_sigreturn", "return from a signal handler"),                            \
		ALLOW("restart_syscall", "poll that was interrupted"),                            \
		ALLOW("clock_gettime", "time, where the vDSO has no clock"),                      \
		ALLOW("gettimeofday", "likewise"), ALLOW("futex", "locks of the C library"),      \
		REFUSE("newfstatat", "buffering of standard error"), REFUSE("fstat", "likewise"), \
		ALLOW_IF("mprotect", "heap, never executable", BITS(2, PROT_EXEC, 0)),            \
		ALLOW("close", "connections that ended")

/* Type and flags of a socket, less the two flags that change nothing for us. */
enum { TYPE_MASK = ~(SOCK_CLOEXEC | SOCK_NONBLOCK) };
#define SOCKET(family, type) \
	ALLOW_IF("socket", #family " " #type, EQUAL(0, family), BITS(1, (u32)TYPE_MASK, type))

static const struct confine_rule user_rules[] = {
	COMMON,
	SOCKET(AF_INET, SOCK_STREAM),
	SOCKET(AF_INET, SOCK_DGRAM),
	SOCKET(AF_INET6, SOCK_STREAM),
	SOCKET(AF_INET6, SOCK_DGRAM),
	ALLOW("connect", "outgoing connections of the guest"),
	ALLOW("accept", "forwarded ports, bound before"),
	ALLOW("accept4", "likewise"),
	ALLOW("sendto", "data of the guest"),
	ALLOW("sendmsg", "frames to the machine"),
	ALLOW("recvfrom", "data for the guest, frames"),
	ALLOW("recvmsg", "likewise"),
	ALLOW("read", "data for the guest"),
	ALLOW("write", "data of the guest"),
	ALLOW("shutdown", "half-closed connections"),
	ALLOW("getsockopt", "errors of connections"),
	ALLOW("getsockname", "addresses of connections"),
	ALLOW("getpeername", "likewise"),
	ALLOW("setsockopt", "reuse, no delay, out-of-band data, hop limit"),
	ALLOW("poll", "waiting"),
	ALLOW("ppoll", "waiting"),
	ALLOW_IF("ioctl", "how much there is to read", EQUAL(1, FIONREAD)),
	ALLOW_IF("ioctl", "non-blocking", EQUAL(1, FIONBIO)),
	ALLOW_IF("fcntl", "flags", EQUAL(1, 1 /* F_GETFD */)),
	ALLOW_IF("fcntl", "close on exec", EQUAL(1, 2 /* F_SETFD */)),
	ALLOW_IF("fcntl", "flags", EQUAL(1, 3 /* F_GETFL */)),
	ALLOW_IF("fcntl", "non-blocking", EQUAL(1, 4 /* F_SETFL */)),
};

const struct confine_profile net_user_profile = {
	.process = "alcazar-net-user",
	.purpose = "user-mode NAT: speaks TCP/IP with one guest and with the world",
	.rules = user_rules,
	.nrules = ARRAY_LEN(user_rules),
	.fds_kept = 4,
	.fds_max = 4096,
	.memory_max = 1ull << 30,
	.dies_with_parent = true,
};

static const struct confine_rule hub_rules[] = {
	COMMON,
	ALLOW("accept4", "machines that join"),
	ALLOW("recvfrom", "frames"),
	ALLOW("sendto", "frames"),
	ALLOW("sendmsg", "frames"),
	ALLOW("poll", "waiting"),
	ALLOW("ppoll", "waiting"),
};

const struct confine_profile net_hub_profile = {
	.process = "alcazar-net-hub",
	.purpose = "Ethernet hub: copies frames between machines of one host",
	.rules = hub_rules,
	.nrules = ARRAY_LEN(hub_rules),
	.fds_kept = 5,
	.fds_max = 128,
	.memory_max = 1ull << 30,
	.dies_with_parent = false,
};
