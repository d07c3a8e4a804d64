"""Who is a member: rules that cut a data set's ids into members, non-members and an attacker's pool."""

import hashlib
import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations, groupby
from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

from mia_seg import data
from mia_seg.data import Dataset, Part
from mia_seg.data._canaries import Kind, WithCanaries, sources
from mia_seg.data._lists import READ, Files, no_files, read_list, shown
from mia_seg.errors import MiaSegError, TooFewScenes
from mia_seg.values import Below, Scenes

Count = Annotated[Scenes, Field(ge=0)]
PARTS: tuple[Part, ...] = get_args(Part)
SAID: dict[Part, str] = {"members": "members", "nonmembers": "non-members", "pool": "pool"}
FEWEST_CANARIES = 4
PUBLISHED = Path(data.__file__).parent / "splits"  # id lists that no rule gives


@dataclass(frozen=True)
class Partition:
    """Disjoint lists of scene ids. group: id -> the group that was drawn as one (the id itself, or its block)."""

    members: list[str]
    nonmembers: list[str]
    pool: list[str]
    group: dict[str, str]

    @property
    def audited(self) -> list[str]:
        """The scenes that an audit asks about, sorted by id: their order says nothing about membership."""
        return sorted(self.members + self.nonmembers)

    def only(self, ids: Collection[str]) -> "Partition":
        """The parts with only these scenes."""
        kept = set(ids)
        members, nonmembers, pool = ([i for i in getattr(self, part) if i in kept] for part in PARTS)
        return Partition(members, nonmembers, pool, self.group)


class SplitRule(BaseModel):
    """The recipe's `[split]`. The same rule, counts and seed give the same parts.

    random: ids shuffled by the seed, then cut; for scenes that are independent.
    coin: ids shuffled likewise; of the first members + nonmembers, each is a member by a fair coin of its own, so that
    the audit can bound epsilon. Both counts must be equal, and the parts come near them: 100 + 100 within 14, 19 in 20.
    blocks: runs of `block` consecutive scenes of one group (a drive), `gap` scenes dropped after each run;
    whole blocks are shuffled and cut, so near-duplicate frames never lie on both sides.
    groups: whole groups (cities, drives) shuffled and cut; excess scenes of a part's last group are left out.
    order: the sorted ids cut one part after the other, as published splits were; the seed changes nothing.
    lists: text files with one scene a line (its id, file name or path; '#' begins a comment), below the data root or
    packaged; the seed changes nothing.
    stated: as the data set itself says (a table); no counts are given, and the seed changes nothing.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    rule: Literal["random", "coin", "blocks", "groups", "order", "lists", "stated"]
    members: Count | Below = Field(
        default=0, description="scenes that the victim trains on: a count, or the file of a list"
    )
    nonmembers: Count | Below = Field(
        default=0, description="scenes that the victim never sees, for the audit: likewise"
    )
    pool: Count | Below = Field(
        default=0, description="scenes that the attacker may use: likewise; 0 if it has its own data"
    )
    block: Scenes = Field(default=1, ge=1, description="scenes in a block (rule 'blocks')")
    gap: Scenes = Field(default=0, ge=0, description="scenes dropped between blocks (rule 'blocks')")
    of: Below | None = Field(
        default=None, description="a list of all ids that the rule cuts, so that missing ones are named"
    )
    canaries: Annotated[float, Field(ge=0, le=0.5)] = Field(
        default=0, description="share of members and non-members that are made easy to memorise, and audited apart"
    )
    canary: Kind = Field(
        default="swapped",
        description="labels that are swapped, mirrored or permuted; a rare object pasted in; a scene duplicated; "
        "or swapped labels beside a near twin that has the right ones, which takes two scenes a canary",
    )
    sha256: dict[Part, str] = Field(
        default_factory=dict, description="SHA-256 of a published part: of its bare file names, sorted, one a line"
    )

    @model_validator(mode="after")
    def _counts_or_files(self) -> "SplitRule":
        given = self.model_fields_set.intersection(PARTS)
        if self.rule == "stated" and given:
            raise ValueError(f"{sorted(given)[0]}: under rule 'stated' the data set says who is a member: leave it out")
        if self.rule != "stated" and (lacking := [name for name in PARTS if name not in given]):
            raise ValueError(f"rule '{self.rule}' needs {', '.join(lacking)}")
        for name in PARTS if self.rule != "stated" else ():
            value = getattr(self, name)
            if isinstance(value, str) and self.rule != "lists":
                raise ValueError(f"{name} must be a count under rule '{self.rule}'")
            if isinstance(value, int) and value < (name != "pool"):
                raise ValueError(f"{name} = {value} is an empty split; give at least 1")
            if isinstance(value, int) and value and self.rule == "lists":
                raise ValueError(f"{name} must be a file under rule 'lists'")
        if self.rule == "coin" and self.members != self.nonmembers:
            raise ValueError(
                f"members = {self.members} and nonmembers = {self.nonmembers}; a fair coin needs equal counts"
            )
        return self

    def cut(self, dataset: Dataset, data_root: Path | None, seed: int) -> Partition:
        """The parts under `seed`. Raises MiaSegError for too few scenes, unknown ids or overlapping parts."""
        stated = dataset.stated(data_root)
        self._check_says(stated is not None)
        if stated is not None:
            return _stated(stated)
        ids, files = self.every(dataset, data_root), partial(_files, dataset, data_root)
        if self.rule == "lists":
            parts = [read_ids(data_root, f, ids, files=files) if isinstance(f, str) else [] for f in self._sizes()]
            groups = {i: i for part in parts for i in part}
        else:
            parts, groups = self._drawn(self._units(dataset, ids), len(ids), seed)
        named = list(zip(PARTS, parts, strict=True))
        for (name, first), (other, second) in combinations(named, 2):
            assert_disjoint(first, second, f"[split]: {SAID[name]} and {SAID[other]}")
        for name, part in named:
            self._check(name, part, len(ids))
        members, nonmembers, pool = parts
        return Partition(members, nonmembers, pool, groups)

    def every(self, dataset: Dataset, data_root: Path | None) -> list[str]:
        """All ids that the rule cuts: the data set's, or those of the list `of`. Raises MiaSegError as `read_ids`."""
        ids = list(dataset.ids(data_root))
        if self.of is None:
            return ids
        return read_ids(data_root, self.of, ids, files=partial(_files, dataset, data_root))

    def planted(self, dataset: Dataset, parts: Partition, seed: int) -> Dataset:
        """The data set with canaries: a share of the audited scenes, drawn by `seed` from members and others.

        Raises MiaSegError for so few canaries that a side might have less than two.
        """
        if not self.canaries:
            return dataset
        count = round(self.canaries * len(parts.audited))
        counted = count // 2 if self.canary == "twinned" else count
        if counted < FEWEST_CANARIES:
            raise MiaSegError(
                f"[split] canaries = {self.canaries:g} of {len(parts.audited)} audited scenes are {counted}, and "
                f"{FEWEST_CANARIES} are the fewest that can be audited apart. Raise it, or leave it out."
            )
        drawn = random.Random(f"canaries {seed}").sample(parts.audited, count)
        return WithCanaries(of=dataset, kind=self.canary, sources=sources(self.canary, drawn))

    def _check_says(self, stated: bool) -> None:
        """Whoever says who is a member, the rule or the data set, is the only one."""
        if stated != (self.rule == "stated"):
            raise MiaSegError(
                f"[split] rule '{self.rule}': the data set {'says itself' if stated else 'does not say'} who is a "
                f"member. {'Set the rule to stated' if stated else 'Choose another rule'}."
            )

    def _drawn(self, units: list[list[str]], there: int, seed: int) -> tuple[list[list[str]], dict[str, str]]:
        """The parts, cut from units that are drawn whole, and the unit of each scene."""
        if self.rule != "order":
            random.Random(seed).shuffle(units)
        groups = {i: unit[0] for unit in units for i in unit}
        parts = [self._take(units, int(n), there) for n in self._sizes()]
        if self.rule == "coin":
            parts[:2] = _toss(parts[0] + parts[1], seed)
        return parts, groups

    def _sizes(self) -> list[int | str]:
        return [getattr(self, name) for name in PARTS]

    def _units(self, dataset: Dataset, ids: Sequence[str]) -> list[list[str]]:
        if self.rule in ("random", "coin", "order"):
            return [[i] for i in ids]
        # Frames of one drive may lie in several folders (train/, val/); their order is that of the file names.
        in_order = sorted(ids, key=lambda i: (dataset.group(i), i.rpartition("/")[2], i))
        drives = [list(drive) for _, drive in groupby(in_order, key=dataset.group)]
        if self.rule == "groups":
            return drives
        step = self.block + self.gap
        return [drive[k : k + self.block] for drive in drives for k in range(0, len(drive) - self.block + 1, step)]

    def _take(self, groups: list[list[str]], count: int, there: int) -> list[str]:
        part: list[str] = []
        while len(part) < count and groups:
            part += groups.pop(0)
        wanted = int(self.members) + int(self.nonmembers) + int(self.pool)
        if len(part) < count and self.sha256:
            raise MiaSegError(
                f"[split] cuts {wanted} published scenes, and the disk has {there}: {wanted - there} are lacking. "
                f"Extract the archives whole; 'mia-seg check' counts what is there by folder."
            )
        if len(part) < count:
            raise TooFewScenes(
                f"[split] asks for {self.members} + {self.nonmembers} + {self.pool} scenes, and under rule "
                f"'{self.rule}' the data set's {there} are too few. Lower the counts or add scenes."
            )
        return sorted(part[:count])

    def _check(self, name: Part, part: Sequence[str], there: int) -> None:
        if name in self.sha256 and self.sha256[name] != names_digest(part):
            raise MiaSegError(
                f"[split]: the {SAID[name]} are not the published ones (of {there} scenes; their bare names must "
                f"hash to {self.sha256[name][:12]}...). Restore what the archive holds and remove what it does not, "
                f"or leave out [split.sha256] if another split is meant."
            )


def _stated(stated: Mapping[str, tuple[Part, str]]) -> Partition:
    """The parts that a data set states. Raises MiaSegError for an empty side and for a group on both."""
    sides: dict[str, set[Part]] = {}
    for part, group in stated.values():
        sides.setdefault(group, set()).add(part)
    if mixed := sorted(group for group, parts in sides.items() if len(parts) > 1):
        raise MiaSegError(
            f"Group '{mixed[0]}' lies in {' and '.join(SAID[p] for p in sorted(sides[mixed[0]]))}. Scenes of a group "
            f"look alike: put each group into one part."
        )
    members, nonmembers, pool = ([i for i, (part, _) in stated.items() if part == name] for name in PARTS)
    if not (members and nonmembers):
        raise MiaSegError(
            f"The data set states {len(members)} members and {len(nonmembers)} non-members. An audit needs both: "
            f"state who else was trained on, and who was not (in a table: member = 1 and 0)."
        )
    return Partition(members, nonmembers, pool, {i: group for i, (_, group) in stated.items()})


def _files(dataset: Dataset, data_root: Path | None, scene_id: str) -> list[Path]:
    """A scene's image and labels, below the data root."""
    root = data_root or Path()
    found = dataset.files(data_root, scene_id)[:2]
    return [path.relative_to(root) if path.is_relative_to(root) else path for path in found]


def _toss(ids: Sequence[str], seed: int) -> tuple[list[str], list[str]]:
    """Members and non-members, each id by a fair coin. Raises MiaSegError where all coins fall alike."""
    # A stream for each scene: what else the seed draws (weights, an attacker's halves, other data) knows nothing of it.
    members = {i for i in ids if random.Random(f"coin {seed} {i}").random() < 0.5}
    if len(members) in (0, len(ids)):
        raise MiaSegError(
            f"[split]: under seed {seed} the coins of all {len(ids)} scenes fall alike. Raise members and nonmembers."
        )
    return sorted(members), sorted(set(ids) - members)


def names_digest(ids: Sequence[str]) -> str:
    """SHA-256 of the ids' bare file names, sorted, one a line: what published lists are compared by."""
    names = sorted(i.rpartition("/")[2] for i in ids)
    return hashlib.sha256("".join(f"{name}\n" for name in names).encode()).hexdigest()


def assert_disjoint(first: Sequence[str], second: Sequence[str], what: str) -> None:
    """Raise MiaSegError naming a scene that lies in both lists."""
    both = sorted(set(first) & set(second))
    if both:
        raise MiaSegError(f"{what} share {len(both)} scenes ('{both[0]}' is one). Make the lists disjoint.")


def read_ids(data_root: Path | None, name: str, known: Sequence[str], *, files: Files = no_files) -> list[str]:
    """The ids of a list below the data root, or of a packaged one, sorted; each must be among the `known`.

    files: id -> its files below the data root; a list may name an id by their paths.
    Raises MiaSegError for a list that is missing, empty or no text, and for lines that name no known id or several.
    """
    path = (data_root or Path()) / name
    if not path.is_file() and (PUBLISHED / name).is_file():
        path = PUBLISHED / name
    if not path.is_file():
        raise MiaSegError(
            f"{path} is missing. The recipe names it as a list of scene ids, one a line, below the data root."
        )
    ids, lacking = read_list(path, known, files)
    if not ids and not lacking:
        raise MiaSegError(f"{path} is an empty split. Give at least one scene id, one a line.")
    if lacking:
        published = "Extract the archives whole; 'mia-seg check' counts what is there by folder."
        like = f", and this data set's first id is '{known[0]}'" if known else ""
        own = f"{READ}{like}. Correct the list or point --data-root to the data set that it was made for."
        raise MiaSegError(
            f"{path}: {len(lacking)} of {len(ids) + len(lacking)} ids are not in the data set: {shown(lacking)}. "
            f"{published if path.parent == PUBLISHED else own}"
        )
    return ids
