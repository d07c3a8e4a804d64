"""The strongest attack: chosen on one half of a fleet and judged on the other, so that trying many flatters nobody."""

import numpy as np
import pytest
from helpers_in_turn import calibrated, plain, simulated
from scipy.special import ndtr

from mia_seg.errors import MiaSegError
from mia_seg.metrics import equal_gap
from mia_seg.metrics.equal_gap import Arm
from mia_seg.metrics.strongest import Choice, Strongest, leaks_less, strongest

SCENES = 40


def fleet(readings_AMN: np.ndarray, inside_MN: np.ndarray, seed: int = 0) -> dict[str, Arm]:
    """An arm an attack; nobody looks at their mIoU."""
    none = np.zeros((*inside_MN.shape, 2, 2), np.int64)
    return {f"a{k}": Arm(calibrated(r_MN), inside_MN, none, seed=seed) for k, r_MN in enumerate(readings_AMN)}


def noisy(attacks: int, leak: float, seed: int, models: int = 8, draw: int = 0) -> Choice:
    """Attacks that see the same models through noise of their own. draw: another noise."""
    world = simulated(models, np.full(SCENES, leak), seed)
    noise = np.random.default_rng([seed, draw] if draw else seed).normal(size=(attacks, models, SCENES))
    return Choice(fleet(leak * world.inside_MN + noise, world.inside_MN, seed))


def test_what_is_best_on_one_half_is_judged_on_the_other() -> None:
    inside = np.array([[True, False], [False, True]] * 2)
    right, wrong = np.where(inside, 1.0, 0.0), np.where(inside, 0.0, 1.0)
    none = np.zeros((4, 2, 2, 2), np.int64)
    first, second = np.concatenate([right[:2], wrong[2:]]), np.concatenate([0 * right[:2], right[2:]])
    arms = {"first": Arm(plain(first), inside, none), "second": Arm(plain(second), inside, none)}
    # "first" has 1 and 0 on the halves, "second" 0.5 and 1: each is chosen where it has 1.
    assert strongest(Choice(arms)) == Strongest((0.0 + 0.5) / 2, None, None, ("first", "second"))


def test_many_attacks_where_nothing_leaks_stay_at_chance_and_the_best_of_them_does_not() -> None:
    told, picked = [], []
    for seed in range(24):
        arms = noisy(8, 0.0, seed)
        told.append(strongest(arms))
        picked.append(max(equal_gap.area(arm.scores_MN, arm.inside_MN) for arm in arms.arms.values()))
    values = np.array([one.value for one in told])
    error = values.std(ddof=1) / np.sqrt(len(values))
    assert abs(values.mean() - 0.5) < 3 * error < 0.03
    assert np.mean(picked) > 0.5 + 6 * error
    assert sum(one.low <= 0.5 <= one.high for one in told if one.low is not None and one.high is not None) >= 22


def test_intervals_hold_what_attacks_of_one_strength_reach() -> None:
    """The truth: the chance that a leak of 2 outweighs two noises, each that of a reading and of the mean of three."""
    truth, held = float(ndtr(2 / np.sqrt(2 * (1 + 1 / 3)))), 0
    for seed in range(20):
        found = strongest(noisy(3, 2.0, seed))
        assert found.low is not None
        assert found.high is not None
        held += found.low <= truth <= found.high
    assert held >= 17


def test_a_strong_attack_is_found_among_weak_ones() -> None:
    world = simulated(8, np.full(SCENES, 3.0), 1)
    arms = fleet(np.stack([0 * world.readings_MN + np.arange(SCENES), world.readings_MN]), world.inside_MN)
    found = strongest(Choice(arms))
    assert found.chosen == ("a1", "a1")
    assert found.value == pytest.approx(equal_gap.area(arms["a1"].scores_MN, world.inside_MN), abs=0.02)


def test_six_models_have_an_interval_and_one_pair_has_no_half() -> None:
    six, four = strongest(noisy(2, 1.0, 0, models=6)), strongest(noisy(2, 1.0, 0, models=4))
    assert six.low is not None
    assert (four.low, len(four.chosen)) == (None, 2)
    inside = np.array([[True, False], [False, True]])
    none = np.zeros((2, 2, 2, 2), np.int64)
    arms = {"named": Arm(plain(np.zeros((2, 2))), inside, none), "better": Arm(plain(1.0 * inside), inside, none)}
    assert strongest(Choice(arms)) == Strongest(0.5, None, None, ("named",))


def test_a_fleet_is_shown_to_leak_less_if_it_does_and_seldom_if_not() -> None:
    pairs = [(noisy(3, 1.0, seed), noisy(3, 1.0, seed, draw=1)) for seed in range(20)]
    assert sum(leaks_less(*pair) for pair in pairs) <= 2
    pairs = [(noisy(3, 0.3, seed), noisy(3, 2.5, seed, draw=1)) for seed in range(10)]
    assert sum(leaks_less(*pair) for pair in pairs) >= 9
    assert not any(leaks_less(more, less) for less, more in pairs)
    backwards, less = noisy(1, -2.0, 0), noisy(1, 0.7, 0, draw=1)
    assert not leaks_less(backwards, less), "an attacker turns the scores around"
    assert leaks_less(less, backwards)
    assert not leaks_less(noisy(3, 0.1, 0, models=4), noisy(3, 5.0, 0, models=4)), "of two pairs there is no interval"
    with pytest.raises(MiaSegError, match="on the same scenes and halves"):
        leaks_less(noisy(1, 1.0, 0), noisy(1, 1.0, 1))
