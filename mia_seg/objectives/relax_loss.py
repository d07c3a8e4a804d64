"""RelaxLoss (Chen, Yu & Fritz, ICLR 2022): no scene's loss is to fall below a target."""

from collections.abc import Sequence
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor

from mia_seg.objectives import Batch, Objective
from mia_seg.objectives._targets import TargetGoal, labels_or_zero, per_scene, plain
from mia_seg.segmenters import Network
from mia_seg.values import Part, Weight


class RelaxLoss(Objective):
    """Even epochs: minimise |L - target|. Odd ones: descend above the target, and below it flatten what is wrong.

    The paper's L is a batch's mean, under which single scenes may sink; here each scene has its own.
    """

    VERSION: ClassVar[int] = 2

    replaces = True
    target: Weight = 0.6
    upper: Part = 1.0  # on the label's probability in a flattened target

    def build(self, network: Network, classes: int, *, ids: Sequence[str]) -> "RelaxedGoal":
        del classes, ids
        return RelaxedGoal(network, self)


class RelaxedGoal(TargetGoal):
    """Algorithm 1 of the paper, a scene at a time."""

    scene_wise = True
    called: ClassVar[str] = "relax_loss"

    def __init__(self, network: Network, settings: RelaxLoss) -> None:
        super().__init__(network)
        self.relax = settings

    def counts(self, labels_NHW: Tensor) -> Tensor:
        return labels_NHW.new_ones(len(labels_NHW))  # the loss is a mean over images, whatever is labelled

    def of(self, logits_NKHW: Tensor, batch: Batch) -> Tensor:
        loss_N, target = per_scene(plain(logits_NKHW, batch.labels_NHW), batch.labels_NHW), self.relax.target
        if batch.epoch % 2 == 0:
            return (loss_N - target).abs().mean()
        return loss_N.where(loss_N > target, self._flattened(logits_NKHW, batch) - loss_N).mean()

    def _flattened(self, logits_NKHW: Tensor, batch: Batch) -> Tensor:
        """Of pixels that are told wrongly, the cross-entropy to a target that keeps the label's probability [N].

        The other classes share what is left of it. Rightly told pixels say nothing.
        """
        labels_NHW = labels_or_zero(batch.labels_NHW)
        soft_NKHW = softened(logits_NKHW.detach(), labels_NHW, self.relax.upper)
        loss_NHW = F.cross_entropy(logits_NKHW, soft_NKHW, reduction="none")
        wrong_NHW = logits_NKHW.argmax(1) != labels_NHW
        return per_scene(loss_NHW * wrong_NHW, batch.labels_NHW)


def softened(logits_NKHW: Tensor, labels_NHW: Tensor, upper: float) -> Tensor:
    """The label keeps its probability, at most `upper`; the other classes share the rest evenly: [N, K, H, W]."""
    others = logits_NKHW.shape[1] - 1
    kept_N1HW = logits_NKHW.softmax(1).gather(1, labels_NHW[:, None]).clamp(max=upper)
    rest = ((1 - kept_N1HW) / others).expand_as(logits_NKHW)
    return rest.scatter(1, labels_NHW[:, None], kept_N1HW)
