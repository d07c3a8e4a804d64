"""Two scenes in one image: CutMix (Yun et al., ICCV 2019) and mixup (Zhang et al., ICLR 2018) for dense labels."""

from collections.abc import Sequence
from typing import ClassVar, Literal, NamedTuple

import torch
from torch import Tensor

from mia_seg.objectives import Batch, Goal, Judged, Objective
from mia_seg.objectives._targets import over_labelled, plain, refuse_drawn
from mia_seg.segmenters import Network
from mia_seg.values import Factor


class Mix(Objective):
    """Each image takes part of the next one of its batch, and the labels follow.

    cutmix: a rectangle of image and labels, its area 1 - lambda. mixup: lambda of the image and 1 - lambda of the
    other, and as much of each one's cross-entropy. lambda ~ Beta(alpha, alpha), one a step.
    """

    replaces = True
    kind: Literal["cutmix", "mixup"] = "cutmix"
    alpha: Factor = 1.0

    def build(self, network: Network, classes: int, *, ids: Sequence[str]) -> "MixedGoal":
        del classes, ids
        return MixedGoal(network, self)


class Mixture(NamedTuple):
    """Mixed images, and the labels of both scenes with the weight of the first: 1 where a pixel has one label."""

    image_N3HW: Tensor
    first_NHW: Tensor
    second_NHW: Tensor
    weight: float


class MixedGoal(Goal):
    """One stage. In evaluation nothing is mixed."""

    called: ClassVar[str] = "mix"

    def __init__(self, network: Network, settings: Mix) -> None:
        super().__init__(network)
        self.mix = settings

    def forward(self, stage: str, batch: Batch) -> Judged:
        del stage
        refuse_drawn(batch, self.called)
        given = self._mixture(batch)
        outputs, total = self.network.outputs(given.image_N3HW), torch.zeros((), device=batch.image_N3HW.device)
        for weight, logits in outputs:
            for labels, share in ((given.first_NHW, given.weight), (given.second_NHW, 1 - given.weight)):
                if share:
                    total = total + weight * share * over_labelled(plain(logits.float(), labels), labels)
        return Judged(total, outputs[0][1])

    def _mixture(self, batch: Batch) -> Mixture:
        image, labels = batch.image_N3HW, batch.labels_NHW
        if not self.training:
            return Mixture(image, labels, labels, 1.0)
        # The stream of the epoch, as for dropout: a resumed run draws the same.
        keep = float(torch.distributions.Beta(self.mix.alpha, self.mix.alpha).sample())
        if self.mix.kind == "mixup":
            return Mixture(keep * image + (1 - keep) * image.roll(1, 0), labels, labels.roll(1, 0), keep)
        rows, columns = rectangle((image.shape[2], image.shape[3]), 1 - keep)
        image, labels = image.clone(), labels.clone()
        image[:, :, rows, columns] = batch.image_N3HW.roll(1, 0)[:, :, rows, columns]
        labels[:, rows, columns] = batch.labels_NHW.roll(1, 0)[:, rows, columns]
        return Mixture(image, labels, labels, 1.0)


def rectangle(size: tuple[int, int], share: float) -> tuple[slice, slice]:
    """Rows and columns of a rectangle of the image's shape that covers `share` of it, anywhere within."""
    sides = [round(side * share**0.5) for side in size]
    starts = [int(torch.randint(whole - side + 1, ())) for side, whole in zip(sides, size, strict=True)]
    return slice(starts[0], starts[0] + sides[0]), slice(starts[1], starts[1] + sides[1])
