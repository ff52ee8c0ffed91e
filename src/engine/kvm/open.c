/* SPDX-License-Identifier: BSD-2-Clause */
/* Opening /dev/kvm, and saying why not. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "engine/kvm/internal.h"

int kvm_call(int fd, unsigned long request, void *arg)
{
	int r;

	do
		r = ioctl(fd, request, arg);
	while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : r;
}

int kvm_call_int(int fd, unsigned long request, unsigned long arg)
{
	int r;

	do
		r = ioctl(fd, request, arg);
	while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : r;
}

union one_msr {
	struct kvm_msrs list;
	u8 room[sizeof(struct kvm_msrs) + sizeof(struct kvm_msr_entry)];
};

static int one_msr(int fd, unsigned long request, u32 msr, u64 *val)
{
	union one_msr m = {.list.nmsrs = 1};
	int r;

	m.list.entries[0] = (struct kvm_msr_entry){.index = msr, .data = *val};
	r = kvm_call(fd, request, &m);
	if (r != 1)
		return r < 0 ? r : -EINVAL;
	*val = m.list.entries[0].data;
	return 0;
}

int kvm_get_msr(int fd, u32 msr, u64 *val)
{
	*val = 0;
	return one_msr(fd, KVM_GET_MSRS, msr, val);
}

int kvm_set_msr(int fd, u32 msr, u64 val)
{
	return one_msr(fd, KVM_SET_MSRS, msr, &val);
}

/* What the engine can't do without; all are in Linux 5.10 and later. */
static const struct {
	int cap;
	const char *what;
} needed[] = {
	{KVM_CAP_USER_MEMORY, "guest memory in user space"},
	{KVM_CAP_READONLY_MEM, "read-only memory slots"},
	{KVM_CAP_IMMEDIATE_EXIT, "immediate exits"},
	{KVM_CAP_X86_USER_SPACE_MSR, "MSRs in user space"},
	{KVM_CAP_X86_MSR_FILTER, "filters for MSRs"},
	{KVM_CAP_EXT_CPUID, "CPUID tables"},
	{KVM_CAP_VCPU_EVENTS, "pending events"},
	{KVM_CAP_DEBUGREGS, "debug registers"},
	{KVM_CAP_XSAVE, "the XSAVE area"},
	{KVM_CAP_MP_STATE, "the state of halted CPUs"},
	{KVM_CAP_SET_TSS_ADDR, "real mode"},
};

static int refuse(int fd, int code)
{
	close(fd);
	return code;
}

static int cannot_open(int code, char *why, size_t size)
{
	if (code == ENOENT)
		snprintf(why, size,
			 "there is no /dev/kvm: no hardware virtualization here, or its "
			 "kernel module is not loaded");
	else if (code == EACCES || code == EPERM)
		snprintf(why, size,
			 "no permission for /dev/kvm: be a member of its group (often "
			 "'kvm'), or ask for access to it");
	else
		snprintf(why, size, "can't open /dev/kvm: %s", strerror(code));
	return -code;
}

int kvm_open(char *why, size_t size)
{
	int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC), version;

	if (fd < 0)
		return cannot_open(errno, why, size);
	version = kvm_call_int(fd, KVM_GET_API_VERSION, 0);
	if (version != KVM_API_VERSION) {
		snprintf(why, size, "/dev/kvm is not KVM, or one of another age: its version is %d",
			 version);
		return refuse(fd, -ENODEV);
	}
	for (size_t i = 0; i < ARRAY_LEN(needed); i++)
		if (kvm_call_int(fd, KVM_CHECK_EXTENSION, (unsigned long)needed[i].cap) <= 0) {
			snprintf(why, size, "this KVM lacks %s: Linux 5.10 or later is needed",
				 needed[i].what);
			return refuse(fd, -ENOTSUP);
		}
	return fd;
}
