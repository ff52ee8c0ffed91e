/* SPDX-License-Identifier: BSD-2-Clause */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "virtio_driver.h"

#include "base/errno.h"
#include "virtio/linux/vsock_unix.h"
#include "virtio/vsock.h"

/*
 * Against virtio 1.2, 5.10: first the device with a host's end that is a buffer here, then with
 * Unix sockets.
 */
extern const struct alc_dev_class virtio_vsock_class;

enum { RX, TX, EVENT };
enum { REQUEST = 1, RESPONSE, RST, SHUTDOWN, RW, CREDIT_UPDATE, CREDIT_REQUEST };
enum { CID = 3, HOST = 2, STREAM = 1, HEADER = 44, BUFFER = 65536 };
enum { AT_TX = VD_DATA, AT_RX = VD_DATA + 0x20000, RX_LEN = 4096, AT_EVENT = VD_DATA + 0x18000 };

struct packet {
	u64 src_cid, dst_cid;
	u32 src_port, dst_port, len;
	u16 type, op;
	u32 flags, buf_alloc, fwd_cnt;
};

/* A host's end. */
struct end {
	char in[256]; /* for the guest to read */
	size_t in_len;
	char out[2 * BUFFER]; /* what the guest wrote */
	size_t out_len, room; /* bytes it takes yet */
	bool eof, broken, open, connected, shut, closed, want_read, want_write;
	struct vsock_conn *c;
};

struct bench {
	struct vd d;
	struct end end;
	u32 port;           /* that was last connected to */
	int refuse;         /* -errno */
	u16 next_rx, heads; /* buffers of the receive queue, in order */
};

static int e_connect(void *ctx, u32 port, struct vsock_conn *c, void **end)
{
	struct bench *b = ctx;

	b->port = port;
	if (b->refuse)
		return b->refuse;
	b->end.open = true;
	b->end.c = c;
	*end = &b->end;
	return 0;
}

static void e_connected(void *end)
{
	((struct end *)end)->connected = true;
}

static i64 e_read(void *end, const struct alc_iov *iov, unsigned n)
{
	struct end *e = end;
	size_t len = iov_copy_to(iov, n, 0, e->in, e->in_len);

	assert_false(e->closed);
	if (!len)
		return e->broken ? -EPIPE : e->eof ? 0 : -EAGAIN;
	memmove(e->in, e->in + len, e->in_len - len);
	e->in_len -= len;
	return (i64)len;
}

static i64 e_write(void *end, const u8 *bytes, size_t len)
{
	struct end *e = end;

	assert_false(e->closed);
	if (e->broken)
		return -EPIPE;
	len = len < e->room ? len : e->room;
	if (!len)
		return -EAGAIN;
	memcpy(e->out + e->out_len, bytes, len);
	e->out_len += len;
	e->room -= len;
	return (i64)len;
}

static void e_watch(void *end, bool readable, bool writable)
{
	struct end *e = end;

	e->want_read = readable;
	e->want_write = writable;
}

static void e_shutdown(void *end)
{
	assert_false(((struct end *)end)->shut);
	((struct end *)end)->shut = true;
}

static void e_close(void *end)
{
	struct end *e = end;

	assert_false(e->closed);
	e->closed = true;
	e->c = NULL;
}

static const struct vsock_ops end_ops = {.connect = e_connect,
					 .connected = e_connected,
					 .read = e_read,
					 .write = e_write,
					 .watch = e_watch,
					 .shutdown = e_shutdown,
					 .close = e_close};

/* ---- the driver ---- */

static void add_rx(struct bench *b, u32 len)
{
	const struct vd_buf buf = {AT_RX + (b->heads % 8) * RX_LEN, len, true};

	vd_add(&b->d, RX, &buf, 1);
	vd_kick(&b->d, RX);
	b->heads++;
}

static void put_packet(struct vd *d, const struct packet *p)
{
	u8 *at = vd_mem(d, AT_TX);

	st64(at, p->src_cid);
	st64(at + 8, p->dst_cid);
	st32(at + 16, p->src_port);
	st32(at + 20, p->dst_port);
	st32(at + 24, p->len);
	st16(at + 28, p->type);
	st16(at + 30, p->op);
	st32(at + 32, p->flags);
	st32(at + 36, p->buf_alloc);
	st32(at + 40, p->fwd_cnt);
}

static void send_packet(struct bench *b, const struct packet *p, u32 real_len)
{
	const struct vd_buf buf = {AT_TX, HEADER + real_len, false};

	put_packet(&b->d, p);
	vd_add(&b->d, TX, &buf, 1);
	vd_kick(&b->d, TX);
	assert_int_equal(vd_done(&b->d, TX), 0);
}

static struct packet packet(u16 op)
{
	return (struct packet){.src_cid = CID,
			       .dst_cid = HOST,
			       .src_port = 1000,
			       .dst_port = 80,
			       .type = STREAM,
			       .op = op,
			       .buf_alloc = 1 << 20};
}

static void send_op(struct bench *b, u16 op, u32 flags)
{
	struct packet p = packet(op);

	p.flags = flags;
	send_packet(b, &p, 0);
}

static void send_text(struct bench *b, const void *text, u32 len)
{
	struct packet p = packet(RW);

	p.len = len;
	memcpy(vd_mem(&b->d, AT_TX + HEADER), text, len);
	send_packet(b, &p, len);
}

/* The device's next packet, if there is one; its data stand at *data. */
static bool next_packet(struct bench *b, struct packet *p, const u8 **data)
{
	const u8 *at = vd_mem(&b->d, AT_RX + (b->next_rx % 8) * RX_LEN);
	u32 len;
	u16 id;

	if (!vd_used(&b->d, RX, &id, &len))
		return false;
	b->next_rx++;
	assert_true(len >= HEADER);
	*p = (struct packet){ld64(at),      ld64(at + 8),  ld32(at + 16), ld32(at + 20),
			     ld32(at + 24), ld16(at + 28), ld16(at + 30), ld32(at + 32),
			     ld32(at + 36), ld32(at + 40)};
	assert_int_equal(p->len, len - HEADER);
	*data = at + HEADER;
	return true;
}

static struct packet expect(struct bench *b, u16 op)
{
	struct packet p = {0};
	const u8 *data;

	if (!next_packet(b, &p, &data))
		fail_msg("no packet, where operation %u was expected", op);
	assert_int_equal(p.op, op);
	assert_int_equal(p.src_cid, HOST);
	assert_int_equal(p.dst_cid, CID);
	add_rx(b, RX_LEN);
	return p;
}

static void expect_text(struct bench *b, const char *text)
{
	struct packet p;
	const u8 *data;

	assert_true(next_packet(b, &p, &data));
	assert_int_equal(p.op, RW);
	assert_int_equal(p.len, strlen(text));
	assert_memory_equal(data, text, p.len);
	add_rx(b, RX_LEN);
}

static void expect_nothing(struct bench *b)
{
	struct packet p;
	const u8 *data;

	if (next_packet(b, &p, &data))
		fail_msg("operation %u, where nothing was expected", p.op);
}

static void up(struct bench *b)
{
	vd_up(&b->d, ~0ull, 3);
	b->heads = b->next_rx = 0;
	for (unsigned i = 0; i < 8; i++)
		add_rx(b, RX_LEN);
}

static int open_bench(void **state, bool attach)
{
	struct bench *b = calloc(1, sizeof(*b));

	assert_non_null(b);
	vd_init(&b->d);
	vd_create(&b->d, &virtio_vsock_class, NULL, 0);
	if (attach)
		virtio_vsock_attach(b->d.dev, &end_ops, b);
	b->end.room = sizeof(b->end.out);
	up(b);
	*state = b;
	return 0;
}

static int setup(void **state)
{
	return open_bench(state, true);
}

static int setup_plain(void **state)
{
	return open_bench(state, false);
}

static int teardown(void **state)
{
	struct bench *b = *state;

	virtio_vsock_attach(b->d.dev, NULL, NULL);
	vd_fini(&b->d);
	free(b);
	return 0;
}

static void establish(struct bench *b)
{
	struct packet p;

	send_op(b, REQUEST, 0);
	p = expect(b, RESPONSE);
	assert_int_equal(p.src_port, 80);
	assert_int_equal(p.dst_port, 1000);
	assert_int_equal(p.buf_alloc, BUFFER);
	assert_true(b->end.want_read);
}

static void ready(struct bench *b, bool readable, bool writable)
{
	dev_lock(b->d.dev);
	vsock_ready(b->end.c, readable, writable);
	dev_unlock(b->d.dev);
}

static void type_in(struct bench *b, const char *text)
{
	memcpy(b->end.in + b->end.in_len, text, strlen(text));
	b->end.in_len += strlen(text);
	ready(b, true, false);
}

/* ---- the device ---- */

static void guest_connects(void **state)
{
	struct bench *b = *state;

	assert_int_equal(dev_read(b->d.dev, VD_DEVICE, 0, 8), CID);
	establish(b);
	assert_int_equal(b->port, 80);
	send_text(b, "hello", 5);
	assert_int_equal(b->end.out_len, 5);
	assert_memory_equal(b->end.out, "hello", 5);
	type_in(b, "answer");
	expect_text(b, "answer");
	assert_true(b->end.want_read);
	expect_nothing(b);
	/* Both sides end, one after the other. */
	send_op(b, SHUTDOWN, 2);
	assert_true(b->end.shut);
	type_in(b, "more");
	expect_text(b, "more");
	b->end.eof = true;
	ready(b, true, false);
	assert_int_equal(expect(b, SHUTDOWN).flags, 2);
	assert_false(b->end.want_read);
	send_op(b, SHUTDOWN, 3);
	expect(b, RST);
	assert_true(b->end.closed);
	expect_nothing(b);
}

static void host_refuses(void **state)
{
	struct bench *b = *state;
	struct packet p;

	b->refuse = -ECONNREFUSED;
	send_op(b, REQUEST, 0);
	p = expect(b, RST);
	assert_int_equal(p.src_port, 80);
	assert_int_equal(p.dst_port, 1000);
	b->refuse = 0;
	establish(b);
}

static void host_connects(void **state)
{
	struct bench *b = *state;
	struct packet p = packet(RESPONSE);
	struct vsock_conn *again;

	dev_lock(b->d.dev);
	assert_int_equal(vsock_connect(b->d.dev, 1000, 80, &b->end, &b->end.c), 0);
	assert_int_equal(vsock_connect(b->d.dev, 1000, 80, &b->end, &again), -EEXIST);
	dev_unlock(b->d.dev);
	expect(b, REQUEST);
	assert_false(b->end.connected);
	send_packet(b, &p, 0);
	assert_true(b->end.connected);
	type_in(b, "question");
	expect_text(b, "question");
	send_op(b, RST, 0);
	assert_true(b->end.closed);
	expect_nothing(b);
	vd_set(&b->d, R_STATUS, 0, 1);
	dev_lock(b->d.dev);
	assert_int_equal(vsock_connect(b->d.dev, 1000, 80, &b->end, &again), -ENOTCONN);
	dev_unlock(b->d.dev);
}

static void guest_refuses(void **state)
{
	struct bench *b = *state;

	dev_lock(b->d.dev);
	assert_int_equal(vsock_connect(b->d.dev, 1000, 80, &b->end, &b->end.c), 0);
	dev_unlock(b->d.dev);
	expect(b, REQUEST);
	send_op(b, RST, 0);
	assert_true(b->end.closed);
	assert_false(b->end.connected);
}

/* The guest may send what the buffer holds, and hears of it when that has gone on. */
static void credit_of_the_guest(void **state)
{
	static char text[BUFFER];
	struct bench *b = *state;

	for (unsigned i = 0; i < BUFFER; i++)
		text[i] = (char)(i * 7 + i / 251);
	establish(b);
	b->end.room = 1000;
	send_text(b, text, BUFFER / 2);
	send_text(b, text + BUFFER / 2, BUFFER / 2);
	assert_int_equal(b->end.out_len, 1000);
	assert_true(b->end.want_write);
	expect_nothing(b);
	send_text(b, text, 1000); /* has become free */
	b->end.room = 40000;
	ready(b, false, true);
	assert_int_equal(expect(b, CREDIT_UPDATE).fwd_cnt, 41000);
	b->end.room = sizeof(b->end.out);
	ready(b, false, true);
	assert_false(b->end.want_write);
	assert_int_equal(b->end.out_len, BUFFER + 1000);
	assert_memory_equal(b->end.out, text, BUFFER);
	assert_memory_equal(b->end.out + BUFFER, text, 1000);
	send_op(b, CREDIT_REQUEST, 0);
	assert_int_equal(expect(b, CREDIT_UPDATE).fwd_cnt, BUFFER + 1000);
	/* More than that is a breach. */
	b->end.room = 0;
	send_text(b, text, BUFFER);
	expect_nothing(b);
	send_text(b, text, 1);
	expect(b, RST);
	assert_true(b->end.closed);
}

/* No more is read from the host than the guest has room for. */
static void credit_of_the_host(void **state)
{
	struct bench *b = *state;
	struct packet p = packet(REQUEST);

	p.buf_alloc = 4;
	send_packet(b, &p, 0);
	expect(b, RESPONSE);
	type_in(b, "abcdef");
	expect_text(b, "abcd");
	expect(b, CREDIT_REQUEST);
	expect_nothing(b);
	assert_int_equal(b->end.in_len, 2);
	/* Still none: it isn't asked again and again. */
	p.op = CREDIT_UPDATE;
	send_packet(b, &p, 0);
	expect_nothing(b);
	p.fwd_cnt = 1;
	send_packet(b, &p, 0);
	expect_text(b, "e");
	expect(b, CREDIT_REQUEST);
	p.fwd_cnt = 100; /* more than was ever sent */
	send_packet(b, &p, 0);
	expect_nothing(b);
	p.fwd_cnt = 5;
	send_packet(b, &p, 0);
	expect_text(b, "f");
}

/* With few buffers nothing is lost, and connections take turns. */
static void without_buffers(void **state)
{
	struct bench *b = *state;
	struct packet p;
	const u8 *data;

	establish(b);
	for (unsigned i = 0; i < 8; i++) { /* take them all away */
		type_in(b, "x");
		assert_true(next_packet(b, &p, &data));
	}
	type_in(b, "kept");
	assert_int_equal(b->end.in_len, 4);
	for (unsigned i = 0; i < 200; i++) { /* to nobody */
		struct packet q = packet(RW);
		const struct vd_buf buf = {AT_TX, HEADER, false};

		q.src_port = 5000 + i;
		put_packet(&b->d, &q);
		if (i < 70)
			vd_add(&b->d, TX, &buf, 1);
		vd_kick(&b->d, TX);
		if (i < 64) /* as many refusals as are kept */
			assert_int_equal(vd_done(&b->d, TX), 0);
	}
	assert_false(vd_used(&b->d, TX, &(u16){0}, &(u32){0}));
	for (unsigned i = 0; i < 71; i++) {
		add_rx(b, RX_LEN);
		assert_true(next_packet(b, &p, &data));
		assert_true(p.op == RST || p.op == RW);
	}
	assert_int_equal(b->end.in_len, 0);
}

static void nonsense(void **state)
{
	struct bench *b = *state;
	struct packet p = packet(RW);

	send_packet(b, &p, 0); /* no such connection */
	expect(b, RST);
	p.op = RST;
	send_packet(b, &p, 0); /* that is not answered */
	expect_nothing(b);
	p = packet(REQUEST);
	p.src_cid = 4; /* in another's name */
	send_packet(b, &p, 0);
	expect_nothing(b);
	p = packet(REQUEST);
	p.type = 2;
	send_packet(b, &p, 0);
	assert_int_equal(expect(b, RST).type, 2);
	p = packet(REQUEST);
	p.dst_cid = 9;
	send_packet(b, &p, 0);
	{
		struct packet got;
		const u8 *data;

		assert_true(next_packet(b, &got, &data));
		assert_int_equal(got.op, RST);
		assert_int_equal(got.src_cid, 9);
		add_rx(b, RX_LEN);
	}
	establish(b);
	send_op(b, REQUEST, 0); /* again */
	expect(b, RST);
	assert_true(b->end.closed);
	b->end.closed = false;
	establish(b);
	p = packet(RW);
	p.len = 0xffffffff;
	send_packet(b, &p, 10);
	expect(b, RST);
	b->end.closed = false;
	establish(b);
	p.len = 11; /* longer than the chain */
	send_packet(b, &p, 10);
	expect(b, RST);
	b->end.closed = false;
	establish(b);
	send_op(b, 77, 0);
	expect(b, RST);
	assert_true(vd_get(&b->d, R_STATUS, 1) & S_DRIVER_OK);
	assert_false(vd_get(&b->d, R_STATUS, 1) & S_NEEDS_RESET);
}

static void a_buffer_without_room(void **state)
{
	struct bench *b = *state;

	up(b);
	vd_up(&b->d, ~0ull, 3);
	b->heads = b->next_rx = 0;
	add_rx(b, HEADER);
	{
		const struct packet p = packet(RW);
		const struct vd_buf buf = {AT_TX, HEADER, false};

		put_packet(&b->d, &p);
		vd_add(&b->d, TX, &buf, 1);
		vd_kick(&b->d, TX);
	}
	assert_true(vd_get(&b->d, R_STATUS, 1) & S_NEEDS_RESET);
}

static void host_goes_away(void **state)
{
	struct bench *b = *state;

	establish(b);
	memcpy(b->end.in, "last", 4);
	b->end.in_len = 4;
	b->end.eof = true;
	dev_lock(b->d.dev);
	vsock_hang_up(b->end.c);
	dev_unlock(b->d.dev);
	expect_text(b, "last");
	assert_int_equal(expect(b, SHUTDOWN).flags, 3);
	b->end.broken = true;
	send_text(b, "to nobody", 9);
	expect(b, RST);
	assert_true(b->end.closed);
}

static void reset_closes_all(void **state)
{
	struct bench *b = *state;

	establish(b);
	b->end.room = 0;
	send_text(b, "waits", 5);
	vd_set(&b->d, R_STATUS, 0, 1);
	assert_true(b->end.closed);
	b->end.closed = false;
	b->end.room = 100;
	up(b);
	establish(b);
	send_text(b, "fresh", 5);
	assert_memory_equal(b->end.out, "fresh", 5);
}

static void a_load_tells_the_guest(void **state)
{
	struct bench *b = *state;
	const struct vd_buf buf = {AT_EVENT, 4, true};
	size_t len = dev_save_size(b->d.dev);
	u8 *saved = malloc(len);
	struct alc_err err = {0};

	assert_non_null(saved);
	establish(b);
	vd_add(&b->d, EVENT, &buf, 1);
	vd_kick(&b->d, EVENT);
	assert_false(vd_used(&b->d, EVENT, &(u16){0}, &(u32){0}));
	st32(vd_mem(&b->d, AT_EVENT), 0x55555555);
	dev_save(b->d.dev, saved);
	if (dev_load(b->d.dev, saved, len, &err))
		fail_msg("%s", err.text);
	assert_true(b->end.closed);
	assert_int_equal(vd_done(&b->d, EVENT), 4);
	assert_int_equal(ld32(vd_mem(&b->d, AT_EVENT)), 0);
	free(saved);
}

static void many_connections(void **state)
{
	struct bench *b = *state;
	unsigned taken = 0;

	for (unsigned i = 0; i < 600; i++) {
		struct packet p = packet(REQUEST), got;
		const u8 *data;

		p.src_port = 2000 + i;
		b->end.closed = false;
		send_packet(b, &p, 0);
		assert_true(next_packet(b, &got, &data));
		assert_true(got.op == RESPONSE || got.op == RST);
		taken += got.op == RESPONSE;
		assert_int_equal(got.dst_port, 2000 + i);
		add_rx(b, RX_LEN);
	}
	assert_int_equal(taken, 512);
	for (unsigned i = 0; i < 600; i++) {
		struct packet p = packet(RST);

		p.src_port = 2000 + i;
		b->end.closed = false;
		send_packet(b, &p, 0);
	}
	establish(b);
}

/* ---- Unix sockets ---- */

struct host_side {
	char dir[64], path[80];
	struct loop *loop;
	struct vsock_unix *u;
};

static void host_open(struct host_side *h, struct bench *b)
{
	struct alc_err err = {0};

	snprintf(h->dir, sizeof(h->dir), "/tmp/vsock-test-XXXXXX");
	assert_non_null(mkdtemp(h->dir));
	snprintf(h->path, sizeof(h->path), "%s/s", h->dir);
	assert_int_equal(loop_create("vsock-test", &h->loop, &err), 0);
	if (vsock_unix_create(b->d.dev, h->path, h->loop, &h->u, &err))
		fail_msg("%s", err.text);
}

static void host_close(struct host_side *h)
{
	vsock_unix_destroy(h->u);
	assert_int_not_equal(access(h->path, F_OK), 0);
	loop_destroy(h->loop);
	assert_int_equal(rmdir(h->dir), 0);
}

static int unix_fd(const char *path, bool listening)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), r;

	assert_true(fd >= 0);
	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	r = listening ? bind(fd, (struct sockaddr *)&a, sizeof(a)) || listen(fd, 4)
		      : connect(fd, (struct sockaddr *)&a, sizeof(a));
	assert_int_equal(r, 0);
	return fd;
}

/* The device works on the loop's thread here: wait until its next packet is there. */
static struct packet await(struct bench *b, u16 op, const u8 **data)
{
	struct packet p = {0};

	while (!next_packet(b, &p, data))
		usleep(100);
	assert_int_equal(p.op, op);
	add_rx(b, RX_LEN);
	return p;
}

static void read_text(int fd, const char *text)
{
	char got[256];
	size_t len = strlen(text), n = 0;

	while (n < len) {
		ssize_t r = read(fd, got + n, len - n);

		assert_true(r > 0);
		n += (size_t)r;
	}
	assert_memory_equal(got, text, len);
}

static void unix_host_connects(void **state)
{
	struct bench *b = *state;
	struct host_side h;
	struct packet p;
	const u8 *data;
	char line[64], c;
	int fd;

	host_open(&h, b);
	fd = unix_fd(h.path, false);
	assert_int_equal(write(fd, "CONN", 4), 4); /* a line may come in pieces */
	assert_int_equal(write(fd, "ECT 1000\nahead", 14), 14);
	p = await(b, REQUEST, &data);
	assert_int_equal(p.dst_port, 1000);
	{
		struct packet answer = packet(RESPONSE);

		answer.dst_port = p.src_port;
		send_packet(b, &answer, 0);
		snprintf(line, sizeof(line), "OK %u\n", p.src_port);
		read_text(fd, line);
		assert_int_equal(await(b, RW, &data).len, 5);
		assert_memory_equal(data, "ahead", 5);
		answer.op = RW;
		answer.len = 3;
		memcpy(vd_mem(&b->d, AT_TX + HEADER), "yes", 3);
		send_packet(b, &answer, 3);
		read_text(fd, "yes");
		assert_int_equal(write(fd, "bye", 3), 3);
		assert_int_equal(await(b, RW, &data).len, 3);
		shutdown(fd, SHUT_WR);
		assert_int_equal(await(b, SHUTDOWN, &data).flags, 2);
		answer.op = SHUTDOWN;
		answer.flags = 3;
		answer.len = 0;
		send_packet(b, &answer, 0);
		await(b, RST, &data);
		assert_int_equal(read(fd, &c, 1), 0);
	}
	close(fd);
	host_close(&h);
}

static void unix_bad_lines(void **state)
{
	static const char *const lines[] = {"\n",
					    "CONNECT\n",
					    "CONNECT \n",
					    "CONNECT x\n",
					    "CONNECT -1\n",
					    "CONNECT 4294967296\n",
					    "CONNECT 12 \n",
					    "connect 12\n",
					    "CONNECT 00000000000000000000000000000012\n"};
	struct bench *b = *state;
	struct host_side h;
	char c;
	int fd;

	host_open(&h, b);
	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		ssize_t len = (ssize_t)strlen(lines[i]);

		fd = unix_fd(h.path, false);
		assert_int_equal(send(fd, lines[i], (size_t)len, MSG_NOSIGNAL), len);
		assert_true(read(fd, &c, 1) <= 0);
		close(fd);
	}
	fd = unix_fd(h.path, false); /* one that never says anything */
	expect_nothing(b);
	host_close(&h);
	close(fd);
}

static void unix_guest_connects(void **state)
{
	struct bench *b = *state;
	struct host_side h;
	char path[96];
	const u8 *data;
	int listener, fd;

	host_open(&h, b);
	send_op(b, REQUEST, 0); /* nobody listens */
	await(b, RST, &data);
	snprintf(path, sizeof(path), "%s_80", h.path);
	listener = unix_fd(path, true);
	send_op(b, REQUEST, 0);
	await(b, RESPONSE, &data);
	fd = accept(listener, NULL, NULL);
	assert_true(fd >= 0);
	send_text(b, "hello", 5);
	read_text(fd, "hello");
	assert_int_equal(write(fd, "world", 5), 5);
	assert_int_equal(await(b, RW, &data).len, 5);
	assert_memory_equal(data, "world", 5);
	/* The host's program ends. */
	close(fd);
	assert_int_equal(await(b, SHUTDOWN, &data).flags & 2, 2);
	send_text(b, "more", 4);
	await(b, RST, &data);
	/* And one that is open when all is taken down. */
	send_op(b, REQUEST, 0);
	await(b, RESPONSE, &data);
	fd = accept(listener, NULL, NULL);
	unlink(path);
	host_close(&h);
	assert_int_equal(read(fd, path, 1), 0);
	close(fd);
	close(listener);
}

static void unix_paths(void **state)
{
	struct bench *b = *state;
	struct host_side h;
	struct alc_err err = {0};
	struct vsock_unix *u;
	char path[200];
	int fd;

	host_open(&h, b);
	assert_int_equal(vsock_unix_create(b->d.dev, h.path, h.loop, &u, &err), -EADDRINUSE);
	assert_true(err.text[0]);
	memset(path, 'x', sizeof(path));
	path[199] = 0;
	assert_int_equal(vsock_unix_create(b->d.dev, path, h.loop, &u, NULL), -EINVAL);
	assert_int_equal(vsock_unix_create(b->d.dev, "", h.loop, &u, NULL), -EINVAL);
	assert_int_equal(vsock_unix_create(b->d.dev, "/nonexistent/s", h.loop, &u, NULL), -ENOENT);
	/* Who is gone doesn't stand in the way. */
	snprintf(path, sizeof(path), "%s/stale", h.dir);
	fd = unix_fd(path, true);
	close(fd);
	assert_int_equal(access(path, F_OK), 0);
	vsock_unix_destroy(h.u);
	assert_int_equal(vsock_unix_create(b->d.dev, path, h.loop, &h.u, NULL), 0);
	assert_int_equal(rmdir(h.dir), -1);
	host_close(&h);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define UNIX(name) cmocka_unit_test_setup_teardown(name, setup_plain, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(guest_connects),
		TEST(host_refuses),
		TEST(host_connects),
		TEST(guest_refuses),
		TEST(credit_of_the_guest),
		TEST(credit_of_the_host),
		TEST(without_buffers),
		TEST(nonsense),
		TEST(a_buffer_without_room),
		TEST(host_goes_away),
		TEST(reset_closes_all),
		TEST(a_load_tells_the_guest),
		TEST(many_connections),
		UNIX(unix_host_connects),
		UNIX(unix_bad_lines),
		UNIX(unix_guest_connects),
		UNIX(unix_paths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
