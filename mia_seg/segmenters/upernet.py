"""UPerNet (Xiao et al., ECCV 2018) for one task: pyramid pooling on conv5, a feature pyramid of 512 channels.

Channels and layers are those of CSAILVision/semantic-segmentation-pytorch, the authors' code (models.py, UPerNet with
fpn_dim 512). As mmsegmentation trains it (upernet_r50.py), and that code does not: the pooled contexts meet their 1x1
before they are enlarged, as in PSPNet; dropout 0.1; 0.4 of an auxiliary loss on conv4.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mia_seg.segmenters import Network, Segmenter
from mia_seg.segmenters._backbone import PyramidResNet
from mia_seg.segmenters._layers import size_of, unit
from mia_seg.segmenters._weights import Pretrained
from mia_seg.values import Share

BINS = (1, 2, 3, 6)
WIDTH = 512
AUXILIARY_WEIGHT = 0.4


class UPerNet(Segmenter):
    """ResNet without dilation, pyramid pooling, lateral and top-down paths, one fused map at stride 4.

    The cut is the end of conv2, before its ReLU: every later stage reads it, and the first lateral path reads it too,
    so nearer to the head no single tensor holds all that the head reads.
    """

    backbone: Literal["resnet18", "resnet50", "resnet101"] = "resnet101"
    pretrained: Pretrained = False
    dropout: Share = 0.1

    def build(self, classes: int) -> "UPerNetwork":
        return UPerNetwork(PyramidResNet(self.backbone, self.pretrained), classes, self.dropout)


class UPerNetwork(Network):
    """The network; `head_dropout` is the one dropout layer of the main path."""

    def __init__(self, backbone: PyramidResNet, classes: int, dropout: float) -> None:
        super().__init__()
        self.backbone = backbone
        lower = (backbone.conv2_channels, backbone.conv3_channels, backbone.conv4_channels)
        top, auxiliary = backbone.conv5_channels, backbone.conv4_channels
        self.pyramid = nn.ModuleList(nn.Sequential(nn.AdaptiveAvgPool2d(bins), *unit(top, WIDTH, 1)) for bins in BINS)
        self.top = nn.Sequential(*unit(top + len(BINS) * WIDTH, WIDTH, 3))
        self.laterals = nn.ModuleList(nn.Sequential(*unit(channels, WIDTH, 1)) for channels in lower)
        self.smooth = nn.ModuleList(nn.Sequential(*unit(WIDTH, WIDTH, 3)) for _ in lower)
        self.fuse = nn.Sequential(*unit((1 + len(lower)) * WIDTH, WIDTH, 3))
        self.head_dropout = nn.Dropout(dropout)
        self.classify = nn.Conv2d(WIDTH, classes, 1)
        self.auxiliary = nn.Sequential(
            *unit(auxiliary, auxiliary // 4, 3), nn.Dropout(dropout), nn.Conv2d(auxiliary // 4, classes, 1)
        )

    def encode(self, image_N3HW: Tensor) -> Tensor:
        # Early, at stride 4: a lateral path leaves every stage, and a later cut would let the earlier ones past it.
        return self.backbone.before_cut(image_N3HW)

    def decode(self, feature_NCHW: Tensor, size: tuple[int, int]) -> Tensor:
        return self._main(self.backbone.after_cut(feature_NCHW), size)

    def heads(self, feature_NCHW: Tensor, size: tuple[int, int]) -> list[tuple[float, Tensor]]:
        """The main head, and 0.4 times the auxiliary one."""
        stages = self.backbone.after_cut(feature_NCHW)
        return [(1.0, self._main(stages, size)), (AUXILIARY_WEIGHT, resize(self.auxiliary(stages[2]), size))]

    def backbone_parameters(self) -> list[nn.Parameter]:
        return list(self.backbone.parameters())

    def _main(self, stages: tuple[Tensor, ...], size: tuple[int, int]) -> Tensor:
        *lower, conv5 = stages
        contexts = [resize(pool(conv5), size_of(conv5)) for pool in self.pyramid]
        path = self.top(torch.cat([conv5, *contexts], 1))
        maps = [path]
        for stage, lateral, smooth in reversed(list(zip(lower, self.laterals, self.smooth, strict=True))):
            path = lateral(stage) + resize(path, size_of(stage))
            maps.insert(0, smooth(path))
        fused = self.fuse(torch.cat([resize(level, size_of(maps[0])) for level in maps], 1))
        return resize(self.classify(self.head_dropout(fused)), size)


def resize(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear, corners not aligned, as in both codes."""
    return F.interpolate(x, size, mode="bilinear", align_corners=False)
