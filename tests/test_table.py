"""Tables: who is a member, as the owner of the data says."""

import re
from pathlib import Path

import pytest
from helpers_files import forget, write
from PIL import Image

from mia_seg.data import IGNORE
from mia_seg.data.folder import Folder
from mia_seg.data.table import Table
from mia_seg.errors import MiaSegError
from mia_seg.recipes.splits import SplitRule

STATED = SplitRule(rule="stated")
HEAD = "image,labels,member,id,group\n"
A, B, C = (f"labelmefacade/images/{k}.jpg,labelmefacade/labels/{k}.png" for k in "abc")


def table(root: Path, text: str) -> Table:
    forget()
    for name in (name for both in (A, B, C) for name in both.split(",")):
        write(root / name, "")
    write(root / "members.csv", text)
    return Table(path="members.csv", class_map="labelmefacade")


def test_a_table_says_parts_groups_and_ids(tmp_path: Path) -> None:
    text = f"{HEAD}{A},1,x,north\n{B},no,,\n{C},,z,\n"
    dataset = table(tmp_path, text)
    assert dataset.ids(tmp_path) == ["labelmefacade/images/b", "x", "z"]
    parts = STATED.cut(dataset, tmp_path, 0)
    assert (parts.members, parts.nonmembers, parts.pool) == (["x"], ["labelmefacade/images/b"], ["z"])
    assert parts.group == {"x": "north", "z": "z", "labelmefacade/images/b": "labelmefacade/images/b"}
    assert dataset.files(tmp_path, "x")[0] == tmp_path / "labelmefacade/images/a.jpg"
    crlf = table(tmp_path, "\ufeff" + text.replace("\n", "\r\n").replace(",", ", "))
    assert STATED.cut(crlf, tmp_path, 1) == parts


def test_a_table_may_have_no_labels(data_template: Path, tmp_path: Path) -> None:
    listed = Table.example(data_template)
    lines = (data_template / "members.csv").read_text().splitlines()
    rows = [line.split(",") for line in lines]
    write(
        tmp_path / "bare.csv",
        "".join(f"{data_template / row[0] if k else 'image'},{row[2]}\n" for k, row in enumerate(rows)),
    )
    bare = Table(path=str(tmp_path / "bare.csv"), class_map=listed.class_map, size=(20, 30))
    assert (listed.has_labels(data_template), bare.has_labels(None)) == (True, False)
    first, theirs = bare.ids(None)[0], listed.model_copy(update={"size": (20, 30)})
    (path,) = bare.files(None, first)
    same = next(i for i in listed.ids(data_template) if listed.files(data_template, i)[0] == path)
    scene = bare.scene(None, first)
    assert (scene.image_HWC == theirs.scene(data_template, same).image_HWC).all()
    assert (bare.image(None, first) == listed.image(data_template, same)).all()
    assert (scene.labels_HW == IGNORE).all()
    labels_HW, unknown = bare.labels_of(None, first)
    assert (labels_HW.shape, bare.shape(None, first), unknown) == ((20, 30), (20, 30), {})


def test_scenes_are_those_of_the_folder(data_template: Path) -> None:
    listed, folder = Table.example(data_template), Folder(path="labelmefacade", class_map="labelmefacade")
    assert len(listed.ids(data_template)) == len(folder.ids(data_template))
    for mine, theirs in zip(listed.ids(data_template), folder.ids(data_template), strict=True):
        one, other = listed.scene(data_template, mine), folder.scene(data_template, theirs)
        assert (one.image_HWC == other.image_HWC).all()
        assert (one.labels_HW == other.labels_HW).all()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "has the columns of an empty file; it needs image, member and may have labels, id"),
        ("image,labels\n", "it needs image, member and may have labels, id"),
        (f"image,labels,member,patient\n{A},1,p\n", "has the columns image, labels, member, patient"),
        (HEAD, "lists no scene"),
        (f"{HEAD}{A},1,x,g\n{B},0,x,h\n", "line 3: id 'x' comes twice"),
        (f"{HEAD}{A},maybe,x,g\n", "line 2: member is 'maybe'"),
        (f"{HEAD}{A},1,x\n", "line 2: it has not as many values as there are columns"),
        (f"{HEAD}{A},1,x,g,more\n", "line 2: it has not as many values as there are columns"),
        (f"{HEAD},labels/a.png,1,x,g\n", "line 2: image is empty"),
        (f"{HEAD}{A},1,x,g\n{A}.tif,0,y,h\n", "line 3: labels"),
    ],
)
def test_a_wrong_table_is_refused_by_line(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(MiaSegError, match=re.escape(says)) as refused:
        table(tmp_path, text).ids(tmp_path)
    assert str(refused.value).startswith(str(tmp_path / "members.csv"))


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        (f"{A},1,x,g\n{B},0,y,g\n", "Group 'g' lies in members and non-members"),
        (f"{A},1,x,g\n{B},,y,g\n{C},0,z,h\n", "Group 'g' lies in members and pool"),
        (f"{A},1,x,g\n{B},1,y,h\n", "states 2 members and 0 non-members. An audit needs both"),
    ],
)
def test_parts_that_allow_no_audit_are_refused(tmp_path: Path, rows: str, says: str) -> None:
    with pytest.raises(MiaSegError, match=re.escape(says)):
        STATED.cut(table(tmp_path, HEAD + rows), tmp_path, 0)


def test_who_says_who_is_a_member_is_one_of_two(data_template: Path) -> None:
    listed, folder = Table.example(data_template), Folder(path="labelmefacade", class_map="labelmefacade")
    random = SplitRule(rule="random", members=2, nonmembers=2, pool=0)
    with pytest.raises(MiaSegError, match=r"rule 'random': the data set says itself who is a member. Set the rule to"):
        random.cut(listed, data_template, 0)
    with pytest.raises(MiaSegError, match=r"rule 'stated': the data set does not say who is a member. Choose another"):
        STATED.cut(folder, data_template, 0)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"rule": "stated", "members": 3}, "members: under rule 'stated' the data set says who is a member"),
        ({"rule": "random", "members": 3}, "rule 'random' needs nonmembers, pool"),
    ],
)
def test_counts_go_with_rules_that_count(given: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        SplitRule(**given)


def test_one_bit_masks_beside_others_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "map.toml", 'classes = ["a", "b"]\nmap = [{name = "a", id = 0}, {name = "b", id = 1}]')
    for name, mode in (("a", "1"), ("b", "L")):
        Image.new(mode, (4, 4)).save(tmp_path / f"{name}.png")
    forget()
    write(tmp_path / "members.csv", f"{HEAD}a.png,a.png,1,x,\nb.png,b.png,0,y,\n")
    with pytest.raises(MiaSegError, match="holds 1 one-bit masks"):
        Table(path="members.csv", class_map="map.toml").ids(tmp_path)
