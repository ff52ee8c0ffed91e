/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A program of 32 bits for a 64-bit Linux: what it prints depends on nothing but the processor, so
 * that it must be the same on the host, on the interpreter and on the translator.
 *
 *	guest-linux32 [ROUNDS]
 */
#include <stdio.h>
#include <stdlib.h>

#include "linux32.h"

static const struct {
	const char *name;
	u32 (*run)(u32 seed);
} parts[] = {
	{"arithmetic", arithmetic}, {"text", text},           {"floating", floating},
	{"vectors", vectors},       {"encodings", encodings}, {"decimal", decimal},
	{"segments", segments},     {"addresses", addresses}, {"wide", wide},
	{"modified", modified},     {"faults", faults},       {"alarms", alarms},
	{"threads", threads},       {"processes", processes},
};

int main(int argc, char **argv)
{
	unsigned rounds = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 0) : 20;

	setvbuf(stdout, NULL, _IONBF, 0);
	for (unsigned i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		u32 sum = 0;

		for (unsigned k = 0; k < rounds; k++)
			sum = mix(sum, parts[i].run(k * 0x9e3779b9u + i));
		printf("%s %08x\n", parts[i].name, sum);
	}
	printf("done\n");
	return 0;
}
