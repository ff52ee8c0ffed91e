/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

#include "alcazar/vm.h"
#include "options.h"
#include "terminal.h"

/* Signal handlers have no argument of their own, so what they need is here. */
static struct termios saved;
static int terminal_fd = -1;
static _Atomic(bool) is_raw;
static _Atomic(int) caught;
static _Atomic(struct alc_vm *) machine;

void terminal_restore(void)
{
	int before = errno;

	if (atomic_exchange(&is_raw, false))
		tcsetattr(terminal_fd, TCSANOW, &saved);
	errno = before;
}

void terminal_raw(int fd)
{
	struct termios raw;

	if (tcgetattr(fd, &saved))
		return;
	raw = saved;
	cfmakeraw(&raw);
	terminal_fd = fd;
	atexit(terminal_restore);
	atomic_store(&is_raw, true);
	tcsetattr(fd, TCSANOW, &raw);
}

/* Only functions that are safe in a handler: tcsetattr and _exit are, and so is alc_vm_stop. */
static void on_signal(int sig)
{
	struct alc_vm *vm = atomic_load(&machine);
	int none = 0;

	if (vm && atomic_compare_exchange_strong(&caught, &none, sig)) {
		alc_vm_stop(vm);
		return;
	}
	terminal_restore();
	_exit(EXIT_SIGNAL + sig);
}

static void on_display(int sig)
{
	struct alc_vm *vm = atomic_load(&machine);

	if (vm)
		alc_vm_display(vm);
}

/* Faults of our own: the default action follows, once the handler returns. */
static void on_fault(int sig)
{
	terminal_restore();
	signal(sig, SIG_DFL);
	raise(sig);
}

/* What whoever started us has us ignore (nohup, a background job) stays ignored. */
static void handle(const int *signals, void (*handler)(int))
{
	struct sigaction action = {.sa_handler = handler}, before;

	sigemptyset(&action.sa_mask);
	for (; *signals; signals++)
		if (!sigaction(*signals, NULL, &before) && before.sa_handler != SIG_IGN)
			sigaction(*signals, &action, NULL);
}

void signals_watch(void)
{
	static const int ending[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, 0};
	static const int faults[] = {SIGSEGV, SIGBUS, SIGABRT, SIGILL, SIGFPE, 0};
	static const int display[] = {SIGUSR1, 0};
	static const int ignored[] = {SIGPIPE, 0};

	handle(ending, on_signal);
	handle(faults, on_fault);
	handle(display, on_display);
	handle(ignored, SIG_IGN);
}

void signals_stop(struct alc_vm *vm)
{
	atomic_store(&machine, vm);
}

int signals_caught(void)
{
	return atomic_load(&caught);
}
