#!/usr/bin/env python3
"""pmis.py RUN [PREFIX]: PMIs sent and lost, guest and host, from one long run of tests/guest/pmi.c in shared mode.

Sent is what the machine's PMU signalled (stats.txt, between the guest's marks; the host's counters from power-on); what
arrived is what the guest says it handled and what the host's dump, asked for by the guest right after, says. A host
event that counts ring 3 only signals nothing between the second mark and the dump.
"""
import pathlib
import re
import sys

from figures import read_marks

MARK_BEGIN, MARK_END = 100, 101     # tests/guest/lib/mark.h
GUEST_COUNTER = 0                   # the one that samples between them
HOST_PMIS = re.compile(r"pmi host (\d+) host-late (\d+) ")
HOST_COUNTER = re.compile(r"counter (\d+) event .* period ")


def main():
    run = pathlib.Path(sys.argv[1])
    prefix = sys.argv[2] if len(sys.argv) > 2 else ""
    marks = read_marks(run / "stats.txt")
    figures = dict(line.split() for line in (run / "figures").read_text().splitlines())
    dump = (run / "com2.txt").read_text(errors="replace").rpartition("pmuvisor dump")[2]
    host_counters = HOST_COUNTER.findall(dump)
    host = HOST_PMIS.search(dump)
    if not host or not host_counters:
        sys.exit(f"{sys.argv[0]}: no dump with a sampling event in {run}/com2.txt")
    guest_pmis = f"pmis_{GUEST_COUNTER}"
    guest_sent = marks[MARK_END][guest_pmis] - marks[MARK_BEGIN].get(guest_pmis, 0)
    host_sent = sum(marks[MARK_END].get(f"pmis_{counter}", 0) for counter in host_counters)
    lost = {"guest": guest_sent - int(figures["guest_pmis_handled"]),
            "host": host_sent - sum(int(n) for n in host.groups())}
    print(prefix + "guest_pmis_sent", guest_sent)
    print(prefix + "guest_pmis_lost", lost["guest"])
    print(prefix + "guest_pmis_duplicate", figures["guest_pmis_duplicate"])
    print(prefix + "host_pmis_sent", host_sent)
    print(prefix + "host_pmis_lost", lost["host"])
    return any(lost.values()) or guest_sent == 0 or host_sent == 0


sys.exit(main())
