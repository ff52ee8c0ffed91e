/* SPDX-License-Identifier: BSD-2-Clause */
/* The user-mode network: a guest made of a few frames on one side, sockets of ours on the other. */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net_guest.h"

static struct test_host th;
static struct loop *loop;
static struct guest guest = {
	.mac = {0x52, 0x54, 0, 0x12, 0x34, 0x56},
	.ip = 0x0a00020f,
	.gateway = 0x0a000202,
};
static int setup(void **state)
{
	test_host_init(&th, TEST_TIME_REAL);
	return loop_create("net", &loop, NULL);
}

static int teardown(void **state)
{
	loop_destroy(loop);
	assert_int_equal(test_host_leaks(&th), 0);
	test_host_fini(&th);
	return 0;
}

#define OPEN(...)                                                                       \
	do {                                                                            \
		struct alc_err err = {0};                                               \
		struct net_link *l;                                                     \
                                                                                        \
		if (open_net(&th, loop, &l, &err, "user", ##__VA_ARGS__, (char *)NULL)) \
			fail_msg("%s", err.text);                                       \
		card_attach(&guest.card, l);                                            \
	} while (0)

/* ---- Host side ---------------------------------------------------------------------------- */

static int local_socket(int type, u16 *port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, len), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
	*port = ntohs(a.sin_port);
	return fd;
}

static u16 free_port(int type)
{
	u16 port;

	close(local_socket(type, &port));
	return port;
}

static int connect_to(u16 port)
{
	struct sockaddr_in a = {.sin_family = AF_INET,
				.sin_addr = {htonl(INADDR_LOOPBACK)},
				.sin_port = htons(port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	return fd;
}

/* Processes of that name that are children of this one. */
static pid_t find_child(const char *name, char *status, size_t size)
{
	DIR *d = opendir("/proc");
	struct dirent *e;
	pid_t found = 0;

	assert_non_null(d);
	while (!found && (e = readdir(d))) {
		char path[64], ppid[32], *line;
		FILE *f;
		size_t n;

		snprintf(path, sizeof(path), "/proc/%.20s/status", e->d_name);
		f = e->d_name[0] >= '1' && e->d_name[0] <= '9' ? fopen(path, "r") : NULL;
		if (!f)
			continue;
		n = fread(status, 1, size - 1, f);
		status[n] = 0;
		fclose(f);
		snprintf(ppid, sizeof(ppid), "\nPPid:\t%d\n", getpid());
		line = strstr(status, ppid);
		if (line && !strncmp(status + 6, name, strlen(name)))
			found = atoi(e->d_name);
	}
	closedir(d);
	return found;
}

/* ---- Tests -------------------------------------------------------------------------------- */

static void tcp_reaches_the_host(void **state)
{
	u16 port;
	int listener = local_socket(SOCK_STREAM, &port), fd;
	const u8 *f;
	u32 len, ack;
	char got[16] = {0};

	listen(listener, 1);
	OPEN();
	meet_gateway(&guest);
	send_tcp(&guest, 1234, port, 100, 0, 2, "");
	f = card_find(&guest.card, is_syn_ack, &len);
	assert_int_equal(get32(f + 42), 101);
	ack = get32(f + 38) + 1;
	send_tcp(&guest, 1234, port, 101, ack, 0x10, "");
	send_tcp(&guest, 1234, port, 101, ack, 0x18, "hello");
	fd = accept(listener, NULL, NULL);
	assert_int_equal(recv(fd, got, 5, MSG_WAITALL), 5);
	assert_string_equal(got, "hello");
	assert_int_equal(send(fd, "world", 5, 0), 5);
	f = card_find(&guest.card, has_data, &len);
	assert_memory_equal(f + len - 5, "world", 5);
	card_close(&guest.card);
	close(fd);
	close(listener);
}

static void udp_reaches_the_host(void **state)
{
	struct sockaddr_in from;
	socklen_t from_len = sizeof(from);
	u16 port;
	int fd = local_socket(SOCK_DGRAM, &port);
	u8 u[12] = {0};
	char got[16] = {0};
	const u8 *f;
	u32 len;

	OPEN();
	meet_gateway(&guest);
	put16(u, 4321);
	put16(u + 2, port);
	put16(u + 4, 12);
	memcpy(u + 8, "ping", 4);
	send_ip(&guest, 17, guest.gateway, u, 12, 6);
	assert_int_equal(recvfrom(fd, got, sizeof(got), 0, (struct sockaddr *)&from, &from_len), 4);
	assert_string_equal(got, "ping");
	assert_int_equal(sendto(fd, "pong", 4, 0, (struct sockaddr *)&from, from_len), 4);
	f = card_find(&guest.card, is_udp_from_host, &len);
	assert_int_equal(get16(f + 36), 4321);
	assert_memory_equal(f + 42, "pong", 4);
	card_close(&guest.card);
	close(fd);
}

/* Two ports, one given in each of the ways there are. */
static void forwards_reach_the_guest(void **state)
{
	u16 a = free_port(SOCK_STREAM), b = free_port(SOCK_STREAM);
	char one[64], two[64];
	const u8 *f;
	u32 len;
	int fd;

	snprintf(one, sizeof(one), "forward=tcp:%u:22", a);
	snprintf(two, sizeof(two), "tcp:127.0.0.1:%u:80", b);
	OPEN(one, two, "restrict=on");
	meet_gateway(&guest);
	fd = connect_to(a);
	f = card_find(&guest.card, is_syn, &len);
	assert_int_equal(get16(f + 36), 22);
	assert_int_equal(get32(f + 30), guest.ip);
	close(fd);
	fd = connect_to(b);
	do
		f = card_find(&guest.card, is_syn, &len);
	while (get16(f + 36) == 22);
	assert_int_equal(get16(f + 36), 80);
	close(fd);
	card_close(&guest.card);
	/* The ports are free again. */
	OPEN(one, two);
	card_close(&guest.card);
}

static void bad_settings_are_sentences(void **state)
{
	static const struct {
		const char *opt, *text;
	} cases[] = {
		{"forward=tcp:22", "forward"},
		{"forward=icmp:1:2", "forward"},
		{"forward=tcp:0:22", "forward"},
		{"forward=tcp:65536:22", "forward"},
		{"forward=tcp:1.2.3:80:80", "forward"},
		{"forward=tcp:127.0.0.1:80:80:80", "forward"},
		{"mtu=100", "mtu"},
		{"mtu=1e9", "mtu"},
		{"net=10.0.2.1/24", "net"},
		{"net=10.0.2.0/31", "net"},
		{"restrict=maybe", "restrict"},
		{"forwrd=tcp:1:2", "did you mean 'forward'"},
		{"ifname=tap0", "no option 'ifname'"},
		{"forward=tcp:192.0.2.77:8080:80", "192.0.2.77"},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct alc_err err = {0};
		struct net_link *l = NULL;

		if (!open_net(&th, loop, &l, &err, "user", cases[i].opt, (char *)NULL))
			fail_msg("%s was taken", cases[i].opt);
		assert_null(l);
		if (!strstr(err.text, cases[i].text))
			fail_msg("%s: %s", cases[i].opt, err.text);
	}
}

static void a_port_in_use_is_an_error(void **state)
{
	struct alc_err err = {0};
	struct net_link *l;
	char opt[64], status[4096];
	u16 port;
	int fd = local_socket(SOCK_STREAM, &port);

	listen(fd, 1);
	snprintf(opt, sizeof(opt), "forward=tcp:%u:22", port);
	assert_int_equal(open_net(&th, loop, &l, &err, "user", opt, (char *)NULL), -EADDRINUSE);
	assert_non_null(strstr(err.text, "in use"));
	snprintf(opt, sizeof(opt), "%u", port);
	assert_non_null(strstr(err.text, opt));
	close(fd);
	assert_int_equal(find_child("alcazar-net-use", status, sizeof(status)), 0);
}

static bool status_is(const char *status, const char *key, const char *value)
{
	const char *line = strstr(status, key);

	return line && !strncmp(line + strlen(key), value, strlen(value));
}

static void the_process_is_confined(void **state)
{
	char status[4096];
	pid_t pid;

	OPEN();
	pid = find_child("alcazar-net-use", status, sizeof(status));
	assert_true(pid > 0);
	assert_true(status_is(status, "Seccomp:\t", "2\n"));
	assert_true(status_is(status, "NoNewPrivs:\t", "1\n"));
	assert_true(status_is(status, "CapEff:\t", "0000000000000000\n"));
	assert_true(status_is(status, "CapPrm:\t", "0000000000000000\n"));
	assert_true(status_is(status, "CapBnd:\t", "0000000000000000\n") || geteuid() != 0);
	assert_true(status_is(status, "Uid:\t", "65534\t65534\t65534\t65534\n") || geteuid() != 0);
	card_close(&guest.card);
	assert_int_equal(find_child("alcazar-net-use", status, sizeof(status)), 0);
}

static void a_killed_process_is_a_cable_out(void **state)
{
	char status[4096];

	OPEN();
	meet_gateway(&guest);
	kill(find_child("alcazar-net-use", status, sizeof(status)), SIGKILL);
	card_await_down(&guest.card);
	assert_true(test_host_logged(&th, "killed by signal 9"));
	/* The machine goes on: what it sends is lost. */
	for (unsigned i = 0; i < 100; i++)
		send_arp(&guest, 1, guest.gateway_mac, guest.gateway);
	card_close(&guest.card);
}

/* Frames that make no sense must not cost the guest its network. */
static void nonsense_is_survived(void **state)
{
	unsigned long long seed = 1;
	u8 f[1600];

	OPEN();
	meet_gateway(&guest);
	for (unsigned i = 0; i < 3000; i++) {
		u32 len = 14 + i % 1500;

		for (u32 j = 0; j < len; j++) {
			seed = seed * 6364136223846793005ull + 1442695040888963407ull;
			f[j] = (u8)(seed >> 40);
		}
		ethernet(&guest, f, guest.gateway_mac, i % 3 ? 0x0800 : i % 2 ? 0x86dd : 0x0806);
		if (i % 2)
			f[14] = i % 3 ? 0x45 : 0x60;
		while (!card_send(&guest.card, f, len)) /* the process empties the socket */
			usleep(100);
	}
	card_forget(&guest.card);
	meet_gateway(&guest);
	assert_true(guest.card.up);
	card_close(&guest.card);
}

/* What the card refuses waits, in order, until it has room. */
static void a_full_card_is_waited_for(void **state)
{
	u32 len;

	OPEN();
	pthread_mutex_lock(&guest.card.lock);
	guest.card.room = 0;
	pthread_mutex_unlock(&guest.card.lock);
	send_arp(&guest, 1, (u8[]){0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, guest.gateway);
	card_await_refusal(&guest.card);
	assert_int_equal(guest.card.nframes, 0);
	pthread_mutex_lock(&guest.card.lock);
	guest.card.room = 10;
	pthread_mutex_unlock(&guest.card.lock);
	net_resume(guest.card.link);
	card_find(&guest.card, is_arp_reply, &len);
	card_close(&guest.card);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tcp_reaches_the_host),
		cmocka_unit_test(udp_reaches_the_host),
		cmocka_unit_test(forwards_reach_the_guest),
		cmocka_unit_test(bad_settings_are_sentences),
		cmocka_unit_test(a_port_in_use_is_an_error),
		cmocka_unit_test(the_process_is_confined),
		cmocka_unit_test(a_killed_process_is_a_cable_out),
		cmocka_unit_test(nonsense_is_survived),
		cmocka_unit_test(a_full_card_is_waited_for),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
