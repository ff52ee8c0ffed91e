/* SPDX-License-Identifier: BSD-2-Clause */
#include "catalog/catalog.h"
#include "device_test.h"
#include "alcazar/device.h"
#include "base/errno.h"

/* The core alone, with a class that writes down what reaches it. */

enum { CALLS_MAX = 16 };

struct config {
	u64 port, level;
	bool loud;
	const char *label;
};

struct call {
	unsigned region, size;
	u64 off, val;
};

static struct call calls[CALLS_MAX];
static unsigned ncalls;

static void note(unsigned region, u64 off, u64 val, unsigned size)
{
	assert_true(ncalls < CALLS_MAX);
	calls[ncalls++] = (struct call){region, size, off, val};
}

/* Each byte reads as its own offset. */
static u64 spy_read(struct alc_dev *d, unsigned region, u64 off, unsigned size)
{
	u64 val = 0;

	note(region, off, 0, size);
	for (unsigned i = size; i-- > 0;)
		val = val << 8 | ((off + i) & 0xff);
	return val | ~mask_low(size * 8); /* what is beyond the size is to be cut */
}

static void spy_write(struct alc_dev *d, unsigned region, u64 off, u64 val, unsigned size)
{
	note(region, off, val, size);
}

static void spy_reset(struct alc_dev *d, enum alc_reset kind)
{
}

#define OPTIONS(P)                                                         \
	P(struct config, UINT, port, "0x100", 0, 0xfff0, "first port")     \
	P(struct config, UINT, level, "3", 1, 5, "how much")               \
	P(struct config, BOOL, loud, "off", 0, 0, "whether to make noise") \
	P(struct config, STRING, label, "none", 0, 0, "what to write on it")
static const struct alc_prop props[] = {OPTIONS(PROP_ROW) PROP_END};
static const struct alc_option_info options[] = {OPTIONS(OPTION_ROW)};

enum { BYTES, WORDS, DWORDS, WIDE };

static const struct alc_dev_region regions[] = {
	[BYTES] = {"bytes", ALC_REGION_PORT, 0x100, 16, 1, 1, "port", 0},
	[WORDS] = {"words", ALC_REGION_PORT, 0x200, 16, 1, 2, NULL, 0},
	[DWORDS] = {"dwords", ALC_REGION_MEM, 0x1000, 16, 4, 4, NULL, 0},
	[WIDE] = {"wide", ALC_REGION_MEM, 0x2000, 16, 1, 8, NULL, 0},
	{.name = NULL},
};

static const struct alc_dev_class spy_class = {
	.name = "spy",
	.summary = "writes down what reaches it",
	.config_size = sizeof(struct config),
	.props = props,
	.options = options,
	.version = 1,
	.version_min = 1,
	.regions = regions,
	.reset = spy_reset,
	.read = spy_read,
	.write = spy_write,
};

static const struct alc_dev_class plain_class = {.name = "plain",
						 .summary = "has no options",
						 .version = 1,
						 .version_min = 1,
						 .reset = spy_reset};

static int setup(void **state)
{
	struct device_test *t = calloc(1, sizeof(*t));

	assert_non_null(t);
	test_host_init(&t->th, TEST_TIME_MANUAL);
	rig_init(&t->rig, &t->th.host, 0);
	assert_int_equal(dev_create(&spy_class, "spy0", &t->rig.env, NULL, 0, &t->rig.dev, NULL),
			 0);
	ncalls = 0;
	*state = &t->rig;
	return 0;
}

static void assert_calls(const struct call *want, unsigned n)
{
	assert_int_equal(ncalls, n);
	for (unsigned i = 0; i < n; i++) {
		assert_int_equal(calls[i].region, want[i].region);
		assert_int_equal(calls[i].size, want[i].size);
		assert_int_equal(calls[i].off, want[i].off);
		assert_int_equal(calls[i].val, want[i].val);
	}
	ncalls = 0;
}

#define CALLS(...)                                       \
	assert_calls((const struct call[]){__VA_ARGS__}, \
		     ARRAY_LEN(((const struct call[]){__VA_ARGS__})))

static void test_wide_access_to_bytes(void **state)
{
	struct rig *r = *state;

	assert_int_equal(dev_read(r->dev, BYTES, 4, 4), 0x07060504);
	CALLS({0, 1, 4, 0}, {0, 1, 5, 0}, {0, 1, 6, 0}, {0, 1, 7, 0});
	dev_write(r->dev, BYTES, 1, 0xaabb, 2);
	CALLS({0, 1, 1, 0xbb}, {0, 1, 2, 0xaa});
}

static void test_unaligned_access_is_split(void **state)
{
	struct rig *r = *state;

	assert_int_equal(dev_read(r->dev, WORDS, 3, 4), 0x06050403);
	CALLS({1, 1, 3, 0}, {1, 2, 4, 0}, {1, 1, 6, 0});
	assert_true(dev_read(r->dev, WIDE, 8, 8) == 0x0f0e0d0c0b0a0908);
	CALLS({3, 8, 8, 0});
	assert_true(dev_read(r->dev, WIDE, 2, 8) == 0x0908070605040302);
	CALLS({3, 2, 2, 0}, {3, 4, 4, 0}, {3, 2, 8, 0});
	dev_write(r->dev, WIDE, 1, 0x665544332211, 6);
	CALLS({3, 1, 1, 0x11}, {3, 2, 2, 0x3322}, {3, 2, 4, 0x5544}, {3, 1, 6, 0x66});
}

static void test_narrow_access_to_dwords(void **state)
{
	struct rig *r = *state;

	assert_int_equal(dev_read(r->dev, DWORDS, 5, 1), 5);
	CALLS({2, 4, 4, 0});
	dev_write(r->dev, DWORDS, 6, 0xff11, 1);
	CALLS({2, 4, 4, 0x110000});
	assert_int_equal(dev_read(r->dev, DWORDS, 2, 4), 0x05040302);
	CALLS({2, 4, 0, 0}, {2, 4, 4, 0});
	dev_write(r->dev, DWORDS, 7, 0xaabb, 2);
	CALLS({2, 4, 4, 0xbb000000}, {2, 4, 8, 0xaa});
}

static void test_beyond_the_end(void **state)
{
	struct rig *r = *state;

	assert_true(dev_read(r->dev, BYTES, 14, 4) == 0xffff0f0e);
	CALLS({0, 1, 14, 0}, {0, 1, 15, 0});
	dev_write(r->dev, BYTES, 15, 0xaabbccdd, 4);
	CALLS({0, 1, 15, 0xdd});
	assert_int_equal(dev_read(r->dev, BYTES, 16, 2), 0xffff);
	dev_write(r->dev, BYTES, ~0ull, 0, 8);
	assert_int_equal(ncalls, 0);
}

static void test_regions_are_mapped(void **state)
{
	struct rig *r = *state;

	assert_int_equal(rig_in(r, 0x102, 2), 0x0302);
	assert_int_equal(region_read(&r->space.devices, 0x1004, 4), 0x07060504);
	assert_int_equal(r->ports.count, 2 + RIG_PCI_WINDOWS);
	assert_int_equal(r->space.devices.count, 2 + RIG_PCI_WINDOWS);
}

static int create(struct rig *r, const struct alc_dev_class *cls, const char *key,
		  const char *value, struct alc_err *err)
{
	const struct alc_dev_opt opt = {key, value};
	struct alc_dev *d = NULL;
	int rc = dev_create(cls, "second", &r->env, &opt, 1, &d, err);

	assert_true(rc == 0 || !d);
	dev_destroy(d);
	return rc;
}

static void refused(struct rig *r, const struct alc_dev_class *cls, const char *key,
		    const char *value, const char *word)
{
	struct alc_err err = {0};

	assert_int_equal(create(r, cls, key, value, &err), -EINVAL);
	assert_int_equal(err.code, -EINVAL);
	assert_non_null(strstr(err.text, word));
	assert_non_null(strstr(err.text, cls->name));
}

static void test_bad_options(void **state)
{
	struct rig *r = *state;

	refused(r, &spy_class, "prot", "1", "'port'");
	refused(r, &spy_class, "xyzzy", "1", "'xyzzy'");
	refused(r, &plain_class, "port", "1", "no options");
	refused(r, &spy_class, "level", "6", "0x5");
	refused(r, &spy_class, "level", "0", "'level'");
	refused(r, &spy_class, "level", "3x", "'3x'");
	refused(r, &spy_class, "loud", "maybe", "'maybe'");
}

static void test_options(void **state)
{
	struct rig *r = *state;
	const struct config *c = r->dev->config;
	const struct alc_dev_opt opts[] = {
		{"port", "0x300"}, {"loud", "on"}, {"label", "x"}, {"level", "5"}};
	struct alc_dev_env env = r->env;
	struct alc_dev *d;

	assert_int_equal(c->port, 0x100);
	assert_int_equal(c->level, 3);
	assert_false(c->loud);
	assert_string_equal(c->label, "none");
	env.ports = NULL;
	env.space = NULL;
	assert_int_equal(dev_create(&spy_class, "second", &env, opts, 4, &d, NULL), 0);
	c = d->config;
	assert_int_equal(c->port, 0x300);
	assert_int_equal(c->level, 5);
	assert_true(c->loud);
	assert_string_equal(c->label, "x");
	assert_string_equal(d->id, "second");
	dev_destroy(d);
}

/* The second region is taken: the first must not stay behind. */
static void test_overlap_leaves_nothing(void **state)
{
	struct rig *r = *state;
	struct alc_err err = {0};

	assert_int_equal(create(r, &spy_class, "port", "0x300", &err), -EEXIST);
	assert_non_null(strstr(err.text, "spy0"));
	assert_int_equal(r->ports.count, 2 + RIG_PCI_WINDOWS);
	assert_null(region_find(&r->ports, 0x300));
}

static void test_info(void **state)
{
	struct alc_device_info info;
	size_t n = 0;

	for (; alc_device_info(n, &info); n++) {
		assert_non_null(dev_class_find(info.name));
		assert_true(info.summary[0] != '\0');
		for (size_t i = 0; i < info.noptions; i++) {
			assert_true(info.options[i].name && info.options[i].type);
			assert_true(info.options[i].initial && info.options[i].help);
		}
		if (strcmp(info.name, "isa-debug-exit") == 0) {
			assert_false(info.platform);
			assert_int_equal(info.noptions, 2);
			assert_string_equal(info.options[0].name, "iobase");
			assert_string_equal(info.options[0].type, "uint");
		}
	}
	assert_true(n >= 12);
	assert_null(dev_class_find("flux-capacitor"));
}

static void test_stateless_snapshot(void **state)
{
	struct rig *r = *state;
	struct alc_err err = {0};
	u8 bytes[64];

	assert_true(dev_save_size(r->dev) <= sizeof(bytes));
	dev_save(r->dev, bytes);
	assert_int_equal(dev_load(r->dev, bytes, dev_save_size(r->dev), &err), 0);
	assert_int_equal(dev_load(r->dev, bytes, dev_save_size(r->dev) - 1, &err), -EINVAL);
	dev_destroy(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		DEVICE_TEST(test_wide_access_to_bytes),
		DEVICE_TEST(test_unaligned_access_is_split),
		DEVICE_TEST(test_narrow_access_to_dwords),
		DEVICE_TEST(test_beyond_the_end),
		DEVICE_TEST(test_regions_are_mapped),
		DEVICE_TEST(test_bad_options),
		DEVICE_TEST(test_options),
		DEVICE_TEST(test_overlap_leaves_nothing),
		DEVICE_TEST(test_info),
		DEVICE_TEST(test_stateless_snapshot),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
