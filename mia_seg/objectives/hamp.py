"""HAMP's training (Chen & Pattabiraman, NDSS 2024): targets of high entropy, and a reward for uncertain answers.

Its other half replaces the scores at query time and keeps the labels. To an attacker who reads labels alone that is
`argmax`, so judge it by the defense of that name.
"""

from collections.abc import Sequence
from math import log
from typing import ClassVar

from scipy.optimize import brentq
from scipy.special import xlogy
from torch import Tensor

from mia_seg.objectives import Batch, Objective
from mia_seg.objectives._targets import TargetGoal, labels_or_zero, over_labelled
from mia_seg.segmenters import Network
from mia_seg.values import Part, Weight


class HAMP(Objective):
    """KL divergence from soft labels whose entropy is gamma log K, less beta times the answer's entropy."""

    replaces = True
    gamma: Part = 0.95
    beta: Weight = 0.005

    def build(self, network: Network, classes: int, *, ids: Sequence[str]) -> "UncertainGoal":
        del ids
        return UncertainGoal(network, label_probability(self.gamma, classes), self.beta)


class UncertainGoal(TargetGoal):
    """Means over labelled pixels, so that beta means the same at every size."""

    scene_wise = True
    called: ClassVar[str] = "hamp"

    def __init__(self, network: Network, label: float, beta: float) -> None:
        super().__init__(network)
        self.label, self.beta = label, beta

    def of(self, logits_NKHW: Tensor, batch: Batch) -> Tensor:
        log_p, labels = logits_NKHW.log_softmax(1), labels_or_zero(batch.labels_NHW)
        other = (1 - self.label) / (log_p.shape[1] - 1)
        of_label = log_p.gather(1, labels[:, None])[:, 0]
        cross = -(self.label - other) * of_label - other * log_p.sum(1)
        target = float(xlogy(self.label, self.label) + (log_p.shape[1] - 1) * xlogy(other, other))
        entropy = -(log_p.exp() * log_p).sum(1)
        return over_labelled(target + cross - self.beta * entropy, batch.labels_NHW)


def label_probability(gamma: float, classes: int) -> float:
    """The label's share of a target whose entropy is gamma log K, all others alike: from 1 (gamma 0) down to 1 / K."""
    if gamma in (0.0, 1.0):
        return 1.0 if gamma == 0 else 1 / classes

    def excess(p: float) -> float:
        return float(-xlogy(p, p) - xlogy(1 - p, (1 - p) / (classes - 1))) - gamma * log(classes)

    return float(brentq(excess, 1 / classes, 1.0))
