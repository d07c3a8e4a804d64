"""Scores in units of each scene's own: the FPR in all scenes, and in those whose scores spread widely."""

import numpy as np
import pytest
from helpers_in_turn import plain, simulated

from mia_seg.metrics.calibrated import calibrated, standing
from mia_seg.metrics.in_turn import pooled

SCENES, WIDE = 400, 100


def spread(leak: float, seed: int, models: int = 16) -> tuple[np.ndarray, np.ndarray]:
    """Scores of which the first scenes' spread five times as widely; who trained on what."""
    world = simulated(models, np.zeros(SCENES), seed)
    noise_MN = np.random.default_rng(seed + 1).normal(size=world.inside_MN.shape) + leak * world.inside_MN
    return noise_MN * np.where(np.arange(SCENES) < WIDE, 5.0, 1.0), world.inside_MN


def test_a_score_stands_out_of_those_of_other_pairs_alone() -> None:
    scores = np.array([[1.0], [9.0], [2.0], [9.0], [4.0], [9.0], [6.0], [9.0]])
    inside = np.array([[False], [True]] * 4)
    others = np.array([2.0, 4.0, 6.0])
    beyond = (1 - others.mean()) / others.std(ddof=1)
    assert standing(scores, inside)[0, 0] == pytest.approx(beyond)
    assert standing(scores, inside)[1, 0] == pytest.approx((9 - others.mean()) / others.std(ddof=1))
    assert standing(np.ones_like(scores), inside) == pytest.approx(0.0)
    assert np.isfinite(standing(np.where(inside, 9.0, 1.0), inside)).all(), "no spread, and yet the rates are some"


def accused(scores_MN: np.ndarray, inside_MN: np.ndarray, target: float) -> np.ndarray:
    """The FPR of each scene [N], with the threshold at which all scenes together have the target."""
    threshold = np.quantile(scores_MN[~inside_MN], 1 - target)
    return ((scores_MN > threshold) & ~inside_MN).sum(0) / (~inside_MN).sum(0)


@pytest.mark.parametrize("law", ["normal", "bounded"])
def test_all_scenes_are_accused_about_as_often(law: str) -> None:
    scores, inside = spread(0.0, seed=0)
    scores = np.tanh(scores) if law == "bounded" else scores
    raw_N, own_N = (accused(each, inside, 0.1) for each in (scores, standing(scores, inside)))
    assert raw_N[WIDE:].mean() < 0.04, "nearly all fall on few scenes"
    assert raw_N[:WIDE].mean() > 0.28
    assert own_N[WIDE:].mean() == pytest.approx(0.1, abs=0.02)
    assert own_N[:WIDE].mean() == pytest.approx(0.1, abs=0.02 if law == "normal" else 0.06)


def test_scenes_that_are_told_stand_out_of_their_own_scores() -> None:
    scores, inside = spread(3.0, seed=1)
    own, raw = (pooled(estimate, inside).tpr_at_fpr["0.01"] for estimate in (calibrated(plain(scores)), plain(scores)))
    assert not isinstance(own, str)
    assert not isinstance(raw, str)
    assert own.value > raw.value + 0.1
    assert own.low is not None
    assert own.low < own.value
