/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A vCPU's loop: what waits outside goes in, KVM runs, what comes out is served.
 *
 * Kicking. Whoever sets v->attention calls kvm_kick, which makes the present or the next KVM_RUN
 * return: immediate_exit is seen at entry, the signal ends a run that is under way. The loop
 * clears immediate_exit first and then looks at v->attention; both sides order their two accesses,
 * so that either the loop finds the bit or KVM_RUN returns.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "engine/kvm/internal.h"
#include "isa/lapic.h"
#include "isa/vcpu.h"

typedef unsigned long long ull;

/* ---- The kick signal ---------------------------------------------------------------------- */

static void no_more_than_return(int signal)
{
}

int kvm_take_signal(void)
{
	struct sigaction now, ours = {.sa_handler = no_more_than_return};

	for (int n = SIGRTMIN; n <= SIGRTMAX; n++) {
		if (sigaction(n, NULL, &now))
			continue;
		if (now.sa_handler == no_more_than_return)
			return n;
		if (now.sa_handler == SIG_DFL && !sigaction(n, &ours, NULL))
			return n;
	}
	return -EBUSY;
}

void kvm_kick(struct alc_vcpu *v)
{
	struct kvm_vcpu *c = v->engine;
	int tid;

	if (!c)
		return;
	__atomic_store_n(&c->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
	tid = atomic_load(&c->running_tid);
	/* A thread that has left meanwhile gets a signal that does nothing. */
	if (tid && tid != (int)syscall(SYS_gettid))
		syscall(SYS_tgkill, getpid(), tid, c->vm->kick_signal);
}

/* Threads begin with all signals blocked. */
static void open_signal(struct kvm_vcpu *c)
{
	int tid = (int)syscall(SYS_gettid);
	sigset_t set;

	if (c->signal_tid == tid)
		return;
	sigemptyset(&set);
	sigaddset(&set, c->vm->kick_signal);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	c->signal_tid = tid;
}

/* ---- Accesses ----------------------------------------------------------------------------- */

static void serve_io(struct kvm_vcpu *c)
{
	struct kvm_run *run = c->run;
	u8 *at = (u8 *)run + run->io.data_offset;
	unsigned size = run->io.size;

	c->n_io++;
	c->in_flight = true;
	for (u32 i = 0; i < run->io.count; i++, at += size)
		if (run->io.direction == KVM_EXIT_IO_OUT)
			region_write(c->vm->plat->ports, run->io.port, ld_size(at, size), size);
		else
			st_size(at, region_read(c->vm->plat->ports, run->io.port, size), size);
}

static bool is_lapic(const struct kvm_vcpu *c, u64 gpa)
{
	u64 base = lapic_base(c->v->lapic);

	return !kvm_lapics_inside(c->vm) && (base & BIT(11)) &&
	       align_down(gpa, ALC_PAGE_SIZE) == align_down(base & mask_low(52), ALC_PAGE_SIZE);
}

static void serve_piece(struct kvm_vcpu *c, u64 gpa_v, u8 *data, unsigned size, bool write)
{
	struct alc_space *space = c->vm->plat->space;

	if (is_lapic(c, gpa_v)) {
		if (write)
			lapic_mmio_write(c->v->lapic, page_offset(gpa_v), ld_size(data, size),
					 size);
		else
			st_size(data, lapic_mmio_read(c->v->lapic, page_offset(gpa_v), size), size);
		return;
	}
	if (write)
		space_write(space, gpa(gpa_v), ld_size(data, size), size);
	else
		st_size(data, space_read(space, gpa(gpa_v), size), size);
}

/* KVM cuts an access at page ends, so any length may come. */
static void serve_mmio(struct kvm_vcpu *c)
{
	struct kvm_run *run = c->run;
	unsigned done = 0, size;

	c->n_mmio++;
	c->in_flight = true;
	for (; done < run->mmio.len; done += size) {
		for (size = 8; size > run->mmio.len - done;)
			size /= 2;
		serve_piece(c, run->mmio.phys_addr + done, run->mmio.data + done, size,
			    run->mmio.is_write);
	}
}

/* ---- What is left to say when KVM can't go on ---------------------------------------------- */

static enum alc_exit give_up(struct kvm_vcpu *c)
{
	const struct kvm_run *run = c->run;
	struct kvm_regs r = {0};

	kvm_call(c->fd, KVM_GET_REGS, &r);
	switch (run->exit_reason) {
	case KVM_EXIT_FAIL_ENTRY:
		alc_fail(c->err, -EIO,
			 "KVM can't enter vCPU %u at %llx: the hardware refuses with 0x%llx",
			 c->v->index, (ull)r.rip,
			 (ull)run->fail_entry.hardware_entry_failure_reason);
		break;
	case KVM_EXIT_INTERNAL_ERROR:
		alc_fail(c->err, -EIO,
			 "KVM can't go on with vCPU %u at %llx: %s (internal error %u)",
			 c->v->index, (ull)r.rip,
			 run->internal.suberror == KVM_INTERNAL_ERROR_EMULATION
				 ? "it can't emulate the instruction"
				 : "it says no more",
			 run->internal.suberror);
		break;
	default:
		alc_fail(c->err, -EIO,
			 "KVM stops vCPU %u at %llx for a reason that has no name here: "
			 "%u",
			 c->v->index, (ull)r.rip, run->exit_reason);
		break;
	}
	return ALC_EXIT_ERROR;
}

static bool stop_with(enum alc_exit *out, enum alc_exit why)
{
	*out = why;
	return false;
}

/* True: run on. */
static bool serve_exit(struct kvm_vcpu *c, enum alc_exit *out)
{
	int r = 0;

	switch (c->run->exit_reason) {
	case KVM_EXIT_IO:
		serve_io(c);
		return true;
	case KVM_EXIT_MMIO:
		serve_mmio(c);
		return true;
	case KVM_EXIT_HLT:
		c->n_halt++;
		c->v->activity = X86_HALTED;
		return true;
	case KVM_EXIT_IRQ_WINDOW_OPEN:
		c->n_window++;
		return true;
	case KVM_EXIT_SET_TPR:
	case KVM_EXIT_INTR:
		return true;
	case KVM_EXIT_X86_RDMSR:
		c->in_flight = true;
		r = kvm_exit_rdmsr(c);
		break;
	case KVM_EXIT_X86_WRMSR:
		c->in_flight = true;
		r = kvm_exit_wrmsr(c, c->err);
		break;
	case KVM_EXIT_IOAPIC_EOI:
		c->n_eoi++;
		if (c->vm->plat->eoi)
			c->vm->plat->eoi(c->vm->plat->eoi_ctx, c->run->eoi.vector);
		return true;
	case KVM_EXIT_DIRTY_RING_FULL:
		c->n_ring_full++;
		r = kvm_dirty_sync(c->vm, c->err);
		break;
	case KVM_EXIT_SHUTDOWN:
		c->v->activity = X86_SHUTDOWN;
		return stop_with(out, ALC_EXIT_SHUTDOWN);
	default:
		return stop_with(out, give_up(c));
	}
	return r ? stop_with(out, ALC_EXIT_ERROR) : true;
}

int kvm_complete(struct kvm_vcpu *c, bool perform, struct alc_err *err)
{
	enum alc_exit exit = ALC_EXIT_ATTENTION;
	bool on = true;
	int r;

	c->err = err;
	c->run->kvm_valid_regs =
		c->sync_regs ? KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS | KVM_SYNC_X86_EVENTS : 0;
	do {
		c->in_flight = false;
		c->run->immediate_exit = 1;
		r = ioctl(c->fd, KVM_RUN, 0) ? -errno : 0;
		if (!r && perform)
			on = serve_exit(c, &exit);
	} while (!r && on);
	c->run->immediate_exit = 0;
	c->run->kvm_valid_regs = 0;
	if (on && r == -EINTR)
		return 0;
	return alc_fail(err, r ? r : -EIO, "KVM does not complete an access of vCPU %u: %s",
			c->v->index, strerror(r ? -r : EIO));
}

/* ---- What waits outside -------------------------------------------------------------------- */

/* INIT and SIPI (SDM vol. 3A 8.4.2), where the local APICs are ours. */
static int take_start_up(struct kvm_vcpu *c, u32 attn)
{
	struct alc_vcpu *v = c->v;

	if (attn & X86_ATTN_INIT) {
		int r = kvm_get_state(v, c->err);

		if (r)
			return r;
		atomic_fetch_and(&v->attention, ~(u32)X86_ATTN_INIT);
		vcpu_reset(v, true);
		if (v->index == 0)
			v->activity = X86_RUNNING;
		c->taken = true;
	}
	if (attn & X86_ATTN_SIPI) {
		atomic_fetch_and(&v->attention, ~(u32)X86_ATTN_SIPI);
		if (v->activity == X86_WAIT_SIPI) {
			int r = kvm_get_state(v, c->err);

			if (r)
				return r;
			vcpu_start(v, v->sipi_vector);
		}
	}
	return 0;
}

static int inject(struct kvm_vcpu *c, int vector)
{
	struct kvm_interrupt i = {.irq = (u32)vector};
	int r = kvm_call(c->fd, KVM_INTERRUPT, &i);

	c->n_intr++;
	c->v->activity = X86_RUNNING;
	c->run->ready_for_interrupt_injection = 0;
	return r ? alc_fail(c->err, r, "KVM does not take interrupt %d for vCPU %u: %s", vector,
			    c->v->index, strerror(-r))
		 : 0;
}

/* Where KVM has the local APICs, only the PIC's request comes from here. */
static bool interrupt_waits(const struct kvm_vcpu *c)
{
	if (c->vm->chips == CHIPS_KERNEL)
		return false;
	if (c->vm->chips == CHIPS_SPLIT)
		return c->v->index == 0 && atomic_load(&c->vm->intr);
	return lapic_pending(c->v->lapic);
}

static int acknowledge(const struct kvm_vcpu *c)
{
	if (c->vm->chips == CHIPS_USER)
		return lapic_ack(c->v->lapic);
	return c->vm->plat->pic_ack(c->vm->plat->pic_ctx);
}

static int take_interrupt(struct kvm_vcpu *c)
{
	struct kvm_run *run = c->run;
	int r = 0, vector;

	atomic_fetch_and(&c->v->attention, ~(u32)X86_ATTN_INTR);
	if (interrupt_waits(c) && run->ready_for_interrupt_injection && run->if_flag) {
		vector = acknowledge(c);
		if (vector >= 0)
			r = inject(c, vector);
	}
	run->request_interrupt_window = interrupt_waits(c);
	if (c->vm->chips == CHIPS_USER && c->v->activity == X86_HALTED && run->if_flag &&
	    run->request_interrupt_window)
		c->v->activity = X86_RUNNING;
	return r;
}

static int take_nmi(struct kvm_vcpu *c)
{
	int r = kvm_call_int(c->fd, KVM_NMI, 0);

	atomic_fetch_and(&c->v->attention, ~(u32)X86_ATTN_NMI);
	c->v->activity = X86_RUNNING;
	return r ? alc_fail(c->err, r, "KVM does not take an NMI for vCPU %u: %s", c->v->index,
			    strerror(-r))
		 : 0;
}

/* True: enter the guest. */
static bool attend(struct kvm_vcpu *c, enum alc_exit *out)
{
	struct alc_vcpu *v = c->v;
	u32 attn = atomic_load(&v->attention);
	bool user = c->vm->chips == CHIPS_USER;

	if (attn & (X86_ATTN_STOP | X86_ATTN_WORK))
		return stop_with(out, ALC_EXIT_ATTENTION);
	if ((attn & (X86_ATTN_INIT | X86_ATTN_SIPI)) && take_start_up(c, attn))
		return stop_with(out, ALC_EXIT_ERROR);
	if (user && v->activity == X86_WAIT_SIPI) {
		atomic_fetch_and(&v->attention,
				 ~(u32)(X86_ATTN_INTR | X86_ATTN_NMI | X86_ATTN_SMI));
		return stop_with(out, ALC_EXIT_HALT);
	}
	if (attn & X86_ATTN_SMI) {
		alc_fail(c->err, -ENOTSUP,
			 "system management mode is not supported: SMI to vCPU %u", v->index);
		return stop_with(out, ALC_EXIT_ERROR);
	}
	if (c->taken && kvm_put_state(c, c->err))
		return stop_with(out, ALC_EXIT_ERROR);
	if ((attn & X86_ATTN_NMI) && take_nmi(c))
		return stop_with(out, ALC_EXIT_ERROR);
	if (take_interrupt(c))
		return stop_with(out, ALC_EXIT_ERROR);
	if (user && v->activity == X86_HALTED)
		return stop_with(out, ALC_EXIT_HALT);
	return true;
}

/* ---- The loop ----------------------------------------------------------------------------- */

static bool enter(struct kvm_vcpu *c, enum alc_exit *out)
{
	struct kvm_run *run = c->run;
	bool user = c->vm->chips == CHIPS_USER;
	u64 cr8 = 0;
	int r;

	if (user)
		run->cr8 = cr8 = lapic_cr8(c->v->lapic);
	c->in_flight = false;
	r = ioctl(c->fd, KVM_RUN, 0) ? -errno : 0;
	if (user && run->cr8 != cr8)
		lapic_set_cr8(c->v->lapic, run->cr8);
	if (!r)
		return serve_exit(c, out);
	if (r == -EINTR || r == -EAGAIN) {
		c->n_kicked++;
		return true;
	}
	alc_fail(c->err, r, "KVM can't run vCPU %u: %s", c->v->index, strerror(-r));
	return stop_with(out, ALC_EXIT_ERROR);
}

enum alc_exit kvm_vcpu_run(struct alc_vcpu *v, struct alc_err *err)
{
	struct kvm_vcpu *c = v->engine;
	enum alc_exit out = ALC_EXIT_ATTENTION;
	bool on = true;

	c->err = err;
	open_signal(c);
	if (kvm_sync_slots(c->vm, err))
		return ALC_EXIT_ERROR;
	atomic_store(&c->running_tid, c->signal_tid);
	while (on) {
		__atomic_store_n(&c->run->immediate_exit, 0, __ATOMIC_SEQ_CST);
		on = attend(c, &out) && enter(c, &out);
	}
	atomic_store(&c->running_tid, 0);
	return out;
}
