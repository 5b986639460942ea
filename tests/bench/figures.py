#!/usr/bin/env python3
"""figures.py DIRECT-RUN SHARED-RUN [PREFIX]: the cost figures, `name value` lines, from two runs of tests/bench/exits.c.

Each run directory has the guest's `tap` (lines `phase NAME MARK ACTIONS`) and the machine's stats.txt (blocks of
`name value` headed `mark N`). A figure is the difference between a phase's two marks, less that of the phase
without the action, divided by the number of actions. The exit status says whether none is above its limit.
"""
import pathlib
import sys

COUNTERS = ("rdmsr_counter", "wrmsr_counter", "rdmsr_legacy_counter", "rdmsr_fixed_counter")
SELECTORS = ("rdmsr_selector", "wrmsr_selector", "wrmsr_fixed_ctrl")
# AMD's: of a selector that is on pmuvisor's part must not show.
SELECTORS_ON = ("rdmsr_selector_on", "wrmsr_selector_on")
# Exit reason 52: VMX-preemption timer expired. SDM Vol. 3D, "VMX Basic Exit Reasons".
TIMER = {"exits": "exits_reason_52", "instructions_root": "root_instructions_reason_52",
         "root_msr": "root_msr_reason_52"}


def read_marks(path):
    marks, block = {}, {}
    for line in path.read_text().splitlines():
        name, value = line.split()[:2]
        if name in ("mark", "end"):
            block = marks.setdefault(int(value) if name == "mark" else name, {})
        else:
            block[name] = int(value)
    return marks


class Run:
    def __init__(self, directory):
        self.marks = read_marks(directory / "stats.txt")
        self.phases = {}
        for line in (directory / "tap").read_text().splitlines():
            if line.startswith("phase "):
                _, name, mark, actions = line.split()
                self.phases[name] = (int(mark), int(actions))

    def difference(self, phase, statistic):
        begin, end = (self.marks[self.phases[phase][0] + i] for i in range(2))
        return end.get(statistic, 0) - begin.get(statistic, 0)

    def per_action(self, phase, statistic, without="empty"):
        surplus = self.difference(phase, statistic) - self.difference(without, statistic)
        # The serial console's timer comes when it likes, and belongs to no action.
        if statistic in TIMER:
            surplus -= self.difference(phase, TIMER[statistic]) - self.difference(without, TIMER[statistic])
        return surplus / self.phases[phase][1]

    def most(self, phases, statistic):
        return max(self.per_action(phase, statistic) for phase in phases if phase in self.phases)


PREFIX = sys.argv[3] if len(sys.argv) > 3 else ""
# The most that a figure may be.
LIMITS = {"root_instructions_per_cpuid": 185, "amd_root_instructions_per_cpuid": 220,
          "amd_zen3_root_instructions_per_cpuid": 220, "root_instructions_per_pmi_shared": 1400,
          "amd_root_instructions_per_pmi_shared": 2900, "amd_zen3_root_instructions_per_pmi_shared": 6100}
excesses = []


def show(name, value):
    name = PREFIX + name
    print(name, f"{value:.2f}".rstrip("0").rstrip("."))
    if value > LIMITS.get(name, value):
        excesses.append(name)
        print(f"{name} is more than {LIMITS[name]}", file=sys.stderr)


def main():
    runs = {"direct": Run(pathlib.Path(sys.argv[1])), "shared": Run(pathlib.Path(sys.argv[2]))}
    for mode, run in runs.items():
        show(f"exits_per_guest_pmi_{mode}", run.per_action("pmi", "exits", "work"))
        show(f"exits_per_rdpmc_{mode}", run.per_action("rdpmc", "exits"))
        if "wrmsr_global_ctrl" in run.phases:
            show(f"exits_per_global_ctrl_write_{mode}", run.per_action("wrmsr_global_ctrl", "exits"))
            show(f"exits_per_global_ctrl_read_{mode}", run.per_action("rdmsr_global_ctrl", "exits"))
        show(f"root_instructions_per_pmi_{mode}", run.per_action("pmi", "instructions_root", "work"))
        show(f"root_msr_per_pmi_{mode}", run.per_action("pmi", "root_msr", "work"))
        show(f"root_instructions_per_cpuid_{mode}", run.per_action("cpuid", "instructions_root"))
        show(f"root_instructions_per_counted_cpuid_{mode}", run.per_action("cpuid_counted", "instructions_root"))
        show(f"root_msr_per_cpuid_{mode}", run.per_action("cpuid", "root_msr"))
    # The worst of every kind of access in both modes. AMD's selectors exit, and are a figure of their own.
    accesses = {"counter": COUNTERS + SELECTORS}
    if any(phase in run.phases for run in runs.values() for phase in SELECTORS_ON):
        accesses = {"counter": COUNTERS, "selector_write": ("wrmsr_selector", "wrmsr_selector_on"),
                    "selector_read": ("rdmsr_selector",), "selector_read_on": ("rdmsr_selector_on",)}
    for name, phases in accesses.items():
        show(f"exits_per_{name}_access" if name == "counter" else f"exits_per_{name}",
             max(run.most(phases, "exits") for run in runs.values()))
    # A figure without a mode is the dearer mode's.
    show("root_instructions_per_cpuid", max(run.per_action("cpuid", "instructions_root") for run in runs.values()))
    show("root_msr_per_cpuid", max(run.per_action("cpuid", "root_msr") for run in runs.values()))
    return bool(excesses)


if __name__ == "__main__":
    sys.exit(main())
