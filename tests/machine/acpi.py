"""The machine's ACPI tables, as stock OVMF takes them from QEMU's firmware configuration device.

It gets two files: the tables one after the other, with offsets among them in the place of addresses, and a script that
says where to put them, which of the offsets to relocate, and which checksums follow from that. ACPI Specification 6.5,
"ACPI Software Programming Model"; QEMU, hw/acpi/bios-linker-loader.c.
"""
import struct

TABLES = "etc/acpi/tables"
OEM = (b"PMUVIS", b"MACHINE ", 1, b"PMUV", 1)
HEADER = struct.Struct("<4sIBB6s8sI4sI")
CHECKSUM_OFFSET = 9
FACS_SIZE = 64
SCI = 9
# Where stock OVMF puts the PIIX4's power management registers.
PM_BASE = 0xb000
LOCAL_APIC, IO_APIC = 0xfee00000, 0xfec00000
TIMER_INPUT = 2


def table(signature, revision, body, relocated=False):
    """With its checksum, unless that comes with the relocation: it must be 0 until then."""
    size = HEADER.size + len(body)
    data = bytearray(HEADER.pack(signature, size, revision, 0, *OEM) + body)
    data[CHECKSUM_OFFSET] = 0 if relocated else -sum(data) & 0xff
    return bytes(data)


def fadt(facs, dsdt):
    """Of ACPI 1.0: the machine has no register of later ones. Its C2 and C3 are too slow to be there."""
    registers = struct.pack("<8I8B", PM_BASE, 0, PM_BASE + 4, 0, 0, PM_BASE + 8, 0, 0, 4, 2, 0, 4, 0, 0, 0, 0)
    wbinvd, processor_c1, no_power_button, no_sleep_button = 1 << 0, 1 << 2, 1 << 4, 1 << 5
    return table(b"FACP", 1, struct.pack("<IIBBHI4B", facs, dsdt, 1, 0, SCI, 0, 0, 0, 0, 0) + registers +
                 struct.pack("<4H8BI", 0xfff, 0xfff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
                             wbinvd | processor_c1 | no_power_button | no_sleep_button),
                 relocated=True)


def madt(cpus):
    """Local APICs, the I/O APIC, what of the ISA bus is not as on a PC/AT: the timer's input, and the level of the SCI."""
    pcat, enabled, level_high, all_processors = 1, 1, 0xd, 0xff
    entries = [struct.pack("<BBBBI", 0, 8, number, number, enabled) for number in range(cpus)]
    entries.append(struct.pack("<BBBBII", 1, 12, cpus, 0, IO_APIC, 0))
    entries.append(struct.pack("<BBBBIH", 2, 10, 0, 0, TIMER_INPUT, 0))
    entries.append(struct.pack("<BBBBIH", 2, 10, 0, SCI, SCI, level_high))
    entries.append(struct.pack("<BBBHB", 4, 6, all_processors, 0, 1))
    return table(b"APIC", 1, struct.pack("<II", LOCAL_APIC, pcat) + b"".join(entries))


def allocate(file, alignment):
    high_memory = 1
    return struct.pack("<I56sIB63x", 1, file.encode(), alignment, high_memory)


def relocate(file, offset):
    return struct.pack("<I56s56sIB7x", 2, file.encode(), file.encode(), offset, 4)


def checksum(file, start, size):
    return struct.pack("<I56sIII56x", 3, file.encode(), start + CHECKSUM_OFFSET, start, size)


def files(cpus, dsdt):
    """Of the device: their contents by name. `dsdt` is compiled."""
    facs = struct.pack("<4sI56x", b"FACS", FACS_SIZE)
    dsdt_at = len(facs)
    fadt_at = dsdt_at + len(dsdt)
    fadt_table, madt_table = fadt(0, dsdt_at), madt(cpus)
    madt_at = fadt_at + len(fadt_table)
    rsdt_at = madt_at + len(madt_table)
    rsdt = table(b"RSDT", 1, struct.pack("<II", fadt_at, madt_at), relocated=True)
    script = [allocate(TABLES, FACS_SIZE)]
    script += [relocate(TABLES, fadt_at + HEADER.size + offset) for offset in (0, 4)]
    script += [checksum(TABLES, fadt_at, len(fadt_table))]
    script += [relocate(TABLES, rsdt_at + HEADER.size + offset) for offset in (0, 4)]
    script += [checksum(TABLES, rsdt_at, len(rsdt))]
    return {TABLES: facs + dsdt + fadt_table + madt_table + rsdt, "etc/table-loader": b"".join(script)}
