/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The handlers of kernel.h. They run where kernel.c copies them: no address of their own occurs.
 * All of them leave every register as it was, and IRETQ restores the flags.
 */
#include "kernel_map.h"

#define PTE(page) (KERNEL_VA + GPA_WINDOW + (page) * 8)

	.section .rodata
	.code64
	.globl kernel_code, kernel_code_end, kernel_page_fault, kernel_syscall
	.globl kernel_call_return, kernel_call_remap, kernel_call_right, kernel_call_flush
	.globl kernel_call_unmap, kernel_call_reload

	.macro forget page
	.irp window, WINDOW, WINDOW_HIGH, WINDOW_FAR_1, WINDOW_FAR_2, WINDOW_FAR_3
	movabsq $(\window + \page * 0x1000), %rax
	invlpg (%rax)
	.endr
	.endm

kernel_code:
kernel_call_return:
	iretq

kernel_call_remap:
	pushq %rax
	movabsq $PTE(PAGE_REMAP), %rax
	xorq $REMAP_FLIP, (%rax)
	forget PAGE_REMAP
	movabsq $PTE(PAGE_STEPS), %rax
	xorq $REMAP_FLIP, (%rax)
	forget PAGE_STEPS
	popq %rax
	iretq

kernel_call_right:
	pushq %rax
	movabsq $PTE(PAGE_WRITABLE), %rax
	xorq $2, (%rax)
	forget PAGE_WRITABLE
	popq %rax
	iretq

kernel_call_flush:
	pushq %rax
	movq %cr3, %rax
	movq %rax, %cr3
	popq %rax
	iretq

kernel_call_unmap:
	pushq %rax
	movabsq $PTE(PAGE_DEMAND), %rax
	andq $~3, (%rax)
	forget PAGE_DEMAND
	popq %rax
	iretq

kernel_call_reload:
	pushq %rax
	movabsq $PTE(PAGE_REMAP), %rax
	xorq $REMAP_FLIP, (%rax)
	movabsq $PTE(PAGE_STEPS), %rax
	xorq $REMAP_FLIP, (%rax)
	movq %cr3, %rax
	movq %rax, %cr3
	popq %rax
	iretq

kernel_syscall:
	sysretq

/*
 * In PAGE_DEMAND, if there is one: present at the first fault, writable at the first write.
 * Everything else ends the program, by the HLT that the stub has at its byte 8.
 */
kernel_page_fault:
	pushq %rax
	pushq %rcx
	movq %cr2, %rcx
	movq %rcx, %rax
	shrq $12, %rax
	andl $0x1fffff, %eax
	cmpl $((WINDOW >> 12) + PAGE_DEMAND), %eax
	jne 3f
	movabsq $PTE(PAGE_DEMAND), %rax
	cmpq $0, (%rax)
	je 3f
	testb $1, 16(%rsp)
	jnz 1f
	orb $1, (%rax)
	jmp 2f
1:	testb $2, 16(%rsp)
	jz 3f
	testb $2, (%rax)
	jnz 3f
	orb $2, (%rax)
2:	invlpg (%rcx)
	popq %rcx
	popq %rax
	addq $8, %rsp
	iretq
3:	popq %rcx
	movabsq $(KERNEL_VA + GPA_STUBS + 14 * 16 + 8), %rax
	pushq %rax
	movq 8(%rsp), %rax
	ret $8
kernel_code_end:

	.section .note.GNU-stack, "", @progbits
