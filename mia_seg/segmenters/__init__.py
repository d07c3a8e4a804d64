"""Segmenters: image in, logits out, with a cut inside the backbone. One architecture is one file."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mia_seg.data import IGNORE
from mia_seg.plugins import Component


class Network(nn.Module):
    """`decode(encode(image))`, cut at a named point of the backbone, before the activation.

    Images are float [N, 3, H, W] RGB in 0..1; logits are [N, K, H, W].
    """

    def encode(self, image_N3HW: Tensor) -> Tensor:
        """Dense features at the cut, before the ReLU: [N, C, h, w]."""
        raise NotImplementedError

    def decode(self, feature_NCHW: Tensor, size: tuple[int, int]) -> Tensor:
        """Logits [N, K, *size] from features at the cut."""
        raise NotImplementedError

    def forward(self, image_N3HW: Tensor) -> Tensor:
        """Logits at the image's size."""
        return self.decode(self.encode(image_N3HW), (image_N3HW.shape[-2], image_N3HW.shape[-1]))

    def loss(self, image_N3HW: Tensor, labels_NHW: Tensor) -> tuple[Tensor, Tensor]:
        """The training loss (a scalar) and the logits it came from."""
        logits = self(image_N3HW)
        return cross_entropy(logits, labels_NHW), logits

    def backbone_parameters(self) -> list[nn.Parameter]:
        """What trains at the base rate; everything else at `head_lr` times that."""
        raise NotImplementedError


class Segmenter(Component):
    """Settings of an architecture; `build` makes the network."""

    def build(self, classes: int) -> Network:
        """A freshly initialised network with `classes` outputs (torch's global generator draws the weights)."""
        raise NotImplementedError


def cross_entropy(logits_NKHW: Tensor, labels_NHW: Tensor) -> Tensor:
    """Mean over labelled pixels, in float32; 0 where a batch has none."""
    total = F.cross_entropy(logits_NKHW.float(), labels_NHW, ignore_index=IGNORE, reduction="sum")
    return total / (labels_NHW != IGNORE).sum().clamp(min=1)


def normalise(image_N3HW: Tensor) -> Tensor:
    """ImageNet's mean and deviation (0.485, 0.456, 0.406; 0.229, 0.224, 0.225) removed from RGB in 0..1."""
    mean = torch.tensor([0.485, 0.456, 0.406], device=image_N3HW.device).view(1, 3, 1, 1)
    deviation = torch.tensor([0.229, 0.224, 0.225], device=image_N3HW.device).view(1, 3, 1, 1)
    return (image_N3HW - mean) / deviation
