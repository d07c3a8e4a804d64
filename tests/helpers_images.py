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
