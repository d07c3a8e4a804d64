"""A 3x3 convolution whose dilation is a real number for each input channel, learnt with the weights.

Thesis, chapter 4 (He et al., GCPR 2017): y = sum_c sum_ij w_cij x_c(m + i d_c, n + j d_c), i and j in -1, 0, 1, where x
between pixels is bilinear and 0 outside. The printed derivative (equation 4.4) holds for the tap i = j = 1 alone; here
autograd derives the interpolation itself.
"""

from typing import Any

import torch
from torch import Tensor, nn

# From the hand-set dilation to the least one and the largest (thesis, section 4.2.3).
RANGES = {2: (1.0, 4.0), 4: (1.0, 8.0)}
# The interpolation has a kink at whole numbers, so a start there has no derivative; this far beside it, the answer is
# the hand-set convolution's within a hundredth of the difference between neighbours.
BESIDE = 0.01


class LearntDilation(nn.Module):
    """A dilated convolution without bias, made learnable. dilation_C: its dilations over their start, which is 0.

    factor: how many times the weights' rate the dilations learn at.
    """

    def __init__(self, fixed: nn.Conv2d, factor: float) -> None:
        super().__init__()
        start = int(fixed.dilation[0])
        self.weight, self.dilation_C = fixed.weight, nn.Parameter(torch.zeros(fixed.in_channels))
        # A step of rate r on u, where d = start + s u, moves d by r s^2 times its gradient.
        self.start, self.scale, self.range = start + BESIDE, factor**0.5, RANGES[start]

    def dilations(self) -> Tensor:
        """The dilation of each input channel, within its range: [C]."""
        with torch.no_grad():  # not in the graph, where a dilation outside would learn no more
            low, high = ((bound - self.start) / self.scale for bound in self.range)
            self.dilation_C.clamp_(low, high)
        return self.start + self.scale * self.dilation_C

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """[N, C, H, W] -> [N, O, H, W]."""
        return convolve(x_NCHW, self.weight, self.dilations())

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        """Weights of the network with fixed dilations fit: the hand-set ones are where learning begins."""
        state_dict.setdefault(prefix + "dilation_C", torch.zeros_like(self.dilation_C))
        super()._load_from_state_dict(state_dict, prefix, *rest)


def convolve(x_NCHW: Tensor, weight_OC33: Tensor, dilation_C: Tensor) -> Tensor:
    """The convolution (equation 4.2, without bias): [N, O, H, W]."""
    sampled_NXP = sample(x_NCHW, dilation_C).flatten(1, 2).flatten(2)
    return (weight_OC33.permute(0, 2, 3, 1).flatten(1) @ sampled_NXP).view(-1, len(weight_OC33), *x_NCHW.shape[2:])


def sample(x_NCHW: Tensor, dilation_C: Tensor) -> Tensor:
    """What the nine taps of a 3x3 see, row by row: [N, 9, C, H, W]; channel c at distances of dilation_C[c].

    Bilinear interpolation is one of rows and one of columns, and each a product with a matrix that has two weights a
    place: no position is gathered.
    """
    height, width = x_NCHW.shape[2:]
    rows = [_shift(dilation_C, tap, height).to(x_NCHW) @ x_NCHW if tap else x_NCHW for tap in (-1, 0, 1)]
    columns = {tap: _shift(dilation_C, tap, width).to(x_NCHW).mT for tap in (-1, 1)}
    return torch.stack([row @ columns[tap] if tap else row for row in rows for tap in (-1, 0, 1)], 1)


def _shift(dilation_C: Tensor, tap: int, side: int) -> Tensor:
    """Matrices [C, side, side] that look up place q + tap * d between its neighbours; nothing lies outside."""
    place = torch.arange(side, device=dilation_C.device, dtype=dilation_C.dtype)
    wanted_CQ = place + tap * dilation_C[:, None]
    return (1 - (wanted_CQ[:, :, None] - place).abs()).clamp(min=0)


def learn_dilations(network: nn.Module, factor: float) -> None:
    """Make every dilated 3x3 convolution below `network` learnable."""
    for name, module in list(network.named_children()):
        if isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3) and module.dilation[0] in RANGES:
            setattr(network, name, LearntDilation(module, factor))
        else:
            learn_dilations(module, factor)
