/* SPDX-License-Identifier: BSD-2-Clause */
#include "virtio_driver.h"

#include "base/errno.h"
#include "bus/pc.h"
#include "net/net.h"
#include "net/vnet.h"

extern const struct alc_dev_class virtio_net_class;

/* ---- A back end that is told what to do --------------------------------------------------- */

enum { SENT_MAX = 16 };

struct cable {
	struct net_link link;
	struct net_front front;
	u8 sent[SENT_MAX][2000];
	u32 sent_len[SENT_MAX];
	struct net_offload offload[SENT_MAX];
	unsigned nsent, front_takes, resumes;
	bool full;
};

static bool cable_send(struct net_link *l, const struct net_frame *f)
{
	struct cable *c = container_of(l, struct cable, link);

	if (c->full)
		return false;
	assert_true(c->nsent < SENT_MAX);
	assert_int_equal(iov_len(f->iov, f->niov), f->len);
	iov_copy_from(f->iov, f->niov, 0, c->sent[c->nsent], sizeof(c->sent[0]));
	c->offload[c->nsent] = f->offload;
	c->sent_len[c->nsent++] = f->len;
	return true;
}

static void cable_takes(struct net_link *l, unsigned takes)
{
	container_of(l, struct cable, link)->front_takes = takes;
}

static void cable_resume(struct net_link *l)
{
	container_of(l, struct cable, link)->resumes++;
}

static void cable_attach(struct net_link *l, const struct net_front *front)
{
	struct cable *c = container_of(l, struct cable, link);

	c->front = front ? *front : (struct net_front){0};
}

static const struct net_ops cable_ops = {
	.name = "test",
	.send = cable_send,
	.set_front_takes = cable_takes,
	.resume = cable_resume,
	.attach = cable_attach,
};

struct bench {
	struct vd d; /* first */
	struct cable cable;
};

enum {
	RX = 0,
	TX = 1,
	HDR = 12,
	AT_TX = VD_DATA,
	AT_RX = VD_DATA + 0x20000,
	AT_CTL = VD_DATA + 0x80000,
};
#define F_GUEST    (BIT(1) | BIT(7) | BIT(8) | BIT(9))
#define F_MRG      BIT(15)
#define F_STATUS   BIT(16)
#define F_CTRL     (BIT(17) | BIT(18) | BIT(19) | BIT(20) | BIT(23))
#define F_MQ       BIT(22)
#define F_OFFLOADS BIT(2)

static struct bench *begin(const char *queues, u64 features, unsigned nqueues)
{
	const struct alc_dev_opt opts[] = {{"queues", queues}, {"mac", "02:11:22:33:44:55"}};
	struct bench *b = calloc(1, sizeof(*b));

	assert_non_null(b);
	vd_init(&b->d);
	b->cable.link = (struct net_link){
		.ops = &cable_ops,
		.takes = NET_TAKES_CSUM | NET_TAKES_TSO4 | NET_TAKES_TSO6 | NET_TAKES_ECN,
		.mtu = 65520,
	};
	b->d.env.net = &b->cable.link;
	vd_create(&b->d, &virtio_net_class, opts, 2);
	vd_up(&b->d, features, nqueues);
	return b;
}

static void end(struct bench *b)
{
	vd_fini(&b->d);
	assert_null(b->cable.front.receive);
	free(b);
}

/* A frame with its header, in pieces cut at `cut`. */
static void transmit(struct bench *b, const struct net_offload *o, u32 len, u32 cut)
{
	u8 *at = vd_mem(&b->d, AT_TX);
	struct vd_buf bufs[] = {{AT_TX, cut, false}, {AT_TX + cut, HDR + len - cut, false}};

	memset(at + HDR, 0xff, 6);
	for (u32 i = 6; i < len; i++)
		at[HDR + i] = (u8)i;
	vnet_put(at, o, 0);
	vd_add(&b->d, TX, bufs, 2);
	vd_kick(&b->d, TX);
}

static bool receive_as(struct bench *b, u8 first, u32 len, const struct net_offload *o)
{
	static u8 bytes[3000];
	struct alc_iov iov = {bytes, len};
	struct net_frame f = {&iov, 1, len, *o};

	for (u32 i = 0; i < len; i++)
		bytes[i] = (u8)(i * 3);
	memset(bytes, first, 6);
	bytes[12] = 8;
	bytes[13] = 0;
	return b->cable.front.receive(b->cable.front.ctx, &f);
}

static bool receive(struct bench *b, u32 len)
{
	return receive_as(b, 0xff, len, &(struct net_offload){0});
}

static void add_rx(struct bench *b, unsigned queue, unsigned index, u32 len)
{
	vd_add(&b->d, queue, &(struct vd_buf){AT_RX + index * 0x1000u, len, true}, 1);
	vd_kick(&b->d, queue);
}

/* ---- Transmission ------------------------------------------------------------------------- */

static void frames_go_out_in_any_pieces(void **state)
{
	static const u32 cuts[] = {1, HDR - 1, HDR, HDR + 1, HDR + 14, HDR + 99};
	struct bench *b = begin("1", ~F_MQ, 2);

	for (unsigned i = 0; i < ARRAY_LEN(cuts); i++) {
		transmit(b, &(struct net_offload){0}, 100, cuts[i]);
		assert_int_equal(vd_done(&b->d, TX), 0);
		assert_int_equal(b->cable.nsent, i + 1);
		assert_int_equal(b->cable.sent_len[i], 100);
		assert_memory_equal(b->cable.sent[i], vd_mem(&b->d, AT_TX + HDR), 100);
	}
	end(b);
}

static void offloads_go_with_frames(void **state)
{
	const struct net_offload o = {NET_NEEDS_CSUM, NET_GSO_TCPV4, 54, 1000, 34, 16};
	struct bench *b = begin("1", ~F_MQ, 2);

	transmit(b, &o, 1500, HDR);
	assert_int_equal(b->cable.nsent, 1);
	assert_memory_equal(&b->cable.offload[0], &o, sizeof(o));
	end(b);
}

/* Lost, with the chain given back; the device goes on. */
static void malformed_frames_are_dropped(void **state)
{
	static const struct net_offload bad[] = {
		{NET_NEEDS_CSUM, 0, 0, 0, 99, 0},               /* field beyond the end */
		{NET_NEEDS_CSUM, 0, 0, 0, 0xffff, 0xffff},      /* … by overflow */
		{0, NET_GSO_TCPV4, 54, 1000, 34, 16},           /* segments without checksum */
		{NET_NEEDS_CSUM, NET_GSO_TCPV4, 54, 0, 34, 16}, /* of no size */
		{NET_NEEDS_CSUM, 3, 54, 1000, 34, 16},          /* UFO, not offered */
		{NET_NEEDS_CSUM, 77, 54, 1000, 34, 16},
		{NET_NEEDS_CSUM, NET_GSO_ECN, 54, 1000, 34, 16},
	};
	struct bench *b = begin("1", ~F_MQ, 2);

	for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
		transmit(b, &bad[i], 100, HDR);
		vd_done(&b->d, TX);
		assert_int_equal(b->cable.nsent, 0);
	}
	transmit(b, &(struct net_offload){0}, NET_FRAME_MIN - 1, HDR);
	vd_done(&b->d, TX);
	vd_add(&b->d, TX, &(struct vd_buf){AT_TX, HDR - 1, false}, 1);
	vd_kick(&b->d, TX);
	vd_done(&b->d, TX);
	assert_int_equal(b->cable.nsent, 0);
	assert_int_equal(vd_get(&b->d, R_STATUS, 1) & S_NEEDS_RESET, 0);
	transmit(b, &(struct net_offload){0}, 60, HDR);
	assert_int_equal(b->cable.nsent, 1);
	end(b);
}

static void offloads_not_agreed_on_are_dropped(void **state)
{
	const struct net_offload csum = {NET_NEEDS_CSUM, 0, 0, 0, 34, 16};
	struct bench *b = begin("1", 0, 2);

	transmit(b, &csum, 100, HDR);
	vd_done(&b->d, TX);
	assert_int_equal(b->cable.nsent, 0);
	end(b);
}

static void a_full_back_end_keeps_the_chain(void **state)
{
	struct bench *b = begin("1", ~F_MQ, 2);
	u16 id;
	u32 len;

	b->cable.full = true;
	transmit(b, &(struct net_offload){0}, 60, HDR);
	transmit(b, &(struct net_offload){0}, 60, HDR);
	assert_false(vd_used(&b->d, TX, &id, &len));
	b->cable.full = false;
	b->cable.front.room(b->cable.front.ctx);
	vd_done(&b->d, TX);
	vd_done(&b->d, TX);
	assert_int_equal(b->cable.nsent, 2);
	/* A reset in between forgets them. */
	b->cable.full = true;
	transmit(b, &(struct net_offload){0}, 60, HDR);
	vd_set(&b->d, R_STATUS, 0, 1);
	b->cable.full = false;
	b->cable.front.room(b->cable.front.ctx);
	assert_int_equal(b->cable.nsent, 2);
	end(b);
}

/* ---- Reception ---------------------------------------------------------------------------- */

static void frames_fill_mergeable_buffers(void **state)
{
	struct bench *b = begin("1", F_MRG, 2);
	u8 *at;
	u32 got = 0;

	for (unsigned i = 0; i < 4; i++)
		add_rx(b, RX, i, 100);
	assert_true(receive(b, 250));
	at = vd_mem(&b->d, AT_RX);
	assert_int_equal(ld16(at + VNET_NUM_BUFFERS), 3);
	for (unsigned i = 0; i < 3; i++) {
		u32 len = vd_done(&b->d, RX);

		assert_int_equal(len, i < 2 ? 100 : 62);
		for (u32 k = i ? 0 : HDR + 6; k < len; k++)
			if (got + k - HDR != 12 && got + k - HDR != 13)
				assert_int_equal(vd_mem(&b->d, AT_RX + i * 0x1000)[k],
						 (u8)((got + k - HDR) * 3));
		got += len;
	}
	assert_int_equal(b->d.msi[RX + 1], 1);
	end(b);
}

static void no_buffer_is_waited_for(void **state)
{
	struct bench *b = begin("1", F_MRG, 2);
	unsigned resumes = b->cable.resumes;
	u16 id;
	u32 len;

	add_rx(b, RX, 0, 100);
	assert_false(receive(b, 250)); /* one is too few, and none is lost */
	assert_false(vd_used(&b->d, RX, &id, &len));
	add_rx(b, RX, 1, 200);
	assert_true(b->cable.resumes > resumes);
	assert_true(receive(b, 250));
	assert_int_equal(vd_done(&b->d, RX), 100);
	assert_int_equal(vd_done(&b->d, RX), 162);
	end(b);
}

/* A driver of firmware has buffers for small frames only, and must not starve behind large ones. */
static void what_never_fits_is_lost(void **state)
{
	struct bench *b = begin("1", 0, 2);

	add_rx(b, RX, 0, 300);
	assert_true(receive(b, 2000));
	assert_true(receive(b, 200));
	assert_int_equal(vd_done(&b->d, RX), 212);
	assert_int_equal(ld16(vd_mem(&b->d, AT_RX) + VNET_NUM_BUFFERS), 1);
	end(b);
}

static void a_buffer_without_room_for_a_header_breaks(void **state)
{
	struct bench *b = begin("1", F_MRG, 2);

	add_rx(b, RX, 0, HDR - 1);
	add_rx(b, RX, 1, 500);
	assert_true(receive(b, 100));
	assert_int_not_equal(vd_get(&b->d, R_STATUS, 1) & S_NEEDS_RESET, 0);
	end(b);
}

static void a_card_that_is_off_takes_nothing(void **state)
{
	struct bench *b = begin("1", F_MRG, 2);
	u16 id;
	u32 len;

	add_rx(b, RX, 0, 500);
	vd_set(&b->d, R_STATUS, 0, 1);
	assert_false(receive(b, 100));
	assert_int_equal(b->cable.front_takes, 0);
	assert_false(vd_used(&b->d, RX, &id, &len));
	end(b);
}

static void the_front_takes_what_was_agreed_on(void **state)
{
	struct bench *b = begin("1", F_MRG, 2);

	assert_int_equal(b->cable.front_takes, 0);
	vd_up(&b->d, F_MRG | F_GUEST, 2);
	assert_int_equal(b->cable.front_takes,
			 NET_TAKES_CSUM | NET_TAKES_TSO4 | NET_TAKES_TSO6 | NET_TAKES_ECN);
	add_rx(b, RX, 0, 500);
	assert_true(
		receive_as(b, 0xff, 100, &(struct net_offload){NET_NEEDS_CSUM, 0, 0, 0, 34, 16}));
	assert_int_equal(vd_mem(&b->d, AT_RX)[0], NET_NEEDS_CSUM);
	assert_int_equal(ld16(vd_mem(&b->d, AT_RX) + 6), 34);
	end(b);
}

/* ---- Configuration and control ------------------------------------------------------------ */

static void the_cable_shows(void **state)
{
	struct bench *b = begin("1", F_STATUS | BIT(5) | BIT(3), 2);
	static const u8 mac[] = {2, 0x11, 0x22, 0x33, 0x44, 0x55};
	unsigned told = b->d.msi[0];

	for (unsigned i = 0; i < 6; i++)
		assert_int_equal(dev_read(b->d.dev, VD_DEVICE, i, 1), mac[i]);
	assert_int_equal(dev_read(b->d.dev, VD_DEVICE, 6, 2), 1);
	assert_int_equal(dev_read(b->d.dev, VD_DEVICE, 10, 2), 65520);
	b->cable.front.carrier(b->cable.front.ctx, false);
	assert_int_equal(dev_read(b->d.dev, VD_DEVICE, 6, 2), 0);
	assert_int_equal(b->d.msi[0], told + 1);
	end(b);
}

static u8 control(struct bench *b, unsigned queue, u8 cls, u8 cmd, const void *data, u32 len)
{
	struct vd_buf bufs[] = {
		{AT_CTL, 2, false}, {AT_CTL + 16, len, false}, {AT_CTL + 0x1000, 1, true}};
	u8 *at = vd_mem(&b->d, AT_CTL);

	at[0] = cls;
	at[1] = cmd;
	memcpy(at + 16, data, len);
	at[0x1000] = 0x77;
	vd_add(&b->d, queue, bufs, 3);
	vd_kick(&b->d, queue);
	assert_int_equal(vd_done(&b->d, queue), 1);
	return at[0x1000];
}

static void filters_choose_frames(void **state)
{
	struct bench *b = begin("1", F_MRG | F_CTRL, 3);
	const struct net_offload none = {0};
	u8 table[2 * 4 + 6] = {1, 0, 0, 0, 4, 4, 4, 4, 4, 4};
	u16 id;
	u32 len;

	for (unsigned i = 0; i < 6; i++)
		add_rx(b, RX, i, 500);
	/* To begin with, everything comes. */
	assert_true(receive_as(b, 8, 100, &none));
	vd_done(&b->d, RX);
	assert_int_equal(control(b, 2, 0, 0, "\0", 1), 0); /* not promiscuous */
	assert_true(receive_as(b, 8, 100, &none));
	assert_false(vd_used(&b->d, RX, &id, &len));
	assert_true(receive_as(b, 0xff, 100, &none));
	vd_done(&b->d, RX);
	assert_int_equal(control(b, 2, 1, 0, table, sizeof(table)), 0);
	assert_true(receive_as(b, 4, 100, &none));
	vd_done(&b->d, RX);
	assert_int_equal(control(b, 2, 1, 1, "\x08\x08\x08\x08\x08\x08", 6), 0);
	assert_true(receive_as(b, 8, 100, &none));
	vd_done(&b->d, RX);
	assert_int_equal(dev_read(b->d.dev, VD_DEVICE, 0, 1), 8);
	end(b);
}

static void bad_commands_are_refused(void **state)
{
	static const struct {
		u8 cls, cmd, len;
		const char *data;
	} bad[] = {
		{0, 0, 2, "\1\1"},
		{0, 0, 1, "\2"},
		{0, 9, 1, "\1"},
		{1, 0, 3, "\0\0\0"},
		{1, 0, 8, "\xff\xff\xff\xff\0\0\0\0"},
		{1, 0, 8, "\1\0\0\0\0\0\0\0"},
		{1, 1, 5, "\2\0\0\0\0"},
		{2, 0, 2, "\xff\xff"},
		{2, 2, 2, "\1\0"},
		{4, 0, 2, "\0\0"},
		{4, 0, 2, "\2\0"},
		{5, 0, 8, "\0\0\0\0\0\0\0\1"},
		{200, 0, 1, "\0"},
	};
	struct bench *b = begin("1", F_MRG | F_CTRL | F_OFFLOADS | F_GUEST, 3);

	for (unsigned i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(control(b, 2, bad[i].cls, bad[i].cmd, bad[i].data, bad[i].len), 1);
	assert_int_equal(control(b, 2, 5, 0, "\2\0\0\0\0\0\0\0", 8), 0);
	assert_int_equal(b->cable.front_takes, NET_TAKES_CSUM);
	end(b);
}

static void several_pairs(void **state)
{
	struct bench *b = begin("2", F_MRG | F_CTRL | F_MQ, 5);
	u16 id;
	u32 len;

	assert_int_equal(dev_read(b->d.dev, VD_DEVICE, 8, 2), 2);
	assert_int_equal(control(b, 4, 4, 0, "\3\0", 2), 1);
	assert_int_equal(control(b, 4, 4, 0, "\2\0", 2), 0);
	for (unsigned i = 0; i < 4; i++) {
		add_rx(b, 0, i, 500);
		add_rx(b, 2, 4 + i, 500);
	}
	/* A flow keeps to one pair. */
	for (unsigned i = 0; i < 4; i++)
		assert_true(receive(b, 100));
	assert_true(vd_used(&b->d, 0, &id, &len) != vd_used(&b->d, 2, &id, &len));
	/* Both send. */
	vd_add(&b->d, 3, &(struct vd_buf){AT_TX, 100, false}, 1);
	memset(vd_mem(&b->d, AT_TX), 0, 100);
	vd_kick(&b->d, 3);
	vd_done(&b->d, 3);
	transmit(b, &(struct net_offload){0}, 60, HDR);
	assert_int_equal(b->cable.nsent, 2);
	end(b);
}

static void bad_options_are_sentences(void **state)
{
	static const char *const macs[] = {"",
					   "02:00",
					   "03:00:00:00:00:00",
					   "02:00:00:00:00:0g",
					   "02:00:00:00:00:000",
					   "02-00-00-00-00-00"};

	for (unsigned i = 0; i < ARRAY_LEN(macs); i++) {
		const struct alc_dev_opt opt = {"mac", macs[i]};
		struct cable cable = {.link = {.ops = &cable_ops}};
		struct alc_err err = {0};
		struct alc_dev *dev;
		struct vd d;

		vd_init(&d);
		d.env.net = &cable.link;
		assert_int_equal(dev_create(&virtio_net_class, "dut", &d.env, &opt, 1, &dev, &err),
				 -EINVAL);
		assert_non_null(strstr(err.text, "mac is"));
		pci_root_destroy(d.pci);
		region_map_fini(&d.ports);
		space_fini(&d.space);
		assert_int_equal(test_host_leaks(&d.th), 0);
		test_host_fini(&d.th);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames_go_out_in_any_pieces),
		cmocka_unit_test(offloads_go_with_frames),
		cmocka_unit_test(malformed_frames_are_dropped),
		cmocka_unit_test(offloads_not_agreed_on_are_dropped),
		cmocka_unit_test(a_full_back_end_keeps_the_chain),
		cmocka_unit_test(frames_fill_mergeable_buffers),
		cmocka_unit_test(no_buffer_is_waited_for),
		cmocka_unit_test(what_never_fits_is_lost),
		cmocka_unit_test(a_buffer_without_room_for_a_header_breaks),
		cmocka_unit_test(a_card_that_is_off_takes_nothing),
		cmocka_unit_test(the_front_takes_what_was_agreed_on),
		cmocka_unit_test(the_cable_shows),
		cmocka_unit_test(filters_choose_frames),
		cmocka_unit_test(bad_commands_are_refused),
		cmocka_unit_test(several_pairs),
		cmocka_unit_test(bad_options_are_sentences),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
