"""Data sets as downloaded: every layout that their archives have had, the labels by hand, and what users get wrong."""

import os
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers_datasets import (
    ADE_STEMS,
    BDD_STEMS,
    MAPILLARY_KEYS,
    SIZE,
    VOC_LISTS,
    add_coarse,
    city_stems,
    make_old_bdd100k,
    make_old_mapillary,
    stored,
    values,
    write_config,
)
from helpers_files import COLOURS, facade_stem, forget, frame_stems, write
from PIL import Image
from pydantic import ValidationError

from mia_seg.data import IGNORE, Scenes, _files
from mia_seg.data._example import save
from mia_seg.data._labels import CITYSCAPES
from mia_seg.data._labels_mapillary import NAMES, merge
from mia_seg.data._paired import Paired
from mia_seg.data.ade20k import ADE20K
from mia_seg.data.bdd100k import BDD100K
from mia_seg.data.camvid import CamVid
from mia_seg.data.cityscapes import CITIES, Cityscapes
from mia_seg.data.folder import Folder
from mia_seg.data.mapillary import Mapillary
from mia_seg.data.voc import VOC
from mia_seg.errors import AbsentData, AbsentPart, MiaSegError

AACHEN = "train/aachen/aachen_000000_000019"
# Cityscapes' own table: label id -> train id; the other ids from 0 to 33 are ignored.
TRAIN_IDS = {
    7: 0, 8: 1, 11: 2, 12: 3, 13: 4, 17: 5, 19: 6, 20: 7, 21: 8, 22: 9, 23: 10, 24: 11, 25: 12, 26: 13, 27: 14, 28: 15,
    31: 16, 32: 17, 33: 18,
}  # fmt: skip
# Mapillary: label value -> train id, by hand; the other values are ignored.
MERGED = {
    "v1.2": {
        13: 0, 41: 0, 24: 0, 15: 1, 2: 1, 17: 2, 6: 3, 3: 4, 45: 5, 47: 5, 48: 6, 50: 7, 30: 8, 29: 9, 27: 10, 19: 11,
        20: 12, 21: 12, 22: 12, 55: 13, 61: 14, 54: 15, 58: 16, 57: 17, 52: 18,
    },
    "v2.0": dict.fromkeys([21, *range(35, 45), *range(46, 56), 57, 58, 74], 0) | {
        4: 1, 24: 1, 27: 2, 12: 3, 5: 4, 85: 5, 88: 5, **dict.fromkeys(range(90, 96), 6), 99: 7, 100: 7, 101: 7, 103: 7,
        64: 8, 63: 9, 61: 10, 30: 11, 31: 11, 32: 12, 33: 12, 34: 12, 108: 13, 114: 14, 107: 15, 111: 16, 110: 17,
        105: 18,
    },
}  # fmt: skip


def mapped(pixels: np.ndarray, table: dict[int, int]) -> list[list[int]]:
    return [[table.get(int(value), IGNORE) for value in row] for row in pixels]


def labels_of(dataset: Paired, root: Path, scene_id: str) -> list[list[int]]:
    return Scenes(dataset, root, [scene_id])[0].labels_HW.tolist()


def files_of(root: Path, below: str) -> dict[str, Path]:
    return {path.name: path for path in (root / below).iterdir()}


def test_cityscapes_ids_are_folder_city_and_stem(data_template: Path) -> None:
    expected = sorted(f"{folder}/{stem}" for folder in ("train", "val") for stem in city_stems(folder))
    assert Cityscapes().ids(data_template) == expected
    assert expected[0] == AACHEN
    assert Cityscapes(folders=("val",)).ids(data_template) == [i for i in expected if i.startswith("val/")]


def test_cityscapes_label_ids_become_train_ids(data_template: Path) -> None:
    assert labels_of(Cityscapes(), data_template, AACHEN) == mapped(values(0, 33), TRAIN_IDS)
    assert [list(CITYSCAPES)[k] for k in (TRAIN_IDS[7], TRAIN_IDS[26], TRAIN_IDS[33])] == ["road", "car", "bicycle"]


def test_cityscapes_train_ids_go_first_file_by_file(data_root: Path) -> None:
    beside = data_root / "cityscapes" / "gtFine" / f"{AACHEN}_gtFine_labelTrainIds.png"
    save(beside, values(0, 18, 255)[::-1].copy())
    assert labels_of(Cityscapes(), data_root, AACHEN) == values(0, 18, 255)[::-1].tolist()
    other = AACHEN.replace("000000", "000001")
    label_ids = stored(data_root / "cityscapes" / "gtFine" / f"{other}_gtFine_labelIds.png")
    assert labels_of(Cityscapes(), data_root, other) == mapped(label_ids, TRAIN_IDS)


def test_cityscapes_coarse_labels_have_a_folder_more(data_root: Path) -> None:
    add_coarse(data_root)
    coarse = Cityscapes(annotation="coarse", folders=("train", "train_extra"))
    assert coarse.ids(data_root) == sorted(f"{part}/{stem}" for part in coarse.folders for stem in city_stems(part))
    assert labels_of(coarse, data_root, AACHEN) == mapped(values(0, 33), TRAIN_IDS)
    assert labels_of(coarse, data_root, coarse.ids(data_root)[-1]) == labels_of(
        Cityscapes(), data_root, "val/munster/munster_000001_000019"
    )


def test_cityscapes_groups_are_cities_or_sequences() -> None:
    assert Cityscapes().group("train/jena/jena_000012_000019") == "jena"
    assert Cityscapes(group_by="sequence").group("train/jena/jena_000012_000019") == "jena_000012"


def test_cityscapes_counts_are_the_official_ones() -> None:
    assert {folder: (len(cities), sum(cities.values())) for folder, cities in CITIES.items()} == {
        "train": (18, 2975), "val": (3, 500),
    }  # fmt: skip


def test_cityscapes_is_looked_for_in_three_places(data_template: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own, ids = data_template / "cityscapes", Cityscapes().ids(data_template)
    assert Cityscapes().ids(own) == ids
    assert Scenes(Cityscapes(), own, ids)[0].id == AACHEN
    with pytest.raises(
        AbsentData, match=r"three places: .*camvid.cityscapes does not exist.*CITYSCAPES_DATASET is not"
    ):
        Cityscapes().ids(data_template / "camvid")
    monkeypatch.setenv("CITYSCAPES_DATASET", str(own))
    assert Cityscapes().ids(data_template / "camvid") == Cityscapes().ids(None) == ids
    monkeypatch.setenv("CITYSCAPES_DATASET", "nowhere")
    with pytest.raises(AbsentData, match=r"nowhere \(CITYSCAPES_DATASET\) holds none either"):
        Cityscapes().ids(data_template / "camvid")


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("nested", [False, True])
def test_bdd100k_is_read_in_its_two_layouts(tmp_path: Path, old: bool, nested: bool) -> None:
    below = tmp_path / "bdd100k" if nested else tmp_path
    BDD100K.example(below)
    if old:
        make_old_bdd100k(below)
    ids = [f"{folder}/{stem}" for folder, stems in BDD_STEMS.items() for stem in stems]
    assert BDD100K().ids(tmp_path) == ids
    assert labels_of(BDD100K(), tmp_path, ids[0]) == values(0, 18, 255).tolist()
    assert [BDD100K().group(i) for i in ids] == ["0004a4c0", "0004a4c0", "00054602", "7d06fefd"]


def test_bdd100k_labels_may_have_either_name_in_either_layout(data_root: Path) -> None:
    path = data_root / "bdd100k" / "labels" / "sem_seg" / "masks" / "val" / f"{BDD_STEMS['val'][0]}.png"
    path.rename(path.with_name(f"{path.stem}_train_id.png"))
    assert BDD100K(folders=("val",)).ids(data_root) == [f"val/{path.stem}"]


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_bdd100k_colour_maps_are_no_ids(data_root: Path, mode: str) -> None:
    path = data_root / "bdd100k" / "labels" / "sem_seg" / "masks" / "val" / f"{BDD_STEMS['val'][0]}.png"
    Image.new("RGB", SIZE[::-1], (128, 64, 128)).convert(mode).save(path)
    with pytest.raises(MiaSegError, match=r"where a grey image of class ids is expected\. Extract the original") as no:
        BDD100K().scene(data_root, f"val/{path.stem}")
    assert str(no.value).startswith(f"{path} is a")


def test_a_portrait_image_of_landscape_labels_is_refused(data_root: Path) -> None:
    path = data_root / "bdd100k" / "images" / "10k" / "val" / f"{BDD_STEMS['val'][0]}.jpg"
    Image.new("RGB", SIZE).save(path)
    with pytest.raises(MiaSegError, match=r"is \(16, 8\) and .* is \(8, 16\) \(height, width\): they are not a pair"):
        BDD100K(size=(8, 8)).scene(data_root, f"val/{path.stem}")


@pytest.mark.parametrize(("version", "merged"), [("v1.2", 25), ("v2.0", 55)])
def test_mapillary_labels_merge_as_listed(data_template: Path, version: Any, merged: int) -> None:
    names = NAMES[version]
    assert {k: list(CITYSCAPES).index(c) for k, n in enumerate(names) if (c := merge(n, version))} == MERGED[version]
    assert (len(names), len(MERGED[version]), len(set(MERGED[version].values()))) == (
        {"v1.2": 66, "v2.0": 124}[version], merged, 19,
    )  # fmt: skip
    dataset = Mapillary(version=version)
    scene_id = f"training/{MAPILLARY_KEYS['training'][0]}"
    assert labels_of(dataset, data_template, scene_id) == mapped(
        values(0, len(names) - 1, size=(12, 24)), MERGED[version]
    )


@pytest.mark.parametrize("name", ["mapillary", "mapillary-vistas", "mapillary_vistas"])
def test_mapillary_old_archive_and_names_of_its_folder(tmp_path: Path, name: str) -> None:
    Mapillary.example(tmp_path)
    make_old_mapillary(tmp_path)
    (tmp_path / "mapillary").rename(tmp_path / name)
    ids = sorted(f"{folder}/{key}" for folder, keys in MAPILLARY_KEYS.items() for key in keys)
    assert Mapillary().ids(tmp_path) == ids
    assert labels_of(Mapillary(), tmp_path, ids[0]) == mapped(values(0, 65, size=(12, 24)), MERGED["v1.2"])
    assert Mapillary().group(ids[0]) == ids[0]
    with pytest.raises(AbsentPart, match=r"v2.0.labels does not exist\. Extract the archive that has this version"):
        Mapillary(version="v2.0").ids(tmp_path)


def test_mapillary_follows_the_names_of_the_users_config(data_root: Path) -> None:
    write_config(data_root / "mapillary" / "config_v1.2.json", NAMES["v1.2"][::-1])
    backwards = {65 - value: train_id for value, train_id in MERGED["v1.2"].items()}
    scene_id = f"training/{MAPILLARY_KEYS['training'][0]}"
    assert labels_of(Mapillary(), data_root, scene_id) == mapped(values(0, 65, size=(12, 24)), backwards)


def test_mapillary_shrinks_the_longer_side_and_never_enlarges(data_template: Path) -> None:
    first, second = (f"training/{key}" for key in MAPILLARY_KEYS["training"])
    small = Mapillary(long_side=12)
    assert small.scene(data_template, first).labels_HW.shape == (6, 12)
    assert small.scene(data_template, second).image_HWC.shape == (8, 12, 3)
    assert Mapillary(long_side=100).scene(data_template, second).image_HWC.shape == (16, 24, 3)
    with pytest.raises(ValidationError, match="size and long_side exclude each other"):
        Mapillary(long_side=12, size=(6, 12))


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (NAMES["v2.0"], "lists 124 labels, and v1.2 has 66: it looks like v2.0. Extract the config"),
        (NAMES["v1.2"][:-1], "lists 65 labels, and v1.2 has 66: it looks like no known version"),
        (["Street" if merge(name, "v1.2") == "road" else name for name in NAMES["v1.2"]], "no label is road"),
    ],
)
def test_mapillary_config_of_another_version_is_refused(data_root: Path, names: list[str], says: str) -> None:
    config = data_root / "mapillary" / "config_v1.2.json"
    write_config(config, names)
    with pytest.raises(MiaSegError) as refused:
        Mapillary().ids(data_root)
    assert str(refused.value).startswith(str(config))
    assert says in str(refused.value)


@pytest.mark.parametrize(
    ("text", "says"), [(None, "is missing. Extract it"), ("[1]", "is not a list"), ("{", "is not a")]
)
def test_mapillary_config_that_cannot_be_read_is_refused(data_root: Path, text: str | None, says: str) -> None:
    config = data_root / "mapillary" / "config_v1.2.json"
    config.unlink() if text is None else config.write_text(text)
    with pytest.raises(MiaSegError) as refused:
        Mapillary().ids(data_root)
    assert str(refused.value).startswith(f"{config} {says}")


def test_mapillary_labels_of_another_version_are_refused(data_root: Path) -> None:
    key = MAPILLARY_KEYS["training"][0]
    below = data_root / "mapillary" / "training"
    shutil.copy(below / "v2.0" / "labels" / f"{key}.png", below / "v1.2" / "labels" / f"{key}.png")
    with pytest.raises(MiaSegError, match=r"value 123 is none of the 66 labels of v1\.2; it looks like v2\.0"):
        Mapillary().scene(data_root, f"training/{key}")


def test_mapillary_labels_are_palette_indices_and_nothing_converted(data_root: Path) -> None:
    path = data_root / "mapillary" / "training" / "v1.2" / "labels" / f"{MAPILLARY_KEYS['training'][0]}.png"
    with Image.open(path) as image:
        converted = image.convert("L")
    converted.save(path)
    with pytest.raises(MiaSegError, match="is a grey image, where a palette image of class ids is expected"):
        Mapillary().scene(data_root, f"training/{path.stem}")


def test_voc_reads_the_pairs_that_its_lists_name(data_root: Path) -> None:
    ids = [f"{name}/{stem}" for name, stems in VOC_LISTS.items() for stem in stems]
    assert VOC().ids(data_root) == ids
    assert labels_of(VOC(), data_root, ids[0]) == values(0, 20, 255).tolist()
    assert len(VOC().classes()) == 21
    assert VOC(folders=("trainval",)).ids(data_root)[0] == "trainval/2007_000032"
    labels = data_root / "VOCdevkit" / "VOC2012" / "SegmentationClassAug" / "2007_000032.png"
    save(labels, values(0, 20))  # grey, as SBD's are given
    write(data_root / "VOCdevkit" / "VOC2012" / "ImageSets" / "Segmentation" / "trainaug.txt", "2007_000032\n")
    augmented = VOC(folders=("trainaug",), annotation="SegmentationClassAug")
    assert labels_of(augmented, data_root, "trainaug/2007_000032") == values(0, 20).tolist()


@pytest.mark.parametrize("folders", [("train", "trainval"), ("trainaug", "train"), ("trainval", "trainaug")])
def test_voc_refuses_lists_that_share_scenes(folders: Any) -> None:
    with pytest.raises(ValidationError, match="name one of them"):
        VOC(folders=folders)


def test_voc_names_scenes_that_are_nowhere(data_root: Path) -> None:
    write(data_root / "VOCdevkit" / "VOC2012" / "ImageSets" / "Segmentation" / "train.txt", "2007_000032\n2011_0\n")
    with pytest.raises(MiaSegError, match=r"train\.txt names 1 scenes that have neither image nor labels \(2011_0\)"):
        VOC().ids(data_root)


def test_ade20k_has_150_classes_from_1_and_ignores_0(data_template: Path) -> None:
    names = ADE20K().classes()
    assert len(names) == len(set(names)) == 150
    assert [names[k - 1] for k in (1, 2, 3, 75, 90, 131, 142, 149, 150)] == [
        "wall", "building", "sky", "computer", "television", "screen", "crt screen", "clock", "flag",
    ]  # fmt: skip
    ids = [f"{folder}/{stem}" for folder, stems in ADE_STEMS.items() for stem in stems]
    assert ADE20K().ids(data_template) == ids
    for scene_id in ids:  # one photograph is grey
        values_HW = stored(data_template / "ADEChallengeData2016" / "annotations" / f"{scene_id}.png")
        assert labels_of(ADE20K(), data_template, scene_id) == mapped(values_HW, {k: k - 1 for k in range(1, 151)})
        assert set(np.unique(values_HW)) == set(range(151))


def test_camvid_in_the_space_of_cityscapes(data_template: Path) -> None:
    dataset = CamVid(labels="cityscapes")
    assert dataset.classes() == tuple(CITYSCAPES)
    table = dict(enumerate([10, 2, 5, 0, 1, 8, 7, 4, 13, 11, 12]))
    stem = frame_stems("0016E5")[3]
    ids_HW = stored(data_template / "camvid" / "trainannot" / f"{stem}.png")
    assert labels_of(dataset, data_template, f"train/{stem}") == mapped(ids_HW, table)
    assert CamVid().ids(data_template) == dataset.ids(data_template)


def test_facades_in_the_space_of_cityscapes(data_template: Path) -> None:
    dataset = Folder(path="labelmefacade", class_map="labelmefacade_cityscapes")
    meaning = {"building": 2, "door": 2, "window": 2, "pavement": 1, "car": 13, "road": 0, "sky": 10, "vegetation": 8}
    assert meaning.keys() == COLOURS.keys()
    by_colour = {COLOURS[name]: train_id for name, train_id in meaning.items()}
    colours = stored(data_template / "labelmefacade" / "labels" / f"{facade_stem(1)}.png")[..., :3]
    expected = [[by_colour.get(tuple(pixel), IGNORE) for pixel in row] for row in colours.tolist()]
    assert labels_of(dataset, data_template, facade_stem(1)) == expected


ONE = [
    (Cityscapes(), "cityscapes/leftImg8bit/train/aachen", "cityscapes/gtFine/train/aachen"),
    (BDD100K(), "bdd100k/images/10k/train", "bdd100k/labels/sem_seg/masks/train"),
    (Mapillary(), "mapillary/training/images", "mapillary/training/v1.2/labels"),
    (VOC(), "VOCdevkit/VOC2012/JPEGImages", "VOCdevkit/VOC2012/SegmentationClass"),
    (ADE20K(), "ADEChallengeData2016/images/training", "ADEChallengeData2016/annotations/training"),
]  # fmt: skip
each = pytest.mark.parametrize(("dataset", "images", "labels"), ONE, ids=[type(one[0]).__name__ for one in ONE])


def empty(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


@each
def test_half_an_archive_is_refused_with_counts_and_names(
    data_root: Path, dataset: Paired, images: str, labels: str
) -> None:
    first = ("training/", "train/aachen/", "train/0", "train/2")  # those of the one folder
    stems = [i.rpartition("/")[2] for i in dataset.ids(data_root) if i.startswith(first)]
    for gone, kept, what in ((labels, images, "image"), (images, labels, "label file")):
        root = data_root.parent / f"without {what}"
        shutil.copytree(data_root, root)
        empty(root / gone)
        with pytest.raises(MiaSegError) as refused:
            dataset.ids(root)
        said = str(refused.value)
        assert f"{len(stems)} (" in said
        assert all(stem in said for stem in stems)
        if said.startswith(str(root / kept / stems[0])):
            assert f"this {what} has no counterpart" in said
            assert "Restore the missing files (was each archive extracted whole?)" in said
        else:
            assert what == "label file"
            assert f"holds no images for {len(stems)} (" in said


def test_of_many_single_files_the_first_five_are_named(data_root: Path) -> None:
    for k in range(7):
        save(data_root / "bdd100k" / "images" / "10k" / "val" / f"0000000{k}-0.jpg", np.zeros((*SIZE, 3), np.uint8))
    with pytest.raises(MiaSegError, match=r"7 \(00000000-0, 00000001-0, .*4-0, \.\.\.\) without labels and 0 w"):
        BDD100K().ids(data_root)


@each
def test_damaged_files_are_named(data_root: Path, dataset: Paired, images: str, labels: str) -> None:
    scene_id = next(i for i in dataset.ids(data_root) if i.startswith("train"))
    for below in (images, labels):
        path = next(p for p in sorted((data_root / below).glob(f"{Path(scene_id).name}*")) if "ids" not in p.name)
        if below == labels and isinstance(dataset, Cityscapes):
            path = data_root / below / f"{Path(scene_id).name}_gtFine_labelIds.png"
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
        with pytest.raises(MiaSegError) as refused:
            dataset.scene(data_root, scene_id)
        assert str(refused.value).startswith(f"{path} cannot be read as an image")
        path.write_bytes(whole)


@each
def test_a_value_outside_the_table_names_file_and_value(
    data_root: Path, dataset: Paired, images: str, labels: str
) -> None:
    scene_id = next(i for i in dataset.ids(data_root) if i.startswith("train"))
    tail = "_gtFine_labelIds" if isinstance(dataset, Cityscapes) else ""
    path = data_root / labels / f"{Path(scene_id).name}{tail}.png"
    with Image.open(path) as image:
        pixels, mode = np.array(image), image.mode
    pixels[2, 3] = 200
    save(path, pixels, mode)
    with pytest.raises(MiaSegError, match=r"value 200 is none of this data set's labels \(0-\d+") as refused:
        dataset.scene(data_root, scene_id)
    assert str(refused.value).startswith(f"{path}: ")


@each
def test_suffixes_may_have_any_case(data_root: Path, dataset: Paired, images: str, labels: str) -> None:
    before = dataset.ids(data_root)
    for path in [p for below in (images, labels) for p in (data_root / below).iterdir()]:
        path.rename(path.with_name(path.stem + path.suffix.upper()))
    forget()
    assert dataset.ids(data_root) == before
    assert dataset.scene(data_root, before[0]).id == before[0]


@each
def test_a_folder_in_another_case_is_named_with_its_right_name(
    data_root: Path, dataset: Paired, images: str, labels: str
) -> None:
    for below in (images, labels):
        own = Path(*Path(below).parts[: 2 if "VOC" in below else 1])
        for path in [Path(below), *Path(below).parents][: len(Path(below).parts) - len(own.parts)]:
            if path.name in ("aachen", "10k"):
                continue  # 'Aachen' would be a city; digits have no case worth a test
            moved = path.with_name(path.name.swapcase())
            (data_root / path).rename(data_root / moved)
            forget()
            with pytest.raises(MiaSegError) as refused:
                dataset.ids(data_root)
            assert f"found '{moved.name}': rename it to '{path.name}'." in str(refused.value)
            (data_root / moved).rename(data_root / path)


def test_a_data_set_in_another_case_is_named_with_its_right_name(data_root: Path) -> None:
    (data_root / "camvid").rename(data_root / "CamVid")
    with pytest.raises(MiaSegError, match=r"has no 'camvid'; found 'CamVid': rename it to 'camvid'\.") as refused:
        CamVid().ids(data_root)
    assert not isinstance(refused.value, AbsentData)


@pytest.mark.parametrize("dataset", [Cityscapes, BDD100K, Mapillary, VOC, ADE20K])
def test_folders_without_labels_cannot_be_chosen(dataset: type[Paired]) -> None:
    with pytest.raises(ValidationError, match=r"Input should be '(train|training)'"):
        dataset(folders=("testing" if dataset is Mapillary else "test",))  # type: ignore[call-arg]


def test_fine_labels_have_no_extra_folder() -> None:
    with pytest.raises(ValidationError, match="train_extra has coarse labels alone"):
        Cityscapes(folders=("train_extra",))


def test_labels_of_one_bit_are_the_ids_0_and_1(data_root: Path) -> None:
    save(data_root / "VOCdevkit" / "VOC2012" / "SegmentationClass" / "2007_000032.png", values(0, 1).astype(bool))
    assert labels_of(VOC(), data_root, "train/2007_000032") == values(0, 1).tolist()


def test_hidden_files_are_no_data(data_root: Path) -> None:
    write(data_root / "bdd100k" / "images" / "10k" / "train" / "._0004a4c0-d4dff0ad.jpg", "a Mac's")
    assert len(BDD100K().ids(data_root)) == 4


def test_every_folder_is_listed_once_and_every_file_opened_once(
    data_template: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed: list[str] = []
    opened: list[str] = []
    scandir, open_image = os.scandir, Image.open
    monkeypatch.setattr(_files.os, "scandir", lambda path: (listed.append(str(path)), scandir(path))[1])
    monkeypatch.setattr(Image, "open", lambda path, **more: (opened.append(str(path)), open_image(path, **more))[1])
    for dataset in (Cityscapes(), BDD100K(), Mapillary(), VOC(), ADE20K()):
        for _ in range(2):
            ids = dataset.ids(data_template)
        for scene_id in ids:
            dataset.scene(data_template, scene_id)
        assert len(opened) == 2 * len(ids)
        assert set(Counter(opened).values()) == {1}
        opened.clear()
    assert set(Counter(listed).values()) == {1}
