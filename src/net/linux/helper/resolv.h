/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef NET_LINUX_HELPER_RESOLV_H
#define NET_LINUX_HELPER_RESOLV_H

/* Before confinement: what libslirp will find as /etc/resolv.conf. */
void resolv_load(void);

#endif
