"""The utility of a segmenter: PixAcc, ClsAcc, mIoU and fwIoU from confusion counts, with bootstrap intervals.

Axes: H, W pixels; K classes; N scenes; U groups (scenes, or groups of scenes, resampled together); R rounds.
"""

from collections.abc import Hashable, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from mia_seg.data import IGNORE
from mia_seg.errors import MiaSegError

Integers = npt.NDArray[np.integer[Any]]
Counts = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


def confusion(labels_HW: Integers, prediction_HW: Integers, classes: int) -> Counts:
    """Counts of pixels, int64 [K, K]: rows are labels, columns predictions. Pixels labelled IGNORE (255) are left out.

    labels_HW, prediction_HW: class ids 0 to classes - 1, of any integer dtype. Raises MiaSegError for unlike shapes and
    for an id outside this range. Predictions are checked on ignored pixels too, because a model cannot answer "ignore".
    """
    if labels_HW.shape != prediction_HW.shape:
        raise MiaSegError(
            f"Labels are {labels_HW.shape} and the prediction is {prediction_HW.shape}; sizes must match."
        )
    valid = labels_HW != IGNORE
    labels, prediction = labels_HW[valid], prediction_HW[valid]
    _refuse_outside(labels, classes, "Label")
    _refuse_outside(prediction_HW, classes, "Prediction")
    # int64 first: 18 * 19 does not fit the uint8 that labels come in.
    cells = labels.astype(np.int64) * classes + prediction.astype(np.int64)
    return np.bincount(cells, minlength=classes**2).reshape(classes, classes)


def utility(confusion_KK: Integers) -> dict[str, float]:
    """PixAcc, ClsAcc, mIoU and fwIoU as fractions in [0, 1], from the confusion counts of all scenes (rows = labels).

    With n_ij pixels of class i predicted as j and t_i = sum_j n_ij (Long et al., CVPR 2015, section 5):
    pix_acc = sum_i n_ii / sum_i t_i; cls_acc = mean_i n_ii / t_i; IoU_i = n_ii / (t_i + sum_j n_ji - n_ii);
    miou = mean_i IoU_i; fwiou = sum_i t_i IoU_i / sum_i t_i.

    A class in neither labels nor predictions is left out of every mean. A class that is predicted but never labelled
    has IoU 0 and counts in miou. It has no accuracy, so cls_acc leaves it out, and its weight in fwiou is 0.
    Raises MiaSegError if no pixel is labelled.
    """
    if not confusion_KK.any():
        raise MiaSegError("No pixel is labelled, so mIoU and accuracy cannot be measured. Check the label files.")
    return {name: float(value) for name, value in utilities(confusion_KK.astype(np.float64)).items()}


def utility_interval(
    confusion_NKK: Integers, groups: Iterable[Hashable] | None = None, seed: int = 0, *, rounds: int = 1000
) -> dict[str, tuple[float, float]]:
    """95% intervals of every metric of `utility`, as name -> (low, high), by a percentile bootstrap over groups.

    The bootstrap is that of Efron & Tibshirani 1993, chapter 13. confusion_NKK: the confusion counts of each scene.
    groups: one key a scene; scenes with the same key (a drive, a city) are drawn together, and None makes each scene
    its own group. Groups without a labelled pixel are left out. With a single group the interval is (0, 1). Below about
    thirty groups intervals tend to be too narrow. Raises MiaSegError if no pixel is labelled or the numbers of keys and
    scenes differ.
    """
    sums_UKK = _by_group(confusion_NKK, groups)
    sums_UKK = sums_UKK[sums_UKK.any(axis=(1, 2))]
    names, count = utility(sums_UKK.sum(0)), len(sums_UKK)
    if count == 1:
        return dict.fromkeys(names, (0.0, 1.0))
    samples = utilities(np.tensordot(_draws(count, seed, rounds), sums_UKK, axes=1))
    bounds = {name: np.quantile(values_R, (0.025, 0.975)) for name, values_R in samples.items()}
    return {name: (float(low), float(high)) for name, (low, high) in bounds.items()}


def utility_above(
    confusion_NKK: Integers, others_NKK: Integers, groups: Iterable[Hashable] | None = None, *, seed: int = 0,
    rounds: int = 1000,
) -> dict[str, tuple[float, float, float]]:  # fmt: skip
    """Every metric of `utility` of the first minus the second's, on the same scenes, as name -> (value, low, high).

    confusion_NKK, others_NKK: confusion counts of the same labels. groups, the bootstrap and errors are as in
    `utility_interval`; each round draws the same groups for both. With a single group the interval is (-1, 1).
    """
    keys = None if groups is None else list(groups)
    both = [_by_group(counts, keys) for counts in (confusion_NKK, others_NKK)]
    has_U = both[0].any(axis=(1, 2))
    first_UKK, second_UKK = (sums_UKK[has_U] for sums_UKK in both)
    pairs = zip(utility(first_UKK.sum(0)).items(), utility(second_UKK.sum(0)).values(), strict=True)
    values = {name: mine - theirs for (name, mine), theirs in pairs}
    if len(first_UKK) == 1:
        return {name: (value, -1.0, 1.0) for name, value in values.items()}
    draws_RU = _draws(len(first_UKK), seed, rounds)
    ours, theirs = (utilities(np.tensordot(draws_RU, sums_UKK, axes=1)) for sums_UKK in (first_UKK, second_UKK))
    bounds = {name: np.quantile(ours[name] - theirs[name], (0.025, 0.975)) for name in values}
    return {name: (value, float(bounds[name][0]), float(bounds[name][1])) for name, value in values.items()}


def _draws(count: int, seed: int, rounds: int) -> Floats:
    """How often each of `count` groups is drawn [rounds, count]. BLAS sums float64, and exactly below 2^53 pixels."""
    draws_RU = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=rounds)
    return draws_RU.astype(np.float64)


def _refuse_outside(ids: Integers, classes: int, what: str) -> None:
    outside = ids[(ids < 0) | (ids >= classes)]
    if outside.size:
        raise MiaSegError(f"{what} {outside[0]} is outside the {classes} classes (0 to {classes - 1}).")


def utilities(confusion_KK: Floats) -> dict[str, Floats]:
    """The metrics of `utility` of counts [..., K, K], each [...]."""
    hits = np.diagonal(confusion_KK, axis1=-2, axis2=-1)
    labelled, predicted = confusion_KK.sum(-1), confusion_KK.sum(-2)
    union, total = labelled + predicted - hits, labelled.sum(-1)
    # The numerator of a class without pixels is 0 too: dividing by 1 leaves the class out of the sums without a NaN.
    accuracy, iou = hits / np.maximum(labelled, 1), hits / np.maximum(union, 1)
    return {
        "pix_acc": hits.sum(-1) / total,
        "cls_acc": accuracy.sum(-1) / (labelled > 0).sum(-1),
        "miou": iou.sum(-1) / (union > 0).sum(-1),
        "fwiou": (labelled * iou).sum(-1) / total,
    }


def _by_group(confusion_NKK: Integers, groups: Iterable[Hashable] | None) -> Floats:
    keys = range(len(confusion_NKK)) if groups is None else list(groups)
    if len(keys) != len(confusion_NKK):
        raise MiaSegError(f"There are {len(confusion_NKK)} scenes but {len(keys)} groups; each scene needs one.")
    rows = {key: row for row, key in enumerate(dict.fromkeys(keys))}
    sums_UKK = np.zeros((len(rows), *confusion_NKK.shape[1:]))
    np.add.at(sums_UKK, [rows[key] for key in keys], confusion_NKK)
    return sums_UKK
