"""Building blocks of generators, their encoder and their discriminators, for images of any size."""

from itertools import pairwise
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

GROUPS = 8
SLOPE = 0.2  # of LeakyReLU, as in BicycleGAN
GAIN = 0.02  # of Xavier's rule, as in BicycleGAN
M = TypeVar("M", bound=nn.Module)


class UNet(nn.Module):
    """Down, then up with a skip at every level; z is tiled and joined to every level's input on the way down."""

    def __init__(self, inputs: int, outputs: int, width: int, *, levels: int, latent: int) -> None:
        super().__init__()
        widths = [width * min(2**level, 4) for level in range(levels + 1)]
        self.latent, self.deepest = latent, widths[-1]
        steps = list(pairwise(widths))
        self.enter = block(inputs + latent, width)
        self.down = nn.ModuleList(block(a + latent, b, stride=2) for a, b in steps)
        self.up = nn.ModuleList(block(b + a, a, slope=0) for a, b in steps)
        self.leave = nn.Conv2d(width, outputs, 3, padding=1)

    def forward(self, x: Tensor, z_NZ: Tensor) -> Tensor:
        """[N, inputs, h, w] and [N, latent] -> [N, outputs, h, w]."""
        levels = [self.enter(self.join(x, z_NZ))]
        for down in self.down:
            levels.append(down(self.join(levels[-1], z_NZ)))
        x = self.turn(levels.pop(), z_NZ)
        for up, skip in zip(reversed(self.up), reversed(levels), strict=True):
            x = up(torch.cat([F.interpolate(x, skip.shape[-2:], mode="bilinear"), skip], 1))
        return self.leave(x)

    def join(self, x: Tensor, z_NZ: Tensor) -> Tensor:
        """The input of a level on the way down: x with z joined."""
        return tile(x, z_NZ)

    def turn(self, x: Tensor, z_NZ: Tensor) -> Tensor:
        """The input of the way up, at the bottom."""
        del z_NZ
        return x


def block(inputs: int, outputs: int, stride: int = 1, *, dilation: int = 1, slope: float = SLOPE) -> nn.Sequential:
    """A 3x3 convolution, group norm, (leaky) ReLU; at stride 2 a side of s becomes ceil(s / 2), as in backbones."""
    convolution = nn.Conv2d(inputs, outputs, 3, stride, dilation, dilation, bias=False)
    return nn.Sequential(convolution, nn.GroupNorm(GROUPS, outputs), nn.LeakyReLU(slope, inplace=True))


def tile(x: Tensor, z_NZ: Tensor) -> Tensor:
    """`x` with z at every place."""
    return torch.cat([x, z_NZ[:, :, None, None].expand(-1, -1, *x.shape[-2:])], 1)


def draw(module: M) -> M:
    """Draw the weights as BicycleGAN does: Xavier's normal rule with gain 0.02, biases 0."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.Linear):
            nn.init.xavier_normal_(part.weight, GAIN)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
    return module
