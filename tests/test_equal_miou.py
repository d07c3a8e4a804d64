"""What a training is worth: its leak beside that of plain training that segments other scenes as well."""

import numpy as np
import pytest
from helpers_in_turn import calibrated, simulated

from mia_seg.errors import MiaSegError
from mia_seg.metrics.equal_gap import Arm, on_lines
from mia_seg.metrics.equal_miou import worth
from mia_seg.metrics.strongest import Choice, strongest

SCENES = 60


def fleet(leak: float, skill: float, seed: int = 0, *, models: int = 8, noise: int = 0) -> Choice:
    """Members' readings are higher by `leak`, and `skill` of the pixels more than half are right, on all scenes.

    noise: another draw of both. A second attack sees less.
    """
    world = simulated(models, np.full(SCENES, leak), seed)
    rng = np.random.default_rng(noise)
    right_MN = np.clip(500 + 1000 * skill + 20 * rng.normal(size=(models, SCENES)), 0, 1000).astype(int)
    confusion = np.zeros((models, SCENES, 2, 2), np.int64)
    confusion[..., 0, 0] = confusion[..., 1, 1] = right_MN
    confusion[..., 0, 1] = confusion[..., 1, 0] = 1000 - right_MN
    jitter = rng.normal(size=(2, *world.readings_MN.shape))
    read = {"strong": world.readings_MN + jitter[0] / 5, "weak": world.readings_MN + 3 * jitter[1]}
    return Choice({name: Arm(calibrated(r), world.inside_MN, confusion, seed=seed) for name, r in read.items()})


def plain(seed: int = 0, models: int = 8, noise: int = 0) -> list[Choice]:
    """Longer training segments better and leaks more."""
    return [
        fleet(leak, leak / 8, seed, models=models, noise=100 * noise + k) for k, leak in enumerate((0.8, 1.6, 2.4), 1)
    ]


def test_lines_run_through_the_points_in_the_order_of_x_and_go_on() -> None:
    xs, ys = np.array([0.3, 0.1, 0.2]), np.array([0.9, 0.5, 0.6])
    for x, y in ((0.1, 0.5), (0.15, 0.55), (0.2, 0.6), (0.25, 0.75), (0.3, 0.9), (0.0, 0.4), (0.4, 1.2)):
        assert on_lines(x, xs, ys) == pytest.approx(y)


def test_it_is_the_distance_of_the_strongest_attack_from_the_lines() -> None:
    curve, other = plain(), fleet(0.8, 0.15, noise=9)
    found = worth(other, curve)
    assert found is not None
    mious = [one.first.miou_SM[1].mean() for one in (*curve, other)]
    first, second = (strongest(one).value for one in curve[:2])
    share = (mious[3] - mious[0]) / (mious[1] - mious[0])
    assert 0 < share < 1
    assert found.plain == pytest.approx(first + share * (second - first))
    assert found.value == pytest.approx(strongest(other).value - found.plain)


def test_a_training_like_plain_ones_is_not_shown_to_differ_and_others_are() -> None:
    like, less, more = (worth(fleet(leak, 0.15, noise=9), plain()) for leak in (1.2, 0.2, 2.4))
    assert like is not None
    assert like.low is not None
    assert like.high is not None
    assert like.low < 0 < like.high
    assert less is not None
    assert less.high is not None
    assert less.high < -0.03
    assert more is not None
    assert more.low is not None
    assert more.low > 0.03


def test_intervals_hold_what_is_so_where_trainings_are_alike() -> None:
    """Twenty worlds, in which the fleet is one more of the plain ones."""
    held = 0
    for seed in range(20):
        found = worth(fleet(1.2, 0.15, seed, noise=100 * seed + 9), plain(seed, noise=seed))
        assert found is not None
        assert found.low is not None
        assert found.high is not None
        held += found.low <= 0 <= found.high
    assert held >= 17


def test_nothing_is_said_where_no_plain_training_segments_as_well() -> None:
    assert worth(fleet(1.2, 0.4), plain()) is None
    assert worth(fleet(1.2, 0.0), plain()) is None
    assert worth(fleet(1.2, 0.15), plain()[:1]) is None
    assert worth(fleet(1.2, 0.15), []) is None


def test_few_models_have_no_interval_and_other_halves_are_refused() -> None:
    found = worth(fleet(1.2, 0.15, models=4), plain(models=4))
    assert found is not None
    assert (found.low, found.high) == (None, None)
    with pytest.raises(MiaSegError, match="on the same scenes and halves"):
        worth(fleet(1.2, 0.15), plain(seed=5))


def test_two_plain_fleets_that_segment_alike_do_not_blow_the_interval_up() -> None:
    """The line between them is steep. Where a bootstrap round draws the fleet beyond them, it would go on."""
    found = worth(fleet(0.8, 0.2025, noise=9), [*plain()[:2], fleet(2.4, 0.203, noise=3)])
    assert found is not None
    assert found.low is not None
    assert found.high is not None
    assert found.high - found.low < 0.5
