"""Scenes as a CSV lists them: image, labels, who is a member, and what belongs together (a patient, a drive)."""

import csv
import io
import os
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field

from mia_seg.data import Part
from mia_seg.data._example import write
from mia_seg.data._files import check_case
from mia_seg.data._folders import check_one_meaning
from mia_seg.data._paired import Found
from mia_seg.data.folder import Folder, Place
from mia_seg.errors import AbsentData, MiaSegError
from mia_seg.texts import read_text

NEEDED = ("image", "labels", "member")
COLUMNS = (*NEEDED, "id", "group")
SIDES: dict[str, Part] = {
    **dict.fromkeys(("1", "true", "yes"), "members"), **dict.fromkeys(("0", "false", "no"), "nonmembers"), "": "pool",
}  # fmt: skip
WRITTEN: dict[Part, str] = {"members": "1", "nonmembers": "0", "pool": ""}


class Row(BaseModel):
    """One scene. group: itself where the table has none."""

    model_config = ConfigDict(frozen=True)

    id: str
    image: Path
    labels: Path
    part: Part
    group: str


class Table(Folder):
    """`<data root>/<path>`: a CSV with columns image, labels, member and, if wanted, id and group.

    Files are named from the CSV's folder on. member: 1 or 0, empty for a scene that is the attacker's own. Scenes of
    one group are never taken apart. Take `rule = "stated"` in [split].
    """

    path: Place = Field(description="CSV below the data root")

    def root(self, data_root: Path | None) -> Path:
        if data_root is None and not Path(self.path).is_absolute():
            raise MiaSegError(f"Table '{self.path}' needs a root: pass --data-root (or set MIA_SEG_DATA).")
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
        drawn = {row.id: row.labels for row in rows}
        if self.stored_as() == "ids":
            check_one_meaning(drawn, root)
        return root, {row.id: row.image for row in rows}, drawn

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
    """The CSV of some scenes that is to lie in `folder`: their files are named from there on."""
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(("id", "image", "labels", "member", "group"))
    for row in sorted(rows, key=lambda row: row.id):
        files = (
            Path(os.path.relpath(path.absolute(), folder.absolute())).as_posix() for path in (row.image, row.labels)
        )
        lines.writerow((row.id, *files, WRITTEN[row.part], row.group))
    return text.getvalue()


@cache
def _rows(path: Path) -> tuple[Row, ...]:
    """The table's rows, by id. Raises MiaSegError naming the line."""
    rows = {}
    for number, given in _lines(path):
        row = _row(path, number, given)
        if row.id in rows:
            raise MiaSegError(f"{path}, line {number}: id '{row.id}' comes twice. Give each scene an id of its own.")
        rows[row.id] = row
    if not rows:
        raise MiaSegError(f"{path} lists no scene. Give one line a scene below the names of the columns.")
    return tuple(rows[scene_id] for scene_id in sorted(rows))


def _lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    reader = csv.DictReader(io.StringIO(read_text(path)), skipinitialspace=True)
    names = [name.strip().lower() for name in reader.fieldnames or ()]
    reader.fieldnames = names
    lacking, strays = [n for n in NEEDED if n not in names], [n for n in names if n not in COLUMNS]
    if lacking or strays or len(set(names)) < len(names):
        raise MiaSegError(
            f"{path} has the columns {', '.join(names) or 'of an empty file'}; it needs {', '.join(NEEDED)} and may "
            f"have id and group. Correct its first line."
        )
    for given in reader:
        yield reader.line_num, given


def _row(path: Path, number: int, given: dict[str, Any]) -> Row:
    if None in given or None in given.values():
        raise MiaSegError(f"{path}, line {number}: it has not as many values as there are columns. Correct the line.")
    cells = {name: value.strip() for name, value in given.items()}
    part = SIDES.get(cells["member"].lower())
    if part is None:
        raise MiaSegError(f"{path}, line {number}: member is '{cells['member']}'. Give 1, 0, or nothing for the pool.")
    image, labels = (path.parent / cells[name] for name in ("image", "labels"))
    for name in ("image", "labels"):
        if not cells[name]:
            raise MiaSegError(f"{path}, line {number}: {name} is empty. Name its file.")
        if not (path.parent / cells[name]).is_file():
            raise MiaSegError(
                f"{path}, line {number}: {name} {path.parent / cells[name]} does not exist. Name the file from the "
                f"table's folder on, or put it there."
            )
    scene_id = cells.get("id") or Path(cells["image"]).with_suffix("").as_posix()
    return Row(id=scene_id, image=image, labels=labels, part=part, group=cells.get("group") or scene_id)
