; Exceptions and NMIs in root mode: every vector saves all registers in a struct trap and calls trap_handle() (trap.c).

bits 64
default rel

extern trap_handle

section .text

%macro ENTRY 1
entry_%1:
	; Vectors 8, 10 to 14, 17, 21, 29 and 30 push an error code: SDM Vol. 3A, "Error Code".
	%if !((%1 == 8) || (%1 >= 10 && %1 <= 14) || (%1 == 17) || (%1 == 21) || (%1 == 29) || (%1 == 30))
	push	0
	%endif
	push	%1
	jmp	save_and_handle
%endmacro

%assign vector 0
%rep 32
	ENTRY	vector
	%assign vector vector + 1
%endrep

save_and_handle:
	push	r15
	push	r14
	push	r13
	push	r12
	push	r11
	push	r10
	push	r9
	push	r8
	push	rdi
	push	rsi
	push	rbp
	push	rbx
	push	rdx
	push	rcx
	push	rax
	mov	rdi, rsp
	mov	rbp, rsp
	and	rsp, -16
	cld
	call	trap_handle
	mov	rsp, rbp
	pop	rax
	pop	rcx
	pop	rdx
	pop	rbx
	pop	rbp
	pop	rsi
	pop	rdi
	pop	r8
	pop	r9
	pop	r10
	pop	r11
	pop	r12
	pop	r13
	pop	r14
	pop	r15
	add	rsp, 16
	iretq

section .rodata
global trap_entries:data
align 8
trap_entries:
%assign vector 0
%rep 32
	dq	entry_%+vector
	%assign vector vector + 1
%endrep

section .note.GNU-stack noalloc noexec nowrite progbits
