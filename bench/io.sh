#!/bin/busybox sh
# SPDX-License-Identifier: BSD-2-Clause
#
# io.sh BENCH PORT DISK_BYTES READS SINGLES NET_BYTES: what bench/io measures in a guest. BENCH is
# the guest-bench-io program; the host's server listens on PORT (bytes to send), PORT + 1 (to
# receive). NET_BYTES 0: no network.
bench=$1 port=$2 disk_bytes=$3 reads=$4 singles=$5 net_bytes=$6

echo "BENCH ready 0 0"
"$bench" read /dev/vda "$disk_bytes"
"$bench" random /dev/vda "$reads" 32
"$bench" random /dev/vda "$singles" 1
[ "$net_bytes" = 0 ] && exit
ip link set eth0 up
ip addr add 10.0.2.15/24 dev eth0
"$bench" send 10.0.2.2 "$port" "$net_bytes"
"$bench" receive 10.0.2.2 $((port + 1)) "$net_bytes"
