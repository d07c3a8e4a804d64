"""Gaussian noise on the posterior of the predicted label (thesis 7.4.2: variances 0.5 and 1.0)."""

import numpy as np
import torch
from torch import Tensor

from mia_seg.defenses import AnswerDefense
from mia_seg.oracles.pixels import largest
from mia_seg.values import Factor

FLOOR = 1e-4


class Gaussian(AnswerDefense):
    """Noise of a given *variance*; values below 1e-4 are raised to it and the posterior is renormalised."""

    variance: Factor = 0.5

    def release(self, posterior_KHW: Tensor, noise: torch.Generator) -> Tensor:
        """One draw a location, added to the predicted label's posterior alone."""
        drawn = torch.randn(posterior_KHW.shape[1:], generator=noise) * self.variance**0.5
        predicted = torch.from_numpy(largest(posterior_KHW.numpy())[1][None].astype(np.int64))
        noisy = posterior_KHW.scatter_add(0, predicted, drawn[None]).clamp_(min=FLOOR)
        return noisy.div_(noisy.sum(0))
