"""Scenes as inputs: which ones, and what is in their files. A folder's path and a file's name are no content."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Protocol

from mia_seg.data import Dataset
from mia_seg.data._values import LabelValues
from mia_seg.errors import MiaSegError
from mia_seg.recipes.splits import Partition
from mia_seg.store import Store, digest
from mia_seg.store.content import Content

Part = Literal["members", "asked", "pool", "membership"]


class Divided(Protocol):
    """Scenes divided into members, non-members and a pool, now (`Cut`) or by a stage (`ShadowMembers`)."""

    @property
    def dataset(self) -> Dataset:
        """The data set that they are of."""

    @property
    def cut(self) -> "Cut":
        """Where they were cut from a data set."""

    def given(self, part: Part) -> Any:
        """What stands for a part among the inputs of a stage."""

    def partition(self, store: Store) -> Partition:
        """Who is who; a stage must have settled it."""


@dataclass(frozen=True, eq=False)
class Cut:
    """A partition of some scenes. content: what a scene's files hold, by id; pictures: what its image alone does.

    labels: what their label values came to. left_out: scenes of each part that have no labelled pixel, and so no loss.
    """

    dataset: Dataset
    parts: Partition
    content: dict[str, str]
    pictures: dict[str, str]
    labels: LabelValues | None = None
    left_out: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def cut(self) -> "Cut":
        """Itself."""
        return self

    def given(self, part: Part) -> str:
        """A digest: of settings, ids and content for scenes; of ids, sides and groups for "membership"."""
        return self._digests[part]

    def partition(self, store: Store) -> Partition:
        del store
        return self.parts

    def pictures_of(self, ids: Sequence[str]) -> dict[str, str]:
        """What tells pictures apart, by id."""
        return {i: self.pictures[i] for i in ids}

    def with_parts(self, parts: Partition) -> "Cut":
        """The same scenes, divided otherwise."""
        return replace(self, parts=parts)

    @cached_property
    def _digests(self) -> dict[str, str]:
        lists = {"members": self.parts.members, "asked": self.parts.asked, "pool": self.parts.pool}
        origin, sides = self.dataset.origin(), {"membership": digest(_sides(self.parts))}
        return {name: digest([origin, [[i, self.content[i]] for i in ids]]) for name, ids in lists.items()} | sides


def _sides(parts: Partition) -> list[list[Any]]:
    members = set(parts.members)
    return [[i, i in members, parts.group[i]] for i in parts.asked]


def read_cut(dataset: Dataset, parts: Partition, data_root: Path | None, *, content: Content) -> Cut:
    """The cut with what its files hold, each file read once and no more than that ever, while it stays as it is."""
    ids = [*parts.members, *parts.nonmembers, *parts.pool]
    files = [dataset.files(data_root, i) for i in ids]
    hashes = iter(content.of([path for several in files for path in several]))
    by_id = {i: [next(hashes) for _ in several] for i, several in zip(ids, files, strict=True)}
    pictures = {i: (found[0] if found else dataset.picture(i)) for i, found in by_id.items()}
    return Cut(dataset, parts, {i: "".join(found) for i, found in by_id.items()}, pictures)


def check_apart(mine: dict[str, str], theirs: dict[str, str], what: str) -> None:
    """Two lists of pictures (by id) have none in common, whatever they call it. Raises MiaSegError naming one."""
    known = {picture: i for i, picture in theirs.items()}
    both = [(i, known[picture]) for i, picture in mine.items() if picture in known]
    if both:
        first, second = both[0]
        called = f"'{first}' is one" if first == second else f"'{first}' is '{second}'"
        raise MiaSegError(f"{what} share {len(both)} scenes ({called}). Make the lists disjoint.")
