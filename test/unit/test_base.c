/* SPDX-License-Identifier: BSD-2-Clause */
#include <limits.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/errno.h"
#include "base/field.h"
#include "base/fmt.h"
#include "base/str.h"

/* The C library's snprintf is the oracle for the subset that both understand. */
#define SAME(...)                                                                  \
	do {                                                                       \
		char ours[128], theirs[128];                                       \
		int want = snprintf(theirs, sizeof(theirs), __VA_ARGS__);          \
		assert_int_equal(fmt_text(ours, sizeof(ours), __VA_ARGS__), want); \
		assert_string_equal(ours, theirs);                                 \
	} while (0)

static void fmt_agrees_with_snprintf(void **state)
{
	SAME("plain");
	SAME("%%");
	SAME("%s|%10s|%-10s|%.2s|%.0s", "abc", "abc", "abc", "abc", "abc");
	SAME("%*s|%-*s|%.*s|%.*s", 6, "ab", 6, "ab", 1, "ab", -1, "ab");
	SAME("%*s|", -6, "ab");
	SAME("%c|%3c|%-3c|", 'x', 'y', 'z');
	SAME("%d %i %d %d", 0, -1, INT_MIN, INT_MAX);
	SAME("%5d|%-5d|%05d|%05d|%2d", 42, 42, 42, -42, -12345);
	SAME("%u %u", 0u, UINT_MAX);
	SAME("%x %X %08x %-8x|", 0xdeadbeefu, 0xdeadbeefu, 0xabu, 0xabu);
	SAME("%ld %lu %lx", LONG_MIN, ULONG_MAX, ULONG_MAX);
	SAME("%lld %llu %016llx", LLONG_MIN, ULLONG_MAX, 0x1234567890ull);
	SAME("%zu %zx %zd", SIZE_MAX, (size_t)0x10, (ptrdiff_t)-3);
	SAME("%p", (void *)fmt_agrees_with_snprintf);
}

static void fmt_cuts_and_terminates(void **state)
{
	char out[4] = "zzz";

	assert_int_equal(fmt_text(out, sizeof(out), "%s", "abcdef"), 6);
	assert_string_equal(out, "abc");
	assert_int_equal(fmt_text(out, sizeof(out), "%s", "abc"), 3);
	assert_string_equal(out, "abc");
	assert_int_equal(fmt_text(out, 1, "%d", 12), 2);
	assert_string_equal(out, "");
	out[0] = 'q';
	assert_int_equal(fmt_text(out, 0, "%d", 12), 2);
	assert_int_equal(out[0], 'q');
}

static void fmt_shows_what_it_lacks(void **state)
{
	char out[32];
	const char *volatile f = "a%d %q %s"; /* volatile: not for the compiler's format check */
	const char *volatile cut = "%-5";
	const char *volatile null = NULL;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
#pragma GCC diagnostic ignored "-Wformat-security"
	fmt_text(out, sizeof(out), f, 1);
	assert_string_equal(out, "a1 %q %s");
	fmt_text(out, sizeof(out), cut);
	assert_string_equal(out, "%-5");
	fmt_text(out, sizeof(out), "%s", null);
	assert_string_equal(out, "(null)");
#pragma GCC diagnostic pop
}

static void err_keeps_the_first(void **state)
{
	struct alc_err err = {0};
	char longer[2 * ALC_ERR_TEXT_MAX];

	assert_int_equal(alc_fail(&err, -EINVAL, "inner %d", 1), -EINVAL);
	assert_int_equal(alc_fail(&err, -ENOMEM, "outer"), -ENOMEM);
	assert_int_equal(err.code, -EINVAL);
	assert_string_equal(err.text, "inner 1");
	assert_int_equal(alc_fail(NULL, -EIO, "nobody listens"), -EIO);

	memset(longer, 'x', sizeof(longer));
	longer[sizeof(longer) - 1] = '\0';
	err = (struct alc_err){0};
	assert_int_equal(alc_fail(&err, -EIO, "%s", longer), -EIO);
	assert_int_equal(strlen(err.text), ALC_ERR_TEXT_MAX - 1);
}

static void str_basics(void **state)
{
	assert_int_equal(str_len(""), 0);
	assert_int_equal(str_len("abc"), 3);
	assert_true(str_eq("", ""));
	assert_true(str_eq("ab", "ab"));
	assert_false(str_eq("ab", "abc"));
	assert_false(str_eq("abc", "ab"));
	assert_false(str_eq("", "a"));
}

static void str_numbers(void **state)
{
	static const struct {
		const char *text;
		int rc;
		u64 value;
	} cases[] = {
		{"0", 0, 0},
		{"42", 0, 42},
		{"007", 0, 7},
		{"0x1f", 0, 0x1f},
		{"0XaBc", 0, 0xabc},
		{"18446744073709551615", 0, UINT64_MAX},
		{"0xffffffffffffffff", 0, UINT64_MAX},
		{"18446744073709551616", -ERANGE, 0},
		{"0x10000000000000000", -ERANGE, 0},
		{"99999999999999999999999", -ERANGE, 0},
		{"99999999999999999999999k", -EINVAL, 0},
		{"", -EINVAL, 0},
		{"0x", -EINVAL, 0},
		{"-1", -EINVAL, 0},
		{"+1", -EINVAL, 0},
		{" 1", -EINVAL, 0},
		{"1 ", -EINVAL, 0},
		{"1f", -EINVAL, 0},
		{"0xg", -EINVAL, 0},
		{"x1", -EINVAL, 0},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		u64 v = 77;

		assert_int_equal(str_parse_u64(cases[i].text, &v), cases[i].rc);
		assert_int_equal(v, cases[i].rc ? 77 : cases[i].value);
	}
}

static void str_distances(void **state)
{
	char longer[STR_DISTANCE_MAX + 2], limit[STR_DISTANCE_MAX + 1];

	assert_int_equal(str_distance("", ""), 0);
	assert_int_equal(str_distance("", "abc"), 3);
	assert_int_equal(str_distance("abc", ""), 3);
	assert_int_equal(str_distance("memory", "memory"), 0);
	assert_int_equal(str_distance("memroy", "memory"), 1);
	assert_int_equal(str_distance("kitten", "sitting"), 3);
	assert_int_equal(str_distance("ab", "ba"), 1);
	assert_int_equal(str_distance("xab", "xba"), 1);

	memset(longer, 'a', sizeof(longer));
	longer[sizeof(longer) - 1] = '\0';
	assert_true(str_distance(longer, "a") == SIZE_MAX);
	assert_true(str_distance("a", longer) == SIZE_MAX);
	memset(limit, 'a', sizeof(limit));
	limit[sizeof(limit) - 1] = '\0';
	assert_int_equal(str_distance(limit, limit), 0);
	assert_int_equal(str_distance(limit, ""), STR_DISTANCE_MAX);
}

static void str_suggestions(void **state)
{
	static const char *const names[] = {"memory", "kernel", "initrd", "cpus", "cpu", NULL};
	static const char *const none[] = {NULL};

	assert_string_equal(str_nearest("memroy", names), "memory");
	assert_string_equal(str_nearest("kernal", names), "kernel");
	assert_string_equal(str_nearest("cpux", names), "cpus");
	assert_string_equal(str_nearest("cpu", names), "cpu");
	assert_null(str_nearest("banana", names));
	assert_null(str_nearest("", names));
	assert_null(str_nearest("cpu", none));
}

struct sample {
	u8 a;
	u16 b[3];
	u32 c;
	u64 d;
	void *not_a_field;
};

static const struct alc_field sample_fields[] = {
	FIELD(struct sample, a),
	FIELD_ARRAY(struct sample, b),
	FIELD(struct sample, c),
	FIELD_SINCE(struct sample, d, 2),
	FIELD_END,
};

static const struct sample sample = {
	.a = 0x11, .b = {0x2233, 0x4455, 0x6677}, .c = 0x8899aabb, .d = 0x0102030405060708};

static void fields_saved_little_endian(void **state)
{
	static const u8 want[] = {0x11, 0x33, 0x22, 0x55, 0x44, 0x77, 0x66, 0xbb, 0xaa, 0x99,
				  0x88, 0x08, 0x07, 0x06, 0x05, 0x04, 0x03, 0x02, 0x01};
	u8 out[32];

	assert_int_equal(fields_size(sample_fields, 2), sizeof(want));
	memset(out, 0xee, sizeof(out));
	fields_save(sample_fields, 2, &sample, out);
	assert_memory_equal(out, want, sizeof(want));
	assert_int_equal(out[sizeof(want)], 0xee);
}

static void fields_round_trip(void **state)
{
	int mark;
	struct sample got = {.not_a_field = &mark};
	u8 out[32];

	fields_save(sample_fields, 2, &sample, out);
	assert_int_equal(fields_load(sample_fields, 2, &got, out, 19), 0);
	assert_null(fields_differ(sample_fields, &got, &sample));
	assert_ptr_equal(got.not_a_field, &mark);
}

static void fields_of_an_older_version(void **state)
{
	struct sample got = {.d = 5};
	u8 out[32];

	assert_int_equal(fields_size(sample_fields, 1), 11);
	fields_save(sample_fields, 1, &sample, out);
	assert_int_equal(fields_load(sample_fields, 1, &got, out, 11), 0);
	assert_int_equal(got.c, sample.c);
	assert_int_equal(got.d, 5);
	assert_string_equal(fields_differ(sample_fields, &got, &sample)->name, "d");
}

static void fields_reject_a_wrong_length(void **state)
{
	struct sample got = {0}, zero = {0};
	u8 out[32] = {1, 2, 3};

	assert_int_equal(fields_load(sample_fields, 2, &got, out, 18), -EINVAL);
	assert_int_equal(fields_load(sample_fields, 2, &got, out, 20), -EINVAL);
	assert_int_equal(fields_load(sample_fields, 2, &got, out, 0), -EINVAL);
	assert_memory_equal(&got, &zero, sizeof(got));
}

static void fields_name_the_first_difference(void **state)
{
	struct sample other = sample;

	other.b[2] ^= 0x8000;
	other.d = 0;
	assert_string_equal(fields_differ(sample_fields, &sample, &other)->name, "b");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fmt_agrees_with_snprintf),
		cmocka_unit_test(fmt_cuts_and_terminates),
		cmocka_unit_test(fmt_shows_what_it_lacks),
		cmocka_unit_test(err_keeps_the_first),
		cmocka_unit_test(str_basics),
		cmocka_unit_test(str_numbers),
		cmocka_unit_test(str_distances),
		cmocka_unit_test(str_suggestions),
		cmocka_unit_test(fields_saved_little_endian),
		cmocka_unit_test(fields_round_trip),
		cmocka_unit_test(fields_of_an_older_version),
		cmocka_unit_test(fields_reject_a_wrong_length),
		cmocka_unit_test(fields_name_the_first_difference),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
