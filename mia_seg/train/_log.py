"""What a training logs while it runs."""

import resource
import sys
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor

from mia_seg.data import IGNORE


def note(row: dict[str, Any]) -> str:
    """How an epoch went, for the bar."""
    learnt = "no labelled pixel" if row["miou"] is None else f"loss {row['loss']:.3f}  mIoU {row['miou']:.3f}"
    return f"{learnt}  {row['scenes_per_second']:.3g} scenes/s"


def confused(logits_NKHW: Tensor, labels_NHW: Tensor) -> Tensor:
    """Counts [K, K] (label, prediction) of a batch: the running training mIoU, which costs nothing extra to see."""
    classes, known = logits_NKHW.shape[1], labels_NHW != IGNORE
    pairs = labels_NHW[known] * classes + logits_NKHW.argmax(1)[known]
    return torch.bincount(pairs, minlength=classes**2).view(classes, classes)


def memory(fabric: Fabric) -> int:
    """Peak MiB so far: the device's tensors on CUDA, else this process."""
    if fabric.device.type == "cuda":
        return torch.cuda.max_memory_allocated(fabric.device) >> 20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS, KiB elsewhere
    return peak >> (20 if sys.platform == "darwin" else 10)
