/* SPDX-License-Identifier: BSD-2-Clause */
#include "alcazar/device.h"
#include "virtio/virtio.h"

/* Entropy (virtio 1.2, 5.4): one queue of buffers, each filled with random bytes: the host's, or
 * those of a virtual machine's seed. */
/* A request is done within one exit of a vCPU, so it gets no more than this of what it asks for. */
enum { BYTES_MAX = 65536 };
enum { PIECES_MAX = 64, ID_ENTROPY = 4, PCI_CLASS_OTHER = 0xff0000 };

static int rng_probe(struct virtio *v, struct alc_err *err)
{
	v->nqueues = 1;
	return 0;
}

static void rng_notify(struct virtio *v, unsigned queue)
{
	struct alc_iov iov[PIECES_MAX];
	struct virtq_chain c = {.iov = iov, .iov_max = PIECES_MAX};

	while (virtio_pop(v, queue, &c)) {
		u32 done = 0;

		for (unsigned i = c.nout; i < c.nout + c.nin; i++) {
			u32 len = (u32)min_u64(iov[i].len, BYTES_MAX - done);

			entropy_fill(v->dev->env.host, v->dev->env.entropy, iov[i].base, len);
			done += len;
		}
		virtio_push(v, queue, &c, done);
	}
}

/* Requests are done within notify: none is ever in flight. */
static void rng_stop(struct virtio *v)
{
}

static void rng_stop_queue(struct virtio *v, unsigned queue)
{
}

static const struct virtio_type type = {
	.id = ID_ENTROPY,
	.class_code = PCI_CLASS_OTHER,
	.probe = rng_probe,
	.notify = rng_notify,
	.stop = rng_stop,
	.stop_queue = rng_stop_queue,
};

static const struct alc_prop props[] = {VIRTIO_OPTIONS(PROP_ROW) PROP_END};
static const struct alc_option_info options[] = {VIRTIO_OPTIONS(OPTION_ROW)};

extern const struct alc_dev_class virtio_rng_class;
const struct alc_dev_class virtio_rng_class = {
	.name = "virtio-rng",
	.summary = "entropy from the host",
	.state_size = sizeof(struct virtio_regs),
	.state = virtio_fields,
	.version = 1,
	.version_min = 1,
	.config_size = sizeof(struct virtio_options),
	.props = props,
	.options = options,
	VIRTIO_CLASS_OPS(type),
};
