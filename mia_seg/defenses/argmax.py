"""Argmax: only the predicted label, as a one-hot posterior (thesis 7.4.2)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from mia_seg.defenses import Defense
from mia_seg.oracles.network import BlackBox
from mia_seg.recipes import Window
from mia_seg.segmenters import Network


class Argmax(Defense):
    """Hide all confidences."""

    def guard(self, network: Network, window: Window | None) -> BlackBox:
        return BlackBox(network, window, one_hot)


def one_hot(posterior_KHW: Tensor, generator: torch.Generator) -> Tensor:
    """1 at the predicted class, 0 elsewhere."""
    del generator
    return F.one_hot(posterior_KHW.argmax(0), posterior_KHW.shape[0]).permute(2, 0, 1).float()
