; int64_t boot_enter(struct handoff *handoff)
;
; Leaves the firmware's world for the resident's, and is where both ways out of it arrive: as the guest, when the
; resident has put itself underneath, or in root mode as before, when it refused. The code and the handoff lie at the
; same address in both sets of page tables.
;
; in:	rdi = handoff
; out:	rax = 0 as the guest, handoff->result in root mode
;
; int64_t boot_leave(struct handoff *handoff, uint64_t magic, uint64_t operation)
;
; Called by the guest, with what this hypercall takes; comes back in root mode, the way the refused come.

%include "handoff.inc"

; Kept on the stack while the resident's are loaded: two table registers and five selectors.
GDT		equ 0
IDT		equ 16
CODE		equ 32
DATA		equ 34
EXTRA		equ 36
STACK		equ 38
TASK		equ 40
TABLES_SIZE	equ 48

DESCRIPTOR_TYPE	equ 5	; the byte of a descriptor that holds it
DESCRIPTOR_BUSY	equ 2

bits 64
default rel

section .text align=4096

global boot_enter:function
global boot_leave:function
global boot_enter_page

%macro SAVE_FIRMWARE 0
	push	rbx
	push	rbp
	push	r12
	push	r13
	push	r14
	push	r15
	pushfq
	; From here to the resident's own IDT an interrupt would find no handler.
	cli
	sub	rsp, TABLES_SIZE
	sgdt	[rsp + GDT]
	sidt	[rsp + IDT]
	mov	[rsp + CODE], cs
	mov	[rsp + DATA], ds
	mov	[rsp + EXTRA], es
	mov	[rsp + STACK], ss
	str	[rsp + TASK]
	mov	rax, cr3
	mov	[rdi + HANDOFF_FW_CR3], rax
	mov	[rdi + HANDOFF_FW_RSP], rsp
	lea	rax, [as_guest]
	mov	[rdi + HANDOFF_FW_RIP], rax
	pushfq
	pop	qword [rdi + HANDOFF_FW_RFLAGS]
	lea	rax, [in_root_mode]
	mov	[rdi + HANDOFF_LEAVE], rax
%endmacro

boot_enter_page:
boot_enter:
	SAVE_FIRMWARE
	mov	rax, [rdi + HANDOFF_CR3]
	mov	cr3, rax
	mov	rsp, [rdi + HANDOFF_STACK_TOP]
	xor	ebp, ebp	; no caller for a backtrace to follow
	call	[rdi + HANDOFF_ENTRY]
	ud2

boot_leave:
	SAVE_FIRMWARE
	mov	rax, rsi
	mov	rcx, rdx
	cmp	qword [rdi + HANDOFF_VMMCALL], 0
	jne	.amd
	vmcall
	ud2
.amd:
	vmmcall
	ud2

in_root_mode:
	mov	rax, [rdi + HANDOFF_FW_CR3]
	mov	cr3, rax
	mov	rsp, [rdi + HANDOFF_FW_RSP]
	; The firmware's descriptors can be read again, so its segments can be loaded.
	lgdt	[rsp + GDT]
	lidt	[rsp + IDT]
	movzx	eax, word [rsp + CODE]
	lea	rdx, [.own_code]
	push	rax
	push	rdx
	retfq
.own_code:
	mov	ds, [rsp + DATA]
	mov	es, [rsp + EXTRA]
	mov	ss, [rsp + STACK]
	movzx	eax, word [rsp + TASK]
	test	eax, eax
	jz	.no_task
	; Loading a task register wants a segment that isn't marked busy.
	mov	rdx, [rsp + GDT + 2]
	and	byte [rdx + rax + DESCRIPTOR_TYPE], ~DESCRIPTOR_BUSY
	ltr	ax
.no_task:
	mov	rax, [rdi + HANDOFF_RESULT]
	jmp	return
as_guest:
	xor	eax, eax
return:
	add	rsp, TABLES_SIZE
	popfq
	pop	r15
	pop	r14
	pop	r13
	pop	r12
	pop	rbp
	pop	rbx
	ret

%if $ - boot_enter_page > 4096
%error "the trampoline must fit into the page that is mapped for it"
%endif

section .note.GNU-stack noalloc noexec nowrite progbits
