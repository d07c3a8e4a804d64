"""Stochastic regression (thesis, chapter 5): a code switches channels off, and so chooses among answers to one layout.

The layout is read as DFGAN reads it. The code has one number for each channel at the bottom of the U-Net, and switches
it alike at all places (equation 5.2, the "early split"). Training knows a few fixed codes; others are drawn afterwards.
"""

from statistics import NormalDist

import torch
from pydantic import Field
from torch import Tensor

from mia_seg.generators import Generator, Reader, halvings
from mia_seg.generators._unet import UNet, draw
from mia_seg.generators.dfgan import AtrousReader
from mia_seg.values import Share, Whole, Width


class Stochastic(Generator):
    """DFGAN's reader, and a U-Net whose bottom z switches."""

    objective = "regression"
    branches: Whole = Field(default=4, ge=1, le=1000, description="fixed codes in training (thesis: 2 to 72)")
    drop: Share = Field(default=0.5, gt=0, description="share of the channels that a code switches off (thesis: 0.5)")
    aspp: Width = Field(default=16, ge=8, multiple_of=8, description="channels of each branch of the first ASPP module")

    def reader(self, classes: int, stride: int, share: float = 1.0) -> Reader:
        del share
        return draw(AtrousReader(classes, self.aspp, halvings(stride)))

    def unet(self, inputs: int, outputs: int) -> UNet:
        unet = SwitchedUNet(inputs, outputs, self.width, levels=self.levels, drop=self.drop)
        unet.register_buffer("codes_BZ", torch.randn(self.branches, unet.latent))
        return unet


class SwitchedUNet(UNet):
    """z has a number for each channel at the bottom: above the quantile `drop` of a normal one, the channel is on.

    codes_BZ: the codes of training, float32 [branches, latent].
    """

    codes_BZ: Tensor

    def __init__(self, inputs: int, outputs: int, width: int, *, levels: int, drop: float) -> None:
        super().__init__(inputs, outputs, width, levels=levels, latent=0)
        self.latent, self.drop, self.least = self.deepest, drop, NormalDist().inv_cdf(drop)

    def join(self, x: Tensor, z_NZ: Tensor) -> Tensor:
        """x alone: the way down gets no z."""
        del z_NZ
        return x

    def turn(self, x: Tensor, z_NZ: Tensor) -> Tensor:
        """Channels that are on, divided by the share that is (equation 5.2)."""
        return x * (z_NZ > self.least)[:, :, None, None] / (1 - self.drop)
