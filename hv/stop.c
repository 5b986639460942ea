#include "stop.h"
#include "console.h"
#include "dump.h"

static void print_dump_of_guest(struct cpu *cpu)
{
	char buffer[16 * TEXT_LINE_MAX / 4];
	struct text text = { buffer, buffer + sizeof(buffer) };

	cpu->ops->dump(cpu, &text);
	console_flush();
	console_write(buffer, &text);
}

static void print_reason(struct cpu *cpu, const char *why, uint64_t number)
{
	char line[TEXT_LINE_MAX];
	struct text text = { line, line + sizeof(line) };

	dump_seize(cpu);
	console_flush();
	text_string(&text, "pmuvisor stop cpu ");
	text_number(&text, cpu->id);
	text_string(&text, " ");
	text_string(&text, why);
	text_string(&text, " ");
	text_hex(&text, number);
	text_string(&text, "\n");
	console_write(line, &text);
}

static _Noreturn void park(void)
{
	for (;;)
		asm volatile("cli; hlt");
}

_Noreturn void stop(struct cpu *cpu, const char *why, uint64_t number)
{
	print_reason(cpu, why, number);
	dump_final(cpu);
	park();
}

_Noreturn void stop_on_trap(uint64_t vector, uint64_t error, uint64_t rip, uint64_t rsp)
{
	struct cpu *cpu = this_cpu();

	print_reason(cpu, "root-mode exception, vector", vector);
	print_reason(cpu, "error code", error);
	print_reason(cpu, "rsp", rsp);
	stop(cpu, "rip", rip);
}

/* So does the machine, as it would have without pmuvisor. */
static _Noreturn void stop_on_shutdown(struct cpu *cpu)
{
	static const struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) no_idt = { 0, 0 };

	print_reason(cpu, "the guest shut down, triple fault at raw reason", EXIT_SHUTDOWN);
	print_dump_of_guest(cpu);
	dump_final(cpu);
	asm volatile("lidt %0; ud2" : : "m"(no_idt));
	__builtin_unreachable();
}

_Noreturn void stop_on_exit(struct cpu *cpu, const struct vm_exit *exit)
{
	if (exit->reason == EXIT_SHUTDOWN)
		stop_on_shutdown(cpu);
	print_reason(cpu, "exit that nobody handles, raw reason", exit->raw);
	print_dump_of_guest(cpu);
	stop(cpu, "detail", exit->detail);
}
