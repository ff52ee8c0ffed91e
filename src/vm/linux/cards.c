/* SPDX-License-Identifier: BSD-2-Clause */
/* Disks and network cards of a description: back ends opened here, devices made by the machine. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "block/linux/open.h"
#include "vm/linux/vm_linux.h"

static const char default_disk[] = "virtio-blk";

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

static int open_disk(struct cards *c, const struct alc_host *host, const struct alc_disk_desc *d,
		     unsigned number, struct alc_err *err)
{
	struct machine_card *card = add_card(c, "disk", number, d->nopts);
	struct alc_device_opt *opts;
	size_t front;
	int rc;

	if (!card)
		return alc_fail(err, -ENOMEM, "no memory for the disk '%s'", d->file);
	opts = c->texts[c->count - 1].opts;
	front = sort_options(opts, d->opts, d->nopts, block_option_known);
	rc = block_open(host, d->file, opts, front, &card->block, err);
	if (rc)
		return rc;
	card->opts = opts + front;
	choose_class(card, opts + front, d->nopts - front, default_disk);
	return check_values("disk", card, err);
}

int cards_open(struct cards *c, const struct alc_host *host, const struct alc_desc *desc,
	       struct alc_err *err)
{
	size_t room = desc->ndisks + desc->nnets + 1;
	int rc = 0;

	c->cards = calloc(room, sizeof(*c->cards));
	c->texts = calloc(room, sizeof(*c->texts));
	if (!c->cards || !c->texts)
		return alc_fail(err, -ENOMEM, "no memory for disks and networks");
	for (size_t i = 0; !rc && i < desc->ndisks; i++)
		rc = open_disk(c, host, &desc->disks[i], (unsigned)i, err);
	return rc;
}

void cards_close(struct cards *c)
{
	for (size_t i = 0; i < c->count; i++) {
		block_close(c->cards[i].block);
		net_close(c->cards[i].net);
		free(c->texts[i].opts);
	}
	free(c->cards);
	free(c->texts);
}
