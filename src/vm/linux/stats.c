/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <sys/resource.h>

#include "vm/linux/vm_linux.h"

enum { COUNTER_NAME_MAX = 80 };

static const char *const exit_names[ALC_EXIT_ERROR + 1] = {
	[ALC_EXIT_ATTENTION] = "attention", [ALC_EXIT_HALT] = "halt",
	[ALC_EXIT_BUDGET] = "budget",       [ALC_EXIT_SHUTDOWN] = "shutdown",
	[ALC_EXIT_ERROR] = "error",
};

static double seconds(u64 ns)
{
	return (double)ns / 1e9;
}

/*
 * jansson's *_new functions take over the value, and take NULL: one that could not be made then
 * makes the call fail, and json_dumps is not reached.
 */
static int set_count(json_t *o, const char *name, u64 n)
{
	return json_object_set_new(o, name, json_integer((json_int_t)n));
}

struct counters {
	json_t *object;
	int failed;
};

static void add_counter(void *ctx, const char *name, u64 value)
{
	struct counters *c = ctx;

	c->failed |= set_count(c->object, name, value);
}

static json_t *engine_counters(const struct machine *m, struct alc_vcpu *v)
{
	struct counters c = {.object = json_object()};

	if (m->engine->stats)
		m->engine->stats(v, add_counter, &c);
	if (c.failed) {
		json_decref(c.object);
		return NULL;
	}
	return c.object;
}

static json_t *exit_counters(const u64 exits[])
{
	json_t *o = json_object();

	for (unsigned i = 0; o && i <= ALC_EXIT_ERROR; i++)
		if (set_count(o, exit_names[i], exits[i])) {
			json_decref(o);
			return NULL;
		}
	return o;
}

static json_t *cpu_stats(struct machine *m, unsigned i)
{
	struct machine_cpu *c = &m->cpus[i];

	return json_pack("{s:I, s:o, s:{s:I, s:I}, s:{s:f, s:f, s:f}, s:o}", "instructions",
			 (json_int_t)c->v->instructions, "exits", exit_counters(c->exits),
			 "halt_polls", "answered", (json_int_t)c->polls_answered, "in_vain",
			 (json_int_t)c->polls_in_vain, "seconds", "run", seconds(c->run_ns),
			 "stolen", seconds(c->stolen_ns), "polled", seconds(c->polled_ns), "engine",
			 engine_counters(m, c->v));
}

static json_t *cpus_stats(struct machine *m)
{
	json_t *a = json_array();

	for (unsigned i = 0; a && i < m->ncpus; i++)
		if (json_array_append_new(a, cpu_stats(m, i))) {
			json_decref(a);
			return NULL;
		}
	return a;
}

static json_t *memory_stats(const struct machine *m)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return json_pack("{s:I, s:I}", "guest_bytes", (json_int_t)m->desc->memory_bytes,
			 "process_peak_bytes", (json_int_t)usage.ru_maxrss * 1024);
}

static int set_number(json_t *o, const char *name, double v)
{
	bool whole = v >= 0 && v < 1e15 && v == (double)(u64)v;

	return json_object_set_new(o, name, whole ? json_integer((json_int_t)v) : json_real(v));
}

/* A pipeline may have several stages of a kind: the second one's names end in #2. */
static void add_stage_counter(void *ctx, const char *name, double value)
{
	struct counters *c = ctx;
	char text[COUNTER_NAME_MAX];

	snprintf(text, sizeof(text), "%s", name);
	for (unsigned n = 2; json_object_get(c->object, text); n++)
		snprintf(text, sizeof(text), "%s#%u", name, n);
	c->failed |= set_number(c->object, text, value);
}

static json_t *card_stats(const struct machine_card *card)
{
	struct counters c = {.object = json_object()};

	block_stats(card->block, add_stage_counter, &c);
	if (c.failed) {
		json_decref(c.object);
		return NULL;
	}
	return c.object;
}

static json_t *disks_stats(const struct cards *cards)
{
	json_t *o = json_object();

	for (size_t i = 0; o && i < cards->count; i++) {
		const struct machine_card *card = &cards->cards[i];

		if (card->block && json_object_set_new(o, card->id, card_stats(card))) {
			json_decref(o);
			return NULL;
		}
	}
	return o;
}

static json_t *machine_stats(struct machine *m, const struct cards *cards)
{
	u64 instructions = 0, exits[ALC_EXIT_ERROR + 1] = {0}, guest_ns = 0;

	for (unsigned i = 0; i < m->ncpus; i++) {
		instructions += m->vcpus[i]->instructions;
		guest_ns += m->cpus[i].run_ns;
		for (unsigned e = 0; e <= ALC_EXIT_ERROR; e++)
			exits[e] += m->cpus[i].exits[e];
	}
	return json_pack("{s:s, s:s, s:I, s:o, s:I, s:I, s:{s:f, s:f, s:f, s:f}, s:o, s:o, s:o}",
			 "engine", m->engine->name, "cpu", m->cpuid.profile, "instructions",
			 (json_int_t)instructions, "exits", exit_counters(exits), "resets",
			 (json_int_t)m->resets, "pauses", (json_int_t)m->pauses, "seconds",
			 "create", seconds(m->create_ns), "run", seconds(m->run_ns), "paused",
			 seconds(m->paused_ns), "cpus", seconds(guest_ns), "memory",
			 memory_stats(m), "cpus", cpus_stats(m), "disks", disks_stats(cards));
}

/* ---- Virtual time ------------------------------------------------------------------------- */

static int set_hash(json_t *o, const char *name, u64 hash)
{
	char text[17];

	snprintf(text, sizeof(text), "%016llx", (unsigned long long)hash);
	return json_object_set_new(o, name, json_string(text));
}

static json_t *hash_object(const struct alc_state_hash *h)
{
	json_t *parts = json_object(), *o = json_pack("{s:I, s:b}", "at_ns", (json_int_t)h->at_ns,
						      "at_end", (int)h->at_end);
	int failed = !parts || !o || set_hash(o, "hash", h->hash);

	for (size_t i = 0; !failed && i < h->nparts; i++)
		failed = set_hash(parts, h->parts[i].name, h->parts[i].hash);
	if (!failed)
		failed = json_object_set(o, "parts", parts);
	json_decref(parts);
	if (!failed)
		return o;
	json_decref(o);
	return NULL;
}

bool stats_add_hash(struct alc_vm *vm, const struct alc_state_hash *h)
{
	json_t *o = hash_object(h);
	int failed;

	pthread_mutex_lock(&vm->hashes_lock);
	if (!vm->hashes)
		vm->hashes = json_array();
	failed = !vm->hashes || json_array_append_new(vm->hashes, o);
	pthread_mutex_unlock(&vm->hashes_lock);
	return !failed;
}

void stats_free(struct alc_vm *vm)
{
	json_decref(vm->hashes);
}

static int add_virtual(struct alc_vm *vm, json_t *o)
{
	const struct machine_virtual *t = &vm->machine->virtual;
	json_t *hashes;

	if (!t->on)
		return 0;
	pthread_mutex_lock(&vm->hashes_lock);
	hashes = vm->hashes ? json_copy(vm->hashes) : json_array();
	pthread_mutex_unlock(&vm->hashes_lock);
	return json_object_set_new(o, "virtual",
				   json_pack("{s:I, s:I, s:I, s:o}", "guest_ns",
					     (json_int_t)t->now_ns, "idle_ns",
					     (json_int_t)t->idle_ns, "rounds",
					     (json_int_t)t->rounds_run, "state_hashes", hashes));
}

int alc_vm_stats_json(struct alc_vm *vm, char **out, struct alc_err *err)
{
	json_t *o = machine_stats(vm->machine, &vm->cards);
	char *text = o && !add_virtual(vm, o) ? json_dumps(o, JSON_INDENT(2)) : NULL;

	json_decref(o);
	if (!text)
		return alc_fail(err, -ENOMEM, "no memory for statistics");
	*out = text;
	return 0;
}
