; workload.h says how many instructions and branches each of these is.
default rel
bits 64

section .text

global work_loop
work_loop:
	mov	rcx, [work_rounds]
.round:
	add	rax, 1
	xor	rdx, rax
	call	.leaf
	dec	rcx
	jnz	.round
	int	0x80
.leaf:
	ret

global work_cpuid
work_cpuid:
	mov	r8, [work_rounds]
.round:
	xor	eax, eax
	cpuid
	dec	r8
	jnz	.round
	int	0x80

global work_rdpmc
work_rdpmc:
	mov	r8, [work_rounds]
.round:
	xor	ecx, ecx
	rdpmc
	dec	r8
	jnz	.round
	int	0x80

section .data
global work_rounds
work_rounds:
	dq	1

section .note.GNU-stack noalloc noexec nowrite progbits
