/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * alcazar-run FILE: runs one command for the host and reports its status.
 *
 * FILE holds the argument vector, each argument followed by a NUL.
 *
 * Standard output is the first serial port without any processing, so the host receives exactly
 * the command's bytes. Standard error is the second serial port if the machine has one, else the
 * same as standard output.
 *
 * Standard input is a pipe that a process of ours fills from the first serial port. The terminal
 * is in raw mode: all bytes but one pass unchanged and there is no limit on line length. The
 * one is Ctrl-D (4): it is how the host says "end of input", so input that contains the byte 4
 * ends there. (The terminal's own end-of-file, VEOF in canonical mode, would need two Ctrl-D
 * after an unfinished line and cut lines at 4095 bytes.)
 *
 * The status goes out as one byte on I/O port 0xf8: 0-255 as the command exited, 128 + signal if
 * it was killed, 126 or 127 if it could not be started, as in a shell.
 *
 * A read of the same port says that the terminal is set and input may come. A host that holds
 * input back until then loses none of it to the FIFO resets of the kernel's probing, and gets
 * none of it back as echo, which is on between the first open of a port and its first TCSETS.
 * `alcazar-run --ready` does that read alone, for the interactive shell.
 *
 * Freestanding: no C library is needed to build the guest.
 */
#include <asm/ioctls.h>
#include <asm/termbits.h>
#include <asm/unistd.h>
#include <linux/fcntl.h>
#include <linux/serial.h>
#include <linux/serial_core.h>
#include <linux/tty_flags.h>
#include <linux/errno.h>
#include <stddef.h>

enum { STATUS_PORT = 0xf8, CTRL_D = 4, NOT_EXECUTABLE = 126, NOT_FOUND = 127 };
enum { ARGS_MAX = 4096, VECTOR_BYTES_MAX = 1 << 20, RELAY_BYTES = 4096 };
enum { SIG_KILL = 9 };

static long call(long number, long a, long b, long c, long d)
{
	long result;
	register long r10 __asm__("r10") = d;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10)
			 : "rcx", "r11", "memory");
	return result;
}

/* The compiler may emit calls to it. */
void *memset(void *to, int byte, size_t len);
void *memset(void *to, int byte, size_t len)
{
	char *p = to;

	while (len--)
		*(volatile char *)p++ = (char)byte;
	return to;
}

static size_t text_len(const char *text)
{
	size_t n = 0;

	while (text[n])
		n++;
	return n;
}

static void say(const char *text)
{
	call(__NR_write, 2, (long)text, (long)text_len(text), 0);
}

static long open_file(const char *path, long flags)
{
	return call(__NR_open, (long)path, flags, 0, 0);
}

static void move_fd(long from, long to)
{
	if (from == to)
		return;
	call(__NR_dup2, from, to, 0, 0);
	call(__NR_close, from, 0, 0, 0);
}

/* Raw, 115200 baud, eight bits, RTS and CTS flow control. */
static void make_raw(long fd)
{
	struct termios t;

	if (call(__NR_ioctl, fd, TCGETS, (long)&t, 0) < 0)
		return;
	t.c_iflag = 0;
	t.c_oflag = 0;
	t.c_lflag = 0;
	t.c_cflag = B115200 | CS8 | CREAD | CLOCAL | CRTSCTS;
	t.c_cc[VMIN] = 1;
	t.c_cc[VTIME] = 0;
	call(__NR_ioctl, fd, TCSETS, (long)&t, 0);
}

/* The nodes ttyS0-3 exist whether or not a port does. */
static long open_port(const char *path)
{
	struct serial_struct info = {0};
	long fd = open_file(path, O_RDWR | O_NOCTTY);

	if (fd < 0)
		return fd;
	if (call(__NR_ioctl, fd, TIOCGSERIAL, (long)&info, 0) < 0 || info.type == PORT_UNKNOWN) {
		call(__NR_close, fd, 0, 0, 0);
		return -ENODEV;
	}
	make_raw(fd);
	return fd;
}

/* From the port to the pipe until Ctrl-D; if nobody reads any more, the rest is swallowed. */
static void relay_input(long port, long pipe)
{
	static char buf[RELAY_BYTES];
	_Bool open = 1;

	for (;;) {
		long n = call(__NR_read, port, (long)buf, sizeof(buf), 0);
		long take = 0, done = 0;

		if (n <= 0)
			break;
		while (take < n && buf[take] != CTRL_D)
			take++;
		while (open && done < take) {
			long w = call(__NR_write, pipe, (long)(buf + done), take - done, 0);
			open = w > 0;
			done += w;
		}
		if (take < n)
			break;
	}
}

static void ignore_sigpipe(void)
{
	/* struct sigaction as the kernel has it: handler SIG_IGN. */
	const long action[4] = {1, 0, 0, 0};

	call(__NR_rt_sigaction, 13, (long)action, 0, 8);
}

static long start_relay(long port, long *read_end)
{
	int ends[2];
	long pid;

	if (call(__NR_pipe2, (long)ends, O_CLOEXEC, 0, 0) < 0)
		return -1;
	pid = call(__NR_fork, 0, 0, 0, 0);
	if (pid == 0) {
		ignore_sigpipe();
		call(__NR_close, ends[0], 0, 0, 0);
		relay_input(port, ends[1]);
		call(__NR_exit_group, 0, 0, 0, 0);
	}
	call(__NR_close, ends[1], 0, 0, 0);
	*read_end = ends[0];
	return pid;
}

static long read_vector(const char *path, char *bytes, char **argv)
{
	long fd = open_file(path, O_RDONLY), n, argc = 0;
	size_t len = 0, i = 0;

	if (fd < 0)
		return 0;
	while (len < VECTOR_BYTES_MAX && (n = call(__NR_read, fd, (long)(bytes + len),
						   (long)(VECTOR_BYTES_MAX - len), 0)) > 0)
		len += (size_t)n;
	call(__NR_close, fd, 0, 0, 0);
	bytes[len] = 0;
	while (i < len && argc < ARGS_MAX) {
		argv[argc++] = bytes + i;
		i += text_len(bytes + i) + 1;
	}
	argv[argc] = NULL;
	return argc;
}

/* execve along the usual search path; returns only if that fails. */
static int exec_search(char **argv, char **envp)
{
	static const char *const dirs[] = {"/sbin/", "/bin/", "/usr/sbin/", "/usr/bin/"};
	static char path[4096];
	long err = -ENOENT;
	size_t name_len = text_len(argv[0]);

	for (size_t i = 0; i < name_len; i++)
		if (argv[0][i] == '/') {
			err = call(__NR_execve, (long)argv[0], (long)argv, (long)envp, 0);
			return err == -ENOENT ? NOT_FOUND : NOT_EXECUTABLE;
		}
	for (size_t d = 0; d < sizeof(dirs) / sizeof(dirs[0]) && name_len; d++) {
		size_t dir_len = text_len(dirs[d]);

		if (dir_len + name_len >= sizeof(path))
			continue;
		__builtin_memcpy(path, dirs[d], dir_len);
		__builtin_memcpy(path + dir_len, argv[0], name_len + 1);
		long e = call(__NR_execve, (long)path, (long)argv, (long)envp, 0);
		if (e != -ENOENT)
			err = e;
	}
	return err == -ENOENT ? NOT_FOUND : NOT_EXECUTABLE;
}

void *memcpy(void *to, const void *from, size_t len);
void *memcpy(void *to, const void *from, size_t len)
{
	volatile char *t = to;
	const char *f = from;

	while (len--)
		*t++ = *f++;
	return to;
}

static int run(char **argv, char **envp)
{
	int status = 0;
	long got, pid = call(__NR_fork, 0, 0, 0, 0);

	if (pid < 0)
		return NOT_EXECUTABLE;
	if (pid == 0) {
		int code;

		call(__NR_setsid, 0, 0, 0, 0);
		code = exec_search(argv, envp);
		say("alcazar-run: cannot run ");
		say(argv[0]);
		say(code == NOT_FOUND ? ": not found in the guest\n" : ": not executable\n");
		call(__NR_exit_group, code, 0, 0, 0);
	}
	do
		got = call(__NR_wait4, pid, (long)&status, 0, 0);
	while (got == -EINTR);
	return (status & 0x7f) ? 128 + (status & 0x7f) : (status >> 8) & 0xff;
}

static _Bool port_access(void)
{
	if (call(__NR_ioperm, STATUS_PORT, 1, 1, 0) == 0)
		return 1;
	say("alcazar-run: the kernel does not give access to I/O ports\n");
	return 0;
}

static void ready_for_input(void)
{
	unsigned char unused;

	if (port_access())
		__asm__ volatile("inb %w1, %b0" : "=a"(unused) : "Nd"(STATUS_PORT));
}

static void report(int status)
{
	if (port_access())
		__asm__ volatile("outb %b0, %w1" : : "a"(status), "Nd"(STATUS_PORT));
}

static int run_all(const char *path, char **envp)
{
	static char bytes[VECTOR_BYTES_MAX + 1];
	static char *argv[ARGS_MAX + 1];
	long port = open_port("/dev/ttyS0"), second = open_port("/dev/ttyS1");
	long input, relay;
	int status;

	if (port < 0) {
		say("alcazar-run: no serial port ttyS0\n");
		return NOT_EXECUTABLE;
	}
	call(__NR_dup2, port, 1, 0, 0);
	if (second >= 0)
		move_fd(second, 2);
	else
		call(__NR_dup2, port, 2, 0, 0);
	ready_for_input();
	relay = start_relay(port, &input);
	if (relay < 0) {
		say("alcazar-run: no memory\n");
		return NOT_EXECUTABLE;
	}
	call(__NR_close, port, 0, 0, 0);
	move_fd(input, 0);
	if (read_vector(path, bytes, argv) == 0) {
		say("alcazar-run: empty command\n");
		status = NOT_FOUND;
	} else {
		status = run(argv, envp);
	}
	call(__NR_kill, relay, SIG_KILL, 0, 0);
	/* All output has left the port (and the relay's hold on it ended) before the status does.
	 */
	call(__NR_ioctl, 1, TCSBRK, 1, 0);
	call(__NR_ioctl, 2, TCSBRK, 1, 0);
	return status;
}

/* What the kernel leaves on the stack: argc, argv, NULL, envp, NULL. */
__attribute__((used)) static void start(long *stack)
{
	long argc = stack[0];
	char **argv = (char **)(stack + 1);
	int status = NOT_EXECUTABLE;

	if (argc == 2 && argv[1][0] == '-') {
		ready_for_input();
		call(__NR_exit_group, 0, 0, 0, 0);
	}
	if (argc == 2)
		status = run_all(argv[1], argv + argc + 1);
	report(status);
	call(__NR_exit_group, status, 0, 0, 0);
}

__asm__(".globl _start\n_start:\n\txor %ebp, %ebp\n\tmov %rsp, %rdi\n\tand $-16, %rsp\n\tcall start\n\thlt\n");
