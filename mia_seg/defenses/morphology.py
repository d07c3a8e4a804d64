"""Morphology: a label map without its thin and small pieces, as a one-hot posterior; it smooths layouts.

Each class's region is opened by a square. What no opening holds takes the label of the nearest pixel that one does.
To open one class is to close the others together, so this is opening and closing at once, whatever the classes' order.
It answers labels alone, as `argmax` does, and changes some of them: what it hides beyond `argmax` is detail.
"""

import numpy as np
import torch
from pydantic import Field
from scipy.ndimage import maximum_filter, minimum_filter
from torch import Tensor

from mia_seg.defenses import AnswerDefense
from mia_seg.gan.synthetic import filled
from mia_seg.oracles.pixels import largest, one_hot
from mia_seg.values import Whole


class Morphology(AnswerDefense):
    """Hide the detail of predicted labels; radius 0 is `argmax`."""

    radius: Whole = Field(default=1, ge=0, le=500, description="pixels; the square has 2 * radius + 1 a side")

    def release(self, posterior_KHW: Tensor, noise: torch.Generator) -> Tensor:
        """1 at the smoothed class, 0 elsewhere; labels stay as they are where no square fits into any region."""
        del noise
        _, labels_HW = largest(posterior_KHW.numpy())
        kept_HW = opened(labels_HW, 2 * self.radius + 1)
        smoothed = filled(torch.from_numpy(labels_HW)[None], torch.from_numpy(kept_HW)[None])[0]
        return torch.from_numpy(one_hot(smoothed.numpy(), np.empty(posterior_KHW.shape, np.float32)))


def opened(labels_HW: np.ndarray, side: int) -> np.ndarray:
    """Pixels that some square of a single label covers: bool [H, W], the union of all classes' openings.

    A square's centre lies in the image; the square may reach beyond its edges.
    """
    whole = minimum_filter(labels_HW, side, mode="nearest") == maximum_filter(labels_HW, side, mode="nearest")
    return np.asarray(maximum_filter(whole, side, mode="nearest"))
