"""The frames of samples that pmuvisor sends: docs/serial.md, "Samples"."""
import collections
import re

FORMAT = 1  # as the start block says
FRAME = re.compile(r"pmuvisor samples cpu (\d+) first (\d+) lost (\d+) ([A-Za-z0-9+/]+) ([0-9a-f]{8})$")
DIGITS = {character: value for value, character in enumerate("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")}
CR3, BRANCHES, CPL, ROOT, EVENT = 0x01, 0x02, 0x0C, 0x10, 0xE0

# `time` in units of `ticks` TSC ticks, as the start block says; `branches` (from, to), newest first.
Sample = collections.namedtuple("Sample", "time event root cpl rip cr3 branches")
# `first`: how many of this CPU's samples were sent before; `lost`: how many found its ring full up to then.
Frame = collections.namedtuple("Frame", "cpu first lost samples")


class Broken(Exception):
    """What was received is not what pmuvisor sent."""


def byte_sum(value):
    """What one byte makes of the checksum."""
    for _ in range(8):
        value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
    return value


BYTE_SUMS = [byte_sum(value) for value in range(256)]


def checksum(data):
    """CRC-32C: RFC 3720, "CRC Algorithm"."""
    value = 0xFFFFFFFF
    for byte in data:
        value = BYTE_SUMS[(value ^ byte) & 0xFF] ^ value >> 8
    return value ^ 0xFFFFFFFF


class Numbers:
    def __init__(self, text):
        self.text = text
        self.at = 0

    def number(self):
        value = shift = 0
        while self.at < len(self.text):
            digit = DIGITS[self.text[self.at]]
            self.at += 1
            value |= (digit & 31) << shift
            shift += 5
            if digit < 32:
                return value
        raise Broken("the last sample is cut off")

    def near(self, address):
        difference = self.number()
        return (address + (difference >> 1 ^ -(difference & 1))) % 2**64


def decode_branches(data, near):
    branches = []
    for _ in range(data.number()):
        to = data.near(near)
        near = data.near(to)
        branches.append((near, to))
    return tuple(branches)


def decode_samples(data):
    time = cr3 = 0
    rip = {False: 0, True: 0}  # by whether it is user code
    while data.at < len(data.text):
        head = data.number()
        cpl = (head & CPL) >> 2
        time += data.number()
        rip[cpl > 0] = data.near(rip[cpl > 0])
        if head & CR3:
            cr3 = data.number()
        branches = decode_branches(data, rip[cpl > 0]) if head & BRANCHES else ()
        yield Sample(time, (head & EVENT) >> 5, bool(head & ROOT), cpl, rip[cpl > 0], cr3, branches)


def decode(line):
    """The Frame of one line; Broken if it is none."""
    match = FRAME.match(line)
    if not match:
        raise Broken("it is no frame")
    if checksum(line.rpartition(" ")[0].encode()) != int(match[5], 16):
        raise Broken("its checksum is wrong")
    return Frame(int(match[1]), int(match[2]), int(match[3]), tuple(decode_samples(Numbers(match[4]))))
