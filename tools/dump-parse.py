#!/usr/bin/env python3
"""dump-parse.py [--names] [LOG]: reads what pmuvisor wrote on its serial port and prints it as JSON, or with --names as
`name value` lines.

The grammar is that of docs/serial.md. What doesn't fit it is refused: one sentence on standard error that names the
line, exit status 1. A log that ends inside a block (the machine was switched off) is no error; that block is left out.
"""
import argparse
import json
import re
import sys

import samples

EXITS = ("cpuid", "rdmsr", "wrmsr", "rdpmc", "nmi", "nmi-window", "timer", "step", "hypercall", "virtualization", "invd",
         "xsetbv", "init", "shutdown", "unknown", "io", "control-register", "hidden-memory", "apic-access", "sipi")
STATE = ("reason", "qualification", "interruption", "vectoring", "physical", "rip", "rsp", "rflags", "cr0", "cr3", "cr4",
         "efer", "cs", "interruptibility", "activity")

# What the firmware sends before pmuvisor takes the port, and after a reset.
TERMINAL_CONTROL = re.compile(r"\x1b\[[0-9;=?]*[A-Za-z]|\r")
STOP = re.compile(r"pmuvisor stop cpu (\d+) (.+) (0x[0-9a-f]+)$")
STATE_LINE = re.compile(r"  (%s) (0x[0-9a-f]+)$" % "|".join(STATE))

NUMBER, HEX, PERCENT = r"\d+", r"0x[0-9a-f]+", r"\d+\.\d\d%"
BITS = r"none|\d+(?:-\d+)?(?:,\d+(?:-\d+)?)*"


class Refused(Exception):
    pass


def line(text):
    """A pattern for a line of literal words and <name:kind> fields; a kind is a regular expression."""
    return re.compile(re.sub(r"<([a-z-]+):([^<>]*)>", lambda field: f"(?P<{field[1].replace('-', '_')}>{field[2]})",
                             text) + "$")


# What an event counts, where.
WHERE = "<in:guest|host|guest,host> at <at:user|kernel|user,kernel>"
LBR = f"<lbr:guest|host|both|none> kind <kind:legacy|architectural|v2|none> entries <entries:{NUMBER}>"
START_HEAD = line("pmuvisor start")
START_LINES = [
    ("", line(rf"  version <version:\d+\.\d+> <virtualization:VMX|SVM>")),
    ("", line("  cpu <cpu-name:.*>")),
    ("pmu", line(f"  pmu <vendor:Intel|AMD> version <version:{NUMBER}> counters <counters:{NUMBER}> "
                 f"width <width:{NUMBER}> fixed <fixed:{BITS}>")),
    ("guest", line(f"  guest counters <counters:{BITS}> fixed <fixed:{BITS}>")),
    ("host", line(f"  host counters <counters:{BITS}> fixed <fixed:{BITS}>")),
    ("", line("  mode <mode:direct|shared> rdpmc <rdpmc:direct|trap> hypervisor-bit <hypervisor-bit:on|off> "
              "apic <apic:xapic|x2apic>")),
    ("", line("  pebs <pebs:guest|none|off|unsafe> metrics <metrics:guest|none|host>")),
    ("lbr", line(f"  lbr {LBR.replace('<lbr:', '<owner:')}")),
    ("samples?", line(f"  samples format <format:{NUMBER}> branches <branches:{NUMBER}> ring <ring:{NUMBER}> ticks <ticks:{NUMBER}>")),
    ("sampled*", line(f"  sampled <number:{NUMBER}> event <event:[^ ]+> in {WHERE} period <period:{NUMBER}>")),
    ("images*", line(f"  image at <at:{HEX}> bytes <bytes:{NUMBER}> guid <guid:[0-9A-F-]{{36}}|none> name <name:[^ ]+>")),
    ("processors?", line(f"  processors all <all:{NUMBER}> cpus <cpus:{NUMBER}>")),
    ("processor*", line(f"  processor apic-id <apic-id:{NUMBER}>(?: cpu <cpu:{NUMBER}> version <version:{NUMBER}> "
                        f"guest counters <guest-counters:{BITS}> fixed <guest-fixed:{BITS}> "
                        f"host counters <host-counters:{BITS}> fixed <host-fixed:{BITS}> "
                        f"pebs <pebs:guest|none|off|unsafe> lbr {LBR}| <idle:not pmuvisor's|disabled by the firmware>)")),
    ("memory", line(f"  memory at <at:{HEX}> bytes <bytes:{NUMBER}> per-cpu <per-cpu:{NUMBER}> ept <ept:{NUMBER}>")),
    ("", line(f"  tsc hz <tsc-hz:{NUMBER}> dump-ms <dump-ms:{NUMBER}>")),
]
DUMP_HEAD = line(f"pmuvisor dump number <number:{NUMBER}> cpu <cpu:{NUMBER}> ms <ms:{NUMBER}> mode <mode:direct|shared>")
TOTAL_HEAD = line(f"pmuvisor total number <number:{NUMBER}> cpus <cpus:{NUMBER}> ms <ms:{NUMBER}>")
EVENT = (f"event <event:[^ ]+> in {WHERE} count <count:{NUMBER}>"
         f"(?: period <period:{NUMBER}> overflows <overflows:{NUMBER}>)?")
COUNTER = line(f"  counter <counter:{NUMBER}> {EVENT}")
GUEST_EVENT = line(f"  guest-event <id:{NUMBER}> counter <counter:none|{NUMBER}> {EVENT}")
GUEST_TIME = line(f"  guest-time <id:{NUMBER}> enabled-ticks <enabled-ticks:{NUMBER}> running-ticks <running-ticks:{NUMBER}>")
TOTAL_EVENT = line(f"  {EVENT}")
EXIT = line(f"  exits <reason:{'|'.join(EXITS)}> count <count:{NUMBER}>")
DUMP_LINES = [
    ("pmi", line(f"  pmi host <host:{NUMBER}> host-late <host-late:{NUMBER}> guest <guest:{NUMBER}> "
                 f"guest-emulated <guest-emulated:{NUMBER}> guest-masked <guest-masked:{NUMBER}>")),
    ("samples?", line(f"  samples taken <taken:{NUMBER}> lost <lost:{NUMBER}>")),
    ("pebs?", line(f"  pebs starts <starts:{NUMBER}> exits <exits:{NUMBER}> ds-areas <ds-areas:{NUMBER}> "
                   f"unmapped <unmapped:{NUMBER}> hidden <hidden:{NUMBER}> "
                   f"hidden-records <hidden-records:{NUMBER}>")),
    ("lbr?", line(f"  lbr captures <captures:{NUMBER}>")),
    ("branches*", line(f"  branch from <from:{HEX}> to <to:{HEX}>")),
    ("nmi", line(f"  nmi guest <guest:{NUMBER}> in-root <in-root:{NUMBER}> merged <merged:{NUMBER}>")),
    ("time", line(f"  time root-ticks <root-ticks:{NUMBER}> root-share <root-share:{PERCENT}> "
                  f"paused-ticks <paused-ticks:{NUMBER}> windows <windows:{NUMBER}>")),
    ("guest", line(f"  guest emulated <emulated:{NUMBER}> faults <faults:{NUMBER}> hidden-memory <hidden-memory:{NUMBER}> "
                   f"hidden-counters <hidden-counters:{NUMBER}> lost-characters <lost-characters:{NUMBER}>")),
]
TOTAL_LINES = [(name, pattern) for name, pattern in DUMP_LINES if name not in ("lbr?", "branches*")]


CSV_HEAD = line(f"# pmuvisor dump number <number:{NUMBER}> cpu <cpu:{NUMBER}> ms <ms:{NUMBER}>")
CSV_LINE = line(rf"CPU<cpu:{NUMBER}>,<count:{NUMBER}>,,<event:[^,]+>,<ns:{NUMBER}>,<percent:\d+\.\d\d>,,")
CSV_END = line("# end")


def value(text):
    if re.fullmatch(NUMBER, text):
        return int(text)
    return float(text[:-1]) if re.fullmatch(PERCENT, text) else text


def fields(match):
    return {name.replace("_", "-"): value(text) for name, text in match.groupdict().items() if text is not None}


class Log:
    """The lines, numbered from 1, with those of a stop taken out: they may stand anywhere, in the middle of a dump too."""

    def __init__(self, text, stops):
        self.lines = []
        for number, raw in enumerate(text.split("\n"), 1):
            content = TERMINAL_CONTROL.sub("", raw)
            if match := STOP.match(content):
                stops.append({"block": "stop", "line": number, "cpu": int(match[1]), "why": match[2], "number": match[3],
                              "guest": {}})
            elif (match := STATE_LINE.match(content)) and stops:
                stops[-1]["guest"][match[1]] = match[2]
            else:
                self.lines.append((number, content))
        # Behind the last newline is an empty line, or one that was cut off.
        self.cut = self.lines.pop() if self.lines else (0, "")
        self.at = 0

    def peek(self):
        if self.at == len(self.lines):
            raise EOFError
        return self.lines[self.at]

    def take(self, pattern):
        """The match of the next line, or None, and then the line stays."""
        match = pattern.match(self.peek()[1])
        self.at += bool(match)
        return match

    def expect(self, pattern):
        match = self.take(pattern)
        if not match:
            number, content = self.peek()
            raise Refused(f'line {number}: "{content}" is not what comes here: {pattern.pattern}')
        return match


def parse_lines(log, block, lines):
    """A name that ends in a question mark is of a line that may be absent, one with a star of any number of them."""
    for name, pattern in lines:
        if name.endswith("*"):
            found = list(map(fields, iter(lambda: log.take(pattern), None)))
            block.update({name.rstrip("*"): found} if found else {})
            continue
        match = log.take(pattern) if name.endswith("?") else log.expect(pattern)
        if not match:
            continue
        name, found = name.rstrip("?"), fields(match)
        if name:
            block[name] = found
        else:
            block.update(found)
    log.expect(line("end"))


def parse_start(log, block):
    parse_lines(log, block, START_LINES)
    return block


def parse_exits(log):
    """In the order of EXITS, none twice."""
    exits, last = {}, -1
    while match := log.take(EXIT):
        place = EXITS.index(match["reason"])
        if place <= last:
            raise Refused(f"line {log.lines[log.at - 1][0]}: exits {match['reason']} is out of order")
        exits[match["reason"]], last = int(match["count"]), place
    return exits


def parse_guest_events(log):
    """Two lines of each, in the order of their numbers."""
    events = []
    while match := log.take(GUEST_EVENT):
        time = log.expect(GUEST_TIME)
        if time["id"] != match["id"] or (events and int(match["id"]) <= events[-1]["id"]):
            raise Refused(f"line {log.lines[log.at - 1][0]}: the guest's events are out of order")
        events.append(fields(match) | fields(time))
    return events


def parse_dump(log, block):
    block["counters"] = []
    while match := log.take(COUNTER):
        block["counters"].append(fields(match))
    numbers = [counter["counter"] for counter in block["counters"]]
    if len(set(numbers)) != len(numbers):
        raise Refused(f"line {block['line']}: this dump has a counter twice")
    if events := parse_guest_events(log):
        block["guest-events"] = events
    block["exits"] = parse_exits(log)
    parse_lines(log, block, DUMP_LINES)
    return block


def parse_total(log, block):
    block["events"] = list(map(fields, iter(lambda: log.take(TOTAL_EVENT), None)))
    block["exits"] = parse_exits(log)
    parse_lines(log, block, TOTAL_LINES)
    return block


def parse_csv(log, block):
    """What perf stat -A -x, writes, of this CPU, each event once."""
    block["counts"] = {}
    while match := log.take(CSV_LINE):
        number = log.lines[log.at - 1][0]
        if int(match["cpu"]) != block["cpu"]:
            raise Refused(f"line {number}: it is of CPU {match['cpu']} in a dump of CPU {block['cpu']}")
        if match["event"] in block["counts"]:
            raise Refused(f"line {number}: this dump has {match['event']} twice")
        block["counts"][match["event"]] = {"count": int(match["count"]), "ns": int(match["ns"]),
                                           "percent": float(match["percent"])}
    log.expect(CSV_END)
    return block


def parse_samples(number, content):
    try:
        frame = samples.decode(content)
    except samples.Broken as reason:
        raise Refused(f'line {number}: "{content}" is no frame of samples: {reason}') from reason
    return {"block": "samples", "line": number, "cpu": frame.cpu, "first": frame.first, "lost": frame.lost,
            "samples": [sample._asdict() for sample in frame.samples]}


def parse_block(log):
    """The next block; None for a line outside of blocks."""
    number, content = log.peek()
    # The firmware may have left its last line open.
    begin = content.find("pmuvisor start")
    if begin >= 0 and START_HEAD.match(content[begin:]):
        log.at += 1
        return parse_start(log, {"block": "start", "line": number})
    if match := log.take(DUMP_HEAD):
        return parse_dump(log, {"block": "dump", "line": number, **fields(match)})
    if match := log.take(CSV_HEAD):
        return parse_csv(log, {"block": "csv", "line": number, **fields(match)})
    if match := log.take(TOTAL_HEAD):
        return parse_total(log, {"block": "total", "line": number, **fields(match)})
    if content.startswith("pmuvisor samples "):
        log.at += 1
        return parse_samples(number, content)
    if content.startswith(("pmuvisor ", "# pmuvisor ")):
        raise Refused(f'line {number}: "{content}" begins no block')
    log.at += 1
    return None


def check_total(total, dumps):
    """It is the sum of its dumps, unless one of them was lost."""
    if len(dumps) != total["cpus"]:
        return
    for name in ("pmi", "nmi", "samples"):
        for figure in total.get(name, ()):
            if total[name][figure] != sum(dump[name][figure] for dump in dumps):
                raise Refused(f"line {total['line']}: {name} {figure} isn't the sum of the CPUs'")
    for reason in EXITS:
        if total["exits"].get(reason, 0) != sum(dump["exits"].get(reason, 0) for dump in dumps):
            raise Refused(f"line {total['line']}: exits {reason} aren't the sum of the CPUs'")
    for place, event in enumerate(total["events"]):
        if event["count"] != sum(dump["counters"][place]["count"] for dump in dumps):
            raise Refused(f"line {total['line']}: the count of event {event['event']} isn't the sum of the CPUs'")


def check_order(blocks):
    """A start begins a run; dumps follow it, numbered upwards on each CPU, the sum of those of one number, and samples."""
    last, dumps, sent = {}, [], {}
    for block in blocks:
        if block["block"] == "start":
            last, dumps, sent = {}, [], {}
        elif block["block"] == "samples":
            if block["first"] < sent.get(block["cpu"], 0):
                raise Refused(f"line {block['line']}: samples that were sent before")
            sent[block["cpu"]] = block["first"] + len(block["samples"])
        elif block["block"] in ("dump", "csv"):
            if block["number"] <= last.get(block["cpu"], 0):
                raise Refused(f"line {block['line']}: dump number {block['number']} follows {last[block['cpu']]}")
            last[block["cpu"]] = block["number"]
            dumps.append(block)
        elif block["block"] == "total":
            check_total(block, [dump for dump in dumps if dump["number"] == block["number"]])


def parse(text):
    blocks = []
    log = Log(text, blocks)
    try:
        while True:
            block = parse_block(log)
            if block:
                blocks.append(block)
    except EOFError:
        pass
    blocks.sort(key=lambda block: block["line"])
    check_order(blocks)
    if not blocks:
        raise Refused("there is no block of pmuvisor's in it")
    return blocks


def names(prefix, item):
    """Every number and word of a block, each with its path."""
    if isinstance(item, dict):
        for key, part in item.items():
            yield from names(f"{prefix}.{key}", part)
    elif isinstance(item, list):
        for place, part in enumerate(item):
            yield from names(f"{prefix}.{part.get('counter', place)}", {key: part[key] for key in part if key != "counter"})
    else:
        yield f"{prefix} {item}"


def print_names(blocks):
    several = any(block["block"] == "total" for block in blocks)
    for block in blocks:
        kind = block.pop("block")
        del block["line"]
        if kind == "samples":
            block["samples"] = len(block["samples"])
            kind = f"samples.cpu{block['cpu']}.{block['first']}"
        prefix = f"{kind}.{block.pop('number')}" if kind in ("dump", "csv", "total") else kind
        if kind == "dump" and several:
            prefix += f".cpu{block['cpu']}"
        print("\n".join(names(prefix, block)))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--names", action="store_true", help="`name value` lines instead of JSON")
    parser.add_argument("log", nargs="?", help="the captured log; standard input if not given")
    args = parser.parse_args()
    data = open(args.log, "rb").read() if args.log else sys.stdin.buffer.read()
    try:
        blocks = parse(data.decode("utf-8", errors="replace"))
    except Refused as reason:
        print(f"dump-parse: {reason}", file=sys.stderr)
        return 1
    if args.names:
        print_names(blocks)
    else:
        json.dump(blocks, sys.stdout, indent=2)
        print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
