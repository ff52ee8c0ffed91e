/* SPDX-License-Identifier: BSD-2-Clause */
/* Back ends on Unix sockets: streams with their framing, hubs, and captures of what passes. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include "host/linux/helper.h"
#include "net_test.h"

static struct test_host th;
static struct loop *loop;
static char dir[64];

static int setup(void **state)
{
	test_host_init(&th, TEST_TIME_REAL);
	strcpy(dir, "/tmp/alcazar-net-XXXXXX");
	assert_non_null(mkdtemp(dir));
	return loop_create("net", &loop, NULL);
}

static int teardown(void **state)
{
	loop_destroy(loop);
	assert_int_equal(rmdir(dir), 0); /* nothing is left */
	assert_int_equal(test_host_leaks(&th), 0);
	test_host_fini(&th);
	return 0;
}

static const char *in_dir(const char *format, const char *name)
{
	static char text[8][200];
	static unsigned turn;
	char *t = text[turn++ % 8];

	snprintf(t, 200, format, dir, name);
	return t;
}

#define OPEN(card_, ...)                                                      \
	do {                                                                  \
		struct alc_err err = {0};                                     \
		struct net_link *l;                                           \
                                                                              \
		if (open_net(&th, loop, &l, &err, __VA_ARGS__, (char *)NULL)) \
			fail_msg("%s", err.text);                             \
		card_attach(card_, l);                                        \
	} while (0)

/* ---- Streams ------------------------------------------------------------------------------ */

static int listen_at(const char *path)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strncpy(a.sun_path, path, sizeof(a.sun_path) - 1);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(fd, 4), 0);
	return fd;
}

/* A stream whose other end is ours. */
static int open_stream(struct card *c)
{
	const char *path = in_dir("%s/%s", "stream");
	int listener = listen_at(path), fd;
	const int size = 2 * 1024 * 1024; /* what a test sends must fit before it is read */

	OPEN(c, "stream", in_dir("path=%s/%s", "stream"));
	fd = accept(listener, NULL, NULL);
	assert_true(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	close(listener);
	unlink(path);
	return fd;
}

static void send_frame(int fd, const u8 *bytes, u32 len)
{
	u32 head = htonl(len);
	struct iovec iov[] = {{&head, 4}, {(u8 *)(uintptr_t)bytes, len}};

	assert_int_equal(writev(fd, iov, 2), 4 + len);
}

static u32 receive_frame(int fd, u8 *bytes)
{
	u32 len;

	assert_int_equal(recv(fd, &len, 4, MSG_WAITALL), 4);
	len = ntohl(len);
	assert_true(len <= NET_FRAME_MAX);
	assert_int_equal(recv(fd, bytes, len, MSG_WAITALL), len);
	return len;
}

static void frames_pass_both_ways(void **state)
{
	static u8 out[NET_FRAME_MAX], in[NET_FRAME_MAX];
	static const u32 sizes[] = {NET_FRAME_MIN, 60, 1514, 9014, 65535, NET_FRAME_MAX};
	struct card c;
	int fd = open_stream(&c);

	for (u32 i = 0; i < sizeof(out); i++)
		out[i] = (u8)(i * 7);
	for (unsigned i = 0; i < ARRAY_LEN(sizes); i++) {
		assert_true(card_send(&c, out, sizes[i]));
		assert_int_equal(receive_frame(fd, in), sizes[i]);
		assert_memory_equal(in, out, sizes[i]);
		send_frame(fd, out, sizes[i]);
		card_await(&c, i + 1);
		assert_int_equal(c.frames[i].len, sizes[i]);
		assert_memory_equal(c.frames[i].bytes, out, sizes[i]);
		assert_int_equal(c.frames[i].offload.flags, 0);
	}
	card_close(&c);
	close(fd);
}

static void a_byte_at_a_time(void **state)
{
	u8 wire[4 + 20 + 4 + 30] = {0, 0, 0, 20};
	struct card c;
	int fd = open_stream(&c);

	memset(wire + 4, 0xa1, 20);
	wire[27] = 30;
	memset(wire + 28, 0xb2, 30);
	for (unsigned i = 0; i < sizeof(wire); i++)
		assert_int_equal(send(fd, wire + i, 1, 0), 1);
	card_await(&c, 2);
	assert_int_equal(c.frames[0].len, 20);
	assert_memory_equal(c.frames[0].bytes, wire + 4, 20);
	assert_int_equal(c.frames[1].len, 30);
	assert_memory_equal(c.frames[1].bytes, wire + 28, 30);
	card_close(&c);
	close(fd);
}

static void hostile_lengths_take_the_cable_out(void **state)
{
	static const u32 lens[] = {0, 13, NET_FRAME_MAX + 1, 0x80000000, 0xffffffff};

	for (unsigned i = 0; i < ARRAY_LEN(lens); i++) {
		u8 frame[60] = {0};
		struct card c;
		int fd = open_stream(&c);
		u32 head = htonl(lens[i]);

		send_frame(fd, frame, sizeof(frame));
		assert_int_equal(send(fd, &head, 4, 0), 4);
		card_await_down(&c);
		assert_int_equal(c.nframes, 1);
		assert_true(card_send(&c, frame, sizeof(frame)));
		card_close(&c);
		close(fd);
	}
	assert_true(test_host_logged(&th, "no frame"));
}

static void a_closed_socket_takes_the_cable_out(void **state)
{
	u8 frame[60] = {0};
	struct card c;
	int fd = open_stream(&c);

	send_frame(fd, frame, sizeof(frame));
	assert_int_equal(send(fd, "\0\0\0", 3, 0), 3);
	close(fd);
	card_await_down(&c);
	assert_int_equal(c.nframes, 1);
	card_close(&c);
}

/* The socket fills up; nothing is lost, and room is told of. */
static void a_slow_reader_is_waited_for(void **state)
{
	enum { FRAMES = 500 };
	static u8 out[65000], in[NET_FRAME_MAX]; /* so large that the socket takes some in part */
	struct card c;
	int fd = open_stream(&c);
	unsigned sent = 0, got = 0;

	while (got < FRAMES) {
		while (sent < FRAMES) {
			memset(out, (int)sent, sizeof(out));
			if (!card_send(&c, out, sizeof(out)))
				break;
			sent++;
		}
		assert_true(sent > got);
		assert_int_equal(receive_frame(fd, in), sizeof(out));
		assert_int_equal(in[0], (u8)got);
		assert_int_equal(in[sizeof(out) - 1], (u8)got);
		got++;
	}
	pthread_mutex_lock(&c.lock);
	while (!c.rooms)
		pthread_cond_wait(&c.changed, &c.lock);
	pthread_mutex_unlock(&c.lock);
	card_close(&c);
	close(fd);
}

static void what_the_card_refuses_comes_again(void **state)
{
	u8 frame[100];
	struct card c;
	int fd = open_stream(&c);

	pthread_mutex_lock(&c.lock);
	c.room = 0;
	pthread_mutex_unlock(&c.lock);
	for (unsigned i = 0; i < 100; i++) {
		memset(frame, (int)i, sizeof(frame));
		send_frame(fd, frame, sizeof(frame));
	}
	for (unsigned i = 0; i < 100; i += 10) {
		pthread_mutex_lock(&c.lock);
		while (!c.refused)
			pthread_cond_wait(&c.changed, &c.lock);
		assert_int_equal(c.nframes, i);
		c.refused = 0;
		c.room = 10;
		pthread_mutex_unlock(&c.lock);
		net_resume(c.link);
		card_await(&c, i + 10);
	}
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(c.frames[i].bytes[50], (u8)i);
	card_close(&c);
	close(fd);
}

static void nothing_to_connect_to(void **state)
{
	struct alc_err err = {0};
	struct net_link *l;
	char opt[PATH_MAX] = "path=";

	assert_int_equal(
		open_net(&th, loop, &l, &err, "stream", in_dir("path=%s/%s", "none"), (char *)NULL),
		-ENOENT);
	assert_non_null(strstr(err.text, "can't connect"));
	err = (struct alc_err){0};
	assert_int_equal(open_net(&th, loop, &l, &err, "stream", (char *)NULL), -EINVAL);
	assert_non_null(strstr(err.text, "path"));
	memset(opt + 5, 'x', 150);
	err = (struct alc_err){0};
	assert_int_equal(open_net(&th, loop, &l, &err, "stream", opt, (char *)NULL), -EINVAL);
	assert_non_null(strstr(err.text, "too long"));
	err = (struct alc_err){0};
	assert_int_equal(open_net(&th, loop, &l, &err, "strem", (char *)NULL), -EINVAL);
	assert_non_null(strstr(err.text, "did you mean 'stream'"));
}

/* ---- Hubs --------------------------------------------------------------------------------- */

static void ethernet(u8 *f, u32 len, u8 to, u8 from, u8 fill)
{
	memset(f, fill, len);
	memcpy(f, (u8[]){2, 0, 0, 0, 0, to}, 6);
	memcpy(f + 6, (u8[]){2, 0, 0, 0, 0, from}, 6);
	if (to == 0xff)
		memset(f, 0xff, 6);
}

static bool exists(const char *path)
{
	struct stat st;

	return !lstat(path, &st);
}

static void a_hub_connects_its_members(void **state)
{
	const char *opt = in_dir("path=%s/%s", "hub");
	struct card c[3];
	u8 f[100];

	for (unsigned i = 0; i < 3; i++)
		OPEN(&c[i], "hub", opt);
	ethernet(f, sizeof(f), 0xff, 0, 1);
	assert_true(card_send(&c[0], f, sizeof(f)));
	card_await(&c[1], 1);
	card_await(&c[2], 1);
	assert_memory_equal(c[1].frames[0].bytes, f, sizeof(f));
	/* To one whose address the hub has not seen: to all. From then on it has. */
	ethernet(f, sizeof(f), 2, 1, 2);
	assert_true(card_send(&c[1], f, sizeof(f)));
	card_await(&c[0], 1);
	card_await(&c[2], 2);
	ethernet(f, sizeof(f), 1, 2, 3);
	assert_true(card_send(&c[2], f, sizeof(f)));
	card_await(&c[1], 2);
	ethernet(f, sizeof(f), 0xff, 2, 4);
	assert_true(card_send(&c[2], f, sizeof(f)));
	card_await(&c[0], 2);
	card_await(&c[1], 3);
	/* The third frame was not for the first member, and nobody hears himself. */
	assert_int_equal(c[0].frames[1].bytes[50], 4);
	assert_int_equal(c[1].nframes, 3);
	assert_int_equal(c[2].nframes, 2);
	for (unsigned i = 0; i < 3; i++)
		card_close(&c[i]);
	assert_false(exists(in_dir("%s/%s", "hub")));
}

static void members_come_and_go(void **state)
{
	const char *opt = in_dir("path=%s/%s", "hub");
	struct card first, other, last;
	u8 f[60];

	OPEN(&first, "hub", opt);
	for (unsigned i = 0; i < 20; i++) {
		OPEN(&other, "hub", opt);
		ethernet(f, sizeof(f), 0xff, 9, (u8)i);
		assert_true(card_send(&other, f, sizeof(f)));
		card_await(&first, i + 1);
		assert_int_equal(first.frames[i].bytes[20], i);
		card_close(&other);
	}
	/* Who started it may leave. */
	OPEN(&last, "hub", opt);
	OPEN(&other, "hub", opt);
	card_close(&first);
	assert_true(card_send(&other, f, sizeof(f)));
	card_await(&last, 1);
	card_close(&other);
	card_close(&last);
	assert_false(exists(in_dir("%s/%s", "hub")));
	for (unsigned i = 0; i < 20; i++) {
		OPEN(&first, "hub", opt);
		card_close(&first);
	}
}

static void *come_and_go(void *arg)
{
	for (unsigned i = 0; i < 20; i++) {
		const struct alc_device_opt o = {"path", arg};
		const struct alc_net_desc d = {.kind = "hub", .opts = &o, .nopts = 1};
		struct alc_err err = {0};
		struct net_link *l;

		if (net_open(&th.host, loop, &d, "net0", &l, &err))
			return strdup(err.text);
		net_close(l);
	}
	return NULL;
}

static void many_at_once(void **state)
{
	char path[100];
	pthread_t t[4];
	void *why;

	snprintf(path, sizeof(path), "%s/hub", dir);
	for (unsigned i = 0; i < ARRAY_LEN(t); i++)
		assert_int_equal(pthread_create(&t[i], NULL, come_and_go, path), 0);
	for (unsigned i = 0; i < ARRAY_LEN(t); i++) {
		pthread_join(t[i], &why);
		if (why)
			fail_msg("%s", (char *)why);
	}
	assert_false(exists(path));
}

struct stand_in {
	int listener, member;
};

/* Welcomes one member, and ends the connection when the member leaves. */
static void *be_a_hub(void *arg)
{
	struct stand_in *hub = arg;
	char c;

	hub->member = accept(hub->listener, NULL, NULL);
	if (hub->member < 0 || helper_answer(hub->member, 0, ""))
		return strdup("the welcome failed");
	while (recv(hub->member, &c, 1, 0) > 0)
		;
	close(hub->member);
	return NULL;
}

/* Else the hub would count a member that nobody is, and who leaves next might find it there. */
static void who_leaves_does_not_connect_again(void **state)
{
	const char *path = in_dir("%s/%s", "hub");
	struct stand_in hub = {.listener = listen_at(path)};
	pthread_t t;
	struct card c;
	void *why;

	assert_int_equal(pthread_create(&t, NULL, be_a_hub, &hub), 0);
	OPEN(&c, "hub", in_dir("path=%s/%s", "hub"));
	card_close(&c);
	pthread_join(t, &why);
	if (why)
		fail_msg("%s", (char *)why);
	assert_true(exists(path));
	assert_int_equal(fcntl(hub.listener, F_SETFL, O_NONBLOCK), 0);
	assert_int_equal(accept(hub.listener, NULL, NULL), -1);
	assert_int_equal(errno, EAGAIN);
	close(hub.listener);
	unlink(path);
}

/* A machine that was killed leaves its hub's name behind. */
static void a_stale_name_is_replaced(void **state)
{
	const char *path = in_dir("%s/%s", "hub");
	struct card c;

	close(listen_at(path));
	assert_true(exists(path));
	OPEN(&c, "hub", in_dir("path=%s/%s", "hub"));
	card_close(&c);
	assert_false(exists(path));
}

static void a_file_is_not_replaced(void **state)
{
	const char *path = in_dir("%s/%s", "file");
	struct alc_err err = {0};
	struct net_link *l;

	fclose(fopen(path, "w"));
	assert_true(open_net(&th, loop, &l, &err, "hub", in_dir("path=%s/%s", "file"),
			     (char *)NULL) < 0);
	assert_non_null(strstr(err.text, "no socket"));
	assert_true(exists(path));
	unlink(path);
}

/* Offloads travel: who takes them gets the frame whole, who does not gets segments. */
static void offloads_pass_a_hub(void **state)
{
	const char *opt = in_dir("path=%s/%s", "hub");
	enum { HEADERS = 54, PAYLOAD = 5000, MSS = 1400 };
	u8 f[HEADERS + PAYLOAD];
	struct alc_iov iov = {f, sizeof(f)};
	struct net_frame frame = {
		&iov, 1, sizeof(f), {NET_NEEDS_CSUM, NET_GSO_TCPV4, HEADERS, MSS, 34, 16}};
	struct card a, takes, plain;

	OPEN(&a, "hub", opt);
	OPEN(&takes, "hub", opt);
	OPEN(&plain, "hub", opt);
	net_front_takes(takes.link, NET_TAKES_CSUM | NET_TAKES_TSO4);
	ethernet(f, sizeof(f), 0xff, 1, 7);
	f[12] = 8;
	f[13] = 0;
	f[14] = 0x45;
	f[16] = (HEADERS - 14 + PAYLOAD) >> 8;
	f[17] = (u8)(HEADERS - 14 + PAYLOAD);
	f[23] = 6;
	f[46] = 5 << 4;
	assert_true(net_send(a.link, &frame));
	card_await(&takes, 1);
	assert_int_equal(takes.frames[0].len, sizeof(f));
	assert_memory_equal(&takes.frames[0].offload, &frame.offload, sizeof(frame.offload));
	card_await(&plain, (PAYLOAD + MSS - 1) / MSS);
	for (unsigned i = 0; i < plain.nframes; i++) {
		assert_true(plain.frames[i].len <= HEADERS + MSS);
		assert_int_equal(plain.frames[i].offload.gso_type | plain.frames[i].offload.flags,
				 0);
	}
	/* What does not fit its bytes stops at the sender. */
	frame.offload.csum_start = 2000;
	assert_true(net_send(a.link, &frame));
	ethernet(f, 60, 0xff, 1, 9);
	assert_true(card_send(&a, f, 60));
	card_await(&takes, 2);
	assert_int_equal(takes.frames[1].len, 60);
	card_close(&a);
	card_close(&takes);
	card_close(&plain);
}

/* ---- Captures ----------------------------------------------------------------------------- */

/* What a command prints, without the last newline; a skip if there is no such program. */
static void output_of(const char *command, char *out, size_t size)
{
	FILE *p = popen(command, "r");
	size_t n;

	assert_non_null(p);
	n = fread(out, 1, size - 1, p);
	out[n] = 0;
	if (n && out[n - 1] == '\n')
		out[n - 1] = 0;
	if (pclose(p))
		fail_msg("%s failed: %s", command, out);
}

static void a_capture_is_pcapng(void **state)
{
	const char *path = in_dir("%s/%s", "cap.pcapng");
	char command[400], text[4000];
	struct card a, b;
	u8 f[101];

	OPEN(&a, "hub", in_dir("path=%s/%s", "hub"), in_dir("capture=%s/%s", "cap.pcapng"));
	OPEN(&b, "hub", in_dir("path=%s/%s", "hub"));
	for (u8 i = 0; i < 4; i++) { /* all paddings */
		ethernet(f, 60u + i, 0xff, 1, i);
		assert_true(card_send(&a, f, 60u + i));
		card_await(&b, i + 1u);
	}
	ethernet(f, sizeof(f), 0xff, 2, 9);
	assert_true(card_send(&b, f, sizeof(f)));
	card_await(&a, 1);
	card_close(&a);
	card_close(&b);
	if (system("command -v tshark >/dev/null")) {
		unlink(path);
		print_message("tshark is not installed: the capture's format was not checked\n");
		skip();
	}
	snprintf(command, sizeof(command),
		 "tshark -r %s -T fields -e frame.len -e frame.interface_name -e eth.src "
		 "-e frame.packet_flags_direction -e frame.time_epoch 2>/dev/null",
		 path);
	output_of(command, text, sizeof(text));
	for (unsigned i = 0; i < 5; i++) {
		char src[20], name[20], *line = i ? strchr(text, '\n') : text;
		unsigned len, ns;
		unsigned long direction, s;

		assert_non_null(line);
		line += i > 0;
		assert_int_equal(sscanf(line, "%u %19s %19s %lx %lu.%9u", &len, name, src,
					&direction, &s, &ns),
				 6);
		assert_int_equal(len, i < 4 ? 60 + i : 101);
		assert_string_equal(name, "net0");
		assert_string_equal(src, i < 4 ? "02:00:00:00:00:01" : "02:00:00:00:00:02");
		assert_int_equal(direction, i < 4 ? 2 : 1);
		assert_true(s >= 1600000000);
		if (i)
			*(line - 1) = ' ';
		*strchrnul(line, '\n') = i < 4 ? '\n' : 0;
	}
	unlink(path);
}

static void a_capture_that_cannot_be(void **state)
{
	struct alc_err err = {0};
	struct net_link *l;

	assert_true(open_net(&th, loop, &l, &err, "null", in_dir("capture=%s/none/%s", "x"),
			     (char *)NULL) < 0);
	assert_non_null(strstr(err.text, "packet capture"));
}

/* The file can't grow: one line, whole blocks in the file, and the network goes on. */
static void a_full_disk_ends_only_the_capture(void **state)
{
	struct rlimit old, small;
	const char *path = in_dir("%s/%s", "cap.pcapng");
	struct stat st;
	struct card c;
	u8 f[60];

	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	OPEN(&c, "null", in_dir("capture=%s/%s", "cap.pcapng"));
	assert_int_equal(stat(path, &st), 0);
	small = (struct rlimit){(rlim_t)st.st_size + 250, old.rlim_max};
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	ethernet(f, sizeof(f), 0xff, 1, 1);
	for (unsigned i = 0; i < 10; i++)
		assert_true(card_send(&c, f, sizeof(f)));
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	for (unsigned i = 0; i < 10; i++)
		assert_true(card_send(&c, f, sizeof(f)));
	card_close(&c);
	small.rlim_cur = (rlim_t)st.st_size + 2 * (28 + 60 + 16); /* two whole packets fitted */
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, small.rlim_cur);
	assert_true(test_host_logged(&th, "the packet capture ended"));
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames_pass_both_ways),
		cmocka_unit_test(a_byte_at_a_time),
		cmocka_unit_test(hostile_lengths_take_the_cable_out),
		cmocka_unit_test(a_closed_socket_takes_the_cable_out),
		cmocka_unit_test(a_slow_reader_is_waited_for),
		cmocka_unit_test(what_the_card_refuses_comes_again),
		cmocka_unit_test(nothing_to_connect_to),
		cmocka_unit_test(a_hub_connects_its_members),
		cmocka_unit_test(members_come_and_go),
		cmocka_unit_test(many_at_once),
		cmocka_unit_test(who_leaves_does_not_connect_again),
		cmocka_unit_test(a_stale_name_is_replaced),
		cmocka_unit_test(a_file_is_not_replaced),
		cmocka_unit_test(offloads_pass_a_hub),
		cmocka_unit_test(a_capture_is_pcapng),
		cmocka_unit_test(a_capture_that_cannot_be),
		cmocka_unit_test(a_full_disk_ends_only_the_capture),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
