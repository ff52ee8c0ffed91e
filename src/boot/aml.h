/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BOOT_AML_H
#define BOOT_AML_H

#include "base/bits.h"

/*
 * A writer for ACPI Machine Language (ACPI 6.4, chapter 20): each function appends one object.
 * Blocks (scope, device, package, resource template) are opened and closed in pairs. Running out
 * of room sets `overflow`, after which nothing more is written.
 */
struct aml {
	u8 *buf;
	size_t cap, len;
	bool overflow;
};

/* Where a block's length stands, to be filled when it is closed. */
struct aml_block {
	size_t length_at;
};

void aml_byte(struct aml *a, u8 value);
/* A number in its shortest form. */
void aml_integer(struct aml *a, u32 value);
/* A name of one segment, at most four characters; a leading backslash makes it absolute. */
void aml_name_string(struct aml *a, const char *name);
/* Name (name, …): the object must follow. */
void aml_name(struct aml *a, const char *name);
/* The number that stands for a seven-character PNP identifier. */
void aml_eisa_id(struct aml *a, const char *id);
void aml_string(struct aml *a, const char *text);

struct aml_block aml_scope(struct aml *a, const char *name);
struct aml_block aml_device(struct aml *a, const char *name);
struct aml_block aml_package(struct aml *a, u8 elements);
/* A method of nargs arguments that returns its argument `arg` as it is. */
void aml_method_returning(struct aml *a, const char *name, unsigned nargs, unsigned arg);
void aml_end(struct aml *a, struct aml_block b);

/* Resource descriptors (ACPI 6.4, 6.4.2), within Name (_CRS, …). */
struct aml_block aml_resources(struct aml *a);
void aml_io(struct aml *a, u16 port, u8 len);
void aml_irq(struct aml *a, u8 irq);
/* Memory that the device has, below 4 GiB. */
void aml_memory_fixed(struct aml *a, u32 base, u32 size);
/* What a bridge passes on: [base, last], in 16, 32 or 64 bits. */
enum aml_window { AML_WINDOW_MEMORY, AML_WINDOW_IO, AML_WINDOW_BUS };
void aml_window16(struct aml *a, enum aml_window kind, u16 base, u16 last);
void aml_window32(struct aml *a, u32 base, u32 last);
/* Memory too, prefetchable. */
void aml_window64(struct aml *a, u64 base, u64 last);
void aml_resources_end(struct aml *a, struct aml_block b);

#endif
