"""`mia-seg check --all`: every file is read once, and what it holds is told in numbers."""

import json
import shutil
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers_datasets import MAPILLARY_KEYS, add_coarse, add_val, stored, write_config
from helpers_files import assert_refused, call, edit, facade_stem, forget, frame_stems
from PIL import Image, ImageFile
from PIL.PngImagePlugin import PngInfo

from mia_seg import recipes
from mia_seg.data import IGNORE, _alike, _inspect, _open, folder
from mia_seg.data._containers import lean
from mia_seg.data._labels_mapillary import NAMES
from mia_seg.data._values import percent
from mia_seg.data.camvid import CamVid
from mia_seg.recipes import inspection
from mia_seg.recipes.inspected import DataPart, Inspection

PARTS = {
    "ade20k: training": 2, "ade20k: validation": 1, "bdd100k: train": 3, "bdd100k: val": 1, "camvid: train": 48,
    "cityscapes: train, fine": 5, "cityscapes: val, fine": 2, "folder labelmefacade": 24,
    "mapillary: training, v1.2": 2,
    "mapillary: validation, v1.2": 1, "mapillary: training, v2.0": 2, "mapillary: validation, v2.0": 1, "voc: train": 2,
    "voc: val": 1,
}  # fmt: skip
FRAMES = frame_stems("0001TP")


@pytest.fixture(autouse=True)
def _only_own_recipes(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipes, "folders", lambda kind: [workdir / f"{kind}s"])


def inspected(root: Path) -> Inspection:
    forget()
    return inspection.inspect(root, workers=2)


def part_of(found: Inspection, title: str) -> DataPart:
    (part,) = (part for part in found.parts if part.title == title)
    return part


def camvid(root: Path, stem: str, of: str = "") -> Path:
    return root / "camvid" / f"train{of}" / f"{stem}.png"


def facade(root: Path, index: int) -> tuple[Path, Path]:
    below, stem = root / "labelmefacade", facade_stem(index)
    return below / f"images/{stem}.jpg", below / f"labels/{stem}.png"


@pytest.fixture
def camvid_root(data_template: Path, tmp_path: Path) -> Path:
    """A root with CamVid alone, to change; a test that needs one data set reads no others."""
    shutil.copytree(data_template / "camvid", tmp_path / "data" / "camvid")
    return tmp_path / "data"


@pytest.fixture
def facades(data_template: Path, tmp_path: Path) -> Path:
    """A root with LabelMeFacade alone."""
    shutil.copytree(data_template / "labelmefacade", tmp_path / "data" / "labelmefacade")
    return tmp_path / "data"


def test_every_part_of_every_data_set_is_read_and_sound(data_template: Path) -> None:
    ran = call("check", "--all", "--data-root", data_template, "--json")
    assert ran.code == 0, ran.err
    found = Inspection.model_validate_json(ran.out)
    assert {part.title: part.scenes for part in found.parts} == PARTS
    for part in found.parts:
        assert len({value.name for value in part.values} - {None}) == part.classes, part.title
        assert (part.unknown, part.unlabelled.count, part.unreadable) == (0, 0, []), part.title
        assert sum(part.images.values()) == sum(part.labels.values()) == part.scenes
    assert found.faults() == []
    assert found.exact_across.count == 0


def test_the_numbers_are_those_of_the_files(data_template: Path) -> None:
    part = part_of(inspected(data_template), "folder labelmefacade")
    colours = Counter[tuple[int, ...]]()
    sizes = set()
    for index in range(24):
        image, labels = facade(data_template, index)
        colours.update(map(tuple, stored(labels)[..., :3].reshape(-1, 3).tolist()))
        sizes.add(stored(image).shape[:2])
    assert {value.value: value.pixels for value in part.values} == colours
    assert {value.value: value.name for value in part.values}[128, 64, 0] == "road"
    assert part.ignored == pytest.approx(colours[0, 0, 0] / colours.total())
    assert part.sizes is not None
    assert (part.sizes.smallest, part.sizes.largest, part.sizes.distinct) == (min(sizes), max(sizes), len(sizes))
    assert part.images == {"JPEG RGB 8-bit": 24}
    assert part.labels == {"PNG RGB 8-bit": 12, "PNG RGBA 8-bit": 12}


def test_the_table_and_the_json_say_the_same(data_template: Path) -> None:
    found = inspected(data_template)
    ran = call("check", "--all", "--data-root", data_template)
    assert ran.code == 0
    rows = {line.split("  ")[0]: line for line in ran.out.splitlines()}
    part = part_of(found, "camvid: train")
    for told in (part.scenes, "24x32", "PNG RGB 8-bit", "11 of 11", percent(part.ignored), part.near.count):
        assert f" {told} " in rows["camvid: train"]
    assert "values   bdd100k: val: 0 road" in ran.out
    assert "cityscapes: train, coarse: " in ran.out


def test_workers_change_nothing(data_template: Path) -> None:
    one, four = (call("check", "--all", "--data-root", data_template, "--json", "--workers", n) for n in ("1", "4"))
    assert one == four


def test_files_that_parts_share_are_decoded_once(data_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add_coarse(data_root)
    decoded = Counter[Path]()
    load = ImageFile.ImageFile.load

    def counted(image: ImageFile.ImageFile) -> object:
        decoded[Path(image.filename)] += bool(image.tile)
        return load(image)

    monkeypatch.setattr(ImageFile.ImageFile, "load", counted)
    inspected(data_root)
    kinds = ("instanceIds", "_color", "colormaps", "/test/", "/testing/", "2008_000001")
    there = [path for path in data_root.rglob("*.*") if path.suffix in (".png", ".jpg")]
    assert decoded == {path: 1 for path in there if not any(kind in str(path) for kind in kinds)}


BREAKS: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_bytes(b""),
    "cut short": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3]),
    "no image": lambda path: path.write_text("hello"),
    "gone": lambda path: (path.unlink(), path.symlink_to("nowhere")),
}


@pytest.mark.parametrize("broken", BREAKS)
@pytest.mark.parametrize("which", ["image", "labels", "both"])
def test_what_cannot_be_read_is_named_and_the_rest_is_told(facades: Path, broken: str, which: str) -> None:
    image, labels = facade(facades, 23)
    wrong = {"image": [image], "labels": [labels], "both": [image, labels]}[which]
    for path in wrong:
        BREAKS[broken](path)
    ran = call("check", "--all", "--data-root", facades, "--json")
    (part,) = Inspection.model_validate_json(ran.out).parts
    assert sorted(line.split()[0] for line in part.unreadable) == sorted(map(str, wrong))
    assert sum(part.labels.values()) >= 23
    assert_refused(ran, f"Faults below {facades}: {len(wrong)}.", part.unreadable[0])


def test_a_pair_of_two_sizes_and_a_wrong_mode_are_named(camvid_root: Path) -> None:
    Image.new("RGB", (32, 24)).save(camvid(camvid_root, FRAMES[0], "annot"))
    Image.new("RGB", (24, 32)).save(camvid(camvid_root, FRAMES[1]))
    ran = call("check", "--all", "--data-root", camvid_root)
    assert_refused(ran, "Faults below", ": 2.")
    problems = [line for line in ran.out.splitlines() if line.startswith("problem")]
    assert "where one byte with a class id is expected" in problems[0]
    assert "they are not a pair" in problems[1]


def test_an_unknown_id_is_counted_and_named(camvid_root: Path) -> None:
    labels = camvid(camvid_root, FRAMES[3], "annot")
    ids = stored(labels)
    ids[:2], ids[2, :4] = 77, 200
    Image.fromarray(ids).save(labels)
    ran = call("check", "--all", "--data-root", camvid_root, "--json")
    (part,) = Inspection.model_validate_json(ran.out).parts
    assert {value.value: value.pixels for value in part.values if value.unknown} == {77: 64, 200: 4}
    assert part.unknown == pytest.approx(68 / (48 * 24 * 32))
    assert (part.with_unknown.count, part.with_unknown.first) == (1, [FRAMES[3]])
    assert part.unreadable == []
    assert_refused(ran, "camvid: train: 1 of 48 label files", "77 (0.17% of all pixels), 200", str(labels.name))


@pytest.mark.parametrize("ignored", [False, True])
@pytest.mark.parametrize("colour", [(0, 0, 0), (128, 64, 1), (255, 255, 255)])
def test_a_colour_outside_the_class_map_is_unknown_unless_it_is_to_be_ignored(
    workdir: Path, facades: Path, colour: tuple[int, int, int], ignored: bool
) -> None:
    own = (folder.CLASS_MAPS / "labelmefacade.toml").read_text(encoding="utf-8")
    (workdir / "map.toml").write_text(own if ignored else own.replace('other = "ignore"', ""), encoding="utf-8")
    for role in ("victims/tiny_folder", "shadows/tiny_folder_a1"):
        edit(workdir / f"{role}.toml", 'class_map = "labelmefacade"', 'class_map = "map.toml"')
    _, labels = facade(facades, 0)
    Image.new("RGB", (64, 40), colour).save(labels)
    (part,) = inspected(facades).parts
    (told,) = (value for value in part.values if value.value == colour)
    assert (told.name, told.unknown) == (None, not ignored)
    assert (part.with_unknown.count == 0) == ignored
    assert part.unlabelled.first == [facade_stem(0)]


def test_ids_that_a_class_map_misses_are_unknown(workdir: Path, facades: Path) -> None:
    (workdir / "map.toml").write_text(
        'classes = ["a", "b"]\nmap = [{ name = "a", id = 1 }, { name = "b", id = 2 }]\n', encoding="utf-8"
    )
    for role in ("victims/tiny_folder", "shadows/tiny_folder_a1"):
        edit(workdir / f"{role}.toml", 'class_map = "labelmefacade"', 'class_map = "map.toml"')
    for index in range(24):
        image, labels = facade(facades, index)
        shape = stored(image).shape[:2]
        Image.fromarray(np.resize(np.array([0, 1, 2, 255], np.uint8), shape)).save(labels)
    (part,) = inspected(facades).parts
    assert {value.value: (value.name, value.unknown) for value in part.values} == {
        0: (None, True), 1: ("a", False), 2: ("b", False), 255: (None, False),
    }  # fmt: skip
    assert (part.unknown, part.ignored) == (0.25, 0.25)


def test_labels_stored_with_loss_are_refused_and_not_listed_by_colour(facades: Path) -> None:
    _, labels = facade(facades, 0)
    noise = np.random.default_rng(0).integers(0, 256, (40, 64, 3), np.uint8)
    Image.fromarray(noise).save(labels)
    (part,) = inspected(facades).parts
    assert len(part.values) == 9
    assert [line for line in part.unreadable if "stored with loss" in line and str(labels) in line]


def test_scenes_without_a_labelled_pixel_are_named(camvid_root: Path) -> None:
    for stem in FRAMES[:7]:
        Image.new("L", (32, 24), 11).save(camvid(camvid_root, stem, "annot"))
    (part,) = inspected(camvid_root).parts
    assert (part.unlabelled.count, part.unlabelled.first) == (7, FRAMES[:5])
    ran = call("check", "--all", "--data-root", camvid_root)
    assert ran.code == 0
    assert f"camvid: train: no pixel has a class in 7: {', '.join(FRAMES[:5])}, ..." in ran.out


def test_a_table_that_is_wrong_is_one_fault_and_not_one_a_file(data_root: Path) -> None:
    write_config(data_root / "mapillary" / "config_v2.0.json", NAMES["v1.2"])
    found = inspected(data_root)
    titles = [part.title for part in found.parts if part.dataset == "mapillary"]
    assert titles == ["mapillary: training, v1.2", "mapillary: validation, v1.2"]
    assert len(found.problems) == 2
    assert all("lists 66 labels, and v2.0 has 124" in line for line in found.problems)


# Twins.


@pytest.fixture
def photographs(facades: Path) -> Path:
    """Facades as large as photographs, of which no two are alike."""
    for index in range(24):
        image, labels = facade(facades, index)
        blocks = np.random.default_rng(index).integers(0, 256, (8, 12, 3), np.uint8)
        Image.fromarray(blocks).resize((192, 128), Image.Resampling.BICUBIC).save(image, quality=95)
        Image.new("RGB", (192, 128), (128, 64, 0)).save(labels)
    return facades


def test_photographs_that_differ_are_no_twins(photographs: Path) -> None:
    (part,) = inspected(photographs).parts
    assert (part.exact.count, part.near.count) == (0, 0)


def test_twins_are_named_and_dots_stand_for_those_that_are_not(photographs: Path) -> None:
    first = facade(photographs, 0)[0]
    for copies, dots in ((1, "\n"), (2, ", ...\n")):
        facade(photographs, copies)[0].write_bytes(first.read_bytes())
        ran = call("check", "--all", "--data-root", photographs)
        assert ran.code == 0
        pair = f"{facade_stem(0)} and {facade_stem(1)}{dots}"
        assert f"labelmefacade: {copies + 1} images, each of which has the pixels of another in it: {pair}" in ran.out


def test_twins_are_exact_by_their_pixels_and_near_by_their_look(photographs: Path) -> None:
    stems = [facade_stem(index) for index in range(24)]
    paths = [facade(photographs, index)[0] for index in range(24)]
    paths[1].write_bytes(paths[0].read_bytes())  # a copy
    with Image.open(paths[2]) as image:  # the same pixels in another format
        image.load()
    paths[3].unlink()
    image.save(paths[3].with_suffix(".png"))
    paths[4].write_bytes(paths[5].read_bytes() + b"\0" * 9)  # the same pixels in other bytes of the same format
    with Image.open(paths[6]) as image:  # stored again
        image.save(paths[7], quality=50)
    changed = stored(paths[8])
    changed[5, 5] ^= 1  # one pixel
    Image.fromarray(stored(paths[8])).save(paths[8].with_suffix(".png"))
    paths[8].unlink()
    paths[9].unlink()
    Image.fromarray(changed).save(paths[9].with_suffix(".png"))
    (part,) = inspected(photographs).parts
    pairs = {tuple(sorted(pair)) for pair in part.exact.first}
    assert pairs == {tuple(sorted((stems[a], stems[b]))) for a, b in [(0, 1), (2, 3), (4, 5)]}
    assert part.exact.count == 6
    assert {tuple(sorted(pair)) for pair in part.near.first} == {
        tuple(sorted((stems[a], stems[b]))) for a, b in [(6, 7), (8, 9)]
    }
    assert part.near.count == 4


def test_twins_in_different_parts_are_told_apart_from_those_in_one(camvid_root: Path) -> None:
    add_val(camvid_root)
    found = inspected(camvid_root)
    assert [part.exact.count for part in found.parts] == [0, 0]
    assert found.exact_across.count == 96
    first = found.exact_across.first[0]
    assert first == (f"camvid: train: {FRAMES[0]}", f"camvid: val: {FRAMES[0][:-5]}{int(FRAMES[0][-5:]) + 15:05d}")


def test_images_that_all_look_alike_are_counted_without_listing_each_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_alike, "BLOCK", 7)
    keys = [str(k) for k in range(50)]
    assert _alike.near([0] * 50, keys) == _alike.Twins(50, tuple((k, k + 1) for k in range(5)))
    assert _alike.near([0] * 50, ["same"] * 50) == _alike.Twins(0, ())
    assert _alike.exact(["same"] * 50) == _alike.Twins(50, ((0, 1),))


@pytest.mark.parametrize(("bits", "count"), [(0, 2), (_alike.NEAR, 2), (_alike.NEAR + 1, 0)])
def test_looks_are_near_up_to_a_number_of_bits(bits: int, count: int) -> None:
    first = 2**63 + 5
    assert _alike.near([first, first ^ (2**bits - 1)], ["a", "b"]).count == count
    assert _alike.near([first, first ^ (2**bits - 1)], ["a", "b"], [1, 1]).count == 0


# What a pair holds.


@pytest.mark.parametrize("shape", [(1, 1), (7, 5), (40, 64)])
def test_colours_are_counted_as_numpy_counts_them(shape: tuple[int, int]) -> None:
    few = np.random.default_rng(0).integers(0, 2, (*shape, 3), np.uint8) * 255
    expected = Counter(map(tuple, few.reshape(-1, 3).tolist()))
    assert _inspect.counted(few, Path("x.png")) == expected


@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_a_turned_photograph_is_left_to_the_reader_of_scenes(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[_open.ORIENTATION] = orientation
    Image.new("RGB", (16, 16)).save(tmp_path / "a.jpg", exif=exif)
    with _open.opened(tmp_path / "a.jpg") as found:
        assert _inspect._is_plain(found) == (orientation == 1)


@pytest.mark.parametrize(
    ("mode", "name", "form"),
    [
        ("RGB", "a.jpg", "JPEG RGB 8-bit"), ("L", "a.png", "PNG L 8-bit"), ("1", "a.png", "PNG 1 1-bit"),
        ("I;16", "a.png", "PNG I;16 16-bit"), ("P", "a.png", "PNG P 1-bit"), ("F", "a.tif", "TIFF F 32-bit"),
        ("RGB", "a.bmp", "BMP RGB 8-bit"), ("RGB", "a.webp", "WEBP RGB 8-bit"),
    ],
)  # fmt: skip
def test_a_form_is_format_mode_and_depth(tmp_path: Path, mode: str, name: str, form: str) -> None:
    Image.new(mode, (8, 8)).save(tmp_path / name)
    with _open.opened(tmp_path / name) as found:
        found.image.load()
        assert found.form == form


def test_images_of_any_form_give_the_look_of_their_pixels(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (9, 9), np.uint8)
    image = Image.fromarray(pixels).resize((200, 150), Image.Resampling.BICUBIC)
    Image.new("L", image.size).save(tmp_path / "labels.png")
    seen = []
    for name, each in {
        "a.png": image,
        "a.jpg": image,
        "b.png": image.convert("RGBA"),
        "c.png": image.quantize(),
    }.items():
        each.save(tmp_path / name)
        seen.append(_inspect.look_into(_inspect.Pair(tmp_path / name, tmp_path / "labels.png", "grey ids")))
    assert all(look.picture and (look.picture.look ^ seen[0].picture.look).bit_count() <= _alike.EQUAL for look in seen)
    assert [look.drawn and look.drawn.counts for look in seen] == [{0: 30_000}] * 4


# The command.


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--all"], "--all reads data sets: pass --data-root FOLDER"),
        (["--workers", "2"], "belongs to 'mia-seg check --all'"),
        (["--all", "--data-root", "nowhere"], "nowhere is no folder"),
        (["--all", "--data-root", "victims"], "No data set lies in victims."),
        (["--all", "--data-root", "."], "It holds shadows, victims, which no data set and no recipe names."),
    ],
)
def test_what_cannot_be_asked_for_is_one_sentence(arguments: list[str], says: str) -> None:
    ran = call("check", *arguments)
    assert_refused(ran, says)
    assert not ran.out


def test_folders_that_nothing_names_are_said_to_be_unread(camvid_root: Path) -> None:
    (camvid_root / "mine" / "images").mkdir(parents=True)
    assert inspected(camvid_root).unnamed == ["mine"]
    ran = call("check", "--all", "--data-root", camvid_root)
    assert "not read, as no data set and no recipe names them: mine" in ran.out


def test_ctrl_c_leaves_the_rest_unread(data_template: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Any] = []

    def interrupted(pair: _inspect.Pair, *, image: bool) -> _inspect.Seen:
        read.append(pair)
        time.sleep(0.2 if len(read) > 1 else 0)  # so that the main thread hears of the first
        raise KeyboardInterrupt

    monkeypatch.setattr(inspection, "look_into", interrupted)
    ran = call("check", "--all", "--data-root", data_template, "--workers", "1")
    assert (ran.code, ran.out) == (130, "")
    assert ran.err.strip().endswith("Stopped. Nothing was written.")
    assert len(read) < sum(PARTS.values())


@pytest.mark.parametrize(
    ("share", "text"), [(0, "0%"), (1, "100%"), (0.5, "50%"), (0.0951, "9.5%"), (0.0012, "0.12%"), (1e-6, "<0.01%")]
)
def test_small_shares_are_not_rounded_away(share: float, text: str) -> None:
    assert percent(share) == text


def test_json_has_documented_keys_only(data_template: Path) -> None:
    told = inspected(data_template).dump()
    assert json.loads(json.dumps(told)) == told
    with pytest.raises(ValueError, match="extra"):
        Inspection.model_validate(told | {"more": 1})
    assert told["schema"] == 1


def test_an_image_that_cannot_be_read_again_is_nobodys_twin(tmp_path: Path) -> None:
    assert _inspect.pixels(tmp_path / "a.png") == str(tmp_path / "a.png")


def test_values_mean_a_class_or_nothing_or_are_unknown() -> None:
    assert CamVid().meanings([0, 11, 77], Path("labels.png")) == [0, IGNORE, None]


def test_mapillary_values_follow_its_config(data_template: Path) -> None:
    part = part_of(inspected(data_template), "mapillary: training, v2.0")
    assert len(part.values) == len(NAMES["v2.0"])
    assert part.scenes == len(MAPILLARY_KEYS["training"])


def test_texts_of_a_png_are_not_looked_at(facades: Path) -> None:
    _, labels = facade(facades, 0)
    with Image.open(labels) as image:
        image.load()
    texts = PngInfo()
    texts.add_text("comment", "x" * 2_000_000, zip=True)
    image.save(labels, pnginfo=texts)
    (part,) = inspected(facades).parts
    assert part.unreadable == []


def test_a_sound_pair_is_opened_once(camvid_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked = Counter[Path]()

    def counted(path: Path, *, exact: bool = False) -> Any:
        looked[path] += 1
        return lean(path, exact=exact)

    monkeypatch.setattr(_open, "lean", counted)
    (part,) = inspected(camvid_root).parts
    assert looked == {path: 1 for of in ("train", "trainannot") for path in (camvid_root / "camvid" / of).iterdir()}
    assert part.scenes == len(looked) / 2
