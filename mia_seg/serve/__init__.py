"""Serving a trained victim, defended or not, by the Open Inference Protocol v2: what an attacker outside would meet."""

import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import cast

import numpy as np

from mia_seg.oracles import Batched, Oracle

INPUT, OUTPUT = "image", "posterior"


class Noise(StrEnum):
    """What the noise of a defense comes from.

    image: the server's secret and the image, so that asking again tells nothing new. fresh: anew for each request.
    client: the request's parameter `key`, for experiments; the image where a request has none.
    """

    IMAGE = "image"
    FRESH = "fresh"
    CLIENT = "client"


@dataclass(frozen=True)
class Service:
    """A model that can be asked. version: what tells its weights and its defense apart.

    batch: images of one size that are answered at once at most; above 1 the oracle is `Batched`.
    """

    name: str
    version: str
    classes: int
    oracle: Oracle
    secret: bytes = field(repr=False)
    noise: Noise = Noise.IMAGE
    batch: int = 1

    def answer(self, image_HWC: np.ndarray, key: int | None = None) -> np.ndarray:
        """The posterior float32 [1, K, H, W] for an image uint8 RGB [H, W, 3].

        One call at a time: an oracle seeds torch's generator.
        """
        return self.oracle(image_HWC, self._key(image_HWC, key)).numpy()[None]

    def answers(self, images: Sequence[np.ndarray], keys: Sequence[int | None]) -> list[np.ndarray]:
        """Those for images of one size; of several at once the last bits depend on who else is asking."""
        if len(images) == 1:
            return [self.answer(images[0], keys[0])]
        known = [self._key(image, key) for image, key in zip(images, keys, strict=True)]
        return [posterior.numpy()[None] for posterior in cast(Batched, self.oracle).together(images, known)]

    def _key(self, image_HWC: np.ndarray, given: int | None) -> int:
        if self.noise is Noise.FRESH:
            return secrets.randbits(48)
        return image_key(self.secret, image_HWC) if given is None else given


def image_key(secret: bytes, image_HWC: np.ndarray) -> int:
    """48 bits from a secret and an image: its size and its pixels."""
    content = f"{image_HWC.shape}".encode() + np.ascontiguousarray(image_HWC).tobytes()
    return int.from_bytes(hmac.digest(secret, content, "sha256")[:6])


@dataclass(frozen=True)
class Rules:
    """What clients may do. limit: requests a client and minute; key: what they must show."""

    limit: int | None = None
    key: str | None = field(default=None, repr=False)
