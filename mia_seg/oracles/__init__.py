"""Oracles: black boxes, as a user of a deployed model has one. An image goes in, a posterior comes out."""

from collections.abc import Callable, Sequence
from typing import Protocol, cast

import numpy as np
import torch
from torch import Tensor

from mia_seg.oracles._posterior import check_posteriors

__all__ = ["Batched", "Oracle", "Release", "Released", "as_is", "check_posteriors", "noise"]

Release = Callable[[Tensor, torch.Generator], Tensor]


class Oracle(Protocol):
    """(image uint8 RGB [H, W, 3], key) -> posterior [K, H, W]: float32 on the CPU, non-negative, sums to one over K.

    All noise comes from the key: the same image under the same key gets the same answer.
    """

    def __call__(self, image_HWC: np.ndarray, key: int) -> Tensor:
        """The posterior."""


class Batched(Oracle, Protocol):
    """An oracle that can be asked about several images at once; the last bits of an answer may then differ."""

    def together(self, images: Sequence[np.ndarray], keys: Sequence[int]) -> list[Tensor]:
        """The posteriors of images of one size, each under its key."""


class Released:
    """An oracle whose answers pass through `release`, which draws its noise from the generator that it is given."""

    def __init__(self, oracle: Oracle, release: Release) -> None:
        self.oracle, self.release = oracle, release

    def __call__(self, image_HWC: np.ndarray, key: int) -> Tensor:
        """What the release makes of the oracle's posterior."""
        return self.release(self.oracle(image_HWC, key), noise(key))

    def together(self, images: Sequence[np.ndarray], keys: Sequence[int]) -> list[Tensor]:
        """As `Batched.together`; the wrapped oracle must be `Batched`."""
        posteriors = cast(Batched, self.oracle).together(images, keys)
        return [self.release(posterior, noise(key)) for posterior, key in zip(posteriors, keys, strict=True)]


def noise(key: int) -> torch.Generator:
    """The generator of an answer's noise, seeded by a key."""
    return torch.Generator().manual_seed(key)


def as_is(posterior_KHW: Tensor, generator: torch.Generator) -> Tensor:
    """Release the posterior unchanged."""
    del generator
    return posterior_KHW
