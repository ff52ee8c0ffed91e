/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
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
static _Atomic(bool) asked, stopped;
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
	if (terminal_fd < 0)
		atexit(terminal_restore);
	terminal_fd = fd;
	atomic_store(&is_raw, true);
	tcsetattr(fd, TCSANOW, &raw);
}

static bool is_polite(int sig)
{
	return sig == SIGTERM || (sig == SIGINT && !isatty(STDIN_FILENO));
}

/*
 * First the guest is asked to power off, then the machine is stopped, then the program ends. Only
 * functions that are safe in a handler: tcsetattr and _exit are, and so are the two of alc_vm.
 */
static void on_signal(int sig)
{
	struct alc_vm *vm = atomic_load(&machine);
	int none = 0;

	atomic_compare_exchange_strong(&caught, &none, sig);
	if (vm && is_polite(sig) && !atomic_exchange(&asked, true)) {
		alc_vm_power_button(vm);
		return;
	}
	if (vm && !atomic_exchange(&stopped, true)) {
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
	/* SIGXFSZ: a disk that may not grow is an error of that disk. */
	static const int ignored[] = {SIGPIPE, SIGXFSZ, 0};

	handle(ending, on_signal);
	handle(faults, on_fault);
	handle(display, on_display);
	handle(ignored, SIG_IGN);
}

/* ---- Suspending --------------------------------------------------------------------------- */

/*
 * A pause takes locks, so no handler can make one: a thread waits for SIGTSTP's handler and does
 * what the signal's default action would have done between pause and resume.
 */
static sem_t suspend_wanted;
static _Atomic(bool) suspender_ends;
static pthread_t suspender;
static bool has_suspender;

static void on_suspend(int sig)
{
	sem_post(&suspend_wanted);
}

/* Returns when the process is continued. */
static void stop_process(void)
{
	struct sigaction action = {.sa_handler = SIG_DFL}, before;

	sigemptyset(&action.sa_mask);
	sigaction(SIGTSTP, &action, &before);
	raise(SIGTSTP);
	sigaction(SIGTSTP, &before, NULL);
}

static void suspend(struct alc_vm *vm)
{
	bool raw = atomic_load(&is_raw);

	alc_vm_pause(vm);
	terminal_restore();
	stop_process();
	if (raw)
		terminal_raw(terminal_fd);
	alc_vm_resume(vm);
}

static void *suspend_main(void *arg)
{
	for (;;) {
		while (sem_wait(&suspend_wanted))
			;
		if (atomic_load(&suspender_ends))
			return NULL;
		suspend(arg);
	}
}

static void suspender_start(struct alc_vm *vm)
{
	static const int suspending[] = {SIGTSTP, 0};

	atomic_store(&suspender_ends, false);
	sem_init(&suspend_wanted, 0, 0);
	has_suspender = !pthread_create(&suspender, NULL, suspend_main, vm);
	if (has_suspender)
		handle(suspending, on_suspend);
}

static void suspender_stop(void)
{
	if (!has_suspender)
		return;
	signal(SIGTSTP, SIG_DFL);
	atomic_store(&suspender_ends, true);
	sem_post(&suspend_wanted);
	pthread_join(suspender, NULL);
	has_suspender = false;
}

void signals_guard(struct alc_vm *vm)
{
	atomic_store(&machine, vm);
	if (vm)
		suspender_start(vm);
	else
		suspender_stop();
}

int signals_caught(void)
{
	return atomic_load(&caught);
}
