; Where a processor begins that INIT and SIPI started: in real mode, at the beginning of a page below 1 MiB that smp.c
; has copied this to. SDM Vol. 3A, "Switching Out of Real-Address Mode", "Initializing IA-32e Mode".
%define PAGE_SIZE	4096
%define SAVED_CR0	PAGE_SIZE - 64		; struct start_page, smp.c
%define SAVED_CR3	PAGE_SIZE - 60
%define SAVED_CR4	PAGE_SIZE - 56
%define SAVED_EFER	PAGE_SIZE - 52
%define SAVED_ENTRY	PAGE_SIZE - 48
%define START_NMIS	PAGE_SIZE - 40
%define STACK_SIZE	16384			; smp.c
%define MSR_IA32_EFER	0xc0000080
%define CODE32		0x08
%define DATA		0x10
%define CODE64		0x18

extern smp_enter, smp_stacks

section .text

; What is addressed in the copy is addressed by its distance from the page, which EBX holds.
%define AT(label)	(label - ap_start)

bits 16
global ap_start, ap_start_end
align 16
ap_start:
	cli
	mov	ax, cs
	mov	ds, ax
	xor	ebx, ebx
	mov	bx, ax
	shl	ebx, 4
	lea	eax, [ebx + AT(gdt)]
	mov	[AT(gdtr) + 2], eax
	lea	eax, [ebx + AT(protected)]
	mov	[AT(far_protected)], eax
	lea	eax, [ebx + AT(long_mode)]
	mov	[AT(far_long_mode)], eax
	o32 lgdt [AT(gdtr)]
	mov	eax, cr0
	or	al, 1
	mov	cr0, eax
	o32 jmp	far [AT(far_protected)]

; An NMI that waited for the SIPI comes before the first instruction.
global ap_start_nmi
ap_start_nmi:
	inc	word [cs:START_NMIS]
	iret

bits 32
protected:
	mov	ax, DATA
	mov	ds, ax
	mov	es, ax
	mov	ss, ax
	mov	eax, [ebx + SAVED_CR4]
	mov	cr4, eax
	mov	eax, [ebx + SAVED_CR3]
	mov	cr3, eax
	mov	ecx, MSR_IA32_EFER
	mov	eax, [ebx + SAVED_EFER]
	xor	edx, edx
	wrmsr
	mov	eax, [ebx + SAVED_CR0]
	mov	cr0, eax
	jmp	far [ebx + AT(far_long_mode)]

bits 64
long_mode:
	mov	ebx, ebx
	jmp	[rbx + SAVED_ENTRY]

align 8
gdt:
	dq	0
	dq	0x00cf9a000000ffff
	dq	0x00cf92000000ffff
	dq	0x00209a0000000000
gdtr:
	dw	gdtr - gdt - 1
	dd	0
far_protected:
	dd	0
	dw	CODE32
far_long_mode:
	dd	0
	dw	CODE64
ap_start_end:

; By its APIC ID every processor has a number and a stack. One too many rests.
global ap_entry
ap_entry:
	mov	eax, 1
	cpuid
	shr	ebx, 24
	cmp	ebx, 4				; SMP_MAX
	jae	.rest
	mov	edi, ebx
	inc	ebx
	imul	ebx, ebx, STACK_SIZE
	lea	rsp, [rel smp_stacks]
	add	rsp, rbx
	call	smp_enter
.rest:
	cli
	hlt
	jmp	.rest

section .note.GNU-stack noalloc noexec nowrite progbits
