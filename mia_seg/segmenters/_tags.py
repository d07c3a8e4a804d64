"""Image-level labels: which classes a scene shows, wherever they are."""

import torch
import torch.nn.functional as F
from torch import Tensor


def present(labels_NHW: Tensor, classes: int) -> Tensor:
    """Whether each class has a labelled pixel in each scene: bool [N, K]."""
    return torch.stack([(labels_NHW == k).flatten(1).any(1) for k in range(classes)], 1)


def tag_loss(tags_NK: Tensor, present_NK: Tensor) -> Tensor:
    """Binary cross-entropy of image-level logits, mean over classes and scenes, in float32.

    A scene without a labelled pixel says nothing: it does not count, and where there is no other the loss is 0.
    """
    told_N = present_NK.any(1)
    losses_NK = F.binary_cross_entropy_with_logits(tags_NK.float(), present_NK.float(), reduction="none")
    return (losses_NK.mean(1) * told_N).sum() / told_N.sum().clamp(min=1)
