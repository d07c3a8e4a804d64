"""Temperature: every posterior is raised to the power 1/T and renormalised, which flattens confidences (T above 1).

It hides nothing from an attacker who knows T: the answers to the power T are those without a defense, to float32's
precision. The attacker who adapts is therefore given these.
"""

import torch
from pydantic import Field
from torch import Tensor

from mia_seg.defenses import AnswerDefense
from mia_seg.values import Finite


class Temperature(AnswerDefense):
    """p^(1/T) / Z; labels stay. T below 1 sharpens."""

    undone = True
    temperature: Finite = Field(
        default=2.0, ge=0.2, le=1000, description="T; beyond these bounds float32 is too coarse to undo it"
    )

    def release(self, posterior_KHW: Tensor, noise: torch.Generator) -> Tensor:
        """By logarithms, so that no power underflows for all classes of a pixel."""
        del noise
        return posterior_KHW.log().div_(self.temperature).softmax(0)
