; void vmx_enter(struct cpu *cpu), and the way of every VM exit: save the guest's registers, vmx_exited() (vmx.c), load
; them, enter again.
;
; in:	rdi = this CPU, also at GS:0
; VMCS:	HOST_RIP is vmx_exit; HOST_RSP is the top of this CPU's stack, so nothing outlives an exit there; HOST_GS_BASE is
;	the CPU's, so the guest's registers are saved before any is free.

%include "arch/x86/registers.inc"

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
	LOAD_REGISTERS
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
	SAVE_REGISTERS
	mov	esi, 1			; entered
answer:
	mov	rdi, [gs:CPU_SELF]
	call	vmx_exited
	LOAD_GUEST
	; From here to vmx_enter_last only flags change: an NMI that strikes in between comes back to the check
	; (trap.c).
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
