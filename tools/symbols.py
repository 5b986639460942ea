"""Names of addresses: from System.map or kallsyms, from ELF and PE files, and from the table in a compressed Linux kernel."""
import bisect
import collections
import lzma
import re
import struct
import subprocess
import zlib

# Where Linux puts a position-independent program if it doesn't choose at random.
LINUX_PIE_BASE = 0x555555554000
# Bytes from a symbol on that may be its function's: what is further behind the last one is none of its.
LONGEST = 1 << 20
# What link-time optimization adds to the names of functions that no other file sees.
LOCAL_COPY = re.compile(r"\.lto_priv\.\d+")
CALL = re.compile(rb"\xe8(....)", re.DOTALL)


class Symbols:
    """Functions sorted by address; each ends where the next begins."""

    def __init__(self, functions, ranges=()):
        """`functions`: (address, name) pairs; `ranges`: (start, end) of all code, if that is known."""
        table = {}
        for address, name in functions:
            # Of several names of one function the shortest without a leading underscore is what people call it.
            key = (name.startswith("_"), len(name), name)
            table[address] = min(table.get(address, (key, name)), (key, name))
        self.addresses = sorted(table)
        self.names = [table[address][1] for address in self.addresses]
        self.ranges = tuple(ranges)

    def covers(self, address):
        return any(start <= address < end for start, end in self.ranges)

    def find(self, address):
        """(name, offset) of the function that this address is in, or None."""
        place = bisect.bisect_right(self.addresses, address) - 1
        if place < 0 or address - self.addresses[place] > LONGEST or (self.ranges and not self.covers(address)):
            return None
        return self.names[place], address - self.addresses[place]


def called(code, base, name):
    """Code without symbols: its functions are what is called directly, named by where they begin."""
    starts = collections.Counter()
    for match in CALL.finditer(code):
        target = match.end() + struct.unpack("<i", match[1])[0]
        if 0 <= target < len(code):
            starts[base + target] += 1
    return [(address, f"{name}+{address:#x}") for address in {base, *starts}]


def from_map(text):
    """System.map, /proc/kallsyms: `address type name [module]`."""
    for line in text.splitlines():
        fields = line.split()
        if len(fields) >= 3 and fields[1] in "tTwW":
            yield int(fields[0], 16), fields[2]


class Elf:
    """A 64-bit one."""

    SECTION = struct.Struct("<IIQQQQIIQQ")
    SEGMENT = struct.Struct("<IIQQQQQQ")
    SYMBOL = struct.Struct("<IBBHQQ")
    SYMTAB, ABSENT = 2, 8  # kinds of sections
    EXECUTABLE = 1, 4  # flags of segments and sections
    FUNCTION, NOTYPE = 2, 0

    def __init__(self, data):
        if data[:5] != b"\x7fELF\x02" or len(data) < 64:
            raise ValueError("it is no ELF file of 64 bits")
        self.data = data
        self.type, = struct.unpack_from("<H", data, 16)
        segments, sections = struct.unpack_from("<QQ", data, 32)
        size, count, section_size, nr_sections = struct.unpack_from("<HHHH", data, 54)
        try:
            self.segments = [self.SEGMENT.unpack_from(data, segments + i * size) for i in range(count)]
            self.sections = [self.SECTION.unpack_from(data, sections + i * section_size) for i in range(nr_sections)]
        except struct.error as reason:
            raise ValueError("the ELF file is cut off") from reason

    def code(self):
        """(address, offset, size) of what can be executed."""
        return [(address, offset, size) for kind, flags, offset, address, _, size, _, _ in self.segments
                if kind == 1 and flags & self.EXECUTABLE[0]]

    def code_sections(self):
        """{number: (address, contents)}"""
        return {number: (address, self.data[offset:offset + size])
                for number, (_, kind, flags, address, offset, size, *_) in enumerate(self.sections)
                if flags & self.EXECUTABLE[1] and kind != self.ABSENT and size}

    def functions(self):
        code = self.code_sections()
        for _, kind, _, _, offset, size, link, _, _, _ in self.sections:
            if kind != self.SYMTAB:
                continue
            strings = self.sections[link][4]
            for at in range(offset, offset + size, self.SYMBOL.size):
                name, info, _, section, value, _ = self.SYMBOL.unpack_from(self.data, at)
                text = self.data[strings + name:self.data.index(b"\0", strings + name)].decode(errors="replace")
                if text and section in code and info & 15 in (self.FUNCTION, self.NOTYPE):
                    yield value, LOCAL_COPY.sub("", text)

    def symbols(self, name, base=None):
        base = (LINUX_PIE_BASE if self.type == 3 else 0) if base is None else base
        functions = list(self.functions())
        for address, offset, size in self.code() if not functions else ():
            functions += called(self.data[offset:offset + size], address, name)
        return Symbols([(base + value, text) for value, text in functions],
                       [(base + start, base + start + size) for start, _, size in self.code()])


def pe_code(data):
    """(address, contents, size in memory) of what can be executed in a PE image, UEFI's format."""
    if data[:2] != b"MZ" or len(data) < 0x40:
        raise ValueError("it is no PE image")
    header = struct.unpack_from("<I", data, 0x3C)[0]
    if data[header:header + 4] != b"PE\0\0":
        raise ValueError("it is no PE image")
    count, optional = struct.unpack_from("<H", data, header + 6)[0], struct.unpack_from("<H", data, header + 20)[0]
    for i in range(count):
        section = header + 24 + optional + 40 * i
        size, address, stored, offset = struct.unpack_from("<IIII", data, section + 8)
        if struct.unpack_from("<I", data, section + 36)[0] & 0x20000000:  # it is executed
            yield address, data[offset:offset + min(size, stored)], max(size, stored)


def pe_symbols(data, name, base=0):
    """A PE image by itself has no names: its functions are what its code calls."""
    functions, ranges = [], []
    for address, code, size in pe_code(data):
        functions += [(base + at, text) for at, text in called(code, address, name)]
        ranges.append((base + address, base + address + size))
    return Symbols(functions, ranges)


def pe_symbols_of(elf, data, base=0):
    """With the names of the ELF file that it was made from, whose addresses it has; None if that has other code."""
    image = {address: code for address, code, _ in pe_code(data)}
    sections = elf.code_sections().values()
    if not sections or any(image.get(address, b"")[:len(code)] != code for address, code in sections):
        return None
    return Symbols([(base + value, text) for value, text in elf.functions()],
                   [(base + address, base + address + len(code)) for address, code in sections])


def decompress(data):
    """The kernel in a bzImage: Linux, Documentation/x86/boot.rst, "The Real-Mode Kernel Header"; or `data` itself."""
    if data[0x202:0x206] != b"HdrS":
        return data
    start = (data[0x1F1] + 1) * 512 + struct.unpack_from("<I", data, 0x248)[0]
    payload = data[start:start + struct.unpack_from("<I", data, 0x24C)[0]]
    if payload[:6] == b"\xfd7zXZ\0":
        return lzma.LZMADecompressor().decompress(payload)
    if payload[:2] == b"\x1f\x8b":
        return zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(payload)
    for magic, program in ((b"\x02\x21\x4c\x18", "lz4"), (b"\x28\xb5\x2f\xfd", "zstd")):
        if payload[:4] == magic:
            # What follows the stream is its size, which the program complains of.
            return subprocess.run([program, "-dc"], input=payload, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                  check=False).stdout
    raise ValueError("the kernel is compressed in a way that is not known here; give its System.map or kallsyms instead")


class Kallsyms:
    """
    The kernel's own table of symbols (Linux, scripts/kallsyms.c), found in its image. In this order: offsets, their base,
    how many, names, a marker for each 256th name, perhaps more, the tokens that names consist of, where each token begins.
    """

    # The base is a multiple of 2 MiB in the top 2 GiB; then how many.
    BASE = re.compile(rb"\0\0[\0\x20\x40\x60\x80\xa0\xc0\xe0][\x80-\xff]\xff{4}..[\0-\x0f]\0{5}", re.DOTALL)
    BEHIND_BASE = 0x1000000  # bytes up to the tokens, at most

    def __init__(self, data):
        self.data = data
        self.tokens, table = self.find_tokens()
        self.base_at, self.count = self.find_base(table)

    def find_tokens(self):
        """Tokens are in the order of their codes, and that of a digit is itself: before the digits come 48 others."""
        digits = self.data.find(b"0\x001\x002\x00")
        while digits >= 0:
            start = digits
            for _ in range(ord("0")):
                start = self.data.rfind(b"\0", 0, start - 1) + 1
            tokens = self.data[start:start + 8192].split(b"\0")[:256]
            places = [0]
            for token in tokens:
                places.append(places[-1] + len(token) + 1)
            index = self.data.find(struct.pack("<256H", *places[:256]), start) if places[255] < 0x10000 else -1
            if 0 <= index - start <= places[-1] + 16:
                return tokens, start
            digits = self.data.find(b"0\x001\x002\x00", digits + 1)
        raise ValueError("it has no table of kernel symbols")

    def find_base(self, table):
        """The one before names that end where the markers begin."""
        for match in self.BASE.finditer(self.data, max(0, table - self.BEHIND_BASE), table):
            at, count = match.start(), struct.unpack_from("<Q", self.data, match.start() + 8)[0]
            if at % 8 or count < 256 or self.data[at + 16] == 0:
                continue
            try:
                second, end = self.skip(at + 16, 256), self.skip(at + 16, count)
            except IndexError:
                continue
            markers = at + 16 + (end + 7) // 8 * 8
            if struct.unpack_from("<II", self.data, markers) == (0, second):
                return at, count
        raise ValueError("its table of kernel symbols is of no kind that is known here")

    def skip(self, start, count):
        at = start
        for _ in range(count):
            at += self.length(at)[0]
        return at - start

    def length(self, at):
        """Of a name and its length, in bytes; of the length alone."""
        size = self.data[at]
        if size & 0x80:
            return 2 + (size & 0x7F | self.data[at + 1] << 7), 2
        return 1 + size, 1

    def functions(self):
        base, = struct.unpack_from("<Q", self.data, self.base_at)
        offsets = struct.unpack_from(f"<{self.count}i", self.data, self.base_at - (4 * self.count + 7) // 8 * 8)
        at = self.base_at + 16
        for offset in offsets:
            size, head = self.length(at)
            text = b"".join(self.tokens[code] for code in self.data[at + head:at + size]).decode()
            at += size
            # With CONFIG_KALLSYMS_ABSOLUTE_PERCPU what is relative to the base is negative.
            if text[0] in "tTwW":
                yield (base - 1 - offset if offset < 0 else offset), text[1:]


def kernel(data):
    """Whatever names the kernel's functions: its image, ELF or compressed, a map, or a copy of kallsyms."""
    if data[:4] == b"\x7fELF":
        functions = list(Elf(data).functions())
        if functions:
            return Symbols(functions)
    elif data[:2] != b"MZ" and data[0x202:0x206] != b"HdrS":
        return Symbols(from_map(data.decode(errors="replace")))
    return Symbols(Kallsyms(decompress(data)).functions())
