/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The script is not written as the tables are: it is found in the finished ones, by the same
 * pointers that an operating system follows. So the tables know nothing of it.
 */
#include "boot/acpi_loader.h"

#include "base/errno.h"
#include "base/str.h"

enum { ALLOCATE = 1, ADD_POINTER = 2, ADD_CHECKSUM = 3 };
enum { ZONE_HIGH = 1, ZONE_F_SEGMENT = 2 };
enum { NAME_SIZE = 56 };

/* Offsets in ACPI structures: RSDP, any table's header, FADT. */
enum { RSDP_SUM = 8, RSDP_V1_SIZE = 20, RSDP_RSDT = 16, RSDP_XSDT = 24, RSDP_SUM_ALL = 32 };
enum { TABLE_LENGTH = 4, TABLE_SUM = 9, HEADER_SIZE = 36 };
static const struct {
	u16 at;
	u8 size;
} fadt_pointers[] = {{36, 4}, {40, 4}, {132, 8}, {140, 8}}; /* FACS, DSDT, and 64 bits wide */
enum { FADT_DSDT = 40 };

static u8 *next_command(struct acpi_loader *l, u32 what)
{
	u8 *c;

	if (l->script_len == sizeof(l->script))
		return NULL;
	c = l->script + l->script_len;
	l->script_len += ACPI_LOADER_COMMAND;
	st32(c, what);
	return c;
}

static void put_name(u8 *at, const char *name)
{
	__builtin_memcpy(at, name, str_len(name));
}

static bool allocate(struct acpi_loader *l, const char *file, u32 align, u8 zone)
{
	u8 *c = next_command(l, ALLOCATE);

	if (!c)
		return false;
	put_name(c + 4, file);
	st32(c + 4 + NAME_SIZE, align);
	c[8 + NAME_SIZE] = zone;
	return true;
}

/* The pointer at `at` in `file` is into the tables. */
static bool add_pointer(struct acpi_loader *l, const char *file, size_t at, u8 size)
{
	u8 *c = next_command(l, ADD_POINTER);

	if (!c)
		return false;
	put_name(c + 4, file);
	put_name(c + 4 + NAME_SIZE, ACPI_LOADER_TABLES);
	st32(c + 4 + 2 * NAME_SIZE, (u32)at);
	c[8 + 2 * NAME_SIZE] = size;
	return true;
}

/* Firmware computes it with what stands there, so a zero must. */
static bool add_checksum(struct acpi_loader *l, const char *file, u8 *bytes, size_t at,
			 size_t start, size_t len)
{
	u8 *c = next_command(l, ADD_CHECKSUM);

	if (!c)
		return false;
	bytes[at] = 0;
	put_name(c + 4, file);
	st32(c + 4 + NAME_SIZE, (u32)at);
	st32(c + 8 + NAME_SIZE, (u32)start);
	st32(c + 12 + NAME_SIZE, (u32)len);
	return true;
}

static bool sum_table(struct acpi_loader *l, size_t at)
{
	return add_checksum(l, ACPI_LOADER_TABLES, l->tables, at + TABLE_SUM, at,
			    ld32(l->tables + at + TABLE_LENGTH));
}

static bool is_fadt(const struct acpi_loader *l, size_t at)
{
	return __builtin_memcmp(l->tables + at, "FACP", 4) == 0;
}

static bool add_fadt(struct acpi_loader *l, size_t at)
{
	const u8 *fadt = l->tables + at;

	for (size_t i = 0; i < ARRAY_LEN(fadt_pointers); i++)
		if (ld_size(fadt + fadt_pointers[i].at, fadt_pointers[i].size) &&
		    !add_pointer(l, ACPI_LOADER_TABLES, at + fadt_pointers[i].at,
				 fadt_pointers[i].size))
			return false;
	return sum_table(l, ld32(fadt + FADT_DSDT));
}

/* The XSDT, and what it points to. A table's pointers are completed before its checksum. */
static bool add_tables(struct acpi_loader *l, size_t xsdt)
{
	u32 len = ld32(l->tables + xsdt + TABLE_LENGTH);

	for (size_t at = xsdt + HEADER_SIZE; at < xsdt + len; at += 8) {
		size_t table = (size_t)ld64(l->tables + at);

		if (is_fadt(l, table) && !add_fadt(l, table))
			return false;
		if (!sum_table(l, table) || !add_pointer(l, ACPI_LOADER_TABLES, at, 8))
			return false;
	}
	return sum_table(l, xsdt);
}

/* The RSDT points to the same. */
static bool add_rsdt(struct acpi_loader *l, size_t rsdt)
{
	u32 len = ld32(l->tables + rsdt + TABLE_LENGTH);

	for (size_t at = rsdt + HEADER_SIZE; at < rsdt + len; at += 4)
		if (!add_pointer(l, ACPI_LOADER_TABLES, at, 4))
			return false;
	return sum_table(l, rsdt);
}

static bool write_script(struct acpi_loader *l)
{
	return allocate(l, ACPI_LOADER_RSDP, 16, ZONE_F_SEGMENT) &&
	       allocate(l, ACPI_LOADER_TABLES, 64, ZONE_HIGH) &&
	       add_tables(l, (size_t)ld64(l->rsdp + RSDP_XSDT)) &&
	       add_rsdt(l, ld32(l->rsdp + RSDP_RSDT)) &&
	       add_pointer(l, ACPI_LOADER_RSDP, RSDP_RSDT, 4) &&
	       add_pointer(l, ACPI_LOADER_RSDP, RSDP_XSDT, 8) &&
	       add_checksum(l, ACPI_LOADER_RSDP, l->rsdp, RSDP_SUM, 0, RSDP_V1_SIZE) &&
	       add_checksum(l, ACPI_LOADER_RSDP, l->rsdp, RSDP_SUM_ALL, 0, ACPI_RSDP_SIZE);
}

int acpi_loader_build(const struct alc_host *host, const struct acpi_params *p,
		      struct acpi_loader *out, struct alc_err *err)
{
	int r;

	*out = (struct acpi_loader){.tables = host_alloc(host, ACPI_ROOM)};
	if (!out->tables)
		return alc_fail(err, -ENOMEM, "out of memory for ACPI tables.");
	r = acpi_build_at(p, 0, out->tables, &out->len, err);
	if (r)
		return r;
	/* The RSDP leads the tables; there it is of no use, but then all offsets are right. */
	__builtin_memcpy(out->rsdp, out->tables, ACPI_RSDP_SIZE);
	if (!write_script(out))
		return alc_fail(err, -ENOSPC, "ACPI tables are more than firmware can be told of.");
	return 0;
}

void acpi_loader_free(const struct alc_host *host, struct acpi_loader *l)
{
	host_free(host, l->tables, ACPI_ROOM);
	l->tables = NULL;
}
