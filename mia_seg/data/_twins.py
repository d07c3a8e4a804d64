"""Twins: images that are the same, or nearly, whatever files they lie in and whatever they are called."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import imagehash
import numpy as np
from PIL import Image

VERSION = 1  # of fingerprints: another one is compared with none of this
SIDE = 16  # of the square of bits that a look is
# Bits in which the looks of near twins differ at most, of 256; chosen on 600 photographs of LabelMeFacade and 160
# frames of CamVid, one second apart. A changed image stays within so many bits of itself: stored as JPEG at quality 20,
# 6; Gaussian noise of 15 grey values, 8; half the size, 4; 20% lighter or darker, 24; 1% cut off at the top and the
# left, 36 (2% cut off, 54). Of 179,700 pairs of photographs 10 are within 42 bits, all of one camera that stands still;
# the next one is 90 bits apart. Looks of 64 bits would not do: at 8 bits of them, which trimmed images need, two
# streets below the same sky are near.
NEAR = 44
ROWS = 32  # of a table of distances, at once: it stays in the processor's cache


@dataclass(frozen=True)
class Fingerprint:
    """An image's hashes. pixels: SHA-256 of size and values. look: 256 bits of which few differ in similar images."""

    pixels: str
    look: int


def fingerprint(image_HWC: np.ndarray) -> Fingerprint:
    """An image's hashes, uint8 [H, W, 3]: equal pixels give equal `pixels`, small changes change few bits of `look`.

    `look` is the perceptual hash of the cosine transform at 64 x 64 (pHash; Zauner 2010), as imagehash has it.
    """
    exact = hashlib.sha256(repr(image_HWC.shape).encode())
    exact.update(image_HWC.tobytes())
    bits = imagehash.phash(Image.fromarray(image_HWC), hash_size=SIDE).hash.ravel()
    return Fingerprint(exact.hexdigest(), int.from_bytes(np.packbits(bits).tobytes()))


def exact_twins(mine: Mapping[str, str], others: Mapping[str, str]) -> list[tuple[str, str]]:
    """Pairs of ids (mine, other) that show the same picture. mine, others: id -> what identifies its picture."""
    known = {picture: i for i, picture in others.items()}
    return [(i, known[picture]) for i, picture in mine.items() if picture in known]


def near_twins(mine: Mapping[str, int], others: Mapping[str, int]) -> list[tuple[str, str]]:
    """Pairs of ids (mine, nearest other) whose looks differ in at most `NEAR` bits; the nearest pairs first.

    mine, others: id -> look. Compares all with all: 20,000 with 20,000 take two seconds of one core and 20 MB.
    """
    if not others:
        return []
    looks_WN, looks_WM = (words(looks.values()) for looks in (mine, others))
    names, found = [*others], []
    for start in range(0, len(mine), ROWS):
        bits_RM = bits(looks_WN[:, start : start + ROWS], looks_WM)
        nearest_R, bits_R = bits_RM.argmin(1), bits_RM.min(1)
        found += [(int(bits_R[k]), start + k, int(nearest_R[k])) for k in np.flatnonzero(bits_R <= NEAR).tolist()]
    ids = [*mine]
    return [(ids[one], names[other]) for _, one, other in sorted(found)]


def words(looks: Iterable[int]) -> np.ndarray:
    """Looks as words of 64 bits, uint64 [W, N]."""
    size = SIDE * SIDE // 8
    words_NW = np.frombuffer(b"".join(look.to_bytes(size) for look in looks), np.uint64).reshape(-1, size // 8)
    return np.ascontiguousarray(words_NW.T)


def bits(looks_WR: np.ndarray, looks_WM: np.ndarray) -> np.ndarray:
    """The number of bits in which each of R looks differs from each of M: uint16 [R, M]."""
    bits_RM = np.zeros((looks_WR.shape[1], looks_WM.shape[1]), np.uint16)
    for word_R, word_M in zip(looks_WR, looks_WM, strict=True):
        bits_RM += np.bitwise_count(word_R[:, None] ^ word_M)
    return bits_RM
