"""Scenes as inputs of stages: what is in the files counts; a folder's name or a file's does not."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers_files import facade_stem, forget, write
from PIL import Image

from mia_seg.data import Dataset
from mia_seg.data._example import save
from mia_seg.data.folder import Folder
from mia_seg.data.mapillary import Mapillary
from mia_seg.data.streets import Streets
from mia_seg.errors import MiaSegError
from mia_seg.recipes import Recipe, Synthetic
from mia_seg.recipes.splits import Partition
from mia_seg.stages.scenes import Cut, check_apart, read_cut
from mia_seg.stages.sources import Sources
from mia_seg.store import Store
from mia_seg.store import content as content_
from mia_seg.store.content import Content
from mia_seg.workspace import Workspace

FACADE = Folder(path="labelmefacade", class_map="labelmefacade")
STEMS = [facade_stem(k) for k in (0, 3, 12, 9)]
MEMBER, NONMEMBER, POOL = STEMS[0], STEMS[1], STEMS[2]
SMALL = {"name": "streets", "size": [32, 48], "count": 8}


def partition(ids: Sequence[str]) -> Partition:
    """One member, one non-member, and the rest as the pool."""
    return Partition([ids[0]], [ids[1]], [*ids[2:]], {i: i for i in ids})


def cut(dataset: Dataset, data_root: Path | None, ids: Sequence[str] = STEMS) -> Cut:
    forget()
    return read_cut(dataset, partition(ids), data_root, content=Content(None))


def given(found: Cut) -> dict[str, str]:
    return {part: found.given(part) for part in ("members", "audited", "pool", "membership")}  # type: ignore[arg-type]


def image_of(data_root: Path, stem: str) -> Path:
    return data_root / "labelmefacade" / "images" / f"{stem}.jpg"


def labels_of(data_root: Path, stem: str) -> Path:
    return data_root / "labelmefacade" / "labels" / f"{stem}.png"


def test_another_root_or_folder_is_the_same_content(data_root: Path, tmp_path: Path) -> None:
    first = given(cut(FACADE, data_root))
    assert len(set(first.values())) == 4
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(data_root / "labelmefacade", elsewhere / "copied")
    (elsewhere / "linked").symlink_to("copied", target_is_directory=True)
    for path in ("copied", "./copied/", "linked"):
        assert given(cut(FACADE.model_copy(update={"path": path}), elsewhere)) == first


def test_another_file_name_is_another_scene_with_the_same_picture(data_root: Path) -> None:
    before = cut(FACADE, data_root)
    for path in (image_of(data_root, MEMBER), labels_of(data_root, MEMBER)):
        path.rename(path.with_stem("renamed"))
    after = cut(FACADE, data_root, ["renamed", *STEMS[1:]])
    assert after.content["renamed"] == before.content[MEMBER]
    assert after.pictures["renamed"] == before.pictures[MEMBER]
    assert after.given("members") != before.given("members")
    assert after.given("pool") == before.given("pool")


def another_image(data_root: Path) -> None:
    save(image_of(data_root, MEMBER), np.zeros((40, 64, 3), np.uint8))


def other_labels(data_root: Path) -> None:
    shutil.copyfile(labels_of(data_root, POOL), labels_of(data_root, MEMBER))


@pytest.mark.parametrize("replace", [another_image, other_labels])
def test_a_replaced_file_of_the_same_name_is_other_content(data_root: Path, replace: Callable[[Path], None]) -> None:
    before = cut(FACADE, data_root)
    replace(data_root)
    after = cut(FACADE, data_root)
    changed = {part for part, digest in given(after).items() if digest != before.given(part)}  # type: ignore[arg-type]
    assert changed == {"members", "audited"}
    assert (after.pictures == before.pictures) == (replace is other_labels)


def test_what_shapes_a_scene_beside_its_files_counts(data_root: Path) -> None:
    first = cut(FACADE, data_root).given("members")
    for changed in ({"size": (24, 24)}, {"class_map": "labelmefacade_cityscapes"}):
        assert cut(FACADE.model_copy(update=changed), data_root).given("members") != first


def test_a_config_that_names_the_labels_is_content_of_its_scenes(data_root: Path) -> None:
    ids = Mapillary().ids(data_root)
    before, config = cut(Mapillary(), data_root, ids), data_root / "mapillary" / "config_v1.2.json"
    config.write_text(config.read_text().replace('"Car"', '"A car"').replace('"Bird"', '"Car"'))
    after = cut(Mapillary(), data_root, ids)
    assert after.pictures == before.pictures
    for part in ("members", "audited", "pool"):
        assert after.given(part) != before.given(part)  # type: ignore[arg-type]


def test_membership_is_of_sides_and_groups_and_no_content(data_root: Path) -> None:
    found = cut(FACADE, data_root)
    swapped = found.with_parts(Partition([NONMEMBER], [MEMBER], found.parts.pool, found.parts.group))
    assert swapped.given("audited") == found.given("audited")
    assert swapped.given("membership") != found.given("membership")
    grouped = found.with_parts(Partition([MEMBER], [NONMEMBER], found.parts.pool, dict.fromkeys(STEMS, "one")))
    assert grouped.given("membership") != found.given("membership")
    another_image(data_root)
    assert cut(FACADE, data_root).given("membership") == found.given("membership")


def test_a_file_is_read_once_and_again_when_it_changed(data_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []
    keep = Content._keep
    monkeypatch.setattr(content_, "RACY", -1)  # the files are as young as the test
    monkeypatch.setattr(Content, "_keep", lambda self, path, *a: (read.append(path), keep(self, path, *a))[1])
    files = [path(data_root, stem) for stem in STEMS for path in (image_of, labels_of)]
    content = Content(None)
    for _ in range(2):
        read_cut(FACADE, partition(STEMS), data_root, content=content)
    assert sorted(read) == sorted(files)
    read.clear()
    another_image(data_root)
    read_cut(FACADE, partition(STEMS), data_root, content=content)
    assert read == [image_of(data_root, MEMBER)]


def test_a_copy_under_another_name_in_another_folder_is_found(data_root: Path) -> None:
    save(data_root / "other" / "labels" / "z.png", np.asarray(Image.open(labels_of(data_root, NONMEMBER))))
    (data_root / "other" / "images").mkdir()
    shutil.copyfile(image_of(data_root, NONMEMBER), data_root / "other" / "images" / "z.jpg")
    for stem in ("a", "b"):
        save(data_root / "other" / "images" / f"{stem}.jpg", np.full((40, 64, 3), ord(stem), np.uint8))
        shutil.copyfile(labels_of(data_root, MEMBER), data_root / "other" / "labels" / f"{stem}.png")
    mine = cut(FACADE, data_root)
    theirs = cut(FACADE.model_copy(update={"path": "other"}), data_root, ["a", "b", "z"])
    check_apart(mine.pictures_of(STEMS), theirs.pictures_of(["a", "b"]), "Two lists")
    check_apart(mine.pictures_of([MEMBER]), theirs.pictures, "Two lists")
    with pytest.raises(MiaSegError, match=rf"^Two lists share 1 scenes \('{NONMEMBER}' is 'z'\)\. Make the lists d"):
        check_apart(mine.pictures_of(STEMS), theirs.pictures, "Two lists")


def test_a_scene_in_two_lists_is_named_once(data_root: Path) -> None:
    pictures = cut(FACADE, data_root).pictures
    with pytest.raises(MiaSegError, match=rf"share 4 scenes \('{MEMBER}' is one\)"):
        check_apart(pictures, pictures, "Two lists")


def test_streets_of_another_size_are_the_same_pictures_and_other_scenes() -> None:
    small, large = Streets(size=(32, 48), count=8), Streets(size=(64, 96), count=30)
    ids = small.ids(None)
    one, other = cut(small, None, ids), cut(large, None, ids)
    assert one.pictures == other.pictures
    assert len(set(one.pictures.values())) == len(ids)
    assert one.given("members") != other.given("members")
    with pytest.raises(MiaSegError, match="share 8 scenes"):
        check_apart(one.pictures, other.pictures, "Two lists")
    for unlike in (Streets(count=8, seed=1), Streets(count=8, style="night")):
        check_apart(one.pictures, cut(unlike, None, unlike.ids(None)).pictures, "Two lists")


def test_more_streets_are_no_other_scenes() -> None:
    few, many = Streets(count=8), Streets(count=30)
    assert given(cut(few, None, few.ids(None))) == given(cut(many, None, few.ids(None)))


@pytest.fixture
def sources(tmp_path: Path, data_root: Path) -> Sources:
    return Sources(Workspace(Store(tmp_path / "runs"), data_root))


def recipe(*, of: str | None = None, **section: Any) -> Recipe:
    return Recipe(
        data=section,
        split={"rule": "random", "of": of, "members": 2, "nonmembers": 2, "pool": 2},
        segmenter={"name": "pspnet"},
        train={"epochs": 1, "batch": 2, "lr": 0.05, "crop": (32, 48)},
    )


RULE = recipe(**SMALL).split


def used(base: Cut) -> set[str]:
    return {*base.parts.members, *base.parts.nonmembers, *base.parts.pool}


def test_more_scenes_are_those_in_no_part(sources: Sources) -> None:
    base = sources.cut(recipe(**SMALL), 0)
    more = sources.more(base, "a victim", Synthetic(of="another", masks="labels"), rule=RULE)
    every = set(Streets(count=8).ids(None))
    assert len(used(base)) == 6
    assert set(more.parts.members) == every - used(base)
    assert not more.parts.nonmembers
    assert not more.parts.pool


def test_more_scenes_and_a_reference_are_of_the_list_that_the_rule_cuts(sources: Sources, data_root: Path) -> None:
    listed = Streets(count=8).ids(None)[:7]
    write(data_root / "seven.txt", "".join(f"{i}\n" for i in listed))
    made = recipe(of="seven.txt", **SMALL)
    base = sources.cut(made, 0)
    assert used(base) < set(listed)
    for left in (
        sources.more(base, "a victim", Synthetic(of="another", masks="labels"), rule=made.split),
        sources.left(base, "a victim", rule=made.split),
    ):
        assert set(left.parts.members) == set(listed) - used(base)


def test_more_scenes_of_a_resized_data_set_leave_out_the_pictures_in_use(sources: Sources) -> None:
    base = sources.cut(recipe(**SMALL), 0)
    larger = Synthetic(of="another", masks="labels", data=SMALL | {"size": [64, 96], "count": 12})
    more = sources.more(base, "a victim", larger, rule=RULE)
    assert more.dataset == Streets(size=(64, 96), count=12)
    assert set(more.parts.members) == set(Streets(count=12).ids(None)) - used(base)


def test_more_scenes_of_another_folder_leave_out_copies_of_the_pictures_in_use(
    sources: Sources, data_root: Path
) -> None:
    """Every facade again, under another name."""
    for part in ("images", "labels"):
        for path in (data_root / "labelmefacade" / part).iterdir():
            (data_root / "again" / part).mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, data_root / "again" / part / f"copy of {path.name}")
    base = sources.cut(recipe(name="folder", path="labelmefacade", class_map="labelmefacade"), 0)
    again = {"name": "folder", "path": "again", "class_map": "labelmefacade"}
    more = sources.more(base, "a victim", Synthetic(of="another", masks="labels", data=again), rule=RULE)
    copies = {f"copy of {stem}" for stem in set(FACADE.ids(data_root)) - used(base)}
    assert len(copies) == 18
    assert set(more.parts.members) == copies


def test_more_scenes_need_some_left_over_and_the_same_classes(sources: Sources) -> None:
    base = sources.cut(recipe(**SMALL | {"count": 6}), 0)
    with pytest.raises(MiaSegError, match="every scene is in a part of 'a victim's split"):
        sources.more(base, "a victim", Synthetic(of="another", masks="labels"), rule=RULE)
    facades = {"name": "folder", "path": "labelmefacade", "class_map": "labelmefacade"}
    with pytest.raises(MiaSegError, match=r"\[synthetic\.data\] has other classes than 'a victim'"):
        sources.more(base, "a victim", Synthetic(of="another", masks="labels", data=facades), rule=RULE)


def test_a_file_that_went_away_after_listing_is_named(data_root: Path) -> None:
    forget()
    FACADE.ids(data_root)
    gone = image_of(data_root, POOL)
    gone.unlink()
    with pytest.raises(MiaSegError, match=rf"{POOL}\.jpg cannot be read .* Restore it"):
        read_cut(FACADE, partition(STEMS), data_root, content=Content(None))
