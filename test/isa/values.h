/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TEST_ISA_VALUES_H
#define TEST_ISA_VALUES_H

#include "rng.h"

/*
 * Operand values that are likelier to show a fault than uniform ones: extremes, powers of two and
 * their neighbours, all classes of floating-point numbers.
 */
u64 value_int(struct rng *r);
u32 value_f32(struct rng *r);
u64 value_f64(struct rng *r);
/* An 80-bit number, unnormals and pseudo-denormals included. */
void value_f80(struct rng *r, u64 out[2]);
/* A vector of 32 bytes, its elements of one kind chosen at random. */
void value_vector(struct rng *r, u64 out[4]);
/* All vector registers and masks, of which some are full or empty. */
void values_vectors(struct rng *r, u64 vec[32][8], u64 k[8]);
/* An address in the code window. */
u64 value_code_address(struct rng *r);

/* Fills memory with a mixture of the above; len is a multiple of 32. */
void values_fill(u64 seed, u8 *mem, size_t len);

#endif
