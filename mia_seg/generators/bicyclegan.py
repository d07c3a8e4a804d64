"""BicycleGAN's generator as it is (Zhu et al., NIPS 2017): the layout is shrunk to the features' grid first.

What table 6.2 of the thesis compares DFGAN with.
"""

import torch.nn.functional as F
from torch import Tensor

from mia_seg.generators import Reader, Tiled, halvings


class BicycleGAN(Tiled):
    """A U-Net on the small layout."""

    def reader(self, classes: int, stride: int, share: float = 1.0) -> Reader:
        del share
        return NearestReader(classes, halvings(stride))


class NearestReader(Reader):
    """Keeps one pixel of each cell of the features' grid; nothing is learnt."""

    def __init__(self, classes: int, halvings: int) -> None:
        super().__init__()
        self.channels, self.stride = classes, 2**halvings

    def cells(self, layout_NKHW: Tensor) -> Tensor:
        """One pixel is all that is seen of a cell."""
        seen: Tensor = self(layout_NKHW)
        return seen

    def forward(self, layout_NKHW: Tensor) -> Tensor:
        """[N, K, H, W] -> [N, K, H / stride, W / stride]."""
        size = [-(-side // self.stride) for side in layout_NKHW.shape[-2:]]
        return F.interpolate(layout_NKHW, size, mode="nearest")
