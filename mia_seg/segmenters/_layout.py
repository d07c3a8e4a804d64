"""How images and weights lie in memory."""

import torch
from torch import Tensor


def layout() -> torch.memory_format:
    """Channels last where there is CUDA, whose convolutions want it; planes elsewhere.

    On processors channels last costs small scenes more than it saves large ones: benchmarks/layout.py.
    """
    return torch.channels_last if torch.cuda.is_available() else torch.contiguous_format


def laid(image_NCHW: Tensor) -> Tensor:
    """As convolutions want it; best done on the device, which turns a batch round faster than the processor."""
    return image_NCHW.contiguous(memory_format=layout())
