/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Machines that start as hardware does: at the reset vector, in a ROM image that ends at 4 GiB.
 *
 * As on a PC the image's end can also be seen below 1 MiB, as RAM that a reset fills again: chipset
 * registers that shadow it have nothing more to do. What firmware wants to know of the machine it
 * finds in fw_cfg and in the CMOS memory.
 */
#include "base/errno.h"
#include "base/fmt.h"
#include "base/str.h"
#include "boot/acpi_loader.h"
#include "device/platform/fw_cfg.h"
#include "vm/machine.h"

typedef unsigned long long ull; /* for %llu */

enum { SHADOW_BASE = 0xe0000, SHADOW_MAX = 0x20000 };
enum { VGA_WINDOW = 0xa0000, VGA_WINDOW_END = 0xc0000 };
enum { E820_ENTRY = 20, E820_RAM = 1 };

int firmware_check(const struct boot_image *image, struct alc_err *err)
{
	if (image->len < MACHINE_FIRMWARE_MIN || image->len > MACHINE_FIRMWARE_MAX ||
	    image->len % MACHINE_FIRMWARE_MIN)
		return alc_fail(err, -ENOEXEC,
				"firmware '%s': a ROM image has a multiple of %u KiB, at most %u "
				"MiB, and this file has %zu bytes",
				image->name, MACHINE_FIRMWARE_MIN >> 10, MACHINE_FIRMWARE_MAX >> 20,
				image->len);
	return 0;
}

bool machine_has_vga(const struct alc_desc *desc)
{
	for (size_t i = 0; i < desc->ndevices; i++)
		if (str_eq(desc->devices[i].class_name, "vga"))
			return true;
	return desc->ndisplays;
}

int firmware_add_memory(struct machine *m, u64 low_bytes, struct alc_err *err)
{
	u64 size = m->parts.firmware.len;
	int r;

	if (machine_has_vga(m->desc)) {
		r = space_add_bank(&m->space, gpa(0), VGA_WINDOW, false, err);
		if (!r)
			r = space_add_bank(&m->space, gpa(VGA_WINDOW_END),
					   low_bytes - VGA_WINDOW_END, false, err);
	} else {
		r = space_add_bank(&m->space, gpa(0), low_bytes, false, err);
	}
	if (!r && size)
		r = space_add_bank(&m->space, gpa(PC_ABOVE_4G - size), size, true, err);
	return r;
}

int firmware_load(struct machine *m, struct alc_err *err)
{
	const struct boot_image *f = &m->parts.firmware;
	u64 shadow = min_u64(f->len, SHADOW_MAX);

	if (space_load(&m->space, gpa(PC_ABOVE_4G - f->len), f->bytes, f->len) ||
	    space_load(&m->space, gpa(SHADOW_BASE + SHADOW_MAX - shadow),
		       f->bytes + f->len - shadow, shadow))
		return alc_fail(err, -EFAULT, "firmware '%s': the machine has no memory for it",
				f->name);
	return 0;
}

/* ---- What firmware is told ---------------------------------------------------------------- */

static u64 low_ram(const struct machine *m)
{
	return min_u64(m->desc->memory_bytes, PC_LOW_RAM_MAX);
}

static u64 high_ram(const struct machine *m)
{
	return m->desc->memory_bytes - low_ram(m);
}

static void put_range(u8 *at, u64 base, u64 size)
{
	st64(at, base);
	st64(at + 8, size);
	st32(at + 16, E820_RAM);
}

/* RAM alone: the firmware itself knows what it keeps for itself, devices and tables. */
static int add_e820(struct machine *m, struct alc_err *err)
{
	u8 map[2 * E820_ENTRY];
	u64 high = high_ram(m);

	put_range(map, 0, low_ram(m));
	put_range(map + E820_ENTRY, PC_ABOVE_4G, high);
	return fw_cfg_add_file(m->fw_cfg, "etc/e820", map, high ? 2 * E820_ENTRY : E820_ENTRY, err);
}

/* Sleep states S0 to S5: bit 7 says that there is one, the rest is its SLP_TYP. */
static int add_system_states(struct machine *m, struct alc_err *err)
{
	static const u8 states[6] = {[0] = 0x80, [5] = 0x80 | PC_SLP_TYP_S5};

	return fw_cfg_add_file(m->fw_cfg, "etc/system-states", states, sizeof(states), err);
}

/* A BIOS shows its text on the first serial port too, and takes keys from it. */
static int add_serial_console(struct machine *m, struct alc_err *err)
{
	u8 port[8];

	st64(port, PC_PORT_COM1);
	return fw_cfg_add_file(m->fw_cfg, "etc/sercon-port", port, sizeof(port), err);
}

/* The name by which SeaBIOS finds the ROM of a PCI function that has none of its own. */
static int add_vga_rom(struct machine *m, struct alc_err *err)
{
	const struct boot_image *rom = &m->parts.vga_rom;

	if (!rom->bytes || !machine_has_vga(m->desc))
		return 0;
	return fw_cfg_add_file(m->fw_cfg, "pci1234,1111.rom", rom->bytes, rom->len, err);
}

struct acpi_params machine_acpi(const struct machine *m)
{
	return (struct acpi_params){
		.cpus = m->desc->cpus,
		.com2 = m->parts.has_com2,
		.vga = machine_has_vga(m->desc),
		.pci_mem64_base = m->pci_mem64_base,
		.pci_mem64_end = MACHINE_PCI_MEM64_END,
	};
}

static int add_loader(struct machine *m, const struct acpi_loader *l, struct alc_err *err)
{
	struct alc_dev *d = m->fw_cfg;
	int r = fw_cfg_add_file(d, ACPI_LOADER_RSDP, l->rsdp, sizeof(l->rsdp), err);

	if (!r)
		r = fw_cfg_add_file(d, ACPI_LOADER_TABLES, l->tables, l->len, err);
	return r ? r : fw_cfg_add_file(d, ACPI_LOADER_SCRIPT, l->script, l->script_len, err);
}

static int add_acpi(struct machine *m, struct alc_err *err)
{
	struct acpi_params p = machine_acpi(m);
	struct acpi_loader *l = host_alloc(m->host, sizeof(*l));
	int r;

	if (!l)
		return alc_fail(err, -ENOMEM, "out of memory for ACPI tables.");
	r = acpi_loader_build(m->host, &p, l, err);
	if (!r)
		r = add_loader(m, l, err);
	acpi_loader_free(m->host, l);
	host_free(m->host, l, sizeof(*l));
	return r;
}

int firmware_describe(struct machine *m, struct alc_err *err)
{
	int r = add_e820(m, err);

	if (!r)
		r = add_acpi(m, err);
	if (!r)
		r = add_vga_rom(m, err);

	if (!r)
		r = add_system_states(m, err);
	return r ? r : add_serial_console(m, err);
}

void firmware_options(const struct machine *m, const char *class_name, struct told *t)
{
	static const char *const screen[] = {"off", "on"};

	fmt_text(t->cpus, sizeof(t->cpus), "%u", m->desc->cpus);
	fmt_text(t->all, sizeof(t->all), "%llu", (ull)m->desc->memory_bytes);
	fmt_text(t->low, sizeof(t->low), "%llu", (ull)(low_ram(m) - PC_HIGH_RAM) >> 10);
	fmt_text(t->high, sizeof(t->high), "%llu", (ull)high_ram(m) >> 10);
	t->n = 0;
	if (str_eq(class_name, "fw-cfg")) {
		t->opts[t->n++] = (struct alc_dev_opt){"cpus", t->cpus};
		t->opts[t->n++] = (struct alc_dev_opt){"ram_bytes", t->all};
		t->opts[t->n++] = (struct alc_dev_opt){"graphics",
						       screen[machine_has_vga(m->desc)]};
	} else if (str_eq(class_name, "rtc")) {
		t->opts[t->n++] = (struct alc_dev_opt){"cpus", t->cpus};
		t->opts[t->n++] = (struct alc_dev_opt){"ext_kib", t->low};
		t->opts[t->n++] = (struct alc_dev_opt){"high_kib", t->high};
	}
}
