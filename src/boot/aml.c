/* SPDX-License-Identifier: BSD-2-Clause */
#include "boot/aml.h"

/* Opcodes (ACPI 6.4, 20.3) */
enum {
	OP_ZERO = 0x00,
	OP_ONE = 0x01,
	OP_NAME = 0x08,
	OP_BYTE = 0x0a,
	OP_WORD = 0x0b,
	OP_DWORD = 0x0c,
	OP_STRING = 0x0d,
	OP_SCOPE = 0x10,
	OP_BUFFER = 0x11,
	OP_PACKAGE = 0x12,
	OP_METHOD = 0x14,
	OP_IF = 0xa0,
	OP_ELSE = 0xa1,
	OP_EXT = 0x5b,
	OP_EXT_DEVICE = 0x82,
};

enum {
	RES_IRQ_NO_FLAGS = 0x22,
	RES_END = 0x79,
	RES_IO = 0x47,
	RES_MEMORY32 = 0x86,
	RES_DWORD_WINDOW = 0x87,
	RES_WORD_WINDOW = 0x88,
	RES_QWORD_WINDOW = 0x8a,
	IO_DECODE16 = 1,
	MEMORY_WRITABLE = 1,
	METHOD_SERIALIZED = 8,
};

/* Address space descriptors (6.4.3.5): minimum and maximum are fixed, decoding is positive. */
enum {
	WINDOW_FIXED = 0x0c,
	WINDOW_MEM_WRITABLE = 1,
	WINDOW_IO_ENTIRE = 3,
	WINDOW_HEAD = 3, /* bytes of type and flags */
	WINDOW_NUMBERS = 5,
};

/*
 * Lengths are written in the two-byte form always (20.2.4): the lead byte has the count of
 * following bytes in bits 6-7 and the low four bits of the length.
 */
enum { PKG_LENGTH_SIZE = 2, PKG_LENGTH_MAX = 0xfff };

void aml_byte(struct aml *a, u8 value)
{
	if (a->len >= a->cap) {
		a->overflow = true;
		return;
	}
	a->buf[a->len++] = value;
}

static void little_endian(struct aml *a, u64 value, unsigned size)
{
	for (unsigned i = 0; i < size; i++)
		aml_byte(a, (u8)(value >> (8 * i)));
}

void aml_integer(struct aml *a, u32 value)
{
	if (value <= 1) {
		aml_byte(a, value ? OP_ONE : OP_ZERO);
		return;
	}
	unsigned size = value <= 0xff ? 1 : value <= 0xffff ? 2 : 4;
	aml_byte(a, size == 1 ? OP_BYTE : size == 2 ? OP_WORD : OP_DWORD);
	little_endian(a, value, size);
}

void aml_name_string(struct aml *a, const char *name)
{
	unsigned n = 0;

	if (*name == '\\')
		aml_byte(a, (u8)*name++);
	for (; *name && n < 4; n++)
		aml_byte(a, (u8)*name++);
	for (; n < 4; n++)
		aml_byte(a, '_');
}

void aml_name(struct aml *a, const char *name)
{
	aml_byte(a, OP_NAME);
	aml_name_string(a, name);
}

static u8 hex_digit(char c)
{
	return (u8)(c <= '9' ? c - '0' : c - 'A' + 10);
}

/* Three letters of five bits each, then four hexadecimal digits, big-endian (ACPI 6.4, 19.3.4). */
void aml_eisa_id(struct aml *a, const char *id)
{
	u16 maker = (u16)((id[0] & 0x1f) << 10 | (id[1] & 0x1f) << 5 | (id[2] & 0x1f));

	aml_byte(a, OP_DWORD);
	aml_byte(a, (u8)(maker >> 8));
	aml_byte(a, (u8)maker);
	aml_byte(a, (u8)(hex_digit(id[3]) << 4 | hex_digit(id[4])));
	aml_byte(a, (u8)(hex_digit(id[5]) << 4 | hex_digit(id[6])));
}

void aml_string(struct aml *a, const char *text)
{
	aml_byte(a, OP_STRING);
	while (*text)
		aml_byte(a, (u8)*text++);
	aml_byte(a, 0);
}

static struct aml_block open_block(struct aml *a)
{
	struct aml_block b = {a->len};

	little_endian(a, 0, PKG_LENGTH_SIZE);
	return b;
}

struct aml_block aml_scope(struct aml *a, const char *name)
{
	aml_byte(a, OP_SCOPE);
	struct aml_block b = open_block(a);
	aml_name_string(a, name);
	return b;
}

struct aml_block aml_device(struct aml *a, const char *name)
{
	aml_byte(a, OP_EXT);
	aml_byte(a, OP_EXT_DEVICE);
	struct aml_block b = open_block(a);
	aml_name_string(a, name);
	return b;
}

struct aml_block aml_package(struct aml *a, u8 elements)
{
	aml_byte(a, OP_PACKAGE);
	struct aml_block b = open_block(a);
	aml_byte(a, elements);
	return b;
}

void aml_op(struct aml *a, u8 opcode)
{
	aml_byte(a, opcode);
}

void aml_buffer(struct aml *a, const u8 *bytes, u8 len)
{
	struct aml_block b;

	aml_byte(a, OP_BUFFER);
	b = open_block(a);
	aml_integer(a, len);
	for (unsigned i = 0; i < len; i++)
		aml_byte(a, bytes[i]);
	aml_end(a, b);
}

struct aml_block aml_method(struct aml *a, const char *name, u8 args)
{
	aml_byte(a, OP_METHOD);
	struct aml_block b = open_block(a);
	aml_name_string(a, name);
	aml_byte(a, args | METHOD_SERIALIZED);
	return b;
}

struct aml_block aml_if(struct aml *a)
{
	aml_byte(a, OP_IF);
	return open_block(a);
}

struct aml_block aml_else(struct aml *a)
{
	aml_byte(a, OP_ELSE);
	return open_block(a);
}

void aml_end(struct aml *a, struct aml_block b)
{
	size_t len = a->len - b.length_at;

	if (len > PKG_LENGTH_MAX)
		a->overflow = true;
	if (a->overflow)
		return;
	a->buf[b.length_at] = (u8)(0x40 | (len & 0xf));
	a->buf[b.length_at + 1] = (u8)(len >> 4);
}

/* A buffer whose size, a word, is filled at the end. */
struct aml_block aml_resources(struct aml *a)
{
	aml_byte(a, OP_BUFFER);
	struct aml_block b = open_block(a);
	aml_byte(a, OP_WORD);
	little_endian(a, 0, 2);
	return b;
}

void aml_resources_end(struct aml *a, struct aml_block b)
{
	size_t size_at = b.length_at + PKG_LENGTH_SIZE + 1, size;

	aml_byte(a, RES_END);
	aml_byte(a, 0); /* checksum 0: taken as correct */
	size = a->len - size_at - 2;
	if (!a->overflow)
		st16(a->buf + size_at, (u16)size);
	aml_end(a, b);
}

void aml_io(struct aml *a, u16 port, u8 len)
{
	aml_byte(a, RES_IO);
	aml_byte(a, IO_DECODE16);
	little_endian(a, port, 2); /* lowest base */
	little_endian(a, port, 2); /* highest base */
	aml_byte(a, 1);            /* alignment */
	aml_byte(a, len);
}

void aml_irq(struct aml *a, u8 irq)
{
	aml_byte(a, RES_IRQ_NO_FLAGS);
	little_endian(a, 1u << irq, 2);
}

void aml_memory(struct aml *a, u32 base, u32 size)
{
	aml_byte(a, RES_MEMORY32);
	little_endian(a, 9, 2);
	aml_byte(a, MEMORY_WRITABLE);
	little_endian(a, base, 4);
	little_endian(a, size, 4);
}

void aml_window(struct aml *a, enum aml_window kind, u64 first, u64 last)
{
	static const u8 flags[] = {WINDOW_MEM_WRITABLE, WINDOW_IO_ENTIRE, 0};
	unsigned size = last > 0xffffffff ? 8 : kind == AML_WINDOW_MEM ? 4 : 2;

	aml_byte(a, size == 8 ? RES_QWORD_WINDOW : size == 4 ? RES_DWORD_WINDOW : RES_WORD_WINDOW);
	little_endian(a, WINDOW_HEAD + WINDOW_NUMBERS * size, 2);
	aml_byte(a, (u8)kind);
	aml_byte(a, WINDOW_FIXED);
	aml_byte(a, flags[kind]);
	little_endian(a, 0, size); /* granularity */
	little_endian(a, first, size);
	little_endian(a, last, size);
	little_endian(a, 0, size); /* translation */
	little_endian(a, last - first + 1, size);
}
