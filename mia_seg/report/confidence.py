"""Confidences on members and on non-members behind each defense: histograms of the largest posterior (thesis 7.7)."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from mia_seg.report.cells import Row, by_strength, defense_name
from mia_seg.report.histograms import SIDES, Panel, histogram_figure

READING = (
    "The model's confidence, which is the largest posterior of a cell (right), and the share of cells that have it "
    "(up). “Similarity” is the area that the histograms of members and of non-members share, from 0 to 1 for equal "
    "ones. The closer to 1, the less an attacker learns from confidence. The attacker may still learn from whether "
    "the model is right: argmax answers 1 everywhere, but leaks through its labels. Every panel has its own scale."
)


@dataclass(frozen=True)
class Histograms:
    """Counts of cells by confidence [S, 2, B]: S seeds, members before non-members, B equal bins of [0, 1]."""

    defense: str
    seeds: list[int]
    counts_S2B: np.ndarray

    @property
    def shares_S2B(self) -> np.ndarray:
        """The share of each side's cells in each bin."""
        return np.asarray(self.counts_S2B / self.counts_S2B.sum(2, keepdims=True))

    @property
    def similarities_S(self) -> np.ndarray:
        """The similarity of both sides for each seed [S]."""
        return similarity(self.shares_S2B[:, 0], self.shares_S2B[:, 1])

    def __str__(self) -> str:
        mean, low, high = (f"{end(self.similarities_S):.2f}" for end in (np.mean, np.min, np.max))
        return mean if len(self.seeds) == 1 else f"{mean} ({low}–{high})"


def similarity(one_B: np.ndarray, other_B: np.ndarray) -> np.ndarray:
    """The intersection of two normalised histograms over their last axis: 0 = disjoint, 1 = equal.

    Swain & Ballard, "Color Indexing", IJCV 7(1), 1991: the sum of minima. They divide it by the sum of one histogram,
    which is 1 here.
    """
    return np.asarray(np.minimum(one_B, other_B).sum(-1))


def histograms(rows: Iterable[Row]) -> list[Histograms]:
    """The histograms of each defense from the rows of one victim. Each seed counts once; old rows have none."""
    kept: dict[str, dict[int, list[list[int]]]] = {}
    for row in rows:
        if row["confidence"]:
            counts = [row["confidence"][side] for side in SIDES]
            kept.setdefault(row["defense"], {}).setdefault(row["seed"], counts)
    return [Histograms(name, sorted(kept[name]), _stack(kept[name])) for name in sorted(kept, key=by_strength)]


def confidence_figure(found: list[Histograms]) -> Figure:
    """A panel for each defense, with the mean histograms of members and of non-members over seeds."""
    return histogram_figure([_panel(one) for one in found], "Largest posterior of a cell", "Cells, %")


def note(found: list[Histograms], rows: Iterable[Row]) -> str:
    """The note below the figure: its seeds and defenses, and the defenses whose results are too old to be in it."""
    shown = [one.defense for one in found]
    missing = sorted({row["defense"] for row in rows} - set(shown), key=by_strength)
    seeds = sorted({seed for one in found for seed in one.seeds})
    several = f"Means over seeds {_list(map(str, seeds))}; in parentheses the lowest and the highest seed."
    parts = [f"Seed {seeds[0]}." if len(seeds) == 1 else several]
    parts += [f"Shown: {_list(map(defense_name, shown))}."]
    parts += [f"Measured before histograms were kept: {_list(map(defense_name, missing))}."] if missing else []
    return " ".join(parts)


def _stack(by_seed: dict[int, list[list[int]]]) -> np.ndarray:
    return np.array([by_seed[seed] for seed in sorted(by_seed)])


def _panel(one: Histograms) -> Panel:
    shares_2B = one.shares_S2B.mean(0)
    edges = np.linspace(0, 1, shares_2B.shape[1] + 1)
    return Panel(defense_name(one.defense), f"similarity\n{one}", shares_2B, edges)


def _list(names: Iterable[str]) -> str:
    return ", ".join(names)
