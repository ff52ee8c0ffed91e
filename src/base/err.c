/* SPDX-License-Identifier: BSD-2-Clause */
#include "alcazar/err.h"
#include "base/fmt.h"

int alc_fail(struct alc_err *err, int code, const char *fmt, ...)
{
	va_list ap;

	if (!err || err->code)
		return code;
	err->code = code;
	va_start(ap, fmt);
	fmt_vtext(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);
	return code;
}
