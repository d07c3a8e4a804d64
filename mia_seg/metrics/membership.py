"""Membership metrics: how well scores tell members from non-members. A higher score = more likely a member.

Axes: N scores, from the highest down; S steps (distinct scores, because nobody can be called between equal ones);
R bootstrap rounds. tp and fp are how many members and non-members are called members; entry 0 calls nobody.

Intervals are two-sided 95%. What is drawn again is the unit (a scene with its patches, a block of a drive), members
and non-members separately, since an attack's test holds as many of each as its owner chose.
"""

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt
from scipy.special import betaincinv

from mia_seg.errors import MiaSegError

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Booleans = npt.NDArray[np.bool_]

TAIL = 0.025
RECALL = 0.8  # where He's thesis (doi:10.22028/D291-30218, section 7.4) quotes precision
TARGETS = (0.1, 0.01)
CURVE_POINTS = 101
# Cluster bootstraps come out too narrow with "few (five to thirty)" units: Cameron, Gelbach & Miller, REStat 2008.
FEW_UNITS = 30
# Weights that one pass of the bootstrap holds: 16 MiB an array, however many scores there are.
PASS = 2**21

NOT_RESOLVABLE = "not resolvable"


class RateAtFpr(TypedDict):
    """An operating point: `tpr` in [low, high] with `false_positives` scores called, at `realised_fpr` <= target."""

    tpr: float
    low: float
    high: float
    realised_fpr: float
    false_positives: int


@dataclass(frozen=True)
class Measurement:
    """What one attack achieved at one level (images or patches); plain JSON through `dataclasses.asdict`.

    Counts are of scores and of units; rates are fractions; x_low and x_high bound x. See `measure` for definitions.
    roc_points: at most 101 [fpr, tpr] pairs; pr_points: at most 101 [recall, precision] pairs; x ascends in both.
    """

    n_members: int
    n_nonmembers: int
    n_member_units: int
    n_nonmember_units: int
    auc: float
    auc_low: float
    auc_high: float
    precision_at_recall_80: float
    precision_at_recall_80_low: float
    precision_at_recall_80_high: float
    tpr_at_fpr: dict[str, RateAtFpr | str]
    threshold: float
    balanced_accuracy: float
    balanced_accuracy_low: float
    balanced_accuracy_high: float
    roc_points: list[list[float]]
    pr_points: list[list[float]]


def roc(scores: npt.ArrayLike, members: npt.ArrayLike) -> tuple[Floats, Floats, Floats]:
    """False and true positive rates [S + 1] and their falling thresholds, the first infinite; ties are one step.

    scores [N] finite; members [N] bool or 0/1. Raises MiaSegError as `measure` does.
    """
    ranking = _rank(scores, members)
    tp, fp = _called(ranking)
    return fp / fp[-1], tp / tp[-1], np.append(np.inf, ranking.scores_S)


def precision_recall(scores: npt.ArrayLike, members: npt.ArrayLike) -> tuple[Floats, Floats]:
    """Precision and recall [S + 1] by rising threshold, ending at precision 1 and recall 0 (nobody called).

    scores [N] finite; members [N] bool or 0/1. Raises MiaSegError as `measure` does.
    """
    tp, fp = _called(_rank(scores, members))
    precision = np.append(1.0, tp[1:] / (tp + fp)[1:])
    return precision[::-1], (tp / tp[-1])[::-1]


def auc(scores: npt.ArrayLike, members: npt.ArrayLike) -> float:
    """Chance that a member outscores a non-member, ties counting 1/2: the Mann-Whitney statistic over its n m pairs.

    scores [N] finite; members [N] bool or 0/1. Raises MiaSegError as `measure` does.
    """
    return float(_auc(*_called(_rank(scores, members))))


def best_threshold(scores: npt.ArrayLike, members: npt.ArrayLike) -> float:
    """The threshold t with the best balanced accuracy of "member where score >= t", to be chosen on the shadow.

    Halfway between the neighbouring scores, or the lowest score where calling everyone is best. Of equally good ones
    the highest, which accuses the fewest. Raises MiaSegError as `measure` does.
    """
    ranking = _rank(scores, members)
    tp, fp = _called(ranking)
    # Youden's J times n m: in integers equally good thresholds are equal, whatever the rounding.
    step = int(np.argmax(tp[1:] * fp[-1] - fp[1:] * tp[-1]))
    above, below = ranking.scores_S[step], ranking.scores_S[min(step + 1, len(ranking.scores_S) - 1)]
    middle = above / 2 + below / 2
    # Between adjacent floats there is no middle: it may round to `below` and call that step too.
    return float(middle if middle > below else above)


def measure(
    scores: npt.ArrayLike,
    members: npt.ArrayLike,
    *,
    threshold: float,
    units: Iterable[Hashable] | None = None,
    seed: int = 0,
    rounds: int = 1000,
) -> Measurement:
    """Everything a report says about the scores [N] (finite) of members [N] (bool or 0/1); the same at every level.

    units: one key a score; scores with one key are drawn together, None = each by itself. A unit with both members and
    non-members counts once on each side. threshold: member where score >= threshold, chosen elsewhere (on the shadow).

    - auc: percentile bootstrap. Where that touches 0 or 1, has no width, or a side has fewer than 30 units, it is
      widened to the Clopper-Pearson interval of as many member/non-member pairs as the smaller side has units: a
      bootstrap of faultless scores would claim [1, 1]. n disjoint pairs are independent and each is ordered rightly
      with chance AUC, so P(all are) = AUC^n, whatever the distributions; `auc` averages all ways to pair (Hoeffding,
      JASA 1963, section 5), so it varies no more than one way does. In simulation this covered about 0.93 with 60
      units a side, but 0.88 where the AUC was 0.98 and the bootstrap stopped just short of 1.
    - precision_at_recall_80: the best precision of all operating points with recall >= 0.8, at these numbers of
      members and non-members. As a maximum it errs upwards, most where nothing leaks, and its bootstrap does so
      again. The lower end is therefore the smaller of the percentile and the reflected end (the "basic" bootstrap:
      Davison & Hinkley 1997, section 5.2), and at least the share of members, the precision of calling everyone.
      Widened under the conditions above by Clopper-Pearson on the false positive rate at that point.
    - tpr_at_fpr: at the largest realised FPR <= target. The interval is Clopper & Pearson's (Biometrika 1934) at the
      number of member units and conditional on the threshold: it leaves out how the threshold would move with other
      non-members. "not resolvable" where non-member units are fewer than 1 / target: one unit alone would exceed it.
    - balanced_accuracy: (TPR + TNR) / 2 at `threshold`. Both rates have Clopper-Pearson intervals at their unit
      counts, joined by square-and-add (Newcombe, Stat. Med. 1998, 17:873).
    - roc_points, pr_points: operating points of `roc` and `precision_recall`, never interpolated; all of them if at
      most 101. Otherwise [0, 0] and the last point at or before each of 50 FPRs up to 0.1 (0, then logarithmic from
      1e-4) and 50 even ones up to 1; and the first, most precise point that reaches each recall 0, 0.01, ..., 1.

    Counting units errs on the wide side: a unit's share of called scores varies at most like one call of 0 or 1.
    Raises MiaSegError for NaN or infinite values, unlike lengths, no members or no non-members.
    """
    ranking = _rank(scores, members)
    drawn = _units(ranking, units)
    tp, fp = _called(ranking)
    accuracy, accuracy_low, accuracy_high = _balanced_accuracy(ranking, tp, fp, threshold, drawn)
    samples_2R = _bootstrap(ranking, drawn, seed, rounds)
    area = float(_auc(tp, fp))
    area_low, area_high = _widened(samples_2R[0], _clopper_pearson(area, drawn.fewest), drawn.fewest)
    precision, precision_low, precision_high = _precision_at_recall(tp, fp, samples_2R[1], drawn.fewest)
    return Measurement(
        n_members=int(tp[-1]),
        n_nonmembers=int(fp[-1]),
        n_member_units=drawn.members,
        n_nonmember_units=drawn.nonmembers,
        auc=area,
        auc_low=area_low,
        auc_high=area_high,
        precision_at_recall_80=precision,
        precision_at_recall_80_low=precision_low,
        precision_at_recall_80_high=precision_high,
        tpr_at_fpr={f"{target:g}": _rate_at_fpr(tp, fp, target, drawn) for target in TARGETS},
        threshold=float(threshold),
        balanced_accuracy=accuracy,
        balanced_accuracy_low=accuracy_low,
        balanced_accuracy_high=accuracy_high,
        roc_points=_roc_points(tp, fp),
        pr_points=_pr_points(tp, fp),
    )


@dataclass(frozen=True)
class _Ranking:
    """Scores from the highest down: order_N their places in the input, ends_S the last position of each step."""

    order_N: npt.NDArray[np.intp]
    members_N: Booleans
    ends_S: npt.NDArray[np.intp]
    scores_S: Floats


@dataclass(frozen=True)
class _Units:
    """slots_N: the unit of each ranked score; member units have the first numbers, non-member units the rest."""

    slots_N: Integers
    members: int
    nonmembers: int

    @property
    def fewest(self) -> int:
        return min(self.members, self.nonmembers)


def _rank(scores: npt.ArrayLike, members: npt.ArrayLike) -> _Ranking:
    scores_N, members_N = _checked(np.asarray(scores, np.float64), np.asarray(members))
    order_N = np.argsort(-scores_N, kind="stable")
    falling_N = scores_N[order_N]
    # Compared, not subtracted: the difference of large scores overflows.
    ends_S = np.flatnonzero(np.append(falling_N[1:] != falling_N[:-1], True))
    return _Ranking(order_N, members_N[order_N], ends_S, falling_N[ends_S])


def _checked(scores_N: Floats, members_N: npt.NDArray[Any]) -> tuple[Floats, Booleans]:
    if scores_N.ndim != 1 or scores_N.shape != members_N.shape:
        raise MiaSegError(
            f"Scores are {scores_N.shape} and memberships {members_N.shape}; two lists of one length are needed."
        )
    if not np.isfinite(scores_N).all():
        place = int(np.argmin(np.isfinite(scores_N)))
        raise MiaSegError(f"Score {place} is {scores_N[place]}; every score must be finite.")
    if not np.isin(members_N, (0, 1)).all():
        raise MiaSegError(f"Memberships are true or false; found {members_N[~np.isin(members_N, (0, 1))][0]}.")
    for kind, missing in (("members", not members_N.any()), ("non-members", members_N.all())):
        if missing:
            raise MiaSegError(f"There are no {kind} among the {len(scores_N)} scores; metrics need both kinds.")
    return scores_N, members_N.astype(np.bool_)


def _units(ranking: _Ranking, units: Iterable[Hashable] | None) -> _Units:
    members_N, count = ranking.members_N, len(ranking.members_N)
    keys: list[Hashable] = list(range(count)) if units is None else list(units)
    if len(keys) != count:
        raise MiaSegError(f"There are {count} scores but {len(keys)} units; each score needs one.")
    rows: dict[bool, dict[Hashable, int]] = {True: {}, False: {}}
    ranked = zip(members_N.tolist(), ranking.order_N.tolist(), strict=True)
    codes_N = np.array([rows[member].setdefault(keys[place], len(rows[member])) for member, place in ranked])
    return _Units(np.where(members_N, codes_N, codes_N + len(rows[True])), len(rows[True]), len(rows[False]))


def _called(ranking: _Ranking, weights_N: Integers | None = None) -> tuple[Integers, Integers]:
    """tp and fp [..., S + 1] as the threshold falls; a weight is how often a score was drawn."""
    weights_N = np.ones(len(ranking.members_N), np.int64) if weights_N is None else weights_N
    everyone = np.cumsum(weights_N, axis=-1)[..., ranking.ends_S]
    members = np.cumsum(weights_N * ranking.members_N, axis=-1)[..., ranking.ends_S]
    nobody = np.zeros((*everyone.shape[:-1], 1), np.int64)
    return np.concatenate([nobody, members], -1), np.concatenate([nobody, everyone - members], -1)


def _auc(tp: Integers, fp: Integers) -> Floats:
    """Trapezoids under the ROC, summed in integers: exact, and a tie's slanted edge is its half."""
    doubled = np.sum(np.diff(fp) * (tp[..., 1:] + tp[..., :-1]), axis=-1)
    return np.asarray(doubled / (2 * tp[..., -1] * fp[..., -1]))


def _precision_where_recalled(tp: Integers, fp: Integers) -> Floats:
    """Precision [..., S] of each step, 0 where recall is below 0.8."""
    # A draw may leave the first steps empty; they have no recall, so any denominator does.
    precision = tp[..., 1:] / np.maximum(tp + fp, 1)[..., 1:]
    return np.where(tp[..., 1:] / tp[..., -1:] >= RECALL, precision, 0.0)


def _bootstrap(ranking: _Ranking, units: _Units, seed: int, rounds: int) -> Floats:
    """AUC and precision at recall 0.8 [2, R] with units drawn again, members and non-members separately."""
    rng = np.random.default_rng(seed)
    size = max(1, PASS // len(units.slots_N))
    passes = []
    for start in range(0, rounds, size):
        draws = _draw(rng, units, min(size, rounds - start))
        tp, fp = _called(ranking, draws[:, units.slots_N])
        passes.append(np.stack([_auc(tp, fp), _precision_where_recalled(tp, fp).max(-1)]))
    return np.concatenate(passes, axis=1)


def _draw(rng: np.random.Generator, units: _Units, rounds: int) -> Integers:
    """How often each unit is drawn [rounds, units]: drawing with replacement is a multinomial of equal chances."""
    sides = [rng.multinomial(n, np.full(n, 1 / n), size=rounds) for n in (units.members, units.nonmembers)]
    return np.concatenate(sides, axis=1)


def _clopper_pearson(rate: float, count: int) -> tuple[float, float]:
    """Bounds of a proportion (Clopper & Pearson 1934) in their beta form, which takes shares of a unit too."""
    hits = rate * count
    low = betaincinv(hits, count - hits + 1, TAIL) if rate > 0 else 0.0
    high = betaincinv(hits + 1, count - hits, 1 - TAIL) if rate < 1 else 1.0
    return float(low), float(high)


def _widened(samples_R: Floats, exact: tuple[float, float], units: int) -> tuple[float, float]:
    """The percentile interval, joined with the exact one where draws cannot show the errors that would be possible."""
    low, high = (float(bound) for bound in np.quantile(samples_R, (TAIL, 1 - TAIL)))
    if 0 < low < high < 1 and units >= FEW_UNITS:
        return low, high
    return min(low, exact[0]), max(high, exact[1])


def _precision_at_recall(tp: Integers, fp: Integers, samples_R: Floats, units: int) -> tuple[float, float, float]:
    """The best precision with recall >= 0.8 and its bounds, as `measure` defines them."""
    precision_S = _precision_where_recalled(tp, fp)
    # Of equally precise thresholds the lowest: it calls the most members.
    best = int(np.flatnonzero(precision_S == precision_S.max())[-1])
    hits, precision = float(tp[best + 1]), float(precision_S[best])
    fpr_low, fpr_high = _clopper_pearson(fp[best + 1] / fp[-1], units)
    low, high = _widened(samples_R, (hits / (hits + fpr_high * fp[-1]), hits / (hits + fpr_low * fp[-1])), units)
    return precision, float(max(min(low, 2 * precision - high), tp[-1] / (tp[-1] + fp[-1]))), float(high)


def _rate_at_fpr(tp: Integers, fp: Integers, target: float, units: _Units) -> RateAtFpr | str:
    if units.nonmembers < 1 / target:
        return NOT_RESOLVABLE
    point = int(np.flatnonzero(fp / fp[-1] <= target)[-1])
    tpr = float(tp[point] / tp[-1])
    low, high = _clopper_pearson(tpr, units.members)
    return {
        "tpr": tpr,
        "low": low,
        "high": high,
        "realised_fpr": float(fp[point] / fp[-1]),
        "false_positives": int(fp[point]),
    }


def _balanced_accuracy(
    ranking: _Ranking, tp: Integers, fp: Integers, threshold: float, units: _Units
) -> tuple[float, float, float]:
    if not np.isfinite(threshold):
        raise MiaSegError(f"The threshold is {threshold}; it must be finite.")
    point = int(np.count_nonzero(ranking.scores_S >= threshold))
    tpr, tnr = float(tp[point] / tp[-1]), float(1 - fp[point] / fp[-1])
    (tpr_low, tpr_high), (tnr_low, tnr_high) = (
        _clopper_pearson(tpr, units.members),
        _clopper_pearson(tnr, units.nonmembers),
    )
    middle = (tpr + tnr) / 2
    low = middle - np.hypot(tpr - tpr_low, tnr - tnr_low) / 2
    return middle, float(low), float(middle + np.hypot(tpr_high - tpr, tnr_high - tnr) / 2)


def _roc_points(tp: Integers, fp: Integers) -> list[list[float]]:
    fpr, tpr = fp / fp[-1], tp / tp[-1]
    grid = np.concatenate([[0.0], np.geomspace(1e-4, 0.1, 49), np.linspace(0.1, 1.0, 51)[1:]])
    # The last point of a vertical run is its upper corner, the most that can be had at that FPR.
    kept = np.append(0, np.searchsorted(fpr, grid, side="right") - 1)
    return _pairs(fpr, tpr, kept)


def _pr_points(tp: Integers, fp: Integers) -> list[list[float]]:
    recall, precision = tp / tp[-1], np.append(1.0, tp[1:] / (tp + fp)[1:])
    # The first point to reach a recall has the fewest false positives of those that do.
    kept = np.searchsorted(recall, np.arange(CURVE_POINTS) / 100, side="left")
    return _pairs(recall, precision, kept)


def _pairs(x: Floats, y: Floats, kept: npt.NDArray[np.intp]) -> list[list[float]]:
    kept = np.arange(len(x)) if len(x) <= CURVE_POINTS else np.unique(kept)
    return [[float(a), float(b)] for a, b in zip(x[kept], y[kept], strict=True)]
