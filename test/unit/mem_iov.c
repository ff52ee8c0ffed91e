/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "mem/iov.h"

/* A buffer of 26 letters in pieces, two of them empty, and guards around each. */
struct pieces {
	u8 memory[64];
	struct alc_iov iov[5];
};

enum { N = 5, LEN = 26, GUARD = '#' };
static const unsigned lens[N] = {3, 0, 10, 13, 0};

static void make(struct pieces *p)
{
	u8 *at = p->memory + 2;
	u8 letter = 'a';

	memset(p->memory, GUARD, sizeof(p->memory));
	for (unsigned i = 0; i < N; i++) {
		p->iov[i] = (struct alc_iov){.base = at, .len = lens[i]};
		for (unsigned k = 0; k < lens[i]; k++)
			at[k] = letter++;
		at += lens[i] + 2;
	}
}

static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz";

/* What should be left after writing: guards untouched, `now` in the pieces. */
static void assert_pieces(const struct pieces *p, const char *now)
{
	struct pieces expected;
	u64 at = 0;

	make(&expected);
	for (unsigned i = 0; i < N; at += lens[i], i++)
		memcpy(expected.iov[i].base, now + at, lens[i]);
	assert_memory_equal(p->memory, expected.memory, sizeof(p->memory));
}

static size_t expected_len(u64 at, u64 len)
{
	return at >= LEN ? 0 : (size_t)(at + len > LEN ? LEN - at : len);
}

static void length(void **state)
{
	struct pieces p;
	const struct alc_iov large[] = {{NULL, SIZE_MAX / 2}, {NULL, 5}};

	make(&p);
	assert_int_equal(iov_len(p.iov, N), LEN);
	assert_int_equal(iov_len(p.iov, 2), 3);
	assert_int_equal(iov_len(p.iov, 0), 0);
	assert_true(iov_len(large, 2) == SIZE_MAX / 2 + 5ull);
}

/* Every offset and length, also beyond the end. */
static void copies_from_and_to(void **state)
{
	for (u64 at = 0; at <= LEN + 2; at++) {
		for (size_t len = 0; len <= LEN + 3; len++) {
			size_t n = expected_len(at, len);
			struct pieces p;
			char out[LEN + 4], now[LEN + 1];

			make(&p);
			memset(out, GUARD, sizeof(out));
			assert_int_equal(iov_copy_from(p.iov, N, at, out, len), n);
			assert_memory_equal(out, alphabet + (n ? at : 0), n);
			assert_int_equal(out[n], GUARD);
			assert_pieces(&p, alphabet);

			memcpy(now, alphabet, sizeof(now));
			if (n)
				memcpy(now + at, "0123456789ABCDEFGHIJKLMNOPQRSTUV", n);
			assert_int_equal(
				iov_copy_to(p.iov, N, at, "0123456789ABCDEFGHIJKLMNOPQRSTUV", len),
				n);
			assert_pieces(&p, now);

			make(&p);
			memcpy(now, alphabet, sizeof(now));
			if (n)
				memset(now + at, '.', n);
			assert_int_equal(iov_fill(p.iov, N, at, '.', len), n);
			assert_pieces(&p, now);
		}
	}
}

static void slices(void **state)
{
	struct pieces p;

	make(&p);
	for (u64 at = 0; at <= LEN + 2; at++) {
		for (u64 len = 0; len <= LEN + 3; len++) {
			struct alc_iov out[N + 1] = {{NULL, 0}};
			char text[LEN];
			unsigned n = iov_slice(p.iov, N, at, len, out);

			assert_true(n <= 3);
			assert_int_equal(iov_len(out, n), expected_len(at, len));
			for (unsigned i = 0; i < n; i++)
				assert_true(out[i].len > 0);
			iov_copy_from(out, n, 0, text, sizeof(text));
			assert_memory_equal(text, alphabet + (n ? at : 0), expected_len(at, len));
		}
	}
}

static void huge_offsets(void **state)
{
	struct pieces p;
	struct alc_iov out[N];
	u8 byte = 0;

	make(&p);
	assert_int_equal(iov_copy_from(p.iov, N, UINT64_MAX, &byte, 1), 0);
	assert_int_equal(iov_copy_to(p.iov, N, UINT64_MAX - 1, &byte, 1), 0);
	assert_int_equal(iov_slice(p.iov, N, 0, UINT64_MAX, out), 3);
	assert_int_equal(iov_fill(p.iov, N, 0, 'z', SIZE_MAX), LEN);
	assert_int_equal(iov_fill(NULL, 0, 0, 'z', 10), 0);
	assert_pieces(&p, "zzzzzzzzzzzzzzzzzzzzzzzzzz");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(length),
		cmocka_unit_test(copies_from_and_to),
		cmocka_unit_test(slices),
		cmocka_unit_test(huge_offsets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
