"""
The PE images in a firmware file: UEFI Platform Initialization specification, Vol. 3, "Firmware Volume Format", "Firmware
File Format", "Firmware File Section Format".
"""
import lzma
import struct
import uuid

LZMA = uuid.UUID("ee4e5898-3914-4259-9d6e-dc7bd79403cf").bytes_le  # EDK II, LzmaDecompress.h
GUIDED, PE32, INTERFACE, VOLUME = 0x02, 0x10, 0x15, 0x17
PADDING = 0xF0


def size24(data, at):
    return int.from_bytes(data[at:at + 3], "little")


def sections(data):
    """(type, contents), those of compressed sections too."""
    at = 0
    while at + 4 <= len(data):
        size, kind, head = size24(data, at), data[at + 3], 4
        if size == 0xFFFFFF:
            size, head = struct.unpack_from("<I", data, at + 4)[0], 8
        if size < head:
            return
        if kind != GUIDED:
            yield kind, data[at + head:at + size]
        else:
            start, = struct.unpack_from("<H", data, at + head + 16)
            contents = data[at + start:at + size]
            if data[at + head:at + head + 16] == LZMA:
                contents = lzma.decompress(contents, format=lzma.FORMAT_ALONE)
            yield from sections(contents)
        at = (at + size + 3) & ~3


def files(volume):
    """(GUID, type, contents) of one volume."""
    length, = struct.unpack_from("<Q", volume, 32)
    at, extended = struct.unpack_from("<H", volume, 48)[0], struct.unpack_from("<H", volume, 52)[0]
    if extended:
        at = extended + struct.unpack_from("<I", volume, extended + 16)[0]
    at = (at + 7) & ~7
    while at + 24 <= length and volume[at:at + 24] != b"\xff" * 24:
        size, head = size24(volume, at + 20), 24
        if volume[at + 19] & 1:
            size, head = struct.unpack_from("<Q", volume, at + 24)[0], 32
        if size < head:
            return
        yield str(uuid.UUID(bytes_le=volume[at:at + 16])), volume[at + 18], volume[at + head:at + size]
        at = (at + size + 7) & ~7


def in_volume(volume):
    for guid, kind, contents in files(volume):
        image, name = None, None
        for section, data in sections(contents) if kind not in (PADDING, 1) else ():
            if section == VOLUME:
                yield from in_volume(data)
            elif section == PE32:
                image = data
            elif section == INTERFACE:
                name = data.decode("utf-16-le").rstrip("\0")
        if image:
            yield guid, name or guid, image


def images(data):
    """[(GUID of its file in lower case, name, PE image)] of everything in the firmware file."""
    found, at = [], data.find(b"_FVH")
    while at >= 40:
        length, = struct.unpack_from("<Q", data, at - 8)
        if 0 < length <= len(data) - (at - 40):
            found += in_volume(data[at - 40:at - 40 + length])
            at += length - 41
        at = data.find(b"_FVH", at + 1)
    if not found:
        raise ValueError("there are no images of UEFI's in it")
    return found
