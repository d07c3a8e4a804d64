"""The attack 'bavaria': its densities by integration, its prior by known variances, and LiRA at its end."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.stats import invgamma, norm

from mia_seg.attacks._readings import Readings, Signals
from mia_seg.attacks.bavaria import Bavaria, Prior, predicted, prior
from mia_seg.attacks.lira import LiRA
from mia_seg.errors import MiaSegError
from mia_seg.metrics.membership import auc
from mia_seg.testing import Leak, World


def gaussians(models: int, scenes: int, seed: int = 0) -> tuple[Readings, Signals, np.ndarray]:
    """Scenes of their own mean, variance and shift; a fleet's readings, a victim's, and who is a member of it."""
    rng = np.random.default_rng(seed)
    mean_N, deviation_N = 2 * rng.normal(size=scenes), np.sqrt(invgamma.rvs(3, scale=2, size=scenes, random_state=rng))
    first = rng.random((models // 2, scenes)) < 0.5
    members_MN = np.stack([first, ~first], 1).reshape(models, scenes)
    victim_N = rng.random(scenes) < 0.5
    every = mean_N + deviation_N * (rng.normal(size=(models + 1, scenes)) + 2 * np.vstack([members_MN, victim_N]))
    fleet = Readings([f"s{k}" for k in range(scenes)], every[:-1], np.zeros((models, 0)), members_MN)
    return fleet, Signals(every[-1], np.zeros(0)), victim_N


def test_the_predictive_is_the_integral_over_mean_and_variance() -> None:
    before, readings = Prior(mean=0.5, means=0.8, variance=1.5, variances=6.0), np.array([1.0, 2.5, -0.3])
    found = predicted(readings[:, None], before)
    variance = np.geomspace(1e-2, 200, 300)[:, None]
    mean = np.linspace(-25, 25, 501)
    weight = invgamma.pdf(variance, before.variances / 2, scale=before.variances / 2 * before.variance)
    weight = weight * norm.pdf(mean, before.mean, np.sqrt(variance / before.means))
    weight *= np.prod([norm.pdf(x, mean, np.sqrt(variance)) for x in readings], axis=0)

    def integral(values: np.ndarray) -> float:
        return float(np.trapezoid(np.trapezoid(values, mean, axis=1), variance[:, 0]))

    for x in (-2.0, 0.4, 5.0):
        expected = integral(weight * norm.pdf(x, mean, np.sqrt(variance))) / integral(weight)
        assert np.exp(Bavaria()._density(np.array([x]), found)) == pytest.approx(expected, rel=1e-3)


def test_the_prior_is_found_again_in_what_it_drew() -> None:
    rng = np.random.default_rng(1)
    variance_N = invgamma.rvs(5, scale=15, size=40_000, random_state=rng)
    mean_N = 3 + np.sqrt(variance_N / 0.5) * rng.normal(size=40_000)
    found = prior(mean_N + np.sqrt(variance_N) * rng.normal(size=(4, 40_000)))
    assert found.mean == pytest.approx(3, abs=0.1)
    assert found.means == pytest.approx(0.5, rel=0.05)
    assert found.variance == pytest.approx(3, rel=0.05)
    assert found.variances == pytest.approx(10, rel=0.1)


def test_scenes_of_one_variance_and_one_mean_share_them() -> None:
    found = prior(np.random.default_rng(2).normal(5, 2, size=(3, 5000)))
    assert found.variance == pytest.approx(4, rel=0.05)
    assert min(found.variances, found.means) > 50
    expected = predicted(np.array([[0.0], [9.0], [9.0]]), found)
    assert expected.mean_N[0] == pytest.approx(5, abs=0.2)
    assert expected.scale_N[0] == pytest.approx(2, rel=0.1)


@pytest.mark.parametrize("form", ["student", "gaussian"])
def test_endlessly_many_shadows_make_it_lira_with_variances_of_its_own(form: str) -> None:
    method, lira = Bavaria(form=form), LiRA(variance="scene")
    apart = []
    for models in (8, 200, 20_000):
        fleet, target, _ = gaussians(models, 12)
        apart.append(float(np.abs(method.judge(target, fleet) - lira.judge(target, fleet)).max()))
    assert all(later < earlier / 3 for earlier, later in pairwise(apart)), apart
    assert apart[-1] < 0.1


def test_with_four_shadows_of_a_kind_it_is_better_calibrated_than_lira() -> None:
    """Log-loss of the membership by the chance that each score states; fair coins have log 2."""

    def log_loss(method: Bavaria | LiRA, models: int) -> tuple[float, float]:
        fleet, target, victim_N = gaussians(models, 2000)
        scores_N = method.judge(target, fleet)
        return float(np.logaddexp(0, np.where(victim_N, -scores_N, scores_N)).mean()), auc(scores_N, victim_N)

    ours, fixed, own = (log_loss(m, 8) for m in (Bavaria(), LiRA(variance="fixed"), LiRA(variance="scene")))
    best, _ = log_loss(Bavaria(), 400)
    assert best < ours[0] < min(fixed[0], own[0]) - 0.05
    assert own[0] > np.log(2), "a scene's own variance is so sure of itself that it does worse than a coin"
    assert ours[1] > max(fixed[1], own[1]) + 0.005


def test_offline_ranks_as_the_tail_of_the_predictive() -> None:
    fleet, target, _ = gaussians(8, 50)
    found = predicted(fleet.outside(4), prior(fleet.outside(4)))
    scores_N = Bavaria(mode="offline").judge(target, fleet)
    np.testing.assert_allclose(scores_N, (target.scenes_N - found.mean_N) / found.scale_N)
    assert (Bavaria(mode="offline", models=2).judge(target, fleet) != scores_N).any()


def test_shadows_that_never_differ_are_refused() -> None:
    fleet, target, _ = gaussians(8, 50)
    flat = Readings(fleet.ids, np.ones_like(fleet.scenes_MN), fleet.population_MZ, fleet.members_MN)
    with pytest.raises(
        MiaSegError, match="'bavaria' has no variance: the 4 shadows of a kind all answer most scenes alike"
    ):
        Bavaria().judge(target, flat)
    some = np.where(np.arange(50) < 20, 1.0, fleet.scenes_MN)
    kept = Readings(fleet.ids, some, fleet.population_MZ, fleet.members_MN)
    assert np.isfinite(Bavaria().judge(target, kept)).all()


def test_few_shadows_are_refused_before_they_are_trained() -> None:
    with pytest.raises(MiaSegError, match="'bavaria' needs 6 shadows"):
        Bavaria().check_shadows(4)
    Bavaria().fit_fleet(World(Leak(1.0), 40).fleet(6))
