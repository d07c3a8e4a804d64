"""Networks that only a generator's training needs: an encoder of features, and discriminators of layout and feature."""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mia_seg.generators import Generator, GeneratorNetwork, Reader
from mia_seg.generators._unet import GROUPS, SLOPE, block, draw

# A discriminator reads a layout more coarsely than the generator does, and six times as often.
SHARE = 0.5


class Encoder(nn.Module):
    """Features -> mean and log variance of z (BicycleGAN's resnet encoder: the feature is all that it sees)."""

    def __init__(self, channels: int, width: int, levels: int, *, latent: int) -> None:
        super().__init__()
        widths = [width * min(2**level, 4) for level in range(levels + 1)]
        self.enter = nn.Conv2d(channels, width, 3, padding=1)
        self.blocks = nn.Sequential(*(Residual(a, b) for a, b in pairwise(widths)))
        self.mean, self.log_variance = nn.Linear(widths[-1], latent), nn.Linear(widths[-1], latent)

    def forward(self, feature_NCHW: Tensor) -> tuple[Tensor, Tensor]:
        """[N, C, h, w] -> two of [N, latent]."""
        x = F.leaky_relu(self.blocks(self.enter(feature_NCHW)), SLOPE).mean((2, 3))
        return self.mean(x), self.log_variance(x)


class Residual(nn.Module):
    """Two convolutions and mean pooling by 2, added to a shortcut that is pooled in the same way."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            nn.GroupNorm(GROUPS, inputs),
            nn.LeakyReLU(SLOPE),
            block(inputs, inputs),
            nn.Conv2d(inputs, outputs, 3, padding=1),
        )
        self.shortcut = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[N, inputs, h, w] -> [N, outputs, h / 2, w / 2]."""
        return halved(self.branch(x)) + self.shortcut(halved(x))


class Discriminator(nn.Module):
    """Real or generated, patch by patch and at two scales; the layout passes a reader of its own (thesis 6.2.1)."""

    def __init__(self, reader: Reader, channels: int, width: int) -> None:
        super().__init__()
        self.reader = reader
        inputs = reader.channels + channels
        self.fine, self.coarse = _patches(inputs, width), _patches(inputs, width // 2)

    def forward(self, layout_NKHW: Tensor, feature_NCHW: Tensor) -> list[Tensor]:
        """Verdicts [N, 1, h, w] of each scale; 1 is real."""
        x = torch.cat([self.reader(layout_NKHW), feature_NCHW], 1)
        return [self.fine(x), self.coarse(halved(x))]


def encoder(settings: Generator, generator: GeneratorNetwork) -> Encoder:
    """A freshly drawn encoder that fits the generator."""
    return draw(Encoder(generator.channels, settings.width // 2, settings.levels, latent=generator.latent))


def discriminator(settings: Generator, classes: int, channels: int, *, stride: int) -> Discriminator:
    """A freshly drawn discriminator that fits the generator."""
    reader = settings.reader(classes, stride, SHARE)
    return draw(Discriminator(reader, channels, max(16, settings.width // 2 // 16 * 16)))


def halved(x: Tensor) -> Tensor:
    """Means of 2 x 2 places; an odd last row or column counts alone."""
    return F.avg_pool2d(x, 2, ceil_mode=True, count_include_pad=False)


def _patches(inputs: int, width: int) -> nn.Sequential:
    """PatchGAN with 3x3 kernels and one halving: features lie on a coarse grid already."""
    return nn.Sequential(
        nn.Conv2d(inputs, width, 3, padding=1), nn.LeakyReLU(SLOPE), block(width, 2 * width, stride=2),
        block(2 * width, 4 * width), nn.Conv2d(4 * width, 1, 3, padding=1),
    )  # fmt: skip
