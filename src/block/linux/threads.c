/* SPDX-License-Identifier: BSD-2-Clause */
#include "block/linux/threads.h"

#include <errno.h>
#include <pthread.h>

enum { THREADS_MAX = 16 };

struct pool {
	const struct alc_host *host;
	void (*run)(void *ctx, struct block_req *r);
	void *ctx;
	pthread_mutex_t lock;
	pthread_cond_t work;
	struct block_req *first, **last;
	unsigned queued, idle, nthreads, max_threads;
	struct alc_thread *threads[THREADS_MAX];
	bool quit;
};

static struct block_req *take(struct pool *p)
{
	struct block_req *r;

	p->idle++;
	while (!p->first && !p->quit)
		pthread_cond_wait(&p->work, &p->lock);
	p->idle--;
	r = p->first;
	if (r) {
		p->first = r->next;
		if (!p->first)
			p->last = &p->first;
		p->queued--;
	}
	return r;
}

static void worker(void *arg)
{
	struct pool *p = arg;
	struct block_req *r;

	pthread_mutex_lock(&p->lock);
	while ((r = take(p))) {
		pthread_mutex_unlock(&p->lock);
		p->run(p->ctx, r);
		pthread_mutex_lock(&p->lock);
	}
	pthread_mutex_unlock(&p->lock);
}

int pool_create(const struct alc_host *host, unsigned max_threads,
		void (*run)(void *ctx, struct block_req *r), void *ctx, struct pool **out,
		struct alc_err *err)
{
	struct pool *p = host_alloc(host, sizeof(*p));

	if (!p)
		return alc_fail(err, -ENOMEM, "no memory for a pool of threads");
	p->host = host;
	p->run = run;
	p->ctx = ctx;
	p->last = &p->first;
	p->max_threads = max_threads < THREADS_MAX ? max_threads : THREADS_MAX;
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->work, NULL);
	*out = p;
	return 0;
}

void pool_destroy(struct pool *p)
{
	if (!p)
		return;
	pthread_mutex_lock(&p->lock);
	p->quit = true;
	pthread_cond_broadcast(&p->work);
	pthread_mutex_unlock(&p->lock);
	for (unsigned i = 0; i < p->nthreads; i++)
		p->host->thread_join(p->host->ctx, p->threads[i]);
	pthread_cond_destroy(&p->work);
	pthread_mutex_destroy(&p->lock);
	host_free(p->host, p, sizeof(*p));
}

/* Fewer threads than wanted will do, if there is one. */
static int start_threads(struct pool *p, unsigned want)
{
	int rc = 0;

	while (!rc && p->nthreads < want && p->nthreads < p->max_threads) {
		rc = p->host->thread_start(p->host->ctx, "disk", worker, p,
					   &p->threads[p->nthreads]);
		p->nthreads += !rc;
	}
	return p->nthreads ? 0 : rc;
}

int pool_submit(struct pool *p, struct block_req *list)
{
	unsigned n = 0;
	struct block_req **end = &list;
	int rc;

	for (; *end; end = &(*end)->next)
		n++;
	pthread_mutex_lock(&p->lock);
	rc = p->idle >= p->queued + n ? 0 : start_threads(p, p->nthreads - p->idle + p->queued + n);
	if (!rc) {
		*p->last = list;
		p->last = end;
		p->queued += n;
		if (n == 1)
			pthread_cond_signal(&p->work);
		else
			pthread_cond_broadcast(&p->work);
	}
	pthread_mutex_unlock(&p->lock);
	return rc;
}
