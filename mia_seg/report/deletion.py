"""A test of an attacker's map of evidence: the cells that it ranks highest are deleted first (thesis figure 7.9).

The deletion metric of Petsiuk, Das & Saenko (BMVC 2018), compared with deletion in another order as in Samek et al.
(IEEE TNNLS 2017, 28:2660). Axes: N scenes, O orders of deletion as in `ORDERS`, S shares of the cells as in `SHARES`.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from mia_seg.metrics.intervals import mean_interval
from mia_seg.report.cells import Estimate
from mia_seg.report.changes import signed
from mia_seg.report.style import GREY, figure

VERSION = 1
SHARES = (0.0, 0.05, 0.1, 0.25, 0.5, 1.0)
ORDERS = {"highest first": "#b2182b", "lowest first": "#2166ac", "at random": GREY}
READING = (
    "Does the attacker's map show what its score depends on? One random patch of each scene is taken, with the map of "
    "that patch. A share of its cells is deleted (right): they get a uniform posterior and no label. Lines show the "
    "change of the patch's score (up), as the mean over scenes with its 95% interval. Cells are deleted in the map's "
    "order, or at random. “At random” is the order of the same map after it was moved, so that deleted pieces have the "
    "same size. The gap is how far “highest first” lies below “at random”, averaged over shares and paired by scene."
)
# An attacker's score of one patch without the cells of each mask: masks bool [M, h, w] -> scores [M].
Score = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class DeletionInput:
    """The input of the figure of deletion.

    changes_NOS: changes of the score by deletion, in log-odds. groups: the group of each scene. note: the attacker and
    scenes.
    """

    changes_NOS: np.ndarray
    groups: list[str]
    note: str = ""

    @property
    def lines(self) -> list[list[Estimate]]:
        """The mean change with its interval, by order and share."""
        return [[self._mean(values_N) for values_N in values_NS.T] for values_NS in self.changes_NOS.swapaxes(0, 1)]

    @property
    def gap(self) -> Estimate:
        """The line “at random” minus the line “highest first”, averaged over shares and paired by scene."""
        highest_NS, _, random_NS = self.changes_NOS.swapaxes(0, 1)
        return self._mean(np.trapezoid(random_NS - highest_NS, SHARES))

    def _mean(self, values_N: np.ndarray) -> Estimate:
        slots_N = np.unique(self.groups, return_inverse=True)[1]
        return Estimate(float(values_N.mean()), *mean_interval(values_N, slots_N))


def changes(score: Score, map_HW: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """The changes of an attacker's score after deletion of each share of the cells, in each order: [O, S], log-odds.

    score: the attacker's scores [M] without the cells of masks [M, h, w]. Of equal cells those at the top left count as
    higher. “At random” is the order of the map after it was moved round by an offset from `draw`.
    """
    offset = tuple(int(draw.integers(size)) for size in map_HW.shape)
    highest, random = (np.argsort(-one, None, "stable") for one in (map_HW, np.roll(map_HW, offset, (0, 1))))
    masks = [_mask(highest, share, map_HW.shape) for share in (0.0, 1.0)]
    masks += [_mask(o, share, map_HW.shape) for o in (highest, highest[::-1], random) for share in SHARES[1:-1]]
    scores_M = score(np.stack(masks))
    found = np.zeros((len(ORDERS), len(SHARES)))
    found[:, 1:-1] = scores_M[2:].reshape(len(ORDERS), -1) - scores_M[0]
    found[:, -1] = scores_M[1] - scores_M[0]
    return found


def deletion_figure(inputs: DeletionInput) -> Figure:
    """The figure of deletion, with a line for each order."""
    drawn, across = figure(4.6, 3.4), 100 * np.array(SHARES)
    ax = drawn.subplots()
    for line, (name, colour) in zip(inputs.lines, ORDERS.items(), strict=True):
        ax.plot(across, [one.value for one in line], color=colour, linewidth=1.5, marker=".", label=name)
        ax.fill_between(across, [one.low for one in line], [one.high for one in line], color=colour, alpha=0.15, lw=0)
    ax.axhline(0, color=GREY, linestyle=":", linewidth=1)
    ax.set_xlim(0, 100)
    ax.set_title(f"gap {signed(inputs.gap, digits=2)}", fontweight="bold")
    ax.set_xlabel(f"Cells deleted, %\n{inputs.note}".rstrip())
    ax.set_ylabel("Change of the score, log-odds")
    drawn.legend(loc="outside upper center", ncols=len(ORDERS))
    return drawn


def finding(inputs: DeletionInput) -> str:
    """The result of the test in one sentence."""
    says = "this does not show whether the map means anything"
    if inputs.gap.low > 0:
        says = "the map shows what the score depends on"
    elif inputs.gap.high < 0:
        says = "the map misleads"
    return (
        "If the cells that the map ranks highest are deleted first, the score is lower than after deletion at random "
        f"by {signed(inputs.gap, digits=2)} log-odds: {says}."
    )


def _mask(order: np.ndarray, share: float, shape: tuple[int, ...]) -> np.ndarray:
    """A mask of the first cells of an order, as many as a share of all: bool [h, w]."""
    gone = np.zeros(order.size, np.bool_)
    gone[order[: round(share * order.size)]] = True
    return gone.reshape(shape)
