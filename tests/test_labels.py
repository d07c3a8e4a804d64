"""Label values are accounted for, and scenes without a labelled pixel never count as the surest members."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from helpers_files import assert_refused, call, edit, facade_stem, forget, write
from PIL import Image

from mia_seg import recipes
from mia_seg.data._values import FEW, LabelValues
from mia_seg.errors import MiaSegError
from mia_seg.stages.sources import Sources
from mia_seg.store import Store
from mia_seg.store.memo import Memo
from mia_seg.workspace import Workspace

VOID = (0, 0, 0)  # LabelMeFacade's "various", which no rule names
ROAD = (128, 64, 0)
ONE_TENTH = (9, 1, 1, {"3": 1})


def values(labelled: int, ignored: int, unknown: int, most: dict[str, int]) -> LabelValues:
    return LabelValues(frozenset({0, 1}), labelled, ignored, unknown, most)


def fill(root: Path, stems: Sequence[str], colour: tuple[int, int, int] = VOID) -> None:
    """Labels of one colour; the image's file stays."""
    for stem in stems:
        path = root / "labelmefacade" / "labels" / f"{stem}.png"
        Image.new("RGB", size_of(path), colour).save(path)


def size_of(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


def sources(root: Path, store: Path) -> Sources:
    forget()
    return Sources(Workspace(Store(store), root, store / "reports", "cpu"))


def test_pixels_are_counted_by_what_becomes_of_them() -> None:
    one = LabelValues.of(np.array([[0, 0, 3], [255, 255, 255]], np.uint8), {"7": 1})
    assert one == LabelValues(frozenset({0, 3}), 3, 3, 1, {"7": 1})
    other = LabelValues.of(np.array([[1, 255]], np.uint8), {"7": 1, "9": 0})
    assert LabelValues.total([one, other]) == LabelValues(frozenset({0, 1, 3}), 4, 4, 2, {"7": 2, "9": 0})
    assert LabelValues.read(json.loads(json.dumps(one.row()))) == one
    assert LabelValues.total([]) == LabelValues()


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (values(90, 10, 0, {}), "10% of pixels are ignored"),
        (values(99_999, 1, 0, {}), "<0.01% of pixels are ignored"),
        (values(8, 2, 1, {"3": 1}), "ignored (10% as no rule of the class map names them: 3 (10%))"),
        (values(8, 2, 2, {"3": 1}), "20% as no rule of the class map names them: 3 (10%), ...)"),
    ],
)  # fmt: skip
def test_shares_are_said(found: LabelValues, says: str) -> None:
    assert found.says().endswith(says)


def test_more_than_a_few_unknown_pixels_are_refused_unless_they_are_meant() -> None:
    few, many = (values(10_000 - n, n, n, {"3": n}) for n in (int(FEW * 10_000), int(FEW * 10_000) + 1))
    few.check(False, "Here")
    many.check(True, "Here")
    with pytest.raises(
        MiaSegError, match=r"^Here, 0.11% .* 3 \(0.11%\)\)\. Correct the labels, or add rules .*'ignore'"
    ):
        many.check(False, "Here")


def test_findings_are_kept_and_made_once(tmp_path: Path) -> None:
    asked: list[int] = []
    for keys in (["a", "b"], ["b", "c"]):
        found = Memo(tmp_path / "memo.json").of(keys, lambda k: [asked.append(k), k][1], "")
        assert len(found) == 2
    assert sorted(asked) == [0, 1, 1]
    (tmp_path / "memo.json").write_text("{")
    assert Memo(tmp_path / "memo.json").of(["a"], lambda _: 5, "") == [5]


def test_scenes_without_a_labelled_pixel_are_left_out_of_every_part(
    workdir: Path, data_root: Path, tmp_path: Path
) -> None:
    recipe = recipes.load_victim("tiny_folder")
    whole = sources(data_root, tmp_path / "store").cut(recipe, 0)
    assert (whole.labels is not None, dict(whole.left_out)) == (True, {"members": [], "nonmembers": [], "pool": []})
    lost = {
        "members": whole.parts.members[:1],
        "nonmembers": whole.parts.nonmembers[2:4],
        "pool": whole.parts.pool[-1:],
    }
    fill(data_root, [stem for stems in lost.values() for stem in stems])
    cut = sources(data_root, tmp_path / "store").cut(recipe, 0)
    assert dict(cut.left_out) == lost
    for part, gone in lost.items():
        assert getattr(cut.parts, part) == [i for i in getattr(whole.parts, part) if i not in gone]
    assert cut.given("members") != whole.given("members")


def test_labels_that_resizing_loses_are_none(workdir: Path, data_root: Path, tmp_path: Path) -> None:
    stem = facade_stem(0)
    path = data_root / "labelmefacade" / "labels" / f"{stem}.png"
    drawn = Image.new("RGB", size_of(path), VOID)
    drawn.putpixel((0, 0), ROAD)
    drawn.save(path)
    recipe, lost = recipes.load_victim("tiny_folder"), []
    for size in ("[4, 4]", "[40, 64]"):
        changed = recipe.model_copy(update={"data": recipe.data | {"size": json.loads(size)}})
        cut = sources(data_root, tmp_path / "store").cut(changed, 0)
        lost.append([i for part in cut.left_out.values() for i in part])
    assert lost == [[stem], []]


@pytest.mark.parametrize(
    ("part", "colour", "says"),
    [
        ("nonmembers", VOID, r"No pixel of the non-members is labelled \(6 scenes: static_street"),
        ("members", VOID, r"No pixel of the members is labelled"),
        ("members", ROAD, r"The members' labels show one class alone \('road'; 0% of pixels are ignored\)"),
    ],
)
def test_a_side_without_labels_or_of_one_class_is_refused(
    workdir: Path, data_root: Path, tmp_path: Path, part: str, colour: tuple[int, int, int], says: str
) -> None:
    recipe = recipes.load_victim("tiny_folder")
    fill(data_root, getattr(sources(data_root, tmp_path / "store").cut(recipe, 0).parts, part), colour)
    with pytest.raises(MiaSegError, match=says):
        sources(data_root, tmp_path / "store").cut(recipe, 0)


def test_values_that_no_rule_names_stop_a_training_before_it_begins(workdir: Path, data_root: Path) -> None:
    own = (Path(recipes.data.__file__).parent / "class_maps" / "labelmefacade.toml").read_text(encoding="utf-8")
    write(workdir / "own.toml", own.replace('other = "ignore"', ""))
    edit(workdir / "victims" / "tiny_folder.toml", 'class_map = "labelmefacade"', 'class_map = "own.toml"')
    ran = call("train-victim", "tiny_folder", "--data-root", data_root)
    assert_refused(ran, "of pixels are ignored", "(0, 0, 0)", "other = 'ignore'")
    assert not list((workdir / "runs").glob("victims/*"))


def test_an_audit_counts_what_it_left_out_and_says_so_first(workdir: Path, data_root: Path) -> None:
    recipe = recipes.load_victim("tiny_folder")
    lost = sources(data_root, workdir / "runs").cut(recipe, 0).parts.nonmembers[:2]
    fill(data_root, lost)
    forget()
    ran = call(
        "run", "tiny_folder", "tiny_folder_a1", "--attack", "image_loss", "--defense", "none", "--data-root", data_root
    )
    assert ran.code == 0, ran.err
    said = "Left out, because they have no labelled pixel and so no loss: 0 of 6 members, 2 of 6 non-members."
    assert said in " ".join(ran.out.split())
    assert re.search(r"left out for want of a labelled pixel, \d scenes", " ".join(ran.err.split()))
    [path] = (workdir / "reports" / "tiny_folder").glob("*.json")
    result = json.loads(path.read_text(encoding="utf-8"))
    assert result["left_out"] == {"members": [], "nonmembers": lost}
    assert (result["levels"]["image"]["n_members"], result["levels"]["image"]["n_nonmembers"]) == (6, 4)
    page = (workdir / "reports" / "tiny_folder" / "README.md").read_text(encoding="utf-8")
    assert said in page
    assert page.index(said) < page.index("AUC"), "before the verdict"
