"""ResNets as PSPNet, DeepLab and UPerNet use them: where they stride, dilate, and where they are cut."""

from typing import Any

from torch import Tensor, nn

from mia_seg.segmenters import normalise
from mia_seg.segmenters._weights import create

# The 3x3 stem with 64, 64 and 128 channels of the official PSPNet: pspnet101_cityscapes_713.prototxt, conv1_1 to 1_3.
# DeepLab's resnet_v1_101_beta and UPerNet's own code have the same.
STEM: dict[str, Any] = {"stem_width": 64, "stem_type": "deep"}
STEMS: dict[str, dict[str, Any]] = {"resnet18": {}, "resnet50": STEM, "resnet101": STEM}
# conv4_12 of ResNet-101 (thesis 6.3.1), conv4_3 of ResNet-50 (the same); the middle block of ResNet-18.
BLOCKS = {"resnet18": 2, "resnet50": 6, "resnet101": 23}  # of conv4
CUTS = {"resnet18": 1, "resnet50": 3, "resnet101": 12}


class ResNet(nn.Module):
    """A timm ResNet at output stride 8, 16 or 32; a stage that dilates does so in every block."""

    def __init__(self, name: str, pretrained: bool, output_stride: int) -> None:
        super().__init__()
        net: Any = create(name, pretrained, output_stride=output_stride, **STEMS[name])
        self.stem: nn.Module = nn.Sequential(net.conv1, net.bn1, net.act1, net.maxpool)
        self.layer1: nn.Sequential = net.layer1
        self.layer2: nn.Module = net.layer2
        self.layer3: nn.Sequential = net.layer3
        self.layer4: nn.Module = net.layer4
        dilate(self.layer3, max(1, 16 // output_stride))
        dilate(self.layer4, 32 // output_stride)
        self.conv2_channels, self.conv3_channels, self.conv4_channels, self.conv5_channels = (
            int(net.feature_info[stage]["num_chs"]) for stage in (1, 2, 3, 4)
        )


class DilatedResNet(ResNet):
    """PSPNet's: output stride 8, cut after block `cut` (counted from 1) of conv4, before that block's ReLU."""

    def __init__(self, name: str, pretrained: bool, cut: int) -> None:
        super().__init__(name, pretrained, 8)
        self.cut = cut
        drop_last_activation(self.layer3[cut - 1])

    def before_cut(self, image: Tensor) -> Tensor:
        """[N, 3, H, W] -> the sum of block `cut` of conv4, not yet rectified: [N, C, H/8, W/8]."""
        feature: Tensor = self.layer2(self.layer1(self.stem(image)))
        return self.layer3[: self.cut](feature)

    def after_cut(self, feature: Tensor) -> tuple[Tensor, Tensor]:
        """Features at the cut -> the outputs of conv4 and conv5."""
        conv4 = self.layer3[self.cut :](feature.relu())
        return conv4, self.layer4(conv4)


class LowLevelResNet(ResNet):
    """DeepLab's: output stride 16, the second block of conv2 tapped, cut after the first, before its ReLU.

    The tap is resnet_v1_101_beta's `block1/unit_2/bottleneck_v1/conv3`: the block's branch, before the shortcut is
    added. Branch and shortcut both read the rectified sum of the first block, so that sum is the last tensor that all
    later ones depend on. (Unlike that network, timm's strides in the first block of a stage, not in the last.)
    """

    momentum = 0.05  # decay 0.95: core/feature_extractor.py of the official DeepLab

    def __init__(self, name: str, pretrained: bool) -> None:
        super().__init__(name, pretrained, 16)
        self.low_channels, self.channels = self.conv2_channels, self.conv5_channels
        drop_last_activation(self.layer1[0])

    def before_cut(self, image: Tensor) -> Tensor:
        """RGB in 0..1 [N, 3, H, W] -> the sum of the first block of conv2, not yet rectified: [N, C, H/4, W/4]."""
        return self.layer1[0](self.stem(normalise(image)))

    def after_cut(self, feature: Tensor) -> tuple[Tensor, Tensor]:
        """Features at the cut -> the tap at stride 4, not rectified, and conv5 at stride 16."""
        conv2_1 = feature.relu()
        tap = branch(self.layer1[1], conv2_1)
        conv2 = self.layer1[2:]((tap + conv2_1).relu())
        return tap, self.layer4(self.layer3(self.layer2(conv2)))


class PyramidResNet(ResNet):
    """UPerNet's: no dilation, output stride 32, cut at the end of conv2, before its ReLU."""

    def __init__(self, name: str, pretrained: bool) -> None:
        super().__init__(name, pretrained, 32)
        drop_last_activation(self.layer1[-1])

    def before_cut(self, image: Tensor) -> Tensor:
        """RGB in 0..1 [N, 3, H, W] -> the last sum of conv2, not yet rectified: [N, C, H/4, W/4]."""
        return self.layer1(self.stem(normalise(image)))

    def after_cut(self, feature: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Features at the cut -> the outputs of conv2 to conv5, at strides 4, 8, 16 and 32."""
        conv2 = feature.relu()
        conv3 = self.layer2(conv2)
        conv4 = self.layer3(conv3)
        return conv2, conv3, conv4, self.layer4(conv4)


def dilate(layer: nn.Module, rate: int) -> None:
    """Give every 3x3 convolution of a stage the same dilation; libraries leave the first block at the previous rate."""
    for module in layer.modules():
        if isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3):
            module.dilation, module.padding = (rate, rate), (rate, rate)


def drop_last_activation(block: nn.Module) -> None:
    """Make a residual block return its sum unrectified."""
    name = "act3" if hasattr(block, "act3") else "act2"
    setattr(block, name, nn.Identity())


def branch(block: Any, x: Tensor) -> Tensor:
    """A residual block without its shortcut: what is added to it."""
    x = block.bn2(block.conv2(block.act1(block.bn1(block.conv1(x)))))
    return block.bn3(block.conv3(block.act2(x))) if hasattr(block, "conv3") else x
