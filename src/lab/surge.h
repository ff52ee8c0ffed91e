/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAB_SURGE_H
#define LAB_SURGE_H

#include "alcazar/err.h"
#include "base/param.h"
#include "host/host.h"
#include "lab/number.h"

/*
 * A workload after SURGE (Barford, Crovella: Generating Representative Web Workloads for Network
 * and Server Performance Evaluation, SIGMETRICS 1998): processes, of which each forever draws a
 * number n ~ Pareto(alpha1, k1), and n times picks a file by Zipf's law and reads it page by page,
 * with a sleep t ~ Pareto(alpha2, k2) after each page.
 *
 * Files have sizes with a lognormal body and a Pareto tail; they lie one after the other, each
 * contiguous, with equal gaps, in a region of the disk. Popularity is independent of size and
 * place. Here are the files and the programs of the processes: what they read and how long they
 * sleep. The simulator's workload (work_surge.c) and the program for guests both take their steps
 * from here, so with one seed they are the same.
 */
enum { PAGE_SECTORS = 8 };

struct surge_params {
	u64 processes, files, file_max, k2_ns;
	double alpha1, k1, alpha2, zipf, mu, sigma, tail, tail_alpha, tail_k, offset, span, reads;
	bool buffered;
	u64 cache_bytes, read_ahead_bytes, memory_ns; /* of work_surge.c: the page cache's */
};

extern const struct param surge_param_table[];

struct surge_file {
	u64 sector;     /* where it begins on the disk */
	u32 first_page; /* its number among the pages of all files */
	u32 pages;
};

struct surge {
	struct surge_params p;
	const struct alc_host *host;
	struct surge_file *files; /* by rank of popularity */
	struct zipf popularity;
	u32 pages; /* of all files */
};

enum surge_kind { SURGE_PAGE, SURGE_SLEEP };

struct surge_act {
	enum surge_kind kind;
	/* SURGE_PAGE */
	const struct surge_file *file;
	u32 page; /* of the file */
	bool write;
	/* SURGE_SLEEP */
	u64 sleep_ns;
};

/* One process. */
struct surge_process {
	struct rng rng;
	const struct surge_file *file;
	u64 files_left;
	u32 page;
	bool sleeps_next;
};

/* sectors: size of the disk. -EINVAL: the files don't fit. */
int surge_init(struct surge *s, const struct surge_params *p, const struct alc_host *host,
	       u64 sectors, u64 seed, struct alc_err *err) ALC_MUST_CHECK;
void surge_fini(struct surge *s);

void surge_process_init(struct surge_process *p, u64 seed, u32 number);
void surge_process_next(const struct surge *s, struct surge_process *p, struct surge_act *act);

static inline u64 surge_page_sector(const struct surge_file *f, u32 page)
{
	return f->sector + (u64)page * PAGE_SECTORS;
}

#endif
