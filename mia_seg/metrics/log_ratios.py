"""How much likelier a score is of a model that trained on the scene than of one that did not.

Axes and terms are those of `mia_seg.metrics.per_scene`: M models in pairs, N scenes, U units, R shuffles.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import isotonic_regression
from scipy.special import logit

from mia_seg.metrics._ranking import Booleans
from mia_seg.metrics.intervals import Floats
from mia_seg.metrics.per_scene import ROUNDS, Against, Estimate, against, band, divided, swapped, united
from mia_seg.progress import track

PARTS = 20  # a shuffle goes through the units in so many parts
FEWEST = 39  # so many shuffles put an end of a band at 2.5%
Law = tuple[Floats, Floats]


@dataclass(frozen=True, eq=False)
class Ratios:
    """Log-likelihood ratios of units towards the truth, and the same after each shuffle; `ratios` makes it.

    own_U: the mean of `log_ratios` over victims, reversed where the unit is no member: the logarithm of the factor by
    which the odds of what is true grow, the expected weight of evidence (Good, Probability and the Weighing of
    Evidence, 1950).
    """

    own_U: Floats
    shuffled_RU: Floats

    @property
    def band_U(self) -> tuple[Floats, Floats]:
        """The ends of each unit's null band, [U] each."""
        return band(self.shuffled_RU)

    def together(self, kept_U: Booleans) -> Against:
        """The mean over the units `kept_U` compared with shuffles."""
        return against(float(self.own_U[kept_U].mean()), self.shuffled_RU[:, kept_U].mean(1))


def ratios(
    estimate: Estimate,
    inside_MN: npt.ArrayLike,
    *,
    groups: Sequence[Hashable] | None = None,
    seed: int = 0,
    rounds: int = ROUNDS,
) -> Ratios:
    """Each unit's log-ratio over the M models, each the victim in turn, and the same after shuffles.

    rounds: how often scores are estimated anew, about; each shuffle takes `PARTS` of them, and there are at least
    `FEWEST` shuffles. The other arguments and the errors are those of `per_scene`.

    A part of the units is shuffled at a time. All others keep their memberships, and so does what judges the scores. If
    all were shuffled at once, nothing would leak any more: scores that share a variance over scenes would change their
    scale, and scenes that leak nothing would lie above their bands beside others that leak.
    """
    inside_MN, units_N = divided(inside_MN, groups)
    models, rng, count = np.arange(len(inside_MN)), np.random.default_rng(seed), int(units_N.max()) + 1

    def scored(members_MN: Booleans) -> tuple[Floats, Booleans]:
        return united(estimate(models, members_MN), members_MN, units_N)

    scores_MU, inside_MU = scored(inside_MN)
    laws = _laws(scores_MU, inside_MU)

    def shuffled() -> Floats:
        swapped_MN, part_U, ratio_U = swapped(inside_MN, units_N, rng), rng.permutation(count) % PARTS, np.empty(count)
        for part in np.unique(part_U):
            at_U = part_U == part
            ratio_U[at_U] = _towards(*scored(np.where(at_U[units_N], swapped_MN, inside_MN)), laws=laws)[at_U]
        return ratio_U

    shuffles = max(rounds // PARTS, FEWEST)
    shuffled_RU = np.stack(list(track((shuffled() for _ in range(shuffles)), "  shuffling in parts", shuffles)))
    return Ratios(_towards(scores_MU, inside_MU, laws=laws), shuffled_RU)


def log_ratios(scores_MU: Floats, inside_MU: Booleans) -> Floats:
    """How much likelier each score is of a model that trained on the unit than of another: natural logarithms, [M, U].

    Each half of the units is judged by isotonic regression on the scores of the other half, so that no unit judges
    itself, but where there is only one (Zadrozny & Elkan, KDD 2002; Brummer & du Preez, Computer Speech & Language 20,
    2006). Only the order of scores counts, but for straight lines between neighbours. One member is added at the lowest
    score and one other at the highest: with n scores of members no ratio exceeds n, for more cannot be told from so
    few. inside_MU: half of the models trained on each unit, so that even odds are those of the shares.
    """
    return _judged(scores_MU, _laws(scores_MU, inside_MU))


def _towards(scores_MU: Floats, inside_MU: Booleans, *, laws: tuple[Law, Law]) -> Floats:
    """The mean log-ratio over models, reversed where the unit is no member, [U]."""
    ratios_MU = _judged(scores_MU, laws)
    return np.asarray(np.where(inside_MU, ratios_MU, -ratios_MU).mean(0))


def _judged(scores_MU: Floats, laws: tuple[Law, Law]) -> Floats:
    return np.where(_half(scores_MU), *(logit(np.interp(scores_MU, *law)) for law in laws))


def _laws(scores_MU: Floats, inside_MU: Booleans) -> tuple[Law, Law]:
    """What judges each half of the units, learnt from the other half."""
    half_U = _half(scores_MU)
    laws = [_law(scores_MU[:, known_U], inside_MU[:, known_U]) for known_U in (~half_U, half_U) if known_U.any()]
    return laws[0], laws[-1]


def _half(scores_MU: Floats) -> Booleans:
    return np.arange(scores_MU.shape[1]) % 2 == 0


def _law(scores_MU: Floats, inside_MU: Booleans) -> Law:
    """Scores [S] in rising order, and at each the share of models that trained on the unit."""
    scores = scores_MU.ravel()
    steps_S, place = np.unique([*scores, scores.min(), scores.max()], return_inverse=True)
    count_S = np.bincount(place)
    share_S = np.bincount(place, weights=[*inside_MU.ravel(), 1, 0]) / count_S
    return steps_S, np.asarray(isotonic_regression(share_S, weights=count_S).x)
