/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Every device class under a stream of accesses, passing time, input, resets and snapshots, each
 * as the bytes say; snapshots are the fuzzer's own as often as the device's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "catalog/catalog.h"
#include "conform/rig.h"
#include "host/test/test_host.h"

static struct test_host th;

struct input {
	const u8 *bytes;
	size_t len;
};

static u64 take(struct input *in, unsigned size)
{
	u64 v = 0;

	for (unsigned i = 0; i < size && in->len; i++, in->len--)
		v |= (u64)*in->bytes++ << (8 * i);
	return v;
}

static unsigned count_regions(const struct alc_dev_class *cls)
{
	unsigned n = 0;

	while (cls->regions && cls->regions[n].name)
		n++;
	return n;
}

static void access_register(struct rig *r, struct input *in, bool write)
{
	unsigned n = count_regions(r->dev->cls), region = (unsigned)take(in, 1), size;
	u64 off;

	if (!n)
		return;
	region %= n;
	size = 1u << (take(in, 1) & 3);
	off = take(in, 2) % (r->dev->cls->regions[region].size + 8);
	if (write)
		dev_write(r->dev, region, off, take(in, size), size);
	else
		dev_read(r->dev, region, off, size);
}

static void load(struct rig *r, struct input *in, bool own)
{
	size_t size = dev_save_size(r->dev), len = own ? size : take(in, 1) + take(in, 1);
	u8 *bytes = calloc(1, size + len + 1);
	struct alc_err err = {0};

	dev_save(r->dev, bytes);
	if (own && size)
		for (u64 n = take(in, 1) % 8; n; n--)
			bytes[take(in, 2) % size] ^= (u8)take(in, 1);
	else
		for (size_t i = 0; i < len; i++)
			bytes[i] = (u8)take(in, 1);
	if (dev_load(r->dev, bytes, len, &err) > 0)
		abort();
	free(bytes);
}

static void type(struct rig *r, struct input *in)
{
	char text[8] = {0};

	for (unsigned i = 0; i < 7; i++)
		text[i] = (char)(1 + take(in, 1) % 255);
	if (r->front)
		rig_type(r, text);
}

static void step(struct rig *r, struct input *in)
{
	switch (take(in, 1) % 8) {
	case 0:
	case 1:
		access_register(r, in, false);
		break;
	case 2:
	case 3:
	case 4:
		access_register(r, in, true);
		break;
	case 5:
		rig_advance(r, take(in, 1 + (unsigned)take(in, 1) % 4));
		break;
	case 6:
		type(r, in);
		break;
	default:
		if (take(in, 1) & 1)
			dev_reset(r->dev, ALC_RESET_WARM);
		else
			load(r, in, take(in, 1) & 1);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct input in = {bytes, len};
	static struct rig rig;
	static unsigned nclasses;

	if (!nclasses) {
		test_host_init(&th, TEST_TIME_MANUAL);
		while (alc_dev_classes[nclasses])
			nclasses++;
	}
	rig_init(&rig, &th.host, take(&in, 4));
	rig_create(&rig, alc_dev_classes[take(&in, 1) % nclasses]->name);
	while (in.len)
		step(&rig, &in);
	rig_fini(&rig);
	if (test_host_leaks(&th))
		abort();
	return 0;
}
