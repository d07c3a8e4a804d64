"""Bounds on differential privacy from an attack's scores, and lists of exposed scenes.

A bound on epsilon holds only if members were drawn at random. If members were chosen in another way (a published split,
a year, a city), scores may tell members from non-members for reasons other than training. Every function that returns
an epsilon or mu raises MiaSegError unless the caller states, with `randomised=True`, that members were drawn at random.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri
from scipy.stats import binom

from mia_seg.errors import MiaSegError
from mia_seg.metrics._ranking import Booleans, called, checked, rank
from mia_seg.metrics.intervals import Floats, clopper_pearson

LARGEST_EPSILON = 50.0
LARGEST_MU = 12.0


@dataclass(frozen=True)
class Exposed:
    """p_values: [N], one for each tested scene. found: places of the exposed scenes, the smallest p-value first."""

    p_values: list[float]
    found: list[int]


def allowed(epsilon: float, delta: float, fpr: float) -> float:
    """The largest TPR that (epsilon, delta)-privacy allows any attack at an FPR (Kairouz, Oh & Viswanath, ICML 2015).

    epsilon: at least 0; delta, fpr: in [0, 1]. The bounds are TPR <= e^eps FPR + delta and TNR <= e^eps FNR + delta.
    """
    largest = np.exp(min(epsilon, LARGEST_EPSILON))  # beyond it the bound is 1 but for rounding
    return float(min(largest * fpr + delta, 1 - max(1 - fpr - delta, 0.0) / largest, 1.0))


def epsilon_bound(
    scores: npt.ArrayLike,
    members: npt.ArrayLike,
    *,
    randomised: bool,
    delta: float = 0.0,
    level: float = 0.95,
    seed: int = 0,
) -> float:
    """A lower bound on epsilon from independent training runs.

    It exceeds the true epsilon with probability 1 - level at most. scores: [N], finite; members: [N], bool or 0/1. Each
    of the N trials is *independent*: a training run of its own, with one scene that a fair coin put in or left out.
    Scores of many scenes of one run are not independent; use `epsilon_one_run` for them.

    (epsilon, delta)-privacy implies TPR <= e^eps FPR + delta and TNR <= e^eps FNR + delta (Kairouz, Oh & Viswanath,
    ICML 2015). A random half of the trials chooses the threshold. On the other half Clopper-Pearson bounds TPR and FPR,
    each with an error of (1 - level) / 2, and these two bounds serve both ratios (Jagielski, Ullman & Oprea, NeurIPS
    2020). Returns 0 if the scores show nothing. Raises MiaSegError if membership was not drawn at random, for a delta
    or level out of range, for fewer than two members or non-members, and for scores as `membership.measure` does.
    """
    _require(randomised, delta, level)
    scores_N, members_N = checked(np.asarray(scores, np.float64), np.asarray(members))
    choosing_N = _half(members_N, np.random.default_rng(seed))
    threshold = _best(scores_N[choosing_N], members_N[choosing_N], delta, level=level)
    called_N, kept_N = (scores_N >= threshold)[~choosing_N], members_N[~choosing_N]
    counts = int(kept_N.sum()), int((~kept_N).sum())
    return float(_epsilons([called_N[kept_N].sum()], [called_N[~kept_N].sum()], counts, delta=delta, level=level)[0])


def epsilon_one_run(
    scores: npt.ArrayLike,
    members: npt.ArrayLike,
    *,
    guesses: int,
    randomised: bool,
    delta: float = 0.0,
    level: float = 0.95,
    seed: int = 0,
) -> float:
    """A lower bound on epsilon from one training run, in which a fair coin put each of the N scenes in or left it out.

    scores: [N], finite; members: [N], bool or 0/1. The highest guesses / 2 scores are guessed members, the lowest
    guesses / 2 non-members. `guesses` must be chosen before the scores are seen; take all N unless there is a reason
    for fewer. The seed draws the order of equal scores, because the order of the scenes may depend on membership.

    Under (epsilon, delta)-privacy v or more of r guesses are right with probability at most beta + 2 N delta alpha,
    where W ~ Bin(r, e^eps / (1 + e^eps)), beta = P(W >= v) and alpha = max_i P(v > W >= v - i) / i (Steinke, Nasr &
    Jagielski, NeurIPS 2023). Returns the largest epsilon that this rejects at the given level, and 0 if it rejects
    none.

    Raises MiaSegError if membership was not drawn at random, for a delta or level out of range, for a number of guesses
    that is odd or exceeds N, and for scores as `membership.measure` does.
    """
    _require(randomised, delta, level)
    right, scenes = _right(scores, members, guesses, seed=seed)
    return _largest(lambda eps: _chance(eps, right, guesses, scenes=scenes, delta=delta) <= 1 - level, LARGEST_EPSILON)


def mu_one_run(
    scores: npt.ArrayLike,
    members: npt.ArrayLike,
    *,
    guesses: int,
    randomised: bool,
    level: float = 0.95,
    seed: int = 0,
) -> float:
    """A lower bound on the mu of Gaussian differential privacy, from one run and guesses as in `epsilon_one_run`.

    Under mu-privacy no test of one scene's membership is better than a test of N(0, 1) against N(mu, 1) (Dong, Roth &
    Su, JRSS B 2022). Algorithms that add Gaussian noise have such a mu. The bound is the recursion `audit_rh` of
    Mahloujifar, Melis & Chaudhuri (ICML 2025, arXiv 2410.22235) with the trade-off function of that test. It starts
    from the error 1 - level, and a mu is rejected if the recursion exceeds guesses / N. The bound is tighter than
    `epsilon_one_run`, but holds for Gaussian privacy alone. Returns 0 if the scores show nothing. Raises MiaSegError as
    `epsilon_one_run` does.
    """
    _require(randomised, 0.0, level)
    right, scenes = _right(scores, members, guesses, seed=seed)
    return _largest(lambda mu: _impossible(mu, right, guesses, scenes=scenes, level=level), LARGEST_MU)


def exposed(scores: npt.ArrayLike, calibration: npt.ArrayLike, *, fdr: float = 0.1) -> Exposed:
    """The scenes whose scores stand out from those of known non-members, with a bounded share of false discoveries.

    scores: [N], of the tested scenes; calibration: [M], of known non-members; all finite. The conformal p-value of a
    scene is (1 + #{calibration >= score}) / (M + 1), so ties raise it. The step-up rule of Benjamini & Hochberg at
    `fdr` then selects the scenes.

    Controlled: the expected share, among the scenes found, of those whose score is exchangeable with the calibration
    scores. It is at most `fdr`. All p-values share one calibration set and depend on each other positively, which the
    step-up rule allows (Bates, Candes, Lei, Romano & Sesia, Ann. Stat. 2023, 51:149). If the split is random and the
    calibration scores are of the *same* model's non-members, members without a trace are exchangeable with them.

    Not controlled, if

    - the calibration scores are of a shadow's non-members, unless the victim's non-members have the same distribution
      of scores. Other data, another network or another fit change it.
    - the attacker was fitted on the tested or the calibration scenes.
    - members and non-members differ without any model, as the blind control finds out.
    - several scenes are one group, unless one scene of each group is taken.
    - the longest of several lists is picked.

    The bound is an average over audits, not a promise for one list. No p-value is below 1 / (M + 1), so at least N /
    (fdr (M + 1)) scenes must score above the whole calibration before any is found. Raises MiaSegError for values that
    are not finite, for no score or no calibration, and for an fdr outside (0, 1).
    """
    if not 0 < fdr < 1:
        raise MiaSegError(f"fdr = {fdr}; it must lie between 0 and 1.")
    scores_N, others_M = _finite(scores, "score"), np.sort(_finite(calibration, "calibration score"))
    at_least_N = len(others_M) - np.searchsorted(others_M, scores_N, side="left")
    p_N = (1 + at_least_N) / (len(others_M) + 1)
    order_N = np.argsort(p_N, kind="stable")
    small = np.flatnonzero(p_N[order_N] <= fdr * np.arange(1, len(p_N) + 1) / len(p_N))
    return Exposed(p_N.tolist(), order_N[: small[-1] + 1].tolist() if small.size else [])


def _require(randomised: bool, delta: float, level: float) -> None:
    if not randomised:
        raise MiaSegError(
            "Membership was not drawn at random, so no epsilon follows from these scores: they tell how strong the "
            "attack is, not how private the training. Draw each scene in or out by a coin, or report AUC and TPR."
        )
    if not 0 <= delta < 1:
        raise MiaSegError(f"delta = {delta}; it must be at least 0 and below 1.")
    if not 0 < level < 1:
        raise MiaSegError(f"level = {level}; it must lie between 0 and 1, 0.95 for instance.")


def _finite(values: npt.ArrayLike, what: str) -> Floats:
    values_N = np.asarray(values, np.float64)
    if values_N.ndim != 1 or not values_N.size:
        raise MiaSegError(f"There must be a list of at least one {what}; found shape {values_N.shape}.")
    if not np.isfinite(values_N).all():
        place = int(np.argmin(np.isfinite(values_N)))
        raise MiaSegError(f"The {what} at place {place} is {values_N[place]}; every one must be finite.")
    return values_N


def _half(members_N: Booleans, rng: np.random.Generator) -> Booleans:
    """A mask of a random half of the members and a random half of the non-members."""
    half_N = np.zeros(len(members_N), np.bool_)
    for kind, places in (("member", np.flatnonzero(members_N)), ("non-member", np.flatnonzero(~members_N))):
        if len(places) < 2:
            raise MiaSegError(f"There is one {kind}; an epsilon needs one to choose the threshold and one to judge it.")
        half_N[rng.permutation(places)[: len(places) // 2]] = True
    return half_N


def _best(scores_N: Floats, members_N: Booleans, delta: float, *, level: float) -> float:
    """The threshold with the largest bound on these trials. Only the threshold is kept; the bound is too optimistic."""
    ranking = rank(scores_N, members_N)
    tp, fp = called(ranking)
    bounds_S = _epsilons(tp[1:], fp[1:], (int(tp[-1]), int(fp[-1])), delta=delta, level=level)
    return float(ranking.scores_S[int(np.argmax(bounds_S))])


def _epsilons(
    hits: Iterable[int], alarms: Iterable[int], counts: tuple[int, int], *, delta: float, level: float
) -> Floats:
    """The larger of both ratios' bounds. hits: called members of counts[0]; alarms: called non-members of counts[1]."""
    tail = (1 - level) / 2
    tpr = np.array([clopper_pearson(k / counts[0], counts[0], tail)[0] for k in hits])
    fpr = np.array([clopper_pearson(k / counts[1], counts[1], tail)[1] for k in alarms])
    # A ratio below 1 shows nothing. The denominators are never 0.
    return np.log(np.maximum.reduce([np.ones_like(tpr), (tpr - delta) / fpr, (1 - fpr - delta) / (1 - tpr)]))


def _right(scores: npt.ArrayLike, members: npt.ArrayLike, guesses: int, *, seed: int) -> tuple[int, int]:
    """The number of right guesses, and the number of scenes."""
    scores_N, members_N = checked(np.asarray(scores, np.float64), np.asarray(members))
    if guesses % 2 or not 2 <= guesses <= len(scores_N):
        raise MiaSegError(f"guesses = {guesses} of {len(scores_N)} scenes; it must be even, from 2 to their number.")
    order_N, half = np.lexsort((np.random.default_rng(seed).permutation(len(scores_N)), -scores_N)), guesses // 2
    return int(members_N[order_N[:half]].sum() + (~members_N[order_N[-half:]]).sum()), len(scores_N)


def _largest(rejected: Callable[[float], bool], high: float) -> float:
    """The largest value from 0 to `high` that is rejected, or 0. All values below a rejected one must be rejected."""
    low = 0.0
    if not rejected(low):
        return low
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if rejected(middle) else (low, middle)
    return low


def _impossible(mu: float, right: int, guesses: int, *, scenes: int, level: float) -> bool:
    """Whether `right` of `guesses` are more than a mu-private algorithm allows at confidence `level`."""
    told, untold = (1 - level) * right / scenes, (1 - level) * (guesses - right) / scenes
    for i in range(right - 1, -1, -1):
        wider = max(untold, float(ndtr(ndtri(told) - mu)))
        if wider == untold:  # nothing changes from here on
            break
        told, untold = min(told + i / (guesses - i) * (wider - untold), 1.0), wider
    return told + untold > guesses / scenes


def _chance(epsilon: float, right: int, guesses: int, *, scenes: int, delta: float) -> float:
    """An upper bound on the probability that `right` of `guesses` are right under (epsilon, delta)-privacy."""
    share = 1 / (1 + np.exp(-epsilon))
    just_below = np.cumsum(binom.pmf(np.arange(right - 1, -1, -1), guesses, share))
    alpha = np.max(just_below / np.arange(1, right + 1), initial=0.0)
    return float(min(1.0, binom.sf(right - 1, guesses, share) + 2 * scenes * delta * alpha))
