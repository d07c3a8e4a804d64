"""Auditing: epsilons against closed forms, plain loops and mechanisms whose epsilon is known; exposed scenes."""

import math
from statistics import NormalDist

import numpy as np
import pytest
from scipy.stats import binomtest, false_discovery_control

from mia_seg.errors import MiaSegError
from mia_seg.metrics.auditing import allowed, epsilon_bound, epsilon_one_run, exposed, mu_one_run


def responses(rng: np.random.Generator, count: int, epsilon: float) -> tuple[np.ndarray, np.ndarray]:
    """Randomised response: each bit is told truly with probability e^eps / (1 + e^eps), which is eps-private."""
    members = rng.random(count) < 0.5
    return (members ^ (rng.random(count) > 1 / (1 + math.exp(-epsilon)))).astype(float), members


@pytest.mark.parametrize(("each", "delta", "expected"), [(8000, 1e-5, 6.99), (20000, 1e-5, 7.90)])
def test_faultless_scores_reach_the_ceiling_that_their_number_allows(each: int, delta: float, expected: float) -> None:
    members = np.arange(2 * each) < each  # half of them judge
    assert epsilon_bound(members * 1.0, members, randomised=True, delta=delta) == pytest.approx(expected, abs=0.005)


def test_epsilon_bound_is_the_ratio_of_exact_bounds() -> None:
    # Two distinct scores, so the threshold is known: 1. Every tenth is wrong, in whichever half it lands.
    members = np.arange(400) < 200
    scores = (members ^ (np.arange(400) % 10 == 0)).astype(float)
    found = epsilon_bound(scores, members, randomised=True, delta=0.01, seed=3)
    bounds = [binomtest(k, 100).proportion_ci(0.95, "exact") for k in range(101)]
    possible = {
        max((bounds[k].low - 0.01) / bounds[f].high, (1 - bounds[f].high - 0.01) / (1 - bounds[k].low))
        for k in range(80, 101)
        for f in range(21)
    }
    assert min(abs(math.log(ratio) - found) for ratio in possible) < 1e-9
    assert 1.2 < found < math.log(9)


def test_what_is_best_on_one_half_is_judged_on_the_other() -> None:
    """With a threshold picked on the scores it is judged by, pure noise would show an epsilon far too often."""
    above = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        above += epsilon_bound(rng.normal(size=60), np.arange(60) % 2 == 0, randomised=True, seed=seed) > 0
    assert above <= 10


@pytest.mark.parametrize("epsilon", [0.5, 2.0])
def test_epsilons_stay_below_the_truth_and_come_near_it(epsilon: float) -> None:
    bounds = np.array(
        [
            (
                epsilon_bound(*responses(rng, 400, epsilon), randomised=True),
                epsilon_one_run(*responses(rng, 400, epsilon), guesses=400, randomised=True),
            )
            for rng in map(np.random.default_rng, range(60))
        ]
    )
    assert ((bounds > epsilon).mean(0) <= 0.1).all()
    assert (bounds.max(0) > epsilon / 2).all()


def plain_chance(epsilon: float, right: int, guesses: int, scenes: int, delta: float) -> float:
    """The p-value of the theorem, term by term."""
    q = math.exp(epsilon) / (1 + math.exp(epsilon))
    mass = [math.comb(guesses, w) * q**w * (1 - q) ** (guesses - w) for w in range(guesses + 1)]
    alpha = max(sum(mass[right - i : right]) / i for i in range(1, right + 1))
    return sum(mass[right:]) + 2 * scenes * delta * alpha


@pytest.mark.parametrize("delta", [0.0, 1e-3])
def test_one_run_agrees_with_plain_loops(delta: float) -> None:
    members = np.array([1] * 9 + [0] + [0, 1] * 10 + [0] * 10)
    scores = -np.arange(40.0)  # of ten guesses either way, nineteen are right
    found = epsilon_one_run(scores, members, guesses=20, randomised=True, delta=delta)
    assert plain_chance(found - 1e-6, 19, 20, 40, delta) < 0.05 < plain_chance(found + 1e-6, 19, 20, 40, delta)
    assert found > 0.5


def test_one_run_of_faultless_guesses_is_a_closed_form() -> None:
    members = np.arange(100) < 50
    share = 0.05 ** (1 / 100)  # all right: q^r = 0.05
    found = epsilon_one_run(members * 1.0, members, guesses=100, randomised=True)
    assert found == pytest.approx(math.log(share / (1 - share)))


def test_a_constant_score_shows_no_epsilon_though_members_come_first() -> None:
    members = np.arange(100) < 50
    assert epsilon_bound(np.zeros(100), members, randomised=True) == 0
    assert max(epsilon_one_run(np.zeros(100), members, guesses=100, randomised=True, seed=s) for s in range(5)) < 0.3


@pytest.mark.parametrize("mu", [0.5, 2.0])
def test_mu_stays_below_the_truth_of_gaussian_answers_and_shows_some_of_it(mu: float) -> None:
    found = []
    for rng in map(np.random.default_rng, range(60)):
        members = rng.random(400) < 0.5
        found.append(mu_one_run(rng.normal(size=400) + mu * members, members, guesses=400, randomised=True))
    assert np.mean(np.array(found) > mu) <= 0.05
    assert mu / 8 < np.mean(found) < mu / 2


def test_mu_of_two_right_guesses_is_what_the_recursion_gives_by_hand() -> None:
    """Two of two right, by pen: the widened share twice, and rejected where the two sum to more than one."""
    normal = NormalDist()

    def rejected(mu: float, alpha: float) -> bool:
        first = normal.cdf(normal.inv_cdf(alpha) - mu)
        told = alpha + first
        return told >= 1 or told + max(first, normal.cdf(normal.inv_cdf(told) - mu)) > 1

    found = mu_one_run([1.0, 0.0], [1, 0], guesses=2, randomised=True, level=0.4)  # at 0.95 two guesses show nothing
    assert found > 0
    assert rejected(found - 1e-6, 0.6)
    assert not rejected(found + 1e-6, 0.6)
    assert mu_one_run([1.0, 0.0], [1, 0], guesses=2, randomised=True) == 0


@pytest.mark.parametrize("audit", [epsilon_bound, lambda *a, **k: epsilon_one_run(*a, guesses=2, **k)])
@pytest.mark.parametrize(
    ("scores", "members", "settings", "message"),
    [
        ([1, 0, 1, 0], [1, 0, 1, 0], {"randomised": False}, "not drawn at random"),
        ([1, np.nan, 1, 0], [1, 0, 1, 0], {"randomised": True}, "Score 1 is nan"),
        ([1, np.inf, 1, 0], [1, 0, 1, 0], {"randomised": True}, "Score 1 is inf"),
        ([1, 2, 3, 4], [1, 1, 1, 1], {"randomised": True}, "no non-members"),
        ([1, 0, 1, 0], [1, 0, 1, 0], {"randomised": True, "delta": 1.0}, "delta = 1.0"),
        ([1, 0, 1, 0], [1, 0, 1, 0], {"randomised": True, "level": 95.0}, "level = 95.0"),
    ],
)
def test_what_allows_no_epsilon_is_refused(audit, scores, members, settings, message: str) -> None:
    with pytest.raises(MiaSegError, match=message):
        audit(scores, members, **settings)


def test_too_few_trials_and_wrong_guesses_are_refused() -> None:
    with pytest.raises(MiaSegError, match="There is one non-member"):
        epsilon_bound([3, 2, 1], [1, 1, 0], randomised=True)
    for guesses in (0, 3, 6):
        with pytest.raises(MiaSegError, match=f"guesses = {guesses} of 4 scenes"):
            epsilon_one_run([1, 0, 1, 0], [1, 0, 1, 0], guesses=guesses, randomised=True)


def test_exposed_scenes_agree_with_scipy_and_with_counting() -> None:
    rng = np.random.default_rng(0)
    calibration = np.round(rng.normal(size=200), 1)
    scores = np.round(np.append(rng.normal(size=80), rng.normal(size=20) + 4), 1)
    found = exposed(scores, calibration, fdr=0.1)
    counted = [(1 + sum(c >= s for c in calibration)) / 201 for s in scores]
    assert found.p_values == pytest.approx(counted)
    assert sorted(found.found) == np.flatnonzero(false_discovery_control(counted, method="bh") <= 0.1).tolist()
    assert 10 < len(found.found) < 30
    assert [counted[place] for place in found.found] == sorted(counted[place] for place in found.found)


def test_exposed_scenes_are_rarely_unexposed() -> None:
    shares = []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        places = exposed(np.append(rng.normal(size=90), rng.normal(size=30) + 3), rng.normal(size=300), fdr=0.1).found
        shares.append(np.mean([place < 90 for place in places]) if places else 0.0)
    assert np.mean(shares) <= 0.1


def test_nobody_is_exposed_by_a_constant_score_or_by_too_small_a_calibration() -> None:
    assert exposed(np.ones(50), np.ones(50)).found == []
    assert exposed([9.0, 8.0], [1.0] * 8).found == []  # p is 1/9 at best; step-up asks for 0.1
    assert exposed([9.0, 8.0], [1.0] * 9).found == [0, 1]


@pytest.mark.parametrize(
    ("scores", "calibration", "fdr", "message"),
    [
        ([1.0, np.nan], [1.0], 0.1, "score at place 1 is nan"),
        ([1.0], [np.inf], 0.1, "calibration score at place 0 is inf"),
        ([], [1.0], 0.1, "at least one score"),
        ([1.0], [], 0.1, "at least one calibration score"),
        ([1.0], [1.0], 1.0, "fdr = 1.0"),
    ],
)
def test_bad_lists_are_refused(scores: list[float], calibration: list[float], fdr: float, message: str) -> None:
    with pytest.raises(MiaSegError, match=message):
        exposed(scores, calibration, fdr=fdr)


def test_what_privacy_allows_is_what_kairouz_and_others_prove() -> None:
    assert allowed(0.0, 0.0, 0.3) == pytest.approx(0.3), "who learns nothing guesses"
    assert allowed(np.log(5), 0.01, 0.1) == pytest.approx(0.51)
    assert allowed(np.log(5), 0.01, 0.6) == pytest.approx(1 - 0.39 / 5)
    assert allowed(1e7, 1e-3, 0.01) == 1
    assert allowed(0.0, 1.0, 0.0) == 1
