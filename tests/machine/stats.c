#include "stats.h"

#include <inttypes.h>

#include "pmu_model.h"

#define VM_ENTRY_FAILURE (1u << 31)

static const uint32_t range_start[STATS_MSR_RANGES] = { 0, 0xc0000000, 0xc0010000 };

static uint64_t root_msrs(const struct stats *stats)
{
	return stats->msrs[false] + stats->msrs[true];
}

void stats_mode(struct stats *stats, enum stats_mode mode)
{
	stats->instructions[stats->mode] += stats->retired - stats->mode_start;
	stats->mode_start = stats->retired;
	stats->mode = mode;
}

void stats_vmentry(struct stats *stats)
{
	if (stats->entries++ > 0) {
		stats->root_instructions[stats->reason] += stats->retired - stats->mode_start;
		stats->root_msrs[stats->reason] += root_msrs(stats) - stats->msrs_at_exit;
	}
	stats_mode(stats, STATS_GUEST);
}

void stats_vmexit(struct stats *stats, uint32_t reason)
{
	stats->failed_entries += (reason & VM_ENTRY_FAILURE) != 0;
	stats->reason = reason & 0xffff;
	if (stats->reason >= STATS_EXIT_REASONS)
		stats->reason = STATS_EXIT_REASONS - 1;
	stats->exits[stats->reason]++;
	stats->msrs_at_exit = root_msrs(stats);
	stats_mode(stats, STATS_ROOT);
}

void stats_msr(struct stats *stats, uint32_t msr, bool write)
{
	if (stats->mode != STATS_ROOT)
		return;
	stats->msrs[write]++;
	for (unsigned range = 0; range < STATS_MSR_RANGES; range++)
		if (msr - range_start[range] < STATS_RANGE_MSRS)
			stats->each_msr[write][range][msr - range_start[range]]++;
}

void stats_xsaves(struct stats *stats, bool restore)
{
	stats->xsaves[restore] += stats->mode == STATS_ROOT;
}

/* Where the lines go. */
struct out {
	FILE *file;
	const char *prefix;
};

static void print(const struct out *out, const char *name, uint64_t value)
{
	fprintf(out->file, "%s%s %" PRIu64 "\n", out->prefix, name, value);
}

static void print_nonzero(const struct out *out, const char *name, unsigned number, uint64_t value)
{
	if (value != 0)
		fprintf(out->file, "%s%s_%u %" PRIu64 "\n", out->prefix, name, number, value);
}

static void print_instructions(const struct out *out, const struct stats *stats)
{
	struct stats now = *stats;

	stats_mode(&now, now.mode);
	print(out, "instructions", now.retired);
	print(out, "instructions_outside_vmx", now.instructions[STATS_OUTSIDE]);
	print(out, "instructions_root", now.instructions[STATS_ROOT]);
	print(out, "instructions_guest", now.instructions[STATS_GUEST]);
}

static void print_exits(const struct out *out, const struct stats *stats)
{
	uint64_t exits = 0;

	for (unsigned i = 0; i < STATS_EXIT_REASONS; i++)
		exits += stats->exits[i];
	print(out, "entries", stats->entries);
	print(out, "failed_entries", stats->failed_entries);
	print(out, "unclean_entries", stats->unclean_entries);
	print(out, "exits", exits);
	for (unsigned i = 0; i < STATS_EXIT_REASONS; i++) {
		print_nonzero(out, "exits_reason", i, stats->exits[i]);
		print_nonzero(out, "root_instructions_reason", i, stats->root_instructions[i]);
		print_nonzero(out, "root_msr_reason", i, stats->root_msrs[i]);
	}
}

static void print_each_msr(const struct out *out, const char *name, const uint64_t (*counts)[STATS_RANGE_MSRS])
{
	for (unsigned range = 0; range < STATS_MSR_RANGES; range++)
		for (uint32_t msr = 0; msr < STATS_RANGE_MSRS; msr++)
			if (counts[range][msr] != 0)
				fprintf(out->file, "%s%s_0x%x %" PRIu64 "\n", out->prefix, name,
					range_start[range] + msr, counts[range][msr]);
}

static void print_msrs(const struct out *out, const struct stats *stats)
{
	print(out, "root_msr", root_msrs(stats));
	print(out, "root_rdmsr", stats->msrs[false]);
	print(out, "root_wrmsr", stats->msrs[true]);
	print_each_msr(out, "root_rdmsr", stats->each_msr[false]);
	print_each_msr(out, "root_wrmsr", stats->each_msr[true]);
	print(out, "root_vmread", stats->vmreads);
	print(out, "root_vmwrite", stats->vmwrites);
	print(out, "root_xsaves", stats->xsaves[false]);
	print(out, "root_xrstors", stats->xsaves[true]);
	print(out, "msr_area_loads", stats->msr_area_loads);
	print(out, "msr_area_stores", stats->msr_area_stores);
}

static void print_ipis(const struct out *out, const struct stats *stats)
{
	static const char *const names[STATS_IPIS][2] = {
		[STATS_IPI_FIXED] = { "ipis_sent_fixed", "ipis_received_fixed" },
		[STATS_IPI_NMI] = { "ipis_sent_nmi", "ipis_received_nmi" },
		[STATS_IPI_INIT] = { "ipis_sent_init", "ipis_received_init" },
		[STATS_IPI_STARTUP] = { "ipis_sent_startup", "ipis_received_startup" },
	};

	for (unsigned i = 0; i < STATS_IPIS; i++) {
		print(out, names[i][0], stats->ipis_sent[i]);
		print(out, names[i][1], stats->ipis_received[i]);
	}
	print(out, "interrupts_merged", stats->interrupts_merged);
	print(out, "interrupts_taken", stats->interrupts_taken);
	print(out, "inits_taken", stats->inits_taken);
	print(out, "startups_taken", stats->startups_taken);
}

static void print_interrupts(const struct out *out, const struct stats *stats, const struct pmu_model *model)
{
	print(out, "nmis_raised", stats->nmis_raised);
	print(out, "nmis_merged", stats->nmis_merged);
	print(out, "nmis_taken", stats->nmis_taken);
	print(out, "pmis_delivered", pmu_model_pmis_delivered(model));
	print(out, "pmis_dropped", pmu_model_pmis_dropped(model));
	for (unsigned i = 0; i < PMU_MODEL_MAX_GP; i++) {
		print_nonzero(out, "overflows", i, pmu_model_overflows(model, i));
		print_nonzero(out, "pmis", i, pmu_model_pmis(model, i));
	}
	for (unsigned i = 32; i < 32 + PMU_MODEL_MAX_FIXED; i++) {
		print_nonzero(out, "overflows", i, pmu_model_overflows(model, i));
		print_nonzero(out, "pmis", i, pmu_model_pmis(model, i));
	}
}

static void print_records(const struct out *out, const struct pmu_model *model)
{
	const struct pmu_model_records records = pmu_model_records(model);

	print(out, "pebs_records", records.written);
	print(out, "pebs_records_root", records.in_root);
	print(out, "pebs_records_dropped", records.dropped);
	print(out, "pebs_ds_faults", records.retried);
	print(out, "lbr_records", pmu_model_branches_recorded(model, false));
	print(out, "lbr_records_root", pmu_model_branches_recorded(model, true));
}

void stats_print(FILE *file, const char *prefix, const struct stats *stats, const struct pmu_model *model)
{
	const struct out out = { .file = file, .prefix = prefix };

	print_instructions(&out, stats);
	print_exits(&out, stats);
	print_msrs(&out, stats);
	print_interrupts(&out, stats, model);
	print_ipis(&out, stats);
	print_records(&out, model);
}
