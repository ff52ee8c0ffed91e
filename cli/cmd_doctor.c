/* SPDX-License-Identifier: BSD-2-Clause */
#include <cpuid.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <linux/membarrier.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "alcazar/device.h"
#include "alcazar/version.h"
#include "alcazar/vm.h"
#include "cmds.h"

struct doctor_values {
	bool json;
};

static const struct option_row rows[] = {
	{"json", NULL, "print JSON", OPTION_FLAG, offsetof(struct doctor_values, json), NULL, NULL,
	 VALUES_ANY, NULL},
	{NULL, NULL, NULL, OPTION_FLAG, 0, NULL, NULL, VALUES_ANY, NULL},
};

/* ---- Facts -------------------------------------------------------------------------------- */

enum { TEXT_MAX = 160 };

static void cpu_name(char out[TEXT_MAX])
{
	unsigned regs[12] = {0}, max = __get_cpuid_max(0x80000000, NULL);

	if (max >= 0x80000004)
		for (unsigned i = 0; i < 3; i++)
			__get_cpuid(0x80000002 + i, &regs[4 * i], &regs[4 * i + 1],
				    &regs[4 * i + 2], &regs[4 * i + 3]);
	snprintf(out, TEXT_MAX, "%.48s", regs[0] ? (const char *)regs : "unknown");
}

static void cpu_features(char out[TEXT_MAX])
{
	/* The kernel must let user mode have it (AT_HWCAP2 bit 1), not only the CPU. */
	bool fsgsbase = getauxval(AT_HWCAP2) & 2;

	snprintf(out, TEXT_MAX, "AVX2 %s, BMI2 %s, FSGSBASE %s",
		 __builtin_cpu_supports("avx2") ? "yes" : "no",
		 __builtin_cpu_supports("bmi2") ? "yes" : "no", fsgsbase ? "yes" : "no");
}

static void cores(char out[TEXT_MAX])
{
	snprintf(out, TEXT_MAX, "%ld", sysconf(_SC_NPROCESSORS_ONLN));
}

static void memory(char out[TEXT_MAX])
{
	unsigned long long page = (unsigned long long)sysconf(_SC_PAGESIZE);

	snprintf(out, TEXT_MAX, "%llu MiB, %llu MiB free",
		 (unsigned long long)sysconf(_SC_PHYS_PAGES) * page >> 20,
		 (unsigned long long)sysconf(_SC_AVPHYS_PAGES) * page >> 20);
}

static void dev_kvm(char out[TEXT_MAX])
{
	int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	if (fd >= 0) {
		close(fd);
		snprintf(out, TEXT_MAX, "opens");
	} else {
		snprintf(out, TEXT_MAX, "%s", errno == ENOENT ? "not there" : strerror(errno));
	}
}

static void answer(char out[TEXT_MAX], bool ok)
{
	snprintf(out, TEXT_MAX, "%s", ok ? "yes" : strerror(errno));
}

static void memfd(char out[TEXT_MAX])
{
	int fd = memfd_create("doctor", MFD_CLOEXEC);

	answer(out, fd >= 0);
	if (fd >= 0)
		close(fd);
}

/* What a translator needs: the same pages writable at one address and executable at another. */
static void exec_mappings(char out[TEXT_MAX])
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	int fd = memfd_create("doctor", MFD_CLOEXEC);
	void *p = MAP_FAILED;

	if (fd >= 0 && ftruncate(fd, (off_t)page) == 0)
		p = mmap(NULL, page, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
	answer(out, p != MAP_FAILED);
	if (p != MAP_FAILED)
		munmap(p, page);
	if (fd >= 0)
		close(fd);
}

static void membarrier(char out[TEXT_MAX])
{
	long offered = syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0, 0);

	if (offered >= 0 && !(offered & MEMBARRIER_CMD_PRIVATE_EXPEDITED)) {
		snprintf(out, TEXT_MAX, "not expedited: a slower way is taken");
		return;
	}
	answer(out, offered >= 0);
}

static const struct fact {
	const char *name, *key;
	void (*find)(char out[TEXT_MAX]);
} facts[] = {
	{"CPU", "cpu", cpu_name},
	{"CPU features", "cpu_features", cpu_features},
	{"cores", "cores", cores},
	{"memory", "memory", memory},
	{"/dev/kvm", "dev_kvm", dev_kvm},
	{"memfd", "memfd", memfd},
	{"executable mappings", "exec_mappings", exec_mappings},
	{"membarrier", "membarrier", membarrier},
};

enum { FACTS = sizeof(facts) / sizeof(facts[0]) };

/* ---- Report ------------------------------------------------------------------------------- */

static const char *standing(const struct alc_engine_info *e)
{
	if (!e->usable)
		return "unusable";
	return e->good ? "usable" : "by name";
}

static void print_text(struct alc_host *host)
{
	struct alc_engine_info e;
	const char *chosen = NULL;
	char text[TEXT_MAX];

	puts("Host:");
	for (unsigned i = 0; i < FACTS; i++) {
		facts[i].find(text);
		printf("  %-20s %s\n", facts[i].name, text);
	}
	puts("\nEngines:");
	for (size_t i = 0; alc_engine_info(host, i, &e); i++) {
		printf("  %-10s %-9s %s\n", e.name, standing(&e), e.why);
		if (e.chosen)
			chosen = e.name;
	}
	if (chosen)
		printf("\n`--engine auto` takes %s.\n", chosen);
	else
		puts("\nNo engine can run here.");
}

static int print_json(struct alc_host *host)
{
	json_t *about = json_object(), *engines = json_array(), *all;
	struct alc_engine_info e;
	char text[TEXT_MAX];
	int failed;

	for (unsigned i = 0; i < FACTS; i++) {
		facts[i].find(text);
		json_object_set_new(about, facts[i].key, json_string(text));
	}
	for (size_t i = 0; alc_engine_info(host, i, &e); i++)
		json_array_append_new(engines, json_pack("{s:s, s:s, s:b, s:b, s:i, s:s}", "name",
							 e.name, "summary", e.summary, "usable",
							 (int)e.usable, "chosen", (int)e.chosen,
							 "good", (int)e.good, "why", e.why));
	all = json_pack("{s:s, s:o, s:o}", "version", ALC_VERSION_STRING, "host", about, "engines",
			engines);
	failed = json_dumpf(all, stdout, JSON_INDENT(2));
	putchar('\n');
	json_decref(all);
	return failed ? fail(EXIT_VMM, "out of memory") : EXIT_OK;
}

static int doctor(void *values, const char *operand, struct strings trailing)
{
	const struct doctor_values *v = values;
	struct alc_err err = {0};
	struct alc_host *host;
	int status = EXIT_OK;

	if (alc_host_open(&host, &err))
		return fail(EXIT_VMM, "%s", err.text);
	if (v->json)
		status = print_json(host);
	else
		print_text(host);
	alc_host_close(host);
	return status;
}

const struct command cmd_doctor = {
	.name = "doctor",
	.summary = "tell what this host offers, and which engine would run",
	.options = rows,
	.values_size = sizeof(struct doctor_values),
	.run = doctor,
};
