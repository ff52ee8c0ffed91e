/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TEST_ISA_GENERATE_H
#define TEST_ISA_GENERATE_H

#include "case.h"
#include "forms.h"

/*
 * Case `number` of the run with this seed: depends on nothing else. Single-instruction cases take
 * the forms in turn, in an order that the seed gives, so that n cases cover every form about
 * n / forms times; one case in eight is a sequence.
 *
 * only: ZYDIS_MNEMONIC_INVALID, or the mnemonic that every case must show.
 */
void generate_case(struct forms *f, u64 seed, u64 number, ZydisMnemonic only, struct isa_case *c);

#endif
