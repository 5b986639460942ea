; The resident image, as linked and stripped: carried in the loader, so that there is one file to install.

section .rodata align=4096

global resident_file
global resident_file_end
resident_file:
	incbin	RESIDENT
resident_file_end:

section .note.GNU-stack noalloc noexec nowrite progbits
