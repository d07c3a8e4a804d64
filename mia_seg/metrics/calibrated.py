"""TPR with a threshold for each scene, so that no scene is accused falsely more often than the target FPR.

One threshold for all scenes has the target FPR on average. Scenes whose scores spread widely are then accused falsely
far more often than others, as Jälkö, Pradhan, Räisä & Honkela (arXiv 2605.25819) point out. The threshold here is the
textbook's prediction interval for one further draw from a normal law. Axes: M models in pairs, N scenes in U units; F
target FPRs.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import stdtr

from mia_seg.metrics._ranking import Booleans
from mia_seg.metrics.in_turn import DRAWS, Bounded, bounded, over_pairs
from mia_seg.metrics.intervals import Floats, Integers
from mia_seg.metrics.membership import TARGETS
from mia_seg.metrics.per_scene import Estimate, divided

LEAST_PAIRS = 3  # beside the victim's own pair, two non-member scores of a scene are needed for a standard deviation


@dataclass(frozen=True)
class Calibrated:
    """The TPR at a target FPR, with its 95% interval, and the realised FPR over all scenes."""

    tpr: Bounded
    fpr: float


def calibrated(
    estimate: Estimate, inside_MN: npt.ArrayLike, *, groups: Sequence[Hashable] | None = None, seed: int = 0
) -> dict[str, Calibrated] | None:
    """TPR and FPR by target FPR ("0.1", "0.01", "0.001"), each model the victim in turn; None below three pairs.

    inside_MN, groups: as in `per_scene.per_scene`. seed: of the bootstrap. A scene is called a member if its p-value,
    `surprise`, is at most the target. That needs no other scene, so few scenes resolve any target. The interval is made
    as in `in_turn.pooled`. Raises MiaSegError as `per_scene.divided` does.
    """
    inside_MN, units_N = divided(inside_MN, groups)
    pairs = len(inside_MN) // 2
    if pairs < LEAST_PAIRS:
        return None
    counts, models = (int(units_N.max()) + 1, pairs), np.arange(len(inside_MN))
    called_FMN = _called(estimate(models, inside_MN), inside_MN)
    tpr_F, fpr_F = _share(called_FMN, inside_MN), _share(called_FMN, ~inside_MN)
    variances = _over_units(called_FMN, inside_MN, units_N, seed=seed), _over_pairs(estimate, inside_MN)
    rates = (bounded(float(tpr), parts, counts) for tpr, *parts in zip(tpr_F, *variances, strict=True))
    found = (Calibrated(rate, float(fpr)) for rate, fpr in zip(rates, fpr_F, strict=True))
    return dict(zip((f"{target:g}" for target in TARGETS), found, strict=True))


def surprise(scores_MN: Floats, inside_MN: Booleans) -> Floats:
    """One-sided p-values [M, N] of a scene's score by a model, under the hypothesis that the scene is a non-member.

    The score is compared with the scores of this scene by models of the other pairs that did not train on it. If such
    scores are normal, the p-value follows from Student's law for one further draw.
    """
    pairs, left_MN = len(scores_MN) // 2, np.where(inside_MN, 0.0, scores_MN)
    out_PN = left_MN[0::2] + left_MN[1::2]  # in each pair, the score by the model that did not train on the scene
    others = pairs - 1
    found = np.empty_like(scores_MN)
    for pair in range(pairs):
        apart_PN = np.delete(out_PN, pair, axis=0)
        middle_N, spread_N = apart_PN.mean(0), apart_PN.std(0, ddof=1) * np.sqrt(1 + 1 / others)
        for model in (2 * pair, 2 * pair + 1):
            with np.errstate(divide="ignore", invalid="ignore"):  # without spread the p-value is 0, 1 or one half
                beyond_N = np.nan_to_num((scores_MN[model] - middle_N) / spread_N, nan=0.0)
            found[model] = stdtr(others - 1, -beyond_N)
    return found


def _called(scores_MN: Floats, inside_MN: Booleans) -> Booleans:
    """Whether each scene is called a member at each target FPR: bool [F, M, N]."""
    return np.asarray(surprise(scores_MN, inside_MN) <= np.array(TARGETS)[:, None, None])


def _share(called_FMN: Booleans, side_MN: Booleans) -> Floats:
    return np.asarray(called_FMN[:, side_MN].mean(-1))


def _over_units(called_FMN: Booleans, inside_MN: Booleans, units_N: Integers, *, seed: int) -> Floats:
    """The variance of the TPRs [F] over bootstrap draws of units."""
    count = int(units_N.max()) + 1
    hits_FN, size_N = (called_FMN & inside_MN).sum(1), inside_MN.sum(0)
    hits_UF = np.stack([np.bincount(units_N, row, count) for row in hits_FN], -1)
    draws_BU = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=DRAWS)
    return np.asarray((draws_BU @ hits_UF / (draws_BU @ np.bincount(units_N, size_N, count))[:, None]).var(0, ddof=1))


def _over_pairs(estimate: Estimate, inside_MN: Booleans) -> Floats:
    """The variance of the TPRs [F] over pairs; NaN if too few pairs would be left."""
    if len(inside_MN) // 2 <= LEAST_PAIRS:
        return np.full(len(TARGETS), np.nan)
    return over_pairs(estimate, inside_MN, lambda scores_MN, side_MN: _share(_called(scores_MN, side_MN), side_MN))
