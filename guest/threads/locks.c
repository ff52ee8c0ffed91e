/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "threads.h"

/* ---- Mutexes of all kinds ---- */

enum { KINDS = 16 };

struct guarded {
	pthread_mutex_t mutex;
	int type;
	u64 first, second; /* equal while nobody holds it */
};

struct guarded_set {
	struct guarded of[KINDS];
	_Atomic(u64) taken;
};

static struct guarded_set *set;
static u32 turns;

static const int types[] = {PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_RECURSIVE, PTHREAD_MUTEX_ERRORCHECK,
			    PTHREAD_MUTEX_ADAPTIVE_NP};

static void mutex_make(pthread_mutex_t *m, int type, bool robust, bool inherits, bool processes)
{
	pthread_mutexattr_t a;

	EXPECT(!pthread_mutexattr_init(&a));
	EXPECT(!pthread_mutexattr_settype(&a, type));
	if (robust)
		EXPECT(!pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST));
	if (inherits)
		EXPECT(!pthread_mutexattr_setprotocol(&a, PTHREAD_PRIO_INHERIT));
	if (processes)
		EXPECT(!pthread_mutexattr_setpshared(&a, PTHREAD_PROCESS_SHARED));
	EXPECT(!pthread_mutex_init(m, &a));
	EXPECT(!pthread_mutexattr_destroy(&a));
}

static struct timespec far(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	t.tv_sec += 100000;
	return t;
}

static void take(pthread_mutex_t *m, u32 how)
{
	struct timespec t;
	unsigned turn = 0;
	int r;

	switch (how % 4) {
	case 0:
		while ((r = pthread_mutex_trylock(m)) == EBUSY)
			relax(++turn);
		EXPECT(r == 0);
		break;
	case 1:
		t = far();
		EXPECT(pthread_mutex_timedlock(m, &t) == 0);
		break;
	default:
		EXPECT(pthread_mutex_lock(m) == 0);
	}
}

static void use(struct guarded *g, u32 how)
{
	take(&g->mutex, how);
	EXPECT(g->first == g->second);
	g->first++;
	if (how % 61 == 0)
		sched_yield();
	if (g->type == PTHREAD_MUTEX_RECURSIVE && how & 16) {
		EXPECT(pthread_mutex_lock(&g->mutex) == 0);
		EXPECT(pthread_mutex_unlock(&g->mutex) == 0);
	}
	if (g->type == PTHREAD_MUTEX_ERRORCHECK && how & 16)
		EXPECT(pthread_mutex_lock(&g->mutex) == EDEADLK);
	g->second++;
	EXPECT(g->first == g->second);
	EXPECT(pthread_mutex_unlock(&g->mutex) == 0);
	if ((g->type == PTHREAD_MUTEX_RECURSIVE || g->type == PTHREAD_MUTEX_ERRORCHECK) && how & 32)
		EXPECT(pthread_mutex_unlock(&g->mutex) == EPERM);
}

static void use_all(u32 id)
{
	u32 random = id + 1, how;

	for (u32 i = 0; i < turns; i++) {
		how = next_random(&random);
		/* Now many at one, now each at another. */
		use(&set->of[i & 256 ? how / 64 % KINDS : i / 8 % KINDS], how);
	}
	atomic_fetch_add(&set->taken, turns);
}

static void all_mutexes(u32 n, bool processes)
{
	u64 sum = 0;

	set = (struct guarded_set *)shared_pages(1, NULL);
	_Static_assert(sizeof(*set) <= PAGE, "a page");
	turns = n;
	for (u32 k = 0; k < KINDS; k++) {
		set->of[k].type = types[k & 3];
		mutex_make(&set->of[k].mutex, types[k & 3], k & 4, k & 8, processes);
	}
	(processes ? in_processes : in_threads)(use_all);
	for (u32 k = 0; k < KINDS; k++) {
		sum += set->of[k].first;
		EXPECT(set->of[k].first == set->of[k].second);
		EXPECT(pthread_mutex_destroy(&set->of[k].mutex) == 0);
	}
	EXPECT(set->taken == sum);
	EXPECT(sum == (u64)n * THREADS);
	free_pages((u8 *)set, 1);
}

void mutexes(u32 n)
{
	all_mutexes(n, false);
}

void mutexes_of_processes(u32 n)
{
	all_mutexes(n, true);
}

/* ---- Owners that die ---- */

struct left_behind {
	pthread_mutex_t mutex[2];
	u32 deaths[2], found[2];
};

static struct left_behind *left;

/* Under the mutex the count of deaths is exact: it is that of those who died with it. */
static void lock_of_dead(u32 k)
{
	int r = pthread_mutex_lock(&left->mutex[k]);

	EXPECT(r == 0 || r == EOWNERDEAD);
	if (r == EOWNERDEAD) {
		left->found[k]++;
		EXPECT(pthread_mutex_consistent(&left->mutex[k]) == 0);
	}
	EXPECT(left->deaths[k] == left->found[k]);
}

static void die_and_find(u32 id)
{
	for (u32 i = 0; i < turns; i++) {
		u32 k = (i + id) & 1;
		pid_t pid = fork();

		if (pid < 0)
			abort();
		if (!pid) {
			lock_of_dead(k);
			left->deaths[k]++;
			_exit(0);
		}
		for (u32 j = 0; j < 20; j++) {
			lock_of_dead(j & 1);
			EXPECT(pthread_mutex_unlock(&left->mutex[j & 1]) == 0);
		}
		EXPECT(waitpid(pid, NULL, 0) == pid);
	}
}

void owners_that_die(u32 n)
{
	left = (struct left_behind *)shared_pages(1, NULL);
	turns = n;
	for (u32 k = 0; k < 2; k++)
		mutex_make(&left->mutex[k], PTHREAD_MUTEX_NORMAL, true, k, true);
	in_processes(die_and_find);
	for (u32 k = 0; k < 2; k++) {
		lock_of_dead(k);
		EXPECT(pthread_mutex_unlock(&left->mutex[k]) == 0);
	}
	EXPECT(left->deaths[0] + left->deaths[1] == n * THREADS);
	free_pages((u8 *)left, 1);
}

/* ---- Conditions: a queue of few places ---- */

enum { PLACES = 3 };

static pthread_mutex_t door = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t filled = PTHREAD_COND_INITIALIZER, emptied = PTHREAD_COND_INITIALIZER;
static u32 places[PLACES], head, count, next_value, next_seen;

static void put_or_get(u32 id)
{
	for (u32 i = 0; i < turns; i++) {
		EXPECT(pthread_mutex_lock(&door) == 0);
		if (id & 1) {
			while (count == PLACES)
				EXPECT(pthread_cond_wait(&emptied, &door) == 0);
			places[(head + count++) % PLACES] = next_value++;
			EXPECT((i & 7 ? pthread_cond_signal : pthread_cond_broadcast)(&filled) ==
			       0);
		} else {
			while (!count)
				EXPECT(pthread_cond_wait(&filled, &door) == 0);
			EXPECT(places[head] == next_seen++);
			head = (head + 1) % PLACES;
			count--;
			EXPECT(pthread_cond_signal(&emptied) == 0);
		}
		EXPECT(pthread_mutex_unlock(&door) == 0);
	}
}

void queue(u32 n)
{
	head = count = next_value = next_seen = 0;
	turns = n;
	in_threads(put_or_get);
	EXPECT(!count && next_value == n * THREADS / 2 && next_seen == next_value);
}

/* ---- Other locks ---- */

static pthread_rwlock_t rw = PTHREAD_RWLOCK_INITIALIZER;
static pthread_spinlock_t spin;
static pthread_barrier_t barrier;
static sem_t free_seats;
static u64 written[2], spun;
static _Atomic(u32) seated, serial, arrived;

static void each_lock(u32 id)
{
	for (u32 i = 0; i < turns; i++) {
		unsigned turn = 0;

		if (i % 4 == id) {
			EXPECT(pthread_rwlock_wrlock(&rw) == 0);
			written[0]++;
			written[1]++;
		} else {
			EXPECT(pthread_rwlock_rdlock(&rw) == 0);
		}
		EXPECT(written[0] == written[1]);
		EXPECT(pthread_rwlock_unlock(&rw) == 0);

		while (pthread_spin_trylock(&spin))
			relax(++turn);
		spun++;
		EXPECT(pthread_spin_unlock(&spin) == 0);

		EXPECT(sem_wait(&free_seats) == 0);
		EXPECT(atomic_fetch_add(&seated, 1) < 2);
		atomic_fetch_sub(&seated, 1);
		EXPECT(sem_post(&free_seats) == 0);

		if (i % 16)
			continue;
		atomic_fetch_add(&arrived, 1);
		if (pthread_barrier_wait(&barrier) == PTHREAD_BARRIER_SERIAL_THREAD)
			atomic_fetch_add(&serial, 1);
		EXPECT(arrived >= (i / 16 + 1) * THREADS);
	}
}

void other_locks(u32 n)
{
	turns = n;
	written[0] = written[1] = spun = 0;
	serial = arrived = 0;
	pthread_spin_init(&spin, PTHREAD_PROCESS_PRIVATE);
	pthread_barrier_init(&barrier, NULL, THREADS);
	sem_init(&free_seats, 0, 2);
	in_threads(each_lock);
	EXPECT(spun == (u64)n * THREADS);
	EXPECT(written[0] == n);
	EXPECT(serial == (n + 15) / 16);
	EXPECT(seated == 0);
	pthread_barrier_destroy(&barrier);
	pthread_spin_destroy(&spin);
}

/* ---- Threads that come, wait for a word and go ---- */

enum { BORN = 12 };

static pthread_cond_t word = PTHREAD_COND_INITIALIZER;
static bool said;
static u32 alive;

static void *one_life(void *arg)
{
	EXPECT(pthread_mutex_lock(&door) == 0);
	alive++;
	while (!said) {
		struct timespec t;

		clock_gettime(CLOCK_REALTIME, &t);
		t.tv_nsec += 20000000;
		t.tv_sec += t.tv_nsec / 1000000000;
		t.tv_nsec %= 1000000000;
		EXPECT(pthread_cond_timedwait(&word, &door, &t) % ETIMEDOUT == 0);
	}
	alive--;
	EXPECT(pthread_mutex_unlock(&door) == 0);
	return arg;
}

void births(u32 n)
{
	pthread_t threads[BORN];
	u32 lives[BORN];
	void *result;

	for (u32 i = 0; i < n; i++) {
		EXPECT(pthread_mutex_lock(&door) == 0);
		said = false;
		for (u32 k = 0; k < BORN; k++)
			if (pthread_create(&threads[k], NULL, one_life, &lives[k]))
				abort();
		EXPECT(pthread_mutex_unlock(&door) == 0);
		if (i & 1)
			sched_yield();
		EXPECT(pthread_mutex_lock(&door) == 0);
		said = true;
		EXPECT(pthread_cond_broadcast(&word) == 0);
		EXPECT(pthread_mutex_unlock(&door) == 0);
		for (u32 k = 0; k < BORN; k++) {
			EXPECT(pthread_join(threads[k], &result) == 0);
			EXPECT(result == &lives[k]);
		}
		EXPECT(alive == 0);
	}
}
