/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BASE_FIELD_H
#define BASE_FIELD_H

#include "base/bits.h"

/*
 * State as data: a device or CPU lists every field that a guest can observe, and save, load,
 * reset checks, dumps and the conformance tests come from that one table.
 *
 * Only plain unsigned integers (and arrays of them) can be fields; pointers, descriptors and
 * timers never are, and are rebuilt after a load.
 */
struct alc_field {
	const char *name; /* NULL ends a table */
	u32 offset;       /* in the state structure */
	u8 size;          /* of one element: 1, 2, 4 or 8 */
	u32 count;        /* elements; 1 for a scalar */
	u16 since;        /* class version that introduced it */
};

#define FIELD_SINCE(type, member, version)                                          \
	{                                                                           \
		.name = #member, .offset = offsetof(type, member),                  \
		.size = sizeof(((type *)0)->member), .count = 1, .since = (version) \
	}
#define FIELD(type, member) FIELD_SINCE(type, member, 1)
#define FIELD_ARRAY(type, member)                                                                 \
	{                                                                                         \
		.name = #member, .offset = offsetof(type, member),                                \
		.size = sizeof(((type *)0)->member[0]),                                           \
		.count = sizeof(((type *)0)->member) / sizeof(((type *)0)->member[0]), .since = 1 \
	}
#define FIELD_END            \
	{                    \
		.name = NULL \
	}

/* Bytes that the fields of `version` and older take when saved. */
size_t fields_size(const struct alc_field *fields, u16 version);
/* Writes fields_size() bytes, little-endian, in table order. */
void fields_save(const struct alc_field *fields, u16 version, const void *state, u8 *out);
/* Reads them back; -EINVAL, and state untouched, unless len is exactly fields_size(). */
int fields_load(const struct alc_field *fields, u16 version, void *state, const u8 *in, size_t len);
/* The first field in which a and b differ, or NULL. */
const struct alc_field *fields_differ(const struct alc_field *fields, const void *a, const void *b);

#endif
