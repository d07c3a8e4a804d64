"""Chunks around the pixels of PNG and WebP files: which are read, and what they say."""

import struct
import zlib
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

PNG = b"\x89PNG\r\n\x1a\n"
# Beside the critical chunks, whose names begin with a capital: transparency, orientation, and the frames of animations.
READ = {b"tRNS", b"eXIf", b"acTL", b"fcTL", b"fdAT"}
FIRST = {b"IHDR": 0, b"eXIf": 1}
Chunk = tuple[bytes, int, int]  # name, and where it starts and stops in the file


def lean(path: Path, *, exact: bool = False) -> Path | BytesIO:
    """The file itself; for a PNG with texts, profiles and the like, a copy in memory without them.

    Such chunks may be large, damaged or unknown while the pixels are sound. The orientation moves to the front, so that
    it is known before decoding. Bytes after the end of the picture are left out. exact: raise OSError if a chunk's
    checksum is wrong; Pillow checks only headers.
    """
    with path.open("rb", buffering=0) as file:
        if file.read(8) != PNG:
            return path
        chunks = list(_chunks(file))
        rewritten = _orientation_is_late(chunks) or not all(_is_read(name) for name, _, _ in chunks)
        if not (rewritten or exact):
            return path
        file.seek(0)
        content = file.readall()
    kept = [(name, content[start:stop]) for name, start, stop in chunks if _is_read(name)]
    if exact and not all(_is_sound(part) for _, part in kept):
        raise OSError("its checksums do not fit its content")
    return BytesIO(_joined(kept) + _rest(content, chunks)) if rewritten else path


def _orientation_is_late(chunks: list[Chunk]) -> bool:
    names = [name for name, _, _ in chunks]
    return b"IDAT" in names and b"eXIf" in names[names.index(b"IDAT") :]


def _joined(kept: list[tuple[bytes, bytes]]) -> bytes:
    return PNG + b"".join(part for _, part in sorted(kept, key=lambda one: FIRST.get(one[0], 2)))


def _rest(content: bytes, chunks: list[Chunk]) -> bytes:
    """What stands where a damaged file has no more chunks: Pillow says what is wrong with it."""
    if not chunks:
        return content[len(PNG) :]
    name, _, stop = chunks[-1]
    return b"" if name == b"IEND" else content[stop:]


def webp_is_lossless(content: bytes) -> bool:
    """Whether the (first) picture of a WebP file is stored without loss."""
    place = 12
    while place + 8 <= len(content):
        name, size = struct.unpack_from("<4sI", content, place)
        if name in (b"VP8L", b"VP8 "):
            return bool(name == b"VP8L")
        place += 24 if name == b"ANMF" else 8 + size + size % 2  # a frame's own chunks follow its 16 bytes
    return False


def _is_sound(chunk: bytes) -> bool:
    return zlib.crc32(chunk[4:-4]) == int.from_bytes(chunk[-4:], "big")


def _is_read(name: bytes) -> bool:
    return name in READ or name[:1].isupper()


def _chunks(file: BinaryIO) -> Iterator[Chunk]:
    """Name, start and stop of each chunk up to the end or to the first that is none."""
    place = 8
    while len(head := file.read(8)) == 8:
        length, name = struct.unpack(">I4s", head)
        if not name.isalpha():
            return
        yield name, place, place + length + 12
        if name == b"IEND":
            return
        place = file.seek(place + length + 12)
