/* SPDX-License-Identifier: BSD-2-Clause */
#include "lab/tally.h"

#include "base/errno.h"
#include "lab/number.h"

/* ---- Histograms --------------------------------------------------------------------------- */

/* Below 64 a bin a value; then the six bits behind the highest one. */
unsigned histogram_bin(u64 value)
{
	unsigned high;

	if (value < BIT(HISTOGRAM_STEP_BITS))
		return (unsigned)value;
	high = 63 - (unsigned)__builtin_clzll(value) - HISTOGRAM_STEP_BITS;
	return ((high + 1) << HISTOGRAM_STEP_BITS) |
	       (unsigned)((value >> high) & mask_low(HISTOGRAM_STEP_BITS));
}

u64 histogram_from(unsigned bin)
{
	unsigned high = bin >> HISTOGRAM_STEP_BITS;

	if (bin >= HISTOGRAM_BINS)
		return UINT64_MAX;
	if (!high)
		return bin;
	return ((bin & mask_low(HISTOGRAM_STEP_BITS)) | BIT(HISTOGRAM_STEP_BITS)) << (high - 1);
}

void histogram_add(struct histogram *h, u64 value)
{
	h->bins[histogram_bin(value)]++;
	h->least = h->n ? min_u64(h->least, value) : value;
	h->most = max_u64(h->most, value);
	h->n++;
	h->sum += (double)value;
	h->squares += (double)value * (double)value;
}

u64 histogram_percentile(const struct histogram *h, double share)
{
	u64 wanted = (u64)(share * (double)h->n + 0.999999), seen = 0;

	for (unsigned i = 0; i < HISTOGRAM_BINS; i++) {
		seen += h->bins[i];
		if (seen >= wanted && seen)
			return min_u64(histogram_from(i + 1) - 1, h->most);
	}
	return h->most;
}

double histogram_mean(const struct histogram *h)
{
	return h->n ? h->sum / (double)h->n : 0;
}

double histogram_deviation(const struct histogram *h)
{
	double mean = histogram_mean(h), variance;

	variance = h->n ? h->squares / (double)h->n - mean * mean : 0;
	return variance > 0 ? num_sqrt(variance) : 0;
}

/* ---- Requests ----------------------------------------------------------------------------- */

int tally_init(struct tally *t, const struct alc_host *host, u32 issuers, struct alc_err *err)
{
	*t = (struct tally){.host = host, .issuers = issuers};
	t->by_issuer = host_alloc(host, issuers * sizeof(*t->by_issuer));
	return t->by_issuer ? 0 : alc_fail(err, -ENOMEM, "no memory for the results");
}

void tally_fini(struct tally *t)
{
	if (t->by_issuer)
		host_free(t->host, t->by_issuer, t->issuers * sizeof(*t->by_issuer));
	t->by_issuer = NULL;
}

static void add_dispatch(struct tally *t, const struct disk_req *r)
{
	t->dispatched++;
	t->dispatched_sectors += r->span_sectors;
	t->cached += r->cached;
	histogram_add(&t->service, r->done_ns - r->dispatch_ns);
}

void tally_add(struct tally *t, const struct disk_req *r, bool merged)
{
	u64 response = r->done_ns - r->arrival_ns;
	struct tally_issuer *who = &t->by_issuer[r->issuer];

	if (t->skip) {
		t->skip--;
		return;
	}
	if (!t->response.n || r->arrival_ns < t->first_ns)
		t->first_ns = r->arrival_ns;
	t->last_ns = max_u64(t->last_ns, r->done_ns);
	if (response > t->response.most || !t->response.n) {
		t->slowest_issuer = r->issuer;
		t->slowest_arrival_ns = r->arrival_ns;
	}
	histogram_add(&t->response, response);
	*(r->op == BLOCK_READ ? &t->reads : &t->writes) += 1;
	t->sectors += r->sectors;
	t->merged += merged;
	if (!merged)
		add_dispatch(t, r);
	who->requests++;
	who->sectors += r->sectors;
	who->response_ns += (double)response;
}

double tally_seconds(const struct tally *t)
{
	return (double)(t->last_ns - t->first_ns) / 1e9;
}

/* ---- Fairness ----------------------------------------------------------------------------- */

struct jain {
	double n, sum, squares;
};

static void jain_add(struct jain *j, double x)
{
	j->n++;
	j->sum += x;
	j->squares += x * x;
}

static double jain_index(const struct jain *j)
{
	return j->squares > 0 ? j->sum * j->sum / (j->n * j->squares) : 1;
}

double tally_fairness_sectors(const struct tally *t)
{
	struct jain j = {0};

	for (u32 i = 0; i < t->issuers; i++)
		if (t->by_issuer[i].requests)
			jain_add(&j, (double)t->by_issuer[i].sectors);
	return jain_index(&j);
}

double tally_fairness_response(const struct tally *t)
{
	struct jain j = {0};

	for (u32 i = 0; i < t->issuers; i++)
		if (t->by_issuer[i].requests)
			jain_add(&j,
				 t->by_issuer[i].response_ns / (double)t->by_issuer[i].requests);
	return jain_index(&j);
}
