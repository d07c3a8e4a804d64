"""Image files written without the reader's own library where it could be wrong: a PNG encoder, EXIF, odd JPEGs."""

import struct
import zlib
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

Chunk = tuple[bytes, bytes]
GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6  # PNG's colour types
CHANNELS = {GREY: 1, RGB: 3, PALETTE: 1, GREY_ALPHA: 2, RGBA: 4}
ADAM7 = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
# What a viewer does with stored pixels [H, W, ...] of each EXIF orientation.
TURNS: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: np.rot90,
}


def png(
    values: np.ndarray,
    colour: int,
    depth: int,
    *,
    before: Sequence[Chunk] = (),
    after: Sequence[Chunk] = (),
    adam7: bool = False,
) -> bytes:
    """Values [H, W] or [H, W, channels] of `depth` bits as a PNG file; chunks before and after its pixels."""
    height, width = values.shape[:2]
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, adam7)
    passes = [values[y::down, x::right] for y, x, down, right in ADAM7] if adam7 else [values]
    rows = b"".join(b"\0" + _packed(row, depth) for part in passes if part.size for row in part)
    chunks = [(b"IHDR", head), *before, (b"IDAT", zlib.compress(rows)), *after, (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(map(_chunk, chunks))


def exif(orientation: object = 6) -> bytes:
    """A TIFF header with the one tag, as PNG's eXIf holds it."""
    return b"MM\0*\0\0\0\x08\0\x01" + struct.pack(">HHIHH", 0x0112, 3, 1, orientation, 0) + b"\0\0\0\0"


def jpeg(pixels: np.ndarray, orientation: int = 1, **more: Any) -> bytes:
    return saved(Image.fromarray(pixels), "JPEG", quality=95, exif=b"Exif\0\0" + exif(orientation), **more)


def saved(image: Image.Image, form: str, **more: Any) -> bytes:
    file = BytesIO()
    image.save(file, form, **more)
    return file.getvalue()


def tiff(
    content: bytes,
    *,
    bits: int,
    size: tuple[int, int] = (2, 2),
    bands: int = 1,
    sample: int = 1,
    photometric: int = 1,
    planes: int = 1,
    orientation: int = 1,
    alpha: int | None = None,
    order: str = "<",
    compressed: bool = False,
) -> bytes:
    """A TIFF of one strip with these bytes as its pixels."""
    content = zlib.compress(content) if compressed else content
    tags = {256: size[1], 257: size[0], 258: bits, 259: 8 if compressed else 1, 262: photometric, 273: 8}
    tags |= {274: orientation, 277: bands, 278: size[0], 279: len(content), 284: planes}
    tags |= {339: sample} if alpha is None else {338: alpha, 339: sample}
    entries = b"".join(_entry(tag, value, order) for tag, value in tags.items())
    content += b"\0" * (len(content) % 2)
    start = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(f"{order}I", 8 + len(content))
    return start + content + struct.pack(f"{order}H", len(tags)) + entries + b"\0" * 4


def _entry(tag: int, value: int, order: str) -> bytes:
    """A tag of TIFF: places and lengths of strips are LONG, all others SHORT."""
    long = tag in (273, 279)
    stored = struct.pack(f"{order}I", value) if long else struct.pack(f"{order}HH", value, 0)
    return struct.pack(f"{order}HHI", tag, 4 if long else 3, 1) + stored


def bmp(row: bytes, bits: int, palette: Sequence[Sequence[int]]) -> bytes:
    """A BMP of one row of four pixels."""
    colours = b"".join(bytes([*reversed(colour), 0]) for colour in palette)
    start = 54 + len(colours)
    head = struct.pack("<IiiHHIIiiII", 40, 4, 1, 1, bits, 0, len(row), 0, 0, len(palette), 0)
    return b"BM" + struct.pack("<IHHI", start + len(row), 0, 0, start) + head + colours + row


def ycck(inks: Sequence[int]) -> bytes:
    """A JPEG of one CMYK colour as Photoshop stores it: inverted, its first three inks as luminance and chroma."""
    y, cb, cr = np.array(Image.new("RGB", (1, 1), tuple(inks[:3])).convert("YCbCr"))[0, 0]
    file = saved(Image.new("CMYK", (16, 16), tuple(255 - int(v) for v in (y, cb, cr, 255 - inks[3]))), "JPEG")
    at = file.index(b"Adobe") + 11  # Pillow stores what it is given, inverted; this byte says what it means
    return file[:at] + b"\x02" + file[at + 1 :]


def put(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def _packed(row: np.ndarray, depth: int) -> bytes:
    if depth == 16:
        return row.astype(">u2").tobytes()
    if depth == 8:
        return row.astype(np.uint8).tobytes()
    return np.packbits((row[:, None] >> np.arange(depth)[::-1]) & 1).tobytes()


def _chunk(chunk: Chunk) -> bytes:
    name, content = chunk
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
