/* SPDX-License-Identifier: BSD-2-Clause */
#include "net/offload.h"

/* ---- Sums --------------------------------------------------------------------------------- */

static u16 fold(u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (u16)sum;
}

u16 net_sum_add(u16 a, u16 b)
{
	return fold((u64)a + b);
}

/*
 * The sum does not care how wide its words are (RFC 1071, 2 (C)), nor, up to a swap, about byte
 * order (2 (B)). Sums of 32-bit words can't overflow 64 bits here.
 */
static u16 sum_bytes(const u8 *p, size_t len)
{
	u64 sum = 0;

	for (; len >= 4; len -= 4, p += 4) {
		u32 word;

		__builtin_memcpy(&word, p, 4);
		sum += word;
	}
	for (unsigned i = 0; i < len; i++)
		sum += (u64)p[i] << (8 * i);
	return fold(sum);
}

u16 net_sum(const struct alc_iov *iov, unsigned n, u32 at, u32 len)
{
	u16 sum = 0;
	bool odd = false; /* the piece starts in the middle of a 16-bit word */

	for (; n && len; iov++, n--) {
		u32 take;
		u16 part;

		if (at >= iov->len) {
			at -= (u32)iov->len;
			continue;
		}
		take = (u32)min_u64(iov->len - at, len);
		part = sum_bytes(iov->base + at, take);
		sum = net_sum_add(sum, odd ? __builtin_bswap16(part) : part);
		odd ^= take & 1;
		len -= take;
		at = 0;
	}
	return sum;
}

/* ---- Headers ------------------------------------------------------------------------------ */

enum {
	ETH_LEN = 14,
	ETH_TYPE = 12,
	VLAN_LEN = 4,
	TYPE_VLAN = 0x8100,
	TYPE_QINQ = 0x88a8,
	TYPE_IPV4 = 0x0800,
	TYPE_IPV6 = 0x86dd,
	/* RFC 791, 8200 */
	IPV4_LEN = 20,
	IPV4_TOTAL = 2,
	IPV4_ID = 4,
	IPV4_CSUM = 10,
	IPV4_ADDRS = 12,
	IPV6_LEN = 40,
	IPV6_PAYLOAD = 4,
	IPV6_ADDRS = 8,
	/* RFC 9293 */
	TCP_LEN = 20,
	TCP_SEQ = 4,
	TCP_DATA_OFFSET = 12,
	TCP_FLAGS = 13,
	TCP_CSUM = 16,
	TCP_FIN = 1,
	TCP_PSH = 8,
	TCP_CWR = 0x80,
	UDP_CSUM = 6,
	PROTO_TCP = 6,
};

static u16 get16(const u8 *p)
{
	return __builtin_bswap16(ld16(p));
}

static void put16(u8 *p, u32 v)
{
	st16(p, __builtin_bswap16((u16)v));
}

static u8 gso_of(const struct net_offload *o)
{
	return o->gso_type & (u8)~NET_GSO_ECN;
}

/* Where the network header lies, behind VLAN tags; and which protocol's it is. */
static u16 network_header(const u8 *h, u32 len, u16 *type)
{
	u32 at = ETH_TYPE;

	*type = get16(h + at);
	while ((*type == TYPE_VLAN || *type == TYPE_QINQ) && at + VLAN_LEN + 2 <= len) {
		at += VLAN_LEN;
		*type = get16(h + at);
	}
	return (u16)(at + 2);
}

static bool ip_valid(const u8 *h, u32 len, const struct net_offload *o)
{
	u16 type, l3 = network_header(h, len, &type);

	if (gso_of(o) == NET_GSO_TCPV4)
		return type == TYPE_IPV4 && l3 + IPV4_LEN <= o->csum_start && h[l3] >> 4 == 4 &&
		       l3 + (h[l3] & 15) * 4 == o->csum_start;
	return type == TYPE_IPV6 && l3 + IPV6_LEN <= o->csum_start && h[l3] >> 4 == 6;
}

/* All headers that each segment repeats, or 0: the frame is not what it says. */
static u32 tcp_headers(const u8 *h, u32 len, const struct net_offload *o)
{
	u32 l4 = o->csum_start, total;

	if (l4 + TCP_LEN > len || o->csum_offset != TCP_CSUM || !o->gso_size ||
	    !ip_valid(h, len, o))
		return 0;
	total = l4 + (h[l4 + TCP_DATA_OFFSET] >> 4) * 4u;
	return total >= l4 + TCP_LEN && total <= len ? total : 0;
}

/* Bytes that the software changes or repeats; 0: not valid. h: the frame's first len bytes. */
static u32 headers_len(const u8 *h, u32 len, const struct net_offload *o)
{
	u32 end = (u32)o->csum_start + o->csum_offset + 2;

	if (!(o->flags & NET_NEEDS_CSUM) || o->csum_start < ETH_LEN || end > len)
		return 0;
	switch (gso_of(o)) {
	case NET_GSO_NONE:
		return end;
	case NET_GSO_TCPV4:
	case NET_GSO_TCPV6:
		return tcp_headers(h, len, o);
	default:
		return 0;
	}
}

static bool leaves_nothing(const struct net_offload *o)
{
	return !(o->flags & NET_NEEDS_CSUM) && gso_of(o) == NET_GSO_NONE;
}

bool net_offload_valid(const struct net_frame *f)
{
	u8 h[NET_HEADERS_MAX];
	u32 len;

	if (f->len < NET_FRAME_MIN || f->len > NET_FRAME_MAX)
		return false;
	if (leaves_nothing(&f->offload))
		return true;
	len = (u32)iov_copy_from(f->iov, f->niov, 0, h, min_u64(sizeof(h), f->len));
	return headers_len(h, len, &f->offload) != 0;
}

/* ---- Making frames ------------------------------------------------------------------------ */

bool net_soft_init(struct net_soft *s, const struct net_frame *f)
{
	u16 type;
	u32 have;

	if (f->len < NET_FRAME_MIN || f->len > NET_FRAME_MAX || f->niov > NET_PIECES_MAX)
		return false;
	have = (u32)iov_copy_from(f->iov, f->niov, 0, s->original,
				  min_u64(sizeof(s->original), f->len));
	s->headers_len = 0;
	if (!leaves_nothing(&f->offload)) {
		s->headers_len = headers_len(s->original, have, &f->offload);
		if (!s->headers_len)
			return false;
	}
	s->l3 = network_header(s->original, have, &type);
	s->ipv6 = type == TYPE_IPV6;
	s->len = f->len;
	s->at = s->headers_len;
	s->offload = f->offload;
	s->segment = 0;
	s->done = false;
	s->from = f->iov;
	s->nfrom = f->niov;
	return true;
}

/* Headers from our copy, then len bytes of payload; the checksum covers [csum_start, …). */
static void assemble(struct net_soft *s, u32 len)
{
	s->pieces[0] = (struct alc_iov){s->headers, s->headers_len};
	s->npieces = 1 + iov_slice(s->from, s->nfrom, s->at, len, s->pieces + 1);
}

static u16 checksum(const struct net_soft *s, u32 len, u16 initial)
{
	u32 start = s->offload.csum_start;
	u16 sum = net_sum(s->pieces, s->npieces, start, s->headers_len + len - start);

	return (u16)~net_sum_add(sum, initial);
}

/* Frame without segmentation: the field holds the pseudo-header's sum already. */
static void finish_whole(struct net_soft *s, u32 len)
{
	u16 sum;

	if (!s->headers_len)
		return;
	sum = checksum(s, len, 0);
	/* RFC 768: zero would mean that there is none. */
	if (!sum && s->offload.csum_offset == UDP_CSUM)
		sum = 0xffff;
	st16(s->headers + s->offload.csum_start + s->offload.csum_offset, sum);
}

static void finish_ip(struct net_soft *s, u32 len)
{
	u8 *ip = s->headers + s->l3;
	u32 packet = s->headers_len + len - s->l3;
	struct alc_iov header = {ip, s->offload.csum_start - (u32)s->l3};

	if (s->ipv6) {
		put16(ip + IPV6_PAYLOAD, packet - IPV6_LEN);
		return;
	}
	put16(ip + IPV4_TOTAL, packet);
	put16(ip + IPV4_ID, get16(ip + IPV4_ID) + s->segment);
	st16(ip + IPV4_CSUM, 0);
	st16(ip + IPV4_CSUM, (u16)~net_sum(&header, 1, 0, (u32)header.len));
}

static u16 pseudo_header(const struct net_soft *s, u32 l4_len)
{
	u8 *ip = (u8 *)(uintptr_t)s->headers + s->l3;
	struct alc_iov addrs = {ip + (s->ipv6 ? IPV6_ADDRS : IPV4_ADDRS), s->ipv6 ? 32 : 8};
	u8 rest[4] = {0, PROTO_TCP, (u8)(l4_len >> 8), (u8)l4_len};

	return net_sum_add(net_sum(&addrs, 1, 0, (u32)addrs.len), sum_bytes(rest, sizeof(rest)));
}

static void finish_segment(struct net_soft *s, u32 len, bool last)
{
	u8 *tcp = s->headers + s->offload.csum_start;
	u32 seq = __builtin_bswap32(ld32(tcp + TCP_SEQ)) + (s->at - s->headers_len);

	finish_ip(s, len);
	st32(tcp + TCP_SEQ, __builtin_bswap32(seq));
	if (!last)
		tcp[TCP_FLAGS] &= (u8) ~(TCP_FIN | TCP_PSH);
	if (s->segment)
		tcp[TCP_FLAGS] &= (u8)~TCP_CWR; /* RFC 3168, 6.1.2: once */
	st16(tcp + TCP_CSUM, 0);
	st16(tcp + TCP_CSUM,
	     checksum(s, len, pseudo_header(s, s->headers_len + len - (u32)s->offload.csum_start)));
}

bool net_soft_next(struct net_soft *s, struct net_frame *out)
{
	bool segments = gso_of(&s->offload) != NET_GSO_NONE;
	u32 left = s->len - s->at, len = segments ? (u32)min_u64(left, s->offload.gso_size) : left;

	if (s->done)
		return false;
	__builtin_memcpy(s->headers, s->original, s->headers_len);
	assemble(s, len);
	if (segments)
		finish_segment(s, len, len == left);
	else
		finish_whole(s, len);
	*out = (struct net_frame){s->pieces, s->npieces, s->headers_len + len, {0}};
	s->done = len == left;
	s->at += len;
	s->segment++;
	return true;
}
