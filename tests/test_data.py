"""Scenes: the same contract for every data set, and no bad file in silence."""

import importlib
import os
import shutil
import sys
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers_datasets import add_val, stored
from helpers_files import DRIVES, FACADES, FRAMES, facade_stem, forget, frame_stems, write
from PIL import Image
from pydantic import ValidationError

from mia_seg import data, plugins
from mia_seg.data import IGNORE, Dataset, Scene, Scenes, _open
from mia_seg.data.camvid import CamVid
from mia_seg.data.folder import Folder
from mia_seg.errors import MiaSegError

FACADE = Folder(path="labelmefacade", class_map="labelmefacade")


def assert_equal(one: Scene, other: Scene) -> None:
    assert one.id == other.id
    assert np.array_equal(one.image_HWC, other.image_HWC)
    assert np.array_equal(one.labels_HW, other.labels_HW)


def assert_same_scenes(dataset: Dataset, root: Path, other: Dataset, other_root: Path) -> None:
    assert dataset.ids(root) == other.ids(other_root)
    for scene_id in dataset.ids(root):
        assert_equal(dataset.scene(root, scene_id), other.scene(other_root, scene_id))


def ids_are_sorted_and_found(dataset: Dataset, root: Path) -> None:
    ids = dataset.ids(root)
    assert ids == sorted(set(ids)) == dataset.ids(root)
    assert len(ids) > 1
    assert [dataset.scene(root, scene_id).id for scene_id in ids] == ids


def image_and_labels_agree(dataset: Dataset, root: Path) -> None:
    assert len(dataset.classes()) == len(set(dataset.classes())) < IGNORE
    for scene in Scenes(dataset, root, dataset.ids(root)):  # which refuse labels outside the classes
        assert scene.image_HWC.dtype == scene.labels_HW.dtype == np.uint8
        assert scene.image_HWC.shape == (*scene.labels_HW.shape, 3)
        assert (scene.labels_HW != IGNORE).any()


def a_scene_repeats(dataset: Dataset, root: Path) -> None:
    assert_same_scenes(dataset, root, dataset, root)


def the_example_repeats(dataset: Dataset, root: Path) -> None:
    again = root.parent / "again"
    assert type(dataset).example(again) == dataset
    for path in (path for path in root.rglob("*") if path.is_file()):
        assert (again / path.relative_to(root)).read_bytes() == path.read_bytes(), path
    assert_same_scenes(dataset, root, dataset, again)


def pictures_differ(dataset: Dataset, root: Path) -> None:
    ids = dataset.ids(root)
    assert len({dataset.picture(scene_id) for scene_id in ids}) == len(ids)
    assert len({dataset.scene(root, scene_id).image_HWC.tobytes() for scene_id in ids}) == len(ids)


def the_image_alone_is_that_of_the_scene(dataset: Dataset, root: Path) -> None:
    """Whatever size the settings ask for: twins are looked for at the size that is stored."""
    ids = dataset.ids(root)
    images = [dataset.image(root, scene_id) for scene_id in ids]
    for scene_id, image_HWC in zip(ids, images, strict=True):
        assert image_HWC.dtype == np.uint8
        assert np.array_equal(image_HWC, dataset.scene(root, scene_id).image_HWC)
    if dataset.files(root, ids[0]) and "size" in type(dataset).model_fields:
        resized = dataset.model_copy(update={"size": (9, 7)})
        assert all(np.array_equal(resized.image(root, i), one) for i, one in zip(ids, images, strict=True))


def groups_have_names(dataset: Dataset, root: Path) -> None:
    for scene_id in dataset.ids(root):
        assert isinstance(dataset.group(scene_id), str)
        assert dataset.group(scene_id)


def nothing_else_shapes_a_scene(dataset: Dataset, root: Path) -> None:
    """The files of the scenes alone, elsewhere, make the same scenes; with a list of scenes where they need one."""
    other = root.parent / "elsewhere"
    for scene_id in dataset.ids(root):
        for path in dataset.files(root, scene_id):
            _copy(path, other / path.relative_to(root))
    try:
        dataset.ids(other)
    except MiaSegError:
        shutil.copytree(root, other, dirs_exist_ok=True)
        forget()
    assert_same_scenes(dataset, root, dataset, other)


def the_first_file_is_the_image(dataset: Dataset, root: Path) -> None:
    """A scene with the first file of another one of its size has that one's image, and its own labels."""
    before = {scene_id: dataset.scene(root, scene_id) for scene_id in dataset.ids(root)}
    if not any(dataset.files(root, scene_id) for scene_id in before):
        return
    alike = [(a, b) for a, b in combinations(before.values(), 2) if a.image_HWC.shape == b.image_HWC.shape]
    assert alike, "the example needs two scenes of one size"
    one, other = alike[0]
    shutil.copyfile(dataset.files(root, other.id)[0], dataset.files(root, one.id)[0])
    assert_equal(dataset.scene(root, one.id), Scene(one.id, other.image_HWC, one.labels_HW))


def the_root_may_be_spelt_otherwise(dataset: Dataset, root: Path) -> None:
    link = root.parent / "link"
    link.symlink_to(root, target_is_directory=True)
    for spelt in (link, Path(os.path.relpath(root))):
        assert_same_scenes(dataset, root, dataset, spelt)


def a_path_may_be_spelt_otherwise(dataset: Dataset, root: Path) -> None:
    path = getattr(dataset, "path", None)
    if path is None:
        return
    (root / "link").symlink_to(root / path, target_is_directory=True)
    for spelling in (f"{path}/", f"./{path}", "link", "link/"):
        spelt = type(dataset)(**dict(dataset) | {"path": spelling})
        assert spelt.origin() == dataset.origin()
        assert_same_scenes(dataset, root, spelt, root)


def an_unknown_scene_is_one_error(dataset: Dataset, root: Path) -> None:
    with pytest.raises(MiaSegError):
        dataset.scene(root, f"{dataset.ids(root)[0]}-nowhere")


def files_are_asked_for(dataset: Dataset, root: Path) -> None:
    if not dataset.files(root, dataset.ids(root)[0]):
        return
    empty = root.parent / "empty"
    empty.mkdir()
    for nowhere, says in ((None, "--data-root"), (empty, str(empty))):
        with pytest.raises(MiaSegError, match=r"MIA_SEG_DATA") as refused:
            dataset.ids(nowhere)
        assert says in str(refused.value)


def a_survey_finds_no_fault(dataset: Dataset, root: Path) -> None:
    found = dataset.survey(root)
    assert {state for state, _ in found} <= {"ok", "absent"}
    assert bool(found) == bool(dataset.files(root, dataset.ids(root)[0]))


Rule = Callable[[Dataset, Path], None]
CONTRACT: list[Rule] = [
    ids_are_sorted_and_found,
    image_and_labels_agree,
    a_scene_repeats,
    the_example_repeats,
    pictures_differ,
    the_image_alone_is_that_of_the_scene,
    groups_have_names,
    nothing_else_shapes_a_scene,
    the_first_file_is_the_image,
    the_root_may_be_spelt_otherwise,
    a_path_may_be_spelt_otherwise,
    an_unknown_scene_is_one_error,
    files_are_asked_for,
    a_survey_finds_no_fault,
]
contract = pytest.mark.parametrize("rule", CONTRACT, ids=lambda rule: rule.__name__)


def _copy(path: Path, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, to)


def example(name: str, root: Path) -> Dataset:
    root.mkdir()
    return plugins.load(data, Dataset, name).example(root)


@contract
@pytest.mark.parametrize("name", plugins.names(data))
def test_every_data_set_keeps_the_contract(name: str, rule: Rule, tmp_path: Path) -> None:
    rule(example(name, tmp_path / "root"), tmp_path / "root")


NEW = '''
"""Toys: a grey photograph beside its labels, as numpy keeps them."""

from pathlib import Path
from typing import Self

import numpy as np

from mia_seg.data import Dataset, Scene
from mia_seg.data._files import entries, folder
from mia_seg.errors import MiaSegError


class Toys(Dataset):
    """`<data root>/<path>/<id>.npy` with `<id>.labels.npy`."""

    listing = frozenset({"path"})
    path: str = "toys"

    def classes(self) -> tuple[str, ...]:
        return ("floor", "toy")

    def ids(self, data_root: Path | None) -> list[str]:
        names = entries(folder(data_root, self.path))
        return sorted(name.removesuffix(".labels.npy") for name in names if name.endswith(".labels.npy"))

    def files(self, data_root: Path | None, scene_id: str) -> tuple[Path, ...]:
        root = folder(data_root, self.path)
        return root / f"{scene_id}.npy", root / f"{scene_id}.labels.npy"

    def scene(self, data_root: Path | None, scene_id: str) -> Scene:
        try:
            image_HW, labels_HW = (np.load(path) for path in self.files(data_root, scene_id))
        except OSError as error:
            raise MiaSegError(f"{error}. Restore the file.") from None
        return Scene(scene_id, np.stack([image_HW] * 3, -1), labels_HW)

    @classmethod
    def example(cls, data_root: Path) -> Self:
        (data_root / "toys").mkdir(parents=True)
        for k in range(3):
            np.save(data_root / "toys" / f"toy {k}.npy", np.full((4, 6), 40 * k, np.uint8))
            np.save(data_root / "toys" / f"toy {k}.labels.npy", np.eye(4, 6, k, dtype=np.uint8))
        return cls()

    def survey(self, data_root: Path) -> list:
        return [("ok", f"{len(self.ids(data_root))} toys")]
'''


@pytest.fixture
def plugged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Puts a file into a folder that counts as one of data sets, and says its name."""
    monkeypatch.setattr(data, "__path__", [*data.__path__, str(tmp_path / "plugins")])

    def put(text: str) -> str:
        write(tmp_path / "plugins" / "toys_of_a_test.py", text)
        importlib.invalidate_caches()
        monkeypatch.delitem(sys.modules, "mia_seg.data.toys_of_a_test", raising=False)
        return "toys_of_a_test"

    return put


@contract
def test_a_new_data_set_is_one_file(plugged: Callable[[str], str], rule: Rule, tmp_path: Path) -> None:
    name = plugged(NEW)
    assert name in plugins.names(data)
    rule(example(name, tmp_path / "root"), tmp_path / "root")


@pytest.mark.parametrize(
    ("right", "wrong", "rule"),
    [
        ("return sorted(", "return list(reversed(sorted(", ids_are_sorted_and_found),
        ("np.eye(4, 6, k", "np.eye(4, 5, k", image_and_labels_agree),
        ("40 * k", "40", pictures_differ),
        ('frozenset({"path"})', "frozenset()", a_path_may_be_spelt_otherwise),
        ("image_HW, labels_HW = (", "labels_HW, image_HW = (", the_first_file_is_the_image),
        ("[image_HW] * 3", "[image_HW + len(str(data_root))] * 3", nothing_else_shapes_a_scene),
    ],
)
def test_the_contract_finds_what_a_data_set_breaks(
    plugged: Callable[[str], str], right: str, wrong: str, rule: Rule, tmp_path: Path
) -> None:
    assert NEW.count(right) == 1
    text = NEW.replace(right, wrong)
    if "reversed" in wrong:
        text = text.replace('if name.endswith(".labels.npy"))', 'if name.endswith(".labels.npy"))))')
    dataset = example(plugged(text), tmp_path / "root")
    with pytest.raises((AssertionError, MiaSegError)):
        rule(dataset, tmp_path / "root")


def test_one_stem_twice_is_refused(data_root: Path) -> None:
    stem = facade_stem(0)
    Image.new("RGB", (64, 40)).save(data_root / "labelmefacade" / "images" / f"{stem}.png")
    with pytest.raises(MiaSegError, match=rf"{stem}\.jpg and {stem}\.png have one stem"):
        FACADE.ids(data_root)


def test_an_image_beyond_the_memory_is_refused_and_pillows_own_limit_is_none(
    data_template: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert FACADE.scene(data_template, facade_stem(0)).image_HWC.shape == (40, 64, 3)
    assert Image.MAX_IMAGE_PIXELS == 100
    monkeypatch.setattr(_open, "memory", lambda: 40 * 100 * 1000)
    assert FACADE.scene(data_template, facade_stem(0)).labels_HW.shape == (40, 64)
    monkeypatch.setattr(_open, "memory", lambda: 40 * 2559)
    with pytest.raises(MiaSegError, match=r"\.jpg is 40 x 64 pixels, and the memory here allows 2,559 pixels"):
        FACADE.scene(data_template, facade_stem(0))


def test_files_that_are_no_images_are_left_alone(data_root: Path) -> None:
    write(data_root / "labelmefacade" / "images" / "Thumbs.db", "")
    assert len(FACADE.ids(data_root)) == FACADES


def test_camvid_is_read_by_ids_with_void_ignored(data_template: Path) -> None:
    dataset = CamVid()
    assert len(dataset.classes()) == 11
    assert dataset.classes()[3] == "road"
    assert dataset.ids(data_template) == [f"train/{stem}" for drive in DRIVES for stem in frame_stems(drive)]
    for name in DRIVES:
        scene = dataset.scene(data_template, f"train/{frame_stems(name)[5]}")
        ids_HW = stored(data_template / "camvid" / "trainannot" / f"{frame_stems(name)[5]}.png")
        assert ids_HW.max() == 11
        assert np.array_equal(scene.labels_HW, np.where(ids_HW == 11, IGNORE, ids_HW))


def test_camvid_groups_frames_by_drive(data_template: Path) -> None:
    dataset = CamVid()
    groups = [dataset.group(scene_id) for scene_id in dataset.ids(data_template)]
    assert groups == [drive for drive in DRIVES for _ in range(FRAMES)]
    assert dataset.group("test/Seq05VD_f00000") == "Seq05VD"


def test_camvid_reads_the_folders_it_is_told_to(data_root: Path) -> None:
    add_val(data_root)
    both = CamVid(folders=("train", "val"), size=(12, 16))
    assert len(both.ids(data_root)) == 2 * 3 * FRAMES
    assert both.scene(data_root, "val/0016E5_00405").labels_HW.shape == (12, 16)
    with pytest.raises(MiaSegError, match=r"camvid.test does not exist"):
        CamVid(folders=("test",)).ids(data_root)


@pytest.mark.parametrize("pixels", [np.full((24, 32), 267, np.uint16), np.zeros((24, 32, 3), np.uint8)])
def test_camvid_refuses_labels_that_are_no_bytes(data_root: Path, pixels: np.ndarray) -> None:
    """267 modulo 256 is void: it must not wrap around."""
    path = data_root / "camvid" / "trainannot" / "0016E5_00390.png"
    Image.fromarray(pixels).save(path)
    with pytest.raises(MiaSegError) as refused:
        CamVid().scene(data_root, "train/0016E5_00390")
    assert str(refused.value).startswith(f"{path} holds")


@pytest.mark.parametrize("dataset", [CamVid(), FACADE], ids=["camvid", "folder"])
def test_unlike_sizes_are_no_pair_even_where_both_are_resized(data_root: Path, dataset: Dataset) -> None:
    resized = type(dataset)(**dataset.model_dump() | {"size": (16, 16)})
    scene_id = dataset.ids(data_root)[0]
    folder = data_root / ("camvid/train" if isinstance(dataset, CamVid) else "labelmefacade/images")
    image = next(folder.glob(f"{Path(scene_id).name}.*"))
    Image.new("RGB", (20, 10)).save(image)
    with pytest.raises(MiaSegError, match=rf"{image} is \(10, 20\) and .* they are not a pair") as refused:
        resized.scene(data_root, scene_id)
    assert str(refused.value).endswith("Replace the wrong file or remove both.")


@pytest.mark.parametrize("size", [(0, 16), (16, -1), (16,)])
def test_impossible_sizes_are_refused(size: tuple[int, ...]) -> None:
    for make in (lambda: CamVid(size=size), lambda: Folder(path="a", class_map="b", size=size)):  # type: ignore[arg-type]
        with pytest.raises(ValidationError, match="size"):
            make()


@pytest.mark.parametrize("name", ["images/{}.jpg", "labels/{}.png"])
def test_no_damage_to_a_file_goes_unnoticed_or_uncaught(data_root: Path, name: str) -> None:
    """Cut anywhere, or with one byte changed, a file gives a scene of the right shape or the sentence."""
    stem, dataset = facade_stem(0), FACADE
    path = data_root / "labelmefacade" / name.format(stem)
    whole, shape = path.read_bytes(), dataset.scene(data_root, stem).image_HWC.shape
    refused: list[str] = []
    for place in range(0, len(whole), 41):
        for content in (whole[:place], whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :]):
            path.write_bytes(content)
            try:
                assert dataset.scene(data_root, stem).image_HWC.shape == shape
            except MiaSegError as error:
                refused.append(str(error))
    assert len(refused) > len(range(0, len(whole), 41)) / 2
    assert all(f"{path} " in sentence for sentence in refused)


class Odd(Dataset):
    """A data set that breaks the contract."""

    labels: list[list[int]]

    def classes(self) -> tuple[str, ...]:
        return ("a", "b")

    def ids(self, data_root: Path | None) -> list[str]:
        return ["one"]

    def scene(self, data_root: Path | None, scene_id: str) -> Scene:
        return Scene(scene_id, np.zeros((2, 2, 3), np.uint8), np.array(self.labels, np.uint8))


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        ([[0, 1], [2, IGNORE]], "Scene 'one': label 2 is outside the 2 classes and is not 255"),
        ([[0, 1]], r"Scene 'one': the image is \(2, 2\) and the labels are \(1, 2\)"),
    ],
)
def test_scenes_check_what_a_data_set_yields(labels: list[list[int]], says: str) -> None:
    with pytest.raises(MiaSegError, match=says):
        Scenes(Odd(labels=labels), None, ["one"])[0]


def test_scenes_are_read_once_while_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    monkeypatch.setattr(Odd, "scene", _counted(Odd.scene, read))
    dataset = Odd(labels=[[0, 1], [1, IGNORE]])
    one_scene = 2 * 2 * 3 + 2 * 2
    kept = Scenes(dataset, None, ["one", "two"], room=one_scene)
    assert [scene.id for _ in range(3) for scene in kept] == ["one", "two"] * 3
    assert read == ["one", "two", "two", "two"]


def _counted(method: Any, calls: list[str]) -> Any:
    def scene(self: Dataset, data_root: Path | None, scene_id: str) -> Scene:
        calls.append(scene_id)
        return method(self, data_root, scene_id)

    return scene
