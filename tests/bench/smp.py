#!/usr/bin/env python3
"""smp.py DIRECT-RUN SHARED-RUN: the exits of messages between processors, from two runs of tests/bench/smp_cost.c.

In shared mode a host event has a period, so that LVTPC is borrowed while the guest has it masked. An interrupt's exits are
those of who sends it and of who takes it, its EOI's among them; an INIT's, those from it to the second SIPI.
"""
import pathlib
import sys

from figures import Run, show

ACTIONS = {"eoi": "eoi", "ipi": "ipi", "nmi": "nmi", "pmi": "pmi", "start": "init"}
# Exit reasons INIT and SIPI; the others are of what the guest does to set itself up. SDM Vol. 3D, "VMX Basic Exit Reasons".
INIT = ("exits_reason_3", "exits_reason_4")


def main():
    for mode, directory in zip(("direct", "shared"), sys.argv[1:]):
        run = Run(pathlib.Path(directory))
        for phase in run.phases:
            action, _, apic = phase.partition("_")
            if action not in ACTIONS or (mode == "direct" and apic.endswith("_masked")):
                continue
            suffix = apic.replace("_masked", "_borrowed") + ("_direct" if mode == "direct" else "")
            statistics = INIT if action == "start" else ("exits",)
            exits = sum(run.per_action(phase, statistic) for statistic in statistics)
            show(f"smp_exits_per_{ACTIONS[action]}_{suffix}", exits)
        show(f"smp_root_instructions_per_init_{mode}", run.per_action("start_xapic", "root_instructions_reason_3"))


if __name__ == "__main__":
    main()
