"""PSPNet (Zhao et al., CVPR 2017) as published: dilated ResNet, pyramid pooling 1/2/3/6, auxiliary head."""

from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from mia_seg.segmenters import Network, Segmenter, normalise
from mia_seg.segmenters._backbone import BLOCKS, CUTS, DilatedResNet
from mia_seg.segmenters._layers import enlarge, size_of, unit
from mia_seg.segmenters._weights import Pretrained
from mia_seg.values import Share, Whole

BINS = (1, 2, 3, 6)
AUXILIARY_WEIGHT = 0.4


class PSPNet(Segmenter):
    """Dilated ResNet at output stride 8, four pooled contexts, a 3x3 head; 0.4 of an auxiliary loss on conv4."""

    backbone: Literal["resnet18", "resnet50", "resnet101"] = "resnet101"
    pretrained: Pretrained = False
    dropout: Share = 0.1
    cut: Whole | None = Field(
        default=None, ge=1, le=23, description="block of conv4 to cut after; default: 12 of ResNet-101's 23"
    )

    @model_validator(mode="after")
    def _inside_conv4(self) -> Self:
        if self.cut is not None and self.cut > BLOCKS[self.backbone]:
            raise ValueError(
                f"cut = {self.cut}: give 1 to {BLOCKS[self.backbone]}, the blocks in conv4 of {self.backbone}"
            )
        return self

    def build(self, classes: int) -> "PSPNetwork":
        return PSPNetwork(self.trunk(), classes, self.dropout)

    def trunk(self) -> DilatedResNet:
        """The backbone, cut."""
        return DilatedResNet(self.backbone, self.pretrained, CUTS[self.backbone] if self.cut is None else self.cut)


class PSPNetwork(Network):
    """The network; `head_dropout` is the one dropout layer that the Dropout defense turns on at query time."""

    def __init__(self, backbone: DilatedResNet, classes: int, dropout: float) -> None:
        super().__init__()
        self.backbone = backbone
        channels = backbone.conv5_channels
        # 2048 -> 4 x 512 -> 512 in the paper; the same quarter for narrower backbones.
        width = channels // 4
        self.pyramid = nn.ModuleList(
            nn.Sequential(nn.AdaptiveAvgPool2d(bins), *unit(channels, channels // len(BINS), 1)) for bins in BINS
        )
        self.fuse = nn.Sequential(*unit(2 * channels, width, 3))
        self.head_dropout = nn.Dropout(dropout)
        self.classify = nn.Conv2d(width, classes, 1)
        auxiliary = backbone.conv4_channels
        self.auxiliary = nn.Sequential(
            *unit(auxiliary, auxiliary // 4, 3), nn.Dropout(dropout), nn.Conv2d(auxiliary // 4, classes, 1)
        )

    def encode(self, image_N3HW: Tensor) -> Tensor:
        return self.backbone.before_cut(normalise(image_N3HW))

    def decode(self, feature_NCHW: Tensor, size: tuple[int, int]) -> Tensor:
        return self._main(self.backbone.after_cut(feature_NCHW)[1], size)

    def heads(self, feature_NCHW: Tensor, size: tuple[int, int]) -> list[tuple[float, Tensor]]:
        """The main head, and 0.4 times the auxiliary one (paper, section 3.3)."""
        conv4, conv5 = self.backbone.after_cut(feature_NCHW)
        return [(1.0, self._main(conv5, size)), (AUXILIARY_WEIGHT, enlarge(self.auxiliary(conv4), size))]

    def backbone_parameters(self) -> list[nn.Parameter]:
        return list(self.backbone.parameters())

    def head_parameters(self) -> list[nn.Parameter]:
        return list(self.classify.parameters())

    def _main(self, conv5: Tensor, size: tuple[int, int]) -> Tensor:
        contexts = [enlarge(pool(conv5), size_of(conv5)) for pool in self.pyramid]
        fused = self.fuse(torch.cat([conv5, *contexts], 1))
        return enlarge(self.classify(self.head_dropout(fused)), size)
