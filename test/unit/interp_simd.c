/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * x87, MMX, SSE and AVX in the interpreter: what a comparison of single instructions with the
 * host in user mode (test/isa) doesn't reach. Images of state, pending exceptions, availability,
 * pages' ends, gathers, other modes than 64-bit, and the store of thunks.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/errno.h"
#include "engine/interp/simd.h"
#include "engine/interp/step.h"
#include "fx_image.h"
#include "host/test/test_host.h"
#include "isa/vcpu.h"

/* An identity-mapped megabyte, but for a page that is read-only and one that is absent. */
enum {
	RAM = 0x100000,
	PML4 = 0x1000,
	PDPT = 0x2000,
	PD = 0x3000,
	PT = 0x4000,
	CODE = 0x10000,
	DATA = 0x20000,
	OUT = 0x22000,
	READONLY = 0x31000, /* the page before is writable */
	ABSENT = 0x33000,   /* so is this one's */
	PTE = 7,            /* present, writable, user */
};

struct rig {
	struct test_host th;
	struct alc_clock *clock;
	struct alc_space space;
	struct region_map ports;
	struct x86_platform plat;
	struct x86_cpuid_table cpuid;
	void *vm;
	struct alc_vcpu *v;
	struct alc_vcpu *vcpus[1];
	u64 next; /* where the next code goes */
	struct alc_err err;
};

static int no_interrupt(void *ctx)
{
	return -1;
}

static void put(struct rig *r, u64 at, const void *from, u64 len)
{
	assert_int_equal(space_copy_out(&r->space, gpa(at), from, len), 0);
}

static void get(struct rig *r, u64 at, void *to, u64 len)
{
	assert_int_equal(space_copy_in(&r->space, gpa(at), to, len), 0);
}

static void put64(struct rig *r, u64 at, u64 x)
{
	put(r, at, &x, sizeof(x));
}

static void make_tables(struct rig *r)
{
	put64(r, PML4, PDPT | PTE);
	put64(r, PDPT, PD | PTE);
	put64(r, PD, PT | PTE);
	for (u64 p = 0; p < RAM; p += ALC_PAGE_SIZE)
		put64(r, PT + (p >> 12) * 8, p | (p == READONLY ? 1 : PTE));
	put64(r, PT + (ABSENT >> 12) * 8, 0);
}

static void long_mode(struct alc_vcpu *v)
{
	const u16 code = X86_SEG_P | X86_SEG_S | X86_SEG_CODE | X86_SEG_RW | X86_SEG_ACCESSED |
			 X86_SEG_L | X86_SEG_G;

	v->seg[X86_CS] = (struct x86_seg){.limit = ~0u, .sel = 8, .attr = code};
	v->cr0 = X86_CR0_PE | X86_CR0_MP | X86_CR0_ET | X86_CR0_NE | X86_CR0_WP | X86_CR0_PG;
	v->cr3 = PML4;
	v->cr4 = X86_CR4_PAE | X86_CR4_OSFXSR | X86_CR4_OSXMMEXCPT | X86_CR4_OSXSAVE;
	v->efer = X86_EFER_LME | X86_EFER_LMA;
	v->xcr0 = 7;
}

static void protected_mode(struct alc_vcpu *v)
{
	const u16 flat = X86_SEG_P | X86_SEG_S | X86_SEG_RW | X86_SEG_ACCESSED | X86_SEG_DB |
			 X86_SEG_G;

	for (unsigned s = 0; s < X86_SEGS; s++)
		v->seg[s] = (struct x86_seg){.limit = ~0u, .sel = 16, .attr = flat};
	v->seg[X86_CS].attr |= X86_SEG_CODE;
	v->cr0 = X86_CR0_PE | X86_CR0_MP | X86_CR0_ET | X86_CR0_NE;
	v->cr4 = X86_CR4_OSFXSR | X86_CR4_OSXMMEXCPT | X86_CR4_OSXSAVE;
	v->efer = 0;
	v->xcr0 = 7;
}

static void rig_init(struct rig *r, const char *profile)
{
	memset(r, 0, sizeof(*r));
	test_host_init(&r->th, TEST_TIME_MANUAL);
	assert_int_equal(clock_create(&r->th.host, &r->clock), 0);
	region_map_init(&r->ports, &r->th.host);
	assert_int_equal(space_init(&r->space, &r->th.host, RAM, &r->err), 0);
	assert_int_equal(space_add_bank(&r->space, gpa(0), RAM, false, &r->err), 0);
	if (cpuid_table_init(&r->cpuid, profile, 1, 1000000000, &r->err))
		fail_msg("%s", r->err.text);
	r->plat = (struct x86_platform){.host = &r->th.host,
					.clock = r->clock,
					.space = &r->space,
					.ports = &r->ports,
					.tsc_hz = 1000000000,
					.pic_ack = no_interrupt,
					.vcpus = r->vcpus,
					.nvcpus = 1};
	assert_int_equal(interp_engine.vm_create(&r->plat, &r->vm, &r->err), 0);
	assert_int_equal(vcpu_create(&r->plat, 0, &r->cpuid, &r->v, &r->err), 0);
	r->vcpus[0] = r->v;
	assert_int_equal(interp_engine.vcpu_create(r->vm, r->v, &r->err), 0);
	make_tables(r);
	long_mode(r->v);
	interp_engine.set_state(r->v);
	r->next = CODE;
}

static void rig_fini(struct rig *r)
{
	interp_engine.vcpu_destroy(r->v);
	vcpu_destroy(r->v);
	interp_engine.vm_destroy(r->vm);
	region_map_fini(&r->ports);
	space_fini(&r->space);
	clock_destroy(r->clock);
	assert_int_equal(test_host_leaks(&r->th), 0);
	test_host_fini(&r->th);
}

static struct simd *store_of(struct rig *r)
{
	return ((struct interp *)r->v->engine)->simd;
}

/* Runs one instruction; returns the vector it raised, or -1. */
static int step(struct rig *r, const u8 *code, unsigned len)
{
	struct x86_fault fault;
	bool faulted = false;
	enum alc_exit exit;

	if (r->next + 32 > DATA)
		r->next = CODE;
	put(r, r->next, code, len);
	r->v->rip = r->next;
	r->next += 16;
	interp_engine.set_state(r->v);
	exit = interp_step(r->v, 1, &fault, &faulted, &r->err);
	if (exit == ALC_EXIT_ERROR)
		return -2;
	if (!faulted)
		assert_int_equal(r->v->rip, r->next - 16 + len);
	return faulted ? fault.vector : -1;
}

#define STEP(r, ...) step(r, (const u8[]){__VA_ARGS__}, sizeof((const u8[]){__VA_ARGS__}))
#define OK(r, ...)   assert_int_equal(STEP(r, __VA_ARGS__), -1)

static u64 rng_state = 88172645463325252ull;

static u64 rnd(void)
{
	rng_state ^= rng_state << 13;
	rng_state ^= rng_state >> 7;
	rng_state ^= rng_state << 17;
	return rng_state;
}

static void randomize_vectors(struct alc_vcpu *v)
{
	for (unsigned i = 0; i < 16; i++)
		for (unsigned j = 0; j < 4; j++)
			v->fpu.vec[i][j] = rnd();
}

/* ---- Images of state ---- */

enum { IMAGE = 1024 };

static void random_image(u8 *p)
{
	for (unsigned i = 0; i < 832; i++)
		p[i] = (u8)rnd();
	st16(p, 0x37f);
	st16(p + 2, ld16(p + 2) & 0x7f00); /* no pending exception */
	p[5] = 0;
	st16(p + 6, ld16(p + 6) & 0x7ff);
	st64(p + 8, 0x1234567);
	st64(p + 16, 0x2345678);
	st32(p + 24, 0x1fbf);
	st32(p + 28, 0xffff);
	for (unsigned i = 0; i < 8; i++)
		memset(p + 32 + 16 * i + 10, 0, 6);
	memset(p + 416, 0, 576 - 416);
	st64(p + 512, 7);
}

#define VECTORS                                                                                  \
	"xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", \
		"xmm11", "xmm12", "xmm13", "xmm14", "xmm15", "memory"

/* Loads `in` into the host's registers, saves them to `out`, and cleans up. */
#define NATIVE(load, save, in, out, mask)                                                   \
	do {                                                                                \
		u32 host_mxcsr;                                                             \
		__asm__ volatile("stmxcsr %[host]\n\t" load " %[from]\n\t"                  \
				 "mov %[bits], %%eax\n\txor %%edx, %%edx\n\t" save          \
				 " %[to]\n\tfninit\n\tldmxcsr %[host]"                      \
				 : [host] "=m"(host_mxcsr), [to] "+m"(*(u8(*)[IMAGE])(out)) \
				 : [from] "m"(*(const u8(*)[IMAGE])(in)), [bits] "r"(mask), \
				   "a"(7), "d"(0)                                           \
				 : VECTORS);                                                \
	} while (0)

static void fxsave_is_the_hosts(void **state)
{
	_Alignas(64) u8 in[IMAGE] = {0}, native[IMAGE], ours[IMAGE];
	struct rig r;

	rig_init(&r, "max");
	for (unsigned i = 0; i < 50; i++) {
		random_image(in);
		memset(native, 0xcc, IMAGE);
		NATIVE("fxrstor64", "fxsave64", in, native, 7);
		put(&r, DATA, in, IMAGE);
		memset(ours, 0xcc, IMAGE);
		put(&r, OUT, ours, IMAGE);
		r.v->gpr[X86_RSI] = DATA;
		r.v->gpr[X86_RDI] = OUT;
		OK(&r, 0x48, 0x0f, 0xae, 0x0e); /* fxrstor64 [rsi] */
		OK(&r, 0x48, 0x0f, 0xae, 0x07); /* fxsave64 [rdi] */
		get(&r, OUT, ours, IMAGE);
		fx_image_level(ours);
		fx_image_level(native);
		assert_memory_equal(ours, native, IMAGE);
	}
	rig_fini(&r);
}

static void xsave_is_the_hosts(void **state)
{
	_Alignas(64) u8 in[IMAGE] = {0}, native[IMAGE], ours[IMAGE];
	struct rig r;

	rig_init(&r, "max");
	if (!cpuid_has(&r.cpuid, X86_FEAT_XSAVEC)) {
		rig_fini(&r);
		skip();
	}
	for (u32 mask = 1; mask < 8; mask++) {
		for (unsigned compact = 0; compact < 2; compact++) {
			random_image(in);
			memset(native, 0, IMAGE);
			if (compact)
				NATIVE("xrstor64", "xsavec64", in, native, mask);
			else
				NATIVE("xrstor64", "xsave64", in, native, mask);
			memset(ours, 0, IMAGE);
			put(&r, DATA, in, IMAGE);
			put(&r, OUT, ours, IMAGE);
			r.v->gpr[X86_RSI] = DATA;
			r.v->gpr[X86_RDI] = OUT;
			r.v->gpr[X86_RAX] = 7;
			r.v->gpr[X86_RDX] = 0;
			OK(&r, 0x48, 0x0f, 0xae, 0x2e); /* xrstor64 [rsi] */
			r.v->gpr[X86_RAX] = mask;
			if (compact)
				OK(&r, 0x48, 0x0f, 0xc7, 0x27); /* xsavec64 [rdi] */
			else
				OK(&r, 0x48, 0x0f, 0xae, 0x27); /* xsave64 [rdi] */
			get(&r, OUT, ours, IMAGE);
			fx_image_level(ours);
			fx_image_level(native);
			assert_memory_equal(ours, native, IMAGE);
		}
	}
	rig_fini(&r);
}

static void fnsave_is_the_hosts(void **state)
{
	u8 in[108] = {0}, native[108], ours[108];
	struct rig r;

	rig_init(&r, "max");
	for (unsigned i = 0; i < 50; i++) {
		for (unsigned j = 28; j < 108; j++)
			in[j] = (u8)rnd();
		st32(in, 0xffff037f);
		st32(in + 4, 0xffff0000 | ((u32)rnd() & 0x7f00));
		st32(in + 8, (u32)rnd());
		st32(in + 12, 0x1234);
		st32(in + 20, 0x5678);
		__asm__ volatile("frstor %1\n\tfnsave %0" : "=m"(native) : "m"(in));
		put(&r, DATA, in, sizeof(in));
		r.v->gpr[X86_RSI] = DATA;
		OK(&r, 0xdd, 0x26); /* frstor [rsi] */
		OK(&r, 0xdd, 0x36); /* fnsave [rsi] */
		get(&r, DATA, ours, sizeof(ours));
		/* Selectors are the host's own business; so is the opcode. */
		memset(native + 16, 0, 4);
		memset(ours + 16, 0, 4);
		memset(native + 24, 0, 4);
		memset(ours + 24, 0, 4);
		assert_memory_equal(ours, native, sizeof(ours));
		assert_int_equal(r.v->fpu.fcw, 0x37f);
		assert_int_equal(r.v->fpu.ftw, 0);
	}
	rig_fini(&r);
}

static void images_must_be_aligned_and_valid(void **state)
{
	static const u8 bad_mxcsr[32] = {[26] = 1};
	struct rig r;

	rig_init(&r, "max");
	r.v->gpr[X86_RSI] = DATA + 8;
	assert_int_equal(STEP(&r, 0x0f, 0xae, 0x06), X86_GP); /* fxsave */
	assert_int_equal(STEP(&r, 0x0f, 0xae, 0x0e), X86_GP); /* fxrstor */
	r.v->gpr[X86_RSI] = DATA + 16;
	assert_int_equal(STEP(&r, 0x0f, 0xae, 0x26), X86_GP); /* xsave */
	put(&r, DATA + 64, bad_mxcsr, sizeof(bad_mxcsr));
	r.v->gpr[X86_RSI] = DATA + 64;
	assert_int_equal(STEP(&r, 0x0f, 0xae, 0x0e), X86_GP);
	put(&r, DATA, bad_mxcsr + 24, 4);
	r.v->gpr[X86_RSI] = DATA;
	assert_int_equal(STEP(&r, 0x0f, 0xae, 0x16), X86_GP); /* ldmxcsr */
	/* An area whose end can't be written is not begun. */
	r.v->gpr[X86_RSI] = READONLY - 256;
	assert_int_equal(STEP(&r, 0x0f, 0xae, 0x06), X86_PFV);
	assert_int_equal(r.v->fpu.mxcsr, 0x1f80);
	rig_fini(&r);
}

static void in_32_bit_code_eight_registers_are_saved(void **state)
{
	u8 area[512], fill[512];
	struct rig r;

	rig_init(&r, "max");
	protected_mode(r.v);
	randomize_vectors(r.v);
	memset(fill, 0x5a, sizeof(fill));
	put(&r, DATA, fill, sizeof(fill));
	r.v->gpr[X86_RSI] = DATA;
	OK(&r, 0x0f, 0xae, 0x06); /* fxsave [esi] */
	get(&r, DATA, area, sizeof(area));
	assert_memory_equal(area + 160 + 7 * 16, r.v->fpu.vec[7], 16);
	assert_memory_equal(area + 160 + 8 * 16, fill, 512 - 160 - 8 * 16);
	memset(area + 160, 0, 256);
	put(&r, DATA, area, sizeof(area));
	OK(&r, 0x0f, 0xae, 0x0e); /* fxrstor [esi] */
	assert_int_equal(r.v->fpu.vec[7][0] | r.v->fpu.vec[7][1], 0);
	assert_int_not_equal(r.v->fpu.vec[8][0], 0);
	OK(&r, 0xc5, 0xf8, 0x77); /* vzeroupper */
	assert_int_equal(r.v->fpu.vec[7][3], 0);
	assert_int_not_equal(r.v->fpu.vec[8][3], 0);
	rig_fini(&r);
}

/* ---- x87 ---- */

static void x87_exceptions_wait_for_the_next_instruction(void **state)
{
	struct rig r;

	rig_init(&r, "max");
	r.v->fpu.fcw = 0x37f & ~EXC_ZE;
	r.v->gpr[X86_RSI] = DATA;
	put64(&r, DATA, 0); /* 0.0 */
	OK(&r, 0xd9, 0xe8); /* fld1 */
	OK(&r, 0xdc, 0x36); /* fdiv qword [rsi] */
	assert_int_equal(r.v->fpu.fip, r.v->rip - 2);
	assert_int_equal(r.v->fpu.fdp, DATA);
	assert_int_equal(r.v->fpu.fop, 0x436);
	assert_int_equal(r.v->fpu.fsw & (FSW_ES | EXC_ALL), FSW_ES | EXC_ZE);
	assert_int_equal(ld16(r.v->fpu.st[0] + 8), 0x3fff); /* still 1.0 */
	assert_int_equal(STEP(&r, 0xd9, 0xe8), X86_MF);
	assert_int_equal(STEP(&r, 0x9b), X86_MF);             /* fwait */
	assert_int_equal(STEP(&r, 0x0f, 0xfc, 0xc1), X86_MF); /* paddb mm0, mm1 */
	assert_int_equal(STEP(&r, 0x0f, 0x77), X86_MF);       /* emms */
	OK(&r, 0xdf, 0xe0);                                   /* fnstsw ax */
	assert_int_equal(r.v->gpr[X86_RAX] & 0xffff, r.v->fpu.fsw);
	OK(&r, 0xdb, 0xe2); /* fnclex */
	OK(&r, 0x9b);
	OK(&r, 0xdb, 0xe3); /* fninit */
	assert_int_equal(r.v->fpu.ftw, 0);
	/* The handler that unmasks finds what was pending. */
	r.v->fpu.fsw = EXC_IE;
	put64(&r, DATA, 0x37e);
	OK(&r, 0xd9, 0x2e); /* fldcw [rsi] */
	assert_int_equal(r.v->fpu.fsw & (FSW_ES | FSW_B), FSW_ES | FSW_B);
	assert_int_equal(STEP(&r, 0xd9, 0xe8), X86_MF);
	rig_fini(&r);
}

static void x87_store_with_an_unmasked_exception_stores_nothing(void **state)
{
	struct rig r;
	u64 x;

	rig_init(&r, "max");
	r.v->gpr[X86_RSI] = DATA;
	put64(&r, DATA, 0x7ff0000000000000); /* infinity has no integer */
	OK(&r, 0xdd, 0x06);                  /* fld qword [rsi] */
	r.v->fpu.fcw &= ~EXC_IE;
	OK(&r, 0xdf, 0x3e); /* fistp qword [rsi] */
	get(&r, DATA, &x, sizeof(x));
	assert_int_equal(x, 0x7ff0000000000000);
	assert_int_equal(fpu_top(&r.v->fpu), 7); /* not popped */
	OK(&r, 0xdb, 0xe2);
	r.v->fpu.fcw |= EXC_IE;
	r.v->gpr[X86_RSI] = READONLY - 4;
	assert_int_equal(STEP(&r, 0xdf, 0x3e), X86_PFV);
	assert_int_equal(fpu_top(&r.v->fpu), 7);
	assert_int_equal(r.v->fpu.fsw & EXC_ALL, 0);
	rig_fini(&r);
}

static void mmx_registers_alias_the_stack(void **state)
{
	struct rig r;
	u64 x;

	rig_init(&r, "max");
	OK(&r, 0xd9, 0xe8); /* fld1: physical register 7 */
	r.v->gpr[X86_RAX] = 0x1122334455667788;
	OK(&r, 0x48, 0x0f, 0x6e, 0xd8); /* movq mm3, rax */
	assert_int_equal(r.v->fpu.ftw, 0xff);
	assert_int_equal(fpu_top(&r.v->fpu), 0);
	assert_int_equal(ld64(r.v->fpu.st[3]), 0x1122334455667788);
	assert_int_equal(ld16(r.v->fpu.st[3] + 8), 0xffff);
	assert_int_equal(ld64(r.v->fpu.st[7]), 1ull << 63);
	OK(&r, 0x0f, 0xfc, 0xdb);       /* paddb mm3, mm3 */
	OK(&r, 0x48, 0x0f, 0x7e, 0xd9); /* movq rcx, mm3 */
	assert_int_equal(r.v->gpr[X86_RCX], 0x22446688aaccee10);
	/* maskmovq mm3, mm3: bytes whose sign is set. */
	r.v->gpr[X86_RDI] = DATA;
	put64(&r, DATA, 0);
	OK(&r, 0x0f, 0xf7, 0xdb);
	get(&r, DATA, &x, sizeof(x));
	assert_int_equal(x, 0x00000088aaccee00);
	OK(&r, 0x0f, 0x77); /* emms */
	assert_int_equal(r.v->fpu.ftw, 0);
	rig_fini(&r);
}

/* ---- SIMD exceptions ---- */

static void set_double(struct alc_vcpu *v, unsigned reg, double x)
{
	memcpy(v->fpu.vec[reg], &x, sizeof(x));
}

static void unmasked_simd_exceptions_leave_the_destination(void **state)
{
	struct rig r;
	u64 old;

	rig_init(&r, "max");
	set_double(r.v, 0, 1.0);
	set_double(r.v, 1, 0.0);
	old = r.v->fpu.vec[0][0];
	r.v->fpu.mxcsr = 0x1f80 & ~(EXC_ZE << 7);
	assert_int_equal(STEP(&r, 0xf2, 0x0f, 0x5e, 0xc1), X86_XM); /* divsd xmm0, xmm1 */
	assert_int_equal(r.v->fpu.mxcsr & EXC_ALL, EXC_ZE);
	assert_int_equal(r.v->fpu.vec[0][0], old);
	r.v->cr4 &= ~X86_CR4_OSXMMEXCPT;
	assert_int_equal(STEP(&r, 0xf2, 0x0f, 0x5e, 0xc1), X86_UD);
	r.v->cr4 |= X86_CR4_OSXMMEXCPT;
	/* Tiny but exact is an underflow only when that is unmasked. */
	r.v->fpu.vec[0][0] = 0x0010000000000000;
	set_double(r.v, 1, 0.5);
	r.v->fpu.mxcsr = 0x1f80;
	OK(&r, 0xf2, 0x0f, 0x59, 0xc1); /* mulsd xmm0, xmm1 */
	assert_int_equal(r.v->fpu.mxcsr & EXC_ALL, 0);
	r.v->fpu.vec[0][0] = 0x0010000000000000;
	r.v->fpu.mxcsr = 0x1f80 & ~(EXC_UE << 7);
	assert_int_equal(STEP(&r, 0xf2, 0x0f, 0x59, 0xc1), X86_XM);
	assert_int_equal(r.v->fpu.mxcsr & EXC_ALL, EXC_UE);
	assert_int_equal(r.v->fpu.vec[0][0], 0x0010000000000000);
	rig_fini(&r);
}

static void the_hosts_control_words_survive(void **state)
{
	u32 before, after;
	u16 cw;
	struct rig r;

	rig_init(&r, "max");
	r.v->fpu.mxcsr = 0x7f80; /* round to zero */
	r.v->fpu.fcw = 0xf7f;
	__asm__ volatile("stmxcsr %0" : "=m"(before));
	OK(&r, 0x0f, 0x58, 0xc1); /* addps xmm0, xmm1 */
	OK(&r, 0xd9, 0xe8);
	__asm__ volatile("stmxcsr %0\n\tfnstcw %1" : "=m"(after), "=m"(cw));
	assert_int_equal(before, after);
	assert_int_equal(cw, 0x37f);
	rig_fini(&r);
}

/* ---- Memory operands ---- */

static void operands_at_the_ends_of_pages(void **state)
{
	u64 before[2], after[2];
	struct rig r;

	rig_init(&r, "max");
	randomize_vectors(r.v);
	memcpy(before, r.v->fpu.vec[0], 16);
	r.v->gpr[X86_RSI] = READONLY - 8;
	assert_int_equal(STEP(&r, 0x0f, 0x11, 0x06), X86_PFV); /* movups [rsi], xmm0 */
	get(&r, READONLY - 8, after, 8);
	assert_int_equal(after[0], 0);
	OK(&r, 0x0f, 0x10, 0x06); /* movups xmm0, [rsi] */
	assert_int_equal(r.v->fpu.vec[0][0] | r.v->fpu.vec[0][1], 0);
	r.v->gpr[X86_RSI] = ABSENT - 8;
	memcpy(r.v->fpu.vec[0], before, 16);
	assert_int_equal(STEP(&r, 0x0f, 0x10, 0x06), X86_PFV);
	assert_int_equal(STEP(&r, 0xf3, 0x0f, 0x6f, 0x06), X86_PFV); /* movdqu */
	OK(&r, 0xf3, 0x0f, 0x7e, 0x0e);                              /* movq xmm1, [rsi] */
	OK(&r, 0x66, 0x0f, 0x38, 0x20, 0x0e); /* pmovsxbw xmm1, [rsi]: eight bytes */
	assert_memory_equal(before, r.v->fpu.vec[0], 16);
	/* Over two writable pages. */
	r.v->gpr[X86_RSI] = DATA + 0x1000 - 5;
	OK(&r, 0x0f, 0x11, 0x06);
	get(&r, DATA + 0x1000 - 5, after, 16);
	assert_memory_equal(before, after, 16);
	/* Aligned forms ask for alignment, before they ask for the page. */
	r.v->gpr[X86_RSI] = ABSENT + 8;
	assert_int_equal(STEP(&r, 0x0f, 0x28, 0x06), X86_GP);                 /* movaps */
	assert_int_equal(STEP(&r, 0x66, 0x0f, 0xfe, 0x06), X86_GP);           /* paddd */
	assert_int_equal(STEP(&r, 0xc5, 0xf9, 0xfe, 0x06), X86_PFV);          /* vpaddd */
	assert_int_equal(STEP(&r, 0xc5, 0xf8, 0x28, 0x06), X86_GP);           /* vmovaps */
	assert_int_equal(STEP(&r, 0x66, 0x0f, 0x3a, 0x63, 0x06, 0), X86_PFV); /* pcmpistri */
	rig_fini(&r);
}

static void masked_moves_skip_what_is_masked(void **state)
{
	u64 x[2];
	struct rig r;

	rig_init(&r, "max");
	randomize_vectors(r.v);
	put64(&r, ABSENT - 8, 0x1111111122222222);
	r.v->gpr[X86_RSI] = ABSENT - 8;
	r.v->fpu.vec[1][0] = 0x8000000080000000;
	r.v->fpu.vec[1][1] = 0x7fffffff00000000;
	OK(&r, 0xc4, 0xe2, 0x71, 0x2c, 0x06); /* vmaskmovps xmm0, xmm1, [rsi] */
	assert_int_equal(r.v->fpu.vec[0][0], 0x1111111122222222);
	assert_int_equal(r.v->fpu.vec[0][1] | r.v->fpu.vec[0][2] | r.v->fpu.vec[0][3], 0);
	r.v->fpu.vec[1][0] = 0x8000000000000000;
	r.v->fpu.vec[0][0] = 0x3333333344444444;
	OK(&r, 0xc4, 0xe2, 0x71, 0x2e, 0x06); /* vmaskmovps [rsi], xmm1, xmm0 */
	get(&r, ABSENT - 8, x, 8);
	assert_int_equal(x[0], 0x3333333322222222);
	/* All or nothing where a page is missing. */
	r.v->fpu.vec[1][1] = 0x80000000;
	r.v->fpu.vec[0][0] = 0;
	assert_int_equal(STEP(&r, 0xc4, 0xe2, 0x71, 0x2e, 0x06), X86_PFV);
	get(&r, ABSENT - 8, x, 8);
	assert_int_equal(x[0], 0x3333333322222222);
	rig_fini(&r);
}

static void gathers_go_on_where_they_faulted(void **state)
{
	static const i32 index[8] = {0, 4, -4, 2, ABSENT - DATA, 1, 3, -1};
	u32 *to, *mask;
	struct rig r;

	rig_init(&r, "max");
	randomize_vectors(r.v);
	for (u32 i = 0; i < 64; i++) {
		u32 x = 0x1000 + i;

		put(&r, DATA + 64 + 4 * i, &x, 4);
	}
	to = (u32 *)r.v->fpu.vec[0];
	mask = (u32 *)r.v->fpu.vec[2];
	memcpy(r.v->fpu.vec[1], index, sizeof(index));
	for (unsigned i = 0; i < 8; i++)
		mask[i] = i == 3 ? 0 : ~0u;
	to[3] = to[5] = 7;
	((i32 *)r.v->fpu.vec[1])[4] = (ABSENT - (DATA + 128)) / 4;
	r.v->gpr[X86_RSI] = DATA + 128; /* holds 0x1010 */
	/* vpgatherdd ymm0, [rsi + ymm1 * 4], ymm2 */
	assert_int_equal(STEP(&r, 0xc4, 0xe2, 0x6d, 0x90, 0x04, 0x8e), X86_PFV);
	assert_int_equal(to[0], 0x1010);
	assert_int_equal(to[1], 0x1014);
	assert_int_equal(to[2], 0x100c);
	assert_int_equal(to[3], 7);
	assert_int_equal(to[5], 7);
	assert_int_equal(mask[0] | mask[1] | mask[2] | mask[3], 0);
	assert_int_equal(mask[4] & mask[5] & mask[6] & mask[7], ~0u);
	mask[4] = 0;
	OK(&r, 0xc4, 0xe2, 0x6d, 0x90, 0x04, 0x8e);
	assert_int_equal(to[5], 0x1011);
	assert_int_equal(to[7], 0x100f);
	assert_int_equal(mask[5] | mask[6] | mask[7], 0);
	/* vgatherqps xmm0, [rsi + xmm1 * 8], xmm2: two elements, the rest cleared */
	r.v->fpu.vec[1][0] = 1;
	r.v->fpu.vec[1][1] = (u64)-1;
	r.v->fpu.vec[2][0] = ~0ull;
	OK(&r, 0xc4, 0xe2, 0x69, 0x93, 0x04, 0xce);
	assert_int_equal(r.v->fpu.vec[0][0], 0x0000100e00001012);
	assert_int_equal(r.v->fpu.vec[0][1] | r.v->fpu.vec[0][2] | r.v->fpu.vec[0][3], 0);
	/* Registers must differ. */
	assert_int_equal(STEP(&r, 0xc4, 0xe2, 0x7d, 0x90, 0x04, 0x8e), X86_UD);
	rig_fini(&r);
}

/* ---- Availability ---- */

static const u8 fld1[] = {0xd9, 0xe8}, paddb_mm[] = {0x0f, 0xfc, 0xc1},
		addps[] = {0x0f, 0x58, 0xc1}, vaddps[] = {0xc5, 0xf0, 0x58, 0xc2},
		fwait_[] = {0x9b}, crc32[] = {0xf2, 0x0f, 0x38, 0xf1, 0xc1},
		pabsb[] = {0x66, 0x0f, 0x38, 0x1c, 0xc1};
#define TRY(r, insn) step(r, insn, sizeof(insn))

static void control_bits_make_instructions_unavailable(void **state)
{
	struct rig r;

	rig_init(&r, "max");
	r.v->cr0 |= X86_CR0_TS;
	assert_int_equal(TRY(&r, fld1), X86_NM);
	assert_int_equal(TRY(&r, paddb_mm), X86_NM);
	assert_int_equal(TRY(&r, addps), X86_NM);
	assert_int_equal(TRY(&r, vaddps), X86_NM);
	assert_int_equal(TRY(&r, fwait_), X86_NM);
	assert_int_equal(TRY(&r, crc32), -1);
	r.v->cr0 &= ~X86_CR0_MP;
	assert_int_equal(TRY(&r, fwait_), -1);
	r.v->cr0 = (r.v->cr0 | X86_CR0_EM) & ~X86_CR0_TS;
	assert_int_equal(TRY(&r, fld1), X86_NM);
	assert_int_equal(TRY(&r, paddb_mm), X86_UD);
	assert_int_equal(TRY(&r, addps), X86_UD);
	assert_int_equal(TRY(&r, vaddps), -1);
	r.v->cr0 &= ~X86_CR0_EM;
	r.v->cr4 &= ~X86_CR4_OSFXSR;
	assert_int_equal(TRY(&r, addps), X86_UD);
	assert_int_equal(TRY(&r, paddb_mm), -1);
	r.v->cr4 = (r.v->cr4 | X86_CR4_OSFXSR) & ~X86_CR4_OSXSAVE;
	assert_int_equal(TRY(&r, addps), -1);
	assert_int_equal(TRY(&r, vaddps), X86_UD);
	r.v->cr4 |= X86_CR4_OSXSAVE;
	r.v->xcr0 = 3;
	assert_int_equal(TRY(&r, vaddps), X86_UD);
	rig_fini(&r);
}

static void what_cpuid_lacks_is_undefined(void **state)
{
	struct rig r;

	rig_init(&r, "x86-64-v1");
	assert_int_equal(TRY(&r, addps), -1);
	assert_int_equal(TRY(&r, pabsb), X86_UD);
	assert_int_equal(TRY(&r, vaddps), X86_UD);
	assert_int_equal(TRY(&r, crc32), X86_UD);
	rig_fini(&r);
}

/* ---- Other modes ---- */

static void vex_in_32_bit_code(void **state)
{
	struct rig r;

	rig_init(&r, "max");
	protected_mode(r.v);
	randomize_vectors(r.v);
	/* VEX.vvvv's high bit and, for VMOVD, W are ignored. */
	r.v->fpu.vec[1][0] = 5;
	r.v->fpu.vec[2][0] = 7;
	OK(&r, 0xc4, 0xe1, 0x31, 0xd4, 0xc2); /* vpaddq xmm0, xmm1 (9), xmm2 */
	assert_int_equal(r.v->fpu.vec[0][0], 12);
	assert_int_equal(r.v->fpu.vec[0][2] | r.v->fpu.vec[0][3], 0);
	r.v->gpr[X86_RCX] = 0x1122334455667788;
	OK(&r, 0xc4, 0xe1, 0xf9, 0x6e, 0xc1); /* vmovd xmm0, ecx */
	assert_int_equal(r.v->fpu.vec[0][0], 0x55667788);
	/* vblendvps xmm0, xmm1, xmm2, xmm3 (11) */
	r.v->fpu.vec[3][0] = 0x8000000000000000;
	r.v->fpu.vec[1][0] = 0x1111111111111111;
	r.v->fpu.vec[2][0] = 0x2222222222222222;
	OK(&r, 0xc4, 0xe3, 0x71, 0x4a, 0xc2, 0xb0);
	assert_int_equal(r.v->fpu.vec[0][0], 0x2222222211111111);
	rig_fini(&r);
}

/* Decodes, but isn't ours to run: Xeon Phi's, RSM. */
static bool is_foreign(const ZydisDecodedInstruction *z)
{
	return !strncmp(ZydisISASetGetString(z->meta.isa_set), "KNC", 3) ||
	       z->mnemonic == ZYDIS_MNEMONIC_TZCNTI || z->mnemonic == ZYDIS_MNEMONIC_RSM;
}

/*
 * Every opcode in every map, with every prefix and length: whatever the decoder takes for a
 * vector instruction, the host must be able to run.
 */
static void try_opcodes(struct rig *r, const u8 *head, unsigned len)
{
	static const u8 modrms[] = {0x06, 0xc1, 0x4e, 0xd8, 0xe5, 0x36, 0xfb, 0x2e};
	u8 code[16] = {0};

	if (len)
		memcpy(code, head, len);
	for (unsigned op = 0; op < 256; op++) {
		/* Of the one-byte opcodes those of x87. */
		if (!len && (op < 0xd8 || op > 0xdf))
			continue;
		for (unsigned m = 0; m < ARRAY_LEN(modrms); m++) {
			ZydisDecodedInstruction z;
			ZydisDecodedOperand o[ZYDIS_MAX_OPERAND_COUNT];
			struct interp *c = r->v->engine;
			unsigned dec = decoder_index(c->mode);

			code[len] = (u8)op;
			code[len + 1] = modrms[m];
			memset(code + len + 2, 0, 6);
			if (!ZYAN_SUCCESS(
				    ZydisDecoderDecodeFull(&c->decoder[dec], code, 15, &z, o)))
				continue;
			if (c->vm->rows[z.mnemonic])
				continue;
			r->v->gpr[X86_RSI] = r->v->gpr[X86_RDI] = DATA + 64;
			r->v->fpu.fsw = 0;
			r->v->fpu.mxcsr = 0x1f80;
			if (step(r, code, z.length) == -2)
				assert_true(is_foreign(&z));
		}
	}
}

static void try_legacy(struct rig *r, bool mode64)
{
	static const u8 maps[][3] = {{0x0f}, {0x0f, 0x38}, {0x0f, 0x3a}};
	static const u8 prefixes[] = {0, 0x66, 0xf2, 0xf3};

	try_opcodes(r, NULL, 0);
	for (unsigned map = 0; map < 3; map++)
		for (unsigned p = 0; p < 4; p++)
			for (unsigned w = 0; w < (mode64 ? 2 : 1); w++) {
				u8 head[8];
				unsigned n = 0;

				if (p)
					head[n++] = prefixes[p];
				if (w)
					head[n++] = 0x4d;
				memcpy(head + n, maps[map], map ? 2 : 1);
				try_opcodes(r, head, n + (map ? 2 : 1));
			}
}

static void try_vex(struct rig *r)
{
	static const u8 vvvv[] = {15, 13, 5};

	for (unsigned map = 1; map < 4; map++)
		for (unsigned rest = 0; rest < 16; rest++)
			for (unsigned v = 0; v < ARRAY_LEN(vvvv); v++) {
				u8 head[3] = {0xc4, (u8)(0xe0 | map),
					      (u8)((rest & 8) << 4 | vvvv[v] << 3 | (rest & 7))};

				try_opcodes(r, head, 3);
			}
}

static void the_host_can_run_whatever_decodes(void **state)
{
	struct rig r;
	u32 before;

	rig_init(&r, "max");
	before = store_of(&r)->ninsns;
	try_legacy(&r, true);
	try_vex(&r);
	assert_true(store_of(&r)->ninsns > before + 4000);
	protected_mode(r.v);
	interp_engine.set_state(r.v);
	try_legacy(&r, false);
	try_vex(&r);
	rig_fini(&r);
}

/* ---- The store of thunks ---- */

static void the_same_instruction_shares_a_thunk(void **state)
{
	struct rig r;
	u32 n;

	rig_init(&r, "max");
	OK(&r, 0x0f, 0x58, 0xc1);
	n = store_of(&r)->ninsns;
	OK(&r, 0x0f, 0x58, 0xc1);
	assert_int_equal(store_of(&r)->ninsns, n);
	r.v->gpr[X86_RSI] = r.v->gpr[X86_RBX] = DATA;
	OK(&r, 0x0f, 0x58, 0x06); /* addps xmm0, [rsi] */
	OK(&r, 0x0f, 0x58, 0x03); /* addps xmm0, [rbx] */
	assert_int_equal(store_of(&r)->ninsns, n + 1);
	rig_fini(&r);
}

static void a_full_store_is_emptied(void **state)
{
	struct rig r;

	rig_init(&r, "max");
	OK(&r, 0x0f, 0x58, 0xc1);
	store_of(&r)->used = SIMD_CODE_SIZE - 64;
	assert_true(simd_full(r.v->engine));
	OK(&r, 0x0f, 0x58, 0xc2);
	assert_false(simd_full(r.v->engine));
	OK(&r, 0x0f, 0x58, 0xc1);
	rig_fini(&r);
}

static int forbid_code(void *ctx, u64 size, struct alc_host_code *out)
{
	return -EPERM;
}

static void without_executable_memory_the_vm_stops_at_need(void **state)
{
	struct rig r;

	rig_init(&r, "max");
	interp_engine.vcpu_destroy(r.v);
	r.th.host.code_map = forbid_code;
	assert_int_equal(interp_engine.vcpu_create(r.vm, r.v, &r.err), 0);
	OK(&r, 0x0f, 0x28, 0xc1); /* movaps xmm0, xmm1: no thunk */
	assert_int_equal(STEP(&r, 0x0f, 0x58, 0xc1), -2);
	assert_int_equal(r.err.code, -EPERM);
	assert_non_null(strstr(r.err.text, "executable memory"));
	rig_fini(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fxsave_is_the_hosts),
		cmocka_unit_test(xsave_is_the_hosts),
		cmocka_unit_test(fnsave_is_the_hosts),
		cmocka_unit_test(images_must_be_aligned_and_valid),
		cmocka_unit_test(in_32_bit_code_eight_registers_are_saved),
		cmocka_unit_test(x87_exceptions_wait_for_the_next_instruction),
		cmocka_unit_test(x87_store_with_an_unmasked_exception_stores_nothing),
		cmocka_unit_test(mmx_registers_alias_the_stack),
		cmocka_unit_test(unmasked_simd_exceptions_leave_the_destination),
		cmocka_unit_test(the_hosts_control_words_survive),
		cmocka_unit_test(operands_at_the_ends_of_pages),
		cmocka_unit_test(masked_moves_skip_what_is_masked),
		cmocka_unit_test(gathers_go_on_where_they_faulted),
		cmocka_unit_test(control_bits_make_instructions_unavailable),
		cmocka_unit_test(what_cpuid_lacks_is_undefined),
		cmocka_unit_test(vex_in_32_bit_code),
		cmocka_unit_test(the_host_can_run_whatever_decodes),
		cmocka_unit_test(the_same_instruction_shares_a_thunk),
		cmocka_unit_test(a_full_store_is_emptied),
		cmocka_unit_test(without_executable_memory_the_vm_stops_at_need),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
