; See paths.h.
	default rel
	section .text

	global path_loads:function, path_branches:function, path_calls:function

%define TABLE_SIZE 65536
%define STEP 256

path_loads:
	lea	rsi, [table]
	xor	ecx, ecx
	; The kernel gives a page at its first store; a load alone would get the page of zeros that all share.
.touch:	mov	[rsi + rcx], rcx
	add	ecx, 4096
	cmp	ecx, TABLE_SIZE
	jne	.touch
	xor	ecx, ecx
	; Two lines that one miss fetches together, and another pair. What else is in the caches makes no difference.
.next:	lea	rdx, [rsi + rcx]
	clflush	[rdx]
	clflush	[rdx + 64]
	clflush	[rdx + 128]
	mov	rax, [rdx]		; from memory
	add	rax, [rdx + 64]		; from the last-level cache
	add	rax, [rdx]		; from the first
	inc	qword [rdx + 8]		; load and store
	mov	[rdx + 128], rax	; to no cache
	add	ecx, STEP
	and	ecx, TABLE_SIZE - 1
	dec	rdi
	jnz	.next
	ret

path_branches:
	push	rbx
	lea	r9, [by_call]
	lea	r10, [.landing]
.next:	call	by_call		; direct call, return
	call	r9		; indirect call
	test	dil, 1
	jz	.even
	jmp	.even		; direct jump
.even:	jmp	r10		; indirect jump
	nop
.landing:
	test	dil, 6
	jnz	.often
	inc	rbx
.often:	dec	rdi
	jnz	.next
	pop	rbx
	ret

	global by_call:function
by_call:
	test	dil, 4
	jz	.leave
	inc	r8
.leave:	ret

path_calls:
.next:	mov	eax, 40
	test	dil, 1
	jz	.deep
	mov	eax, 6
.deep:	call	down
	dec	rdi
	jnz	.next
	ret

; Two functions that call each other, so that a chain shows its order.
	global down:function, further:function
down:	dec	eax
	jz	.up
	call	further
	inc	r8
.up:	ret

further:
	dec	eax
	jz	.up
	nop
	call	down
	inc	r9
.up:	ret

	section .bss
	align	4096
table:	resb	TABLE_SIZE

	section .note.GNU-stack noalloc noexec nowrite progbits
