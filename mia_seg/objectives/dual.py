"""Dual learning with scenes that have tags alone: a re-creation, as of its model the abstract alone can be read here.

Luo et al., "Deep Dual Learning for Semantic Image Segmentation" (ICCV 2017): label maps and tags are predicted from
images, images are rebuilt of predicted label maps, and the label map of an image with tags alone is inferred from both
and then taken for the truth. Layers, weights and schedule are decisions of this file.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from mia_seg.data import IGNORE
from mia_seg.objectives import NETWORK, Batch, Goal, Helper, Judged, Objective, Stage
from mia_seg.objectives._rebuild import rebuilder, rebuilding_error
from mia_seg.objectives._targets import at_rest
from mia_seg.segmenters import Network
from mia_seg.segmenters._tags import present, tag_loss
from mia_seg.store import digest
from mia_seg.values import Part, Rate, Weight, Whole

GENERATOR, TAGS = "generator", "tags"
INNER_RATE = 1.0
TRUST, DOUBT = 5.0, 1e-3  # of tags: a class without its tag loses 5 log 0.001, 35 nats
LEAST_SHARE = -30.0  # nats: below it a class's share is a rounding error, whose logarithm could be anything


class Dual(Objective):
    """The segmenter's own loss, where weak scenes have inferred labels, plus the errors of photograph and tags."""

    hides = True
    weak: Part = Field(default=0.5, description="share of the scenes of which only tags are read")
    reconstruction: Weight = Field(
        default=0.1, description="weight of the photograph's error, in training and inference"
    )
    tags: Weight = Field(default=0.1, description="weight of the tags' binary cross-entropy")
    inner: Annotated[Whole, Field(ge=0, le=1000)] = Field(
        default=3, description="gradient steps of inferring a label map"
    )
    sure: Part = Field(default=0.7, description="probability above which an inferred label is used as the truth")
    warm_up: Annotated[Whole, Field(ge=0, le=10**6)] = Field(
        default=5, description="epochs before labels are inferred; until then weak scenes train by photograph and tags"
    )
    lr: Rate = Field(
        default=1e-3, description="learning rate of the Adam of the networks that predict photograph and tags"
    )

    def build(self, network: Network, classes: int, *, ids: Sequence[str]) -> "DualGoal":
        return DualGoal(network, classes, wanted=self, weak=[is_weak(i, self.weak) for i in ids])

    def kinds(self, ids: Sequence[str]) -> Mapping[str, Sequence[bool]]:
        weak = [is_weak(i, self.weak) for i in ids]
        return {"weak, if a member": weak, "fully labelled, if a member": [not one for one in weak]}


def is_weak(scene_id: str, share: float) -> bool:
    """Whether a scene is one of the `share` whose label maps no training reads. It depends on the id alone."""
    return int(digest(["weak", scene_id]), 16) < share * 16**12


class TagsOfShares(nn.Module):
    """Image-level logits [N, K] from logits [N, K, H, W]: of a class, slope * log(its share of the posterior) + offset.

    It begins with the odds of share to 1 %.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.ones(classes))
        self.offset = nn.Parameter(torch.full((classes,), math.log(100)))

    def forward(self, logits_NKHW: Tensor) -> Tensor:
        nats = logits_NKHW.float().log_softmax(1).flatten(2)
        share_NK = nats.logsumexp(2) - math.log(nats.shape[2])
        return self.slope * share_NK.clamp(min=LEAST_SHARE) + self.offset


class DualGoal(Goal):
    """One stage. Of a weak scene's labels training reads the tags; its log's mIoU, which shapes nothing, reads all."""

    stages = (Stage("segment", (NETWORK, GENERATOR, TAGS)),)
    weak_S: Tensor

    def __init__(self, network: Network, classes: int, *, wanted: Dual, weak: Sequence[bool]) -> None:
        modules = {GENERATOR: rebuilder(classes), TAGS: TagsOfShares(classes)}
        super().__init__(network, {name: Helper(module, wanted.lr) for name, module in modules.items()})
        self.classes, self.wanted = classes, wanted
        self.register_buffer("weak_S", torch.tensor(weak), persistent=False)

    def forward(self, stage: str, batch: Batch) -> Judged:
        del stage
        weak_N, tags_NK = self.weak_S[batch.scene_N], present(batch.labels_NHW, self.classes)
        labels_NHW = self._labels(batch, weak_N, tags_NK)
        loss, logits = self.network.loss(batch.image_N3HW, labels_NHW, batch.drawn)
        photograph = rebuilding_error(self.helpers[GENERATOR], logits, batch.image_N3HW)
        tags = tag_loss(self.helpers[TAGS](logits), tags_NK)
        total = loss + self.wanted.reconstruction * photograph + self.wanted.tags * tags
        taught = labels_NHW[weak_N]
        known = (taught != IGNORE).sum() / max(1, taught.numel())
        return Judged(total, logits, {"reconstruction": photograph, "tags": tags, "inferred": known})

    def _labels(self, batch: Batch, weak_N: Tensor, tags_NK: Tensor) -> Tensor:
        """The labels of full scenes; of weak ones what is inferred, and nothing before that begins."""
        labels_NHW = batch.labels_NHW.masked_fill(weak_N[:, None, None], IGNORE)
        if weak_N.any() and batch.epoch >= self.wanted.warm_up:
            labels_NHW[weak_N] = self.inferred(batch.image_N3HW[weak_N], tags_NK[weak_N])
        return labels_NHW

    @torch.no_grad()
    def inferred(self, image_N3HW: Tensor, tags_NK: Tensor) -> Tensor:
        """Labels [N, H, W] of scenes with tags alone, IGNORE where none is sure."""
        start = constrained(at_rest(self.network, image_N3HW), tags_NK)
        energy = partial(self.energy, start_NKHW=start, image_N3HW=image_N3HW)
        return hardened(descended(start, energy, self.wanted.inner), self.wanted.sure)

    def energy(self, logits_NKHW: Tensor, start_NKHW: Tensor, image_N3HW: Tensor) -> Tensor:
        """What inference minimises: weighted photograph error plus KL(posterior || start), summed over pixels."""
        pixels = image_N3HW[:, 0].numel()
        photograph = pixels * rebuilding_error(self.helpers[GENERATOR], logits_NKHW, image_N3HW)
        nats = logits_NKHW.log_softmax(1)
        return self.wanted.reconstruction * photograph + (nats.exp() * (nats - start_NKHW.log_softmax(1))).sum()


def constrained(logits_NKHW: Tensor, tags_NK: Tensor) -> Tensor:
    """Logits of softmax(logits + 5 log(tags + 0.001)): classes without a tag all but vanish."""
    return logits_NKHW + TRUST * (tags_NK.float() + DOUBT).log()[:, :, None, None]


def descended(logits_NKHW: Tensor, energy: Callable[[Tensor], Tensor], steps: int) -> Tensor:
    """Logits after so many gradient steps down the energy."""
    for _ in range(steps):
        with torch.enable_grad():
            free = logits_NKHW.detach().requires_grad_()
            (slope,) = torch.autograd.grad(energy(free), free)
        logits_NKHW = free.detach() - INNER_RATE * slope
    return logits_NKHW


def hardened(logits_NKHW: Tensor, sure: float) -> Tensor:
    """The likeliest class of each pixel [N, H, W], IGNORE where its probability is not above `sure`."""
    probability, labels_NHW = logits_NKHW.softmax(1).max(1)
    return labels_NHW.masked_fill(probability <= sure, IGNORE)
