/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alcazar/vm.h"
#include "engine/engine.h"
#include "engine/interp/step.h"
#include "guest.h"
#include "isa/cpuid.h"
#include "isa/vcpu.h"

/* Guest-physical layout. One page table serves: the window lies within 2 MB. */
enum {
	GPA_PML4 = 0x1000,
	GPA_PDPT = 0x2000,
	GPA_PD = 0x3000,
	GPA_PT = 0x4000,
	GPA_DATA = 0x10000,
	GPA_RO = GPA_DATA + CASE_DATA_SIZE,
	GPA_CODE = 0x20000,
	GUEST_RAM = 0x100000,
	/* More than any case needs that ends: REP iterations may count. */
	STEPS_MAX = 1000000,
};

#define PTE_P  BIT(0)
#define PTE_W  BIT(1)
#define PTE_U  BIT(2)
#define PTE_NX BIT(63)

struct guest {
	struct alc_host *host;
	struct alc_clock *clock;
	struct alc_space space;
	struct region_map ports;
	struct x86_platform plat;
	struct x86_cpuid_table cpuid;
	const struct alc_engine *engine;
	void *vm;
	struct alc_vcpu *v;
	struct alc_vcpu *vcpus[1];
};

static int no_interrupt(void *ctx)
{
	return -1;
}

static void no_eoi(void *ctx, u8 vector)
{
}

static void no_kick(void *ctx, struct alc_vcpu *v)
{
}

static int put_u64(struct guest *g, u64 at, u64 v)
{
	return space_load(&g->space, gpa(at), &v, sizeof(v));
}

static int map_pages(struct guest *g, u64 gva, u64 to, u64 size, u64 rights)
{
	int ret = 0;

	for (u64 off = 0; off < size && !ret; off += ALC_PAGE_SIZE)
		ret = put_u64(g, GPA_PT + ((gva + off) >> 12 & 511) * 8, (to + off) | rights);
	return ret;
}

static int make_tables(struct guest *g)
{
	const u64 table = PTE_P | PTE_W | PTE_U;
	u8 ro[CASE_RO_SIZE];
	int ret = put_u64(g, GPA_PML4 + (CASE_DATA >> 39 & 511) * 8, GPA_PDPT | table);

	case_fill_ro(ro);
	if (!ret)
		ret = put_u64(g, GPA_PDPT + (CASE_DATA >> 30 & 511) * 8, GPA_PD | table);
	if (!ret)
		ret = put_u64(g, GPA_PD + (CASE_DATA >> 21 & 511) * 8, GPA_PT | table);
	if (!ret)
		ret = map_pages(g, CASE_DATA, GPA_DATA, CASE_DATA_SIZE, table | PTE_NX);
	if (!ret)
		ret = map_pages(g, CASE_RO, GPA_RO, CASE_RO_SIZE, PTE_P | PTE_U | PTE_NX);
	if (!ret)
		ret = map_pages(g, CASE_CODE, GPA_CODE, CASE_CODE_SIZE, table);
	return ret ? ret : space_load(&g->space, gpa(GPA_RO), ro, sizeof(ro));
}

/* Flat segments and control registers as Linux has them while a 64-bit process runs. */
static void enter_user_mode(struct alc_vcpu *v)
{
	const u16 data = X86_SEG_P | X86_SEG_DPL | X86_SEG_S | X86_SEG_RW | X86_SEG_ACCESSED |
			 X86_SEG_DB | X86_SEG_G;
	const u16 code = X86_SEG_P | X86_SEG_DPL | X86_SEG_S | X86_SEG_CODE | X86_SEG_RW |
			 X86_SEG_ACCESSED | X86_SEG_L | X86_SEG_G;

	memset(v->seg, 0, sizeof(v->seg));
	v->seg[X86_CS] = (struct x86_seg){.limit = ~0u, .sel = CASE_CS, .attr = code};
	v->seg[X86_SS] = (struct x86_seg){.limit = ~0u, .sel = CASE_SS, .attr = data};
	v->tr = (struct x86_seg){0}; /* no TSS: no I/O permission bitmap either */
	v->cpl = 3;
	v->cr0 = X86_CR0_PE | X86_CR0_MP | X86_CR0_ET | X86_CR0_NE | X86_CR0_WP | X86_CR0_AM |
		 X86_CR0_PG;
	v->cr3 = GPA_PML4;
	v->cr4 = X86_CR4_DE | X86_CR4_PSE | X86_CR4_PAE | X86_CR4_PGE | X86_CR4_OSFXSR |
		 X86_CR4_OSXMMEXCPT | X86_CR4_FSGSBASE | X86_CR4_OSXSAVE | X86_CR4_SMEP |
		 X86_CR4_SMAP | X86_CR4_UMIP;
	v->efer = X86_EFER_SCE | X86_EFER_LME | X86_EFER_LMA | X86_EFER_NXE;
	v->xcr0 = 7;
	v->activity = X86_RUNNING;
}

static const struct alc_engine *engine_named(const char *name)
{
	for (const struct alc_engine *const *e = alc_engines; *e; e++)
		if (!strcmp((*e)->name, name))
			return *e;
	return NULL;
}

static void guest_destroy(void *ctx)
{
	struct guest *g = ctx;

	if (!g)
		return;
	if (g->v && g->vm)
		g->engine->vcpu_destroy(g->v);
	vcpu_destroy(g->v);
	if (g->vm)
		g->engine->vm_destroy(g->vm);
	if (g->host) {
		region_map_fini(&g->ports);
		space_fini(&g->space);
	}
	clock_destroy(g->clock);
	alc_host_close(g->host);
	free(g);
}

static int make_platform(struct guest *g, struct alc_err *err)
{
	int ret = alc_host_open(&g->host, err);

	if (!ret)
		ret = clock_create(g->host, &g->clock);
	if (ret)
		return alc_fail(err, ret, "can't open the host");
	region_map_init(&g->ports, g->host);
	ret = space_init(&g->space, g->host, GUEST_RAM, err);
	if (!ret)
		ret = space_add_bank(&g->space, gpa(0), GUEST_RAM, false, err);
	if (!ret)
		ret = cpuid_table_init(&g->cpuid, "default", 1, 1000000000, err);
	g->plat = (struct x86_platform){
		.host = g->host,
		.clock = g->clock,
		.space = &g->space,
		.ports = &g->ports,
		.tsc_hz = 1000000000,
		.pic_ack = no_interrupt,
		.eoi = no_eoi,
		.kick = no_kick,
		.vcpus = g->vcpus,
		.nvcpus = 1,
	};
	return ret;
}

static int make_vcpu(struct guest *g, struct alc_err *err)
{
	int ret = g->engine->vm_create(&g->plat, &g->vm, err);

	if (!ret)
		ret = vcpu_create(&g->plat, 0, &g->cpuid, &g->v, err);
	if (ret)
		return ret;
	g->vcpus[0] = g->v;
	return g->engine->vcpu_create(g->vm, g->v, err);
}

static int guest_create(const char *engine, void **out, struct alc_err *err)
{
	struct guest *g = calloc(1, sizeof(*g));
	int ret;

	if (!g)
		return alc_fail(err, -ENOMEM, "out of memory");
	g->engine = engine_named(engine);
	ret = g->engine ? make_platform(g, err) : alc_fail(err, -ENOENT, "no engine '%s'", engine);
	if (!ret)
		ret = make_tables(g);
	if (!ret)
		ret = make_vcpu(g, err);
	if (ret) {
		guest_destroy(g);
		return alc_fail(err, ret, "can't make the guest");
	}
	*out = g;
	return 0;
}

static void load_state(struct alc_vcpu *v, const struct case_state *in)
{
	enter_user_mode(v);
	memcpy(v->gpr, in->gpr, sizeof(in->gpr));
	v->rip = in->rip;
	v->rflags = in->rflags;
	v->seg[X86_FS].base = in->fs_base;
	v->seg[X86_GS].base = in->gs_base;
	for (unsigned i = 0; i < 16; i++)
		memcpy(v->fpu.vec[i], in->vec[i], sizeof(in->vec[i]));
	memcpy(v->fpu.st, in->st, sizeof(in->st));
	v->fpu.fcw = in->fcw;
	v->fpu.fsw = in->fsw;
	v->fpu.ftw = in->ftw;
	v->fpu.fop = in->fop;
	v->fpu.fip = in->fip;
	v->fpu.fdp = in->fdp;
	v->fpu.mxcsr = in->mxcsr;
}

static void save_state(const struct alc_vcpu *v, struct case_state *out)
{
	memset(out, 0, sizeof(*out));
	memcpy(out->gpr, v->gpr, sizeof(out->gpr));
	out->rip = v->rip;
	out->rflags = v->rflags;
	out->fs_base = v->seg[X86_FS].base;
	out->gs_base = v->seg[X86_GS].base;
	for (unsigned i = 0; i < 16; i++)
		memcpy(out->vec[i], v->fpu.vec[i], sizeof(out->vec[i]));
	for (unsigned i = 0; i < 8; i++)
		memcpy(out->st[i], v->fpu.st[i], 10);
	out->fcw = v->fpu.fcw;
	out->fsw = v->fpu.fsw;
	out->ftw = v->fpu.ftw;
	out->fop = v->fpu.fop;
	out->fip = v->fpu.fip;
	out->fdp = v->fpu.fdp;
	out->mxcsr = v->fpu.mxcsr;
}

static int run_one(struct guest *g, const struct isa_case *c, struct case_outcome *o,
		   struct alc_err *err)
{
	struct alc_err why = {0};
	enum alc_exit exit;
	bool faulted = false;
	int ret;

	memset(&o->fault, 0, sizeof(o->fault));
	o->why[0] = 0;
	case_fill(c, o->data, o->code);
	ret = space_copy_out(&g->space, gpa(GPA_DATA), o->data, sizeof(o->data));
	if (!ret)
		ret = space_copy_out(&g->space, gpa(GPA_CODE), o->code, sizeof(o->code));
	if (ret)
		return alc_fail(err, ret, "the window is not in the guest's RAM");
	load_state(g->v, &c->in);
	g->engine->set_state(g->v);
	exit = interp_step(g->v, STEPS_MAX, &o->fault, &faulted, &why);
	o->end = faulted ? CASE_FAULT : CASE_TIMEOUT;
	if (exit == ALC_EXIT_ERROR) {
		o->end = CASE_LOST;
		snprintf(o->why, sizeof(o->why), "%s", why.text);
	}
	save_state(g->v, &o->out);
	/* As the native runner reports it: INT3 at itself. */
	if (faulted && o->fault.vector == X86_BP)
		o->out.rip--;
	ret = space_copy_in(&g->space, gpa(GPA_DATA), o->data, sizeof(o->data));
	return ret ? ret : space_copy_in(&g->space, gpa(GPA_CODE), o->code, sizeof(o->code));
}

static int guest_run(void *ctx, const struct isa_case *cases, struct case_outcome *out, unsigned n,
		     struct alc_err *err)
{
	for (unsigned i = 0; i < n; i++) {
		int ret = run_one(ctx, &cases[i], &out[i], err);

		if (ret)
			return ret;
	}
	return 0;
}

static bool guest_has(const char *feature)
{
	static const struct {
		enum x86_feature id;
		const char *name;
	} names[] = {
#define FEATURE(id, leaf, subleaf, reg, bit, text) {X86_FEAT_##id, text},
#include "isa/features.inc"
#undef FEATURE
	};
	static struct x86_cpuid_table table;

	if (!table.profile && cpuid_table_init(&table, "default", 1, 1000000000, NULL))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (!strcmp(names[i].name, feature))
			return cpuid_has(&table, names[i].id);
	return false;
}

static int create_interp(void **out, struct alc_err *err)
{
	return guest_create("interp", out, err);
}

const struct runner guest_interp = {
	.name = "interp",
	.create = create_interp,
	.destroy = guest_destroy,
	.run = guest_run,
	.has = guest_has,
};
