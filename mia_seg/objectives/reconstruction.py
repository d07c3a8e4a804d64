"""Cross-entropy and the error of the photograph that a small generator rebuilds of the answer (Sun et al., IJCAI 2018).

Section 2.2 of "Image-level to Pixel-wise Labeling": L = L_seg + L_gen. Any segmenter can be trained so; the paper's has
image-level labels too (`[segmenter] name = "image_level"`). The generator is not deployed.
"""

from collections.abc import Sequence
from typing import Literal

from pydantic import Field
from torch import Tensor

from mia_seg.objectives import NETWORK, Batch, Goal, Helper, Judged, Objective, Stage
from mia_seg.objectives._rebuild import rebuilder, rebuilding_error
from mia_seg.segmenters import Network
from mia_seg.values import Rate, Weight

GENERATOR = "generator"
JOINT = Stage("joint", (NETWORK, GENERATOR))
STAGES = {"three": (Stage("segment"), Stage("generator", (GENERATOR,)), JOINT), "joint": (JOINT,)}


class Reconstruction(Objective):
    """The segmenter's own loss plus `weight` times the mean squared error of the rebuilt photograph."""

    weight: Weight = Field(default=1.0, description="weight of the photograph's error (paper: 1)")
    stages: Literal["three", "joint"] = Field(
        default="three",
        description="stages of a step: segmenter, generator, both (paper); or only both, in half the time",
    )
    lr: Rate = Field(default=1e-3, description="learning rate of the generator's Adam")

    def build(self, network: Network, classes: int, *, ids: Sequence[str]) -> "ReconstructionGoal":
        del ids
        return ReconstructionGoal(network, Helper(rebuilder(classes), self.lr), settings=self)


class ReconstructionGoal(Goal):
    """The stages. The generator's own rebuilds the answers of the first, which cost no second forward pass."""

    def __init__(self, network: Network, generator: Helper, *, settings: Reconstruction) -> None:
        super().__init__(network, {GENERATOR: generator})
        self.weight, self.stages = settings.weight, STAGES[settings.stages]

    def forward(self, stage: str, batch: Batch) -> Judged:
        if stage == "generator":
            logits = batch.kept["logits"]
            return Judged(self._error(logits, batch), logits)
        loss, logits = self.network.loss(batch.image_N3HW, batch.labels_NHW, batch.drawn)
        if stage == "segment":
            batch.kept["logits"] = logits.detach()
            return Judged(loss, logits)
        error = self._error(logits, batch)
        return Judged(loss + self.weight * error, logits, {"reconstruction": error})

    def _error(self, logits_NKHW: Tensor, batch: Batch) -> Tensor:
        return rebuilding_error(self.helpers[GENERATOR], logits_NKHW, batch.image_N3HW)
