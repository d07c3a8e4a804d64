"""Two attacks on the same scenes: DeLong's covariance in its own form, plain loops, and simulated coverage."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm, t

from mia_seg.errors import MiaSegError
from mia_seg.metrics import paired
from mia_seg.metrics._ranking import groups_of, rank
from mia_seg.metrics.membership import auc, measure, ranked
from mia_seg.metrics.paired import above


def two(seed: int, members: int = 30, nonmembers: int = 40, shared: float = 0.7) -> tuple[np.ndarray, ...]:
    """Scores of two attacks that share what is hard, with ties, and the memberships."""
    rng = np.random.default_rng(seed)
    inside = rng.permutation(np.arange(members + nonmembers) < members)
    hard = rng.normal(size=len(inside))
    first, second = (
        np.round(shared * hard + (1 - shared**2) ** 0.5 * rng.normal(size=len(inside)) + shift * inside, 1)
        for shift in (1.5, 0.7)
    )
    return first, second, inside


def wins(members: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Whether each member outranks each non-member, ties counting half: [n, m]."""
    return np.array([[(x > y) + (x == y) / 2 for y in others] for x in members])


@pytest.mark.parametrize("seed", range(3))
def test_the_difference_of_aucs_is_delong_s(seed: int) -> None:
    """Components V10 and V01, covariance matrices S10 and S01, L S L' with L = (1, -1), as in the paper."""
    *scores, members = two(seed)
    tables = [wins(s[members], s[~members]) for s in scores]
    s10, s01 = (np.cov([table.mean(axis) for table in tables]) for axis in (1, 0))
    contrast = np.array([1, -1])
    parts = contrast @ s10 @ contrast / members.sum(), contrast @ s01 @ contrast / (~members).sum()
    freedom = sum(parts) ** 2 / (parts[0] ** 2 / (members.sum() - 1) + parts[1] ** 2 / ((~members).sum() - 1))
    half = t.ppf(0.975, freedom) * np.sqrt(sum(parts))
    value = tables[0].mean() - tables[1].mean()
    found = above(*scores, members, rounds=1)["auc"]
    assert found == pytest.approx({"value": value, "low": value - half, "high": value + half}, abs=1e-9)
    assert value == pytest.approx(auc(scores[0], members) - auc(scores[1], members))


@pytest.mark.parametrize("seed", range(3))
def test_units_are_drawn_and_counted_whole(seed: int) -> None:
    """Every scene given twice as one group says what it says once."""
    first, second, members = two(seed)
    once = above(first, second, members)
    groups = np.arange(len(members)).repeat(2)
    twice = above(first.repeat(2), second.repeat(2), members.repeat(2), groups=groups)
    assert twice["auc"] == pytest.approx(once["auc"], abs=1e-9)
    assert twice["tpr_at_fpr"]["0.1"] == pytest.approx(once["tpr_at_fpr"]["0.1"], abs=0.04)


def test_scores_that_rank_alike_differ_by_nothing() -> None:
    first, _, members = two(0)
    found = above(first, np.exp(first), members)
    nothing, few = {"value": 0.0, "low": 0.0, "high": 0.0}, "not resolvable"
    assert found == {"auc": nothing, "tpr_at_fpr": {"0.1": nothing, "0.01": few, "0.001": few}}


@pytest.mark.parametrize(("each", "beyond_noise"), [(2, False), (20, True)])
def test_a_difference_that_does_not_vary_is_no_certainty(each: int, beyond_noise: bool) -> None:
    """A faultless attack beside a constant one: every scene adds one half, however few there are."""
    members = np.arange(2 * each) < each
    found = paired.auc_above(members.astype(float), np.zeros(2 * each), members)
    assert found["value"] == 0.5
    assert (found["low"] > 0) is beyond_noise
    assert found["low"] < 0.49
    assert found["high"] > 0.5


def test_turned_round_the_difference_changes_its_sign() -> None:
    first, second, members = two(1)
    one, other = above(first, second, members), above(second, first, members)
    for mine, theirs in ((one["auc"], other["auc"]), (one["tpr_at_fpr"]["0.1"], other["tpr_at_fpr"]["0.1"])):
        assert not isinstance(mine, str)
        assert not isinstance(theirs, str)
        assert [mine["value"], mine["low"], mine["high"]] == pytest.approx(
            [-theirs["value"], -theirs["high"], -theirs["low"]], abs=0.07
        )


def test_the_tprs_are_those_that_measure_gives() -> None:
    first, second, members = two(2, 200, 200)
    found = above(first, second, members)["tpr_at_fpr"]
    points = [ranked(s, members)["tpr_at_fpr"] for s in (first, second)]
    for target in ("0.1", "0.01"):
        difference = found[target]
        assert not isinstance(difference, str)
        assert difference["value"] == pytest.approx(points[0][target]["tpr"] - points[1][target]["tpr"])
        assert difference["low"] < difference["value"] < difference["high"]
    assert found["0.001"] == points[0]["0.001"] == "not resolvable"


def test_the_ranked_part_is_that_of_the_whole_measurement() -> None:
    first, _, members = two(3)
    whole, part = measure(first, members, threshold=0.0, rounds=1), ranked(first, members)
    assert part == {name: getattr(whole, name) for name in ("auc", "auc_low", "auc_high", "tpr_at_fpr")}


def test_one_unit_on_a_side_says_nothing() -> None:
    first, second, members = two(0)
    found = above(first, second, members, groups=np.where(members, 0, np.arange(len(members)) + 1), rounds=1)["auc"]
    assert (found["low"], found["high"]) == (-1.0, 1.0)


def test_the_interval_of_the_difference_covers_the_truth_and_is_narrower_than_two_apart() -> None:
    rng, truth, covered = np.random.default_rng(0), norm.cdf(1 / 2**0.5) - norm.cdf(0.5 / 2**0.5), 0
    members = np.arange(120) < 60
    widths = []
    for _ in range(300):
        hard = 0.8 * rng.normal(size=120)
        first, second = (hard + 0.6 * rng.normal(size=120) + shift * members for shift in (1, 0.5))
        found, alone = above(first, second, members, rounds=1)["auc"], ranked(first, members)
        covered += found["low"] <= truth <= found["high"]
        widths.append((found["high"] - found["low"]) / (alone["auc_high"] - alone["auc_low"]))
    assert 0.92 <= covered / 300 <= 0.98
    assert np.mean(widths) < 1.2, "of two attacks that share nothing it would be 1.4"


def test_scores_of_other_scenes_are_refused() -> None:
    first, second, members = two(0)
    with pytest.raises(MiaSegError, match="two lists of one length"):
        above(first, second[1:], members)


def test_rates_of_draws_are_found_among_all_thresholds() -> None:
    """Against the definition: weights of all scores, summed down to each of them; ties, groups on both sides."""
    rng = np.random.default_rng(2)
    members, group = np.arange(160) < 80, np.arange(160) % 45
    first, second = (rank((rng.normal(size=160) + members).round(1), members) for _ in range(2))
    drawn = groups_of(first, group)
    both = replace(drawn, slots_N=drawn.slots_N[np.argsort(first.order_N)])
    found = paired._rates(first, second, both, seed=1, rounds=50)[0][1]
    expected = []
    for weights_N in np.concatenate(list(both.draws(1, 50)))[:, both.slots_N]:
        rates = []
        for one in (first, second):
            weights = weights_N[one.order_N]
            tp, fp = (np.append(0, np.cumsum(weights * side)[one.ends_S]) for side in (one.members_N, ~one.members_N))
            rates.append((tp / tp[-1])[fp <= 0.1 * fp[-1] + 1e-9].max())
        expected.append(rates[0] - rates[1])
    assert found.tolist() == expected


def test_errors_of_seeds_are_related_not_at_all_wholly_or_as_opposites() -> None:
    rng = np.random.default_rng(3)
    members = np.arange(60) < 20
    scores, names = rng.normal(size=60) + members, [f"scene {k}" for k in range(60)]
    others = [f"other {k}" for k in range(60)]
    once, faultless = (scores, members, names), (members * 1.0, members, names)

    def related(other: tuple[np.ndarray, np.ndarray, list[str]]) -> float:
        found = paired.correlations([once, other])
        assert found[0, 0] == found[1, 1] == 1
        assert found[0, 1] == found[1, 0]
        return float(found[0, 1])

    assert related((scores, members, names)) == pytest.approx(1)
    assert related((scores, members, others)) == 0
    assert related((scores, ~members, names)) == pytest.approx(-1), "the AUC is turned around"
    assert related(faultless) == pytest.approx(1), "its error does not vary, but it has the same scenes"
    assert related((members * 1.0, members, [*names[:15], *others[15:]])) == pytest.approx(0.25)
    sides = ["one"] * 20 + ["two"] * 40
    drawn = [(rng.normal(size=60), members, sides) for _ in range(8)]
    np.testing.assert_allclose(paired.correlations(drawn), 1, err_msg="rounding is no error")
    with pytest.raises(MiaSegError, match="no non-members"):
        paired.correlations([(scores, members | True, names)])


@pytest.mark.parametrize("one_split", [True, False])
def test_related_errors_are_those_of_simulated_audits(one_split: bool) -> None:
    """The variance of the mean of two AUCs; 8 + 24 groups of two scenes, whose errors differ by side."""
    rng = np.random.default_rng(4)
    found, means, alone = [], [], []
    for _ in range(3000):
        hard, first, seeds = rng.normal(size=32).repeat(2), rng.permutation(np.arange(32) < 8).repeat(2), []
        for _ in range(2):
            inside = first if one_split else rng.permutation(np.arange(32) < 8).repeat(2)
            seeds.append((hard + inside + 1.0 * rng.normal(size=64), inside, (np.arange(64) // 2).tolist()))
        aucs = [auc(*seed[:2]) for seed in seeds]
        found.append(paired.correlations(seeds)[0, 1])
        means.append(np.mean(aucs))
        alone.extend(aucs)
    expected = 2 * np.var(means) / np.var(alone) - 1
    assert np.mean(found) == pytest.approx(expected, abs=0.05)
    assert bool(expected > 0.5) is one_split
