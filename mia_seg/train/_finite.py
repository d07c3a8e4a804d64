"""Checks that end a diverging training at the step that shows it, before any weights are kept."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor

from mia_seg.errors import MiaSegError

# A loss scaler halves its scale with each step that it skips. Below this no step will succeed (fairseq's bound, too).
SMALLEST_SCALE = 1e-4


@dataclass(frozen=True)
class Place:
    """The step at which a training is. section: of the recipe, whose lr the error says to lower."""

    title: str
    step: int  # counted from 1
    steps: int
    rate: float
    section: str
    precision: str = "32-true"

    def diverged(self, sign: str) -> MiaSegError:
        """The error that ends the training. sign: how it shows."""
        advice = f"Lower lr in {self.section}"
        if self.precision != "32-true":
            advice += ", or set precision = '32-true' there"
        return MiaSegError(
            f"{self.title}: the training diverged at step {self.step} of {self.steps}, learning rate {self.rate:.3g}: "
            f"{sign}. Its weights are not kept. {advice}."
        )


def check_loss(loss: float, place: Place, name: str = "the loss") -> None:
    """Raise MiaSegError for a loss that is not finite."""
    if not math.isfinite(loss):
        raise place.diverged(f"{name} is {loss}")


def check_scale(fabric: Fabric, place: Place) -> None:
    """Raise MiaSegError where the loss scaler of 16-mixed skips every step; it may skip some."""
    scaler: Any = getattr(fabric.strategy.precision, "scaler", None)
    if scaler is not None and scaler.get_scale() < SMALLEST_SCALE:
        raise place.diverged(f"its gradients overflow at a loss scale of {scaler.get_scale():.3g}")


def all_finite(tensors: Iterable[Tensor]) -> bool:
    """Whether weights or buffers are finite; whole numbers are. One number is read from the device."""
    floats = [t.detach() for t in tensors if t.is_floating_point()]
    return math.isfinite(torch.nn.utils.get_total_norm(floats, math.inf).item())
