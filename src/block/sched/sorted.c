/* SPDX-License-Identifier: BSD-2-Clause */
#include "block/sched/sorted.h"

/* xorshift32: any sequence without a pattern that callers could hit by accident will do. */
static u32 next_rank(struct sorted *t)
{
	u32 x = t->random ? t->random : 0x9e3779b9u;

	x ^= x << 13;
	x ^= x >> 17;
	x ^= x << 5;
	t->random = x;
	return x;
}

/* Where the pointer to r is kept. */
static struct disk_req **slot_of(struct sorted *t, const struct disk_req *r)
{
	struct disk_req *up = node_of(r)->parent;

	if (!up)
		return &t->root;
	return node_of(up)->left == r ? &node_of(up)->left : &node_of(up)->right;
}

static void set_parent(struct disk_req *r, struct disk_req *parent)
{
	if (r)
		node_of(r)->parent = parent;
}

/* r takes the place of its parent, which becomes its child. */
static void rotate_up(struct sorted *t, struct disk_req *r)
{
	struct disk_req *p = node_of(r)->parent, **slot = slot_of(t, p);
	struct sched_node *n = node_of(r), *np = node_of(p);

	if (np->left == r) {
		np->left = n->right;
		set_parent(n->right, p);
		n->right = p;
	} else {
		np->right = n->left;
		set_parent(n->left, p);
		n->left = p;
	}
	n->parent = np->parent;
	np->parent = r;
	*slot = r;
}

void sorted_insert(struct sorted *t, struct disk_req *r)
{
	struct disk_req **slot = &t->root, *parent = NULL;
	struct sched_node *n = node_of(r);

	while (*slot) {
		parent = *slot;
		slot = r->span_sector < parent->span_sector ? &node_of(parent)->left
							    : &node_of(parent)->right;
	}
	*slot = r;
	n->parent = parent;
	n->left = n->right = NULL;
	n->rank = next_rank(t);
	t->count++;
	while (n->parent && node_of(n->parent)->rank < n->rank)
		rotate_up(t, r);
}

void sorted_remove(struct sorted *t, struct disk_req *r)
{
	struct sched_node *n = node_of(r);
	struct disk_req **slot = slot_of(t, r), *parent = n->parent;
	struct disk_req *left = n->left, *right = n->right;

	/* The two subtrees become one: the higher rank above, down the inner edges. */
	while (left && right) {
		if (node_of(left)->rank > node_of(right)->rank) {
			*slot = left;
			set_parent(left, parent);
			parent = left;
			slot = &node_of(left)->right;
			left = *slot;
		} else {
			*slot = right;
			set_parent(right, parent);
			parent = right;
			slot = &node_of(right)->left;
			right = *slot;
		}
	}
	*slot = left ? left : right;
	set_parent(*slot, parent);
	t->count--;
}

static struct disk_req *leftmost(struct disk_req *r)
{
	while (r && node_of(r)->left)
		r = node_of(r)->left;
	return r;
}

static struct disk_req *rightmost(struct disk_req *r)
{
	while (r && node_of(r)->right)
		r = node_of(r)->right;
	return r;
}

struct disk_req *sorted_first(const struct sorted *t)
{
	return leftmost(t->root);
}

struct disk_req *sorted_last(const struct sorted *t)
{
	return rightmost(t->root);
}

struct disk_req *sorted_next(const struct disk_req *r)
{
	struct disk_req *up;

	if (node_of(r)->right)
		return leftmost(node_of(r)->right);
	for (up = node_of(r)->parent; up && node_of(up)->right == r; up = node_of(r)->parent)
		r = up;
	return up;
}

struct disk_req *sorted_prev(const struct disk_req *r)
{
	struct disk_req *up;

	if (node_of(r)->left)
		return rightmost(node_of(r)->left);
	for (up = node_of(r)->parent; up && node_of(up)->left == r; up = node_of(r)->parent)
		r = up;
	return up;
}

struct disk_req *sorted_from(const struct sorted *t, u64 sector)
{
	struct disk_req *r = t->root, *found = NULL;

	while (r) {
		if (r->span_sector >= sector) {
			found = r;
			r = node_of(r)->left;
		} else {
			r = node_of(r)->right;
		}
	}
	return found;
}

struct disk_req *sorted_before(const struct sorted *t, u64 sector)
{
	struct disk_req *r = t->root, *found = NULL;

	while (r) {
		if (r->span_sector < sector) {
			found = r;
			r = node_of(r)->right;
		} else {
			r = node_of(r)->left;
		}
	}
	return found;
}

struct disk_req *sorted_elevator(const struct sorted *t, u64 head, u64 back_max, u64 penalty)
{
	struct disk_req *ahead = sorted_from(t, head);
	struct disk_req *back = ahead ? sorted_prev(ahead) : sorted_last(t);
	u64 away = back ? head - back->span_sector : 0;

	if (back && away > back_max)
		back = NULL;
	if (back && (!ahead || away * penalty < ahead->span_sector - head))
		return back;
	return ahead ? ahead : sorted_first(t);
}
