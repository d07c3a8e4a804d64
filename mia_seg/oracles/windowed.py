"""Any oracle, asked window by window."""

import numpy as np
import torch
from torch import Tensor

from mia_seg.oracles import Oracle
from mia_seg.oracles.network import windows
from mia_seg.recipes import Window


class Windowed:
    """Answers with the mean of an oracle's posteriors where windows overlap; each window is one query."""

    def __init__(self, oracle: Oracle, window: Window) -> None:
        self.oracle, self.window = oracle, window

    def __call__(self, image_HWC: np.ndarray, key: int) -> Tensor:
        """The posterior. Every window is asked about under the image's key."""
        size = (image_HWC.shape[0], image_HWC.shape[1])
        total, visits = None, torch.zeros(size)
        for rows, columns in windows(size, self.window):
            part = self.oracle(np.ascontiguousarray(image_HWC[rows, columns]), key)
            total = part.new_zeros(len(part), *size) if total is None else total
            total[:, rows, columns] += part
            visits[rows, columns] += 1
        assert total is not None
        return total / visits
