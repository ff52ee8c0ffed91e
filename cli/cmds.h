/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef CLI_CMDS_H
#define CLI_CMDS_H

#include "options.h"

extern const struct command cmd_run, cmd_doctor, cmd_confinement, cmd_devices, cmd_disk,
	cmd_completion, cmd_help;

#endif
