/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where all exceptions of hostile programs lead, with vector and error code on the stack: they are
 * noted with the registers, and the program goes on at the place that it has named. Runs where
 * hostile_guest.c copies it.
 */
#include "hostile_map.h"

	.section .rodata
	.code64
	.globl hostile_fault, hostile_fault_end

/* What RAX holds, into a place of the log's entry at RDI. */
	.macro fold at
	rolq $9, \at(%rdi)
	xorq %rax, \at(%rdi)
	.endm

	.macro fold_from source, at
	movq \source, %rax
	fold \at
	.endm

hostile_fault:
	pushq %rax
	pushq %rbx
	pushq %rcx
	pushq %rdi
	cld
	movabsq $(KERNEL_VA + HG_STATE), %rbx
	movq STATE_COUNT(%rbx), %rcx
	incq STATE_COUNT(%rbx)
	andl $(LOG_ENTRIES - 1), %ecx
	shll $8, %ecx
	movabsq $(KERNEL_VA + HG_LOG), %rdi
	addq %rcx, %rdi
	fold_from 32(%rsp), 0  /* vector */
	fold_from 40(%rsp), 8  /* error code */
	fold_from 48(%rsp), 16 /* RIP */
	fold_from 72(%rsp), 24 /* RSP */
	movq 64(%rsp), %rax    /* RFLAGS, those that nobody may leave as they were */
	andl $0x244700, %eax
	fold 32
	cmpl $14, 32(%rsp)
	jne 1f
	fold_from %cr2, 40
1:	fold_from 24(%rsp), 48 /* RAX, RBX, RCX, RDI */
	fold_from 16(%rsp), 56
	fold_from 8(%rsp), 64
	fold_from (%rsp), 72
	fold_from %rdx, 80
	fold_from %rbp, 88
	fold_from %rsi, 96
	fold_from %r8, 104
	fold_from %r9, 112
	fold_from %r10, 120
	fold_from %r11, 128
	fold_from %r12, 136
	fold_from %r13, 144
	fold_from %r14, 152
	fold_from %r15, 160
	movq STATE_COUNT(%rbx), %rax
	cmpq STATE_FUEL(%rbx), %rax
	jae 2f
	movabsq $(KERNEL_VA + HG_CELLS), %rax
	movq CELL_RESUME(%rax), %rax
	testq %rax, %rax
	jz 2f
	movq %rax, 48(%rsp)
	movq STATE_CS(%rbx), %rax
	movq %rax, 56(%rsp)
	movq $0x202, 64(%rsp)
	movq STATE_SS(%rbx), %rax
	movq %rax, 80(%rsp)
	popq %rdi
	popq %rcx
	popq %rbx
	popq %rax
	addq $16, %rsp
	iretq
	/* The end: by the HLT of the last vector's stub, with a frame as that has it. */
2:	popq %rdi
	popq %rcx
	popq %rbx
	popq %rax
	addq $16, %rsp
	pushq %rax
	movabsq $(KERNEL_VA + GPA_STUBS + 255 * 16 + 8), %rax
	xchgq %rax, (%rsp)
	ret
hostile_fault_end:

	.section .note.GNU-stack, "", @progbits
