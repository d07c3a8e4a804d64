"""Generators: a layout goes in, dense features at a segmenter's cut come out. One architecture is one file."""

from math import log2
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from mia_seg.errors import MiaSegError
from mia_seg.generators._unet import UNet, draw
from mia_seg.plugins import Component
from mia_seg.segmenters import Network
from mia_seg.values import Whole, Width

# Nine halvings leave one cell of a grid of 512, which is more than any training crop has.
Levels = Annotated[Whole, Field(ge=1, le=9)]
# A kernel as wide as that reads an area of half a thousand pixels around at stride 8.
Cells = Annotated[Whole, Field(ge=0, le=65)]
PROBE = 64  # side of the image that shows where a segmenter is cut


class Reader(nn.Module):
    """Brings a one-hot layout [N, K, H, W] to the features' grid: [N, channels, h, w]."""

    channels: int

    def cells(self, layout_NKHW: Tensor) -> Tensor:
        """The share of each class in a cell of the grid, as this reader sees it: [N, K, h, w]."""
        raise NotImplementedError


class Generator(Component):
    """Settings of an architecture: a reader of layouts, followed by a U-Net.

    objective: the `[train_generator] objective` that trains it.
    """

    objective: ClassVar[str]
    width: Width = Field(default=64, ge=16, multiple_of=16, description="channels of the U-Net at the features' grid")
    levels: Levels = Field(default=3, description="how often the U-Net halves the grid")
    cells: Cells = Field(
        default=0, description="a linear path beside the U-Net reads this many cells a side; 0: none (thesis)"
    )

    def reader(self, classes: int, stride: int, share: float = 1.0) -> Reader:
        """A freshly drawn reader; `share` of the channels where less will do."""
        raise NotImplementedError

    def unet(self, inputs: int, outputs: int) -> UNet:
        """A U-Net behind the reader; `build` draws its weights."""
        raise NotImplementedError

    def build(self, classes: int, channels: int, stride: int) -> "GeneratorNetwork":
        """A freshly drawn network for features of `channels` at `stride` (torch's global generator draws)."""
        reader = self.reader(classes, stride)
        unet = self.unet(reader.channels, channels)
        linear = nn.Conv2d(classes, channels, self.cells, padding="same") if self.cells else None
        return GeneratorNetwork(reader, draw(unet), channels, stride=stride, linear=linear)


class Tiled(Generator):
    """A generator whose z is tiled over every level of the U-Net, as in BicycleGAN, and trained by its objective."""

    objective = "bicycle"
    latent: Width = Field(default=8, ge=1, description="numbers in z (BicycleGAN: 8)")

    def unet(self, inputs: int, outputs: int) -> UNet:  # noqa: D102 (Generator describes it)
        return UNet(inputs, outputs, self.width, levels=self.levels, latent=self.latent)


class GeneratorNetwork(nn.Module):
    """Draws features for a layout. It learns features standardised to mean 0 and deviation 1 in each channel."""

    mean_C: Tensor
    deviation_C: Tensor

    def __init__(
        self, reader: Reader, unet: UNet, channels: int, *, stride: int, linear: nn.Conv2d | None = None
    ) -> None:
        super().__init__()
        self.linear = linear
        self.reader, self.unet, self.channels, self.stride = reader, unet, channels, stride
        self.register_buffer("mean_C", torch.zeros(channels))
        self.register_buffer("deviation_C", torch.ones(channels))

    @property
    def latent(self) -> int:
        """Numbers in z."""
        return self.unet.latent

    def forward(self, layout_NKHW: Tensor, z_NZ: Tensor) -> Tensor:
        """Features at the cut, before the ReLU: [N, C, h, w]."""
        return self.restore(self.standard(layout_NKHW, z_NZ))

    def standard(self, layout_NKHW: Tensor, z_NZ: Tensor) -> Tensor:
        """Standardised features (mean 0, deviation 1 a channel), which training compares."""
        standard: Tensor = self.unet(self.reader(layout_NKHW), z_NZ)
        return standard if self.linear is None else standard + self.linear(self.reader.cells(layout_NKHW))

    def restore(self, standard_NCHW: Tensor) -> Tensor:
        """Standardised features -> features at the cut; the inverse of `standardise`."""
        return standard_NCHW * self.deviation_C[:, None, None] + self.mean_C[:, None, None]

    def standardise(self, feature_NCHW: Tensor) -> Tensor:
        """A segmenter's features, standardised to mean 0 and deviation 1 a channel."""
        return (feature_NCHW - self.mean_C[:, None, None]) / self.deviation_C[:, None, None]


class WithGenerator(Network):
    """A segmenter with the generator of its features. It answers as the segmenter does.

    secret: the key by which the service draws z for an image; an attacker does not know it.
    """

    def __init__(self, network: Network, generator: GeneratorNetwork, secret: str) -> None:
        super().__init__()
        self.network, self.generator, self.secret = network, generator, secret
        cut, made_for = cut_of(network), (generator.channels, generator.stride)
        if cut != made_for:
            raise MiaSegError(
                f"The generator draws features of {made_for[0]} channels at stride {made_for[1]}, and the segmenter is "
                f"cut where it has {cut[0]} at stride {cut[1]}. Train one for this cut: mia-seg train-generator."
            )

    def encode(self, image_N3HW: Tensor) -> Tensor:  # noqa: D102 (Network describes them)
        return self.network.encode(image_N3HW)

    def decode(self, feature_NCHW: Tensor, size: tuple[int, int]) -> Tensor:  # noqa: D102
        return self.network.decode(feature_NCHW, size)

    def finish(self, logits_NKHW: Tensor, image_N3HW: Tensor) -> Tensor:  # noqa: D102
        return self.network.finish(logits_NKHW, image_N3HW)

    def backbone_parameters(self) -> list[nn.Parameter]:  # noqa: D102
        return self.network.backbone_parameters()


@torch.no_grad()
def cut_of(network: Network) -> tuple[int, int]:
    """Channels and stride of a segmenter's cut, found by encoding a small image."""
    device = next(network.parameters()).device
    _, channels, height, _ = network.encode(torch.zeros(1, 3, PROBE, PROBE, device=device)).shape
    return channels, PROBE // height


def halvings(stride: int) -> int:
    """log2 of the stride. Raises MiaSegError if it is no power of two."""
    if stride < 1 or stride & (stride - 1):
        raise MiaSegError(
            f"The segmenter is cut at stride {stride}. A generator needs a power of two: cut it elsewhere."
        )
    return int(log2(stride))
