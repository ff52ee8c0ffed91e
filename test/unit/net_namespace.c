/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Back ends that need interfaces of the host, in a network namespace that the test makes: tap,
 * passt behind a stream, and name service through the user-mode network.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "net_guest.h"

static struct test_host th;
static struct loop *loop;
static char dir[64];

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

static void run(const char *command)
{
	if (system(command))
		fail_msg("%s", command);
}

static void open_card(struct card *c, const char *kind, const char *opt)
{
	struct alc_err err = {0};
	struct net_link *l;

	if (open_net(&th, loop, &l, &err, kind, opt, (char *)NULL))
		fail_msg("%s", err.text);
	card_attach(c, l);
}

static int udp_socket(u32 addr, u16 port)
{
	struct sockaddr_in a = {
		.sin_family = AF_INET, .sin_addr = {htonl(addr)}, .sin_port = htons(port)};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	return fd;
}

static void send_udp(struct guest *g, u32 to, u16 from_port, u16 to_port, const char *data)
{
	u8 u[100] = {0};
	u32 len = 8 + (u32)strlen(data);

	put16(u, from_port);
	put16(u + 2, to_port);
	put16(u + 4, len);
	memcpy(u + 8, data, len - 8);
	send_ip(g, 17, to, u, len, 6);
}

static bool is_udp(const u8 *f, u32 len)
{
	return len >= 42 && get16(f + 12) == 0x0800 && f[23] == 17 && get16(f + 36) == 4321;
}

/* Until then, what the host sends is lost. */
static void await_up(const char *ifname)
{
	char command[100];

	snprintf(command, sizeof(command), "ip link show %s | grep -q 'state UP'", ifname);
	while (system(command))
		usleep(10000);
}

/* ---- Tap ---------------------------------------------------------------------------------- */

static struct guest tap_guest(void)
{
	return (struct guest){.mac = {2, 0, 0, 0, 0, 9}, .ip = 0x0a090002, .gateway = 0x0a090001};
}

static void tap_passes_frames(void **state)
{
	struct sockaddr_in to = {
		.sin_family = AF_INET, .sin_addr = {htonl(0x0a090002)}, .sin_port = htons(4321)};
	struct guest g = tap_guest();
	char got[10] = {0};
	const u8 *f;
	u32 len;
	int fd;

	run("ip tuntap add tap7 mode tap && ip link set tap7 up mtu 1400 && "
	    "ip addr add 10.9.0.1/24 dev tap7 && "
	    "ip neigh add 10.9.0.2 lladdr 02:00:00:00:00:09 dev tap7");
	open_card(&g.card, "tap", "ifname=tap7");
	assert_int_equal(g.card.link->mtu, 1400);
	await_up("tap7");
	meet_gateway(&g);
	fd = udp_socket(0x0a090001, 53);
	send_udp(&g, g.gateway, 4321, 53, "ping");
	assert_int_equal(recv(fd, got, sizeof(got), 0), 4);
	assert_string_equal(got, "ping");
	/* Nothing is left to a front that takes nothing; to one that does, the checksum is. */
	assert_int_equal(sendto(fd, "pong", 4, 0, (struct sockaddr *)&to, sizeof(to)), 4);
	f = card_find(&g.card, is_udp, &len);
	assert_memory_equal(f + 42, "pong", 4);
	assert_int_equal(g.card.frames[g.card.taken - 1].offload.flags & NET_NEEDS_CSUM, 0);
	net_front_takes(g.card.link, NET_TAKES_CSUM | NET_TAKES_TSO4);
	assert_int_equal(sendto(fd, "more", 4, 0, (struct sockaddr *)&to, sizeof(to)), 4);
	f = card_find(&g.card, is_udp, &len);
	assert_memory_equal(f + 42, "more", 4);
	assert_int_equal(g.card.frames[g.card.taken - 1].offload.flags & NET_NEEDS_CSUM,
			 NET_NEEDS_CSUM);
	assert_int_equal(g.card.frames[g.card.taken - 1].offload.csum_start, 34);
	close(fd);
	card_close(&g.card);
	run("ip tuntap del tap7 mode tap");
}

static void tap_waits_for_the_card(void **state)
{
	struct guest g = tap_guest();
	u32 len;

	run("ip tuntap add tap7 mode tap && ip link set tap7 up && "
	    "ip addr add 10.9.0.1/24 dev tap7");
	open_card(&g.card, "tap", "ifname=tap7");
	await_up("tap7");
	pthread_mutex_lock(&g.card.lock);
	g.card.room = 0;
	pthread_mutex_unlock(&g.card.lock);
	send_arp(&g, 1, (u8[]){0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, g.gateway);
	card_await_refusal(&g.card);
	pthread_mutex_lock(&g.card.lock);
	g.card.room = 100;
	pthread_mutex_unlock(&g.card.lock);
	net_resume(g.card.link);
	card_find(&g.card, is_arp_reply, &len);
	card_close(&g.card);
	run("ip tuntap del tap7 mode tap");
}

static void fails(const char *opt, const char *text)
{
	struct alc_err err = {0};
	struct net_link *l;

	assert_true(open_net(&th, loop, &l, &err, "tap", opt, (char *)NULL) < 0);
	if (!strstr(err.text, text))
		fail_msg("%s: %s", opt, err.text);
}

static void tap_errors_are_sentences(void **state)
{
	struct card c;

	fails("ifname=tap8", "there is no tap interface 'tap8'");
	fails("ifname=lo", "is not a tap interface");
	fails("ifname=a-name-that-is-too-long", "tap");
	fails("ifname=", "needs the option ifname");
	run("ip tuntap add tap7 mode tap");
	open_card(&c, "tap", "ifname=tap7");
	fails("ifname=tap7", "in use by another program");
	card_close(&c);
	run("ip tuntap del tap7 mode tap");
}

/* ---- Name service ------------------------------------------------------------------------- */

static void names_are_asked_of_the_hosts_server(void **state)
{
	struct guest g = {.mac = {2, 0, 0, 0, 0, 9}, .ip = 0x0a00020f, .gateway = 0x0a000202};
	struct sockaddr_in from;
	socklen_t from_len = sizeof(from);
	char path[100], got[20] = {0};
	const u8 *f;
	u32 len;
	FILE *conf;
	int fd = udp_socket(INADDR_LOOPBACK, 53);

	snprintf(path, sizeof(path), "%s/resolv.conf", dir);
	conf = fopen(path, "w");
	fputs("nameserver 127.0.0.1\n", conf);
	fclose(conf);
	if (mount(path, "/etc/resolv.conf", NULL, MS_BIND, NULL)) {
		unlink(path);
		close(fd);
		print_message("/etc/resolv.conf can't be replaced here\n");
		skip();
	}
	open_card(&g.card, "user", "ipv6=on");
	/* The process has its copy. */
	umount("/etc/resolv.conf");
	unlink(path);
	meet_gateway(&g);
	for (unsigned i = 0; i < 2; i++) {
		send_udp(&g, 0x0a000203, 4321, 53, "who is it?");
		assert_int_equal(
			recvfrom(fd, got, sizeof(got), 0, (struct sockaddr *)&from, &from_len), 10);
		assert_memory_equal(got, "who is it?", 10);
		assert_int_equal(sendto(fd, "it's me", 7, 0, (struct sockaddr *)&from, from_len),
				 7);
		f = card_find(&g.card, is_udp, &len);
		assert_int_equal(get32(f + 26), 0x0a000203);
		assert_memory_equal(f + 42, "it's me", 7);
	}
	card_close(&g.card);
	close(fd);
}

/* ---- passt -------------------------------------------------------------------------------- */

static bool is_syn_to_80(const u8 *f, u32 len)
{
	return is_syn(f, len) && get16(f + 36) == 80;
}

static void passt_is_understood(void **state)
{
	struct guest g = {.mac = {2, 0, 0, 0, 0, 9}, .ip = 0xc0000201, .gateway = 0xc0000202};
	struct sockaddr_in a = {.sin_family = AF_INET,
				.sin_addr = {htonl(INADDR_LOOPBACK)},
				.sin_port = htons(8080)};
	char command[400], opt[100];
	const u8 *f;
	u32 len;
	int fd;

	if (system("command -v passt >/dev/null")) {
		print_message("passt is not installed\n");
		skip();
	}
	run("ip tuntap add up0 mode tap && ip link set up0 up && "
	    "ip addr add 192.0.2.1/24 dev up0 && ip route add default via 192.0.2.2 dev up0");
	chmod(dir, 0777); /* passt gives up root */
	snprintf(command, sizeof(command),
		 "passt -4 -1 -s %s/passt -P %s/pid -t 8080:80 >%s/log 2>&1", dir, dir, dir);
	if (system(command)) {
		snprintf(command, sizeof(command), "cat %s/log; rm -f %s/*", dir, dir);
		run(command);
		run("ip tuntap del up0 mode tap");
		print_message("passt can't run here\n");
		skip();
	}
	snprintf(opt, sizeof(opt), "path=%s/passt", dir);
	open_card(&g.card, "stream", opt);
	meet_gateway(&g);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_true(!connect(fd, (struct sockaddr *)&a, sizeof(a)) || errno == EINPROGRESS);
	f = card_find(&g.card, is_syn_to_80, &len);
	assert_int_equal(get32(f + 30), g.ip);
	close(fd);
	card_close(&g.card); /* and with -1 passt has ended */
	snprintf(command, sizeof(command), "rm -f %s/*", dir);
	run(command);
	run("ip tuntap del up0 mode tap");
}

/* ---- The namespace ------------------------------------------------------------------------ */

static bool make_namespace(void)
{
	struct ifreq r = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
	int s;

	if (unshare(CLONE_NEWNET | CLONE_NEWNS))
		return false;
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
		return false;
	s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (s < 0 || ioctl(s, SIOCSIFFLAGS, &r))
		return false;
	close(s);
	return !access("/dev/net/tun", R_OK | W_OK) && !system("command -v ip >/dev/null");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tap_passes_frames),
		cmocka_unit_test(tap_waits_for_the_card),
		cmocka_unit_test(tap_errors_are_sentences),
		cmocka_unit_test(names_are_asked_of_the_hosts_server),
		cmocka_unit_test(passt_is_understood),
	};
	int failed;

	if (!make_namespace()) {
		puts("skipped: no network namespace with a tap can be made here (root, "
		     "/dev/net/tun and ip from iproute2 are needed)");
		return 77;
	}
	strcpy(dir, "/tmp/alcazar-netns-XXXXXX");
	if (!mkdtemp(dir))
		return 1;
	failed = cmocka_run_group_tests(tests, setup, teardown);
	rmdir(dir);
	return failed;
}
