"""A table of scores from somebody else's attack: one line for each scene."""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mia_seg.errors import MiaSegError
from mia_seg.texts import read_text

NEEDED = ("id", "score")
GROUP = "group"
FORM = "It must be a table with commas whose first line is id,score or id,score,group"


@dataclass(frozen=True)
class Submitted:
    """A table of scores. lines: the line of each scene. scores: finite, higher = more likely a member.

    groups: the group of each scene; empty if the table has no such column.
    """

    path: Path
    lines: dict[str, int]
    scores: dict[str, float]
    groups: dict[str, str]


def read(path: Path) -> Submitted:
    """The table of scores in a file. Raises MiaSegError that names the line at fault."""
    lines: dict[str, int] = {}
    scores: dict[str, float] = {}
    groups: dict[str, str] = {}
    for line, row in _rows(path):
        scene = row["id"]
        if scene in lines:
            raise MiaSegError(
                f"{path}, line {line}: scene '{scene}' has a score in line {lines[scene]} already. Keep one of the two."
            )
        lines[scene], scores[scene] = line, _number(path, line, row["score"])
        groups |= {scene: row[GROUP]} if GROUP in row else {}
    if not lines:
        raise MiaSegError(f"{path} holds no scores below its first line. Write one line for each scene.")
    return Submitted(path, lines, scores, groups)


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Each line with its number, and its cells by column."""
    try:
        lines = csv.reader(io.StringIO(read_text(path)), strict=True)
    except FileNotFoundError:
        raise MiaSegError(f"{path} does not exist. Give a table of scores. {FORM}.") from None
    columns = _columns(path, next(_checked(path, lines), []))
    for cells in _checked(path, lines):
        if not cells:
            continue
        if len(cells) != len(columns):
            raise MiaSegError(
                f"{path}, line {lines.line_num}: there are {len(cells)} cells and {len(columns)} columns "
                f"({','.join(columns)}). {FORM}."
            )
        yield lines.line_num, dict(zip(columns, cells, strict=True))


def _checked(path: Path, lines: Any) -> Iterator[list[str]]:
    try:
        yield from lines
    except csv.Error as error:
        raise MiaSegError(f"{path}, line {lines.line_num}: {error}. {FORM}.") from None


def _columns(path: Path, cells: Sequence[str]) -> list[str]:
    columns = [cell.strip().lower() for cell in cells]
    if sorted(columns) not in (sorted(NEEDED), sorted((*NEEDED, GROUP))):
        found = f"is '{','.join(cells)}'" if cells else "is empty"
        raise MiaSegError(f"{path}, line 1 {found}. {FORM}.")
    return columns


def _number(path: Path, line: int, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not np.isfinite(value):
        raise MiaSegError(f"{path}, line {line}: the score '{text}' is no finite number. Give one, as -0.25 or 3e-4.")
    return value
