#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# The rows of bench/programs, in a guest and natively alike: each line of the input is a name and a
# size, the last one "end". Prints "BENCH next 0 0" when it waits for one, and "BENCH name nanoseconds
# size checksum" for each, the checksum being of what the program wrote.
cd "${0%/*}" || exit 1
export LC_ALL=C HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin
here=$PWD
bench=$here/bench
disk=/root/bench.db # on the disk; all else is in memory

# What went wrong is the row's result.
failed() {
	echo "bench: $1: $(tail -n 1 err)"
}

checksum() {
	sha256sum | cut -c 1-16
}

# timed NAME SIZE COMMAND: the command's output is what the checksum is of.
timed() {
	if line=$("$bench" time "$1" "$2" sh -c "{ $3 ; } >out 2>err"); then
		echo "$line $(checksum <out)"
	else
		failed "$1"
	fi
	rm -f out
}

# rate NAME SIZE A_SECOND CHECKSUM: for programs that report how much they do in a second.
rate() {
	awk -v name="$1" -v size="$2" -v rate="$3" -v sum="$4" 'BEGIN {
		if (rate > 0) printf "BENCH %s %.0f %d %s\n", name, size * 1e9 / rate, size, sum }'
}

# A machine whose timers are not steady yet can end it before it has begun: then again.
openssl_speed() {
	seconds=$1
	shift
	for try in 1 2 3; do
		speed=$(openssl speed -mr -elapsed -seconds "$seconds" "$@" 2>err)
		case $speed in
		*nan* | *inf* | *:0.0*) ;;
		*) break ;;
		esac
	done
	[ "$try" = 1 ] || echo "bench: openssl speed, try $try" >&2
	echo "$speed"
}

# The bytes a second are the last field of line +F.
openssl_bytes() {
	bytes=$(openssl_speed "$2" -bytes 8192 -evp "$3" | sed -n 's/^+F:.*://p')
	rate "$1" 16777216 "${bytes:-0}" "$4"
}

openssl_rsa() {
	sum=$(head -c 100000 text | openssl dgst -sha256 -sign key.pem | checksum)
	rsa=$(openssl_speed "$1" rsa2048 | grep '^+F2:')
	rate openssl-rsa2048-sign 100 "$(echo "$rsa" | cut -d : -f 4)" "$sum"
	rate openssl-rsa2048-verify 1000 "$(echo "$rsa" | cut -d : -f 5)" "$sum"
}

# Its own checksums are its result: it says so when data is not what it was.
seven_zip() {
	7z b "$1" -mmt1 -md18 -mtime=0 >out 2>err || failed 7z
	rate 7z-compress 1024 "$(awk '$1 == "Avr:" { print $2 }' out)" -
	rate 7z-decompress 4096 "$(awk '$1 == "Avr:" { print $7 }' out)" -
	rm -f out
}

# packed NAME SIZE PACK UNPACK: the checksum of the first is of packed data.
packed() {
	head -c "$2" text >plain
	timed "$1" "$2" "$3 <plain >packed && cat packed"
	timed "un$1" "$2" "$4 <packed"
	rm -f plain packed
}

sqlite() {
	rm -f "$disk" "$disk-journal"
	sed "s/ROWS/$2/g" queries.sql >queries
	timed "$1" "$2" "sqlite3 $3 <queries"
	rm -f "$disk" "$disk-journal"
}

run() {
	name=$1 size=$2
	case $name in
	fork-exec) "$bench" fork "$size" ;;
	syscalls) "$bench" syscalls "$size" ;;
	page-faults) "$bench" faults "$size" ;;
	pipe) "$bench" pipe "$size" ;;
	openssl-aes-256-gcm)
		openssl_bytes "$name" "$size" aes-256-gcm "$(openssl enc -aes-256-ctr -in text \
			-K 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f \
			-iv 000102030405060708090a0b0c0d0e0f 2>err | checksum)"
		;;
	openssl-sha256)
		openssl_bytes "$name" "$size" sha256 "$(openssl dgst -sha256 text | checksum)"
		;;
	openssl-rsa2048) openssl_rsa "$size" ;;
	7z) seven_zip "$size" ;;
	python-*) timed "$name" "$size" "python3 loops.py ${name#python-} $size" ;;
	gcc) timed "$name" "$size" "gcc -O2 -c -o object.o large.c && cat object.o" ;;
	sqlite-memory) sqlite "$name" "$size" :memory: ;;
	sqlite-file) sqlite "$name" "$size" "$disk" ;;
	gzip) packed "$name" "$size" "gzip -6 -n" "gzip -d" ;;
	zstd) packed "$name" "$size" "zstd -6 -q --single-thread -c" "zstd -d -q -c" ;;
	xz) packed "$name" "$size" "xz -2 -T1" "xz -d -T1" ;;
	perl) timed "$name" "$size" "perl loop.pl $size" ;;
	node) timed "$name" "$size" "node loop.js $size" ;;
	java) timed "$name" "$size" "java -XX:+UseSerialGC Loop.java $size" ;;
	*) echo "bench: $name: no such row" ;;
	esac
}

echo "BENCH next 0 0"
while read -r row && [ "$row" != end ]; do
	# shellcheck disable=SC2086 # two words
	run $row </dev/null
	echo "BENCH next 0 0"
done
