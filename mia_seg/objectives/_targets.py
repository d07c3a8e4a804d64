"""Objectives that compare a network's outputs with other targets than the labels alone."""

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from mia_seg.data import IGNORE
from mia_seg.errors import MiaSegError
from mia_seg.objectives import Batch, Goal, Judged
from mia_seg.segmenters import Network


class TargetGoal(Goal):
    """One stage: the sum over a network's outputs of their weight times a loss of their logits.

    The loss is `of(logits_NKHW, batch)`, a scalar; auxiliary outputs are held to the same targets as the answer.
    """

    called: ClassVar[str]

    def of(self, logits_NKHW: Tensor, batch: Batch) -> Tensor:
        """The loss of one output; logits are float32."""
        raise NotImplementedError

    def forward(self, stage: str, batch: Batch) -> Judged:
        del stage
        refuse_drawn(batch, self.called)
        outputs = self.network.outputs(batch.image_N3HW)
        terms = [weight * self.of(logits.float(), batch) for weight, logits in outputs]
        return Judged(torch.stack(terms).sum(), outputs[0][1])


def refuse_drawn(batch: Batch, called: str) -> None:
    """Raise MiaSegError where synthetic features join the batch: they have labels alone."""
    if batch.drawn is not None:
        raise MiaSegError(f"[objective] {called} cannot train on synthetic features. Leave out [synthetic].")


def over_labelled(loss_NHW: Tensor, labels_NHW: Tensor) -> Tensor:
    """The mean over labelled pixels; 0 where there is none."""
    known = labels_NHW != IGNORE
    return (loss_NHW * known).sum() / known.sum().clamp(min=1)


def per_scene(loss_NHW: Tensor, labels_NHW: Tensor) -> Tensor:
    """The mean over each scene's labelled pixels [N]; 0 where it has none."""
    known = labels_NHW != IGNORE
    return (loss_NHW * known).sum((1, 2)) / known.sum((1, 2)).clamp(min=1)


def labels_or_zero(labels_NHW: Tensor) -> Tensor:
    """Labels with 0 in place of IGNORE, for losses whose value there is not looked at."""
    return labels_NHW.masked_fill(labels_NHW == IGNORE, 0)


def one_hot(labels_NHW: Tensor, classes: int) -> Tensor:
    """Labels as float [N, K, H, W]; an ignored pixel has zeros alone."""
    known_NHW1 = (labels_NHW != IGNORE)[..., None]
    return (F.one_hot(labels_or_zero(labels_NHW), classes) * known_NHW1).movedim(-1, 1).float()


def plain(logits_NKHW: Tensor, labels_NHW: Tensor) -> Tensor:
    """-log p of the label, 0 where ignored: [N, H, W]."""
    return F.cross_entropy(logits_NKHW, labels_NHW, ignore_index=IGNORE, reduction="none")


@torch.no_grad()
def at_rest(network: Network, image_N3HW: Tensor) -> Tensor:
    """Logits in evaluation mode during training, float32; batch norm's statistics do not change."""
    modes = [(module, module.training) for module in network.modules()]  # batch norms may be held still
    network.eval()
    logits = network(image_N3HW).float()
    for module, training in modes:
        module.training = training
    # Releases of torch differ in whether the next pass takes weights that autocast converted here, without gradients.
    torch.clear_autocast_cache()
    return logits
