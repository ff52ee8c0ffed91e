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
	OP_EXT = 0x5b,
	OP_EXT_DEVICE = 0x82,
	OP_ARG0 = 0x68,
	OP_RETURN = 0xa4,
};

enum {
	RES_IRQ_NO_FLAGS = 0x22,
	RES_END = 0x79,
	RES_IO = 0x47,
	RES_MEMORY_FIXED = 0x86,
	RES_DWORD = 0x87,
	RES_WORD = 0x88,
	RES_QWORD = 0x8a,
	IO_DECODE16 = 1,
	MEMORY_WRITABLE = 1,
	WINDOW_FIXED = 0x0c, /* both ends; the bridge passes on, it does not consume */
	WINDOW_MEMORY_FLAGS = 1,
	WINDOW_PREFETCH_FLAGS = 7,
	WINDOW_IO_FLAGS = 3, /* the entire range */
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

void aml_method_returning(struct aml *a, const char *name, unsigned nargs, unsigned arg)
{
	aml_byte(a, OP_METHOD);
	struct aml_block b = open_block(a);
	aml_name_string(a, name);
	aml_byte(a, (u8)nargs);
	aml_byte(a, OP_RETURN);
	aml_byte(a, (u8)(OP_ARG0 + arg));
	aml_end(a, b);
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

/* A buffer whose size, one byte, is filled at the end: templates here are short. */
struct aml_block aml_resources(struct aml *a)
{
	aml_byte(a, OP_BUFFER);
	struct aml_block b = open_block(a);
	aml_byte(a, OP_BYTE);
	aml_byte(a, 0);
	return b;
}

void aml_resources_end(struct aml *a, struct aml_block b)
{
	size_t size_at = b.length_at + PKG_LENGTH_SIZE + 1, size;

	aml_byte(a, RES_END);
	aml_byte(a, 0); /* checksum 0: taken as correct */
	size = a->len - size_at - 1;
	if (size > 0xff)
		a->overflow = true;
	if (!a->overflow)
		a->buf[size_at] = (u8)size;
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

void aml_memory_fixed(struct aml *a, u32 base, u32 size)
{
	aml_byte(a, RES_MEMORY_FIXED);
	little_endian(a, 9, 2);
	aml_byte(a, MEMORY_WRITABLE);
	little_endian(a, base, 4);
	little_endian(a, size, 4);
}

/* Address space descriptors (6.4.3.5): granularity, minimum, maximum, translation, length. */
static void window(struct aml *a, u8 tag, u8 type, u8 flags, u64 base, u64 last)
{
	unsigned size = tag == RES_WORD ? 2 : tag == RES_DWORD ? 4 : 8;

	aml_byte(a, tag);
	little_endian(a, 3 + 5 * size, 2);
	aml_byte(a, type);
	aml_byte(a, WINDOW_FIXED);
	aml_byte(a, flags);
	little_endian(a, 0, size);
	little_endian(a, base, size);
	little_endian(a, last, size);
	little_endian(a, 0, size);
	little_endian(a, last - base + 1, size);
}

void aml_window16(struct aml *a, enum aml_window kind, u16 base, u16 last)
{
	window(a, RES_WORD, (u8)kind, kind == AML_WINDOW_IO ? WINDOW_IO_FLAGS : 0, base, last);
}

void aml_window32(struct aml *a, u32 base, u32 last)
{
	window(a, RES_DWORD, AML_WINDOW_MEMORY, WINDOW_MEMORY_FLAGS, base, last);
}

void aml_window64(struct aml *a, u64 base, u64 last)
{
	window(a, RES_QWORD, AML_WINDOW_MEMORY, WINDOW_PREFETCH_FLAGS, base, last);
}
