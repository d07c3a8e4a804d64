"""Texts and names that people bring: whatever saved them they are read alike, or refused by file and place."""

import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers_files import forget, write
from hypothesis import given, settings
from hypothesis import strategies as st

from mia_seg import recipes, texts
from mia_seg.data import Dataset
from mia_seg.data._lists import read_list
from mia_seg.data.cityscapes import Cityscapes
from mia_seg.data.folder import Folder
from mia_seg.data.mapillary import Mapillary
from mia_seg.data.voc import VOC
from mia_seg.errors import MiaSegError
from mia_seg.evaluate import results
from mia_seg.recipes import catalogue
from mia_seg.recipes.splits import SplitRule, read_ids

TEXT = "eins ß\nzwei 街\ndrei 😀"
FORMS: dict[str, Callable[[str], bytes]] = {
    "as it is": lambda text: text.encode(),
    "with a mark": lambda text: text.encode("utf-8-sig"),
    "UTF-16, little end first": lambda text: b"\xff\xfe" + text.encode("utf-16-le"),
    "UTF-16, big end first": lambda text: b"\xfe\xff" + text.encode("utf-16-be"),
    "lines of Windows": lambda text: text.replace("\n", "\r\n").encode(),
    "lines of Windows in UTF-16": lambda text: text.replace("\n", "\r\n").encode("utf-16"),
    "lines of an old Mac": lambda text: text.replace("\n", "\r").encode(),
}
every_form = pytest.mark.parametrize("form", FORMS)


def rewrite(path: Path, form: str) -> None:
    """Save a text file as another editor would."""
    path.write_bytes(FORMS[form](path.read_text("utf-8")))
    forget()


def listed(folder: Path, content: str | bytes, *known: str) -> list[str]:
    raw = content.encode() if isinstance(content, str) else content
    (folder / "list.txt").write_bytes(raw)
    return read_ids(folder, "list.txt", known)


@every_form
def test_a_text_is_read_whatever_saved_it(form: str, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(FORMS[form](TEXT))
    assert texts.read_text(tmp_path / "a") == TEXT
    assert texts.read_lines(tmp_path / "a") == TEXT.split("\n")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"a\ncaf\xe9\n", "byte 6, in line 2, is 0xe9, which is not UTF-8. Save the file as UTF-8."),
        (b"\xef\xbb\xbfa\r\n\xff", "byte 7, in line 2, is 0xff, which is not UTF-8. Save"),
        (b"\xff\xfea\x00\n\x00b", "byte 7, in line 2, is 0x62, which is not UTF-16. Save the file as UTF-8."),
        (b"\xff\xfea\x00\x00\xd8", "byte 5, in line 1, is 0x00, which is not UTF-16. Save"),
        ("a\nb\n".encode("utf-16-le"), "line 1 holds a zero byte"),
        ("a\nb\n".encode("utf-32"), "line 1 holds a zero byte"),
        (b"a\rb\r\x00", "line 3 holds a zero byte, so that the file is no text in UTF-8. Save it as UTF-8."),
    ],
)
def test_other_bytes_are_refused_by_their_place(content: bytes, says: str, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(MiaSegError) as refused:
        texts.read_text(tmp_path / "a")
    assert str(refused.value).startswith(f"{tmp_path / 'a'}: {says}")


def test_a_folder_is_no_text(tmp_path: Path) -> None:
    with pytest.raises(MiaSegError, match=r"cannot be read \(Is a directory\)\. Put a readable text file there"):
        texts.read_text(tmp_path)


@pytest.mark.parametrize("text", ["[" * 100_000, "1" * 5000])
def test_json_and_toml_beyond_all_bounds_are_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "a").write_text(f"a = {text}")
    with pytest.raises(MiaSegError, match="a is not valid TOML: "):
        texts.read_toml(tmp_path / "a")
    (tmp_path / "a").write_text(text)
    with pytest.raises(ValueError, match=r"too deep|limit"):
        texts.read_json(tmp_path / "a")


@every_form
def test_a_list_is_read_whatever_saved_it(form: str, tmp_path: Path) -> None:
    assert listed(tmp_path, FORMS[form]("s000\ns001 \n\n\tstraße"), "s000", "s001", "s002", "straße") == [
        "s000", "s001", "straße",
    ]  # fmt: skip


@every_form
def test_recipes_class_maps_configs_and_results_are_read_likewise(
    form: str, workdir: Path, data_root: Path, audit_result: Path
) -> None:
    before = recipes.load_victim("tiny"), results.read(audit_result)
    for path in (workdir / "victims" / "tiny.toml", audit_result):
        rewrite(path, form)
    assert (recipes.load_victim("tiny"), results.read(audit_result)) == before
    assert dict(catalogue.catalogue()["victim recipes"])["tiny"] == "A recipe for tests: one epoch at 32 x 48."
    write(workdir / "map.toml", 'classes = ["façade", "sky"]\nmap = [{ name = "façade", id = 1 }]\n')
    rewrite(workdir / "map.toml", form)
    assert Folder(path="x", class_map="map.toml").classes() == ("façade", "sky")
    ids = Mapillary().ids(data_root)
    rewrite(data_root / "mapillary/config_v1.2.json", form)
    assert Mapillary().ids(data_root) == ids
    ids = VOC().ids(data_root)
    rewrite(data_root / "VOCdevkit/VOC2012/ImageSets/Segmentation/train.txt", form)
    assert VOC().ids(data_root) == ids


@pytest.fixture
def audit_result(tmp_path: Path) -> Path:
    from helpers_results import result

    return results.write(tmp_path / "reports", result(count=4))


NAMES = ("train/s000", "train/s001", "val/s002", "val/dot.ted")
LINES: dict[str, tuple[str, ...]] = {
    "train/s000": ("train/s000",),
    " train/s000\t": ("train/s000",),
    "train/s000\ntrain/s000": ("train/s000",),
    "# members\ntrain/s000\n#train/s001": ("train/s000",),
    "train/s000.jpg": ("train/s000",),
    "train/s000.PNG": ("train/s000",),
    "val/dot.ted": ("val/dot.ted",),
    "val/dot.ted.png": ("val/dot.ted",),
    "s000": ("train/s000",),
    "s000.jpg": ("train/s000",),
    "./train/s000.jpg": ("train/s000",),
    "/data/images/train/s000.jpg": ("train/s000",),
    r"C:\data\train\s000.jpg": ("train/s000",),
    "/images/train/s000.jpg /labels/train/s000.png": ("train/s000",),
    "train/s000.jpg\ttrain/s000.png\nval/s002.jpg;val/s002_mask.png": ("train/s000", "val/s002"),
    "train/s000.jpg,labels/a.png": ("train/s000",),
}


@pytest.mark.parametrize("lines", LINES)
def test_a_list_names_scenes_in_many_ways(lines: str, tmp_path: Path) -> None:
    assert listed(tmp_path, lines, *NAMES) == list(LINES[lines])


@pytest.mark.parametrize(
    ("lines", "known", "says"),
    [
        (
            "train/s000\nnowhere",
            NAMES,
            "1 of 2 ids are not in the data set: nowhere. A line is read that is a scene id",
        ),
        ("val/s000.jpg", NAMES, "not in the data set: val/s000.jpg"),  # another part, not train/s000
        ("s000 -1", NAMES, "not in the data set: s000 -1"),  # a class's list: -1 says that it is not there
        ("s000 s001", NAMES, "not in the data set: s000 s001"),
        ("s000.jpg s001.jpg", NAMES, "'s000.jpg s001.jpg' may be 'train/s000' or 'train/s001'. Write one whole"),
        ("train/s000.jpg y/train/s001.png", NAMES, "may be 'train/s000' or 'train/s001'. Write one whole scene id"),
        ("x/nowhere.jpg train/s001.png", NAMES, "not in the data set: x/nowhere.jpg train/s001.png"),
        ("train/s000 train/s001", NAMES, "not in the data set: train/s000 train/s001"),
        ("x/US 1.jpg y/US 2.png", ("US 1", "US 2"), "not in the data set: x/US 1.jpg y/US 2.png"),
        ("US 2.png x.png", ("US", "US 1"), "not in the data set: US 2.png x.png"),  # 'US' is another scene
        ("s000", ("a/s000", "b/s000"), "'s000' may be 'a/s000' or 'b/s000'. Write one whole scene id a line."),
        ("#7\n#8", ("#7",), "1 of 2 ids are not in the data set: #8"),
        ('["s000", "s001"]', NAMES, 'not in the data set: ["s000", "s001"]'),
        ("x" * 300, NAMES, f"not in the data set: {'x' * 80}..."),
        ("# nothing\n\n", NAMES, "is an empty split"),
        (b"caf\xe9\n", NAMES, "byte 4, in line 1, is 0xe9, which is not UTF-8"),
    ],
)
def test_what_names_no_scene_or_several_is_refused(
    lines: str | bytes, known: tuple[str, ...], says: str, tmp_path: Path
) -> None:
    with pytest.raises(MiaSegError) as refused:
        listed(tmp_path, lines, *known)
    assert says in str(refused.value)


ODD = (
    "US$$_0 #1",
    "#7",
    "a b",
    "a,b",
    "-v",
    "[bold]x",
    "x.jpg",
    "back\\slash",
    "街_01",
    "a\x85b",
    "q\"'",
    "😀",
    "%s",
    "é" * 120,
)


def test_a_name_is_read_as_it_is(tmp_path: Path) -> None:
    assert listed(tmp_path, "\n".join(ODD), *ODD, "US$$_0", "x", "a") == sorted(ODD)


IDS = st.text(st.characters(exclude_characters="\n\r\0/\ufeff", exclude_categories=["Cs"]), min_size=1, max_size=5)


@settings(max_examples=60, deadline=None, database=None, derandomize=True)
@given(
    st.sets(IDS.filter(str.strip), min_size=1, max_size=6), st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]), st.data()
)
def test_any_names_are_read_as_they_are(
    tmp_path_factory: pytest.TempPathFactory, ids: set[str], encoding: str, data: st.DataObject
) -> None:
    chosen = data.draw(st.sets(st.sampled_from(sorted(ids)), min_size=1))
    path = tmp_path_factory.getbasetemp() / "any.txt"
    path.write_bytes("\n".join(chosen).encode(encoding))
    assert read_list(path, ids) == (sorted(chosen), [])


def test_a_path_may_hold_an_id_with_blanks(tmp_path: Path) -> None:
    assert listed(tmp_path, "images/US 1.jpg\nUS 2.png", "US", "US 1", "US 2") == ["US 1", "US 2"]


SCENES: dict[str, tuple[type[Dataset], str]] = {
    "/JPEGImages/2007_000032.jpg /SegmentationClass/2007_000032.png": (VOC, "train/2007_000032"),
    "/photos/of/2012/VOCdevkit/VOC2012/JPEGImages/2007_000033.jpg": (VOC, "val/2007_000033"),
    "leftImg8bit/train/aachen/aachen_000001_000019_leftImg8bit.png": (Cityscapes, "train/aachen/aachen_000001_000019"),
    "munster_000000_000019_gtFine_labelIds.png": (Cityscapes, "val/munster/munster_000000_000019"),
}


@pytest.mark.parametrize("line", SCENES)
def test_a_scene_is_named_by_the_path_of_its_file(line: str, data_root: Path) -> None:
    kind, scene_id = SCENES[line]
    dataset = kind()
    ids = dataset.ids(data_root)
    write(data_root / "m.txt", line)
    write(data_root / "n.txt", next(one for one in ids if one != scene_id))
    split = SplitRule(rule="lists", members="m.txt", nonmembers="n.txt", pool=0)
    assert split.cut(dataset, data_root, 0).members == [scene_id]
    write(data_root / "m.txt", line.replace("JPEGImages", "Elsewhere").replace("aachen/", "zurich/").replace("gt", "x"))
    with pytest.raises(MiaSegError, match="are not in the data set"):
        split.cut(dataset, data_root, 0)


def test_accents_count_alike_unless_the_data_set_tells_them_apart(tmp_path: Path) -> None:
    apart, one = (unicodedata.normalize(form, "caf\u00e9/\u00fc") for form in ("NFD", "NFC"))
    assert apart != one
    assert listed(tmp_path, one, apart) == [apart]
    assert listed(tmp_path, apart, one) == [one]
    assert listed(tmp_path, one, one, apart) == [one]
    with pytest.raises(MiaSegError, match="may be"):
        listed(tmp_path, f"{apart}.jpg", one, apart)


def test_the_published_list_of_sbd_is_read(data_root: Path) -> None:
    root = data_root / "VOCdevkit/VOC2012"
    stems = "2007_000032", "2007_000039"
    two = "".join(f"/JPEGImages/{stem}.jpg /SegmentationClassAug/{stem}.png\n" for stem in stems)
    write(root / "ImageSets/Segmentation/trainaug.txt", two)
    (root / "SegmentationClass").rename(root / "SegmentationClassAug")
    voc = VOC(folders=("trainaug",), annotation="SegmentationClassAug")
    assert voc.ids(data_root) == [f"trainaug/{stem}" for stem in stems]
    write(root / "ImageSets/Segmentation/trainaug.txt", f"{two}2007_000033 -1\n")
    forget()
    with pytest.raises(MiaSegError, match=r"trainaug.txt names 1 scenes .* \(2007_000033 -1\). A line is read that is"):
        voc.ids(data_root)
