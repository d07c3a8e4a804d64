"""No defense: the posteriors as the network gives them."""

import torch
from torch import Tensor

from mia_seg.defenses import AnswerDefense
from mia_seg.oracles import as_is


class Undefended(AnswerDefense):
    """The service as trained."""

    def release(self, posterior_KHW: Tensor, noise: torch.Generator) -> Tensor:
        return as_is(posterior_KHW, noise)
