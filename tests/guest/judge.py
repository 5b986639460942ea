#!/usr/bin/env python3
"""judge.py TITLE DIRECTORY STATUS EXPECTED-STATUS: the verdict on one guest's run.

Passed means: the machine ended as expected, the guest's TAP has its plan, as many tests as planned (at least one), and
none failed. Writes the guest's own lines to DIRECTORY/tap, its figures to DIRECTORY/figures.
"""
import pathlib
import re
import sys

START = "TAP version 13"
TEST = re.compile(r"(not )?ok \d+ - ")
PLAN = re.compile(r"1\.\.(\d+)$")
FIGURE = re.compile(r"[a-z][a-z0-9_]* \d+$")


def guest_lines(text):
    lines = text.replace("\r", "").split("\n")
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


def main():
    title, directory = sys.argv[1], pathlib.Path(sys.argv[2])
    console = directory / "com1.txt"
    lines = guest_lines(console.read_text(errors="replace") if console.exists() else "")
    reasons = judge(lines, int(sys.argv[3]), int(sys.argv[4]))
    (directory / "tap").write_text("\n".join(lines) + "\n")
    (directory / "figures").write_text("".join(f"{line}\n" for line in lines if FIGURE.match(line)))
    if reasons:
        print(f"not ok - {title}")
        for line in lines + ["--- failed:"] + reasons:
            print(f"# {line}")
        return 1
    print(f"ok - {title}: {sum(bool(TEST.match(line)) for line in lines)} checks")
    return 0


sys.exit(main())
