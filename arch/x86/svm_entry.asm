; void svm_enter(struct cpu *cpu, uint64_t guest, uint64_t host), and the way of every exit: save the guest's registers,
; svm_exited() (svm.c), load them, enter again.
;
; in:	rdi = this CPU, also at GS:0
;	rsi = physical address of the guest's VMCB
;	rdx = physical address of the VMCB with what VMRUN leaves alone of the host's: FS, GS, TR, LDTR and some MSRs
;
; The global interrupt flag is clear from before the last look at nmi.in_root until the host's GS is back: an NMI in
; between waits, and comes as an exit or at STGI. APM Vol. 2, "Global Interrupt Flag, STGI and CLGI Instructions".

%include "arch/x86/registers.inc"

bits 64
default rel

extern svm_exited

section .text

global svm_enter:function

GUEST	equ 8
HOST	equ 16

svm_enter:
	push	rdx
	push	rsi
	sub	rsp, 8			; VMRUN keeps RSP: it stays what it is here, and aligned
enter:
	clgi
	cmp	word [gs:CPU_IN_ROOT], 0
	jne	signal_first
	LOAD_REGISTERS
	mov	rax, [rsp + GUEST]
	vmload
	vmrun
	vmsave
	mov	rax, [rsp + HOST]
	vmload
	SAVE_REGISTERS
	stgi
	mov	esi, 1			; entered
answer:
	mov	rdi, [gs:CPU_SELF]
	call	svm_exited
	jmp	enter
signal_first:
	stgi
	xor	esi, esi		; not entered: the registers in memory are still the guest's
	jmp	answer

section .note.GNU-stack noalloc noexec nowrite progbits
