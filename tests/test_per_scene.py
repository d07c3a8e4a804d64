"""Each model the victim in turn: known answers by loops, null bands on noise, and lists that hold what they promise."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from helpers_in_turn import Simulated, calibrated, likelihood, plain, simulated

from mia_seg.errors import MiaSegError
from mia_seg.metrics import in_turn, intervals, membership, per_scene
from mia_seg.metrics.per_scene import Estimate, PerScene

NOISE = np.zeros(60)
LEAK = np.where(np.arange(60) < 20, 4.0, 0.0)


def looked_at(world: Simulated, how: Callable[[np.ndarray], Estimate], rounds: int = 99, **more: object) -> PerScene:
    return per_scene.per_scene(how(world.readings_MN), world.inside_MN, rounds=rounds, **more)


def test_a_scene_s_auc_is_over_the_models_in_turn() -> None:
    world = simulated(8, LEAK[:6], 0)
    world.readings_MN[:, 2] = np.round(world.readings_MN[:, 2])  # ties
    found = looked_at(world, plain)
    for scene in range(6):
        expected = membership.auc(world.readings_MN[:, scene], world.inside_MN[:, scene])
        assert found.auc_U[scene] == pytest.approx(expected)
    assert found.pooled == membership.auc(world.readings_MN.ravel(), world.inside_MN.ravel())


def test_with_two_pairs_a_quarter_of_the_shuffles_is_as_good_as_any_scene() -> None:
    """Each pair is swapped or not: of four ways one is the true one, and no list of exposed scenes is given."""
    world = simulated(4, np.full(40, 50.0), 0)
    found = looked_at(world, plain, 299)
    assert (found.auc_U == 1).all()
    np.testing.assert_allclose(found.p_U, 0.25, atol=0.1)
    assert found.exposed_U() is None
    assert not found.above_U.any()


@pytest.mark.parametrize("rounds", [39, 99, 100, 999])
def test_of_values_in_any_order_one_in_forty_lies_above_the_band_of_the_others(rounds: int) -> None:
    shuffled_RU = np.arange(float(rounds))[:, None]
    found = [
        PerScene(np.array([own]), shuffled_RU, own, shuffled_RU[:, 0], 20) for own in np.arange(rounds + 1) - 0.5
    ]  # every place among them
    above = sum(bool(one.above_U[0]) for one in found)
    assert above == (rounds + 1) // 40
    assert above == sum(bool(one.auc_U[0] < one.band_U[0][0]) for one in found)


@pytest.mark.parametrize("how", [plain, likelihood])
def test_noise_is_not_called_exposed(how: Callable[[np.ndarray], Estimate]) -> None:
    found = [looked_at(simulated(12, NOISE, seed), how, seed=seed) for seed in range(12)]
    assert np.mean([one.above_U.mean() for one in found]) <= 0.03
    assert np.mean([one.exposed_U().any() for one in found]) <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 12)
    assert np.mean([one.exposed_U().mean() for one in found]) <= 0.05
    assert np.mean([one.together().p for one in found]) == pytest.approx(0.5, abs=3 / np.sqrt(12 * 12))


def test_what_is_learned_from_other_models_hides_risk_and_its_null_band_says_so() -> None:
    """LiRA on noise: a scene's AUC over victims is well below 0.5, the pooled one is not, and neither stands out."""
    found = [looked_at(simulated(16, NOISE, seed), likelihood, 5) for seed in range(20)]
    assert np.mean([one.auc_U.mean() for one in found]) == pytest.approx(0.434, abs=0.02)
    assert np.mean([one.shuffled_RU.mean() for one in found]) == pytest.approx(0.434, abs=0.02)
    assert np.mean([one.pooled for one in found]) == pytest.approx(0.49, abs=0.02)


def test_planted_scenes_are_found_and_few_others() -> None:
    false, hit = [], []
    for seed in range(10):
        named_U = looked_at(simulated(16, LEAK, seed), calibrated, seed=seed).exposed_U()
        false.append(named_U[20:].sum() / max(named_U.sum(), 1))
        hit.append(named_U[:20].mean())
    assert np.mean(false) <= 0.05
    assert np.mean(hit) > 0.5


def test_some_scenes_together_are_their_mean_with_a_band_of_its_own() -> None:
    found = looked_at(simulated(12, LEAK, 3), calibrated)
    leaking_U = LEAK > 0
    leaks, rests = found.together(leaking_U), found.together(~leaking_U)
    assert leaks.value == pytest.approx(found.auc_U[:20].mean())
    assert (leaks.p, leaks.low < rests.value < rests.high) == (0.01, True)
    assert leaks.high < 0.65 < leaks.value
    assert found.band_U[1][0] - found.band_U[0][0] > leaks.high - leaks.low


def test_how_many_must_stand_out_at_once_is_what_it_takes() -> None:
    """Two p-values of scenes in a row: so many at the least possible one are named, one fewer are not."""
    pairs, rounds, scenes = 6, 1023, 40
    for few, named in ((13, True), (12, False)):
        auc_U, reach = (np.arange(scenes) < few).astype(float), int((rounds + 1) / 2**pairs) - 1
        shuffled_RU = np.where(np.arange(rounds)[:, None] < reach, 1.0, 0.5 * np.ones(scenes))
        found = PerScene(auc_U, shuffled_RU, 0.5, np.full(rounds, 0.5), pairs)
        assert found.fewest() == 13
        assert found.exposed_U().any() == named
    assert replace(found, shuffled_RU=shuffled_RU[:9]).fewest() == 80, "so few shuffles name nobody"


def test_scenes_of_a_group_are_one() -> None:
    world = simulated(8, LEAK[:30], 1)
    groups = [f"g{k // 2}" for k in range(60)]
    twice = Simulated(world.readings_MN.repeat(2, axis=1), world.inside_MN.repeat(2, axis=1))
    twice.readings_MN[:, 1::2] += 7  # the second scene of each is another one
    found, alone = looked_at(twice, plain, groups=groups), looked_at(world, plain)
    assert per_scene.units(groups) == [f"g{k}" for k in range(30)]
    np.testing.assert_array_equal(found.auc_U, alone.auc_U)
    np.testing.assert_array_equal(found.shuffled_RU, alone.shuffled_RU)


def test_pooled_rates_are_those_of_all_scores() -> None:
    world = simulated(8, LEAK, 2)
    found = in_turn.pooled(calibrated(world.readings_MN), world.inside_MN)
    scores, members = calibrated(world.readings_MN)(np.arange(8), world.inside_MN).ravel(), world.inside_MN.ravel()
    ranked = membership.ranked(scores, members)
    assert found.auc.value == ranked["auc"]
    assert found.tpr_at_fpr["0.1"].value == ranked["tpr_at_fpr"]["0.1"]["tpr"]
    assert found.tpr_at_fpr["0.01"] == found.tpr_at_fpr["0.001"] == membership.NOT_RESOLVABLE, "of 60 scenes"


def test_its_variances_are_the_bootstrap_s_over_scenes_and_the_jackknife_s_over_pairs() -> None:
    rng = np.random.default_rng(0)
    world = Simulated(rng.normal(size=(8, 300)), simulated(8, np.zeros(300), 0).inside_MN)
    units_N, half = np.arange(300), 4 * 300
    over_units = in_turn._over_units(world.readings_MN, world.inside_MN, units_N, seed=0)[0]
    assert over_units == pytest.approx((2 * half + 1) / (12 * half**2), rel=0.25), "of independent scores"
    areas = []
    for pair in range(4):
        kept = [m for m in range(8) if m // 2 != pair]
        areas.append(membership.auc(world.readings_MN[kept].ravel(), world.inside_MN[kept].ravel()))
    over_pairs = in_turn._over_pairs(plain(world.readings_MN), world.inside_MN)[0]
    assert over_pairs == pytest.approx(3 / 4 * np.sum((np.array(areas) - np.mean(areas)) ** 2))


def test_pooled_intervals_hold_half_on_noise_and_exclude_it_on_a_leak() -> None:
    found = [_pooled(simulated(8, NOISE, seed)) for seed in range(25)]
    assert np.mean([one.auc.value for one in found]) == pytest.approx(0.5, abs=0.01)
    assert np.mean([one.auc.low <= 0.5 <= one.auc.high for one in found]) >= 0.92
    leaks = [_pooled(simulated(8, NOISE + 1.5, seed, varies=0.3)) for seed in range(5)]
    assert all(one.auc.low > 0.6 for one in leaks)


def _pooled(world: Simulated) -> in_turn.Pooled:
    return in_turn.pooled(calibrated(world.readings_MN), world.inside_MN)


def test_two_pairs_do_not_tell_how_models_differ() -> None:
    found = _pooled(simulated(4, LEAK, 0))
    assert found.auc.value > 0.5
    assert (found.auc.low, found.auc.high) == (None, None)


def test_a_faultless_attack_is_as_sure_as_its_scenes() -> None:
    found = in_turn.pooled(plain(simulated(8, NOISE + 90, 0).readings_MN), simulated(8, NOISE + 90, 0).inside_MN)
    assert (found.auc.value, found.auc.high) == (1, 1)
    assert 0.9 < found.auc.low < 0.95


def test_some_scenes_apart_from_others_have_the_difference_of_their_means_and_its_interval() -> None:
    kept_N = np.arange(60) < 15
    alike = [_apart(simulated(8, NOISE + 1, seed, varies=0.3), kept_N) for seed in range(25)]
    assert np.mean([one.low <= 0 <= one.high for one in alike]) >= 0.92
    told = [_apart(simulated(16, np.where(kept_N, 2.0, 0.0), seed, varies=0.3), kept_N) for seed in range(5)]
    assert all(0.2 < one.low < one.value < one.high for one in told)
    world = simulated(8, LEAK, 3)
    auc_N = looked_at(world, calibrated).auc_U
    assert _apart(world, kept_N).value == pytest.approx(auc_N[kept_N].mean() - auc_N[~kept_N].mean())
    assert _apart(world, kept_N).value == pytest.approx(-_apart(world, ~kept_N).value)
    assert _apart(simulated(4, LEAK, 3), kept_N).low is None, "two pairs do not tell how models differ"


def test_where_every_scene_is_told_the_difference_is_as_sure_as_the_scenes() -> None:
    world, kept_N = simulated(8, NOISE + 90, 0), np.arange(60) < 1
    found = in_turn.apart(plain(world.readings_MN), world.inside_MN, kept_N)
    ends = intervals.wilson(1, 1)[0] - 1, 1 - intervals.wilson(1, 59)[0]
    assert (found.value, found.low, found.high) == (0, pytest.approx(ends[0]), pytest.approx(ends[1]))


def _apart(world: Simulated, kept_N: np.ndarray) -> in_turn.Bounded:
    return in_turn.apart(calibrated(world.readings_MN), world.inside_MN, kept_N)


def test_models_that_are_no_pairs_and_divided_groups_are_refused() -> None:
    world = simulated(8, NOISE, 0)
    for inside_MN in (world.inside_MN[:7], world.inside_MN[[0, 0, 1, 1]], world.inside_MN[:0]):
        with pytest.raises(MiaSegError, match="Models must come in pairs"):
            per_scene.divided(inside_MN, None)
    with pytest.raises(MiaSegError, match="a group must be wholly inside or outside"):
        per_scene.divided(world.inside_MN, [str(k // 2) for k in range(60)])


def test_shuffles_follow_the_seed() -> None:
    first, again, other = (looked_at(simulated(8, LEAK, 0), calibrated, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.shuffled_RU, again.shuffled_RU)
    assert (first.shuffled_RU != other.shuffled_RU).any()
