/* SPDX-License-Identifier: BSD-2-Clause */
/* What a confined helper may not do, tried by a process that has confined itself as it does. */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/bits.h"
#include "net/linux/helper/profiles.h"

/* Each does one thing; what comes back is the status it exits with. */
typedef int attempt(void);

static int run_confined(const struct confine_profile *p, attempt *what)
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (!pid) {
		struct alc_err err = {0};

		if (confine(p, &err))
			_exit(99);
		/* Not _exit, before which a sanitizer looks at the signal stack. */
		syscall(SYS_exit_group, what());
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

/* ---- Forbidden ---------------------------------------------------------------------------- */

static int open_file(void)
{
	return (int)syscall(SYS_openat, AT_FDCWD, "/etc/passwd", O_RDONLY);
}

static int open_old(void)
{
	return (int)syscall(SYS_open, "/etc/passwd", O_RDONLY);
}

static int open_by_uring(void)
{
	return (int)syscall(SYS_io_uring_setup, 4, NULL);
}

static int execute(void)
{
	char *argv[] = {(char[]){"true"}, NULL};

	return execve("/bin/true", argv, NULL);
}

static int fork_off(void)
{
	return (int)syscall(SYS_fork);
}

static int clone_off(void)
{
	return (int)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
}

static int trace(void)
{
	return (int)ptrace(PTRACE_TRACEME, 0, NULL, NULL);
}

static int read_memory(void)
{
	return (int)syscall(SYS_process_vm_readv, 1, NULL, 0, NULL, 0, 0);
}

static int send_signal(void)
{
	return (int)syscall(SYS_kill, 1, 0);
}

static int unix_socket(void)
{
	return socket(AF_UNIX, SOCK_STREAM, 0);
}

static int packet_socket(void)
{
	return socket(AF_PACKET, SOCK_DGRAM, 0);
}

static int raw_socket(void)
{
	return socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
}

static int netlink_socket(void)
{
	return socket(AF_NETLINK, SOCK_DGRAM, 0);
}

static int vsock_socket(void)
{
	return socket(AF_VSOCK, SOCK_STREAM, 0);
}

static int bind_port(void)
{
	return bind(0, NULL, 0);
}

static int listen_on(void)
{
	return listen(0, 1);
}

static int executable_memory(void)
{
	return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
	       MAP_FAILED;
}

static int make_executable(void)
{
	static u8 page[8192];

	return mprotect((void *)align_up((uintptr_t)page, 4096), 4096, PROT_READ | PROT_EXEC);
}

static int map_file(void)
{
	return mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, 0, 0) == MAP_FAILED;
}

static int type_into_terminal(void)
{
	return ioctl(0, TIOCSTI, "x");
}

static int lift_limits(void)
{
	return (int)syscall(SYS_prlimit64, 0, 0, NULL, NULL);
}

static int change_user(void)
{
	return (int)syscall(SYS_setuid, 0);
}

static int new_namespace(void)
{
	return (int)syscall(SYS_unshare, 0x10000000 /* CLONE_NEWUSER */);
}

static int use_prctl(void)
{
	return prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
}

static int old_abi(void)
{
	int rc;

	/* The 32-bit entry has numbers of its own: 5 is open. */
	__asm__ volatile("int $0x80" : "=a"(rc) : "a"(5), "b"(0), "c"(0), "d"(0) : "memory");
	return rc < 0;
}

static const struct {
	const char *name;
	attempt *what;
} forbidden[] = {
	{"open a file", open_file},
	{"open a file by the old call", open_old},
	{"set up io_uring", open_by_uring},
	{"execute", execute},
	{"fork", fork_off},
	{"clone", clone_off},
	{"ptrace", trace},
	{"read another process", read_memory},
	{"signal another process", send_signal},
	{"open a Unix socket", unix_socket},
	{"open a packet socket", packet_socket},
	{"open a raw socket", raw_socket},
	{"open a netlink socket", netlink_socket},
	{"open a vsock", vsock_socket},
	{"bind", bind_port},
	{"listen", listen_on},
	{"map executable memory", executable_memory},
	{"make memory executable", make_executable},
	{"map a file", map_file},
	{"type into a terminal", type_into_terminal},
	{"change limits", lift_limits},
	{"change user", change_user},
	{"make a namespace", new_namespace},
	{"prctl", use_prctl},
	{"use the 32-bit ABI", old_abi},
};

static void kills(const struct confine_profile *p, const char *name, attempt *what)
{
	int status = run_confined(p, what);

	if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGSYS)
		fail_msg("%s may %s: status 0x%x", p->process, name, status);
}

static void forbidden_calls_kill(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(forbidden); i++) {
		kills(&net_user_profile, forbidden[i].name, forbidden[i].what);
		kills(&net_hub_profile, forbidden[i].name, forbidden[i].what);
	}
}

/* ---- Allowed, or only refused ------------------------------------------------------------- */

static int internet_sockets(void)
{
	static const int kinds[][2] = {
		{AF_INET, SOCK_STREAM},
		{AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK},
		{AF_INET6, SOCK_STREAM | SOCK_CLOEXEC},
		{AF_INET6, SOCK_DGRAM},
	};

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		/* A host without IPv6 has none to give. */
		if (socket(kinds[i][0], kinds[i][1], 0) < 0 && errno != EAFNOSUPPORT)
			return 1;
	return 0;
}

static int memory(void)
{
	u8 *p = malloc(50 << 20);

	if (!p)
		return 1;
	memset(p, 1, 50 << 20);
	free(p);
	return 0;
}

static int look_at_file(void)
{
	struct stat st;

	return stat("/etc/passwd", &st) != -1 || errno != EPERM;
}

static void needed_calls_work(void **state)
{
	assert_int_equal(run_confined(&net_user_profile, internet_sockets), 0);
	assert_int_equal(run_confined(&net_user_profile, memory), 0);
	assert_int_equal(run_confined(&net_user_profile, look_at_file), 0);
	assert_int_equal(run_confined(&net_hub_profile, memory), 0);
	kills(&net_hub_profile, "open an internet socket", internet_sockets);
}

/* With the filter off, the file system is closed all the same, where the kernel has Landlock. */
static const struct confine_rule everything[] = {
	{.call = "openat", .why = "test"},     {.call = "write", .why = "test"},
	{.call = "unlink", .why = "test"},     {.call = "mkdir", .why = "test"},
	{.call = "exit_group", .why = "test"}, {.call = "getuid", .why = "test"},
	{.call = "geteuid", .why = "test"},    {.call = "setuid", .why = "test"},
	{.call = "mmap", .why = "test"},       {.call = "getrlimit", .why = "test"},
	{.call = "prlimit64", .why = "test"},
};

static const struct confine_profile unfiltered = {
	.process = "test",
	.purpose = "test",
	.rules = everything,
	.nrules = ARRAY_LEN(everything),
	.fds_kept = 3,
	.fds_max = 64,
	.memory_max = 1ull << 30,
};

static int files_are_closed(void)
{
	if (open("/etc/hostname", O_RDONLY) >= 0 || errno != EACCES)
		return 1;
	if (open("/tmp", O_RDONLY | O_DIRECTORY) >= 0 || errno != EACCES)
		return 2;
	if (open("/proc/self/mem", O_RDONLY) >= 0 || errno != EACCES)
		return 3;
	return mkdir("/tmp/alcazar-confine", 0777) != -1 || errno != EACCES ? 4 : 0;
}

static int root_is_gone(void)
{
	if (getuid() == 0 || geteuid() == 0)
		return 1;
	return setuid(0) != -1 ? 2 : 0;
}

static void landlock_closes_files(void **state)
{
	if (syscall(SYS_landlock_create_ruleset, NULL, 0, 1) < 1) {
		print_message("this kernel has no Landlock\n");
		skip();
	}
	assert_int_equal(run_confined(&unfiltered, files_are_closed), 0);
}

static void root_is_given_up(void **state)
{
	if (geteuid() != 0) {
		print_message("only root has something to give up\n");
		skip();
	}
	assert_int_equal(run_confined(&unfiltered, root_is_gone), 0);
}

/* ---- Telling ------------------------------------------------------------------------------ */

static void the_report_names_every_call(void **state)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	confine_describe(&net_user_profile, false, f);
	fclose(f);
	for (size_t i = 0; i < net_user_profile.nrules; i++)
		assert_non_null(strstr(text, net_user_profile.rules[i].call));
	assert_non_null(strstr(text, "all others kill"));
	free(text);
}

static void an_unknown_call_is_an_error(void **state)
{
	static const struct confine_rule rules[] = {{.call = "frobnicate", .why = "test"}};
	struct confine_profile p = unfiltered;
	int status;
	pid_t pid;

	p.rules = rules;
	p.nrules = 1;
	pid = fork();
	if (!pid) {
		struct alc_err err = {0};

		_exit(confine(&p, &err) == -EINVAL && strstr(err.text, "filter") ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(forbidden_calls_kill),
		cmocka_unit_test(needed_calls_work),
		cmocka_unit_test(landlock_closes_files),
		cmocka_unit_test(root_is_given_up),
		cmocka_unit_test(the_report_names_every_call),
		cmocka_unit_test(an_unknown_call_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
