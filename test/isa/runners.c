/* SPDX-License-Identifier: BSD-2-Clause */
#include "runner.h"
#include "silicon.h"

#include "guest.h"

static int again_create(const struct settings *settings, void **out, struct alc_err *err)
{
	return silicon_create(silicon_has("avx512f"), (struct silicon **)out, err);
}

static void again_destroy(void *ctx)
{
	silicon_destroy(ctx);
}

static int again_run(void *ctx, const struct isa_case *cases, struct case_outcome *out, unsigned n,
		     struct alc_err *err)
{
	return silicon_run(ctx, cases, out, n, err);
}

/* The host CPU once more: shows that cases have one outcome. */
static const struct runner silicon_again = {
	.name = "silicon",
	.create = again_create,
	.destroy = again_destroy,
	.run = again_run,
};

const struct runner *const runners[] = {
	&guest_interp, &guest_interp_run, &guest_translate, &silicon_again, NULL,
};
