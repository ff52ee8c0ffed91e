/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef ALCAZAR_VERSION_H
#define ALCAZAR_VERSION_H

/* Version of the library and of the command. */
#define ALC_VERSION_MAJOR  0
#define ALC_VERSION_MINOR  1
#define ALC_VERSION_STRING "0.1"

#endif
