; void svm_enter(struct cpu *cpu, uint64_t guest, uint64_t host), and the way of every exit: save the guest's registers,
; svm_exited() (svm.c), load them, enter again.
;
; in:	rdi = this CPU, also at GS:0
;	rsi = physical address of the guest's VMCB
;	rdx = physical address of the VMCB with what VMRUN leaves alone of the host's: FS, GS, TR, LDTR and some MSRs
;
; The global interrupt flag is clear from before the last look at nmi.in_root until the host's GS is back: an NMI in
; between waits, and comes as an exit or at STGI. APM Vol. 2, "Global Interrupt Flag, STGI and CLGI Instructions".

%include "offsets.inc"

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
	mov	rax, [rsp + GUEST]
	vmload
	vmrun
	vmsave
	mov	rax, [rsp + HOST]
	vmload
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
