"""Scenes as inputs of stages: ids and contents of files. Paths of folders and names of files do not count."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Any, Literal, Protocol

from mia_seg.data import Dataset
from mia_seg.data._twins import exact_twins, near_twins
from mia_seg.data._values import LabelValues
from mia_seg.errors import MiaSegError
from mia_seg.recipes.splits import PARTS, SAID, Partition
from mia_seg.store import Store, digest
from mia_seg.store.content import Content

NAMED = 3  # pairs that a sentence names
Part = Literal["members", "audited", "pool", "membership"]


class Divided(Protocol):
    """Scenes divided into members, non-members and pool: already (`Cut`), or by a later stage (`ShadowMembers`)."""

    @property
    def dataset(self) -> Dataset:
        """The data set of the scenes."""

    @property
    def cut(self) -> "Cut":
        """The cut of a data set that they come from."""

    def given(self, part: Part) -> Any:
        """The value that represents a part among a stage's inputs."""

    def partition(self, store: Store) -> Partition:
        """The members, non-members and pool; a stage that decides them must be made."""


@dataclass(frozen=True, eq=False)
class Cut:
    """A partition of some scenes.

    content: id -> hash of a scene's files. pictures: id -> what identifies its image. looks: id -> `Fingerprint.look`,
    for scenes that are read. labels: counts of their label values. left_out: part -> scenes without a labelled pixel,
    which have no loss. unlabelled: the data set has no labels.
    """

    dataset: Dataset
    parts: Partition
    content: dict[str, str]
    pictures: dict[str, str]
    looks: Mapping[str, int] = field(default_factory=dict)
    labels: LabelValues | None = None
    left_out: Mapping[str, Sequence[str]] = field(default_factory=dict)
    unlabelled: bool = False

    @property
    def cut(self) -> "Cut":
        """Itself."""
        return self

    def given(self, part: Part) -> str:
        """A digest: of settings, ids and contents for a part; of ids, sides and groups for "membership"."""
        return self._digests[part]

    def partition(self, store: Store) -> Partition:
        del store
        return self.parts

    def pictures_of(self, ids: Sequence[str]) -> dict[str, str]:
        """id -> what identifies its picture."""
        return {i: self.pictures[i] for i in ids}

    def with_parts(self, parts: Partition) -> "Cut":
        """The cut with another partition."""
        return replace(self, parts=parts)

    def with_twins_together(self) -> "Cut":
        """The cut with scenes of the same picture in one group.

        Groups are drawn whole, so a model that trains on some of these scenes has no picture on both sides.
        """
        return self.with_parts(replace(self.parts, group=_joined(self.parts.group, self.pictures)))

    @cached_property
    def near_twins(self) -> list[tuple[str, str]]:
        """Pairs of a member and the non-member that looks most like it; the most similar pairs first."""
        members, others = (self._looks_of(ids) for ids in (self.parts.members, self.parts.nonmembers))
        return near_twins(members, others)

    def _looks_of(self, ids: Sequence[str]) -> dict[str, int]:
        return {i: self.looks[i] for i in ids if i in self.looks}

    @cached_property
    def _digests(self) -> dict[str, str]:
        lists = {"members": self.parts.members, "audited": self.parts.audited, "pool": self.parts.pool}
        origin, sides = self.dataset.origin(), {"membership": digest(_sides(self.parts))}
        return {name: digest([origin, [[i, self.content[i]] for i in ids]]) for name, ids in lists.items()} | sides


def _joined(group: Mapping[str, str], pictures: Mapping[str, str]) -> dict[str, str]:
    """Groups by id, those joined that have a picture in common, whatever lies between them."""
    parent = {name: name for name in group.values()}

    def joined(name: str) -> str:
        while parent[name] != name:
            name = parent[name]
        return name

    first: dict[str, str] = {}  # who showed a picture first
    for i in sorted(pictures.keys() & group.keys()):  # in any other order a group's name would change from run to run
        parent[joined(group[i])] = joined(group[first.setdefault(pictures[i], i)])
    return {i: joined(name) for i, name in group.items()}


def _sides(parts: Partition) -> list[list[Any]]:
    members = set(parts.members)
    return [[i, i in members, parts.group[i]] for i in parts.audited]


def read_cut(dataset: Dataset, parts: Partition, data_root: Path | None, *, content: Content) -> Cut:
    """The cut with hashes of its files. Each file is read once, and again only when it has changed.

    Pictures are identified by their files; `stages.pictures.seen` identifies them by their pixels.
    """
    ids = [*parts.members, *parts.nonmembers, *parts.pool]
    files = [dataset.files(data_root, i) for i in ids]
    hashes = iter(content.of([path for several in files for path in several]))
    by_id = {i: [next(hashes) for _ in several] for i, several in zip(ids, files, strict=True)}
    pictures = {i: (found[0] if found else dataset.picture(i)) for i, found in by_id.items()}
    return Cut(dataset, parts, {i: "".join(found) for i, found in by_id.items()}, pictures)


def check_parts(cut: Cut, whose: str) -> None:
    """Raise MiaSegError if a picture is in two parts of a split, under whatever names; it names some.

    A picture may be twice in one part: a member that was trained on twice is a member. Models that train on some scenes
    of a part have both in one group (`Cut.with_twins_together`).
    """
    pictures = {name: cut.pictures_of(getattr(cut.parts, name)) for name in PARTS}
    found = {(a, b): exact_twins(pictures[a], pictures[b]) for a, b in combinations(PARTS, 2)}
    told = [f"{SAID[a]} and {SAID[b]} share {_told(both)}" for (a, b), both in found.items() if both]
    if told:
        raise MiaSegError(
            f"The split of {whose} has the same picture in two parts: {'; '.join(told)}. Remove one of each pair, or "
            f"put both into one part by [split] rule = 'lists'."
        )


def check_apart(
    mine: dict[str, str], theirs: dict[str, str], what: str, *, fix: str = "Make the lists disjoint"
) -> None:
    """Raise MiaSegError if two lists (id -> picture) share a picture, under whatever ids; it names some, and `fix`."""
    both = exact_twins(mine, theirs)
    if both:
        raise MiaSegError(f"{what} share {_told(both)}. {fix}.")


def _told(both: Sequence[tuple[str, str]]) -> str:
    """'5 scenes ('a' is 'b', 'c' is 'd', 'e' is 'f', ...)'."""
    if both[0][0] == both[0][1]:
        return f"{len(both)} scenes ('{both[0][0]}' is one)"
    named = ", ".join(f"'{mine}' is '{other}'" for mine, other in both[:NAMED])
    return f"{len(both)} scenes ({named}{', ...' if len(both) > NAMED else ''})"
