"""A trained network as an oracle: in one piece or window by window."""

from collections.abc import Iterator, Sequence
from itertools import islice, product
from math import ceil

import numpy as np
import torch
from torch import Tensor

from mia_seg.recipes import Window
from mia_seg.segmenters import Network

WINDOW_BATCH = 4


class NetworkOracle:
    """Answers with a network's posteriors, on the device where the network is."""

    def __init__(self, network: Network, window: Window | None = None) -> None:
        self.network, self.window = network, window
        self.device = next(network.parameters()).device

    @torch.inference_mode()
    def __call__(self, image_HWC: np.ndarray, key: int) -> Tensor:
        """The posterior; what a defense draws in the forward pass comes from the key."""
        image = self._given(image_HWC)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(key)
            return self._posterior(image).cpu()

    @torch.inference_mode()
    def together(self, images: Sequence[np.ndarray], keys: Sequence[int]) -> list[Tensor]:
        """Posteriors of images of one size, from one forward pass of a network without noise; windows one by one."""
        if self.window is not None:
            return [self(image, key) for image, key in zip(images, keys, strict=True)]
        return list(self.posterior(torch.stack([self._given(image) for image in images])).cpu())

    def _given(self, image_HWC: np.ndarray) -> Tensor:
        return torch.from_numpy(image_HWC.copy()).permute(2, 0, 1).to(self.device).float().div(255)

    def _posterior(self, image_3HW: Tensor) -> Tensor:
        """The network's posterior, averaged where windows overlap; memory is that of one batch of windows."""
        size = (image_3HW.shape[1], image_3HW.shape[2])
        if self.window is None or (self.window.size[0] >= size[0] and self.window.size[1] >= size[1]):
            return self.posterior(image_3HW[None])[0]
        total, visits = None, torch.zeros(size, device=self.device)
        remaining = windows(size, self.window)
        while group := list(islice(remaining, WINDOW_BATCH)):
            crops = torch.stack([image_3HW[:, rows, columns] for rows, columns in group])
            for (rows, columns), part in zip(group, self.posterior(crops), strict=True):
                total = part.new_zeros((part.shape[0], *size)) if total is None else total
                total[:, rows, columns] += part
                visits[rows, columns] += 1
        assert total is not None
        return total / visits

    def posterior(self, images_N3HW: Tensor) -> Tensor:
        """Posteriors of whole images or of windows: what is averaged where windows overlap."""
        return self._logits(images_N3HW).softmax(1)

    def _logits(self, images_N3HW: Tensor) -> Tensor:
        """Logits in float32; with `mirror`, plus those of the mirror images (PSPNet's evaluation code)."""
        logits = self.network(images_N3HW).float()
        if self.window is not None and self.window.mirror:
            logits = logits + self.network(images_N3HW.flip(-1)).float().flip(-1)
        return logits


def windows(size: tuple[int, int], window: Window) -> Iterator[tuple[slice, slice]]:
    """Windows that cover `size`, a stride of ceil(side * (1 - overlap)) apart (PSPNet's evaluation code).

    An image lower or narrower than the window is read as it is; the published protocol pads it to the window.
    """
    rows, columns = (windows_along(s, min(w, s), window.overlap) for s, w in zip(size, window.size, strict=True))
    return product(rows, columns)


def windows_along(length: int, window: int, overlap: float) -> list[slice]:
    """The windows that cover one side of an image, the last of them flush with its end."""
    step = max(1, ceil(window * (1 - overlap) - 1e-9))  # 10 * (1 - 0.9) is a hair below 1, others a hair above
    starts = [*range(0, length - window, step), length - window]
    return [slice(start, start + window) for start in starts]
