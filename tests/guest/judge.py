#!/usr/bin/python3 -B
"""judge.py MODE NAME TAG DIRECTORY STATUS EXPECTED-STATUS: the verdict on one guest's run.

Passed means: the machine ended as expected, the guest's TAP has its plan, as many tests as planned (at least one), none
failed, and what others have to say afterwards was said. Writes the guest's own lines to DIRECTORY/tap, its figures to
DIRECTORY/figures, and what it prints first to DIRECTORY/verdict.
"""
import pathlib
import re
import sys

import branches
import storms

START = "TAP version 13"
TEST = re.compile(r"(not )?ok \d+ - ")
PLAN = re.compile(r"1\.\.(\d+)$")
FIGURE = re.compile(r"[a-z][a-z0-9_]* \d+$")
# What the firmware (COM1) and pmuvisor (COM2, not bare) must say about guests that end in their own way.
FINAL_DUMP = re.compile(r"^pmuvisor dump number 1 .*^end$", re.MULTILINE | re.DOTALL)
FIRMWARE_GOES_ON = re.compile(r"^1\.\.\d+$.*^BdsDxe: loading", re.MULTILINE | re.DOTALL)
AFTERWARDS = {
    "returns": {"com1": FIRMWARE_GOES_ON, "com2": FINAL_DUMP},
    "pebs_hostile": {"com2": re.compile(r"^  pebs .* hidden [1-9]\d* hidden-records [1-9]", re.MULTILINE)},
    "triple_fault": {"com2": re.compile(r"^pmuvisor stop cpu (?P<cpu>\d+) .*^pmuvisor dump .* cpu (?P=cpu) .*^end$",
                                        re.MULTILINE | re.DOTALL)},
}


def read(path):
    return path.read_text(errors="replace").replace("\r", "") if path.exists() else ""


def guest_lines(text):
    lines = text.split("\n")
    if START not in lines:
        return []
    return lines[lines.index(START):]


def judge(lines, status, expected):
    """The reasons to fail, empty for a pass."""
    plans = [int(m.group(1)) for m in map(PLAN.match, lines) if m]
    tests = [line for line in lines if TEST.match(line)]
    reasons = [line for line in tests if line.startswith("not ok")]
    if status != expected:
        reasons.append(f"the machine ended with status {status}, not {expected}")
    if len(plans) != 1:
        reasons.append(f"{len(plans)} plans")
    elif plans[0] != len(tests) or not tests:
        reasons.append(f"{len(tests)} tests, {plans[0]} planned")
    return reasons


def last_stats(directory):
    return read(directory / "stats.txt").split("\nend ")[-1]


# The machine's own test has one PEBS record written in root mode, to see that it is.
IN_ROOT = {"machine_vmx": 1}


def misplaced(name, stats):
    """PEBS records that the machine saw written in root mode: through the hypervisor's page tables, not the guest's."""
    count = re.search(r"^pebs_records_root (\d+)$", stats, re.MULTILINE)
    if not count:
        return ["the machine doesn't say whether PEBS records were written in root mode"]
    return [f"{count[1]} PEBS records were written in root mode"] if int(count[1]) != IN_ROOT.get(name, 0) else []


def lost_nmis(lines, stats, dumps):
    """NMIs that had to be sent again; of those that merged with another, as the machine and pmuvisor saw, some must be."""
    resent = sum(int(line.split()[1]) for line in lines if line.startswith("smp_nmis_resent "))
    merged = re.findall(r"^nmis_merged (\d+)$", stats, re.MULTILINE)
    held = re.findall(r"^  nmi guest .* merged (\d+)$", dumps, re.MULTILINE) or [0]
    if merged and resent <= int(merged[-1]) + int(held[-1]):
        return []
    return [f"{resent} NMIs were sent again, but only {merged} and {held[-1]} merged"]


def undumped(lines, dumps):
    """What the guest read of its event is what the dump says of it, and not among the host's."""
    said = [line.split()[1] for line in lines if line.startswith("api_event_dumped ")]
    found = re.findall(r"^  guest-event 0 counter none event branches in guest at user count (\d+)$", dumps, re.MULTILINE)
    return [] if not said or said == found[-1:] else [f"the guest read {said}, its event in the dump is {found}"]


def unlost(tag, dumps):
    """An overload of samples drops some of each CPU's, says so, and delays no dump."""
    lost = re.findall(r"^  samples taken [1-9]\d* lost (\d+)$", dumps, re.MULTILINE)
    if "overload" not in tag.split("-") or lost and all(map(int, lost)):
        return []
    return [f"an overload of samples that lost {lost}"]


def unsaid(mode, name, directory):
    return [f"{port} lacks {pattern.pattern!r}" for port, pattern in AFTERWARDS.get(name, {}).items()
            if not (mode == "bare" and port == "com2") and not pattern.search(read(directory / f"{port}.txt"))]


def main():
    mode, name, tag, directory = *sys.argv[1:4], pathlib.Path(sys.argv[4])
    title = "-".join(filter(None, (mode, name, tag)))
    lines = guest_lines(read(directory / "com1.txt"))
    reasons = judge(lines, int(sys.argv[5]), int(sys.argv[6])) + unsaid(mode, name, directory)
    reasons += misplaced(name, last_stats(directory))
    reasons += unlost(tag, read(directory / "com2.txt"))
    reasons += lost_nmis(lines, last_stats(directory), read(directory / "com2.txt"))
    reasons += undumped(lines, read(directory / "com2.txt"))
    if mode != "bare":
        reasons += branches.complaints(name, *(read(directory / file) for file in ("pmuvisor.conf", "com1.txt", "com2.txt")),
                                       last_stats(directory))
    if name == "stress":
        reasons += storms.complaints(mode, directory)
    (directory / "tap").write_text("\n".join(lines) + "\n")
    (directory / "figures").write_text("".join(f"{line}\n" for line in lines if FIGURE.match(line)))
    checks = sum(bool(TEST.match(line)) for line in lines)
    verdict = f"not ok - {title}" if reasons else f"ok - {title}: {checks} checks"
    (directory / "verdict").write_text(verdict + "\n")
    print(verdict)
    for line in lines + ["--- failed:"] + reasons if reasons else ():
        print(f"# {line}")
    return bool(reasons)


sys.exit(main())
