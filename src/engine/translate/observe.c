/* SPDX-License-Identifier: BSD-2-Clause */
/* For those who look at the translator from outside: names for `perf`, a listing of a region. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fmt.h"
#include "engine/translate/translate.h"

enum { LINE_MAX_BYTES = 160 };

/* ---- The map of Linux's perf ---- */

/*
 * A file of this process's that `perf report` looks for in /tmp: one line a region, in the format
 * of Linux's tools/perf/Documentation/jit-interface.txt. Nobody else can have put a link there.
 */
int tr_perf_map_open(struct tr_vm *vm, struct alc_err *err)
{
	char path[64];

	if (vm->perf_map >= 0)
		return 0;
	fmt_text(path, sizeof(path), "/tmp/perf-%d.map", (int)getpid());
	vm->perf_map = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_NOFOLLOW | O_CLOEXEC,
			    0600);
	return vm->perf_map < 0 ? alc_fail(err, -errno, "can't write %s: %s", path, strerror(errno))
				: 0;
}

void tr_perf_map_close(struct tr_vm *vm)
{
	if (vm->perf_map >= 0)
		close(vm->perf_map);
	vm->perf_map = -1;
}

/* One write, so that lines of several vCPUs don't mix. What can't be written is left out. */
static void name_region(const struct tr *t, const struct tr_region *r)
{
	char line[LINE_MAX_BYTES];
	size_t n = fmt_text(line, sizeof(line), "%lx %x guest_%lx\n",
			    (unsigned long)(uintptr_t)tr_host(t, r->begin), r->end - r->begin,
			    (unsigned long)r->rip);
	ssize_t done = write(t->vm->perf_map, line, n);

	(void)done;
}

/* ---- A region's listing ---- */

struct listing {
	const struct gen_context *g;
	const struct alc_host *host;
	ZydisDecoder guest, decoder;
	ZydisFormatter format;
};

static void say(const struct listing *l, const char *text)
{
	/* It was asked for, so that no level of detail hides it. */
	l->host->log(l->host->ctx, ALC_LOG_WARN, text);
}

/* A line for the instruction at `bytes`; returns how long that is, at least 1. */
static unsigned list_insn(const struct listing *l, const ZydisDecoder *decoder, const u8 *bytes,
			  size_t avail, u64 rip, const char *note)
{
	ZydisDecodedOperand o[ZYDIS_MAX_OPERAND_COUNT];
	char text[96] = "(no instruction)", line[LINE_MAX_BYTES];
	ZydisDecodedInstruction z;
	bool good = ZYAN_SUCCESS(ZydisDecoderDecodeFull(decoder, bytes, avail, &z, o));

	if (good)
		ZydisFormatterFormatInstruction(&l->format, &z, o, z.operand_count_visible, text,
						sizeof(text), rip, NULL);
	fmt_text(line, sizeof(line), "  %lx  %-*s%s", (unsigned long)rip, *note ? 48 : 0, text,
		 note);
	say(l, line);
	return good ? z.length : 1;
}

static void list_guest(const struct listing *l, const u8 *page)
{
	for (unsigned k = 0; k < l->g->n; k++) {
		const struct tr_insn *i = &l->g->insns[k];

		list_insn(l, &l->guest, page + i->off, i->len, l->g->page_rip + i->off,
			  i->mem_head ? "  ; entry" : "");
	}
}

/* What is known of the code at an offset: a guest instruction begins, or may fault, there. */
static void note_of(const struct listing *l, u32 off, char *out, size_t size)
{
	struct tr *t = l->g->t;
	const struct tr_region *r = l->g->region;
	u32 site = tr_fault_site(t, off);
	struct tr_site s;

	out[0] = '\0';
	for (unsigned k = 0; k < r->nheads; k++)
		if (r->mem_heads[k].host == off)
			fmt_text(out, size, "  ; head %lx", (unsigned long)r->mem_heads[k].rip);
	if (!out[0] && site) {
		tr_site_read(t, site, &s);
		fmt_text(out, size, "  ; %lx", (unsigned long)s.rip);
	}
}

static void list_host(const struct listing *l)
{
	const struct tr *t = l->g->t;
	const struct tr_region *r = l->g->region;
	char note[40];

	for (u32 off = r->begin; off < r->end;) {
		note_of(l, off, note, sizeof(note));
		off += list_insn(l, &l->decoder, t->code.rw + off, r->end - off,
				 (u64)(uintptr_t)tr_host(t, off), note);
	}
}

static void list_region(const struct gen_context *g, const u8 *page)
{
	struct listing l = {.g = g, .host = g->v->plat->host};
	char line[LINE_MAX_BYTES];

	ZydisDecoderInit(&l.decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	l.guest = g->t->c.decoder[decoder_index(g->region->mode)];
	ZydisFormatterInit(&l.format, ZYDIS_FORMATTER_STYLE_INTEL);
	fmt_text(line, sizeof(line), "region of vCPU %u from %lx: guest code", g->v->index,
		 (unsigned long)g->region->rip);
	say(&l, line);
	list_guest(&l, page);
	say(&l, "host code");
	list_host(&l);
}

static bool contains(const struct gen_context *g, u64 rip)
{
	for (unsigned k = 0; k < g->n; k++)
		if (rip - (g->page_rip + g->insns[k].off) < g->insns[k].len)
			return true;
	return false;
}

void tr_observe(const struct gen_context *g, const u8 *page)
{
	struct tr_vm *vm = g->t->vm;

	if (vm->perf_map >= 0)
		name_region(g->t, g->region);
	if (atomic_load_explicit(&vm->dump, memory_order_relaxed) && contains(g, vm->dump_rip) &&
	    atomic_exchange(&vm->dump, false))
		list_region(g, page);
}
