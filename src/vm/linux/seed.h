/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef VM_LINUX_SEED_H
#define VM_LINUX_SEED_H

#include <stddef.h>

#include "alcazar/err.h"

/*
 * The disk that cloud-init's NoCloud data source looks for: an ISO 9660 file system with the label
 * "cidata", with Rock Ridge and Joliet names, that holds user-data and meta-data, and vendor-data
 * and network-config if dir has them. The same files give the same bytes. len is a multiple of
 * 2048; the bytes are the caller's to free().
 */
int seed_build(const char *dir, void **bytes, size_t *len, struct alc_err *err) ALC_MUST_CHECK;

#endif
