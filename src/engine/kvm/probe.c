/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How good is this KVM? A /dev/kvm that opens may be one that carries out each instruction by
 * software, or one inside another hypervisor whose exits cost as much as thousands of
 * instructions. So a guest of a few bytes is measured: real mode with port writes (exits to us)
 * and CPUID (exits inside KVM), then a loop in long mode against the same loop on the host.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "engine/kvm/internal.h"

enum {
	MEMORY = 0x8000,
	CODE_REAL = 0x1000,
	CODE_LONG = 0x2000,
	PML4 = 0x3000,
	PDPT = 0x4000,
	PAGE_DIRECTORY = 0x5000,
	EXITS = 100,
	CPUIDS = 100,
	ROUNDS = 200000,   /* of the loop that is timed */
	ROUNDS_TRY = 2000, /* of the one that finds out whether that would take too long */
	BUDGET_NS = 5000000,
	/* Beyond these, software is the better engine. */
	EXIT_BAD_NS = 100000,
	SLOWDOWN_BAD = 5,
};

/* Two instructions a round, each needing the one before: no host is faster than a cycle each. */
#define LOOP "1: dec %%ecx\n\tjnz 1b"

struct probe {
	const struct alc_host *host;
	int sys_fd, vm_fd, fd, run_size;
	u8 *memory;
	struct kvm_run *run;
	const char *stage; /* what is being done, for the sentence about its failure */
	u64 exit_ns, cpuid_ns;
	u64 slowdown_percent; /* 100: as fast as the host */
};

/* ---- The guest ---------------------------------------------------------------------------- */

static const u8 code_real[] = {
	0xe6, 0x80, 0xeb, 0xfc, /* out %al, $0x80; jmp back */
};
/* At CODE_REAL + 16: CPUIDS times CPUID, then out. */
static const u8 code_cpuid[] = {
	0xbe, CPUIDS, 0x00,             /* mov $CPUIDS, %si */
	0x66, 0x31,   0xc0, 0x0f, 0xa2, /* xor %eax, %eax; cpuid */
	0x4e, 0x75,   0xf8,             /* dec %si; jnz */
	0xe6, 0x80,   0xeb, 0xfe,       /* out; jmp . */
};
static const u8 code_long[] = {
	0xff, 0xc9, 0x75, 0xfc, /* dec %ecx; jnz */
	0xe6, 0x80, 0xeb, 0xf8, /* out; jmp to the beginning */
};

static int create(struct probe *p)
{
	struct kvm_userspace_memory_region r = {.memory_size = MEMORY};
	u64 table = 0xfeffc000;
	int rc;

	p->stage = "create a machine";
	p->vm_fd = kvm_call_int(p->sys_fd, KVM_CREATE_VM, 0);
	if (p->vm_fd < 0)
		return p->vm_fd;
	p->memory = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p->memory == MAP_FAILED)
		return -errno;
	r.userspace_addr = (uintptr_t)p->memory;
	kvm_call(p->vm_fd, KVM_SET_IDENTITY_MAP_ADDR, &table);
	rc = kvm_call_int(p->vm_fd, KVM_SET_TSS_ADDR, table + ALC_PAGE_SIZE);
	if (!rc)
		rc = kvm_call(p->vm_fd, KVM_SET_USER_MEMORY_REGION, &r);
	if (rc)
		return rc;
	p->fd = kvm_call_int(p->vm_fd, KVM_CREATE_VCPU, 0);
	if (p->fd < 0)
		return p->fd;
	p->run_size = kvm_call_int(p->sys_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (p->run_size < (int)sizeof(struct kvm_run))
		return -EIO;
	p->run = mmap(NULL, (size_t)p->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, p->fd, 0);
	return p->run == MAP_FAILED ? -errno : 0;
}

static int start_at(struct probe *p, u64 rip, u64 rcx)
{
	struct kvm_regs r = {.rip = rip, .rcx = rcx, .rflags = X86_R1};

	return kvm_call(p->fd, KVM_SET_REGS, &r);
}

static int enter_real(struct probe *p)
{
	struct kvm_sregs s;
	int rc = kvm_call(p->fd, KVM_GET_SREGS, &s);

	p->stage = "run real mode";
	memcpy(p->memory + CODE_REAL, code_real, sizeof(code_real));
	memcpy(p->memory + CODE_REAL + 16, code_cpuid, sizeof(code_cpuid));
	s.cs.base = s.cs.selector = 0;
	return rc ? rc : kvm_call(p->fd, KVM_SET_SREGS, &s);
}

static int enter_long(struct probe *p)
{
	enum { PRESENT_WRITABLE = 3, LARGE = 0x80 };
	struct kvm_segment seg = {.limit = 0xffffffff,
				  .type = 11,
				  .present = 1,
				  .s = 1,
				  .l = 1,
				  .g = 1,
				  .selector = 8};
	struct kvm_sregs s;
	int rc = kvm_call(p->fd, KVM_GET_SREGS, &s);

	p->stage = "run long mode";
	memcpy(p->memory + CODE_LONG, code_long, sizeof(code_long));
	st64(p->memory + PML4, PDPT | PRESENT_WRITABLE);
	st64(p->memory + PDPT, PAGE_DIRECTORY | PRESENT_WRITABLE);
	st64(p->memory + PAGE_DIRECTORY, LARGE | PRESENT_WRITABLE);
	s.cs = seg;
	seg.type = 3;
	seg.l = 0;
	seg.db = 1;
	seg.selector = 16;
	s.ds = s.es = s.fs = s.gs = s.ss = seg;
	s.cr3 = PML4;
	s.cr4 |= X86_CR4_PAE;
	s.cr0 |= X86_CR0_PE | X86_CR0_PG;
	s.efer |= X86_EFER_LME | X86_EFER_LMA;
	return rc ? rc : kvm_call(p->fd, KVM_SET_SREGS, &s);
}

/* ---- Measuring ---------------------------------------------------------------------------- */

/* Runs to the next port write. */
static int run_once(struct probe *p)
{
	int rc = kvm_call_int(p->fd, KVM_RUN, 0);

	assert(p->run);
	return rc ? rc : p->run->exit_reason == KVM_EXIT_IO ? 0 : -EIO;
}

static int time_exits(struct probe *p)
{
	u64 began_ns;
	int rc = start_at(p, CODE_REAL, 0), n = 0;

	if (!rc)
		rc = run_once(p); /* memory is mapped by now */
	began_ns = host_now_ns(p->host);
	while (!rc && n < EXITS && host_now_ns(p->host) - began_ns < BUDGET_NS) {
		rc = run_once(p);
		n++;
	}
	if (n)
		p->exit_ns = (host_now_ns(p->host) - began_ns) / (u64)n;
	return rc;
}

static int time_cpuid(struct probe *p)
{
	u64 began_ns;
	int rc = start_at(p, CODE_REAL + 16, 0);

	began_ns = host_now_ns(p->host);
	if (!rc)
		rc = run_once(p);
	p->cpuid_ns = (host_now_ns(p->host) - began_ns) / CPUIDS;
	return rc;
}

static u64 native_ns(const struct probe *p, u32 rounds)
{
	u64 began_ns = host_now_ns(p->host);

	__asm__ volatile(LOOP : "+c"(rounds) : : "cc");
	return max_u64(host_now_ns(p->host) - began_ns, 1);
}

static int guest_ns(struct probe *p, u32 rounds, u64 *ns)
{
	u64 began_ns;
	int rc = start_at(p, CODE_LONG, rounds);

	began_ns = host_now_ns(p->host);
	if (!rc)
		rc = run_once(p);
	*ns = host_now_ns(p->host) - began_ns;
	return rc;
}

/* The cost of one exit does not count as the loop's. */
static int time_long(struct probe *p)
{
	u64 ns, rounds = ROUNDS;
	int rc = guest_ns(p, 1, &ns);

	if (!rc)
		rc = guest_ns(p, ROUNDS_TRY, &ns);
	if (rc)
		return rc;
	if (ns > (u64)BUDGET_NS * ROUNDS_TRY / ROUNDS + p->exit_ns)
		rounds = ROUNDS_TRY;
	rc = guest_ns(p, (u32)rounds, &ns);
	ns -= min_u64(ns, p->exit_ns);
	p->slowdown_percent = ns * 100 / native_ns(p, (u32)rounds);
	return rc;
}

static int measure(struct probe *p)
{
	int rc = create(p);

	if (!rc)
		rc = enter_real(p);
	if (!rc)
		rc = time_exits(p);
	if (!rc)
		rc = time_cpuid(p);
	if (!rc)
		rc = enter_long(p);
	return rc ? rc : time_long(p);
}

static void dispose(struct probe *p)
{
	if (p->run && p->run != MAP_FAILED)
		munmap(p->run, (size_t)p->run_size);
	if (p->memory && p->memory != MAP_FAILED)
		munmap(p->memory, MEMORY);
	if (p->fd >= 0)
		close(p->fd);
	if (p->vm_fd >= 0)
		close(p->vm_fd);
	close(p->sys_fd);
}

/* ---- The verdict -------------------------------------------------------------------------- */

static void judge(const struct probe *p, struct alc_engine_score *score)
{
	const char *but = "";

	score->usable = 0;
	score->good = 100;
	if (p->slowdown_percent > SLOWDOWN_BAD * 100) {
		score->good = 0;
		but = "it carries out instructions by software, so only --engine kvm takes it; ";
	} else if (p->exit_ns > EXIT_BAD_NS) {
		score->good = 0;
		but = "leaving the guest costs too much, so only --engine kvm takes it; ";
	}
	snprintf(score->why, sizeof(score->why),
		 "%san exit takes %llu ns, CPUID %llu ns, a loop in long mode %llu.%02llu times as "
		 "long as on the host",
		 but, (unsigned long long)p->exit_ns, (unsigned long long)p->cpuid_ns,
		 (unsigned long long)p->slowdown_percent / 100,
		 (unsigned long long)p->slowdown_percent % 100);
}

void kvm_probe(const struct alc_host *host, struct alc_engine_score *score)
{
	struct probe p = {.host = host, .vm_fd = -1, .fd = -1};
	int rc;

	p.sys_fd = kvm_open(score->why, sizeof(score->why));
	if (p.sys_fd < 0) {
		score->usable = p.sys_fd;
		return;
	}
	rc = measure(&p);
	if (rc) {
		score->usable = rc;
		snprintf(score->why, sizeof(score->why), "/dev/kvm opens but can't %s: %s", p.stage,
			 strerror(-rc));
	} else {
		judge(&p, score);
	}
	dispose(&p);
}
