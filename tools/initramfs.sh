# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=sh
#
# What tools/guest-image and tools/debian-image have in common: choosing the kernel package, and
# packing an initramfs of busybox and a few kernel modules. Sourced; the caller has `fail`, and
# sets KERNEL_META, MODULES and busybox.

# The kernel package that the meta-package stands for today, as NAME=VERSION; empty if apt
# knows none.
candidate() {
	command -v apt-cache >/dev/null 2>&1 || return 0
	name=$(apt-cache depends "$KERNEL_META" 2>/dev/null |
		sed -n 's/^ *Depends: \(linux-image-[0-9].*-amd64\)$/\1/p' | head -n 1)
	[ -n "$name" ] || return 0
	version=$(apt-cache policy "$name" 2>/dev/null | sed -n 's/^ *Candidate: //p')
	case $version in '' | '(none)') ;; *) echo "$name=$version" ;; esac
}

# stage_modules KERNEL RELEASE ROOT: copies the modules of $MODULES and all that they depend on,
# by modules.dep, from the unpacked kernel to the initramfs's root.
stage_modules() {
	from=$1/lib/modules/$2
	to=$3/lib/modules/$2
	depmod -b "$1" "$2"
	for module in $MODULES; do
		file=$(sed 's/:.*//' "$from/modules.dep" |
			awk -v want="$module" -F / '
				{ n = $NF; sub(/\.ko.*$/, "", n); gsub("-", "_", n) }
				n == want { print; exit }')
		[ -n "$file" ] || fail "Linux $2 has no module $module."
		sed -n "s|^$file:||p" "$from/modules.dep" | tr ' ' '\n' | sed '/^$/d'
		echo "$file"
	done >"$3.modules"
	sort -u "$3.modules" | while read -r file; do
		mkdir -p "$to/$(dirname "$file")"
		cp "$from/$file" "$to/$file"
	done
	rm -f "$3.modules"
	cp "$from/modules.builtin" "$from/modules.builtin.modinfo" "$from/modules.order" "$to/"
	depmod -b "$3" "$2"
	# busybox reads the text forms.
	rm -f "$to"/*.bin "$to"/modules.builtin "$to"/modules.builtin.modinfo "$to"/modules.order "$to"/modules.devname \
		"$to"/modules.softdep "$to"/modules.symbols
}

# stage_busybox ROOT INIT: the folders, busybox under all its names, and INIT as /init.
stage_busybox() {
	for dir in bin sbin usr/bin usr/sbin etc dev proc sys tmp run root mnt; do
		mkdir -p "$1/$dir"
	done
	cp "$busybox" "$1/bin/busybox"
	"$busybox" --list-full | while read -r applet; do
		[ "$applet" = bin/busybox ] || ln -sf /bin/busybox "$1/$applet"
	done
	cp "$2" "$1/init"
	echo 'root:x:0:0:root:/root:/bin/sh' >"$1/etc/passwd"
	echo 'root:x:0:' >"$1/etc/group"
	chmod 755 "$1/init" "$1/bin/busybox"
	chmod 1777 "$1/tmp"
}

# pack ROOT INITRD
pack() {
	find "$1" -exec touch -h -d @0 {} +
	(cd "$1" && find . -mindepth 1 | sed 's|^\./||' | sort |
		cpio -o -H newc -R 0:0 --reproducible --quiet) >"$2"
}
