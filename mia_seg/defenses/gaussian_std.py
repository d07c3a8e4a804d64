"""Gaussian noise as the published code has it: on every class, by *standard deviation*, floor 1e-6.

The thesis's text (`gaussian`) perturbs the predicted label alone, by variance; the authors' code
(SSAW14/segmentation_membership_inference, attack.py) does this instead.
"""

import torch
from pydantic import Field
from torch import Tensor

from mia_seg.defenses import Defense
from mia_seg.oracles.network import BlackBox
from mia_seg.recipes import Window
from mia_seg.segmenters import Network

FLOOR = 1e-6


class GaussianStd(Defense):
    """Noise of a given standard deviation on all classes; values below 1e-6 are raised to it, then renormalised."""

    deviation: float = Field(default=0.5, gt=0)

    def guard(self, network: Network, window: Window | None) -> BlackBox:
        return BlackBox(network, window, self.perturb)

    def perturb(self, posterior_KHW: Tensor, generator: torch.Generator) -> Tensor:
        """One draw a location and class."""
        noise = torch.randn(posterior_KHW.shape, generator=generator) * self.deviation
        noisy = (posterior_KHW + noise).clamp(min=FLOOR)
        return noisy / noisy.sum(0)
