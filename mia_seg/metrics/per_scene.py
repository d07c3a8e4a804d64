"""The leak of single scenes in a fleet: each model is the victim in turn, and each scene is a member of half of them.

Axes: M models in pairs (each scene is a member of exactly one of models 2j and 2j + 1); N scenes; U units, the groups
of scenes that are trained on together (a patient, a drive); R shuffles. The score of a unit is the mean of its scenes'.

The attack on one victim is fitted on the other models. The scores that several victims give to one scene therefore
depend on each other. The scene's AUC over victims differs from 0.5 even if nothing leaks; it is lower if the victim's
own pair is left out. So every number about scenes is compared with the same number after memberships were shuffled.
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

# An attack on each model in turn. It takes the numbers of m models and their assumed memberships [m, N], which a
# shuffle may have changed, and returns the scores that each of these models gives to the scenes, [m, N].
Estimate = Callable[[Integers, Booleans], Floats]
FDR = 0.05
ROUNDS = 999  # shuffles: p-values are multiples of 1 / 1000
# With p pairs no p-value is below 2^-p. Below five pairs not even a list of all scenes has an FDR of 5%.
LEAST_PAIRS = 5
BAND_PAIRS = 6  # for the same reason no unit can lie above its band with fewer pairs
SLACK = 1e-9  # two sums of the same numbers may differ in their last bits


@dataclass(frozen=True)
class Against:
    """A number compared with shuffles: [low, high] is the middle 95% of it after shuffles, p its one-sided p-value."""

    value: float
    low: float
    high: float
    p: float


@dataclass(frozen=True, eq=False)
class PerScene:
    """AUCs over victims, and the same after each shuffle; `per_scene` makes it.

    auc_U, shuffled_RU: the AUC of each unit. pooled, pooled_R: the AUC of all M x N scores together.
    """

    auc_U: Floats
    shuffled_RU: Floats
    pooled: float
    pooled_R: Floats
    pairs: int

    @cached_property
    def band_U(self) -> tuple[Floats, Floats]:
        """The ends of each unit's null band, [U] each. Without a trace its AUC lies beyond each end in at most 2.5%."""
        return band(self.shuffled_RU)

    @cached_property
    def p_U(self) -> Floats:
        """The p-value of each unit: (1 + the number of shuffles whose AUC is as high) / (1 + all shuffles)."""
        reach_U = (self.shuffled_RU >= self.auc_U - SLACK).sum(0)
        return np.asarray((1 + reach_U) / (1 + len(self.shuffled_RU)))

    @property
    def above_U(self) -> Booleans:
        """Which units lie above their null band: at most 2.5% of those without a trace. None below `BAND_PAIRS`."""
        return self.auc_U > self.band_U[1] + SLACK

    def exposed_U(self, fdr: float = FDR) -> Booleans | None:
        """Which units are exposed, by the rule of Benjamini & Hochberg (JRSS B 1995).

        On average at most a share `fdr` of the exposed units left no trace. None below five pairs: p-values cannot be
        small enough for any list.
        """
        if self.pairs < LEAST_PAIRS:
            return None
        return np.asarray(false_discovery_control(self.p_U, method="bh") <= fdr)

    def fewest(self, fdr: float = FDR) -> int:
        """How many units must have the smallest possible p-value before any unit is exposed."""
        least = max(0.5**self.pairs, 1 / (1 + len(self.shuffled_RU)))
        return int(np.ceil(len(self.auc_U) * least / fdr - SLACK))

    def together(self, kept_U: Booleans | None = None) -> Against:
        """The mean AUC of the units `kept_U` compared with shuffles, or the pooled AUC of all scores if it is None."""
        if kept_U is None:
            return against(self.pooled, self.pooled_R)
        return against(float(self.auc_U[kept_U].mean()), self.shuffled_RU[:, kept_U].mean(1))


def per_scene(
    estimate: Estimate,
    inside_MN: npt.ArrayLike,
    *,
    groups: Sequence[Hashable] | None = None,
    seed: int = 0,
    rounds: int = ROUNDS,
) -> PerScene:
    """Each unit's AUC over the M models, each the victim in turn, and the same after shuffles.

    inside_MN: bool [M, N], whether the model trained on the scene. groups: one key a scene; scenes with the same key
    are one unit, and None makes each scene a unit. Units are in the order of `units`.

    A shuffle tosses a fair coin for each unit and pair. The coin says which of the two models counts as trained on the
    unit. All scores are then estimated anew. The AUC of a unit that left no trace in any model follows the same law as
    its AUCs after shuffles. Raises MiaSegError if models are no pairs, or if a model trained on a part of a unit.
    """
    inside_MN, units_N = divided(inside_MN, groups)
    models, rng = np.arange(len(inside_MN)), np.random.default_rng(seed)

    def measured(members_MN: Booleans) -> tuple[Floats, float]:
        scores_MN = estimate(models, members_MN)
        return areas(*united(scores_MN, members_MN, units_N)), area(scores_MN, members_MN)

    own_U, own = measured(inside_MN)
    shuffles = (measured(swapped(inside_MN, units_N, rng)) for _ in range(rounds))
    shuffled_RU, pooled_R = map(np.stack, zip(*track(shuffles, "  shuffling memberships", rounds), strict=True))
    return PerScene(own_U, shuffled_RU, own, pooled_R, len(models) // 2)


def units(groups: Sequence[Hashable]) -> list[Hashable]:
    """The distinct groups, in the order of their first scenes."""
    return list(dict.fromkeys(groups))


def divided(inside_MN: npt.ArrayLike, groups: Sequence[Hashable] | None) -> tuple[Booleans, Integers]:
    """Memberships as bool [M, N], and the number of each scene's unit, int [N], in the order of `units`.

    groups None makes each scene a unit. Raises MiaSegError if models are no pairs, or if a model trained on a part of a
    unit.
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


def united(scores_MN: Floats, inside_MN: Booleans, units_N: Integers) -> tuple[Floats, Booleans]:
    """Scores and memberships of units, [M, U] each."""
    return _means(scores_MN, units_N), _means(inside_MN, units_N) > 0.5


def _means(values_MN: npt.NDArray[np.generic], units_N: Integers) -> Floats:
    """The mean over the scenes of each unit, [M, U]."""
    sums_MU = np.stack([np.bincount(units_N, row) for row in values_MN])
    return np.asarray(sums_MU / np.bincount(units_N))


def swapped(inside_MN: Booleans, units_N: Integers, rng: np.random.Generator) -> Booleans:
    """A shuffle: for each unit and pair a fair coin says which of the two models counts as trained on it."""
    coins_PU = rng.random((len(inside_MN) // 2, int(units_N.max()) + 1)) < 0.5
    return inside_MN ^ coins_PU[:, units_N].repeat(2, axis=0)


def areas(scores_MU: Floats, inside_MU: Booleans) -> Floats:
    """The AUC of each unit over models, [U], ties counting half. Each unit is a member of half of the models."""
    half = len(scores_MU) // 2
    ranks_U = np.where(inside_MU, rankdata(scores_MU, axis=0), 0).sum(0)
    return np.asarray((ranks_U - half * (half + 1) / 2) / half**2)


def area(scores_MN: Floats, inside_MN: Booleans) -> float:
    """The AUC of all scores [M, N] pooled."""
    return float(area_under(*called(rank(scores_MN.ravel(), inside_MN.ravel()))))


def band(shuffled_R: Floats) -> tuple[Floats, Floats]:
    """The ends of the middle 95%: one more value that follows the same law lies beyond each in at most 2.5%.

    They are values of shuffles. Fewer than 39 cannot be so sure; the ends are then the lowest and the highest.
    """
    beyond = max(int(TAIL * (len(shuffled_R) + 1) + SLACK), 1)
    ordered_R = np.sort(shuffled_R, axis=0)
    return np.asarray(ordered_R[beyond - 1]), np.asarray(ordered_R[-beyond])


def against(value: float, shuffled_R: Floats) -> Against:
    """A number, compared with the same number after shuffles."""
    low, high = band(shuffled_R)
    reach = int((shuffled_R >= value - SLACK).sum())
    return Against(value, float(low), float(high), (1 + reach) / (1 + len(shuffled_R)))
