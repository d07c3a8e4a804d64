"""DeepLab-v3+'s decoder on any context module; the networks around it, and the settings that they share.

Source: tensorflow/models, research/deeplab/model.py.
"""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from mia_seg.segmenters import Network, Segmenter
from mia_seg.segmenters._backbone import LowLevelResNet
from mia_seg.segmenters._layers import enlarge, separable, size_of, unit
from mia_seg.segmenters._weights import Pretrained
from mia_seg.segmenters._xception import TAPPED, Xception
from mia_seg.values import Part, Share

Backbone = Literal["resnet18", "resnet50", "resnet101", "xception65", "xception71"]
WIDTH = 256
LOW_LEVEL = 48
MOMENTUM = 0.0003  # decay 0.9997 in the context module and the decoder


class EncoderDecoder(Segmenter):
    """Settings of DeepLab-v3+ and its kin."""

    backbone: Backbone
    pretrained: Pretrained = False
    dropout: Share = 0.1
    batch_norm_momentum: Part | None = Field(
        default=None,
        gt=0,
        description="momentum of the statistics of batch norms; default: as published, 0.0003 (0.05 in ResNets), "
        "which needs tens of thousands of steps. Shorter trainings need about 0.1",
    )

    def around(self, context: type[nn.Module], classes: int) -> "DecoderNetwork":
        """The network with `context(channels, dropout)` between backbone and decoder."""
        kind = Xception if self.backbone in TAPPED else LowLevelResNet
        backbone = kind(self.backbone, self.pretrained)
        network = DecoderNetwork(backbone, context(backbone.channels, self.dropout), classes)
        set_momentum(network, self.batch_norm_momentum or MOMENTUM)
        set_momentum(backbone, self.batch_norm_momentum or backbone.momentum)
        return network


class DecoderNetwork(Network):
    """Backbone at stride 16, context [N, C, h, w] -> [N, 256, h, w], decoder at stride 4."""

    def __init__(self, backbone: LowLevelResNet | Xception, context: nn.Module, classes: int) -> None:
        super().__init__()
        self.backbone, self.context = backbone, context
        self.low_level = nn.Sequential(*unit(backbone.low_channels, LOW_LEVEL, 1))
        self.refine = nn.Sequential(*separable(WIDTH + LOW_LEVEL, WIDTH, (1, 1)), *separable(WIDTH, WIDTH, (1, 1)))
        self.classify = nn.Conv2d(WIDTH, classes, 1)

    def encode(self, image_N3HW: Tensor) -> Tensor:
        # Early, at stride 4: the decoder reads low-level features, and a later cut would let them past it.
        return self.backbone.before_cut(image_N3HW)

    def decode(self, feature_NCHW: Tensor, size: tuple[int, int]) -> Tensor:
        low, high = self.backbone.after_cut(feature_NCHW)
        context = enlarge(self.context(high), size_of(low))
        refined = self.refine(torch.cat([context, self.low_level(low)], 1))
        return enlarge(self.classify(refined), size)

    def backbone_parameters(self) -> list[nn.Parameter]:
        return list(self.backbone.parameters())


def set_momentum(module: nn.Module, momentum: float) -> None:
    """The share of a batch in the running statistics of every batch norm: one minus TensorFlow's decay."""
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.momentum = momentum
