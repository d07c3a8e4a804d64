"""Procedural streets: reproducible, exchangeable, and with every class and style they promise."""

from functools import cache

import numpy as np
import pytest
from pydantic import ValidationError

from mia_seg.data import IGNORE, Scene
from mia_seg.data._labels import CITYSCAPES
from mia_seg.data.streets import STYLES, Streets, Style
from mia_seg.errors import MiaSegError

SMALL = (48, 64)


@cache
def scenes(style: Style, count: int = 48) -> list[Scene]:
    data = Streets(style=style, size=SMALL, count=count)
    return [data.scene(None, scene_id) for scene_id in data.ids(None)]


def shares(chosen: list[Scene]) -> np.ndarray:
    """How much of all pixels each class covers."""
    counts = np.sum([np.bincount(scene.labels_HW.ravel(), minlength=256) for scene in chosen], axis=0)
    return np.asarray(counts / counts.sum())


def test_ids_name_style_seed_and_index_in_order() -> None:
    ids = Streets(style="night", seed=7, count=12).ids(None)
    assert ids[0] == "night-7-000000"
    assert ids == sorted(set(ids))
    assert len(ids) == 12


def test_classes_are_the_nineteen_train_ids() -> None:
    assert Streets().classes() == tuple(CITYSCAPES)


@pytest.mark.parametrize("style", STYLES)
def test_same_id_gives_same_bytes_in_any_order_and_count(style: Style) -> None:
    few, many = Streets(style=style, size=SMALL, count=4), Streets(style=style, size=SMALL, count=900)
    later = [few.scene(None, scene_id) for scene_id in reversed(few.ids(None))][::-1]
    for before, scene_id in zip(later, many.ids(None), strict=False):
        after = many.scene(None, scene_id)
        assert before.id == after.id
        assert before.image_HWC.tobytes() == after.image_HWC.tobytes()
        assert before.labels_HW.tobytes() == after.labels_HW.tobytes()


def test_no_two_scenes_are_alike() -> None:
    prints = {scene.image_HWC.tobytes() for style in STYLES for scene in scenes(style)}
    assert len(prints) == sum(len(scenes(style)) for style in STYLES)


def test_another_seed_is_another_world() -> None:
    here, there = (Streets(size=SMALL, seed=seed) for seed in (0, 1))
    first, second = here.scene(None, here.ids(None)[0]), there.scene(None, there.ids(None)[0])
    assert (first.labels_HW != second.labels_HW).any()


@pytest.mark.parametrize("style", STYLES)
def test_labels_are_train_ids_or_ignored(style: Style) -> None:
    for scene in scenes(style):
        assert scene.image_HWC.dtype == scene.labels_HW.dtype == np.uint8
        assert scene.image_HWC.shape == (*scene.labels_HW.shape, 3)
        assert set(np.unique(scene.labels_HW)) <= {*range(len(CITYSCAPES)), IGNORE}
        assert (scene.labels_HW == IGNORE).mean() < 0.15


@pytest.mark.parametrize("style", STYLES)
def test_every_class_occurs_and_the_large_ones_lead(style: Style) -> None:
    share = shares(scenes(style))
    assert (share[: len(CITYSCAPES)] > 0).all()
    named = dict(zip(CITYSCAPES, share, strict=False))
    assert min(named["road"], named["building"], named["sky"]) > 0.08
    assert max(named["pole"], named["rider"], named["train"], named["traffic light"]) < 0.05


def test_first_and_second_half_are_exchangeable() -> None:
    """Members are a subset of ids, so an id must say nothing about its scene."""
    for style in STYLES:
        chosen = scenes(style)
        first, second = shares(chosen[:24]), shares(chosen[24:])
        assert np.abs(first - second).max() < 0.1
        means = np.array([scene.image_HWC.mean() for scene in chosen])
        assert abs(means[:24].mean() - means[24:].mean()) < means.std()


@pytest.mark.parametrize("size", [(32, 32), (64, 64), (40, 200), (256, 512)])
def test_city_and_night_have_exactly_the_size(size: tuple[int, int]) -> None:
    for style in ("city", "night"):
        data = Streets(style=style, size=size)
        assert data.scene(None, data.ids(None)[1]).labels_HW.shape == size


def test_mixed_sizes_vary_by_up_to_a_quarter_in_steps_of_eight() -> None:
    shapes = np.array([scene.labels_HW.shape for scene in scenes("mixed")])
    assert len(np.unique(shapes, axis=0)) > 4
    assert (np.abs(shapes - SMALL) * 4 <= SMALL).all()
    assert ((shapes - SMALL) % 8 == 0).all()


def test_styles_differ_in_light() -> None:
    bright = {style: np.array([scene.image_HWC.mean() for scene in scenes(style)]) for style in STYLES}
    assert bright["night"].mean() < 0.7 * bright["city"].mean()
    assert bright["mixed"].std() > bright["city"].std()


@pytest.mark.parametrize(
    "scene_id", ["city-0-000012", "night-0-000001", "city-1-000001", "city-0-1", "city-0-²", "city-0--00001", ""]
)
def test_unknown_ids_are_refused_with_the_ones_there_are(scene_id: str) -> None:
    with pytest.raises(MiaSegError, match=r"city-0-000000 to city-0-000011") as refused:
        Streets(count=12).scene(None, scene_id)
    assert f"'{scene_id}'" in str(refused.value)


@pytest.mark.parametrize(
    "settings", [{"size": (16, 128)}, {"style": "rural"}, {"count": 0}, {"seed": -1}, {"colour": "red"}]
)
def test_wrong_settings_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Streets.model_validate(settings)
