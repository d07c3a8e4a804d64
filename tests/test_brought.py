"""What somebody brings who has a model: who is a member in any form, settings of a door, arrays, a fleet's recipe."""

import re
import shutil
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers_doors import refusal
from helpers_files import edit, forget, write
from PIL import Image

import mia_seg as mia
from mia_seg import recipes
from mia_seg.brought import Files, toml
from mia_seg.brought.arrays import hold, scenes
from mia_seg.brought.fleet import fleet, priced
from mia_seg.brought.options import Brought, described
from mia_seg.data import IGNORE
from mia_seg.data.table import Table, table
from mia_seg.errors import MiaSegError
from mia_seg.oracles.doors.callable import HELD
from mia_seg.pipeline import Pipeline
from mia_seg.recipes.splits import SplitRule
from mia_seg.stages import checks
from mia_seg.store import Store
from mia_seg.workspace import Workspace

STEMS = {"trained": ("a", "b"), "unseen": ("c", "d"), "spare": ("e",)}
CLASSES = "road,car,sky"
STATED = SplitRule(rule="stated")


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`trained/`, `unseen/` and `spare/`, each with images/ and labels/, and `all/` with the scenes of the three."""
    monkeypatch.chdir(tmp_path)
    forget()
    for side, stems in STEMS.items():
        for place, stem in ((place, stem) for place in (side, "all") for stem in stems):
            for kind, pixels in (("images", np.zeros((24, 40, 3), np.uint8)), ("labels", np.zeros((24, 40), np.uint8))):
                (tmp_path / place / kind).mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels + (ord(stem) if kind == "images" else ord(stem) % 3)).save(
                    tmp_path / place / kind / f"{stem}.png"
                )
    write(tmp_path / "m.txt", "a\nb.png\n")
    write(tmp_path / "n.txt", "images/c.png\nall/labels/d.png\n")
    write(tmp_path / "p.txt", "e\n")
    write(tmp_path / "who.csv", "image,member,group\na.png,1,p\nb,1,p\nc.png,no,\nall/images/d.png,0,q\ne,,\n")
    return tmp_path


def brought(**options: object) -> Brought:
    paths = ("members", "nonmembers", "pool", "images", "labels")
    given = {key: Path(str(value)) if key in paths else value for key, value in options.items()}
    return Brought(**({"door": "callable:own:f", "answers": "logits", "classes": CLASSES} | given))  # type: ignore[arg-type]


ALL = {"images": "all/images", "labels": "all/labels"}


@pytest.mark.parametrize(
    "given",
    [
        {"members": "trained", "nonmembers": "unseen", "pool": "spare"},
        {**ALL, "members": "m.txt", "nonmembers": "n.txt", "pool": "p.txt"},
        {**ALL, "members": "who.csv"},
    ],
)
def test_lists_folders_and_a_table_say_the_same(folders: Path, given: dict[str, str]) -> None:
    files, root = described(brought(**given), "own", None)
    with files.written(only_now=True):
        found = recipes.load_victim("own")
        parts = found.split.cut(found.dataset(), root, 0)
        assert (parts.members, parts.nonmembers, parts.pool) == (["a", "b"], ["c", "d"], ["e"])
        assert parts.group["a"] == ("p" if given["members"] == "who.csv" else "a")
        assert found.dataset().scene(root, "d").labels_HW.max() == ord("d") % 3
    assert not list((folders / "victims").iterdir()), "nothing is left of a dry run"


@pytest.mark.parametrize(
    "given",
    [
        {"members": "trained", "nonmembers": "unseen"},
        {"images": "all/images", "members": "m.txt", "nonmembers": "n.txt"},
        {"images": "all/images", "members": "who.csv"},
    ],
)
def test_scenes_may_come_without_labels(folders: Path, given: dict[str, str]) -> None:
    for side in ("trained", "unseen"):
        shutil.rmtree(folders / side / "labels")
    files, root = described(brought(**given), "own", None)
    with files.written(only_now=True):
        dataset = recipes.load_victim("own").dataset()
        assert not dataset.has_labels(root)
        assert "--shadows" not in recipes.find("victim", "own").read_text()
        assert dataset.scene(root, "d").labels_HW.tolist() == [[IGNORE] * 40] * 24
        assert dataset.scene(root, "d").image_HWC.max() == ord("d")
    (folders / "unseen" / "masks").mkdir()
    forget()
    if given["members"] == "trained":
        said = "labels does not exist. Each folder holds images/, and all or none of them hold labels/"
        assert said in refusal(brought(**given).rows)


def test_stems_that_two_folders_share_are_told_apart(folders: Path) -> None:
    rows = brought(members="trained", nonmembers="all").rows()
    assert sorted(row.id for row in rows) == ["all/a", "all/b", "all/c", "all/d", "all/e", "trained/a", "trained/b"]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"members": None}, "--door needs --members (and --nonmembers, unless it is a CSV) too"),
        ({"members": "who.csv", "classes": None}, "--door needs --classes or --class-map too"),
        ({"members": "who.csv", "class_map": "own.toml"}, "--classes and --class-map both say"),
        ({"members": "who.csv", "labels": "all/labels"}, "--labels names label files of --images, which is not given"),
        ({"members": "trained"}, "--members names one side alone. Give --nonmembers too"),
        ({"members": "trained", "nonmembers": "n.txt"}, "n.txt is no folder"),
        ({"members": "trained", "nonmembers": "nowhere"}, "nowhere is no folder"),
        ({"members": "trained", "nonmembers": "trained"}, "--nonmembers trained: a folder is on two sides"),
        (
            {"members": "trained", "nonmembers": "all/images"},
            "none of them hold labels/; in images there is: 5 .png. Add what is missing, or name another folder.",
        ),
        ({**ALL, "members": "m.txt", "nonmembers": "m.txt"}, "Scene 'a' stands in m.txt and m.txt"),
        ({**ALL, "members": "m.txt", "nonmembers": "unseen"}, "--nonmembers unseen is no file"),
        ({**ALL, "members": "m.txt", "nonmembers": "x.txt"}, "1 of its lines name no image: zebra"),
        ({**ALL, "images": "void", "members": "m.txt", "nonmembers": "n.txt"}, "--images void is no folder"),
        (
            {"images": "all/images", "labels": "trained/../all/images", "members": "m.txt", "nonmembers": "n.txt"},
            "--images and --labels are one folder, trained/../all/images: an image and its labels are told apart",
        ),
        (
            {"members": "trained", "nonmembers": "other/trained"},
            "--members trained and --nonmembers other/trained have one name, and each has a scene 'a'",
        ),
        ({**ALL, "members": "twice.csv"}, "twice.csv, line 3: scene 'a' comes twice"),
        ({**ALL, "members": "maybe.csv"}, "maybe.csv, line 2: member is 'maybe'"),
        ({**ALL, "members": "lost.csv"}, "lost.csv, line 2: 'zebra' names no image"),
        ({**ALL, "members": "m.txt"}, "m.txt has the columns a; beside --images and --labels it needs member"),
        ({"members": "who.csv", "settings": ["scale"]}, "--set 'scale': write KEY=VALUE"),
        (
            {"members": "who.csv", "settings": ["answers.x=1"]},
            "--set 'answers.x=1': 'answers' is no section of settings",
        ),
        ({"members": "who.csv", "settings": ["input.scael=1"]}, "unknown key 'input.scael'. Did you mean 'scale'?"),
        ({"members": "who.csv", "door": "callable:own"}, "target = 'own' names no function: write 'module:function'"),
        ({"members": "who.csv", "door": "onnx"}, "--door onnx: give its path as 'onnx:PATH'"),
        ({"members": "who.csv", "door": "onnx:none.onnx"}, "none.onnx does not exist"),
        ({"members": "who.csv", "classes": "road"}, "there are 1 classes"),
    ],
)
def test_what_does_not_go_together_is_refused_and_nothing_written(
    folders: Path, given: dict[str, object], says: str
) -> None:
    write(folders / "x.txt", "c\nzebra\n")
    shutil.copytree(folders / "trained", folders / "other" / "trained")
    write(folders / "twice.csv", "id,member\na,1\na,0\n")
    write(folders / "maybe.csv", "id,member\na,maybe\n")
    write(folders / "lost.csv", "id,member\nzebra,1\n")
    kept = {key: value for key, value in given.items() if value is not None}
    bare = brought(**kept) if "members" in kept else Brought("callable:own:f", "logits", classes=CLASSES)
    bare = (
        bare if given.get("classes", "") is not None else Brought("callable:own:f", "logits", members=Path("who.csv"))
    )
    assert says in refusal(lambda: described(bare, "own", None))
    assert not (folders / "victims").exists()


def test_settings_of_a_door_are_read_as_toml(folders: Path) -> None:
    settings = ("input.scale=255", "input.mean=[0.5, 0.4, 0.3]", "path=m.onnx", "output.classes=['a', 'b']")
    section = brought(door="onnx:x.onnx", settings=settings).door_section()
    assert section == {
        "name": "onnx", "path": "m.onnx", "answers": "logits",
        "input": {"scale": 255, "mean": [0.5, 0.4, 0.3]}, "output": {"classes": ["a", "b"]},
    }  # fmt: skip
    assert tomllib.loads(toml({"door": section})) == {"door": section}


def test_a_door_that_knows_what_it_answers_need_not_be_told(folders: Path) -> None:
    bare = Brought("smp:saved", settings=["input.scale=255"], members=Path("who.csv"), classes=CLASSES)
    bare.check()
    assert bare.door_section() == {"name": "smp", "path": "saved", "input": {"scale": 255}}


def test_a_file_that_says_something_else_is_left_alone(folders: Path) -> None:
    path = write(folders / "victims" / "own.toml", "# mine\n")
    said = refusal(lambda: Files("Remove it.", {path: "# yours\n"}).written(only_now=False).__enter__())
    assert "own.toml exists with other content" in said
    assert path.read_text() == "# mine\n"


def test_arrays_become_files_and_their_table_is_that_of_the_files(folders: Path) -> None:
    rng = np.random.default_rng(0)
    images = [rng.integers(256, size=(8, 12, 3), dtype=np.uint8) for _ in range(4)]
    labels = [rng.integers(3, size=(8, 12)) for _ in range(4)]
    told = {"members": [True, True, False, None], "groups": ["p", "p", "q", "r"], "ids": None}
    place, rows = scenes(images, labels, **told, root=folders / "runs")  # type: ignore[arg-type]
    again, _ = scenes(images, labels, **told, root=folders / "runs")  # type: ignore[arg-type]
    files, _ = scenes(
        [row.image for row in rows], [str(row.labels) for row in rows], **(told | {"ids": "0123"}),  # type: ignore[arg-type]
        root=folders / "other",
    )  # fmt: skip
    dataset, other = (Table(path=str(path), names=("a", "b", "c")) for path in (place, files))
    assert again == place
    assert STATED.cut(dataset, None, 0) == STATED.cut(other, None, 0)
    assert STATED.cut(dataset, None, 0).members == ["0", "1"]
    for k, scene in enumerate(dataset.ids(None)):
        found = dataset.scene(None, scene)
        assert (found.image_HWC == images[k]).all()
        assert (found.labels_HW == labels[k]).all()


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"images": np.zeros((1, 4, 4, 3))}, "An image is an array of float64 [4, 4, 3]. Give uint8 RGB"),
        ({"images": np.zeros((1, 4, 4), np.uint8)}, "An image is an array of uint8 [4, 4]"),
        ({"labels": np.full((1, 4, 4), 256)}, "Labels are an array of int64 [4, 4]. Give class ids from 0"),
        ({"labels": np.zeros((1, 4, 4))}, "Labels are an array of float64"),
        ({"labels": np.zeros((2, 4, 4), np.uint8)}, "labels has 2 entries for 1 scenes"),
        ({"images": "images"}, "scenes is 'images'. Give a list of image files or of arrays"),
        ({"members": ["yes"]}, "members[0] is 'yes'. Give True, False, or None"),
    ],
)
def test_arrays_of_another_kind_are_refused(tmp_path: Path, changed: dict[str, object], says: str) -> None:
    given = {"images": np.zeros((1, 4, 4, 3), np.uint8), "labels": np.zeros((1, 4, 4), np.uint8), "members": [True]}
    given |= {"groups": None, "ids": None} | changed  # type: ignore[dict-item]
    images, labels = given.pop("images"), given.pop("labels")
    assert says in refusal(lambda: scenes(images, labels, **given, root=tmp_path))  # type: ignore[arg-type]


class Grey(torch.nn.Module):
    """Logits that grow with the light."""

    def __init__(self, gain: float) -> None:
        super().__init__()
        self.gain = torch.nn.Parameter(torch.tensor(gain))

    def forward(self, image_N3HW: torch.Tensor) -> torch.Tensor:
        return torch.stack([k * self.gain * image_N3HW.mean(1) for k in range(3)], 1)


def test_a_function_is_known_by_what_it_answers(folders: Path) -> None:
    rows = brought(members="trained", nonmembers="unseen").rows()
    section = {"name": "callable", "answers": "logits", "input": {"scale": 255}}
    one, two, other = (hold(Grey(gain), rows, dict(section)) for gain in (1.0, 1.0, 1.5))
    assert one[1] == two[1]
    assert one[1]["held"] != other[1]["held"]
    assert HELD[other[1]["held"]] is other[0]
    known = other[1]["held"]
    del other
    assert known not in HELD, "nothing keeps a model that nobody asks about any more"
    assert "[door.input] does not say which" in refusal(
        lambda: hold(Grey(1.0), rows, {"name": "callable", "answers": "logits"})
    )
    assert "predict is of type int" in refusal(lambda: hold(3, rows, dict(section)))


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"victim": "tiny", "predict": len}, "mia.audit takes predict (a function) or victim"),
        ({}, "mia.audit takes predict (a function) or victim"),
        ({"predict": len}, "Give classes, the names of ids 0, 1, 2, ..., or class_map"),
        ({"predict": len, "classes": ["a", "b"]}, "answers says what predict gives"),
        (
            {"victim": "tiny", "shadow": "tiny_a1", "shadows": 4},
            "shadow names a recipe, and shadows has a recipe written",
        ),
    ],
)
def test_python_is_asked_for_what_belongs_together(workdir: Path, given: dict[str, object], says: str) -> None:
    assert says in refusal(lambda: mia.audit(**given))


def test_a_fleet_is_written_at_a_size_that_trains_soon(folders: Path) -> None:
    files, root = described(brought(members="trained", nonmembers="unseen"), "own", None)
    workspace = Workspace(Store(folders / "runs"), root, folders / "reports", "cpu")
    with files.written(only_now=False):
        made, name = fleet("own", 4, workspace)
    with made.written(only_now=False):
        shadow = checks.shadow_of(name)
    assert name == "own_fleet"
    assert (shadow.data["size"], shadow.train.crop, shadow.train.batch) == ([32, 40], (32, 40), 2)
    assert shadow.train.precision == workspace.fastest
    request = checks.request("own", name, ["none"], attacked=["lira"])
    assert [cell.attack.name for cell in request.cells()] == ["lira"]
    said = priced("own", 4, workspace)
    assert re.fullmatch(
        r"4 shadows of pspnet resnet18 on halves of the 4 scenes, 30 epochs at 32 x 40: about \d+ minutes here", said
    )
    with pytest.raises(MiaSegError, match="compares with scenes that nobody trained on"):
        mia.audit(victim="own", shadow=name, attacks=["rmia"], data_root=root, device="cpu").plan()
    for models, says in ((3, "'adversary.models' = 3"), (2, "'adversary.models' = 2")):
        said = refusal(lambda models=models: mia.audit(victim="own", shadows=models, data_root=root, device="cpu"))
        assert f"--shadows: {says}" in said
    places = {}
    for models in (6, 4):
        audit = mia.audit(victim="own", shadows=models, data_root=root, device="cpu")
        places[models] = [m.artefact(workspace.store).path for m in Pipeline(workspace).shadows(name, 0)]
    assert places[6][:4] == places[4], "a larger fleet begins with the smaller one"
    edit(folders / "shadows" / "own_fleet.toml", "epochs = 30", "epochs = 31")
    assert "Run 'mia-seg run own own_fleet' to use it" in refusal(
        lambda: mia.audit(victim="own", shadows=6, data_root=root, device="cpu")
    )
    assert audit.request.shadow == name
    assert {"rmia", "attack_p"} <= audit.left_out.keys()
    assert "lira" in {attack.name for attack in audit.request.attacks}


def test_a_table_names_its_files_from_its_own_folder_on(folders: Path) -> None:
    text = table(brought(members="trained", nonmembers="unseen").rows(), folders / "victims")
    assert text.splitlines()[:2] == [
        "id,image,labels,member,group",
        "a,../trained/images/a.png,../trained/labels/a.png,1,a",
    ]
