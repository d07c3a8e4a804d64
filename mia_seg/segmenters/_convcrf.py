"""ConvCRF (Teichmann & Cipolla, arXiv 1805.04777): a CRF's mean field whose Gaussian kernels end at a square window.

Kernels and constants are the authors' defaults (convcrf.py, default_conf). One thing differs: their first message
passes log-probabilities; here it passes probabilities, as a mean field does.
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WINDOW, BLUR = 7, 4
# Of the smoothness kernel: its strength, its width in pixels. Of the appearance kernel: in steps of an 8-bit colour.
NEAR, NEAR_WIDTH = 3.0, 3.0
ALIKE, ALIKE_WIDTH = 10.0, 13.0
WEIGHT = 0.2  # of the message; the unary has the rest


class Affinity:
    """The kernel of a CRF: how much each pixel of an image influences the labels around it.

    image_N3HW: RGB in 0..1, the guide; it gets no gradient. window: pixels along a side, odd. blur: kernels and
    messages are computed on means of blur x blur pixels, and enlarged bilinearly. known_NHW: False pixels send nothing.
    """

    def __init__(
        self, image_N3HW: Tensor, window: int = WINDOW, blur: int = BLUR, *, known_NHW: Tensor | None = None
    ) -> None:
        self.blur, self.known_NHW = blur, known_NHW
        image = image_N3HW.detach()
        self.kernel_NDHW = kernel(_shrunk(image.to(_wide(image)), blur), window, blur)

    def message(self, q_NKHW: Tensor) -> Tensor:
        """The message of the neighbours: the sum of their probabilities [N, K, H, W], weighted by the kernel."""
        size = q_NKHW.shape[-2:]
        if self.known_NHW is not None:
            q_NKHW = q_NKHW * self.known_NHW[:, None]
        summed: Any = _WindowSum.apply(_shrunk(q_NKHW, self.blur), self.kernel_NDHW)
        if self.blur == 1:
            return summed
        enlarged = F.interpolate(summed, scale_factor=self.blur, mode="bilinear", align_corners=False)
        return enlarged[..., : size[0], : size[1]]


class ConvCRF(nn.Module):
    """One mean-field iteration whose only parameter is the message's weight [K, 1, 1], one a class."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((classes, 1, 1), WEIGHT))

    def forward(self, logits_NKHW: Tensor, affinity: Affinity) -> Tensor:
        """Logits [N, K, H, W], in float32 at least."""
        return mean_field(logits_NKHW, affinity, self.weight)


def mean_field(
    logits_NKHW: Tensor, affinity: Affinity, weight: Tensor | float = WEIGHT, *, iterations: int = 1
) -> Tensor:
    """Logits after q <- softmax((1 - weight) log_softmax(logits) + weight message(q)), from q = softmax(logits)."""
    with torch.autocast(logits_NKHW.device.type, enabled=False):
        unary = logits_NKHW.to(_wide(logits_NKHW)).log_softmax(1)
        refined = unary
        for _ in range(iterations):
            refined = (1 - weight) * unary + weight * affinity.message(refined.softmax(1))
        return refined


def kernel(image_N3HW: Tensor, window: int, step: int) -> Tensor:
    """Weights [N, window^2, H, W] of the pixels around each one, row by row; 0 outside of the image.

    step: pixels of the full image between two of these. k = 3 exp(-|xy - xy'|^2 / 2 3^2) + 10 exp(-|rgb - rgb'|^2 / 2
    13^2), with RGB in 0..255: the authors' appearance kernel has no positions either.
    """
    reach, size = window // 2, image_N3HW.shape[-2:]
    padded = F.pad(255 * image_N3HW, [reach] * 4, value=torch.inf)  # an infinite distance: no weight
    rows = []
    for dy, dx in _offsets(window):
        apart = ((_moved(padded, (dy, dx), size) - 255 * image_N3HW) ** 2).sum(1)
        inside = apart.isfinite().to(apart)
        far = step**2 * ((dy - reach) ** 2 + (dx - reach) ** 2)
        near = NEAR * math.exp(-far / (2 * NEAR_WIDTH**2))
        rows.append(near * inside + ALIKE * torch.exp(-apart / (2 * ALIKE_WIDTH**2)))
    return torch.stack(rows, 1)


class _WindowSum(torch.autograd.Function):
    """Sums of q [N, K, H, W] under a kernel [N, window^2, H, W], which is symmetric: its own transpose."""

    @staticmethod
    def forward(ctx: Any, q_NKHW: Tensor, kernel_NDHW: Tensor) -> Tensor:
        ctx.save_for_backward(kernel_NDHW)
        window = round(kernel_NDHW.shape[1] ** 0.5)
        q_NKHW = q_NKHW.contiguous()  # as the kernel is: channels-last sums take several times as long
        padded, size = F.pad(q_NKHW, [window // 2] * 4), q_NKHW.shape[-2:]
        total = torch.zeros_like(q_NKHW)
        for place, offset in enumerate(_offsets(window)):
            total.addcmul_(_moved(padded, offset, size), kernel_NDHW[:, place, None])
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        (kernel_NDHW,) = ctx.saved_tensors
        return _WindowSum.apply(gradients[0], kernel_NDHW), None


def _offsets(window: int) -> list[tuple[int, int]]:
    return [(dy, dx) for dy in range(window) for dx in range(window)]


def _moved(padded: Tensor, offset: tuple[int, int], size: Any) -> Tensor:
    return padded[..., offset[0] : offset[0] + size[0], offset[1] : offset[1] + size[1]]


def _shrunk(x: Tensor, blur: int) -> Tensor:
    """Means of blur x blur pixels, fewer at the end of a row or column."""
    return x if blur == 1 else F.avg_pool2d(x, blur, ceil_mode=True, count_include_pad=False)


def _wide(x: Tensor) -> torch.dtype:
    """Kernels reach 600 and more in sum: bfloat16 would round them."""
    return torch.promote_types(x.dtype, torch.float32)
