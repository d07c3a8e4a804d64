"""Who is a member: rules that cut a data set's ids into members, non-members and an attacker's pool."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, groupby
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from mia_seg.data import Dataset
from mia_seg.errors import MiaSegError


@dataclass(frozen=True)
class Parts:
    """Disjoint lists of scene ids; `unit` maps each id to what was drawn as one piece (itself, or its block)."""

    members: list[str]
    nonmembers: list[str]
    pool: list[str]
    unit: dict[str, str]


class Split(BaseModel):
    """The recipe's `[split]`. The same rule, counts and seed give the same parts, whoever asks.

    random: ids shuffled by the seed, then cut; for scenes that are independent.
    blocks: runs of `block` consecutive scenes of one group (a drive), `gap` scenes dropped after each run;
    whole blocks are shuffled and cut, so near-duplicate frames never lie on both sides.
    lists: text files below the data root with one scene id a line; the seed changes nothing.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    rule: Literal["random", "blocks", "lists"]
    members: int | str = Field(description="scenes the victim trains on: a count, or a file under rule 'lists'")
    nonmembers: int | str = Field(description="scenes the victim never sees, for the audit")
    pool: int | str = Field(description="scenes that belong to the attacker; 0 where it brings its own data")
    block: int = Field(default=1, ge=1, description="scenes in a block (rule 'blocks')")
    gap: int = Field(default=0, ge=0, description="scenes dropped between blocks (rule 'blocks')")

    @model_validator(mode="after")
    def _counts_or_files(self) -> "Split":
        for name in ("members", "nonmembers", "pool"):
            value = getattr(self, name)
            if isinstance(value, str) != (self.rule == "lists"):
                raise ValueError(
                    f"{name} must be a {'file' if self.rule == 'lists' else 'count'} under rule '{self.rule}'"
                )
            if isinstance(value, int) and value < (name != "pool"):
                raise ValueError(f"{name} = {value} is an empty split; give at least 1")
        return self

    def cut(self, dataset: Dataset, data_root: Path | None, seed: int) -> Parts:
        """The parts under `seed`. Raises MiaSegError for too few scenes, unknown ids or overlapping parts."""
        ids = dataset.ids(data_root)
        if self.rule == "lists":
            parts = [_read_ids(data_root, str(f), ids) for f in (self.members, self.nonmembers, self.pool)]
            units = {i: i for part in parts for i in part}
        else:
            drawn = self._units(dataset, ids)
            random.Random(seed).shuffle(drawn)
            units = {i: unit[0] for unit in drawn for i in unit}
            parts = [self._take(drawn, int(n)) for n in (self.members, self.nonmembers, self.pool)]
        for (name, first), (other, second) in combinations(
            zip(("members", "non-members", "pool"), parts, strict=True), 2
        ):
            assert_disjoint(first, second, f"[split]: {name} and {other}")
        members, nonmembers, pool = parts
        return Parts(members, nonmembers, pool, units)

    def _units(self, dataset: Dataset, ids: Sequence[str]) -> list[list[str]]:
        if self.rule == "random":
            return [[i] for i in ids]
        step = self.block + self.gap
        # Frames of one drive may lie in several folders (train/, val/); their order is that of the file names.
        in_order = sorted(ids, key=lambda i: (dataset.group(i), i.rpartition("/")[2], i))
        drives = [list(drive) for _, drive in groupby(in_order, key=dataset.group)]
        return [drive[k : k + self.block] for drive in drives for k in range(0, len(drive) - self.block + 1, step)]

    def _take(self, units: list[list[str]], count: int) -> list[str]:
        part: list[str] = []
        while len(part) < count and units:
            part += units.pop(0)
        if len(part) < count:
            raise MiaSegError(
                f"[split] asks for {self.members} + {self.nonmembers} + {self.pool} scenes, and under rule "
                f"'{self.rule}' the data set has too few. Lower the counts or add scenes."
            )
        return sorted(part[:count])


def assert_disjoint(first: Sequence[str], second: Sequence[str], what: str) -> None:
    """Raise MiaSegError naming a scene that lies in both lists."""
    both = sorted(set(first) & set(second))
    if both:
        raise MiaSegError(f"{what} share {len(both)} scenes ('{both[0]}' is one). Make the lists disjoint.")


def _read_ids(data_root: Path | None, name: str, known: Sequence[str]) -> list[str]:
    path = (data_root or Path()) / name
    if not path.is_file():
        raise MiaSegError(
            f"{path} is missing. [split] names it as a list of scene ids, one a line, below the data root."
        )
    ids = sorted({line.strip() for line in path.read_text(encoding="utf-8").splitlines()} - {""})
    if not ids:
        raise MiaSegError(f"{path} is an empty split. Give at least one scene id, one a line.")
    lacking = sorted(set(ids) - set(known))
    if lacking:
        raise MiaSegError(
            f"{path}: {len(lacking)} of {len(ids)} ids are not in the data set: {', '.join(lacking[:5])}. "
            f"Correct the list or point --data-root to the data set that it was made for."
        )
    return ids
