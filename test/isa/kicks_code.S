/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Loops without an end, each with another way round, for kicks.c. They run at two addresses, and
 * use nothing but their registers, the stack and the data that RBX points to: 64 pages, which begin
 * with the selectors of SS and CS, a word each.
 */
	.section .rodata
	.globl kicks_code, kicks_code_end, kicks_syscall, kicks_shapes, kicks_shapes_end

	.macro shape name /* struct kicks_shape, and the label */
	.pushsection .rodata.kicks_shapes, "a", @progbits
	.balign 32
	.quad shape_\name - kicks_code
	.asciz "\name"
	.balign 32
	.popsection
shape_\name:
	.endm

	.pushsection .rodata.kicks_shapes, "a", @progbits
	.balign 32
kicks_shapes:
	.popsection

	.balign 4096
kicks_code:

	shape itself
	jmp shape_itself

	shape flags /* carried round */
	stc
1:	adc $1, %rax
	jmp 1b

	shape counter
	mov $1000, %ecx
1:	dec %ecx
	jnz 1b
	jmp shape_counter

	shape loop
	mov $100, %ecx
1:	add $3, %rax
	loop 1b
	xor %ecx, %ecx
	jrcxz shape_loop

	shape stream /* without checks, as far as a page goes */
	mov %rbx, %rsi
	mov $8192, %ecx
1:	add (%rsi), %rax
	add $8, %rsi
	dec %ecx
	jnz 1b
	jmp shape_stream

	shape pages /* another page each time */
	mov %rbx, %rsi
	mov $64, %ecx
1:	mov 8(%rsi), %rax
	mov %rax, 16(%rsi)
	add $4096, %rsi
	dec %ecx
	jnz 1b
	jmp shape_pages

	shape stack
	push %rax
	push %rcx
	pushf
	popf
	pop %rdx
	pop %rax
	jmp shape_stack

	shape calls
	call 1f
	call 2f
	jmp shape_calls
1:	call 2f
	ret
2:	inc %rax
	ret

	shape recursion /* fib(12) */
	mov $12, %edi
	call 1f
	jmp shape_recursion
1:	cmp $2, %edi
	jb 2f
	push %rdi
	dec %edi
	call 1b
	pop %rdi
	sub $2, %edi
	call 1b
2:	inc %rax
	ret

	shape returns /* that were never called, to where calls come back */
	lea 3f(%rip), %rsi
	lea 4f(%rip), %rdi
	mov $100, %ecx
1:	call 2f
3:	dec %ecx
	jg 1b
	push %rdi
	ret
2:	ret
5:	call 2b
4:	dec %ecx
	jz 5b
	push %rsi
	ret

	shape indirect
	lea 1f(%rip), %rsi
	lea 2f(%rip), %rdi
1:	inc %rax
	jmp *%rdi
2:	inc %rax
	jmp *%rsi

	shape calls_indirect
	lea 2f(%rip), %rsi
	mov %rsi, 24(%rbx)
1:	call *%rsi
	call *24(%rbx)
	jmp 1b
2:	ret

	shape strings
	mov %rbx, %rdi
	lea 2048(%rbx), %rsi
	mov $300, %ecx
	rep movsb
	mov %rbx, %rdi
	mov $100, %ecx
	rep stosq
	jmp shape_strings

	shape asks /* what C answers */
	rdtsc
	pause
	xor %eax, %eax
	push %rbx
	cpuid
	pop %rbx
	jmp shape_asks

	shape vectors
	movups (%rbx), %xmm0
1:	paddd %xmm0, %xmm1
	movups %xmm1, 32(%rbx)
	fld1
	fstp %st(0)
	jmp 1b

	shape locked
	lock incl 40(%rbx)
	lock incl 4094(%rbx)
	jmp shape_locked

	shape far /* from page to page */
	add $1, %rax
	jmp far_1
	.balign 64

	shape changes /* its own code */
	incl 1f+1(%rip)
1:	mov $0, %eax
	mov $20, %ecx
2:	dec %ecx
	jnz 2b
	jmp shape_changes

	shape syscalls /* the supervisor's part is kicks_syscall */
	mov $1, %eax
	syscall
	jmp shape_syscalls

	shape iret
	mov %rsp, %rax
	pushq 0(%rbx)
	push %rax
	pushq $2
	pushq 8(%rbx)
	lea 1f(%rip), %rax
	push %rax
	iretq
1:	inc %rdx
	jmp shape_iret

kicks_syscall:
	inc %rdx
	sysretq

	.balign 4096
far_1:
	lea 1(%rax, %rax), %rax
	jmp far_2
	.balign 4096
far_2:
	test %rax, %rax
	jns far_3
	not %rax
far_3:	jmp shape_far
kicks_code_end:

	.pushsection .rodata.kicks_shapes, "a", @progbits
kicks_shapes_end:
	.popsection

	.section .note.GNU-stack, "", @progbits
