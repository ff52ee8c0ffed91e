/* SPDX-License-Identifier: BSD-2-Clause */
/* IRETQ (SDM vol. 2): what it loads, and what it may find wrong at each step. */
#include "cpu.h"

enum { CF = 1, DF = 1 << 10, TIMES = 100 };

/* The frame that return_to_frame takes; exceptions are pushed below it. */
extern u64 return_stack[64], gdt[];
u64 return_stack[64];
#define FRAME (return_stack + 56)
enum { RIP, CS, RFLAGS, RSP, SS };

/* u64 return_to_frame(u64 frame_rsp): back with the flags as they were loaded. */
u64 return_to_frame(u64 rsp);
extern u8 return_landing[], return_second[];
extern u64 return_saved_rsp;
__asm__("	.data\n"
	"	.balign 8\n"
	"return_saved_rsp: .quad 0\n"
	"	.text\n"
	"return_to_frame:\n"
	"	mov %rsp, return_saved_rsp\n"
	"	mov %rdi, %rsp\n"
	"	iretq\n"
	"return_landing: nop\n"
	"return_second: nop\n"
	"	nop\n"
	"	pushfq\n"
	"	pop %rax\n"
	"	mov %rsp, return_landed_rsp\n"
	"	mov return_saved_rsp, %rsp\n"
	"	cld\n"
	"	cli\n"
	"	ret\n");
extern u64 return_landed_rsp;
u64 return_landed_rsp;

static void set_frame(u64 cs, u64 rflags, u64 ss)
{
	FRAME[RIP] = (u64)return_landing;
	FRAME[CS] = cs;
	FRAME[RFLAGS] = rflags | 2;
	FRAME[RSP] = (u64)(return_stack + 40);
	FRAME[SS] = ss;
}

static u64 code_segment(void)
{
	u16 cs;

	__asm__ volatile("mov %%cs, %0" : "=r"(cs));
	return cs;
}

/* Returns with these; true if all of it was loaded. */
static bool returns_with(u64 cs, u64 rflags, u64 ss)
{
	u64 got, now_cs;
	u16 now_ss;

	set_frame(cs, rflags, ss);
	got = return_to_frame((u64)FRAME);
	now_cs = code_segment();
	__asm__ volatile("mov %%ss, %0" : "=r"(now_ss));
	return got == (rflags | 2) && now_cs == cs && now_ss == ss &&
	       return_landed_rsp == (u64)(return_stack + 40);
}

static void test_loads(void)
{
	bool good = true;

	for (unsigned i = 0; i < TIMES && good; i++)
		good = returns_with(SEL_CODE64, i & 1 ? CF : DF, SEL_DATA);
	ok(good, "IRETQ loads RFLAGS, RSP, CS and SS");
	for (unsigned i = 0; i < TIMES && good; i++)
		good = returns_with(SEL_CODE64, CF, 0);
	ok(good, "IRETQ to the supervisor with a null SS");
	for (unsigned i = 0; i < TIMES && good; i++)
		good = returns_with(i & 1 ? SEL_CODE64_ALIAS : SEL_CODE64, 0, SEL_DATA);
	ok(good && returns_with(SEL_CODE64, 0, SEL_DATA), "IRETQ to another code segment");
}

/* The fault that comes instead, again and again, while others of its kind come through. */
static bool faults(int vector, u64 error)
{
	u64 bad[5];

	memcpy(bad, FRAME, sizeof(bad));
	for (unsigned i = 0; i < 4; i++) {
		if (!returns_with(SEL_CODE64, 0, SEL_DATA))
			return false;
		memcpy(FRAME, bad, sizeof(bad));
		EXPECT("mov $return_stack + 448, %%rsp\n\tiretq", "memory");
		if (!caught_as(vector, error)) {
			print("# vector %d error 0x%lx\n", caught.vector, caught.error);
			return false;
		}
	}
	return true;
}

static void test_frame_faults(void)
{
	static const struct {
		const char *name;
		u16 cs, ss;
		int vector;
		u16 error;
	} bad[] = {
		{"a null CS", 0, SEL_DATA, VEC_GP, 0},
		{"a CS beyond the GDT", 0x1000, SEL_DATA, VEC_GP, 0x1000},
		{"a CS that is data", SEL_DATA, SEL_DATA, VEC_GP, SEL_DATA},
		{"a CS of another RPL than its DPL", SEL_USER_CODE, SEL_DATA, VEC_GP,
		 SEL_USER_CODE},
		{"a CS of RPL 3 and DPL 0", SEL_CODE64 | 3, SEL_DATA, VEC_GP, SEL_CODE64},
		{"a null SS in ring 3", SEL_USER_CODE | 3, 0, VEC_GP, 0},
		{"an SS of another RPL", SEL_CODE64, SEL_DATA | 3, VEC_GP, SEL_DATA},
		{"an SS that is code", SEL_CODE64, SEL_CODE64, VEC_GP, SEL_CODE64},
		{"an SS that is not present", SEL_CODE64, SEL_ABSENT, VEC_SS, SEL_ABSENT},
		{"an SS beyond the GDT", SEL_CODE64, 0x1000, VEC_GP, 0x1000},
		{"an SS of ring 0 in ring 3", SEL_USER_CODE | 3, SEL_DATA, VEC_GP, SEL_DATA},
	};

	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		set_frame(bad[i].cs, 0, bad[i].ss);
		if (on_tcg() && bad[i].vector == VEC_SS) {
			skip(bad[i].name, "TCG deviates");
			continue;
		}
		ok(faults(bad[i].vector, bad[i].error), "IRETQ with %s", bad[i].name);
	}
	set_frame(SEL_CODE64, 0, SEL_DATA);
	FRAME[RIP] = 1ull << 47;
	if (on_tcg())
		skip("IRETQ to a non-canonical address", "TCG deviates");
	else
		ok(faults(VEC_GP, 0), "IRETQ to a non-canonical address");
}

static void test_other_faults(void)
{
	const u64 va = 0x8000030000;

	map_page(va, (u64)alloc_pages(1), PTE_P | PTE_W);
	set_frame(SEL_CODE64, 0, SEL_DATA);
	EXPECT("mov $return_stack + 448, %%rsp\n\tpushfq\n\torl $0x4000, (%%rsp)\n\tpopfq\n\tiretq",
	       "memory");
	__asm__ volatile("pushfq\n\tandl $~0x4000, (%%rsp)\n\tpopfq" : : : "memory", "cc");
	ok(caught_as(VEC_GP, 0), "IRETQ with RFLAGS.NT");
	EXPECT("movabs $0x8000030ff0, %%rsp\n\tiretq", "memory");
	ok(caught_as(VEC_PF, 0) && caught.cr2 == va + 4096, "IRETQ with half of a frame");
	EXPECT("movabs $0x8000031000, %%rsp\n\tiretq", "memory");
	ok(caught_as(VEC_PF, 0) && caught.cr2 == va + 4096, "IRETQ with no frame");
}

/* Descriptors count as they are when they are loaded. */
static void test_descriptors(void)
{
	u64 descriptor = gdt[SEL_CODE64_ALIAS / 8];
	bool good = true;

	for (unsigned i = 0; i < TIMES && good; i++)
		good = returns_with(SEL_CODE64_ALIAS, 0, SEL_DATA);
	good = good && returns_with(SEL_CODE64, 0, SEL_DATA);
	gdt[SEL_CODE64_ALIAS / 8] = gdt[SEL_DATA / 8];
	set_frame(SEL_CODE64_ALIAS, 0, SEL_DATA);
	ok(good && faults(VEC_GP, SEL_CODE64_ALIAS), "IRETQ to a segment that has become data");
	gdt[SEL_CODE64_ALIAS / 8] = descriptor & ~(1ull << 47);
	set_frame(SEL_CODE64_ALIAS, 0, SEL_DATA);
	ok(faults(VEC_NP, SEL_CODE64_ALIAS), "IRETQ to a segment that has gone");
	gdt[SEL_CODE64_ALIAS / 8] = descriptor & ~(1ull << 40);
	good = returns_with(SEL_CODE64_ALIAS, 0, SEL_DATA);
	if (on_tcg())
		skip("IRETQ marks its segment as accessed", "TCG deviates");
	else
		ok(good && gdt[SEL_CODE64_ALIAS / 8] == descriptor,
		   "IRETQ marks its segment as accessed");
	returns_with(SEL_CODE64, 0, SEL_DATA);
}

/* ---- Interrupts and steps ---- */

enum { VEC_SELF = 0x51 };

static volatile u64 interrupted_at, traps, trapped_at;

static void on_self(struct trap_frame *f)
{
	interrupted_at = f->rip;
	apic_eoi();
}

static void on_trap(struct trap_frame *f)
{
	if (!traps++)
		trapped_at = f->rip;
	f->rflags &= ~(u64)FLAG_TF;
}

static void test_events(void)
{
	bool good = true;

	set_handler(VEC_SELF, on_self);
	for (unsigned i = 0; i < TIMES && good; i++) {
		interrupted_at = 0;
		apic_send(apic_id(), VEC_SELF | 1 << 14);
		for (unsigned k = 0; k < 20; k++)
			pause();
		set_frame(SEL_CODE64, FLAG_IF, SEL_DATA);
		good = interrupted_at == 0;
		return_to_frame((u64)FRAME);
		good = good && interrupted_at == (u64)return_landing;
	}
	ok(good, "IRETQ that sets IF: an interrupt that waited comes at once");
	set_handler(VEC_DB, on_trap);
	for (unsigned i = 0; i < TIMES && good; i++) {
		traps = 0;
		set_frame(SEL_CODE64, FLAG_TF, SEL_DATA);
		return_to_frame((u64)FRAME);
		good = traps == 1 && trapped_at == (u64)return_second;
	}
	ok(good, "IRETQ that sets TF traps after one instruction");
	set_handler(VEC_DB, NULL);
}

/* ---- To ring 3 ---- */

/* test DS against DI: mov %ds, %eax; cmp %edi, %eax; je 1f; hlt; 1: int3 */
static const u8 compare_ds[] = {0x8c, 0xd8, 0x39, 0xf8, 0x74, 0x01, 0xf4, 0xcc};

static bool user_sees_ds(u16 ds, u16 seen)
{
	__asm__ volatile("mov %0, %%ds" : : "r"(ds));
	run_user_code(compare_ds, sizeof(compare_ds), seen, 0);
	__asm__ volatile("mov %0, %%ds" : : "r"((u16)SEL_DATA));
	return caught.vector == VEC_BP;
}

static void test_user(void)
{
	bool good = true;

	for (unsigned i = 0; i < TIMES && good; i++)
		good = user_sees_ds(SEL_USER_DATA | 3, SEL_USER_DATA | 3);
	ok(good, "IRETQ to ring 3 keeps the user's DS");
	for (unsigned i = 0; i < 4 && good; i++)
		good = user_sees_ds(SEL_DATA, 0) && user_sees_ds(0, 0);
	ok(good, "IRETQ to ring 3 clears the supervisor's DS");
	for (unsigned i = 0; i < TIMES && good; i++) {
		run_user_code((const u8[]){0xcc}, 1, 0, i & 1 ? FLAG_IF | CF : DF);
		good = (caught.rflags & (FLAG_IF | CF | DF)) == (i & 1 ? FLAG_IF | CF : DF);
	}
	ok(good, "IRETQ to ring 3 loads RFLAGS");
}

void test_returns(void)
{
	apic_enable();
	test_loads();
	test_frame_faults();
	test_other_faults();
	test_descriptors();
	test_events();
	test_user();
}
