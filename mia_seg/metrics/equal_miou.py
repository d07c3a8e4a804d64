"""Compares fleets at equal mIoU: does a training leak less than plain training that segments other scenes as well?

Training that stops earlier leaks less and segments worse. So plain fleets of several lengths give the AUC of the
strongest attack at some mIoU on others, and straight lines between them at every mIoU in between. What another training
is worth is how far it lies below these lines. Axes as in `strongest`.
"""

from collections.abc import Sequence

import numpy as np

from mia_seg.metrics.equal_gap import Above, Placed, check_halves, distance
from mia_seg.metrics.membership import CHANCE
from mia_seg.metrics.strongest import Choice


def worth(fleet: Choice, curve: Sequence[Choice]) -> Above | None:
    """The AUC of the strongest attack on a fleet minus that on plain training with the same mIoU on others.

    fleet: the attacks on it. curve: those on plain fleets. None if no two plain fleets have mIoUs on both sides of the
    fleet's, where there is nothing to compare it with, and with one pair of models. Each bootstrap round draws the same
    units for all fleets, and chooses the strongest attack on each anew. So does the jackknife, which leaves the same
    pair out of all. Raises MiaSegError if halves differ.
    """
    fleets = [fleet, *curve]
    check_halves([one.first for one in fleets])
    first, *mious = (one.first.miou_SM[1].mean() for one in fleets)
    if fleet.first.pairs < 2 or not between(first, mious):
        return None
    return distance([_placed(one) for one in fleets], (fleet.first.units, fleet.first.pairs))


def between(miou: float, plain: Sequence[float]) -> bool:
    """Whether an mIoU lies between those of two plain fleets."""
    return len(plain) > 1 and min(plain) <= miou <= max(plain)


def _placed(fleet: Choice) -> Placed:
    others_M = fleet.first.miou_SM[1]
    without_P = [np.delete(others_M.reshape(-1, 2), pair, 0).mean() for pair in range(len(fleet.without_P))]
    return Placed(
        np.array([others_M.mean(), fleet.value]),
        np.stack([fleet.first.drawn_miou_SB[1], fleet.drawn_B]),
        np.stack([np.array(without_P, np.float64), fleet.without_P]),
    )


def better(one: tuple[float, float], other: tuple[float, float]) -> bool:
    """Whether an (AUC, mIoU) is as good as another in both, and better in one.

    An AUC is as good as it is close to 0.5: an attacker may reverse scores.
    """
    mine, theirs = ((-abs(auc - CHANCE), miou) for auc, miou in (one, other))
    return mine != theirs and mine[0] >= theirs[0] and mine[1] >= theirs[1]
