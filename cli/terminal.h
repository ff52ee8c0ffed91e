/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef CLI_TERMINAL_H
#define CLI_TERMINAL_H

struct alc_vm;

/*
 * The terminal and the signals while a machine runs. Whatever way the program ends, the terminal
 * is as it was before.
 */

/* Raw mode, if fd is a terminal. */
void terminal_raw(int fd);
void terminal_restore(void);

/* From now on SIGINT, SIGTERM, SIGHUP and SIGQUIT end the program with 128 + signal. */
void signals_watch(void);
/*
 * While vm is not NULL, SIGTERM presses its power button, and so does SIGINT unless standard input
 * is a terminal; the others, and a second one, stop it; one more ends the program anyway. SIGTSTP
 * pauses it for as long as the process is stopped.
 */
void signals_guard(struct alc_vm *vm);
/* The signal that came, or 0. */
int signals_caught(void);

#endif
