"""The check that an oracle's answers are posteriors, before anything is measured."""

from collections.abc import Sequence

import torch
from torch import Tensor

from mia_seg.data import Scene
from mia_seg.errors import MiaSegError
from mia_seg.oracles.pixels import parts

TOLERANCE = 1e-3  # of float32 sums over windows and hundreds of classes


def check_posteriors(posteriors: Sequence[Tensor], scene: Scene, classes: int, *, who: str = "oracle") -> None:
    """Raise MiaSegError for an answer that is no posterior [K, H, W] of the scene. who: the source, for the error."""
    for posterior_KHW in posteriors:
        fault = _fault(posterior_KHW, (classes, *scene.labels_HW.shape))
        if fault:
            raise MiaSegError(
                f"Scene '{scene.id}': the {who}'s answer {fault}. An answer is a posterior: for every pixel a share of "
                f"each class, none below 0, that add up to 1. Train the model again if its weights are damaged, or "
                f"mend the code that answers."
            )


def _fault(posterior_KHW: Tensor, shape: tuple[int, ...]) -> str | None:
    """What keeps an answer from being a posterior of this shape; None for one that is."""
    if tuple(posterior_KHW.shape) != shape:
        return f"has shape {tuple(posterior_KHW.shape)} and not {shape} (classes, height, width)"
    least, furthest = _extremes(posterior_KHW)
    if not torch.isfinite(furthest):
        return "holds values that are not finite"
    if least < 0:
        return f"holds a value below 0 ({least.item():.3g})"
    if furthest > TOLERANCE:
        return f"adds up to 1 only within {furthest.item():.3g} at some pixel"
    return None


def _extremes(posterior_KHW: Tensor) -> tuple[Tensor, Tensor]:
    """The smallest value, and how far a pixel's sum is from 1 at the most; each part of the answer is read once."""
    read = (posterior_KHW[:, rows] for rows in parts((posterior_KHW.shape[1], posterior_KHW.shape[2])))
    least, furthest = zip(*((part.amin(), (part.sum(0) - 1).abs().amax()) for part in read), strict=True)
    return torch.stack(least).amin(), torch.stack(furthest).amax()
