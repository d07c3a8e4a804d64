"""The interval of a mean of independent rates."""

import numpy as np
import pytest

from mia_seg.metrics.intervals import mean_of


def test_one_rate_stays_and_equal_ones_shrink_by_the_root_of_their_number() -> None:
    one = (0.9, 0.8, 0.95)
    assert mean_of([one]) == pytest.approx(one)
    assert mean_of([one] * 4) == pytest.approx((0.9, 0.85, 0.925))
    assert mean_of([one] * 4, np.ones((4, 4))) == pytest.approx(one), "errors that are shared do not shrink"
    opposite = np.array([[1, -1], [-1, 1]])
    assert mean_of([one] * 2, opposite) == pytest.approx((0.9, 0.9, 0.9))
    assert mean_of([(0.9, 0.0, 1.0), (0.1, 0.0, 1.0)], np.ones((2, 2))) == pytest.approx((0.5, 0.0, 1.0))


def test_it_lies_within_the_mean_of_the_intervals() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        low, value, high = np.sort(rng.random((3, 5)), axis=0)
        mean, below, over = mean_of(list(zip(value, low, high, strict=True)))
        assert mean == pytest.approx(value.mean())
        assert low.mean() <= below <= mean <= over <= high.mean()


def test_it_includes_the_mean_of_what_differs() -> None:
    """Normal errors of two sizes: 95% of 4,000 within three standard errors."""
    rng, errors = np.random.default_rng(1), np.array([0.01, 0.03])
    found = [
        mean_of([(v, v - 1.96 * e, v + 1.96 * e) for v, e in zip(row, errors, strict=True)])
        for row in 0.7 + errors * rng.normal(size=(4000, 2))
    ]
    held = np.mean([low <= 0.7 <= high for _, low, high in found])
    assert abs(held - 0.95) < 3 * np.sqrt(0.95 * 0.05 / 4000)
