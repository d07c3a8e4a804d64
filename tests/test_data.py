"""Scenes: decoded as their authors meant them, the same contract for every data set, and no bad file in silence."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers_files import (
    COLOURS,
    DRIVES,
    FACADES,
    FRAMES,
    VARIOUS,
    facade,
    facade_stem,
    frame,
    frame_stems,
    photograph,
    write,
    write_camvid,
)
from PIL import Image
from pydantic import ValidationError

from mia_seg import data, plugins
from mia_seg.data import IGNORE, Dataset, Scene, Scenes
from mia_seg.data._labels import CITYSCAPES
from mia_seg.data.camvid import CamVid
from mia_seg.data.folder import Folder
from mia_seg.errors import MiaSegError

# A new data set that needs files or settings gets its entry here and its writer in helpers_files.py.
SETTINGS: dict[str, dict[str, Any]] = {
    "folder": {"path": "labelmefacade", "class_map": "labelmefacade"},
    "streets": {"size": (32, 48), "count": 5},
}
CLASSES = sorted(COLOURS)
FACADE = Folder(path="labelmefacade", class_map="labelmefacade")


def every(root: Path) -> list[tuple[Dataset, list[Scene]]]:
    """Each data set of the package, with some of its scenes."""
    found = []
    for name in plugins.names(data):
        dataset = plugins.build(data, Dataset, name, SETTINGS.get(name, {}), name)
        found.append((dataset, [dataset.scene(root, i) for i in dataset.ids(root)[:5]]))
    return found


def expected_facade(index: int) -> np.ndarray:
    stored, labels = facade(index), np.full(facade(index).shape[:2], IGNORE)
    for k, name in enumerate(CLASSES):
        labels[(stored == COLOURS[name]).all(-1)] = k
    return labels


def small_folder(root: Path, stored: np.ndarray, class_map: str) -> Path:
    """A folder data set `own/` of one scene under a class map `own.toml` in the working directory."""
    for part in ("images", "labels"):
        (root / "own" / part).mkdir(parents=True)
    photograph(stored[..., :3], 0).save(root / "own" / "images" / "a scene.jpeg")
    Image.fromarray(stored).save(root / "own" / "labels" / "a scene.png")
    return write(Path.cwd() / "own.toml", class_map)


def own_scene(root: Path) -> Scene:
    dataset = Folder(path="own", class_map="own.toml")
    assert dataset.ids(root) == ["a scene"]
    return Scenes(dataset, root, ["a scene"])[0]


def test_every_data_set_keeps_the_contract(data_template: Path) -> None:
    for dataset, scenes in every(data_template):
        what, ids = repr(dataset), dataset.ids(data_template)
        assert ids == sorted(set(ids)), what
        assert len(dataset.classes()) == len(set(dataset.classes())) < IGNORE, what
        assert dataset.ids(data_template) == ids, what
        for scene_id, scene in zip(ids, scenes, strict=False):
            assert scene.id == scene_id, what
            assert scene.image_HWC.dtype == scene.labels_HW.dtype == np.uint8, what
            assert scene.image_HWC.shape == (*scene.labels_HW.shape, 3), what
            assert set(np.unique(scene.labels_HW)) <= {*range(len(dataset.classes())), IGNORE}, what
            assert (scene.labels_HW != IGNORE).any(), what
            assert isinstance(dataset.group(scene_id), str), what
            again = dataset.scene(data_template, scene_id)
            assert np.array_equal(scene.image_HWC, again.image_HWC), what
            assert np.array_equal(scene.labels_HW, again.labels_HW), what


def test_every_data_set_answers_an_unknown_scene_with_one_error(data_template: Path) -> None:
    for dataset, _ in every(data_template):
        ids = dataset.ids(data_template)
        with pytest.raises(MiaSegError):
            dataset.scene(data_template, f"{ids[0]}-nowhere")


def test_every_data_set_that_needs_files_asks_for_them(tmp_path: Path, data_template: Path) -> None:
    for dataset, _ in every(data_template):
        needs_files = type(dataset).__name__ != "Streets"
        for root, says in ((None, "--data-root"), (tmp_path, str(tmp_path))):
            if needs_files:
                with pytest.raises(MiaSegError, match=r"MIA_SEG_DATA") as refused:
                    dataset.ids(root)
                assert says in str(refused.value)


def test_facades_are_decoded_by_colour_and_what_is_unknown_is_ignored(data_template: Path) -> None:
    assert list(FACADE.classes()) == CLASSES
    assert FACADE.ids(data_template) == sorted(facade_stem(i) for i in range(FACADES))
    for index in range(4):  # RGB and RGBA, four sizes
        scene = FACADE.scene(data_template, facade_stem(index))
        expected = expected_facade(index)
        assert np.array_equal(scene.labels_HW, expected)
        assert (scene.labels_HW[(facade(index) == VARIOUS).all(-1)] == IGNORE).all()
        assert set(np.unique(expected)) > {CLASSES.index("window"), CLASSES.index("door"), IGNORE}


def test_images_are_the_files_pixels(data_template: Path) -> None:
    stem = facade_stem(1)
    with Image.open(data_template / "labelmefacade" / "images" / f"{stem}.jpg") as image:
        stored = np.array(image)
    assert np.array_equal(FACADE.scene(data_template, stem).image_HWC, stored)


@pytest.mark.parametrize("size", [(24, 24), (80, 160), (40, 64)])
def test_labels_are_resized_to_the_nearest_and_never_mixed(data_template: Path, size: tuple[int, int]) -> None:
    """A colour between two colours would be ignored, an id between two ids another class."""
    resized = Folder(path="labelmefacade", class_map="labelmefacade", size=size)
    for index in range(3):
        scene, whole = resized.scene(data_template, facade_stem(index)), expected_facade(index)
        assert scene.image_HWC.shape == (*size, 3)
        # The middle of a new pixel may fall between two old ones: either is nearest.
        nearest = [
            ((np.arange(new) + 0.5) * old / new + side).astype(int)
            for new, old in zip(size, whole.shape, strict=True)
            for side in (-1e-6, 1e-6)
        ]
        chosen = [whole[np.ix_(rows, columns)] for rows in nearest[:2] for columns in nearest[2:]]
        assert np.any([scene.labels_HW == labels for labels in chosen], axis=0).all()


def test_own_class_map_of_ids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    stored = np.array([[0, 1, 2], [7, 255, 2]], np.uint8)
    small_folder(
        tmp_path, stored, 'classes = ["soil", "crop"]\nmap = [{name = "crop", id = 2}, {name = "soil", id = 7}]'
    )
    scene = own_scene(tmp_path)
    assert scene.labels_HW.tolist() == [[IGNORE, IGNORE, 1], [0, IGNORE, 1]]


def test_own_class_map_into_the_cityscapes_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    stored = np.array([[[1, 2, 3], [9, 9, 9]], [[4, 5, 6], [1, 2, 3]]], np.uint8)
    small_folder(
        tmp_path,
        stored,
        'classes = "cityscapes"\nmap = [{name = "car", colour = [1, 2, 3]}, {name = "road", colour = [4, 5, 6]}]',
    )
    assert Folder(path="own", class_map="own.toml").classes() == tuple(CITYSCAPES)
    assert own_scene(tmp_path).labels_HW.tolist() == [[13, IGNORE], [0, 13]]


def test_several_stored_values_may_mean_one_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rules = ", ".join(f'{{name = "any", id = {k}}}' for k in (0, 1))
    small_folder(tmp_path, np.array([[0, 1, 2]], np.uint8), f'classes = ["any"]\nmap = [{rules}]')
    assert own_scene(tmp_path).labels_HW.tolist() == [[0, 0, IGNORE]]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('classes = ["a"]\nmap = [{name = "b", id = 1}]', "the map names b; the classes are a"),
        ('classes = ["a"]\nmap = []', "map"),
        ('classes = ["a"]\nmap = [{name = "a", id = 1}, {name = "a", colour = [0, 0, 1]}]', "every rule"),
        ('classes = ["a"]\nmap = [{name = "a"}]', "every rule"),
        ('classes = ["a"]\nmap = [{name = "a", color = [0, 0, 1]}]', "Did you mean 'colour'?"),
        ('classes = ["a"]\nmap = [{name = "a", colour = [0, 0, 300]}]', "300"),
        ('classes = "cityscape"\nmap = [{name = "a", id = 1}]', "cityscape"),
        ('classes = ["a"\n', "is not valid TOML"),
    ],
)
def test_a_wrong_class_map_names_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    path = small_folder(tmp_path, np.zeros((4, 4), np.uint8), text)
    with pytest.raises(MiaSegError) as refused:
        own_scene(tmp_path)
    assert str(refused.value).startswith(str(path))
    assert says in str(refused.value)


def test_an_unknown_class_map_is_answered_with_those_there_are() -> None:
    with pytest.raises(MiaSegError, match=r"facades\.toml is missing\. Name a packaged class map \(.*labelmefacade"):
        Folder(path="labelmefacade", class_map="facades").classes()


def test_colours_under_a_map_of_ids_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    small_folder(tmp_path, np.zeros((4, 4, 3), np.uint8), 'classes = ["a"]\nmap = [{name = "a", id = 0}]')
    with pytest.raises(MiaSegError, match=r"a scene\.png holds .* where one byte with a class id is expected"):
        own_scene(tmp_path)


def test_labels_of_another_map_are_refused(data_root: Path) -> None:
    stem = facade_stem(0)
    Image.new("RGB", (64, 40), (1, 1, 1)).save(data_root / "labelmefacade" / "labels" / f"{stem}.png")
    with pytest.raises(MiaSegError, match=f"{stem}.png: no pixel has a value of class map 'labelmefacade'"):
        FACADE.scene(data_root, stem)


def test_one_stem_twice_is_refused(data_root: Path) -> None:
    stem = facade_stem(0)
    Image.new("RGB", (64, 40)).save(data_root / "labelmefacade" / "images" / f"{stem}.png")
    with pytest.raises(MiaSegError, match=rf"{stem}\.jpg and {stem}\.png have one stem"):
        FACADE.ids(data_root)


def test_a_bomb_is_refused(data_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(MiaSegError, match=r"\.jpg cannot be read as an image .*decompression bomb"):
        FACADE.scene(data_root, facade_stem(0))


def test_files_that_are_no_images_are_left_alone(data_root: Path) -> None:
    write(data_root / "labelmefacade" / "images" / "Thumbs.db", "")
    assert len(FACADE.ids(data_root)) == FACADES


def test_camvid_is_read_by_ids_with_void_ignored(data_template: Path) -> None:
    dataset = CamVid()
    assert len(dataset.classes()) == 11
    assert dataset.classes()[3] == "road"
    assert dataset.ids(data_template) == [f"train/{stem}" for drive in DRIVES for stem in frame_stems(drive)]
    for drive, name in enumerate(DRIVES):
        scene = dataset.scene(data_template, f"train/{frame_stems(name)[5]}")
        stored = frame(drive, 5)
        assert np.array_equal(scene.labels_HW, np.where(stored == 11, IGNORE, stored))


def test_camvid_groups_frames_by_drive(data_template: Path) -> None:
    dataset = CamVid()
    groups = [dataset.group(scene_id) for scene_id in dataset.ids(data_template)]
    assert groups == [drive for drive in DRIVES for _ in range(FRAMES)]
    assert dataset.group("test/Seq05VD_f00000") == "Seq05VD"


def test_camvid_reads_the_folders_it_is_told_to(data_root: Path) -> None:
    write_camvid(data_root, "val", count=2, first=15)
    both = CamVid(folders=("train", "val"), size=(12, 16))
    assert len(both.ids(data_root)) == 3 * (FRAMES + 2)
    assert both.scene(data_root, "val/0016E5_00405").labels_HW.shape == (12, 16)
    with pytest.raises(MiaSegError, match=r"camvid.test does not exist"):
        CamVid(folders=("test",)).ids(data_root)


@pytest.mark.parametrize("stored", [np.full((24, 32), 267, np.uint16), np.zeros((24, 32, 3), np.uint8)])
def test_camvid_refuses_labels_that_are_no_bytes(data_root: Path, stored: np.ndarray) -> None:
    """267 modulo 256 is void: it must not wrap around."""
    path = data_root / "camvid" / "trainannot" / "0016E5_00390.png"
    Image.fromarray(stored).save(path)
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
    whole, shape = path.read_bytes(), facade(0).shape
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
