; See loops.h for the counts, which must follow every change here.
	default rel
	section .text

	global loop_plain:function, loop_cpuid:function, loop_rdpmc:function, measure:function

; One turn: a near call and return, a branch that is taken every other time, the loop's own branch.
; With the JNZ after it: six instructions, and one more when RDI is odd; four branches.
%macro TURN 0
	call	leaf
	test	dil, 1
	jz	%%even
	inc	r8
%%even:
	dec	rdi
%endmacro

loop_plain:
.next:	TURN
	jnz	.next
	ret

loop_cpuid:
	push	rbx
.next:	xor	eax, eax
	xor	ecx, ecx
	cpuid
	TURN
	jnz	.next
	pop	rbx
	ret

loop_rdpmc:
.next:	mov	ecx, esi
	rdpmc
	TURN
	jnz	.next
	ret

	global leaf:function
leaf:	ret

; READ COUNTER, OFFSET: index[COUNTER] into the reading at OFFSET. What lies between the two RDPMCs of one counter is
; the same for all three, because both rows of reads are alike.
%macro READ 2
	mov	ecx, [r13 + 4 * %1]
	rdpmc
	shl	rdx, 32
	or	rax, rdx
	mov	[r12 + %2 + 8 * %1], rax
%endmacro

; void measure(loop_fn *loop (RDI), uint64_t n (RSI), const uint32_t index[] (RDX), struct reading *reading (RCX))
measure:
	push	r12
	push	r13
	push	r14
	push	r15
	push	rbx
	mov	r12, rcx
	mov	r13, rdx
	mov	r14, rdi
	mov	r15, rsi
	READ	0, 0
	READ	1, 0
	READ	2, 0
	mov	rdi, r15
	mov	esi, [r13]
	call	r14
	READ	0, 24
	READ	1, 24
	READ	2, 24
	pop	rbx
	pop	r15
	pop	r14
	pop	r13
	pop	r12
	ret

	section .note.GNU-stack noalloc noexec nowrite progbits
