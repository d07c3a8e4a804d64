"""Scenes that a CSV lists: image, labels if there are any, membership, and groups (such as patients)."""

import csv
import io
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from mia_seg.data import IGNORE, Part, Scene
from mia_seg.data._example import write
from mia_seg.data._files import check_case
from mia_seg.data._folders import check_one_meaning
from mia_seg.data._open import opened
from mia_seg.data._paired import Found
from mia_seg.data._read import image_of, size_of
from mia_seg.data.folder import Folder, Place
from mia_seg.errors import AbsentData, MiaSegError
from mia_seg.texts import read_text

NEEDED = ("image", "member")
COLUMNS = (*NEEDED, "labels", "id", "group")
SIDES: dict[str, Part] = {
    **dict.fromkeys(("1", "true", "yes"), "members"), **dict.fromkeys(("0", "false", "no"), "nonmembers"), "": "pool",
}  # fmt: skip
WRITTEN: dict[Part, str] = {"members": "1", "nonmembers": "0", "pool": ""}


class Row(BaseModel):
    """One scene. labels: None where the table has none. group: itself where the table has none."""

    model_config = ConfigDict(frozen=True)

    id: str
    image: Path
    labels: Path | None
    part: Part
    group: str


class Table(Folder):
    """`<data root>/<path>`: a CSV with columns image, member and, if there are any, labels, id and group.

    File names are relative to the CSV's folder. member: 1 or 0; empty for a scene that the attacker may use. Scenes of
    one group stay together. Use `rule = "stated"` in [split]. Without labels only attacks that need none run, and
    nothing is trained.
    """

    path: Place = Field(description="CSV below the data root")

    def root(self, data_root: Path | None) -> Path:
        if data_root is None and not Path(self.path).is_absolute():
            raise MiaSegError(
                f"Table '{self.path}' needs a root: pass --data-root (or set MIA_SEG_DATA), the folder "
                f"that its paths begin from. The head of a recipe that mia-seg audit wrote names it."
            )
        data_root = data_root or Path()
        if not (data_root / self.path).is_file():
            check_case(data_root, self.path)
            raise AbsentData(
                f"{data_root / self.path} does not exist. Put the table there, correct [data] path, or point "
                f"--data-root (or MIA_SEG_DATA) to the folder that has it."
            )
        return (data_root / self.path).parent

    def find(self, root: Path, part: str) -> Found:
        rows = _rows(root / Path(self.path).name)
        images = {row.id: row.image for row in rows}
        drawn = {row.id: row.labels for row in rows if row.labels}
        if self.stored_as() == "ids":
            check_one_meaning(drawn, root)
        return root, images, drawn or images

    def has_labels(self, data_root: Path | None) -> bool:
        return self._rows(data_root)[0].labels is not None

    def files(self, data_root: Path | None, scene_id: str) -> tuple[Path, ...]:
        pair = super().files(data_root, scene_id)
        return pair if self.has_labels(data_root) else pair[:1]

    def shape(self, data_root: Path | None, scene_id: str) -> tuple[int, int]:
        if self.has_labels(data_root):
            return super().shape(data_root, scene_id)
        return self.resized(size_of(*self.files(data_root, scene_id)))

    def scene(self, data_root: Path | None, scene_id: str) -> Scene:
        if self.has_labels(data_root):
            return super().scene(data_root, scene_id)
        with opened(*self.files(data_root, scene_id)) as found:
            image_HWC = image_of(found, self.resized)
        return Scene(scene_id, image_HWC, np.full(image_HWC.shape[:2], IGNORE, np.uint8))

    def image(self, data_root: Path | None, scene_id: str) -> np.ndarray:
        with opened(self.files(data_root, scene_id)[0]) as found:
            return image_of(found, lambda size: size)

    def labels_of(self, data_root: Path | None, scene_id: str) -> tuple[np.ndarray, dict[str, int]]:
        if self.has_labels(data_root):
            return super().labels_of(data_root, scene_id)
        return np.full(self.shape(data_root, scene_id), IGNORE, np.uint8), {}

    def _rows(self, data_root: Path | None) -> tuple[Row, ...]:
        return _rows(self.root(data_root) / Path(self.path).name)

    def stated(self, data_root: Path | None) -> dict[str, tuple[Part, str]]:
        return {row.id: (row.part, row.group) for row in self._rows(data_root)}

    @classmethod
    def example(cls, data_root: Path) -> Self:
        """The facades of the folder data set, listed; three sites, each on one side."""
        folder = Folder.example(data_root)
        lines = ["image,labels,member,group"]
        for k, stem in enumerate(folder.ids(data_root)):
            site, part = k // 4, ("1", "0", "")[k // 4 % 3]
            files = (path.relative_to(data_root) for path in folder.files(data_root, stem))
            lines.append(",".join([*map(str, files), part, f"site {site}"]))
        write(data_root / "members.csv", "\n".join(lines) + "\n")
        return cls(path="members.csv", class_map=folder.class_map)


def table(rows: Sequence[Row], folder: Path) -> str:
    """The text of a CSV of some scenes, to be written into `folder`: file names are relative to it.

    Either all rows have labels or none has.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    kinds = ("image", "labels") if rows[0].labels else ("image",)
    writer.writerow(("id", *kinds, "member", "group"))
    for row in sorted(rows, key=lambda row: row.id):
        paths = (getattr(row, kind).absolute() for kind in kinds)
        files = (Path(os.path.relpath(path, folder.absolute())).as_posix() for path in paths)
        writer.writerow((row.id, *files, WRITTEN[row.part], row.group))
    return text.getvalue()


@cache
def _rows(path: Path) -> tuple[Row, ...]:
    """The table's rows, by id. Raises MiaSegError naming the line."""
    rows = {}
    for where, cells in lines(path, _fits, f"it needs {', '.join(NEEDED)} and may have labels, id and group"):
        row = _row(path.parent, where, cells)
        if row.id in rows:
            raise MiaSegError(f"{where}: id '{row.id}' comes twice. Give each scene an id of its own.")
        rows[row.id] = row
    if not rows:
        raise MiaSegError(f"{path} lists no scene. Give one line a scene below the names of the columns.")
    return tuple(rows[scene_id] for scene_id in sorted(rows))


def lines(path: Path, fits: Callable[[set[str]], bool], wants: str) -> Iterator[tuple[str, dict[str, str]]]:
    """'<path>, line 2' and its cells by column, line after line. wants: what the columns have to be, where they do not.

    Raises MiaSegError for a table whose columns do not fit, and for a line of more or fewer values.
    """
    reader = csv.DictReader(io.StringIO(read_text(path)), skipinitialspace=True)
    reader.fieldnames = names = [name.strip().lower() for name in reader.fieldnames or ()]
    if not fits(set(names)) or len(set(names)) < len(names):
        raise MiaSegError(
            f"{path} has the columns {', '.join(names) or 'of an empty file'}; {wants}. Correct its first line."
        )
    for given in reader:
        where = f"{path}, line {reader.line_num}"
        if None in given or None in given.values():
            raise MiaSegError(f"{where}: it has not as many values as there are columns. Correct the line.")
        yield where, {name: value.strip() for name, value in given.items()}


def side(where: str, member: str) -> Part:
    """The part that a cell under `member` names."""
    if member.lower() not in SIDES:
        raise MiaSegError(f"{where}: member is '{member}'. Give 1, 0, or nothing for the pool.")
    return SIDES[member.lower()]


def _fits(names: set[str]) -> bool:
    return names.issuperset(NEEDED) and names.issubset(COLUMNS)


def _row(folder: Path, where: str, cells: Mapping[str, str]) -> Row:
    files = {name: folder / cells[name] for name in ("image", "labels") if name in cells}
    for name, path in files.items():
        if not cells[name]:
            raise MiaSegError(f"{where}: {name} is empty. Name its file.")
        if not path.is_file():
            raise MiaSegError(
                f"{where}: {name} {path} does not exist. Name the file from the table's folder on, or put it there."
            )
    scene_id = cells.get("id") or Path(cells["image"]).with_suffix("").as_posix()
    part, group = side(where, cells["member"]), cells.get("group") or scene_id
    return Row(id=scene_id, image=files["image"], labels=files.get("labels"), part=part, group=group)
