"""Seg-GAN (Zhao Z.S., Wang, Liu, Yang, Sun, Qiao): the answer is also to pass for a ground truth.

A discriminator D returns a confidence for each pixel of a label map. It learns equation 1 of the paper; the segmenter S
learns cross-entropy plus `weight` times equation 4, the mean of -log D(S(x)). D is not part of the released model. What
the paper leaves open, and what is done here, is in docs/objectives.md.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from mia_seg.data import IGNORE
from mia_seg.objectives import Batch, Goal, Helper, Judged, Objective, Stage
from mia_seg.objectives._targets import one_hot, over_labelled
from mia_seg.segmenters import Network
from mia_seg.segmenters._convcrf import BLUR, Affinity, ConvCRF
from mia_seg.values import Rate, Side, Weight, Whole, Width

SLOPE = 0.2
FLOOR = 1e-6  # a probability of the maps that CRFs read: the logarithm of a one-hot label is finite


class Adversarial(Objective):
    """Cross-entropy, and a discriminator with ConvCRFs that is to take the answer for a ground truth."""

    weight: Weight = Field(default=0.01, description="weight of the adversarial term; the paper tries 0.005 to 0.05")
    warm_up: Whole = Field(default=0, ge=0, le=10**6, description="epochs before the term counts")
    helper_lr: Rate = Field(
        default=1e-4, description="learning rate of the discriminator's Adam, under the segmenter's schedule"
    )
    width: Width = Field(
        default=64, ge=1, description="channels of the discriminator's first layer; the 4th has 8 times as many"
    )
    crf: Whole = Field(default=4, ge=0, le=4, description="ConvCRFs in a row before the discriminator's first layer")
    crf_window: Literal[3, 5, 7, 9, 11, 13] = Field(
        default=7, description="window of a CRF: pixels along a side, after the blur"
    )
    crf_blur: Side = Field(
        default=BLUR, description="CRFs work on means of crf_blur x crf_blur pixels; 1: on each pixel"
    )

    def build(self, network: Network, classes: int, *, ids: Sequence[str]) -> "AdversarialGoal":
        del ids
        return AdversarialGoal(network, Discriminator(classes, self.width, self.crf), self)


class Discriminator(nn.Module):
    """ConvCRFs on a map of class probabilities, then five 3x3 convolutions of stride 2 without batch norm."""

    def __init__(self, classes: int, width: int, crfs: int) -> None:
        super().__init__()
        self.crfs = nn.ModuleList(ConvCRF(classes) for _ in range(crfs))
        channels = [classes, *(width * 2**k for k in range(4)), 1]
        convolutions = [nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in pairwise(channels)]
        layers = [layer for c in convolutions for layer in (c, nn.LeakyReLU(SLOPE))]
        self.layers = nn.Sequential(*layers[:-1])

    def forward(self, map_NKHW: Tensor, affinity: Affinity | None, known_NHW: Tensor) -> Tensor:
        """Logits [N, H, W] of being a ground truth, float32; affinity: the image's, where there are CRFs.

        map_NKHW: probabilities. Pixels that are not known are zero in every channel, whatever the map.
        """
        known_N1HW = known_NHW[:, None]
        seen = map_NKHW * known_N1HW
        if affinity is not None:
            logits = seen.clamp(min=FLOOR).log()
            for crf in self.crfs:
                logits = crf(logits, affinity)
            seen = logits.softmax(1) * known_N1HW
        coarse = self.layers(seen).float()
        return F.interpolate(coarse, map_NKHW.shape[-2:], mode="bilinear", align_corners=True)[:, 0]


class AdversarialGoal(Goal):
    """The segmenter learns against a frozen discriminator, then that one from the answers of the same step."""

    stages = (Stage("segment"), Stage("discriminate", ("discriminator",)))

    def __init__(self, network: Network, discriminator: Discriminator, wanted: Adversarial) -> None:
        super().__init__(network, {"discriminator": Helper(discriminator, wanted.helper_lr)})
        self.wanted = wanted

    def forward(self, stage: str, batch: Batch) -> Judged:
        """Loss of the segmenter, or of the discriminator."""
        return self._segment(batch) if stage == "segment" else self._discriminate(batch)

    def _segment(self, batch: Batch) -> Judged:
        """Cross-entropy and, once it counts, the adversarial term (equations 2 to 4)."""
        loss, logits = self.network.loss(batch.image_N3HW, batch.labels_NHW, batch.drawn)
        answer = logits.float().softmax(1)
        batch.kept["answer"] = answer.detach()
        counts = self.wanted.weight > 0 and batch.epoch >= self.wanted.warm_up
        with torch.set_grad_enabled(counts and torch.is_grad_enabled()):
            term = over_labelled(F.softplus(-self._judge(answer, batch)), batch.labels_NHW)
        return Judged(loss + self.wanted.weight * term if counts else loss, logits, {"adversarial": term})

    def _discriminate(self, batch: Batch) -> Judged:
        """Cross-entropy of telling the batch's labels from its answers (equation 1)."""
        answer, labels = batch.kept["answer"], batch.labels_NHW
        fake, real = self._judge(answer, batch), self._judge(one_hot(labels, answer.shape[1]), batch)
        sure = {"d_of_answers": fake.sigmoid(), "d_of_labels": real.sigmoid()}
        notes = {name: over_labelled(x, labels) for name, x in sure.items()}
        return Judged(over_labelled(F.softplus(fake) + F.softplus(-real), labels), answer, notes)

    def _judge(self, map_NKHW: Tensor, batch: Batch) -> Tensor:
        """The discriminator's logits [N, H, W]."""
        known, wanted = batch.labels_NHW != IGNORE, self.wanted
        affinity = None
        if wanted.crf:
            affinity = Affinity(batch.image_N3HW, wanted.crf_window, wanted.crf_blur, known_NHW=known)
        return self.helpers["discriminator"](map_NKHW, affinity, known)
