/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Entry of the test kernels: multiboot 1 in 32-bit protected mode, then 64-bit mode with the low
 * 4 GiB mapped to themselves by 2 MiB pages; the trampoline of the other processors; and the
 * stubs of all 256 vectors.
 */
#include "layout.h"

	.section .multiboot, "a"
	.balign 4
	.long 0x1badb002, 3, -(0x1badb002 + 3)

	.text
	.code32
	.globl start
start:
	cli
	cld
	mov $boot_stack_top, %esp
	mov %ebx, boot_info
	mov %eax, boot_magic
	lgdt gdt_pointer

	/* PML4, PDPT and four page directories; upper levels allow user access, leaves do not. */
	movl $(page_pdpt + 7), page_pml4
	mov $4, %ecx
1:	mov %ecx, %eax
	shl $12, %eax
	add $(page_pd - 4096 + 7), %eax
	mov %eax, page_pdpt - 8(, %ecx, 8)
	loop 1b
	mov $2048, %ecx
2:	mov %ecx, %eax
	dec %eax
	shl $21, %eax
	or $0x83, %eax
	mov %eax, page_pd - 8(, %ecx, 8)
	loop 2b
	call enter_long
	ljmp $SEL_CODE64, $start64

/* PAE, NX if there is any, long mode, paging, FXSR: what every processor runs with. */
	.globl enter_long
enter_long:
	mov %cr4, %eax
	or $0x620, %eax
	mov %eax, %cr4
	mov $page_pml4, %eax
	mov %eax, %cr3
	mov $0xc0000080, %ecx
	rdmsr
	or $0x901, %eax
	wrmsr
	mov $0x80010033, %eax
	mov %eax, %cr0
	ret

	.code64
start64:
	mov $SEL_DATA, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %ss
	xor %eax, %eax
	mov %eax, %fs
	mov %eax, %gs
	mov $boot_stack_top, %rsp
	xor %ebp, %ebp
	call kernel_main
3:	hlt
	jmp 3b

/*
 * Trampoline of a processor that gets a SIPI: copied to TRAMPOLINE, so all references are made
 * relative to that address.
 */
#define LOW(symbol) (symbol - trampoline + TRAMPOLINE)
	.code16
	.globl trampoline, trampoline_end
trampoline:
	cli
	xor %ax, %ax
	mov %ax, %ds
	lgdtl LOW(trampoline_gdtr)
	mov %cr0, %eax
	or $1, %al
	mov %eax, %cr0
	ljmpl $SEL_CODE32, $LOW(1f)
	.code32
1:	mov $SEL_DATA, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %ss
	/* A stack of its own by order of arrival; the boot processor is number 0. */
	mov $1, %eax
	lock xadd %eax, ap_arrivals
	mov %eax, %ebx
	inc %eax
	shl $STACK_SHIFT, %eax
	lea cpu_stacks(%eax), %esp
	mov $enter_long, %eax
	call *%eax
	ljmp $SEL_CODE64, $ap_start64
	.balign 4
trampoline_gdtr:
	.word gdt_end - gdt - 1
	.long gdt
trampoline_end:

	.code64
ap_start64:
	xor %eax, %eax
	mov %eax, %fs
	mov %eax, %gs
	mov %ebx, %edi
	xor %ebp, %ebp
	call ap_main
4:	hlt
	jmp 4b

/*
 * Vectors. A stub leaves error code (0 if the processor pushes none) and vector on the stack;
 * struct trap_frame in kernel.h mirrors what is then there.
 */
	.altmacro
	.macro stub vector
	.balign 16
	.if !(\vector == 8 || (\vector >= 10 && \vector <= 14) || \vector == 17 || \vector == 21)
	push $0
	.endif
	push $\vector
	jmp trap_common
	.endm

	.balign 16
	.globl trap_stubs
trap_stubs:
	.set v, 0
	.rept 256
	stub %v
	.set v, v + 1
	.endr

trap_common:
	push %r15
	push %r14
	push %r13
	push %r12
	push %r11
	push %r10
	push %r9
	push %r8
	push %rbp
	push %rdi
	push %rsi
	push %rdx
	push %rcx
	push %rbx
	push %rax
	mov %rsp, %rdi
	cld
	call trap
	pop %rax
	pop %rbx
	pop %rcx
	pop %rdx
	pop %rsi
	pop %rdi
	pop %rbp
	pop %r8
	pop %r9
	pop %r10
	pop %r11
	pop %r12
	pop %r13
	pop %r14
	pop %r15
	add $16, %rsp
	iretq

/* void enter_user(u64 rip, u64 rsp, u64 rdi, u64 rflags): returns by leave_user. */
	.globl enter_user, leave_user
enter_user:
	push %rbx
	push %rbp
	push %r12
	push %r13
	push %r14
	push %r15
	mov %rsp, user_saved_rsp
	push $(SEL_USER_DATA | 3)
	push %rsi
	push %rcx
	push $(SEL_USER_CODE | 3)
	push %rdi
	mov %rdx, %rdi
	iretq
leave_user:
	mov user_saved_rsp, %rsp
	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %rbp
	pop %rbx
	ret

	.data
	.balign 16
	.globl gdt, gdt_end
gdt:
	.quad 0
	.quad 0x00cf9b000000ffff /* SEL_CODE32 */
	.quad 0x00af9b000000ffff /* SEL_CODE64 */
	.quad 0x00cf93000000ffff /* SEL_DATA */
	.quad 0x00cffb000000ffff /* SEL_USER_CODE32 */
	.quad 0x00cff3000000ffff /* SEL_USER_DATA */
	.quad 0x00affb000000ffff /* SEL_USER_CODE */
	.quad 0, 0               /* SEL_TSS */
	.quad 0x00cf13000000ffff /* SEL_ABSENT */
	.quad 0x00af9b000000ffff /* SEL_CODE64_ALIAS */
	.quad 0x00009b000000ffff /* SEL_CODE16 */
	.quad 0x000093000000ffff /* SEL_DATA16 */
gdt_end:
	.balign 16
gdt_pointer:
	.word gdt_end - gdt - 1
	.quad gdt
	.globl boot_info, boot_magic, ap_arrivals
	.balign 8
boot_info:
	.quad 0
boot_magic:
	.quad 0
user_saved_rsp:
	.quad 0
ap_arrivals:
	.long 1

	.bss
	.balign 4096
	.globl page_pml4, page_pdpt, page_pd, cpu_stacks
page_pml4:
	.skip 4096
page_pdpt:
	.skip 4096
page_pd:
	.skip 4 * 4096
cpu_stacks:
	.skip STACK_SIZE
boot_stack_top:
	.skip STACK_SIZE * (CPUS_MAX - 1)
