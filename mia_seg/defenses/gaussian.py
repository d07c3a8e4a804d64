"""Gaussian noise on the posterior of the predicted label (thesis 7.4.2: variances 0.5 and 1.0)."""

import torch
from pydantic import Field
from torch import Tensor

from mia_seg.defenses import Defense
from mia_seg.oracles.network import BlackBox
from mia_seg.recipes import Window
from mia_seg.segmenters import Network

FLOOR = 1e-4


class Gaussian(Defense):
    """Noise of a given *variance*; values below 1e-4 are raised to it and the posterior is renormalised."""

    variance: float = Field(default=0.5, gt=0)

    def guard(self, network: Network, window: Window | None) -> BlackBox:
        return BlackBox(network, window, self.perturb)

    def perturb(self, posterior_KHW: Tensor, generator: torch.Generator) -> Tensor:
        """One draw a location, added to the predicted label's posterior alone."""
        noise = torch.randn(posterior_KHW.shape[1:], generator=generator) * self.variance**0.5
        predicted = posterior_KHW.argmax(0, keepdim=True)
        noisy = posterior_KHW.scatter_add(0, predicted, noise[None]).clamp(min=FLOOR)
        return noisy / noisy.sum(0)
