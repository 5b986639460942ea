/* Plans as lists a person can follow. */
#include <inttypes.h>

#include "plan.h"
#include "tests/machine/pmu_model.h"

static const char *const names[NR_STEP_KINDS] = {
	[STEP_RETIRE] = "retire",
	[STEP_BRANCH] = "branch",
	[STEP_CPUID] = "cpuid",
	[STEP_RDMSR] = "rdmsr",
	[STEP_WRMSR] = "wrmsr",
	[STEP_RDPMC] = "rdpmc",
	[STEP_READ_LVTPC] = "read LVTPC",
	[STEP_WRITE_LVTPC] = "write LVTPC",
	[STEP_IRET] = "iret",
	[STEP_NMI] = "NMI from outside",
	[STEP_POLL] = "pmuvisor polls",
	[STEP_HOST] = "host events on/off",
	[STEP_STORE] = "store",
};

void step_print(const struct step *step, FILE *out)
{
	fprintf(out, "%s", names[step->kind]);
	switch ((unsigned)step->kind) {
	case STEP_RETIRE: fprintf(out, " %" PRIu64, step->value); break;
	case STEP_BRANCH: fprintf(out, " kind %" PRIu32 "%s", step->index, step->value ? " taken" : ""); break;
	case STEP_CPUID:
	case STEP_RDMSR:
	case STEP_RDPMC: fprintf(out, " %#" PRIx32, step->index); break;
	case STEP_STORE:
	case STEP_WRMSR: fprintf(out, " %#" PRIx32 " = %#" PRIx64, step->index, step->value); break;
	case STEP_WRITE_LVTPC: fprintf(out, " = %#" PRIx64, step->value); break;
	}
	fprintf(out, "%s%s", step->cpl ? " (user)" : "", step->late ? " (late)" : "");
	if (step->skid)
		fprintf(out, " (skid %u)", step->skid);
	if (step->root)
		fprintf(out, " [root %u]", step->root);
	fprintf(out, "\n");
}

static void print_event(const struct config_event *event, FILE *out)
{
	fprintf(out, "  host event %s:%s%s%s%s period %" PRIu64 "\n", event->name, event->user ? "u" : "",
		event->kernel ? "k" : "", event->guest ? " guest" : "", event->host ? " host" : "", event->period);
}

void plan_print(const struct plan *plan, FILE *out)
{
	const struct hv_config *config = &plan->config;

	fprintf(out, "seed %#" PRIx64 ": %s, host keeps %u counters and fixed %#" PRIx32 ", rdpmc %s, %s%s%s%s%s\n",
		plan->seed, plan_models[plan->model]->name, config->host_counters, config->host_fixed,
		config->rdpmc == CONFIG_RDPMC_DIRECT ? "direct" : "trap", plan->x2apic ? "x2APIC" : "xAPIC",
		plan->saves_ctrl ? ", exits save GLOBAL_CTRL" : "", plan->skids ? ", PMIs skid" : "",
		plan_has_pebs(plan) ? "" : ", no PEBS",
		config->lbr == CONFIG_LBR_GUEST  ? ""
		: config->lbr == CONFIG_LBR_HOST ? ", LBRs host"
						 : ", LBRs both");
	for (unsigned i = 0; i < config->nr_events; i++)
		print_event(&config->events[i], out);
	for (unsigned i = 0; i < plan->nr_steps; i++) {
		fprintf(out, "%4u  ", i);
		step_print(&plan->steps[i], out);
	}
}
