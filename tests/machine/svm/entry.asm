; VMRUN and #VMEXIT as one function call.
bits 64
default rel

global world_enter

section .text

; void world_enter(uint64_t vmcb): its physical address. FS, GS, TR and LDTR are host's and guest's alike.
world_enter:
	push	rbx
	push	rbp
	push	r12
	push	r13
	push	r14
	push	r15
	mov	rax, rdi
	clgi
	vmrun
	stgi
	nop		; what waited for GIF is taken by now
	pop	r15
	pop	r14
	pop	r13
	pop	r12
	pop	rbp
	pop	rbx
	ret

section .note.GNU-stack noalloc noexec nowrite progbits
