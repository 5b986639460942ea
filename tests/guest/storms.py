#!/usr/bin/python3 -B
"""What was sent in a run of tests/guest/stress.c and what arrived: the guest's counts, pmuvisor's and the machine's.

storms.py PREFIX DIRECTORY...: figures of these runs together, `name value` lines, the names led by PREFIX. judge.py asks
about each run by itself.
"""
import pathlib
import re
import sys

START, REPORT, PRINTED = 110, 111, 112  # tests/guest/lib/mark.h: MARK_STORM; before the first processor's report, after it
TICKS = 51_200_000                  # in an emulated second, docs/test-machine.md
SAMPLED = 0                         # the guest's counter
UNSEEN_PERIODS = 64                 # of the host's, from an INIT to where the guest sets up LVTPC
GUEST = re.compile(r"^# storm (\d+) sent (\d+) (\d+) resent (\d+) taken (\d+) (\d+) restarts (\d+) pmis (\d+) unseen (\d+)")
COUNTER = re.compile(r"^  counter (\d+) event .* period \d+ overflows (\d+)$", re.MULTILINE)
DUMP = re.compile(r"^pmuvisor dump number \d+ cpu (\d+) .*?^end$", re.MULTILINE | re.DOTALL)
PMI = re.compile(r"^  pmi host (\d+) host-late (\d+) guest \d+ guest-emulated (\d+) ", re.MULTILINE)


def read_marks(text):
    """Of each mark, and of the end, each processor's counts."""
    marks, block = {}, {}
    for line in text.splitlines():
        name, value = line.split()[:2]
        if name in ("mark", "end"):
            block = marks.setdefault(int(value) if name == "mark" else name, {})
        elif name == "ticks":
            block[name] = int(value)
        elif match := re.fullmatch(r"cpu(\d+)_(.*)", name):
            block.setdefault(int(match[1]), {})[match[2]] = int(value)
    return marks


class Processor:
    """One processor's counts by the guest, by pmuvisor's last dump of it, and by the machine since the storm began."""

    def __init__(self, line, marks, dumps):
        (self.number, self.ipis, self.nmis, self.resent, self.interrupts, _, self.restarts, self.pmis,
         self.unseen) = map(int, line.groups())
        self.marks = marks
        dump = dumps.get(self.number, "")
        self.counters = [counter for counter, _ in COUNTER.findall(dump)]
        self.periods = sum(int(count) for _, count in COUNTER.findall(dump))
        pmi = PMI.search(dump)
        self.host_pmis, self.emulated = (int(pmi[1]) + int(pmi[2]), int(pmi[3])) if pmi else (0, 0)

    def at(self, mark, name):
        return self.marks[mark][self.number].get(name, 0)

    def since(self, name):
        return self.at("end", name) - self.at(START, name)

    def equal(self):
        """What must be equal, by its name: what was sent, and what arrived."""
        inits = self.restarts + (self.number > 0) # the last one into x2APIC mode
        return {
            "interrupts sent": (self.since("ipis_sent_fixed"), self.ipis),
            "NMIs sent": (self.since("ipis_sent_nmi"), self.nmis),
            "interrupts taken": (self.since("interrupts_taken"), self.interrupts),
            "interrupts merged": (self.since("interrupts_merged"), 0),
            "INITs": (self.since("ipis_received_init"), self.since("inits_taken")),
            "INITs of the guest's": (self.since("inits_taken"), inits),
            "SIPIs": (self.since("startups_taken"), inits),
            "PMIs of the guest's": (self.since(f"pmis_{SAMPLED}") + self.emulated, self.pmis + self.unseen),
            "NMIs and PMIs": (self.since("ipis_received_nmi") + self.since("pmis_delivered"), self.since("nmis_raised")),
        }

    def complaints(self):
        said = [f"processor {self.number}: {name}: {sent} sent, {arrived} arrived"
                for name, (sent, arrived) in self.equal().items() if sent != arrived]
        least, most = (sum(self.at(mark, f"pmis_{counter}") for counter in self.counters)
                       for mark in (REPORT + 2 * self.number, PRINTED))
        if not least <= self.host_pmis <= most:
            said.append(f"processor {self.number}: {self.host_pmis} overflows of the host's counters, by the machine {least} "
                        f"to {most}")
        # A period without an overflow of its own has passed before the last one was seen: while the APIC can't tell.
        if self.periods - self.host_pmis > UNSEEN_PERIODS * (1 + self.since("inits_taken")):
            said.append(f"processor {self.number}: {self.periods} periods of the host's, and only {self.host_pmis} overflows "
                        "were seen")
        if not 0 <= self.at("end", "nmis_raised") - self.at("end", "nmis_merged") - self.at("end", "nmis_taken") <= self.restarts:
            said.append(f"processor {self.number}: NMIs were lost")
        return said


def read(directory):
    texts = [(directory / name).read_text(errors="replace").replace("\r", "") if (directory / name).exists() else ""
             for name in ("com1.txt", "stats.txt", "com2.txt")]
    marks, dumps = read_marks(texts[1]), {int(dump[1]): dump[0] for dump in DUMP.finditer(texts[2])}
    lines = filter(None, map(GUEST.match, texts[0].splitlines()))
    return [Processor(line, marks, dumps) for line in lines]


def complaints(mode, directory):
    processors = read(directory)
    said = [complaint for processor in processors for complaint in processor.complaints()]
    if len(processors) < 2:
        said.append("the guest doesn't say what its processors sent")
    if mode == "shared" and not all(processor.counters for processor in processors):
        said.append("pmuvisor doesn't say of each processor how often the host's counters overflowed")
    return said


def main():
    prefix, *directories = sys.argv[1:]
    runs = [read(pathlib.Path(directory)) for directory in directories]
    processors = [processor for run in runs for processor in run]
    ticks = sum(run[0].marks["end"]["ticks"] - run[0].marks[START]["ticks"] for run in runs if run)
    lost = sum(len(processor.complaints()) for processor in processors)
    figures = {
        "runs": len(runs),
        "seconds": ticks // TICKS,
        "instructions_per_second": sum(processor.since("instructions") for processor in processors) * TICKS // ticks,
        "interrupts": sum(processor.ipis for processor in processors),
        "nmis": sum(processor.nmis for processor in processors),
        "inits": sum(processor.since("inits_taken") for processor in processors),
        "guest_pmis": sum(processor.pmis for processor in processors),
        "host_pmis": sum(processor.host_pmis for processor in processors),
        "lost": lost,
    }
    for name, value in figures.items():
        print(f"{prefix}_{name} {value}")
    return bool(lost) or not all(runs)


if __name__ == "__main__":
    sys.exit(main())
