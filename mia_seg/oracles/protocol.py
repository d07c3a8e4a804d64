"""The Open Inference Protocol, version 2, over HTTP: messages put together and taken apart.

A message is JSON. Under the binary tensor extension the numbers follow it, little-endian and row-major, and a header
says where the JSON ends. Nothing in a sentence of `Malformed` repeats what a message holds beyond names and sizes.
"""

import json
import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

LENGTH = "Inference-Header-Content-Length"
BINARY = "application/octet-stream"
DTYPES = {
    "UINT8": "u1", "UINT16": "<u2", "UINT32": "<u4", "UINT64": "<u8", "INT8": "i1", "INT16": "<i2", "INT32": "<i4",
    "INT64": "<i8", "FP16": "<f2", "FP32": "<f4", "FP64": "<f8",
}  # fmt: skip
NAMES = {np.dtype(dtype): name for name, dtype in DTYPES.items()}
KINDS = {"u": "iu", "i": "iu", "f": "iuf"}  # what JSON may hold for each kind of number
PLAIN = re.compile(r"[\w.:/ -]{1,64}")  # a name that may be repeated to a reader


class Malformed(ValueError):
    """What is wrong with a message: the end of a sentence that begins with it ('it has no ...')."""


def described(name: str, array: np.ndarray) -> dict[str, Any]:
    """The entry of a tensor whose numbers follow in binary (`numbers`)."""
    return {
        "name": name, "datatype": NAMES[array.dtype], "shape": list(array.shape),
        "parameters": {"binary_data_size": array.nbytes},
    }  # fmt: skip


def numbers(array: np.ndarray) -> bytes:
    """Little-endian, row-major."""
    return np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()


def pack(head: dict[str, Any], tensors: Sequence[bytes]) -> tuple[bytes, dict[str, str]]:
    """Body and headers of a message with tensors in binary."""
    start = json.dumps(head).encode()
    return b"".join([start, *tensors]), {LENGTH: str(len(start)), "Content-Type": BINARY}


def unpack(body: bytes, length: str | None) -> tuple[dict[str, Any], memoryview]:
    """The JSON of a message, and the numbers behind it. length: what its header says; None: all of it is JSON."""
    end = len(body) if length is None else _number(length)
    if end > len(body):
        raise Malformed(f"is cut off: its header speaks of {end} bytes of JSON, and it has {len(body)}")
    try:
        head = json.loads(body[:end])
    except (ValueError, RecursionError):
        raise Malformed("is no JSON") from None
    if not isinstance(head, dict):
        raise Malformed("is no JSON object")
    return head, memoryview(body)[end:]


def tensors(listed: object, tail: memoryview) -> dict[str, np.ndarray]:
    """The tensors that a message lists, by name, in this machine's byte order."""
    if not isinstance(listed, list):
        raise Malformed("lists no tensors")
    found: dict[str, np.ndarray] = {}
    start = 0
    for entry in listed:
        name, dtype, shape = _entry(entry)
        size = parameters(entry).get("binary_data_size")
        if size is None:
            found[name] = _of_json(entry.get("data"), dtype, shape)
        else:
            found[name] = _of_bytes(tail[start:], dtype, shape, size=size)
            start += size
    if start != len(tail):
        raise Malformed(f"has {len(tail)} bytes of numbers, and its header speaks of {start}")
    return found


def parameters(entry: dict[str, Any]) -> dict[str, Any]:
    """The parameters of a message or of one of its tensors."""
    given = entry.get("parameters")
    return given if isinstance(given, dict) else {}


def plain(names: Sequence[object]) -> str:
    """Names for a sentence; one that is no plain name is not repeated."""
    return ", ".join(f"'{name}'" if isinstance(name, str) and PLAIN.fullmatch(name) else "another" for name in names)


def _number(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 19):
        raise Malformed(f"has a header {LENGTH} that is no number")
    return int(text)


def _entry(entry: object) -> tuple[str, str, list[int]]:
    if not isinstance(entry, dict) or not isinstance(name := entry.get("name"), str):
        raise Malformed("lists a tensor without a name")
    datatype, shape = entry.get("datatype"), entry.get("shape")
    if not isinstance(datatype, str) or datatype not in DTYPES:
        raise Malformed(f"has a datatype for {plain([name])} that is none of {', '.join(DTYPES)}")
    if not isinstance(shape, list) or not all(type(side) is int and 0 <= side < 1 << 31 for side in shape):
        raise Malformed(f"has a shape for {plain([name])} that is no list of sizes")
    return name, DTYPES[datatype], shape


def _of_bytes(tail: memoryview, dtype: str, shape: list[int], *, size: object) -> np.ndarray:
    wanted = math.prod(shape) * np.dtype(dtype).itemsize
    if type(size) is not int or size != wanted:
        raise Malformed(f"has a binary_data_size that does not fit the shape {shape}, which takes {wanted} bytes")
    if len(tail) < size:
        raise Malformed(f"is cut off: {size} bytes of numbers are announced, and {len(tail)} are there")
    return np.frombuffer(tail[:size], dtype).reshape(shape).astype(np.dtype(dtype).newbyteorder("="))


def _of_json(data: object, dtype: str, shape: list[int]) -> np.ndarray:
    wanted = np.dtype(dtype).newbyteorder("=")
    try:
        given = np.asarray(data)
    except (ValueError, OverflowError):
        raise Malformed("has data that is no array of numbers") from None
    if given.size != math.prod(shape):
        raise Malformed(f"has {given.size} values for the shape {shape}, which takes {math.prod(shape)}")
    if given.dtype.kind not in KINDS[wanted.kind]:
        raise Malformed(f"has data that is not of the datatype {NAMES[np.dtype(dtype)]}")
    if wanted.kind != "f" and given.size and not _within(given, np.iinfo(wanted)):
        raise Malformed(f"has data beyond the range of {NAMES[np.dtype(dtype)]}")
    with np.errstate(over="ignore"):  # what is too large for FP16 becomes infinite there, too
        return given.reshape(shape).astype(wanted)


def _within(given: np.ndarray, limits: "np.iinfo[Any]") -> bool:
    return int(given.min()) >= limits.min and int(given.max()) <= limits.max
