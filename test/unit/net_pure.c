/* SPDX-License-Identifier: BSD-2-Clause */
/* Framing, checksums and segmentation, against plain definitions of what they are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "host/test/test_host.h"
#include "net/framing.h"
#include "net/offload.h"

static unsigned long long seed;

static u32 any(u32 below)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (u32)(seed >> 33) % below;
}

/* ---- Framing ------------------------------------------------------------------------------ */

enum { MIN = 3, MAX = 40 };

static void put_frame(u8 *out, size_t *at, u32 len, u8 fill)
{
	framing_put_head(out + *at, len);
	memset(out + *at + FRAMING_HEAD, fill, len);
	*at += FRAMING_HEAD + len;
}

/* Any sizes of frames, torn anywhere, through the smallest buffer that may be. */
static void torn_reads_make_whole_frames(void **state)
{
	for (unsigned round = 0; round < 300; round++) {
		u8 stream[4096], buf[FRAMING_HEAD + MAX];
		u32 lens[40], count = 0, got = 0;
		size_t total = 0, at = 0;
		struct framing r;

		for (; count < 40; count++) {
			lens[count] = MIN + any(MAX - MIN + 1);
			put_frame(stream, &total, lens[count], (u8)count);
		}
		framing_init(&r, buf, sizeof(buf), MIN, MAX);
		while (got < count) {
			u32 room, len;
			u8 *to = framing_space(&r, &room), *f;
			u32 n = (u32)min_u64(min_u64(room, 1 + any(60)), total - at);

			assert_true(n > 0);
			memcpy(to, stream + at, n);
			framing_filled(&r, n);
			at += n;
			while ((f = framing_peek(&r, &len))) {
				assert_int_equal(len, lens[got]);
				for (u32 i = 0; i < len; i++)
					assert_int_equal(f[i], got);
				assert_ptr_equal(framing_peek(&r, &len), f);
				framing_take(&r);
				got++;
			}
			assert_false(r.broken);
		}
		assert_int_equal(at, total);
	}
}

static void hostile_lengths_break_the_reader(void **state)
{
	static const u32 bad[] = {0, 1, MIN - 1, MAX + 1, 0x7fffffff, 0x80000000, 0xffffffff};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		u8 buf[FRAMING_HEAD + MAX];
		struct framing r;
		u32 room, len;

		framing_init(&r, buf, sizeof(buf), MIN, MAX);
		framing_put_head(framing_space(&r, &room), bad[i]);
		framing_filled(&r, FRAMING_HEAD);
		assert_null(framing_peek(&r, &len));
		assert_true(r.broken);
		framing_put_head(framing_space(&r, &room), MIN);
		assert_null(framing_peek(&r, &len));
	}
}

/* ---- Sums --------------------------------------------------------------------------------- */

/* RFC 1071, by its definition: 16-bit big-endian words, carries added at the end of each step. */
static u16 plain_sum(const u8 *p, size_t len)
{
	u32 sum = 0;

	for (size_t i = 0; i < len; i++) {
		sum += i % 2 ? p[i] : (u32)p[i] << 8;
		sum = (sum & 0xffff) + (sum >> 16);
	}
	return __builtin_bswap16((u16)sum);
}

static unsigned scatter(u8 *bytes, u32 len, struct alc_iov *iov, unsigned max)
{
	unsigned n = 0;

	while (len && n < max - 1) {
		u32 piece = any(any(4) ? len / 2 + 2 : 4);

		piece = piece > len ? len : piece;
		iov[n++] = (struct alc_iov){bytes, piece};
		bytes += piece;
		len -= piece;
	}
	iov[n++] = (struct alc_iov){bytes, len};
	return n;
}

static bool same_sum(u16 a, u16 b)
{
	return a == b || (a % 0xffff == 0 && b % 0xffff == 0); /* two zeroes */
}

static void sums_are_the_definitions(void **state)
{
	u8 bytes[3000];
	struct alc_iov iov[20];

	for (unsigned round = 0; round < 3000; round++) {
		u32 len = any(round % 2 ? 40 : sizeof(bytes)), at = any(len + 1),
		    part = any(len - at + 1);
		unsigned n;

		for (u32 i = 0; i < len; i++)
			bytes[i] = any(3) ? (u8)any(256) : 0xff;
		n = scatter(bytes, len, iov, 20);
		assert_true(same_sum(net_sum(iov, n, at, part), plain_sum(bytes + at, part)));
	}
}

/* ---- Offloads ----------------------------------------------------------------------------- */

static void put16(u8 *p, u32 v)
{
	st16(p, __builtin_bswap16((u16)v));
}

static u16 get16(const u8 *p)
{
	return __builtin_bswap16(ld16(p));
}

struct shape {
	bool ipv6, vlan;
	u32 ip_options, tcp_options, payload, mss;
	u8 flags;
};

/* A frame as a driver leaves it: no checksum but the pseudo-header's sum. Returns its length. */
static u32 build(u8 *f, const struct shape *s, struct net_offload *o)
{
	u32 l3 = s->vlan ? 18 : 14, ip_len = s->ipv6 ? 40 : 20 + s->ip_options, l4 = l3 + ip_len;
	u32 tcp_len = 20 + s->tcp_options, len = l4 + tcp_len + s->payload;

	for (u32 i = 0; i < len; i++)
		f[i] = (u8)any(256);
	if (s->vlan)
		put16(f + 12, 0x8100);
	put16(f + l3 - 2, s->ipv6 ? 0x86dd : 0x0800);
	f[l3] = s->ipv6 ? 0x60 : (u8)(0x40 | ip_len / 4);
	if (s->ipv6) {
		put16(f + l3 + 4, len - l3 - 40);
		f[l3 + 6] = 6;
	} else {
		put16(f + l3 + 2, len - l3);
		f[l3 + 9] = 6;
		put16(f + l3 + 10, 0);
		st16(f + l3 + 10, (u16)~plain_sum(f + l3, ip_len));
	}
	f[l4 + 12] = (u8)(tcp_len / 4 << 4);
	f[l4 + 13] = s->flags;
	*o = (struct net_offload){
		.flags = NET_NEEDS_CSUM,
		.gso_type = s->ipv6 ? NET_GSO_TCPV6 : NET_GSO_TCPV4,
		.gso_size = (u16)s->mss,
		.csum_start = (u16)l4,
		.csum_offset = 16,
	};
	return len;
}

/* The sum over pseudo-header and segment, which is all ones if the checksum is right. */
static bool tcp_sum_right(const u8 *f, u32 len, const struct shape *s)
{
	u32 l3 = s->vlan ? 18 : 14, l4 = l3 + (s->ipv6 ? 40 : 20 + s->ip_options);
	u8 all[66000];
	u32 n = s->ipv6 ? 32 : 8;

	memcpy(all, f + l3 + (s->ipv6 ? 8 : 12), n);
	put16(all + n, 6);
	put16(all + n + 2, len - l4);
	memcpy(all + n + 4, f + l4, len - l4);
	return plain_sum(all, n + 4 + len - l4) == 0xffff;
}

static void check_segment(const u8 *whole, const u8 *seg, u32 len, const struct shape *s, u32 at,
			  u32 index)
{
	u32 l3 = s->vlan ? 18 : 14, ip_len = s->ipv6 ? 40 : 20 + s->ip_options, l4 = l3 + ip_len;
	u32 headers = l4 + 20 + s->tcp_options, payload = len - headers;
	bool last = at + payload == s->payload;
	u8 flags = s->flags;

	if (s->ipv6) {
		assert_int_equal(get16(seg + l3 + 4), len - l3 - 40);
		assert_memory_equal(seg + l3 + 6, whole + l3 + 6, 34);
	} else {
		assert_int_equal(get16(seg + l3 + 2), len - l3);
		assert_int_equal(get16(seg + l3 + 4), (u16)(get16(whole + l3 + 4) + index));
		assert_int_equal(plain_sum(seg + l3, ip_len), 0xffff);
		assert_memory_equal(seg + l3 + 12, whole + l3 + 12, ip_len - 12);
	}
	assert_memory_equal(seg, whole, l3);
	assert_int_equal(__builtin_bswap32(ld32(seg + l4 + 4)),
			 __builtin_bswap32(ld32(whole + l4 + 4)) + at);
	if (!last)
		flags &= (u8)~9; /* FIN, PSH */
	if (index)
		flags &= 0x7f; /* CWR */
	assert_int_equal(seg[l4 + 13], flags);
	assert_memory_equal(seg + l4 + 18, whole + l4 + 18, 2 + s->tcp_options);
	assert_memory_equal(seg + headers, whole + headers + at, payload);
	assert_true(tcp_sum_right(seg, len, s));
}

static void segments_make_up_the_frame(void **state)
{
	static struct net_soft soft;
	static u8 f[66000], seg[66000];

	for (unsigned round = 0; round < 400; round++) {
		struct shape s = {
			.ipv6 = any(2),
			.vlan = any(2),
			.ip_options = 4 * any(4),
			.tcp_options = 4 * any(11),
			.mss = 1 + any(round % 2 ? 1500 : 9000),
			.flags = (u8)any(256),
		};
		struct net_frame in, out;
		struct alc_iov iov[30];
		u32 at = 0, index = 0;

		s.payload = any(round % 8 ? 20 * s.mss : 65000);
		s.payload = s.payload > 65000 ? 65000 : s.payload;
		in.len = build(f, &s, &in.offload);
		in.iov = iov;
		in.niov = scatter(f, in.len, iov, 30);
		if (in.len > NET_FRAME_MAX) {
			assert_false(net_offload_valid(&in));
			continue;
		}
		assert_true(net_offload_valid(&in));
		assert_true(net_soft_init(&soft, &in));
		for (; net_soft_next(&soft, &out); index++) {
			u32 headers = (u32)in.offload.csum_start + 20 + s.tcp_options;

			assert_int_equal(iov_copy_from(out.iov, out.niov, 0, seg, sizeof(seg)),
					 out.len);
			assert_int_equal(out.offload.flags | out.offload.gso_type, 0);
			assert_true(out.len - headers <= s.mss);
			check_segment(f, seg, out.len, &s, at, index);
			at += out.len - headers;
		}
		assert_int_equal(at, s.payload);
		assert_int_equal(index, s.payload ? (s.payload + s.mss - 1) / s.mss : 1);
	}
}

static void checksums_are_completed(void **state)
{
	static struct net_soft soft;

	for (unsigned round = 0; round < 1000; round++) {
		u8 f[2000], done[2000];
		u32 start = 14 + any(100), offset = any(100), len = start + offset + 2 + any(1500);
		struct alc_iov iov[10];
		struct net_frame in = {iov, 0, len, {.flags = NET_NEEDS_CSUM}}, out;

		for (u32 i = 0; i < len; i++)
			f[i] = (u8)any(256);
		in.offload.csum_start = (u16)start;
		in.offload.csum_offset = (u16)offset;
		in.niov = scatter(f, len, iov, 10);
		assert_true(net_soft_init(&soft, &in));
		assert_true(net_soft_next(&soft, &out));
		assert_int_equal(out.len, len);
		assert_int_equal(iov_copy_from(out.iov, out.niov, 0, done, len), len);
		assert_false(net_soft_next(&soft, &out));
		/* What was in the field counts; then what is there now is the complement. */
		assert_true(same_sum((u16)~ld16(done + start + offset),
				     plain_sum(f + start, len - start)));
		st16(f + start + offset, ld16(done + start + offset));
		assert_memory_equal(f, done, len);
	}
}

static void udp_checksum_is_never_zero(void **state)
{
	static struct net_soft soft;
	u8 f[60] = {0};
	struct alc_iov iov = {f, sizeof(f)};
	struct net_frame in = {&iov, 1, sizeof(f), {NET_NEEDS_CSUM, 0, 0, 0, 34, 6}}, out;
	u8 done[60];

	f[34] = 0xff;
	f[35] = 0xff;
	assert_true(net_soft_init(&soft, &in));
	assert_true(net_soft_next(&soft, &out));
	iov_copy_from(out.iov, out.niov, 0, done, sizeof(done));
	assert_int_equal(ld16(done + 40), 0xffff);
}

/* Whatever a driver writes into the header: refused, or done within the frame's bytes. */
static void hostile_offloads_are_harmless(void **state)
{
	static struct net_soft soft;
	unsigned valid = 0;

	for (unsigned round = 0; round < 60000; round++) {
		struct shape s = {.ipv6 = any(2), .payload = any(600), .mss = any(700)};
		u8 *f = malloc(1000);
		struct alc_iov iov[6];
		struct net_frame in = {.iov = iov}, out;
		u64 total = 0;

		assert_non_null(f);
		in.len = build(f, &s, &in.offload);
		for (unsigned i = any(4); i--;)
			((u8 *)&in.offload)[any(sizeof(in.offload))] = (u8)(any(2) ? any(256)
										   : any(64));
		for (unsigned i = any(3); i--;)
			f[any(in.len)] = (u8)any(256);
		if (!any(4))
			in.len = any(in.len + 1);
		f = realloc(f, in.len ? in.len : 1); /* so that a sanitizer sees its end */
		in.niov = scatter(f, in.len, iov, 6);
		if (net_soft_init(&soft, &in)) {
			assert_true(net_offload_valid(&in));
			valid++;
			while (net_soft_next(&soft, &out)) {
				assert_true(out.len <= in.len);
				assert_int_equal(iov_len(out.iov, out.niov), out.len);
				total += out.len;
			}
			assert_true(total >= in.len);
		}
		free(f);
	}
	assert_true(valid > 1000);
}

/* ---- The stage ---------------------------------------------------------------------------- */

struct below {
	struct net_link link;
	u8 bytes[200000];
	size_t len;
	unsigned frames, patience; /* sends until it refuses one */
	bool closed;
};

static bool below_send(struct net_link *l, const struct net_frame *f)
{
	struct below *b = container_of(l, struct below, link);

	if (!b->patience--) {
		b->patience = any(4);
		return false;
	}
	assert_int_equal(f->offload.flags & NET_NEEDS_CSUM, 0);
	assert_int_equal(f->offload.gso_type, 0);
	b->len += iov_copy_from(f->iov, f->niov, 0, b->bytes + b->len, f->len);
	b->frames++;
	return true;
}

static void below_attach(struct net_link *l, const struct net_front *front)
{
}

static void below_close(struct net_link *l)
{
	container_of(l, struct below, link)->closed = true;
}

static const struct net_ops below_ops = {
	.name = "below",
	.send = below_send,
	.attach = below_attach,
	.close = below_close,
};

/* However often the lower side refuses: the same frames come out as if it never did. */
static void refused_segments_come_once(void **state)
{
	static struct below patient, moody;
	static u8 f[66000];
	struct net_link *a, *b;
	struct test_host th;

	test_host_init(&th, TEST_TIME_MANUAL);
	patient.link.ops = moody.link.ops = &below_ops;
	assert_int_equal(net_soft_stage_create(&th.host, &patient.link, &a), 0);
	assert_int_equal(net_soft_stage_create(&th.host, &moody.link, &b), 0);
	for (unsigned round = 0; round < 50; round++) {
		struct shape s = {.payload = 1000 + any(50000), .mss = 700 + any(1000)};
		struct net_frame in;
		struct alc_iov iov[10];

		patient.len = moody.len = patient.frames = moody.frames = 0;
		patient.patience = ~0u;
		in.len = build(f, &s, &in.offload);
		in.iov = iov;
		in.niov = scatter(f, in.len, iov, 10);
		assert_true(net_send(a, &in));
		while (!net_send(b, &in))
			;
		assert_int_equal(patient.frames, (s.payload + s.mss - 1) / s.mss);
		assert_int_equal(moody.frames, patient.frames);
		assert_int_equal(moody.len, patient.len);
		assert_memory_equal(moody.bytes, patient.bytes, moody.len);
	}
	net_close(a);
	net_close(b);
	assert_true(patient.closed && moody.closed);
	assert_int_equal(test_host_leaks(&th), 0);
	test_host_fini(&th);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(torn_reads_make_whole_frames),
		cmocka_unit_test(hostile_lengths_break_the_reader),
		cmocka_unit_test(sums_are_the_definitions),
		cmocka_unit_test(segments_make_up_the_frame),
		cmocka_unit_test(checksums_are_completed),
		cmocka_unit_test(udp_checksum_is_never_zero),
		cmocka_unit_test(hostile_offloads_are_harmless),
		cmocka_unit_test(refused_segments_come_once),
	};
	const char *given = getenv("ALCAZAR_SEED");

	seed = given ? strtoull(given, NULL, 0) : (unsigned long long)time(NULL);
	printf("ALCAZAR_SEED=%llu\n", seed);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
