/* SPDX-License-Identifier: BSD-2-Clause */
#include "lab/surge.h"

#include "base/errno.h"

#define AT(field) offsetof(struct surge_params, field)

/* The fits of the paper, where it has one. Think times and layout are of the machine studied. */
const struct param surge_param_table[] = {
	{"processes", "processes that read", PARAM_COUNT, AT(processes), "64", 1, 65536},
	{"alpha1", "shape of the Pareto number of files a burst", PARAM_REAL, AT(alpha1), "2.43",
	 0.01, 100},
	{"k1", "least number of files a burst", PARAM_REAL, AT(k1), "1", 1, 1e6},
	{"alpha2", "shape of the Pareto sleep after each page", PARAM_REAL, AT(alpha2), "1.5", 0.01,
	 100},
	{"k2", "least sleep after each page", PARAM_TIME, AT(k2_ns), "8ms", 1, 1e12},
	{"zipf", "exponent of the files' popularity", PARAM_REAL, AT(zipf), "1", 0, 10},
	{"files", "files", PARAM_COUNT, AT(files), "2000", 1, 1 << 20},
	{"mu", "file sizes: mean of the logarithm of bytes", PARAM_REAL, AT(mu), "9.357", 0, 30},
	{"sigma", "file sizes: deviation of the logarithm", PARAM_REAL, AT(sigma), "1.318", 0, 10},
	{"tail", "file sizes: share of the Pareto tail", PARAM_REAL, AT(tail), "0.07", 0, 1},
	{"tail_alpha", "file sizes: shape of the tail", PARAM_REAL, AT(tail_alpha), "1.1", 0.01,
	 100},
	{"tail_k", "file sizes: least bytes in the tail", PARAM_REAL, AT(tail_k), "133000", 1,
	 1e12},
	{"file_max", "file sizes: most bytes", PARAM_COUNT, AT(file_max), "16M", 4096,
	 1099511627776.0},
	{"offset", "where the files begin, as a share of the disk", PARAM_REAL, AT(offset), "0", 0,
	 1},
	{"span", "the region that they are spread over, as a share of the disk", PARAM_REAL,
	 AT(span), "1", 0, 1},
	{"reads", "share of reads among the pages", PARAM_REAL, AT(reads), "1", 0, 1},
	{"buffered", "read through a page cache rather than a request a page", PARAM_FLAG,
	 AT(buffered), "off", 0, 0},
	{"cache", "bytes of the page cache", PARAM_COUNT, AT(cache_bytes), "64M", 1 << 16,
	 1099511627776.0},
	{"read_ahead", "most bytes that are read ahead", PARAM_COUNT, AT(read_ahead_bytes), "128K",
	 4096, 1 << 24},
	{"memory", "time that a page found in the page cache takes", PARAM_TIME, AT(memory_ns),
	 "2us", 0, 1e9},
	{.name = NULL},
};

enum { PAGE_BYTES = 4096 };

/* Streams of the seed: one for sizes, one for the order on the disk, then one a process. */
enum { STREAM_SIZES, STREAM_ORDER, STREAM_PROCESS };

static u32 draw_pages(const struct surge_params *p, struct rng *r)
{
	bool tail = rng_unit(r) <= p->tail;
	double bytes = tail ? rng_pareto(r, p->tail_alpha, p->tail_k)
			    : rng_lognormal(r, p->mu, p->sigma);

	if (bytes > (double)p->file_max)
		bytes = (double)p->file_max;
	return (u32)(((bytes < 1 ? 1 : (u64)bytes) + PAGE_BYTES - 1) / PAGE_BYTES);
}

/* Sizes by rank; the number of pages of all. */
static u64 draw_sizes(struct surge *s, u64 seed)
{
	struct rng r;
	u64 pages = 0;

	rng_init(&r, seed, STREAM_SIZES);
	for (u64 i = 0; i < s->p.files; i++) {
		s->files[i].pages = draw_pages(&s->p, &r);
		s->files[i].first_page = (u32)pages;
		pages += s->files[i].pages;
	}
	return pages;
}

/* A permutation (Fisher, Yates): rank at each place. */
static void shuffle(u32 *rank_at, u32 n, u64 seed)
{
	struct rng r;

	rng_init(&r, seed, STREAM_ORDER);
	for (u32 i = 0; i < n; i++)
		rank_at[i] = i;
	for (u32 i = n; i > 1; i--) {
		u32 j = (u32)rng_below(&r, i), kept = rank_at[i - 1];

		rank_at[i - 1] = rank_at[j];
		rank_at[j] = kept;
	}
}

/* Places the files in shuffled order, each at a page boundary. */
static int place(struct surge *s, u64 pages, u64 sectors, u64 seed, struct alc_err *err)
{
	u64 begin = (u64)(s->p.offset * (double)sectors) / PAGE_SECTORS;
	u64 room = (u64)(s->p.span * (double)sectors) / PAGE_SECTORS, gap, at;
	u32 *rank_at;

	if (begin + room > sectors / PAGE_SECTORS)
		room = begin < sectors / PAGE_SECTORS ? sectors / PAGE_SECTORS - begin : 0;
	if (pages > room || pages > UINT32_MAX)
		return alc_fail(err, -EINVAL,
				"the files are %llu pages of 4 KiB, the region has room for %llu",
				(unsigned long long)pages, (unsigned long long)room);
	rank_at = host_alloc(s->host, s->p.files * sizeof(*rank_at));
	if (!rank_at)
		return alc_fail(err, -ENOMEM, "no memory for a workload");
	shuffle(rank_at, (u32)s->p.files, seed);
	gap = (room - pages) / s->p.files;
	at = begin;
	for (u64 i = 0; i < s->p.files; i++) {
		s->files[rank_at[i]].sector = at * PAGE_SECTORS;
		at += s->files[rank_at[i]].pages + gap;
	}
	s->pages = (u32)pages;
	host_free(s->host, rank_at, s->p.files * sizeof(*rank_at));
	return 0;
}

int surge_init(struct surge *s, const struct surge_params *p, const struct alc_host *host,
	       u64 sectors, u64 seed, struct alc_err *err)
{
	double *cumulative = host_alloc(host, p->files * sizeof(*cumulative));
	int rc;

	*s = (struct surge){.p = *p, .host = host};
	s->files = host_alloc(host, p->files * sizeof(*s->files));
	zipf_init(&s->popularity, cumulative, cumulative ? (u32)p->files : 0, p->zipf);
	if (!cumulative || !s->files)
		rc = alc_fail(err, -ENOMEM, "no memory for a workload");
	else
		rc = place(s, draw_sizes(s, seed), sectors, seed, err);
	if (rc)
		surge_fini(s);
	return rc;
}

void surge_fini(struct surge *s)
{
	host_free(s->host, s->popularity.cumulative,
		  s->p.files * sizeof(*s->popularity.cumulative));
	host_free(s->host, s->files, s->p.files * sizeof(*s->files));
	s->popularity.cumulative = NULL;
	s->files = NULL;
}

/* ---- Processes ---------------------------------------------------------------------------- */

void surge_process_init(struct surge_process *p, u64 seed, u32 number)
{
	*p = (struct surge_process){0};
	rng_init(&p->rng, seed, STREAM_PROCESS + (u64)number);
}

static void pick_file(const struct surge *s, struct surge_process *p)
{
	const double most = 1e6;

	if (!p->files_left) {
		double n = rng_pareto(&p->rng, s->p.alpha1, s->p.k1);

		p->files_left = (u64)(n < most ? n : most);
	}
	p->files_left--;
	p->file = &s->files[zipf_draw(&s->popularity, &p->rng)];
	p->page = 0;
}

void surge_process_next(const struct surge *s, struct surge_process *p, struct surge_act *act)
{
	if (p->sleeps_next) {
		*act = (struct surge_act){
			.kind = SURGE_SLEEP,
			.sleep_ns = num_ns(rng_pareto(&p->rng, s->p.alpha2, (double)s->p.k2_ns)),
		};
		p->sleeps_next = false;
		return;
	}
	if (!p->file || p->page == p->file->pages)
		pick_file(s, p);
	*act = (struct surge_act){.kind = SURGE_PAGE, .file = p->file, .page = p->page++};
	act->write = s->p.reads < 1 && rng_unit(&p->rng) > s->p.reads;
	p->sleeps_next = true;
}
