/* SPDX-License-Identifier: BSD-2-Clause */
/* Images against the host's own: the same state must give the same bytes, and be taken alike. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "fx_image.h"
#include "isa/cpuid.h"
#include "isa/fpu.h"

enum { HOST_TRIES = 100, ROUNDS = 2000 };

/* Components that the host has where we place them. */
static u64 all = X86_XCR0_X87 | X86_XCR0_SSE | X86_XCR0_AVX;

struct area {
	_Alignas(64) u8 b[X86_XSAVE_MAX];
};

static u64 next_random(u64 *s)
{
	*s = *s * 6364136223846793005ull + 1442695040888963407ull;
	return *s ^ *s >> 29;
}

static bool host_has(enum x86_feature f)
{
	u64 features[(X86_FEATURES + 63) / 64];

	cpuid_host_features(features);
	return features[f / 64] >> (f % 64) & 1;
}

/* Random, but with numbers of every class in the stack and a legal MXCSR. */
static void random_image(struct area *a, u64 *seed)
{
	for (unsigned i = 0; i < sizeof(a->b); i += 8)
		st64(a->b + i, next_random(seed));
	for (unsigned i = 0; i < 8; i++) {
		u8 *st = a->b + 32 + 16 * i;

		switch (next_random(seed) % 5) {
		case 0:
			memset(st, 0, 8);
			break;
		case 1:
			st16(st + 8, 0);
			break;
		case 2:
			st16(st + 8, 0x7fff);
			break;
		}
	}
	st32(a->b + 24, ld32(a->b + 24) & 0xffff);
	/* CPUs differ in what they keep of a FIP that isn't canonical. */
	st64(a->b + 8, (u64)((i64)(ld64(a->b + 8) << 16) >> 16));
	memset(a->b + 512, 0, 64);
}

/* The test's own state is kept aside while the host's registers are borrowed. */
static void host_fx(const struct area *in, struct area *out, bool rexw)
{
	struct area keep;

	if (rexw)
		__asm__ volatile("fxsave64 %2; fxrstor64 %1; fxsave64 %0; fxrstor64 %2"
				 : "+m"(*out)
				 : "m"(*in), "m"(keep)
				 : "memory");
	else
		__asm__ volatile("fxsave64 %2; fxrstor %1; fxsave %0; fxrstor64 %2"
				 : "+m"(*out)
				 : "m"(*in), "m"(keep)
				 : "memory");
}

static void host_env(const struct area *in, u8 *env)
{
	struct area keep;

	__asm__ volatile("fxsave64 %2; fxrstor64 %1; fnstenv %0; fxrstor64 %2"
			 : "=m"(*(u8(*)[28])env)
			 : "m"(*in), "m"(keep)
			 : "memory");
}

/* Restores `in` with in_rfbm, then saves into `out` by one of the forms with out_rfbm. */
static void host_x(const struct area *in, u64 in_rfbm, struct area *out, u64 out_rfbm,
		   enum x86_xsave_form form)
{
	struct area keep = {0};
	u32 eax = (u32)all;

#define SEQUENCE(save)                                                                             \
	__asm__ volatile(                                                                          \
		"xsave64 (%[keep])\n\t"                                                            \
		"mov %[in_rfbm], %%eax\n\txrstor64 (%[in])\n\t"                                    \
		"mov %[out_rfbm], %%eax\n\t" save " (%[out])\n\t"                                  \
		"mov %[all], %%eax\n\txrstor64 (%[keep])"                                          \
		: "+&a"(eax)                                                                       \
		: [keep] "r"(keep.b), [in] "r"(in->b), [out] "r"(out->b),                          \
		  [in_rfbm] "r"((u32)in_rfbm), [out_rfbm] "r"((u32)out_rfbm), [all] "r"((u32)all), \
		  "d"(0)                                                                           \
		: "memory")
	switch (form) {
	case X86_XSAVE:
		SEQUENCE("xsave64");
		break;
	case X86_XSAVEOPT:
		SEQUENCE("xsaveopt64");
		break;
	case X86_XSAVEC:
		SEQUENCE("xsavec64");
		break;
	}
#undef SEQUENCE
}

/* What a test lets the host's registers be saved into, from the same bytes each time. */
struct host_save {
	const struct area *in;
	const struct area *before;
	u64 rfbm;
	enum x86_xsave_form form;
	bool rexw;
};

/*
 * What comes between on the host, its kernel or its hypervisor, saves and restores the registers by
 * rules of its own: a component in its initial configuration may be in use after it, and AMD's CPUs
 * keep FIP, FDP and FOP only if an exception is pending. What differs gets other chances.
 */
static void assert_as_host(void (*save)(const struct host_save *how, struct area *out),
			   const struct host_save *how, const struct area *ours, size_t size)
{
	struct area host;

	for (unsigned i = 0; i < HOST_TRIES; i++) {
		host = *how->before;
		save(how, &host);
		if (!memcmp(ours->b, host.b, size))
			return;
	}
	assert_memory_equal(ours->b, host.b, size);
}

static void save_fx(const struct host_save *how, struct area *out)
{
	host_fx(how->in, out, how->rexw);
	/* What came in as FCS and FDS is the one thing older hosts keep. */
	if (!how->rexw && !host_has(X86_FEAT_ZERO_FCS_FDS)) {
		st16(out->b + 12, 0);
		st16(out->b + 20, 0);
	}
	fx_image_level(out->b);
}

static void fxsave_image(void **state)
{
	u64 seed = 1;

	for (unsigned n = 0; n < ROUNDS; n++) {
		struct area in, before, ours;
		struct host_save how = {.in = &in, .before = &before, .rexw = n & 1};
		struct x86_fpu f;

		random_image(&in, &seed);
		random_image(&before, &seed);
		ours = before;
		fpu_reset(&f);
		assert_int_equal(fpu_fxrstor(&f, in.b, how.rexw), 0);
		fpu_fxsave(&f, ours.b, how.rexw);
		fx_image_level(ours.b);
		assert_as_host(save_fx, &how, &ours, X86_FXSAVE_SIZE);
	}
}

static void fxrstor_reserved_mxcsr(void **state)
{
	struct area in = {0};
	struct x86_fpu f, before;

	fpu_reset(&f);
	before = f;
	st32(in.b + 24, 0x10000);
	assert_int_equal(fpu_fxrstor(&f, in.b, true), 1);
	assert_memory_equal(&f, &before, sizeof(f));
}

/* The bits of FOP above the field are undefined, and FDS is not compared. */
static void level_env(struct area *env)
{
	st16(env->b + 18, ld16(env->b + 18) & 0x7ff);
	st32(env->b + 24, 0);
}

static void save_env(const struct host_save *how, struct area *out)
{
	host_env(how->in, out->b);
	level_env(out);
}

static void environment_image(void **state)
{
	static const struct area before;
	u64 seed = 2;

	for (unsigned n = 0; n < ROUNDS; n++) {
		struct area in, ours;
		struct host_save how = {.in = &in, .before = &before};
		struct x86_fpu f, g;

		random_image(&in, &seed);
		fpu_reset(&f);
		assert_int_equal(fpu_fxrstor(&f, in.b, true), 0);
		fpu_store_env(&f, ours.b, 4, true);
		assert_int_equal(ld16(ours.b + 18) & ~0x7ff, 0);
		level_env(&ours);
		assert_as_host(save_env, &how, &ours, fpu_env_size(4));
		/* And back, with the stack turned by a different TOP on the way. */
		g = f;
		fpu_fninit(&g);
		fpu_load_env(&g, ours.b, 4, true);
		assert_memory_equal(g.st, f.st, sizeof(f.st));
		assert_int_equal(g.fsw, f.fsw);
		assert_int_equal(g.fcw, f.fcw);
		assert_int_equal(g.ftw, f.ftw);
		assert_int_equal(g.fop, f.fop);
		assert_int_equal(g.fip, (u32)f.fip);
	}
}

/* Pointers survive the layouts as far as these have bits for them. */
static void environment_layouts(void **state)
{
	static const struct {
		unsigned opsize;
		bool protected_mode;
		u32 pointer_bits, fop_bits;
		unsigned size;
	} cases[] = {
		{2, true, 0xffff, 0, 14},
		{2, false, 0xfffff, 0x7ff, 14},
		{4, true, 0xffffffff, 0x7ff, 28},
		{4, false, 0xffffffff, 0x7ff, 28},
	};

	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		struct x86_fpu f, g;
		u8 env[28];

		fpu_reset(&f);
		f.fip = 0x89abcdef;
		f.fdp = 0x76543210;
		f.fop = 0x5a5;
		fpu_store_env(&f, env, cases[i].opsize, cases[i].protected_mode);
		fpu_reset(&g);
		fpu_load_env(&g, env, cases[i].opsize, cases[i].protected_mode);
		assert_int_equal(g.fip, f.fip & cases[i].pointer_bits);
		assert_int_equal(g.fdp, f.fdp & cases[i].pointer_bits);
		assert_int_equal(g.fop, f.fop & cases[i].fop_bits);
		assert_int_equal(fpu_env_size(cases[i].opsize), cases[i].size);
	}
}

static void save_x(const struct host_save *how, struct area *out)
{
	host_x(how->in, all, out, how->rfbm, how->form);
	fx_image_level(out->b);
}

/* By the sizes of AVX, k0-7, ZMM_Hi256 and Hi16_ZMM, and where each ends in the standard form. */
static u32 expected_size(u64 rfbm, enum x86_xsave_form form)
{
	static const struct {
		u64 bit;
		u32 size, end;
	} parts[] = {{4, 256, 832}, {0x20, 64, 1152}, {0x40, 512, 1664}, {0x80, 1024, 2688}};
	u32 size = 576;

	for (unsigned i = 0; i < ARRAY_LEN(parts); i++)
		if (rfbm & parts[i].bit)
			size = form == X86_XSAVEC ? size + parts[i].size : parts[i].end;
	return size;
}

/* Random restores and saves in all forms; both start from the same full state. */
static void xsave_image(void **state)
{
	static const enum x86_xsave_form forms[] = {X86_XSAVE, X86_XSAVEOPT, X86_XSAVEC};
	u64 seed = 3;

	if (!host_has(X86_FEAT_AVX) || !host_has(X86_FEAT_XSAVEC) || !host_has(X86_FEAT_XSAVEOPT))
		skip();
	for (unsigned n = 0; n < ROUNDS; n++) {
		u64 rfbm = next_random(&seed) & all, bv = next_random(&seed) & all;
		struct area in, before, ours;
		struct host_save how = {.in = &in,
					.before = &before,
					.rfbm = rfbm,
					.form = forms[n % ARRAY_LEN(forms)]};
		struct x86_fpu f;
		u32 size;

		random_image(&in, &seed);
		/* The header's other bytes are read by XRSTOR alone. */
		random_image(&before, &seed);
		st64(before.b + 512, next_random(&seed) & all);
		st64(before.b + 520, next_random(&seed));
		ours = before;
		st64(in.b + 512, bv);
		if (n & 1)
			st64(in.b + 520, BIT(63) | all);
		fpu_reset(&f);
		assert_int_equal(fpu_xrstor(&f, in.b, all, all, true), 0);
		size = fpu_xsave(&f, ours.b, rfbm, how.form, true);
		fx_image_level(ours.b);
		assert_int_equal(size, expected_size(rfbm, how.form));
		assert_as_host(save_x, &how, &ours, size);
	}
}

/*
 * Where components are: in the standard form where Intel's CPUs have them, in the compacted form
 * one behind the other (SDM vol. 1 13.4.2 and 13.4.3). Hosts of AMD's have AVX-512 elsewhere.
 */
static void xsave_offsets(void **state)
{
	static const struct {
		u64 components;
		u32 at[4]; /* of AVX, k0-7, ZMM_Hi256 and Hi16_ZMM; 0: not there */
		bool compacted;
	} cases[] = {
		{0xe7, {576, 1088, 1152, 1664}, false}, {0xe7, {576, 832, 896, 1408}, true},
		{0xe3, {0, 576, 640, 1152}, true},      {0xa4, {576, 832, 0, 896}, true},
		{0x80, {0, 0, 0, 576}, true},
	};
	static const u8 numbers[4] = {2, 5, 6, 7};

	for (unsigned i = 0; i < ARRAY_LEN(cases); i++)
		for (unsigned k = 0; k < 4; k++)
			if (cases[i].at[k])
				assert_int_equal(fpu_xsave_offset(numbers[k], cases[i].components,
								  cases[i].compacted),
						 cases[i].at[k]);
}

/* The next set of components that are all there; more than all of them after the last. */
static u64 next_subset(u64 set)
{
	do
		set++;
	while (set <= all && set & ~all);
	return set;
}

/* What is requested is loaded or initialised; the rest stays. */
static void xrstor_components(void **state)
{
	u64 seed = 4;

	for (u64 rfbm = 0; rfbm <= all; rfbm = next_subset(rfbm)) {
		for (u64 bv = 0; bv <= all; bv = next_subset(bv)) {
			struct area first, second;
			struct x86_fpu f, full, next;

			random_image(&first, &seed);
			random_image(&second, &seed);
			st64(first.b + 512, all);
			st64(second.b + 512, bv);
			fpu_reset(&full);
			assert_int_equal(fpu_xrstor(&full, first.b, all, all, true), 0);
			fpu_reset(&next);
			assert_int_equal(fpu_xrstor(&next, second.b, all, all, true), 0);
			f = full;
			assert_int_equal(fpu_xrstor(&f, second.b, rfbm, all, true), 0);
			assert_memory_equal(f.st, rfbm & 1 ? next.st : full.st, sizeof(f.st));
			assert_int_equal(f.fcw, (rfbm & 1 ? next : full).fcw);
			assert_int_equal(f.vec[3][1], (rfbm & 2 ? next : full).vec[3][1]);
			assert_int_equal(f.vec[3][3], (rfbm & 4 ? next : full).vec[3][3]);
			assert_int_equal(f.k[5], (rfbm & 0x20 ? next : full).k[5]);
			assert_int_equal(f.vec[9][6], (rfbm & 0x40 ? next : full).vec[9][6]);
			assert_int_equal(f.vec[29][1], (rfbm & 0x80 ? next : full).vec[29][1]);
			assert_int_equal(f.mxcsr, (rfbm & 6 ? next : full).mxcsr);
			assert_int_equal(fpu_xinuse(&next), bv);
		}
	}
}

static void xrstor_faults(void **state)
{
	static const struct {
		u64 bv, comp;
		unsigned dirty; /* header byte set to 1, if not 0 */
		u64 xcr0;
		u32 mxcsr;
		u64 rfbm;
		int fault;
	} cases[] = {
		{7, 0, 0, 7, 0x1f80, 7, 0},
		{8, 0, 0, 7, 0x1f80, 7, 1},
		{4, 0, 0, 3, 0x1f80, 3, 1},
		{7, 1, 0, 7, 0x1f80, 7, 1},
		{7, 0, 16, 7, 0x1f80, 7, 1},
		{7, 0, 24, 7, 0x1f80, 7, 0},
		{7, BIT(63) | 7, 24, 7, 0x1f80, 7, 1},
		{7, BIT(63) | 7, 0, 7, 0x1f80, 7, 0},
		{7, BIT(63) | 3, 0, 7, 0x1f80, 7, 1},
		{3, BIT(63) | 0xb, 0, 7, 0x1f80, 7, 1},
		{0, 0, 0, 7, 0x10000, 2, 1},
		{0, 0, 0, 7, 0x10000, 4, 1},
		{7, 0, 0, 7, 0x10000, 1, 0},
		{1, BIT(63) | 7, 0, 7, 0x10000, 7, 0},
		{2, BIT(63) | 7, 0, 7, 0x10000, 7, 1},
		{2, BIT(63) | 7, 0, 7, 0x10000, 4, 0},
	};

	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		struct area in = {0};
		struct x86_fpu f, before;

		st32(in.b + 24, cases[i].mxcsr);
		st64(in.b + 512, cases[i].bv);
		st64(in.b + 520, cases[i].comp);
		if (cases[i].dirty)
			in.b[512 + cases[i].dirty] = 1;
		fpu_reset(&f);
		f.vec[5][2] = 77;
		before = f;
		assert_int_equal(fpu_xrstor(&f, in.b, cases[i].rfbm, cases[i].xcr0, true),
				 cases[i].fault);
		if (cases[i].fault)
			assert_memory_equal(&f, &before, sizeof(f));
	}
}

static void fninit_keeps_registers(void **state)
{
	struct x86_fpu f;

	fpu_reset(&f);
	f.fsw = 3 << 11;
	for (u8 i = 0; i < 8; i++)
		f.st[i][0] = i;
	fpu_fninit(&f);
	/* ST(0) was physical register 3, and is ST(3) with TOP at 0. */
	for (u8 i = 0; i < 8; i++)
		assert_int_equal(f.st[(i + 3) & 7][0], i);
	assert_int_equal(f.fcw, 0x37f);
	assert_int_equal(f.ftw, 0);
}

static bool host_places_avx512(void)
{
	u32 a = 0xd, b, c = 5, d;

	__asm__("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
	return b == fpu_xsave_offset(5, 0, false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fxsave_image),
		cmocka_unit_test(fxrstor_reserved_mxcsr),
		cmocka_unit_test(environment_image),
		cmocka_unit_test(environment_layouts),
		cmocka_unit_test(xsave_image),
		cmocka_unit_test(xsave_offsets),
		cmocka_unit_test(xrstor_components),
		cmocka_unit_test(xrstor_faults),
		cmocka_unit_test(fninit_keeps_registers),
	};

	if (host_has(X86_FEAT_AVX512F) && host_places_avx512())
		all |= X86_XCR0_AVX512;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
