"""What a fleet says of single scenes: each model plays the victim in turn, and a scene is in half of them.

Axes: M models in pairs (2j and 2j + 1: of every scene one was trained on it and the other was not); N scenes; U units,
the groups of scenes that are trained on together (a patient, a drive), a unit's score being the mean of its scenes'; R
shuffles.

What scores a victim learns from the other models, so scores of one scene by several victims depend on each other, and a
scene's AUC over victims strays from 0.5 where nothing leaks (downwards, where a victim's pair is left out). Everything
about scenes is therefore read against the same number after memberships were shuffled.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy.stats import false_discovery_control, rankdata

from mia_seg.errors import MiaSegError
from mia_seg.metrics._ranking import Booleans, area_under, called, rank
from mia_seg.metrics.intervals import TAIL, Floats, Integers
from mia_seg.progress import track

# Of the models of these numbers [m] the scores [m, N], each in turn the victim, if these were their members [m, N].
Estimate = Callable[[Integers, Booleans], Floats]
FDR = 0.05
ROUNDS = 999  # of shuffles: p-values are multiples of 1 / 1000
# With p pairs no p-value is below 2^-p: below five pairs not even a list of all scenes has an FDR of 5%.
LEAST_PAIRS = 5
BAND_PAIRS = 6  # likewise: below, no unit can stand above its band
SLACK = 1e-9  # two sums of the same numbers may differ in their last bits


@dataclass(frozen=True)
class Against:
    """A number beside the middle 95% of the same after shuffles, and the share of these that reach it (one-sided)."""

    value: float
    low: float
    high: float
    p: float


@dataclass(frozen=True, eq=False)
class PerScene:
    """auc_U over victims, and shuffled_RU after each shuffle; pooled and pooled_R: the AUC of all scores together."""

    auc_U: Floats
    shuffled_RU: Floats
    pooled: float
    pooled_R: Floats
    pairs: int

    @cached_property
    def band_U(self) -> tuple[Floats, Floats]:
        """The null band of each unit: the middle 95% of its AUCs after shuffles; beyond an end lie 2.5% at most."""
        return _band(self.shuffled_RU)

    @cached_property
    def p_U(self) -> Floats:
        """(1 + how many shuffles reach the AUC) / (1 + shuffles)."""
        reach_U = (self.shuffled_RU >= self.auc_U - SLACK).sum(0)
        return np.asarray((1 + reach_U) / (1 + len(self.shuffled_RU)))

    @property
    def above_U(self) -> Booleans:
        """Which units lie above their band: 2.5% at most of those without a trace do; none can below `BAND_PAIRS`."""
        return self.auc_U > self.band_U[1] + SLACK

    def exposed_U(self, fdr: float = FDR) -> Booleans | None:
        """Which units are exposed, false ones among them `fdr` on average at most (Benjamini & Hochberg, JRSS B 1995).

        None below five pairs, where no list could be so sure.
        """
        if self.pairs < LEAST_PAIRS:
            return None
        return np.asarray(false_discovery_control(self.p_U, method="bh") <= fdr)

    def fewest(self, fdr: float = FDR) -> int:
        """How many units must stand out at once, as far as any can, before one of them is exposed."""
        least = max(0.5**self.pairs, 1 / (1 + len(self.shuffled_RU)))
        return int(np.ceil(len(self.auc_U) * least / fdr - SLACK))

    def together(self, kept_U: Booleans | None = None) -> Against:
        """The mean AUC of some units, or the pooled AUC of all scores."""
        if kept_U is None:
            return _against(self.pooled, self.pooled_R)
        return _against(float(self.auc_U[kept_U].mean()), self.shuffled_RU[:, kept_U].mean(1))


def per_scene(
    estimate: Estimate,
    inside_MN: npt.ArrayLike,
    *,
    groups: Sequence[Hashable] | None = None,
    seed: int = 0,
    rounds: int = ROUNDS,
) -> PerScene:
    """Each unit's AUC over the M models in turn, and the same after shuffles; units in the order of `units`.

    inside_MN: who trained on what, bool. A shuffle swaps, for each unit and pair by a fair coin, which of the two
    models trained on it, and estimates all scores anew: a unit that left no trace in any model has an AUC that is a
    draw from those. Raises MiaSegError where models are no pairs, or a unit was divided.
    """
    inside_MN, units_N = divided(inside_MN, groups)
    models, rng = np.arange(len(inside_MN)), np.random.default_rng(seed)

    def areas(members_MN: Booleans) -> tuple[Floats, float]:
        scores_MN = estimate(models, members_MN)
        return _areas(_means(scores_MN, units_N), _means(members_MN, units_N) > 0.5), _area(scores_MN, members_MN)

    own_U, own = areas(inside_MN)
    swapped = (areas(_swapped(inside_MN, units_N, rng)) for _ in range(rounds))
    shuffled = list(track(swapped, "  shuffling memberships", rounds))
    return PerScene(
        own_U, np.stack([a for a, _ in shuffled]), own, np.array([b for _, b in shuffled]), len(models) // 2
    )


def units(groups: Sequence[Hashable]) -> list[Hashable]:
    """The groups, in the order of their first scenes."""
    return list(dict.fromkeys(groups))


def divided(inside_MN: npt.ArrayLike, groups: Sequence[Hashable] | None) -> tuple[Booleans, Integers]:
    """Who trained on what, bool [M, N], and each scene's unit [N], numbered as in `units`; None: each scene is one.

    Raises MiaSegError where models are no pairs, or a unit is divided.
    """
    inside_MN = np.asarray(inside_MN, np.bool_)
    if len(inside_MN) % 2 or not len(inside_MN) or (inside_MN[0::2] == inside_MN[1::2]).any():
        raise MiaSegError("Models must come in pairs that divide the scenes: what one trained on, the other did not.")
    keys = list(range(inside_MN.shape[1])) if groups is None else list(groups)
    places = {key: place for place, key in enumerate(units(keys))}
    units_N = np.array([places[key] for key in keys])
    if not np.isin(_means(inside_MN, units_N), (0, 1)).all():
        raise MiaSegError("A model was trained on a part of a group: a group must be wholly inside or outside.")
    return inside_MN, units_N


def _means(values_MN: npt.NDArray[np.generic], units_N: Integers) -> Floats:
    """The mean of each unit's scenes [M, U]."""
    sums_MU = np.stack([np.bincount(units_N, row) for row in values_MN])
    return np.asarray(sums_MU / np.bincount(units_N))


def _swapped(inside_MN: Booleans, units_N: Integers, rng: np.random.Generator) -> Booleans:
    coins_PU = rng.random((len(inside_MN) // 2, int(units_N.max()) + 1)) < 0.5
    return inside_MN ^ coins_PU[:, units_N].repeat(2, axis=0)


def _areas(scores_MU: Floats, inside_MU: Booleans) -> Floats:
    """The AUC of each column, ties counting half; half of the models trained on each."""
    half = len(scores_MU) // 2
    ranks_U = np.where(inside_MU, rankdata(scores_MU, axis=0), 0).sum(0)
    return np.asarray((ranks_U - half * (half + 1) / 2) / half**2)


def _area(scores_MN: Floats, inside_MN: Booleans) -> float:
    return float(area_under(*called(rank(scores_MN.ravel(), inside_MN.ravel()))))


def _band(shuffled_R: Floats) -> tuple[Floats, Floats]:
    """Ends that are among the shuffles themselves, so that no more than a tail of them lies beyond either."""
    ends = (
        np.quantile(shuffled_R, TAIL, axis=0, method="lower"),
        np.quantile(shuffled_R, 1 - TAIL, axis=0, method="higher"),
    )
    return np.asarray(ends[0]), np.asarray(ends[1])


def _against(value: float, shuffled_R: Floats) -> Against:
    low, high = _band(shuffled_R)
    reach = int((shuffled_R >= value - SLACK).sum())
    return Against(value, float(low), float(high), (1 + reach) / (1 + len(shuffled_R)))
