; void vmx_enter(struct cpu *cpu), and the way of every VM exit: save the guest's registers, vmx_exited() (vmx.c), load
; them, enter again.
;
; in:	rdi = this CPU, also at GS:0
; VMCS:	HOST_RIP is vmx_exit; HOST_RSP is the top of this CPU's stack, so nothing outlives an exit there; HOST_GS_BASE is
;	the CPU's, so the guest's registers are saved before any is free.

%include "offsets.inc"

bits 64
default rel

extern vmx_exited
extern vmx_entry_failed

section .text

global vmx_enter:function
global vmx_exit:function
global vmx_enter_check
global vmx_enter_last

%macro LOAD_GUEST 0
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
%endmacro

vmx_enter:
	LOAD_GUEST
	vmlaunch
entry_failed:
	mov	rdi, [gs:CPU_SELF]
	call	vmx_entry_failed
	ud2

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
	mov	esi, 1			; entered
answer:
	mov	rdi, [gs:CPU_SELF]
	call	vmx_exited
	LOAD_GUEST
	; From here to vmx_enter_last only flags change: an NMI that strikes in between comes back to the check (trap.c).
vmx_enter_check:
	cmp	byte [gs:CPU_NMI_IN_ROOT], 0
	jne	nmi_first
vmx_enter_last:
	vmresume
	jmp	entry_failed
nmi_first:
	xor	esi, esi		; not entered: the registers in memory are still the guest's
	jmp	answer

section .note.GNU-stack noalloc noexec nowrite progbits
