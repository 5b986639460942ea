#include "sys.h"

#include <asm/unistd.h>
#include <linux/sched.h>

long sys(long number, long a, long b, long c, long d, long e)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = 0;
	long answer;

	__asm__ volatile("syscall"
			 : "=a"(answer)
			 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return answer;
}

void sys_exit(int status)
{
	for (;;)
		sys(__NR_exit_group, status, 0, 0, 0, 0);
}

size_t text_length(const char *text)
{
	size_t n = 0;

	while (text[n])
		n++;
	return n;
}

void keep_kernel_threads_off(void)
{
	int priority = 1;

	if (sys(__NR_sched_setscheduler, 0, SCHED_FIFO, (long)&priority, 0, 0))
		die("the kernel gives no real-time priority");
}

static void write_text(int fd, const char *text)
{
	sys(__NR_write, fd, (long)text, (long)text_length(text), 0, 0);
}

void print(const char *text)
{
	write_text(1, text);
}

void die(const char *sentence)
{
	write_text(2, sentence);
	write_text(2, "\n");
	sys_exit(1);
}

bool same(const char *a, const char *b)
{
	while (*a && *a == *b) {
		a++;
		b++;
	}
	return *a == *b;
}

uint64_t parse_number(const char *text)
{
	uint64_t value = 0;

	if (!*text)
		die("a number is missing");
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			die("this is not a decimal number");
		value = value * 10 + (uint64_t)(*text - '0');
	}
	return value;
}

void print_figure(const char *prefix, const char *name, uint64_t value)
{
	char digits[24];
	char *first = digits + sizeof(digits);

	*--first = '\0';
	*--first = '\n';
	do {
		*--first = (char)('0' + value % 10);
		value /= 10;
	} while (value);
	print("figure ");
	print(prefix);
	print("_");
	print(name);
	print(" ");
	print(first);
}

/* The compiler may call it for a structure's initializer. */
void *memset(void *to, int byte, size_t size);
void *memset(void *to, int byte, size_t size)
{
	void *first = to;

	__asm__ volatile("rep stosb" : "+D"(first), "+c"(size) : "a"(byte) : "memory");
	return to;
}

/* System V ABI, AMD64 supplement, "Initial Stack and Register State": argc, then argv, at RSP. */
__attribute__((used)) static void start(long *stack)
{
	sys_exit(main((int)stack[0], (char **)(stack + 1)));
}

__asm__(".globl _start\n"
	"_start:\n"
	"	movq %rsp, %rdi\n"
	"	xorl %ebp, %ebp\n"
	"	andq $-16, %rsp\n"
	"	call start\n");
