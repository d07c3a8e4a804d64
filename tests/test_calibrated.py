"""Thresholds of each scene's own: the FPR that is realised, in all scenes and in those whose scores spread widely."""

import numpy as np
import pytest
from helpers_in_turn import plain, simulated
from scipy.stats import t as student

from mia_seg.metrics.calibrated import calibrated, surprise
from mia_seg.metrics.in_turn import pooled

SCENES, WIDE = 400, 100


def spread(leak: float, seed: int, models: int = 16) -> tuple[np.ndarray, np.ndarray]:
    """Scores of which the first scenes' spread five times as widely; who trained on what."""
    world = simulated(models, np.zeros(SCENES), seed)
    noise_MN = np.random.default_rng(seed + 1).normal(size=world.inside_MN.shape) + leak * world.inside_MN
    return noise_MN * np.where(np.arange(SCENES) < WIDE, 5.0, 1.0), world.inside_MN


def test_a_surprise_is_students_of_one_more_draw() -> None:
    scores = np.array([[1.0], [9.0], [2.0], [9.0], [4.0], [9.0], [6.0], [9.0]])
    inside = np.array([[False], [True]] * 4)
    others = np.array([2.0, 4.0, 6.0])
    beyond = (1 - others.mean()) / (others.std(ddof=1) * np.sqrt(4 / 3))
    assert surprise(scores, inside)[0, 0] == pytest.approx(student.sf(beyond, 2))
    assert surprise(np.ones_like(scores), inside) == pytest.approx(0.5)


def test_each_scene_has_the_fpr_that_it_was_promised() -> None:
    scores, inside = spread(0.0, seed=0)
    for target in (0.1, 0.01):
        false = (surprise(scores, inside) <= target) & ~inside
        for scenes in (slice(WIDE), slice(WIDE, None)):
            assert false[:, scenes].sum() / (~inside)[:, scenes].sum() == pytest.approx(target, abs=3 * target / 10)
    one_for_all = scores > np.quantile(scores[~inside], 0.99)
    assert (one_for_all & ~inside)[:, WIDE:].sum() < 0.02 * (one_for_all & ~inside).sum(), "all fall on few scenes"


def test_scenes_that_are_told_stand_out_of_their_own_scores() -> None:
    scores, inside = spread(3.0, seed=1)
    found = calibrated(plain(scores), inside)
    assert found is not None
    rate, together = found["0.01"], pooled(plain(scores), inside).tpr_at_fpr["0.01"]
    assert not isinstance(together, str)
    assert rate.tpr.value > together.value + 0.1
    assert rate.tpr.low is not None
    assert rate.tpr.low < rate.tpr.value
    assert found["0.001"].fpr < 0.004


def test_few_models_have_no_interval_and_fewer_no_threshold() -> None:
    scores, inside = spread(1.0, seed=2, models=6)
    found = calibrated(plain(scores), inside)
    assert found is not None
    assert found["0.1"].tpr.low is None
    assert calibrated(plain(scores[:4]), inside[:4]) is None
