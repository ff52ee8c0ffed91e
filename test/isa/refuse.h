/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TEST_ISA_REFUSE_H
#define TEST_ISA_REFUSE_H

#include <stdbool.h>

/*
 * A host that has no room for more mappings in windows now and then: of its calls that map, unmap
 * and take rights away there, one in so many fails. 0: none. With refuse_all those too that Linux
 * has no reason to refuse, as they split no mapping.
 */
extern unsigned refuse_one_in;
extern bool refuse_all;

#endif
