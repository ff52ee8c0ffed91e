/* SPDX-License-Identifier: BSD-2-Clause */
#include <string.h>

#include "cases.h"

const unsigned ncases = 0;
void case_at(unsigned i, struct isa_case *c)
{
	case_init(c);
}
