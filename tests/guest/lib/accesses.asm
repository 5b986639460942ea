; accesses.h says what these are.
default rel
bits 64

%define LOAD	1
%define STORE	2
%define FIRST	0		; enum access_level
%define LAST	1
%define MEMORY	2

; A row of the table: the instruction, where in accesses_memory it goes, how, and what answers.
%macro access 4
	dd	%1 - accesses_base, %2, %3, %4
%endmacro

section .text

; Two lines whose neighbourhood is one fetch: the second is in the last cache when the first has come from memory.
global accesses_base, accesses_loop, accesses_branch
accesses_base:
accesses_loop:
	mov	rcx, [accesses_rounds]
	lea	rdx, [accesses_memory]
.round:
	clflush	[rdx]
	clflush	[rdx + 64]
.a0:	mov	rax, [rdx]
.a1:	mov	rax, [rdx + 8]
.a2:	mov	rax, [rdx + 64]
.a3:	add	[rdx + 72], rax
.a4:	mov	[rdx + 16], rax
	clflush	[rdx + 64]
.a5:	mov	[rdx + 80], rax
	dec	rcx
accesses_branch:
	jnz	accesses_loop.round
	int	0x80

global accesses_table
align 8
accesses_table:
	access	accesses_loop.a0, 0, LOAD, MEMORY
	access	accesses_loop.a1, 8, LOAD, FIRST
	access	accesses_loop.a2, 64, LOAD, LAST
	access	accesses_loop.a3, 72, LOAD | STORE, FIRST
	access	accesses_loop.a4, 16, STORE, FIRST
	access	accesses_loop.a5, 80, STORE, MEMORY

section .data
global accesses_memory, accesses_rounds
align 128
accesses_memory:
	times 128 db 0
accesses_rounds:
	dq	1

section .note.GNU-stack noalloc noexec nowrite progbits
