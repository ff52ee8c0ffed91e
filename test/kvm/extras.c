/* SPDX-License-Identifier: BSD-2-Clause */
/* What KVM offers beside running: the log of written pages, shortcuts, options. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#include "vm/linux/vm_linux.h"

enum { LOAD_AT = 0x100000, CODE_OFF = 0x80, IMAGE_MAX = 0x200 };
enum { WRITTEN_A = 0x300000, WRITTEN_B = 0x305000, UNTOUCHED = 0x310000 };
enum { DOORBELL = 0x0d000000, VECTOR = 0x41 };

/* 32-bit code that a multiboot loader starts; all end by isa-debug-exit with value 0. */
static const u8 write_pages[] = {
	0xc7, 0x05, 0x00, 0x00, 0x30, 0x00, 1, 0, 0, 0, /* movl $1, WRITTEN_A */
	0xc7, 0x05, 0x08, 0x50, 0x30, 0x00, 1, 0, 0, 0, /* movl $1, WRITTEN_B + 8 */
	0x31, 0xc0, 0xe6, 0xf4, 0xeb, 0xfe,
};
static const u8 write_doorbell[] = {
	0xc7, 0x05, 0x00, 0x00, 0x00, 0x0d, 7, 0, 0, 0, /* movl $7, DOORBELL */
	0xc7, 0x05, 0x00, 0x00, 0x00, 0x0d, 7, 0, 0, 0, 0x31, 0xc0, 0xe6, 0xf4, 0xeb, 0xfe,
};
/* Rings, then waits until bit 1 of the local APIC's IRR for vectors 0x40 to 0x5f is set. */
static const u8 ring_and_await_irr[] = {
	0xc7, 0x05, 0x00, 0x00, 0x00, 0x0d, 7, 0, 0, 0, /* movl $7, DOORBELL */
	0xf7, 0x05, 0x20, 0x02, 0xe0, 0xfe, 2, 0, 0, 0, /* testl $2, 0xfee00220 */
	0x74, 0xf4,                                     /* jz back */
	0x31, 0xc0, 0xe6, 0xf4, 0xeb, 0xfe,
};

static void make_kernel(u8 out[IMAGE_MAX], const u8 *code, size_t len)
{
	static const u8 ident[] = {0x7f, 'E', 'L', 'F', 1, 1, 1};
	enum { MAGIC = 0x1badb002, MULTIBOOT_OFF = 0x60 };

	memset(out, 0, IMAGE_MAX);
	memcpy(out, ident, sizeof(ident));
	st16(out + 16, 2);
	st16(out + 18, 3);
	st32(out + 20, 1);
	st32(out + 24, LOAD_AT + CODE_OFF);
	st32(out + 28, 52);
	st16(out + 40, 52);
	st16(out + 42, 32);
	st16(out + 44, 1);
	st32(out + 52, 1);
	st32(out + 60, LOAD_AT);
	st32(out + 64, LOAD_AT);
	st32(out + 68, IMAGE_MAX);
	st32(out + 72, IMAGE_MAX);
	st32(out + 76, 7);
	st32(out + MULTIBOOT_OFF, MAGIC);
	st32(out + MULTIBOOT_OFF + 8, (u32)-MAGIC);
	memcpy(out + CODE_OFF, code, len);
}

/* ---- A machine ---------------------------------------------------------------------------- */

struct rig {
	u8 image[IMAGE_MAX];
	struct alc_host *host;
	struct machine *m;
	struct alc_desc desc;
};

static const struct alc_device_desc exit_device = {.class_name = "isa-debug-exit"};

static int try_open(struct rig *r, const char *engine, const u8 *code, size_t len,
		    struct alc_err *err)
{
	struct machine_parts parts = {.kernel = {"test", r->image, IMAGE_MAX},
				      .engines = linux_engines};

	make_kernel(r->image, code, len);
	r->desc = (struct alc_desc)ALC_DESC_INIT;
	r->desc.engine = engine;
	r->desc.memory_bytes = 16 << 20;
	r->desc.devices = &exit_device;
	r->desc.ndevices = 1;
	r->desc.timeout_ns = 60 * 1000000000ull;
	r->m = NULL;
	assert_int_equal(alc_host_open(&r->host, err), 0);
	return machine_create(r->host, &r->desc, &parts, &r->m, err);
}

static void close_rig(struct rig *r)
{
	machine_destroy(r->m);
	alc_host_close(r->host);
}

/* Skips, with the reason, where this host has no KVM (or not that part of it). */
static void open_rig(struct rig *r, const char *engine, const u8 *code, size_t len)
{
	struct alc_err err = {0};

	if (try_open(r, engine, code, len, &err)) {
		print_message("skipped: %s\n", err.text);
		close_rig(r);
		skip();
	}
}

static void run(struct rig *r)
{
	struct alc_err err = {0};
	struct alc_result res;

	if (machine_run(r->m, &res, &err))
		fail_msg("%s", err.text);
	assert_int_equal(res.outcome, ALC_OUTCOME_EXIT);
}

/* ---- Written pages ------------------------------------------------------------------------ */

static bool is_dirty(const u64 *bitmap, u64 gpa_v)
{
	return bitmap[gpa_v >> 18] >> (gpa_v >> 12 & 63) & 1;
}

static void take(struct rig *r, u64 bitmap[64])
{
	struct alc_err err = {0};

	if (r->m->engine->dirty_sync(r->m->engine_vm, &err))
		fail_msg("%s", err.text);
	space_take_dirty(&r->m->space, &r->m->space.banks[0], bitmap);
}

static void written_pages_by(const char *engine)
{
	struct alc_err err = {0};
	u64 bitmap[64];
	struct rig r;

	open_rig(&r, engine, write_pages, sizeof(write_pages));
	if (r.m->engine->dirty_log(r.m->engine_vm, true, &err))
		fail_msg("%s", err.text);
	take(&r, bitmap);
	run(&r);
	take(&r, bitmap);
	assert_true(is_dirty(bitmap, WRITTEN_A));
	assert_true(is_dirty(bitmap, WRITTEN_B));
	assert_false(is_dirty(bitmap, UNTOUCHED));
	take(&r, bitmap);
	assert_false(is_dirty(bitmap, WRITTEN_A));
	close_rig(&r);
}

static void bitmap_tells_written_pages(void **state)
{
	written_pages_by("kvm,dirty-log=bitmap");
}

static void ring_tells_written_pages(void **state)
{
	written_pages_by("kvm,dirty-log=ring");
}

/* ---- Shortcuts ---------------------------------------------------------------------------- */

static void doorbell_counts(void **state)
{
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	u64 count = 0;
	struct rig r;

	open_rig(&r, "kvm", write_doorbell, sizeof(write_doorbell));
	assert_int_equal(r.m->engine->fastpath->doorbell_add(r.m->engine_vm, gpa(DOORBELL), 4, fd),
			 0);
	run(&r);
	assert_int_equal(read(fd, &count, sizeof(count)), sizeof(count));
	assert_int_equal(count, 2);
	r.m->engine->fastpath->doorbell_remove(r.m->engine_vm, gpa(DOORBELL), 4, fd);
	close_rig(&r);
	close(fd);
}

/* One eventfd is both ends: what the guest writes comes back to it. */
static void eventfd_becomes_interrupt_with(const char *engine)
{
	const struct alc_msi msg = {.address = PC_LAPIC_BASE, .data = VECTOR};
	const struct alc_msi wrong = {.address = PC_LAPIC_BASE, .data = VECTOR + 1};
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	int other_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	const struct alc_fastpath_ops *ops;
	unsigned route = ~0u, other = ~0u;
	struct rig r;

	open_rig(&r, engine, ring_and_await_irr, sizeof(ring_and_await_irr));
	ops = r.m->engine->fastpath;
	assert_int_equal(ops->msi_add(r.m->engine_vm, other_fd, wrong, &other), 0);
	assert_int_equal(ops->msi_add(r.m->engine_vm, fd, msg, &route), 0);
	assert_int_not_equal(route, other);
	assert_int_equal(ops->msi_change(r.m->engine_vm, other, NULL), 0);
	assert_int_equal(ops->doorbell_add(r.m->engine_vm, gpa(DOORBELL), 4, fd), 0);
	run(&r);
	ops->msi_remove(r.m->engine_vm, route);
	assert_int_equal(ops->msi_change(r.m->engine_vm, route, &msg), -EINVAL);
	close_rig(&r);
	close(fd);
	close(other_fd);
}

static void eventfd_becomes_interrupt(void **state)
{
	eventfd_becomes_interrupt_with("kvm,irqchip=kernel");
	eventfd_becomes_interrupt_with("kvm,irqchip=split");
}

static void no_interrupt_without_controllers(void **state)
{
	unsigned route;
	struct rig r;

	open_rig(&r, "kvm,irqchip=user", write_pages, sizeof(write_pages));
	assert_int_equal(
		r.m->engine->fastpath->msi_add(r.m->engine_vm, 0, (struct alc_msi){0}, &route),
		-ENOTSUP);
	close_rig(&r);
}

/* ---- Options ------------------------------------------------------------------------------ */

static void refused(const char *engine, const char *sentence)
{
	struct alc_err err = {0};
	struct rig r;
	int rc = try_open(&r, engine, write_pages, sizeof(write_pages), &err);

	close_rig(&r);
	assert_int_equal(rc, -EINVAL);
	if (!strstr(err.text, sentence))
		fail_msg("'%s' should hold '%s'", err.text, sentence);
}

static void options_are_checked(void **state)
{
	struct rig r;

	open_rig(&r, "kvm", write_pages, sizeof(write_pages));
	close_rig(&r);
	refused("kvm,irqchip=none", "kernel, split or user, not 'none'");
	refused("kvm,dirty-log=x", "bitmap or ring, not 'x'");
	refused("kvm,colour=red", "no option 'colour'");
	refused("kvm,irqchip", "not KEY=VALUE");
	refused("kvm,irqchip=", "not KEY=VALUE");
	refused("interp,irqchip=user", "takes none");
	refused("auto,irqchip=user", "name it instead of 'auto'");
	refused("kvmx", "no engine 'kvmx'");
}

static void can_leave_only_without_controllers(void **state)
{
	struct alc_err err = {0};
	struct rig r;

	open_rig(&r, "kvm,irqchip=kernel", write_pages, sizeof(write_pages));
	assert_int_equal(move_engine(r.m, "interp", &err), -ENOTSUP);
	assert_non_null(strstr(err.text, "can't leave it"));
	run(&r);
	close_rig(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bitmap_tells_written_pages),
		cmocka_unit_test(ring_tells_written_pages),
		cmocka_unit_test(doorbell_counts),
		cmocka_unit_test(eventfd_becomes_interrupt),
		cmocka_unit_test(no_interrupt_without_controllers),
		cmocka_unit_test(options_are_checked),
		cmocka_unit_test(can_leave_only_without_controllers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
