"""Twins among many images: which are the same, and which nearly."""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mia_seg.data._inspect import Picture
from mia_seg.data._twins import NEAR, bits, words

EQUAL = 24  # bits in which equal pixels may differ, where one file is a JPEG that was shrunk while it was decoded
LEVEL = 1.0  # of 255: what the means of equal pixels may differ by for the same reason; 0.25 was seen
NAMED = 5  # pairs that are named; the others are counted
BLOCK = 2**22  # comparisons at once


@dataclass(frozen=True)
class Twins:
    """How many images have a twin, and the first pairs by position."""

    count: int
    first: tuple[tuple[int, int], ...]


def equal(pictures: Mapping[Path, Picture], pixels: Callable[[list[Path]], Sequence[str]]) -> dict[Path, str]:
    """A key for each image, the same where all pixels are the same.

    pixels: returns digests of the pixels of some images. It is called only for images that resemble another of the same
    size and are no copy of its file, because hashing all takes half as long as decoding them.
    """
    suspects = _resembling(pictures)
    copies = {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in suspects}
    originals = {copies[path]: path for path in reversed(suspects)}
    left = _resembling({path: pictures[path] for path in originals.values()})
    digests = dict(zip(left, pixels(left), strict=True))
    same = {path: originals[copies[path]] for path in suspects}
    return {path: digests.get(same.get(path, path), str(same.get(path, path))) for path in pictures}


def exact(keys: Sequence[str], homes: Sequence[int] | None = None) -> Twins:
    """Images whose key another image has too. With `homes`, only pairs of different homes count."""
    groups = defaultdict(list)
    for k, key in enumerate(keys):
        groups[key].append(k)
    where = homes if homes is not None else range(len(keys))
    together = [group for group in groups.values() if len({where[k] for k in group}) > 1]
    pairs = [(group[0], next(k for k in group if where[k] != where[group[0]])) for group in together]
    return Twins(sum(map(len, together)), tuple(pairs[:NAMED]))


def near(looks: Sequence[int], keys: Sequence[str], homes: Sequence[int] | None = None) -> Twins:
    """Images that look like another one with a different key. With `homes`, only pairs of different homes count."""
    look_WN, key = words(looks), np.unique(np.array(keys, str), return_inverse=True)[1]
    home = key if homes is None else np.array(homes)
    count, first = 0, list[tuple[int, int]]()
    for rows in _blocks(len(key)):
        close = _close(look_WN, rows, NEAR) & (key[rows, None] != key) & (home[rows, None] != home)
        found = np.flatnonzero(close.any(axis=1))
        count += len(found)
        for row in found if len(first) < NAMED else ():
            later = np.flatnonzero(close[row, rows.start + row + 1 :])
            first += [(int(rows.start + row), int(rows.start + row + 1 + later[0]))] if later.size else []
    return Twins(count, tuple(first[:NAMED]))


def _resembling(pictures: Mapping[Path, Picture]) -> list[Path]:
    """The images that may have the pixels of another."""
    paths, seen = list(pictures), pictures.values()
    look_WN, mean = words([p.look for p in seen]), np.array([p.mean for p in seen])
    size, drafted = np.array([p.size for p in seen]).reshape(-1, 2), np.array([p.drafted for p in seen], bool)
    small = np.unique(np.array([p.small for p in seen], str), return_inverse=True)[1]
    found: list[Path] = []
    for rows in _blocks(len(paths)):
        close = _close(look_WN, rows, EQUAL) & (abs(mean[rows, None] - mean) <= LEVEL)
        close &= (size[rows, None] == size).all(-1)
        close &= (small[rows, None] == small) | drafted[rows, None] | drafted
        found += [paths[rows.start + k] for k in np.flatnonzero(close.sum(axis=1) > 1)]  # each resembles itself
    return found


def _close(look_WN: np.ndarray, rows: slice, most: int) -> np.ndarray:
    return bits(look_WN[:, rows], look_WN) <= most


def _blocks(count: int) -> Iterator[slice]:
    step = max(1, BLOCK // max(1, count))
    return (slice(start, min(start + step, count)) for start in range(0, count, step))
