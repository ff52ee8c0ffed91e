/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TEST_UNIT_NET_GUEST_H
#define TEST_UNIT_NET_GUEST_H

#include "net/offload.h"
#include "net_test.h"

/* A guest made of a few frames. */
struct guest {
	struct card card;
	u8 mac[6], gateway_mac[6];
	u32 ip, gateway;
};

/* ---- Frames ------------------------------------------------------------------------------- */

static inline void put16(u8 *p, u32 v)
{
	st16(p, __builtin_bswap16((u16)v));
}

static inline void put32(u8 *p, u32 v)
{
	st32(p, __builtin_bswap32(v));
}

static inline u16 get16(const u8 *p)
{
	return __builtin_bswap16(ld16(p));
}

static inline u32 get32(const u8 *p)
{
	return __builtin_bswap32(ld32(p));
}

static inline void ethernet(const struct guest *g, u8 *f, const u8 *to, u16 type)
{
	memcpy(f, to, 6);
	memcpy(f + 6, g->mac, 6);
	put16(f + 12, type);
}

static inline void send_arp(struct guest *g, u16 op, const u8 *to_mac, u32 to)
{
	u8 f[42];

	ethernet(g, f, to_mac, 0x0806);
	memcpy(f + 14, (u8[]){0, 1, 8, 0, 6, 4}, 6);
	put16(f + 20, op);
	memcpy(f + 22, g->mac, 6);
	put32(f + 28, g->ip);
	memcpy(f + 32, to_mac, 6);
	put32(f + 38, to);
	assert_true(card_send(&g->card, f, sizeof(f)));
}

static inline bool is_arp_reply(const u8 *f, u32 len)
{
	return len >= 42 && get16(f + 12) == 0x0806 && get16(f + 20) == 2;
}

static inline void meet_gateway(struct guest *g)
{
	u32 len;

	send_arp(g, 1, (u8[]){0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, g->gateway);
	memcpy(g->gateway_mac, card_find(&g->card, is_arp_reply, &len) + 22, 6);
}

/* IPv4 with a transport header whose checksum the stage above completes. */
static inline void send_ip(struct guest *g, u8 proto, u32 to, const u8 *l4, u32 l4_len,
			   u16 csum_offset)
{
	u8 f[2000];
	struct alc_iov iov = {f, 34 + l4_len}, ip = {f + 14, 20}, addrs = {f + 26, 8};
	struct net_frame frame = {&iov, 1, 34 + l4_len, {NET_NEEDS_CSUM, 0, 0, 0, 34, csum_offset}};
	u8 rest[4] = {0, proto, (u8)(l4_len >> 8), (u8)l4_len};
	struct alc_iov pseudo = {rest, 4};

	ethernet(g, f, g->gateway_mac, 0x0800);
	memset(f + 14, 0, 20);
	f[14] = 0x45;
	put16(f + 16, 20 + l4_len);
	f[22] = 64;
	f[23] = proto;
	put32(f + 26, g->ip);
	put32(f + 30, to);
	st16(f + 24, (u16)~net_sum(&ip, 1, 0, 20));
	memcpy(f + 34, l4, l4_len);
	st16(f + 34 + csum_offset,
	     net_sum_add(net_sum(&addrs, 1, 0, 8), net_sum(&pseudo, 1, 0, 4)));
	assert_true(net_send(g->card.link, &frame));
}

static inline void send_tcp(struct guest *g, u16 from, u16 to, u32 seq, u32 ack, u8 flags,
			    const char *data)
{
	u8 t[200] = {0};

	put16(t, from);
	put16(t + 2, to);
	put32(t + 4, seq);
	put32(t + 8, ack);
	t[12] = 5 << 4;
	t[13] = flags;
	put16(t + 14, 65535);
	memcpy(t + 20, data, strlen(data));
	send_ip(g, 6, g->gateway, t, 20 + (u32)strlen(data), 16);
}

static inline bool is_tcp(const u8 *f, u32 len)
{
	return len >= 54 && get16(f + 12) == 0x0800 && f[23] == 6;
}

static inline bool is_syn_ack(const u8 *f, u32 len)
{
	return is_tcp(f, len) && (f[47] & 0x17) == 0x12;
}

static inline bool is_syn(const u8 *f, u32 len)
{
	return is_tcp(f, len) && (f[47] & 0x17) == 0x02;
}

static inline bool has_data(const u8 *f, u32 len)
{
	return is_tcp(f, len) && get16(f + 16) > 20 + (f[46] >> 4) * 4u && !(f[47] & 2);
}

static inline bool is_udp_from_host(const u8 *f, u32 len)
{
	return len >= 42 && get16(f + 12) == 0x0800 && f[23] == 17 && get16(f + 34) != 67;
}

#endif
