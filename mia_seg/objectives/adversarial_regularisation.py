"""Adversarial regularisation (Nasr, Shokri & Houmansadr, CCS 2018): an attacker trains along, and is to learn nothing.

The inference model tells members from reference scenes by answers and labels; the segmenter minimises its own loss plus
`weight` times that model's gain on members. A fresh attacker of another form is what it must be judged by.
"""

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from mia_seg.data import IGNORE
from mia_seg.objectives import NETWORK, Batch, Goal, Helper, Judged, Objective, Stage
from mia_seg.objectives._targets import at_rest, one_hot
from mia_seg.segmenters import Network
from mia_seg.values import Rate, Weight, Width

ATTACKER = "attacker"


class AdversarialRegularisation(Objective):
    """A small convolutional attacker, one update of it before each of the segmenter's."""

    weight: Weight = Field(default=1.0, description="lambda: weight of the attacker's gain on members")
    lr: Rate = Field(default=1e-3, description="learning rate of the attacker's Adam")
    width: Width = Field(default=32, ge=1, description="channels of the attacker")

    def reference(self) -> Literal["", "beside", "instead"]:
        return "beside"

    def build(self, network: Network, classes: int, *, ids: Sequence[str]) -> "RegularisedGoal":
        del ids
        return RegularisedGoal(network, Helper(attacker(classes, self.width), self.lr), self.weight)


def attacker(classes: int, width: int) -> nn.Sequential:
    """Posterior and one-hot labels [N, 2K, H, W] -> a logit of membership [N, 1]."""
    return nn.Sequential(
        nn.Conv2d(2 * classes, width, 3, stride=2, padding=1), nn.ReLU(),
        nn.Conv2d(width, width, 3, stride=2, padding=1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 1),
    )  # fmt: skip


class RegularisedGoal(Goal):
    """First the attacker learns on the answers of a network at rest, then the segmenter against it."""

    stages = (Stage("infer", (ATTACKER,)), Stage("segment", (NETWORK,)))

    def __init__(self, network: Network, helper: Helper, weight: float) -> None:
        super().__init__(network, {ATTACKER: helper})
        self.weight = weight

    def forward(self, stage: str, batch: Batch) -> Judged:
        return self._infer(batch) if stage == "infer" else self._segment(batch)

    def _infer(self, batch: Batch) -> Judged:
        """The attacker's cross-entropy on members and reference scenes."""
        assert batch.reference is not None, "the loop draws them"
        inside, outside = (at_rest(self.network, one.image_N3HW) for one in (batch, batch.reference))
        says = self._says(inside, batch.labels_NHW), self._says(outside, batch.reference.labels_NHW)
        right = torch.cat([says[0] > 0, says[1] <= 0]).float().mean()
        return Judged(F.softplus(-says[0]).mean() + F.softplus(says[1]).mean(), inside, {"attacker_right": right})

    def _segment(self, batch: Batch) -> Judged:
        loss, logits = self.network.loss(batch.image_N3HW, batch.labels_NHW, batch.drawn)
        gain = -F.softplus(-self._says(logits, batch.labels_NHW)).mean()  # log h: what is to be small
        return Judged(loss + self.weight * gain, logits, {"attackers_gain": gain})

    def _says(self, logits_NKHW: Tensor, labels_NHW: Tensor) -> Tensor:
        classes, known_N1HW = logits_NKHW.shape[1], (labels_NHW != IGNORE)[:, None]
        seen = torch.cat([logits_NKHW.float().softmax(1) * known_N1HW, one_hot(labels_NHW, classes)], 1)
        told: Tensor = self.helpers[ATTACKER](seen)
        return told[:, 0]
