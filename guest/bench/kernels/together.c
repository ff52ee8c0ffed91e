/* SPDX-License-Identifier: BSD-2-Clause */
/* A kernel by several processes at once, each on a CPU of its own. */
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernels.h"

struct meeting {
	_Atomic unsigned arrived;
	_Atomic unsigned failed;
	struct {
		uint64_t took_ns, sum;
	} of[TOGETHER_MAX];
};

static bool stay_on(unsigned cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	return !sched_setaffinity(0, sizeof(set), &set);
}

/* All begin when the last one has made its untimed run. */
static void take_part(struct meeting *m, const struct kernel *k, uint64_t count, unsigned me,
		      unsigned n, unsigned cpu)
{
	if (!stay_on(cpu))
		m->failed++;
	kernel_prepare(k, count);
	m->arrived++;
	while (m->arrived < n)
		;
	m->of[me].took_ns = kernel_time(k, count, &m->of[me].sum);
}

static bool agree(const struct meeting *m, unsigned n)
{
	for (unsigned i = 1; i < n; i++)
		if (m->of[i].sum != m->of[0].sum)
			return false;
	return !m->failed;
}

static uint64_t longest_ns(const struct meeting *m, unsigned n)
{
	uint64_t longest = 0;

	for (unsigned i = 0; i < n; i++)
		longest = m->of[i].took_ns > longest ? m->of[i].took_ns : longest;
	return longest;
}

/* Who can't be had does not arrive, but is not waited for. */
static void start(struct meeting *m, const struct kernel *k, uint64_t count, unsigned n,
		  unsigned cpu)
{
	for (unsigned i = 0; i < n; i++) {
		pid_t pid = fork();

		if (!pid) {
			take_part(m, k, count, i, n, cpu + i);
			_exit(0);
		}
		if (pid < 0) {
			m->failed++;
			m->arrived++;
		}
	}
	while (wait(NULL) > 0)
		;
}

bool kernel_together(const struct kernel *k, uint64_t count, unsigned n, unsigned cpu,
		     uint64_t *took_ns, uint64_t *sum)
{
	struct meeting *m = mmap(NULL, sizeof(*m), PROT_READ | PROT_WRITE,
				 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	bool good;

	if (m == MAP_FAILED)
		return false;
	fflush(stdout);
	start(m, k, count, n, cpu);
	good = agree(m, n);
	*took_ns = longest_ns(m, n);
	*sum = m->of[0].sum;
	munmap(m, sizeof(*m));
	return good;
}
