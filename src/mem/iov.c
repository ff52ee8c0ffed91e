/* SPDX-License-Identifier: BSD-2-Clause */
#include "mem/iov.h"

u64 iov_len(const struct alc_iov *iov, unsigned n)
{
	u64 len = 0;

	for (unsigned i = 0; i < n; i++)
		len += iov[i].len;
	return len;
}

/* Walks the pieces of [at, at+len): each step is one piece of host memory. */
struct walk {
	const struct alc_iov *iov;
	unsigned left;
	u64 at, len;
};

static bool walk_next(struct walk *w, struct alc_iov *piece)
{
	for (; w->left && w->len; w->iov++, w->left--) {
		if (w->at < w->iov->len) {
			*piece = (struct alc_iov){
				.base = w->iov->base + w->at,
				.len = min_u64(w->iov->len - w->at, w->len),
			};
			w->len -= piece->len;
			w->at = 0;
			w->iov++;
			w->left--;
			return true;
		}
		w->at -= w->iov->len;
	}
	return false;
}

size_t iov_copy_from(const struct alc_iov *iov, unsigned n, u64 at, void *to, size_t len)
{
	struct walk w = {iov, n, at, len};
	struct alc_iov piece;
	size_t done = 0;

	for (; walk_next(&w, &piece); done += piece.len)
		__builtin_memcpy((u8 *)to + done, piece.base, piece.len);
	return done;
}

size_t iov_copy_to(const struct alc_iov *iov, unsigned n, u64 at, const void *from, size_t len)
{
	struct walk w = {iov, n, at, len};
	struct alc_iov piece;
	size_t done = 0;

	for (; walk_next(&w, &piece); done += piece.len)
		__builtin_memcpy(piece.base, (const u8 *)from + done, piece.len);
	return done;
}

size_t iov_fill(const struct alc_iov *iov, unsigned n, u64 at, u8 byte, size_t len)
{
	struct walk w = {iov, n, at, len};
	struct alc_iov piece;
	size_t done = 0;

	for (; walk_next(&w, &piece); done += piece.len)
		__builtin_memset(piece.base, byte, piece.len);
	return done;
}

unsigned iov_slice(const struct alc_iov *iov, unsigned n, u64 at, u64 len, struct alc_iov *out)
{
	struct walk w = {iov, n, at, len};
	unsigned count = 0;

	while (walk_next(&w, &out[count]))
		count++;
	return count;
}
