/* SPDX-License-Identifier: BSD-2-Clause */
#include "kernels.h"

enum { NODES = 1024 };

struct node {
	struct node *left, *right;
	uint64_t key;
	uint64_t uses;
};

static struct node nodes[NODES];

/* The link at which the key is, or would be. */
static struct node **link_of(struct node **root, uint64_t key)
{
	while (*root && (*root)->key != key)
		root = key < (*root)->key ? &(*root)->left : &(*root)->right;
	return root;
}

static uint64_t height_sum(const struct node *n, uint64_t depth)
{
	if (!n)
		return 0;
	return height_sum(n->left, depth + 1) + depth * n->uses + height_sum(n->right, depth + 1);
}

/* Insert all keys, find each of them again, walk. */
static uint64_t grow(uint64_t start)
{
	struct node *root = NULL;
	uint64_t seed = start;

	for (size_t i = 0; i < NODES; i++) {
		struct node **link = link_of(&root, random_next(&seed));

		nodes[i] = (struct node){NULL, NULL, seed, 0};
		*link = &nodes[i];
	}
	seed = start;
	for (size_t i = 0; i < NODES; i++)
		(*link_of(&root, random_next(&seed)))->uses++;
	return height_sum(root, 1);
}

uint64_t tree(uint64_t count)
{
	uint64_t sum = 0;

	while (count--)
		sum = mix(sum, grow(RANDOM_SEED + count));
	return sum;
}
