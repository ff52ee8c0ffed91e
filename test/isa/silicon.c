/* SPDX-License-Identifier: BSD-2-Clause */
#include <cpuid.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include "alcazar/err.h"
#include "silicon.h"
#include "plain.h"

struct shared {
	_Atomic(u32) current; /* the case that runs now */
	u32 count;
	struct isa_case cases[SILICON_BATCH];
	struct case_outcome out[SILICON_BATCH];
};

struct silicon {
	struct shared *shared;
	pid_t child;
	int to_child, from_child;
	bool wide;
};

/*
 * XSAVE area as in the signal frame (SDM vol. 1 13.4), up to the end of the AVX component. What
 * comes behind is where CPUID says.
 */
struct xsave_area {
	u16 fcw, fsw;
	u8 ftw, reserved0;
	u16 fop;
	u64 fip, fdp;
	u32 mxcsr, mxcsr_mask;
	u64 st[8][2];
	u64 xmm[16][2];
	u8 reserved1[96];
	u64 xstate_bv, xcomp_bv, reserved2[6];
	u64 ymm_high[16][2];
};

_Static_assert(offsetof(struct xsave_area, xstate_bv) == 512, "XSAVE header");
_Static_assert(offsetof(struct xsave_area, ymm_high) == 576, "AVX component");

/* The child's own. It has one thread, and its handler can't be given a context. */
static struct {
	struct shared *shared;
	u8 *data, *code;    /* the window, through a second mapping */
	bool running, wide; /* wide: cases have AVX-512 */
	gregset_t home;     /* where start_batch was */
	u64 fs_base, gs_base;
	u32 ticked; /* the case that the last tick found running */
	unsigned ticks;
} child;

/* Of CPU time: a busy host must not make a case look stuck. */
enum { TICK_US = 20000, TICKS_MAX = 5 };

static const u8 greg_of[X86_GPRS] = {
	[X86_RAX] = REG_RAX, [X86_RCX] = REG_RCX, [X86_RDX] = REG_RDX, [X86_RBX] = REG_RBX,
	[X86_RSP] = REG_RSP, [X86_RBP] = REG_RBP, [X86_RSI] = REG_RSI, [X86_RDI] = REG_RDI,
	[X86_R8] = REG_R8,   [X86_R9] = REG_R9,   [X86_R10] = REG_R10, [X86_R11] = REG_R11,
	[X86_R12] = REG_R12, [X86_R13] = REG_R13, [X86_R14] = REG_R14, [X86_R15] = REG_R15,
};

static u64 read_fs_base(void)
{
	u64 v;

	__asm__ volatile("rdfsbase %0" : "=r"(v));
	return v;
}

static u64 read_gs_base(void)
{
	u64 v;

	__asm__ volatile("rdgsbase %0" : "=r"(v));
	return v;
}

static void set_bases(u64 fs, u64 gs)
{
	__asm__ volatile("wrfsbase %0\n\twrgsbase %1" : : "r"(fs), "r"(gs) : "memory");
}

/* ---- AVX-512 ----
 *
 * Components 5 to 7: k0-7, the upper halves of ZMM0-15, ZMM16-31.
 */

enum { AVX512_BITS = 0xe0 };

static u8 *component(const struct xsave_area *x, unsigned n)
{
	u32 a = 0xd, b, c = n, d;

	__asm__("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
	return (u8 *)(uintptr_t)x + b;
}

static void load_wide(struct xsave_area *x, const struct case_state *in)
{
	plain_copy(component(x, 5), in->k, sizeof(in->k));
	for (unsigned i = 0; i < 16; i++)
		plain_copy(component(x, 6) + 32 * i, in->vec[i] + 4, 32);
	plain_copy(component(x, 7), in->vec[16], 16 * 64);
	x->xstate_bv |= AVX512_BITS;
}

static void save_wide(const struct xsave_area *x, struct case_state *out)
{
	if (x->xstate_bv & 0x20)
		plain_copy(out->k, component(x, 5), sizeof(out->k));
	for (unsigned i = 0; i < 16 && x->xstate_bv & 0x40; i++)
		plain_copy(out->vec[i] + 4, component(x, 6) + 32 * i, 32);
	if (x->xstate_bv & 0x80)
		plain_copy(out->vec[16], component(x, 7), 16 * 64);
}

static void load_state(ucontext_t *uc, const struct case_state *in)
{
	struct xsave_area *x = (struct xsave_area *)uc->uc_mcontext.fpregs;
	greg_t *g = uc->uc_mcontext.gregs;

	for (unsigned i = 0; i < X86_GPRS; i++)
		g[greg_of[i]] = (greg_t)in->gpr[i];
	g[REG_RIP] = (greg_t)in->rip;
	g[REG_EFL] = (greg_t)in->rflags;
	x->fcw = in->fcw;
	x->fsw = in->fsw;
	x->ftw = in->ftw;
	x->fop = in->fop;
	x->fip = in->fip;
	x->fdp = in->fdp;
	x->mxcsr = in->mxcsr;
	plain_copy(x->st, in->st, sizeof(x->st));
	for (unsigned i = 0; i < 16; i++) {
		plain_copy(x->xmm[i], in->vec[i], 16);
		plain_copy(x->ymm_high[i], in->vec[i] + 2, 16);
	}
	x->xstate_bv = 7;
	if (child.wide)
		load_wide(x, in);
	set_bases(in->fs_base, in->gs_base);
}

static void save_state(const ucontext_t *uc, struct case_state *out)
{
	const struct xsave_area *x = (const struct xsave_area *)uc->uc_mcontext.fpregs;
	const greg_t *g = uc->uc_mcontext.gregs;
	bool avx = x->xstate_bv & 4, sse = x->xstate_bv & 2;

	for (unsigned i = 0; i < X86_GPRS; i++)
		out->gpr[i] = (u64)g[greg_of[i]];
	out->rip = (u64)g[REG_RIP];
	out->rflags = (u64)g[REG_EFL];
	out->fs_base = read_fs_base();
	out->gs_base = read_gs_base();
	out->fcw = x->xstate_bv & 1 ? x->fcw : 0x37f;
	out->fsw = x->xstate_bv & 1 ? x->fsw : 0;
	out->ftw = x->xstate_bv & 1 ? x->ftw : 0;
	out->fop = x->fop;
	out->fip = x->fip;
	out->fdp = x->fdp;
	out->mxcsr = x->mxcsr;
	plain_fill(out->st, 0, sizeof(out->st));
	if (x->xstate_bv & 1)
		for (unsigned i = 0; i < 8; i++)
			plain_copy(out->st[i], x->st[i], 10);
	plain_fill(out->vec, 0, sizeof(out->vec));
	for (unsigned i = 0; i < 16; i++) {
		if (sse)
			plain_copy(out->vec[i], x->xmm[i], 16);
		if (avx)
			plain_copy(out->vec[i] + 2, x->ymm_high[i], 16);
	}
	plain_fill(out->k, 0, sizeof(out->k));
	if (child.wide)
		save_wide(x, out);
}

/* Linux keeps error code and CR2 of older faults in the frame where a fault has none. */
static bool has_error_code(unsigned vector)
{
	return vector == X86_DF_ || (vector >= X86_TS_ && vector <= X86_PFV) || vector == X86_AC_;
}

static void save_outcome(const ucontext_t *uc, enum case_end end, struct case_outcome *o)
{
	const greg_t *g = uc->uc_mcontext.gregs;

	plain_fill(&o->fault, 0, sizeof(o->fault));
	o->why[0] = 0;
	o->end = end;
	save_state(uc, &o->out);
	if (end == CASE_FAULT) {
		o->fault.vector = (u8)g[REG_TRAPNO];
		o->fault.has_error = has_error_code(o->fault.vector);
		if (o->fault.has_error)
			o->fault.error = (u32)g[REG_ERR];
		if (o->fault.vector == X86_PFV)
			o->fault.cr2 = (u64)g[REG_CR2];
		/* INT3 is a trap: report it at the instruction, as the faults. */
		if (o->fault.vector == X86_BP)
			o->out.rip--;
	}
	plain_copy(o->data, child.data, CASE_DATA_SIZE);
	plain_copy(o->code, child.code, CASE_CODE_SIZE);
}

static void enter_case(ucontext_t *uc, u32 i)
{
	const struct isa_case *c = &child.shared->cases[i];

	case_fill(c, child.data, child.code);
	load_state(uc, &c->in);
}

static void leave_batch(ucontext_t *uc)
{
	child.running = false;
	plain_copy(uc->uc_mcontext.gregs, child.home, sizeof(child.home));
	set_bases(child.fs_base, child.gs_base);
}

/* A case that has been running for TICKS_MAX ticks is stuck. */
static bool stuck(void)
{
	u32 current = child.shared->current;

	if (child.ticked != current) {
		child.ticked = current;
		child.ticks = 0;
	}
	return ++child.ticks > TICKS_MAX;
}

void silicon_on_signal(int sig, siginfo_t *info, void *context);

/* Runs with the case's FS base: nothing that it calls may use thread-local storage. */
__attribute__((used)) void silicon_on_signal(int sig, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;
	struct shared *s = child.shared;
	u32 current = s->current;

	if (sig == SIGPROF && (!child.running || !stuck()))
		return;
	if (child.running) {
		save_outcome(uc, sig == SIGPROF ? CASE_TIMEOUT : CASE_FAULT, &s->out[current]);
		current++;
	} else {
		plain_copy(child.home, uc->uc_mcontext.gregs, sizeof(child.home));
		child.running = true;
	}
	s->current = current;
	child.ticked = ~0u;
	if (current < s->count)
		enter_case(uc, current);
	else
		leave_batch(uc);
}

/* A case may have set AC, which Linux leaves on in the handler. */
void silicon_signal_entry(int sig, siginfo_t *info, void *context);
__asm__(".text\n"
	"silicon_signal_entry:\n"
	"	pushfq\n"
	"	andl $~0x244000, (%rsp)\n"
	"	popfq\n"
	"	jmp silicon_on_signal\n");

static void start_batch(void)
{
	child.fs_base = read_fs_base();
	child.gs_base = read_gs_base();
	__asm__ volatile("int3" : : : "memory", "cc");
	/* sigreturn left the last case's vector state in place. */
	__asm__ volatile("fninit\n\tvzeroupper\n\tldmxcsr %0" : : "m"((u32){0x1f80}));
}

static void catch_signals(void)
{
	static const int signals[] = {SIGSEGV, SIGFPE, SIGILL, SIGTRAP, SIGBUS, SIGPROF};
	struct itimerval tick = {.it_interval = {0, TICK_US}, .it_value = {0, TICK_US}};
	struct sigaction sa = {.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART};
	stack_t stack = {.ss_size = 1 << 17};

	stack.ss_sp = mmap(NULL, stack.ss_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			   -1, 0);
	if (stack.ss_sp == MAP_FAILED || sigaltstack(&stack, NULL))
		_exit(2);
	sa.sa_sigaction = silicon_signal_entry;
	sigfillset(&sa.sa_mask);
	for (size_t i = 0; i < ARRAY_LEN(signals); i++)
		if (sigaction(signals[i], &sa, NULL))
			_exit(2);
	if (setitimer(ITIMER_PROF, &tick, NULL))
		_exit(2);
}

static void *map_fixed(u64 at, size_t size, int prot, int fd, off_t off)
{
	/* Populated: a page not yet present would fault with another error code. */
	return mmap((void *)(uintptr_t)at, size, prot,
		    MAP_SHARED | MAP_POPULATE | (at ? MAP_FIXED_NOREPLACE : 0), fd, off);
}

/* Everything twice: where the case sees it, and writable for us whatever the case's rights. */
static bool map_window(void)
{
	enum { SIZE = CASE_DATA_SIZE + CASE_RO_SIZE + CASE_CODE_SIZE };
	int fd = memfd_create("window", MFD_CLOEXEC);
	u8 *alias;

	if (fd < 0 || ftruncate(fd, SIZE))
		return false;
	alias = map_fixed(0, SIZE, PROT_READ | PROT_WRITE, fd, 0);
	if (alias == MAP_FAILED ||
	    map_fixed(CASE_DATA, CASE_DATA_SIZE, PROT_READ | PROT_WRITE, fd, 0) == MAP_FAILED ||
	    map_fixed(CASE_RO, CASE_RO_SIZE, PROT_READ, fd, CASE_DATA_SIZE) == MAP_FAILED ||
	    map_fixed(CASE_CODE, CASE_CODE_SIZE, PROT_READ | PROT_WRITE | PROT_EXEC, fd,
		      CASE_DATA_SIZE + CASE_RO_SIZE) == MAP_FAILED)
		return false;
	child.data = alias;
	case_fill_ro(alias + CASE_DATA_SIZE);
	child.code = alias + CASE_DATA_SIZE + CASE_RO_SIZE;
	close(fd);
	return true;
}

static _Noreturn void serve(struct shared *shared, bool wide, int in, int out)
{
	char c;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	child.shared = shared;
	child.wide = wide;
	if (!map_window())
		_exit(2);
	catch_signals();
	while (read(in, &c, 1) == 1) {
		start_batch();
		if (write(out, &c, 1) != 1)
			break;
	}
	_exit(0);
}

static int start_child(struct silicon *s, struct alc_err *err)
{
	int in[2], out[2];

	if (pipe(in) || pipe(out))
		return alc_fail(err, -errno, "can't make pipes to the native runner");
	fflush(NULL);
	s->child = fork();
	if (s->child < 0)
		return alc_fail(err, -errno, "can't start the native runner");
	if (s->child == 0) {
		close(in[1]);
		close(out[0]);
		serve(s->shared, s->wide, in[0], out[1]);
	}
	close(in[0]);
	close(out[1]);
	s->to_child = in[1];
	s->from_child = out[0];
	return 0;
}

static void stop_child(struct silicon *s, int *status)
{
	close(s->to_child);
	close(s->from_child);
	waitpid(s->child, status, 0);
}

bool silicon_has(const char *flag)
{
	static char flags[8192];
	char word[40];

	if (!flags[0]) {
		FILE *f = fopen("/proc/cpuinfo", "r");

		strcpy(flags, " ");
		while (f && fgets(flags, sizeof(flags), f) && strncmp(flags, "flags", 5))
			;
		if (f)
			fclose(f);
		flags[strcspn(flags, "\n")] = ' ';
	}
	snprintf(word, sizeof(word), " %s ", flag);
	return strstr(flags, word);
}

bool silicon_is_intel(void)
{
	unsigned eax, ebx, ecx, edx;

	return __get_cpuid(0, &eax, &ebx, &ecx, &edx) && ebx == signature_INTEL_ebx;
}

int silicon_create(bool wide, struct silicon **out, struct alc_err *err)
{
	struct silicon *s;
	int ret;

	if (!silicon_has("fsgsbase") || !silicon_has("avx"))
		return alc_fail(err, -ENOTSUP,
				"the host CPU lacks AVX or FSGSBASE, which native runs need");
	s = calloc(1, sizeof(*s));
	if (!s)
		return alc_fail(err, -ENOMEM, "out of memory");
	s->wide = wide;
	s->shared = mmap(NULL, sizeof(*s->shared), PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (s->shared == MAP_FAILED) {
		free(s);
		return alc_fail(err, -ENOMEM, "out of memory");
	}
	ret = start_child(s, err);
	if (ret) {
		munmap(s->shared, sizeof(*s->shared));
		free(s);
		return ret;
	}
	*out = s;
	return 0;
}

void silicon_destroy(struct silicon *s)
{
	int status;

	if (!s)
		return;
	stop_child(s, &status);
	munmap(s->shared, sizeof(*s->shared));
	free(s);
}

/* The child died on the current case: say so there, and start another. */
static int replace_child(struct silicon *s, struct alc_err *err)
{
	struct case_outcome *o = &s->shared->out[s->shared->current];
	int status = 0;

	stop_child(s, &status);
	plain_fill(o, 0, sizeof(*o));
	o->end = CASE_LOST;
	if (WIFEXITED(status))
		return alc_fail(err, -EIO, "the native runner can't map its window (status %d)",
				WEXITSTATUS(status));
	snprintf(o->why, sizeof(o->why), "the case ended its process with signal %d",
		 WTERMSIG(status));
	return start_child(s, err);
}

int silicon_run(struct silicon *s, const struct isa_case *cases, struct case_outcome *out,
		unsigned n, struct alc_err *err)
{
	struct shared *sh = s->shared;
	char c = 0;

	plain_copy(sh->cases, cases, n * sizeof(*cases));
	sh->count = n;
	sh->current = 0;
	while (sh->current < n) {
		int ret;

		if (write(s->to_child, &c, 1) == 1 && read(s->from_child, &c, 1) == 1)
			continue;
		ret = replace_child(s, err);
		if (ret)
			return ret;
		sh->current++;
	}
	plain_copy(out, sh->out, n * sizeof(*out));
	return 0;
}
