; Where the processor enters the test guest: 256 interrupt stubs, and the way to ring 3 and back.
default rel
bits 64

%define KERNEL_CODE	0x08
%define USER_DATA	0x18 | 3
%define USER_CODE	0x20 | 3
%define RFLAGS_USER	0x202		; IF and the bit that is always one
%define VECTOR_USER_EXIT 0x80
; struct this_cpu, this_cpu.h
%define USER_CALLER	0
%define USER_STACK_TOP	8

extern trap_dispatch

section .text

; One stub per vector, 16 bytes apart: trap.c computes their addresses. The vectors in the mask push an error code
; themselves. SDM Vol. 3A, "Error Code".
global trap_stubs
align 16
trap_stubs:
%assign vector 0
%rep 256
align 16
%if vector >= 32 || ((0x60227d00 >> vector) & 1) == 0
	push	qword 0
%endif
	push	qword vector
	jmp	near trap_common
%assign vector vector + 1
%endrep

trap_common:
	cmp	qword [rsp], VECTOR_USER_EXIT
	je	user_return
	push	rax
	push	rcx
	push	rdx
	push	rbx
	push	rbp
	push	rsi
	push	rdi
	push	r8
	push	r9
	push	r10
	push	r11
	push	r12
	push	r13
	push	r14
	push	r15
	cld
	mov	rdi, rsp
	call	trap_dispatch
	pop	r15
	pop	r14
	pop	r13
	pop	r12
	pop	r11
	pop	r10
	pop	r9
	pop	r8
	pop	rdi
	pop	rsi
	pop	rbp
	pop	rbx
	pop	rdx
	pop	rcx
	pop	rax
	add	rsp, 16			; vector and error code
	iretq

; void user_run(void (*code)(void))
global user_run
user_run:
	pushfq
	push	rbx
	push	rbp
	push	r12
	push	r13
	push	r14
	push	r15
	mov	[abs gs:USER_CALLER], rsp
	push	qword USER_DATA
	mov	rax, [abs gs:USER_STACK_TOP]
	push	rax
	push	qword RFLAGS_USER
	push	qword USER_CODE
	push	rdi
	iretq

; INT 80h came from ring 3: its frame is on the trap stack and can be forgotten.
user_return:
	mov	rsp, [abs gs:USER_CALLER]
	pop	r15
	pop	r14
	pop	r13
	pop	r12
	pop	rbp
	pop	rbx
	popfq
	ret

; void trap_load(const void *gdtr, const void *idtr)
global trap_load
trap_load:
	lgdt	[rdi]
	lidt	[rsi]
	mov	eax, 0x10
	mov	ds, eax
	mov	es, eax
	mov	ss, eax
	mov	eax, 0x28
	ltr	ax
	pop	rax
	push	qword KERNEL_CODE
	push	rax
	retfq

section .note.GNU-stack noalloc noexec nowrite progbits
