; VM entry and exit as one function call.
bits 64
default rel

VMCS_HOST_RSP	equ	0x6c14

extern world_rax
extern world_rdx
global world_enter
global world_left

section .text

; unsigned world_enter(bool launched): 0 after an exit, 1 if the instruction failed.
world_enter:
	push	rbx
	push	rbp
	push	r12
	push	r13
	push	r14
	push	r15
	mov	rax, VMCS_HOST_RSP
	vmwrite	rax, rsp
	test	edi, edi
	jnz	.resume
	vmlaunch
	jmp	.failed
.resume:
	vmresume
.failed:
	mov	eax, 1
	jmp	back

; The host's RIP.
world_left:
	mov	[world_rax], rax
	mov	[world_rdx], rdx
	xor	eax, eax
back:
	pop	r15
	pop	r14
	pop	r13
	pop	r12
	pop	rbp
	pop	rbx
	ret

section .note.GNU-stack noalloc noexec nowrite progbits
