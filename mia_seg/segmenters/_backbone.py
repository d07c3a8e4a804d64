"""Dilated ResNets as PSPNet and its kin use them: output stride 8, every conv4 and conv5 block dilated."""

from typing import Any

import timm
from torch import Tensor, nn

# The 3x3 stem with 64, 64 and 128 channels of the official PSPNet: pspnet101_cityscapes_713.prototxt, conv1_1 to 1_3.
STEM: dict[str, Any] = {"stem_width": 64, "stem_type": "deep"}
STEMS: dict[str, dict[str, Any]] = {"resnet18": {}, "resnet50": STEM, "resnet101": STEM}
# conv4_12 of ResNet-101 (thesis 6.3.1), conv4_3 of ResNet-50 (the same); the middle block of ResNet-18.
CUTS = {"resnet18": 1, "resnet50": 3, "resnet101": 12}


class DilatedResNet(nn.Module):
    """A timm ResNet at output stride 8, cut after block `cut` (counted from 1) of conv4, before that block's ReLU."""

    def __init__(self, name: str, pretrained: bool, cut: int) -> None:
        super().__init__()
        net: Any = timm.create_model(name, pretrained=pretrained, output_stride=8, num_classes=0, **STEMS[name])
        self.stem: nn.Module = nn.Sequential(net.conv1, net.bn1, net.act1, net.maxpool)
        self.layer1: nn.Module = net.layer1
        self.layer2: nn.Module = net.layer2
        self.layer3: nn.Sequential = net.layer3
        self.layer4: nn.Module = net.layer4
        dilate(self.layer3, 2)
        dilate(self.layer4, 4)
        self.cut = cut
        self.conv4_channels: int = net.feature_info[3]["num_chs"]
        self.conv5_channels: int = net.feature_info[4]["num_chs"]
        drop_last_activation(self.layer3[cut - 1])

    def before_cut(self, image: Tensor) -> Tensor:
        """[N, 3, H, W] -> the sum of block `cut` of conv4, not yet rectified: [N, C, H/8, W/8]."""
        feature: Tensor = self.layer2(self.layer1(self.stem(image)))
        return self.layer3[: self.cut](feature)

    def after_cut(self, feature: Tensor) -> tuple[Tensor, Tensor]:
        """Features at the cut -> the outputs of conv4 and conv5."""
        conv4 = self.layer3[self.cut :](feature.relu())
        return conv4, self.layer4(conv4)


def dilate(layer: nn.Module, rate: int) -> None:
    """Give every 3x3 convolution of a stage the same dilation; libraries leave the first block at the previous rate."""
    for module in layer.modules():
        if isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3):
            module.dilation, module.padding = (rate, rate), (rate, rate)


def drop_last_activation(block: nn.Module) -> None:
    """Make a residual block return its sum unrectified."""
    name = "act3" if hasattr(block, "act3") else "act2"
    setattr(block, name, nn.Identity())
