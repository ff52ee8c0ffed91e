/* SPDX-License-Identifier: BSD-2-Clause */
/* Traces, well-formed and not, and the lists of values of plans. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/errno.h"
#include "lab/linux/experiment.h"
#include "lab/number.h"

static const char blkparse[] =
	"  8,0    1        1     0.000000000   697  Q   R 223490 + 8 [fio]\n"
	"  8,0    1        2     0.000001500   697  D   R 223490 + 8 [fio]\n"
	"  8,0    1        2     0.004000000     0  C   R 223490 + 8 [0]\n"
	"  8,0    0        3     1.500000000   698  Q  WS 1000 + 16 [jbd2]\n"
	"  8,0    0        4     1.600000000   698  Q FWS [jbd2]\n"
	"  8,0    0        5     1.700000000   698  Q   D 0 + 4096 [fstrim]\n"
	"  8,0    1        6     0.250000000   697  Q  RA 223498 + 8 [fio]\n"
	"CPU0 (8,0):\n Reads Queued:           2,        8KiB\n";
static const char fio2[] = "fio version 2 iolog\n"
			   "/dev/sda add\n/dev/sda open\n"
			   "/dev/sda read 4096 8192\n/dev/sda wait 250 0\n"
			   "/dev/sda write 512 512\n/dev/sda sync 0 0\n/dev/sda close\n";
static const char fio3[] = "fio version 3 iolog\n"
			   "10 /dev/sda add\n20 /dev/sda open\n1000 /dev/sda read 4096 8192\n"
			   "251000 /dev/sda write 512 512\n251001 /dev/sda close\n";
static const char msr[] = "128166372003061629,hm,0,Read,383496192,32768,113736\n"
			  "128166372003061639,hm,1,Write,2822144,4096,24\r\n";
static const char own[] =
	"arrival_ns,dispatch_ns,done_ns,op,sector,sectors,issuer,cached\n"
	"100,200,300,read,64,8,3,0\n150,300,400,write,8,8,7,1\n160,1,2,flush,0,0,7,0\n"
	"170,300,400,read,72,8,3,0\n";

static void check(const struct trace_req *r, u64 ns, u64 sector, u32 sectors, u32 issuer,
		  enum block_op op)
{
	assert_int_equal(r->arrival_ns, ns);
	assert_int_equal(r->sector, sector);
	assert_int_equal(r->sectors, sectors);
	assert_int_equal(r->issuer, issuer);
	assert_int_equal(r->op, op);
}

static void parse(const char *text, struct trace *t)
{
	struct alc_err err = {0};

	assert_int_equal(trace_parse("t", text, strlen(text), t, &err), 0);
}

static void formats_are_read(void **state)
{
	struct trace t;

	parse(blkparse, &t);
	assert_int_equal(t.n, 3);
	check(&t.reqs[0], 0, 223490, 8, 0, BLOCK_READ);
	assert_int_equal(t.reqs[0].done_ns - t.reqs[0].dispatch_ns, 3998500);
	assert_int_equal(t.reqs[1].done_ns, 0);
	check(&t.reqs[1], 250000000, 223498, 8, 0, BLOCK_READ);
	check(&t.reqs[2], 1500000000, 1000, 16, 1, BLOCK_WRITE);
	trace_free(&t);
	parse(fio2, &t);
	assert_int_equal(t.n, 2);
	check(&t.reqs[0], 0, 8, 16, 0, BLOCK_READ);
	check(&t.reqs[1], 250000, 1, 1, 0, BLOCK_WRITE);
	trace_free(&t);
	parse(fio3, &t);
	assert_int_equal(t.n, 2);
	check(&t.reqs[0], 1000, 8, 16, 0, BLOCK_READ);
	check(&t.reqs[1], 251000, 1, 1, 0, BLOCK_WRITE);
	trace_free(&t);
	parse(msr, &t);
	assert_int_equal(t.n, 2);
	check(&t.reqs[0], 0, 749016, 64, 0, BLOCK_READ);
	assert_int_equal(t.reqs[0].done_ns, 11373600);
	check(&t.reqs[1], 1000, 5512, 8, 1, BLOCK_WRITE);
	trace_free(&t);
	parse(own, &t);
	assert_int_equal(t.n, 3);
	check(&t.reqs[0], 100, 64, 8, 0, BLOCK_READ);
	assert_int_equal(t.reqs[0].dispatch_ns, 200);
	assert_int_equal(t.reqs[0].done_ns, 300);
	check(&t.reqs[1], 150, 8, 8, 1, BLOCK_WRITE);
	check(&t.reqs[2], 170, 72, 8, 0, BLOCK_READ);
	trace_free(&t);
}

static void nonsense_is_named(void **state)
{
	static const struct {
		const char *text, *says;
	} cases[] = {
		{"", "no trace"},
		{"hello\nworld\n", "no trace"},
		{"fio version 1 iolog\n", ":1: "},
		{"fio version 2 iolog\n/dev/sda read 4096\n", ":2: "},
		{"fio version 2 iolog\n/dev/sda read -1 4096\n", ":2: "},
		{"fio version 2 iolog\n/dev/sda read 100 4096\n", "whole sectors"},
		{"fio version 2 iolog\n/dev/sda read 0 0\n", "out of range"},
		{"fio version 2 iolog\n/dev/sda wait 99999999999999999999 0\n", ":2: "},
		{"fio version 2 iolog\n/dev/sda wait 18446744073709551615 0\n", "out of range"},
		{"fio version 2 iolog\n", "no reads or writes"},
		{"fio version 3 iolog\nx /dev/sda read 0 512\n", "time in ns"},
		{"fio version 3 iolog\n5 f read 0 512\n4 f read 0 512\n", "backwards"},
		{"1,2,3,4,5,6,7\n", "Read or Write"},
		{"x,h,0,Read,0,512,1\n", ":1: "},
		{"100,h,0,Read,0,512,1\n99,h,0,Read,0,512,1\n", "before"},
		{"100,h,0,Read,0,512,1\n200,h,0,Read,0\n", ":2: "},
		{"arrival_ns,dispatch_ns,done_ns\n1,2,3,read\n", ":2: "},
		{"arrival_ns,dispatch_ns,done_ns\n1,2,3,read,99999999999999999999,8,1\n", ":2: "},
		{"arrival_ns,dispatch_ns,done_ns\n1,2,3,read,18446744073709551615,8,1\n", ":2: "},
		{"arrival_ns,dispatch_ns,done_ns\n1,5,3,read,8,8,1\n", "before it is"},
		{"8,0 1 1 nought 697 Q R 1 + 8 [f]\n", ":1: "},
		{"8,0 1 1 0.0000000001 697 Q R 1 + 8 [f]\n", ":1: "},
		{"8,0 1 1 0.1 697 Q R x + 8 [f]\n", "sectors"},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct alc_err err = {0};
		struct trace t;

		assert_int_equal(trace_parse("t", cases[i].text, strlen(cases[i].text), &t, &err),
				 -EINVAL);
		if (!strstr(err.text, cases[i].says))
			fail_msg("case %zu: '%s' lacks '%s'", i, err.text, cases[i].says);
		assert_null(t.reqs);
	}
}

/* One byte changed, or the end cut off: an error or another trace, and never a request of none. */
static void damage_is_survived(void **state)
{
	static const char *const texts[] = {blkparse, fio2, fio3, msr, own};
	struct rng r;

	rng_init(&r, 1, 0);
	for (unsigned i = 0; i < 20000; i++) {
		const char *from = texts[i % ARRAY_LEN(texts)];
		struct alc_err err = {0};
		struct trace t;
		char text[1024];
		size_t len = strlen(from);

		memcpy(text, from, len + 1);
		text[rng_below(&r, len)] = (char)(rng_below(&r, 96) + 32);
		if (i & 1)
			len = rng_below(&r, len);
		if (trace_parse("t", text, len, &t, &err))
			continue;
		assert_true(t.n > 0);
		for (size_t n = 0; n < t.n; n++)
			assert_true(t.reqs[n].sectors && t.reqs[n].issuer < t.n);
		trace_free(&t);
	}
}

static void missing_files_are_told(void **state)
{
	struct alc_err err = {0};
	struct trace t;

	assert_int_equal(trace_read("/nonexistent/trace", &t, &err), -ENOENT);
	assert_non_null(strstr(err.text, "/nonexistent/trace"));
}

/* ---- Lists of values ---------------------------------------------------------------------- */

static int expand(const char *text, struct parts *out, struct alc_err *err)
{
	char copy[128], *items[] = {copy};

	strcpy(copy, text);
	return parts_expand(&(struct plan_texts){items, 1}, out, err);
}

static void lists_are_spread_out(void **state)
{
	struct alc_err err = {0};
	struct parts p;

	assert_int_equal(expand("deadline:a=[1,2]:b=x:c=[3,4,5]", &p, &err), 0);
	assert_int_equal(p.n, 6);
	assert_string_equal(p.items[0].text, "deadline:a=1:b=x:c=3");
	assert_string_equal(p.items[4].text, "deadline:a=2:b=x:c=4");
	assert_string_equal(p.items[4].label, "deadline:a=2:b=x:c=4");
	parts_free(&p);
	assert_int_equal(expand("slow = deadline:a=[1,2]", &p, &err), 0);
	assert_int_equal(p.n, 2);
	assert_string_equal(p.items[1].label, "slow a=2");
	assert_string_equal(p.items[1].text, "deadline:a=2");
	parts_free(&p);
}

static void bad_lists_are_refused(void **state)
{
	static const char *const texts[] = {
		"x:a=[1,2", "x:[1,2]", "x:a=[]", "x:a=[1,]", "x:a=[,1]", "[1]", " = x",
	};

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct alc_err err = {0};
		struct parts p;

		assert_int_equal(expand(texts[i], &p, &err), -EINVAL);
		assert_true(err.text[0] && !p.items);
	}
}

static void too_many_cells_are_refused(void **state)
{
	struct alc_err err = {0};
	struct parts p;

	assert_int_equal(expand("x:a=[1,2,3,4,5,6,7,8,9,0]:b=[1,2,3,4,5,6,7,8,9,0]:"
				"c=[1,2,3,4,5,6,7,8,9,0]:d=[1,2,3,4,5,6,7,8,9,0]:e=[1,2]",
				&p, &err),
			 -E2BIG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(formats_are_read),
		cmocka_unit_test(nonsense_is_named),
		cmocka_unit_test(damage_is_survived),
		cmocka_unit_test(missing_files_are_told),
		cmocka_unit_test(lists_are_spread_out),
		cmocka_unit_test(bad_lists_are_refused),
		cmocka_unit_test(too_many_cells_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
