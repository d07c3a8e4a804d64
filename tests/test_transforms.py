"""Views: scenes of nine pixels changed by hand, and black boxes that are asked about them."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import Audit
from helpers_files import call
from helpers_scenes import ask, blocky, scenes_of, written
from torch import Tensor

from mia_seg.attacks.label_only import LabelOnly
from mia_seg.data import Scene
from mia_seg.errors import MiaSegError
from mia_seg.evaluate import results
from mia_seg.query import answers, key
from mia_seg.query.transforms import changed

X = 255
LABELS = np.array([[0, 1, 2], [3, 4, 5], [6, 7, 8]], np.uint8)
# The pool's twelve scenes chose the shadow's members; the audited twelve are asked about as they are and changed.
QUERIES = {"augmented": 12 + 5 * 12, "distance": 12 + 5 * 12}
DIFFICULTY = np.array([0.5, 0.25, 1.0])
PLAIN = Scene("a", np.stack([20 * LABELS, 20 * LABELS + 1, 20 * LABELS + 2], -1), LABELS)


@pytest.mark.parametrize(
    ("transform", "columns", "unknown"),
    [
        ("flip", [2, 1, 0], []),
        ("shift:1", [0, 0, 1], [0]),
        ("shift:2", [0, 0, 0], [0, 1]),
        ("shift:-1", [1, 2, 2], [2]),
        ("shift:5", [0, 0, 0], [0, 1, 2]),
    ],
)
def test_image_and_labels_move_alike_and_nothing_is_known_beyond_the_edge(
    transform: str, columns: list[int], unknown: list[int]
) -> None:
    found = changed(PLAIN, transform, 0)
    expected = PLAIN.labels_HW[:, columns]
    assert (found.image_HWC == PLAIN.image_HWC[:, columns]).all()
    expected[:, unknown] = X
    assert (found.labels_HW == expected).all()
    assert (found.image_HWC.dtype, found.labels_HW.dtype) == (np.uint8, np.uint8)


def test_the_middle_is_enlarged_and_labels_with_it() -> None:
    """Twice as large, the middle 2 x 2 of 4 x 4 pixels fills the frame: each is four."""
    grey = 10 * np.arange(16, dtype=np.uint8).reshape(4, 4)
    found = changed(Scene("a", np.stack([grey] * 3, -1), grey // 10), "zoom:2", 0)
    assert found.labels_HW.tolist() == [[5, 5, 6, 6], [5, 5, 6, 6], [9, 9, 10, 10], [9, 9, 10, 10]]
    assert found.image_HWC[0, :, 1].tolist() == [38, 43, 48, 53], "a quarter and three quarters between neighbours"
    same = changed(PLAIN, "zoom:1", 0)
    assert (same.image_HWC == PLAIN.image_HWC).all()
    assert (same.labels_HW == PLAIN.labels_HW).all()


def test_mirrored_twice_a_scene_is_itself() -> None:
    twice = changed(changed(PLAIN, "flip", 0), "flip", 0)
    assert (twice.image_HWC == PLAIN.image_HWC).all()
    assert (twice.labels_HW == PLAIN.labels_HW).all()


def test_noise_is_that_of_the_seed_and_leaves_labels_alone() -> None:
    first, again, other = (changed(PLAIN, "noise:0.1", seed) for seed in (3, 3, 4))
    assert (first.image_HWC == again.image_HWC).all()
    assert (first.image_HWC != other.image_HWC).any()
    assert (first.labels_HW == PLAIN.labels_HW).all()
    assert first.image_HWC.dtype == np.uint8


def test_noise_has_its_deviation_and_more_of_it_is_the_same_draw_scaled() -> None:
    grey = Scene("a", np.full((60, 60, 3), 128, np.uint8), np.zeros((60, 60), np.uint8))
    little, much = (changed(grey, f"noise:{level}", 0).image_HWC.astype(float) - 128 for level in (0.05, 0.1))
    assert little.std() == pytest.approx(255 * 0.05, rel=0.03)
    assert np.abs(much - 2 * little).max() <= 1.5, "but for rounding"
    assert {0, 255} <= {*changed(grey, "noise:0.4", 0).image_HWC.ravel().tolist()}, "clipped, not wrapped"


def test_an_unknown_view_is_refused() -> None:
    with pytest.raises(MiaSegError, match=r"No transform is called 'turn:90'. There are: flip, shift:D"):
        changed(PLAIN, "turn:90", 0)


def test_a_black_box_is_shown_the_view_and_draws_other_noise_for_it(tmp_path: Path) -> None:
    scenes, asked = scenes_of([blocky(np.random.default_rng(0), (6, 8), 3)], 3), []

    def box(image_HWC: np.ndarray, seed: int) -> Tensor:
        asked.append((image_HWC, seed))
        return torch.full((3, 6, 8), 1 / 3)

    for name, transform in (("plain", None), ("flip", "flip"), ("noise", "noise:0.1")):
        ask(box, scenes, tmp_path / name, seed=5, transform=transform)
    (image, plain), (mirrored, flip), (noisy, noise) = asked
    scene = scenes[0]
    assert (mirrored == image[:, ::-1]).all()
    assert (noisy == changed(scene, "noise:0.1", key(scene.id, 5)).image_HWC).all()
    assert len({plain, flip, noise}) == 3
    told = answers.load(tmp_path / "flip")
    assert told.ids == [scene.id]
    assert (told[0].labels_HW == scene.labels_HW[:, ::-1]).all()


def test_views_and_difficulty_follow_the_scenes_and_classes_that_are_looked_at(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = [blocky(rng, (6, 8), 3) for _ in range(3)]
    posteriors = [rng.dirichlet(np.ones(3), (6, 8)).transpose(2, 0, 1).astype(np.float32) for _ in labels]
    plain = written(tmp_path, posteriors, labels)
    both = answers.Answers(**(vars(plain) | {"transforms": {"flip": plain.statistics}, "difficulty_N": DIFFICULTY}))
    for part in (both.take(plain.ids[1:]), both.only([0, 2]), both.only([0, 2]).take(plain.ids[:1])):
        for name, values in vars(part.statistics).items():
            assert np.array_equal(getattr(part.transforms["flip"], name), values), name
        assert part.difficulty_N is not None
        assert part.difficulty_N.tolist() == [DIFFICULTY[plain.ids.index(scene)] for scene in part.ids]


def test_the_line_asks_about_each_view_once_and_counts_it(audit: Audit, workdir: Path) -> None:
    """Of the victim and of its shadow, which the audit trained; asked again, nothing is done twice."""
    shutil.copytree(audit.store, workdir / "runs")
    line = ("run", "tiny", "tiny_a1", "--defense", "none", "--device", "cpu")
    line += tuple(part for kind in ("miou", *QUERIES) for part in ("--attack", f"label_only:{kind}"))
    before = {*(workdir / "runs").rglob("made.json")}
    ran = call(*line)
    assert ran.code == 0, ran.err
    whole = {path: path.stat().st_mtime_ns for path in (workdir / "runs").rglob("made.json")}
    made = [json.loads(path.read_text("utf-8")) for path in whole.keys() - before if path.parts[-3] == "answers"]
    transforms = {*LabelOnly(statistic="augmented").transforms, *LabelOnly(statistic="distance").transforms}
    assert sorted(parts["inputs"]["transform"][0] for parts in made) == sorted([*transforms, *transforms]), (
        "of the victim and of the shadow"
    )
    for kind, asked in QUERIES.items():
        (path,) = (workdir / "reports" / "tiny").glob(f"*label_only-{kind}.s0.json")
        assert results.read(path).queries == asked
    (path,) = (workdir / "reports" / "tiny").glob("*label_only.s0.json")
    assert results.read(path).queries == 24
    assert call(*line).code == 0
    assert {path: path.stat().st_mtime_ns for path in (workdir / "runs").rglob("made.json")} == whole
