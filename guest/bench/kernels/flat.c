/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Much code and few loops, as in a compiler or a kernel: 2047 different functions that form a
 * binary tree of calls, each called once an iteration. A function is named by its path: 1 is the
 * root, and n calls n0 and n1. The path, read as a binary number, makes its constants.
 */
#include "kernels.h"

enum { WORDS = 1024 };

static uint64_t words[WORDS];

#define NUMBER(path)       ((uint64_t)0b##path)
#define CONSTANT(path, by) ((NUMBER(path) * (by) ^ NUMBER(path) << 17) & 0x7fffffff)
#define WORD(path, by)     words[NUMBER(path) * (by) % WORDS]

/* What differs from function to function: constants, addresses and so the branches taken. */
#define WORK(path)                                                   \
	do {                                                         \
		uint64_t word = WORD(path, 7);                       \
                                                                     \
		x += word ^ CONSTANT(path, 2654435761u);             \
		if (x & 1u << NUMBER(path) % 13)                     \
			x ^= x >> (NUMBER(path) % 23 + 3);           \
		else                                                 \
			WORD(path, 29) += x + CONSTANT(path, 40503); \
		if ((uint32_t)x > CONSTANT(path, 97))                \
			x = x * (CONSTANT(path, 613) | 1) + y;       \
		else if (y & 1u << NUMBER(path) % 7)                 \
			y -= word >> NUMBER(path) % 11;              \
		WORD(path, 5) = x ^ y;                               \
	} while (0)

#define LEAF(path)                                                                \
	static __attribute__((noinline)) uint64_t f##path(uint64_t x, uint64_t y) \
	{                                                                         \
		WORK(path);                                                       \
		return x + y;                                                     \
	}

#define NODE(path)                                                                \
	static __attribute__((noinline)) uint64_t f##path(uint64_t x, uint64_t y) \
	{                                                                         \
		WORK(path);                                                       \
		x = f##path##0(x, y ^ CONSTANT(path, 31));                        \
		y += x >> NUMBER(path) % 19;                                      \
		return f##path##1(y, x) + y;                                      \
	}

/* A tree of so many levels below its root, callees before callers. */
#define TREE_0(path)  LEAF(path)
#define TREE_1(path)  TREE_0(path##0) TREE_0(path##1) NODE(path)
#define TREE_2(path)  TREE_1(path##0) TREE_1(path##1) NODE(path)
#define TREE_3(path)  TREE_2(path##0) TREE_2(path##1) NODE(path)
#define TREE_4(path)  TREE_3(path##0) TREE_3(path##1) NODE(path)
#define TREE_5(path)  TREE_4(path##0) TREE_4(path##1) NODE(path)
#define TREE_6(path)  TREE_5(path##0) TREE_5(path##1) NODE(path)
#define TREE_7(path)  TREE_6(path##0) TREE_6(path##1) NODE(path)
#define TREE_8(path)  TREE_7(path##0) TREE_7(path##1) NODE(path)
#define TREE_9(path)  TREE_8(path##0) TREE_8(path##1) NODE(path)
#define TREE_10(path) TREE_9(path##0) TREE_9(path##1) NODE(path)

TREE_10(1)

uint64_t flat_code(uint64_t count)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < WORDS; i++)
		words[i] = i * 0x9e3779b97f4a7c15u;
	while (count--)
		sum = f1(sum, count);
	return sum;
}
