"""Compares fleets at equal mIoU: does a training leak less than plain training that segments other scenes as well?

Training that stops earlier leaks less and segments worse. So plain fleets of several lengths give the AUC of the
strongest attack at some mIoU on others, and straight lines between them at every mIoU in between. What another training
is worth is how far it lies below these lines. Axes as in `strongest`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mia_seg.metrics.equal_gap import check_halves, ends, on_lines
from mia_seg.metrics.intervals import Floats
from mia_seg.metrics.strongest import Choice, jackknife


@dataclass(frozen=True)
class Worth:
    """The AUC of the strongest attack on a fleet minus that on plain training with the same mIoU on others.

    plain: the AUC of plain training there. value: the difference. low, high: its 95% interval; None below three pairs,
    and if nothing varies.
    """

    plain: float
    value: float
    low: float | None
    high: float | None


def worth(fleet: Choice, curve: Sequence[Choice]) -> Worth | None:
    """What a training is worth beside plain training. fleet: the attacks on it. curve: those on plain fleets.

    None if no two plain fleets have mIoUs on both sides of the fleet's: there is nothing to compare it with. Each
    bootstrap round draws the same units for all fleets, and chooses the strongest attack on each anew. So does the
    jackknife, which leaves the same pair out of all. The two variances are added, as in `equal_gap.above`. Raises
    MiaSegError if halves differ.
    """
    fleets = [fleet, *curve]
    check_halves([one.first for one in fleets])
    mious = np.array([one.first.miou_SM[1].mean() for one in fleets])
    if not mious[1:].size or not mious[1:].min() <= mious[0] <= mious[1:].max() or len(curve) < 2:
        return None
    values, first = np.array([one.value for one in fleets]), fleet.first
    plain = float(on_lines(mious[0], mious[1:], values[1:]))
    value = float(values[0]) - plain
    drawn_FB = [np.stack([one.first.drawn_miou_SB[1], one.drawn_B]) for one in fleets]
    without_FP = [np.stack([_mious_without(one), one.without_P]) for one in fleets]
    variances = float(np.var(_below(drawn_FB), ddof=1)), jackknife(_below(without_FP))
    return Worth(plain, value, *ends(value, variances, (first.units, first.pairs)))


def _mious_without(fleet: Choice) -> Floats:
    """The mIoU on others without each pair; empty where no AUC is known without one."""
    others_M = fleet.first.miou_SM[1].reshape(-1, 2)
    return np.array([np.delete(others_M, pair, 0).mean() for pair in range(len(fleet.without_P))], np.float64)


def _below(points: Sequence[Floats]) -> Floats:
    """The difference of the first fleet from the lines, estimated again and again. points: mIoU and AUC of each."""
    (miou, auc), *others = points
    lines = zip(miou, auc, *(np.stack(side, 1) for side in zip(*others, strict=True)), strict=True)
    return np.array([one - on_lines(x, xs_P, ys_P) for x, one, xs_P, ys_P in lines], np.float64)
