"""DeepLab-v3+ (Chen et al., ECCV 2018) as published: output stride 16, separable ASPP 6/12/18, decoder at stride 4."""

import torch
from torch import Tensor, nn

from mia_seg.segmenters._decoder import WIDTH, Backbone, DecoderNetwork, EncoderDecoder
from mia_seg.segmenters._layers import enlarge, separable, size_of, unit

RATES = (6, 12, 18)


class DeepLabV3Plus(EncoderDecoder):
    """Aligned Xception (or a ResNet) at output stride 16, ASPP, decoder.

    The cut lies at stride 4, before the ReLU: behind the first entry block of Xception-65, the second of Xception-71,
    the first block of a ResNet's conv2. Nearer to the decoder no single tensor holds all that it reads, because the
    low-level features leave the backbone inside the next block.
    """

    backbone: Backbone = "xception65"

    def build(self, classes: int) -> DecoderNetwork:
        return self.around(ASPP, classes)


class ASPP(nn.Module):
    """Atrous spatial pyramid pooling: the image's mean, a 1x1 and three dilated separable 3x3, 256 channels each."""

    def __init__(self, channels: int, dropout: float) -> None:
        super().__init__()
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), *unit(channels, WIDTH, 1))
        self.branches = nn.ModuleList([nn.Sequential(*unit(channels, WIDTH, 1))])
        self.branches.extend(nn.Sequential(*separable(channels, WIDTH, (rate, rate))) for rate in RATES)
        self.project = nn.Sequential(*unit((2 + len(RATES)) * WIDTH, WIDTH, 1))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, h, w] -> [N, 256, h, w]."""
        views = [enlarge(self.pool(x), size_of(x)), *(branch(x) for branch in self.branches)]
        return self.dropout(self.project(torch.cat(views, 1)))
