"""Doors as a recipe opens them, and networks to stand behind them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mia_seg.errors import MiaSegError
from mia_seg.oracles import doors
from mia_seg.oracles.door import DoorOracle
from mia_seg.oracles.doors import Door
from mia_seg.plugins import from_section

CLASSES = ("road", "sky", "car")


def door(**section: Any) -> Door:
    """What `[door]` says in a recipe."""
    return from_section(doors, Door, section, where="[door]")


def opened(base: Path, **section: Any) -> DoorOracle:
    """The model behind it, asked about road, sky and car."""
    known = door(**section)
    return DoorOracle(known, known.open(base, {}), CLASSES)


def refusal(act: Callable[[], Any]) -> str:
    """The sentence with which something is refused."""
    with pytest.raises(MiaSegError) as refused:
        act()
    return str(refused.value)


def scaled(image_HWC: np.ndarray) -> Tensor:
    """An image in 0 to 1 as PyTorch's models take it."""
    return torch.from_numpy(image_HWC.transpose(2, 0, 1) / np.float32(255))[None]


def drawn(make: Callable[[], nn.Module], scale: float = 1) -> Any:
    """A random network in evaluation mode, the same each time. scale: of its weights."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = make().eval().requires_grad_(False)
    for weight in network.parameters():
        weight.mul_(scale)
    return network
