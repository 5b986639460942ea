#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define NEED_CPU_REG_SHORTCUTS 1
#include "bochs.h"
#include "cpu/cpu.h"
#include "cpu/apic.h"
#include "gui/siminterface.h"
#include "param_names.h"
#include "pc_system.h"

extern "C" {
#include "ports.h"
}

#define MAX_CPUS 255

/*
 * Where the files go, when to stop, whose PMU it is: the environment, because bochsrc has no room for lines of ours. Of
 * several models, separated by commas, processor n has the nth, and after the last comes the first again.
 */
#define ENV_DEADLINE "MACHINE_DEADLINE"
#define ENV_CPU      "MACHINE_CPU"
#define ENV_PMI_SKID "MACHINE_PMI_SKID"
#define ENV_PEBS     "MACHINE_PEBS"

static struct machine_cpu *cpus[MAX_CPUS];
static unsigned nr_cpus;
static FILE *stats_file, *console_file;

static FILE *output(const char *name)
{
	const char *directory = getenv(ENV_DIRECTORY);
	char path[4096];

	snprintf(path, sizeof(path), "%s/%s", directory ? directory : ".", name);
	FILE *file = fopen(path, "w");
	if (!file) {
		perror(path);
		_exit(MACHINE_EXIT_BROKEN);
	}
	return file;
}

static void print_stats(void)
{
	char prefix[16] = "";

	fprintf(stats_file, "ticks " FMT_LL "u\n", bx_pc_system.time_ticks());
	for (unsigned i = 0; i < nr_cpus; i++) {
		if (nr_cpus > 1)
			snprintf(prefix, sizeof(prefix), "cpu%u_", i);
		stats_print(stats_file, prefix, &cpus[i]->stats, cpus[i]->model);
	}
}

/* The one way out: nothing of Bochs' own shutdown matters to a machine that is thrown away. */
static void end(int status, const char *why)
{
	FILE *verdict = output("verdict.txt");

	if (stats_file) {
		fprintf(stats_file, "end %d\n", status);
		print_stats();
	}
	fprintf(verdict, "%d %s\n", status, why);
	fflush(NULL);
	_exit(status);
}

/* The UARTs send what they hold before the power goes. In emulated time: a full FIFO at 9600 baud. */
static void end_by_guest(int status, const char *why)
{
	static const unsigned DRAIN_TICKS = 1000000;
	static bool ending;

	if (ending)
		return;
	ending = true;
	bx_pc_system.tickn(DRAIN_TICKS);
	end(status, why);
}

void machine_power_off(void)
{
	end_by_guest(0, "ACPI power-off");
}

void machine_shutdown(void)
{
	end(MACHINE_EXIT_SHUTDOWN, "the processor shut down");
}

/* Bochs reaches its own exit only by giving up. */
void machine_broken(void)
{
	end(MACHINE_EXIT_BROKEN, "the emulator stopped: see log.txt");
}

/* What the machine was given to begin with. */
void machine_wrong(const char *what)
{
	char why[256];

	snprintf(why, sizeof(why), "the machine lacks %s", what);
	end(MACHINE_EXIT_BROKEN, why);
}

static void deadline(void *)
{
	end(MACHINE_EXIT_DEADLINE, "deadline");
}

void machine_set_deadline(uint64_t ticks)
{
	if (ticks) /* the processors' together, of which each has as many; from power-on */
		bx_pc_system.register_timer_ticks(NULL, deadline, ticks / BX_SMP_PROCESSORS - bx_pc_system.time_ticks(),
						  false, true, "deadline");
}

void machine_start(void)
{
	const char *ticks = getenv(ENV_DEADLINE);

	if (stats_file)
		return;
	stats_file = output("stats.txt");
	console_file = output("debug.txt");
	setlinebuf(console_file);
	machine_set_deadline(ticks ? strtoull(ticks, NULL, 0) : 0);
}

void machine_out(unsigned port, unsigned size, Bit32u value)
{
	if (port == MACHINE_PORT_CONSOLE) {
		putc(value & 0xff, console_file);
	} else if (port == MACHINE_PORT_MARK) {
		fprintf(stats_file, "mark %u\n", size == 1 ? value & 0xff : value);
		print_stats();
	} else if (port == MACHINE_PORT_EXIT) {
		end_by_guest(value & 0xff, "the guest powered off");
	}
}

static void deliver_pmi(void *opaque, enum pmu_model_delivery mode, unsigned vector)
{
	BX_CPU_C *cpu = ((struct machine_cpu *)opaque)->cpu;

	switch (mode) {
	case PMU_MODEL_FIXED: cpu->lapic->trigger_irq(vector, APIC_EDGE_TRIGGERED); break;
	case PMU_MODEL_SMI: cpu->deliver_SMI(); break;
	case PMU_MODEL_NMI: cpu->deliver_NMI(); break;
	}
}

static struct machine_cpu *ipi_sender;

void machine_ipi_from(struct machine_cpu *sender)
{
	ipi_sender = sender;
}

void machine_ipi_to(struct machine_cpu *receiver, unsigned mode)
{
	/* By delivery mode. SDM Vol. 3A, "Interrupt Command Register (ICR)"; lowest priority counts as fixed. */
	static const unsigned kinds[] = { STATS_IPI_FIXED, STATS_IPI_FIXED, STATS_IPIS,        STATS_IPIS,
					  STATS_IPI_NMI,   STATS_IPI_INIT,  STATS_IPI_STARTUP, STATS_IPIS };
	const unsigned kind = kinds[mode & 7];

	if (!ipi_sender || kind == STATS_IPIS)
		return;
	ipi_sender->stats.ipis_sent[kind]++;
	receiver->stats.ipis_received[kind]++;
}

/*
 * The time-stamp counter the hardware counts reference cycles with: not the guest's view of it. Bochs adds up time at
 * the end of a trace; what has run since is in icount, except that several processors share time.
 */
static uint64_t tsc(void *opaque)
{
	const BX_CPU_C *cpu = ((struct machine_cpu *)opaque)->cpu;
	uint64_t since = nr_cpus == 1 ? cpu->icount - cpu->icount_last_sync : 0;

	return bx_pc_system.time_ticks() + since;
}

/* The `number`th name of the list, round and round. */
static const struct pmu_model_caps *pmu_in_list(const char *list, unsigned number)
{
	char names[256], *rest = names;
	unsigned nr_names = 1;

	snprintf(names, sizeof(names), "%s", list);
	for (const char *c = names; *c; c++)
		nr_names += *c == ',';
	for (number %= nr_names; number > 0; number--)
		strsep(&rest, ",");
	return pmu_model_named(strsep(&rest, ","));
}

static struct pmu_model_caps pmu_of_this_run(unsigned number)
{
	const char *names = getenv(ENV_CPU), *skid = getenv(ENV_PMI_SKID), *pebs = getenv(ENV_PEBS);
	const struct pmu_model_caps *named = names ? pmu_in_list(names, number) : &pmu_model_icelake;
	struct pmu_model_caps caps;

	if (!named)
		end(MACHINE_EXIT_BROKEN, "there is no processor of the name in " ENV_CPU);
	caps = *named;
	caps.hybrid = names && strchr(names, ',');
	if (skid)
		caps.pmi_skid = strtoul(skid, NULL, 0);
	if (pebs && !strcmp(pebs, "legacy"))
		caps.pebs_ept_friendly = false;
	return caps;
}

void machine_new_cpu(struct machine_cpu *machine, BX_CPU_C *cpu, unsigned number)
{
	static const struct pmu_model_ops ops = {
		.deliver_pmi = deliver_pmi,
		.ds_read = machine_ds_read,
		.ds_write = machine_ds_write,
		.registers = machine_registers,
		.pebs_due = machine_pebs_due,
		.tsc = tsc,
	};
	const struct pmu_model_caps caps = pmu_of_this_run(number);

	memset(machine, 0, sizeof(*machine));
	machine->cpu = cpu;
	machine->model = pmu_model_new(&caps, &ops, machine);
	if (!machine->model || number >= MAX_CPUS)
		end(MACHINE_EXIT_BROKEN, "no memory for a processor");
	cpus[number] = machine;
	nr_cpus = number + 1;
}

void machine_reset_cpu(struct machine_cpu *machine, bool hardware)
{
	if (hardware)
		pmu_model_reset(machine->model);
	else
		pmu_model_init(machine->model);
	machine->pebs_due = machine->assisting = false;
	machine->unfinished = machine->far = false;
	machine->woken_from = 0;
	machine->sipi_pending &= !hardware;
	pmu_model_svme(machine->model, false);
	stats_mode(&machine->stats, STATS_OUTSIDE);
}

static int result(enum pmu_model_answer answer)
{
	return answer == PMU_MODEL_UNKNOWN ? -1 : answer == PMU_MODEL_DONE;
}

int machine_rdmsr(struct machine_cpu *machine, Bit32u msr, Bit64u *value)
{
	uint64_t read = 0;
	int done = result(pmu_model_rdmsr(machine->model, msr, &read));

	if (done > 0)
		*value = read;
	return done;
}

int machine_wrmsr(struct machine_cpu *machine, Bit32u msr, Bit64u value)
{
	return result(pmu_model_wrmsr(machine->model, msr, value));
}

bool machine_rdpmc(struct machine_cpu *machine, Bit32u ecx, Bit64u *value)
{
	uint64_t read = 0;
	bool done = pmu_model_rdpmc(machine->model, ecx, &read) == PMU_MODEL_DONE;

	*value = read;
	return done;
}

/*
 * The clocks, for software that believes CPUID: the time-stamp counter has the machine's rate, not the real
 * processor's, and the crystal a 32nd of it, as the PMU model counts.
 */
static void cpuid_clock(Bit32u leaf, uint32_t regs[4])
{
	static const uint32_t TSC_PER_CRYSTAL = 32;
	const uint32_t rate = SIM->get_param_num(BXPN_IPS)->get();

	if (leaf == 0x15) {
		regs[0] = 1;
		regs[1] = TSC_PER_CRYSTAL;
		regs[2] = rate / TSC_PER_CRYSTAL;
	} else if (leaf == 0x16) {
		regs[0] = regs[1] = regs[2] = rate / 1000000;
	}
}

void machine_cpuid(struct machine_cpu *machine, Bit32u leaf, Bit32u subleaf, Bit32u *eax, Bit32u *ebx, Bit32u *ecx,
		   Bit32u *edx)
{
	uint32_t regs[4] = { *eax, *ebx, *ecx, *edx };

	pmu_model_cpuid(machine->model, leaf, subleaf, regs);
	cpuid_clock(leaf, regs);
	*eax = regs[0];
	*ebx = regs[1];
	*ecx = regs[2];
	*edx = regs[3];
}

/*
 * VMLAUNCH and VMRESUME are instructions of root mode: they retire here, under the host's controls and CPL 0, and the
 * commit that follows in the guest is none. The manual does not say on which side they count.
 */
void machine_vmentry(struct machine_cpu *machine, const struct pmu_model_vmcs *vmcs)
{
	machine_commit(machine, 0);
	machine->unfinished = true;
	stats_vmentry(&machine->stats);
	pmu_model_vmentry(machine->model, vmcs);
}

void machine_svme(struct machine_cpu *machine, bool on)
{
	stats_mode(&machine->stats, on ? STATS_ROOT : STATS_OUTSIDE);
	pmu_model_svme(machine->model, on);
}

/* VMRUN is root mode's for the statistics, as VMRESUME is, and the guest's for AMD's counters. */
void machine_vmrun(struct machine_cpu *machine, const struct pmu_model_vmcb *debug, unsigned cpl)
{
	machine->stats.retired++;
	stats_vmentry(&machine->stats);
	pmu_model_vmrun(machine->model, debug);
	pmu_model_retire(machine->model, cpl);
	machine->unfinished = true;
}

void machine_vmcb_run(struct machine_cpu *machine, Bit64u address, const Bit8u *vmcb)
{
	machine->stats.unclean_entries += vmcb_clean_wrong(&machine->clean, address, vmcb) != 0;
}

void machine_vmcb_left(struct machine_cpu *machine, Bit64u address, const Bit8u *vmcb)
{
	vmcb_clean_left(&machine->clean, address, vmcb);
}

void machine_svm_exit(struct machine_cpu *machine, int reason, struct pmu_model_vmcb *debug)
{
	stats_vmexit(&machine->stats, (uint32_t)reason);
	pmu_model_svm_exit(machine->model, debug);
}

void machine_unwound(struct machine_cpu *machine)
{
	pmu_model_abort(machine->model);
	machine->unfinished = machine->far = machine->assisting = false;
	machine->woken_from = 0;
}

void machine_commit_unusual(struct machine_cpu *machine, unsigned cpl)
{
	if (machine->far)
		cpl = pmu_model_counted_cpl(machine->model, machine->far_cpl, cpl);
	if (machine->unfinished) {
		pmu_model_abort(machine->model);
	} else {
		machine->stats.retired++;
		pmu_model_retire(machine->model, cpl);
	}
	machine->unfinished = machine->far = false;
}
