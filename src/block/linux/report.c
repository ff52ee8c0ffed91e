/* SPDX-License-Identifier: BSD-2-Clause */
#include "block/linux/report.h"

#include <stdarg.h>

#include "base/fmt.h"

static const u64 QUIET_NS = 10ull * 1000 * 1000 * 1000;

/* One of those who come at the same time speaks. */
static bool may_speak(struct report *r)
{
	u64 now = host_now_ns(r->host), until = atomic_load(&r->quiet_until_ns);

	return now >= until &&
	       atomic_compare_exchange_strong(&r->quiet_until_ns, &until, now + QUIET_NS);
}

void report_line(struct report *r, const char *fmt, ...)
{
	char text[ALC_ERR_TEXT_MAX];
	size_t len;
	u64 unsaid;
	va_list ap;

	if (!may_speak(r)) {
		atomic_fetch_add(&r->unsaid, 1);
		return;
	}
	unsaid = atomic_exchange(&r->unsaid, 0);
	va_start(ap, fmt);
	len = fmt_vtext(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (unsaid && len < sizeof(text))
		fmt_text(text + len, sizeof(text) - len, " (and %llu more since the last line)",
			 (unsigned long long)unsaid);
	r->host->log(r->host->ctx, ALC_LOG_ERROR, text);
}
