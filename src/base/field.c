/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/field.h"
#include "base/errno.h"

static bool in_version(const struct alc_field *f, u16 version)
{
	return f->since <= version;
}

static size_t field_bytes(const struct alc_field *f)
{
	return (size_t)f->size * f->count;
}

/* Host and saved form may differ in byte order: go by value, not by memcpy, except for bytes. */
static void put_le(u8 *out, u64 v, unsigned size)
{
	for (unsigned i = 0; i < size; i++)
		out[i] = (u8)(v >> (8 * i));
}

static u64 get_le(const u8 *in, unsigned size)
{
	u64 v = 0;

	for (unsigned i = 0; i < size; i++)
		v |= (u64)in[i] << (8 * i);
	return v;
}

size_t fields_size(const struct alc_field *fields, u16 version)
{
	size_t sum = 0;

	for (const struct alc_field *f = fields; f->name; f++)
		sum += in_version(f, version) ? field_bytes(f) : 0;
	return sum;
}

void fields_save(const struct alc_field *fields, u16 version, const void *state, u8 *out)
{
	for (const struct alc_field *f = fields; f->name; f++) {
		const u8 *at = (const u8 *)state + f->offset;

		if (!in_version(f, version))
			continue;
		if (f->size == 1) {
			__builtin_memcpy(out, at, f->count);
			out += f->count;
			continue;
		}
		for (u32 i = 0; i < f->count; i++, at += f->size, out += f->size)
			put_le(out, ld_size(at, f->size), f->size);
	}
}

int fields_load(const struct alc_field *fields, u16 version, void *state, const u8 *in, size_t len)
{
	if (len != fields_size(fields, version))
		return -EINVAL;
	for (const struct alc_field *f = fields; f->name; f++) {
		u8 *at = (u8 *)state + f->offset;

		if (!in_version(f, version))
			continue;
		if (f->size == 1) {
			__builtin_memcpy(at, in, f->count);
			in += f->count;
			continue;
		}
		for (u32 i = 0; i < f->count; i++, at += f->size, in += f->size)
			st_size(at, get_le(in, f->size), f->size);
	}
	return 0;
}

const struct alc_field *fields_differ(const struct alc_field *fields, const void *a, const void *b)
{
	for (const struct alc_field *f = fields; f->name; f++) {
		const u8 *pa = (const u8 *)a + f->offset, *pb = (const u8 *)b + f->offset;

		if (__builtin_memcmp(pa, pb, field_bytes(f)))
			return f;
	}
	return NULL;
}
