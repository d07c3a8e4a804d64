"""Argmax: only the predicted label, as a one-hot posterior (thesis 7.4.2)."""

import numpy as np
import torch
from torch import Tensor

from mia_seg.defenses import AnswerDefense
from mia_seg.oracles.pixels import largest, one_hot


class Argmax(AnswerDefense):
    """Hide all confidences."""

    def release(self, posterior_KHW: Tensor, noise: torch.Generator) -> Tensor:
        """1 at the predicted class, 0 elsewhere."""
        del noise
        _, predicted_HW = largest(posterior_KHW.numpy())
        return torch.from_numpy(one_hot(predicted_HW, np.empty(posterior_KHW.shape, np.float32)))
