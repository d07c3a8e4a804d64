"""Bounds on differential privacy from an attack's scores, and lists of exposed scenes.

An epsilon is a statement about an algorithm whose members were drawn at random. If members were chosen in another way
(a published split, a year, a city), scores may tell members from non-members for other reasons. Every function that
returns an epsilon then raises MiaSegError. By `randomised=True` the caller vouches for the draw.
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
    """p_values [N], one a tested scene; `found`: places of the exposed ones, the smallest p-value first."""

    p_values: list[float]
    found: list[int]


def epsilon_bound(
    scores: npt.ArrayLike,
    members: npt.ArrayLike,
    *,
    randomised: bool,
    delta: float = 0.0,
    level: float = 0.95,
    seed: int = 0,
) -> float:
    """A lower bound on epsilon: an (epsilon, delta)-private algorithm exceeds it by chance with 1 - level at most.

    scores [N] finite, members [N] bool or 0/1: one pair for each *independent* trial, that is a training run of its own
    with one scene that a coin put in or left out. Scores of many scenes of one run are not independent; take
    `epsilon_one_run` for them.

    Privacy implies TPR <= e^eps FPR + delta and TNR <= e^eps FNR + delta (Kairouz, Oh & Viswanath, ICML 2015). A half
    of the trials, drawn by the seed, chooses the threshold. On the other half Clopper & Pearson bound TPR and FPR at
    (1 - level) / 2 each, and these two bounds serve both ratios (Jagielski, Ullman & Oprea, NeurIPS 2020). 0 where
    nothing is shown. Raises MiaSegError where membership was not drawn at random, for a delta or level that is none,
    fewer than two trials of either kind, and scores as `measure` does.
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
    """The same from one run: each of the N scenes was put in or left out by a fair coin of its own.

    The highest guesses / 2 scores are guessed members, the lowest guesses / 2 non-members; `guesses` must be chosen
    before looking, all N where nothing speaks for fewer. Ties fall in an order drawn by the seed: the scenes' own might
    know who is a member. Under (epsilon, delta)-privacy v or more of r guesses are right with probability at most
    beta + 2 N delta alpha, where W ~ Bin(r, e^eps / (1 + e^eps)), beta = P(W >= v), alpha = max_i P(v > W >= v - i) / i
    (Steinke, Nasr & Jagielski, NeurIPS 2023). The largest epsilon that this rejects is returned, 0 where none is.

    Raises MiaSegError where membership was not drawn at random, for a delta or level that is none, an odd number of
    guesses or more than scenes, and scores as `measure` does.
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

    A mu-private algorithm leaves no test of one scene better than one of N(0, 1) against N(mu, 1) (Dong, Roth & Su,
    JRSS B 2022), as algorithms that add Gaussian noise do. With f that trade-off, no share of guesses can be right
    where the recursion of Mahloujifar, Melis & Chaudhuri (ICML 2025, arXiv 2410.22235, `audit_rh`) exceeds guesses / N:
    it begins at the confidence that is asked for and widens both kinds of guesses by f. Tighter than `epsilon_one_run`,
    and it speaks of such algorithms alone. 0 where nothing is shown. Raises MiaSegError likewise.
    """
    _require(randomised, 0.0, level)
    right, scenes = _right(scores, members, guesses, seed=seed)
    return _largest(lambda mu: _impossible(mu, right, guesses, scenes=scenes, level=level), LARGEST_MU)


def exposed(scores: npt.ArrayLike, calibration: npt.ArrayLike, *, fdr: float = 0.1) -> Exposed:
    """Which of scores [N] stand out from those of known non-members, calibration [M], with few false ones among them.

    p = (1 + #{calibration >= score}) / (M + 1), a conformal p-value, ties against the scene; then the step-up rule of
    Benjamini & Hochberg at `fdr`.

    Controlled: the expected share, among the scenes found, of those whose score is exchangeable with the calibration's
    is at most `fdr`. Sharing one calibration set leaves the p-values positively dependent, which step-up allows (Bates,
    Candes, Lei, Romano & Sesia, Ann. Stat. 2023, 51:149). With the non-members of the *same* model as calibration, the
    members of a random split that left no trace are exchangeable with them.

    Not controlled: with the non-members of a shadow, unless their scores are distributed as those of the victim's are,
    which other data, another network or fit undo; with scenes that the attacker was fitted on; where members and
    non-members differ without any model (see the control); where several scenes are one group, unless one of each is
    taken; where the longest of several lists is picked. It is an average over audits, not a promise for one list.

    No p-value is below 1 / (M + 1), so at least N / (fdr (M + 1)) scenes must outrank the whole calibration before any
    is found. Raises MiaSegError for values that are not finite, no score or calibration, and an fdr outside (0, 1).
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
    """A random half of the members and of the non-members."""
    half_N = np.zeros(len(members_N), np.bool_)
    for kind, places in (("member", np.flatnonzero(members_N)), ("non-member", np.flatnonzero(~members_N))):
        if len(places) < 2:
            raise MiaSegError(f"There is one {kind}; an epsilon needs one to choose the threshold and one to judge it.")
        half_N[rng.permutation(places)[: len(places) // 2]] = True
    return half_N


def _best(scores_N: Floats, members_N: Booleans, delta: float, *, level: float) -> float:
    """The threshold with the largest bound: what it promises here is not kept, only where it lies."""
    ranking = rank(scores_N, members_N)
    tp, fp = called(ranking)
    bounds_S = _epsilons(tp[1:], fp[1:], (int(tp[-1]), int(fp[-1])), delta=delta, level=level)
    return float(ranking.scores_S[int(np.argmax(bounds_S))])


def _epsilons(
    hits: Iterable[int], alarms: Iterable[int], counts: tuple[int, int], *, delta: float, level: float
) -> Floats:
    """The larger of both ratios' bounds for hits of counts[0] members and alarms of counts[1] non-members."""
    tail = (1 - level) / 2
    tpr = np.array([clopper_pearson(k / counts[0], counts[0], tail)[0] for k in hits])
    fpr = np.array([clopper_pearson(k / counts[1], counts[1], tail)[1] for k in alarms])
    # From 1 on a ratio shows something; the denominators are never 0.
    return np.log(np.maximum.reduce([np.ones_like(tpr), (tpr - delta) / fpr, (1 - fpr - delta) / (1 - tpr)]))


def _right(scores: npt.ArrayLike, members: npt.ArrayLike, guesses: int, *, seed: int) -> tuple[int, int]:
    """How many guesses are right, and of how many scenes."""
    scores_N, members_N = checked(np.asarray(scores, np.float64), np.asarray(members))
    if guesses % 2 or not 2 <= guesses <= len(scores_N):
        raise MiaSegError(f"guesses = {guesses} of {len(scores_N)} scenes; it must be even, from 2 to their number.")
    order_N, half = np.lexsort((np.random.default_rng(seed).permutation(len(scores_N)), -scores_N)), guesses // 2
    return int(members_N[order_N[:half]].sum() + (~members_N[order_N[-half:]]).sum()), len(scores_N)


def _largest(rejected: Callable[[float], bool], high: float) -> float:
    """The largest value from 0 to `high` that is rejected, where all smaller ones are too; 0 where none is."""
    low = 0.0
    if not rejected(low):
        return low
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if rejected(middle) else (low, middle)
    return low


def _impossible(mu: float, right: int, guesses: int, *, scenes: int, level: float) -> bool:
    """Whether `right` of `guesses` are more than a mu-private algorithm allows at that confidence."""
    told, untold = (1 - level) * right / scenes, (1 - level) * (guesses - right) / scenes
    for i in range(right - 1, -1, -1):
        wider = max(untold, float(ndtr(ndtri(told) - mu)))
        if wider == untold:  # nothing changes from here on
            break
        told, untold = min(told + i / (guesses - i) * (wider - untold), 1.0), wider
    return told + untold > guesses / scenes


def _chance(epsilon: float, right: int, guesses: int, *, scenes: int, delta: float) -> float:
    """At most how likely `right` of `guesses` are right under (epsilon, delta)-privacy."""
    share = 1 / (1 + np.exp(-epsilon))
    just_below = np.cumsum(binom.pmf(np.arange(right - 1, -1, -1), guesses, share))
    alpha = np.max(just_below / np.arange(1, right + 1), initial=0.0)
    return float(min(1.0, binom.sf(right - 1, guesses, share) + 2 * scenes * delta * alpha))
