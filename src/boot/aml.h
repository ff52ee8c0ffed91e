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

/* Operators and operands of methods (20.2.5, 20.2.6). */
enum {
	AML_LOCAL0 = 0x60,
	AML_ARG0 = 0x68,
	AML_STORE = 0x70,
	AML_AND = 0x7b,
	AML_OR = 0x7d,
	AML_CREATE_DWORD = 0x8a,
	AML_NOT = 0x92,
	AML_EQUAL = 0x93,
	AML_RETURN = 0xa4,
};
void aml_op(struct aml *a, u8 opcode);
void aml_buffer(struct aml *a, const u8 *bytes, u8 len);
/* Serialized. */
struct aml_block aml_method(struct aml *a, const char *name, u8 args);
/* The condition must follow, then the body. */
struct aml_block aml_if(struct aml *a);
struct aml_block aml_else(struct aml *a);

struct aml_block aml_scope(struct aml *a, const char *name);
struct aml_block aml_device(struct aml *a, const char *name);
struct aml_block aml_package(struct aml *a, u8 elements);
void aml_end(struct aml *a, struct aml_block b);

/* Resource descriptors (ACPI 6.4, 6.4), within Name (_CRS, …). */
struct aml_block aml_resources(struct aml *a);
void aml_io(struct aml *a, u16 port, u8 len);
void aml_irq(struct aml *a, u8 irq);
void aml_memory(struct aml *a, u32 base, u32 size);
/* A range that a bridge passes on to what is behind it. */
enum aml_window { AML_WINDOW_MEM, AML_WINDOW_IO, AML_WINDOW_BUS };
void aml_window(struct aml *a, enum aml_window kind, u64 first, u64 last);
void aml_resources_end(struct aml *a, struct aml_block b);

#endif
