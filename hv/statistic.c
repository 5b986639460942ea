#include "statistic.h"
#include "arch/x86/reg.h"
#include "guest-api/pmuvisor.h"
#include "sample.h"

/* Those that are counted; the others are worked out. */
static const size_t counted[PMUVISOR_STATISTICS] = {
#define COUNTED(name, member) [PMUVISOR_STAT_##name] = offsetof(struct cpu, member)
	COUNTED(PAUSED_TICKS, pmu.stats.paused_tsc),
	COUNTED(WINDOWS, pmu.stats.windows),
	COUNTED(EMULATED, pmu.stats.emulated),
	COUNTED(FAULTS, counts.faults_injected),
	COUNTED(HIDDEN, counts.hidden_touches),
	COUNTED(PMIS_HOST, pmu.stats.host_pmis),
	COUNTED(PMIS_LATE, pmu.stats.host_late),
	COUNTED(PMIS_GUEST, pmu.stats.guest_pmis),
	COUNTED(PMIS_EMULATED, pmu.stats.guest_pmis_emulated),
	COUNTED(PMIS_MASKED, pmu.stats.guest_pmis_masked),
	COUNTED(NMIS, pmu.stats.guest_nmis),
	COUNTED(NMIS_ROOT, pmu.stats.root_nmis),
	COUNTED(NMIS_MERGED, pmu.stats.merged_nmis),
#undef COUNTED
#define EXIT(name) [PMUVISOR_STAT_EXIT(PMUVISOR_EXIT_##name)] = offsetof(struct cpu, counts.exits[EXIT_##name])
	EXIT(CPUID),
	EXIT(RDMSR),
	EXIT(WRMSR),
	EXIT(RDPMC),
	EXIT(NMI),
	EXIT(NMI_WINDOW),
	EXIT(TIMER),
	EXIT(STEP),
	EXIT(HYPERCALL),
	EXIT(VIRTUALIZATION),
	EXIT(INVD),
	EXIT(XSETBV),
	EXIT(INIT),
	EXIT(SHUTDOWN),
	EXIT(UNKNOWN),
	EXIT(IO),
	EXIT(CONTROL_REGISTER),
	EXIT(HIDDEN_MEMORY),
	EXIT(APIC_ACCESS),
	EXIT(SIPI),
#undef EXIT
};
_Static_assert(PMUVISOR_STAT_SAMPLES == PMUVISOR_STAT_EXIT(EXIT_REASONS), "every reason has a number, none twice");

static uint64_t all_exits(const struct cpu *cpu)
{
	uint64_t sum = 0;

	for (unsigned reason = 0; reason < EXIT_REASONS; reason++)
		sum += cpu->counts.exits[reason];
	return sum;
}

uint64_t statistic(const struct cpu *cpu, uint64_t number)
{
	const struct sample_ring *ring = sample_ring_of(cpu);

	switch (number) {
	case PMUVISOR_STAT_TICKS: return reg_rdtsc() - cpu->time.started;
	case PMUVISOR_STAT_ROOT_TICKS: return cpu->time.root + reg_rdtsc(); /* it lacks the time of the entry to come */
	case PMUVISOR_STAT_EXITS: return all_exits(cpu);
	case PMUVISOR_STAT_SAMPLES: return ring ? ring->taken : 0;
	case PMUVISOR_STAT_SAMPLES_LOST: return ring ? ring->lost : 0;
	default: return *(const uint64_t *)((uintptr_t)cpu + counted[number]);
	}
}
