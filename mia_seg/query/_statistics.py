"""Full-resolution statistics of an answer, and the parts of a scene that they are summed over."""

import numpy as np
from scipy import ndimage
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from mia_seg.data import IGNORE
from mia_seg.metrics.segmentation import confusion
from mia_seg.query import answers

# Posteriors are kept as float16, whose resolution near zero this floor respects.
FLOOR = 1e-6
BOUNDARY_RADIUS = 2
# An object is small below a thousandth of the image and large from a hundredth on.
SIZES = (1e-3, 1e-2)
CELLS = 2 * 3 * 9


def statistics(posterior_KHW: np.ndarray, labels_HW: np.ndarray) -> dict[str, np.ndarray]:
    """One scene's row of `Statistics`."""
    classes = posterior_KHW.shape[0]
    labelled = labels_HW != IGNORE
    label_of = labels_HW[labelled].astype(np.intp)
    index_HW = np.where(labelled, labels_HW, 0).astype(np.intp)
    p = np.take_along_axis(posterior_KHW, index_HW[None], 0)[0][labelled].clip(FLOOR, 1 - FLOOR).astype(np.float64)
    loss, predicted_HW, object_HW = -np.log(p), posterior_KHW.argmax(0), components(labels_HW)
    right = predicted_HW[labelled] == label_of
    # One histogram over class, band, size and region counts each pixel once; every group is a margin of it.
    cells = label_of * CELLS + _place(labels_HW, object_HW)[labelled]
    values = {"pixels": None, "loss": loss, "phi": np.log(p) - np.log1p(-p), "correct": right}
    sums = {k: np.bincount(cells, v, classes * CELLS).reshape(classes, 2, 3, 9) for k, v in values.items()}
    counts = {k: sums[k].astype(np.int64) for k in ("pixels", "correct")}
    by_class = {f"{k}_NK": v.sum((1, 2, 3)) for k, v in (sums | counts).items() if k != "correct"}
    by_group = {f"part_{k}_NG": _margins(v.sum(0)) for k, v in (sums | counts).items()}
    return by_class | by_group | {
        "confusion_NKK": confusion(labels_HW, predicted_HW, classes),
        "trimmed_loss_NT": _trimmed(loss),
        "objects_N": np.asarray(np.count_nonzero(np.bincount(object_HW[labelled]))),
        "confidence_N": np.take_along_axis(posterior_KHW, predicted_HW[None], 0).mean(dtype=np.float64),
    }  # fmt: skip


def components(labels_HW: np.ndarray) -> np.ndarray:
    """Which object a pixel belongs to: int [H, W], from 0; neighbours in a row or column with one label are one.

    Runs of a row are joined with those below them, so that the cost follows the number of runs and not of pixels.
    """
    starts = np.ones(labels_HW.shape, bool)
    starts[:, 1:] = labels_HW[:, 1:] != labels_HW[:, :-1]
    run_HW = starts.ravel().cumsum().reshape(labels_HW.shape) - 1
    count = int(run_HW[-1, -1]) + 1
    # A pair of runs touches from the column where the later of the two begins.
    touch = (labels_HW[1:] == labels_HW[:-1]) & (starts[1:] | starts[:-1])
    above, below = run_HW[:-1][touch], run_HW[1:][touch]
    graph = coo_matrix((np.ones(len(above), bool), (above, below)), (count, count))
    return connected_components(graph, directed=False)[1][run_HW]


def boundary_band(labels_HW: np.ndarray) -> np.ndarray:
    """Pixels within two pixels (square neighbourhood) of another label: bool [H, W]."""
    width = 2 * BOUNDARY_RADIUS + 1
    return ndimage.maximum_filter(labels_HW, width) != ndimage.minimum_filter(labels_HW, width)


def _place(labels_HW: np.ndarray, object_HW: np.ndarray) -> np.ndarray:
    """Each pixel's cell in 2 (band, interior) x 3 (size of its object) x 9 (region of the image)."""
    share = np.bincount(object_HW.ravel()) / labels_HW.size
    size_HW = np.searchsorted(SIZES, share, side="right")[object_HW]
    row, column = (3 * np.arange(side) // side for side in labels_HW.shape)
    return (np.where(boundary_band(labels_HW), 0, 3) + size_HW) * 9 + 3 * row[:, None] + column


def _margins(sums_BSR: np.ndarray) -> np.ndarray:
    """The groups in the order of `answers.PARTS`."""
    return np.concatenate([sums_BSR.sum((1, 2)), sums_BSR.sum((0, 2)), sums_BSR.sum((0, 1))])


def _trimmed(loss_P: np.ndarray) -> np.ndarray:
    """Mean of the largest losses [T], for each share at least one pixel; 0 where nothing is labelled."""
    found, count = dict.fromkeys(answers.TRIMS, 0.0), len(loss_P)
    # The smaller share lies within the larger, which is sought first.
    for share in sorted(answers.TRIMS, reverse=True) if count else ():
        kept = max(1, round(share * count))
        loss_P = np.partition(loss_P, -kept)[-kept:]
        found[share] = float(loss_P.mean())
    return np.array(list(found.values()))
