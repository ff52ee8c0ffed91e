/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BLOCK_SCHED_ISSUERS_H
#define BLOCK_SCHED_ISSUERS_H

#include "block/disk_req.h"

/*
 * Numbers for issuers, from 0, for arrays of what a scheduler knows about each. There is room for
 * as many as one tells apart; of more, some share a number. Zeroed: none seen.
 */
enum { ISSUERS = 1024, ISSUER_PROBES = 16 };

struct issuers {
	u32 of[ISSUERS];
	bool used[ISSUERS];
};

static inline unsigned issuer_number(struct issuers *t, u32 issuer)
{
	unsigned first = (unsigned)(issuer * 0x9e3779b9u >> 22);

	for (unsigned i = 0; i < ISSUER_PROBES; i++) {
		unsigned at = (first + i) % ISSUERS;

		if (!t->used[at]) {
			t->used[at] = true;
			t->of[at] = issuer;
		}
		if (t->of[at] == issuer)
			return at;
	}
	return first;
}

#endif
