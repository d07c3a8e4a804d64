"""Controls: a split that is recognisable without a model is flagged, a fair one is not, chance is measured right."""

import json
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage
from scipy.stats import kstest

from mia_seg import recipes
from mia_seg.attacks import Membership
from mia_seg.data import IGNORE, Scene
from mia_seg.data.streets import Streets, Style
from mia_seg.errors import MiaSegError
from mia_seg.evaluate.audit import membership_of
from mia_seg.evaluate.controls import blind as blind_
from mia_seg.evaluate.controls import controls
from mia_seg.evaluate.controls._ranks import right_pairs
from mia_seg.evaluate.controls.blind import blind
from mia_seg.evaluate.controls.features import features_of
from mia_seg.evaluate.controls.nulls import halves, shuffled
from mia_seg.recipes.splits import Partition
from mia_seg.stages.blind import BlindControl
from mia_seg.stages.models import TrainedModel
from mia_seg.stages.plan import Plan
from mia_seg.stages.run import run
from mia_seg.stages.scenes import read_cut
from mia_seg.store import Store
from mia_seg.store.content import Content
from mia_seg.workspace import Workspace

SIDE = 20
MEMBERS = np.arange(2 * SIDE) < SIDE
GROUPS = np.arange(2 * SIDE)


def noise(seed: int, count: int = 2 * SIDE) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, 12))


def test_features_are_what_plain_counting_gives() -> None:
    rng = np.random.default_rng(0)
    image, labels = (
        rng.integers(0, 256, (9, 12, 3), np.uint8),
        rng.choice([0, 2, IGNORE], size=(9, 12)).astype(np.uint8),
    )
    found = features_of(Scene("one", image, labels), 3)
    grey = image @ [0.299, 0.587, 0.114]
    histogram = [
        np.mean((image[..., c] >= 32 * b) & (image[..., c] < 32 * (b + 1))) for c in range(3) for b in range(8)
    ]
    thirds = [grey[:3].mean(), grey[3:6].mean(), grey[6:].mean(), *(grey[:, k : k + 4].mean() for k in (0, 4, 8))]
    down, right = grey[1:] - grey[:-1], grey[:, 1:] - grey[:, :-1]
    energy = [np.mean(e**2) for e in (down, right, down[:, 1:] - down[:, :-1])]
    pieces = sum(ndimage.label(labels == k)[1] for k in (0, 2))
    near = [(slice(max(y - 2, 0), y + 3), slice(max(x - 2, 0), x + 3)) for y, x in product(range(9), range(12))]
    shares = [np.mean(labels[labels != IGNORE] == k) for k in range(3)]
    expected = [
        *image.mean((0, 1)), *image.std((0, 1)), *histogram, *thirds, *np.log1p(energy), np.log(9), np.log(12),
        *shares, 2, np.log1p(pieces), np.mean(labels == IGNORE),
        np.mean([len(set(labels[window].ravel())) > 1 for window in near]),
    ]  # fmt: skip
    np.testing.assert_allclose(found, expected, atol=1e-9)


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (2, 2), (40, 300)])
def test_scenes_without_labels_or_of_odd_size_have_features(size: tuple[int, int]) -> None:
    scene = Scene("blank", np.full((*size, 3), 128, np.uint8), np.full(size, IGNORE, np.uint8))
    found = features_of(scene, 5)
    assert found.shape == (50,)
    assert np.isfinite(found).all()
    assert found[-9:].tolist() == [0, 0, 0, 0, 0, 0, 0, 1, 0]  # shares, classes, pieces, ignored, boundary


def test_right_pairs_are_those_of_plain_loops() -> None:
    rng = np.random.default_rng(1)
    scores, members = rng.integers(0, 4, (9, 5)).astype(float), rng.random((9, 5)) < 0.5
    right, pairs = right_pairs(scores, members)
    for r in range(5):
        both = [(a, b) for a in scores[members[:, r], r] for b in scores[~members[:, r], r]]
        assert (right[r], pairs[r]) == (sum((a > b) + (a == b) / 2 for a, b in both), len(both))
    np.testing.assert_array_equal(right_pairs(scores[:, :1], members)[0][0], right[0])


def test_one_shifted_feature_confounds_a_split() -> None:
    seen = noise(0)
    seen[MEMBERS, 3] += 4
    found = blind(seen, MEMBERS, GROUPS, seed=0)
    assert found["confounded"]
    assert found["p"] == 1 / 1000
    assert found["auc"] > 0.95
    assert found["high"] < found["auc"]


def test_a_difference_in_spread_alone_confounds_a_split() -> None:
    seen = noise(0)
    seen[MEMBERS] *= 4
    assert blind(seen, MEMBERS, GROUPS, seed=0)["confounded"]


def test_p_is_uniform_where_sides_are_exchangeable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blind_, "ROUNDS", 99)
    monkeypatch.setattr(blind_, "FOLDINGS", 2)
    found = [blind(noise(seed), MEMBERS, GROUPS, seed=seed) for seed in range(80)]
    assert kstest([one["p"] for one in found], "uniform").pvalue > 0.01
    assert sum(one["p"] <= 0.1 for one in found) <= 16  # 8 are expected, and 17 or more in one of 700 such tests
    assert abs(np.mean([one["auc"] for one in found]) - 0.5) < 0.03


def test_units_are_never_split() -> None:
    # A group's scenes are one picture: whoever has it in training and test recognises it, and membership with it.
    pictures, members, scenes = noise(0, 16)[np.arange(64) // 4], np.arange(64) < 32, np.arange(64)
    assert not blind(pictures, members, scenes // 4, seed=0)["confounded"]
    assert blind(pictures, members, scenes, seed=0)["confounded"]


def test_constant_features_say_nothing() -> None:
    found = blind(np.ones((2 * SIDE, 4)), MEMBERS, GROUPS, seed=0)
    assert (found["auc"], found["p"], found["confounded"]) == (0.5, 1.0, False)


@pytest.mark.parametrize(
    ("groups", "why"),
    [
        (GROUPS // SIDE, "takes two"),
        (GROUPS // 5, "too few for p"),
        (GROUPS * 10 // 40, "too few for p"),
        (GROUPS // 16, "holds members and non-members"),
        (np.where(MEMBERS, 0, GROUPS), "takes two"),
    ],
)
def test_too_few_units_are_not_tested(groups: np.ndarray, why: str) -> None:
    assert why in blind(noise(0), MEMBERS, groups, seed=0)["untested"]


def test_fewer_units_than_folds_take_fewer_folds() -> None:
    members = np.arange(32) < 16
    seen = noise(1, 32) + 4 * members[:, None]
    found = blind(seen, members, np.arange(32) // 2, seed=0)
    assert (found["folds"], found["confounded"]) == (4, True)


def test_the_null_of_a_constant_score_is_exactly_one_half() -> None:
    found = shuffled(np.zeros(30), np.arange(30) < 10, np.arange(30), seed=0)
    assert found == {"mean": 0.5, "low": 0.5, "high": 0.5, "p": 1.0}


def test_the_null_of_a_score_has_the_moments_of_mann_and_whitney() -> None:
    rng = np.random.default_rng(0)
    found = shuffled(rng.normal(size=60), np.arange(60) < 24, np.arange(60), seed=0)
    deviation = np.sqrt(61 / (12 * 24 * 36))
    assert abs(found["mean"] - 0.5) < 5 * deviation / np.sqrt(1000)
    assert found["high"] - found["low"] == pytest.approx(2 * 1.96 * deviation, rel=0.1)


def test_the_p_of_a_score_is_that_of_all_arrangements() -> None:
    # 3 of 6 groups: the true arrangement is the best of 20.
    found = shuffled(np.arange(6.0), np.arange(6) >= 3, np.arange(6), seed=0)
    assert found["p"] == pytest.approx(1 / 20, abs=0.02)


def test_whole_units_are_shuffled() -> None:
    groups = np.arange(40) // 10
    found = shuffled(groups.astype(float), groups >= 2, groups, seed=0)
    assert found["p"] == pytest.approx(1 / 6, abs=0.04)  # 6 ways to choose two groups of four
    assert found["high"] == 1.0
    one_a_side = shuffled(np.arange(20.0), MEMBERS[10:30], MEMBERS[10:30], seed=0)
    assert one_a_side["p"] == pytest.approx(1.0)


def test_scores_that_drift_along_the_ids_are_seen() -> None:
    rng = np.random.default_rng(0)
    still, drifting = rng.normal(size=50), rng.normal(size=50) + np.arange(50) / 10
    assert halves(still, np.arange(50), 0)["p_order"] > 0.05
    found = halves(drifting, np.arange(50), 0)
    assert found["p_order"] == 1 / 1001
    assert found["by_order"] < 0.2
    # Random halves are blind to it: shuffled scores have the same.
    assert halves(rng.permutation(drifting), np.arange(50), 0)["distance"] == pytest.approx(found["distance"], rel=0.1)


def test_halves_take_whole_units_in_the_order_of_the_scenes() -> None:
    groups = np.array(["z", "z", "b", "b", "y", "y", "a", "a"])
    assert halves(np.array([9.0, 9, 8, 8, 1, 1, 2, 2]), groups, 0)["by_order"] == 1.0
    assert "cannot be halved" in halves(np.arange(3.0), np.zeros(3), 0)["untested"]


@pytest.mark.parametrize(("style", "confounded"), [("night", True), ("city", False)])
def test_two_styles_of_streets_are_told_apart_and_one_is_not(style: Style, confounded: bool) -> None:
    members, others = Streets(size=(32, 48), style="city"), Streets(size=(32, 48), style=style)
    drawn = [*(members.scene(None, i) for i in members.ids(None)[:SIDE])]
    drawn += [others.scene(None, i) for i in others.ids(None)[SIDE : 2 * SIDE]]
    seen = np.stack([features_of(scene, 19) for scene in drawn])
    assert blind(seen, MEMBERS, GROUPS, seed=0)["confounded"] is confounded


def two_sides() -> BlindControl:
    """The control of a victim of 8 + 8 street scenes, none of them painted yet."""
    settings = recipes.load_victim("tiny")
    dataset = settings.dataset()
    ids = dataset.ids(None)
    parts = Partition(ids[:8], ids[8:16], [], {i: i for i in ids})
    cut = read_cut(dataset, parts, None, content=Content(None))
    return BlindControl(TrainedModel("tiny", settings, 0, 0, cut, "victims"))


def test_a_split_is_read_once_and_its_controls_stand_in_the_result(
    workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    control, workspace, scores = two_sides(), Workspace(Store(workdir / "runs")), np.arange(16.0)
    known = membership_of(control.victim.partition(workspace.store))
    run(Plan((control,), workspace.store), workspace)
    first = controls(scores, known, control.value(workspace.store), seed=0)
    assert json.loads(json.dumps(first)) == first
    assert list(first) == ["blind", "shuffle", "halves"]
    assert first["blind"]["folds"] == 4
    assert first["shuffle"]["p"] == 1.0  # members come first and score lowest
    monkeypatch.setattr(Streets, "scene", None)
    run(Plan((control,), workspace.store), workspace)
    assert controls(scores, known, control.value(workspace.store), seed=0) == first
    (kept,) = (workdir / "runs" / "controls").iterdir()
    (kept / "blind.json").write_text("{")
    with pytest.raises(MiaSegError, match="mia-seg store rm controls/tiny"):
        control.value(workspace.store)


def test_a_confounded_result_says_what_is_above_blind() -> None:
    known, scores = Membership(np.arange(16) < 8, np.arange(16)), np.array([*[2.0] * 8, *[1.0] * 2, *[3.0] * 6])
    split = blind(np.arange(16.0)[:, None] < 8, known.members_N, known.groups_N, seed=0)
    found = controls(scores, known, split, seed=0)["blind"]
    assert (found["auc"], found["confounded"], found["above"]) == (1.0, True, -0.75)
