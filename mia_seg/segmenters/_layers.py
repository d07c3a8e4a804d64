"""Layers that several heads share."""

import torch.nn.functional as F
from torch import Tensor, nn


def unit(inputs: int, outputs: int, kernel: int) -> tuple[nn.Module, ...]:
    """Convolution without bias, batch norm, ReLU."""
    convolution = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False)
    return convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)


def separable(inputs: int, outputs: int, rate: tuple[int, int]) -> tuple[nn.Module, ...]:
    """A 3x3 convolution of each channel, dilated by (rows, columns), then a 1x1; each with batch norm and ReLU."""
    depthwise = nn.Conv2d(inputs, inputs, 3, padding=rate, dilation=rate, groups=inputs, bias=False)
    return depthwise, nn.BatchNorm2d(inputs), nn.ReLU(inplace=True), *unit(inputs, outputs, 1)


def enlarge(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear, corners aligned (semseg's reading of the Caffe Interp layer)."""
    return F.interpolate(x, size, mode="bilinear", align_corners=True)


def size_of(x: Tensor) -> tuple[int, int]:
    """Height and width."""
    return x.shape[-2], x.shape[-1]
