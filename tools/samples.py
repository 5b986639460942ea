"""The frames of samples that pmuvisor sends: docs/serial.md, "Samples"."""
import base64
import binascii
import collections
import re
import zlib

FRAME = re.compile(r"pmuvisor samples cpu (\d+) first (\d+) lost (\d+) ([A-Za-z0-9+/]+={0,2}) ([0-9a-f]{8})$")
EVENT, ROOT, CPL, CR3, BRANCHES = 0x07, 0x08, 0x30, 0x40, 0x80

# `time` in units of `ticks` TSC ticks, as the start block says; `branches` (from, to), newest first.
Sample = collections.namedtuple("Sample", "time event root cpl rip cr3 branches")
# `first`: how many of this CPU's samples were sent before; `lost`: how many found its ring full up to then.
Frame = collections.namedtuple("Frame", "cpu first lost samples")


class Broken(Exception):
    """What was received is not what pmuvisor sent."""


class Bytes:
    def __init__(self, data):
        self.data = data
        self.at = 0

    def byte(self):
        if self.at == len(self.data):
            raise Broken("the last sample is cut off")
        self.at += 1
        return self.data[self.at - 1]

    def varint(self):
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    def near(self, address):
        difference = self.varint()
        return (address + (difference >> 1 ^ -(difference & 1))) % 2**64


def decode_branches(data, near):
    branches = []
    for _ in range(data.varint()):
        to = data.near(near)
        near = data.near(to)
        branches.append((near, to))
    return tuple(branches)


def decode_samples(data):
    time = cr3 = 0
    rip = {False: 0, True: 0}  # by whether it is user code
    while data.at < len(data.data):
        head = data.byte()
        cpl = (head & CPL) >> 4
        time += data.varint()
        rip[cpl > 0] = data.near(rip[cpl > 0])
        if head & CR3:
            cr3 = data.varint()
        branches = decode_branches(data, rip[cpl > 0]) if head & BRANCHES else ()
        yield Sample(time, head & EVENT, bool(head & ROOT), cpl, rip[cpl > 0], cr3, branches)


def decode(line):
    """The Frame of one line; Broken if it is none."""
    match = FRAME.match(line)
    if not match:
        raise Broken("it is no frame")
    if zlib.crc32(line.rpartition(" ")[0].encode()) != int(match[5], 16):
        raise Broken("its checksum is wrong")
    try:
        data = base64.b64decode(match[4], validate=True)
    except binascii.Error as reason:
        raise Broken(f"it is no base 64: {reason}") from reason
    return Frame(int(match[1]), int(match[2]), int(match[3]), tuple(decode_samples(Bytes(data))))
