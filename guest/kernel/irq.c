/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Interrupts and timers: PIC, I/O APIC, local APIC, PIT, RTC, NMI.
 *
 * Nothing here depends on how long things take: a test waits until an interrupt has come, and
 * that one does not come is seen after another one of lower priority has.
 */
#include "kernel.h"

enum {
	PIC1 = 0x20,
	PIC2 = 0xa0,
	PIT = 0x40,
	RTC = 0x70,
	TEST_LINES = 0x2000, /* pc-testdev: one port a line */
	VEC_PIC = 0x20,
	VEC_FLUSH = 0x30, /* of the lowest priority used */
	VEC_PIN = 0x40,
	VEC_TIMER = 0x50,
	VEC_HIGH = 0x60,
	LINE = 5,
	SELF_LEVEL = 1 << 14,
	LVT_MASKED = 1 << 16,
	LVT_PERIODIC = 1 << 17,
	LVT_TSC_DEADLINE = 2 << 17,
	LVT_EXTINT = 7 << 8,
	PIN_LEVEL = 1 << 15,
	PIN_MASKED = 1 << 16,
	ICR_NMI = 4 << 8,
	APIC_TPR = 0x80,
	APIC_ISR = 0x100,
	APIC_IRR = 0x200,
};

static volatile u32 counts[256];
static volatile u8 order[16];
static volatile u32 arrived;
static volatile bool lower_line;

void ap_run(unsigned index)
{
	(void)index;
}

static void note(u64 vector)
{
	if (arrived < sizeof(order))
		order[arrived] = (u8)vector;
	arrived++;
	counts[vector]++;
}

static void on_apic(struct trap_frame *f)
{
	note(f->vector);
	if (lower_line && f->vector == VEC_PIN && counts[VEC_PIN] >= 2)
		outb(TEST_LINES + LINE, 0);
	apic_eoi();
}

static void on_nmi(struct trap_frame *f)
{
	note(f->vector);
}

static u8 rtc_read(u8 reg)
{
	outb(RTC, reg);
	return inb(RTC + 1);
}

static void rtc_write(u8 reg, u8 v)
{
	outb(RTC, reg);
	outb(RTC + 1, v);
}

static void on_pic(struct trap_frame *f)
{
	note(f->vector);
	if (f->vector == VEC_PIC + 8)
		rtc_read(0x0c);
	if (f->vector >= VEC_PIC + 8)
		outb(PIC2, 0x20);
	outb(PIC1, 0x20);
}

static void clear_counts(void)
{
	for (unsigned i = 0; i < 256; i++)
		counts[i] = 0;
	arrived = 0;
}

/* Waits with interrupts on until a vector has come n times. */
static void wait_for(u8 vector, u32 n)
{
	while (counts[vector] < n)
		__asm__ volatile("sti\n\tnop\n\tpause\n\tcli" : : : "memory");
}

/* After this, everything that was pending has been delivered. */
static void flush(void)
{
	u32 before = counts[VEC_FLUSH];

	apic_send(apic_id(), VEC_FLUSH | SELF_LEVEL);
	wait_for(VEC_FLUSH, before + 1);
}

/* --- PIC --------------------------------------------------------------------------------- */

static void pic_mask(u16 mask)
{
	outb(PIC1 + 1, (u8)mask);
	outb(PIC2 + 1, (u8)(mask >> 8));
}

static void pic_init(void)
{
	outb(PIC1, 0x11);
	outb(PIC1 + 1, VEC_PIC);
	outb(PIC1 + 1, 4);
	outb(PIC1 + 1, 1);
	outb(PIC2, 0x11);
	outb(PIC2 + 1, VEC_PIC + 8);
	outb(PIC2 + 1, 2);
	outb(PIC2 + 1, 1);
	pic_mask(0xffff);
}

/* Channel 0 in mode 2, about 1 kHz. */
static void pit_start(void)
{
	outb(PIT + 3, 0x34);
	outb(PIT, 0xa9);
	outb(PIT, 0x04);
}

/* Periodic interrupts at 1024 Hz, or none. */
static void rtc_periodic(bool on)
{
	rtc_write(0x0a, 0x26);
	rtc_write(0x0b, on ? 0x42 : 0x02);
	rtc_read(0x0c);
}

static void test_pic(void)
{
	clear_counts();
	pic_init();
	apic_write(APIC_LVT_LINT0, LVT_EXTINT);
	pit_start();
	flush();
	ok(counts[VEC_PIC] == 0, "PIC: a masked line is silent");
	pic_mask(0xfffe);
	wait_for(VEC_PIC, 3);
	ok(true, "PIC: PIT ticks on line 0");
	rtc_periodic(true);
	pic_mask(0xfefb);
	wait_for(VEC_PIC + 8, 3);
	ok(true, "PIC: RTC ticks on line 8, through the cascade");
	rtc_periodic(false);
	pic_mask((u16) ~(1u << LINE));
	clear_counts();
	outb(TEST_LINES + LINE, 1);
	wait_for(VEC_PIC + LINE, 1);
	flush();
	ok(counts[VEC_PIC + LINE] == 1, "PIC: an edge interrupts once");
	outb(TEST_LINES + LINE, 0);
	pic_mask(0xffff);
	apic_write(APIC_LVT_LINT0, LVT_MASKED | LVT_EXTINT);
}

/* --- I/O APIC ---------------------------------------------------------------------------- */

static volatile u32 *const ioapic = (volatile u32 *)0xfec00000;

static u32 ioapic_read(u32 reg)
{
	ioapic[0] = reg;
	return ioapic[4];
}

static void ioapic_write(u32 reg, u32 v)
{
	ioapic[0] = reg;
	ioapic[4] = v;
}

/* Destination is this processor, delivery fixed. */
static void ioapic_pin(unsigned pin, u32 low)
{
	ioapic_write(0x10 + 2 * pin, PIN_MASKED);
	ioapic_write(0x11 + 2 * pin, apic_id() << 24);
	ioapic_write(0x10 + 2 * pin, low);
}

static void test_ioapic_lines(void)
{
	clear_counts();
	outb(TEST_LINES + LINE, 0);
	ioapic_pin(LINE, VEC_PIN);
	outb(TEST_LINES + LINE, 1);
	wait_for(VEC_PIN, 1);
	flush();
	ok(counts[VEC_PIN] == 1, "I/O APIC: an edge interrupts once");
	outb(TEST_LINES + LINE, 0);
	flush();
	ok(counts[VEC_PIN] == 1, "I/O APIC: a falling edge does not");

	clear_counts();
	ioapic_pin(LINE, VEC_PIN | PIN_LEVEL | PIN_MASKED);
	outb(TEST_LINES + LINE, 1);
	flush();
	ok(counts[VEC_PIN] == 0, "I/O APIC: a masked pin is silent");
	lower_line = true;
	ioapic_pin(LINE, VEC_PIN | PIN_LEVEL);
	wait_for(VEC_PIN, 2);
	flush();
	ok(counts[VEC_PIN] == 2, "I/O APIC: a level interrupts again after EOI, until it is gone");
	lower_line = false;
	ok(!(ioapic_read(0x10 + 2 * LINE) & 1 << 14), "I/O APIC: remote IRR is clear after EOI");
	ioapic_pin(LINE, PIN_MASKED);
}

static void test_ioapic(void)
{
	ok((ioapic_read(1) >> 16 & 0xff) == 23, "I/O APIC: 24 pins");
	test_ioapic_lines();
	clear_counts();
	pit_start();
	ioapic_pin(2, VEC_PIN);
	wait_for(VEC_PIN, 3);
	ok(true, "I/O APIC: PIT ticks on pin 2");
	ioapic_pin(2, PIN_MASKED);
	rtc_periodic(true);
	ioapic_pin(8, VEC_HIGH);
	do {
		rtc_read(0x0c);
		flush();
	} while (counts[VEC_HIGH] < 3);
	ok(true, "I/O APIC: RTC ticks on pin 8");
	rtc_periodic(false);
	ioapic_pin(8, PIN_MASKED);
}

/* --- local APIC -------------------------------------------------------------------------- */

static void test_priorities(void)
{
	u32 id = apic_id();

	clear_counts();
	apic_send(id, VEC_PIN | SELF_LEVEL);
	apic_send(id, VEC_HIGH | SELF_LEVEL);
	while (!(apic_read(APIC_IRR + 0x10 * (VEC_HIGH / 32)) & 1))
		pause();
	flush();
	ok(order[0] == VEC_HIGH && order[1] == VEC_PIN && order[2] == VEC_FLUSH,
	   "local APIC: the highest vector first");
	apic_write(APIC_TPR, VEC_PIN);
	apic_send(id, VEC_PIN | SELF_LEVEL);
	apic_send(id, VEC_HIGH | SELF_LEVEL);
	clear_counts();
	wait_for(VEC_HIGH, 1);
	ok(counts[VEC_PIN] == 0, "local APIC: the task priority holds lower ones back");
	ok(READ_CR(8) == VEC_PIN >> 4, "CR8 is the task priority");
	WRITE_CR(8, 0);
	wait_for(VEC_PIN, 1);
	ok(apic_read(APIC_TPR) == 0, "a write of CR8 lets them through");
	ok(apic_read(APIC_ISR + 0x10 * (VEC_PIN / 32)) == 0, "nothing stays in service");
}

static void test_timer(void)
{
	clear_counts();
	apic_write(APIC_TIMER_DIVIDE, 0x0b);
	apic_write(APIC_LVT_TIMER, VEC_TIMER);
	apic_write(APIC_TIMER_INITIAL, 10000);
	wait_for(VEC_TIMER, 1);
	flush();
	ok(counts[VEC_TIMER] == 1 && apic_read(APIC_TIMER_CURRENT) == 0,
	   "APIC timer: one shot stops at 0");
	clear_counts();
	apic_write(APIC_LVT_TIMER, VEC_TIMER | LVT_PERIODIC);
	apic_write(APIC_TIMER_INITIAL, 100000);
	wait_for(VEC_TIMER, 5);
	ok(true, "APIC timer: periodic");
	apic_write(APIC_TIMER_INITIAL, 0);
	flush();
	clear_counts();
	apic_write(APIC_LVT_TIMER, VEC_TIMER | LVT_MASKED);
	apic_write(APIC_TIMER_INITIAL, 1000);
	while (apic_read(APIC_TIMER_CURRENT))
		pause();
	flush();
	ok(counts[VEC_TIMER] == 0, "APIC timer: masked");
}

static void test_tsc_deadline(void)
{
	if (!(cpuid(1, 0).c & 1 << 24)) {
		skip("TSC deadline", "CPUID does not have it");
		return;
	}
	clear_counts();
	apic_write(APIC_LVT_TIMER, VEC_TIMER | LVT_TSC_DEADLINE);
	u64 deadline = rdtsc() + 1000000;
	wrmsr(MSR_TSC_DEADLINE, deadline);
	wait_for(VEC_TIMER, 1);
	ok(rdtsc() >= deadline, "TSC deadline: not early");
	ok(rdmsr(MSR_TSC_DEADLINE) == 0, "TSC deadline: disarmed once it has fired");
	wrmsr(MSR_TSC_DEADLINE, 1);
	wait_for(VEC_TIMER, 2);
	ok(true, "TSC deadline: one in the past fires at once");
	apic_write(APIC_LVT_TIMER, LVT_MASKED);
}

static void test_nmi(void)
{
	clear_counts();
	set_handler(VEC_NMI, on_nmi);
	cli();
	apic_send(apic_id(), ICR_NMI | SELF_LEVEL);
	while (counts[VEC_NMI] < 1)
		pause();
	ok(counts[VEC_NMI] == 1, "NMI comes with interrupts off");
	apic_send(apic_id(), ICR_NMI | SELF_LEVEL);
	while (counts[VEC_NMI] < 2)
		pause();
	ok(counts[VEC_NMI] == 2, "NMI comes again after IRET");
}

static void test_halt(void)
{
	/* A hypervisor on TCG may take STI's shadow for over (QEMU 7.2): then the next tick wakes.
	 */
	u32 again = command_has("tcg") ? LVT_PERIODIC : 0;

	clear_counts();
	apic_write(APIC_LVT_TIMER, VEC_TIMER | again);
	apic_write(APIC_TIMER_INITIAL, 100000);
	__asm__ volatile("sti\n\thlt\n\tcli" : : : "memory");
	ok(again ? counts[VEC_TIMER] >= 1 : counts[VEC_TIMER] == 1, "HLT sleeps until the timer");
	apic_write(APIC_TIMER_INITIAL, 0);
}

void run_tests(void)
{
	static const u8 vectors[] = {VEC_FLUSH, VEC_PIN, VEC_TIMER, VEC_HIGH};

	for (unsigned i = 0; i < sizeof(vectors); i++)
		set_handler(vectors[i], on_apic);
	for (unsigned i = 0; i < 16; i++)
		set_handler((u8)(VEC_PIC + i), on_pic);
	apic_enable();
	test_priorities();
	test_pic();
	test_ioapic();
	test_timer();
	test_tsc_deadline();
	test_halt();
	test_nmi();
}
