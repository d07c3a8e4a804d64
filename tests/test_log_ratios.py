"""The likelihood ratio of a scene: what theory has, what few scores can show, and its null band."""

import numpy as np
import pytest
from helpers_in_turn import one_variance, simulated

from mia_seg.metrics import log_ratios


@pytest.mark.parametrize("apart", [0.0, 1.0, 2.0])
def test_the_log_ratio_towards_the_truth_is_what_theory_has(apart: float) -> None:
    """Of normal laws, d apart, it is the divergence d^2 / 2 (Kullback & Leibler, 1951), whatever the scale."""
    world = simulated(40, np.full(1000, apart), 0)
    members_MU = world.inside_MN
    scores_MU = np.random.default_rng(1).normal(size=members_MU.shape) + apart * members_MU
    ratios_MU = log_ratios.log_ratios(scores_MU, members_MU)
    assert np.where(members_MU, ratios_MU, -ratios_MU).mean() == pytest.approx(apart**2 / 2, rel=0.05, abs=0.03)
    other_MU = 10 * scores_MU - 3
    np.testing.assert_allclose(log_ratios.log_ratios(other_MU, members_MU), ratios_MU)


def test_scenes_without_a_trace_keep_their_log_ratio_in_its_band_beside_scenes_that_leak_all() -> None:
    """Attacked with one variance for all scenes: where all were shuffled at once, a fifth of these lay above theirs."""
    leak, above = np.where(np.arange(30) < 15, 8.0, 0.0), []
    for seed in range(6):
        world = simulated(16, leak, seed)
        ratios = log_ratios.ratios(one_variance(world.readings_MN), world.inside_MN, seed=seed, rounds=39)
        above.append(ratios.own_U > ratios.band_U[1] + 1e-9)
        told = ratios.together(leak > 0)
        assert told.high < 1.5 < told.value
    assert np.stack(above)[:, leak == 0].mean() < 0.06
    assert np.stack(above)[:, leak > 0].mean() > 0.6


def test_no_log_ratio_says_more_than_so_many_scores_can_show() -> None:
    """Eight models and five units, of which two or three are judged by the others; then one that judges itself."""
    inside_MU = simulated(8, np.zeros(5), 0).inside_MN
    scores_MU = 100.0 * inside_MU
    ratios_MU = log_ratios.log_ratios(scores_MU, inside_MU)
    np.testing.assert_allclose(np.abs(ratios_MU), np.log([[8, 12, 8, 12, 8]] * 8))
    assert ((ratios_MU > 0) == inside_MU).all()
    alone = log_ratios.log_ratios(scores_MU[:, :1], inside_MU[:, :1])
    np.testing.assert_allclose(np.abs(alone), np.log(4))
