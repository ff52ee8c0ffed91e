/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TEST_UNIT_FX_IMAGE_H
#define TEST_UNIT_FX_IMAGE_H

#include <cpuid.h>
#include <string.h>

#include "base/bits.h"

/*
 * Before ours is compared with what the host saved: processors of AMD keep FOP, FIP and FDP only
 * while an exception waits (APM vol. 2 11.4.4) and of them what a linear address has, and have a
 * bit of MXCSR that Intel's don't.
 */
static inline void fx_image_level(u8 *image)
{
	enum { FOP = 6, FDP_END = 24, MXCSR_MASK = 28, MM = 1 << 17 };
	unsigned eax, ebx, ecx, edx;

	if (__get_cpuid(0, &eax, &ebx, &ecx, &edx) && ebx == signature_INTEL_ebx)
		return;
	image[MXCSR_MASK + 2] &= (u8) ~(MM >> 16);
	memset(image + FOP, 0, FDP_END - FOP);
}

#endif
