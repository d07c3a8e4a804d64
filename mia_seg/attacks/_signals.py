"""Numbers that attacks compute from a scene's statistics: its loss in several forms, its logit confidence, its mIoU."""

from typing import Literal

import numpy as np

from mia_seg.query.answers import CUTS, PARTS, TRIMS, Answers, Statistics

LossForm = Literal["mean", "balanced", "boundary", "interior", "trimmed"]
FORMS = (
    "mean over labelled pixels; balanced: over classes, each by its own mean; boundary: the band beside label edges; "
    "interior: what is not in it; trimmed: the quarter of the pixels with the largest losses"
)


def loss(statistics: Statistics, form: LossForm) -> np.ndarray:
    """Each scene's loss in one of its forms: [N]. A scene without a pixel in the band (or outside) gets its mean."""
    mean_N = statistics.mean_loss()
    if form == "mean":
        return mean_N
    if form == "trimmed":
        return statistics.trimmed_loss_NT[:, TRIMS.index(0.25)]
    if form == "balanced":
        there_NK = statistics.pixels_NK > 0
        by_class_NK = statistics.loss_NK / np.maximum(statistics.pixels_NK, 1)
        return by_class_NK.sum(1) / np.maximum(there_NK.sum(1), 1)
    return means(statistics.part_loss_NG, statistics.part_pixels_NG, mean_N)[:, PARTS.index(form)]


def part_losses(answers: Answers) -> dict[tuple[str, int | str], np.ndarray]:
    """Mean loss of each part of a scene: [N] by cut and part (as in `Scores`), NaN where a scene has no pixel of it."""
    kept, nothing_N = answers.statistics, np.full(len(answers.statistics), np.nan)
    parts = [("class", k) for k in answers.kept] + [(cut, name) for cut, names in CUTS.items() for name in names]
    by_class_NK = means(kept.loss_NK, kept.pixels_NK, nothing_N)
    by_group_NG = means(kept.part_loss_NG, kept.part_pixels_NG, nothing_N)
    return dict(zip(parts, np.hstack([by_class_NK, by_group_NG]).T, strict=True))


def phi_vector(statistics: Statistics) -> np.ndarray:
    """Mean logit confidence of each class, of the boundary band and of the interior: [N, K + 2]."""
    mean_N = statistics.mean_phi()
    by_class = means(statistics.phi_NK, statistics.pixels_NK, mean_N)
    return np.hstack([by_class, means(statistics.part_phi_NG, statistics.part_pixels_NG, mean_N)[:, :2]])


def means(sums_NG: np.ndarray, pixels_NG: np.ndarray, otherwise_N: np.ndarray) -> np.ndarray:
    """Means by group of pixels [N, G]; `otherwise_N`, mostly the scene's own mean, where a scene has no pixel of it."""
    return np.where(pixels_NG > 0, sums_NG / np.maximum(pixels_NG, 1), otherwise_N[:, None])


def accuracy(statistics: Statistics) -> np.ndarray:
    """Share of labelled pixels that are predicted rightly: [N], 0 where nothing is labelled."""
    return np.trace(statistics.confusion_NKK, axis1=1, axis2=2) / np.maximum(statistics.pixels_NK.sum(1), 1)


def miou(statistics: Statistics) -> np.ndarray:
    """Mean IoU of each scene by itself, over classes in its labels or predictions: [N], 0 where there are none."""
    confusion_NKK = statistics.confusion_NKK
    hits_NK = np.diagonal(confusion_NKK, axis1=1, axis2=2)
    union_NK = confusion_NKK.sum(1) + confusion_NKK.sum(2) - hits_NK
    return (hits_NK / np.maximum(union_NK, 1)).sum(1) / np.maximum((union_NK > 0).sum(1), 1)
