"""Bayesian variance: LiRA that reads a scene's few shadows in the light of all scenes' (Brännvall, arXiv 2603.11799).

Needs labels and posteriors, one query a scene, and shadows, two of a kind at the least. A scene's mean logits by
shadows of a kind (trained on it, left it out) are Gaussian; their mean and variance have a normal-inverse-gamma prior.
The score is the log-ratio of two predictive densities, offline the distance from the one. A scene's own variance is
noise where shadows are few, and one for all scenes is wrong for each: the prior is as near to either as the data say.

The formulas come from first principles (Murphy, Conjugate Bayesian analysis of the Gaussian distribution, 2007,
section 6): the paper's hyperparameters are not reproduced. Here they are moments over all scenes: of log-variances
(Smyth, Stat. Appl. Genet. Mol. Biol. 2004, 3:3), and of means, which differ by more than the variances explain.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import Field
from scipy.optimize import brentq
from scipy.special import digamma, polygamma
from scipy.stats import norm, t

from mia_seg.attacks._fleet import ShadowCount, SignalAttack
from mia_seg.attacks._readings import Readings, Signals
from mia_seg.errors import MiaSegError
from mia_seg.query.answers import Statistics

MOST = 1e6  # readings that a prior is worth at most: as good as certain
LEAST = 1e-5  # of the middle variance: the logarithm of a smaller one, which is rounding, would outweigh all others
FLAT = 1e-12  # equal numbers may differ in their last bits from their mean


@dataclass(frozen=True)
class Prior:
    """What is known of a scene before it is read: a mean and a variance.

    means, variances: how many readings the prior mean and the prior variance are worth.
    """

    mean: float
    means: float
    variance: float
    variances: float


@dataclass(frozen=True)
class Predicted:
    """Where another reading of each scene [N] is expected: Student's t. variance_N: the scene's, without the mean's."""

    mean_N: np.ndarray
    scale_N: np.ndarray
    variance_N: np.ndarray
    freedom: float


class Bavaria(SignalAttack):
    """LiRA with a prior for each scene's mean and variance."""

    mode: Literal["online", "offline"] = "online"
    form: Literal["student", "gaussian"] = Field(
        default="student",
        description="student: the predictive density; gaussian: one with the mean and variance to be expected",
    )
    models: ShadowCount = None

    def kinds(self) -> int:
        return 2 if self.mode == "online" else 1

    def least_pairs(self) -> int:
        return 2  # one number has no variance

    def signal(self, statistics: Statistics) -> np.ndarray:
        return statistics.mean_phi()

    def judge(self, target: Signals, fleet: Readings) -> np.ndarray:
        pairs = self.pairs(fleet)
        outside = predicted(fleet.outside(pairs), prior(fleet.outside(pairs)))
        if self.mode == "offline":  # of equal degrees of freedom: it ranks as the chance of a lower reading does
            return np.asarray((target.scenes_N - outside.mean_N) / self._scale(outside))
        inside = predicted(fleet.inside(pairs), prior(fleet.inside(pairs)))
        return self._density(target.scenes_N, inside) - self._density(target.scenes_N, outside)

    def _density(self, scenes_N: np.ndarray, expected: Predicted) -> np.ndarray:
        scale_N = self._scale(expected)
        if self.form == "gaussian":
            return np.asarray(norm.logpdf(scenes_N, expected.mean_N, scale_N))
        return np.asarray(t.logpdf(scenes_N, expected.freedom, expected.mean_N, scale_N))

    def _scale(self, expected: Predicted) -> np.ndarray:
        return np.sqrt(expected.variance_N) if self.form == "gaussian" else expected.scale_N


def prior(shadows_RN: np.ndarray) -> Prior:
    """The prior that fits the readings [R, N] of N scenes by R shadows of one kind, R at least 2.

    Variances: for s^2 of R readings, log s^2 varies by trigamma((R - 1) / 2) and by trigamma(variances / 2), and what
    its mean is off is digamma's of the same. Means: the variance of scenes' means is the mean s^2 (1/R + 1/means).
    Raises MiaSegError where most scenes have no variance.
    """
    count, variance_N = len(shadows_RN), shadows_RN.var(0, ddof=1) if len(shadows_RN) > 1 else np.zeros(1)
    middle = float(np.median(variance_N))
    if middle <= (FLAT * np.abs(shadows_RN).max()) ** 2:
        raise MiaSegError(
            f"Attack 'bavaria' has no variance: the {count} shadows of a kind all answer most scenes alike. Give more "
            f"models. If that does not help, all shadows answer alike and the attack cannot work."
        )
    logs_N, half = np.log(variance_N.clip(LEAST * middle)), (count - 1) / 2
    worth = _inverse_trigamma(float(logs_N.var() - polygamma(1, half)))
    centre = logs_N.mean() - digamma(half) + np.log(half) + digamma(worth) - np.log(worth)
    beyond = shadows_RN.mean(0).var() / variance_N.mean() - 1 / count
    means = MOST if beyond <= 1 / MOST else 1 / beyond
    return Prior(float(shadows_RN.mean()), float(means), float(np.exp(centre)), 2 * worth)


def predicted(shadows_RN: np.ndarray, before: Prior) -> Predicted:
    """The normal-inverse-gamma predictive of each scene [N] after its readings [R, N] (Murphy 2007)."""
    count, mean_N = len(shadows_RN), shadows_RN.mean(0)
    means, freedom = before.means + count, before.variances + count
    squares_N = ((shadows_RN - mean_N) ** 2).sum(0)
    between_N = before.means * count / means * (mean_N - before.mean) ** 2
    variance_N = (before.variances * before.variance + squares_N + between_N) / freedom
    centre_N = (before.means * before.mean + count * mean_N) / means
    return Predicted(centre_N, np.sqrt(variance_N * (means + 1) / means), variance_N, freedom)


def _inverse_trigamma(value: float) -> float:
    """x with trigamma(x) = value, half of `MOST` at the most; the function falls."""
    low, high = 1 / MOST, MOST / 2
    if value <= polygamma(1, high):
        return high
    return float(brentq(lambda x: polygamma(1, x) - value, low, high)) if value < polygamma(1, low) else low
