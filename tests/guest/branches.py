"""What a run under pmuvisor says of last branch records: who was recorded, and whose branches the host captured."""
import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))

import samples  # noqa: E402

HV_BASE = 0xffffffff80000000  # hv/boot_info.h: where pmuvisor runs; the tests' guests run far below
EVENT = re.compile(r"^event = ([^ \n]*)(?: +period=\d+)", re.MULTILINE)
DUMP = re.compile(r"^pmuvisor dump number .*?^end$", re.MULTILINE | re.DOTALL)
CAPTURES = re.compile(r"^  lbr captures (\d+)$", re.MULTILINE)
BRANCH = re.compile(r"^  branch from (0x[0-9a-f]+) to (0x[0-9a-f]+)$", re.MULTILINE)
SAMPLE_BRANCHES = re.compile(r"^sample-branches = (\d+)$", re.MULTILINE)
TOLD = re.compile(r"^# branch ([0-9a-f]+) ([0-9a-f]+)$", re.MULTILINE)


def pairs(pattern, text):
    return [(int(source, 16), int(target, 16)) for source, target in pattern.findall(text)]


def sampled(configuration, word, other):
    """Has an event with a period that counts in `word`, host or guest?"""
    return any(f":{word}" in event or f":{other}" not in event for event in EVENT.findall(configuration))


def misrecorded(owner, root_sampled, stats):
    """Root mode records where the host samples it, and nowhere else."""
    count = re.search(r"^lbr_records_root (\d+)$", stats, re.MULTILINE)
    if not count:
        return ["the machine doesn't say whether root mode was recorded"]
    expected = owner != "guest" and root_sampled
    if bool(int(count[1])) != expected:
        return [f"{count[1]} branches of root mode were recorded, {'some' if expected else 'none'} expected"]
    return []


def misplaced(owner, root_sampled, dumps):
    """Shared LBRs have pmuvisor's branches alone; the host's own have none of them, unless it samples root mode too."""
    branches = [pair for dump in dumps for pair in pairs(BRANCH, dump)]
    in_pmuvisor = [source >= HV_BASE and target >= HV_BASE for source, target in branches]
    if owner == "both" and not all(in_pmuvisor):
        return ["a captured branch is not pmuvisor's"]
    if owner == "host" and not root_sampled and any(in_pmuvisor):
        return ["a captured branch is pmuvisor's"]
    return []


def off(told, branches):
    """They go backwards round the loop that the guest told, newest first."""
    if not branches or not told:
        return [f"{len(branches)} branches were captured, {len(told)} told"]
    if any(branch not in told for branch in branches):
        return [f"{branches} are not branches of {told}"]
    places = [told.index(branch) for branch in branches]
    if any((later - earlier) % len(told) != 1 for later, earlier in zip(places, places[1:])):
        return [f"the captured branches are no path: {places}"]
    return []


def off_the_loop(told, root_sampled, dump):
    branches = pairs(BRANCH, dump)
    if root_sampled and any(source >= HV_BASE for source, _ in branches):
        return []  # of a PMI in root mode, wherever the guest was
    return off(told, branches)


def samples_off_the_loop(told, number, com2):
    """Each sample that was sent has so many branches, and they are the loop's."""
    lines = [line for line in com2.split("\n")[:-1] if line.startswith("pmuvisor samples ")]
    sent = [list(sample.branches) for line in lines for sample in samples.decode(line).samples]
    wrong = [f"a sample has {len(branches)} branches" for branches in sent if len(branches) != number]
    for branches in sent:
        wrong += off(told, branches)
    return wrong[:1] if sent else ["no sample was sent"]


def uncaptured(dumps):
    captures = CAPTURES.search(dumps[-1]) if dumps else None
    return [] if captures and int(captures[1]) else ["nothing was captured"]


def complaints(name, configuration, com1, com2, stats):
    owner = re.search(r"^lbr = (\w+)$", configuration, re.MULTILINE)
    owner = owner[1] if owner else "guest"
    root_sampled = sampled(configuration, "host", "guest")
    dumps = DUMP.findall(com2)
    wrong = misrecorded(owner, root_sampled, stats) + misplaced(owner, root_sampled, dumps)
    if name == "lbr_host" or name == "lbr" and owner == "both" and root_sampled:
        wrong += uncaptured(dumps)
    if name == "lbr_host" and not wrong:
        wrong += off_the_loop(pairs(TOLD, com1), root_sampled, dumps[-1])
    number = SAMPLE_BRANCHES.search(configuration)
    if number and "samples = serial" in configuration:
        wrong += samples_off_the_loop(pairs(TOLD, com1), int(number[1]), com2)
    return wrong
