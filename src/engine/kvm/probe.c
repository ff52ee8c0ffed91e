/* SPDX-License-Identifier: BSD-2-Clause */
#include "engine/kvm/internal.h"
#include <stdio.h>
#include <unistd.h>
void kvm_probe(const struct alc_host *host, struct alc_engine_score *score)
{
	int fd = kvm_open(score->why, sizeof(score->why));
	score->usable = fd < 0 ? fd : 0;
	if (fd >= 0) {
		snprintf(score->why, sizeof(score->why), "opens");
		close(fd);
	}
	score->good = 0;
}
