; A kernel module that locks up the processor it is loaded on: interrupts stay off for a few emulated seconds, and only
; an NMI gets through. It can't be unloaded. tests/linux/module.sh says what is what.
TURNS	equ 100000000

	section .text
start:
	endbr64
	pushfq
	cli
	mov	rcx, TURNS
.turn:
	dec	rcx
	jnz	.turn
	popfq
	xor	eax, eax
	ret

	section .modinfo alloc noexec nowrite align=1
	db	"license=Dual MIT/GPL", 0
	db	"name=lockup", 0
	incbin	"vermagic"

	section __versions alloc noexec nowrite align=32
	incbin	"versions"

	section .gnu.linkonce.this_module alloc noexec write align=64
	times MODULE_NAME db 0
	db	"lockup"
	times MODULE_INIT - ($ - $$) db 0
	dq	start
	times MODULE_SIZE - ($ - $$) db 0

	section .note.GNU-stack noalloc noexec nowrite progbits
