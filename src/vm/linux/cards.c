/* SPDX-License-Identifier: BSD-2-Clause */
/* Disks and network cards of a description: back ends opened here, devices made by the machine. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "block/instant.h"
#include "block/linux/open.h"
#include "block/simple.h"
#include "net/linux/open.h"
#include "vm/linux/vm_linux.h"

static const char default_disk[] = "virtio-blk", default_card[] = "virtio-net";

/* Room for a card and its n options; ids are disk0, disk1, net0 … */
static struct machine_card *add_card(struct cards *c, const char *kind, unsigned number, size_t n)
{
	struct machine_card *card = &c->cards[c->count];
	struct card_text *text = &c->texts[c->count];

	text->opts = calloc(n + 1, sizeof(*text->opts));
	if (!text->opts)
		return NULL;
	snprintf(text->id, sizeof(text->id), "%s%u", kind, number);
	*card = (struct machine_card){.id = text->id, .opts = text->opts};
	c->count++;
	return card;
}

/* device=CLASS is ours; all else is the device's. */
static void choose_class(struct machine_card *card, struct alc_device_opt *opts, size_t n,
			 const char *otherwise)
{
	card->class_name = otherwise;
	for (size_t i = 0; i < n; i++) {
		if (!strcmp(opts[i].key, "device") && opts[i].value)
			card->class_name = opts[i].value;
		else
			opts[card->nopts++] = opts[i];
	}
}

static int check_values(const char *what, const struct machine_card *card, struct alc_err *err)
{
	for (size_t i = 0; i < card->nopts; i++)
		if (!card->opts[i].value)
			return alc_fail(err, -EINVAL, "a %s has no option '%s' without a value",
					what, card->opts[i].key);
	return 0;
}

/* Splits a description's options into those of the back end, in front, and the others. */
static size_t sort_options(struct alc_device_opt *to, const struct alc_device_opt *from, size_t n,
			   bool (*is_back_end)(const char *key))
{
	size_t front = 0, back = n;

	for (size_t i = 0; i < n; i++)
		if (is_back_end(from[i].key))
			to[front++] = from[i];
	back = front;
	for (size_t i = 0; i < n; i++)
		if (!is_back_end(from[i].key))
			to[back++] = from[i];
	return front;
}

/* Each machine's cards have addresses of their own: locally administered, at random. */
static void give_address(struct cards *c, struct machine_card *card, struct card_text *text,
			 const struct alc_host *host)
{
	u8 r[5];

	for (size_t i = 0; i < card->nopts; i++)
		if (!strcmp(card->opts[i].key, "mac"))
			return;
	entropy_fill(host, c->is_virtual ? &c->addresses : NULL, r, sizeof(r));
	snprintf(text->mac, sizeof(text->mac), "02:%02x:%02x:%02x:%02x:%02x", r[0], r[1], r[2],
		 r[3], r[4]);
	text->opts[text->nopts] = (struct alc_device_opt){"mac", text->mac};
	card->nopts++;
}

static int open_net(struct cards *c, const struct alc_host *host, const struct alc_net_desc *d,
		    unsigned number, struct alc_err *err)
{
	struct machine_card *card = add_card(c, "net", number, d->nopts);
	struct card_text *text = &c->texts[c->count - 1];
	struct alc_net_desc own = {.kind = d->kind};
	struct loop *loop;
	size_t back = 0;
	int rc;

	if (!card)
		return alc_fail(err, -ENOMEM, "no memory for the network '%s'", d->kind);
	/* The back end's in front, the card's behind; the last place is for an address. */
	for (size_t i = 0; i < d->nopts; i++)
		if (net_option_is_ours(d->kind, &d->opts[i]))
			text->opts[own.nopts++] = d->opts[i];
	back = own.nopts;
	for (size_t i = 0; i < d->nopts; i++)
		if (!net_option_is_ours(d->kind, &d->opts[i]))
			text->opts[back++] = d->opts[i];
	own.opts = text->opts;
	rc = cards_loop(c, &loop, err);
	if (!rc)
		rc = net_open(host, loop, &own, card->id, &card->net, err);
	if (rc)
		return rc;
	card->opts = text->opts + own.nopts;
	choose_class(card, text->opts + own.nopts, d->nopts - own.nopts, default_card);
	rc = check_values("network card", card, err);
	text->nopts = own.nopts + card->nopts;
	if (!rc && !strcmp(card->class_name, default_card))
		give_address(c, card, text, host);
	return rc;
}

/* In virtual time a back end that does not know it would take as long as the host does. */
static size_t give_latency(const struct cards *c, struct card_text *text)
{
	if (!c->is_virtual)
		return 0;
	snprintf(text->latency, sizeof(text->latency), "%lluns",
		 (unsigned long long)c->clock.latency_ns);
	text->opts[0] = (struct alc_device_opt){"latency", text->latency};
	return 1;
}

static int open_disk(struct cards *c, const struct alc_host *host, const struct alc_disk_desc *d,
		     unsigned number, struct alc_err *err)
{
	struct machine_card *card = add_card(c, "disk", number, d->nopts);
	struct card_text *text = &c->texts[c->count - 1];
	size_t own, front;
	int rc;

	if (!card)
		return alc_fail(err, -ENOMEM, "no memory for the disk '%s'", d->file);
	own = give_latency(c, text);
	front = sort_options(text->opts + own, d->opts, d->nopts, block_option_known);
	rc = block_open(host, d->file, text->opts, own + front, &card->block, err);
	if (rc)
		return rc;
	card->opts = text->opts + own + front;
	choose_class(card, text->opts + own + front, d->nopts - front, default_disk);
	return check_values("disk", card, err);
}

int cards_loop(struct cards *c, struct loop **out, struct alc_err *err)
{
	int rc = c->loop ? 0 : loop_create("io", &c->loop, err);

	*out = c->loop;
	return rc;
}

int cards_add_seed(struct cards *c, const struct alc_host *host, const struct image *seed,
		   struct alc_err *err)
{
	struct machine_card *card = add_card(c, "seed", 0, 0);
	int rc;

	if (!card)
		return alc_fail(err, -ENOMEM, "no memory for the cloud-init disk");
	card->class_name = default_disk;
	rc = block_ram_create(host, seed->len, seed->bytes, &card->block, err);
	if (rc)
		return rc;
	card->block->info.read_only = true;
	return c->is_virtual
		       ? instant_create(host, c->clock.latency_ns, card->block, &card->block, err)
		       : 0;
}

int cards_open(struct cards *c, const struct alc_host *host, const struct alc_desc *desc,
	       struct alc_err *err)
{
	size_t room = desc->ndisks + desc->nnets + 2; /* with the seed */
	int rc = virtual_parse(desc->clock, &c->is_virtual, &c->clock, err);

	if (rc)
		return rc;
	c->addresses.state = ~c->clock.entropy; /* not what the guest gets */
	c->cards = calloc(room, sizeof(*c->cards));
	c->texts = calloc(room, sizeof(*c->texts));
	if (!c->cards || !c->texts)
		return alc_fail(err, -ENOMEM, "no memory for disks and networks");
	for (size_t i = 0; !rc && i < desc->ndisks; i++)
		rc = open_disk(c, host, &desc->disks[i], (unsigned)i, err);
	for (size_t i = 0; !rc && i < desc->nnets; i++)
		rc = open_net(c, host, &desc->nets[i], (unsigned)i, err);
	return rc;
}

void cards_close(struct cards *c)
{
	for (size_t i = 0; i < c->count; i++) {
		block_close(c->cards[i].block);
		net_close(c->cards[i].net);
		free(c->texts[i].opts);
	}
	loop_destroy(c->loop);
	free(c->cards);
	free(c->texts);
}
