"""Defenses: what changes a model's answers. One defense is one file, and one of two kinds.

An answer defense maps a posterior to a posterior, and wraps any oracle. A network defense changes the forward pass, and
needs the network.
"""

from typing import ClassVar

import torch
from torch import Tensor

from mia_seg.oracles import Oracle, Released
from mia_seg.plugins import Component
from mia_seg.recipes import Window
from mia_seg.segmenters import Network


class Defense(Component):
    """Settings of a defense. The first field is the one that `name:value` sets on the command line.

    undone: whether an attacker who knows the settings can compute the undefended answers.
    """

    undone: ClassVar[bool] = False

    def check(self, classes: int) -> None:
        """Raise MiaSegError if the settings do not fit the number of classes."""


class AnswerDefense(Defense):
    """A defense that touches only the answer."""

    def release(self, posterior_KHW: Tensor, noise: torch.Generator) -> Tensor:
        """The answer that is released for a posterior [K, H, W]: non-negative, sums to one. `noise` draws its noise."""
        raise NotImplementedError

    def wrap(self, oracle: Oracle) -> Oracle:
        """The defended service around any oracle."""
        return Released(oracle, self.release)


class NetworkDefense(Defense):
    """A defense inside the forward pass. needs_generator: `guard` takes a `WithGenerator`."""

    needs_generator: ClassVar[bool] = False

    def guard(self, network: Network, window: Window | None) -> Oracle:
        """The defended service around `network`, which is in evaluation mode and is not changed."""
        raise NotImplementedError
