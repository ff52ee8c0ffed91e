/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef GUEST_LINUX32_H
#define GUEST_LINUX32_H

#include <stdint.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;

_Static_assert(sizeof(void *) == 4, "32-bit code");

static inline u32 mix(u32 sum, u32 v)
{
	sum = (sum ^ v) * 0x01000193u;
	return sum ^ sum >> 15;
}

static inline u32 next_random(u32 *state)
{
	*state = *state * 1664525u + 1013904223u;
	return *state;
}

/* Each makes a sum of what came out; seed: of what goes in. */
/* compute.c: what compilers make */
u32 arithmetic(u32 seed);
u32 text(u32 seed);
u32 floating(u32 seed);
u32 vectors(u32 seed);
/* machine.c: what 64-bit code has not, or has otherwise */
u32 encodings(u32 seed);
u32 decimal(u32 seed);
u32 segments(u32 seed);
u32 addresses(u32 seed);
u32 wide(u32 seed);
u32 modified(u32 seed);
/* system.c: what the kernel has part in */
u32 faults(u32 seed);
u32 alarms(u32 seed);
u32 threads(u32 seed);
u32 processes(u32 seed);

#endif
