#!/bin/busybox sh
# SPDX-License-Identifier: BSD-2-Clause
#
# workload.sh BENCH [SET]: what bench/run measures, in a guest and on the host alike. BENCH is the
# guest-bench program. SET: `all`, `shell` (the shell loop alone) or `none` (the boot alone).
bench=$1
set=${2:-all}

echo "BENCH ready 0 0"
[ "$set" = none ] && exit 0

"$bench" time shell-loop 100000 busybox sh -c \
	'i=0; while [ $i -lt 100000 ]; do i=$((i + 1)); done'
[ "$set" = shell ] && exit 0

"$bench" time sha256 67108864 busybox sh -c \
	'busybox dd if=/dev/zero bs=1048576 count=64 2>/dev/null | busybox sha256sum >/dev/null'
"$bench" fork 200
"$bench" chase 2000000
"$bench" matrix 200
"$bench" syscalls 200000
"$bench" faults 10000
"$bench" pipe 10000
