"""Cross-entropy to labels that are a little uncertain (Szegedy et al., CVPR 2016, section 7), or more than certain."""

from collections.abc import Sequence
from typing import Annotated, ClassVar

from pydantic import Field
from torch import Tensor

from mia_seg.objectives import Batch, Objective
from mia_seg.objectives._targets import TargetGoal, over_labelled, plain
from mia_seg.segmenters import Network
from mia_seg.values import Finite


class LabelSmoothing(Objective):
    """(1 - epsilon) of the label's cross-entropy and epsilon of the mean over all classes.

    A negative epsilon pushes away from other classes (Struppek et al., ICLR 2024). Smoothing is reported to help
    membership inference (Kaya & Dumitras, ICML 2021).
    """

    replaces = True
    epsilon: Annotated[Finite, Field(gt=-1, le=1)] = 0.1

    def build(self, network: Network, classes: int, *, ids: Sequence[str]) -> "SmoothedGoal":
        del classes, ids
        return SmoothedGoal(network, self.epsilon)


class SmoothedGoal(TargetGoal):
    """Ignored pixels stay ignored."""

    scene_wise = True
    called: ClassVar[str] = "label_smoothing"

    def __init__(self, network: Network, epsilon: float) -> None:
        super().__init__(network)
        self.epsilon = epsilon

    def of(self, logits_NKHW: Tensor, batch: Batch) -> Tensor:
        known = plain(logits_NKHW, batch.labels_NHW)
        uniform = -logits_NKHW.log_softmax(1).mean(1)
        return over_labelled((1 - self.epsilon) * known + self.epsilon * uniform, batch.labels_NHW)
