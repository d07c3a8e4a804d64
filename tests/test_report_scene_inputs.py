"""Inputs of the figure of predictions behind each defense: from the store, at request alone, in known colours."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import Audit

from mia_seg import recipes
from mia_seg.data._labels import CITYSCAPES
from mia_seg.evaluate import results
from mia_seg.evaluate.results import Result
from mia_seg.metrics.segmentation import utility
from mia_seg.query import answers
from mia_seg.report import figures, from_store, galleries, scene_inputs
from mia_seg.report.galleries import SegmentationInput
from mia_seg.store import Store


@pytest.fixture
def audited(audit: Audit, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Result]]:
    monkeypatch.chdir(audit.folder)
    return results.read_all(audit.reports)


def drawn_sheet(classes: tuple[str, ...] = ("road", "sky", "alley", "gate")) -> SegmentationInput:
    """Two scenes that show all classes but the last, the second without labels."""
    images = [np.full((24, 32, 3), 120, np.uint8)] * 2
    labels = [np.tile(np.array([0, 1, 2, 255], np.uint8), (6, 2)), np.full((6, 8), 255, np.uint8)]
    predicted = {name: [one.clip(0, 2) for one in labels] for name in ("argmax", "none")}
    quality = {name: [(0.75, 0.5), None] for name in predicted}
    return SegmentationInput(["one", "two"], [True, False], images, labels, classes, predicted, quality, "Seed 3.")


def test_predictions_are_those_of_the_answers_behind_each_defense(audit: Audit, audited: list[Result]) -> None:
    sheet = scene_inputs.segmentation_inputs(audited, Store(audit.store), None)["tiny"]
    parts = recipes.load_victim("tiny").split.cut(recipes.load_victim("tiny").dataset(), None, 0)
    assert [i in parts.members for i in sheet.scene_ids] == sheet.members == [True, True, False, False]
    assert set(sheet.predicted) == {"none", "argmax"}
    for name in sheet.predicted:
        digest = next(r.digests.victim_answers for r in audited if r.defense == name and not r.adaptive)
        seen = answers.load(next(audit.store.glob(f"answers/*-{digest}"))).take(sheet.scene_ids)
        for row, (answer, predicted) in enumerate(zip(seen, sheet.predicted[name], strict=True)):
            assert (predicted == answer.posterior_KHW.argmax(0)).all()
            found = utility(seen.statistics.confusion_NKK[row])
            assert sheet.quality[name][row] == (found["pix_acc"], found["miou"])
    assert sheet.note.startswith("Seed 0.")


def test_without_its_answers_a_sheet_is_not_drawn(
    audit: Audit, audited: list[Result], capsys: pytest.CaptureFixture[str]
) -> None:
    assert scene_inputs.segmentation_inputs(audited, Store(audit.folder / "elsewhere"), None) == {}
    assert "kept the segmentation figure of tiny" in capsys.readouterr().err


def test_scenes_are_pictured_at_request_alone(
    audit: Audit, audited: list[Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del audited  # the working directory, which holds the recipes
    for other in ("draw", "confidences", "parts", "losses"):  # the slowest, and tested elsewhere
        monkeypatch.setattr(figures, other, lambda *_, **__: [])
    reports = Path(shutil.copytree(audit.reports, tmp_path / "reports"))
    picture, page = reports / "tiny" / "segmentation.png", reports / "tiny" / "README.md"
    for asked in (False, True, False):
        from_store.report(reports, Store(audit.store), None, forms=["md"], thumbnails=asked)
        assert picture.is_file() is asked
        assert ("](segmentation.png)" in page.read_text("utf-8")) is asked


def test_classes_have_the_colours_that_cityscapes_gives_them_and_others_their_own() -> None:
    colours = galleries.palette(("gate", "sky", "alley", "road"))
    assert colours[1].tolist() == list(CITYSCAPES["sky"])
    assert colours[3].tolist() == list(CITYSCAPES["road"])
    assert not colours[255].any()
    assert len({tuple(one) for one in galleries.palette([f"class {k}" for k in range(21)])[:21].tolist()}) == 21
    assert galleries.palette()[: len(CITYSCAPES)].tolist() == [list(one) for one in CITYSCAPES.values()]


def test_the_legend_names_what_is_shown_and_quality_stands_below() -> None:
    drawn = galleries.segmentation_figure(drawn_sheet())
    assert [text.get_text() for text in drawn.legends[0].get_texts()] == ["road", "sky", "alley"]
    grid = np.array(drawn.axes).reshape(2, 4)
    assert [ax.get_title() for ax in grid[0]] == ["image", "labels", "no defense", "argmax"]
    assert [ax.get_xlabel() for ax in grid[:, 2]] == ["75.0 / 50.0 %", ""]
    assert [ax.get_xlabel() for ax in grid[:, 0]] == ["member\none", "non-member\ntwo"]
    shown = grid[0, 2].images[0].get_array()
    assert shown.shape == (24, 32, 3)
    assert tuple(shown[0, 0]) == CITYSCAPES["road"]


def test_an_attacker_who_asks_often_or_has_undone_the_defense_is_not_pictured(audited: list[Result]) -> None:
    one = next(r for r in audited if r.defense == "argmax" and not r.adaptive)
    often, undone = one.model_copy(update={"repeats": 4}), one.model_copy(update={"adaptive": True})
    assert scene_inputs._once_a_defense([often, undone, one]) == [one]
    assert scene_inputs._once_a_defense([one.model_copy(update={"seed": 1}), often]) == [often], "of the first seed"


def test_a_figure_of_predictions_is_written(tmp_path: Path) -> None:
    (made,) = figures.segmentation(tmp_path, drawn_sheet())
    assert 0 < made.files[0].stat().st_size < 60_000
    assert figures.segmentation(tmp_path, None)[0] == replace(made), "kept"
