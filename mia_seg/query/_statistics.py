"""Full-resolution statistics of an answer: sums over the cells into which the labels divide a scene."""

import numpy as np

from mia_seg.data import IGNORE
from mia_seg.oracles.pixels import at_labels, largest, parts
from mia_seg.query import answers
from mia_seg.query._layout import CELLS, CUT, LABELS, STRETCH, Layout

# Posteriors are kept as float16, whose resolution near zero this floor respects.
FLOOR = 1e-6


def statistics(posterior_KHW: np.ndarray, layout: Layout) -> dict[str, np.ndarray]:
    """One scene's row of `Statistics`. posterior_KHW: float32, of the scene that the layout is of."""
    posterior_KHW, labels_HW, classes = np.ascontiguousarray(posterior_KHW), layout.labels_HW, len(posterior_KHW)
    p_HW, best_HW = (np.empty(labels_HW.shape, np.float32) for _ in range(2))
    sums_C, confusion_KK = np.empty((3, len(layout.cell_C))), np.zeros((classes, classes), np.int64)
    for rows in parts(labels_HW.shape):
        labels = labels_HW[rows]
        p_HW[rows] = at_labels(posterior_KHW, labels_HW, rows).clip(FLOOR, 1 - FLOOR)
        best_HW[rows], predicted = largest(posterior_KHW[:, rows])
        confusion_KK += _confusion(labels, predicted, classes)
        _sum(sums_C, layout, rows, p=p_HW[rows].ravel(), right=(predicted == labels).ravel())
    return _groups(layout, sums_C, classes) | {
        "confusion_NKK": confusion_KK,
        "trimmed_loss_NT": _trimmed(p_HW[labels_HW != IGNORE]),
        "objects_N": np.asarray(layout.objects),
        "confidence_N": best_HW.mean(dtype=np.float64),
    }


def _sum(sums_C: np.ndarray, layout: Layout, rows: slice, *, p: np.ndarray, right: np.ndarray) -> None:
    """Write the loss, logit confidence and right predictions of each stretch of some rows into `sums_C` [3, C]."""
    start, stop = np.searchsorted(layout.first_C, np.array([rows.start, rows.stop]) * layout.labels_HW.shape[1])
    first_C, p64 = layout.first_C[start:stop] - layout.first_C[start], p.astype(np.float64)
    sums_C[0, start:stop] = -_log_of_products(p64, first_C)
    sums_C[1, start:stop] = _log_of_products(p64 / (1 - p64), first_C)
    sums_C[2, start:stop] = np.add.reduceat(right.view(np.uint8), first_C, dtype=np.uint8)  # of at most `STRETCH`


def _log_of_products(values_P: np.ndarray, first_C: np.ndarray) -> np.ndarray:
    """The sum of the logarithms of each stretch, as the one logarithm of its product: of all here they cost the most.

    Posteriors and odds lie between 1e-6 and 1e6: a product of 32 of them is far from the ends of float64.
    """
    return np.asarray(np.log(np.multiply.reduceat(values_P, first_C)))


def _confusion(labels: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Counts of (label, prediction): [K, K]. What is ignored has a row of its own, which is dropped."""
    pairs = np.minimum(labels, classes).astype(np.intp)
    pairs *= classes
    pairs += predicted
    return np.bincount(pairs.ravel(), minlength=(classes + 1) * classes).reshape(-1, classes)[:-1]


def _groups(layout: Layout, sums_C: np.ndarray, classes: int) -> dict[str, np.ndarray]:
    """The cells' pixels and sums by class and by group of pixels, which are margins of them."""
    cells = (np.bincount(layout.cell_C, sum_C, LABELS * CELLS).reshape(LABELS, *CUT) for sum_C in sums_C)
    loss, phi, correct = (cell[:classes] for cell in cells)
    of_cells = {"pixels": layout.pixels[:classes], "loss": loss, "phi": phi}
    by_class = {f"{k}_NK": v.sum((1, 2, 3)) for k, v in of_cells.items()}
    of_cells["correct"] = correct.astype(np.int64)
    return by_class | {f"part_{k}_NG": _margins(v.sum(0)) for k, v in of_cells.items()}


def _margins(sums_BSR: np.ndarray) -> np.ndarray:
    """The groups in the order of `answers.PARTS`."""
    return np.concatenate([sums_BSR.sum((1, 2)), sums_BSR.sum((0, 2)), sums_BSR.sum((0, 1))])


def _trimmed(p_P: np.ndarray) -> np.ndarray:
    """Mean of the largest losses [T], for each share at least one pixel; 0 where nothing is labelled."""
    found, count = dict.fromkeys(answers.TRIMS, 0.0), len(p_P)
    # The smaller share lies within the larger, which is sought first.
    for share in sorted(answers.TRIMS, reverse=True) if count else ():
        kept = max(1, round(share * count))
        p_P = np.partition(p_P, kept - 1)[:kept]
        found[share] = -_log_of_products(p_P.astype(np.float64), np.arange(0, kept, STRETCH)).sum() / kept
    return np.array(list(found.values()))
