"""DFGAN (thesis 6.2.1): atrous pooling reads the layout at full resolution and brings it to the features' grid."""

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from mia_seg.generators import Reader, Tiled, halvings
from mia_seg.generators._unet import block, draw
from mia_seg.values import Width

DILATIONS = (1, 2, 4)


class DFGAN(Tiled):
    """Dense features from a layout: strided ASPP modules, then a U-Net."""

    aspp: Width = Field(default=16, ge=8, multiple_of=8, description="channels of each branch of the first ASPP module")

    def reader(self, classes: int, stride: int, share: float = 1.0) -> Reader:
        return draw(AtrousReader(classes, max(8, int(self.aspp * share) // 8 * 8), halvings(stride)))


class AtrousReader(Reader):
    """A module for every halving; channels double with each."""

    def __init__(self, classes: int, width: int, modules: int) -> None:
        super().__init__()
        inputs = [classes, *(2**i * width for i in range(1, modules + 1))]
        self.stages = nn.Sequential(*(ASPP(inputs[i], 2**i * width, inputs[i + 1]) for i in range(modules)))
        self.channels = inputs[-1]

    def forward(self, layout_NKHW: Tensor) -> Tensor:
        """[N, K, H, W] -> [N, channels, H / stride, W / stride]."""
        return self.stages(layout_NKHW)

    def cells(self, layout_NKHW: Tensor) -> Tensor:
        """The share of each class in each cell."""
        return F.avg_pool2d(layout_NKHW, 2 ** len(self.stages), ceil_mode=True, count_include_pad=False)


class ASPP(nn.Module):
    """Three convolutions with dilations 1, 2 and 4 side by side, joined and then halved by a strided one."""

    def __init__(self, inputs: int, width: int, outputs: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(block(inputs, width, dilation=rate) for rate in DILATIONS)
        self.halve = block(len(DILATIONS) * width, outputs, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """[N, inputs, H, W] -> [N, outputs, H / 2, W / 2]."""
        return self.halve(torch.cat([branch(x) for branch in self.branches], 1))
