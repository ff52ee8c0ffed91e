/* SPDX-License-Identifier: BSD-2-Clause */
#include "virtio_driver.h"

extern const struct alc_dev_class virtio_rng_class;

static struct vd *begin(void)
{
	struct vd *d = malloc(sizeof(*d));

	assert_non_null(d);
	vd_init(d);
	vd_create(d, &virtio_rng_class, NULL, 0);
	vd_up(d, ~0ull, 1);
	return d;
}

static void end(struct vd *d)
{
	vd_fini(d);
	free(d);
}

static void fills_buffers(void **state)
{
	const struct vd_buf bufs[] = {{VD_DATA, 16, false}, /* odd, but allowed */
				      {VD_DATA + 0x100, 7, true},
				      {VD_DATA + 0x200, 64, true}};
	struct vd *d = begin();
	u8 first[64];
	unsigned same = 0;

	vd_add(d, 0, bufs, 3);
	vd_kick(d, 0);
	assert_int_equal(vd_done(d, 0), 71);
	memcpy(first, vd_mem(d, VD_DATA + 0x200), 64);
	assert_int_equal(ld64(vd_mem(d, VD_DATA)), 0); /* not to be written */
	assert_int_equal(*vd_mem(d, VD_DATA + 0x107), 0);
	vd_add(d, 0, bufs, 3);
	vd_kick(d, 0);
	assert_int_equal(vd_done(d, 0), 71);
	for (unsigned i = 0; i < 64; i++)
		same += first[i] == vd_mem(d, VD_DATA + 0x200)[i];
	assert_true(same < 8);
	end(d);
}

static void gives_no_more_than_its_share(void **state)
{
	const struct vd_buf bufs[] = {{VD_DATA, 60000, true}, {VD_DATA + 0x10000, 60000, true}};
	struct vd *d = begin();

	vd_add(d, 0, bufs, 2);
	vd_kick(d, 0);
	assert_int_equal(vd_done(d, 0), 65536);
	assert_int_equal(ld64(vd_mem(d, VD_DATA + 0x10000 + 65536 - 60000)), 0);
	end(d);
}

static void nothing_to_fill(void **state)
{
	const struct vd_buf buf = {VD_DATA, 16, false};
	struct vd *d = begin();

	vd_add(d, 0, &buf, 1);
	vd_kick(d, 0);
	assert_int_equal(vd_done(d, 0), 0);
	end(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fills_buffers),
		cmocka_unit_test(gives_no_more_than_its_share),
		cmocka_unit_test(nothing_to_fill),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
