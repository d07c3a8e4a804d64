"""Gaussian noise as the published code has it: on every class, by *standard deviation*, floor 1e-6.

The thesis's text (`gaussian`) perturbs the predicted label alone, by variance; the authors' code
(SSAW14/segmentation_membership_inference, attack.py) does this instead.
"""

import torch
from torch import Tensor

from mia_seg.defenses import AnswerDefense
from mia_seg.values import Factor

FLOOR = 1e-6


class GaussianStd(AnswerDefense):
    """Noise of a given standard deviation on all classes; values below 1e-6 are raised to it, then renormalised."""

    deviation: Factor = 0.5

    def release(self, posterior_KHW: Tensor, noise: torch.Generator) -> Tensor:
        """One draw a location and class."""
        drawn = torch.randn(posterior_KHW.shape, generator=noise) * self.deviation
        noisy = (posterior_KHW + drawn).clamp_(min=FLOOR)
        return noisy.div_(noisy.sum(0))
