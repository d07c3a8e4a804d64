"""`mia-seg check --data-root`: what lies below a root, with counts and classes; what does not is no fault."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers_datasets import BDD_STEMS, MAPILLARY_KEYS, SIZE, add_coarse, write_config
from helpers_files import Ran, call, edit
from PIL import Image, ImageFile

from mia_seg import data, plugins, recipes
from mia_seg.data import Dataset
from mia_seg.data._example import save
from mia_seg.data._labels import CITYSCAPES
from mia_seg.data._labels_mapillary import NAMES
from mia_seg.recipes.catalogue import survey

ALL = ", ".join(CITYSCAPES)
STATES = ("ok", "absent", "problem")


@pytest.fixture(autouse=True)
def _only_own_recipes(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipes, "folders", lambda kind: [workdir / f"{kind}s"])


def found(root: Path, about: str) -> list[tuple[str, str]]:
    """State and line of what a survey says of one data set."""
    return [(state, line.removeprefix(f"{about}: ")) for state, line in survey(root) if line.startswith(f"{about}: ")]


def lines(ran: Ran, state: str) -> list[str]:
    return [line.removeprefix(state).strip() for line in ran.out.splitlines() if line.startswith(f"{state} ")]


def test_cityscapes_is_counted_by_folder_and_city(data_template: Path) -> None:
    root = data_template / "cityscapes"
    labels = "gtFine/train/aachen/aachen_000000_000019_gtFine_labelIds.png"
    assert found(data_template, "cityscapes") == [
        ("ok", f"found in {root}"),
        (
            "ok",
            f"train, fine: 5 pairs, as leftImg8bit/train/aachen/aachen_000000_000019_leftImg8bit.png with {labels}; "
            f"in a sample of 5, 44% of pixels are ignored and 19 of 19 classes occur: {ALL}",
        ),
        (
            "absent",
            "train, fine: fewer pairs than the whole data set has: aachen 3 of 174, bochum 0 of 96, bremen 0 of 316, "
            "cologne 0 of 154, darmstadt 0 of 85, dusseldorf 0 of 221, erfurt 0 of 109, hamburg 0 of 248, hanover 0 of "
            "196, jena 0 of 119, krefeld 0 of 99, monchengladbach 0 of 94, strasbourg 0 of 365, stuttgart 0 of 196, "
            "tubingen 0 of 144, ulm 0 of 95, weimar 0 of 142, zurich 2 of 122",
        ),
        (
            "ok",
            "val, fine: 2 pairs, as leftImg8bit/val/munster/munster_000000_000019_leftImg8bit.png with "
            "gtFine/val/munster/munster_000000_000019_gtFine_labelIds.png; "
            f"in a sample of 2, 43% of pixels are ignored and 19 of 19 classes occur: {ALL}",
        ),
        (
            "absent",
            "val, fine: fewer pairs than the whole data set has: frankfurt 0 of 267, lindau 0 of 59, munster 2 of 174",
        ),
        ("absent", f"train, coarse: {root}/gtCoarse/train does not exist. Extract gtCoarse.zip there."),
        ("absent", f"val, coarse: {root}/gtCoarse/val does not exist. Extract gtCoarse.zip there."),
        (
            "absent",
            f"train_extra, coarse: {root}/leftImg8bit/train_extra does not exist. "
            "Extract leftImg8bit_trainextra.zip there.",
        ),
    ]


def test_whole_folders_lack_nothing(data_template: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cityscapes = plugins.load(data, Dataset, "cityscapes")
    monkeypatch.setattr(
        cityscapes, "official", {"train/aachen": 3, "train/zurich": 3, "val/munster": 2, "train_extra": 9}
    )
    lacking = [line for state, line in found(data_template, "cityscapes") if "fewer" in line]
    assert lacking == ["train, fine: fewer pairs than the whole data set has: zurich 2 of 3"]


def test_every_data_set_of_files_is_found_in_every_form(data_root: Path) -> None:
    add_coarse(data_root)
    said = [line for state, line in survey(data_root) if state == "ok"]
    counts = [match.groups() for line in said if (match := re.match(r"(.*): (\d+) pairs, as .* with ", line))]
    assert [(name, int(count)) for name, count in counts] == [
        ("ade20k: training", 2), ("ade20k: validation", 1), ("bdd100k: train", 3), ("bdd100k: val", 1),
        ("camvid: train", 48), ("cityscapes: train, fine", 5), ("cityscapes: val, fine", 2),
        ("cityscapes: train, coarse", 5), ("cityscapes: val, coarse", 2), ("cityscapes: train_extra, coarse", 2),
        ("folder labelmefacade", 24), ("mapillary: training, v1.2", 2), ("mapillary: validation, v1.2", 1),
        ("mapillary: training, v2.0", 2), ("mapillary: validation, v2.0", 1), ("voc: train", 2), ("voc: val", 1),
    ]  # fmt: skip
    assert any(line.endswith("150 of 150 classes occur") for line in said)  # too many to name
    assert any(line.startswith("camvid: train: 48 pairs") and "11 of 11 classes occur: sky," in line for line in said)
    assert not [line for state, line in survey(data_root) if state == "problem"]


def test_a_survey_reads_labels_and_no_photograph(data_template: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: set[Path] = set()
    load = ImageFile.ImageFile.load

    def counted(image: ImageFile.ImageFile) -> object:
        decoded.add(Path(image.filename))
        return load(image)

    monkeypatch.setattr(ImageFile.ImageFile, "load", counted)
    found(data_template, "camvid")
    assert len([path for path in decoded if path.parent.name == "trainannot"]) == 20
    assert not [path for path in decoded if path.suffix == ".jpg" or path.parent == data_template / "camvid" / "train"]


def test_what_is_broken_is_a_problem_and_the_rest_is_still_said(data_root: Path) -> None:
    masks = data_root / "bdd100k" / "labels" / "sem_seg" / "masks"
    Image.new("RGB", SIZE[::-1]).save(masks / "val" / f"{BDD_STEMS['val'][0]}.png")
    (masks / "train" / f"{BDD_STEMS['train'][0]}.png").unlink()
    write_config(data_root / "mapillary" / "config_v2.0.json", NAMES["v1.2"])
    problems = [line for state, line in survey(data_root) if state == "problem"]
    assert problems[0].startswith(
        f"bdd100k: train: {data_root}/bdd100k/images/10k/train/{BDD_STEMS['train'][0]}.jpg: this"
    )
    assert problems[1].startswith(f"bdd100k: val: {masks}/val/{BDD_STEMS['val'][0]}.png is an RGB image")
    assert [line.partition(":")[0] for line in problems[2:]] == ["mapillary"] * 2
    assert "lists 66 labels, and v2.0 has 124: it looks like v1.2" in problems[2]
    assert found(data_root, "mapillary")[1][0] == "ok"


def test_a_wrong_value_and_a_name_in_another_case_are_problems(data_root: Path) -> None:
    labels = data_root / "mapillary" / "training" / "v1.2" / "labels" / f"{MAPILLARY_KEYS['training'][0]}.png"
    save(labels, np.full((12, 24), 250, np.uint8), "P")
    (data_root / "camvid").rename(data_root / "CAMVID")
    problems = [line for state, line in survey(data_root) if state == "problem"]
    assert problems[0].startswith("camvid: ")
    assert "found 'CAMVID': rename it to 'camvid'" in problems[0]
    assert "value 250 is none of this data set's labels (0-65)" in problems[1]


def test_recipes_of_absent_data_are_listed_and_no_fault(workdir: Path, data_root: Path) -> None:
    shutil.rmtree(data_root / "camvid")
    ran = call("check", "--data-root", data_root)
    assert ran.code == 0, ran.out
    assert lines(ran, "absent")[-2:] == [
        f"{kind} {name}: its data set 'camvid' is not there"
        for kind, name in (("victim", "tiny_camvid"), ("shadow", "tiny_camvid_a1"))
    ]
    assert f"not below {data_root}: camvid" in lines(ran, "absent")
    assert ran.out.splitlines()[-1].split()[0] == "next"


def test_a_split_larger_than_a_part_of_the_data_set_is_no_fault_of_its_recipe(
    workdir: Path, data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    camvid = plugins.load(data, Dataset, "camvid")
    edit(workdir / "victims" / "tiny_camvid.toml", "\nmembers = 6\n", "\nmembers = 600\n")
    monkeypatch.setattr(camvid, "official", {"train": 48})
    (whole,) = lines(call("check", "--data-root", data_root), "problem")
    assert whole.startswith("victim tiny_camvid: [split] asks for 600 + ")
    monkeypatch.setattr(camvid, "official", {"train": 367})
    ran = call("check", "--data-root", data_root)
    assert ran.code == 0, ran.out
    (said,) = (line for line in lines(ran, "absent") if "asks for" in line)
    assert said == f"{whole} Of the whole data set there are: train 48 of 367."


def test_an_empty_root_holds_nothing_and_a_missing_one_is_a_fault(workdir: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    ran = call("check", "--data-root", tmp_path / "empty")
    assert ran.code == 0, ran.out
    everything = "ade20k, bdd100k, camvid, cityscapes, folder labelmefacade, mapillary, voc"
    assert lines(ran, "absent")[0] == f"not below {tmp_path / 'empty'}: {everything}"
    ran = call("check", "--data-root", tmp_path / "nowhere")
    assert ran.code == 2
    problems = lines(ran, "problem")
    assert problems[0] == f"{tmp_path / 'nowhere'} is no folder. Point --data-root (or MIA_SEG_DATA) to one."
    assert [line.partition(":")[0] for line in problems[1:]] == [
        "victim tiny_camvid", "victim tiny_folder", "shadow tiny_camvid_a1", "shadow tiny_folder_a1",
    ]  # fmt: skip


def test_a_folder_data_set_is_surveyed_once_for_each_way_to_read_it(workdir: Path, data_template: Path) -> None:
    edit(
        workdir / "victims" / "tiny_folder.toml",
        'class_map = "labelmefacade"',
        'class_map = "labelmefacade_cityscapes"',
    )
    said = [line for _, line in survey(data_template) if " pairs, " in line and line.startswith("folder")]
    assert [line.partition(":")[0] for line in said] == [
        "folder labelmefacade, labelmefacade_cityscapes", "folder labelmefacade",
    ]  # fmt: skip


def test_without_a_root_no_data_is_surveyed(workdir: Path) -> None:
    ran = call("check")
    assert "checking" not in ran.out
    assert not lines(ran, "absent")
    assert lines(ran, "ok") == ["victim tiny: 6 + 6 + 12 scenes of 32x48", "shadow tiny_a1: 6 + 6 + 12 scenes of 32x48"]


def test_every_data_set_answers_a_survey_in_lines(data_template: Path) -> None:
    for state, line in survey(data_template):
        assert state in STATES
        assert line
        assert "\n" not in line
