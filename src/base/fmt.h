/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BASE_FMT_H
#define BASE_FMT_H

#include <stdarg.h>
#include <stddef.h>

#include "alcazar/err.h"

/*
 * A freestanding subset of snprintf: %s %c %d %i %u %x %X %p %%, flags 0 and -, width, precision
 * for %s (also *), length l, ll, z. Always terminates (size > 0); returns the length that the
 * whole text has, as snprintf does.
 */
size_t fmt_text(char *out, size_t size, const char *fmt, ...) ALC_PRINTF(3, 4);
size_t fmt_vtext(char *out, size_t size, const char *fmt, va_list ap);

#endif
