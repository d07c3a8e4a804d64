"""Twins: images that are the same, or nearly, whatever files they lie in and whatever they are called."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import imagehash
import numpy as np
from PIL import Image

VERSION = 1  # of fingerprints: another one is compared with none of this
# Bits in which the looks of near twins differ at most, of 64; chosen on 600 photographs of LabelMeFacade and 160 frames
# of CamVid, one second apart. Changed and compared with themselves, at least 99.8% of them stay within 8 bits: stored
# as JPEG at quality 20, with Gaussian noise of 15 grey values, at half the size, 20% lighter or darker, with 1% cut off
# at the top and the left (of 2% 96% stay, of 5% a third). Of 179,700 pairs of photographs 10 are within 8 bits, all of
# one camera that stands still; the next are 2 pairs at 12 bits, 7 at 14 and 51 at 16. Carried on downwards, that makes
# about one pair of unrelated photographs in three million. Of frames one second apart 16% are near.
NEAR = 8
ROWS = 64  # of a table of distances, at once: it stays in the processor's cache


@dataclass(frozen=True)
class Fingerprint:
    """Of one image. pixels: SHA-256 of its size and values. look: 64 bits that images which look alike share mostly."""

    pixels: str
    look: int


def fingerprint(image_HWC: np.ndarray) -> Fingerprint:
    """Of an image, uint8 [H, W, 3]: equal pixels give equal `pixels`; small changes change few bits of `look`.

    `look` is the perceptual hash of the cosine transform at 32 x 32 (pHash; Zauner 2010), as imagehash has it.
    """
    exact = hashlib.sha256(repr(image_HWC.shape).encode())
    exact.update(image_HWC.tobytes())
    bits = imagehash.phash(Image.fromarray(image_HWC)).hash.ravel()
    return Fingerprint(exact.hexdigest(), int("".join("01"[int(bit)] for bit in bits), 2))


def exact_twins(mine: Mapping[str, str], others: Mapping[str, str]) -> list[tuple[str, str]]:
    """Who of mine shows what one of the others does, and that one; both: what tells a picture, by id."""
    known = {picture: i for i, picture in others.items()}
    return [(i, known[picture]) for i, picture in mine.items() if picture in known]


def near_twins(mine: Mapping[str, int], others: Mapping[str, int]) -> list[tuple[str, str]]:
    """Who of mine looks within `NEAR` bits like one of the others, and the one nearest to it; the nearest pairs first.

    Both: looks by id. Compares all with all: 20,000 with 20,000 take a second and 20 MB.
    """
    if not others:
        return []
    looks_N, looks_M = (np.array([*looks.values()], np.uint64) for looks in (mine, others))
    names, found = [*others], []
    for start in range(0, len(looks_N), ROWS):
        bits_RM = np.bitwise_count(looks_N[start : start + ROWS, None] ^ looks_M)
        nearest_R, bits_R = bits_RM.argmin(1), bits_RM.min(1)
        found += [(int(bits_R[k]), start + k, int(nearest_R[k])) for k in np.flatnonzero(bits_R <= NEAR).tolist()]
    ids = [*mine]
    return [(ids[one], names[other]) for _, one, other in sorted(found)]
