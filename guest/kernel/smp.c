/* SPDX-License-Identifier: BSD-2-Clause */
/* Several processors: start, atomics under contention, interprocessor interrupts, modified code. */
#include "kernel.h"

enum { ROUNDS = 200000, IPI_ROUNDS = 50, VEC_RING = 0x40, VEC_BROADCAST = 0x41 };

typedef void job(unsigned index);

static unsigned cpus;
static volatile u32 ids[CPUS_MAX];
static volatile u32 ready, job_number, jobs_done;
static job *volatile current_job;

static volatile u64 locked_counter, exchanged_counter, plain_counter;
static volatile u32 lock_word;
static volatile u32 seen[CPUS_MAX];
static volatile bool stop_waiting, woken[CPUS_MAX];
static volatile u32 ring_arrivals;

/* Every processor runs the job once; returns when all have. */
static void on_all(job *j)
{
	jobs_done = 0;
	current_job = j;
	__atomic_store_n(&job_number, job_number + 1, __ATOMIC_SEQ_CST);
	j(0);
	while (jobs_done < cpus - 1)
		pause();
}

void ap_run(unsigned index)
{
	u32 last = 0;

	ids[index] = apic_id();
	__atomic_add_fetch(&ready, 1, __ATOMIC_SEQ_CST);
	for (;;) {
		while (job_number == last)
			pause();
		last = job_number;
		current_job(index);
		__atomic_add_fetch(&jobs_done, 1, __ATOMIC_SEQ_CST);
	}
}

static void count_locked(unsigned index)
{
	(void)index;
	for (unsigned i = 0; i < ROUNDS; i++)
		__asm__ volatile("lock incq %0" : "+m"(locked_counter));
}

static void count_exchanged(unsigned index)
{
	(void)index;
	for (unsigned i = 0; i < ROUNDS; i++) {
		u64 one = 1;

		__asm__ volatile("lock xaddq %0, %1" : "+r"(one), "+m"(exchanged_counter));
	}
}

static void count_under_lock(unsigned index)
{
	(void)index;
	for (unsigned i = 0; i < ROUNDS / 10; i++) {
		u32 taken = 1;

		for (;;) {
			__asm__ volatile("xchgl %0, %1"
					 : "+r"(taken), "+m"(lock_word)
					 :
					 : "memory");
			if (!taken)
				break;
			pause();
		}
		plain_counter = plain_counter + 1;
		__asm__ volatile("movl $0, %0" : "=m"(lock_word) : : "memory");
	}
}

static volatile u64 wide[2] __attribute__((aligned(16)));

static void count_by_cmpxchg16b(unsigned index)
{
	(void)index;
	for (unsigned i = 0; i < ROUNDS / 10; i++) {
		u64 low = wide[0], high = wide[1];
		bool done;

		do
			__asm__ volatile("lock cmpxchg16b %1"
					 : "=@ccz"(done), "+m"(wide), "+a"(low), "+d"(high)
					 : "b"(low + 1), "c"(high - 1)
					 : "memory");
		while (!done);
	}
}

/* Dekker's pattern: with an MFENCE between store and load, not both may read the old value. */
static volatile u32 left, right, left_saw, right_saw, turn, bad_turns;

static void store_then_load(unsigned index)
{
	if (index > 1)
		return;
	for (u32 i = 1; i <= ROUNDS / 10; i++) {
		volatile u32 *mine = index ? &right : &left, *other = index ? &left : &right;
		volatile u32 *saw = index ? &right_saw : &left_saw;

		*mine = i;
		__asm__ volatile("mfence" : : : "memory");
		*saw = *other;
		__atomic_add_fetch(&turn, 1, __ATOMIC_SEQ_CST);
		while (turn < 4 * i - 2)
			pause();
		if (index == 0)
			bad_turns += left_saw < i && right_saw < i;
		__atomic_add_fetch(&turn, 1, __ATOMIC_SEQ_CST);
		while (turn < 4 * i)
			pause();
	}
}

/* --- interrupts -------------------------------------------------------------------------- */

static unsigned index_of(u32 id)
{
	for (unsigned i = 0; i < cpus; i++)
		if (ids[i] == id)
			return i;
	return CPUS_MAX - 1;
}

/* Passes the interrupt on to the next processor; the boot processor ends the round. */
static void on_ring(struct trap_frame *f)
{
	unsigned me = index_of(apic_id());

	(void)f;
	seen[me]++;
	apic_eoi();
	if (me == 0)
		ring_arrivals++;
	else
		apic_send(ids[(me + 1) % cpus], VEC_RING | 1 << 14);
}

static void on_broadcast(struct trap_frame *f)
{
	unsigned me = index_of(apic_id());

	(void)f;
	__atomic_add_fetch(&seen[me], 1, __ATOMIC_SEQ_CST);
	if (stop_waiting)
		woken[me] = true;
	apic_eoi();
}

/*
 * Until the last broadcast has been taken: left pending, it would count in the next test. Where
 * STI may not shield HLT (see test_halt in irq.c) that one could come before HLT.
 */
static void wait_for_interrupts(unsigned me)
{
	bool awake = command_has("tcg");

	while (!woken[me])
		if (awake)
			__asm__ volatile("sti; nop; pause; cli" : : : "memory");
		else
			__asm__ volatile("sti; hlt; cli" : : : "memory");
}

/* The one who sends, while the others sleep. An interrupt to each at the end wakes them for good.
 */
static void ring_job(unsigned index)
{
	if (index) {
		wait_for_interrupts(index);
		return;
	}
	sti();
	for (u32 i = 1; i <= IPI_ROUNDS; i++) {
		apic_send(ids[1 % cpus], VEC_RING | 1 << 14);
		while (ring_arrivals < i)
			pause();
	}
	cli();
	stop_waiting = true;
	apic_send(0, VEC_BROADCAST | 1 << 14 | 3 << 18);
}

static void broadcast_job(unsigned index)
{
	if (index) {
		wait_for_interrupts(index);
		return;
	}
	for (unsigned i = 1; i <= IPI_ROUNDS; i++) {
		apic_send(0, VEC_BROADCAST | 1 << 14 | 3 << 18);
		for (unsigned c = 1; c < cpus; c++)
			while (seen[c] < i)
				pause();
	}
	stop_waiting = true;
	apic_send(0, VEC_BROADCAST | 1 << 14 | 3 << 18);
}

static void clear_seen(void)
{
	for (unsigned i = 0; i < cpus; i++) {
		seen[i] = 0;
		woken[i] = false;
	}
	ring_arrivals = 0;
	stop_waiting = false;
}

static void test_interrupts(const char *mode)
{
	bool all = true;

	clear_seen();
	on_all(ring_job);
	for (unsigned i = 0; i < cpus; i++)
		all = all && seen[i] >= IPI_ROUNDS;
	ok(all && seen[0] == IPI_ROUNDS, "%s: interrupt goes round %u times", mode, IPI_ROUNDS);
	clear_seen();
	on_all(broadcast_job);
	all = seen[0] == 0;
	for (unsigned i = 1; i < cpus; i++)
		all = all && seen[i] >= IPI_ROUNDS;
	ok(all, "%s: broadcast to all but self", mode);
}

static void x2_job(unsigned index)
{
	apic_enter_x2();
	ids[index] = apic_id();
}

/* --- modified code ----------------------------------------------------------------------- */

static u8 *code;
static volatile u32 code_version, code_acks, code_errors;

/* The first processor rewrites `mov $n, %eax; ret`; the others run it after a serialising CPUID. */
static void modify_job(unsigned index)
{
	for (u32 n = 1; n <= 200; n++) {
		if (index == 0) {
			memcpy(code + 1, &n, sizeof(n));
			code_acks = 0;
			__atomic_store_n(&code_version, n, __ATOMIC_SEQ_CST);
			while (code_acks < cpus - 1)
				pause();
		} else {
			u32 got;

			while (code_version < n)
				pause();
			cpuid(0, 0);
			__asm__ volatile("call *%1" : "=a"(got) : "r"(code) : "memory");
			if (got != n)
				__atomic_add_fetch(&code_errors, 1, __ATOMIC_SEQ_CST);
			__atomic_add_fetch(&code_acks, 1, __ATOMIC_SEQ_CST);
			while (code_acks < cpus - 1 && code_version == n)
				pause();
		}
	}
}

static void test_atomics(void)
{
	on_all(count_locked);
	ok(locked_counter == (u64)cpus * ROUNDS, "lock inc loses nothing");
	on_all(count_exchanged);
	ok(exchanged_counter == (u64)cpus * ROUNDS, "lock xadd loses nothing");
	on_all(count_under_lock);
	ok(plain_counter == (u64)cpus * (ROUNDS / 10), "spinlock excludes");
	on_all(count_by_cmpxchg16b);
	ok(wide[0] == (u64)cpus * (ROUNDS / 10) && wide[0] + wide[1] == 0,
	   "lock cmpxchg16b loses nothing");
	on_all(store_then_load);
	ok(bad_turns == 0, "mfence orders store and load");
}

static bool ids_differ(void)
{
	for (unsigned i = 0; i < cpus; i++)
		for (unsigned j = 0; j < i; j++)
			if (ids[i] == ids[j])
				return false;
	return true;
}

void run_tests(void)
{
	set_handler(VEC_RING, on_ring);
	set_handler(VEC_BROADCAST, on_broadcast);
	apic_enable();
	ids[0] = apic_id();
	cpus = start_others();
	while (ready < cpus - 1)
		pause();
	print("# %u processors\n", cpus);
	if (cpus == 1) {
		skip("smp", "one processor only");
		return;
	}
	ok(ids_differ(), "every processor has its own APIC ID");
	test_atomics();
	test_interrupts("xAPIC");
	code = alloc_pages(1);
	code[0] = 0xb8;
	code[5] = 0xc3;
	on_all(modify_job);
	ok(code_errors == 0, "others run what one writes");
	if (apic_has_x2()) {
		on_all(x2_job);
		ok(ids_differ(), "every processor has its own x2APIC ID");
		test_interrupts("x2APIC");
	} else {
		skip("x2APIC", "CPUID has no x2APIC");
	}
}
