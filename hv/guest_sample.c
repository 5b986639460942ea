#include "guest_sample.h"
#include "cpu.h"
#include "sample.h"

static void keep_branches(const struct sample_ring *ring, unsigned n, struct guest_sample *taken)
{
	taken->nr_branches = n;
	for (unsigned i = 0; i < n; i++)
		taken->branches[i] = *sample_branch(ring, i);
}

int64_t guest_sample_take(struct cpu *cpu)
{
	struct sample_ring *ring = sample_ring_of(cpu);
	struct regs *guest = &cpu->guest;
	const struct sample *sample;

	if (cpu->boot->config.samples != CONFIG_SAMPLES_GUEST)
		return PMUVISOR_E_SAMPLES;
	sample = sample_peek(ring);
	if (!sample)
		return PMUVISOR_E_NONE;
	guest->rdx = sample->tsc;
	guest->rsi = sample->rip;
	guest->rdi = sample->cr3;
	guest->rbx = FIELD_PUT(PMUVISOR_SAMPLE_EVENT, sample->event) | FIELD_PUT(PMUVISOR_SAMPLE_CPL, sample->cpl) |
		     FIELD_PUT(PMUVISOR_SAMPLE_BRANCHES, sample->nr_branches) |
		     (sample->root ? PMUVISOR_SAMPLE_ROOT : 0);
	keep_branches(ring, sample->nr_branches, &cpu->guest_sample);
	sample_drop(ring);
	return 0;
}

int64_t guest_sample_branches(struct cpu *cpu)
{
	static const struct lbr_branch none;
	const struct guest_sample *taken = &cpu->guest_sample;
	struct regs *guest = &cpu->guest;
	uint64_t n = guest->rdx;
	const struct lbr_branch *second;

	if (n >= taken->nr_branches)
		return PMUVISOR_E_ARGUMENT;
	second = n + 1 < taken->nr_branches ? &taken->branches[n + 1] : &none;
	guest->rdx = taken->branches[n].from;
	guest->rsi = taken->branches[n].to;
	guest->rdi = second->from;
	guest->rbx = second->to;
	return 0;
}
