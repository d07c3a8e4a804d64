"""DeepLab-v2 (Chen et al., TPAMI 2018): ResNet at output stride 8, four summed dilated classifiers (ASPP-L).

As Seg-GAN uses it: one scale, no fusion of three. What differs from the published network: the backbones are PSPNet's
(a deep stem, strides in the 3x3 of a block), batch norms are trained, the loss is at the image's size, and the CRF that
may refine answers ends at a window.
"""

from typing import Literal

from pydantic import Field
from torch import Tensor, nn

from mia_seg.segmenters import Network, Segmenter, normalise
from mia_seg.segmenters._backbone import CUTS, DilatedResNet
from mia_seg.segmenters._convcrf import Affinity, mean_field
from mia_seg.segmenters._layers import enlarge
from mia_seg.segmenters._weights import Pretrained
from mia_seg.values import Whole

RATES = (6, 12, 18, 24)
DEVIATION = 0.01  # of the classifiers' first weights


class DeepLabV2(Segmenter):
    """Dilated ResNet at output stride 8, cut where PSPNet is; 3x3 classifiers of rates 6, 12, 18 and 24 on conv5."""

    backbone: Literal["resnet18", "resnet50", "resnet101"] = "resnet101"
    pretrained: Pretrained = False
    crf: Whole = Field(
        default=0, ge=0, le=100, description="iterations of a ConvCRF on the answer; training does without it"
    )

    def build(self, classes: int) -> "DeepLabV2Network":
        backbone = DilatedResNet(self.backbone, self.pretrained, CUTS[self.backbone])
        return DeepLabV2Network(backbone, classes, self.crf)


class DeepLabV2Network(Network):
    """The network; it has no dropout."""

    def __init__(self, backbone: DilatedResNet, classes: int, crf: int) -> None:
        super().__init__()
        self.backbone, self.crf = backbone, crf
        channels = backbone.conv5_channels
        self.classifiers = nn.ModuleList(nn.Conv2d(channels, classes, 3, padding=r, dilation=r) for r in RATES)
        for name, parameter in self.classifiers.named_parameters():
            nn.init.normal_(parameter, 0, 0 if name.endswith("bias") else DEVIATION)

    def encode(self, image_N3HW: Tensor) -> Tensor:
        return self.backbone.before_cut(normalise(image_N3HW))

    def decode(self, feature_NCHW: Tensor, size: tuple[int, int]) -> Tensor:
        conv5 = self.backbone.after_cut(feature_NCHW)[1]
        first, *others = (classifier(conv5) for classifier in self.classifiers)
        return enlarge(sum(others, first), size)

    def finish(self, logits_NKHW: Tensor, image_N3HW: Tensor) -> Tensor:
        if self.crf == 0 or self.training:
            return logits_NKHW
        return mean_field(logits_NKHW, Affinity(image_N3HW), iterations=self.crf)

    def backbone_parameters(self) -> list[nn.Parameter]:
        return list(self.backbone.parameters())

    def head_parameters(self) -> list[nn.Parameter]:
        return list(self.classifiers.parameters())
