#!/usr/bin/env python3
"""records.py OUT: what PEBS and LBRs cost an exit, and what came of a long run of PEBS records, as figures.

OUT has the runs of tests/bench/pebs_cost.c and lbr_cost.c, as tests/guest/all.sh calls them. MSR accesses are those that
root mode executed to answer CPUID and those of the VMX MSR areas, the latter by exits of any reason. What is said to be
added is the difference to the same exit without records. The exit status says whether all is as docs/contract.md has it.
"""
import pathlib
import sys

from figures import LIMITS, Run, excesses, read_marks, show

MARK_BEGIN, MARK_END = 102, 103  # tests/guest/lib/mark.h
CPUID = 10                       # exit reason, SDM Vol. 3D, "VMX Basic Exit Reasons"
# What costs nothing when nobody uses it, what the VMX MSR areas hold, and what starts recording.
LIMITS.update({
    "pebs_exits_per_pmi_direct": 0, "pebs_exits_per_pmi_shared": 2, "pebs_msr_per_exit_unused": 0,
    "pebs_msr_per_exit_used": 3, "pebs_root_instructions_per_exit_unused": 0, "lbr_msr_per_exit_guest": 0,
    "lbr_root_instructions_per_exit_guest": 0, "lbr_arch_msr_per_exit_guest": 0,
    "lbr_arch_root_instructions_per_exit_guest": 0, "lbr_msr_per_exit_both_outside": 0,
    "lbr_root_instructions_per_exit_both_outside": 0, "lbr_arch_msr_per_exit_both_outside": 0,
    "lbr_arch_root_instructions_per_exit_both_outside": 0,
    "lbr_msr_per_exit_host": 1, "lbr_arch_msr_per_exit_host": 2})


class Costs(Run):
    def __init__(self, directory):
        super().__init__(directory)
        self.directory = directory

    def exits(self, phase, reason=None):
        return self.difference(phase, f"exits_reason_{reason}" if reason else "exits")

    def msrs(self, phase):
        areas = self.difference(phase, "msr_area_loads") + self.difference(phase, "msr_area_stores")
        return (self.difference(phase, f"root_msr_reason_{CPUID}") / self.exits(phase, CPUID)
                + areas / self.exits(phase))

    def instructions(self, phase):
        return self.difference(phase, f"root_instructions_reason_{CPUID}") / self.exits(phase, CPUID)


def show_pebs(out):
    """The dearer mode's, but for exits."""
    runs = {mode: Costs(out / f"{mode}-pebs_cost") for mode in ("direct", "shared")}
    hidden = {mode: Costs(out / f"{mode}-pebs_cost-off") for mode in runs}
    for mode, run in runs.items():
        show(f"pebs_exits_per_pmi_{mode}", run.per_action("pmi", "exits", "work"))
        show(f"pebs_root_instructions_per_pmi_{mode}", run.per_action("pmi", "instructions_root", "work"))
    show("pebs_msr_per_exit_unused", max(run.msrs("cpuid") - hidden[mode].msrs("cpuid") for mode, run in runs.items()))
    show("pebs_msr_per_exit_used", max(run.msrs("cpuid_pebs") - run.msrs("cpuid_counted") for run in runs.values()))
    show("pebs_root_instructions_per_exit_unused",
         max(run.instructions("cpuid") - hidden[mode].instructions("cpuid") for mode, run in runs.items()))
    show("pebs_root_instructions_per_exit",
         max(run.instructions("cpuid_pebs") - run.instructions("cpuid_counted") for run in runs.values()))


def show_lbr(out, prefix, tag):
    """Added by each owner, to an exit while nobody records. With both the host samples root mode, or only outside."""
    nobody = Costs(out / f"shared-lbr_cost{tag}")
    host, both, outside = (Costs(out / f"shared-lbr_cost{tag}-{name}") for name in ("host", "both", "both-outside"))
    for owner, run, phase in (("guest", nobody, "cpuid_lbr"), ("host", host, "cpuid"), ("both", both, "cpuid_lbr"),
                              ("both_outside", outside, "cpuid_lbr")):
        show(f"{prefix}_msr_per_exit_{owner}", run.msrs(phase) - nobody.msrs("cpuid"))
        show(f"{prefix}_root_instructions_per_exit_{owner}", run.instructions(phase) - nobody.instructions("cpuid"))


def show_records(run):
    """Whether a record was lost on the way, or written where no guest may have one."""
    marks = read_marks(run / "stats.txt")
    said = dict(line.split() for line in (run / "figures").read_text().splitlines())
    end = marks["end"]
    taken = int(said["pebs_records_taken"])
    written = marks[MARK_END]["pebs_records"] - marks[MARK_BEGIN].get("pebs_records", 0)
    lost = int(said["pebs_records_expected"]) - taken + end["pebs_records_dropped"]
    host_pmis = sum(marks[MARK_END].get(f"pmis_{counter}", 0) - marks[MARK_BEGIN].get(f"pmis_{counter}", 0)
                    for counter in (6, 7))
    print("pebs_records", taken)
    print("pebs_records_lost", lost)
    print("pebs_records_root", end["pebs_records_root"])
    print("pebs_records_host_pmis", host_pmis)
    return bool(lost or end["pebs_records_root"] or written != taken or taken == 0 or host_pmis == 0)


def main():
    out = pathlib.Path(sys.argv[1])
    show_pebs(out)
    show_lbr(out, "lbr", "")
    show_lbr(out, "lbr_arch", "-sapphire_rapids")
    both = Costs(out / "shared-lbr_cost-sapphire_rapids-both")
    show("lbr_arch_xsaves_per_exit_both",
         sum(both.difference("cpuid_lbr", name) for name in ("root_xsaves", "root_xrstors")) / both.exits("cpuid_lbr"))
    wrong = show_records(out / "shared-pebs_cost-long")
    return int(wrong or bool(excesses))


sys.exit(main())
