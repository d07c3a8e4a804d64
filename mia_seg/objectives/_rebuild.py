"""A generator that rebuilds the photograph from the segmenter's answer."""

import torch.nn.functional as F
from torch import Tensor, nn

WIDTHS = (18, 9, 3)  # Sun et al., IJCAI 2018, section 2.2


def rebuilder(classes: int) -> nn.Sequential:
    """Three 3x3 convolutions, a posterior [N, K, H, W] -> RGB [N, 3, H, W]; ReLU between them, nothing after."""
    layers: list[nn.Module] = []
    for inputs, outputs in zip((classes, *WIDTHS), WIDTHS, strict=False):
        layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers[:-1])


def rebuilding_error(generator: nn.Module, logits_NKHW: Tensor, image_N3HW: Tensor) -> Tensor:
    """Mean squared error a channel and pixel of the photograph, in 0..1, that is rebuilt of the posterior."""
    return F.mse_loss(generator(logits_NKHW.float().softmax(1)).float(), image_N3HW)
