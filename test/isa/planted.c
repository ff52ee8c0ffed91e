/* SPDX-License-Identifier: BSD-2-Clause */
#include "block_run.h"
#include "planted.h"

static int planted_vm_create(const struct x86_platform *plat, void **out, struct alc_err *err)
{
	return interp_engine.vm_create(plat, out, err);
}

static void planted_vm_destroy(void *vm)
{
	interp_engine.vm_destroy(vm);
}

static int planted_vcpu_create(void *vm, struct alc_vcpu *v, struct alc_err *err)
{
	return interp_engine.vcpu_create(vm, v, err);
}

static void planted_vcpu_destroy(struct alc_vcpu *v)
{
	interp_engine.vcpu_destroy(v);
}

static void planted_set_state(struct alc_vcpu *v)
{
	interp_engine.set_state(v);
}

static void planted_invalidate(void *vm, alc_gpa base, u64 len)
{
	interp_engine.invalidate(vm, base, len);
}

static bool has_xadd(const struct alc_vcpu *v)
{
	u64 pte = space_read(v->plat->space, gpa(GPA_WINDOW + PG_CODE * 8), 8);
	u64 page = pte & 0xffffff000;

	for (u64 at = page; at < page + ALC_PAGE_SIZE - 1; at++)
		if (space_read(v->plat->space, gpa(at), 2) == 0xc10f)
			return true;
	return false;
}

static enum alc_exit planted_run(struct alc_vcpu *v, struct alc_err *err)
{
	enum alc_exit exit = interp_engine.run(v, err);
	const u64 flags_at = 16; /* in the frame */
	u64 frame = v->gpr[X86_RSP] - KERNEL_VA + flags_at;

	if (exit == ALC_EXIT_HALT && has_xadd(v))
		space_write(v->plat->space, gpa(frame),
			    space_read(v->plat->space, gpa(frame), 8) ^ X86_ZF, 8);
	return exit;
}

const struct alc_engine planted_engine = {
	.name = "planted",
	.summary = "the interpreter with a fault",
	.vm_create = planted_vm_create,
	.vm_destroy = planted_vm_destroy,
	.vcpu_create = planted_vcpu_create,
	.vcpu_destroy = planted_vcpu_destroy,
	.run = planted_run,
	.set_state = planted_set_state,
	.invalidate = planted_invalidate,
};
