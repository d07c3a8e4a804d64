"""A codebook of label patches, learnt by k-means: what stands in for a trained autoencoder of label maps."""

from collections import Counter
from collections.abc import Iterable

import numpy as np
import torch
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits
from torch import Tensor

from mia_seg.data import IGNORE
from mia_seg.errors import MiaSegError

MOST = 50_000  # distinct patches that k-means looks at: the most frequent ones of more


def learn_codes(labels: Iterable[Tensor], codes: int, *, classes: int, cell: int) -> Tensor:
    """Cluster the cells of label maps: float32 [codes, classes, cell, cell], a distribution over classes a pixel.

    labels: int64 [H, W] each; cells with an ignored pixel teach nothing. Raises MiaSegError where no cell is labelled
    whole.
    """
    seen: Counter[bytes] = Counter()
    for labels_HW in labels:
        seen.update(_patches(labels_HW, cell))
    if not seen:
        raise MiaSegError(
            f"[segmenter] cell = {cell}: no {cell} x {cell} cell of the label maps is completely labelled, and a "
            f"codebook is learnt from such cells. Lower cell, or take another segmenter."
        )
    common = sorted(seen.items(), key=lambda one: (-one[1], one[0]))[:MOST]
    patch_PU = np.frombuffer(b"".join(patch for patch, _ in common), np.uint8).reshape(len(common), cell**2)
    onehot_PKU = (patch_PU[:, None] == np.arange(classes, dtype=np.uint8)[:, None]).astype(np.float32)
    code_VX = _centres(onehot_PKU.reshape(len(common), -1), np.array([times for _, times in common]), codes)
    code_VKss = torch.from_numpy(code_VX).view(codes, classes, cell, cell).clamp(min=0)  # k-means rounds below 0
    return code_VKss / code_VKss.sum(1, keepdim=True)


def uniform_codes(codes: int, *, classes: int, cell: int) -> Tensor:
    """What a codebook begins with: patches of one class each, over and over."""
    return torch.eye(classes)[torch.arange(codes) % classes, :, None, None].repeat(1, 1, cell, cell)


def _patches(labels_HW: Tensor, cell: int) -> Counter[bytes]:
    """How often each fully labelled patch occurs, by its uint8 bytes in reading order."""
    height, width = (side // cell * cell for side in labels_HW.shape)
    tiles = labels_HW[:height, :width].unfold(0, cell, cell).unfold(1, cell, cell).reshape(-1, cell**2)
    whole, times = np.unique(tiles[(tiles != IGNORE).all(1)].to(torch.uint8).numpy(), axis=0, return_counts=True)
    return Counter({patch.tobytes(): int(count) for patch, count in zip(whole, times, strict=True)})


def _centres(patch_PX: np.ndarray, weight_P: np.ndarray, codes: int) -> np.ndarray:
    """Centres [codes, X]; of fewer patches than codes each is one, over and over."""
    if len(patch_PX) <= codes:
        return patch_PX[np.arange(codes) % len(patch_PX)]
    # One thread: of several, the order in which they add decides the last bits.
    with threadpool_limits(1):
        return KMeans(codes, n_init=1, random_state=0).fit(patch_PX, sample_weight=weight_P).cluster_centers_
