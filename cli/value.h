/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef CLI_VALUE_H
#define CLI_VALUE_H

#include <stdbool.h>
#include <stdint.h>

/* Values as people write them; nothing before or after is allowed. False if it is not one. */
bool parse_count(const char *text, uint64_t *out);
bool parse_size(const char *text, uint64_t *bytes);  /* 4096, 64K, 512M, 2G, 1T */
bool parse_duration(const char *text, uint64_t *ns); /* 5ns, 5us, 5ms, 2s, 1m, 1h */

#endif
