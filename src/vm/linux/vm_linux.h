/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef VM_LINUX_VM_LINUX_H
#define VM_LINUX_VM_LINUX_H

#include <pthread.h>
#include <time.h>

#include "char/fds.h"
#include "host/linux/loop.h"
#include "vm/machine.h"

/* Private to vm/linux: a machine with the files and streams that a Linux process gives it. */

struct vsock_unix;

struct image {
	u8 *bytes; /* NULL: none */
	size_t len;
	/* A regular file, from which they can be read again: 0 otherwise. */
	size_t file_bytes;
	int fd;
	struct timespec changed;
	bool released; /* the pages between have no content */
	const char *what, *path;
};

struct console {
	struct char_fds *fds; /* NULL: none */
	int file_fd;          /* opened here, else -1 */
	bool outside;         /* in virtual time: its input comes when it comes */
};

/* Disks and network cards, with their back ends. */
struct card_text {
	char id[16], mac[24], latency[32];
	struct alc_device_opt *opts;
	size_t nopts;
};

struct cards {
	struct machine_card *cards;
	struct card_text *texts;
	size_t count;
	bool is_virtual;
	struct virtual_options clock;
	struct alc_entropy addresses; /* in virtual time */
	struct loop *loop;            /* of networks and sockets; NULL: nobody needed one yet */
};

/* The host's side of vsock devices. */
struct sockets {
	struct vsock_unix **open;
	unsigned count;
};

struct alc_vm {
	struct alc_desc desc;
	/* The machine as the console's thread sees it, which may want to stop it at any time. */
	pthread_mutex_t stop_lock;
	bool stop_asked;
	struct machine *machine;
	struct image kernel, initrd, firmware, vga_rom;
	struct console com1, com2;
	struct cards cards;
	struct image seed; /* cloud-init's disk */
	struct sockets sockets;
	/* Hashes of the state, as they came: for statistics. */
	pthread_mutex_t hashes_lock;
	struct json_t *hashes;
	struct streams *streams; /* of the devices that the description names; NULL: no devices */
	struct screen *screen;   /* NULL: nobody looks */
};

/* engines.c: best first, NULL-terminated. */
extern const struct alc_engine *const linux_engines[];

/*
 * image.c: reads a whole file; what names its part in the machine ("kernel", "initrd"), room what
 * has the max_bytes that it must fit into.
 */
int image_read(struct image *im, const char *what, const char *path, u64 max_bytes,
	       const char *room, struct alc_err *err) ALC_MUST_CHECK;
/* Appends bytes, at a multiple of 4 (as cpio archives want to begin). */
int image_append(struct image *im, const void *bytes, size_t len,
		 struct alc_err *err) ALC_MUST_CHECK;
void image_free(struct image *im);
/*
 * Gives back to the host what a regular file has too; and gets it again, which fails if that file
 * has been changed.
 */
void image_release(struct image *im);
int image_fetch(struct image *im, struct alc_err *err) ALC_MUST_CHECK;
/* The VGA's BIOS, from beside the firmware or where the package has it; none is fine. */
int image_vga_rom(struct image *im, const char *firmware, struct alc_err *err) ALC_MUST_CHECK;

/* console.c. stop is called when the escape character is typed. */
int console_open(struct console *c, const struct alc_console *desc, bool is_virtual,
		 void (*stop)(void *ctx), void *ctx, struct alc_err *err) ALC_MUST_CHECK;
void console_close(struct console *c);
struct alc_char console_stream(const struct console *c);

/*
 * streams.c: what the option `chardev` of the description's devices asks for. streams_open leaves
 * *out alone where there are no devices; streams_list is by the device's index.
 */
int streams_open(const struct alc_desc *desc, struct streams **out,
		 struct alc_err *err) ALC_MUST_CHECK;
const struct alc_char *streams_list(const struct streams *s);
void streams_unblock(struct streams *s);
void streams_close(struct streams *s);

/*
 * screen.c: writes a machine's screen to the files of desc->displays. screen_open leaves *out alone
 * where there are none. screen_ask, from any thread or signal handler, has it done soon;
 * screen_write does it before it returns.
 */
int screen_open(const struct alc_host *host, const struct alc_desc *desc, struct screen **out,
		struct alc_err *err) ALC_MUST_CHECK;
int screen_start(struct screen *s, struct display_source source,
		 struct alc_err *err) ALC_MUST_CHECK;
void screen_ask(struct screen *s);
void screen_write(struct screen *s);
void screen_close(struct screen *s); /* NULL is fine */
/* cards.c. A half-done open is for close. */
int cards_open(struct cards *c, const struct alc_host *host, const struct alc_desc *desc,
	       struct alc_err *err) ALC_MUST_CHECK;
void cards_close(struct cards *c); /* after the machine */
/* A further disk, read-only, of bytes that outlive it. */
int cards_add_seed(struct cards *c, const struct alc_host *host, const struct image *seed,
		   struct alc_err *err) ALC_MUST_CHECK;
/* The event loop of all, made at the first call. */
int cards_loop(struct cards *c, struct loop **out, struct alc_err *err) ALC_MUST_CHECK;

/* stats.c: a hash for alc_vm_stats_json; false: no memory. */
bool stats_add_hash(struct alc_vm *vm, const struct alc_state_hash *h);
void stats_free(struct alc_vm *vm);

/* sockets.c. A half-done open is for close, which comes before the machine's end. */
int sockets_open(struct sockets *s, struct machine *m, struct cards *cards,
		 struct alc_err *err) ALC_MUST_CHECK;
void sockets_close(struct sockets *s);

#endif
