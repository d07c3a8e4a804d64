"""Membership metrics: against scikit-learn, closed forms, hand-made scores, and simulated coverage of the intervals."""

import json
import time
from collections.abc import Callable
from dataclasses import asdict, replace

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import beta, binomtest, norm, t
from sklearn.metrics import balanced_accuracy_score, precision_recall_curve, roc_auc_score, roc_curve

from mia_seg.errors import MiaSegError
from mia_seg.metrics import membership
from mia_seg.metrics._ranking import groups_of, rank
from mia_seg.metrics.membership import (
    Measurement,
    Rate,
    RateAtFpr,
    auc,
    best_threshold,
    measure,
    precision_recall,
    ranked,
    roc,
)


def binormal(each: int, distance: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """`each` members from N(distance, 1) and as many non-members from N(0, 1)."""
    members = np.arange(2 * each) < each
    return np.random.default_rng(seed).normal(size=2 * each) + distance * members, members


def tied(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores with many ties, leaking a little."""
    rng = np.random.default_rng(seed)
    members = rng.random(150) < 0.4
    return np.round(rng.normal(size=150) + members, 1), members


def separated(members: int, nonmembers: int) -> tuple[np.ndarray, np.ndarray]:
    scores = np.arange(members + nonmembers)
    return scores, scores >= nonmembers


def exact(hits: int, count: int) -> tuple[float, float]:
    bounds = binomtest(hits, count).proportion_ci(method="exact")
    return bounds.low, bounds.high


def operating_point(measurement: Measurement, target: str = "0.1") -> RateAtFpr:
    point = measurement.tpr_at_fpr[target]
    assert not isinstance(point, str), point
    return point


def rate(found: Rate | str) -> Rate:
    assert not isinstance(found, str), found
    return found


def width(measurement: Measurement) -> float:
    return measurement.auc_high - measurement.auc_low


@pytest.mark.parametrize("seed", range(5))
def test_curves_and_auc_agree_with_scikit_learn(seed: int) -> None:
    scores, members = tied(seed)
    for ours, theirs in zip(roc(scores, members), roc_curve(members, scores, drop_intermediate=False), strict=True):
        assert ours.dtype == np.float64
        assert np.allclose(ours, theirs)
    for ours, theirs in zip(
        precision_recall(scores, members), precision_recall_curve(members, scores)[:2], strict=True
    ):
        assert np.allclose(ours, theirs)
    assert auc(scores, members) == pytest.approx(roc_auc_score(members, scores), abs=1e-12)


def test_binormal_closed_forms() -> None:
    # Quantiles instead of draws: the sample is as binormal as 2000 scores can be.
    quantiles = norm.ppf((np.arange(2000) + 0.5) / 2000)
    scores, members = np.concatenate([quantiles + 1.5, quantiles]), np.repeat([True, False], 2000)
    result = measure(scores, members, threshold=0.75, rounds=50)
    assert result.auc == pytest.approx(norm.cdf(1.5 / np.sqrt(2)), abs=1e-3)
    assert result.balanced_accuracy == pytest.approx(norm.cdf(0.75), abs=1e-3)
    assert operating_point(result)["tpr"] == pytest.approx(norm.cdf(1.5 + norm.ppf(0.1)), abs=2e-3)
    false_positives = norm.sf(1.5 - norm.ppf(0.8))  # the ROC is concave, so recall 0.8 itself is best
    assert result.precision_at_recall_80 == pytest.approx(0.8 / (0.8 + false_positives), abs=2e-3)
    assert best_threshold(scores, members) == pytest.approx(0.75, abs=0.05)  # a flat top


def test_hand_made_scores() -> None:
    scores, members = [0.9, 0.8, 0.8, 0.3, 0.1], [1, 1, 0, 1, 0]
    fpr, tpr, thresholds = roc(scores, members)
    assert fpr.tolist() == [0, 0, 0.5, 0.5, 1]
    assert tpr.tolist() == pytest.approx([0, 1 / 3, 2 / 3, 1, 1])
    assert thresholds.tolist() == [np.inf, 0.9, 0.8, 0.3, 0.1]
    precision, recall = precision_recall(scores, members)
    assert precision.tolist() == pytest.approx([3 / 5, 3 / 4, 2 / 3, 1, 1])
    assert recall.tolist() == pytest.approx([1, 1, 2 / 3, 1 / 3, 0])
    assert auc(scores, members) == 4.5 / 6
    assert measure(scores, members, threshold=0.8).precision_at_recall_80 == 3 / 4


def test_recall_of_exactly_four_fifths_counts() -> None:
    result = measure([9, 8, 7, 6, 1, 5, 4, 0], [1, 1, 1, 1, 1, 0, 0, 0], threshold=5.5, rounds=10)
    assert result.precision_at_recall_80 == 1


def test_scores_as_far_apart_as_floats_go() -> None:
    assert auc([1.7e308, -1.7e308], [1, 0]) == 1


def test_higher_means_member() -> None:
    scores, members = separated(5, 5)
    assert auc(scores, members) == 1
    assert auc(-scores, members) == 0
    assert auc(np.zeros(10), members) == 0.5


@pytest.mark.parametrize("transform", [np.exp, lambda s: s**3, lambda s: 1e300 * s - 1e299])
def test_only_the_order_of_scores_matters(transform: Callable[[np.ndarray], np.ndarray]) -> None:
    scores, members = tied(7)
    before = measure(scores, members, threshold=0.5, rounds=100)
    after = measure(transform(scores), members, threshold=float(transform(np.array(0.5))), rounds=100)
    assert replace(after, threshold=0.5) == before


def test_the_order_of_input_does_not_matter_for_estimates() -> None:
    scores, members = tied(8)
    shuffled = np.random.default_rng(0).permutation(150)
    assert roc(scores, members)[1].tolist() == roc(scores[shuffled], members[shuffled])[1].tolist()
    assert best_threshold(scores, members) == best_threshold(scores[shuffled], members[shuffled])


def test_tpr_at_fpr_takes_the_largest_realised_fpr_below_the_target() -> None:
    # 20 non-members: one above all members but one, three tied in the middle.
    nonmembers = [90, 50, 50, 50, *range(16)]
    members = [99, 80, 70, 60, 50, 40]
    result = measure(nonmembers + members, [0] * 20 + [1] * 6, threshold=55)
    point, (low, high) = operating_point(result), exact(1, 20)
    expected = {"tpr": 4 / 6, "realised_fpr": 0.05, "false_positives": 1, "fpr_low": low, "fpr_high": high}
    assert {name: point[name] for name in expected} == pytest.approx(expected)


def beta_rank(count: int, rate: float, chance: float) -> float:
    """The real k at which a Beta(k, count + 1 - k) variable is at most `rate` with that chance."""
    return float(brentq(lambda k: beta.cdf(rate, k, count + 1 - k) - chance, 1e-9, count))


@pytest.mark.parametrize(("count", "tail"), [(100, 0.025), (30, 0.05)])
def test_tpr_interval_joins_the_members_error_and_the_thresholds(count: int, tail: float) -> None:
    """Of 30 the highest is above the threshold by chance alone, in 4%: the interval begins at 0, and ends for 5%."""
    nonmembers, members = np.arange(count), np.arange(100) + count - 60 + 0.5
    point = operating_point(measure([*members, *nonmembers], [1] * 100 + [0] * count, threshold=0.0, rounds=1))
    ranks = beta_rank(count, 0.1, 1 - tail), beta_rank(count, 0.1, tail)
    # Above the k-th highest non-member lie 40 + k of the members.
    at_few, at_many = (np.interp(rank, np.arange(count + 1), [0, *(41 + np.arange(count)) / 100]) for rank in ranks)
    tpr = (41 + count // 10) / 100
    sampled = binomtest(round(100 * tpr), 100).proportion_ci(1 - 2 * tail, method="wilson")
    assert point["tpr"] == tpr
    assert point["low"] == pytest.approx(tpr - np.hypot(tpr - sampled.low, tpr - at_few) if count == 100 else 0)
    assert point["high"] == pytest.approx(tpr + np.hypot(sampled.high - tpr, at_many - tpr))


@pytest.mark.parametrize(("count", "bounded"), [(35, False), (36, True)])
def test_tpr_has_no_lower_bound_where_the_threshold_may_lie_above_everyone(count: int, bounded: bool) -> None:
    point = operating_point(measure(*separated(40, count), threshold=0.0, rounds=1))
    assert point["tpr"] == 1
    assert (point["low"] > 0) == bounded == (0.9**count < 0.025)


@pytest.mark.parametrize(("count", "first", "second"), [(9, False, False), (10, True, False), (100, True, True)])
def test_fpr_below_one_nonmember_is_not_resolvable(count: int, first: bool, second: bool) -> None:
    points = measure(*separated(40, count), threshold=0.0, rounds=10).tpr_at_fpr
    assert [points["0.1"] != "not resolvable", points["0.01"] != "not resolvable"] == [first, second]


def test_resolution_counts_groups_not_scores() -> None:
    scores, members = binormal(200, 1)
    groups = np.arange(400) // 10
    result, alone = (measure(scores, members, threshold=0.0, groups=u, rounds=10) for u in (groups, None))
    point, narrow = operating_point(result), operating_point(alone)
    assert point["high"] - point["low"] > narrow["high"] - narrow["low"]  # 20 groups, not 200 scores
    assert result.tpr_at_fpr["0.01"] == "not resolvable"


def test_balanced_accuracy_at_the_given_threshold() -> None:
    scores, members = tied(3)
    result = measure(scores, members, threshold=0.5)
    assert result.threshold == 0.5
    assert result.balanced_accuracy == pytest.approx(balanced_accuracy_score(members, scores >= 0.5))


def test_balanced_accuracy_interval_joins_two_exact_ones() -> None:
    result = measure(*separated(40, 30), threshold=32.0)  # two members missed, no false alarm
    (tpr_low, tpr_high), (tnr_low, _) = exact(38, 40), exact(30, 30)
    assert (result.tpr, result.tpr_low, result.tpr_high) == pytest.approx((0.95, tpr_low, tpr_high))
    assert (result.fpr, result.fpr_low, result.fpr_high) == pytest.approx((0, 0, 1 - tnr_low))
    assert result.balanced_accuracy == 0.975
    assert result.balanced_accuracy_low == pytest.approx(0.975 - np.hypot(0.95 - tpr_low, 1 - tnr_low) / 2)
    assert result.balanced_accuracy_high == pytest.approx(0.975 + (tpr_high - 0.95) / 2)


def test_best_threshold_is_halfway_and_best() -> None:
    assert best_threshold([0, 1, 4, 5], [0, 0, 1, 1]) == 2.5
    scores, members = tied(1)
    tried = [balanced_accuracy_score(members, scores >= t) for t in np.arange(-4.05, 4.1, 0.1)]
    assert balanced_accuracy_score(members, scores >= best_threshold(scores, members)) == pytest.approx(max(tried))


def test_best_threshold_of_equals_accuses_the_fewest() -> None:
    # Above 3 or above 1: three quarters right either way.
    assert best_threshold([4, 3, 2, 1], [1, 0, 1, 0]) == 3.5


def test_best_threshold_without_a_leak_calls_everyone() -> None:
    assert best_threshold([1, 2, 3, 4], [1, 1, 0, 0]) == 1
    assert best_threshold([7, 7, 7], [1, 0, 0]) == 7


@pytest.mark.parametrize("above", [1.0, 1.7e308, 5e-324])
def test_best_threshold_separates_adjacent_floats(above: float) -> None:
    below = np.nextafter(above, -np.inf)
    threshold = best_threshold([below, above], [0, 1])
    assert below < threshold <= above


def test_predictive_values_fall_with_the_base_rate() -> None:
    result = measure(*separated(40, 30), threshold=28.0, rounds=1)  # two of 30 non-members are called
    low, high = (binomtest(hits, n).proportion_ci(0.975, "exact") for hits, n in ((40, 40), (2, 30)))
    for base in (0.5, 0.1, 0.01):
        ends = [tpr * base / (tpr * base + fpr * (1 - base)) for tpr, fpr in ((low.low, high.high), (1, high.low))]
        expected = {"value": base / (base + 2 / 30 * (1 - base)), "low": ends[0], "high": ends[1]}
        assert result.ppv[f"{base:g}"] == pytest.approx(expected)
    assert rate(result.ppv["0.01"])["high"] < 0.65 < rate(result.ppv["0.5"])["low"]


def test_predictive_value_without_members_or_without_anybody_called() -> None:
    scores, members = separated(40, 30)
    wrong = rate(measure(-scores, members, threshold=-5.0, rounds=1).ppv["0.5"])
    assert (wrong["value"], wrong["low"]) == (0, 0)
    tpr = binomtest(0, 40).proportion_ci(0.975, "exact").high
    fpr = binomtest(6, 30).proportion_ci(0.975, "exact").low
    assert wrong["high"] == pytest.approx(tpr / (tpr + fpr))
    assert set(measure(scores, members, threshold=1000.0, rounds=1).ppv.values()) == {"nobody called"}


def plain_auc_interval(scores: np.ndarray, members: np.ndarray, groups: np.ndarray) -> tuple[float, float]:
    """`auc_interval` pair by pair and group by group."""

    def wins(a: float, b: float) -> float:
        return 0.5 if a == b else float(a > b)

    above = {
        i: np.mean([wins(scores[i], scores[j]) for j in np.flatnonzero(~members)]) for i in np.flatnonzero(members)
    }
    below = {
        j: np.mean([wins(scores[i], scores[j]) for i in np.flatnonzero(members)]) for j in np.flatnonzero(~members)
    }
    area = np.mean(list(above.values()))
    variances, counts, sizes = [], [], []
    for placements in (above, below):
        of_group: dict[int, list[float]] = {}
        for i, value in placements.items():
            of_group.setdefault(int(groups[i]), []).append(value - area)
        k, n = len(of_group), len(placements)
        variances.append(k / (k - 1) * sum(sum(values) ** 2 for values in of_group.values()) / n**2)
        counts.append(n**2 / sum(len(values) ** 2 for values in of_group.values()))
        sizes.append(k)
    total, worth, wrong = sum(variances), min(counts), min(counts) * min(area, 1 - area)
    df = total**2 / sum(v**2 / (k - 1) for v, k in zip(variances, sizes, strict=True))
    averaged = (wrong * total / (area * (1 - area)) + 0.1 / worth) / (wrong + 0.1)
    z = t.ppf(0.975, df)

    def rejected(truth: float) -> float:
        return abs(area - truth) - z * np.sqrt(truth * (1 - truth) * averaged)

    return brentq(rejected, 0, area), brentq(rejected, area, 1)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("largest", [1, 6])
def test_auc_interval_agrees_with_plain_loops(seed: int, largest: int) -> None:
    rng = np.random.default_rng(seed)
    members = np.arange(70) < 30
    groups = np.where(members, 0, 1000) + rng.integers(100, size=70) // largest  # groups of different sizes
    scores = np.round(rng.normal(size=70) + 1.3 * members + 0.7 * np.sin(groups), 1)
    result = measure(scores, members, threshold=0.5, groups=groups, rounds=1)
    assert (result.auc_low, result.auc_high) == pytest.approx(plain_auc_interval(scores, members, groups), abs=1e-6)


def test_auc_interval_is_near_a_plain_bootstrap_where_both_hold() -> None:
    scores, members = binormal(150, 1)
    rng, samples = np.random.default_rng(9), []
    for _ in range(1500):
        places = np.concatenate([rng.integers(150, size=150), 150 + rng.integers(150, size=150)])
        samples.append(auc(scores[places], members[places]))
    result = measure(scores, members, threshold=0.5, rounds=1)
    assert (result.auc_low, result.auc_high) == pytest.approx(np.quantile(samples, [0.025, 0.975]), abs=0.01)


def test_auc_interval_covers_the_truth() -> None:
    truth, covered = norm.cdf(1 / np.sqrt(2)), 0
    for seed in range(200):
        result = measure(*binormal(60, 1, seed), threshold=0.5, rounds=1)
        covered += result.auc_low <= truth <= result.auc_high
    assert 0.90 <= covered / 200 <= 0.99


def test_precision_interval_does_not_see_a_leak_where_there_is_none() -> None:
    covered = 0
    for seed in range(100):
        result = measure(*binormal(60, 0, seed), threshold=0.0, rounds=200)
        low, high = result.precision_at_recall_80_low, result.precision_at_recall_80_high
        assert low <= result.precision_at_recall_80 <= high
        covered += low <= 0.5 <= high
    assert covered >= 90


def test_copies_of_patches_shrink_the_interval_only_without_groups() -> None:
    scores, members = binormal(40, 1)
    once = measure(scores, members, threshold=0.5)
    copies, kinds, scenes = np.repeat(scores, 10), np.repeat(members, 10), np.repeat(np.arange(80), 10)
    by_scene = measure(copies, kinds, threshold=0.5, groups=scenes)
    assert width(by_scene) == pytest.approx(width(once), rel=0.1)
    assert operating_point(by_scene) == {**operating_point(once), "false_positives": 40}
    assert by_scene.balanced_accuracy_low == pytest.approx(once.balanced_accuracy_low)
    assert width(measure(copies, kinds, threshold=0.5)) == pytest.approx(width(once) / np.sqrt(10), rel=0.15)


def test_groups_of_unlike_sizes_count_as_little_as_the_largest_lets_them() -> None:
    scores, members = np.arange(60.0), np.arange(60) >= 30
    groups = np.where(np.arange(60) % 30 < 21, 0, np.arange(60) % 30)  # one of 21 scenes, nine of one
    result = measure(scores, members, threshold=30.0, groups=groups, rounds=1)
    assert result.n_member_groups == 10
    worth = 30**2 / (21**2 + 9)  # two, not ten
    assert result.tpr_low == pytest.approx(beta.ppf(0.025, worth, 1))
    assert set(result.tpr_at_fpr.values()) == {"not resolvable"}


def test_groups_of_any_hashable_kind_and_mixed_groups() -> None:
    scores, members = binormal(40, 1)
    blocks = [("drive", place % 40) for place in range(80)]  # each holds a member and a non-member
    result = measure(scores, members, threshold=0.5, groups=blocks)
    assert (result.n_member_groups, result.n_nonmember_groups) == (40, 40)
    named = measure(scores, members, threshold=0.5, groups=np.array([f"{kind}{n}" for kind, n in blocks]))
    assert named == result


@pytest.mark.parametrize(("members", "nonmembers"), [(60, 60), (500, 40), (3, 300)])
def test_faultless_scores_get_an_honest_lower_end(members: int, nonmembers: int) -> None:
    result = measure(*separated(members, nonmembers), threshold=float(nonmembers))
    fewest = min(members, nonmembers)
    assert (result.auc, result.auc_high) == (1, 1)
    assert result.auc_low == pytest.approx(fewest / (fewest + t.ppf(0.975, fewest - 1) ** 2))  # Wilson's for all right
    assert result.auc_low < 0.025 ** (1 / fewest)  # the exact bound for as many independent pairs
    assert result.precision_at_recall_80 == result.precision_at_recall_80_high == 1
    expected = members / (members + nonmembers * exact(0, fewest)[1])
    assert result.precision_at_recall_80_low == pytest.approx(expected)


def test_one_nonmember_leaves_the_auc_open() -> None:
    result = measure(np.arange(50), np.arange(50) != 20, threshold=10.0)
    assert result.auc == 29 / 49
    assert (result.auc_low, result.auc_high) == (0, 1)
    assert set(result.tpr_at_fpr.values()) == {"not resolvable"}
    assert result.n_nonmember_groups == 1


def test_constant_scores() -> None:
    result = measure(np.zeros(80), np.arange(80) < 40, threshold=0.0)
    assert result.auc == 0.5
    assert result.auc_low < 0.4
    assert result.auc_high > 0.6
    point = operating_point(result)
    assert (point["tpr"], point["realised_fpr"], point["false_positives"]) == (0, 0, 0)
    assert (result.tpr, result.fpr, rate(result.ppv["0.1"])["value"]) == (1, 1, 0.1)  # `threshold` calls everyone
    assert result.balanced_accuracy == result.precision_at_recall_80 == 0.5
    assert result.roc_points == [[0, 0], [1, 1]]


def test_same_seed_same_result() -> None:
    scores, members = binormal(200, 1)
    first = measure(scores, members, threshold=0.5, seed=1)
    assert first == measure(scores, members, threshold=0.5, seed=1)
    other = measure(scores, members, threshold=0.5, seed=2)
    assert first.precision_at_recall_80_low != other.precision_at_recall_80_low
    assert first.auc_low == other.auc_low


def test_a_thousand_rounds_of_patches_take_less_than_two_seconds() -> None:
    scores, members = binormal(1500, 1)
    start = time.process_time()
    measure(scores, members, threshold=0.5, groups=np.arange(3000) // 10)
    assert time.process_time() - start < 2


def test_points_are_few_ascending_operating_points() -> None:
    scores, members = binormal(3000, 1)
    result = measure(scores, members, threshold=0.5, rounds=10)
    fpr, tpr, _ = roc(scores, members)
    precision, recall = precision_recall(scores, members)
    for points, x, y in [(result.roc_points, fpr, tpr), (result.pr_points, recall, precision)]:
        assert len(points) <= 101
        assert points == sorted(points)
        assert {tuple(point) for point in points} <= set(zip(x.tolist(), y.tolist(), strict=True))
    assert result.roc_points[0] == [0, 0]
    assert result.roc_points[-1] == [1, 1]
    assert [0, tpr[fpr == 0].max()] in result.roc_points  # the corner that a strict auditor reads
    assert sum(x <= 0.01 for x, _ in result.roc_points) > 15
    assert np.trapezoid(*np.transpose(result.roc_points)[::-1]) == pytest.approx(result.auc, abs=0.005)
    assert result.pr_points[0] == [0, 1]
    assert result.pr_points[-1][0] == 1
    assert all(y == precision[recall == x].max() for x, y in result.pr_points)


def test_small_samples_keep_every_point() -> None:
    scores, members = tied(2)
    fpr, tpr, _ = roc(scores, members)
    assert measure(scores, members, threshold=0.5).roc_points == np.column_stack([fpr, tpr]).tolist()


def test_a_measurement_is_plain_json() -> None:
    result = asdict(measure(*tied(4), threshold=0.5, groups=["a", "b", "c"] * 50))
    assert json.loads(json.dumps(result, allow_nan=False)) == result


@pytest.mark.parametrize(
    "function", [roc, precision_recall, auc, best_threshold, lambda *a: measure(*a, threshold=0.0)]
)
@pytest.mark.parametrize(
    ("scores", "members", "message"),
    [
        ([1, np.nan], [1, 0], "Score 1 is nan"),
        ([-np.inf, 1], [1, 0], "Score 0 is -inf"),
        ([1, 2, 3], [1, 0], r"\(3,\) and memberships \(2,\)"),
        ([[1], [0]], [[1], [0]], "two lists of one length"),
        ([1, 2], [1, 1], "no non-members among the 2 scores"),
        ([1, 2], [0, 0], "no members among the 2 scores"),
        ([], [], "no members among the 0 scores"),
        ([1, 2], [1, 2], "found 2"),
    ],
)
def test_bad_input_is_refused(
    function: Callable[..., object], scores: list[float], members: list[int], message: str
) -> None:
    with pytest.raises(MiaSegError, match=message):
        function(scores, members)


def test_bad_groups_and_thresholds_are_refused() -> None:
    with pytest.raises(MiaSegError, match="2 scores but 3 groups"):
        measure([1, 2], [0, 1], threshold=0.0, groups=["a", "b", "c"])
    with pytest.raises(MiaSegError, match="threshold is inf"):
        measure([1, 2], [0, 1], threshold=np.inf)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_side_that_is_nearly_one_group_has_the_whole_interval(value: float) -> None:
    """Its degrees of freedom are nearly none, and Student's quantile is infinite."""
    members = np.repeat([True, False], 3001)
    groups = np.repeat(["a", "b", "c", "d"], [3000, 1, 3000, 1])
    found = ranked(value * members, members, groups=groups)
    assert (found["auc_low"], found["auc_high"]) == pytest.approx((0, 1), abs=1e-9)


def test_the_bootstrap_looks_at_every_threshold() -> None:
    """Against the definition: weights of all scores, summed down to each of them; ties, groups on both sides."""
    scores, members = tied(3)
    ranking = rank(scores, members)
    drawn = groups_of(ranking, np.arange(150) // 4)
    found, expected = membership._bootstrap(ranking, drawn, 5, rounds=60), []
    for weights in np.concatenate(list(drawn.draws(5, 60)))[:, drawn.slots_N]:
        tp, fp = (np.cumsum(weights * side)[ranking.ends_S] for side in (ranking.members_N, ~ranking.members_N))
        expected.append(np.where(tp / tp[-1] >= 0.8, tp / np.maximum(tp + fp, 1), 0).max())
    assert found.tolist() == expected
