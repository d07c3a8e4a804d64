"""Argmax: only the predicted label, as a one-hot posterior (thesis 7.4.2)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from mia_seg.defenses import AnswerDefense


class Argmax(AnswerDefense):
    """Hide all confidences."""

    def release(self, posterior_KHW: Tensor, noise: torch.Generator) -> Tensor:
        """1 at the predicted class, 0 elsewhere."""
        del noise
        return F.one_hot(posterior_KHW.argmax(0), posterior_KHW.shape[0]).permute(2, 0, 1).float()
