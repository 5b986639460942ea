; int vmx_enter(struct cpu *cpu, bool launched)
;
; Runs the guest until its next VM exit. Returns 0 after an exit; 1 if an NMI came in root mode first, and nothing was
; entered; -1 if the entry failed (VMCS_INSTRUCTION_ERROR says why).
;
; in:	rdi = this CPU, also at GS:0; sil = 0 for the first entry (VMLAUNCH)
; VMCS:	HOST_RIP is vmx_exit, HOST_RSP is written here at the first entry: every later call comes from the same place, so
;	the stack pointer is the same. HOST_GS_BASE is the CPU's, so guest registers are saved before any is free.

%include "offsets.inc"

VMCS_HOST_RSP	equ 0x6c14

bits 64
default rel

section .text

global vmx_enter:function
global vmx_exit:function
global vmx_enter_check
global vmx_enter_last

vmx_enter:
	push	rbx
	push	rbp
	push	r12
	push	r13
	push	r14
	push	r15
	push	rsi			; [rsp]: launched?
	test	sil, sil
	jnz	.load
	mov	eax, VMCS_HOST_RSP
	vmwrite	rax, rsp
.load:
	mov	rax, [gs:CPU_RAX]
	mov	rcx, [gs:CPU_RCX]
	mov	rdx, [gs:CPU_RDX]
	mov	rbx, [gs:CPU_RBX]
	mov	rbp, [gs:CPU_RBP]
	mov	rsi, [gs:CPU_RSI]
	mov	rdi, [gs:CPU_RDI]
	mov	r8, [gs:CPU_R8]
	mov	r9, [gs:CPU_R9]
	mov	r10, [gs:CPU_R10]
	mov	r11, [gs:CPU_R11]
	mov	r12, [gs:CPU_R12]
	mov	r13, [gs:CPU_R13]
	mov	r14, [gs:CPU_R14]
	mov	r15, [gs:CPU_R15]
	; From here to vmx_enter_last only flags change: an NMI that strikes in between comes back to the check (trap.c).
vmx_enter_check:
	cmp	byte [gs:CPU_NMI_IN_ROOT], 0
	jne	nmi_first
	cmp	byte [rsp], 0
	je	vmx_enter_last
	vmresume
	jmp	entry_failed
vmx_enter_last:
	vmlaunch
entry_failed:
	mov	eax, -1
	jmp	return
nmi_first:
	mov	eax, 1
	jmp	return

vmx_exit:
	mov	[gs:CPU_RAX], rax
	mov	[gs:CPU_RCX], rcx
	mov	[gs:CPU_RDX], rdx
	mov	[gs:CPU_RBX], rbx
	mov	[gs:CPU_RBP], rbp
	mov	[gs:CPU_RSI], rsi
	mov	[gs:CPU_RDI], rdi
	mov	[gs:CPU_R8], r8
	mov	[gs:CPU_R9], r9
	mov	[gs:CPU_R10], r10
	mov	[gs:CPU_R11], r11
	mov	[gs:CPU_R12], r12
	mov	[gs:CPU_R13], r13
	mov	[gs:CPU_R14], r14
	mov	[gs:CPU_R15], r15
	xor	eax, eax
return:
	pop	rsi
	pop	r15
	pop	r14
	pop	r13
	pop	r12
	pop	rbp
	pop	rbx
	ret

section .note.GNU-stack noalloc noexec nowrite progbits
