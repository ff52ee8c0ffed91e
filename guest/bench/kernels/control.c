/* SPDX-License-Identifier: BSD-2-Clause */
/* Calls, returns and branches. */
#include "kernels.h"

enum { QUEENS = 8, OBJECTS = 64, REGISTERS = 8, CELLS = 256 };

/* `opaque` is after the addition, so that neither call becomes a jump or a loop. */
static __attribute__((noinline)) uint64_t fib_of(uint64_t n)
{
	if (n < 2)
		return n;
	return opaque(fib_of(n - 1) + fib_of(n - 2));
}

uint64_t fib(uint64_t count)
{
	uint64_t sum = 0;

	while (count--)
		sum += fib_of(opaque(20));
	return sum;
}

/* How many ways there are to go on, with the columns and diagonals that are attacked. */
static uint64_t place(uint32_t columns, uint32_t left, uint32_t right)
{
	const uint32_t all = (1u << QUEENS) - 1;
	uint32_t free = all & ~(columns | left | right);
	uint64_t ways = 0;

	if (columns == all)
		return 1;
	while (free) {
		uint32_t bit = free & -free;

		free &= free - 1;
		ways += place(columns | bit, (left | bit) << 1, (right | bit) >> 1);
	}
	return ways;
}

uint64_t queens(uint64_t count)
{
	uint64_t sum = 0;

	while (count--)
		sum += place((uint32_t)opaque(0), 0, 0);
	return sum;
}

/* A machine of eight registers: instructions of an operation and three operands. */
enum op {
	OP_SET,
	OP_ADD,
	OP_SUB,
	OP_AND,
	OP_SHIFT,
	OP_LOAD,
	OP_STORE,
	OP_LESS,
	OP_BRANCH,
	OP_JUMP,
	OP_HALT,
};

struct instruction {
	uint8_t op, a, b, c;
};

/* Sieve of Eratosthenes over CELLS cells; r0 counts the primes, r7 is 1. */
static const struct instruction sieve[] = {
	{OP_SET, 0, 0, 0},                        /* 0: primes = 0 */
	{OP_SET, 1, 0, 2},                        /* 1: n = 2 */
	{OP_SET, 2, 1, 0},                        /* 2: end = 256 */
	{OP_SET, 7, 0, 1},                        /* 3 */
	{OP_LESS, 3, 1, 2},                       /* 4: next: n < end? */
	{OP_BRANCH, 3, 0, 7},                     /* 5 */
	{OP_HALT, 0, 0, 0},                       /* 6 */
	{OP_LOAD, 3, 1, 0},                       /* 7: crossed out in this pass? */
	{OP_LESS, 4, 3, 6},                       /* 8 */
	{OP_BRANCH, 4, 0, 12}, {OP_ADD, 1, 1, 7}, /* 10: skip */
	{OP_JUMP, 0, 0, 4},    {OP_ADD, 0, 0, 7}, /* 12: a prime */
	{OP_ADD, 4, 1, 1},                        /* 13: multiple = 2 n */
	{OP_LESS, 3, 4, 2},                       /* 14: cross: multiple < end? */
	{OP_BRANCH, 3, 0, 17}, {OP_JUMP, 0, 0, 10}, {OP_STORE, 4, 6, 0}, /* 17 */
	{OP_ADD, 4, 4, 1},     {OP_SHIFT, 5, 4, 1}, /* 19: work that changes nothing: r5 = (4 >> 1)
						       & 4 */
	{OP_AND, 5, 5, 4},     {OP_SUB, 5, 5, 5},   {OP_JUMP, 0, 0, 14},
};

/* r6 is the number of the pass: a cell that holds it is crossed out. */
static __attribute__((noinline)) uint64_t interpret(const struct instruction *code, uint64_t *cells,
						    uint64_t pass)
{
	uint64_t r[REGISTERS] = {[6] = pass};

	for (const struct instruction *i = code;;) {
		const struct instruction now = *i++;

		switch ((enum op)now.op) {
		case OP_SET:
			r[now.a] = (uint64_t)now.b << 8 | now.c;
			break;
		case OP_ADD:
			r[now.a] = r[now.b] + r[now.c];
			break;
		case OP_SUB:
			r[now.a] = r[now.b] - r[now.c];
			break;
		case OP_AND:
			r[now.a] = r[now.b] & r[now.c];
			break;
		case OP_SHIFT:
			r[now.a] = r[now.b] >> now.c;
			break;
		case OP_LOAD:
			r[now.a] = cells[r[now.b] % CELLS];
			break;
		case OP_STORE:
			cells[r[now.a] % CELLS] = r[now.b];
			break;
		case OP_LESS:
			r[now.a] = r[now.b] < r[now.c];
			break;
		case OP_BRANCH:
			if (r[now.a])
				i = code + now.c;
			break;
		case OP_JUMP:
			i = code + now.c;
			break;
		case OP_HALT:
			return r[0];
		}
	}
}

uint64_t bytecode(uint64_t count)
{
	uint64_t cells[CELLS] = {0}, sum = 0;

	for (uint64_t pass = 1; pass <= count; pass++)
		sum += interpret(sieve, cells, pass);
	return sum;
}

struct object;

struct object_ops {
	uint64_t (*apply)(struct object *o, uint64_t value);
};

struct object {
	const struct object_ops *ops;
	uint64_t state;
};

static uint64_t apply_add(struct object *o, uint64_t value)
{
	return o->state += value;
}

static uint64_t apply_xor(struct object *o, uint64_t value)
{
	return o->state ^ value;
}

static uint64_t apply_rotate(struct object *o, uint64_t value)
{
	return value << 7 | value >> 57;
}

static uint64_t apply_count(struct object *o, uint64_t value)
{
	o->state++;
	return value + 1;
}

uint64_t virtual_calls(uint64_t count)
{
	static const struct object_ops classes[] = {
		{apply_add}, {apply_xor}, {apply_rotate}, {apply_count}};
	struct object objects[OBJECTS];
	uint64_t seed = RANDOM_SEED, value = 1;

	for (size_t i = 0; i < OBJECTS; i++)
		objects[i] = (struct object){&classes[random_next(&seed) % 4], i};
	while (count--) {
		barrier();
		for (size_t i = 0; i < OBJECTS; i++)
			value = objects[i].ops->apply(&objects[i], value);
	}
	return value;
}
