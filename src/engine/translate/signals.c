/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Faults of the host that are the guest's: a division by zero, an operand that is not aligned, an
 * unmasked SIMD exception. The instruction has changed nothing, so translated code leaves just
 * before it and the interpreter finds the same fault the architectural way.
 *
 * The stack of return pairs grows without a check: its guard page is where it starts anew. What
 * is forgotten there costs a few mispredicted returns.
 *
 * Here are also the handlers of kicks (kick.c), and of the single steps that they may ask for.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include <asm/prctl.h>

#include "engine/translate/translate.h"

static _Thread_local struct tr *current;

static const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP};
static struct sigaction before[ARRAY_LEN(signals)];
static pthread_once_t installed = PTHREAD_ONCE_INIT;
static int install_result;

struct tr *tr_current(void)
{
	return current;
}

/* ---- Kicks ---- */

static int kick_signal;

int tr_kick_signal(void)
{
	return kick_signal;
}

enum { TF = 1 << 8 };

static void look(struct tr *t, greg_t *regs)
{
	u64 rip = (u64)regs[REG_RIP];

	regs[REG_EFL] &= ~(greg_t)TF;
	if (tr_kick_at(t, &rip) == KICK_STEP) {
		regs[REG_EFL] |= TF;
		t->n_kick_steps++;
	}
	regs[REG_RIP] = (greg_t)rip;
}

static void handle_kick(int n, siginfo_t *info, void *context)
{
	int saved = errno;

	if (current) {
		current->n_kicks++;
		look(current, ((ucontext_t *)context)->uc_mcontext.gregs);
	}
	errno = saved;
}

/*
 * Signals of which only one waits, which is always taken: queues of others may be full. Of these,
 * programs use neither as a rule.
 */
static void take_kick_signal(void)
{
	static const int some[] = {SIGSTKFLT, SIGURG};
	struct sigaction now;
	struct sigaction ours = {.sa_sigaction = handle_kick,
				 .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART};

	sigemptyset(&ours.sa_mask);
	for (unsigned k = 0; k < ARRAY_LEN(some) && !kick_signal; k++)
		if (!sigaction(some[k], NULL, &now) && now.sa_handler == SIG_DFL &&
		    !sigaction(some[k], &ours, NULL))
			kick_signal = some[k];
}

/* ---- Faults ---- */

/* Which stack's guard page that is; -1: none. */
static int guard_of(const struct tr *t, u64 addr)
{
	for (int k = 0; k < 2; k++)
		if ((u64)(uintptr_t)t->pair_stack[k] - addr - 1 < ALC_PAGE_SIZE)
			return k;
	return -1;
}

enum { PAGE_FAULT = 14 };

static bool take_fault(struct tr *t, const siginfo_t *info, greg_t *regs)
{
	u64 off = (u64)regs[REG_RIP] - (u64)(uintptr_t)t->code.rx;
	int guard;
	u32 site;

	if (off >= t->code.size)
		return false;
	guard = info->si_signo == SIGSEGV ? guard_of(t, (u64)(uintptr_t)info->si_addr) : -1;
	if (guard >= 0) {
		regs[REG_RSP] = (greg_t)tr_pairs_restart(t, (unsigned)guard, (u64)regs[REG_RSP]);
		return true;
	}
	site = tr_fault_site(t, (u32)off);
	if (!site)
		return false;
	tr_kick_restore(t); /* code may be changed */
	if (info->si_signo == SIGSEGV && regs[REG_TRAPNO] == PAGE_FAULT &&
	    tr_window_fault(t, site, (u64)(uintptr_t)info->si_addr)) {
		if (tr_has(t, TR_KICKS))
			look(t, regs);
		return true;
	}
	t->n_faults++;
	regs[REG_R10] = site;
	regs[REG_RIP] = (greg_t)(uintptr_t)tr_host(t, tr_leaves_at(t, site));
	return true;
}

static const struct sigaction *handler_before(int n)
{
	for (unsigned k = 0; k < ARRAY_LEN(signals); k++)
		if (signals[k] == n)
			return &before[k];
	return NULL;
}

/* Not ours: as if we were not here. */
static void pass_on(int n, siginfo_t *info, void *context)
{
	const struct sigaction *was = handler_before(n);

	if (was->sa_flags & SA_SIGINFO)
		was->sa_sigaction(n, info, context);
	else if (was->sa_handler != SIG_DFL && was->sa_handler != SIG_IGN)
		was->sa_handler(n);
	else
		sigaction(n, was, NULL); /* the instruction faults again, for good */
	if (n == SIGTRAP && was->sa_handler == SIG_DFL)
		raise(n); /* but that one is done */
}

static void handle(int n, siginfo_t *info, void *context)
{
	greg_t *regs = ((ucontext_t *)context)->uc_mcontext.gregs;
	int saved = errno;

	if (current && n == SIGTRAP && info->si_code == TRAP_TRACE)
		look(current, regs);
	else if (!current || n == SIGTRAP || !take_fault(current, info, regs))
		pass_on(n, info, context);
	errno = saved;
}

/* ---- Installation ---- */

/* A kick waits until a fault was dealt with: it finds translated code where that goes on. */
static void install(void)
{
	struct sigaction a = {.sa_sigaction = handle, .sa_flags = SA_SIGINFO | SA_ONSTACK};

	take_kick_signal();
	sigemptyset(&a.sa_mask);
	if (kick_signal)
		sigaddset(&a.sa_mask, kick_signal);
	for (unsigned k = 0; k < ARRAY_LEN(signals); k++)
		if (sigaction(signals[k], &a, &before[k]))
			install_result = -errno;
}

int tr_signals_install(struct alc_err *err)
{
	pthread_once(&installed, install);
	return install_result ? alc_fail(err, install_result, "can't handle signals: %s",
					 strerror(-install_result))
			      : 0;
}

/* ---- A thread's part ---- */

static pthread_key_t stack_key;
static pthread_once_t key_made = PTHREAD_ONCE_INIT;
static _Thread_local int own_tid; /* 0: this thread is not prepared yet */

static void free_stack(void *stack)
{
	stack_t off = {.ss_flags = SS_DISABLE};

	sigaltstack(&off, NULL);
	free(stack);
}

static void make_key(void)
{
	pthread_key_create(&stack_key, free_stack);
}

/* The handler runs on a stack of its own, for RSP in translated code is none. */
static void own_stack(void)
{
	enum { SIGNAL_STACK = 64 << 10 };
	stack_t s = {.ss_size = SIGNAL_STACK}, was;

	pthread_once(&key_made, make_key);
	if (pthread_getspecific(stack_key))
		return;
	if (!sigaltstack(NULL, &was) && !(was.ss_flags & SS_DISABLE))
		return; /* a sanitizer's, for one */
	s.ss_sp = malloc(SIGNAL_STACK);
	if (!s.ss_sp || sigaltstack(&s, NULL)) {
		free(s.ss_sp);
		return;
	}
	pthread_setspecific(stack_key, s.ss_sp);
}

/* Threads begin with all signals blocked. */
static void open_kicks(void)
{
	sigset_t set;

	own_tid = (int)syscall(SYS_gettid);
	sigemptyset(&set);
	if (kick_signal)
		sigaddset(&set, kick_signal);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

void tr_signals_thread(struct tr *t)
{
	current = t;
	if (!t)
		return;
	own_stack();
	if (!own_tid)
		open_kicks();
	atomic_store(&t->tid, own_tid);
	if (tr_host_has(t, TR_HOST_FSGSBASE))
		__asm__ volatile("wrgsbase %0" ::"r"(t->c.v));
	else
		syscall(SYS_arch_prctl, ARCH_SET_GS, t->c.v);
}
