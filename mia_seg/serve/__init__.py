"""Serving a trained victim, with or without a defense, by the Open Inference Protocol v2."""

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
    """The source of a defense's noise.

    image: the server's secret and the image, so that asking again tells nothing new. fresh: new for each request.
    client: the request's parameter `key`, for experiments; without one, as image.
    """

    IMAGE = "image"
    FRESH = "fresh"
    CLIENT = "client"


@dataclass(frozen=True)
class Service:
    """A served model. version: identifies its weights and its defense.

    batch: the most images of one size that are answered at once; above 1 the oracle is `Batched`.
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
        """The posteriors for images of one size. Of several at once, last bits depend on the other images."""
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
    """Rules for clients. limit: requests per client and minute. key: the key that they must send."""

    limit: int | None = None
    key: str | None = field(default=None, repr=False)
