/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef ENGINE_KVM_INTERNAL_H
#define ENGINE_KVM_INTERNAL_H

#include <linux/kvm.h>
#include <pthread.h>
#include <stdatomic.h>

#include "bus/pc.h"
#include "engine/kvm/kvm.h"

/* Between the files of the KVM engine. */

enum kvm_chips {
	CHIPS_KERNEL, /* local APICs, I/O APIC and PIC inside KVM */
	CHIPS_SPLIT,  /* local APICs inside KVM */
	CHIPS_USER,   /* none */
};

enum { ROUTES_MAX = 256 };

/* Where a message-signalled route or an I/O APIC pin leads. */
struct kvm_msi_route {
	bool used, masked;
	int fd; /* eventfd bound to it, or -1 */
	struct alc_msi msg;
};

struct kvm_vm {
	const struct x86_platform *plat;
	int sys_fd, fd;
	enum kvm_chips chips;
	bool ring;    /* dirty ring rather than bitmap */
	bool started; /* the controllers are made; options can't change any more */
	int run_size; /* of a vCPU's shared pages */
	int kick_signal;

	pthread_mutex_t lock; /* all below */
	unsigned nslots;      /* banks that KVM knows */
	bool logging;
	struct kvm_msi_route pins[PC_IOAPIC_PINS];
	struct kvm_msi_route routes[ROUTES_MAX];
	_Atomic(bool) intr; /* not under the lock: output of our PIC, where KVM has none */
	struct alc_vcpu *vcpus[PC_CPUS_MAX];

	/* While time is stopped: see time.c. */
	struct kvm_clock_data stopped_clock;
	u64 stopped_tsc;
	bool has_stopped_clock, has_stopped_tsc, told_of_tsc;
};

struct kvm_vcpu {
	struct alc_vcpu *v;
	struct kvm_vm *vm;
	int fd;
	struct kvm_run *run;
	struct kvm_dirty_gfn *ring;
	u32 ring_next;
	bool taken;     /* v is exact, and newer than what KVM has */
	bool in_flight; /* an access that KVM will complete at the next entry */
	bool sync_regs;
	_Atomic(int) running_tid; /* the thread inside run, or 0 */
	int signal_tid;           /* thread in which the kick signal is open */
	struct alc_err *err;      /* of the run that is under way */
	/* Counters. */
	u64 n_io, n_mmio, n_msr, n_halt, n_window, n_intr, n_kicked, n_eoi, n_ring_full,
		n_clock_refused;
};

enum kvm_next { KVM_NEXT_RUN, KVM_NEXT_RETURN };

/* Retries what a signal interrupts. -errno. */
int kvm_call(int fd, unsigned long request, void *arg);
int kvm_call_int(int fd, unsigned long request, unsigned long arg);
/* One MSR of a vCPU, or of KVM itself. */
int kvm_get_msr(int fd, u32 msr, u64 *val) ALC_MUST_CHECK;
int kvm_set_msr(int fd, u32 msr, u64 val) ALC_MUST_CHECK;

static inline bool kvm_lapics_inside(const struct kvm_vm *vm)
{
	return vm->chips != CHIPS_USER;
}

/* open.c: the device and what it must be able to do; a descriptor, or -errno and a sentence. */
int kvm_open(char *why, size_t size);
/* probe.c */
void kvm_probe(const struct alc_host *host, struct alc_engine_score *score);

/* slots.c: memory slots and the log of written pages. */
int kvm_sync_slots(struct kvm_vm *vm, struct alc_err *err) ALC_MUST_CHECK;
int kvm_dirty_log(void *vm, bool on, struct alc_err *err);
int kvm_dirty_sync(void *vm, struct alc_err *err);
int kvm_ring_enable(struct kvm_vm *vm, struct alc_err *err) ALC_MUST_CHECK;
int kvm_ring_map(struct kvm_vcpu *c, struct alc_err *err) ALC_MUST_CHECK;
void kvm_ring_unmap(struct kvm_vcpu *c);

/* chips.c: interrupt controllers inside KVM, and shortcuts. */
extern const struct alc_irqchip kvm_chips_kernel, kvm_chips_split;
extern const struct alc_fastpath_ops kvm_fastpath;
int kvm_chips_create(struct kvm_vm *vm, struct alc_err *err) ALC_MUST_CHECK;

/* cpu.c: the CPU that the guest sees. */
int kvm_adapt(void *vm, struct x86_cpuid_table *t, struct alc_err *err);
int kvm_set_cpuid(struct kvm_vcpu *c, struct alc_err *err) ALC_MUST_CHECK;
/* Bits of a guest-physical address that KVM accepts in MSRs. */
u64 kvm_phys_mask(const struct kvm_vm *vm);

/* msr.c */
int kvm_set_msr_filter(struct kvm_vm *vm, struct alc_err *err) ALC_MUST_CHECK;
int kvm_get_msrs(struct kvm_vcpu *c, struct alc_err *err) ALC_MUST_CHECK;
int kvm_set_msrs(struct kvm_vcpu *c, struct alc_err *err) ALC_MUST_CHECK;
int kvm_exit_rdmsr(struct kvm_vcpu *c);
/* The TSC is KVM's, and the guest may move it: brings v->msr.tsc_offset up to date. */
int kvm_learn_tsc(struct kvm_vcpu *c, struct alc_err *err) ALC_MUST_CHECK;
int kvm_exit_wrmsr(struct kvm_vcpu *c, struct alc_err *err) ALC_MUST_CHECK;

/* state.c: between KVM and struct alc_vcpu. */
int kvm_get_state(struct alc_vcpu *v, struct alc_err *err);
int kvm_put_state(struct kvm_vcpu *c, struct alc_err *err) ALC_MUST_CHECK;
void kvm_set_state(struct alc_vcpu *v);

/* access.c: guest memory for the semantics in isa/. */
extern const struct x86_engine_ops kvm_ops;

/* time.c */
void kvm_stop_time(void *vm);
void kvm_start_time(void *vm);

/* run.c */
enum alc_exit kvm_vcpu_run(struct alc_vcpu *v, struct alc_err *err);
/*
 * Lets KVM finish the access that an exit was about; registers are exact afterwards. perform: what
 * else the instruction wants of devices is done, too, rather than dropped.
 */
int kvm_complete(struct kvm_vcpu *c, bool perform, struct alc_err *err) ALC_MUST_CHECK;
void kvm_kick(struct alc_vcpu *v);
/* A signal that nobody else in this process handles, with a handler that does nothing. */
int kvm_take_signal(void);

#endif
