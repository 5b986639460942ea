; branches.h says what these are.
default rel
bits 64

%define COND		0
%define IND_JMP		1
%define REL_JMP		2
%define IND_CALL	3
%define REL_CALL	4
%define RET		5
%define OTHER		8

; A row of a table: offsets that the assembler knows, because all is in one section.
%macro branch 3
	dd	%1 - branches_base, %2 - branches_base, %3
%endmacro

section .text

global branches_base
branches_base:

global branches_kinds, branches_kinds_exit
branches_kinds:
	xor	eax, eax
	jnz	.never			; not taken
.k0:	jz	.k1
	ud2
.k1:	jmp	.k2
.leaf:	ret
.k2:	lea	rdx, [.k4]
.k3:	jmp	rdx
	ud2
.never:	ud2
.k4:	call	.leaf
.back4:	lea	rdx, [.leaf]
.k5:	call	rdx
.back5:	xor	eax, eax
	cpuid				; under a hypervisor it exits
	rdtsc
.k6:	call	.k7			; of the next instruction
.k7:	pop	rdx
	mov	rdx, rsp
	mov	eax, ss
	push	rax
	push	rdx
	pushfq
	mov	eax, cs
	push	rax
	lea	rdx, [.k9]
	push	rdx
.k8:	iretq				; to the same ring
	ud2
.k9:	mov	ecx, 2
.round:	nop
.k10:	loop	.round
.k11:	jmp	branches_kinds_exit
	ud2
branches_kinds_exit:
	int	0x80

global branches_kinds_table
align 8
branches_kinds_table:
	branch	branches_kinds.k0, branches_kinds.k1, COND
	branch	branches_kinds.k1, branches_kinds.k2, REL_JMP
	branch	branches_kinds.k3, branches_kinds.k4, IND_JMP
	branch	branches_kinds.k4, branches_kinds.leaf, REL_CALL
	branch	branches_kinds.leaf, branches_kinds.back4, RET
	branch	branches_kinds.k5, branches_kinds.leaf, IND_CALL
	branch	branches_kinds.leaf, branches_kinds.back5, RET
	branch	branches_kinds.k6, branches_kinds.k7, REL_CALL
	branch	branches_kinds.k8, branches_kinds.k9, OTHER
	branch	branches_kinds.k10, branches_kinds.round, COND
	branch	branches_kinds.k11, branches_kinds_exit, REL_JMP
	dd	0, 0, 0

global branches_loop
branches_loop:
	mov	rcx, [branches_rounds]
.l0:	jmp	.l1
	nop
.l1:	jmp	.l2
	nop
.l2:	dec	rcx
.l3:	jnz	.l0
	int	0x80

global branches_loop_table
align 8
branches_loop_table:
	branch	branches_loop.l0, branches_loop.l1, REL_JMP
	branch	branches_loop.l1, branches_loop.l2, REL_JMP
	branch	branches_loop.l3, branches_loop.l0, COND
	dd	0, 0, 0

global branches_kernel
branches_kernel:
	push	rbx
.n0:	jmp	.n1
	nop
.n1:	xor	eax, eax
	cpuid
	mov	ecx, 0x1b		; APIC base
	rdmsr
	wrmsr
.n2:	jmp	.n3
	nop
.n3:	pop	rbx
	ret

global branches_kernel_table
align 8
branches_kernel_table:
	branch	branches_kernel.n0, branches_kernel.n1, REL_JMP
	branch	branches_kernel.n2, branches_kernel.n3, REL_JMP
	dd	0, 0, 0

global branches_chain
branches_chain:
.c0:	call	.outer
	ud2
.outer:
	call	.leaf
	lea	rdx, [.middle]
.c1:	call	rdx
	ud2
.middle:
	call	.next			; of the next instruction
.next:	pop	rdx
	jmp	.on
	ud2
.on:	call	.leaf
.c2:	call	.inner
	ud2
.inner:
	xor	eax, eax
	cpuid				; under a hypervisor it exits
	jmp	.end
	ud2
.end:	int	0x80
.leaf:	ret

global branches_chain_table
align 8
branches_chain_table:
	branch	branches_chain.c0, branches_chain.outer, REL_CALL
	branch	branches_chain.c1, branches_chain.middle, IND_CALL
	branch	branches_chain.c2, branches_chain.inner, REL_CALL
	dd	0, 0, 0

global branches_fault, branches_fault_jump, branches_fault_ud2, branches_fault_resume
branches_fault:
branches_fault_jump:
	jmp	branches_fault_ud2
	nop
branches_fault_ud2:
	ud2
branches_fault_resume:
	int	0x80

global branches_debug, branches_debug_jump, branches_debug_int1
branches_debug:
branches_debug_jump:
	jmp	branches_debug_int1
	nop
branches_debug_int1:
	db	0xf1
	jmp	.end
	nop
.end:	int	0x80

global branches_end
branches_end:

section .data
global branches_rounds
branches_rounds:
	dq	1

section .note.GNU-stack noalloc noexec nowrite progbits
