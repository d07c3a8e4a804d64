"""The folder data set: colours and ids decoded through class maps, and a path in whatever spelling."""

import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from helpers_datasets import stored
from helpers_files import COLOURS, FACADES, VARIOUS, facade_stem, forget, write
from PIL import Image

from mia_seg.data import IGNORE, Scene, Scenes
from mia_seg.data._example import save_pair
from mia_seg.data._folders import LABEL_ENDINGS
from mia_seg.data._labels import CITYSCAPES
from mia_seg.data.folder import Folder
from mia_seg.errors import MiaSegError

CLASSES = sorted(COLOURS)
FACADE = Folder(path="labelmefacade", class_map="labelmefacade")


def colours_of(data_root: Path, index: int) -> np.ndarray:
    """The stored colours [H, W, 3] of a facade."""
    return stored(data_root / "labelmefacade" / "labels" / f"{facade_stem(index)}.png")[..., :3]


def expected_facade(data_root: Path, index: int) -> np.ndarray:
    colours = colours_of(data_root, index)
    labels = np.full(colours.shape[:2], IGNORE)
    for k, name in enumerate(CLASSES):
        labels[(colours == COLOURS[name]).all(-1)] = k
    return labels


def small_folder(root: Path, pixels: np.ndarray, class_map: str) -> Path:
    """A folder data set `own/` of one scene under a class map `own.toml` in the working directory."""
    save_pair(root / "own" / "images" / "a scene.jpeg", root / "own" / "labels" / "a scene.png", pixels, seed=0)
    return write(Path.cwd() / "own.toml", class_map)


def own_scene(root: Path) -> Scene:
    dataset = Folder(path="own", class_map="own.toml")
    assert dataset.ids(root) == ["a scene"]
    return Scenes(dataset, root, ["a scene"])[0]


def test_facades_are_decoded_by_colour_and_what_is_unknown_is_ignored(data_template: Path) -> None:
    assert list(FACADE.classes()) == CLASSES
    assert FACADE.ids(data_template) == sorted(facade_stem(i) for i in range(FACADES))
    for index in range(4):  # RGB and RGBA, four sizes
        scene = FACADE.scene(data_template, facade_stem(index))
        expected = expected_facade(data_template, index)
        assert np.array_equal(scene.labels_HW, expected)
        assert (scene.labels_HW[(colours_of(data_template, index) == VARIOUS).all(-1)] == IGNORE).all()
        assert set(np.unique(expected)) > {CLASSES.index("window"), CLASSES.index("door"), IGNORE}


def test_images_are_the_files_pixels(data_template: Path) -> None:
    stem = facade_stem(1)
    pixels = stored(data_template / "labelmefacade" / "images" / f"{stem}.jpg")
    assert np.array_equal(FACADE.scene(data_template, stem).image_HWC, pixels)


@pytest.mark.parametrize("size", [(24, 24), (80, 160), (40, 64)])
def test_labels_are_resized_to_the_nearest_and_never_mixed(data_template: Path, size: tuple[int, int]) -> None:
    """A colour between two colours would be ignored, an id between two ids another class."""
    resized = Folder(path="labelmefacade", class_map="labelmefacade", size=size)
    for index in range(3):
        scene, whole = resized.scene(data_template, facade_stem(index)), expected_facade(data_template, index)
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
    pixels = np.array([[0, 1, 2], [7, 255, 2]], np.uint8)
    small_folder(
        tmp_path, pixels, 'classes = ["soil", "crop"]\nmap = [{name = "crop", id = 2}, {name = "soil", id = 7}]'
    )
    scene = own_scene(tmp_path)
    assert scene.labels_HW.tolist() == [[IGNORE, IGNORE, 1], [0, IGNORE, 1]]


def test_own_class_map_into_the_cityscapes_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pixels = np.array([[[1, 2, 3], [9, 9, 9]], [[4, 5, 6], [1, 2, 3]]], np.uint8)
    small_folder(
        tmp_path,
        pixels,
        'classes = "cityscapes"\nmap = [{name = "car", colour = [1, 2, 3]}, {name = "road", colour = [4, 5, 6]}]',
    )
    assert Folder(path="own", class_map="own.toml").classes() == tuple(CITYSCAPES)
    assert own_scene(tmp_path).labels_HW.tolist() == [[13, IGNORE], [0, 13]]


def test_several_stored_values_may_mean_one_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rules = ", ".join(f'{{name = "any", id = {k}}}' for k in (0, 1))
    small_folder(tmp_path, np.array([[0, 1, 2]], np.uint8), f'classes = ["any", "other"]\nmap = [{rules}]')
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
        ('classes = ["a"]\nmap = [{name = "a", id = 0}]', "there are 1 classes; a segmenter tells 2 to 254 apart"),
        ('classes = ["a", "a"]\nmap = [{name = "a", id = 0}]', "the classes name a twice; leave one out"),
        ('classes = ["a", "b"]\nmap = [{name = "a", id = 3}, {name = "b", id = 3}]', "the map has id 3 twice"),
        (
            'classes = ["a", "b"]\nmap = [{name = "a", colour = [1, 2, 3]}, {name = "a", colour = [1, 2, 3]}]',
            "the map has colour (1, 2, 3) twice",
        ),
        (f"classes = {[f'c{k}' for k in range(255)]}\nmap = [{{name = 'c0', id = 0}}]", "there are 255 classes"),
        ('classes = ["a", "b"]\nmap = [{name = "a", id = 0}]\nother = "b"', "other"),
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
    small_folder(tmp_path, np.zeros((4, 4, 3), np.uint8), 'classes = ["a", "b"]\nmap = [{name = "a", id = 0}]')
    with pytest.raises(MiaSegError, match=r"a scene\.png holds .* where one byte with a class id is expected"):
        own_scene(tmp_path)


IDS = 'classes = ["soil", "crop"]\nmap = [{name = "crop", id = 2}, {name = "soil", id = 7}]'


@pytest.mark.parametrize(
    ("pixels", "text", "unknown"),
    [
        ([[0, 1, 2], [7, 255, 1]], IDS, {"0": 1, "1": 2}),
        ([[0, 1, 2], [7, 255, 1]], IDS.replace("id = 7", "id = 255"), {"0": 1, "1": 2, "7": 1}),
        (
            [[[1, 2, 3], [9, 0, 1]]],
            'classes = "cityscapes"\nmap = [{name = "car", colour = [1, 2, 3]}]',
            {"(9, 0, 1)": 1},
        ),
    ],
)
def test_stored_values_that_no_rule_names_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pixels: list[list[int]], text: str, unknown: dict[str, int]
) -> None:
    monkeypatch.chdir(tmp_path)
    small_folder(tmp_path, np.array(pixels, np.uint8), text)
    labels_HW, found = Folder(path="own", class_map="own.toml").labels_of(tmp_path, "a scene")
    assert np.array_equal(labels_HW, own_scene(tmp_path).labels_HW)
    assert found == unknown


def test_what_other_values_mean_shapes_no_scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    small_folder(tmp_path, np.zeros((1, 2), np.uint8), IDS)
    write(tmp_path / "told.toml", IDS + '\nother = "ignore"')
    plain, told = Folder(path="own", class_map="own.toml"), Folder(path="own", class_map="told.toml")
    assert (plain.ignores_unknown, told.ignores_unknown) == (False, True)
    assert plain.origin() == told.origin()


@pytest.mark.parametrize("path", ["labelmefacade/", "./labelmefacade", "labelmefacade//.", ".//labelmefacade/"])
def test_a_path_has_one_name_however_it_is_spelt(data_template: Path, path: str) -> None:
    spelt = Folder(path=path, class_map="labelmefacade")
    assert spelt == FACADE
    assert spelt.files(data_template, facade_stem(0)) == FACADE.files(data_template, facade_stem(0))


def test_a_folder_may_be_reached_through_links(data_root: Path) -> None:
    (data_root / "linked").symlink_to("labelmefacade", target_is_directory=True)
    (data_root / "apart" / "deep").mkdir(parents=True)
    for part in ("images", "labels"):
        (data_root / "apart" / "deep" / part).symlink_to(data_root / "labelmefacade" / part, target_is_directory=True)
    for path in ("linked", "linked/", "apart/deep"):
        dataset = Folder(path=path, class_map="labelmefacade")
        assert dataset.ids(data_root) == FACADE.ids(data_root)
        assert dataset.origin() == FACADE.origin()
        assert np.array_equal(
            dataset.scene(data_root, facade_stem(1)).labels_HW, FACADE.scene(data_root, facade_stem(1)).labels_HW
        )


def test_a_link_that_leads_nowhere_is_a_missing_folder(data_root: Path) -> None:
    (data_root / "gone").symlink_to("nowhere", target_is_directory=True)
    with pytest.raises(MiaSegError, match=r"gone does not exist\. Put the data set there"):
        Folder(path="gone", class_map="labelmefacade").ids(data_root)


def test_a_folder_may_be_the_data_root(data_template: Path) -> None:
    here = Folder(path=".", class_map="labelmefacade")
    assert here.ids(data_template / "labelmefacade") == FACADE.ids(data_template)


def test_the_folder_is_looked_for_once_and_not_for_each_scene(
    data_template: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[Path | None] = []
    root = Folder.root
    monkeypatch.setattr(Folder, "root", lambda self, data_root: (looked.append(data_root), root(self, data_root))[1])
    for _ in range(2):
        assert len({FACADE.files(data_template, facade_stem(k)) for k in range(FACADES)}) == FACADES
    assert looked == [data_template]


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    """An empty data set `toy/` of two classes, ids 0 and 1, in the working directory."""
    monkeypatch.chdir(tmp_path)
    for name in ("images", "labels"):
        (tmp_path / "toy" / name).mkdir(parents=True)
    rules = ", ".join(f'{{name = "{name}", id = {k}}}' for k, name in enumerate(("soil", "crop")))
    write(tmp_path / "toy.toml", f'classes = ["soil", "crop"]\nmap = [{rules}]')
    return Folder(path="toy", class_map="toy.toml")


def fill(names: Iterable[str], below: str = "toy") -> None:
    """A small file a name: images in colours, labels of ids 0 and 1, in the format of the suffix."""
    for name in names:
        pixels = np.arange(4, dtype=np.uint8).reshape(2, 2) % 2
        image = Image.fromarray(pixels).convert("RGB" if name.startswith("images/") else "L")
        lossless = {"lossless": True} if name.lower().endswith(".webp") else {}
        path = Path(below) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path, **lossless)


def each(pattern: str, *stems: str) -> list[str]:
    return [pattern.format(stem) for stem in stems]


@pytest.mark.parametrize(
    ("images", "labels", "ids"),
    [
        ("images/{}.tif", "labels/{}.tif", ["a", "b"]),
        ("images/{}.TIFF", "labels/{}.bmp", ["a", "b"]),
        ("images/{}.webp", "labels/{}.WEBP", ["a", "b"]),
        ("images/{}.bmp", "labels/{}.PNG", ["a", "b"]),
        ("images/train/{}.jpg", "labels/train/{}.png", ["train/a", "train/b"]),
        ("images/val/x/{}.jpeg", "labels/val/x/{}.png", ["val/x/a", "val/x/b"]),
        *(("images/{}.jpg", f"labels/{{}}{end}.png", ["a", "b"]) for end in LABEL_ENDINGS),
        ("images/{}.jpg", "labels/{}_L.png", ["a", "b"]),
        ("images/{}.jpg", "labels/{}_GT.png", ["a", "b"]),
        ("images/{}_0000.png", "labels/{}.png", ["a", "b"]),
        ("images/train/{}_0000.png", "labels/train/{}_seg.png", ["train/a", "train/b"]),
        ("images/{}_mask.png", "labels/{}_mask.png", ["a_mask", "b_mask"]),
    ],
)  # fmt: skip
def test_formats_folders_and_endings_of_names(toy: Folder, images: str, labels: str, ids: list[str]) -> None:
    fill([*each(images, "a", "b"), *each(labels, "a", "b")])
    assert toy.ids(Path()) == ids
    assert toy.scene(Path(), ids[0]).labels_HW.tolist() == [[0, 1], [0, 1]]


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (["images/a.gif", "images/b.gif", "labels/a.png"], ["images holds no images: 2 .gif here; readable are .jpg,"]),
        (["images/a.jpg", "labels/a.jpg"], ["labels holds no label files: 1 .jpg here", "JPEG would change"]),
        (
            ["images/a.jpg", "images/b.gif", "labels/a.png", "labels/b.png"],
            ["images holds 1 files that are not read (b.gif, ...)", "Save the images"],
        ),
        (
            ["images/a.jpg", "images/b.jpg", "labels/a.png", "labels/b.jpg"],
            ["labels holds 1 files that are not read (b.jpg, ...)", "Save the original labels as PNG"],
        ),
        (
            ["images/a.jpg", "images/b.jpg", "labels/a_mask.png", "labels/b.png"],
            ["a.jpg: this image has no counterpart", "1 (a) without labels and 1 (a_mask) without image"],
        ),
        (["images/train/a.jpg", "labels/a.png"], ["a.png: this label file", "1 (train/a) without labels"]),
        (["images/1/2/3/a.jpg", "labels/a.png"], ["1/2/3 lies too deep", "2 levels", "Move its files up"]),
    ],
)
def test_what_lies_there_and_is_not_read_is_named(toy: Folder, names: list[str], says: list[str]) -> None:
    fill(names)
    with pytest.raises(MiaSegError) as refused:
        toy.ids(Path())
    assert all(part in str(refused.value) for part in says), refused.value


def test_a_folder_without_images_says_what_it_holds(toy: Folder) -> None:
    fill(["train/a.jpg"])
    Path("toy/images").rmdir()
    with pytest.raises(MiaSegError, match=r"images does not exist\. .* side by side; there: 2 folders\."):
        toy.ids(Path())


@pytest.mark.parametrize("name", ["Thumbs.db", "desktop.ini", "__MACOSX/._a.jpg", ".DS_Store", "._a.png", ".x/b.png"])
def test_what_systems_leave_behind_is_no_data(toy: Folder, name: str) -> None:
    fill(["images/a.jpg", "labels/a.png"])
    for side in ("images", "labels"):
        write(Path("toy") / side / name, "")
    assert toy.ids(Path()) == ["a"]


def test_a_name_that_is_not_utf8_is_refused(toy: Folder) -> None:
    fill(["images/a.jpg", "labels/a.png"])
    for side, suffix in (("images", b".jpg"), ("labels", b".png")):
        Path("toy", side, os.fsdecode(b"caf\xe9" + suffix)).touch()
    with pytest.raises(MiaSegError, match=r"images: the file name 'caf\\udce9\.jpg' is not UTF-8\. Rename the file"):
        toy.ids(Path())
    for side, suffix in (("images", b".jpg"), ("labels", b".png")):
        Path("toy", side, os.fsdecode(b"caf\xe9" + suffix)).unlink()
    fill(["images/café.jpg", "labels/café.png"])
    forget()
    assert toy.ids(Path()) == ["a", "café"]


def masks(**values: list[list[int | bool]]) -> None:
    """Label files by stem, of one bit where the values are true and false; each with its image."""
    for stem, pixels in values.items():
        fill([f"images/{stem}.jpg"])
        array = np.array(pixels)
        Image.fromarray(array if array.dtype == bool else array.astype(np.uint8)).save(f"toy/labels/{stem}.png")


def test_masks_of_one_bit_beside_others_are_refused(toy: Folder) -> None:
    masks(a=[[0, 255], [0, 255]], b=[[False, True], [False, True]], c=[[True, True], [False, True]])
    says = (
        r"labels holds 2 one-bit masks \(b\.png, \.\.\.\) and 1 label files of more bits \(a\.png, .* Save all of them"
    )
    with pytest.raises(MiaSegError, match=says):
        toy.ids(Path())


@pytest.mark.parametrize(
    ("rules", "labels"),
    [
        ({"soil": 0, "crop": 1}, [[0, 1], [0, 1]]),
        ({"soil": 0, "crop": 255}, [[0, 1], [0, 1]]),
        ({"soil": 0, "crop": 2}, [[0, IGNORE], [0, IGNORE]]),
    ],
)
def test_white_of_a_one_bit_mask_is_1_or_what_the_map_calls_255(
    toy: Folder, rules: dict[str, int], labels: list[list[int]]
) -> None:
    masks(a=[[False, True], [False, True]])
    lines = ", ".join(f'{{name = "{name}", id = {k}}}' for name, k in rules.items())
    write(Path("toy.toml"), f'classes = ["soil", "crop"]\nmap = [{lines}]')
    assert toy.scene(Path(), "a").labels_HW.tolist() == labels


def test_white_that_may_be_two_classes_is_refused(toy: Folder) -> None:
    masks(a=[[False, True], [False, True]])
    write(Path("toy.toml"), 'classes = ["a", "b"]\nmap = [{name = "a", id = 1}, {name = "b", id = 255}]')
    with pytest.raises(MiaSegError, match=r"a\.png is black and white.*Save the labels as an 8-bit grey image"):
        toy.scene(Path(), "a")
