/* SPDX-License-Identifier: BSD-2-Clause */
#include "virtio_driver.h"

#include "base/errno.h"
#include "virtio/console.h"

/* Against virtio 1.2, 5.3. */
extern const struct alc_dev_class virtio_console_class;

enum { F_SIZE = 1, F_MULTIPORT = 2, F_EMERG_WRITE = 4 };
enum { DEVICE_READY, DEVICE_ADD, DEVICE_REMOVE, PORT_READY, CONSOLE_PORT, RESIZE, PORT_OPEN };
enum { PORT_NAME = 7 };
enum { RX0, TX0, CONTROL_RX, CONTROL_TX, RX1, TX1, RX2, TX2 };

/* The host's end of a port. */
struct end {
	char out[8192];
	size_t len;
	unsigned resumes;
	const struct alc_char_front *front;
};

static void end_write(void *ctx, const u8 *bytes, size_t len)
{
	struct end *e = ctx;

	assert_true(e->len + len < sizeof(e->out));
	memcpy(e->out + e->len, bytes, len);
	e->len += len;
}

static void end_resume(void *ctx)
{
	((struct end *)ctx)->resumes++;
}

static void end_attach(void *ctx, const struct alc_char_front *front)
{
	((struct end *)ctx)->front = front;
}

static const struct alc_char_ops end_ops = {
	.name = "end", .write = end_write, .resume = end_resume, .attach = end_attach};

static size_t type_in(struct end *e, const char *text, size_t len)
{
	size_t room = e->front->room(e->front->ctx);

	len = len < room ? len : room;
	if (len)
		e->front->input(e->front->ctx, (const u8 *)text, len);
	return len;
}

struct bench {
	struct vd d;
	struct end console, agent;
};

static int open_with(void **state, const struct alc_dev_opt *opts, size_t n)
{
	struct bench *b = calloc(1, sizeof(*b));

	assert_non_null(b);
	vd_init(&b->d);
	b->d.env.chardev = (struct alc_char){.ops = &end_ops, .ctx = &b->console};
	vd_create(&b->d, &virtio_console_class, opts, n);
	*state = b;
	return 0;
}

static int setup(void **state)
{
	return open_with(state, NULL, 0);
}

static int setup_ports(void **state)
{
	static const struct alc_dev_opt opts[] = {{"ports", "org.agent.0:other"}};
	const struct alc_char c = {.ops = &end_ops};
	struct alc_char agent = c;
	struct alc_err err = {0};
	struct bench *b;

	open_with(state, opts, 1);
	b = *state;
	agent.ctx = &b->agent;
	assert_int_equal(virtio_console_attach(b->d.dev, "org.agent.0", &agent, &err), 0);
	assert_int_equal(virtio_console_attach(b->d.dev, "org.agent", &agent, &err), -ENOENT);
	return 0;
}

static int teardown(void **state)
{
	struct bench *b = *state;

	vd_fini(&b->d);
	assert_null(b->console.front);
	free(b);
	return 0;
}

static void add_in(struct vd *d, unsigned queue, u64 at, u32 len)
{
	const struct vd_buf buf = {at, len, true};

	vd_add(d, queue, &buf, 1);
	vd_kick(d, queue);
}

static void send(struct vd *d, unsigned queue, const void *bytes, u32 len)
{
	const struct vd_buf buf = {VD_DATA + 0x8000, len, false};

	memcpy(vd_mem(d, VD_DATA + 0x8000), bytes, len);
	vd_add(d, queue, &buf, 1);
	vd_kick(d, queue);
	assert_int_equal(vd_done(d, queue), 0);
}

static void tell(struct vd *d, u32 port, u16 event, u16 value)
{
	u8 message[8];

	st32(message, port);
	st16(message + 4, event);
	st16(message + 6, value);
	send(d, CONTROL_TX, message, 8);
}

/* The device's next message must be this one. */
static void expect(struct vd *d, u32 port, u16 event, u16 value, const char *name)
{
	u8 *at = vd_mem(d, VD_DATA);

	memset(at, 0, 128);
	add_in(d, CONTROL_RX, VD_DATA, 128);
	assert_int_equal(vd_done(d, CONTROL_RX), 8 + strlen(name));
	assert_int_equal(ld32(at), port);
	assert_int_equal(ld16(at + 4), event);
	assert_int_equal(ld16(at + 6), value);
	assert_memory_equal(at + 8, name, strlen(name));
}

static void single_port(void **state)
{
	struct bench *b = *state;

	assert_int_equal(type_in(&b->console, "early", 5), 0); /* waits at its source */
	vd_up(&b->d, 0, 2);
	assert_int_equal(b->console.resumes, 1);
	type_in(&b->console, "early", 5);
	add_in(&b->d, RX0, VD_DATA, 3);
	assert_int_equal(vd_done(&b->d, RX0), 3);
	assert_memory_equal(vd_mem(&b->d, VD_DATA), "ear", 3);
	add_in(&b->d, RX0, VD_DATA, 64);
	assert_int_equal(vd_done(&b->d, RX0), 2);
	add_in(&b->d, RX0, VD_DATA, 64);
	type_in(&b->console, "x", 1);
	assert_int_equal(vd_done(&b->d, RX0), 1);
	assert_int_equal(b->d.msi[1], 3);
	send(&b->d, TX0, "hello", 5);
	assert_int_equal(b->console.len, 5);
	assert_memory_equal(b->console.out, "hello", 5);
}

static void output_in_pieces(void **state)
{
	const struct vd_buf bufs[] = {
		{VD_DATA, 3, false}, {VD_DATA + 0x1000, 2, false}, {VD_DATA + 0x2000, 9, true}};
	struct bench *b = *state;

	vd_up(&b->d, 0, 2);
	memcpy(vd_mem(&b->d, VD_DATA), "abc", 3);
	memcpy(vd_mem(&b->d, VD_DATA + 0x1000), "de", 2);
	vd_add(&b->d, TX0, bufs, 3);
	vd_kick(&b->d, TX0);
	assert_int_equal(vd_done(&b->d, TX0), 0);
	assert_memory_equal(b->console.out, "abcde", 5);
}

static void flow_control(void **state)
{
	static char text[3000];
	struct bench *b = *state;
	size_t room;

	memset(text, 'a', sizeof(text));
	vd_up(&b->d, 0, 2);
	room = type_in(&b->console, text, sizeof(text));
	assert_true(room > 0 && room < sizeof(text));
	assert_int_equal(type_in(&b->console, "b", 1), 0);
	assert_int_equal(b->console.resumes, 1);
	add_in(&b->d, RX0, VD_DATA, 100);
	assert_int_equal(b->console.resumes, 2);
	assert_int_equal(b->console.front->room(b->console.front->ctx), 100);
	/* A back end that doesn't ask first loses what there is no room for. */
	b->console.front->input(b->console.front->ctx, (const u8 *)text, sizeof(text));
	add_in(&b->d, RX0, VD_DATA, 4000);
	assert_int_equal(vd_done(&b->d, RX0), 100);
	assert_int_equal(vd_done(&b->d, RX0), room);
	vd_set(&b->d, R_STATUS, 0, 1);
	assert_int_equal(b->console.front->room(b->console.front->ctx), 0);
}

static void multiport(void **state)
{
	struct bench *b = *state;
	struct vd *d = &b->d;
	u32 len;
	u16 id;

	vd_up(d, F_MULTIPORT, 8);
	assert_int_equal(dev_read(d->dev, VD_DEVICE, 4, 4), 3);
	tell(d, 0, DEVICE_READY, 1);
	for (unsigned i = 0; i < 3; i++)
		expect(d, i, DEVICE_ADD, 1, "");
	tell(d, 0, PORT_READY, 1);
	expect(d, 0, CONSOLE_PORT, 1, "");
	expect(d, 0, PORT_OPEN, 1, "");
	tell(d, 1, PORT_READY, 1);
	expect(d, 1, PORT_NAME, 1, "org.agent.0");
	expect(d, 1, PORT_OPEN, 1, "");
	tell(d, 2, PORT_READY, 1); /* nobody there: not open */
	expect(d, 2, PORT_NAME, 1, "other");
	add_in(d, CONTROL_RX, VD_DATA, 128);
	assert_false(vd_used(d, CONTROL_RX, &id, &len));

	/* Only an open port gets something. */
	add_in(d, RX1, VD_DATA + 0x1000, 64);
	assert_int_equal(type_in(&b->agent, "query", 5), 0);
	assert_false(vd_used(d, RX1, &id, &len));
	tell(d, 1, PORT_OPEN, 1);
	assert_int_equal(b->agent.resumes, 1);
	assert_int_equal(type_in(&b->agent, "query", 5), 5);
	assert_int_equal(vd_done(d, RX1), 5);
	send(d, TX1, "answer", 6);
	assert_memory_equal(b->agent.out, "answer", 6);
	assert_int_equal(b->console.len, 0);
	send(d, TX2, "to nobody", 9);
	/* Closed, it gets nothing. */
	add_in(d, RX1, VD_DATA + 0x1000, 64);
	tell(d, 1, PORT_OPEN, 0);
	assert_int_equal(type_in(&b->agent, "late", 4), 0);
	tell(d, 1, PORT_OPEN, 1);
	assert_false(vd_used(d, RX1, &id, &len));
	type_in(&b->agent, "new", 3);
	assert_int_equal(vd_done(d, RX1), 3);
}

static void nonsense_is_ignored(void **state)
{
	struct bench *b = *state;
	struct vd *d = &b->d;
	u32 len;
	u16 id;

	vd_up(d, F_MULTIPORT, 8);
	add_in(d, CONTROL_RX, VD_DATA, 128);
	tell(d, 3, PORT_READY, 1);
	tell(d, 0xffffffff, PORT_OPEN, 1);
	tell(d, 0x80000000, PORT_READY, 1);
	tell(d, 0, 77, 1);
	tell(d, 0, DEVICE_READY, 0);
	tell(d, 1, PORT_READY, 0);
	send(d, CONTROL_TX, "short", 5);
	assert_false(vd_used(d, CONTROL_RX, &id, &len));
	/* Repeating oneself makes nothing pile up. */
	for (unsigned i = 0; i < 1000; i++) {
		tell(d, 0, DEVICE_READY, 1);
		if (vd_used(d, CONTROL_RX, &id, &len))
			add_in(d, CONTROL_RX, VD_DATA, 4); /* too small: cut */
	}
	assert_true(vd_get(d, R_STATUS, 1) & S_DRIVER_OK);
	assert_false(vd_get(d, R_STATUS, 1) & S_NEEDS_RESET);
}

static void emergency_write(void **state)
{
	struct bench *b = *state;

	dev_write(b->d.dev, VD_DEVICE, 8, 0x12345621, 4);
	dev_write(b->d.dev, VD_DEVICE, 4, 0x55, 4);
	assert_int_equal(b->console.len, 1);
	assert_int_equal(b->console.out[0], 0x21);
}

static void size_is_said(void **state)
{
	static const struct alc_dev_opt opts[] = {{"cols", "132"}, {"rows", "50"}};
	struct bench *b;

	open_with(state, opts, 2);
	b = *state;
	assert_true(vd_offered(&b->d) & F_SIZE);
	assert_int_equal(dev_read(b->d.dev, VD_DEVICE, 0, 4), 50u << 16 | 132);
	teardown(state);
	setup(state);
	b = *state;
	assert_false(vd_offered(&b->d) & F_SIZE);
	teardown(state);
}

static void bad_port_names(void **state)
{
	static const char *const lists[] = {
		":",
		"a::b",
		"a:",
		"a:b:a",
		"a:b:c:d:e:f:g:h",
		"0123456789012345678901234567890123456789012345678901234567890123",
	};
	struct vd d;

	vd_init(&d);
	for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
		const struct alc_dev_opt opt = {"ports", lists[i]};
		struct alc_err err = {0};

		if (dev_create(&virtio_console_class, "dut", &d.env, &opt, 1, &d.dev, &err) !=
		    -EINVAL)
			fail_msg("'%s' is taken", lists[i]);
		assert_true(err.text[0]);
	}
	d.dev = NULL;
	vd_fini(&d);
}

static void saved_and_loaded(void **state)
{
	struct bench *b = *state;
	struct vd *d = &b->d;
	size_t len = dev_save_size(d->dev);
	u8 *saved = malloc(len);
	struct alc_err err = {0};

	assert_non_null(saved);
	vd_up(d, F_MULTIPORT, 8);
	tell(d, 0, DEVICE_READY, 1);
	expect(d, 0, DEVICE_ADD, 1, "");
	tell(d, 0, PORT_OPEN, 1);
	type_in(&b->console, "kept", 4);
	dev_save(d->dev, saved);
	dev_reset(d->dev, ALC_RESET_WARM);
	if (dev_load(d->dev, saved, len, &err))
		fail_msg("%s", err.text);
	expect(d, 1, DEVICE_ADD, 1, "");
	add_in(d, RX0, VD_DATA, 64);
	assert_int_equal(vd_done(d, RX0), 4);
	assert_memory_equal(vd_mem(d, VD_DATA), "kept", 4);
	free(saved);
}

#define TEST(name)  cmocka_unit_test_setup_teardown(name, setup, teardown)
#define PORTS(name) cmocka_unit_test_setup_teardown(name, setup_ports, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(single_port),
		TEST(output_in_pieces),
		TEST(flow_control),
		PORTS(multiport),
		PORTS(nonsense_is_ignored),
		TEST(emergency_write),
		cmocka_unit_test(size_is_said),
		cmocka_unit_test(bad_port_names),
		PORTS(saved_and_loaded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
