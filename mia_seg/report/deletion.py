"""A test of an attacker's map of evidence: the cells that it ranks highest are deleted (thesis figure 7.9).

The deletion metric of Petsiuk, Das & Saenko (BMVC 2018), held against deletion elsewhere as in Samek et al. (IEEE TNNLS
2017, 28:2660). Axes: N scenes, O orders of deletion as in `ORDERS`, S shares of the cells as in `SHARES`.
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
    "Does the attacker's map say what its score rests on? One random patch of each scene is taken, as the attack reads "
    "it, with the map of that patch. Cells are deleted (right: how many): they get a uniform posterior and no label. "
    "Lines show how the patch's score changes (up): the mean over scenes with its 95% interval. Cells go in the map's "
    "order, or at random: in the order of the same map, moved, so that pieces are as large. The gap is how far "
    "“highest first” lies below “at random”, on average over shares and paired by scene."
)
Score = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class DeletionSheet:
    """Changes of the score by deletion, log-odds [N, O, S]; groups of the N scenes; a note on attacker and scenes."""

    changes_NOS: np.ndarray
    groups: list[str]
    note: str = ""

    @property
    def lines(self) -> list[list[Estimate]]:
        """By order and share."""
        return [[self._mean(values_N) for values_N in values_NS.T] for values_NS in self.changes_NOS.swapaxes(0, 1)]

    @property
    def gap(self) -> Estimate:
        """The mean over shares of the line at random less that of the highest first; paired by scene."""
        highest_NS, _, random_NS = self.changes_NOS.swapaxes(0, 1)
        return self._mean(np.trapezoid(random_NS - highest_NS, SHARES))

    def _mean(self, values_N: np.ndarray) -> Estimate:
        slots_N = np.unique(self.groups, return_inverse=True)[1]
        return Estimate(float(values_N.mean()), *mean_interval(values_N, slots_N))


def changes(score: Score, map_HW: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """By how much an attacker's score changes as more and more cells go: [O, S].

    score: without the cells where masks [M, h, w] are True: [M]. Of equal cells those at the top left count as higher.
    At random is the map's own order after moving it round by an offset that is drawn.
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


def deletion_figure(sheet: DeletionSheet) -> Figure:
    """A line an order."""
    drawn, across = figure(4.6, 3.4), 100 * np.array(SHARES)
    ax = drawn.subplots()
    for line, (name, colour) in zip(sheet.lines, ORDERS.items(), strict=True):
        ax.plot(across, [one.value for one in line], color=colour, linewidth=1.5, marker=".", label=name)
        ax.fill_between(across, [one.low for one in line], [one.high for one in line], color=colour, alpha=0.15, lw=0)
    ax.axhline(0, color=GREY, linestyle=":", linewidth=1)
    ax.set_xlim(0, 100)
    ax.set_title(f"gap {signed(sheet.gap, digits=2)}", fontweight="bold")
    ax.set_xlabel(f"Cells deleted, %\n{sheet.note}".rstrip())
    ax.set_ylabel("Change of the score, log-odds")
    drawn.legend(loc="outside upper center", ncols=len(ORDERS))
    return drawn


def finding(sheet: DeletionSheet) -> str:
    """What deletion says of the map, in one sentence."""
    says = "whether the map means anything was not shown"
    if sheet.gap.low > 0:
        says = "the map shows what the score rests on"
    elif sheet.gap.high < 0:
        says = "the map misleads"
    return (
        f"Deleting first what the map ranks highest leaves the score below deletion at random by "
        f"{signed(sheet.gap, digits=2)} log-odds: {says}."
    )


def _mask(order: np.ndarray, share: float, shape: tuple[int, ...]) -> np.ndarray:
    """Which cells are gone when a share of them is."""
    gone = np.zeros(order.size, np.bool_)
    gone[order[: round(share * order.size)]] = True
    return gone.reshape(shape)
