"""Top k: only the k largest posteriors of each pixel, renormalised (Shokri et al., S&P 2017)."""

import torch
from pydantic import Field
from torch import Tensor

from mia_seg.defenses import AnswerDefense
from mia_seg.errors import MiaSegError
from mia_seg.values import Whole


class TopK(AnswerDefense):
    """Hide the unlikely classes; 1 is `argmax`."""

    k: Whole = Field(default=2, ge=1, le=256, description="number of classes of each pixel that keep their posterior")

    def check(self, classes: int) -> None:
        """Raise MiaSegError for more classes than there are."""
        if self.k > classes:
            raise MiaSegError(f"Defense 'top_k:{self.k}' keeps more classes than the model's {classes}. Lower k.")

    def release(self, posterior_KHW: Tensor, noise: torch.Generator) -> Tensor:
        """0 for all but the k largest. Of equal ones at the k-th place any may stay."""
        del noise
        self.check(len(posterior_KHW))
        kept = posterior_KHW.topk(self.k, 0)
        return torch.zeros_like(posterior_KHW).scatter_(0, kept.indices, kept.values / kept.values.sum(0))
