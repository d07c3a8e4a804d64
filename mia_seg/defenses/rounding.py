"""Rounding: posteriors with so many decimals, renormalised (Shokri et al., S&P 2017)."""

import torch
from pydantic import Field
from torch import Tensor

from mia_seg.defenses import AnswerDefense
from mia_seg.defenses.argmax import Argmax
from mia_seg.values import Whole


class Rounding(AnswerDefense):
    """Hide what is behind so many decimals. Where classes become equal, the first of them is the label."""

    decimals: Whole = Field(default=1, ge=0, le=7, description="decimals of each posterior; float32 has seven")

    def release(self, posterior_KHW: Tensor, noise: torch.Generator) -> Tensor:
        """The rounded posterior; one-hot where all of a pixel's classes round to 0."""
        rounded = posterior_KHW.round(decimals=self.decimals)
        total_HW = rounded.sum(0)
        return torch.where(total_HW > 0, rounded / total_HW, Argmax().release(posterior_KHW, noise))
