/* SPDX-License-Identifier: BSD-2-Clause */
#include <emmintrin.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "threads.h"

/* ---- Locked operations, at all places ---- */

enum { SIZES = 4, PLACES = 4, USES = 3, LOCKED_PAGES = SIZES * PLACES * USES * 2 };
enum { ALIGNED, UNALIGNED, ACROSS_LINE, ACROSS_PAGE };
enum { ADD, EXCHANGE, BITS };

static u8 *memory[2];
static u32 turns;
static _Atomic(u32) claims[SIZES][PLACES];
static u64 tokens[SIZES][PLACES][THREADS];

#define DEFINE_LOCKED(bits, s)                                                                     \
	static void add_one##bits(void *p, u32 how)                                                \
	{                                                                                          \
		u##bits *at = p, old = 1;                                                          \
                                                                                                   \
		switch (how % 7) {                                                                 \
		case 0:                                                                            \
			__asm__ volatile("lock add" s " %1, %0" : "+m"(*at) : "r"(old) : "cc");    \
			break;                                                                     \
		case 1:                                                                            \
			__asm__ volatile("lock inc" s " %0" : "+m"(*at) : : "cc");                 \
			break;                                                                     \
		case 2:                                                                            \
			__asm__ volatile("lock xadd" s " %1, %0" : "+m"(*at), "+r"(old) : : "cc"); \
			break;                                                                     \
		case 3:                                                                            \
			__asm__ volatile("lock sub" s " $-1, %0" : "+m"(*at) : : "cc");            \
			break;                                                                     \
		case 4:                                                                            \
			__asm__ volatile("stc; lock adc" s " $0, %0" : "+m"(*at) : : "cc");        \
			break;                                                                     \
		case 5:                                                                            \
			__asm__ volatile("stc; lock sbb" s " $-2, %0" : "+m"(*at) : : "cc");       \
			break;                                                                     \
		default:                                                                           \
			memcpy(&old, p, sizeof(old));                                              \
			for (bool done = false; !done;)                                            \
				__asm__ volatile("lock cmpxchg" s " %3, %1"                        \
						 : "=@ccz"(done), "+m"(*at), "+a"(old)             \
						 : "r"((u##bits)(old + 1)));                       \
		}                                                                                  \
	}                                                                                          \
	static u64 exchange##bits(void *p, u64 with)                                               \
	{                                                                                          \
		u##bits v = (u##bits)with;                                                         \
                                                                                                   \
		__asm__ volatile("xchg" s " %1, %0" : "+m"(*(u##bits *)p), "+r"(v));               \
		return v;                                                                          \
	}                                                                                          \
	static u64 load##bits(const void *p)                                                       \
	{                                                                                          \
		u##bits v;                                                                         \
                                                                                                   \
		memcpy(&v, p, sizeof(v));                                                          \
		return v;                                                                          \
	}

#define DEFINE_CLAIM(bits, s)                                        \
	static bool claim##bits(void *p, u32 k)                      \
	{                                                            \
		bool had;                                            \
                                                                     \
		__asm__ volatile("lock bts" s " %2, %0"              \
				 : "+m"(*(u##bits *)p), "=@ccc"(had) \
				 : "r"((u##bits)k));                 \
		return !had;                                         \
	}

DEFINE_LOCKED(8, "b")
DEFINE_LOCKED(16, "w")
DEFINE_LOCKED(32, "l")
DEFINE_LOCKED(64, "q")
DEFINE_CLAIM(16, "w")
DEFINE_CLAIM(32, "l")
DEFINE_CLAIM(64, "q")

/* Bytes have no bit operation: OR, and what was there by a comparison. */
static bool claim8(void *p, u32 k)
{
	u8 old = *(volatile u8 *)p;
	bool done = false;

	while (!done && !(old >> k & 1))
		__asm__ volatile("lock cmpxchgb %3, %1"
				 : "=@ccz"(done), "+m"(*(u8 *)p), "+a"(old)
				 : "q"((u8)(old | 1u << k)));
	return done;
}

static const struct {
	void (*add_one)(void *p, u32 how);
	u64 (*exchange)(void *p, u64 with);
	u64 (*load)(const void *p);
	bool (*claim)(void *p, u32 k);
} by_size[SIZES] = {
	{add_one8, exchange8, load8, claim8},
	{add_one16, exchange16, load16, claim16},
	{add_one32, exchange32, load32, claim32},
	{add_one64, exchange64, load64, claim64},
};

static u32 offset_of(u32 size, u32 where, u32 use)
{
	u32 bytes = 1u << size, in_page, split = split_locks && size ? bytes / 2 : bytes;

	switch (where) {
	case ALIGNED:
		in_page = 2 * LINE + bytes;
		break;
	case UNALIGNED:
		in_page = 3 * LINE + 5;
		break;
	case ACROSS_LINE:
		in_page = 4 * LINE - split;
		break;
	default:
		in_page = PAGE - split;
	}
	return ((size * PLACES + where) * USES + use) * 2 * PAGE + in_page;
}

static void work_at(u32 id, u32 size, u32 where, u32 turn)
{
	u8 *base = memory[(id + turn) & 1];
	u64 *mine = &tokens[size][where][id];

	by_size[size].add_one(base + offset_of(size, where, ADD), turn + id);
	*mine = by_size[size].exchange(base + offset_of(size, where, EXCHANGE), *mine);
	if (turn < 8u << size && by_size[size].claim(base + offset_of(size, where, BITS), turn))
		atomic_fetch_add(&claims[size][where], 1);
}

enum { SELDOM = 16 }; /* what stops all others, and on some hosts the whole machine */

static void work_everywhere(u32 id)
{
	for (u32 i = 0; i < turns; i++)
		for (u32 size = 0; size < SIZES; size++)
			for (u32 where = 0; where < PLACES; where++)
				if (where <= UNALIGNED || !size)
					work_at(id, size, where, i);
				else if (i % SELDOM == 0)
					work_at(id, size, where, i / SELDOM);
}

static u64 ones(u32 size)
{
	return size == 3 ? ~0ull : (1ull << (8u << size)) - 1;
}

/* The tokens are 1 to THREADS, and 0, wherever each is now. */
static void check_tokens(u32 size, u32 where)
{
	u32 seen = 1u << by_size[size].load(memory[0] + offset_of(size, where, EXCHANGE));

	for (u32 id = 0; id < THREADS; id++)
		seen |= 1u << tokens[size][where][id];
	EXPECT(seen == (1u << (THREADS + 1)) - 1);
}

static void check_place(u32 size, u32 where)
{
	u32 n = where <= UNALIGNED || !size ? turns : (turns + SELDOM - 1) / SELDOM;
	u32 bits = 8u << size < n ? 8u << size : n;

	EXPECT(by_size[size].load(memory[0] + offset_of(size, where, ADD)) ==
	       ((u64)n * THREADS & ones(size)));
	EXPECT(by_size[size].load(memory[0] + offset_of(size, where, BITS)) ==
	       (bits == 64 ? ~0ull : (1ull << bits) - 1));
	EXPECT(claims[size][where] == bits);
	check_tokens(size, where);
	/* Nothing else was written. */
	for (u32 use = 0; use < USES; use++) {
		u8 *page = memory[0] + offset_of(size, where, use) / PAGE * PAGE;
		u32 sum = 0;

		memset(memory[0] + offset_of(size, where, use), 0, (size_t)1 << size);
		for (u32 k = 0; k < 2 * PAGE; k++)
			sum += page[k];
		EXPECT(!sum);
	}
}

void locked(u32 n)
{
	turns = n;
	memory[0] = shared_pages(LOCKED_PAGES, &memory[1]);
	for (u32 size = 0; size < SIZES; size++)
		for (u32 where = 0; where < PLACES; where++) {
			claims[size][where] = 0;
			for (u32 id = 0; id < THREADS; id++)
				tokens[size][where][id] = id + 1;
		}
	in_threads(work_everywhere);
	for (u32 size = 0; size < SIZES; size++)
		for (u32 where = 0; where < PLACES; where++)
			check_place(size, where);
	free_pages(memory[0], LOCKED_PAGES);
	free_pages(memory[1], LOCKED_PAGES);
}

/* ---- Locked operations across lines and pages, and others on the same bytes ---- */

static volatile bool over;
static _Atomic(u64) added[2];

/* Even ones add to the upper half of a word by the word, odd ones by this half, which is aligned.
 */
static void split_or_half(u32 id)
{
	static const u32 middles[2] = {4 * LINE, PAGE};
	u64 one = 1ull << 32, n[2] = {0};

	for (u32 i = 0; id & 1 ? !over : i < turns; i++) {
		u8 *middle = memory[id / 2] + middles[i & 1];

		if (!(id & 1) && split_locks)
			__asm__ volatile("lock addq %1, %0"
					 : "+m"(*(u64 *)(void *)(middle - 4))
					 : "r"(one)
					 : "cc");
		else
			__asm__ volatile("lock incl %0" : "+m"(*(u32 *)(void *)middle) : : "cc");
		n[i & 1]++;
	}
	atomic_fetch_add(&added[0], n[0]);
	atomic_fetch_add(&added[1], n[1]);
	over = true;
}

void split(u32 n)
{
	turns = n;
	over = false;
	added[0] = added[1] = 0;
	memory[0] = shared_pages(2, &memory[1]);
	in_threads(split_or_half);
	EXPECT(load32(memory[0] + 4 * LINE) == (u32)added[0]);
	EXPECT(load32(memory[0] + PAGE) == (u32)added[1]);
	EXPECT(!load32(memory[0] + 4 * LINE - 4) && !load32(memory[0] + PAGE - 4));
	free_pages(memory[0], 2);
	free_pages(memory[1], 2);
}

/* ---- CMPXCHG8B, CMPXCHG16B: a number, and what it must have beside it ---- */

static u32 beside(u32 v)
{
	return v * 0x9e3779b1u ^ 0x5bd1e995;
}

static bool swap8(u8 *p, u32 expected[2], const u32 wanted[2])
{
	bool done;

	__asm__ volatile("lock cmpxchg8b %1"
			 : "=@ccz"(done), "+m"(*(u64 *)(void *)p), "+a"(expected[0]),
			   "+d"(expected[1])
			 : "b"(wanted[0]), "c"(wanted[1]));
	return done;
}

static bool swap16(u8 *p, u64 expected[2], const u64 wanted[2])
{
	bool done;

	__asm__ volatile("lock cmpxchg16b %1"
			 : "=@ccz"(done), "+m"(*(__int128 *)(void *)p), "+a"(expected[0]),
			   "+d"(expected[1])
			 : "b"(wanted[0]), "c"(wanted[1]));
	return done;
}

static void next_pair8(u8 *p)
{
	u32 seen[2] = {0, beside(0)}, wanted[2];

	do {
		EXPECT(seen[1] == beside(seen[0]));
		wanted[0] = seen[0] + 1;
		wanted[1] = beside(wanted[0]);
	} while (!swap8(p, seen, wanted));
}

static void next_pair16(u8 *p)
{
	u64 seen[2] = {0, beside(0)}, wanted[2];

	do {
		EXPECT(seen[1] == beside((u32)seen[0]));
		wanted[0] = seen[0] + 1;
		wanted[1] = beside((u32)wanted[0]);
	} while (!swap16(p, seen, wanted));
}

static u32 pair_at(u32 where)
{
	static const u32 at[] = {2 * LINE, 3 * LINE + 5, 5 * LINE - 3, PAGE - 4};

	return where <= UNALIGNED || split_locks ? at[where] : 6 * LINE + where * 8;
}

static void swap_pairs(u32 id)
{
	for (u32 i = 0; i < turns; i++) {
		next_pair16(memory[(id + i) & 1] + 8 * LINE);
		for (u32 where = 0; where < 4; where++)
			if (where <= UNALIGNED || i % SELDOM == 0)
				next_pair8(memory[(id + i) & 1] + pair_at(where));
	}
}

void pairs_of_words(u32 n)
{
	u32 first[2] = {0, beside(0)};
	u64 wide[2] = {0, beside(0)};

	turns = n;
	memory[0] = shared_pages(2, &memory[1]);
	memcpy(memory[0] + 8 * LINE, wide, 16);
	for (u32 where = 0; where < 4; where++)
		memcpy(memory[0] + pair_at(where), first, 8);
	in_threads(swap_pairs);
	memcpy(wide, memory[0] + 8 * LINE, 16);
	EXPECT(wide[0] == (u64)n * THREADS);
	for (u32 where = 0; where < 4; where++) {
		memcpy(first, memory[0] + pair_at(where), 8);
		EXPECT(first[0] == (where <= UNALIGNED ? n : (n + SELDOM - 1) / SELDOM) * THREADS);
	}
	free_pages(memory[0], 2);
	free_pages(memory[1], 2);
}

/* ---- Loads and stores are not torn ----
 *
 * What is within a cache line (SDM vol. 3A, 9.1.1), and 16 bytes that are aligned where there is
 * AVX. Each value is one byte, repeated.
 */

static void store_repeated(u8 *line, u64 v, u32 how)
{
	__m128i wide = _mm_set1_epi64x((long long)v);
	u8 *to = line;
	u64 times = 1;

	switch (how % 6) {
	case 0:
		*(volatile u64 *)(void *)line = v;
		break;
	case 1:
		__asm__ volatile("rep stosq" : "+D"(to), "+c"(times) : "a"(v) : "memory");
		break;
	case 2:
		_mm_storel_epi64((__m128i *)(void *)line, wide);
		break;
	case 3:
		__asm__ volatile("fildq %1; fistpq %0" : "=m"(*(u64 *)(void *)line) : "m"(v));
		break;
	case 4:
		__asm__ volatile("xchgq %0, %1" : "+m"(*(u64 *)(void *)line), "+r"(v));
		break;
	default:
		__asm__ volatile("movntiq %1, %0" : "=m"(*(u64 *)(void *)line) : "r"(v));
	}
	/* Not aligned: 8, 4 and 2 bytes of a line. */
	__asm__ volatile("movq %1, %0" : "=m"(*(u64 *)(void *)(line + 11)) : "r"(v));
	__asm__ volatile("movl %k1, %0" : "=m"(*(u32 *)(void *)(line + 21)) : "r"(v));
	__asm__ volatile("movw %w1, %0" : "=m"(*(u16 *)(void *)(line + 27)) : "r"(v));
	__asm__ volatile("movdqa %1, %0" : "=m"(*(__m128i *)(void *)(line + 32)) : "x"(wide));
}

static bool is_repeated(u64 v)
{
	return v == (v & 0xff) * 0x0101010101010101ull;
}

static void load_repeated(const u8 *line, u32 how)
{
	const u8 *from = line;
	u64 v, times = 1;
	u8 *to = (u8 *)&v;
	u32 half;
	u16 quarter;
	__m128i wide;

	if (how & 1)
		v = *(const volatile u64 *)(const void *)line;
	else
		__asm__ volatile("rep movsq" : "+S"(from), "+D"(to), "+c"(times) : : "memory");
	EXPECT(is_repeated(v));
	__asm__ volatile("movq %1, %0" : "=r"(v) : "m"(*(const u64 *)(const void *)(line + 11)));
	EXPECT(is_repeated(v));
	__asm__ volatile("movl %1, %0" : "=r"(half) : "m"(*(const u32 *)(const void *)(line + 21)));
	EXPECT(is_repeated((u64)half << 32 | half));
	__asm__ volatile("movw %1, %0"
			 : "=r"(quarter)
			 : "m"(*(const u16 *)(const void *)(line + 27)));
	EXPECT(quarter >> 8 == (quarter & 0xff));
	if (!__builtin_cpu_supports("avx"))
		return;
	__asm__ volatile("movdqa %1, %0"
			 : "=x"(wide)
			 : "m"(*(const __m128i *)(const void *)(line + 32)));
	v = (u64)_mm_cvtsi128_si64(wide);
	EXPECT(is_repeated(v) && (u64)_mm_cvtsi128_si64(_mm_srli_si128(wide, 8)) == v);
}

static void store_or_load(u32 id)
{
	if (id) {
		for (u32 i = 0; !over; i++)
			load_repeated(memory[id & 1], i);
		return;
	}
	for (u32 i = 0; i < turns; i++)
		store_repeated(memory[i & 1], i % 128 * 0x0101010101010101ull, i / 7);
	over = true;
}

void torn(u32 n)
{
	turns = n;
	over = false;
	memory[0] = shared_pages(1, &memory[1]);
	in_threads(store_or_load);
	free_pages(memory[0], 1);
	free_pages(memory[1], 1);
}

/* ---- Order ---- */

struct meeting { /* of two threads */
	_Atomic(u32) arrived;
	struct {
		volatile u32 said, heard;
		u8 apart[LINE - 8];
	} of[2];
	volatile u32 data[LINE], flag;
};

static struct meeting meetings[THREADS / 2];
static u8 crossing[2 * LINE] __attribute__((aligned(LINE)));

static void meet(struct meeting *m, u32 times)
{
	unsigned turn = 0;

	atomic_fetch_add(&m->arrived, 1);
	while (atomic_load(&m->arrived) < times * 2)
		relax(++turn);
}

static void serialize(u32 how)
{
	u64 v = 1;

	switch (how % 5) {
	case 0:
		__asm__ volatile("mfence" : : : "memory");
		break;
	case 1:
		__asm__ volatile("lock orl $0, (%%rsp)" : : : "memory", "cc");
		break;
	case 2:
		__asm__ volatile("xchgq %0, (%1)" : "+r"(v) : "r"(crossing) : "memory");
		break;
	case 3:
		__asm__ volatile("lock cmpxchgq %0, (%1)"
				 :
				 : "r"(v), "r"(crossing), "a"(v)
				 : "memory", "cc");
		break;
	default:
		if (how % 64 == 4)
			__asm__ volatile("lock addq %0, (%1)"
					 :
					 : "r"(v), "r"(crossing + LINE - (split_locks ? 3 : 8))
					 : "memory", "cc");
		else
			__asm__ volatile("lock incl (%0)" : : "r"(crossing + 8) : "memory", "cc");
	}
}

static void say_and_hear(u32 id)
{
	struct meeting *m = &meetings[id / 2];
	u32 me = id & 1, met = 0;

	for (u32 i = 1; i <= turns; i++) {
		/* Both say, and then hear: one of them, at least, hears what the other says. */
		meet(m, ++met);
		m->of[me].said = i;
		serialize(i);
		m->of[me].heard = m->of[!me].said;
		meet(m, ++met);
		EXPECT(m->of[0].heard == i || m->of[1].heard == i);
		/* Stores are seen in their order, and loads made in theirs. */
		for (u32 k = 0; k < 16 && me; k++) {
			m->data[i % LINE] = i * 16 + k;
			m->flag = i * 16 + k;
		}
		for (u32 k = 0; k < 16 && !me; k++) {
			u32 flag = m->flag, data = m->data[i % LINE];

			EXPECT(flag < i * 16 || data >= flag);
		}
	}
}

void order(u32 n)
{
	turns = n;
	memset(meetings, 0, sizeof(meetings));
	in_threads(say_and_hear);
}
