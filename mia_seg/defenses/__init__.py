"""Defenses: what changes a model's answers. `guard` wraps a network into a black box; one defense is one file."""

from typing import ClassVar

from mia_seg.oracles.network import BlackBox
from mia_seg.plugins import Component
from mia_seg.recipes import Window
from mia_seg.segmenters import Network


class Defense(Component):
    """Settings of a defense. The first field is the one that `name:value` sets on the command line."""

    needs_generator: ClassVar[bool] = False  # whether `guard` takes a segmenter with its generator (`Paired`)

    def guard(self, network: Network, window: Window | None) -> BlackBox:
        """The defended service around `network`, which is in evaluation mode and is not changed."""
        raise NotImplementedError
