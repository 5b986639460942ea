; workload.h says how many instructions and branches each of these is.
default rel
bits 64

section .text

global work_loop, work_loop_end
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
work_loop_end:

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

global work_registers, work_registers_nop, work_registers_dec, work_registers_jnz, work_registers_exit
work_registers:
	mov	rax, [work_rounds]
	mov	[rounds_left], rax
%assign n 0
%rep 16
	mov	rax, 0x100 + n
	movq	xmm%+n, rax
	mov	rax, 0x200 + n
	movq	xmm15, rax
%if n != 15
	movlhps	xmm%+n, xmm15
%else
	movlhps	xmm15, xmm15
	mov	rax, 0x100 + n
	push	rax
	movlps	xmm15, [rsp]
	pop	rax
%endif
%assign n n + 1
%endrep
	mov	rdx, 0x1111111111111111
	xor	eax, eax
	lea	rcx, [rax + rdx]
	mov	rbx, 0x3333333333333333
	mov	rbp, 0x5555555555555555
	mov	rsi, 0x6666666666666666
	mov	rdi, 0x7777777777777777
	mov	rdx, 0x2222222222222222
%assign n 8
%rep 8
	mov	r%+n, n * 0x1111111111111111
%assign n n + 1
%endrep
work_registers_nop:
	nop
work_registers_dec:
	dec	qword [rounds_left]
work_registers_jnz:
	jnz	work_registers_nop
work_registers_exit:
	int	0x80

section .bss
rounds_left:
	resq	1

section .data
global work_rounds
work_rounds:
	dq	1

section .note.GNU-stack noalloc noexec nowrite progbits
