"""Difficulty: scenes whose labels are given away by their image, are noise, or are not there to be predicted."""

import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import Audit
from helpers_files import call
from helpers_scenes import blocky, picture

from mia_seg.data import IGNORE, Scene
from mia_seg.evaluate import results
from mia_seg.query import difficulty
from mia_seg.query.difficulty import difficulty_of, features

COLOURS = np.array([[200, 30, 30], [30, 200, 30], [30, 30, 200], [200, 200, 30]], np.uint8)


def painted(size: tuple[int, int] = (60, 60), seed: int = 0) -> Scene:
    """Each label has its colour, and unlabelled pixels any."""
    rng = np.random.default_rng(seed)
    labels = blocky(rng, size, len(COLOURS))
    image = COLOURS[labels % len(COLOURS)] + rng.integers(20, size=(*size, 3), dtype=np.uint8)
    return Scene("painted", image, labels)


def noise(size: tuple[int, int], classes: int) -> Scene:
    """Labels of which the image says nothing."""
    return Scene("noise", picture(1, size), np.random.default_rng(2).integers(classes, size=size, dtype=np.uint8))


def test_labels_that_their_colour_gives_away_are_easy() -> None:
    assert 0 < difficulty_of(painted()) < 0.05


@pytest.mark.parametrize("classes", [2, 4, 8])
def test_labels_that_are_noise_are_as_hard_as_their_entropy(classes: int) -> None:
    assert difficulty_of(noise((60, 60), classes)) == pytest.approx(math.log(classes), abs=0.06)


def test_pixels_are_judged_by_a_regression_that_was_fitted_to_others() -> None:
    """On those that it was fitted to, it would do better than guessing."""
    assert difficulty_of(noise((12, 12), 4)) > math.log(4)


@pytest.mark.parametrize(
    "labels",
    [
        np.full((9, 9), IGNORE),
        np.full((9, 9), 3),
        np.where(np.arange(81).reshape(9, 9) % 2, 3, IGNORE),
        np.array([[0, 1]]),
        np.array([[2]]),
    ],
)
def test_where_nothing_is_to_be_predicted_nothing_is_hard(labels: np.ndarray) -> None:
    assert difficulty_of(Scene("a", picture(0, labels.shape), labels.astype(np.uint8))) == 0


@pytest.mark.parametrize("column", range(10))
def test_a_class_of_one_pixel_that_was_held_out_is_left_out(column: int) -> None:
    scene = painted()
    scene.labels_HW[30, column] = 7
    assert difficulty_of(scene) < 0.06


def test_it_is_a_function_of_image_and_labels_alone_and_of_a_grid_of_them() -> None:
    small = painted()
    large = Scene("large", small.image_HWC.repeat(2, 0).repeat(2, 1), small.labels_HW.repeat(2, 0).repeat(2, 1))
    assert difficulty_of(replace(small, id="b")) == difficulty_of(small)
    assert difficulty_of(large) == difficulty_of(small), "14,400 pixels, of which every second in each row and column"


def test_features_have_one_scale_and_those_that_do_not_vary_are_nothing() -> None:
    varied, flat = features(picture(0, (8, 6))), features(np.full((8, 6, 3), 77, np.uint8))
    assert varied.shape == flat.shape == (48, 19)
    assert varied.mean(0) == pytest.approx(np.zeros(19), abs=1e-9)
    assert varied.std(0) == pytest.approx(np.ones(19))
    assert not flat[:, :-2].any()
    assert (np.diff(flat[:, -2].reshape(8, 6), axis=0) > 0).all(), "rows"
    assert (np.diff(flat[:, -1].reshape(8, 6), axis=1) > 0).all(), "columns"


def test_the_line_finds_the_difficulty_of_a_list_of_scenes_once(
    audit: Audit, workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(audit.store, workdir / "runs")
    line = ("run", "tiny", "tiny_a1", "--defense", "none", "--device", "cpu", "--attack")
    ran = call(*line, "predictability_error")
    assert ran.code == 0, ran.err
    (path,) = (workdir / "reports" / "tiny").glob("*predictability_error.s0.json")
    assert results.read(path).queries == 24, "no query is spent on it"
    kept = [*(workdir / "runs" / "difficulty").iterdir()]
    assert len(kept) == 2, "of the victim's scenes and of the shadow's"
    monkeypatch.setattr(difficulty, "difficulty", None)
    assert call(*line, "predictability_error:0.5").code == 0
    assert len([*(workdir / "reports" / "tiny").glob("*predictability_error*.s0.json")]) == 2
    (kept[0] / "difficulty.json").write_text("[")
    (kept[1] / "difficulty.json").write_text("[")
    refused = call(*line, "predictability_error:0.2")
    assert (refused.code, "mia-seg store rm difficulty/" in refused.err) == (2, True)
