/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Clocks that must never step back, on whatever processor they are read: the TSC, KVM's
 * paravirtual clock, the ACPI timer; and timers that must not come early. All processors look at
 * them all the time, while the host pauses the machine as it likes. Each byte from the first serial
 * port is sent back; a q ends the run.
 */
#include "kernel.h"

enum {
	PM_TIMER = 0x608,
	MODEM_CONTROL = COM1 + 4,
	LINE_STATUS = COM1 + 5,
	READY = 3, /* DTR and RTS: input may come */
	CPUID_KVM = 0x40000000,
	CPUID_KVM_FEATURES = 0x40000001,
	FEATURE_CLOCK = 1 << 3,
	MSR_KVM_CLOCK = 0x4b564d01,
	KVM_CLOCK_ENABLE = 1,
	FLAG_TSC_STABLE = 1, /* else each CPU has a clock of its own */
	LVT_TSC_DEADLINE = 2 << 17,
	VEC_TIMER = 0x50,
	PERIOD_TICKS = 50000,
};

/* As Linux, Documentation/virt/kvm/x86/msr.rst, has it. */
struct kvm_clock {
	volatile u32 version;
	u32 pad;
	volatile u64 tsc_timestamp, system_time;
	volatile u32 mul;
	volatile signed char shift;
	u8 flags, pad2[2];
};

static struct kvm_clock clocks[CPUS_MAX] __attribute__((aligned(64)));
static bool has_kvm_clock;
static u32 next_ticket, turn;
static volatile bool done;
static volatile u32 stopped;

/* Under the lock. */
static u64 last_tsc, last_kvm;
static u32 last_pm;
static u32 tsc_back, kvm_back, pm_back;
static u64 looks;

static volatile u64 deadline;
static volatile u32 timers, early;

static u32 inl(u16 port)
{
	u32 v;

	__asm__ volatile("inl %1, %0" : "=a"(v) : "Nd"(port));
	return v;
}

static u64 kvm_clock_ns(const struct kvm_clock *c)
{
	u32 version;
	u64 ns;

	do {
		u64 ticks;

		version = c->version;
		__asm__ volatile("lfence" : : : "memory");
		ticks = rdtsc() - c->tsc_timestamp;
		ticks = c->shift < 0 ? ticks >> -c->shift : ticks << c->shift;
		ns = c->system_time + (u64)((unsigned __int128)ticks * c->mul >> 32);
		__asm__ volatile("lfence" : : : "memory");
	} while ((version & 1) || version != c->version);
	return ns;
}

static void look(unsigned index)
{
	/* In turn: a processor that serves a device would else hardly ever come in. */
	u32 pm, ticket = __atomic_fetch_add(&next_ticket, 1, __ATOMIC_RELAXED);
	u64 tsc, kvm;

	while (__atomic_load_n(&turn, __ATOMIC_ACQUIRE) != ticket)
		pause();
	tsc = rdtsc();
	kvm = has_kvm_clock ? kvm_clock_ns(&clocks[index]) : 0;
	pm = inl(PM_TIMER);
	tsc_back += tsc < last_tsc;
	kvm_back += kvm < last_kvm;
	pm_back += (int)(pm - last_pm) < 0 && looks;
	last_tsc = tsc;
	last_kvm = kvm;
	last_pm = pm;
	looks++;
	__atomic_store_n(&turn, ticket + 1, __ATOMIC_RELEASE);
}

static void start_clock(unsigned index)
{
	if (has_kvm_clock)
		wrmsr(MSR_KVM_CLOCK, (u64)&clocks[index] | KVM_CLOCK_ENABLE);
}

void ap_run(unsigned index)
{
	start_clock(index);
	while (!done)
		look(index);
	__atomic_add_fetch(&stopped, 1, __ATOMIC_SEQ_CST);
}

static void set_timer(void)
{
	deadline = rdtsc() + PERIOD_TICKS;
	wrmsr(MSR_TSC_DEADLINE, deadline);
}

static void on_timer(struct trap_frame *f)
{
	(void)f;
	early += rdtsc() < deadline;
	timers++;
	set_timer();
	apic_eoi();
}

/* True until a q has come. */
static bool serve_host(void)
{
	u8 c;

	if (!(inb(LINE_STATUS) & 1))
		return true;
	c = inb(COM1);
	if (c == 'q')
		return false;
	print("%c", c);
	return true;
}

static void watch(void)
{
	do {
		cli();
		look(0);
		sti();
	} while (serve_host());
	cli();
}

static bool kvm_clock_offered(void)
{
	return (cpuid(1, 0).c >> 31) && cpuid(CPUID_KVM, 0).a >= CPUID_KVM_FEATURES &&
	       (cpuid(CPUID_KVM_FEATURES, 0).a & FEATURE_CLOCK);
}

void run_tests(void)
{
	unsigned cpus;

	has_kvm_clock = kvm_clock_offered();
	outb(MODEM_CONTROL, READY);
	start_clock(0);
	apic_enable();
	set_handler(VEC_TIMER, on_timer);
	cpus = start_others();
	apic_write(APIC_LVT_TIMER, VEC_TIMER | LVT_TSC_DEADLINE);
	set_timer();
	print("# clocks run on %u CPUs\n", cpus);
	watch();
	done = true;
	while (stopped < cpus - 1)
		pause();
	print("\n# %lu looks, %u timers\n", looks, timers);
	ok(!tsc_back, "the TSC went back %u times", tsc_back);
	if (has_kvm_clock && (clocks[0].flags & FLAG_TSC_STABLE))
		ok(!kvm_back, "KVM's clock went back %u times", kvm_back);
	else
		skip("KVM's clock", "not offered, or not one for all CPUs");
	ok(!pm_back, "the ACPI timer went back %u times", pm_back);
	ok(timers > 0 && !early, "%u timers came early", early);
}
