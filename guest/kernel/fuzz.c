/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A driver that is out to break its devices: it sets virtio devices up properly, so as to get
 * far, and then writes registers, configuration space and rings that no proper driver would.
 *
 * Command line: seed=N seconds=N. A run that ends with "ok" has done no more than survive; what is
 * under test is the machine monitor around it. The fuzzer never hands out addresses of its own
 * image or stack: what it destroys is its arena.
 */
#include "pci.h"

enum {
	DEVICES_MAX = 32,
	QUEUE_SIZE = 16,
	QUEUES_MAX = 4,
	ARENA = 32 << 20,      /* below the end of a machine of at least 64 MiB */
	ARENA_SIZE = 16 << 20, /* the rings come after it */
	STEPS_PER_EPOCH = 400,
};

static u64 random_state;

static u64 random64(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

static u64 below(u64 n)
{
	return random64() % n;
}

static bool one_in(unsigned n)
{
	return !below(n);
}

/* A number of any magnitude; small ones, powers of two and their neighbours are likely. */
static u64 any_number(void)
{
	switch (below(4)) {
	case 0:
		return below(16);
	case 1:
		return (1ull << below(64)) + below(3) - 1;
	case 2:
		return ~below(16);
	default:
		return random64() >> below(64);
	}
}

static bool in_arena(u64 at, u64 len)
{
	return at >= ARENA && at < ARENA + ARENA_SIZE && len <= ARENA + ARENA_SIZE - at;
}

static u64 arena_address(void)
{
	return ARENA + below(ARENA_SIZE);
}

/* ---- virtio ---- */

enum { CAP_COMMON = 1, CAP_NOTIFY = 2, CAP_ISR = 3, CAP_DEVICE = 4, CAP_KINDS = 6 };
/* Common configuration (virtio 1.2, 4.1.4.3). */
enum {
	FEATURE_SELECT = 0,
	FEATURE = 4,
	DRIVER_FEATURE_SELECT = 8,
	DRIVER_FEATURE = 12,
	NUM_QUEUES = 18,
	STATUS = 20,
	QUEUE_SELECT = 22,
	QUEUE_LENGTH = 24,
	QUEUE_VECTOR = 26,
	QUEUE_ENABLE = 28,
	QUEUE_DESC = 32,
	QUEUE_DRIVER = 40,
	QUEUE_DEVICE = 48,
	QUEUE_RESET = 58,
	COMMON_SIZE = 64,
};
enum { ACKNOWLEDGE = 1, DRIVER = 2, DRIVER_OK = 4, FEATURES_OK = 8 };
enum { DESC_NEXT = 1, DESC_WRITE = 2, DESC_INDIRECT = 4, DESC_AVAIL = 0x80, DESC_USED = 0x8000 };
#define F_VERSION_1   (1ull << 32)
#define F_RING_PACKED (1ull << 34)

struct desc {
	u64 addr;
	u32 len;
	u16 flags, next; /* packed: id, flags */
};

struct queue {
	struct desc *desc;
	u8 *driver, *device;
	u16 next;
	bool wrap;
};

static struct target {
	struct pci_device *pci;
	bool is_virtio;
	struct {
		struct pci_bar *bar;
		u32 off, len;
	} cap[CAP_KINDS];
	u32 notify_step;
	u64 features;
	struct queue queues[QUEUES_MAX];
	unsigned nqueues;
} targets[DEVICES_MAX];
static unsigned ntargets;
static u64 chains, notifies, resets, register_writes;

static u64 get(const struct target *t, unsigned kind, u64 off, unsigned size)
{
	return bar_read(t->cap[kind].bar, t->cap[kind].off + off, size);
}

static void put(const struct target *t, unsigned kind, u64 off, u64 v, unsigned size)
{
	bar_write(t->cap[kind].bar, t->cap[kind].off + off, v, size);
}

static void find_caps(struct target *t)
{
	u16 bdf = t->pci->bdf;
	unsigned at;

	for (unsigned n = 0; (at = pci_capability(bdf, 9, n)); n++) {
		unsigned kind = pci_read(bdf, at + 3, 1), bar = pci_read(bdf, at + 4, 1);

		if (kind >= CAP_KINDS || bar > 5 || !t->pci->bars[bar].size)
			continue;
		t->cap[kind].bar = &t->pci->bars[bar];
		t->cap[kind].off = pci_read(bdf, at + 8, 4);
		t->cap[kind].len = pci_read(bdf, at + 12, 4);
		if (kind == CAP_NOTIFY)
			t->notify_step = pci_read(bdf, at + 16, 4);
	}
	t->is_virtio = t->pci->vendor == 0x1af4 && t->cap[CAP_COMMON].bar && t->cap[CAP_NOTIFY].bar;
}

static u64 device_features(const struct target *t)
{
	u64 low, high;

	put(t, CAP_COMMON, FEATURE_SELECT, 0, 4);
	low = get(t, CAP_COMMON, FEATURE, 4);
	put(t, CAP_COMMON, FEATURE_SELECT, 1, 4);
	high = get(t, CAP_COMMON, FEATURE, 4);
	return low | high << 32;
}

static void set_features(struct target *t)
{
	u64 f = device_features(t);

	/* Mostly a proper subset. */
	if (one_in(2))
		f &= random64() | F_VERSION_1;
	if (one_in(20))
		f ^= 1ull << below(64);
	t->features = f;
	put(t, CAP_COMMON, DRIVER_FEATURE_SELECT, 0, 4);
	put(t, CAP_COMMON, DRIVER_FEATURE, (u32)f, 4);
	put(t, CAP_COMMON, DRIVER_FEATURE_SELECT, 1, 4);
	put(t, CAP_COMMON, DRIVER_FEATURE, f >> 32, 4);
}

static void set_queue(struct target *t, unsigned i)
{
	struct queue *q = &t->queues[i];
	u64 area = ARENA + ARENA_SIZE + (u64)(t - targets) * QUEUES_MAX * 4096 + i * 4096;

	*q = (struct queue){.desc = (void *)area,
			    .driver = (u8 *)area + 1024,
			    .device = (u8 *)area + 2048,
			    .wrap = true};
	memset(q->desc, 0, 4096);
	put(t, CAP_COMMON, QUEUE_SELECT, i, 2);
	put(t, CAP_COMMON, QUEUE_LENGTH, one_in(30) ? any_number() : QUEUE_SIZE, 2);
	put(t, CAP_COMMON, QUEUE_VECTOR, one_in(2) ? i : any_number(), 2);
	put(t, CAP_COMMON, QUEUE_DESC, one_in(40) ? any_number() : area, 8);
	put(t, CAP_COMMON, QUEUE_DRIVER, one_in(40) ? any_number() : area + 1024, 8);
	put(t, CAP_COMMON, QUEUE_DEVICE, one_in(40) ? any_number() : area + 2048, 8);
	put(t, CAP_COMMON, QUEUE_ENABLE, 1, 2);
}

static void set_up(struct target *t)
{
	u64 status = ACKNOWLEDGE | DRIVER;

	resets++;
	put(t, CAP_COMMON, STATUS, 0, 1);
	put(t, CAP_COMMON, STATUS, status, 1);
	set_features(t);
	put(t, CAP_COMMON, STATUS, status |= FEATURES_OK, 1);
	t->nqueues = (unsigned)get(t, CAP_COMMON, NUM_QUEUES, 2);
	if (t->nqueues > QUEUES_MAX)
		t->nqueues = QUEUES_MAX;
	for (unsigned i = 0; i < t->nqueues; i++)
		set_queue(t, i);
	put(t, CAP_COMMON, STATUS, status | DRIVER_OK, 1);
}

/* ---- rings ---- */

static u64 buffer_address(u32 *len)
{
	u64 a = arena_address();

	*len = (u32)below(one_in(4) ? 1 << 20 : 600);
	if (one_in(30)) {
		*len = (u32)any_number();
		/* Beyond RAM, on devices, around the top: never below the arena. */
		return any_number() | 1ull << (32 + below(32));
	}
	if (a + *len > ARENA + ARENA_SIZE)
		*len = (u32)(ARENA + ARENA_SIZE - a);
	return a;
}

/* Requests that devices take for their own: a small header of plausible numbers, then noise. */
static void fill(u64 at, u32 len)
{
	u64 words = len / 8 < 16 ? len / 8 : 16;

	if (!in_arena(at, len))
		return;
	for (u64 i = 0; i < words; i++)
		((volatile u64 *)(at & ~7ull))[i] = one_in(2) ? below(16) : any_number();
}

static struct desc any_desc(u16 flags)
{
	struct desc d = {.flags = flags};

	d.addr = buffer_address(&d.len);
	if (flags & DESC_INDIRECT)
		d.len = one_in(10) ? d.len : 16 * (u32)below(8);
	fill(d.addr, d.len);
	return d;
}

static void indirect_table(const struct desc *outer, bool packed)
{
	struct desc *table = (void *)(outer->addr & ~15ull);
	unsigned n = outer->len / 16 < 64 ? outer->len / 16 : 64;

	if (!in_arena(outer->addr, outer->len))
		return;
	for (unsigned i = 0; i < n; i++) {
		u16 flags = (u16)((i >= n / 2 ? DESC_WRITE : 0) | (i + 1 < n ? DESC_NEXT : 0));

		table[i] = any_desc(one_in(20) ? (u16)any_number() : flags);
		table[i].next = (u16)(one_in(20) ? any_number() : i + 1);
		if (packed) {
			u16 f = table[i].flags;

			table[i].flags = table[i].next;
			table[i].next = f;
		}
	}
}

static void add_split(struct queue *q)
{
	unsigned n = 1 + (unsigned)below(5), head = (unsigned)below(QUEUE_SIZE), at = head;
	volatile u16 *avail = (volatile u16 *)q->driver;

	for (unsigned i = 0; i < n; i++) {
		u16 flags = (u16)((i >= n / 2 ? DESC_WRITE : 0) | (i + 1 < n ? DESC_NEXT : 0));

		if (one_in(8))
			flags = DESC_INDIRECT;
		q->desc[at] = any_desc(one_in(20) ? (u16)any_number() : flags);
		if (q->desc[at].flags & DESC_INDIRECT)
			indirect_table(&q->desc[at], false);
		q->desc[at].next = (u16)(one_in(20) ? any_number() : (at + 1) % QUEUE_SIZE);
		at = (at + 1) % QUEUE_SIZE;
	}
	avail[0] = (u16)below(2);
	avail[2 + q->next % QUEUE_SIZE] = (u16)(one_in(30) ? any_number() : head);
	q->next++;
	__asm__ volatile("mfence" : : : "memory");
	avail[1] = (u16)(one_in(40) ? any_number() : q->next);
}

static void add_packed(struct queue *q)
{
	unsigned n = 1 + (unsigned)below(4);

	for (unsigned i = 0; i < n; i++) {
		u16 flags = (u16)((i >= n / 2 ? DESC_WRITE : 0) | (i + 1 < n ? DESC_NEXT : 0));
		struct desc d;

		if (one_in(8))
			flags = DESC_INDIRECT;
		d = any_desc(flags);
		if (flags & DESC_INDIRECT)
			indirect_table(&d, true);
		flags |= q->wrap ? DESC_AVAIL : DESC_USED;
		if (one_in(20))
			flags = (u16)any_number();
		d.flags = (u16)below(QUEUE_SIZE); /* the ID's place */
		d.next = flags;
		q->desc[q->next] = d;
		if (++q->next == QUEUE_SIZE) {
			q->next = 0;
			q->wrap = !q->wrap;
		}
	}
}

static void add_chains(struct target *t)
{
	unsigned i = (unsigned)below(t->nqueues ? t->nqueues : 1);

	if (!t->nqueues)
		return;
	for (u64 n = 1 + below(4); n; n--, chains++) {
		if (t->features & F_RING_PACKED)
			add_packed(&t->queues[i]);
		else
			add_split(&t->queues[i]);
	}
	notifies++;
	put(t, CAP_NOTIFY, (u64)i * t->notify_step, i, 2);
}

/* ---- what a step may be ---- */

static void poke_common(struct target *t)
{
	unsigned size = 1u << below(4);

	register_writes++;
	put(t, CAP_COMMON, below(COMMON_SIZE), any_number(), size);
	(void)get(t, CAP_COMMON, below(COMMON_SIZE), size);
}

static void poke_device(struct target *t)
{
	u64 off = below(t->cap[CAP_DEVICE].len + 8);

	if (!t->cap[CAP_DEVICE].bar)
		return;
	register_writes++;
	put(t, CAP_DEVICE, off, any_number(), 1u << below(4));
	(void)get(t, CAP_DEVICE, off, 1u << below(4));
}

static void poke_notify(struct target *t)
{
	u64 off = one_in(2) ? below(64) * t->notify_step : below(t->cap[CAP_NOTIFY].len + 8);

	notifies++;
	put(t, CAP_NOTIFY, off, any_number(), 1u << below(4));
}

static void reset_queue(struct target *t)
{
	unsigned i = (unsigned)below(QUEUES_MAX);

	put(t, CAP_COMMON, QUEUE_SELECT, i, 2);
	put(t, CAP_COMMON, QUEUE_RESET, 1, 2);
	if (i < t->nqueues && one_in(2))
		set_queue(t, i);
}

static void poke_bar(struct target *t)
{
	const struct pci_bar *b = &t->pci->bars[below(6)];
	unsigned size = 1u << below(b->io ? 3 : 4);
	u64 off = b->size ? below(b->size) : 0;

	if (!b->size)
		return;
	if (one_in(3))
		off = one_in(2) ? below(8) : b->size - 1 - below(8);
	if (b->io && off + size > b->size)
		return;
	register_writes++;
	if (one_in(2))
		bar_write(b, off, any_number(), size);
	else
		(void)bar_read(b, off, size);
}

/* A BAR is moved at random and put back, memory decoding goes off and on, capabilities change. */
static void poke_config(struct target *t)
{
	u32 saved[16];
	unsigned size = 1u << below(3);

	for (unsigned i = 0; i < 16; i++)
		saved[i] = pci_read(t->pci->bdf, 4 * i, 4);
	register_writes++;
	pci_write(t->pci->bdf, (unsigned)below(256) & ~(size - 1), (u32)any_number(), size);
	if (t->is_virtio && one_in(2))
		poke_common(t);
	for (unsigned i = 1; i < 16; i++)
		pci_write(t->pci->bdf, 4 * i, i == 1 ? saved[1] & 0xffff : saved[i], 4);
}

static void (*const virtio_steps[])(struct target *t) = {
	add_chains,  add_chains,  add_chains,  add_chains, add_chains,  poke_common,
	poke_device, poke_notify, reset_queue, poke_bar,   poke_config,
};

static void step(struct target *t)
{
	if (!t->is_virtio)
		one_in(2) ? poke_bar(t) : poke_config(t);
	else if (one_in(40))
		set_up(t);
	else
		virtio_steps[below(sizeof(virtio_steps) / sizeof(virtio_steps[0]))](t);
}

/* ---- the run ---- */

static u64 option(const char *name, u64 otherwise)
{
	for (const char *p = command_line(); *p; p++) {
		const char *a = name, *b = p;
		u64 v = 0;

		while (*a && *a == *b)
			a++, b++;
		if (*a || *b++ != '=')
			continue;
		while (*b >= '0' && *b <= '9')
			v = v * 10 + (u64)(*b++ - '0');
		return v;
	}
	return otherwise;
}

/* Counts per second, from the leaf of KVM's and our own interface; 1 GHz is a good guess. */
static u64 tsc_hz(void)
{
	struct cpuid base = cpuid(0x40000000, 0);

	return base.a >= 0x40000010 ? cpuid(0x40000010, 0).a * 1000ull : 1000000000;
}

static void find_targets(void)
{
	static struct pci_device devices[DEVICES_MAX];
	unsigned n = pci_scan(devices, DEVICES_MAX);

	for (unsigned i = 0; i < n; i++) {
		struct target *t = &targets[ntargets];

		/* Bridges: moving their registers takes the bus away. */
		if (pci_read(devices[i].bdf, 11, 1) == 6)
			continue;
		t->pci = &devices[i];
		find_caps(t);
		if (t->is_virtio)
			set_up(t);
		ntargets++;
	}
}

void ap_run(unsigned index)
{
	(void)index;
}

void run_tests(void)
{
	u64 seed = option("seed", 1), until = rdtsc() + option("seconds", 5) * tsc_hz(), steps = 0;

	random_state = seed * 0x9e3779b97f4a7c15ull | 1;
	find_targets();
	print("# seed %lu, %u functions\n", seed, ntargets);
	if (!ntargets) {
		skip("device fuzzing", "the machine has no PCI devices");
		return;
	}
	while (rdtsc() < until) {
		struct target *t = &targets[below(ntargets)];

		for (unsigned i = 0; i < STEPS_PER_EPOCH; i++, steps++)
			step(t);
	}
	print("# %lu steps: %lu chains, %lu notifications, %lu resets, %lu register writes\n",
	      steps, chains, notifies, resets, register_writes);
	ok(steps != 0, "survived");
}
