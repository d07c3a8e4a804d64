"""Twins: images that are the same, or nearly, whatever files they lie in and whatever they are called."""

import hashlib
from dataclasses import dataclass

import imagehash
import numpy as np
from PIL import Image


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
