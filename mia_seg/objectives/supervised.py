"""The segmenter's own loss on labelled scenes, and nothing else."""

from collections.abc import Sequence

from mia_seg.objectives import Batch, Goal, Judged, Objective
from mia_seg.segmenters import Network


class Supervised(Objective):
    """Cross-entropy a pixel, auxiliary heads as the architecture weighs them."""

    def build(self, network: Network, classes: int, *, ids: Sequence[str]) -> "SupervisedGoal":
        del classes, ids
        return SupervisedGoal(network)


class SupervisedGoal(Goal):
    """One stage."""

    scene_wise = True

    def forward(self, stage: str, batch: Batch) -> Judged:
        del stage
        return Judged(*self.network.loss(batch.image_N3HW, batch.labels_NHW, batch.drawn))
