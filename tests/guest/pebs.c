/*
 * PEBS: every overflow of a counter gives one record, of the right instruction, with the right contents.
 *
 * What the hardware does: a wrap arms the counter; the next instruction that causes the event (with PDist the very one
 * that wrapped, for events that are not precise any instruction) has its state written to the buffer and the counter
 * reloaded from the DS area, with no software in between; the buffer's threshold, not the counter, interrupts. What
 * breaks: a hypervisor whose exits lose records or leave one armed, that keeps the counter's status bit or takes it
 * for an overflow of its own, or that lets a profiler's registers through to a part that it owns. How the test tells:
 * code of known length and known addresses; by the period each record's instruction is known.
 */
#include "boot.h"
#include "branches.h"
#include "lbr.h"
#include "pebs_sampler.h"
#include "pmu.h"
#include "tap.h"
#include "trap.h"
#include "workload.h"

const char test_title[] = "pebs: one record for each overflow, of the right instruction";

#define ROUNDS   2000
#define USR      PERFEVTSEL_USR
#define MAX_SEEN 64

static struct {
	uint64_t ips[MAX_SEEN]; /* the first ones */
	uint64_t counters;      /* of all records, together */
	unsigned wrong;         /* records that the test at hand didn't expect */
} seen;

static void note(const struct pebs_basic *record)
{
	if (pebs_sampler.samples < MAX_SEEN)
		seen.ips[pebs_sampler.samples] = record->ip;
	seen.counters |= record->counters;
	seen.wrong += record->counters & ~pebs_sampler.counters || !record->counters;
	seen.wrong += record->format != ds_record_format(pebs_sampler.config);
}

static void begin(void (*on_record)(const struct pebs_basic *record))
{
	seen.counters = seen.wrong = 0;
	pebs_sampler_init(on_record);
}

static void judge(const char *name, uint64_t samples, uint64_t pmis)
{
	tap_equal(pebs_sampler.samples, samples, "%s: records", name);
	tap_equal(pebs_sampler.pmis, pmis, "%s: NMIs for them", name);
	tap_equal(pebs_sampler.armed + pebs_sampler.strays, 0, "%s: no other NMI", name);
	tap_equal(seen.wrong, 0, "%s: all as they should be", name);
	tap_equal(rdmsr(MSR_IA32_PERF_GLOBAL_STATUS) & PERF_GLOBAL_STATUS_OVF_BUF, 0, "%s: no status bit left", name);
}

/*
 * Six instructions in the loop, and one that the reload takes away: every sixth record is of the same instruction when
 * the distance is one more than a multiple of six, and of no other before.
 */
static void judge_ips(const char *name)
{
	unsigned wrong = 0;

	for (unsigned i = 0; i < 60; i++) {
		for (unsigned j = 0; j < i; j++)
			wrong += (seen.ips[i] == seen.ips[j]) != ((i - j) % WORK_LOOP_BODY == 0);
		wrong += seen.ips[i] < (uint64_t)work_loop || seen.ips[i] > (uint64_t)work_loop + 64;
	}
	tap_equal(wrong, 0, "%s: of one instruction of the loop after the other", name);
}

#define DISTANCE (16 * WORK_LOOP_BODY + 1)

static void test_reduced_skid(void)
{
	uint64_t samples = WORK_LOOP_INSTRUCTIONS(ROUNDS) / DISTANCE;

	work_rounds = ROUNDS;
	begin(note);
	pebs_sampler_add(1, EVENT_INSTRUCTIONS, USR, DISTANCE - 1);
	pebs_sampler_run(1, work_loop);
	judge("reduced skid", samples, samples);
	judge_ips("reduced skid");
	tap_figure("pebs_reduced_skid_records", pebs_sampler.samples);
}

static void test_distribution(void)
{
	uint64_t samples = WORK_LOOP_INSTRUCTIONS(ROUNDS) / DISTANCE;

	work_rounds = ROUNDS;
	begin(note);
	pebs_sampler_add(FIXED_INSTRUCTIONS, 0, USR, DISTANCE);
	pebs_sampler_run(1, work_loop);
	judge("precise distribution", samples, samples);
	judge_ips("precise distribution");
	tap_figure("pebs_distribution_records", pebs_sampler.samples);
}

/*
 * With exits in the code: no record is lost. One that is due with an instruction that a hypervisor carries out is of
 * the next one instead, and the period longer by that.
 */
static void test_exits(void)
{
	uint64_t total = WORK_CPUID_INSTRUCTIONS(ROUNDS);

	work_rounds = ROUNDS;
	begin(note);
	pebs_sampler_add(2, EVENT_INSTRUCTIONS, USR, 49);
	pebs_sampler_run(1, work_cpuid);
	tap_check(pebs_sampler.samples >= total / 51 && pebs_sampler.samples <= total / 50,
		  "CPUID in the loop: %lu records", pebs_sampler.samples);
	tap_equal(seen.wrong + pebs_sampler.strays, 0, "CPUID in the loop: all as they should be");
}

static bool is_branch(uint64_t ip)
{
	for (unsigned i = 0; i < BRANCHES_LOOP; i++)
		if (ip == (uint64_t)branches_base + branches_loop_table[i].from)
			return true;
	return false;
}

static void note_branch(const struct pebs_basic *record)
{
	note(record);
	seen.wrong += !is_branch(record->ip);
}

/* The last record may be of the INT 80h behind the loop: the rounds are such that it is not. */
static void test_branches(void)
{
	branches_rounds = ROUNDS;
	begin(note_branch);
	pebs_sampler_add(3, EVENT_BRANCHES, USR, 100);
	pebs_sampler_run(1, branches_loop);
	tap_check(pebs_sampler.samples >= BRANCHES_LOOP * ROUNDS / 101 &&
			  pebs_sampler.samples <= BRANCHES_LOOP * ROUNDS / 101 + 1,
		  "branches: %lu records", pebs_sampler.samples);
	tap_equal(seen.wrong, 0, "branches: each of a branch");
	tap_figure("pebs_branch_records", pebs_sampler.samples);
}

#define MODEL_MASK  UINT32_C(0x0fff0ff0)
#define ICE_LAKE_SP UINT32_C(0x000606a0)

/* From Golden Cove on counter 0 has PDist for branches: no event is lost to the reload. */
static void test_branch_distribution(void)
{
	bool pdist = (cpuid(1, 0).eax & MODEL_MASK) != ICE_LAKE_SP;

	branches_rounds = ROUNDS;
	begin(note_branch);
	pebs_sampler_add(0, EVENT_BRANCHES, USR, 200);
	pebs_sampler_run(1, branches_loop);
	tap_equal(pebs_sampler.samples, BRANCHES_LOOP * ROUNDS / (pdist ? 200 : 201),
		  "branches in counter 0, %s PDist: records", pdist ? "with" : "without");
	tap_equal(seen.wrong, 0, "branches in counter 0: each of a branch");
}

/* The interrupt comes with every fourth record; what is left is found in the buffer. */
static void test_threshold(void)
{
	uint64_t samples = WORK_LOOP_INSTRUCTIONS(ROUNDS) / 50;

	work_rounds = ROUNDS;
	begin(note);
	pebs_sampler_add(1, EVENT_INSTRUCTIONS, USR, 49);
	pebs_sampler_run(4, work_loop);
	judge("four records", samples, samples / 4);
}

static void test_counter(unsigned counter)
{
	work_rounds = ROUNDS;
	begin(note);
	pebs_sampler_add(counter, EVENT_INSTRUCTIONS, USR, 1000);
	pebs_sampler_run(1, work_loop);
	tap_check(pebs_sampler.samples > 0 && pebs_sampler.pmis == pebs_sampler.samples, "counter %u: %lu records",
		  counter, pebs_sampler.samples);
	tap_equal(seen.wrong + pebs_sampler.strays + pebs_sampler.armed, 0, "counter %u: all as they should be",
		  counter);
}

static void test_every_counter(void)
{
	for (unsigned counter = 0; counter < 64; counter++)
		if ((pmu.gp_mask | pmu.fixed_mask) & BIT(counter))
			test_counter(counter);
}

/* Counters that fall due at one instruction share a record. */
static void test_shared_record(void)
{
	uint64_t samples = WORK_LOOP_INSTRUCTIONS(ROUNDS) / 200;

	work_rounds = ROUNDS;
	begin(note);
	pebs_sampler_add(1, EVENT_INSTRUCTIONS, USR, 199);
	pebs_sampler_add(pmu.nr_gp - 1, EVENT_INSTRUCTIONS, USR, 199);
	pebs_sampler_run(1, work_loop);
	judge("two counters", samples, samples);
	tap_equal(seen.counters, BIT(1) | BIT(pmu.nr_gp - 1), "two counters: in one record");
}

/* The counter interrupts when it wraps, the buffer when the record is there: twice for each. */
static void test_interrupt(void)
{
	uint64_t samples = WORK_LOOP_INSTRUCTIONS(ROUNDS) / 200;

	work_rounds = ROUNDS;
	begin(note);
	pebs_sampler_add(1, EVENT_INSTRUCTIONS, USR | PERFEVTSEL_INT, 199);
	pebs_sampler_run(1, work_loop);
	tap_equal(pebs_sampler.samples, samples, "INT too: records");
	tap_equal(pebs_sampler.pmis, samples, "INT too: an NMI for each record");
	tap_equal(pebs_sampler.armed, samples, "INT too: and one for each overflow");
}

/* Without Adaptive_Record in a selector, PEBS_DATA_CFG has no say. */
static void test_not_adaptive(void)
{
	uint64_t samples = WORK_LOOP_INSTRUCTIONS(ROUNDS) / 200;

	work_rounds = ROUNDS;
	begin(note);
	pebs_sampler_add(1, EVENT_INSTRUCTIONS, USR, 199);
	wrmsr(MSR_PEBS_DATA_CFG, PEBS_CFG_GPR);
	pebs_sampler_run(1, work_loop);
	judge("not adaptive", samples, samples);
}

static unsigned wrong_gprs(const struct pebs_basic *record, const struct pebs_gprs *gprs)
{
	static const uint8_t *const loop[] = { work_registers_nop, work_registers_dec, work_registers_jnz,
					       work_registers_nop };
	unsigned wrong = 0;

	for (unsigned i = 0; i < 16; i++)
		wrong += i != 4 && gprs->regs[i] != i * UINT64_C(0x1111111111111111); /* 4 is RSP */
	for (unsigned i = 0; i < WORK_REGISTERS_BODY; i++)
		if (record->ip == (uint64_t)loop[i])
			return wrong + (gprs->rip != (uint64_t)loop[i + 1] || !(gprs->rflags & RFLAGS_IF));
	return wrong + 1;
}

static unsigned wrong_xmms(const struct pebs_xmms *xmms)
{
	unsigned wrong = 0;

	for (unsigned i = 0; i < 16; i++)
		wrong += xmms->regs[i][0] != 0x100 + i || xmms->regs[i][1] != 0x200 + i;
	return wrong;
}

static void note_registers(const struct pebs_basic *record)
{
	const uint8_t *at = (const uint8_t *)(record + 1);

	note(record);
	if (pebs_sampler.config & PEBS_CFG_GPR) {
		seen.wrong += wrong_gprs(record, (const struct pebs_gprs *)at);
		at += sizeof(struct pebs_gprs);
	}
	if (pebs_sampler.config & PEBS_CFG_XMM)
		seen.wrong += wrong_xmms((const struct pebs_xmms *)at);
}

static void test_registers(const char *name, uint64_t config)
{
	work_rounds = ROUNDS;
	begin(note_registers);
	pebs_sampler_add(1, EVENT_INSTRUCTIONS, USR, 2 * WORK_REGISTERS_SETUP);
	pebs_sampler_adaptive(config);
	pebs_sampler_run(1, work_registers);
	tap_check(pebs_sampler.samples >= WORK_REGISTERS_BODY * ROUNDS / (2 * WORK_REGISTERS_SETUP + 1),
		  "%s: %lu records", name, pebs_sampler.samples);
	tap_equal(pebs_sampler.pmis, pebs_sampler.samples, "%s: an NMI for each", name);
	tap_equal(seen.wrong, 0, "%s: registers of the instruction", name);
}

/* The row of branches_loop_table; BRANCHES_LOOP: none. */
static unsigned row_of(const struct pebs_lbr *entry)
{
	unsigned row = 0;

	while (row < BRANCHES_LOOP && (entry->from != (uint64_t)branches_base + branches_loop_table[row].from ||
				       entry->to != (uint64_t)branches_base + branches_loop_table[row].to))
		row++;
	return row;
}

#define NR_LBRS 5

/* The newest first: each entry is the branch before the last one. */
static void note_lbrs(const struct pebs_basic *record)
{
	const struct pebs_lbr *entries = (const struct pebs_lbr *)(record + 1);

	note(record);
	for (unsigned i = 0; i < NR_LBRS; i++) {
		seen.wrong += row_of(&entries[i]) >= BRANCHES_LOOP;
		if (i > 0)
			seen.wrong += (row_of(&entries[i]) + 1) % BRANCHES_LOOP != row_of(&entries[i - 1]);
	}
}

static void test_lbrs(void)
{
	branches_rounds = ROUNDS;
	lbr_init();
	begin(note_lbrs);
	pebs_sampler_add(1, EVENT_INSTRUCTIONS, USR, 499);
	pebs_sampler_adaptive(PEBS_CFG_LBR | PEBS_CFG_LBRS(NR_LBRS));
	lbr_start(LBR_USER | LBR_ALL_TYPES);
	pebs_sampler_run(1, branches_loop);
	lbr_stop();
	tap_check(pebs_sampler.samples > 10, "LBRs: %lu records", pebs_sampler.samples);
	tap_equal(seen.wrong, 0, "LBRs: the last branches, the newest first");
}

static void note_clipped(const struct pebs_basic *record)
{
	uint64_t clipped = (pebs_sampler.config & ~UINT64_C(0xff000000)) | PEBS_CFG_LBRS(lbr.depth);

	seen.wrong += record->format != ds_record_format(clipped);
}

/* More entries than the stack has: the record shrinks. */
static void test_clipped_lbrs(void)
{
	work_rounds = ROUNDS;
	begin(note_clipped);
	pebs_sampler_add(1, EVENT_INSTRUCTIONS, USR, 999);
	pebs_sampler_adaptive(PEBS_CFG_LBR | PEBS_CFG_LBRS(lbr.depth + 1));
	lbr_start(LBR_USER | LBR_ALL_TYPES);
	pebs_sampler_run(1, work_loop);
	lbr_stop();
	tap_check(pebs_sampler.samples > 5, "too many LBRs: %lu records", pebs_sampler.samples);
	tap_equal(seen.wrong, 0, "too many LBRs: as many as there are");
}

/* Counter 1 is armed by software, with nothing running: the status bit is there until the record is. */
static void test_arming(void)
{
	begin(note);
	pebs_sampler_add(1, EVENT_INSTRUCTIONS, USR, 1000000);
	ds_init(8, sizeof(struct pebs_basic));
	wrmsr(MSR_IA32_PEBS_ENABLE, BIT(1));
	wrmsr(MSR_IA32_PERF_GLOBAL_STATUS_SET, BIT(1));
	tap_equal(rdmsr(MSR_IA32_PERF_GLOBAL_STATUS), BIT(1), "armed: the status bit");
	wrmsr(MSR_IA32_PEBS_ENABLE, 0);
	tap_equal(rdmsr(MSR_IA32_PERF_GLOBAL_STATUS), BIT(1), "PEBS off: it is an overflow");
	work_rounds = 1;
	wrmsr(MSR_IA32_PEBS_ENABLE, BIT(1));
	wrmsr(MSR_IA32_PERF_GLOBAL_CTRL, BIT(1));
	user_run(work_loop);
	wrmsr(MSR_IA32_PERF_GLOBAL_CTRL, 0);
	wrmsr(MSR_IA32_PEBS_ENABLE, 0);
	tap_equal(rdmsr(MSR_IA32_PERF_GLOBAL_STATUS), 0, "PEBS on: it becomes a record");
	tap_equal(ds_next(NULL) ? ds_next(NULL)->ip : 0, (uint64_t)work_loop, "of the first instruction that counts");
	tap_equal(ds_drain(), 1, "and no other");
	wrmsr(MSR_IA32_PERF_GLOBAL_STATUS_RESET, BIT(1));
}

static void test_inuse(void)
{
	pmu_reset();
	wrmsr(MSR_IA32_PEBS_ENABLE, BIT(0));
	tap_equal(rdmsr(MSR_IA32_PERF_GLOBAL_INUSE) & BIT(63), BIT(63), "INUSE: PEBS may interrupt");
	wrmsr(MSR_IA32_PEBS_ENABLE, 0);
	tap_equal(rdmsr(MSR_IA32_PERF_GLOBAL_INUSE) & BIT(63), 0, "INUSE: nothing may");
}

void test_main(void)
{
	pmu_init();
	if (!ds_has_pebs())
		tap_abort("there is no PEBS");
	test_reduced_skid();
	test_distribution();
	test_exits();
	test_branches();
	test_branch_distribution();
	test_threshold();
	test_every_counter();
	test_shared_record();
	test_interrupt();
	test_not_adaptive();
	test_registers("GPRs", PEBS_CFG_GPR);
	test_registers("XMMs", PEBS_CFG_XMM);
	test_registers("GPRs and XMMs", PEBS_CFG_GPR | PEBS_CFG_XMM);
	test_lbrs();
	test_clipped_lbrs();
	test_arming();
	test_inuse();
}
