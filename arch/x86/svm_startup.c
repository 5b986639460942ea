/*
 * How CPUs start. SVM intercepts INIT, but no SIPI, and knows no state in which a guest waits for one: so a CPU that
 * was sent an INIT waits in root mode, and the CPU that sends the SIPI puts it into the other's memory. For that the
 * writes of the interrupt command register exit, while some CPU isn't running what the guest gave it.
 *
 * Later none of them does, and an INIT comes as a surprise. Whoever takes it summons the others, by an INIT of its own:
 * they trap the register again, and look whether there is a SIPI in it already.
 *
 * Where INIT can't be redirected it would reset the CPU, and pmuvisor's hold on it: there the register always exits,
 * and an NMI stands in for the INIT.
 */
#include "apic.h"
#include "cpuid.h"
#include "guest.h"
#include "msr.h"
#include "platform.h"
#include "reg.h"
#include "svm.h"

/* Accesses that still exit when the last CPU has started: a second SIPI usually follows the first. */
#define CALM_ACCESSES 32

static struct svm_cpu *svm_at(const struct cpu *cpu, unsigned i)
{
	return svm_of(cpu_at(cpu, i));
}

static bool someone_waits(const struct cpu *cpu)
{
	for (unsigned i = 0; i < cpu->boot->nr_cpus; i++) {
		if (__atomic_load_n(&svm_at(cpu, i)->startup, __ATOMIC_SEQ_CST) != STARTUP_RUNS)
			return true;
	}
	return false;
}

static void trap_icr(struct cpu *cpu, bool trapped)
{
	struct svm_cpu *svm = svm_of(cpu);
	enum msr_trap trap = trapped ? TRAP_WRITE : TRAP_NEVER;

	__atomic_store_n(&svm->icr_trapped, trapped, __ATOMIC_SEQ_CST);
	svm_msr_permission_set(&svm->msrs_open, MSR_X2APIC_ICR, trap);
	svm_msr_permission_set(&svm->msrs_closed, MSR_X2APIC_ICR, trap);
	vmcb_dirty(svm, CLEAN_BITMAPS);
	cpu->pmu.gate.dirty = true;
}

void svm_startup_init(struct cpu *cpu)
{
	struct svm_cpu *svm = svm_of(cpu);

	svm->cpu = cpu;
	svm->apic_page = APIC_OPEN;
	svm->startup = cpu->id ? STARTUP_FIRMWARE : STARTUP_RUNS;
	if (cpu->boot->nr_cpus > 1)
		trap_icr(cpu, true);
}

/*
 * Not before all CPUs are under pmuvisor. Who comes to wait at the same time either is seen here, or sees that this CPU
 * doesn't exit, and summons it.
 */
static void calm_down(struct cpu *cpu)
{
	struct svm_cpu *svm = svm_of(cpu);

	if (!svm->init_redirected || platform_knows_loader(cpu) || someone_waits(cpu)) {
		svm->calm = 0;
		return;
	}
	if (++svm->calm < CALM_ACCESSES)
		return;
	trap_icr(cpu, false);
	svm->calm = 0;
	if (someone_waits(cpu))
		trap_icr(cpu, true);
}

struct command {
	uint32_t low, destination;
	bool broadcast; /* by its destination */
};

static struct command xapic_command(uint32_t low)
{
	uint32_t destination = (uint32_t)FIELD_GET(ICR_DESTINATION, apic_read(APIC_ICR_HIGH));

	return (struct command){ low, destination, destination == 0xff };
}

static struct command x2apic_command(uint64_t value)
{
	return (struct command){ (uint32_t)value, (uint32_t)(value >> 32), value >> 32 == UINT32_MAX };
}

static bool is_sent_to(const struct cpu *cpu, const struct command *command, unsigned i)
{
	switch (command->low & ICR_SHORTHAND) {
	case ICR_SELF: return i == cpu->id;
	case ICR_ALL: return true;
	case ICR_OTHERS: return i != cpu->id;
	default:
		return !(command->low & ICR_LOGICAL) &&
		       (command->broadcast || command->destination == cpu->boot->processors[i].apic_id);
	}
}

/* APM Vol. 2, "Startup Interprocessor Interrupts": who doesn't wait for it ignores it. */
static void send_sipi(struct svm_cpu *target, uint32_t vector)
{
	uint32_t waits = STARTUP_WAITS;

	__atomic_compare_exchange_n(&target->startup, &waits, STARTUP_SIPI | vector, false, __ATOMIC_SEQ_CST,
				    __ATOMIC_SEQ_CST);
}

static void send_init(const struct cpu *cpu, unsigned i)
{
	struct cpu *target = svm_at(cpu, i)->cpu;

	__atomic_store_n(&svm_of(target)->startup, STARTUP_WAITS, __ATOMIC_SEQ_CST);
	if (svm_of(cpu)->init_redirected)
		return;
	__atomic_store_n(&target->nmi.init_sent, true, __ATOMIC_RELEASE);
	apic_send(cpu->boot->processors[i].apic_id, ICR_NMI);
}

/* True: the hardware is to send it too. */
static bool carry_out(const struct cpu *cpu, struct command command)
{
	bool sipi = (command.low & ICR_MODE) == ICR_STARTUP;
	bool init = (command.low & ICR_MODE) == ICR_INIT && (command.low & (ICR_ASSERT | ICR_LEVEL)) != ICR_LEVEL;

	for (unsigned i = 0; (init || sipi) && i < cpu->boot->nr_cpus; i++) {
		if (!is_sent_to(cpu, &command, i))
			continue;
		if (sipi)
			send_sipi(svm_at(cpu, i), command.low & ICR_VECTOR);
		else
			send_init(cpu, i);
	}
	return !sipi && !(init && !svm_of(cpu)->init_redirected);
}

enum verdict svm_write_icr(struct cpu *cpu)
{
	uint64_t value = (cpu->guest.rdx & BITS(31, 0)) << 32 | (uint32_t)cpu->guest.rax;

	if (carry_out(cpu, x2apic_command(value)) && !reg_wrmsr_safe(MSR_X2APIC_ICR, value))
		return INJECT_GP;
	calm_down(cpu);
	return ADVANCE;
}

/* The guest's TLB still leads to the page that stood in for the APIC's. */
static uint32_t take_back(struct cpu *cpu)
{
	struct svm_cpu *svm = svm_of(cpu);

	svm->apic_page = APIC_TRAPPED;
	svm->vmcb.tlb_control = svm->flush;
	return guest_space_take_back(cpu, &svm->space, APIC_ICR);
}

/* In xAPIC mode nothing is decoded: the access is made, and what was written to the register is found on another page. */
void svm_apic_access(struct cpu *cpu, uint64_t address, bool write)
{
	struct svm_cpu *svm = svm_of(cpu);

	svm->apic_step = write && (address & (PAGE_SIZE - 1)) == APIC_ICR ? APIC_LENT : APIC_OPEN;
	cpu->pmu.gate.dirty = true;
}

void svm_apic_accessed(struct cpu *cpu)
{
	struct svm_cpu *svm = svm_of(cpu);
	bool lent = svm->apic_page == APIC_LENT;
	uint32_t value;

	if (lent) {
		value = take_back(cpu);
		if (carry_out(cpu, xapic_command(value)))
			apic_write(APIC_ICR, value);
	}
	svm->apic_step = APIC_TRAPPED;
	cpu->pmu.gate.dirty = true;
	calm_down(cpu);
}

void svm_apic_forget(struct cpu *cpu)
{
	struct svm_cpu *svm = svm_of(cpu);

	if (svm->apic_page == APIC_LENT)
		take_back(cpu);
	svm->apic_step = APIC_TRAPPED;
}

bool svm_summoned(struct cpu *cpu)
{
	struct command command;

	if (!__atomic_exchange_n(&svm_of(cpu)->summoned, false, __ATOMIC_SEQ_CST))
		return false;
	cpu->counts.exits[EXIT_INIT]++;
	trap_icr(cpu, true);
	command = cpu->x2apic ? x2apic_command(reg_rdmsr(MSR_X2APIC_ICR)) : xapic_command(apic_read(APIC_ICR));
	if ((command.low & ICR_MODE) == ICR_STARTUP)
		carry_out(cpu, command);
	return true;
}

static void summon_others(struct cpu *cpu)
{
	for (unsigned i = 0; i < cpu->boot->nr_cpus; i++) {
		struct svm_cpu *other = svm_at(cpu, i);

		if (i == cpu->id || !other->init_redirected || __atomic_load_n(&other->icr_trapped, __ATOMIC_SEQ_CST))
			continue;
		__atomic_store_n(&other->summoned, true, __ATOMIC_SEQ_CST);
		apic_send(cpu->boot->processors[i].apic_id, ICR_INIT);
	}
}

/*
 * Until the last CPU has started, the one that sends it is not under pmuvisor, and nobody puts its SIPI into memory. It
 * is the firmware's, which is asked to bring this CPU back: INIT does so, and leaves it as the firmware expects it.
 */
_Noreturn void svm_leave_by_init(struct cpu *cpu)
{
	uint32_t apic_id = cpu->boot->processors[cpu->id].apic_id;

	pmu_release(cpu);
	svm_cpu_leave(cpu);
	apic_send(apic_id, ICR_INIT);
	for (;;)
		asm volatile("hlt");
}

/* From now on: it may have been a sender that wrote so already, and there may be an answer. */
static void begin_to_wait(struct svm_cpu *svm)
{
	uint32_t startup = __atomic_load_n(&svm->startup, __ATOMIC_SEQ_CST);

	if (startup == STARTUP_RUNS || startup == STARTUP_FIRMWARE)
		__atomic_compare_exchange_n(&svm->startup, &startup, STARTUP_WAITS, false, __ATOMIC_SEQ_CST,
					    __ATOMIC_SEQ_CST);
}

/* Nothing else is done by a CPU that waits for a SIPI; another INIT finds it as it is. */
uint32_t svm_wait_for_sipi(struct cpu *cpu)
{
	struct svm_cpu *svm = svm_of(cpu);
	uint32_t startup;

	begin_to_wait(svm);
	summon_others(cpu);
	while (!((startup = __atomic_load_n(&svm->startup, __ATOMIC_SEQ_CST)) & STARTUP_SIPI)) {
		cpu->nmi.init_in_root = false;
		asm volatile("pause" : : : "memory");
	}
	if (!svm->init_redirected)
		cpu->nmi.in_root = 0; /* they stood for an INIT each */
	svm_started(svm);
	return startup & ICR_VECTOR;
}

void svm_started(struct svm_cpu *svm)
{
	__atomic_store_n(&svm->startup, STARTUP_RUNS, __ATOMIC_SEQ_CST);
}
