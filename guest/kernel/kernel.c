/* SPDX-License-Identifier: BSD-2-Clause */
#include "kernel.h"

#include <stdarg.h>

void kernel_main(void);
void ap_main(unsigned index);
void trap(struct trap_frame *f);

extern u64 boot_info, boot_magic, page_pml4[], gdt[];
extern volatile u32 ap_arrivals;
extern u8 trap_stubs[], trampoline[], trampoline_end[], image_end[];
void leave_user(void);

/* --- output ------------------------------------------------------------------------------ */

void *memset(void *to, int byte, size_t len)
{
	u8 *p = to;

	while (len--)
		*(volatile u8 *)p++ = (u8)byte;
	return to;
}

void *memcpy(void *to, const void *from, size_t len)
{
	volatile u8 *t = to;
	const u8 *f = from;

	while (len--)
		*t++ = *f++;
	return to;
}

static void put_char(char c)
{
	if (c == '\n')
		put_char('\r');
	while (!(inb(COM1 + 5) & 0x20))
		pause();
	outb(COM1, (u8)c);
}

static void put_number(u64 v, unsigned base, unsigned digits)
{
	char buf[24];
	unsigned n = 0;

	do
		buf[n++] = "0123456789abcdef"[v % base];
	while ((v /= base) || n < digits);
	while (n)
		put_char(buf[--n]);
}

static void print_args(const char *fmt, va_list ap)
{
	for (; *fmt; fmt++) {
		if (*fmt != '%') {
			put_char(*fmt);
			continue;
		}
		fmt++;
		bool wide = *fmt == 'l';
		fmt += wide;
		if (*fmt == 's') {
			for (const char *s = va_arg(ap, const char *); *s; s++)
				put_char(*s);
		} else if (*fmt == 'c') {
			put_char((char)va_arg(ap, int));
		} else if (*fmt == 'd') {
			int v = va_arg(ap, int);

			if (v < 0)
				put_char('-');
			put_number(v < 0 ? 0u - (unsigned)v : (unsigned)v, 10, 1);
		} else {
			u64 v = wide ? va_arg(ap, u64) : va_arg(ap, u32);

			put_number(v, *fmt == 'u' ? 10 : 16, 1);
		}
	}
}

void print(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	print_args(fmt, ap);
	va_end(ap);
}

static unsigned tests_run, tests_failed;

void ok(bool good, const char *fmt, ...)
{
	va_list ap;

	tests_failed += !good;
	print("%s %u ", good ? "ok" : "not ok", ++tests_run);
	va_start(ap, fmt);
	print_args(fmt, ap);
	va_end(ap);
	put_char('\n');
}

void skip(const char *name, const char *why)
{
	print("ok %u %s # SKIP %s\n", ++tests_run, name, why);
}

_Noreturn void finish(void)
{
	print("1..%u\n", tests_run);
	while (!(inb(COM1 + 5) & 0x40))
		pause();
	for (;;) {
		outl(DEBUG_EXIT, tests_failed != 0);
		__asm__ volatile("cli; hlt");
	}
}

/* --- traps ------------------------------------------------------------------------------- */

struct gate {
	u16 offset_low, selector, attr, offset_mid;
	u32 offset_high, zero;
};

static struct gate idt[256] __attribute__((aligned(16)));
static trap_handler *handlers[256];
static u32 tss[26];
volatile struct caught caught;
volatile u64 resume_rip, resume_rsp;

void set_handler(u8 vector, trap_handler *handler)
{
	handlers[vector] = handler;
}

void set_gate(u8 vector, bool present, unsigned dpl)
{
	u64 at = (u64)trap_stubs + vector * 16ull;

	idt[vector] = (struct gate){
		.offset_low = (u16)at,
		.selector = SEL_CODE64,
		.attr = (u16)(0x0e00 | (present ? 0x8000 : 0) | dpl << 13),
		.offset_mid = (u16)(at >> 16),
		.offset_high = (u32)(at >> 32),
	};
}

void set_interrupt_stack(u8 vector, unsigned ist, u64 top)
{
	idt[vector].attr = (u16)((idt[vector].attr & ~7u) | ist);
	if (!ist)
		return;
	tss[7 + 2 * ist] = (u32)top;
	tss[8 + 2 * ist] = (u32)(top >> 32);
}

static void load_idt(void)
{
	struct {
		u16 limit;
		u64 base;
	} __attribute__((packed)) r = {sizeof(idt) - 1, (u64)idt};

	__asm__ volatile("lidt %0" : : "m"(r));
}

static void load_tss(void)
{
	u64 base = (u64)tss, rsp0 = (u64)alloc_pages(4) + 4 * 4096;

	tss[1] = (u32)rsp0;
	tss[2] = (u32)(rsp0 >> 32);
	tss[25] = sizeof(tss) << 16; /* no I/O permission map */
	gdt[SEL_TSS / 8] = (sizeof(tss) - 1) | (base & 0xffffff) << 16 | 0x89ull << 40 |
			   (base >> 24 & 0xff) << 56;
	gdt[SEL_TSS / 8 + 1] = base >> 32;
	__asm__ volatile("ltr %w0" : : "r"(SEL_TSS));
}

static void catch (struct trap_frame *f)
{
	caught.vector = (int)f->vector;
	caught.error = f->error;
	caught.rip = f->rip;
	caught.cs = (u16)f->cs;
	caught.ss = (u16)f->ss;
	caught.rflags = f->rflags;
	caught.rsp = f->rsp;
	caught.cr2 = f->vector == VEC_PF ? READ_CR(2) : 0;
}

void trap(struct trap_frame *f)
{
	if (handlers[f->vector]) {
		handlers[f->vector](f);
		return;
	}
	catch (f);
	if (f->cs & 3) {
		/* leave_user takes the stack that enter_user saved. */
		f->cs = SEL_CODE64;
		f->ss = SEL_DATA;
		f->rip = (u64)leave_user;
		f->rflags = 2;
	} else if (resume_rip) {
		f->rip = resume_rip;
		f->rsp = resume_rsp;
		f->cs = SEL_CODE64;
		f->ss = SEL_DATA;
		f->rflags &= ~(u64)(FLAG_TF | FLAG_IF | FLAG_AC);
		resume_rip = 0;
	} else {
		print("not ok %u unexpected vector %lu error 0x%lx at 0x%lx cr2 0x%lx\n",
		      ++tests_run, f->vector, f->error, f->rip, READ_CR(2));
		tests_failed++;
		finish();
	}
}

/* --- memory ------------------------------------------------------------------------------ */

void *alloc_pages(unsigned n)
{
	static u64 next;
	u64 at;

	if (!next)
		next = ((u64)image_end + 0xfff) & ~0xfffull;
	at = next;
	next += n * 4096ull;
	memset((void *)at, 0, n * 4096ull);
	return (void *)at;
}

volatile u64 *map_page(u64 va, u64 pa, u64 flags)
{
	volatile u64 *table = page_pml4;

	for (unsigned shift = 39; shift > 12; shift -= 9) {
		volatile u64 *e = &table[va >> shift & 511];

		if (!(*e & PTE_P))
			*e = (u64)alloc_pages(1) | PTE_P | PTE_W | PTE_U;
		table = (volatile u64 *)(*e & 0xffffffffff000);
	}
	table[va >> 12 & 511] = pa | flags;
	invlpg(va);
	return &table[va >> 12 & 511];
}

/* --- local APIC -------------------------------------------------------------------------- */

enum { APIC_BASE_X2 = 1 << 10, APIC_BASE_ENABLE = 1 << 11 };
#define APIC_PAGE 0xfee00000ull

static bool in_x2(void)
{
	return rdmsr(MSR_APIC_BASE) & APIC_BASE_X2;
}

u32 apic_read(unsigned reg)
{
	if (in_x2())
		return (u32)rdmsr(MSR_X2APIC + reg / 16);
	return *(volatile u32 *)(APIC_PAGE + reg);
}

void apic_write(unsigned reg, u32 v)
{
	if (in_x2())
		wrmsr(MSR_X2APIC + reg / 16, v);
	else
		*(volatile u32 *)(APIC_PAGE + reg) = v;
}

void apic_enable(void)
{
	wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | APIC_BASE_ENABLE);
	apic_write(APIC_SPURIOUS, 0x100 | VEC_SPURIOUS);
}

bool apic_has_x2(void)
{
	return cpuid(1, 0).c & 1u << 21;
}

void apic_enter_x2(void)
{
	wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | APIC_BASE_ENABLE | APIC_BASE_X2);
}

u32 apic_id(void)
{
	u32 id = apic_read(APIC_ID);

	return in_x2() ? id : id >> 24;
}

void apic_eoi(void)
{
	apic_write(APIC_EOI, 0);
}

void apic_send(u32 dest, u32 icr)
{
	if (in_x2()) {
		wrmsr(MSR_X2APIC + APIC_ICR / 16, (u64)dest << 32 | icr);
		return;
	}
	apic_write(APIC_ICR_HIGH, dest << 24);
	apic_write(APIC_ICR, icr);
	while (apic_read(APIC_ICR) & 1 << 12)
		pause();
}

/* --- other processors -------------------------------------------------------------------- */

static u32 read32(u64 at)
{
	u32 v;

	memcpy(&v, (const void *)at, sizeof(v));
	return v;
}

static u64 read64(u64 at)
{
	return read32(at) | (u64)read32(at + 4) << 32;
}

static u64 find_rsdp(void)
{
	for (u64 at = 0xe0000; at < 0x100000; at += 16)
		if (read64(at) == 0x2052545020445352) /* "RSD PTR " */
			return at;
	return 0;
}

static u64 find_madt(void)
{
	u64 rsdp = find_rsdp(), root, step;

	if (!rsdp)
		return 0;
	step = *(const u8 *)(rsdp + 15) >= 2 ? 8 : 4;
	root = step == 8 ? read64(rsdp + 24) : read32(rsdp + 16);
	for (u64 at = root + 36; at < root + read32(root + 4); at += step) {
		u64 table = step == 8 ? read64(at) : read32(at);

		if (read32(table) == 0x43495041) /* "APIC" */
			return table;
	}
	return 0;
}

unsigned madt_cpus(void)
{
	u64 madt = find_madt(), end;
	unsigned n = 0;

	if (!madt)
		return 1;
	end = madt + read32(madt + 4);
	for (u64 at = madt + 44; at < end; at += *(const u8 *)(at + 1)) {
		u8 type = *(const u8 *)at;

		if (*(const u8 *)(at + 1) < 2)
			break;
		n += (type == 0 && (read32(at + 4) & 1)) || (type == 9 && (read32(at + 8) & 1));
	}
	return n;
}

unsigned start_others(void)
{
	enum { INIT = 0xc4500, SIPI = 0xc4600 };
	unsigned cpus = madt_cpus();

	if (cpus > CPUS_MAX)
		cpus = CPUS_MAX;
	memcpy((void *)TRAMPOLINE, trampoline, (size_t)(trampoline_end - trampoline));
	if (cpus == 1)
		return 1;
	apic_send(0, INIT);
	apic_send(0, SIPI | TRAMPOLINE >> 12);
	/* A second SIPI is ignored by a processor that already runs. */
	apic_send(0, SIPI | TRAMPOLINE >> 12);
	while (ap_arrivals < cpus)
		pause();
	return cpus;
}

void ap_main(unsigned index)
{
	load_idt();
	apic_enable();
	ap_run(index);
	cli();
}

/* --- start ------------------------------------------------------------------------------- */

static char text[256];

static void keep_command_line(void)
{
	u64 from = boot_magic == 0x2badb002 && (read32(boot_info) & 4) ? read32(boot_info + 16) : 0;

	for (unsigned i = 0; from && i < sizeof(text) - 1; i++) {
		text[i] = *(const char *)(from + i);
		if (!text[i])
			break;
	}
}

const char *command_line(void)
{
	return text;
}

bool command_has(const char *word)
{
	for (const char *at = command_line(); *at; at++) {
		const char *c = at, *w = word;

		while (*w && *c == *w) {
			c++;
			w++;
		}
		if (!*w)
			return true;
	}
	return false;
}

void kernel_main(void)
{
	keep_command_line();
	/* The PIC's lines come on vectors of exceptions after reset. */
	outb(0x21, 0xff);
	outb(0xa1, 0xff);
	for (unsigned v = 0; v < 256; v++)
		set_gate((u8)v, true, v == VEC_BP ? 3 : 0);
	load_idt();
	load_tss();
	run_tests();
	finish();
}
