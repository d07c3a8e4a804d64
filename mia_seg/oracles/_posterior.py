"""What an oracle answers is a posterior, or it is refused before anything is measured on it."""

from collections.abc import Sequence

import torch
from torch import Tensor

from mia_seg.data import Scene
from mia_seg.errors import MiaSegError

TOLERANCE = 1e-3  # of float32 sums over windows and hundreds of classes


def check_posteriors(posteriors: Sequence[Tensor], scene: Scene, classes: int, *, who: str = "oracle") -> None:
    """Raise MiaSegError for an answer that is no posterior [K, H, W] of the scene. who: what gave it."""
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
    least = posterior_KHW.amin()
    furthest = (posterior_KHW.sum(0) - 1).abs().amax()
    if not torch.isfinite(furthest):
        return "holds values that are not finite"
    if least < 0:
        return f"holds a value below 0 ({least.item():.3g})"
    if furthest > TOLERANCE:
        return f"adds up to 1 only within {furthest.item():.3g} at some pixel"
    return None
