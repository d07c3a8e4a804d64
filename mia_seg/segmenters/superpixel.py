"""Data-driven pooling over superpixels (thesis, chapter 3; He et al., CVPR 2017) of a single image, on PSPNet.

The published network pools over matched regions of other video frames, too, and has depth. Their absence here is the
thesis's own `superpixel` model: trained and asked on single frames.
"""

from pydantic import Field
from torch import Tensor

from mia_seg.segmenters._backbone import DilatedResNet
from mia_seg.segmenters._regions import pool, superpixels
from mia_seg.segmenters.pspnet import PSPNet, PSPNetwork
from mia_seg.values import Whole


class Superpixel(PSPNet):
    """PSPNet whose logits are averaged within superpixels of the image, in training and when it is asked."""

    pixels: Whole = Field(
        default=64, ge=1, le=10**6, description="mean pixels of a superpixel: 64 make 192 regions at 96 x 128"
    )

    def build(self, classes: int) -> "SuperpixelNetwork":
        return SuperpixelNetwork(self.trunk(), classes, self.dropout, pixels=self.pixels)


class SuperpixelNetwork(PSPNetwork):
    """The network: PSPNet's weights and no others."""

    def __init__(self, backbone: DilatedResNet, classes: int, dropout: float, *, pixels: int) -> None:
        super().__init__(backbone, classes, dropout)
        self.pixels = pixels

    def finish(self, logits_NKHW: Tensor, image_N3HW: Tensor) -> Tensor:
        """Each pixel's logits as the mean of its superpixel's."""
        return pool(logits_NKHW, *superpixels(image_N3HW, self.pixels))
