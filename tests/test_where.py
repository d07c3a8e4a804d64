"""Where it leaks: the AUC of each part of the scenes alone, and how the report shows it."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from helpers_results import result

from mia_seg import report
from mia_seg.attacks import Membership
from mia_seg.attacks.image_loss import ImageLoss
from mia_seg.evaluate.audit import _where
from mia_seg.evaluate.results import Result
from mia_seg.query.answers import CUTS, Answers
from mia_seg.query.answers import PARTS as PIXEL_PARTS
from mia_seg.report import figures, where
from mia_seg.report.cells import enriched
from mia_seg.report.galleries import LossInput, SceneInputs, loss_figure
from mia_seg.testing import Leak, World

NAMES = ("road", "car", "sky", "pole")
PARTS = [*(("class", name) for name in NAMES), *((cut, name) for cut, names in CUTS.items() for name in names)]
SMALL = 60_000


def leaking(cut: str, part: str) -> tuple[Answers, np.ndarray]:
    """Answers whose loss is 1 everywhere, but 2 in one part of the non-members; and who is a member."""
    answers, members_N = World(Leak(0.0), 40).victim()
    kept, lost_N = answers.statistics, np.where(members_N, 1.0, 2.0)
    loss_NK, loss_NG = kept.pixels_NK.astype(float), kept.part_pixels_NG.astype(float)
    sums, place = (loss_NK, NAMES.index(part)) if cut == "class" else (loss_NG, PIXEL_PARTS.index(part))
    sums[:, place] *= lost_N
    return replace(answers, statistics=replace(kept, loss_NK=loss_NK, part_loss_NG=loss_NG)), members_N


def without(answers: Answers, label: int, scenes: np.ndarray) -> Answers:
    """The answers with no pixel of a class in some scenes."""
    kept = answers.statistics
    pixels_NK, loss_NK = kept.pixels_NK.copy(), kept.loss_NK.copy()
    pixels_NK[scenes, label], loss_NK[scenes, label] = 0, 0
    return replace(answers, statistics=replace(kept, pixels_NK=pixels_NK, loss_NK=loss_NK))


def measured(answers: Answers, members_N: np.ndarray, **attack: Any) -> dict[tuple[str, str], dict[str, Any]]:
    victim: Any = SimpleNamespace(recipe=SimpleNamespace(dataset=lambda: SimpleNamespace(classes=lambda: NAMES)))
    groups_N = attack.pop("groups_N", np.arange(len(members_N)))
    rows = _where(ImageLoss(**attack).scores(answers), victim, Membership(members_N, groups_N))
    return {(row["cut"], row["part"]): row for row in rows}


@pytest.mark.parametrize("leak", PARTS)
@pytest.mark.parametrize("statistic", ["mean", "boundary"])
def test_one_part_that_leaks_is_found_and_no_other(leak: tuple[str, str], statistic: str) -> None:
    found = measured(*leaking(*leak), statistic=statistic)
    assert {part: row["auc"] for part, row in found.items()} == {part: 0.5 + 0.5 * (part == leak) for part in PARTS}
    assert found[leak]["low"] > 0.5
    assert all(row["low"] < 0.5 < row["high"] for part, row in found.items() if part != leak)
    assert {(row["members"], row["nonmembers"]) for row in found.values()} == {(20, 20)}


def test_scenes_without_the_part_are_left_out() -> None:
    answers, members_N = leaking("class", "car")
    # The three members without a car would be called non-members by any number that stood in for their loss.
    few = without(answers, 1, np.flatnonzero(members_N)[:3])
    assert np.isnan(ImageLoss().scores(few).parts["class", 1]).sum() == 3
    row = measured(few, members_N)["class", "car"]
    assert (row["auc"], row["members"], row["nonmembers"]) == (1.0, 17, 20)


@pytest.mark.parametrize(("groups", "auc"), [(0, None), (1, None), (2, 1.0)])
def test_a_part_of_too_few_groups_has_no_number(groups: int, auc: float | None) -> None:
    answers, members_N = leaking("class", "car")
    row = measured(without(answers, 1, np.flatnonzero(members_N)[groups:]), members_N)["class", "car"]
    assert (row["auc"], row["members"], row["nonmembers"]) == (auc, groups, 20)
    assert (row["low"] is None) is (row["high"] is None) is (auc is None)


def test_scenes_of_one_block_are_one_group() -> None:
    answers, members_N = leaking("class", "car")
    found = measured(answers, members_N, groups_N=np.where(members_N, 0, np.arange(40)))
    assert {row["auc"] for row in found.values()} == {None}


def test_classes_that_an_attacker_leaves_out_are_not_measured() -> None:
    answers, members_N = leaking("class", "sky")
    found = measured(answers.only([1, 2]), members_N)
    assert [part for cut, part in found if cut == "class"] == ["car", "sky"]
    assert (found["class", "car"]["auc"], found["class", "sky"]["auc"]) == (0.5, 1.0)


def line(cut: str, part: str, auc: float | None, members: int = 30) -> dict[str, Any]:
    low, high = (None, None) if auc is None else (auc - 0.1, auc + 0.1)
    return {"cut": cut, "part": part, "auc": auc, "low": low, "high": high, "members": members, "nonmembers": 31}


def told(car: float | None, seed: int = 1, members: int = 30, **changes: Any) -> Result:
    """A result in which cars have an AUC of their own."""
    lines = [line("class", "road", 0.6), line("class", "car", car, members), line("class", "train", None, 0)]
    lines += [line(cut, name, 0.55 + 0.01 * i) for cut, names in CUTS.items() for i, name in enumerate(names)]
    kind = {"attack": "image_loss", "representation": "", "seed": seed, "where": lines}
    return result(1.0, **(kind | changes))


def test_parts_stand_by_their_auc_and_over_seeds_by_their_mean() -> None:
    found = where.parts(where.shown(enriched([told(0.7), told(0.9, seed=2, members=28)])))
    assert [part.name for part in found[:5]] == ["car", "road", "train", "interior", "boundary"]
    car, _, train = found[:3]
    assert car.auc == pytest.approx((0.8, 0.8 - 0.1 / 2**0.5, 0.8 + 0.1 / 2**0.5))
    assert (car.counts, train.auc, train.counts) == (("28–30", "31"), None, ("0", "31"))


def test_parts_allow_for_scenes_that_splits_share() -> None:
    """The first two seeds have the same scores, the third others: the middle one has too few scenes with cars."""
    scenes = [told(auc, seed=seed, scored=True) for seed, auc in ((1, 0.7), (2, None), (3, 0.7))]
    first, _, last = scenes
    scenes = [first, scenes[1].with_scores(first.scores), last]
    car, road = where.parts(where.shown(enriched(scenes)))[:2]
    assert car.auc == pytest.approx((0.7, 0.7 - 0.1 / 2**0.5, 0.7 + 0.1 / 2**0.5))
    half = 0.1 * 5**0.5 / 3  # two that are one, and another
    assert road.auc == pytest.approx((0.6, 0.6 - half, 0.6 + half))


def test_a_seed_that_has_too_few_scenes_does_not_count() -> None:
    rows = where.shown(enriched([told(0.7), told(None, seed=2)]))
    (table,) = where.where_tables(rows)
    assert table.rows[0] == ["class", "car", "0.70 [0.60, 0.80]", "30", "31", "1"]
    assert table.rows[2] == ["class", "train", "–", "0", "31", "–"]
    assert where.note(rows).endswith("In too few scenes for an interval: train.")


def test_one_result_a_seed_is_shown_and_an_a2_shadow_s_only_without_another() -> None:
    independent = told(0.7, shadow="alien", adversary="A2")
    others = [
        told(0.7, defense="argmax"),
        told(0.7, representation="boundary"),
        told(0.7, attack="lira"),
        result(1.0, attack="image_loss", representation=""),
    ]
    for order in ([told(0.8), independent, *others], [independent, *others, told(0.8)]):
        assert [row["shadow"] for row in where.shown(enriched(order))] == ["village_a1"]
    assert [row["shadow"] for row in where.shown(enriched([independent, *others]))] == ["alien"]
    assert where.shown(enriched(others)) == []


def test_the_figure_shows_every_part_that_was_measured(tmp_path: Path) -> None:
    rows = where.shown(enriched([told(0.7), told(0.9, seed=2, members=28)]))
    first, band, size, region = where.where_figure(rows).axes
    assert [tick.get_text() for tick in first.get_yticklabels()] == ["car (28–30 + 31)", "road (30 + 31)"]
    assert [len(ax.get_yticks()) for ax in (band, size)] == [2, 3]
    texts = [text.get_text() for text in region.texts]
    assert texts[0].startswith("0.55\n[")
    assert texts[8].startswith("0.63\n[")
    (made,) = figures.parts(tmp_path / "village", rows)
    assert 0 < made.files[0].stat().st_size < SMALL
    assert "not corrected for their number" in made.reading


def test_a_figure_of_little_is_drawn() -> None:
    lines = [line("class", "car", None), line("region", "region 11", 0.7)]
    rows = where.shown(enriched([told(0.7, where=lines)]))
    assert [text.get_text() for text in where.where_figure(rows).axes[3].texts].count("–") == 8


def sheet(outside: bool) -> LossInput:
    draw = np.random.default_rng(0)
    images, labels = [np.full((48, 64, 3), 90, np.uint8)] * 2, [np.zeros((48, 64), np.uint8)] * 2
    maps = [draw.exponential(size=(12, 16)) for _ in range(4)]
    return LossInput(["one", "two"], [True, False], images, labels, maps[:2], maps[2:] if outside else None)


@pytest.mark.parametrize("outside", [True, False])
def test_the_sheet_of_losses_says_who_is_a_member(outside: bool) -> None:
    axes = [ax for ax in loss_figure(sheet(outside)).axes if ax.get_images()]
    titles = ["image", "labels", "victim's loss", "shadows' loss", "difference"][: 5 if outside else 3]
    assert [ax.get_title() for ax in axes[: len(titles)]] == titles
    assert [ax.get_xlabel() for ax in axes[:: len(titles)]] == ["member\none", "non-member\ntwo"]


def test_the_difference_is_red_where_the_victim_knows_better() -> None:
    one = replace(sheet(outside=True), losses=[np.zeros((12, 16))] * 2, outside=[np.ones((12, 16))] * 2)
    axes = [ax for ax in loss_figure(one).axes if ax.get_images()]
    red, _, blue = np.asarray(axes[4].get_images()[0].get_array())[24, 32]
    assert red > 2 * blue


def test_the_page_shows_where_it_leaks_and_old_results_show_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures, "_curves", lambda *_: iter(()))  # the slowest to draw, and tested elsewhere
    files = report.write(tmp_path / "new", [told(0.7)], {"village": SceneInputs(losses=sheet(outside=True))})
    names = {str(file.relative_to(tmp_path / "new")) for file in files}
    assert {"village/where.png", "village/losses.png"} <= names
    page = (tmp_path / "new" / "village" / "index.html").read_text()
    assert "The image loss, part by part" in page
    assert "Whole scenes: AUC" in (tmp_path / "new" / "village" / "README.md").read_text()
    report.write(tmp_path / "old", [result(1.0, attack="image_loss", representation="")], {})
    assert not [*(tmp_path / "old").rglob("where.png"), *(tmp_path / "old").rglob("losses.png")]
    assert "hold no AUC of single parts" in (tmp_path / "old" / "village" / "index.html").read_text()
