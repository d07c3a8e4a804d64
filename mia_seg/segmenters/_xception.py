"""The modified aligned Xception of DeepLab-v3+ (Chen et al., ECCV 2018) at output stride 16, by timm."""

from typing import Any

from torch import Tensor, nn

from mia_seg.segmenters._weights import create

# The entry block that holds the low-level end point: block2 of Xception-65, block3 of -71 (counted from 1 there).
TAPPED = {"xception65": 1, "xception71": 2}


class Xception(nn.Module):
    """Exit block1 at stride 1 and rate 1, exit block2 at rate 2; tapped and cut at stride 4.

    The tap is `separable_conv2_pointwise` of the tapped entry block, after its batch norm and before the next ReLU.
    That block's shortcut reads the block's input past it, so the cut is this input: a sum that no ReLU has seen.
    """

    momentum = 0.0003  # decay 0.9997: core/feature_extractor.py of the official DeepLab

    def __init__(self, name: str, pretrained: bool) -> None:
        super().__init__()
        net: Any = create(name, pretrained, output_stride=16)
        place = TAPPED[name]
        self.stem: nn.Module = net.stem
        self.early: nn.Module = net.blocks[:place]
        self.tapped: Any = net.blocks[place]
        self.late: nn.Module = net.blocks[place + 1 :]
        self.low_channels = int(net.feature_info[1]["num_chs"])
        self.channels = int(net.feature_info[4]["num_chs"])

    def before_cut(self, image: Tensor) -> Tensor:
        """RGB in 0..1 [N, 3, H, W] -> the input of the tapped block: [N, 128 or 256, H/4, W/4]."""
        return self.early(self.stem(2 * image - 1))

    def after_cut(self, feature: Tensor) -> tuple[Tensor, Tensor]:
        """Features at the cut -> the tap at stride 4, not rectified, and the last block's output at stride 16."""
        stack = self.tapped.stack
        tap = stack.conv2(stack.act2(stack.conv1(feature.relu())))
        # A ReLU of its own, for the block's works in place and the decoder reads the tap as it is.
        return tap, self.late(stack.conv3(tap.relu()) + self.tapped.shortcut(feature))
