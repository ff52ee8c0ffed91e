/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Guest-virtual memory for the semantics in isa/, which finish what KVM leaves half done: without
 * any cache, since that is rare.
 */
#include "base/errno.h"
#include "engine/kvm/internal.h"
#include "isa/paging.h"

/* All of it is translated before the first byte moves. */
static int translate(struct alc_vcpu *v, u64 gva, unsigned len, unsigned access, alc_gpa at[2])
{
	struct x86_translation t;
	u64 next = align_down(gva, ALC_PAGE_SIZE) + ALC_PAGE_SIZE;

	if (x86_walk(v, gva, access, x86_is_user(v, access), &t))
		return 1;
	at[0] = t.gpa;
	if (gva + len <= next)
		return 0;
	if (x86_walk(v, next, access, x86_is_user(v, access), &t))
		return 1;
	at[1] = t.gpa;
	return 0;
}

/* In pieces of natural size, so that a device sees what a CPU would do. */
static unsigned piece(alc_gpa a, unsigned len)
{
	unsigned n = 8;

	while (n > len || a.v % n)
		n /= 2;
	return n;
}

static unsigned first_part(u64 gva, unsigned len)
{
	return (unsigned)min_u64(len, ALC_PAGE_SIZE - page_offset(gva));
}

static void read_part(struct alc_vcpu *v, alc_gpa a, u8 *to, unsigned len)
{
	for (unsigned n; len; len -= n, to += n, a = gpa_add(a, n)) {
		n = piece(a, len);
		st_size(to, space_read(v->plat->space, a, n), n);
	}
}

static void write_part(struct alc_vcpu *v, alc_gpa a, const u8 *from, unsigned len)
{
	for (unsigned n; len; len -= n, from += n, a = gpa_add(a, n)) {
		n = piece(a, len);
		space_write(v->plat->space, a, ld_size(from, n), n);
	}
}

static int access_read(struct alc_vcpu *v, u64 gva, void *to, unsigned len, unsigned access)
{
	unsigned n = first_part(gva, len);
	alc_gpa at[2] = {{0}, {0}};

	if (translate(v, gva, len, access, at))
		return 1;
	read_part(v, at[0], to, n);
	if (n < len)
		read_part(v, at[1], (u8 *)to + n, len - n);
	return 0;
}

static int access_write(struct alc_vcpu *v, u64 gva, const void *from, unsigned len,
			unsigned access)
{
	unsigned n = first_part(gva, len);
	alc_gpa at[2] = {{0}, {0}};

	if (translate(v, gva, len, access | X86_WRITE, at))
		return 1;
	write_part(v, at[0], from, n);
	if (n < len)
		write_part(v, at[1], (const u8 *)from + n, len - n);
	return 0;
}

static void nothing(struct alc_vcpu *v)
{
}

static void no_switch(struct alc_vcpu *v, u64 from, bool keep)
{
}

static void nothing_of(struct alc_vcpu *v, unsigned pcid)
{
}

static void nothing_at(struct alc_vcpu *v, unsigned pcid, u64 gva)
{
}

const struct x86_engine_ops kvm_ops = {
	.read = access_read,
	.write = access_write,
	.switch_space = no_switch,
	.flush_all = nothing,
	.flush_nonglobal = nothing,
	.flush_space = nothing_of,
	.flush_page = nothing_at,
	.mode_changed = nothing,
};
