/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef DEVICE_DEVICE_H
#define DEVICE_DEVICE_H

#include "alcazar/err.h"
#include "base/field.h"
#include "block/block.h"
#include "bus/fastpath.h"
#include "bus/irq.h"
#include "bus/pci.h"
#include "char/char.h"
#include "host/clock.h"
#include "host/entropy.h"
#include "mem/space.h"
#include "net/net.h"

/*
 * The device model.
 *
 * A class is one const table in one file, named by one line of catalog/devices.inc. The core
 * creates an instance, hands it its configuration and wiring, serialises every call into it with
 * the instance's own lock, and turns guest accesses of any size and alignment into the ones that
 * the class declares.
 */
struct alc_dev;
struct alc_option_info;

enum alc_reset {
	ALC_RESET_COLD, /* power-on: indistinguishable from a new device */
	ALC_RESET_WARM, /* the reset line */
};

enum alc_prop_type { ALC_PROP_UINT, ALC_PROP_BOOL, ALC_PROP_STRING };

/* A typed option: one source for parsing, help, the manual and `alcazar devices`. */
struct alc_prop {
	const char *name; /* NULL ends a table */
	const char *help; /* a phrase */
	enum alc_prop_type type;
	u32 offset;          /* in the configuration structure: u64, bool or const char * */
	const char *initial; /* the default, as text */
	u64 min, max;        /* for ALC_PROP_UINT */
};

/*
 * A class writes its options once, as a list macro, and expands it twice: into its alc_prop table
 * (ended by PROP_END) and into the alc_option_info table that listings show.
 *
 *	#define OPTIONS(P) P(struct config, UINT, port, "0x3f8", 0, 0xfff8, "first I/O port")
 */
#define PROP_ROW(type_, kind_, member_, initial_, min_, max_, help_) \
	{.name = #member_,                                           \
	 .help = help_,                                              \
	 .type = ALC_PROP_##kind_,                                   \
	 .offset = offsetof(type_, member_),                         \
	 .initial = initial_,                                        \
	 .min = min_,                                                \
	 .max = max_},
#define PROP_TYPE_UINT   "uint"
#define PROP_TYPE_BOOL   "bool"
#define PROP_TYPE_STRING "string"
#define OPTION_ROW(type_, kind_, member_, initial_, min_, max_, help_) \
	{.name = #member_, .type = PROP_TYPE_##kind_, .initial = initial_, .help = help_},
#define PROP_END             \
	{                    \
		.name = NULL \
	}

enum alc_region_kind { ALC_REGION_PORT, ALC_REGION_MEM, ALC_REGION_BAR };

struct alc_dev_region {
	const char *name; /* NULL ends a table */
	enum alc_region_kind kind;
	u64 base, size;            /* size: a multiple of access_max */
	u8 access_min, access_max; /* bytes: the core splits and merges into these */
	/* Property (ALC_PROP_UINT) that overrides base, or NULL. */
	const char *base_prop;
	u8 bar; /* ALC_REGION_BAR: of the class's function; base is the offset in it */
};

/* What a class works on besides guest memory: env.chardev, env.block, env.net. */
enum alc_backend { ALC_BACKEND_NONE, ALC_BACKEND_CHAR, ALC_BACKEND_BLOCK, ALC_BACKEND_NET };

struct alc_dev_class {
	const char *name, *summary;
	size_t state_size;            /* zeroed by the core; what `state` describes lives here */
	size_t config_size;           /* filled from props by the core; constant after probe */
	const struct alc_prop *props; /* optional */
	const struct alc_option_info *options; /* the same, for listings; if there are props */
	const struct alc_field *state;         /* required if state_size > 0 holds guest state */
	u16 version, version_min;              /* of the state table */
	const struct alc_dev_region *regions;  /* optional */
	u32 doorbells;              /* bits of regions to which writes come without the lock */
	const char *const *irqs;    /* names of interrupt outputs, NULL-terminated; optional */
	bool platform;              /* created for every machine, not by --device */
	enum alc_backend backend;   /* required at creation: see dev_create */
	const struct pci_desc *pci; /* a PCI function; NULL: none */
	const void *detail;         /* of the family that the class belongs to */

	/* Takes resources; state is zeroed, then `reset` (cold) follows. Optional. */
	int (*probe)(struct alc_dev *d, struct alc_err *err);
	/* Gives them back; must cope with a half-done probe. Optional. */
	void (*remove)(struct alc_dev *d);
	/* Required; cannot fail. Drives interrupt outputs to their reset level. */
	void (*reset)(struct alc_dev *d, enum alc_reset kind);
	/*
	 * Required if there are regions. Index is into `regions`. Called with the lock held, but
	 * for writes to doorbells.
	 */
	u64 (*read)(struct alc_dev *d, unsigned region, u64 off, unsigned size);
	void (*write)(struct alc_dev *d, unsigned region, u64 off, u64 val, unsigned size);
	/*
	 * Optional: after a load. First checks what came in as hostile (-EINVAL and a sentence,
	 * with nothing else done), then rebuilds timers and lines. Called with the lock held.
	 */
	int (*loaded)(struct alc_dev *d, struct alc_err *err);
	/*
	 * Optional: when it returns, nothing that the device began is under way: no request of it
	 * is with a back end, and what was done is in guest memory. Called with the lock held.
	 */
	void (*quiesce)(struct alc_dev *d);
	/* Optional, for PCI functions: see struct pci_ops. Called with the lock held. */
	void (*config_written)(struct alc_dev *d, unsigned off, unsigned len);
	void (*config_reading)(struct alc_dev *d, unsigned off, unsigned len);
	/* Optional, for PCI functions: see struct pci_ops. Called without the lock. */
	void (*bar_mapped)(struct alc_dev *d, unsigned bar, u64 base);
};

/* What a device may ask of the machine it is in. Any entry may be NULL: then nothing happens. */
enum alc_request {
	ALC_REQUEST_RESET,    /* reset the machine */
	ALC_REQUEST_POWEROFF, /* clean power-off */
	ALC_REQUEST_EXIT,     /* stop with exit status `value` */
	ALC_REQUEST_STATUS,   /* remember `value` as the status of a later clean power-off */
	ALC_REQUEST_READY,    /* the guest is ready for console input */
};

struct alc_dev_env {
	const struct alc_host *host;
	struct alc_clock *clock;
	struct alc_entropy *entropy; /* NULL: the host's */
	struct alc_space *space;     /* guest memory, for devices that read or write it */
	struct region_map *ports;
	struct alc_irq irqs[4]; /* by index in cls->irqs */
	struct alc_irq gsi;     /* any global system interrupt: set takes its number as `line` */
	struct alc_msi_sink msi;
	struct alc_fastpath fastpath; /* of the engine that the machine began with */
	struct pci_root *pci;         /* for classes that are PCI functions */
	unsigned cpus;                /* vCPUs of the machine; 0: unknown */
	struct alc_char chardev;      /* for classes that have a stream */
	struct block *block;          /* the top of a pipeline; not the device's to close */
	struct net_link *net;         /* likewise */
	/* Called with the asking device's lock held. */
	void (*request)(void *ctx, enum alc_request what, unsigned value);
	void *request_ctx;
};

struct alc_dev {
	const struct alc_dev_class *cls;
	const char *id; /* unique in its machine; owned by the device */
	struct alc_dev_env env;
	struct alc_mutex *lock;
	void *state;
	void *config;
	void *priv;               /* the class's own, for what is not guest state (timers …) */
	struct pci_desc pci_desc; /* the class's; probe may adapt it, which then counts */
	struct pci_function *pci; /* made of pci_desc after probe; NULL: no PCI device */
};

/* key=value pairs for a device's props. Strings must outlive the device. */
struct alc_dev_opt {
	const char *key, *value;
};

/*
 * Creates a device: configuration from opts over defaults, probe, cold reset, regions added to
 * env->space and env->ports. Unknown keys and bad values are -EINVAL with a sentence that names
 * the nearest key. On failure nothing is left.
 */
int dev_create(const struct alc_dev_class *cls, const char *id, const struct alc_dev_env *env,
	       const struct alc_dev_opt *opts, size_t nopts, struct alc_dev **out,
	       struct alc_err *err) ALC_MUST_CHECK;
/* NULL is fine. The machine must not run. Regions go with their maps, not here. */
void dev_destroy(struct alc_dev *d);
void dev_reset(struct alc_dev *d, enum alc_reset kind);

/*
 * One access as a guest makes it: 1 to 8 bytes at any alignment, made into aligned accesses of
 * access_min to access_max bytes in ascending order. Narrower than access_min: a read is cut from
 * the full one, a write is a full one with zeroes around the value. What lies beyond the region
 * reads as ones and swallows writes. Takes the lock, once for the whole access.
 */
u64 dev_read(struct alc_dev *d, unsigned region, u64 off, unsigned size);
void dev_write(struct alc_dev *d, unsigned region, u64 off, u64 val, unsigned size);

/*
 * Finishes what the device has under way. The machine is paused, so that nothing new comes: before
 * guest memory is saved.
 */
void dev_quiesce(struct alc_dev *d);
/*
 * Snapshot of a device's state: a small header (class, version, length), then its fields. Quiesces
 * the device.
 */
size_t dev_save_size(const struct alc_dev *d);
void dev_save(struct alc_dev *d, u8 *out);
/* All or nothing: on failure the device is as before. */
int dev_load(struct alc_dev *d, const u8 *in, size_t len, struct alc_err *err) ALC_MUST_CHECK;

/* Arms a timer of the device; where the host has no memory for that, the operator is told. */
void dev_timer_set(struct alc_dev *d, struct alc_timer *t, u64 deadline_ns);

static inline void dev_lock(struct alc_dev *d)
{
	host_lock(d->env.host, d->lock);
}

static inline void dev_unlock(struct alc_dev *d)
{
	host_unlock(d->env.host, d->lock);
}

static inline void dev_irq(struct alc_dev *d, unsigned index, bool level)
{
	irq_set(&d->env.irqs[index], level);
}

static inline void dev_request(struct alc_dev *d, enum alc_request what, unsigned value)
{
	if (d->env.request)
		d->env.request(d->env.request_ctx, what, value);
}

#endif
