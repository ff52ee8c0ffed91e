/* SPDX-License-Identifier: BSD-2-Clause */
#include "block/block.h"

#include "base/errno.h"

int block_check(const struct block_info *info, enum block_op op, u64 offset, u64 len)
{
	if (op == BLOCK_FLUSH)
		return 0;
	if (op != BLOCK_READ && info->read_only)
		return -EROFS;
	if (op == BLOCK_DISCARD && !info->discard)
		return -EOPNOTSUPP;
	if (op == BLOCK_ZERO && !info->zeroes)
		return -EOPNOTSUPP;
	if (offset % info->block || len % info->block)
		return -EINVAL;
	return offset <= info->size && len <= info->size - offset ? 0 : -EINVAL;
}
