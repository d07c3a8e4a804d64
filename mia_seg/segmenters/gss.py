"""Generative semantic segmentation (Chen et al., CVPR 2023), re-created with a codebook of label patches.

The paper encodes a label map by a trained autoencoder of images; a network predicts its codes from the photograph. Here
k-means over the training scenes' label patches replaces the autoencoder. The codes' probabilities then give a posterior
of classes, which the paper's decoder does not.
"""

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from mia_seg.data import IGNORE
from mia_seg.segmenters import Drawn, cross_entropy
from mia_seg.segmenters._backbone import DilatedResNet
from mia_seg.segmenters._codebook import learn_codes, uniform_codes
from mia_seg.segmenters.pspnet import PSPNet, PSPNetwork
from mia_seg.values import Whole

TOKENS, PIXELS = 0.8, 0.2  # weights of the two losses (the authors' code, section 3.5 of the paper)
UNTOLD = -1  # the code of a cell without labels; 255, which marks pixels, may be a code
FLOOR = 1e-6  # of a posterior, shared out over the classes: what no code shows at a pixel keeps a finite loss


class GSS(PSPNet):
    """PSPNet that predicts, for every cell of pixels, which label patch of a codebook it shows.

    The codebook is learnt from the training scenes' labels, before the first step, and is part of the weights.
    """

    codes: Whole = Field(default=128, ge=2, le=65_536, description="label patches of the codebook")
    cell: Literal[1, 2, 4, 8] = Field(default=4, description="pixels along one side of a patch")

    def build(self, classes: int) -> "GSSNetwork":
        return GSSNetwork(self.trunk(), uniform_codes(self.codes, classes=classes, cell=self.cell), self.dropout)


class GSSNetwork(PSPNetwork):
    """The network: both heads of PSPNet predict codes. codebook: float32 [V, K, s, s], sums to 1 over K."""

    codebook: Tensor

    def __init__(self, backbone: DilatedResNet, codebook_VKss: Tensor, dropout: float) -> None:
        super().__init__(backbone, len(codebook_VKss), dropout)
        self.register_buffer("codebook", codebook_VKss)

    def fit(self, crops: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Learn the codebook from the crops' labels. Raises MiaSegError if no cell is completely labelled."""
        codes, classes, cell, _ = self.codebook.shape
        self.codebook.copy_(learn_codes((labels for _, labels in crops), codes, classes=classes, cell=cell))

    def decode(self, feature_NCHW: Tensor, size: tuple[int, int]) -> Tensor:
        return self.posterior(super().decode(feature_NCHW, self._cells(size)), size)

    def heads(self, feature_NCHW: Tensor, size: tuple[int, int]) -> list[tuple[float, Tensor]]:
        """The log posteriors by PSPNet's two heads, with its weights."""
        return [(weight, self.posterior(token, size)) for weight, token in self._heads(feature_NCHW, size)]

    def loss(self, image_N3HW: Tensor, labels_NHW: Tensor, drawn: Drawn | None = None) -> tuple[Tensor, Tensor]:
        """0.8 of the codes' cross-entropy plus 0.2 of the classes'; synthetic features have only the latter."""
        count, size = len(image_N3HW), (image_N3HW.shape[-2], image_N3HW.shape[-1])
        feature = self.encode(image_N3HW)
        if drawn is not None:
            feature = torch.cat([feature, drawn.feature_MCHW.to(feature)])
        told, code_Nhw = self._heads(feature, size), self.codes_of(labels_NHW)
        heads = [(weight, self.posterior(token, size)) for weight, token in told]
        terms = [weight * TOKENS * cross_entropy(token[:count], code_Nhw, UNTOLD) for weight, token in told]
        terms += [weight * PIXELS * cross_entropy(logits[:count], labels_NHW) for weight, logits in heads]
        total = torch.stack(terms).sum()
        if drawn is not None:
            total = (count * total + drawn.loss(heads, count)) / (count + len(drawn.feature_MCHW))
        return total, heads[0][1][:count]

    def posterior(self, token_NVhw: Tensor, size: tuple[int, int]) -> Tensor:
        """log sum_v p(v | cell) C_v: float32 [N, K, *size], of which the exponential sums to 1."""
        with _exactly(token_NVhw.device):
            p_NVhw = token_NVhw.float().softmax(1)
            p_NKHW = F.conv_transpose2d(p_NVhw, self.codebook, stride=self.codebook.shape[-1])
        p_NKHW = p_NKHW[:, :, : size[0], : size[1]]
        return ((1 - FLOOR) * p_NKHW + FLOOR / p_NKHW.shape[1]).log()

    def codes_of(self, labels_NHW: Tensor) -> Tensor:
        """The nearest code of each cell by its labelled pixels, int64 [N, h, w]; UNTOLD where most have none."""
        cell = self.codebook.shape[-1]
        below, right = (-side % cell for side in labels_NHW.shape[-2:])
        labels_NHW = F.pad(labels_NHW, (0, right, 0, below), value=IGNORE)
        classes = torch.arange(self.codebook.shape[1], device=labels_NHW.device)
        onehot_NKHW = (labels_NHW[:, None] == classes[:, None, None]).float()
        # |onehot - C|^2 over the labelled pixels, less their number: linear in the one-hot map.
        cost_VKss = (self.codebook**2).sum(1, keepdim=True) - 2 * self.codebook
        with _exactly(labels_NHW.device):
            code_Nhw = F.conv2d(onehot_NKHW, cost_VKss, stride=cell).argmin(1)
        known_Nhw = F.avg_pool2d((labels_NHW[:, None] != IGNORE).float(), cell)[:, 0]
        return code_Nhw.masked_fill(known_Nhw < 0.5, UNTOLD)

    def _heads(self, feature_NCHW: Tensor, size: tuple[int, int]) -> list[tuple[float, Tensor]]:
        """Logits of the codes [N, V, h, w] by PSPNet's two heads, with its weights."""
        return super().heads(feature_NCHW, self._cells(size))

    def _cells(self, size: tuple[int, int]) -> tuple[int, int]:
        cell = self.codebook.shape[-1]
        return -(-size[0] // cell), -(-size[1] // cell)


def _exactly(device: torch.device) -> AbstractContextManager[Any]:
    """Not in bfloat16, which adds to 1 by three digits. (Tensors without content have no such mode to leave.)"""
    return nullcontext() if device.type == "meta" else torch.autocast(device.type, enabled=False)
