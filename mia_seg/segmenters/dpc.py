"""DPC (Chen et al., NeurIPS 2018): the best dense prediction cell found on Cityscapes, in place of DeepLab's ASPP."""

import torch
from torch import Tensor, nn

from mia_seg.segmenters._decoder import WIDTH, Backbone, DecoderNetwork, EncoderDecoder
from mia_seg.segmenters._layers import separable, unit

# Each branch: whose output it reads (None: the backbone's) and its rates, (rows, columns), at output stride 16.
# Source: research/deeplab/core/dense_prediction_cell_branch5_top1_cityscapes.json of tensorflow/models.
CELL: tuple[tuple[int | None, tuple[int, int]], ...] = (
    (None, (1, 6)),
    (0, (18, 15)),
    (1, (6, 3)),
    (0, (1, 1)),
    (0, (6, 21)),
)


class DPC(EncoderDecoder):
    """Aligned Xception (or a ResNet) at output stride 16, the searched cell, DeepLab-v3+'s decoder.

    The cut is DeepLab-v3+'s, for the same reason: at stride 4, before the ReLU, behind the second entry block of
    Xception-71. The low-level features leave the backbone inside the next block.
    """

    backbone: Backbone = "xception71"

    def build(self, classes: int) -> DecoderNetwork:
        return self.around(Cell, classes)


class Cell(nn.Module):
    """Five dilated separable 3x3 of 256 channels in cascade and side by side; all their outputs are kept."""

    def __init__(self, channels: int, dropout: float) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Sequential(*separable(channels if source is None else WIDTH, WIDTH, rate)) for source, rate in CELL
        )
        self.dropout = nn.Dropout(dropout)
        self.project = nn.Sequential(*unit(len(CELL) * WIDTH, WIDTH, 1))

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, h, w] -> [N, 256, h, w]."""
        views: list[Tensor] = []
        for (source, _), branch in zip(CELL, self.branches, strict=True):
            views.append(branch(x if source is None else views[source]))
        return self.project(self.dropout(torch.cat(views, 1)))
