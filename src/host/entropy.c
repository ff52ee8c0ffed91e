/* SPDX-License-Identifier: BSD-2-Clause */
#include "host/entropy.h"

/* SplitMix64 (Steele, Lea and Flood, 2014). */
static u64 next(u64 *state)
{
	u64 z = *state += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

void entropy_fill(const struct alc_host *host, struct alc_entropy *e, void *buf, size_t len)
{
	u8 *to = buf;

	if (!e) {
		host->random(host->ctx, buf, len);
		return;
	}
	while (len) {
		u64 x = next(&e->state);
		size_t n = len < sizeof(x) ? len : sizeof(x);

		__builtin_memcpy(to, &x, n);
		to += n;
		len -= n;
	}
}
